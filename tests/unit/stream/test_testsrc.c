// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The test source against its own truth: pixels inside the boxes have the class colour, those outside are
// grey, boxes move and stay apart, and a frame depends on nothing but its number. Conversion to RGB is the
// textbook one.

#include "../media/clip.h"

#include "base/alloc.h"
#include "stream/stream.h"
#include "stream/testsrc.h"

static fm_stream *open_stream(const char *url)
{
    fm_error err;
    fm_stream *s = NULL;
    fm_source_opts opts = {.url = url};
    assert_status(FM_OK, fm__stream_open(&opts, &s, &err), &err);
    return s;
}

static fm_testsrc parse(const char *url)
{
    fm_error err;
    fm_testsrc src;
    assert_status(FM_OK, fm__testsrc_parse(url, &src, &err), &err);
    return src;
}

static int clamp(double v)
{
    return v < 0 ? 0 : v > 255 ? 255 : (int)(v + 0.5);
}

static void rgb_at(const fm_frame_view *v, int x, int y, int rgb[3])
{
    if (v->format == FM_PIXFMT_RGB24) {
        for (int c = 0; c < 3; c++) {
            rgb[c] = v->plane[0][(ptrdiff_t)y * v->stride[0] + 3 * x + c];
        }
        return;
    }
    double luma = 1.164384 * (v->plane[0][(ptrdiff_t)y * v->stride[0] + x] - 16);
    const uint8_t *row = v->plane[1] + (ptrdiff_t)(y / 2) * v->stride[1];
    double u = v->format == FM_PIXFMT_NV12 ? row[x / 2 * 2] : row[x / 2];
    double w = v->format == FM_PIXFMT_NV12 ? row[x / 2 * 2 + 1]
                                           : v->plane[2][(ptrdiff_t)(y / 2) * v->stride[2] + x / 2];
    rgb[0] = clamp(luma + 1.596027 * (w - 128)); // ITU-R BT.601
    rgb[1] = clamp(luma - 0.391762 * (u - 128) - 0.812968 * (w - 128));
    rgb[2] = clamp(luma + 2.017232 * (u - 128));
}

static const int colours[6][3] = {
    {255, 0, 0}, {0, 255, 0}, {0, 0, 255}, {255, 255, 0}, {255, 0, 255}, {0, 255, 255}};

static const fm_det *det_at(const fm_det *dets, size_t n, int x, int y)
{
    for (size_t i = 0; i < n; i++) {
        const fm_box *b = &dets[i].box;
        if ((float)x >= b->x0 && (float)x < b->x1 && (float)y >= b->y0 && (float)y < b->y1) {
            return &dets[i];
        }
    }
    return NULL;
}

static void check_frame(const fm_testsrc *src, const fm_frame *f)
{
    fm_det dets[64];
    size_t n = fm__testsrc_truth(src, fm_frame_index(f), dets);
    const fm_frame_view *v = fm_frame_get_view(f);
    for (int y = 0; y < v->height; y++) {
        for (int x = 0; x < v->width; x++) {
            int rgb[3];
            rgb_at(v, x, y, rgb);
            const fm_det *d = det_at(dets, n, x, y);
            bool grey = abs(rgb[0] - rgb[1]) <= 1 && abs(rgb[1] - rgb[2]) <= 1 && rgb[0] > 60 && rgb[0] < 200;
            bool right = d ? abs(rgb[0] - colours[d->class_id][0]) <= 3 &&
                                 abs(rgb[1] - colours[d->class_id][1]) <= 3 &&
                                 abs(rgb[2] - colours[d->class_id][2]) <= 3
                           : grey;
            if (!right) {
                fail_msg("frame %d at %d,%d: %d,%d,%d, class %d", (int)fm_frame_index(f), x, y, rgb[0],
                    rgb[1], rgb[2], d ? d->class_id : -1);
            }
        }
    }
}

static void pixels_match_the_truth_in_every_format(void **state)
{
    (void)state;
    static const char *const urls[] = {"testsrc:160x120@10,frames=4",
        "testsrc:161x121@10,frames=3,format=nv12,shapes=7", "testsrc:99x75@10,frames=3,format=rgb24,shapes=1",
        "testsrc:320x240,frames=2,shapes=64,noise=0", "testsrc:16x8,frames=2,shapes=2,noise=32,seed=9"};
    for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
        fm_testsrc src = parse(urls[i]);
        fm_stream *s = open_stream(urls[i]);
        assert_false(fm__stream_info(s)->live);
        fm_error err;
        fm_frame *f = NULL;
        uint64_t n = 0;
        fm_status st;
        while ((st = fm__stream_read(s, &f, &err)) == FM_OK) {
            assert_int_equal(fm_frame_get_view(f)->format, src.format);
            assert_int_equal(fm_frame_index(f), n++);
            check_frame(&src, f);
            fm_frame_unref(&f);
        }
        assert_int_equal(st, FM_EOF);
        assert_int_equal(n, src.frames);
        fm__stream_close(&s);
    }
}

static void boxes_move_stay_inside_and_never_overlap(void **state)
{
    (void)state;
    fm_testsrc src = parse("testsrc:640x360@25,shapes=12");
    fm_det dets[64], first[64];
    fm__testsrc_truth(&src, 0, first);
    bool moved[64] = {false};
    for (uint64_t index = 0; index < 3000; index += 7) {
        size_t n = fm__testsrc_truth(&src, index, dets);
        assert_int_equal(n, 12);
        for (size_t i = 0; i < n; i++) {
            const fm_box *b = &dets[i].box;
            assert_true(b->x0 >= 0 && b->y0 >= 0 && b->x1 <= 640 && b->y1 <= 360 && b->x1 - b->x0 >= 4);
            assert_int_equal((int)b->x0 % 2 + (int)b->y0 % 2 + (int)b->x1 % 2 + (int)b->y1 % 2, 0);
            assert_int_equal(dets[i].class_id, i % 6);
            assert_int_equal(dets[i].track_id, i + 1);
            moved[i] |= b->x0 != first[i].box.x0 || b->y0 != first[i].box.y0;
            for (size_t j = i + 1; j < n; j++) {
                const fm_box *o = &dets[j].box;
                assert_true(b->x1 <= o->x0 || o->x1 <= b->x0 || b->y1 <= o->y0 || o->y1 <= b->y0);
            }
        }
    }
    for (int i = 0; i < 12; i++) {
        assert_true(moved[i]);
    }
    // One frame on, at most 4 pixels: something a tracker can follow. Far on, still defined.
    fm__testsrc_truth(&src, 1, dets);
    for (int i = 0; i < 12; i++) {
        assert_true(abs((int)(dets[i].box.x0 - first[i].box.x0)) <= 4);
    }
    assert_int_equal(fm__testsrc_truth(&src, UINT64_MAX, dets), 12);
}

static void a_frame_is_a_function_of_its_number(void **state)
{
    (void)state;
    fm_error err;
    fm_frame *a = NULL, *b = NULL;
    fm_stream *s = open_stream("testsrc:64x48@25,seed=3"), *t = open_stream("testsrc:64x48@25,seed=3");
    for (int i = 0; i < 20; i++) {
        fm_frame_unref(&a);
        assert_status(FM_OK, fm__stream_read(s, &a, &err), &err); // its blocks are used again and again
    }
    fm_frame *held[20];
    for (int i = 0; i < 20; i++) {
        assert_status(FM_OK, fm__stream_read(t, &held[i], &err), &err); // all fresh blocks
    }
    b = held[19];
    const fm_frame_view *v = fm_frame_get_view(a), *w = fm_frame_get_view(b);
    for (int y = 0; y < 48; y++) {
        assert_memory_equal(v->plane[0] + y * v->stride[0], w->plane[0] + y * w->stride[0], 64);
    }
    // Noise moves between frames, and another seed is another picture.
    const fm_frame_view *u = fm_frame_get_view(held[18]);
    assert_memory_not_equal(u->plane[0], w->plane[0], 64);
    assert_int_equal(fm_frame_pts_ns(b), 760000000);
    fm_frame_unref(&a);
    for (int i = 0; i < 20; i++) {
        fm_frame_unref(&held[i]);
    }
    fm__stream_close(&s);
    fm__stream_close(&t);
}

static void allocates_nothing_once_it_runs(void **state)
{
    (void)state;
    fm_error err;
    fm_frame *f = NULL;
    fm_stream *s = open_stream("testsrc:320x240@25");
    uint64_t before = 0;
    for (int i = 0; i < 20; i++) {
        assert_status(FM_OK, fm__stream_read(s, &f, &err), &err);
        fm_frame_unref(&f);
        before = i == 2 ? fm__alloc_count() : before;
    }
    assert_int_equal(fm__alloc_count(), before);
    fm__stream_close(&s);
}

static void wrong_descriptions_are_errors(void **state)
{
    (void)state;
    static const char *const urls[] = {"testsrc:", "testsrc:640", "testsrc:0x480", "testsrc:640x-1",
        "testsrc:99999x10", "testsrc:640x480@0", "testsrc:640x480@x", "testsrc:640x480@nan",
        "testsrc:640x480,", "testsrc:640x480,frames", "testsrc:640x480,frames=-1",
        "testsrc:640x480,shapes=-1", "testsrc:640x480,shapes=65", "testsrc:640x480,noise=33",
        "testsrc:640x480,format=yuv444p", "testsrc:640x480,colour=red", "testsrc:16x16,shapes=64",
        "testsrc:1x1,shapes=1"};
    for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
        fm_error err;
        fm_testsrc src = {.width = -7};
        fm_status st = fm__testsrc_parse(urls[i], &src, &err);
        if (st != FM_INVAL || !strstr(err.msg, urls[i]) || src.width != -7) {
            fail_msg("'%s': got %s", urls[i], fm_status_name(st));
        }
    }
    fm_error err;
    fm_stream *s = NULL;
    fm_source_opts opts = {.url = "testsrc:640x480", .max_pixels = 640 * 480 - 1};
    assert_status(FM_DENIED, fm__stream_open(&opts, &s, &err), &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_match_the_truth_in_every_format),
        cmocka_unit_test(boxes_move_stay_inside_and_never_overlap),
        cmocka_unit_test(a_frame_is_a_function_of_its_number),
        cmocka_unit_test(allocates_nothing_once_it_runs),
        cmocka_unit_test(wrong_descriptions_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
