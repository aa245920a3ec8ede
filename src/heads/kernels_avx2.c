// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// AVX2 forms of this folder's inner loops, compiled with -mavx2 and reached only through fm__heads_kernels().
// Whole vectors here, what is left over goes to the scalar form, so nothing outside the rows is touched.
// MAXPS returns its second operand when either is NaN, which is the running maximum here: the same rule as
// the scalar comparison.

#include "heads/kernels_simd.h"

#include <immintrin.h>
#include <math.h>

_Static_assert(FM_MOTION_SAMPLES % 4 == 0, "samples are looked at in groups of four");

static float row_max(const float *v, size_t n)
{
    if (n < 8)
        return fm__heads_scalar.row_max(v, n);
    __m256 m = _mm256_set1_ps(-INFINITY);
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        m = _mm256_max_ps(_mm256_loadu_ps(v + i), m);
    float lane[8];
    _mm256_storeu_ps(lane, m);
    float best = fm__heads_scalar.row_max(v + i, n - i);
    float other = fm__heads_scalar.row_max(lane, 8);
    return other > best ? other : best;
}

static void col_max_row(const float *src, size_t n, float *best)
{
    for (size_t i = 0; i + 8 <= n; i += 8)
        _mm256_storeu_ps(best + i, _mm256_max_ps(_mm256_loadu_ps(src + i), _mm256_loadu_ps(best + i)));
}

static void col_max(const float *src, size_t stride, size_t rows, size_t n, float *best)
{
    size_t whole = n / 8 * 8;
    for (size_t i = 0; i < whole; i++)
        best[i] = -INFINITY;
    for (size_t r = 0; r < rows; r++)
        col_max_row(src + r * stride, whole, best);
    fm__heads_scalar.col_max(src + whole, stride, rows, n - whole, best + whole);
}

static void add_row(uint16_t *sum, const uint8_t *row, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256i v = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(row + i)));
        __m256i *at = (__m256i *)(sum + i);
        _mm256_storeu_si256(at, _mm256_add_epi16(_mm256_loadu_si256(at), v));
    }
    fm__heads_scalar.add_row(sum + i, row + i, n - i);
}

static void halve(uint8_t *dst, const uint16_t *sum, size_t n)
{
    const __m256i two = _mm256_set1_epi16(2);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(sum + 2 * i));
        __m256i b = _mm256_loadu_si256((const __m256i *)(sum + 2 * i + 16));
        __m256i pairs = _mm256_permute4x64_epi64(_mm256_hadd_epi16(a, b), 0xd8);
        pairs = _mm256_srli_epi16(_mm256_add_epi16(pairs, two), 2);
        __m256i bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(pairs, pairs), 0xd8);
        _mm_storeu_si128((__m128i *)(dst + i), _mm256_castsi256_si128(bytes));
    }
    fm__heads_scalar.halve(dst + i, sum + 2 * i, n - i);
}

// How many samples of a group of four lie within the radius, added to `matches`.
static __m256i count_matches(
    __m256i matches, __m256i cur, __m256i radius, const uint8_t *samples, size_t plane)
{
    for (size_t s = 0; s < 4; s++) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(samples + s * plane));
        __m256i d = _mm256_or_si256(_mm256_subs_epu8(cur, v), _mm256_subs_epu8(v, cur));
        matches = _mm256_sub_epi8(matches, _mm256_cmpeq_epi8(_mm256_min_epu8(d, radius), d));
    }
    return matches;
}

static void classify(
    uint8_t *mask, const uint8_t *cur, const uint8_t *samples, size_t plane, uint8_t radius, size_t n)
{
    const __m256i r = _mm256_set1_epi8((char)radius), wanted = _mm256_set1_epi8(FM_MOTION_MATCHES);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256i c = _mm256_loadu_si256((const __m256i *)(cur + i)), moving = wanted;
        __m256i matches = _mm256_setzero_si256();
        // most vectors are background all over and found so in the first or second group
        for (size_t s = 0; s < FM_MOTION_SAMPLES && !_mm256_testz_si256(moving, moving); s += 4) {
            matches = count_matches(matches, c, r, samples + s * plane + i, plane);
            moving = _mm256_cmpgt_epi8(wanted, matches);
        }
        _mm256_storeu_si256((__m256i *)(mask + i), moving);
    }
    fm__heads_scalar.classify(mask + i, cur + i, samples + i, plane, radius, n - i);
}

// Set pixels are -1 as signed bytes: the sum of a column of three is minus its count.
static __m256i column(const uint8_t *up, const uint8_t *mid, const uint8_t *down, ptrdiff_t at)
{
    __m256i u = _mm256_loadu_si256((const __m256i *)(up + at));
    __m256i m = _mm256_loadu_si256((const __m256i *)(mid + at));
    __m256i d = _mm256_loadu_si256((const __m256i *)(down + at));
    return _mm256_add_epi8(_mm256_add_epi8(u, m), d);
}

static void vote(
    uint8_t *dst, const uint8_t *up, const uint8_t *mid, const uint8_t *down, int least, size_t n)
{
    const __m256i limit = _mm256_set1_epi8((char)(1 - least));
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        ptrdiff_t at = (ptrdiff_t)i;
        __m256i sum = _mm256_add_epi8(column(up, mid, down, at - 1), column(up, mid, down, at + 1));
        sum = _mm256_add_epi8(sum, column(up, mid, down, at));
        _mm256_storeu_si256((__m256i *)(dst + i), _mm256_cmpgt_epi8(limit, sum));
    }
    fm__heads_scalar.vote(dst + i, up + i, mid + i, down + i, least, n - i);
}

const fm_heads_kernels fm__heads_avx2 = {
    .row_max = row_max,
    .col_max = col_max,
    .add_row = add_row,
    .halve = halve,
    .classify = classify,
    .vote = vote,
};
