// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Annotated video, read back through our own decoder: lines where the boxes are and in their class's colour,
// labels inside the frame, everything else as it was.

#include "base/alloc.h"
#include "media/decode.h"
#include "ops/draw.h"
#include "sinks/sinks.h"
#include "sinks/text.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const labels[] = {
    "person", "a label that is far too long for a small frame and has to be cut", "w\xc3\xa4gen"};

typedef struct fixture {
    char dir[256], path[512];
    fm_frame_pool *pool;
} fixture;

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    const char *base = getenv("TMPDIR");
    snprintf(f->dir, sizeof f->dir, "%s/fm-annotate-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(f->dir) || fm__frame_pool_new(&f->pool, NULL) != FM_OK)
        return -1;
    snprintf(f->path, sizeof f->path, "%s/out.mp4", f->dir);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    fm__frame_pool_free(&f->pool);
    unlink(f->path);
    rmdir(f->dir);
    free(f);
    return 0;
}

/** A soft gradient: every codec keeps it, and a stray line shows. */
static fm_frame *make_frame(fixture *f, fm_pixfmt format, int w, int h, uint64_t index)
{
    fm_frame *frame = NULL;
    assert_int_equal(fm__frame_pool_take_pixels(f->pool, format, w, h, &frame, NULL), FM_OK);
    for (int p = 0; p < fm_pixfmt_planes(format); p++) {
        int pw, ph, row = (int)fm__pixfmt_row_bytes(format, w, p);
        fm__pixfmt_plane_size(format, w, h, p, &pw, &ph);
        for (int y = 0; y < ph; y++)
            for (int x = 0; x < row; x++)
                fm__frame_plane(frame, p)[y * frame->view.stride[p] + x] =
                    (uint8_t)(p || format == FM_PIXFMT_NV12 ? (p ? 128 : 60 + y % 128)
                                                            : 60 + (x / 2 + y / 2) % 128);
    }
    frame->index = index;
    frame->pts_ns = (int64_t)index * 40000000;
    return frame;
}

static fm_result make_result(const fm_frame *frame, const fm_det *dets, size_t n)
{
    return (fm_result){.stream = "s",
        .frame = frame->index,
        .pts_ns = frame->pts_ns,
        .wall_ns = FM_PTS_NONE,
        .width = frame->view.width,
        .height = frame->view.height,
        .dets = dets,
        .det_count = n,
        .labels = labels,
        .label_count = 3};
}

static fm_sink *open_sink(const fixture *f)
{
    fm_sink *s = NULL;
    fm_error err;
    fm_annotate_opts opts = {.path = f->path, .fps = 25, .threads = 1};
    if (fm__sink_annotate(&opts, &s, &err) != FM_OK)
        fail_msg("%s", err.msg);
    assert_true(s->cls->wants_pixels);
    return s;
}

static void write_frame(fm_sink *s, fm_frame *frame, const fm_det *dets, size_t n)
{
    fm_error err = {0};
    fm_result r = make_result(frame, dets, n);
    if (s->cls->write(s, &r, frame, &err) != FM_OK)
        fail_msg("%s", err.msg);
    fm_frame_unref(&frame);
}

static void close_sink(fm_sink *s)
{
    fm_error err = {0};
    if (s->cls->close(s, &err) != FM_OK)
        fail_msg("%s", err.msg);
}

/** The first frame of the file; *count frames in all. */
static fm_frame *read_back(const fixture *f, int *count)
{
    fm_decoder *d = NULL;
    fm_frame *first = NULL, *frame = NULL;
    fm_error err = {0};
    fm_decoder_opts opts = {.url = f->path, .kind = FM_INPUT_FILE, .threads = 1, .max_pixels = 1 << 26};
    if (fm__decoder_open(&opts, &d, &err) != FM_OK)
        fail_msg("%s", err.msg);
    for (*count = 0; fm__decoder_read(d, &frame, &err) == FM_OK; ++*count) {
        if (!first)
            first = fm_frame_ref(frame);
        fm_frame_unref(&frame);
    }
    fm__decoder_close(&d);
    assert_non_null(first);
    assert_int_equal(first->view.format, FM_PIXFMT_YUV420P);
    return first;
}

static void read_all(const fixture *f, fm_frame **frames, int n)
{
    fm_decoder *d = NULL;
    fm_decoder_opts opts = {.url = f->path, .kind = FM_INPUT_FILE, .threads = 1, .max_pixels = 1 << 26};
    assert_int_equal(fm__decoder_open(&opts, &d, NULL), FM_OK);
    for (int i = 0; i < n; i++)
        assert_int_equal(fm__decoder_read(d, &frames[i], NULL), FM_OK);
    fm__decoder_close(&d);
}

static fm_yuv pixel(const fm_frame *f, int x, int y)
{
    const fm_frame_view *v = &f->view;
    return (fm_yuv){v->plane[0][y * v->stride[0] + x], v->plane[1][y / 2 * v->stride[1] + x / 2],
        v->plane[2][y / 2 * v->stride[2] + x / 2]};
}

static bool looks_like(fm_yuv a, fm_yuv b, int tolerance)
{
    return abs(a.y - b.y) <= tolerance && abs(a.u - b.u) <= tolerance && abs(a.v - b.v) <= tolerance;
}

/** Peak signal to noise over luma pixels at least `far` away from the box and outside the rows of its label.
 */
static double psnr_far(const fm_frame *a, const fm_frame *b, fm_box box, int far)
{
    double sum = 0;
    long n = 0;
    for (int y = 0; y < a->view.height; y++)
        for (int x = 0; x < a->view.width; x++) {
            if (x > box.x0 - far && x < box.x1 + 2 * far && y > box.y0 - far && y < box.y1 + far)
                continue;
            double d = (double)pixel(a, x, y).y - pixel(b, x, y).y;
            sum += d * d;
            n++;
        }
    assert_true(n > 1000);
    return sum == 0 ? 99 : 10 * log10(255.0 * 255.0 * (double)n / sum);
}

static void check_size(fixture *f, fm_pixfmt format, int w, int h)
{
    fm_det det = {.class_id = 0, .score = 0.91f};
    det.box = (fm_box){(float)(w / 4), (float)(h / 3), (float)(w / 4 + w / 5), (float)(h / 3 + h / 3)};
    fm_sink *s = open_sink(f);
    fm_frame *source = make_frame(f, format, w, h, 0);
    write_frame(s, fm_frame_ref(source), &det, 1);
    for (uint64_t i = 1; i < 3; i++)
        write_frame(s, make_frame(f, format, w, h, i), &det, 1);
    close_sink(s);

    int count;
    fm_frame *got = read_back(f, &count);
    assert_int_equal(count, 3);
    assert_int_equal(got->view.width, w);
    assert_int_equal(got->view.height, h);
    fm_yuv want = fm__rgb_to_yuv(fm__class_color(0), got->view.matrix, got->view.range);
    int hits = 0, tries = 0;
    for (int y = (int)det.box.y0 + h / 12; y < (int)det.box.y1 - 4; y += 3, tries++)
        hits += looks_like(pixel(got, (int)det.box.x0, y), want, 24);
    for (int x = (int)det.box.x0 + 4; x < (int)det.box.x1 - 4; x += 3, tries++)
        hits += looks_like(pixel(got, x, (int)det.box.y1 - 1), want, 24);
    if (hits < tries * 9 / 10)
        fail_msg("%s %dx%d: %d of %d pixels along the box have its colour", fm_pixfmt_name(format), w, h,
            hits, tries);
    if (format == FM_PIXFMT_YUV420P) {
        double db = psnr_far(got, source, det.box, h / 6);
        if (db < 35)
            fail_msg("%dx%d: %.1f dB far from the box", w, h, db);
    }
    fm_frame_unref(&got);
    fm_frame_unref(&source);
}

static void boxes_are_drawn_in_their_colour_and_the_rest_stays(void **state)
{
    check_size(*state, FM_PIXFMT_YUV420P, 320, 240);
    check_size(*state, FM_PIXFMT_YUV420P, 1280, 720);
    check_size(*state, FM_PIXFMT_YUV420P, 1920, 1080);
}

static void every_pixel_format_can_be_annotated(void **state)
{
    for (int format = FM_PIXFMT_NONE + 1; format <= FM_PIXFMT_RGB24; format++)
        check_size(*state, (fm_pixfmt)format, 320, 240);
}

static void the_source_frame_is_never_written(void **state)
{
    fixture *f = *state;
    fm_det det = {.box = {10, 10, 100, 100}, .score = 1};
    fm_sink *s = open_sink(f);
    fm_frame *frame = make_frame(f, FM_PIXFMT_YUV420P, 160, 120, 0);
    fm_frame *twin = make_frame(f, FM_PIXFMT_YUV420P, 160, 120, 0);
    write_frame(s, fm_frame_ref(frame), &det, 1);
    close_sink(s);
    for (int y = 0; y < 120; y++)
        assert_memory_equal(frame->view.plane[0] + y * frame->view.stride[0],
            twin->view.plane[0] + y * twin->view.stride[0], 160);
    fm_frame_unref(&frame);
    fm_frame_unref(&twin);
}

static void hostile_boxes_and_labels_are_harmless(void **state)
{
    fixture *f = *state;
    const fm_det dets[] = {
        {.box = {NAN, 0, 1, 1}, .score = 1},
        {.box = {-1e30f, -1e30f, 1e30f, 1e30f}, .score = 1, .class_id = 1},
        {.box = {60, 30, 20, 10}, .score = 1},
        {.box = {-50, -50, 3, 3}, .score = 1, .class_id = 2, .track_id = INT64_MAX},
        {.box = {62, 46, 64, 48}, .score = NAN, .class_id = 1},
        {.box = {1, 1, 63, 47}, .score = -3, .class_id = 2000000000},
        {.box = {1, 1, 63, 47}, .score = 1e30f, .class_id = -5},
    };
    fm_sink *s = open_sink(f);
    for (uint64_t i = 0; i < 3; i++)
        write_frame(s, make_frame(f, FM_PIXFMT_YUV420P, 64, 48, i), dets, sizeof dets / sizeof dets[0]);
    write_frame(s, make_frame(f, FM_PIXFMT_YUV420P, 6, 4, 3), dets, sizeof dets / sizeof dets[0]);
    close_sink(s);
    int count;
    fm_frame *got = read_back(f, &count);
    assert_int_equal(count, 4);
    fm_frame_unref(&got);
}

static void the_label_lies_inside_the_box_at_the_upper_edge(void **state)
{
    fixture *f = *state;
    fm_det det = {.box = {40, 0, 300, 200}, .score = 0.5f};
    fm_sink *s = open_sink(f);
    write_frame(s, make_frame(f, FM_PIXFMT_YUV420P, 320, 240, 0), &det, 1);
    close_sink(s);
    int count;
    fm_frame *got = read_back(f, &count);
    fm_yuv plate = fm__rgb_to_yuv(fm__class_color(0), got->view.matrix, got->view.range);
    int coloured = 0;
    for (int x = 42; x < 90; x++)
        for (int y = 0; y < 12; y++)
            coloured += looks_like(pixel(got, x, y), plate, 40);
    assert_true(coloured > 48 * 12 / 3); // plate behind the letters
    fm_frame_unref(&got);
}

static void an_old_video_does_not_outlive_a_stream_without_frames(void **state)
{
    fixture *f = *state;
    FILE *old = fopen(f->path, "w");
    fputs("old", old);
    fclose(old);
    close_sink(open_sink(f));
    assert_int_equal(access(f->path, F_OK), -1);
}

static void tracked_objects_have_their_own_colour_and_a_trail(void **state)
{
    fixture *f = *state;
    fm_sink *s = open_sink(f);
    for (uint64_t i = 0; i < 20; i++) {
        float x = 40 + 8 * (float)i;
        fm_det det = {.box = {x, 60, x + 40, 160}, .score = 0.9f, .track_id = 3};
        write_frame(s, make_frame(f, FM_PIXFMT_YUV420P, 320, 240, i), &det, 1);
    }
    // Nothing is detected any more: the trail is still there.
    write_frame(s, make_frame(f, FM_PIXFMT_YUV420P, 320, 240, 20), NULL, 0);
    close_sink(s);
    fm_frame *got[21] = {0};
    read_all(f, got, 21);
    fm_yuv color = fm__rgb_to_yuv(fm__track_color(3), got[19]->view.matrix, got[19]->view.range);
    int box = 0, trail = 0, after = 0, early = 0;
    for (int y = 70; y < 150; y++)
        box += looks_like(pixel(got[19], 192, y), color, 24);
    for (int x = 140; x < 180; x++) { // the last positions, left of the box
        trail +=
            looks_like(pixel(got[19], x, 159), color, 50) || looks_like(pixel(got[19], x, 160), color, 50);
        after +=
            looks_like(pixel(got[20], x, 159), color, 60) || looks_like(pixel(got[20], x, 160), color, 60);
        early += looks_like(pixel(got[1], x, 160), color, 50);
    }
    if (box < 72 || trail < 32 || after < 32 || early != 0)
        fail_msg("box %d of 80, trail %d of 40, after %d of 40, early %d", box, trail, after, early);
    for (int i = 0; i < 21; i++)
        fm_frame_unref(&got[i]);
}

static void the_steady_state_allocates_nothing_of_ours(void **state)
{
    fixture *f = *state;
    fm_det det = {.box = {10, 10, 100, 100}, .score = 1, .track_id = 5};
    fm_sink *s = open_sink(f);
    uint64_t before = 0;
    for (uint64_t i = 0; i < 60; i++) {
        if (i == 40) // by then the encoder holds as many frames as it ever will
            before = fm__alloc_count();
        write_frame(s, make_frame(f, FM_PIXFMT_YUV420P, 160, 120, i), &det, 1);
    }
    assert_int_equal(fm__alloc_count() - before, 0);
    close_sink(s);
}

static void masks_and_class_maps_are_tinted(void **state)
{
    fixture *f = *state;
    fm_sink *s = open_sink(f);
    fm_det det = {.box = {100, 60, 260, 200}, .score = 0.9f, .class_id = 0};
    static uint8_t bits[140 * 24], ids[240][320];
    for (int y = 30; y < 100; y++) // the middle of the box
        memset(bits + y * 24 + 5, 255, 10);
    for (int y = 0; y < 240; y++)
        memset(ids[y], y < 40 ? 1 : 0, 320);
    const fm_mask mask = {.x = 100, .y = 60, .width = 160, .height = 140, .stride = 24, .bits = bits};
    static const char *const surfaces[] = {"background", "sky"};
    const fm_class_map map = {
        .width = 320, .height = 240, .stride = 320, .ids = ids[0], .class_count = 2, .labels = surfaces};
    uint64_t allocations = 0;
    for (uint64_t i = 0; i < 60; i++) {
        fm_error err = {0};
        fm_frame *frame = make_frame(f, FM_PIXFMT_YUV420P, 320, 240, i);
        fm_result r = make_result(frame, &det, i == 0 ? 0 : 1); // the first frame has the map alone
        r.masks = i == 0 ? NULL : &mask;
        r.class_map = &map;
        allocations = i == 40 ? fm__alloc_count() : allocations;
        if (s->cls->write(s, &r, frame, &err) != FM_OK)
            fail_msg("%s", err.msg);
        fm_frame_unref(&frame);
    }
    assert_int_equal(fm__alloc_count() - allocations, 0);
    close_sink(s);
    fm_frame *got[2] = {0}, *plain = make_frame(f, FM_PIXFMT_YUV420P, 320, 240, 0);
    read_all(f, got, 2);
    const fm_frame_view *view = &got[0]->view;
    fm_yuv object = fm__rgb_to_yuv(fm__class_color(0), view->matrix, view->range);
    fm_yuv sky = fm__rgb_to_yuv(fm__class_color(1), view->matrix, view->range);
    for (int i = 0; i < 2; i++) { // 110 of 255 of the sky's colour, nothing of the background's
        fm_yuv was = pixel(plain, 20, 20), is = pixel(got[i], 20, 20);
        assert_true(abs(is.u - (was.u + (sky.u - was.u) * 110 / 255)) < 16);
        assert_true(abs(is.v - (was.v + (sky.v - was.v) * 110 / 255)) < 16);
        assert_true(looks_like(pixel(got[i], 300, 220), pixel(plain, 300, 220), 12));
    }
    // inside of the mask a tint, along its edge the colour itself, between mask and box nothing
    fm_yuv was = pixel(plain, 180, 125), is = pixel(got[1], 180, 125);
    assert_true(abs(is.u - (was.u + (object.u - was.u) * 90 / 255)) < 16);
    assert_true(looks_like(pixel(got[1], 141, 125), object, 40));
    assert_true(looks_like(pixel(got[1], 120, 180), pixel(plain, 120, 180), 16));
    assert_true(looks_like(pixel(got[0], 180, 125), was, 12));
    fm_frame_unref(&plain);
    fm_frame_unref(&got[0]);
    fm_frame_unref(&got[1]);
}

static void text_counts_characters_not_bytes(void **state)
{
    (void)state;
    fm_text t = {0};
    assert_int_equal(fm__text_size(&t, 12, NULL), FM_OK);
    assert_int_equal(fm__text_width(&t, ""), 0);
    assert_int_equal(fm__text_width(&t, "w\xc3\xa4g"), fm__text_width(&t, "w?g"));
    assert_int_equal(fm__text_width(&t, "\xe6\x97\xa5\xe6\x9c\xac"), fm__text_width(&t, "??"));
    uint64_t before = fm__alloc_count();
    assert_int_equal(fm__text_size(&t, 12, NULL), FM_OK); // rendered once a size
    assert_int_equal(fm__alloc_count() - before, 0);
    fm__text_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            boxes_are_drawn_in_their_colour_and_the_rest_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_pixel_format_can_be_annotated, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_source_frame_is_never_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hostile_boxes_and_labels_are_harmless, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_label_lies_inside_the_box_at_the_upper_edge, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            an_old_video_does_not_outlive_a_stream_without_frames, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tracked_objects_have_their_own_colour_and_a_trail, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_steady_state_allocates_nothing_of_ours, set_up, tear_down),
        cmocka_unit_test_setup_teardown(masks_and_class_maps_are_tinted, set_up, tear_down),
        cmocka_unit_test(text_counts_characters_not_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
