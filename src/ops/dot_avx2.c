// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Dot products in AVX2: a row's sixteen lanes are two vectors. dot_kernels.h has the order of additions.

#include "ops/dot_kernels.h"

#include <immintrin.h>
#include <math.h>
#include <stdint.h>

// Lanes of the last vectors that count: a window into ones followed by zeros.
static const int32_t lane_masks[32] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};

static inline __m256 add_product(__m256 sum, __m256 a, __m256 b)
{
    return _mm256_add_ps(sum, _mm256_mul_ps(a, b));
}

static inline float sum_lanes(__m256 low, __m256 high)
{
    __m256 eight = _mm256_add_ps(low, high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

// The inner loop over whole vectors and the masked rest, for `count` rows known at compile time.
static inline __attribute__((always_inline)) float best_of(
    const float *rows, size_t stride, const float *q, size_t n, int count)
{
    __m256 low[4], high[4];
    for (int r = 0; r < count; r++)
        low[r] = high[r] = _mm256_setzero_ps();
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 q0 = _mm256_loadu_ps(q + i), q1 = _mm256_loadu_ps(q + i + 8);
        for (int r = 0; r < count; r++) {
            const float *row = rows + (size_t)r * stride + i;
            low[r] = add_product(low[r], _mm256_loadu_ps(row), q0);
            high[r] = add_product(high[r], _mm256_loadu_ps(row + 8), q1);
        }
    }
    if (i < n) {
        const int32_t *mask = lane_masks + 16 - (n - i);
        __m256i m0 = _mm256_loadu_si256((const __m256i *)(const void *)mask);
        __m256i m1 = _mm256_loadu_si256((const __m256i *)(const void *)(mask + 8));
        // Where no lane of the upper half counts, not even its address may lie past the end.
        size_t up = n - i > 8 ? i + 8 : i;
        __m256 q0 = _mm256_maskload_ps(q + i, m0), q1 = _mm256_maskload_ps(q + up, m1);
        for (int r = 0; r < count; r++) {
            const float *row = rows + (size_t)r * stride;
            low[r] = add_product(low[r], _mm256_maskload_ps(row + i, m0), q0);
            high[r] = add_product(high[r], _mm256_maskload_ps(row + up, m1), q1);
        }
    }
    float best = -INFINITY;
    for (int r = 0; r < count; r++) {
        float d = sum_lanes(low[r], high[r]);
        best = d > best ? d : best;
    }
    return best;
}

float fm__dot_max_avx2(const float *rows, size_t count, size_t stride, const float *q, size_t n)
{
    float best = -INFINITY;
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        float d = best_of(rows + i * stride, stride, q, n, 4);
        best = d > best ? d : best;
    }
    for (; i < count; i++) {
        float d = best_of(rows + i * stride, stride, q, n, 1);
        best = d > best ? d : best;
    }
    return best;
}
