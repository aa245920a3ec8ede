// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The JPEG encoder's entropy coding in AVX-512 with VBMI2, which presses a block's symbols together in three
// instructions, and CD, which counts leading zeros.

#include "ops/jpeg_avx512.h"
#include "ops/jpeg_symbols.h"

#include <immintrin.h>

enum { STEP = 32 }; // symbols that are coded together

static inline void press(
    symbols *s, const int16_t *coefs, const uint8_t *order, uint64_t mask, bool chroma, int16_t *dc)
{
    (void)order; // the zigzag

    const __m512i count = _mm512_set_epi8(63, 62, 61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47,
        46, 45, 44, 43, 42, 41, 40, 39, 38, 37, 36, 35, 34, 33, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22,
        21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m512i positions = _mm512_add_epi8(count, _mm512_set1_epi8(chroma ? CHROMA : 0));
    int16_t before = *dc;
    *dc = mask ? coefs[0] : before;
    uint64_t m = mark_symbols(mask | 1); // of a block that is not there DC and the end
    __asm__("" : "+r"(m));               // keeps the sums out of mask registers, whose shifts are slow
    uint32_t low = (uint32_t)m, high = (uint32_t)(m >> 32);
    int16_t *values = s->values + s->count;
    __m512i a = _mm512_maskz_compress_epi16(low, _mm512_loadu_si512(coefs));
    __m512i b = _mm512_maskz_compress_epi16(high, _mm512_loadu_si512(coefs + 32));
    _mm512_storeu_si512(s->positions + 64 + s->count, _mm512_maskz_compress_epi8(m, positions));
    _mm512_storeu_si512(values, a);
    _mm512_storeu_si512(values + __builtin_popcount(low), b);
    values[0] = (int16_t)(*dc - before);
    s->count += (size_t)__builtin_popcountll(m);
}

// Sixteen symbols from `at`: bits and how many; 0 bits of those that are not live.
static inline void code_16(
    const symbols *s, size_t at, const uint32_t *codes, __mmask16 live, __m512i *bits, __m512i *lens)
{
    const uint8_t *p = s->positions + 64 + at;
    __m512i here = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
    __m512i before = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(p - 1)));
    __m512i v = _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(s->values + at)));
    __m512i one = _mm512_set1_epi32(1);
    __m512i size = _mm512_sub_epi32(_mm512_set1_epi32(32), _mm512_lzcnt_epi32(_mm512_abs_epi32(v)));
    __m512i run = _mm512_sub_epi32(_mm512_sub_epi32(here, before), one);
    __mmask16 dc = _mm512_testn_epi32_mask(here, _mm512_set1_epi32(CHROMA - 1));
    run = _mm512_mask_mov_epi32(run, dc, _mm512_set1_epi32(FM__JPEG_DC_RUN));
    // chroma's bit, 64, becomes the distance of the tables, 512
    __m512i table = _mm512_slli_epi32(_mm512_and_si512(here, _mm512_set1_epi32(CHROMA)), 3);
    __m512i index = _mm512_add_epi32(_mm512_add_epi32(_mm512_slli_epi32(run, 4), size), table);
    __m512i code = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), live, index, codes, 4);
    __m512i value = _mm512_add_epi32(v, _mm512_srai_epi32(v, 31));
    __m512i above = _mm512_sllv_epi32(_mm512_set1_epi32(-1), size);
    *lens = _mm512_and_si512(code, _mm512_set1_epi32(31));
    *bits = _mm512_maskz_or_epi32(live, _mm512_srli_epi32(code, 5), _mm512_andnot_si512(above, value));
}

// Neighbours as one, the earlier one above the later; they lie in the halves of 64 bits.
static inline void join_2(__m512i *bits, __m512i *lens)
{
    __m512i half = _mm512_set1_epi64(0xFFFFFFFF), n = _mm512_srli_epi64(*lens, 32);
    *bits =
        _mm512_or_si512(_mm512_sllv_epi64(_mm512_and_si512(*bits, half), n), _mm512_srli_epi64(*bits, 32));
    *lens = _mm512_add_epi64(_mm512_and_si512(*lens, half), n);
}

static inline void add_pairs(fm__jpeg_bits *b, __m512i bits, __m512i lens)
{
    uint64_t pairs[8], n[8];
    _mm512_storeu_si512(pairs, bits);
    _mm512_storeu_si512(n, lens);
    for (int i = 0; i < 8; i++) {
        bits_add(b, pairs[i], (unsigned)n[i]);
    }
}

static inline void add_32(fm__jpeg_bits *b, const symbols *s, size_t at, const uint32_t *codes, uint32_t live)
{
    __m512i b0, n0, b1, n1;
    code_16(s, at, codes, (__mmask16)live, &b0, &n0);
    code_16(s, at + 16, codes, (__mmask16)(live >> 16), &b1, &n1);
    join_2(&b0, &n0);
    join_2(&b1, &n1);
    __m512i n = _mm512_unpackhi_epi64(n0, n1), both = _mm512_add_epi64(_mm512_unpacklo_epi64(n0, n1), n);
    if (__builtin_expect(_mm512_cmpgt_epi64_mask(both, _mm512_set1_epi64(57)) != 0, 0)) {
        add_pairs(b, b0, n0);
        add_pairs(b, b1, n1);
        return;
    }
    uint64_t fours[8], count[8];
    _mm512_storeu_si512(fours,
        _mm512_or_si512(_mm512_sllv_epi64(_mm512_unpacklo_epi64(b0, b1), n), _mm512_unpackhi_epi64(b0, b1)));
    _mm512_storeu_si512(count, both);
    for (int k = 0; k < 2; k++) {
        for (int i = k; i < 8; i += 2) {
            bits_add(b, fours[i], (unsigned)count[i]);
        }
    }
}

static void code_all(fm__jpeg_bits *b, symbols *s, const uint32_t *codes)
{
    fm__jpeg_bits to = *b;
    size_t at = 0;
    for (; at + STEP <= s->count; at += STEP) {
        add_32(&to, s, at, codes, UINT32_MAX);
    }
    if (at < s->count) {
        add_32(&to, s, at, codes, (1U << (s->count - at)) - 1);
    }
    *b = to;
    s->count = 0;
}

static size_t encode_vbmi2(const fm__jpeg_scan *scan, fm__jpeg_state *state, uint8_t *out)
{
    return encode_chunks(scan, state, out, press, code_all);
}

const fm__jpeg_kernels fm__jpeg_vbmi2 = {
    .transform = fm__jpeg_transform_avx512,
    .encode = encode_vbmi2,
    .stuff = fm__jpeg_stuff_avx512,
    .split = fm__jpeg_split_avx512,
    .order = fm__jpeg_straight,
};
