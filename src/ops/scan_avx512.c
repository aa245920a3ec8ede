// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Exact squared distance in AVX-512: the sixteen lanes are one vector. scan.h has the order of additions.

#include "ops/scan_kernels.h"

#include <immintrin.h>

float fm__scan_l2_avx512(const float *a, const float *b, size_t stride)
{
    __m512 sum = _mm512_setzero_ps();
    for (size_t i = 0; i < stride; i += 16) {
        __m512 d = _mm512_sub_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i));
        sum = _mm512_add_ps(sum, _mm512_mul_ps(d, d));
    }
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(sum), _mm512_extractf32x8_ps(sum, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}
