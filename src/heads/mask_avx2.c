// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// AVX2 forms of the inner loops of masks and class maps, reached only through fm__mask_kernels(). Whole
// vectors here, what is left over goes to the scalar form. A mask's row is widened from a few cells to many
// pixels: neighbouring pixels lie in the same cell or the next one, so that eight of them need at most eight
// cells, which one load brings and one permutation spreads. Most stretches of 32 pixels lie wholly within the
// object or outside, which the handful of cells under them tells.

#include "heads/mask_kernels.h"

#include <immintrin.h>
#include <math.h>

static void combine(const float *src, size_t plane, const float *coef, size_t coefs, size_t n, float *dst)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 a = _mm256_setzero_ps(), b = _mm256_setzero_ps();
        for (size_t k = 0; k < coefs; k++) {
            const float *s = src + k * plane + i;
            __m256 c = _mm256_set1_ps(coef[k]);
            a = _mm256_add_ps(a, _mm256_mul_ps(c, _mm256_loadu_ps(s)));
            b = _mm256_add_ps(b, _mm256_mul_ps(c, _mm256_loadu_ps(s + 8)));
        }
        _mm256_storeu_ps(dst + i, a);
        _mm256_storeu_ps(dst + i + 8, b);
    }
    for (; i + 8 <= n; i += 8) {
        __m256 a = _mm256_setzero_ps();
        for (size_t k = 0; k < coefs; k++)
            a = _mm256_add_ps(
                a, _mm256_mul_ps(_mm256_set1_ps(coef[k]), _mm256_loadu_ps(src + k * plane + i)));
        _mm256_storeu_ps(dst + i, a);
    }
    fm__mask_scalar.combine(src + i, plane, coef, coefs, n - i, dst + i);
}

static void lerp(const float *a, const float *b, float t, size_t n, float *dst)
{
    const __m256 share = _mm256_set1_ps(t);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 from = _mm256_loadu_ps(a + i);
        __m256 d = _mm256_sub_ps(_mm256_loadu_ps(b + i), from);
        _mm256_storeu_ps(dst + i, _mm256_add_ps(from, _mm256_mul_ps(share, d)));
    }
    fm__mask_scalar.lerp(a + i, b + i, t, n - i, dst + i);
}

// Eight pixels whose first one lies in cell[0].
static int bits8(const float *row, const int32_t *cell, const float *t, __m256 threshold)
{
    const float *at = row + cell[0];
    __m256i spread = _mm256_sub_epi32(_mm256_loadu_si256((const __m256i *)cell), _mm256_set1_epi32(cell[0]));
    __m256 a = _mm256_permutevar8x32_ps(_mm256_loadu_ps(at), spread);
    __m256 b = _mm256_permutevar8x32_ps(_mm256_loadu_ps(at + 1), spread);
    __m256 v = _mm256_add_ps(a, _mm256_mul_ps(_mm256_loadu_ps(t), _mm256_sub_ps(b, a)));
    __m256 above_a = _mm256_cmp_ps(a, threshold, _CMP_GT_OQ);
    __m256 above_b = _mm256_cmp_ps(b, threshold, _CMP_GT_OQ);
    __m256 above_v = _mm256_cmp_ps(v, threshold, _CMP_GT_OQ);
    // both, or one and the number between
    __m256 some = _mm256_and_ps(_mm256_or_ps(above_a, above_b), above_v);
    return _mm256_movemask_ps(_mm256_or_ps(_mm256_and_ps(above_a, above_b), some));
}

// -1 or 0 where `pixels` pixels from cell[0] on are all set or all not, which their cells tell; 1 where they
// are mixed, or have more cells than a look takes in.
static int uniform(const float *row, const int32_t *cell, size_t pixels, __m256 threshold)
{
    int span = cell[pixels - 1] - cell[0] + 2;
    if (span > 8)
        return 1;
    int above = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(row + cell[0]), threshold, _CMP_GT_OQ));
    int all = (1 << span) - 1;
    above &= all;
    return above == all ? -1 : above == 0 ? 0 : 1;
}

enum { STRETCH = 32 };

static void bits(
    const float *row, const int32_t *cell, const float *t, float threshold, size_t n, uint8_t *dst)
{
    const __m256 limit = _mm256_set1_ps(threshold);
    size_t i = 0;
    while (i + STRETCH <= n) {
        int same = uniform(row, cell + i, STRETCH, limit);
        size_t end = i + STRETCH;
        for (; i < end; i += 8)
            dst[i / 8] = (uint8_t)(same <= 0 ? same : bits8(row, cell + i, t + i, limit));
    }
    for (; i + 8 <= n; i += 8)
        dst[i / 8] = (uint8_t)bits8(row, cell + i, t + i, limit);
    if (i < n)
        dst[i / 8] = (uint8_t)(bits8(row, cell + i, t + i, limit) & ((1 << (n - i)) - 1));
}

static void argmax(const float *src, size_t stride, size_t rows, size_t n, float *most, uint8_t *best)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 m = _mm256_set1_ps(-INFINITY), at = _mm256_setzero_ps();
        for (size_t r = 0; r < rows; r++) {
            __m256 v = _mm256_loadu_ps(src + r * stride + i);
            __m256 more = _mm256_cmp_ps(v, m, _CMP_GT_OQ);
            m = _mm256_blendv_ps(m, v, more);
            at = _mm256_blendv_ps(at, _mm256_castsi256_ps(_mm256_set1_epi32((int)r)), more);
        }
        __m256i id = _mm256_castps_si256(at);
        __m128i half = _mm_packs_epi32(_mm256_castsi256_si128(id), _mm256_extracti128_si256(id, 1));
        _mm_storel_epi64((__m128i *)(best + i), _mm_packus_epi16(half, half));
    }
    fm__mask_scalar.argmax(src + i, stride, rows, n - i, most, best + i);
}

const fm_mask_kernels fm__mask_avx2 = {
    .combine = combine,
    .lerp = lerp,
    .bits = bits,
    .argmax = argmax,
};
