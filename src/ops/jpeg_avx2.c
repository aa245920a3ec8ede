// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The JPEG encoder's steps in AVX2: two blocks at a time, one to a 128-bit lane. Coefficients are stored as
// the transform leaves them; the bits of those that are not zero are brought into zigzag order by sixteen
// look-ups of four bits each.

#include "ops/jpeg_huff.h"

#include <immintrin.h>

#define V __m256i
#define ADD(a, b) _mm256_add_epi16(a, b)
#define SUB(a, b) _mm256_sub_epi16(a, b)
#define MULR(a, c) _mm256_mulhrs_epi16(a, _mm256_set1_epi16(c))
#define SHL4(a) _mm256_slli_epi16(a, 4)
#define SET1(c) _mm256_set1_epi16(c)
#define UNPACKLO16(a, b) _mm256_unpacklo_epi16(a, b)
#define UNPACKHI16(a, b) _mm256_unpackhi_epi16(a, b)
#define UNPACKLO32(a, b) _mm256_unpacklo_epi32(a, b)
#define UNPACKHI32(a, b) _mm256_unpackhi_epi32(a, b)
#define UNPACKLO64(a, b) _mm256_unpacklo_epi64(a, b)
#define UNPACKHI64(a, b) _mm256_unpackhi_epi64(a, b)
#include "ops/jpeg_dct.h"

static inline __m256i both(const void *eight)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(eight));
}

static inline __m256i quantise(const fm__jpeg_quant *q, int u, __m256i x)
{
    __m256i n = _mm256_add_epi16(_mm256_abs_epi16(x), both(q->half + u * 8));
    n = _mm256_mulhi_epu16(_mm256_mulhi_epu16(n, both(q->recip + u * 8)), both(q->scale + u * 8));
    return _mm256_sign_epi16(_mm256_min_epi16(n, both(q->most + u * 8)), x);
}

// Sixteen bits a block of columns u and u + 1: which are zero.
static inline uint32_t zeros(__m256i a, __m256i b)
{
    __m256i none = _mm256_setzero_si256();
    return (uint32_t)_mm256_movemask_epi8(
        _mm256_packs_epi16(_mm256_cmpeq_epi16(a, none), _mm256_cmpeq_epi16(b, none)));
}

static inline uint64_t spread(const fm__jpeg_tables *t, uint64_t bits)
{
    uint64_t out = 1;
    for (int i = 0; i < 16; i++) {
        out |= t->spread[i][bits >> (4 * i) & 15];
    }
    return out;
}

static inline void two_blocks(const fm__jpeg_tables *t, const fm__jpeg_quant *q, const uint8_t *const rows[8],
    ptrdiff_t x0, int16_t *coefs, uint64_t *masks)
{
    __m256i x[8];
    for (int y = 0; y < 8; y++) {
        x[y] = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(rows[y] + x0)));
    }
    dct_8x8(x);
    x[0] = _mm256_adds_epi16(x[0], both(q->dc_offset));
    for (int u = 0; u < 8; u++) {
        x[u] = quantise(q, u, x[u]);
    }
    x[0] = _mm256_min_epi16(x[0], _mm256_set1_epi16(1023));
    uint64_t first = 0, second = 0;
    for (int u = 0; u < 8; u += 2) {
        uint32_t none = ~zeros(x[u], x[u + 1]);
        first |= (uint64_t)(none & 0xFFFF) << (8 * u);
        second |= (uint64_t)(none >> 16) << (8 * u);
    }
    for (int u = 0; u < 8; u++) {
        _mm_storeu_si128((__m128i *)(void *)(coefs + u * 8), _mm256_castsi256_si128(x[u]));
        _mm_storeu_si128(
            (__m128i *)(void *)(coefs + FM__JPEG_BLOCK + u * 8), _mm256_extracti128_si256(x[u], 1));
    }
    masks[0] = spread(t, first);
    masks[1] = spread(t, second);
}

static void transform_avx2(const fm__jpeg_tables *t, int chroma, const uint8_t *const rows[8], int groups,
    int16_t *coefs, uint64_t *masks)
{
    for (int i = 0; i < groups * FM__JPEG_GROUP; i += 2) {
        two_blocks(t, &t->quant[chroma], rows, (ptrdiff_t)i * 8, coefs + i * FM__JPEG_BLOCK, masks + i);
    }
}

static size_t encode_avx2(const fm__jpeg_scan *scan, fm__jpeg_state *state, uint8_t *out)
{
    return encode_units(scan, state, out);
}

static size_t stuff_avx2(uint8_t *dst, const uint8_t *src, size_t n)
{
    uint8_t *at = dst;
    const uint8_t *end = src + n;
    while (src < end) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)src);
        uint32_t full = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(x, _mm256_set1_epi8(-1)));
        ptrdiff_t count = full ? __builtin_ctz(full) + 1 : 32;
        count = count > end - src ? end - src : count;
        _mm256_storeu_si256((__m256i *)(void *)at, x);
        at += count;
        src += count;
        if (at[-1] == 0xFF) {
            *at++ = 0;
        }
    }
    return (size_t)(at - dst);
}

static void split_avx2(uint8_t *restrict u, uint8_t *restrict v, const uint8_t *restrict uv, int n)
{
    split_pairs(u, v, uv, n);
}

const fm__jpeg_kernels fm__jpeg_avx2 = {
    .transform = transform_avx2,
    .encode = encode_avx2,
    .stuff = stuff_avx2,
    .split = split_avx2,
    .order = fm__jpeg_zigzag,
};
