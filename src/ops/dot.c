// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Dot products, scalar, and the choice of a level. A single product is the largest of one row. The SIMD
// levels take four rows at a time: one row's sum is a chain of additions, each waiting for the last, and four
// such chains keep the adders busy.

#include "ops/dot.h"

#include "ops/dot_kernels.h"

#include <math.h>

enum { LANES = 16 };

static float dot_scalar(const float *a, const float *b, size_t n)
{
    float lane[LANES] = {0};
    size_t whole = n / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            lane[l] += a[i + l] * b[i + l];
    for (size_t i = whole; i < n; i++)
        lane[i - whole] += a[i] * b[i];
    for (size_t width = LANES / 2; width > 0; width /= 2)
        for (size_t l = 0; l < width; l++)
            lane[l] += lane[l + width];
    return lane[0];
}

static float dot_max_scalar(const float *rows, size_t count, size_t stride, const float *q, size_t n)
{
    float best = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        float d = dot_scalar(rows + i * stride, q, n);
        best = d > best ? d : best;
    }
    return best;
}

float fm__dot_max(
    const float *rows, size_t count, size_t stride, const float *q, size_t n, fm_cpu_level level)
{
#if defined(__x86_64__)
    static fm__dot_max_fn *const table[FM_CPU_LEVEL_COUNT] = {
        dot_max_scalar, fm__dot_max_avx2, fm__dot_max_avx512};
    return table[level](rows, count, stride, q, n);
#else
    (void)level;
    return dot_max_scalar(rows, count, stride, q, n);
#endif
}

float fm__dot(const float *a, const float *b, size_t n, fm_cpu_level level)
{
    return fm__dot_max(a, 1, n, b, n, level);
}
