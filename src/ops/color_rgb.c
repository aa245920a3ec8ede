// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// RGB to YUV (ITU-R BT.601-7 and BT.709-6, limited or full range; full BT.601 is what JFIF calls YCbCr) and
// back, in integers: 15 fractional bits there, 13 back. Weights of a row add up exactly, so grey stays grey;
// there and back again is off by at most 2 in saturated colours. Rows are taken apart and put together by the
// letterbox's kernels, a chunk at a time on the stack.

#include "ops/color_rgb.h"

#include "ops/letterbox_kernels.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 256 };

// Planes of one chunk, with what kernels may read behind a row.
typedef struct chunk {
    uint8_t rgb[3 * CHUNK + FM__ROW_PAD];
    uint8_t plane[3][CHUNK + FM__ROW_PAD];
} chunk;

static int16_t fixed(double v, int bits)
{
    return (int16_t)lrint(ldexp(v, bits));
}

fm__rgb_coef fm__rgb_coef_of(fm_matrix matrix, fm_range range)
{
    const double kr = matrix == FM_MATRIX_BT709 ? 0.2126 : 0.299,
                 kb = matrix == FM_MATRIX_BT709 ? 0.0722 : 0.114;
    const double kg = 1 - kr - kb, cb = 2 * (1 - kb), cr = 2 * (1 - kr);
    const double luma = range == FM_RANGE_FULL ? 1 : 219.0 / 255,
                 chroma = range == FM_RANGE_FULL ? 1 : 224.0 / 255;
    const int black = range == FM_RANGE_FULL ? 0 : 16;
    fm__rgb_coef c = {.luma = fixed(1 / luma, 13)};
    // Green takes up what rounding left, so that grey has no chroma and white is white.
    c.yuv[0][0] = fixed(kr * luma, 15);
    c.yuv[0][2] = fixed(kb * luma, 15);
    c.yuv[0][1] = (int16_t)(lrint(ldexp(luma, 15)) - c.yuv[0][0] - c.yuv[0][2]);
    c.yuv[1][0] = fixed(-kr / cb * chroma, 15);
    c.yuv[1][2] = fixed((1 - kb) / cb * chroma, 15);
    c.yuv[1][1] = (int16_t)(-c.yuv[1][0] - c.yuv[1][2]);
    c.yuv[2][0] = fixed((1 - kr) / cr * chroma, 15);
    c.yuv[2][2] = fixed(-kb / cr * chroma, 15);
    c.yuv[2][1] = (int16_t)(-c.yuv[2][0] - c.yuv[2][2]);
    c.yuv_base[0] = (black << 15) + (1 << 14);
    c.yuv_base[1] = c.yuv_base[2] = (128 << 15) + (1 << 14);
    c.rgb[0][0] = fixed(cr / chroma, 13);
    c.rgb[1][0] = fixed(-cr * kr / kg / chroma, 13);
    c.rgb[1][1] = fixed(-cb * kb / kg / chroma, 13);
    c.rgb[2][1] = fixed(cb / chroma, 13);
    c.rgb_base = -black * c.luma + (1 << 12);
    return c;
}

static const fm__letterbox_kernels *rows_of(fm_cpu_level level)
{
#if defined(__x86_64__)
    return level >= FM_CPU_AVX2 ? &fm__letterbox_avx2 : &fm__letterbox_scalar;
#else
    (void)level;
    return &fm__letterbox_scalar;
#endif
}

void fm__rgb_row_to_yuv(
    uint8_t *const yuv[3], const uint8_t *rgb, size_t n, const fm__rgb_coef *coef, fm_cpu_level level)
{
    chunk c;
    uint8_t *const planes[] = {c.plane[0], c.plane[1], c.plane[2]};
    for (size_t x = 0; x < n; x += CHUNK) {
        size_t count = n - x < CHUNK ? n - x : CHUNK;
        memcpy(c.rgb, rgb + 3 * x, 3 * count);
        rows_of(level)->split(planes, c.rgb, count);
        uint8_t *const to[] = {yuv[0] + x, yuv[1] + x, yuv[2] + x};
        fm__color_kernels_of((int)level)->to_yuv(to, (const uint8_t *const *)planes, count, coef);
    }
}

void fm__yuv_row_to_rgb(
    uint8_t *rgb, const uint8_t *const yuv[3], size_t n, const fm__rgb_coef *coef, fm_cpu_level level)
{
    chunk c;
    uint8_t *const planes[] = {c.plane[0], c.plane[1], c.plane[2]};
    for (size_t x = 0; x < n; x += CHUNK) {
        size_t count = n - x < CHUNK ? n - x : CHUNK;
        const uint8_t *const from[] = {yuv[0] + x, yuv[1] + x, yuv[2] + x};
        fm__color_kernels_of((int)level)->to_rgb(planes, from, count, coef);
        rows_of(level)->interleave(rgb + 3 * x, (const uint8_t *const *)planes, count);
    }
}

void fm__rgb_to_ycc(uint8_t *y, uint8_t *u, uint8_t *v, const uint8_t *rgb, size_t n, fm_cpu_level level)
{
    const fm__rgb_coef coef = fm__rgb_coef_of(FM_MATRIX_BT601, FM_RANGE_FULL);
    fm__rgb_row_to_yuv((uint8_t *const[]){y, u, v}, rgb, n, &coef, level);
}

void fm__ycc_to_rgb(
    uint8_t *rgb, const uint8_t *y, const uint8_t *u, const uint8_t *v, size_t n, fm_cpu_level level)
{
    const fm__rgb_coef coef = fm__rgb_coef_of(FM_MATRIX_BT601, FM_RANGE_FULL);
    fm__yuv_row_to_rgb(rgb, (const uint8_t *const[]){y, u, v}, n, &coef, level);
}

void fm__rgb_row_turn(uint8_t *dst, const uint8_t *src, size_t n)
{
    for (size_t i = 0; i < 3 * n; i += 3) {
        uint8_t first = src[i];
        dst[i] = src[i + 2];
        dst[i + 1] = src[i + 1];
        dst[i + 2] = first;
    }
}
