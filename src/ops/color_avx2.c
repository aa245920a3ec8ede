// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Row kernels of colour correction in AVX2; color_scalar.c says what each computes. Ends of rows that do not
// fill a vector are left to the scalar kernels: rows are long. The table lookups stay scalar loads, put
// together in vectors of eight: gathers are no faster on any CPU and much slower on those with Intel's fix of
// 2023.

#include "ops/color_kernels.h"

#include <immintrin.h>

static inline __m256i widen(const uint8_t *p)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)p));
}

static inline __m256i times64(__m256i v)
{
    return _mm256_slli_epi16(v, 6);
}

// Chroma samples, centred, with 6 fractional bits.
static inline __m256i centred(const uint8_t *p)
{
    return times64(_mm256_sub_epi16(widen(p), _mm256_set1_epi16(128)));
}

static inline __m256i chroma_part(__m256i u, __m256i v, const fm__color_row *c)
{
    __m256i sum = _mm256_adds_epi16(
        _mm256_mulhrs_epi16(u, _mm256_set1_epi16(c->u)), _mm256_mulhrs_epi16(v, _mm256_set1_epi16(c->v)));
    return _mm256_adds_epi16(sum, _mm256_set1_epi16(c->bias));
}

static inline __m256i with_luma(__m256i y, __m256i rest, const fm__color_row *c)
{
    return _mm256_srai_epi16(_mm256_adds_epi16(_mm256_mulhrs_epi16(y, _mm256_set1_epi16(c->y)), rest), 4);
}

static inline __m256i pack(__m256i a, __m256i b)
{
    return _mm256_permute4x64_epi64(_mm256_packus_epi16(a, b), 0xd8);
}

// Chroma's share for 32 luma samples.
static inline void rest_of(
    const uint8_t *u, const uint8_t *v, int shift, const fm__color_row *c, __m256i rest[2])
{
    __m256i first = chroma_part(centred(u), centred(v), c);
    if (shift) {
        first = _mm256_permute4x64_epi64(first, 0xd8);
        rest[0] = _mm256_unpacklo_epi16(first, first);
        rest[1] = _mm256_unpackhi_epi16(first, first);
    } else {
        rest[0] = first;
        rest[1] = chroma_part(centred(u + 16), centred(v + 16), c);
    }
}

static void luma(uint8_t *dst, const uint8_t *y, const uint8_t *u, const uint8_t *v, size_t n, int shift,
    const fm__color_row *c)
{
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256i rest[2];
        rest_of(u + (i >> shift), v + (i >> shift), shift, c, rest);
        __m256i low = with_luma(times64(widen(y + i)), rest[0], c);
        __m256i high = with_luma(times64(widen(y + i + 16)), rest[1], c);
        _mm256_storeu_si256((__m256i *)(dst + i), pack(low, high));
    }
    fm__color_scalar.luma(dst + i, y + i, u + (i >> shift), v + (i >> shift), n - i, shift, c);
}

// Sum of four luma samples of each of 16 chroma samples, with 6 fractional bits of their mean.
static inline __m256i mean_of(const uint8_t *y0, const uint8_t *y1, int shift)
{
    __m256i sum;
    if (shift) {
        const __m256i ones = _mm256_set1_epi8(1);
        sum = _mm256_add_epi16(_mm256_maddubs_epi16(_mm256_loadu_si256((const __m256i *)y0), ones),
            _mm256_maddubs_epi16(_mm256_loadu_si256((const __m256i *)y1), ones));
    } else {
        sum = _mm256_slli_epi16(_mm256_add_epi16(widen(y0), widen(y1)), 1);
    }
    return _mm256_slli_epi16(sum, 4);
}

static void chroma(uint8_t *dst_u, uint8_t *dst_v, const uint8_t *y0, const uint8_t *y1, const uint8_t *u,
    const uint8_t *v, size_t n, size_t luma_n, int shift, const fm__color_row c[2])
{
    size_t i = 0;
    for (; i + 16 <= n && ((i + 16) << shift) <= luma_n; i += 16) {
        __m256i mean = mean_of(y0 + (i << shift), y1 + (i << shift), shift), cu = centred(u + i),
                cv = centred(v + i);
        __m256i both = pack(with_luma(mean, chroma_part(cu, cv, &c[0]), &c[0]),
            with_luma(mean, chroma_part(cu, cv, &c[1]), &c[1]));
        _mm_storeu_si128((__m128i *)(dst_u + i), _mm256_castsi256_si128(both));
        _mm_storeu_si128((__m128i *)(dst_v + i), _mm256_extracti128_si256(both, 1));
    }
    size_t at = i << shift;
    fm__color_scalar.chroma(
        dst_u + i, dst_v + i, y0 + at, y1 + at, u + i, v + i, n - i, luma_n - at, shift, c);
}

static inline __m256i mix(const uint8_t *upper, const uint8_t *lower, __m256i keep, __m256i take)
{
    return _mm256_add_epi16(_mm256_mullo_epi16(widen(upper), keep), _mm256_mullo_epi16(widen(lower), take));
}

static void mix_tables(uint32_t pairs[256], const uint8_t *upper_left, const uint8_t *lower_left,
    const uint8_t *upper_right, const uint8_t *lower_right, int w)
{
    const __m256i keep = _mm256_set1_epi16((int16_t)(128 - w)), take = _mm256_set1_epi16((int16_t)w);
    for (size_t i = 0; i < 256; i += 16) {
        __m256i left = mix(upper_left + i, lower_left + i, keep, take);
        __m256i right = mix(upper_right + i, lower_right + i, keep, take);
        __m256i low = _mm256_unpacklo_epi16(left, right), high = _mm256_unpackhi_epi16(left, right);
        _mm256_storeu_si256((__m256i *)(pairs + i), _mm256_permute2x128_si256(low, high, 0x20));
        _mm256_storeu_si256((__m256i *)(pairs + i + 8), _mm256_permute2x128_si256(low, high, 0x31));
    }
}

static inline __m256i look_up8(const uint32_t pairs[256], const uint8_t *src)
{
    __m128i a = _mm_cvtsi32_si128((int)pairs[src[0]]), b = _mm_cvtsi32_si128((int)pairs[src[4]]);
    a = _mm_insert_epi32(a, (int)pairs[src[1]], 1);
    b = _mm_insert_epi32(b, (int)pairs[src[5]], 1);
    a = _mm_insert_epi32(a, (int)pairs[src[2]], 2);
    b = _mm_insert_epi32(b, (int)pairs[src[6]], 2);
    a = _mm_insert_epi32(a, (int)pairs[src[3]], 3);
    b = _mm_insert_epi32(b, (int)pairs[src[7]], 3);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(a), b, 1);
}

// Eight pixels; weights are the right table's, the left one's is what is missing to 2^14.
static inline __m256i mix8(const uint32_t pairs[256], const uint8_t *src, const int16_t *weights)
{
    __m256i right = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)weights));
    __m256i left = _mm256_sub_epi32(_mm256_set1_epi32(16384), right);
    __m256i both = _mm256_or_si256(left, _mm256_slli_epi32(right, 16));
    __m256i sum = _mm256_madd_epi16(look_up8(pairs, src), both);
    return _mm256_srli_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(1 << 20)), 21);
}

static void mix_pixels(
    uint8_t *dst, const uint8_t *src, size_t n, const uint32_t pairs[256], const int16_t *weights)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256i words =
            _mm256_packus_epi32(mix8(pairs, src + i, weights + i), mix8(pairs, src + i + 8, weights + i + 8));
        words = _mm256_permute4x64_epi64(words, 0xd8);
        __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        _mm_storeu_si128((__m128i *)(dst + i), bytes);
    }
    fm__color_scalar.mix_pixels(dst + i, src + i, n - i, pairs, weights + i);
}

// 16 results from sums of 32 bits whose halves lie as unpacking left them.
static inline __m128i narrow(__m256i low, __m256i high)
{
    __m256i words = _mm256_packs_epi32(low, high); // back in order
    return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

static inline __m256i pair_of(int low, int high)
{
    return _mm256_set1_epi32((int)((uint32_t)high << 16 | (uint16_t)low));
}

// One component of 16 pixels: R and G side by side, B beside nothing.
static inline __m128i yuv16(const __m256i rgb[3], const int16_t w[3], int base)
{
    const __m256i zero = _mm256_setzero_si256(), rg = pair_of(w[0], w[1]), b0 = pair_of(w[2], 0);
    const __m256i add = _mm256_set1_epi32(base);
    __m256i low = _mm256_add_epi32(_mm256_madd_epi16(_mm256_unpacklo_epi16(rgb[0], rgb[1]), rg),
        _mm256_madd_epi16(_mm256_unpacklo_epi16(rgb[2], zero), b0));
    __m256i high = _mm256_add_epi32(_mm256_madd_epi16(_mm256_unpackhi_epi16(rgb[0], rgb[1]), rg),
        _mm256_madd_epi16(_mm256_unpackhi_epi16(rgb[2], zero), b0));
    return narrow(_mm256_srai_epi32(_mm256_add_epi32(low, add), 15),
        _mm256_srai_epi32(_mm256_add_epi32(high, add), 15));
}

static void to_yuv(uint8_t *const yuv[3], const uint8_t *const rgb[3], size_t n, const fm__rgb_coef *c)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m256i in[3] = {widen(rgb[0] + i), widen(rgb[1] + i), widen(rgb[2] + i)};
        for (int p = 0; p < 3; p++) {
            _mm_storeu_si128((__m128i *)(yuv[p] + i), yuv16(in, c->yuv[p], c->yuv_base[p]));
        }
    }
    const uint8_t *const from[] = {rgb[0] + i, rgb[1] + i, rgb[2] + i};
    fm__color_scalar.to_yuv((uint8_t *const[]){yuv[0] + i, yuv[1] + i, yuv[2] + i}, from, n - i, c);
}

// luma: its share and the base, as unpacking leaves it.
static inline __m128i rgb16(const __m256i luma[2], __m256i cr, __m256i cb, const int16_t w[2])
{
    const __m256i both = pair_of(w[0], w[1]);
    __m256i low = _mm256_add_epi32(luma[0], _mm256_madd_epi16(_mm256_unpacklo_epi16(cr, cb), both));
    __m256i high = _mm256_add_epi32(luma[1], _mm256_madd_epi16(_mm256_unpackhi_epi16(cr, cb), both));
    return narrow(_mm256_srai_epi32(low, 13), _mm256_srai_epi32(high, 13));
}

static void to_rgb(uint8_t *const rgb[3], const uint8_t *const yuv[3], size_t n, const fm__rgb_coef *c)
{
    const __m256i zero = _mm256_setzero_si256(), centre = _mm256_set1_epi16(128), scale = pair_of(c->luma, 0);
    const __m256i base = _mm256_set1_epi32(c->rgb_base);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256i y = widen(yuv[0] + i);
        __m256i cb = _mm256_sub_epi16(widen(yuv[1] + i), centre),
                cr = _mm256_sub_epi16(widen(yuv[2] + i), centre);
        const __m256i luma[2] = {
            _mm256_add_epi32(_mm256_madd_epi16(_mm256_unpacklo_epi16(y, zero), scale), base),
            _mm256_add_epi32(_mm256_madd_epi16(_mm256_unpackhi_epi16(y, zero), scale), base)};
        for (int p = 0; p < 3; p++) {
            _mm_storeu_si128((__m128i *)(rgb[p] + i), rgb16(luma, cr, cb, c->rgb[p]));
        }
    }
    const uint8_t *const from[] = {yuv[0] + i, yuv[1] + i, yuv[2] + i};
    fm__color_scalar.to_rgb((uint8_t *const[]){rgb[0] + i, rgb[1] + i, rgb[2] + i}, from, n - i, c);
}

const fm__color_kernels fm__color_avx2 = {
    .luma = luma,
    .chroma = chroma,
    .mix_tables = mix_tables,
    .mix_pixels = mix_pixels,
    .to_yuv = to_yuv,
    .to_rgb = to_rgb,
};
