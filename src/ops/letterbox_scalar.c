// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The definition of the letterbox's row kernels, in plain C. Every other level must give these bits.
// Arithmetic is that of 16-bit SIMD lanes: Q15 products rounded as PMULHRSW does, so that no level needs more
// than one multiplication a term. Against exact bilinear interpolation and colour conversion the result is
// off by at most 2: half a level from rounding the vertical blend to u8 (times 2.1 for blue from U, plus 1.2
// from Y), a tenth from the rest, half from the end.

#include "ops/letterbox_kernels.h"

static inline int mulhrs(int x, int c)
{
    return (x * c + (1 << 14)) >> 15;
}

static inline uint8_t clamp_u8(int v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static void blend(uint8_t *dst, const uint8_t *a, const uint8_t *b, int weight, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        dst[i] = (uint8_t)(a[i] + mulhrs(b[i] - a[i], weight));
    }
}

static void blend_pairs(uint8_t *u, uint8_t *v, const uint8_t *a, const uint8_t *b, int weight, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        u[i] = (uint8_t)(a[2 * i] + mulhrs(b[2 * i] - a[2 * i], weight));
        v[i] = (uint8_t)(a[2 * i + 1] + mulhrs(b[2 * i + 1] - a[2 * i + 1], weight));
    }
}

static void split(uint8_t *const out[3], const uint8_t *in, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (int c = 0; c < 3; c++) {
            out[c][i] = in[3 * i + (size_t)c];
        }
    }
}

static void sample(int16_t *dst, const uint8_t *row, const fm__taps *taps)
{
    for (int i = 0; i < taps->padded; i++) {
        int l = row[taps->index[i]], r = row[taps->index[i] + 1];
        dst[i] = (int16_t)(l * 64 + mulhrs((r - l) * 64, taps->weight[i]));
    }
}

static void yuv_rgb(uint8_t *const out[3], const int16_t *const in[3], size_t n, const fm__color_coef *coef)
{
    for (size_t i = 0; i < n; i++) {
        int y = mulhrs(in[0][i], coef->y), u = in[1][i], v = in[2][i];
        out[0][i] = clamp_u8((y + mulhrs(v, coef->rv) + coef->bias[0]) >> 4);
        out[1][i] = clamp_u8((y - mulhrs(u, coef->gu) - mulhrs(v, coef->gv) + coef->bias[1]) >> 4);
        out[2][i] = clamp_u8((y + mulhrs(u, coef->bu) + coef->bias[2]) >> 4);
    }
}

static void luma(uint8_t *const out[3], const int16_t *const in[3], size_t n, const fm__color_coef *coef)
{
    for (size_t i = 0; i < n; i++) {
        out[0][i] = clamp_u8((mulhrs(in[0][i], coef->y) + coef->luma_bias) >> 4);
    }
}

static void copy(uint8_t *const out[3], const int16_t *const in[3], size_t n, const fm__color_coef *coef)
{
    (void)coef; // RGB as it is
    for (int c = 0; c < 3; c++) {
        for (size_t i = 0; i < n; i++) {
            out[c][i] = (uint8_t)((in[c][i] + 32) >> 6);
        }
    }
}

static void rgb_gray(uint8_t *const out[3], const int16_t *const in[3], size_t n, const fm__color_coef *coef)
{
    for (size_t i = 0; i < n; i++) {
        int sum = mulhrs(in[0][i], coef->gray[0]) + mulhrs(in[1][i], coef->gray[1]) +
                  mulhrs(in[2][i], coef->gray[2]);
        out[0][i] = clamp_u8((sum + 32) >> 6);
    }
}

static void interleave(uint8_t *dst, const uint8_t *const in[3], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (int c = 0; c < 3; c++) {
            dst[3 * i + (size_t)c] = in[c][i];
        }
    }
}

static void to_float(float *dst, const uint8_t *src, size_t n, const float *mean, const float *scale)
{
    size_t phase = 0;
    for (size_t i = 0; i < n; i++) {
        dst[i] = ((float)src[i] - mean[phase]) * scale[phase];
        phase = phase + 1 < FM__NORM_PERIOD ? phase + 1 : 0;
    }
}

const fm__letterbox_kernels fm__letterbox_scalar = {
    .blend = blend,
    .blend_pairs = blend_pairs,
    .split = split,
    .sample = sample,
    .yuv_rgb = yuv_rgb,
    .luma = luma,
    .copy = copy,
    .rgb_gray = rgb_gray,
    .interleave = interleave,
    .to_float = to_float,
};
