// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// JSON Lines: exact bytes of the lines; whole lines only when the disk, a size limit or a reader ends them;
// nothing allocated a frame.

#include "base/alloc.h"
#include "sinks/sinks.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const labels[] = {"person", "bi\"cycle", "car"};

static const fm_det two[] = {
    {.box = {10.254f, 20.5f, 110.25f, 220.756f}, .score = 0.91236f, .class_id = 0, .track_id = 7},
    {.box = {-0.001f, 0, 768, 575.999f}, .score = 1, .class_id = 1},
};

/** A frame with nothing on it. */
static fm_result plain(void)
{
    return (fm_result){.stream = "vtest",
        .pts_ns = 0,
        .wall_ns = FM_PTS_NONE,
        .width = 768,
        .height = 576,
        .labels = labels,
        .label_count = 3};
}

static void check_line(const fm_result *r, const char *want)
{
    fm_str s;
    fm__str_init(&s, FM_TAG_SINKS);
    fm__jsonl_format(&s, r);
    assert_false(s.failed);
    assert_string_equal(s.data, want);
    assert_int_equal(s.len, strlen(want));
    fm__str_done(&s);
}

static void a_picture_names_its_file(void **state)
{
    (void)state;
    fm_result r = plain();
    r.file = "a \"b\".jpg";
    check_line(&r, "{\"stream\":\"vtest\",\"frame\":0,\"file\":\"a \\\"b\\\".jpg\",\"pts_ms\":0.000,"
                   "\"width\":768,\"height\":576,\"objects\":[]}\n");
}

static void a_frame_without_objects(void **state)
{
    (void)state;
    fm_result r = plain();
    check_line(&r,
        "{\"stream\":\"vtest\",\"frame\":0,\"pts_ms\":0.000,\"width\":768,\"height\":576,\"objects\":[]}\n");
}

static void a_frame_with_objects_tracks_and_time(void **state)
{
    (void)state;
    fm_result r = plain();
    r.frame = 12345678901u;
    r.pts_ns = 1234567890;
    r.wall_ns = INT64_C(1795381200123999999);
    r.dets = two;
    r.det_count = 2;
    check_line(&r,
        "{\"stream\":\"vtest\",\"frame\":12345678901,\"pts_ms\":1234.568,\"time\":\"2026-11-22T21:00:00."
        "123Z\","
        "\"width\":768,\"height\":576,\"objects\":["
        "{\"label\":\"person\",\"class_id\":0,\"score\":0.9124,\"box\":[10.25,20.50,100.00,200.26],\"track_"
        "id\":7},"
        "{\"label\":\"bi\\\"cycle\",\"class_id\":1,\"score\":1.0000,\"box\":[0.00,0.00,768.00,576.00]}]}\n");
}

static void objects_with_masks_classes_and_features(void **state)
{
    (void)state;
    fm_result r = plain();
    // a run of 44 pixels makes a backslash
    static uint8_t bits[3 * 8];
    for (int y = 0; y < 3; y++)
        bits[y * 8] = 3;
    const fm_mask masks[2] = {
        {.x = 0, .y = 44, .width = 2, .height = 3, .stride = 8, .bits = bits}, {.width = 0}};
    const fm_class_score classes[4] = {{1, 0.75f}, {7, 0.25f}, {-1, 0}, {-1, 0}};
    static const char *const class_labels[] = {"cat", "dog"};
    const float feature[3] = {1, -0.5f, 0};
    const float *features[2] = {NULL, feature};
    r.width = 5;
    r.height = 100;
    r.dets = two;
    r.det_count = 2;
    r.masks = masks;
    r.object_classes = classes;
    r.object_class_count = 2;
    r.class_labels = class_labels;
    r.class_label_count = 2;
    r.features = features;
    r.feature_dim = 3;
    check_line(&r,
        "{\"stream\":\"vtest\",\"frame\":0,\"pts_ms\":0.000,\"width\":5,\"height\":100,\"objects\":["
        "{\"label\":\"person\",\"class_id\":0,\"score\":0.9124,\"box\":[10.25,20.50,100.00,200.26],\"track_"
        "id\":7,\"mask\":{\"size\":[100,5],\"counts\":\"\\\\13Q30P8\"},\"classes\":["
        "{\"label\":\"dog\",\"class_id\":1,\"score\":0.7500},{\"class_id\":7,\"score\":0.2500}]},"
        "{\"label\":\"bi\\\"cycle\",\"class_id\":1,\"score\":1.0000,\"box\":[0.00,0.00,768.00,576.00],"
        "\"feature\":\"AACAPwAAAL8AAAAA\"}]}\n");
}

static void a_frame_with_classes_areas_and_a_feature(void **state)
{
    (void)state;
    fm_result r = plain();
    static const char *const class_labels[] = {"cat", "dog"};
    static const char *const surfaces[] = {"background", "bird", "boat", "cow"};
    const fm_class_score classes[2] = {{0, 0.98766f}, {1, 0.01f}};
    const int64_t area[4] = {300000, 442368 - 400000, 0, 100000};
    const fm_class_map map = {
        .width = 768, .height = 576, .area = area, .class_count = 4, .labels = surfaces};
    const float feature[1] = {1};
    r.label_count = 0; // no detector
    r.classes = classes;
    r.class_count = 2;
    r.class_labels = class_labels;
    r.class_label_count = 2;
    r.class_map = &map;
    r.frame_feature = feature;
    r.frame_feature_dim = 1;
    check_line(&r,
        "{\"stream\":\"vtest\",\"frame\":0,\"pts_ms\":0.000,\"width\":768,\"height\":576,\"classes\":["
        "{\"label\":\"cat\",\"class_id\":0,\"score\":0.9877},{\"label\":\"dog\",\"class_id\":1,\"score\":0."
        "0100}],"
        "\"semantic\":[{\"label\":\"background\",\"class_id\":0,\"area\":0.678168},"
        "{\"label\":\"cow\",\"class_id\":3,\"area\":0.226056},{\"label\":\"bird\",\"class_id\":1,\"area\":0."
        "095775}],"
        "\"feature\":\"AACAPw==\"}\n");
}

static void the_locale_plays_no_part(void **state)
{
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8"};
    bool comma = false;
    for (size_t i = 0; i < 4 && !comma; i++)
        comma = setlocale(LC_ALL, names[i]) && strcmp(localeconv()->decimal_point, ",") == 0;
    if (!comma) {
        print_message("no locale with a decimal comma on this machine\n");
        skip();
    }
    a_frame_with_objects_tracks_and_time(NULL);
    setlocale(LC_ALL, "C");
}

static void hostile_stream_names_are_escaped(void **state)
{
    (void)state;
    fm_result r = plain();
    r.stream = "a\"b\\c\n\x01\x7f\tgr\xc3\xbc\xc3\x9f \xff\xfe";
    fm_str s;
    fm__str_init(&s, FM_TAG_SINKS);
    fm__jsonl_format(&s, &r);
    assert_non_null(strstr(s.data, "\"a\\\"b\\\\c\\n\\u0001"));
    assert_non_null(strstr(s.data, "gr\xc3\xbc\xc3\x9f \xef\xbf\xbd\xef\xbf\xbd\""));
    assert_ptr_equal(strchr(s.data, '\n'), s.data + s.len - 1);
    for (size_t i = 0; i + 1 < s.len; i++)
        assert_true((unsigned char)s.data[i] >= 0x20);
    fm__str_done(&s);
}

static void a_failed_frame_says_why(void **state)
{
    (void)state;
    fm_result r = plain();
    r.error = "inference failed: \"x\"";
    check_line(&r,
        "{\"stream\":\"vtest\",\"frame\":0,\"pts_ms\":0.000,\"width\":768,\"height\":576,\"objects\":[],"
        "\"error\":\"inference failed: \\\"x\\\"\"}\n");
}

static void keys_that_do_not_apply_are_left_out(void **state)
{
    (void)state;
    fm_result r = plain();
    fm_det odd = {.box = {NAN, 0, INFINITY, 1}, .score = NAN, .class_id = 99};
    r.pts_ns = FM_PTS_NONE;
    r.labels = NULL;
    r.label_count = 0;
    check_line(&r, "{\"stream\":\"vtest\",\"frame\":0,\"width\":768,\"height\":576}\n");
    r.dets = &odd;
    r.det_count = 1;
    check_line(&r, "{\"stream\":\"vtest\",\"frame\":0,\"width\":768,\"height\":576,\"objects\":["
                   "{\"class_id\":99,\"score\":0.0000,\"box\":[0.00,0.00,0.00,1.00]}]}\n");
}

/** A new folder under TMPDIR and a path in it. */
static void temp_path(char *dir, char *path, const char *name)
{
    const char *base = getenv("TMPDIR");
    snprintf(dir, 256, "%s/fm-jsonl-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(dir));
    snprintf(path, 512, "%s/%s", dir, name);
}

static char *slurp(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *text = calloc(1, 1 << 20);
    *len = fread(text, 1, (1 << 20) - 1, f);
    fclose(f);
    return text;
}

static fm_sink *open_file(const char *path)
{
    fm_error err;
    fm_sink *s = NULL;
    if (fm__sink_jsonl_file(path, &s, &err) != FM_OK)
        fail_msg("%s", err.msg);
    assert_false(s->cls->wants_pixels);
    return s;
}

static void a_file_is_made_new_and_holds_every_line(void **state)
{
    (void)state;
    char dir[256], path[512];
    size_t len;
    temp_path(dir, path, "a.jsonl");
    FILE *old = fopen(path, "w");
    for (int i = 0; i < 1000; i++)
        fputs("old\n", old);
    fclose(old);
    fm_sink *s = open_file(path);
    fm_result r = plain();
    for (r.frame = 0; r.frame < 3; r.frame++)
        assert_int_equal(s->cls->write(s, &r, NULL, NULL), FM_OK);
    assert_int_equal(s->cls->close(s, NULL), FM_OK);
    char *text = slurp(path, &len);
    assert_null(strstr(text, "old"));
    int lines = 0;
    for (char *p = text; (p = strchr(p, '\n')); p++)
        lines++;
    assert_int_equal(lines, 3);
    assert_int_equal(text[len - 1], '\n');
    free(text);
    unlink(path);
    rmdir(dir);
}

static void a_link_is_not_followed(void **state)
{
    (void)state;
    char dir[256], path[512], target[512];
    temp_path(dir, path, "a.jsonl");
    snprintf(target, sizeof target, "%s/victim", dir);
    assert_int_equal(symlink(target, path), 0);
    fm_sink *s = NULL;
    fm_error err;
    assert_int_equal(fm__sink_jsonl_file(path, &s, &err), FM_IO);
    assert_non_null(strstr(err.msg, path));
    assert_non_null(strstr(err.msg, "symbolic link"));
    assert_null(s);
    assert_int_equal(access(target, F_OK), -1);
    unlink(path);
    rmdir(dir);
}

static void a_missing_folder_is_named(void **state)
{
    (void)state;
    fm_sink *s = NULL;
    fm_error err;
    assert_int_equal(fm__sink_jsonl_file("/nonexistent-folder/a.jsonl", &s, &err), FM_NOTFOUND);
    assert_non_null(strstr(err.msg, "/nonexistent-folder/a.jsonl"));
    assert_null(s);
}

static void a_full_disk_is_said_with_the_file(void **state)
{
    (void)state;
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        skip();
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    fm_sink *s = NULL;
    fm_error err;
    fm_result r = plain();
    assert_int_equal(fm__sink_jsonl_fd(fd, &lock, "standard output", &s, &err), FM_OK);
    assert_int_equal(s->cls->write(s, &r, NULL, &err), FM_IO);
    assert_int_equal(err.native, ENOSPC);
    assert_non_null(strstr(err.msg, "standard output"));
    assert_non_null(strstr(err.msg, "disk is full"));
    assert_int_equal(pthread_mutex_trylock(&lock), 0); // not left locked
    pthread_mutex_unlock(&lock);
    assert_int_equal(s->cls->close(s, &err), FM_OK);
    assert_int_equal(fcntl(fd, F_GETFD) >= 0, 1); // not its to close
    close(fd);
}

/** Child: writes under a file size limit that ends in the middle of a line. Exit code 0 when all is as it
 * should be. */
static int write_under_limit(const char *path, bool by_fd)
{
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {1000, 1000};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 10;
    fm_sink *s = NULL;
    fm_error err = {0};
    int fd = by_fd ? open(path, O_WRONLY | O_CREAT, 0600) : -1;
    fm_status status =
        by_fd ? fm__sink_jsonl_fd(fd, NULL, path, &s, &err) : fm__sink_jsonl_file(path, &s, &err);
    fm_result r = plain();
    while (status == FM_OK && r.frame < 100) {
        status = s->cls->write(s, &r, NULL, &err);
        r.frame++;
    }
    if (status != FM_IO || !strstr(err.msg, path) || !strstr(err.msg, "limit"))
        return 11;
    return s->cls->close(s, &err) == FM_OK ? 0 : 12;
}

static void check_whole_lines(const char *path)
{
    size_t len;
    char *text = slurp(path, &len);
    // 91 bytes a line up to frame 9, 92 after: ten and one more fit into 1000, not twelve
    assert_true(len > 800 && len < 1000);
    assert_int_equal(text[len - 1], '\n');
    assert_int_equal(strncmp(strrchr(text, '{'), "{\"stream\":\"vtest\"", 17), 0);
    free(text);
}

static void a_write_that_ends_half_way_leaves_whole_lines(void **state)
{
    (void)state;
    for (int by_fd = 0; by_fd < 2; by_fd++) {
        char dir[256], path[512];
        temp_path(dir, path, "limited.jsonl");
        pid_t pid = fork();
        if (pid == 0)
            _exit(write_under_limit(path, by_fd));
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        check_whole_lines(path);
        unlink(path);
        rmdir(dir);
    }
}

static void a_reader_that_left_is_said(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    int ends[2];
    fm_sink *s = NULL;
    fm_error err;
    fm_result r = plain();
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    assert_int_equal(fm__sink_jsonl_fd(ends[1], NULL, "standard output", &s, &err), FM_OK);
    assert_int_equal(s->cls->write(s, &r, NULL, &err), FM_IO);
    assert_non_null(strstr(err.msg, "reader has gone"));
    assert_int_equal(s->cls->close(s, &err), FM_OK);
    close(ends[1]);
}

static void a_slow_reader_of_a_nonblocking_pipe_gets_every_line(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    pid_t pid = fork();
    if (pid == 0) {
        fm_sink *s = NULL;
        fm_result r = plain();
        close(ends[0]);
        if (fm__sink_jsonl_fd(ends[1], NULL, "pipe", &s, NULL) != FM_OK)
            _exit(1);
        for (r.frame = 0; r.frame < 5000; r.frame++)
            if (s->cls->write(s, &r, NULL, NULL) != FM_OK)
                _exit(2);
        _exit(s->cls->close(s, NULL) == FM_OK ? 0 : 3);
    }
    close(ends[1]);
    fcntl(ends[0], F_SETFL, 0);
    FILE *f = fdopen(ends[0], "r");
    char line[512], want[64];
    int n = 0;
    for (; fgets(line, sizeof line, f); n++) {
        snprintf(want, sizeof want, "{\"stream\":\"vtest\",\"frame\":%d,", n);
        assert_int_equal(strncmp(line, want, strlen(want)), 0);
    }
    fclose(f);
    int status;
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(n, 5000);
}

static void the_steady_state_allocates_nothing(void **state)
{
    (void)state;
    int fd = open("/dev/null", O_WRONLY);
    fm_sink *s = NULL;
    fm_result r = plain();
    fm_det many[60];
    for (size_t i = 0; i < 60; i++)
        many[i] = two[i % 2];
    assert_int_equal(fm__sink_jsonl_fd(fd, NULL, "null", &s, NULL), FM_OK);
    uint64_t before = fm__alloc_count();
    for (r.frame = 0; r.frame < 200; r.frame++) {
        r.dets = many;
        r.det_count = r.frame % 61;
        assert_int_equal(s->cls->write(s, &r, NULL, NULL), FM_OK);
    }
    assert_int_equal(fm__alloc_count() - before, 0);
    s->cls->close(s, NULL);
    close(fd);
}

static void running_out_of_memory_is_reported_and_leaks_nothing(void **state)
{
    (void)state;
    char dir[256], path[512];
    temp_path(dir, path, "a.jsonl");
    int n = 1;
    for (;; n++) {
        fm_sink *s = NULL;
        fm_error err = {0};
        fm__alloc_fail_at((uint64_t)n, false);
        fm_status status = fm__sink_jsonl_file(path, &s, &err);
        fm__alloc_fail_at(0, false);
        if (status == FM_OK) {
            assert_int_equal(s->cls->close(s, NULL), FM_OK);
            break;
        }
        assert_int_equal(status, FM_NOMEM);
        assert_null(s);
    }
    assert_true(n > 1);
    unlink(path);
    rmdir(dir);
}

static void count_result(const fm_result *result, void *opaque)
{
    assert_string_equal(result->stream, "vtest");
    ++*(int *)opaque;
}

static void the_callback_sees_every_result(void **state)
{
    (void)state;
    int seen = 0;
    fm_sink *s = NULL;
    fm_result r = plain();
    assert_int_equal(fm__sink_callback(count_result, &seen, false, &s, NULL), FM_OK);
    assert_false(s->cls->wants_pixels);
    for (int i = 0; i < 3; i++)
        assert_int_equal(s->cls->write(s, &r, NULL, NULL), FM_OK);
    assert_int_equal(s->cls->close(s, NULL), FM_OK);
    assert_int_equal(seen, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_picture_names_its_file),
        cmocka_unit_test(a_frame_without_objects),
        cmocka_unit_test(a_frame_with_objects_tracks_and_time),
        cmocka_unit_test(objects_with_masks_classes_and_features),
        cmocka_unit_test(a_frame_with_classes_areas_and_a_feature),
        cmocka_unit_test(the_locale_plays_no_part),
        cmocka_unit_test(hostile_stream_names_are_escaped),
        cmocka_unit_test(a_failed_frame_says_why),
        cmocka_unit_test(keys_that_do_not_apply_are_left_out),
        cmocka_unit_test(a_file_is_made_new_and_holds_every_line),
        cmocka_unit_test(a_link_is_not_followed),
        cmocka_unit_test(a_missing_folder_is_named),
        cmocka_unit_test(a_full_disk_is_said_with_the_file),
        cmocka_unit_test(a_write_that_ends_half_way_leaves_whole_lines),
        cmocka_unit_test(a_reader_that_left_is_said),
        cmocka_unit_test(a_slow_reader_of_a_nonblocking_pipe_gets_every_line),
        cmocka_unit_test(the_steady_state_allocates_nothing),
        cmocka_unit_test(running_out_of_memory_is_reported_and_leaks_nothing),
        cmocka_unit_test(the_callback_sees_every_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
