// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The JPEG encoder's transform in AVX-512: four blocks at a time, one to a 128-bit lane, stored in zigzag
// order.

#include "ops/jpeg_avx512.h"

#include "ops/jpeg_avx2.h"
#include "ops/jpeg_huff.h"

#include <immintrin.h>

#define V __m512i
#define ADD(a, b) _mm512_add_epi16(a, b)
#define SUB(a, b) _mm512_sub_epi16(a, b)
#define MULR(a, c) _mm512_mulhrs_epi16(a, _mm512_set1_epi16(c))
#define SHL4(a) _mm512_slli_epi16(a, 4)
#define SET1(c) _mm512_set1_epi16(c)
#define UNPACKLO16(a, b) _mm512_unpacklo_epi16(a, b)
#define UNPACKHI16(a, b) _mm512_unpackhi_epi16(a, b)
#define UNPACKLO32(a, b) _mm512_unpacklo_epi32(a, b)
#define UNPACKHI32(a, b) _mm512_unpackhi_epi32(a, b)
#define UNPACKLO64(a, b) _mm512_unpacklo_epi64(a, b)
#define UNPACKHI64(a, b) _mm512_unpackhi_epi64(a, b)
#include "ops/jpeg_dct.h"

static inline __m512i four(const void *eight)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128(eight));
}

static inline __m512i quantise(const fm__jpeg_quant *q, int u, __m512i x)
{
    __m512i n = _mm512_add_epi16(_mm512_abs_epi16(x), four(q->half + u * 8));
    n = _mm512_mulhi_epu16(_mm512_mulhi_epu16(n, four(q->recip + u * 8)), four(q->scale + u * 8));
    n = _mm512_min_epi16(n, four(q->most + u * 8));
    return _mm512_mask_sub_epi16(n, _mm512_movepi16_mask(x), _mm512_setzero_si512(), n);
}

// Lane b of r[0..3] becomes the four lanes of out[b].
static inline void gather_blocks(const __m512i r[4], __m512i out[4])
{
    __m512i a = _mm512_shuffle_i32x4(r[0], r[1], 0x44), b = _mm512_shuffle_i32x4(r[2], r[3], 0x44);
    __m512i c = _mm512_shuffle_i32x4(r[0], r[1], 0xEE), d = _mm512_shuffle_i32x4(r[2], r[3], 0xEE);
    out[0] = _mm512_shuffle_i32x4(a, b, 0x88);
    out[1] = _mm512_shuffle_i32x4(a, b, 0xDD);
    out[2] = _mm512_shuffle_i32x4(c, d, 0x88);
    out[3] = _mm512_shuffle_i32x4(c, d, 0xDD);
}

static inline void four_blocks(const fm__jpeg_quant *q, const __m512i zigzag[2], const uint8_t *const rows[8],
    ptrdiff_t x0, int16_t *coefs, uint64_t *masks)
{
    __m512i x[8], low[4], high[4];
    for (int y = 0; y < 8; y++) {
        x[y] = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(rows[y] + x0)));
    }
    look_ahead(rows, x0);
    dct_8x8(x);
    x[0] = _mm512_adds_epi16(x[0], four(q->dc_offset));
    for (int u = 0; u < 8; u++) {
        x[u] = quantise(q, u, x[u]);
    }
    x[0] = _mm512_min_epi16(x[0], _mm512_set1_epi16(1023));
    gather_blocks(x, low);
    gather_blocks(x + 4, high);
    for (int i = 0; i < 4; i++) {
        __m512i a = _mm512_permutex2var_epi16(low[i], zigzag[0], high[i]);
        __m512i b = _mm512_permutex2var_epi16(low[i], zigzag[1], high[i]);
        _mm512_storeu_si512(coefs + (ptrdiff_t)i * FM__JPEG_BLOCK, a);
        _mm512_storeu_si512(coefs + (ptrdiff_t)i * FM__JPEG_BLOCK + 32, b);
        masks[i] = (uint64_t)_mm512_test_epi16_mask(a, a) | (uint64_t)_mm512_test_epi16_mask(b, b) << 32 | 1;
    }
}

void fm__jpeg_transform_avx512(const fm__jpeg_tables *t, int chroma, const uint8_t *const rows[8], int groups,
    int16_t *coefs, uint64_t *masks)
{
    const __m256i *order = (const __m256i *)(const void *)fm__jpeg_zigzag;
    const __m512i zigzag[2] = {
        _mm512_cvtepu8_epi16(_mm256_loadu_si256(order)), _mm512_cvtepu8_epi16(_mm256_loadu_si256(order + 1))};
    for (int i = 0; i < groups * FM__JPEG_GROUP; i += 4) {
        four_blocks(&t->quant[chroma], zigzag, rows, (ptrdiff_t)i * 8, coefs + i * FM__JPEG_BLOCK, masks + i);
    }
}

const uint8_t fm__jpeg_straight[FM__JPEG_BLOCK] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
    17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42,
    43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};

size_t fm__jpeg_stuff_avx512(uint8_t *dst, const uint8_t *src, size_t n)
{
    uint8_t *at = dst;
    const uint8_t *end = src + n;
    while (src < end) {
        __m512i x = _mm512_loadu_si512(src);
        uint64_t full = _mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8(-1));
        ptrdiff_t count = full ? __builtin_ctzll(full) + 1 : 64;
        count = count > end - src ? end - src : count;
        _mm512_storeu_si512(at, x);
        at += count;
        src += count;
        if (at[-1] == 0xFF) {
            *at++ = 0;
        }
    }
    return (size_t)(at - dst);
}

void fm__jpeg_split_avx512(uint8_t *restrict u, uint8_t *restrict v, const uint8_t *restrict uv, int n)
{
    split_pairs(u, v, uv, n);
}

const fm__jpeg_kernels fm__jpeg_avx512 = {
    .transform = fm__jpeg_transform_avx512,
    .encode = fm__jpeg_encode_avx2,
    .stuff = fm__jpeg_stuff_avx512,
    .split = fm__jpeg_split_avx512,
    .order = fm__jpeg_straight,
};
