// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// AVX-512 forms of the inner loops of masks, reached only through fm__mask_kernels(): as the AVX2 ones with
// twice the width, what is left over by masked loads and stores, sixteen pixels' bits straight from the
// comparison, and stretches of 64 pixels told from their cells.

#include "heads/mask_kernels.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

static __mmask16 first_lanes(size_t n)
{
    return n >= 16 ? (__mmask16)0xffff : (__mmask16)((1U << n) - 1);
}

static void combine16(const float *src, size_t plane, const float *coef, size_t coefs, size_t n, float *dst)
{
    __mmask16 lanes = first_lanes(n);
    __m512 sum = _mm512_setzero_ps();
    for (size_t k = 0; k < coefs; k++) {
        __m512 v = _mm512_maskz_loadu_ps(lanes, src + k * plane);
        sum = _mm512_add_ps(sum, _mm512_mul_ps(_mm512_set1_ps(coef[k]), v));
    }
    _mm512_mask_storeu_ps(dst, lanes, sum);
}

static void combine(const float *src, size_t plane, const float *coef, size_t coefs, size_t n, float *dst)
{
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m512 a = _mm512_setzero_ps(), b = _mm512_setzero_ps();
        for (size_t k = 0; k < coefs; k++) {
            const float *s = src + k * plane + i;
            __m512 c = _mm512_set1_ps(coef[k]);
            a = _mm512_add_ps(a, _mm512_mul_ps(c, _mm512_loadu_ps(s)));
            b = _mm512_add_ps(b, _mm512_mul_ps(c, _mm512_loadu_ps(s + 16)));
        }
        _mm512_storeu_ps(dst + i, a);
        _mm512_storeu_ps(dst + i + 16, b);
    }
    for (; i < n; i += 16)
        combine16(src + i, plane, coef, coefs, n - i, dst + i);
}

static void lerp(const float *a, const float *b, float t, size_t n, float *dst)
{
    const __m512 share = _mm512_set1_ps(t);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 lanes = first_lanes(n - i);
        __m512 from = _mm512_maskz_loadu_ps(lanes, a + i);
        __m512 d = _mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, b + i), from);
        _mm512_mask_storeu_ps(dst + i, lanes, _mm512_add_ps(from, _mm512_mul_ps(share, d)));
    }
}

// Sixteen pixels whose first one lies in cell[0].
static unsigned bits16(const float *row, const int32_t *cell, const float *t, __m512 limit)
{
    const float *at = row + cell[0];
    __m512i spread = _mm512_sub_epi32(_mm512_loadu_si512(cell), _mm512_set1_epi32(cell[0]));
    __m512 a = _mm512_permutexvar_ps(spread, _mm512_loadu_ps(at));
    __m512 b = _mm512_permutexvar_ps(spread, _mm512_loadu_ps(at + 1));
    __m512 v = _mm512_add_ps(a, _mm512_mul_ps(_mm512_loadu_ps(t), _mm512_sub_ps(b, a)));
    unsigned above_a = _mm512_cmp_ps_mask(a, limit, _CMP_GT_OQ);
    unsigned above_b = _mm512_cmp_ps_mask(b, limit, _CMP_GT_OQ);
    unsigned above_v = _mm512_cmp_ps_mask(v, limit, _CMP_GT_OQ);
    return (above_a & above_b) | ((above_a | above_b) & above_v);
}

// -1 or 0 where `pixels` pixels from cell[0] on are all set or all not, which their cells tell; 1 where they
// are mixed, or have more cells than a look takes in.
static int uniform(const float *row, const int32_t *cell, size_t pixels, __m512 limit)
{
    int span = cell[pixels - 1] - cell[0] + 2;
    if (span > 16)
        return 1;
    unsigned all = (1U << span) - 1;
    unsigned above = _mm512_cmp_ps_mask(_mm512_loadu_ps(row + cell[0]), limit, _CMP_GT_OQ) & all;
    return above == all ? -1 : above == 0 ? 0 : 1;
}

enum { STRETCH = 64 };

static void bits(
    const float *row, const int32_t *cell, const float *t, float threshold, size_t n, uint8_t *dst)
{
    const __m512 limit = _mm512_set1_ps(threshold);
    size_t i = 0;
    for (; i + STRETCH <= n; i += STRETCH) {
        int same = uniform(row, cell + i, STRETCH, limit);
        uint64_t set = (uint64_t)(int64_t)same;
        if (same > 0) {
            set = 0;
            for (size_t k = 0; k < STRETCH; k += 16)
                set |= (uint64_t)bits16(row, cell + i + k, t + i + k, limit) << k;
        }
        memcpy(dst + i / 8, &set, sizeof set);
    }
    for (; i < n; i += 16) {
        unsigned set = bits16(row, cell + i, t + i, limit) & first_lanes(n - i);
        dst[i / 8] = (uint8_t)set;
        dst[i / 8 + 1] = (uint8_t)(set >> 8);
    }
}

static void argmax(const float *src, size_t stride, size_t rows, size_t n, float *most, uint8_t *best)
{
    (void)most;
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 lanes = first_lanes(n - i);
        __m512 m = _mm512_set1_ps(-INFINITY);
        __m512i at = _mm512_setzero_si512();
        for (size_t r = 0; r < rows; r++) {
            __m512 v = _mm512_maskz_loadu_ps(lanes, src + r * stride + i);
            __mmask16 more = _mm512_cmp_ps_mask(v, m, _CMP_GT_OQ);
            m = _mm512_mask_mov_ps(m, more, v);
            at = _mm512_mask_set1_epi32(at, more, (int)r);
        }
        _mm512_mask_cvtepi32_storeu_epi8(best + i, lanes, at);
    }
}

const fm_mask_kernels fm__mask_avx512 = {
    .combine = combine,
    .lerp = lerp,
    .bits = bits,
    .argmax = argmax,
};
