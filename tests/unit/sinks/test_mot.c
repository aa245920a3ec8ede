// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// MOT text: exact bytes, read back by our own parser; whole frames only when a size limit or a kill ends
// them; nothing allocated a frame.

#include "../testing.h"
#include "sinks/sinks.h"
#include "track/mot_text.h"

#include "base/file.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const fm_det dets[] = {
    {.box = {10.254f, 20.5f, 110.25f, 220.756f}, .score = 0.91236f, .track_id = 7},
    {.box = {1, 2, 3, 4}, .score = 0.5f}, // not confirmed
    {.box = {-0.001f, 0, 768, 575.999f}, .score = 1, .class_id = 1, .track_id = INT64_C(9000000000)},
};
static const fm_box filtered[] = {{11, 21, 111, 221}, {1, 2, 3, 4}, {0.5f, 0.25f, 700, 500}};

static fm_result a_result(void)
{
    return (fm_result){.stream = "s", .width = 768, .height = 576, .dets = dets, .det_count = COUNT_OF(dets)};
}

static void check_text(const fm_result *r, fm_mot_box box, const char *want)
{
    fm_str s;
    fm__str_init(&s, FM_TAG_SINKS);
    fm__mot_format(&s, r, box);
    assert_false(s.failed);
    assert_string_equal(s.data ? s.data : "", want);
    fm__str_done(&s);
}

static void confirmed_tracks_have_a_line_each(void **state)
{
    (void)state;
    const char *want = "1,7,10.25,20.50,100.00,200.26,0.9124,-1,-1,-1\n"
                       "1,9000000000,0.00,0.00,768.00,576.00,1.0000,-1,-1,-1\n";
    fm_result r = a_result();
    check_text(&r, FM_MOT_BOX_DETECTION, want);
    check_text(&r, FM_MOT_BOX_FILTERED, want); // no tracker's boxes there
    r.track_boxes = filtered;
    check_text(&r, FM_MOT_BOX_DETECTION, want);
    r.frame = 794;
    check_text(&r, FM_MOT_BOX_FILTERED,
        "795,7,11.00,21.00,100.00,200.00,0.9124,-1,-1,-1\n"
        "795,9000000000,0.50,0.25,699.50,499.75,1.0000,-1,-1,-1\n");
    r.det_count = 0;
    check_text(&r, FM_MOT_BOX_DETECTION, "");
}

static fm_sink *open_sink(const char *path)
{
    fm_error err;
    fm_sink *s = NULL;
    if (fm__sink_mot_file(path, FM_MOT_BOX_DETECTION, &s, &err) != FM_OK)
        fail_msg("%s", err.msg);
    assert_false(s->cls->wants_pixels);
    return s;
}

// A write that a kill falls into ends at a page's end. *cut (or NULL): such a rest was left out.
static fm_mot read_what_is_whole(const char *path, bool *cut)
{
    char *text = NULL;
    size_t len = 0;
    fm_mot m = {0};
    fm_error err = {0};
    assert_int_equal(fm__file_read(FM_TAG_SINKS, path, 1 << 24, &text, &len, NULL), FM_OK);
    if (cut) {
        *cut = len % (size_t)sysconf(_SC_PAGESIZE) == 0;
        while (*cut && len > 0 && text[len - 1] != '\n')
            len--;
    }
    if (fm__mot_parse(text, len, path, &m, &err) != FM_OK)
        fail_msg("%s", err.msg);
    assert_true(len == 0 || text[len - 1] == '\n');
    fm__free(text);
    return m;
}

static fm_mot read_back(const char *path)
{
    return read_what_is_whole(path, NULL);
}

static void a_file_is_read_back(void **state)
{
    (void)state;
    char *dir = make_dir(), path[512];
    snprintf(path, sizeof path, "%s/s.mot.txt", dir);
    FILE *old = fopen(path, "w");
    fputs("old\n", old);
    fclose(old);
    fm_sink *s = open_sink(path);
    fm_result r = a_result();
    for (r.frame = 0; r.frame < 5; r.frame++) {
        r.det_count = r.frame == 3 ? 0 : COUNT_OF(dets);
        assert_int_equal(s->cls->write(s, &r, NULL, NULL), FM_OK);
    }
    assert_int_equal(s->cls->close(s, NULL), FM_OK);
    fm_mot m = read_back(path);
    assert_int_equal(m.count, 8);
    assert_int_equal(m.frame_count, 4);
    assert_int_equal(m.frames[0].frame, 1);
    assert_int_equal(m.frames[3].frame, 5);
    assert_int_equal(m.rows[1].id, INT64_C(9000000000));
    fm__mot_done(&m);
    drop_dir(dir);
}

static void a_folder_that_is_missing_is_named(void **state)
{
    (void)state;
    fm_sink *s = NULL;
    fm_error err = {0};
    assert_int_equal(fm__sink_mot_file("/nowhere/s.mot.txt", FM_MOT_BOX_DETECTION, &s, &err), FM_NOTFOUND);
    assert_non_null(strstr(err.msg, "/nowhere/s.mot.txt"));
    assert_null(s);
}

/** Child: writes until a size limit ends it in the middle of a frame. */
static int write_under_limit(const char *path)
{
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {1000, 1000};
    fm_sink *s = NULL;
    fm_error err = {0};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0 ||
        fm__sink_mot_file(path, FM_MOT_BOX_DETECTION, &s, &err) != FM_OK)
        return 10;
    fm_result r = a_result();
    fm_status status = FM_OK;
    for (; status == FM_OK && r.frame < 100; r.frame++)
        status = s->cls->write(s, &r, NULL, &err);
    if (status != FM_IO || !strstr(err.msg, path) || !strstr(err.msg, "limit"))
        return 11;
    return s->cls->close(s, &err) == FM_OK ? 0 : 12;
}

static void a_frame_that_did_not_fit_leaves_nothing_of_it(void **state)
{
    (void)state;
    char *dir = make_dir(), path[512];
    snprintf(path, sizeof path, "%s/s.mot.txt", dir);
    pid_t pid = fork();
    if (pid == 0)
        _exit(write_under_limit(path));
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    fm_mot m = read_back(path);
    assert_true(m.count >= 16 && m.count % 2 == 0);
    fm__mot_done(&m);
    drop_dir(dir);
}

static void a_kill_leaves_whole_frames(void **state)
{
    (void)state;
    char *dir = make_dir(), path[512];
    snprintf(path, sizeof path, "%s/s.mot.txt", dir);
    pid_t pid = fork();
    if (pid == 0) {
        fm_sink *s = open_sink(path);
        fm_result r = a_result();
        for (r.frame = 0;; r.frame++)
            if (s->cls->write(s, &r, NULL, NULL) != FM_OK)
                _exit(1);
    }
    while (fm__file_size(path) < 10000)
        usleep(100);
    kill(pid, SIGKILL);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    bool cut = false;
    fm_mot m = read_what_is_whole(path, &cut);
    assert_true(cut || m.count % 2 == 0);
    fm__mot_done(&m);
    drop_dir(dir);
}

static void the_steady_state_allocates_nothing(void **state)
{
    (void)state;
    fm_det many[300];
    for (size_t i = 0; i < COUNT_OF(many); i++)
        many[i] =
            (fm_det){.box = {1111.11f, 1111.11f, 3333.33f, 2222.22f}, .score = 0.5f, .track_id = INT64_MAX};
    fm_sink *s = open_sink("/dev/null");
    fm_result r = a_result();
    r.dets = many;
    uint64_t before = fm__alloc_count();
    for (r.frame = 1000000; r.frame < 1000200; r.frame++) {
        r.det_count = r.frame % 301;
        assert_int_equal(s->cls->write(s, &r, NULL, NULL), FM_OK);
    }
    assert_int_equal(fm__alloc_count() - before, 0);
    s->cls->close(s, NULL);
}

static void running_out_of_memory_is_reported(void **state)
{
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        fm_sink *s = NULL;
        fm_error err = {0};
        fm__alloc_fail_at(nth, false);
        fm_status st = fm__sink_mot_file("/dev/null", FM_MOT_BOX_DETECTION, &s, &err);
        fm__alloc_fail_at(0, false);
        if (st == FM_OK) {
            assert_true(nth > 2);
            s->cls->close(s, NULL);
            return;
        }
        assert_int_equal(st, FM_NOMEM);
        assert_null(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(confirmed_tracks_have_a_line_each),
        cmocka_unit_test(a_file_is_read_back),
        cmocka_unit_test(a_folder_that_is_missing_is_named),
        cmocka_unit_test(a_frame_that_did_not_fit_leaves_nothing_of_it),
        cmocka_unit_test(a_kill_leaves_whole_frames),
        cmocka_unit_test(the_steady_state_allocates_nothing),
        cmocka_unit_test(running_out_of_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
