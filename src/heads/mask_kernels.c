// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Scalar forms of the inner loops of masks and class maps: the definition that the SIMD forms repeat bit for
// bit. Compiled without contraction (meson.build), since a fused product rounds once where the others round
// twice.

#include "heads/mask_kernels.h"

#include <math.h>
#include <string.h>

static void combine(const float *src, size_t plane, const float *coef, size_t coefs, size_t n, float *dst)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = 0;
    for (size_t k = 0; k < coefs; k++) {
        for (size_t i = 0; i < n; i++)
            dst[i] += coef[k] * src[k * plane + i];
    }
}

static void lerp(const float *a, const float *b, float t, size_t n, float *dst)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = a[i] + t * (b[i] - a[i]);
}

static void bits(
    const float *row, const int32_t *cell, const float *t, float threshold, size_t n, uint8_t *dst)
{
    memset(dst, 0, (n + 7) / 8);
    for (size_t i = 0; i < n; i++) {
        float a = row[cell[i]], b = row[cell[i] + 1];
        int sides = (a > threshold) + (b > threshold);
        int is_set = sides == 2 || (sides == 1 && a + t[i] * (b - a) > threshold);
        dst[i / 8] |= (uint8_t)(is_set << i % 8);
    }
}

static void argmax(const float *src, size_t stride, size_t rows, size_t n, float *most, uint8_t *best)
{
    memset(best, 0, n);
    for (size_t i = 0; i < n; i++)
        most[i] = -INFINITY;
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < n; i++) {
            if (src[r * stride + i] > most[i]) {
                most[i] = src[r * stride + i];
                best[i] = (uint8_t)r;
            }
        }
    }
}

const fm_mask_kernels fm__mask_scalar = {
    .combine = combine,
    .lerp = lerp,
    .bits = bits,
    .argmax = argmax,
};

const fm_mask_kernels *fm__mask_kernels(fm_cpu_level level)
{
#if defined(__x86_64__)
    if (level >= FM_CPU_AVX512)
        return &fm__mask_avx512;
    if (level >= FM_CPU_AVX2)
        return &fm__mask_avx2;
#else
    (void)level;
#endif
    return &fm__mask_scalar;
}
