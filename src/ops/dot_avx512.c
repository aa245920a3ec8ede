// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Dot products in AVX-512: a row's sixteen lanes are one vector. dot_kernels.h has the order of additions.

#include "ops/dot_kernels.h"

#include <immintrin.h>
#include <math.h>

static inline float sum_lanes(__m512 sixteen)
{
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(sixteen), _mm512_extractf32x8_ps(sixteen, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

// For `count` rows known at compile time.
static inline __attribute__((always_inline)) float best_of(
    const float *rows, size_t stride, const float *q, size_t n, int count)
{
    __m512 sum[4];
    for (int r = 0; r < count; r++)
        sum[r] = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += 16) {
        size_t left = n - i < 16 ? n - i : 16;
        __mmask16 lanes = (__mmask16)(0xffffU >> (16 - left));
        __m512 part = _mm512_maskz_loadu_ps(lanes, q + i);
        for (int r = 0; r < count; r++) {
            __m512 row = _mm512_maskz_loadu_ps(lanes, rows + (size_t)r * stride + i);
            sum[r] = _mm512_add_ps(sum[r], _mm512_mul_ps(row, part));
        }
    }
    float best = -INFINITY;
    for (int r = 0; r < count; r++) {
        float d = sum_lanes(sum[r]);
        best = d > best ? d : best;
    }
    return best;
}

float fm__dot_max_avx512(const float *rows, size_t count, size_t stride, const float *q, size_t n)
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
