// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The JPEG encoder's scalar twin against the standard: coefficients against the DCT's formula in double, the
// tables' scaling against libjpeg's rule, every quotient that the quantiser can meet against a division.

#include "jpeg_cases.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const double PI = 3.14159265358979323846;

typedef struct tally {
    long all, off; // coefficients; those that are one step off
} tally;

static double clip(double v, double least, double most)
{
    return v < least ? least : v > most ? most : v;
}

// A sample of component c at full range, less 128; the last row and column go on for ever.
static double sample(const fm_frame_view *v, int c, int x, int y)
{
    bool sx = c && v->format != FM_PIXFMT_YUV444P, sy = sx && v->format != FM_PIXFMT_YUV422P;
    int w = sx ? (v->width + 1) / 2 : v->width, h = sy ? (v->height + 1) / 2 : v->height;
    x = x < w ? x : w - 1;
    y = y < h ? y : h - 1;
    bool paired = c && v->format == FM_PIXFMT_NV12;
    const uint8_t *row = v->plane[paired ? 1 : c] + (ptrdiff_t)y * v->stride[paired ? 1 : c];
    double s = paired ? row[2 * x + c - 1] : row[x];
    if (v->range == FM_RANGE_FULL) {
        return s - 128;
    }
    return c ? (s - 128) * 255 / 224 : (s - 16) * 255 / 219 - 128;
}

// A.3.3, with the rows first.
static void transform(const fm_frame_view *view, int c, int bx, int by, double out[64])
{
    static double cosine[8][8];
    double mid[8][8];
    for (int u = 0; u < 8; u++) {
        for (int x = 0; x < 8; x++) {
            cosine[u][x] = cos((2 * x + 1) * u * PI / 16) * (u ? 0.5 : sqrt(0.125));
        }
    }
    for (int y = 0; y < 8; y++) {
        for (int u = 0; u < 8; u++) {
            mid[y][u] = 0;
            for (int x = 0; x < 8; x++) {
                mid[y][u] += cosine[u][x] * sample(view, c, bx * 8 + x, by * 8 + y);
            }
        }
    }
    for (int v = 0; v < 8; v++) {
        for (int u = 0; u < 8; u++) {
            out[v * 8 + u] = 0;
            for (int y = 0; y < 8; y++) {
                out[v * 8 + u] += cosine[v][y] * mid[y][u];
            }
        }
    }
}

static void check_block(
    const fm_frame_view *view, int i, const jpeg_component *c, int bx, int by, int quality, tally *t)
{
    double exact[64];
    const int16_t *got = c->blocks[by * c->blocks_w + bx];
    transform(view, i, bx, by, exact);
    for (int k = 0; k < 64; k++) {
        double want = clip(round(exact[k] / c->steps[k]), k ? -1023 : -1024, 1023);
        int off = abs((int)want - got[k]);
        if (off > 1) {
            fail_msg("%dx%d %s quality %d component %d block %d,%d coefficient %d: %d instead of %.0f (%.2f)",
                view->width, view->height, fm_pixfmt_name(view->format), quality, i, bx, by, k, got[k], want,
                exact[k] / c->steps[k]);
        }
        t->all++;
        t->off += off;
    }
}

// Blocks that only fill a unit are those that begin behind the picture: no AC, and the last DC again.
static bool is_there(const fm_frame_view *v, const jpeg_coefs *j, int i, int bx, int by)
{
    int h = j->c[0].h / j->c[i].h, s = j->c[0].v / j->c[i].v;
    return bx * 8 < (v->width + h - 1) / h && by * 8 < (v->height + s - 1) / s;
}

static tally check_picture(const fm_frame_view *view, int quality)
{
    jpeg_bytes bytes = jpeg_make(view, &fm__jpeg_scalar, quality);
    jpeg_coefs j;
    tally t = {0};
    jpeg_read(&bytes, &j);
    assert_int_equal(j.width, view->width);
    assert_int_equal(j.height, view->height);
    assert_int_equal(j.count, view->format == FM_PIXFMT_GRAY8 ? 1 : 3);
    for (int i = 0; i < j.count; i++) {
        for (int k = 0; k < j.c[i].blocks_w * j.c[i].blocks_h; k++) {
            int bx = k % j.c[i].blocks_w, by = k / j.c[i].blocks_w;
            if (is_there(view, &j, i, bx, by)) {
                check_block(view, i, &j.c[i], bx, by, quality, &t);
                continue;
            }
            for (int n = 1; n < 64; n++) {
                assert_int_equal(j.c[i].blocks[k][n], 0);
            }
        }
    }
    jpeg_coefs_free(&j);
    free(bytes.data);
    return t;
}

static void test_every_quality(void **state)
{
    (void)state;
    tally whole = {0};
    for (int quality = 1; quality <= 100; quality++) {
        picture p;
        picture_make(&p, (fm_pixfmt)(1 + quality % 5), 70, 45, (content)(quality % CONTENT_COUNT),
            (placement)(quality % PLACE_COUNT), (uint32_t)quality);
        p.view.range = quality / 5 % 2 ? FM_RANGE_FULL : FM_RANGE_LIMITED;
        tally t = check_picture(&p.view, quality);
        whole.all += t.all;
        whole.off += t.off;
        picture_free(&p);
    }
    print_message("%ld of %ld coefficients are one step off\n", whole.off, whole.all);
    assert_true(whole.off * 200 < whole.all);
}

// The finest steps, where the integer transform's own rounding shows most: its error is a tenth of a step at
// the utmost, so that less than one in ten falls on the other side of a half.
static void test_finest_steps(void **state)
{
    (void)state;
    for (int format = FM_PIXFMT_GRAY8; format <= FM_PIXFMT_NV12; format++) {
        picture p;
        picture_make(&p, (fm_pixfmt)format, 160, 96, CONTENT_NOISE, PLACE_END, 7);
        p.view.range = FM_RANGE_FULL;
        tally t = check_picture(&p.view, 100);
        print_message("%ld of %ld coefficients are one step off\n", t.off, t.all);
        assert_true(t.off * 15 < t.all);
        picture_free(&p);
    }
}

static void test_sizes(void **state)
{
    (void)state;
    for (int n = 1; n <= 50; n++) {
        for (int format = FM_PIXFMT_GRAY8; format <= FM_PIXFMT_NV12; format++) {
            picture p;
            picture_make(&p, (fm_pixfmt)format, n, 1 + n * 7 % 34, CONTENT_SMOOTH,
                (placement)(n % PLACE_COUNT), (uint32_t)n);
            check_picture(&p.view, 90);
            picture_free(&p);
        }
    }
}

// Black, white, checkers and stripes of them, each in full and limited range, at the finest steps: the most
// that coefficients reach, so that any overflow shows.
static void test_extremes(void **state)
{
    (void)state;
    enum { SIDE = 64 };
    uint8_t pixels[SIDE * SIDE];
    uint32_t random = 3;
    for (int kind = 0; kind < 80; kind++) {
        uint32_t across = next_random(&random) & 255, down = next_random(&random) & 255;
        for (int i = 0; i < SIDE * SIDE; i++) {
            int x = i % SIDE & 7, y = i / SIDE & 7;
            bool white = kind < 4    ? kind & 1
                         : kind < 68 ? cos((2 * x + 1) * (kind - 4) % 8 * PI / 16) *
                                               cos((2 * y + 1) * ((kind - 4) / 8) * PI / 16) >
                                           0
                                     : (across >> x ^ down >> y) & 1;
            pixels[i] = white ? 255 : 0;
        }
        fm_frame_view v = {.plane = {pixels, pixels, pixels},
            .stride = {SIDE, SIDE, SIDE},
            .width = SIDE,
            .height = SIDE,
            .format = FM_PIXFMT_YUV444P};
        for (int range = 0; range < 2; range++) {
            v.range = (fm_range)range;
            check_picture(&v, 100);
        }
    }
}

// libjpeg's rule, and each table's first, middle and last number by hand: 16, 99 at 25; 16, 99, 121 at 90.
static void test_tables(void **state)
{
    (void)state;
    static fm__jpeg_tables t;
    fm__jpeg_tables_init(&t, 25, FM_RANGE_FULL);
    assert_int_equal(t.steps[0][0], 32);
    assert_int_equal(t.steps[1][63], 198);
    fm__jpeg_tables_init(&t, 90, FM_RANGE_FULL);
    assert_int_equal(t.steps[0][0], 3);
    assert_int_equal(t.steps[0][63], 20);
    assert_int_equal(t.steps[1][63], 20);
    fm__jpeg_tables_init(&t, 1, FM_RANGE_FULL);
    assert_int_equal(t.steps[0][0], 255);
    fm__jpeg_tables_init(&t, 100, FM_RANGE_FULL);
    assert_int_equal(t.steps[0][0], 1);
}

static void test_every_quotient(void **state)
{
    (void)state;
    static fm__jpeg_tables t;
    static bool seen[256];
    for (int quality = 1; quality <= 100; quality++) {
        fm__jpeg_tables_init(&t, quality, FM_RANGE_FULL);
        for (int k = 0; k < 128; k++) {
            unsigned step = t.steps[k / 64][k % 64], i = fm__jpeg_zigzag[k % 64];
            const fm__jpeg_quant *q = &t.quant[k / 64];
            for (unsigned x = 0; !seen[step] && x <= 32768; x++) {
                unsigned got = ((x + q->half[i]) * q->recip[i] >> 16) * q->scale[i] >> 16;
                if (got != (x + 16 * step) / (32 * step)) {
                    fail_msg("%u / 32 / %u: %u", x, step, got);
                }
            }
            seen[step] = true;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_every_quotient),
        cmocka_unit_test(test_every_quality),
        cmocka_unit_test(test_finest_steps),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
