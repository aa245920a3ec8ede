// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The scan in AVX2. Codes are widened to 16 bits, since the instruction that multiplies bytes saturates;
// pairs of products are added, and the two pairs of each vector once at the end.

#include "ops/scan_kernels.h"

#include <immintrin.h>
#include <string.h>

// Four codes of a query as 16 bit numbers, four times over.
static inline __m256i four_codes(const int8_t *codes)
{
    int32_t word;
    memcpy(&word, codes, sizeof(word));
    return _mm256_cvtepi8_epi16(_mm_set1_epi32(word));
}

static inline unsigned judge8(
    const fm__scan_run *r, const fm__scan_query *q, float reach, size_t slot, __m256i dot, float *out)
{
    const fm__scan_quant *x = r->quant;
    __m256 scale = _mm256_mul_ps(_mm256_set1_ps(q->scale), _mm256_loadu_ps(x->scale + slot));
    __m256 part = _mm256_add_ps(_mm256_mul_ps(_mm256_set1_ps(q->scaled_sum), _mm256_loadu_ps(x->mid + slot)),
        _mm256_mul_ps(_mm256_set1_ps(q->mid), _mm256_loadu_ps(x->sum + slot)));
    __m256 cross = _mm256_add_ps(_mm256_mul_ps(scale, _mm256_cvtepi32_ps(dot)), part);
    __m256 base = _mm256_add_ps(_mm256_set1_ps(q->norm2), _mm256_loadu_ps(x->norm2 + slot));
    __m256 near2 = _mm256_sub_ps(base, _mm256_add_ps(cross, cross));
    __m256 left = _mm256_add_ps(_mm256_set1_ps(q->residual), _mm256_loadu_ps(x->residual + slot));
    __m256 far = _mm256_add_ps(_mm256_set1_ps(reach), left);
    __m256 blur = _mm256_add_ps(_mm256_set1_ps(q->blur), _mm256_loadu_ps(x->blur + slot));
    __m256 most = _mm256_add_ps(_mm256_mul_ps(_mm256_mul_ps(far, far), _mm256_set1_ps(FM_SCAN_GROWN)), blur);
    _mm256_storeu_ps(out, near2);
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(near2, most, _CMP_LE_OQ));
}

// Sums of pairs of four vectors each, to one sum a vector of eight.
static inline __m256i eight_sums(__m256i low, __m256i high, __m256i less)
{
    __m256i mixed = _mm256_hadd_epi32(low, high);
    return _mm256_sub_epi32(_mm256_permute4x64_epi64(mixed, 0xd8), less);
}

static inline void judge(const fm__scan_run *r, size_t p, size_t j, const __m256i sum[4])
{
    const fm__scan_query *q = &r->queries[j];
    size_t slot = r->slot + p * FM_SCAN_PANEL, at = p * r->count + j;
    __m256i less = _mm256_set1_epi32(128 * q->code_sum);
    float *out = r->near2 + at * FM_SCAN_PANEL;
    unsigned low = judge8(r, q, r->reach[j], slot, eight_sums(sum[0], sum[1], less), out);
    unsigned high = judge8(r, q, r->reach[j], slot + 8, eight_sums(sum[2], sum[3], less), out + 8);
    r->masks[at] = (uint16_t)((low | high << 8) & r->live[p]);
}

// One panel against Q queries from j.
static inline __attribute__((always_inline)) void tile(const fm__scan_run *r, size_t p, size_t j, int Q)
{
    const uint8_t *codes = r->codes + p * r->groups * 64;
    __m256i sum[2][4];
    for (int b = 0; b < Q; b++) {
        for (int v = 0; v < 4; v++) {
            sum[b][v] = _mm256_setzero_si256();
        }
    }
    for (size_t g = 0; g < r->groups; g++) {
        __m256i d[2];
        for (int b = 0; b < Q; b++) {
            d[b] = four_codes(r->queries[j + (size_t)b].codes + g * 4);
        }
        for (int v = 0; v < 4; v++) {
            __m256i x = _mm256_cvtepu8_epi16(
                _mm_loadu_si128((const __m128i *)(const void *)(codes + g * 64 + (size_t)v * 16)));
            for (int b = 0; b < Q; b++) {
                sum[b][v] = _mm256_add_epi32(sum[b][v], _mm256_madd_epi16(x, d[b]));
            }
        }
    }
    for (int b = 0; b < Q; b++) {
        judge(r, p, j + (size_t)b, sum[b]);
    }
}

void fm__scan_codes_avx2(const fm__scan_run *r)
{
    memset(r->masks, 0, r->panels * r->count * sizeof(*r->masks));
    for (size_t p = 0; p < r->panels; p++) {
        size_t j = 0;
        for (; r->live[p] && j + 2 <= r->count; j += 2) {
            tile(r, p, j, 2);
        }
        if (r->live[p] && j < r->count) {
            tile(r, p, j, 1);
        }
    }
}

float fm__scan_l2_avx2(const float *a, const float *b, size_t stride)
{
    __m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (size_t i = 0; i < stride; i += 16) {
        for (size_t h = 0; h < 2; h++) {
            __m256 d = _mm256_sub_ps(_mm256_loadu_ps(a + i + 8 * h), _mm256_loadu_ps(b + i + 8 * h));
            sum[h] = _mm256_add_ps(sum[h], _mm256_mul_ps(d, d));
        }
    }
    __m256 eight = _mm256_add_ps(sum[0], sum[1]);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

static inline __m256i sixteen_products(const uint8_t *row, const int8_t *query)
{
    __m256i x = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)row));
    __m256i d = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)query));
    return _mm256_madd_epi16(x, d);
}

void fm__scan_dots_avx2(
    const uint8_t *const *rows, size_t count, const int8_t *query, size_t length, int32_t *dots)
{
    for (size_t i = 0; i < count; i++) {
        __m256i even = _mm256_setzero_si256(), odd = even;
        for (size_t j = 0; j < length; j += 32) {
            if (i + 1 < count) { // rows come from all over memory
                _mm_prefetch((const char *)(rows[i + 1] + j), _MM_HINT_T0);
            }
            even = _mm256_add_epi32(even, sixteen_products(rows[i] + j, query + j));
            odd = _mm256_add_epi32(odd, sixteen_products(rows[i] + j + 16, query + j + 16));
        }
        __m256i eight = _mm256_add_epi32(even, odd);
        __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
        __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
        dots[i] = _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
    }
}
