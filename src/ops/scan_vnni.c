// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The scan in AVX-512. One instruction of VNNI multiplies 64 codes and adds them by fours: four codes of each
// of sixteen vectors with the same four of one query. Two panels against eight queries keep sixteen sums in
// registers; one query takes four panels, so that as many sums are under way as the instruction is deep.

#include "ops/scan_kernels.h"

#include <immintrin.h>
#include <string.h>

static inline __m512i four_codes(const int8_t *codes)
{
    int32_t word;
    memcpy(&word, codes, sizeof(word));
    return _mm512_set1_epi32(word);
}

static inline void judge(const fm__scan_run *r, size_t p, size_t j, __m512i dot)
{
    const fm__scan_query *q = &r->queries[j];
    const fm__scan_quant *x = r->quant;
    size_t slot = r->slot + p * FM_SCAN_PANEL, at = p * r->count + j;
    __m512 scale = _mm512_mul_ps(_mm512_set1_ps(q->scale), _mm512_loadu_ps(x->scale + slot));
    __m512 part = _mm512_add_ps(_mm512_mul_ps(_mm512_set1_ps(q->scaled_sum), _mm512_loadu_ps(x->mid + slot)),
        _mm512_mul_ps(_mm512_set1_ps(q->mid), _mm512_loadu_ps(x->sum + slot)));
    __m512 cross = _mm512_add_ps(_mm512_mul_ps(scale, _mm512_cvtepi32_ps(dot)), part);
    __m512 base = _mm512_add_ps(_mm512_set1_ps(q->norm2), _mm512_loadu_ps(x->norm2 + slot));
    __m512 near2 = _mm512_sub_ps(base, _mm512_add_ps(cross, cross));
    __m512 left = _mm512_add_ps(_mm512_set1_ps(q->residual), _mm512_loadu_ps(x->residual + slot));
    __m512 far = _mm512_add_ps(_mm512_set1_ps(r->reach[j]), left);
    __m512 blur = _mm512_add_ps(_mm512_set1_ps(q->blur), _mm512_loadu_ps(x->blur + slot));
    __m512 most = _mm512_add_ps(_mm512_mul_ps(_mm512_mul_ps(far, far), _mm512_set1_ps(FM_SCAN_GROWN)), blur);
    __mmask16 hit = _mm512_mask_cmp_ps_mask(r->live[p], near2, most, _CMP_LE_OQ);
    r->masks[at] = hit;
    if (hit) {
        _mm512_storeu_ps(r->near2 + at * FM_SCAN_PANEL, near2);
    }
}

// P panels from p against Q queries from j; both known at compile time.
static inline __attribute__((always_inline)) void tile(
    const fm__scan_run *r, size_t p, size_t j, int P, int Q, int ahead)
{
    size_t panel = r->groups * 64;
    const uint8_t *codes = r->codes + p * panel;
    __m512i sum[4][8];
    for (int a = 0; a < P; a++) {
        for (int b = 0; b < Q; b++) {
            sum[a][b] = _mm512_set1_epi32(-128 * r->queries[j + (size_t)b].code_sum);
        }
    }
    for (size_t g = 0; g < r->groups; g++) {
        __m512i x[4];
        for (int a = 0; a < P; a++) {
            const uint8_t *at = codes + (size_t)a * panel + g * 64;
            x[a] = _mm512_loadu_si512(at);
            if (ahead) {
                _mm_prefetch((const char *)(at + (size_t)ahead * panel), _MM_HINT_T0);
            }
        }
        for (int b = 0; b < Q; b++) {
            __m512i d = four_codes(r->queries[j + (size_t)b].codes + g * 4);
            for (int a = 0; a < P; a++) {
                sum[a][b] = _mm512_dpbusd_epi32(sum[a][b], x[a], d);
            }
        }
    }
    for (int a = 0; a < P; a++) {
        for (int b = 0; b < Q; b++) {
            judge(r, p + (size_t)a, j + (size_t)b, sum[a][b]);
        }
    }
}

static void two_panels(const fm__scan_run *r, size_t p)
{
    size_t j = 0;
    for (; j + 8 <= r->count; j += 8) {
        tile(r, p, j, 2, 8, 0);
    }
    if (j + 4 <= r->count) {
        tile(r, p, j, 2, 4, 0);
        j += 4;
    }
    if (j + 2 <= r->count) {
        tile(r, p, j, 2, 2, 0);
        j += 2;
    }
    if (j < r->count) {
        tile(r, p, j, 2, 1, 0);
    }
}

static bool any_live(const fm__scan_run *r, size_t p, size_t count)
{
    unsigned live = 0;
    for (size_t i = 0; i < count; i++) {
        live |= r->live[p + i];
    }
    return live != 0;
}

void fm__scan_codes_vnni(const fm__scan_run *r)
{
    memset(r->masks, 0, r->panels * r->count * sizeof(*r->masks));
    size_t p = 0;
    for (; r->count == 1 && p + 4 <= r->panels; p += 4) {
        if (any_live(r, p, 4)) {
            tile(r, p, 0, 4, 1, 4);
        }
    }
    for (; p + 2 <= r->panels; p += 2) {
        if (any_live(r, p, 2)) {
            two_panels(r, p);
        }
    }
    for (; p < r->panels; p++) {
        for (size_t j = 0; r->live[p] && j < r->count; j++) {
            tile(r, p, j, 1, 1, 0);
        }
    }
}

// Rows come from all over memory, so the row after next is asked for while one is multiplied.
static inline void ask_for(const uint8_t *row, size_t length)
{
    for (size_t j = 0; j < length; j += FM_SCAN_ROW) {
        _mm_prefetch((const char *)(row + j), _MM_HINT_T0);
    }
}

void fm__scan_dots_vnni(
    const uint8_t *const *rows, size_t count, const int8_t *query, size_t length, int32_t *dots)
{
    for (size_t i = 0; i < count && i < 2; i++) {
        ask_for(rows[i], length);
    }
    for (size_t i = 0; i < count; i++) {
        __m512i even = _mm512_setzero_si512(), odd = even;
        size_t j = 0;
        if (i + 2 < count) {
            ask_for(rows[i + 2], length);
        }
        for (; j + 128 <= length; j += 128) {
            even = _mm512_dpbusd_epi32(even, _mm512_loadu_si512(rows[i] + j), _mm512_loadu_si512(query + j));
            odd = _mm512_dpbusd_epi32(
                odd, _mm512_loadu_si512(rows[i] + j + 64), _mm512_loadu_si512(query + j + 64));
        }
        if (j < length) {
            even = _mm512_dpbusd_epi32(even, _mm512_loadu_si512(rows[i] + j), _mm512_loadu_si512(query + j));
        }
        dots[i] = _mm512_reduce_add_epi32(_mm512_add_epi32(even, odd));
    }
}
