// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Row kernels of resampling in AVX2; resample_scalar.c says what each computes. Down: two rows at a time,
// their pixels side by side for PMADDWD. Across: eight inputs of an output make one PMADDWD of 128 bits, two
// outputs share a vector, and the sums of eight outputs are folded together.

#include "ops/resample_kernels.h"

#include <immintrin.h>

static inline __m256i widen(const uint8_t *p)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)p));
}

static inline __m256i two_weights(const int16_t *w)
{
    return _mm256_set1_epi32((int)((uint32_t)(uint16_t)w[1] << 16 | (uint16_t)w[0]));
}

static void down(int16_t *dst, const uint8_t *const rows[], const int16_t *weights, int taps, size_t n)
{
    size_t x = 0;
    for (; x + 16 <= n; x += 16) {
        __m256i low = _mm256_set1_epi32(1 << 7), high = low;
        for (int i = 0; i < taps; i += 2) {
            __m256i a = widen(rows[i] + x), b = widen(rows[i + 1] + x), w = two_weights(weights + i);
            low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), w));
            high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), w));
        }
        __m256i both = _mm256_packs_epi32(_mm256_srai_epi32(low, 8), _mm256_srai_epi32(high, 8));
        _mm256_storeu_si256((__m256i *)(dst + x), both);
    }
    for (; x < n; x++) {
        int32_t sum = 1 << 7;
        for (int i = 0; i < taps; i++) {
            sum += weights[i] * rows[i][x];
        }
        sum >>= 8;
        dst[x] = (int16_t)(sum > 32767 ? 32767 : sum < -32768 ? -32768 : sum);
    }
}

static inline __m128i load8(const int16_t *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

// Four partial sums each of output i (low) and i + 4 (high).
static inline __m256i two_outputs(const int16_t *src, const fm__resample_taps *t, int i)
{
    const int16_t *w0 = t->weights + (size_t)i * (size_t)t->padded, *w1 = w0 + (size_t)(4 * t->padded);
    const int16_t *in0 = src + t->first[i], *in1 = src + t->first[i + 4];
    __m256i sum = _mm256_setzero_si256();
    for (int k = 0; k < t->padded; k += FM__RESAMPLE_STEP) {
        __m256i in = _mm256_inserti128_si256(_mm256_castsi128_si256(load8(in0 + k)), load8(in1 + k), 1);
        __m256i w = _mm256_inserti128_si256(_mm256_castsi128_si256(load8(w0 + k)), load8(w1 + k), 1);
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(in, w));
    }
    return sum;
}

static void across(uint8_t *dst, const int16_t *src, const fm__resample_taps *taps)
{
    const __m256i half = _mm256_set1_epi32(1 << 19);
    for (int i = 0; i < taps->count; i += FM__RESAMPLE_GROUP) {
        __m256i a = _mm256_hadd_epi32(two_outputs(src, taps, i), two_outputs(src, taps, i + 1));
        __m256i b = _mm256_hadd_epi32(two_outputs(src, taps, i + 2), two_outputs(src, taps, i + 3));
        __m256i sums = _mm256_srai_epi32(_mm256_add_epi32(_mm256_hadd_epi32(a, b), half), 20);
        __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
        _mm_storel_epi64((__m128i *)(dst + i), _mm_packus_epi16(words, words));
    }
}

const fm__resample_kernels fm__resample_avx2 = {.down = down, .across = across};
