// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Drawing and the stroke font. Pictures lie between guard bytes; the truth is a dumb per-pixel model or plain
// geometry.

#include "ops/draw.h"
#include "ops/font.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GUARD 0xA5
#define MARGIN 37
#define PAPER 200

/** A canvas whose planes have MARGIN guard bytes at every row's end and around all. */
typedef struct picture {
    fm_canvas canvas;
    uint8_t *block[3];
    size_t size[3];
} picture;

static int plane_w(const fm_canvas *c, int plane)
{
    return plane ? (c->width + 1) / 2 : c->width;
}

static int plane_h(const fm_canvas *c, int plane)
{
    return plane ? (c->height + 1) / 2 : c->height;
}

static picture picture_new(int w, int h)
{
    picture p = {.canvas = {.width = w, .height = h}};
    for (int i = 0; i < 3; i++) {
        int pw = plane_w(&p.canvas, i), ph = plane_h(&p.canvas, i);
        p.canvas.stride[i] = pw + MARGIN;
        p.size[i] = (size_t)(ph + 2) * (size_t)p.canvas.stride[i];
        p.block[i] = malloc(p.size[i]);
        assert_non_null(p.block[i]);
        memset(p.block[i], GUARD, p.size[i]);
        p.canvas.plane[i] = p.block[i] + p.canvas.stride[i];
        for (int y = 0; y < ph; y++)
            memset(p.canvas.plane[i] + y * p.canvas.stride[i], PAPER, (size_t)pw);
    }
    return p;
}

static void picture_free(picture *p)
{
    for (int i = 0; i < 3; i++)
        free(p->block[i]);
}

static uint8_t at(const picture *p, int plane, int x, int y)
{
    return p->canvas.plane[plane][y * p->canvas.stride[plane] + x];
}

static void check_guards(const picture *p)
{
    for (int i = 0; i < 3; i++) {
        int pw = plane_w(&p->canvas, i), ph = plane_h(&p->canvas, i);
        for (size_t k = 0; k < p->size[i]; k++) {
            int row = (int)(k / (size_t)p->canvas.stride[i]) - 1,
                col = (int)(k % (size_t)p->canvas.stride[i]);
            bool inside = row >= 0 && row < ph && col < pw;
            if (!inside && p->block[i][k] != GUARD)
                fail_msg("plane %d: wrote outside at row %d column %d", i, row, col);
        }
    }
}

/** Share of chroma sample (cx, cy)'s pixels that lie in r. */
static double share(const picture *p, fm_rect r, int cx, int cy)
{
    int in = 0, all = 0;
    for (int y = 2 * cy; y < 2 * cy + 2 && y < p->canvas.height; y++)
        for (int x = 2 * cx; x < 2 * cx + 2 && x < p->canvas.width; x++, all++)
            in += x >= r.x0 && x < r.x1 && y >= r.y0 && y < r.y1;
    return (double)in / all;
}

static void check_fill(const picture *p, fm_rect r, fm_yuv c, int alpha)
{
    for (int y = 0; y < p->canvas.height; y++)
        for (int x = 0; x < p->canvas.width; x++) {
            bool in = x >= r.x0 && x < r.x1 && y >= r.y0 && y < r.y1;
            double want = in ? PAPER + (c.y - PAPER) * alpha / 255.0 : PAPER;
            if (fabs(at(p, 0, x, y) - want) > 0.51)
                fail_msg("luma %d,%d: %d, expected %.2f", x, y, at(p, 0, x, y), want);
        }
    for (int y = 0; y < plane_h(&p->canvas, 1); y++)
        for (int x = 0; x < plane_w(&p->canvas, 1); x++) {
            double want = PAPER + (c.u - PAPER) * alpha / 255.0 * share(p, r, x, y);
            if (fabs(at(p, 1, x, y) - want) > 1.6)
                fail_msg("chroma %d,%d: %d, expected %.2f", x, y, at(p, 1, x, y), want);
        }
}

static void fill_covers_exactly_its_pixels_and_its_share_of_chroma(void **state)
{
    (void)state;
    static const fm_rect rects[] = {{4, 4, 12, 10}, {5, 3, 12, 11}, {0, 0, 33, 27}, {-9, -5, 4, 3},
        {30, 25, 99, 99}, {-1000000, -1000000, 1000000, 1000000}, {32, 26, 33, 27}, {7, 7, 8, 8},
        {7, 7, 7, 9}, {9, 9, 3, 3}, {40, 2, 60, 9}, {2, -30, 9, -2}};
    static const int alphas[] = {255, 128, 0};
    fm_yuv c = {20, 60, 240};
    for (size_t i = 0; i < sizeof rects / sizeof rects[0]; i++)
        for (size_t k = 0; k < 3; k++) {
            picture p = picture_new(33, 27);
            fm__draw_fill(&p.canvas, rects[i], c, (uint8_t)alphas[k]);
            check_guards(&p);
            check_fill(&p, rects[i], c, alphas[k]);
            picture_free(&p);
        }
}

static void outline_leaves_the_inside_alone(void **state)
{
    (void)state;
    picture p = picture_new(41, 31);
    fm_rect r = {5, 4, 30, 21};
    fm__draw_outline(&p.canvas, r, 3, (fm_yuv){10, 10, 10}, 255);
    for (int y = 0; y < 31; y++)
        for (int x = 0; x < 41; x++) {
            bool outer = x >= 5 && x < 30 && y >= 4 && y < 21, inner = x >= 8 && x < 27 && y >= 7 && y < 18;
            assert_int_equal(at(&p, 0, x, y), outer && !inner ? 10 : PAPER);
        }
    check_guards(&p);
    picture_free(&p);
}

static void outline_draws_no_pixel_twice(void **state)
{
    (void)state;
    picture p = picture_new(20, 20);
    fm__draw_outline(&p.canvas, (fm_rect){2, 2, 18, 18}, 2, (fm_yuv){0, 0, 0}, 128);
    for (int y = 0; y < 20; y++)
        for (int x = 0; x < 20; x++)
            assert_true(at(&p, 0, x, y) == PAPER || at(&p, 0, x, y) == 100);
    picture_free(&p);
}

static void outline_of_huge_and_degenerate_boxes_stays_in_the_picture(void **state)
{
    (void)state;
    const float inf = INFINITY;
    const fm_box boxes[] = {{-1e30f, -1e30f, 1e30f, 1e30f}, {-inf, -inf, inf, inf}, {3.3f, -1e9f, 9.9f, 1e9f},
        {31.9f, 29.9f, 32, 30}, {-5, -5, 0.5f, 0.5f}, {7, 7, 7, 7}};
    for (size_t i = 0; i < sizeof boxes / sizeof boxes[0]; i++)
        for (int line = 2; line <= 8; line += 2) {
            picture p = picture_new(33, 31);
            fm_rect r;
            assert_true(fm__outline_of_box(boxes[i], line, 33, 31, &r));
            assert_int_equal((r.x0 | r.y0 | r.x1 | r.y1) & 1, 0);
            fm__draw_outline(&p.canvas, r, line, (fm_yuv){1, 2, 3}, 255);
            check_guards(&p);
            picture_free(&p);
        }
}

static void boxes_that_are_nothing_are_refused(void **state)
{
    (void)state;
    const float nan = NAN;
    const fm_box boxes[] = {{nan, 1, 2, 3}, {1, nan, 2, 3}, {1, 1, nan, 3}, {1, 1, 2, nan}, {5, 5, 4, 9},
        {5, 5, 9, 4}, {100, 5, 120, 9}, {5, 80, 9, 90}, {-9, 5, -2, 9}, {5, -9, 9, -1}, {-5, 5, 0, 9}};
    for (size_t i = 0; i < sizeof boxes / sizeof boxes[0]; i++) {
        fm_rect r = {77, 77, 77, 77};
        assert_false(fm__outline_of_box(boxes[i], 2, 100, 80, &r));
        assert_int_equal(r.x0, 77);
    }
}

static void outline_is_centred_on_the_box(void **state)
{
    (void)state;
    fm_rect r;
    assert_true(fm__outline_of_box((fm_box){11, 21, 51, 71}, 2, 100, 100, &r));
    assert_int_equal(r.x0, 10);
    assert_int_equal(r.y0, 20);
    assert_int_equal(r.x1, 52);
    assert_int_equal(r.y1, 72);
}

static void mask_is_clipped_at_every_border(void **state)
{
    (void)state;
    uint8_t cover[9 * 16];
    memset(cover, 255, sizeof cover);
    for (int y = -12; y < 24; y++)
        for (int x = -12; x < 30; x++) {
            picture p = picture_new(23, 17);
            fm__draw_mask(&p.canvas, x, y, cover, 11, 9, 16, (fm_yuv){20, 60, 240});
            check_guards(&p);
            check_fill(&p, (fm_rect){x, y, x + 11, y + 9}, (fm_yuv){20, 60, 240}, 255);
            picture_free(&p);
        }
}

static void mask_blends_by_coverage(void **state)
{
    (void)state;
    picture p = picture_new(8, 8);
    const uint8_t cover[] = {0, 51, 102, 255};
    fm__draw_mask(&p.canvas, 2, 2, cover, 4, 1, 4, (fm_yuv){0, 100, 200});
    assert_int_equal(at(&p, 0, 2, 2), 200);
    assert_int_equal(at(&p, 0, 3, 2), 160);
    assert_int_equal(at(&p, 0, 4, 2), 120);
    assert_int_equal(at(&p, 0, 5, 2), 0);
    assert_int_equal(at(&p, 1, 2, 1), 165); // two of its four pixels: (102 + 255) / 4 = 89 of 255 towards 100
    picture_free(&p);
}

static void colours_match_the_standards(void **state)
{
    (void)state;
    static const struct {
        fm_rgb rgb;
        fm_matrix matrix;
        fm_range range;
        fm_yuv want; // ITU-R BT.601/709, colour bars at 100 %
    } cases[] = {
        {{255, 255, 255}, FM_MATRIX_BT601, FM_RANGE_LIMITED, {235, 128, 128}},
        {{0, 0, 0}, FM_MATRIX_BT709, FM_RANGE_LIMITED, {16, 128, 128}},
        {{255, 0, 0}, FM_MATRIX_BT601, FM_RANGE_LIMITED, {81, 90, 240}},
        {{0, 255, 0}, FM_MATRIX_BT601, FM_RANGE_LIMITED, {145, 54, 34}},
        {{0, 0, 255}, FM_MATRIX_BT601, FM_RANGE_LIMITED, {41, 240, 110}},
        {{255, 0, 0}, FM_MATRIX_BT709, FM_RANGE_LIMITED, {63, 102, 240}},
        {{0, 255, 0}, FM_MATRIX_BT709, FM_RANGE_LIMITED, {173, 42, 26}},
        {{255, 0, 0}, FM_MATRIX_BT601, FM_RANGE_FULL, {76, 85, 255}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fm_yuv got = fm__rgb_to_yuv(cases[i].rgb, cases[i].matrix, cases[i].range);
        assert_true(abs(got.y - cases[i].want.y) <= 1);
        assert_true(abs(got.u - cases[i].want.u) <= 1);
        assert_true(abs(got.v - cases[i].want.v) <= 1);
    }
}

static int color_distance(fm_rgb a, fm_rgb b)
{
    return abs(a.r - b.r) + abs(a.g - b.g) + abs(a.b - b.b);
}

static void neighbouring_classes_look_different_and_their_text_is_readable(void **state)
{
    (void)state;
    for (int a = 0; a < 1000; a++) {
        for (int b = a + 1; b < a + 5; b++)
            assert_true(color_distance(fm__class_color(a), fm__class_color(b)) >= 90);
        fm_rgb plate = fm__class_color(a), ink = fm__text_color(plate);
        fm_yuv p = fm__rgb_to_yuv(plate, FM_MATRIX_BT601, FM_RANGE_FULL),
               t = fm__rgb_to_yuv(ink, FM_MATRIX_BT601, FM_RANGE_FULL);
        assert_true(abs(p.y - t.y) >= 85);
    }
    assert_int_equal(color_distance(fm__class_color(7), fm__class_color(7)), 0);
    (void)fm__class_color(-1); // a class that cannot be still has a colour
    (void)fm__class_color(INT32_MAX);
}

/** Renders a glyph into a guarded cell; returns the sum of its coverage. */
static unsigned long render(const fm_font *font, int index, uint8_t *cell, int stride, int *first, int *last)
{
    int w = fm__font_advance(font, index);
    memset(cell, GUARD, (size_t)stride * (size_t)(font->cell_height + 1));
    fm__font_render(font, index, cell, stride);
    unsigned long sum = 0;
    *first = font->cell_height;
    *last = -1;
    for (int y = 0; y <= font->cell_height; y++)
        for (int x = 0; x < stride; x++) {
            uint8_t v = cell[y * stride + x];
            if (y == font->cell_height || x >= w) {
                assert_int_equal(v, GUARD);
            } else if (v > 0) {
                sum += v;
                *first = y < *first ? y : *first;
                *last = y;
            }
        }
    return sum;
}

static void every_printable_character_has_a_shape_inside_its_cell(void **state)
{
    (void)state;
    static uint8_t cell[512 * 512];
    static const int sizes[] = {0, 6, 8, 11, 20, 40, 256, 9999};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        fm_font font = fm__font_at(sizes[s]);
        for (int c = FM_FONT_FIRST; c <= FM_FONT_LAST; c++) {
            int index = fm__font_index((unsigned char)c), first, last;
            assert_in_range(fm__font_advance(&font, index), 1, 511);
            unsigned long sum = render(&font, index, cell, 512, &first, &last);
            if (c == ' ') {
                assert_int_equal(sum, 0);
                continue;
            }
            if (sum < 200 || first < 1 - (sizes[s] < 8) || last >= font.cell_height)
                fail_msg("'%c' at %d: coverage %lu, rows %d..%d of %d", c, sizes[s], sum, first, last,
                    font.cell_height);
        }
    }
}

static void letters_stand_on_the_baseline_with_sharp_edges(void **state)
{
    (void)state;
    static uint8_t cell[512 * 512];
    for (int size = 14; size <= 60; size++) { // smaller pens are not whole pixels wide
        fm_font font = fm__font_at(size);
        int first, last;
        render(&font, fm__font_index('E'), cell, 512, &first, &last);
        assert_int_equal(first, font.cap_top);
        assert_int_equal(last, font.baseline - 1);
        int middle = fm__font_advance(&font, fm__font_index('E')) / 2;
        assert_true(cell[font.cap_top * 512 + middle] >= 250);
        assert_true(cell[(font.baseline - 1) * 512 + middle] >= 250);
        render(&font, fm__font_index('g'), cell, 512, &first, &last);
        assert_true(last >= font.baseline + size / 6);
    }
}

static void no_two_characters_look_alike(void **state)
{
    (void)state;
    static uint8_t cells[FM_FONT_GLYPHS][64 * 64];
    fm_font font = fm__font_at(11);
    for (int i = 0; i < FM_FONT_GLYPHS; i++)
        fm__font_render(&font, i, cells[i], 64);
    for (int i = 0; i < FM_FONT_GLYPHS; i++)
        for (int k = i + 1; k < FM_FONT_GLYPHS; k++) {
            long diff = 0;
            for (int p = 0; p < 64 * 64; p++)
                diff += abs(cells[i][p] - cells[k][p]);
            if (diff < 300)
                fail_msg("'%c' and '%c' differ by %ld only", i + FM_FONT_FIRST, k + FM_FONT_FIRST, diff);
        }
}

static void bytes_without_a_glyph_become_question_marks(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        int index = fm__font_index((unsigned char)c);
        assert_int_equal(index, c >= 32 && c <= 126 ? c - 32 : '?' - 32);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fill_covers_exactly_its_pixels_and_its_share_of_chroma),
        cmocka_unit_test(outline_leaves_the_inside_alone),
        cmocka_unit_test(outline_draws_no_pixel_twice),
        cmocka_unit_test(outline_of_huge_and_degenerate_boxes_stays_in_the_picture),
        cmocka_unit_test(boxes_that_are_nothing_are_refused),
        cmocka_unit_test(outline_is_centred_on_the_box),
        cmocka_unit_test(mask_is_clipped_at_every_border),
        cmocka_unit_test(mask_blends_by_coverage),
        cmocka_unit_test(colours_match_the_standards),
        cmocka_unit_test(neighbouring_classes_look_different_and_their_text_is_readable),
        cmocka_unit_test(every_printable_character_has_a_shape_inside_its_cell),
        cmocka_unit_test(letters_stand_on_the_baseline_with_sharp_edges),
        cmocka_unit_test(no_two_characters_look_alike),
        cmocka_unit_test(bytes_without_a_glyph_become_question_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
