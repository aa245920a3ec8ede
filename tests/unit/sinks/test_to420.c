// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Conversion to YUV420P against a dumb per-sample model in double precision, on odd sizes, with rows upside
// down and guard bytes.

#include "frame/frame.h"
#include "sinks/to420.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GUARD 0x5A
#define MAX_BYTES (80 * 80)

typedef struct source {
    uint8_t bytes[3][MAX_BYTES];
    fm_frame_view view;
} source;

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 16;
}

static void make_source(source *s, fm_pixfmt format, int w, int h, bool upside_down)
{
    uint32_t seed = 7;
    s->view = (fm_frame_view){.width = w, .height = h, .format = format};
    for (int i = 0; i < fm_pixfmt_planes(format); i++) {
        int pw, ph, stride = (int)fm__pixfmt_row_bytes(format, w, i) + 5;
        fm__pixfmt_plane_size(format, w, h, i, &pw, &ph);
        assert_true(stride * ph <= MAX_BYTES);
        for (int k = 0; k < stride * ph; k++)
            s->bytes[i][k] = (uint8_t)next_random(&seed);
        s->view.plane[i] = s->bytes[i] + (upside_down ? stride * (ph - 1) : 0);
        s->view.stride[i] = upside_down ? -stride : stride;
    }
}

static double sample(const fm_frame_view *v, int plane, int x, int y)
{
    return v->plane[plane][(ptrdiff_t)y * v->stride[plane] + x];
}

/** Y, U, V of the source at a luma pixel (its nearest chroma sample). */
static double value(const fm_frame_view *v, int channel, int x, int y)
{
    int sx, sy;
    fm__pixfmt_shift(v->format, &sx, &sy);
    if (v->format == FM_PIXFMT_RGB24) {
        double r = sample(v, 0, 3 * x, y), g = sample(v, 0, 3 * x + 1, y), b = sample(v, 0, 3 * x + 2, y);
        double l = 0.299 * r + 0.587 * g + 0.114 * b;
        double uv[] = {0, (b - l) / 1.772, (r - l) / 1.402};
        return channel == 0 ? 16 + l * 219 / 255 : 128 + uv[channel] * 224 / 255;
    }
    if (channel == 0)
        return sample(v, 0, x, y);
    if (v->format == FM_PIXFMT_GRAY8)
        return 128;
    if (v->format == FM_PIXFMT_NV12)
        return sample(v, 1, 2 * (x / 2) + channel - 1, y / 2);
    return sample(v, channel, x >> sx, y >> sy);
}

static double mean_value(const fm_frame_view *v, int channel, int cx, int cy)
{
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        int x = 2 * cx + i % 2, y = 2 * cy + i / 2;
        sum += value(v, channel, x < v->width ? x : v->width - 1, y < v->height ? y : v->height - 1);
    }
    return sum / 4;
}

static void check(const source *s)
{
    static uint8_t out[3][MAX_BYTES];
    const fm_frame_view *v = &s->view;
    int half_w = (v->width + 1) / 2, half_h = (v->height + 1) / 2;
    fm_canvas canvas = {.plane = {out[0], out[1], out[2]},
        .stride = {v->width + 3, half_w + 3, half_w + 3},
        .width = v->width,
        .height = v->height};
    memset(out, GUARD, sizeof out);
    fm__to420(&canvas, v);
    for (int c = 0; c < 3; c++) {
        int w = c ? half_w : v->width, h = c ? half_h : v->height;
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w + 3; x++) {
                int got = out[c][y * canvas.stride[c] + x];
                double want = x >= w ? GUARD : c ? mean_value(v, c, x, y) : value(v, c, x, y);
                if (fabs(got - want) > 1.01)
                    fail_msg("%s %dx%d channel %d at %d,%d: %d, expected %.2f", fm_pixfmt_name(v->format),
                        v->width, v->height, c, x, y, got, want);
            }
        assert_int_equal(out[c][h * canvas.stride[c]], GUARD);
    }
}

static void every_format_becomes_the_same_picture(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {2, 2}, {1, 7}, {7, 1}, {17, 13}, {18, 12}};
    static source s;
    for (int format = FM_PIXFMT_NONE + 1; format <= FM_PIXFMT_RGB24; format++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
            for (int flip = 0; flip < 2; flip++) {
                make_source(&s, (fm_pixfmt)format, sizes[i][0], sizes[i][1], flip);
                check(&s);
            }
}

static void rgb_takes_the_colour_that_players_assume(void **state)
{
    (void)state;
    fm_frame_view v = {.width = 640, .height = 480, .format = FM_PIXFMT_RGB24, .range = FM_RANGE_FULL};
    fm_matrix matrix;
    fm_range range;
    fm__to420_color(&v, &matrix, &range);
    assert_int_equal(matrix, FM_MATRIX_BT601);
    assert_int_equal(range, FM_RANGE_LIMITED);
    v.height = 1080;
    fm__to420_color(&v, &matrix, &range);
    assert_int_equal(matrix, FM_MATRIX_BT709);
    v.format = FM_PIXFMT_NV12;
    v.matrix = FM_MATRIX_BT601;
    fm__to420_color(&v, &matrix, &range);
    assert_int_equal(matrix, FM_MATRIX_BT601);
    assert_int_equal(range, FM_RANGE_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_becomes_the_same_picture),
        cmocka_unit_test(rgb_takes_the_colour_that_players_assume),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
