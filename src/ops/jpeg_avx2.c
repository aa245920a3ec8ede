// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The JPEG encoder's steps in AVX2: two blocks at a time, one to a 128-bit lane. Coefficients are stored as
// the transform leaves them; the bits of those that are not zero are brought into zigzag order by sixteen
// look-ups of four bits each, and symbols are coded eight at a time.

#include "ops/jpeg_avx2.h"

#include "ops/jpeg_symbols.h"

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
    look_ahead(rows, x0);
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

/* ---- entropy coding ---- */

static inline void press(
    symbols *s, const int16_t *coefs, const uint8_t *order, uint64_t mask, bool chroma, int16_t *dc)
{
    int16_t before = *dc, *values = s->values + s->count, *first = values;
    uint8_t *positions = s->positions + 64 + s->count;
    *dc = mask ? coefs[0] : before;
    uint64_t m = mark_symbols(mask | 1); // of a block that is not there DC and the end
    s->count += (size_t)__builtin_popcountll(m);
    int base = chroma ? CHROMA : 0;
    do { // fours, the last of them with some that the next block overwrites: fewer ends to guess
        for (int i = 0; i < 4; i++) {
            unsigned k = (unsigned)_tzcnt_u64(m) & 63;
            positions[i] = (uint8_t)(base + (int)k);
            values[i] = coefs[order[k]];
            m &= m - 1;
        }
        positions += 4;
        values += 4;
    } while (m);
    *first = (int16_t)(*dc - before);
}

// Eight symbols from `at`: bits and how many; 0 bits of those that are not live.
static inline void code_8(
    const symbols *s, size_t at, const uint32_t *codes, __m256i live, __m256i *bits, __m256i *lens)
{
    const uint8_t *p = s->positions + 64 + at;
    __m256i here = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
    __m256i before = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(p - 1)));
    __m256i v = _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(const void *)(s->values + at)));
    // The size is the exponent of the value as a float.
    __m256i exponent = _mm256_srli_epi32(_mm256_castps_si256(_mm256_cvtepi32_ps(_mm256_abs_epi32(v))), 23);
    __m256i size =
        _mm256_max_epi32(_mm256_sub_epi32(exponent, _mm256_set1_epi32(126)), _mm256_setzero_si256());
    __m256i run = _mm256_sub_epi32(_mm256_sub_epi32(here, before), _mm256_set1_epi32(1));
    __m256i dc =
        _mm256_cmpeq_epi32(_mm256_and_si256(here, _mm256_set1_epi32(CHROMA - 1)), _mm256_setzero_si256());
    run = _mm256_blendv_epi8(run, _mm256_set1_epi32(FM__JPEG_DC_RUN), dc);
    // chroma's bit, 64, becomes the distance of the tables, 512
    __m256i table = _mm256_slli_epi32(_mm256_and_si256(here, _mm256_set1_epi32(CHROMA)), 3);
    __m256i index = _mm256_add_epi32(_mm256_add_epi32(_mm256_slli_epi32(run, 4), size), table);
    __m256i code =
        _mm256_and_si256(_mm256_i32gather_epi32((const int *)codes, _mm256_and_si256(index, live), 4), live);
    __m256i value = _mm256_add_epi32(v, _mm256_srai_epi32(v, 31));
    __m256i above = _mm256_sllv_epi32(_mm256_set1_epi32(-1), size);
    *lens = _mm256_and_si256(code, _mm256_set1_epi32(31));
    *bits = _mm256_and_si256(
        _mm256_or_si256(_mm256_srli_epi32(code, 5), _mm256_andnot_si256(above, value)), live);
}

// Neighbours as one, the earlier one above the later; they lie in the halves of 64 bits.
static inline void join_2(__m256i *bits, __m256i *lens)
{
    __m256i half = _mm256_set1_epi64x(0xFFFFFFFF), n = _mm256_srli_epi64(*lens, 32);
    *bits =
        _mm256_or_si256(_mm256_sllv_epi64(_mm256_and_si256(*bits, half), n), _mm256_srli_epi64(*bits, 32));
    *lens = _mm256_add_epi64(_mm256_and_si256(*lens, half), n);
}

static inline void add_4(fm__jpeg_bits *b, __m256i bits, __m256i lens, const int order[4])
{
    uint64_t words[4], n[4];
    _mm256_storeu_si256((__m256i *)(void *)words, bits);
    _mm256_storeu_si256((__m256i *)(void *)n, lens);
    for (int i = 0; i < 4; i++) {
        bits_add(b, words[order[i]], (unsigned)n[order[i]]);
    }
}

static inline void add_16(
    fm__jpeg_bits *b, const symbols *s, size_t at, const uint32_t *codes, __m256i live0, __m256i live1)
{
    static const int straight[4] = {0, 1, 2, 3}, crossed[4] = {0, 2, 1, 3};
    __m256i b0, n0, b1, n1;
    code_8(s, at, codes, live0, &b0, &n0);
    code_8(s, at + 8, codes, live1, &b1, &n1);
    join_2(&b0, &n0);
    join_2(&b1, &n1);
    __m256i n = _mm256_unpackhi_epi64(n0, n1), both = _mm256_add_epi64(_mm256_unpacklo_epi64(n0, n1), n);
    if (__builtin_expect(_mm256_movemask_epi8(_mm256_cmpgt_epi64(both, _mm256_set1_epi64x(57))) != 0, 0)) {
        add_4(b, b0, n0, straight);
        add_4(b, b1, n1, straight);
        return;
    }
    __m256i fours =
        _mm256_or_si256(_mm256_sllv_epi64(_mm256_unpacklo_epi64(b0, b1), n), _mm256_unpackhi_epi64(b0, b1));
    add_4(b, fours, both, crossed);
}

static inline __m256i live_of(ptrdiff_t count)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static void code_all(fm__jpeg_bits *b, symbols *s, const uint32_t *codes)
{
    fm__jpeg_bits to = *b;
    ptrdiff_t at = 0, count = (ptrdiff_t)s->count;
    const __m256i all = _mm256_set1_epi32(-1);
    for (; at + 16 <= count; at += 16) {
        add_16(&to, s, (size_t)at, codes, all, all);
    }
    if (at < count) {
        add_16(&to, s, (size_t)at, codes, live_of(count - at), live_of(count - at - 8));
    }
    *b = to;
    s->count = 0;
}

size_t fm__jpeg_encode_avx2(const fm__jpeg_scan *scan, fm__jpeg_state *state, uint8_t *out)
{
    return encode_chunks(scan, state, out, press, code_all);
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
    .encode = fm__jpeg_encode_avx2,
    .stuff = stuff_avx2,
    .split = split_avx2,
    .order = fm__jpeg_zigzag,
};
