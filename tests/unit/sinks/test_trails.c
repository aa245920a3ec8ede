// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Trails: where they are drawn and how they fade, who is forgotten, how much memory they may take.

#include "../testing.h"
#include "sinks/trails.h"

#include "base/alloc.h"

#include <math.h>

enum { W = 320, H = 240, GREY = 90 };

typedef struct picture {
    uint8_t y[W * H], u[W * H / 4], v[W * H / 4];
    fm_canvas canvas;
} picture;

static picture *blank(void)
{
    picture *p = calloc(1, sizeof *p);
    memset(p->y, GREY, sizeof p->y);
    memset(p->u, 128, sizeof p->u);
    memset(p->v, 128, sizeof p->v);
    p->canvas = (fm_canvas){{p->y, p->u, p->v}, {W, W / 2, W / 2}, W, H};
    return p;
}

static int touched(const picture *p)
{
    int n = 0;
    for (int i = 0; i < W * H; i++)
        n += p->y[i] != GREY;
    return n;
}

static void add(fm_trails *t, int64_t id, float x, float y)
{
    assert_int_equal(fm__trails_add(t, id, x, y, NULL), FM_OK);
}

static void draw(fm_trails *t, picture *p)
{
    fm__trails_draw(t, &p->canvas, 4, FM_MATRIX_BT601, FM_RANGE_LIMITED);
}

// Track 3 walks to the right, 5 pixels a frame, over the frames first..last.
static void walk(fm_trails *t, uint64_t first, uint64_t last)
{
    for (uint64_t f = first; f <= last; f++) {
        fm__trails_frame(t, f);
        add(t, 3, 5.0f * (float)f, 100);
    }
}

static int difference(const picture *p, int x, int y)
{
    fm_yuv c = fm__rgb_to_yuv(fm__track_color(3), FM_MATRIX_BT601, FM_RANGE_LIMITED);
    return abs(p->y[y * W + x] - c.y);
}

static void a_trail_follows_its_track_and_fades(void **state)
{
    (void)state;
    fm_trails t = {0};
    picture *p = blank();
    walk(&t, 0, 60);
    draw(&t, p);
    // The last 29 steps: from frame 31, at 155, to frame 60, at 300.
    int last = -1;
    for (int x = 299; x >= 160; x -= 10) {
        int d = difference(p, x, 100);
        assert_true(d > last);
        last = d;
    }
    assert_true(difference(p, 299, 100) < 16);
    assert_int_equal(p->y[100 * W + 140], GREY);
    assert_int_equal(p->y[110 * W + 250], GREY);
    assert_true(p->u[50 * W / 2 + 145] != 128 || p->v[50 * W / 2 + 145] != 128);
    // Lost: it fades where it was lost, and is forgotten.
    int before = touched(p);
    for (uint64_t f = 61; f < 90; f++) {
        fm__trails_frame(&t, f);
        assert_true(fm__trails_any(&t));
    }
    picture *q = blank();
    draw(&t, q);
    assert_true(touched(q) < before / 4);
    fm__trails_frame(&t, 90);
    assert_false(fm__trails_any(&t));
    free(p);
    free(q);
    fm__trails_done(&t);
}

static void a_stroke_is_as_even_as_its_pieces(void **state)
{
    (void)state;
    fm_trails t = {0};
    picture *p = blank();
    walk(&t, 0, 29);
    draw(&t, p);
    // Where two segments meet, the line is neither stronger nor wider than between them.
    for (int x = 100; x < 140; x++) {
        int rise = abs(p->y[100 * W + x] - p->y[100 * W + x + 1]);
        assert_true(rise <= 2);
        assert_int_equal(p->y[104 * W + x], GREY);
    }
    free(p);
    fm__trails_done(&t);
}

static void jumps_and_hostile_places_are_left_out(void **state)
{
    (void)state;
    fm_trails t = {0};
    picture *p = blank();
    static const float places[][2] = {
        {10, 10}, {300, 230}, {NAN, 5}, {5, INFINITY}, {-1e30f, 1e30f}, {1e30f, -1e30f}, {0, 0}, {319, 239}};
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        fm__trails_frame(&t, i);
        add(&t, 1, places[i][0], places[i][1]);
    }
    draw(&t, p);
    assert_int_equal(touched(p), 0);
    // Outside along an edge: clipped.
    for (uint64_t f = 10; f < 20; f++) {
        fm__trails_frame(&t, f);
        add(&t, 2, (float)f * 10, (float)H + 1);
        add(&t, 4, (float)f * 10, -1e9f);
    }
    draw(&t, p);
    int n = touched(p);
    assert_true(n > 50 && n < 400);
    free(p);
    fm__trails_done(&t);
}

static void the_stalest_makes_room(void **state)
{
    (void)state;
    fm_trails t = {0};
    fm__trails_frame(&t, 1);
    add(&t, 1, 1, 1);
    fm__trails_frame(&t, 2);
    for (int64_t id = 2; id <= 2 * FM_TRAIL_TRACKS; id++)
        add(&t, id, 1, 1);
    assert_int_equal(t.count, FM_TRAIL_TRACKS);
    uint64_t before = fm__alloc_count();
    for (uint64_t f = 3; f < 3000; f++) { // births and deaths
        fm__trails_frame(&t, f);
        for (int i = 0; i < 100; i++)
            add(&t, (int64_t)f * 100 + i, 1, 1);
    }
    assert_int_equal(t.count, FM_TRAIL_TRACKS);
    assert_int_equal(fm__alloc_count() - before, 0);
    fm__trails_done(&t);
}

static void frames_that_start_again_start_afresh(void **state)
{
    (void)state;
    fm_trails t = {0};
    walk(&t, 5, 9);
    fm__trails_frame(&t, 2);
    assert_false(fm__trails_any(&t));
    add(&t, 3, 1, 1);
    fm__trails_frame(&t, UINT64_MAX); // far ahead
    assert_false(fm__trails_any(&t));
    fm__trails_done(&t);
}

static void out_of_memory(void **state)
{
    (void)state;
    fm_trails t = {0};
    fm_error err = {0};
    fm__trails_frame(&t, 0);
    fm__alloc_fail_at(1, false);
    assert_int_equal(fm__trails_add(&t, 1, 1, 1, &err), FM_NOMEM);
    fm__alloc_fail_at(0, false);
    picture *p = blank();
    walk(&t, 1, 9);
    fm__alloc_fail_at(1, true);
    draw(&t, p);
    fm__alloc_fail_at(0, false);
    assert_int_equal(touched(p), 0); // without, but no harm
    draw(&t, p);
    assert_true(touched(p) > 0);
    free(p);
    fm__trails_done(&t);
}

static void colours_of_neighbours_are_far_apart(void **state)
{
    (void)state;
    for (int64_t id = 1; id < 200; id++) {
        fm_rgb a = fm__track_color(id), again = fm__track_color(id);
        assert_memory_equal(&a, &again, sizeof a);
        for (int64_t other = id + 1; other < id + 8; other++) {
            fm_rgb b = fm__track_color(other);
            int apart = abs(a.r - b.r) + abs(a.g - b.g) + abs(a.b - b.b);
            if (apart < 60)
                fail_msg("tracks %d and %d: %d apart", (int)id, (int)other, apart);
        }
    }
    (void)fm__track_color(INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trail_follows_its_track_and_fades),
        cmocka_unit_test(a_stroke_is_as_even_as_its_pieces),
        cmocka_unit_test(jumps_and_hostile_places_are_left_out),
        cmocka_unit_test(the_stalest_makes_room),
        cmocka_unit_test(frames_that_start_again_start_afresh),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(colours_of_neighbours_are_far_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
