// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Masks and class maps on pictures, against the plain way: pixel by pixel.

#include "ops/draw_mask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { W = 150, H = 61, STRIDE = 160, CW = W / 2, CH = (H + 1) / 2 };

typedef struct picture {
    uint8_t y[H][STRIDE], u[CH][STRIDE], v[CH][STRIDE];
} picture;

static uint32_t next(uint32_t *rng)
{
    *rng = *rng * 1664525u + 1013904223u;
    return *rng >> 8;
}

static fm_canvas canvas_of(picture *p)
{
    return (fm_canvas){
        .plane = {p->y[0], p->u[0], p->v[0]}, .stride = {STRIDE, STRIDE, STRIDE}, .width = W, .height = H};
}

static void fill_picture(picture *p, uint32_t seed)
{
    for (size_t i = 0; i < sizeof *p; i++)
        ((uint8_t *)p)[i] = (uint8_t)next(&seed);
}

// Blobs: a pixel is what most of a coarse raster says.
static fm_mask make_mask(int x, int y, int w, int h, uint32_t seed)
{
    fm_mask m = {.x = x, .y = y, .width = w, .height = h, .stride = (w + 63) / 64 * 8};
    uint8_t *bits = calloc((size_t)m.stride * (size_t)h, 1);
    for (int j = 0; j < h; j++) {
        for (int i = 0; i < w; i++) {
            uint32_t cell = (uint32_t)(i / 9 * 31 + j / 7) * 2654435761u + seed;
            bits[j * m.stride + i / 8] |= (uint8_t)((next(&cell) % 3 > 0) << i % 8);
        }
    }
    m.bits = bits;
    return m;
}

static uint8_t blend(uint8_t v, uint8_t c, unsigned alpha)
{
    return (uint8_t)((v * (255 - alpha) + c * alpha + 127) / 255);
}

static void a_mask_tints_its_pixels(void **state)
{
    (void)state;
    static picture before, p;
    static const int rects[][4] = {
        {0, 0, W, H}, {3, 5, 130, 41}, {20, 0, 64, 61}, {149, 60, 1, 1}, {7, 7, 1, 30}};
    const fm_yuv c = {200, 30, 90};
    for (size_t r = 0; r < sizeof rects / sizeof rects[0]; r++) {
        fm_mask m = make_mask(rects[r][0], rects[r][1], rects[r][2], rects[r][3], (uint32_t)r);
        fill_picture(&before, (uint32_t)r + 9);
        p = before;
        fm_canvas canvas = canvas_of(&p);
        fm__draw_bits(&canvas, &m, c, 100);
        for (int y = 0; y < H; y++) {
            for (int x = 0; x < STRIDE; x++) {
                uint8_t was = before.y[y][x];
                assert_int_equal(p.y[y][x], x < W && fm_mask_at(&m, x, y) ? blend(was, c.y, 100) : was);
            }
        }
        for (int y = 0; y < CH; y++) {
            for (int x = 0; x < STRIDE; x++) {
                int n = 0;
                for (int k = 0; k < 4; k++)
                    n += fm_mask_at(&m, 2 * x + k % 2, 2 * y + k / 2);
                assert_int_equal(p.u[y][x], blend(before.u[y][x], c.u, 100 * (unsigned)n / 4));
                assert_int_equal(p.v[y][x], blend(before.v[y][x], c.v, 100 * (unsigned)n / 4));
            }
        }
        free((void *)m.bits);
    }
}

static void a_mask_that_leaves_the_picture_is_not_drawn(void **state)
{
    (void)state;
    static picture before, p;
    fill_picture(&before, 1);
    p = before;
    fm_canvas canvas = canvas_of(&p);
    fm_mask m = make_mask(100, 10, 60, 20, 1), none = {0};
    fm__draw_bits(&canvas, &m, (fm_yuv){0}, 255);
    fm__draw_bits(&canvas, &none, (fm_yuv){0}, 255);
    assert_memory_equal(&before, &p, sizeof p);
    free((void *)m.bits);
}

// Is every pixel within `t` steps, diagonals included, inside?
static bool is_core(const fm_mask *m, int x, int y, int t)
{
    for (int j = y - t; j <= y + t; j++) {
        for (int i = x - t; i <= x + t; i++) {
            if (i >= 0 && i < W && j >= 0 && j < H && !fm_mask_at(m, i, j))
                return false;
        }
    }
    return true;
}

static void an_edge_is_what_erosion_takes(void **state)
{
    (void)state;
    static const int rects[][4] = {
        {0, 0, W, H}, {3, 5, 130, 41}, {22, 0, 128, 61}, {10, 2, 64, 30}, {7, 7, 1, 30}};
    for (size_t r = 0; r < sizeof rects / sizeof rects[0]; r++) {
        fm_mask m = make_mask(rects[r][0], rects[r][1], rects[r][2], rects[r][3], (uint32_t)r);
        void *scratch = malloc(fm__mask_edge_scratch(&m));
        for (int t = 1; t <= 4; t++) {
            fm_mask edge = fm__mask_edge(&m, t, W, H, scratch);
            for (int y = 0; y < H; y++) {
                for (int x = 0; x < W; x++) {
                    int want = fm_mask_at(&m, x, y) && !is_core(&m, x, y, t);
                    if (fm_mask_at(&edge, x, y) != want)
                        fail_msg("mask %zu, %d steps, pixel %d, %d", r, t, x, y);
                }
            }
        }
        free(scratch);
        free((void *)m.bits);
    }
}

static void a_class_map_tints_by_class(void **state)
{
    (void)state;
    static picture before, p;
    static uint8_t ids[H][W + 3];
    fm_class_paint colors[FM_CLASS_UNSEEN + 1] = {
        [1] = {true, {10, 20, 30}}, [2] = {true, {90, 80, 70}}, [FM_CLASS_UNSEEN] = {false, {0}}};
    for (int y = 0; y < H; y++) {
        for (int x = 0; x < W; x++)
            ids[y][x] = (uint8_t)((x / 13 + y / 5) % 4 == 3 ? FM_CLASS_UNSEEN : (x / 13 + y / 5) % 4);
    }
    fm_class_map map = {.width = W, .height = H, .stride = W + 3, .ids = ids[0]};
    fill_picture(&before, 3);
    p = before;
    fm_canvas canvas = canvas_of(&p);
    fm__draw_class_map(&canvas, &map, colors, 128);
    for (int y = 0; y < H; y++) {
        for (int x = 0; x < STRIDE; x++) {
            const fm_class_paint *c = &colors[x < W ? ids[y][x] : 0];
            uint8_t was = before.y[y][x];
            assert_int_equal(p.y[y][x], c->paint ? blend(was, c->c.y, 128) : was);
        }
    }
    for (int y = 0; y < CH; y++) {
        for (int x = 0; x < STRIDE; x++) {
            const fm_class_paint *c = &colors[x < CW ? ids[2 * y][2 * x] : 0];
            assert_int_equal(p.u[y][x], c->paint ? blend(before.u[y][x], c->c.u, 128) : before.u[y][x]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mask_tints_its_pixels),
        cmocka_unit_test(a_mask_that_leaves_the_picture_is_not_drawn),
        cmocka_unit_test(an_edge_is_what_erosion_takes),
        cmocka_unit_test(a_class_map_tints_by_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
