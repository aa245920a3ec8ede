// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Non-local means in AVX2: eight lanes of 32 bits, two displacements each.

#include "ops/nlm_kernels.h"

#include <immintrin.h>
#include <stdbool.h>

#define TABLE fm__nlm_avx2

enum { VEC_LANES = 8 };
typedef __m256i vec;

static inline vec load(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

static inline void store(void *p, vec v)
{
    _mm256_storeu_si256((__m256i *)p, v);
}

static inline vec set1_16(uint16_t v)
{
    return _mm256_set1_epi16((int16_t)v);
}

static inline vec set1_32(uint32_t v)
{
    return _mm256_set1_epi32((int32_t)v);
}

static inline vec adds(vec a, vec b)
{
    return _mm256_adds_epu16(a, b);
}

static inline vec subs(vec a, vec b)
{
    return _mm256_subs_epu16(a, b);
}

static inline vec add16(vec a, vec b)
{
    return _mm256_add_epi16(a, b);
}

static inline vec sub16(vec a, vec b)
{
    return _mm256_sub_epi16(a, b);
}

static inline vec add32(vec a, vec b)
{
    return _mm256_add_epi32(a, b);
}

static inline vec mullo(vec a, vec b)
{
    return _mm256_mullo_epi16(a, b);
}

static inline vec mulhi(vec a, vec b)
{
    return _mm256_mulhi_epu16(a, b);
}

// (a * b + 2^14) >> 15, signed.
static inline vec mulhi_round(vec a, vec b)
{
    return _mm256_mulhrs_epi16(a, b);
}

// v where `what`, which is below 2^15, is not 0.
static inline vec where_positive(vec v, vec what)
{
    return _mm256_sign_epi16(v, what);
}

static inline vec mullo32(vec a, vec b)
{
    return _mm256_mullo_epi32(a, b);
}

static inline vec madd(vec a, vec b)
{
    return _mm256_madd_epi16(a, b);
}

static inline vec shift_right(vec v, __m128i bits)
{
    return _mm256_srl_epi16(v, bits);
}

static inline vec shift_left_32(vec v, int bits)
{
    return _mm256_slli_epi32(v, bits);
}

static inline vec shift_right_32(vec v, int bits)
{
    return _mm256_srli_epi32(v, bits);
}

static inline vec and_bits(vec a, vec b)
{
    return _mm256_and_si256(a, b);
}

static inline vec or_bits(vec a, vec b)
{
    return _mm256_or_si256(a, b);
}

static inline bool is_zero(vec v)
{
    return _mm256_testz_si256(v, v);
}

// Even u16 of a, odd u16 of b.
static inline vec blend_odd(vec a, vec b)
{
    return _mm256_blend_epi16(a, b, 0xaa);
}

// u16 to 32-bit lanes and back.
static inline vec widen_16(const uint8_t *p)
{
    return _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
}

static inline void store_low_16(uint8_t *p, vec v)
{
    vec packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(v, v), 0x08);
    _mm_storeu_si128((__m128i *)p, _mm256_castsi256_si128(packed));
}

static inline vec divide_round(vec num, vec den)
{
    __m256 q = _mm256_div_ps(_mm256_cvtepi32_ps(num), _mm256_cvtepi32_ps(den));
    return _mm256_cvttps_epi32(_mm256_add_ps(q, _mm256_set1_ps(0.5F)));
}

#include "ops/nlm_simd.h"
