// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The letterbox's row kernels in AVX-512 where twice the width pays without crossing lanes: vertical blend,
// colour, float. Gathering pairs, and the steps of three channels, are AVX2's: a byte shuffle across lanes
// needs VBMI, which this level does not ask for. letterbox_scalar.c says what each computes. Ends of rows are
// masked.

#include "ops/letterbox_kernels.h"

#include <immintrin.h>

static inline __mmask64 first_bytes(size_t n)
{
    return n >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << n) - 1;
}

static inline __m512i lerp16(__m512i a, __m512i b, __m512i weight)
{
    return _mm512_add_epi16(a, _mm512_mulhrs_epi16(_mm512_sub_epi16(b, a), weight));
}

static void blend(uint8_t *dst, const uint8_t *a, const uint8_t *b, int weight, size_t n)
{
    const __m512i low = _mm512_set1_epi16(0xff), w = _mm512_set1_epi16((int16_t)weight);
    for (size_t i = 0; i < n; i += 64) {
        __mmask64 bytes = first_bytes(n - i);
        __m512i va = _mm512_maskz_loadu_epi8(bytes, a + i), vb = _mm512_maskz_loadu_epi8(bytes, b + i);
        __m512i even = lerp16(_mm512_and_si512(va, low), _mm512_and_si512(vb, low), w);
        __m512i odd = lerp16(_mm512_srli_epi16(va, 8), _mm512_srli_epi16(vb, 8), w);
        _mm512_mask_storeu_epi8(dst + i, bytes, _mm512_or_si512(even, _mm512_slli_epi16(odd, 8)));
    }
}

// The upper half of the last 64 samples may lie in the row's pad (FM__ROW_PAD), so loads need no mask.
static inline __m512i samples(const int16_t *row, size_t i)
{
    return _mm512_loadu_si512((const void *)(row + i));
}

// 64 results of 16 bits to bytes, clamped. Packing works in lanes of 128 bits: the 64-bit pieces then stand
// as a0 b0 a1 b1 ...
static inline void store_packed(uint8_t *dst, __m512i a, __m512i b, __mmask64 bytes)
{
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    _mm512_mask_storeu_epi8(dst, bytes, _mm512_permutexvar_epi64(order, _mm512_packus_epi16(a, b)));
}

static inline void yuv_rgb32(const int16_t *const in[3], size_t i, const fm__color_coef *k, __m512i rgb[3])
{
    __m512i y = _mm512_mulhrs_epi16(samples(in[0], i), _mm512_set1_epi16(k->y));
    __m512i u = samples(in[1], i), v = samples(in[2], i);
    __m512i rv = _mm512_mulhrs_epi16(v, _mm512_set1_epi16(k->rv));
    __m512i gu = _mm512_mulhrs_epi16(u, _mm512_set1_epi16(k->gu));
    __m512i gv = _mm512_mulhrs_epi16(v, _mm512_set1_epi16(k->gv));
    __m512i bu = _mm512_mulhrs_epi16(u, _mm512_set1_epi16(k->bu));
    __m512i r = _mm512_add_epi16(_mm512_add_epi16(y, rv), _mm512_set1_epi16(k->bias[0]));
    __m512i g =
        _mm512_add_epi16(_mm512_sub_epi16(_mm512_sub_epi16(y, gu), gv), _mm512_set1_epi16(k->bias[1]));
    __m512i b = _mm512_add_epi16(_mm512_add_epi16(y, bu), _mm512_set1_epi16(k->bias[2]));
    rgb[0] = _mm512_srai_epi16(r, 4);
    rgb[1] = _mm512_srai_epi16(g, 4);
    rgb[2] = _mm512_srai_epi16(b, 4);
}

static void yuv_rgb(uint8_t *const out[3], const int16_t *const in[3], size_t n, const fm__color_coef *coef)
{
    for (size_t i = 0; i < n; i += 64) {
        __mmask64 bytes = first_bytes(n - i);
        __m512i a[3], b[3];
        yuv_rgb32(in, i, coef, a);
        yuv_rgb32(in, i + 32, coef, b);
        store_packed(out[0] + i, a[0], b[0], bytes);
        store_packed(out[1] + i, a[1], b[1], bytes);
        store_packed(out[2] + i, a[2], b[2], bytes);
    }
}

static inline __m512i luma32(const int16_t *row, size_t i, const fm__color_coef *k)
{
    __m512i y = _mm512_mulhrs_epi16(samples(row, i), _mm512_set1_epi16(k->y));
    return _mm512_srai_epi16(_mm512_add_epi16(y, _mm512_set1_epi16(k->luma_bias)), 4);
}

static void luma(uint8_t *const out[3], const int16_t *const in[3], size_t n, const fm__color_coef *coef)
{
    for (size_t i = 0; i < n; i += 64) {
        store_packed(out[0] + i, luma32(in[0], i, coef), luma32(in[0], i + 32, coef), first_bytes(n - i));
    }
}

static inline __m512i round32(__m512i v)
{
    return _mm512_srai_epi16(_mm512_add_epi16(v, _mm512_set1_epi16(32)), 6);
}

static void copy(uint8_t *const out[3], const int16_t *const in[3], size_t n, const fm__color_coef *coef)
{
    (void)coef; // RGB as it is
    for (int c = 0; c < 3; c++) {
        for (size_t i = 0; i < n; i += 64) {
            __m512i a = round32(samples(in[c], i)), b = round32(samples(in[c], i + 32));
            store_packed(out[c] + i, a, b, first_bytes(n - i));
        }
    }
}

static inline __m512i gray32(const int16_t *const in[3], size_t i, const fm__color_coef *k)
{
    __m512i r = _mm512_mulhrs_epi16(samples(in[0], i), _mm512_set1_epi16(k->gray[0]));
    __m512i g = _mm512_mulhrs_epi16(samples(in[1], i), _mm512_set1_epi16(k->gray[1]));
    __m512i b = _mm512_mulhrs_epi16(samples(in[2], i), _mm512_set1_epi16(k->gray[2]));
    return round32(_mm512_add_epi16(_mm512_add_epi16(r, g), b));
}

static void rgb_gray(uint8_t *const out[3], const int16_t *const in[3], size_t n, const fm__color_coef *coef)
{
    for (size_t i = 0; i < n; i += 64) {
        store_packed(out[0] + i, gray32(in, i, coef), gray32(in, i + 32, coef), first_bytes(n - i));
    }
}

static void to_float(float *dst, const uint8_t *src, size_t n, const float *mean, const float *scale)
{
    for (size_t i = 0; i < n; i += FM__NORM_PERIOD) {
        for (size_t k = 0; k < FM__NORM_PERIOD && i + k < n; k += 16) {
            __mmask16 lanes = (__mmask16)first_bytes(n - i - k);
            __m512i wide = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(lanes, src + i + k));
            __m512 v = _mm512_sub_ps(_mm512_cvtepi32_ps(wide), _mm512_loadu_ps(mean + k));
            _mm512_mask_storeu_ps(dst + i + k, lanes, _mm512_mul_ps(v, _mm512_loadu_ps(scale + k)));
        }
    }
}

static void blend_pairs(uint8_t *u, uint8_t *v, const uint8_t *a, const uint8_t *b, int weight, size_t n)
{
    fm__letterbox_avx2.blend_pairs(u, v, a, b, weight, n);
}

static void split(uint8_t *const out[3], const uint8_t *in, size_t n)
{
    fm__letterbox_avx2.split(out, in, n);
}

static void sample(int16_t *dst, const uint8_t *row, const fm__taps *taps)
{
    fm__letterbox_avx2.sample(dst, row, taps);
}

static void interleave(uint8_t *dst, const uint8_t *const in[3], size_t n)
{
    fm__letterbox_avx2.interleave(dst, in, n);
}

const fm__letterbox_kernels fm__letterbox_avx512 = {
    .blend = blend,
    .blend_pairs = blend_pairs,
    .split = split,
    .sample = sample,
    .yuv_rgb = yuv_rgb,
    .luma = luma,
    .copy = copy,
    .rgb_gray = rgb_gray,
    .interleave = interleave,
    .to_float = to_float,
};
