// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Row kernels of colour correction in plain C: what the other levels must compute, bit by bit.

#include "base/cpu.h"
#include "ops/color_kernels.h"

static inline int mulhrs(int x, int c)
{
    return (x * c + (1 << 14)) >> 15;
}

static inline int add16(int a, int b)
{
    int sum = a + b;
    return sum > 32767 ? 32767 : sum < -32768 ? -32768 : sum;
}

static inline uint8_t clamp(int v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static inline int chroma_part(int u, int v, const fm__color_row *c)
{
    return add16(add16(mulhrs((u - 128) * 64, c->u), mulhrs((v - 128) * 64, c->v)), c->bias);
}

static void luma(uint8_t *dst, const uint8_t *y, const uint8_t *u, const uint8_t *v, size_t n, int shift,
    const fm__color_row *c)
{
    for (size_t i = 0; i < n; i++) {
        int rest = chroma_part(u[i >> shift], v[i >> shift], c);
        dst[i] = clamp(add16(mulhrs(y[i] * 64, c->y), rest) >> 4);
    }
}

static void chroma(uint8_t *dst_u, uint8_t *dst_v, const uint8_t *y0, const uint8_t *y1, const uint8_t *u,
    const uint8_t *v, size_t n, size_t luma_n, int shift, const fm__color_row c[2])
{
    for (size_t i = 0; i < n; i++) {
        size_t a = i << shift, b = shift && a + 1 < luma_n ? a + 1 : a;
        int mean = (y0[a] + y0[b] + y1[a] + y1[b]) * 16; // 6 fractional bits
        int at_u = u[i], at_v = v[i];
        dst_u[i] = clamp(add16(mulhrs(mean, c[0].y), chroma_part(at_u, at_v, &c[0])) >> 4);
        dst_v[i] = clamp(add16(mulhrs(mean, c[1].y), chroma_part(at_u, at_v, &c[1])) >> 4);
    }
}

static void mix_tables(uint32_t pairs[256], const uint8_t *upper_left, const uint8_t *lower_left,
    const uint8_t *upper_right, const uint8_t *lower_right, int w)
{
    for (int i = 0; i < 256; i++) {
        uint32_t left = (uint32_t)((128 - w) * upper_left[i] + w * lower_left[i]);
        uint32_t right = (uint32_t)((128 - w) * upper_right[i] + w * lower_right[i]);
        pairs[i] = left | right << 16;
    }
}

static void mix_pixels(
    uint8_t *dst, const uint8_t *src, size_t n, const uint32_t pairs[256], const int16_t *weights)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t pair = pairs[src[i]];
        int32_t left = (int32_t)(pair & 0xffff), right = (int32_t)(pair >> 16);
        dst[i] = (uint8_t)((left * (16384 - weights[i]) + right * weights[i] + (1 << 20)) >> 21);
    }
}

static void to_yuv(uint8_t *const yuv[3], const uint8_t *const rgb[3], size_t n, const fm__rgb_coef *c)
{
    for (int p = 0; p < 3; p++) {
        const int16_t *w = c->yuv[p];
        for (size_t i = 0; i < n; i++) {
            yuv[p][i] =
                clamp((w[0] * rgb[0][i] + w[1] * rgb[1][i] + w[2] * rgb[2][i] + c->yuv_base[p]) >> 15);
        }
    }
}

static void to_rgb(uint8_t *const rgb[3], const uint8_t *const yuv[3], size_t n, const fm__rgb_coef *c)
{
    for (int p = 0; p < 3; p++) {
        const int16_t *w = c->rgb[p];
        for (size_t i = 0; i < n; i++) {
            int chroma = w[0] * (yuv[2][i] - 128) + w[1] * (yuv[1][i] - 128);
            rgb[p][i] = clamp((c->luma * yuv[0][i] + chroma + c->rgb_base) >> 13);
        }
    }
}

const fm__color_kernels fm__color_scalar = {
    .luma = luma,
    .chroma = chroma,
    .mix_tables = mix_tables,
    .mix_pixels = mix_pixels,
    .to_yuv = to_yuv,
    .to_rgb = to_rgb,
};

const fm__color_kernels *fm__color_kernels_of(int level)
{
#if defined(__x86_64__)
    return level >= FM_CPU_AVX2 ? &fm__color_avx2 : &fm__color_scalar;
#else
    (void)level;
    return &fm__color_scalar;
#endif
}
