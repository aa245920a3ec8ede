// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Scalar forms of this folder's inner loops: the definition that the SIMD forms repeat bit for bit, also with
// NaN (every comparison is written so that NaN loses; zeros of either sign count as equal). Callers bound the
// sums (motion.c).

#include "heads/kernels.h"
#include "heads/kernels_simd.h"

#include <math.h>

static float row_max(const float *v, size_t n)
{
    float best = -INFINITY;
    for (size_t i = 0; i < n; i++)
        best = v[i] > best ? v[i] : best;
    return best;
}

static void col_max(const float *src, size_t stride, size_t rows, size_t n, float *best)
{
    for (size_t i = 0; i < n; i++)
        best[i] = -INFINITY;
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < n; i++)
            best[i] = src[r * stride + i] > best[i] ? src[r * stride + i] : best[i];
    }
}

static void add_row(uint16_t *sum, const uint8_t *row, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum[i] = (uint16_t)(sum[i] + row[i]);
}

static void halve(uint8_t *dst, const uint16_t *sum, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = (uint8_t)((sum[2 * i] + sum[2 * i + 1] + 2) >> 2);
}

static void classify(
    uint8_t *mask, const uint8_t *cur, const uint8_t *samples, size_t plane, uint8_t radius, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int matches = 0;
        // most pixels are background and found so after a few samples
        for (size_t s = 0; s < FM_MOTION_SAMPLES && matches < FM_MOTION_MATCHES; s++) {
            int d = cur[i] - samples[s * plane + i];
            matches += (d < 0 ? -d : d) <= radius;
        }
        mask[i] = matches < FM_MOTION_MATCHES ? 255 : 0;
    }
}

static void vote(
    uint8_t *dst, const uint8_t *up, const uint8_t *mid, const uint8_t *down, int least, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int count = 0;
        for (int d = -1; d <= 1; d++) {
            ptrdiff_t at = (ptrdiff_t)i + d;
            count += (up[at] >> 7) + (mid[at] >> 7) + (down[at] >> 7);
        }
        dst[i] = count >= least ? 255 : 0;
    }
}

const fm_heads_kernels fm__heads_scalar = {
    .row_max = row_max,
    .col_max = col_max,
    .add_row = add_row,
    .halve = halve,
    .classify = classify,
    .vote = vote,
};

const fm_heads_kernels *fm__heads_kernels(fm_cpu_level level)
{
#if defined(__x86_64__)
    return level >= FM_CPU_AVX2 ? &fm__heads_avx2 : &fm__heads_scalar;
#else
    (void)level;
    return &fm__heads_scalar;
#endif
}
