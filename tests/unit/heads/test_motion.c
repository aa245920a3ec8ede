// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The motion detector on made scenes whose truth is known: noise, a moving rectangle, changes of light, odd
// sizes and formats; and its saved state.

#include "heads/motion.h"

#include "base/alloc.h"
#include "ops/nms.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { W = 320, H = 240, MAX_DETS = 64, WARM_UP = 30 };

typedef struct scene {
    uint8_t pixels[H][W];
    uint32_t rng;
} scene;

// A textured, noisy background: `gain` in percent, `offset` in grey levels.
static void draw_background(scene *s, int gain, int offset)
{
    for (int y = 0; y < H; y++) {
        for (int x = 0; x < W; x++) {
            s->rng = s->rng * 1664525u + 1013904223u;
            int base = 90 + 30 * ((x / 16 + y / 16) % 2) + x / 8;
            int v = base * gain / 100 + offset + (int)(s->rng >> 24) % 9 - 4;
            s->pixels[y][x] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
    }
}

static void draw_rectangle(scene *s, int x0, int y0, int w, int h, uint8_t value)
{
    for (int y = y0; y < y0 + h; y++)
        memset(&s->pixels[y][x0], value, (size_t)w);
}

static fm_frame_view view_of(scene *s)
{
    return (fm_frame_view){
        .plane = {s->pixels[0]}, .stride = {W}, .width = W, .height = H, .format = FM_PIXFMT_GRAY8};
}

static fm_motion *motion_new(fm_cpu_level level, int work_width)
{
    fm_motion *m = NULL;
    fm_error err = {0};
    fm_motion_opts opts = {.level = level, .seed = 42, .work_width = work_width};
    assert_int_equal(fm__motion_new(&opts, &m, &err), FM_OK);
    return m;
}

static size_t feed(fm_motion *m, scene *s, fm_det *dets)
{
    fm_frame_view view = view_of(s);
    fm_error err = {0};
    size_t count = 999;
    fm_status status = fm__motion_run(m, &view, dets, MAX_DETS, &count, &err);
    if (status != FM_OK)
        fail_msg("run: %s", err.msg);
    return count;
}

static size_t feed_background(fm_motion *m, scene *s, int frames, int gain, int offset)
{
    fm_det dets[MAX_DETS];
    size_t found = 0;
    for (int i = 0; i < frames; i++) {
        draw_background(s, gain, offset);
        found += feed(m, s, dets);
    }
    return found;
}

static void a_still_noisy_scene_gives_nothing(void **state)
{
    (void)state;
    scene s = {.rng = 1};
    fm_motion *m = motion_new(fm__cpu_level(), 0);
    assert_int_equal(feed_background(m, &s, 200, 100, 0), 0);
    fm__motion_free(&m);
    assert_null(m);
}

static void a_moving_rectangle_is_found(void **state)
{
    (void)state;
    for (int work_width = 100; work_width <= 320;
         work_width += 110) { // 3, 2 (rounded) and 1 source pixels a work pixel
        scene s = {.rng = 2};
        fm_motion *m = motion_new(fm__cpu_level(), work_width);
        assert_int_equal(feed_background(m, &s, WARM_UP, 100, 0), 0);
        for (int i = 0; i < 60; i++) {
            fm_det dets[MAX_DETS];
            fm_box truth = {(float)(20 + 4 * i), 60, (float)(20 + 4 * i + 30), 140};
            draw_background(&s, 100, 0);
            draw_rectangle(&s, 20 + 4 * i, 60, 30, 80, 220);
            size_t n = feed(m, &s, dets);
            assert_int_equal(n, 1);
            assert_true(fm__iou(dets[0].box, truth) > 0.8f);
            assert_true(dets[0].score > 0.8f && dets[0].score <= 1.0f);
            assert_int_equal(dets[0].class_id, 0);
        }
        fm__motion_free(&m);
    }
}

static void who_walks_while_it_learns_leaves_no_ghost(void **state)
{
    (void)state;
    scene s = {.rng = 3};
    fm_motion *m = motion_new(fm__cpu_level(), 0);
    fm_det dets[MAX_DETS];
    for (int i = 0; i < 40; i++) {
        fm_box truth = {(float)(5 * i), 60, (float)(5 * i + 30), 140};
        draw_background(&s, 100, 0);
        draw_rectangle(&s, 5 * i, 60, 30, 80, 230);
        size_t n = feed(m, &s, dets);
        if (i < 20) {
            assert_int_equal(n, 0);
        } else if (i >= 26) { // before, it stands where it was seen while learning, and is half taken for
                              // background
            assert_int_equal(n, 1);
            assert_true(fm__iou(dets[0].box, truth) > 0.5f);
        }
    }
    assert_int_equal(feed_background(m, &s, 20, 100, 0), 0);
    fm__motion_free(&m);
}

static void a_person_broken_at_the_belt_is_one_box(void **state)
{
    (void)state;
    scene s = {.rng = 4};
    fm_motion *m = motion_new(fm__cpu_level(), 0);
    fm_det dets[MAX_DETS];
    feed_background(m, &s, WARM_UP, 100, 0);
    draw_background(&s, 100, 0);
    draw_rectangle(&s, 100, 40, 24, 35, 230);
    draw_rectangle(&s, 102, 78, 20, 40, 230);
    draw_rectangle(&s, 150, 40, 24, 30, 230); // somebody else beside
    assert_int_equal(feed(m, &s, dets), 2);
    assert_true(fm__iou(dets[0].box, (fm_box){100, 40, 124, 118}) > 0.8f);
    assert_true(fm__iou(dets[1].box, (fm_box){150, 40, 174, 70}) > 0.8f);
    fm__motion_free(&m);
}

static void a_speck_is_left_out(void **state)
{
    (void)state;
    scene s = {.rng = 5};
    fm_motion *m = motion_new(fm__cpu_level(), 0);
    fm_det dets[MAX_DETS];
    feed_background(m, &s, WARM_UP, 100, 0);
    draw_background(&s, 100, 0);
    draw_rectangle(&s, 50, 50, 5, 5, 250);    // under 0.0004 of the picture, 30.7 pixels
    draw_rectangle(&s, 100, 50, 10, 10, 250); // over it
    assert_int_equal(feed(m, &s, dets), 1);
    assert_true(fm__iou(dets[0].box, (fm_box){100, 50, 110, 60}) > 0.7f);
    fm__motion_free(&m);
}

static void light_switched_brighter_is_no_motion(void **state)
{
    (void)state;
    scene s = {.rng = 6};
    fm_motion *m = motion_new(fm__cpu_level(), 0);
    feed_background(m, &s, WARM_UP, 100, 0);
    assert_int_equal(feed_background(m, &s, 30, 100, 40), 0);
    assert_int_equal(feed_background(m, &s, 30, 100, -30), 0);
    fm__motion_free(&m);
}

static void dimming_slowly_is_no_motion(void **state)
{
    (void)state;
    scene s = {.rng = 7};
    fm_motion *m = motion_new(fm__cpu_level(), 0);
    feed_background(m, &s, WARM_UP, 100, 0);
    for (int i = 0; i < 120; i++)
        assert_int_equal(feed_background(m, &s, 1, 100 - i / 4, 0), 0);
    fm__motion_free(&m);
}

static void another_scene_is_learnt_anew(void **state)
{
    (void)state;
    scene s = {.rng = 8};
    fm_motion *m = motion_new(fm__cpu_level(), 0);
    fm_det dets[MAX_DETS];
    feed_background(m, &s, WARM_UP, 100, 0);
    feed_background(m, &s, 40, -100, 255); // a negative: no shift brings that back
    assert_int_equal(feed_background(m, &s, 30, -100, 255), 0);
    draw_background(&s, -100, 255);
    draw_rectangle(&s, 100, 60, 30, 80, 20);
    assert_int_equal(feed(m, &s, dets), 1);
    assert_true(fm__iou(dets[0].box, (fm_box){100, 60, 130, 140}) > 0.8f);
    fm__motion_free(&m);
}

static void what_stays_becomes_background(void **state)
{
    (void)state;
    scene s = {.rng = 17};
    fm_motion *m = motion_new(fm__cpu_level(), 80);
    fm_det dets[MAX_DETS];
    int last_seen = 0;
    feed_background(m, &s, WARM_UP, 100, 0);
    for (int i = 1; i <= 2000; i++) {
        draw_background(&s, 100, 0);
        draw_rectangle(&s, 100, 60, 60, 80, 230);
        if (feed(m, &s, dets) > 0)
            last_seen = i;
    }
    assert_in_range(last_seen, 100, 1900);
    fm__motion_free(&m);
}

static void same_boxes_at_every_level_and_in_every_run(void **state)
{
    (void)state;
    for (int level = 0; level <= (int)fm__cpu_level(); level++) {
        scene s = {.rng = 9};
        fm_motion *a = motion_new(FM_CPU_SCALAR, 107), *b = motion_new((fm_cpu_level)level, 107);
        for (int i = 0; i < 80; i++) {
            fm_det want[MAX_DETS], got[MAX_DETS];
            draw_background(&s, 100, 0);
            draw_rectangle(&s, 3 * i, 60, 30, 80, (uint8_t)(100 + i));
            size_t n = feed(a, &s, want);
            assert_int_equal(feed(b, &s, got), n);
            assert_memory_equal(want, got, n * sizeof *got);
        }
        size_t len = fm__motion_save(a, NULL, 0);
        uint8_t *p = malloc(len), *q = malloc(len);
        assert_int_equal(fm__motion_save(a, p, len), len);
        assert_int_equal(fm__motion_save(b, q, len), len);
        assert_memory_equal(p, q, len);
        free(p);
        free(q);
        fm__motion_free(&a);
        fm__motion_free(&b);
    }
}

// The same scene as grey, as NV12 with padded rows read bottom up, and as RGB.
static void formats_and_strides_give_the_same_boxes(void **state)
{
    (void)state;
    enum { STRIDE = W * 3 + 13 };
    static uint8_t rows[H][STRIDE];
    for (int rgb = 0; rgb < 2; rgb++) {
        scene s = {.rng = 10};
        fm_motion *a = motion_new(fm__cpu_level(), 0), *b = motion_new(fm__cpu_level(), 0);
        for (int i = 0; i < 40; i++) {
            fm_det want[MAX_DETS], got[MAX_DETS];
            size_t count = 0;
            draw_background(&s, 100, 0);
            draw_rectangle(&s, 20 + 5 * i, 60, 30, 80, 230);
            for (int y = 0; y < H; y++) {
                for (int x = 0; x < W; x++) {
                    if (rgb)
                        memset(&rows[y][3 * x], s.pixels[y][x], 3);
                    else
                        rows[H - 1 - y][x] = s.pixels[y][x];
                }
            }
            fm_frame_view v = {.plane = {rgb ? rows[0] : rows[H - 1]},
                .stride = {rgb ? STRIDE : -STRIDE},
                .width = W,
                .height = H,
                .format = rgb ? FM_PIXFMT_RGB24 : FM_PIXFMT_NV12};
            size_t n = feed(a, &s, want);
            assert_int_equal(fm__motion_run(b, &v, got, MAX_DETS, &count, NULL), FM_OK);
            assert_int_equal(count, n);
            assert_int_equal(n, i < 20 ? 0 : 1);
            assert_memory_equal(want, got, n * sizeof *got);
        }
        fm__motion_free(&a);
        fm__motion_free(&b);
    }
}

static void every_size_works(void **state)
{
    (void)state;
    const int sizes[][2] = {{1, 1}, {2, 3}, {1, 500}, {5000, 1}, {33, 31}, {319, 241}, {640, 2}, {4099, 37}};
    fm_motion *m = motion_new(fm__cpu_level(), 0);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        int w = sizes[i][0], h = sizes[i][1];
        uint8_t *pixels = malloc((size_t)w * (size_t)h); // exactly: the sanitizer sees a byte too far
        fm_frame_view v = {
            .plane = {pixels}, .stride = {w}, .width = w, .height = h, .format = FM_PIXFMT_GRAY8};
        for (int frame = 0; frame < 40; frame++) {
            fm_det dets[MAX_DETS];
            size_t count = 0;
            memset(pixels, frame * 37 & 255, (size_t)w * (size_t)h);
            assert_int_equal(fm__motion_run(m, &v, dets, MAX_DETS, &count, NULL), FM_OK);
            for (size_t d = 0; d < count; d++)
                assert_true(dets[d].box.x0 >= 0 && dets[d].box.y0 >= 0 && dets[d].box.x1 <= (float)w &&
                            dets[d].box.y1 <= (float)h);
        }
        free(pixels);
    }
    fm__motion_free(&m);
}

static void a_checkerboard_of_motion_is_bounded(void **state)
{
    (void)state;
    scene s = {.rng = 11};
    fm_motion *m = motion_new(fm__cpu_level(), 0);
    fm_det dets[MAX_DETS];
    feed_background(m, &s, WARM_UP, 100, 0);
    draw_background(&s, 100, 0);
    for (int y = 0; y + 3 < H; y += 6) {
        for (int x = 0; x + 3 < W; x += 6)
            draw_rectangle(&s, x, y, 3, 3, 255);
    }
    assert_in_range(feed(m, &s, dets), 0, MAX_DETS);
    fm__motion_free(&m);
}

static void cap_and_bad_options(void **state)
{
    (void)state;
    scene s = {.rng = 12};
    fm_motion *m = motion_new(fm__cpu_level(), 0), *none = NULL;
    fm_error err = {0};
    fm_det det[2] = {{.class_id = 5}, {.class_id = 77}};
    size_t count = 0;
    feed_background(m, &s, WARM_UP, 100, 0);
    draw_background(&s, 100, 0);
    draw_rectangle(&s, 10, 10, 20, 20, 250);
    draw_rectangle(&s, 100, 10, 40, 40, 250);
    fm_frame_view v = view_of(&s);
    assert_int_equal(fm__motion_run(m, &v, det, 1, &count, &err), FM_OK);
    assert_int_equal(count, 1);
    assert_true(det[0].box.x0 > 90.0f); // the larger one
    assert_int_equal(det[1].class_id, 77);
    v.width = 0;
    assert_int_equal(fm__motion_run(m, &v, det, 1, &count, &err), FM_INVAL);
    assert_int_equal(count, 1);
    assert_int_equal(fm__motion_new(&(fm_motion_opts){.work_width = -1}, &none, &err), FM_INVAL);
    assert_int_equal(fm__motion_new(&(fm_motion_opts){.min_area = 2.0f}, &none, &err), FM_INVAL);
    assert_null(none);
    fm__motion_free(&m);
    fm__motion_free(&m);
    fm__motion_free(NULL);
}

static void without_memory_it_says_so_and_goes_on_later(void **state)
{
    (void)state;
    scene s = {.rng = 13};
    draw_background(&s, 100, 0);
    fm_frame_view v = view_of(&s);
    fm_det dets[MAX_DETS];
    size_t count = 0;
    fm_error err = {0};
    for (uint64_t nth = 1; nth <= 7; nth++) {
        fm_motion *m = motion_new(fm__cpu_level(), 0);
        fm__alloc_fail_at(nth, false);
        assert_int_equal(fm__motion_run(m, &v, dets, MAX_DETS, &count, &err), FM_NOMEM);
        fm__alloc_fail_at(0, false);
        assert_int_equal(fm__motion_run(m, &v, dets, MAX_DETS, &count, &err), FM_OK);
        fm__motion_free(&m);
    }
}

static void nothing_is_allocated_by_frame(void **state)
{
    (void)state;
    scene s = {.rng = 14};
    fm_motion *m = motion_new(fm__cpu_level(), 0);
    feed_background(m, &s, 1, 100, 0);
    uint64_t before = fm__alloc_count();
    feed_background(m, &s, 50, 100, 0);
    assert_int_equal(fm__alloc_count(), before);
    fm__motion_free(&m);
}

static void a_loaded_state_goes_on_identically(void **state)
{
    (void)state;
    for (int frames = 0; frames <= 45; frames += 15) { // nothing seen, still learning, at work
        scene s = {.rng = 15};
        fm_motion *a = motion_new(fm__cpu_level(), 0), *b = motion_new(FM_CPU_SCALAR, 0);
        fm_error err = {0};
        feed_background(a, &s, frames, 100, 0);
        feed_background(b, &(scene){.rng = 99}, frames == 0 ? 3 : 0, 100, 0); // what it knew is forgotten
        size_t len = fm__motion_save(a, NULL, 0);
        uint8_t *p = malloc(len);
        assert_int_equal(fm__motion_save(a, p, len - 1), len);
        assert_int_equal(fm__motion_save(a, p, len), len);
        if (fm__motion_load(b, p, len, &err) != FM_OK)
            fail_msg("load: %s", err.msg);
        for (int i = 0; i < 50; i++) {
            fm_det want[MAX_DETS], got[MAX_DETS];
            draw_background(&s, 100, 0);
            draw_rectangle(&s, 20 + 5 * i, 60, 30, 80, 230);
            size_t n = feed(a, &s, want);
            assert_int_equal(feed(b, &s, got), n);
            assert_memory_equal(want, got, n * sizeof *got);
        }
        free(p);
        fm__motion_free(&a);
        fm__motion_free(&b);
    }
}

static void a_damaged_state_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    uint8_t pixels[6 * 5];
    fm_frame_view v = {.plane = {pixels}, .stride = {6}, .width = 6, .height = 5, .format = FM_PIXFMT_GRAY8};
    fm_motion *a = motion_new(fm__cpu_level(), 0), *b = motion_new(fm__cpu_level(), 0);
    fm_det dets[MAX_DETS];
    size_t count = 0;
    fm_error err = {0};
    for (int i = 0; i < 25; i++) {
        memset(pixels, 50 + i, sizeof pixels);
        assert_int_equal(fm__motion_run(a, &v, dets, MAX_DETS, &count, &err), FM_OK);
        assert_int_equal(fm__motion_run(b, &v, dets, MAX_DETS, &count, &err), FM_OK);
    }
    size_t len = fm__motion_save(a, NULL, 0);
    uint8_t *good = malloc(len), *bad = malloc(len + 1), *after = malloc(len);
    assert_int_equal(fm__motion_save(a, good, len), len);
    for (size_t i = 0; i < len; i++) {
        for (int bit = 0; bit < 8; bit += 7) {
            memcpy(bad, good, len);
            bad[i] ^= (uint8_t)(1 << bit);
            assert_true(fm__motion_load(b, bad, len, &err) < 0);
        }
        memcpy(bad, good, i);
        assert_true(fm__motion_load(b, bad, i, &err) < 0);
    }
    memcpy(bad, good, len);
    bad[len] = 0;
    assert_true(fm__motion_load(b, bad, len + 1, &err) < 0);
    assert_int_equal(fm__motion_save(b, after, len), len);
    assert_memory_equal(after, good, len);
    free(good);
    free(bad);
    free(after);
    fm__motion_free(&a);
    fm__motion_free(&b);
}

static void a_state_of_another_work_width_is_refused(void **state)
{
    (void)state;
    scene s = {.rng = 16};
    fm_motion *a = motion_new(fm__cpu_level(), 160), *b = motion_new(fm__cpu_level(), 320);
    fm_error err = {0};
    feed_background(a, &s, 3, 100, 0);
    size_t len = fm__motion_save(a, NULL, 0);
    uint8_t *p = malloc(len);
    assert_int_equal(fm__motion_save(a, p, len), len);
    assert_int_equal(fm__motion_load(b, p, len, &err), FM_INVAL);
    assert_non_null(strstr(err.msg, "160"));
    free(p);
    fm__motion_free(&a);
    fm__motion_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_still_noisy_scene_gives_nothing),
        cmocka_unit_test(a_moving_rectangle_is_found),
        cmocka_unit_test(who_walks_while_it_learns_leaves_no_ghost),
        cmocka_unit_test(a_person_broken_at_the_belt_is_one_box),
        cmocka_unit_test(a_speck_is_left_out),
        cmocka_unit_test(light_switched_brighter_is_no_motion),
        cmocka_unit_test(dimming_slowly_is_no_motion),
        cmocka_unit_test(another_scene_is_learnt_anew),
        cmocka_unit_test(what_stays_becomes_background),
        cmocka_unit_test(same_boxes_at_every_level_and_in_every_run),
        cmocka_unit_test(formats_and_strides_give_the_same_boxes),
        cmocka_unit_test(every_size_works),
        cmocka_unit_test(a_checkerboard_of_motion_is_bounded),
        cmocka_unit_test(cap_and_bad_options),
        cmocka_unit_test(without_memory_it_says_so_and_goes_on_later),
        cmocka_unit_test(nothing_is_allocated_by_frame),
        cmocka_unit_test(a_loaded_state_goes_on_identically),
        cmocka_unit_test(a_damaged_state_is_refused_and_changes_nothing),
        cmocka_unit_test(a_state_of_another_work_width_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
