// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What base makes of the system: error lines, log lines, files that are replaced whole or not at all, times
// as text, threads and waits.

#include "../testing.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "base/thread.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void errors_are_one_line(void **state)
{
    (void)state;
    fm_error err;
    assert_int_equal(fm__fail(&err, FM_IO, "bad '%s'", "a\nb\x1b\x7f\t"), FM_IO);
    assert_string_equal(err.msg, "bad 'a?b"
                                 "?"
                                 "?"
                                 "?'");
    assert_int_equal(err.native, 0);
    assert_int_equal(fm__fail_native(&err, FM_NET, -110, "x"), FM_NET);
    assert_int_equal(err.native, -110);
    assert_int_equal(fm__fail(NULL, FM_IO, "x"), FM_IO);
    assert_int_equal(fm__fail_nomem(&err, "a frame"), FM_NOMEM);
    assert_string_equal(err.msg, "out of memory for a frame");
    fm__error_prefix(NULL, "x");
    fm__error_prefix(&err, "stream '%s'", "g\n");
    assert_string_equal(err.msg, "stream 'g?': out of memory for a frame");
}

static void long_errors_are_cut(void **state)
{
    (void)state;
    char text[700];
    memset(text, 'a', sizeof(text));
    for (size_t len = sizeof(((fm_error *)0)->msg) - 2; len < sizeof(text); len += 50) {
        fm_error err;
        text[len] = 0;
        fm__fail(&err, FM_IO, "%s", text);
        size_t most = sizeof(err.msg) - 1;
        assert_int_equal(strlen(err.msg), len < most ? len : most);
        assert_int_equal(strcmp(err.msg + most - 3, "...") == 0, len > most);
        fm__error_prefix(&err, "%s", "p");
        assert_memory_equal(err.msg, "p: aaa", 6);
        assert_string_equal(err.msg + most - 3, len + 3 > most ? "..." : "aaa");
        fm__error_prefix(&err, "%s", text); // a prefix never takes all the room
        assert_non_null(strstr(err.msg, ": p: aaa"));
        text[len] = 'a';
    }
}

static void errno_becomes_a_status(void **state)
{
    (void)state;
    static const struct {
        int errnum;
        fm_status want;
    } cases[] = {{ENOENT, FM_NOTFOUND}, {ENOTDIR, FM_NOTFOUND}, {ENOMEM, FM_NOMEM}, {ETIMEDOUT, FM_TIMEOUT},
        {ENAMETOOLONG, FM_INVAL}, {EACCES, FM_IO}, {ENOSPC, FM_IO}, {EIO, FM_IO}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        fm_error err;
        assert_int_equal(fm__fail_errno(&err, cases[i].errnum, "cannot open", "x"), cases[i].want);
        assert_int_equal(err.native, cases[i].errnum);
        char want[200];
        snprintf(want, sizeof(want), "cannot open 'x': %s", strerror(cases[i].errnum));
        assert_string_equal(err.msg, want);
    }
}

static void every_status_has_name_and_text(void **state)
{
    (void)state;
#define CHECK_STATUS(name, value, text)                                                                      \
    assert_string_equal(fm_status_name(FM_##name), #name);                                                   \
    assert_string_equal(fm_status_text((fm_status)(value)), text);
    FM_STATUS_LIST(CHECK_STATUS)
#undef CHECK_STATUS
    assert_string_equal(fm_status_name((fm_status)-99), "UNKNOWN");
    assert_string_equal(fm_status_text((fm_status)99), "unknown status");
}

typedef struct heard {
    int count;
    fm_log_level level;
    char msg[2048];
} heard;

static void listen(fm_log_level level, const char *domain, const char *msg, void *opaque)
{
    heard *h = opaque;
    assert_string_equal(domain, "test");
    h->count++;
    h->level = level;
    snprintf(h->msg, sizeof(h->msg), "%s", msg);
}

static void log_lines_are_clean_and_by_level(void **state)
{
    (void)state;
    heard h = {0};
    fm_log log = {.fn = listen, .level = FM_LOG_INFO, .opaque = &h};
    fm__log(&log, FM_LOG_INFO, "test", "a\nb %d", 5);
    assert_string_equal(h.msg, "a?b 5");
    fm__log(&log, FM_LOG_DEBUG, "test", "quiet");
    assert_int_equal(h.count, 1);
    char text[3000];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = 0;
    fm__log(&log, FM_LOG_ERROR, "test", "%s", text);
    assert_int_equal(strlen(h.msg), 1023);
    fm__log(NULL, FM_LOG_ERROR, "test", "nobody");
    fm__log(&(fm_log){.level = FM_LOG_TRACE}, FM_LOG_ERROR, "test", "nobody");
    assert_int_equal(h.count, 2);
}

static int files_in(const char *dir)
{
    DIR *d = opendir(dir);
    int n = 0;
    for (struct dirent *e; (e = readdir(d));) {
        n += e->d_name[0] != '.';
    }
    closedir(d);
    return n;
}

static void check_content(const char *path, const char *want)
{
    char *text = NULL;
    size_t len = 0;
    assert_int_equal(fm__file_read(FM_TAG_BASE, path, 1 << 20, &text, &len, NULL), FM_OK);
    assert_string_equal(text, want);
    assert_int_equal(len, strlen(want));
    fm__free(text);
}

static void a_file_is_replaced_whole(void **state)
{
    (void)state;
    char *dir = make_dir();
    char *path = fm__path_join(FM_TAG_BASE, dir, "f");
    assert_int_equal(fm__file_replace(path, "old", 3, NULL), FM_OK);
    check_content(path, "old");
    assert_int_equal(fm__file_replace(path, "new text", 8, NULL), FM_OK);
    check_content(path, "new text");
    assert_int_equal(fm__file_replace(path, "", 0, NULL), FM_OK);
    check_content(path, "");
    assert_int_equal(files_in(dir), 1);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
    fm__free(path);
    drop_dir(dir);
}

static void a_failed_replacement_leaves_the_old_file(void **state)
{
    (void)state;
    char *dir = make_dir();
    char *path = fm__path_join(FM_TAG_BASE, dir, "f");
    assert_int_equal(fm__file_replace(path, "old", 3, NULL), FM_OK);
    fm_error err = {0};
    char big[8192] = {0};
    struct rlimit limit, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 4096; // as a full disk: the write stops in the middle
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    fm_status st = fm__file_replace(path, big, sizeof(big), &err);
    setrlimit(RLIMIT_FSIZE, &limit);
    assert_int_equal(st, FM_IO);
    assert_int_equal(err.native, EFBIG);
    assert_non_null(strstr(err.msg, path));
    check_content(path, "old");
    assert_int_equal(files_in(dir), 1); // no half file beside it
    char *target = fm__path_join(FM_TAG_BASE, dir, "folder");
    assert_int_equal(mkdir(target, 0755), 0);
    assert_int_equal(fm__file_replace(target, "x", 1, &err), FM_IO);
    assert_int_equal(files_in(dir), 2);
    char *lost = fm__path_join(FM_TAG_BASE, dir, "missing/f");
    assert_int_equal(fm__file_replace(lost, "x", 1, &err), FM_NOTFOUND);
    fm__free(lost);
    fm__free(target);
    fm__free(path);
    drop_dir(dir);
}

static void a_folder_without_write_permission_keeps_its_file(void **state)
{
    (void)state;
    if (geteuid() == 0) {
        print_message("permissions do not bind the superuser\n");
        skip();
    }
    char *dir = make_dir();
    char *path = fm__path_join(FM_TAG_BASE, dir, "f");
    assert_int_equal(fm__file_replace(path, "old", 3, NULL), FM_OK);
    chmod(dir, 0500);
    fm_error err = {0};
    assert_int_equal(fm__file_replace(path, "new", 3, &err), FM_IO);
    assert_int_equal(err.native, EACCES);
    check_content(path, "old");
    fm__free(path);
    drop_dir(dir);
}

static void reading_is_bounded(void **state)
{
    (void)state;
    char *dir = make_dir();
    char *path = fm__path_join(FM_TAG_BASE, dir, "f");
    char big[10000];
    memset(big, 'x', sizeof(big));
    assert_int_equal(fm__file_replace(path, big, sizeof(big), NULL), FM_OK);
    assert_int_equal(fm__file_size(path), sizeof(big));
    char *text = NULL;
    size_t len = 0;
    fm_error err;
    assert_int_equal(fm__file_read(FM_TAG_BASE, path, sizeof(big), &text, &len, &err), FM_OK);
    assert_int_equal(len, sizeof(big));
    assert_int_equal(text[len], 0);
    fm__free(text);
    text = NULL;
    assert_int_equal(fm__file_read(FM_TAG_BASE, path, sizeof(big) - 1, &text, &len, &err), FM_FORMAT);
    assert_non_null(strstr(err.msg, "9999 bytes"));
    assert_int_equal(fm__file_read(FM_TAG_BASE, "/dev/zero", 100000, &text, &len, &err), FM_FORMAT);
    assert_int_equal(fm__file_read(FM_TAG_BASE, dir, 100, &text, &len, &err), FM_IO);
    assert_null(text);
    assert_int_equal(fm__file_size("/nonexistent/x"), -1);
    assert_true(fm__is_dir(dir) && !fm__is_file(dir));
    assert_true(fm__is_file(path) && !fm__is_dir(path));
    fm__free(path);
    drop_dir(dir);
}

static void folders_are_made_with_their_parents(void **state)
{
    (void)state;
    char *dir = make_dir();
    static const char *const names[] = {"a/b/c", "a/b/c", "d//e/", "./f/../g", ""};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char *path = fm__path_join(FM_TAG_BASE, dir, names[i]);
        assert_int_equal(fm__mkdir_all(path, NULL), FM_OK);
        assert_true(fm__is_dir(path));
        fm__free(path);
    }
    char *file = fm__path_join(FM_TAG_BASE, dir, "file"), *below = fm__path_join(FM_TAG_BASE, dir, "file/x");
    assert_int_equal(fm__file_replace(file, "x", 1, NULL), FM_OK);
    fm_error err = {0};
    assert_int_equal(fm__mkdir_all(file, &err), FM_IO);
    assert_true(fm__mkdir_all(below, &err) < 0);
    assert_non_null(strstr(err.msg, file));
    fm__free(file);
    fm__free(below);
    drop_dir(dir);
}

static void written_pipes_take_all(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fm__fd_write_all(ends[1], "hello", 5, "a pipe", NULL), FM_OK);
    char text[8] = {0};
    assert_int_equal(read(ends[0], text, sizeof(text)), 5);
    close(ends[0]);
    signal(SIGPIPE, SIG_IGN);
    fm_error err = {0};
    assert_int_equal(fm__fd_write_all(ends[1], "x", 1, "a pipe", &err), FM_IO);
    assert_int_equal(err.native, EPIPE);
    assert_memory_equal(err.msg, "cannot write 'a pipe'", 21);
    close(ends[1]);
}

static void times_as_text(void **state)
{
    (void)state;
    static const struct {
        int64_t ns;
        const char *want;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {999999, "1970-01-01T00:00:00.000Z"},
        {1000000, "1970-01-01T00:00:00.001Z"},
        {INT64_C(1795381200) * FM_NS_PER_S, "2026-11-22T21:00:00.000Z"},
        {INT64_C(951782400) * FM_NS_PER_S + 123999999, "2000-02-29T00:00:00.123Z"},
        {INT64_C(4107542400) * FM_NS_PER_S - 1, "2100-02-28T23:59:59.999Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {-FM_NS_PER_S, "1969-12-31T23:59:59.000Z"},
        {INT64_C(-2208988800) * FM_NS_PER_S, "1900-01-01T00:00:00.000Z"},
        {INT64_MAX, "2262-04-11T23:47:16.854Z"},
        {INT64_MIN, "1677-09-21T00:12:43.145Z"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[32];
        fm__format_utc(cases[i].ns, text);
        assert_string_equal(text, cases[i].want);
    }
}

static void clocks_go_forward(void **state)
{
    (void)state;
    int64_t last = fm__now_ns();
    for (int i = 0; i < 1000; i++) {
        int64_t now = fm__now_ns();
        assert_true(now >= last);
        last = now;
    }
    assert_true(fm__wall_ns() > INT64_C(1700000000) * FM_NS_PER_S);
    struct timespec ts = fm__timespec(3 * FM_NS_PER_S + 7);
    assert_int_equal(ts.tv_sec, 3);
    assert_int_equal(ts.tv_nsec, 7);
}

static void cores_are_at_least_one_and_follow_the_affinity(void **state)
{
    (void)state;
    int all = fm__cpu_count();
    assert_true(all >= 1 && all <= sysconf(_SC_NPROCESSORS_CONF));
    cpu_set_t old, one;
    assert_int_equal(sched_getaffinity(0, sizeof(old), &old), 0);
    CPU_ZERO(&one);
    for (int i = 0; CPU_COUNT(&one) == 0; i++) {
        if (CPU_ISSET(i, &old)) {
            CPU_SET(i, &one);
        }
    }
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    int n = fm__cpu_count();
    sched_setaffinity(0, sizeof(old), &old);
    assert_int_equal(n, 1);
}

typedef struct look {
    char name[32];
    bool interrupt_blocked;
} look;

static void *look_around(void *arg)
{
    look *l = arg;
    sigset_t set;
    pthread_getname_np(pthread_self(), l->name, sizeof(l->name));
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    l->interrupt_blocked = sigismember(&set, SIGINT) == 1 && sigismember(&set, SIGTERM) == 1;
    return l;
}

static void threads_have_names_and_no_signals(void **state)
{
    (void)state;
    look l = {0};
    pthread_t thread;
    void *result = NULL;
    assert_int_equal(fm__thread_start(&thread, "fm-a-very-long-name", look_around, &l, NULL), FM_OK);
    pthread_join(thread, &result);
    assert_ptr_equal(result, &l);
    assert_string_equal(l.name, "fm-a-very-long-");
    assert_true(l.interrupt_blocked);
    sigset_t mine;
    pthread_sigmask(SIG_SETMASK, NULL, &mine);
    assert_int_equal(sigismember(&mine, SIGINT), 0);
}

// What a thread were to free of its start, it would free at any time later.
static void a_thread_starts_without_memory_of_ours(void **state)
{
    (void)state;
    look l = {0};
    pthread_t thread;
    fm__alloc_fail_at(1, true);
    fm_status st = fm__thread_start(&thread, "x", look_around, &l, NULL);
    fm__alloc_fail_at(0, false);
    assert_int_equal(st, FM_OK);
    pthread_join(thread, NULL);
    assert_string_equal(l.name, "x");
}

static void a_wait_ends_at_its_deadline(void **state)
{
    (void)state;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond;
    fm__cond_init(&cond);
    pthread_mutex_lock(&lock);
    int64_t deadline = fm__now_ns() + 20 * FM_NS_PER_MS;
    while (fm__cond_wait_until(&cond, &lock, deadline)) {
    }
    assert_true(fm__now_ns() >= deadline);
    assert_false(fm__cond_wait_until(&cond, &lock, fm__now_ns() - 1));
    pthread_mutex_unlock(&lock);
    pthread_cond_destroy(&cond);
}

static void a_wait_for_an_impossible_time_does_not_spin(void **state)
{
    (void)state;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond;
    fm__cond_init(&cond);
    pthread_mutex_lock(&lock);
    assert_false(fm__cond_wait_until(&cond, &lock, -1));
    assert_false(fm__cond_wait_until(&cond, &lock, INT64_MIN));
    pthread_mutex_unlock(&lock);
    pthread_cond_destroy(&cond);
}

typedef struct signal_case {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool waiting, told;
} signal_case;

static void *tell(void *arg)
{
    signal_case *c = arg;
    pthread_mutex_lock(&c->lock);
    while (!c->waiting) {
        pthread_cond_wait(&c->cond, &c->lock);
    }
    c->told = true;
    pthread_cond_broadcast(&c->cond);
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

static void a_signal_ends_a_wait_early(void **state)
{
    (void)state;
    signal_case c = {.lock = PTHREAD_MUTEX_INITIALIZER};
    fm__cond_init(&c.cond);
    pthread_t thread;
    assert_int_equal(fm__thread_start(&thread, "tell", tell, &c, NULL), FM_OK);
    pthread_mutex_lock(&c.lock);
    c.waiting = true;
    pthread_cond_broadcast(&c.cond);
    int64_t deadline = fm__now_ns() + 60 * FM_NS_PER_S;
    bool in_time = true;
    while (!c.told && in_time) {
        in_time = fm__cond_wait_until(&c.cond, &c.lock, deadline);
    }
    pthread_mutex_unlock(&c.lock);
    pthread_join(thread, NULL);
    assert_true(in_time);
    pthread_cond_destroy(&c.cond);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_one_line),
        cmocka_unit_test(long_errors_are_cut),
        cmocka_unit_test(errno_becomes_a_status),
        cmocka_unit_test(every_status_has_name_and_text),
        cmocka_unit_test(log_lines_are_clean_and_by_level),
        cmocka_unit_test(a_file_is_replaced_whole),
        cmocka_unit_test(a_failed_replacement_leaves_the_old_file),
        cmocka_unit_test(a_folder_without_write_permission_keeps_its_file),
        cmocka_unit_test(reading_is_bounded),
        cmocka_unit_test(folders_are_made_with_their_parents),
        cmocka_unit_test(written_pipes_take_all),
        cmocka_unit_test(times_as_text),
        cmocka_unit_test(clocks_go_forward),
        cmocka_unit_test(cores_are_at_least_one_and_follow_the_affinity),
        cmocka_unit_test(threads_have_names_and_no_signals),
        cmocka_unit_test(a_thread_starts_without_memory_of_ours),
        cmocka_unit_test(a_wait_ends_at_its_deadline),
        cmocka_unit_test(a_wait_for_an_impossible_time_does_not_spin),
        cmocka_unit_test(a_signal_ends_a_wait_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
