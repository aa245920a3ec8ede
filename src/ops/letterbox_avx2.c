// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The letterbox's row kernels in AVX2; letterbox_scalar.c says what they compute. Rows that end inside a
// vector are finished by one more vector that ends with the row and repeats some of its pixels, so that
// nothing is read or written past the end; rows shorter than a vector are left to the scalar twin (source
// rows) or made in a small buffer (the tensor).

#include "ops/letterbox_kernels.h"

#include <immintrin.h>
#include <string.h>

static inline __m256i load256(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

static inline __m128i load128(const void *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

static inline void store256(void *p, __m256i v)
{
    _mm256_storeu_si256((__m256i *)p, v);
}

static inline void store128(void *p, __m128i v)
{
    _mm_storeu_si128((__m128i *)p, v);
}

static inline __m256i lerp16(__m256i a, __m256i b, __m256i weight)
{
    return _mm256_add_epi16(a, _mm256_mulhrs_epi16(_mm256_sub_epi16(b, a), weight));
}

/* ---- vertical ---- */

// Even and odd bytes go separately through 16-bit lanes: cheaper than widening, and no lane has to be moved.
static inline void blend32(const uint8_t *a, const uint8_t *b, __m256i weight, __m256i *even, __m256i *odd)
{
    const __m256i low = _mm256_set1_epi16(0xff);
    __m256i va = load256(a), vb = load256(b);
    *even = lerp16(_mm256_and_si256(va, low), _mm256_and_si256(vb, low), weight);
    *odd = lerp16(_mm256_srli_epi16(va, 8), _mm256_srli_epi16(vb, 8), weight);
}

static void blend(uint8_t *dst, const uint8_t *a, const uint8_t *b, int weight, size_t n)
{
    if (n < 32) {
        fm__letterbox_scalar.blend(dst, a, b, weight, n);
        return;
    }
    const __m256i w = _mm256_set1_epi16((int16_t)weight);
    for (size_t i = 0; i < n; i += 32) {
        __m256i even, odd;
        i = i + 32 <= n ? i : n - 32;
        blend32(a + i, b + i, w, &even, &odd);
        store256(dst + i, _mm256_or_si256(even, _mm256_slli_epi16(odd, 8)));
    }
}

static void blend_pairs(uint8_t *u, uint8_t *v, const uint8_t *a, const uint8_t *b, int weight, size_t n)
{
    if (n < 32) {
        fm__letterbox_scalar.blend_pairs(u, v, a, b, weight, n);
        return;
    }
    const __m256i w = _mm256_set1_epi16((int16_t)weight);
    for (size_t i = 0; i < n; i += 32) {
        __m256i u0, v0, u1, v1;
        i = i + 32 <= n ? i : n - 32;
        blend32(a + 2 * i, b + 2 * i, w, &u0, &v0);
        blend32(a + 2 * i + 32, b + 2 * i + 32, w, &u1, &v1);
        store256(u + i, _mm256_permute4x64_epi64(_mm256_packus_epi16(u0, u1), 0xd8));
        store256(v + i, _mm256_permute4x64_epi64(_mm256_packus_epi16(v0, v1), 0xd8));
    }
}

/* ---- 3 interleaved channels ---- */

// Three vectors of 16 bytes, interleaved, to three channels and back. Row i of a table says which byte of
// input vector i goes where; -1: none.
static const int8_t split_masks[3][3][16] = {
    {{0, 3, 6, 9, 12, 15, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1},
        {-1, -1, -1, -1, -1, -1, 2, 5, 8, 11, 14, -1, -1, -1, -1, -1},
        {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 1, 4, 7, 10, 13}},
    {{1, 4, 7, 10, 13, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1},
        {-1, -1, -1, -1, -1, 0, 3, 6, 9, 12, 15, -1, -1, -1, -1, -1},
        {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 2, 5, 8, 11, 14}},
    {{2, 5, 8, 11, 14, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1},
        {-1, -1, -1, -1, -1, 1, 4, 7, 10, 13, -1, -1, -1, -1, -1, -1},
        {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 3, 6, 9, 12, 15}},
};

static const int8_t interleave_masks[3][3][16] = {
    {{0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1, 5},
        {-1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1},
        {-1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1}},
    {{-1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10, -1},
        {5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10},
        {-1, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1}},
    {{-1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1, -1},
        {-1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1},
        {10, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15}},
};

static inline __m128i shuffle3(const __m128i in[3], const int8_t masks[3][16])
{
    __m128i a = _mm_shuffle_epi8(in[0], load128(masks[0]));
    __m128i b = _mm_shuffle_epi8(in[1], load128(masks[1]));
    __m128i c = _mm_shuffle_epi8(in[2], load128(masks[2]));
    return _mm_or_si128(_mm_or_si128(a, b), c);
}

// Both sides are row buffers, whose pads take the rest of the last vector.
static void split(uint8_t *const out[3], const uint8_t *in, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const __m128i v[3] = {load128(in + 3 * i), load128(in + 3 * i + 16), load128(in + 3 * i + 32)};
        for (int c = 0; c < 3; c++) {
            store128(out[c] + i, shuffle3(v, split_masks[c]));
        }
    }
}

static void interleave(uint8_t *dst, const uint8_t *const in[3], size_t n)
{
    if (n < 16) {
        fm__letterbox_scalar.interleave(dst, in, n);
        return;
    }
    for (size_t i = 0; i < n; i += 16) {
        i = i + 16 <= n ? i : n - 16;
        const __m128i v[3] = {load128(in[0] + i), load128(in[1] + i), load128(in[2] + i)};
        for (int part = 0; part < 3; part++) {
            store128(dst + 3 * i + 16 * (size_t)part, shuffle3(v, interleave_masks[part]));
        }
    }
}

/* ---- horizontal ---- */

static inline __m256i windows(const uint8_t *row, const int32_t *start, const uint8_t *mask)
{
    __m256i v =
        _mm256_inserti128_si256(_mm256_castsi128_si256(load128(row + start[0])), load128(row + start[1]), 1);
    return _mm256_shuffle_epi8(v, load256(mask));
}

// Pairs of bytes l, r to (l << 6) + mulhrs((r - l) << 6, weight): PMADDUBSW with (64, 0) and (-64, 64).
static inline void store_lerp(int16_t *dst, __m256i pairs, const int16_t *weight)
{
    __m256i left = _mm256_maddubs_epi16(pairs, _mm256_set1_epi16(0x0040));
    __m256i diff = _mm256_maddubs_epi16(pairs, _mm256_set1_epi16(0x40c0));
    store256(dst, _mm256_add_epi16(left, _mm256_mulhrs_epi16(diff, load256(weight))));
}

static void sample_by_8(int16_t *dst, const uint8_t *row, const fm__taps *taps)
{
    const int32_t *start = taps->start;
    const int16_t *weight = taps->weight;
    const uint8_t *mask = taps->mask;
    for (int i = 0, n = taps->padded; i < n; i += 16, start += 2, mask += 32) {
        store_lerp(dst + i, windows(row, start, mask), weight + i);
    }
}

static void sample_by_4(int16_t *dst, const uint8_t *row, const fm__taps *taps)
{
    const int32_t *start = taps->start;
    const int16_t *weight = taps->weight;
    const uint8_t *mask = taps->mask;
    for (int i = 0, n = taps->padded; i < n; i += 16, start += 4, mask += 64) {
        __m256i a = windows(row, start, mask), b = windows(row, start + 2, mask + 32);
        store_lerp(dst + i, _mm256_unpacklo_epi64(a, b), weight + i);
    }
}

static void sample_by_2(int16_t *dst, const uint8_t *row, const fm__taps *taps)
{
    const int32_t *start = taps->start;
    const int16_t *weight = taps->weight;
    const uint8_t *mask = taps->mask;
    for (int i = 0, n = taps->padded; i < n; i += 16, start += 8, mask += 128) {
        __m256i a = windows(row, start, mask), b = windows(row, start + 2, mask + 32);
        __m256i c = windows(row, start + 4, mask + 64), d = windows(row, start + 6, mask + 96);
        __m256i ab = _mm256_unpacklo_epi32(a, b), cd = _mm256_unpacklo_epi32(c, d);
        store_lerp(dst + i, _mm256_unpacklo_epi64(ab, cd), weight + i);
    }
}

static inline int pair_at(const uint8_t *row, int32_t index)
{
    uint16_t pair;
    memcpy(&pair, row + index, sizeof(pair));
    return pair;
}

static inline __m128i pairs8(const uint8_t *row, const int32_t *index)
{
    __m128i v = _mm_cvtsi32_si128(pair_at(row, index[0]));
    v = _mm_insert_epi16(v, pair_at(row, index[1]), 1);
    v = _mm_insert_epi16(v, pair_at(row, index[2]), 2);
    v = _mm_insert_epi16(v, pair_at(row, index[3]), 3);
    v = _mm_insert_epi16(v, pair_at(row, index[4]), 4);
    v = _mm_insert_epi16(v, pair_at(row, index[5]), 5);
    v = _mm_insert_epi16(v, pair_at(row, index[6]), 6);
    return _mm_insert_epi16(v, pair_at(row, index[7]), 7);
}

static void sample_by_1(int16_t *dst, const uint8_t *row, const fm__taps *taps)
{
    const int32_t *index = taps->index;
    const int16_t *weight = taps->weight;
    for (int i = 0, n = taps->padded; i < n; i += 16) {
        __m128i low = pairs8(row, index + i), high = pairs8(row, index + i + 8);
        store_lerp(dst + i, _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1), weight + i);
    }
}

static void sample(int16_t *dst, const uint8_t *row, const fm__taps *taps)
{
    switch (taps->per_window) {
    case 8:
        sample_by_8(dst, row, taps);
        break;
    case 4:
        sample_by_4(dst, row, taps);
        break;
    case 2:
        sample_by_2(dst, row, taps);
        break;
    default:
        sample_by_1(dst, row, taps);
        break;
    }
}

/* ---- colour ---- */

// Two vectors of 16-bit results to 32 bytes, clamped, in order.
static inline void store_packed(uint8_t *dst, __m256i a, __m256i b)
{
    store256(dst, _mm256_permute4x64_epi64(_mm256_packus_epi16(a, b), 0xd8));
}

static inline void yuv_rgb16(const int16_t *const in[3], size_t i, const fm__color_coef *k, __m256i rgb[3])
{
    __m256i y = _mm256_mulhrs_epi16(load256(in[0] + i), _mm256_set1_epi16(k->y));
    __m256i u = load256(in[1] + i), v = load256(in[2] + i);
    __m256i rv = _mm256_mulhrs_epi16(v, _mm256_set1_epi16(k->rv));
    __m256i gu = _mm256_mulhrs_epi16(u, _mm256_set1_epi16(k->gu));
    __m256i gv = _mm256_mulhrs_epi16(v, _mm256_set1_epi16(k->gv));
    __m256i bu = _mm256_mulhrs_epi16(u, _mm256_set1_epi16(k->bu));
    __m256i r = _mm256_add_epi16(_mm256_add_epi16(y, rv), _mm256_set1_epi16(k->bias[0]));
    __m256i g =
        _mm256_add_epi16(_mm256_sub_epi16(_mm256_sub_epi16(y, gu), gv), _mm256_set1_epi16(k->bias[1]));
    __m256i b = _mm256_add_epi16(_mm256_add_epi16(y, bu), _mm256_set1_epi16(k->bias[2]));
    rgb[0] = _mm256_srai_epi16(r, 4);
    rgb[1] = _mm256_srai_epi16(g, 4);
    rgb[2] = _mm256_srai_epi16(b, 4);
}

static inline __m256i luma16(const int16_t *const in[3], size_t i, const fm__color_coef *k)
{
    __m256i y = _mm256_mulhrs_epi16(load256(in[0] + i), _mm256_set1_epi16(k->y));
    return _mm256_srai_epi16(_mm256_add_epi16(y, _mm256_set1_epi16(k->luma_bias)), 4);
}

static inline __m256i round16(__m256i v)
{
    return _mm256_srai_epi16(_mm256_add_epi16(v, _mm256_set1_epi16(32)), 6);
}

static inline __m256i gray16(const int16_t *const in[3], size_t i, const fm__color_coef *k)
{
    __m256i r = _mm256_mulhrs_epi16(load256(in[0] + i), _mm256_set1_epi16(k->gray[0]));
    __m256i g = _mm256_mulhrs_epi16(load256(in[1] + i), _mm256_set1_epi16(k->gray[1]));
    __m256i b = _mm256_mulhrs_epi16(load256(in[2] + i), _mm256_set1_epi16(k->gray[2]));
    return round16(_mm256_add_epi16(_mm256_add_epi16(r, g), b));
}

static void yuv_rgb(uint8_t *const out[3], const int16_t *const in[3], size_t n, const fm__color_coef *coef)
{
    const fm__color_coef k = *coef; // stores to bytes may alias *coef: a copy stays in registers
    for (size_t i = 0; i < n; i += 32) {
        __m256i a[3], b[3];
        i = i + 32 <= n ? i : n - 32;
        yuv_rgb16(in, i, &k, a);
        yuv_rgb16(in, i + 16, &k, b);
        store_packed(out[0] + i, a[0], b[0]);
        store_packed(out[1] + i, a[1], b[1]);
        store_packed(out[2] + i, a[2], b[2]);
    }
}

static void luma(uint8_t *const out[3], const int16_t *const in[3], size_t n, const fm__color_coef *coef)
{
    const fm__color_coef k = *coef; // stores to bytes may alias *coef: a copy stays in registers
    for (size_t i = 0; i < n; i += 32) {
        i = i + 32 <= n ? i : n - 32;
        store_packed(out[0] + i, luma16(in, i, &k), luma16(in, i + 16, &k));
    }
}

static void copy(uint8_t *const out[3], const int16_t *const in[3], size_t n, const fm__color_coef *coef)
{
    (void)coef; // RGB as it is
    for (int c = 0; c < 3; c++) {
        for (size_t i = 0; i < n; i += 32) {
            i = i + 32 <= n ? i : n - 32;
            store_packed(out[c] + i, round16(load256(in[c] + i)), round16(load256(in[c] + i + 16)));
        }
    }
}

static void rgb_gray(uint8_t *const out[3], const int16_t *const in[3], size_t n, const fm__color_coef *coef)
{
    const fm__color_coef k = *coef; // stores to bytes may alias *coef: a copy stays in registers
    for (size_t i = 0; i < n; i += 32) {
        i = i + 32 <= n ? i : n - 32;
        store_packed(out[0] + i, gray16(in, i, &k), gray16(in, i + 16, &k));
    }
}

// Rows of fewer than 32 pixels: sample rows are long enough to be read whole, the tensor's are not.
static void color_short(fm__color_fn *color, uint8_t *const out[3], const int16_t *const in[3], size_t n,
    const fm__color_coef *coef)
{
    uint8_t buffer[3][32];
    uint8_t *const wide[3] = {buffer[0], buffer[1], buffer[2]};
    color(wide, in, 32, coef);
    for (int c = 0; c < (color == luma || color == rgb_gray ? 1 : 3); c++) {
        memcpy(out[c], wide[c], n);
    }
}

#define ANY_LENGTH(name)                                                                                     \
    static void name##_any(                                                                                  \
        uint8_t *const out[3], const int16_t *const in[3], size_t n, const fm__color_coef *coef)             \
    {                                                                                                        \
        if (n < 32) {                                                                                        \
            color_short(name, out, in, n, coef);                                                             \
        } else {                                                                                             \
            name(out, in, n, coef);                                                                          \
        }                                                                                                    \
    }
ANY_LENGTH(yuv_rgb)
ANY_LENGTH(luma)
ANY_LENGTH(copy)
ANY_LENGTH(rgb_gray)

/* ---- float ---- */

static void to_float(float *dst, const uint8_t *src, size_t n, const float *mean, const float *scale)
{
    size_t i = 0;
    __m256 m[3], s[3];
    for (int k = 0; k < 3; k++) {
        m[k] = _mm256_loadu_ps(mean + 8 * k);
        s[k] = _mm256_loadu_ps(scale + 8 * k);
    }
    for (; i + 24 <= n; i += 24) {
        for (size_t k = 0; k < 3; k++) {
            __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)(src + i + 8 * k));
            __m256 v = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
            _mm256_storeu_ps(dst + i + 8 * k, _mm256_mul_ps(_mm256_sub_ps(v, m[k]), s[k]));
        }
    }
    fm__letterbox_scalar.to_float(dst + i, src + i, n - i, mean, scale); // 24 is a whole number of channels
}

const fm__letterbox_kernels fm__letterbox_avx2 = {
    .blend = blend,
    .blend_pairs = blend_pairs,
    .split = split,
    .sample = sample,
    .yuv_rgb = yuv_rgb_any,
    .luma = luma_any,
    .copy = copy_any,
    .rgb_gray = rgb_gray_any,
    .interleave = interleave,
    .to_float = to_float,
};
