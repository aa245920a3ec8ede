// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Non-local means in AVX-512 (F, BW): sixteen lanes of 32 bits, two displacements each.

#include "ops/nlm_kernels.h"

#include <immintrin.h>
#include <stdbool.h>

#define TABLE fm__nlm_avx512

enum { VEC_LANES = 16 };
typedef __m512i vec;

static inline vec load(const void *p)
{
    return _mm512_loadu_si512(p);
}

static inline void store(void *p, vec v)
{
    _mm512_storeu_si512(p, v);
}

static inline vec set1_16(uint16_t v)
{
    return _mm512_set1_epi16((int16_t)v);
}

static inline vec set1_32(uint32_t v)
{
    return _mm512_set1_epi32((int32_t)v);
}

static inline vec adds(vec a, vec b)
{
    return _mm512_adds_epu16(a, b);
}

static inline vec subs(vec a, vec b)
{
    return _mm512_subs_epu16(a, b);
}

static inline vec add16(vec a, vec b)
{
    return _mm512_add_epi16(a, b);
}

static inline vec sub16(vec a, vec b)
{
    return _mm512_sub_epi16(a, b);
}

static inline vec add32(vec a, vec b)
{
    return _mm512_add_epi32(a, b);
}

static inline vec mullo(vec a, vec b)
{
    return _mm512_mullo_epi16(a, b);
}

static inline vec mulhi(vec a, vec b)
{
    return _mm512_mulhi_epu16(a, b);
}

// (a * b + 2^14) >> 15, signed.
static inline vec mulhi_round(vec a, vec b)
{
    return _mm512_mulhrs_epi16(a, b);
}

// v where `what` is not 0.
static inline vec where_positive(vec v, vec what)
{
    return _mm512_maskz_mov_epi16(_mm512_test_epi16_mask(what, what), v);
}

static inline vec mullo32(vec a, vec b)
{
    return _mm512_mullo_epi32(a, b);
}

static inline vec madd(vec a, vec b)
{
    return _mm512_madd_epi16(a, b);
}

static inline vec shift_right(vec v, __m128i bits)
{
    return _mm512_srl_epi16(v, bits);
}

static inline vec shift_left_32(vec v, int bits)
{
    return _mm512_slli_epi32(v, (unsigned)bits);
}

static inline vec shift_right_32(vec v, int bits)
{
    return _mm512_srli_epi32(v, (unsigned)bits);
}

static inline vec and_bits(vec a, vec b)
{
    return _mm512_and_si512(a, b);
}

static inline vec or_bits(vec a, vec b)
{
    return _mm512_or_si512(a, b);
}

static inline bool is_zero(vec v)
{
    return _mm512_test_epi32_mask(v, v) == 0;
}

// Even u16 of a, odd u16 of b.
static inline vec blend_odd(vec a, vec b)
{
    return _mm512_mask_blend_epi16(0xaaaaaaaa, a, b);
}

// u16 to 32-bit lanes and back.
static inline vec widen_16(const uint8_t *p)
{
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
}

static inline void store_low_16(uint8_t *p, vec v)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(v));
}

static inline vec divide_round(vec num, vec den)
{
    __m512 q = _mm512_div_ps(_mm512_cvtepi32_ps(num), _mm512_cvtepi32_ps(den));
    return _mm512_cvttps_epi32(_mm512_add_ps(q, _mm512_set1_ps(0.5F)));
}

#include "ops/nlm_simd.h"
