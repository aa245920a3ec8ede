// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Streams: what an INPUT is, what it is called, and reading from each kind.

#include "../media/clip.h"

#include "base/alloc.h"
#include "image/image.h"
#include "stream/source.h"

#include <fm_config.h>

static fm_stream *open_stream(const char *url, int64_t max_pixels)
{
    fm_error err;
    fm_stream *s = NULL;
    fm_source_opts opts = {.url = url, .max_pixels = max_pixels};
    assert_status(FM_OK, fm__stream_open(&opts, &s, &err), &err);
    return s;
}

static void put32(uint8_t *at, int v)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)((unsigned)v >> (8 * i));
    }
}

// A BMP of one grey; written by hand, so that these tests run without libvips too.
static void write_bmp(const char *path, int w, int h, uint8_t grey)
{
    static uint8_t data[54 + 4 * 64 * 64];
    int row = (w * 3 + 3) & ~3;
    memset(data, 0, 54);
    memset(data + 54, grey, (size_t)(row * h));
    memcpy(data, "BM", 2);
    put32(data + 2, 54 + row * h);
    put32(data + 10, 54);
    put32(data + 14, 40);
    put32(data + 18, w);
    put32(data + 22, h);
    data[26] = 1;
    data[28] = 24;
    write_file(path, data, (size_t)(54 + row * h));
}

typedef struct class_case {
    const char *url;
    fm_status status;
    fm_stream_kind kind;
    const char *says;
} class_case;

static void inputs_are_classified_without_opening(void **state)
{
    static const class_case cases[] = {
        {"rtsp://cam/1", FM_OK, FM_STREAM_URL, ""},
        {"RTSPS://u:p@cam:322/1", FM_OK, FM_STREAM_URL, ""},
        {"http://cam/x.mjpg", FM_OK, FM_STREAM_URL, ""},
        {"https://cam/x.mp4?y=1", FM_OK, FM_STREAM_URL, ""},
        {"v4l2:///dev/video0", FM_OK, FM_STREAM_DEVICE, ""},
        {"testsrc:640x480@25", FM_OK, FM_STREAM_TEST, ""},
        {"", FM_INVAL, 0, "is empty"},
        {"-", FM_INVAL, 0, "standard input"},
        {"concat:a.mp4|b.mp4", FM_DENIED, 0, "allowed: rtsp://"},
        {"subfile,,start,0,end,0,,:/etc/passwd", FM_NOTFOUND, 0,
            "subfile"}, // no scheme by the book: a file name
        {"file:///etc/passwd", FM_DENIED, 0, "'file:'"},
        {"pipe:0", FM_DENIED, 0, "'pipe:'"},
        {"data:text/plain,x", FM_DENIED, 0, "'data:'"},
        {"ftp://host/x.mp4", FM_DENIED, 0, "'ftp:'"},
        {"udp://0.0.0.0:1234", FM_DENIED, 0, "'udp:'"},
        {"http:file.mp4", FM_DENIED, 0, "'http:'"},
        {"hls+http://x/y", FM_DENIED, 0, "'hls+http:'"},
        {"crypto:x", FM_DENIED, 0, ""},
        {"lavfi:testsrc", FM_DENIED, 0, ""},
        {"v4l2:///etc/passwd", FM_INVAL, 0, "v4l2:///dev/video0"},
        {"v4l2:///dev/../etc/passwd", FM_INVAL, 0, ""},
        {"http://", FM_INVAL, 0, "no host"},
        {"rtsp://user:pw@/x", FM_INVAL, 0, "no host"},
        {"no/such/file.mp4", FM_NOTFOUND, 0, "no/such/file.mp4"},
        {"/dev/null", FM_INVAL, 0, "not a file or folder"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fm_error err = {.msg = ""};
        fm_stream_kind kind = FM_STREAM_VIDEO;
        fm_status st = fm__stream_classify(cases[i].url, &kind, &err);
        if (st != cases[i].status || (st == FM_OK && kind != cases[i].kind) ||
            !strstr(err.msg, cases[i].says)) {
            fail_msg("'%s': got %s, kind %d: %s", cases[i].url, fm_status_name(st), (int)kind, err.msg);
        }
    }
}

static void local_paths_are_classified_by_what_lies_there(void **state)
{
    char path[600];
    fm_stream_kind kind;
    fm_error err;
    assert_status(FM_OK, fm__stream_classify(*state, &kind, &err), &err);
    assert_int_equal(kind, FM_STREAM_FOLDER);
    write_file(in_folder(*state, "a.JPG", path, sizeof(path)), "x", 1);
    assert_status(FM_OK, fm__stream_classify(path, &kind, &err), &err);
    assert_int_equal(kind, FM_STREAM_PICTURE);
    write_file(in_folder(*state, "concat:b.mp4", path, sizeof(path)), "x", 1);
    assert_status(FM_OK, fm__stream_classify(path, &kind, &err), &err); // a path with a folder has no scheme
    assert_int_equal(kind, FM_STREAM_VIDEO);
}

static void names_follow_the_source_and_hold_no_secret(void **state)
{
    static const struct {
        const char *url, *name;
    } cases[] = {
        {"a/vtest.avi", "vtest"},
        {"vtest.avi", "vtest"},
        {"/x/archive.tar.gz", "archive.tar"},
        {"x/noending", "noending"},
        {"x/.hidden", "hidden"},
        {"x/a b\nc/../../etc;rm.mp4", "etc_rm"},
        {"x/\x1b[31mred.mp4", "31mred"},
        {"rtsp://cam.local/live/1", "cam.local_live_1"},
        {"rtsp://user:pass@cam.local:554/live?token=abc#f", "cam.local_live"},
        {"http://10.0.0.1:8080/", "10.0.0.1"},
        {"https://u@[fe80::1]:443/x", "fe80_1_x"},
        {"v4l2:///dev/video0", "video0"},
        {"testsrc:64x64@5,frames=3", "testsrc"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *name = fm__stream_name(cases[i].url);
        assert_string_equal(name, cases[i].name);
        fm__free(name);
    }
    char folder[600], with_slash[620];
    in_folder(*state, "my.pics", folder, sizeof(folder));
    assert_int_equal(mkdir(folder, 0700), 0);
    snprintf(with_slash, sizeof(with_slash), "%s/", folder);
    char *name = fm__stream_name(with_slash);
    assert_string_equal(name, "my.pics");
    fm__free(name);
}

static void numbers_in_names_sort_by_value(void **state)
{
    (void)state;
    static const char *const sorted[] = {"1.jpg", "2.jpg", "10.jpg", "010.png", "a1b2", "a1b10", "a01c", "b",
        "b1", "img99999999999999999999998", "img99999999999999999999999"};
    size_t n = sizeof(sorted) / sizeof(*sorted);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            int order = fm__natural_compare(sorted[i], sorted[j]);
            if ((order < 0) != (i < j) || (order == 0) != (i == j)) {
                fail_msg("'%s' against '%s': %d", sorted[i], sorted[j], order);
            }
        }
    }
}

static void count_line(fm_log_level level, const char *domain, const char *msg, void *opaque)
{
    (void)level;
    (void)domain;
    *(int *)opaque += strstr(msg, "left out") != NULL;
}

static void a_folder_gives_its_pictures_in_natural_order(void **state)
{
    char folder[600], path[700];
    fm_error err;
    in_folder(*state, "folder", folder, sizeof(folder));
    assert_int_equal(mkdir(folder, 0700), 0);
    write_bmp(in_folder(folder, "f10.bmp", path, sizeof(path)), 8, 4, 30);
    write_bmp(in_folder(folder, "f2.bmp", path, sizeof(path)), 4, 8, 20);
    write_bmp(in_folder(folder, "f1.BMP", path, sizeof(path)), 4, 4, 10);
    write_bmp(in_folder(folder, ".hidden.bmp", path, sizeof(path)), 4, 4, 99);
    write_file(in_folder(folder, "f3.bmp", path, sizeof(path)), "BM junk", 7); // cannot be read
    write_file(in_folder(folder, "notes.txt", path, sizeof(path)), "x", 1);
    assert_int_equal(mkdir(in_folder(folder, "f4.bmp", path, sizeof(path)), 0700), 0);
    assert_int_equal(symlink("f1.BMP", in_folder(folder, "f11.bmp", path, sizeof(path))), 0);
    assert_int_equal(symlink("gone.bmp", in_folder(folder, "f12.bmp", path, sizeof(path))), 0);

    char link[600];
    assert_int_equal(symlink(folder, in_folder(*state, "link", link, sizeof(link))), 0);
    int lines = 0;
    fm_log log = {count_line, FM_LOG_WARN, &lines};
    fm_stream *s = NULL;
    fm_source_opts opts = {.url = link, .log = &log};
    assert_status(FM_OK, fm__stream_open(&opts, &s, &err), &err);
    assert_int_equal(fm__stream_info(s)->kind, FM_STREAM_FOLDER);
    assert_int_equal(fm__stream_info(s)->frame_count, 5);
    assert_false(fm__stream_info(s)->live);
    static const int widths[] = {4, 4, 8, 4}, greys[] = {10, 20, 30, 10};
    for (int i = 0; i < 4; i++) {
        fm_frame *f = NULL;
        assert_status(FM_OK, fm__stream_read(s, &f, &err), &err);
        assert_int_equal(fm_frame_get_view(f)->width, widths[i]);
        assert_int_equal(fm_frame_get_view(f)->plane[0][0], greys[i]);
        assert_int_equal(fm_frame_index(f), i);
        assert_int_equal(fm_frame_pts_ns(f), i * 40000000LL);
        fm_frame_unref(&f);
    }
    fm_frame *f = NULL;
    assert_status(FM_EOF, fm__stream_read(s, &f, &err), &err);
    assert_non_null(strstr(err.msg, "1 of 5 pictures could not be read"));
    fm_stream_stats stats;
    fm__stream_stats(s, &stats);
    assert_int_equal(stats.skipped, 1);
    assert_int_equal(lines, 1);
    fm__stream_close(&s);
    assert_null(s);
}

static void a_folder_without_pictures_is_an_error(void **state)
{
    char folder[600], path[700];
    fm_error err;
    fm_stream *s = NULL;
    fm_frame *f = NULL;
    in_folder(*state, "empty", folder, sizeof(folder));
    assert_int_equal(mkdir(folder, 0700), 0);
    fm_source_opts opts = {.url = folder};
    assert_status(FM_NOTFOUND, fm__stream_open(&opts, &s, &err), &err);
    assert_non_null(strstr(err.msg, "no pictures in folder"));
    write_file(in_folder(folder, "a.bmp", path, sizeof(path)), "BM", 2);
    s = open_stream(folder, 0);
    assert_status(FM_FORMAT, fm__stream_read(s, &f, &err), &err);
    assert_non_null(strstr(err.msg, "none of the 1 pictures"));
    fm__stream_close(&s);
}

static void a_picture_is_one_frame_or_its_error(void **state)
{
    char path[600];
    fm_error err;
    fm_frame *f = NULL;
    write_bmp(in_folder(*state, "named_wrong.jpg", path, sizeof(path)), 5, 3, 77); // by content, not by name
    fm_stream *s = open_stream(path, 0);
    assert_status(FM_OK, fm__stream_read(s, &f, &err), &err);
    assert_int_equal(fm_frame_pts_ns(f), 0);
    assert_int_equal(fm_frame_wall_ns(f), FM_PTS_NONE);
    assert_int_equal(fm_frame_get_view(f)->plane[0][0], 77);
    fm_frame_unref(&f);
    assert_status(FM_EOF, fm__stream_read(s, &f, &err), &err);
    fm__stream_close(&s);

    s = open_stream(path, 14);
    assert_status(FM_DENIED, fm__stream_read(s, &f, &err), &err);
    fm__stream_close(&s);

    write_file(in_folder(*state, "bad.png", path, sizeof(path)), "\x89PNG\r\n\x1a\nxx", 10);
    s = open_stream(path, 0);
    assert_status(FM_HAVE_VIPS ? FM_FORMAT : FM_UNSUPPORTED, fm__stream_read(s, &f, &err), &err);
    fm__stream_close(&s);
}

static void a_video_passes_its_facts_and_counts_on(void **state)
{
    char path[600];
    fm_error err;
    fm_frame *f = NULL;
    const clip c = CLIP("matroska", "ffv1", AV_PIX_FMT_YUV420P10, 64, 48, 12, .fps = 10);
    clip_write(&c, in_folder(*state, "v.mkv", path, sizeof(path)));
    fm_stream *s = open_stream(path, 0);
    const fm_stream_info *info = fm__stream_info(s);
    assert_int_equal(info->width, 64);
    assert_true(info->fps > 9.9 && info->fps < 10.1);
    assert_int_equal(info->frame_count, 12);
    int n = 0;
    while (fm__stream_read(s, &f, &err) == FM_OK) {
        assert_int_equal(fm_frame_index(f), n);
        assert_int_equal(fm_frame_pts_ns(f), n++ * 100000000LL);
        fm_frame_unref(&f);
    }
    assert_int_equal(n, 12);
    fm_stream_stats stats;
    fm__stream_stats(s, &stats);
    assert_int_equal(stats.converted, 12);
    assert_int_equal(stats.skipped, 0);
    fm__stream_close(&s);
}

static void every_kind_stops_when_told(void **state)
{
    char path[600];
    const clip c = CLIP("avi", "mpeg4", AV_PIX_FMT_YUV420P, 64, 48, 5);
    clip_write(&c, in_folder(*state, "v.avi", path, sizeof(path)));
    char picture[600];
    write_bmp(in_folder(*state, "p.bmp", picture, sizeof(picture)), 5, 3, 1);
    const char *const urls[] = {path, picture, "testsrc:64x64"};
    for (int i = 0; i < 3; i++) {
        fm_error err;
        fm_frame *f = NULL;
        fm_stream *s = open_stream(urls[i], 0);
        fm__stream_interrupt(s);
        assert_status(FM_CANCELED, fm__stream_read(s, &f, &err), &err);
        assert_null(f);
        fm__stream_close(&s);
    }
}

static int set_up(void **state)
{
    fm_error err;
    *state = temp_folder();
    return fm__image_init(&err) == FM_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    fm__image_shutdown();
    remove_folder(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(inputs_are_classified_without_opening, set_up, tear_down),
        cmocka_unit_test_setup_teardown(local_paths_are_classified_by_what_lies_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_follow_the_source_and_hold_no_secret, set_up, tear_down),
        cmocka_unit_test(numbers_in_names_sort_by_value),
        cmocka_unit_test_setup_teardown(a_folder_gives_its_pictures_in_natural_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_without_pictures_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_picture_is_one_frame_or_its_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_video_passes_its_facts_and_counts_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_kind_stops_when_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
