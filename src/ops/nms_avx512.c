// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Suppression's inner step in AVX-512, sixteen kept boxes at a time; nms.c says what it computes.

#include "ops/nms_kernels.h"

#include <immintrin.h>

static inline __m512 extent(const float *lo, const float *hi, float c_lo, float c_hi, __mmask16 lanes)
{
    __m512 low = _mm512_max_ps(_mm512_maskz_loadu_ps(lanes, lo), _mm512_set1_ps(c_lo));
    __m512 high = _mm512_min_ps(_mm512_maskz_loadu_ps(lanes, hi), _mm512_set1_ps(c_hi));
    return _mm512_max_ps(_mm512_sub_ps(high, low), _mm512_setzero_ps());
}

bool fm__nms_hit_avx512(const fm__kept *kept, const fm__candidate *c, float iou)
{
    const __m512i class_id = _mm512_set1_epi32(c->class_id);
    for (size_t i = 0; i < kept->count; i += 16) {
        size_t left = kept->count - i < 16 ? kept->count - i : 16;
        __mmask16 lanes = (__mmask16)(0xffffU >> (16 - left));
        __mmask16 same = _mm512_mask_cmpeq_epi32_mask(
            lanes, _mm512_maskz_loadu_epi32(lanes, kept->class_id + i), class_id);
        __m512 w = extent(kept->x0 + i, kept->x1 + i, c->box.x0, c->box.x1, lanes);
        __m512 h = extent(kept->y0 + i, kept->y1 + i, c->box.y0, c->box.y1, lanes);
        __m512 inter = _mm512_mul_ps(w, h);
        __m512 sum = _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, kept->area + i), _mm512_set1_ps(c->area));
        __m512 ratio = _mm512_div_ps(inter, _mm512_sub_ps(sum, inter));
        if (_mm512_mask_cmp_ps_mask(same, ratio, _mm512_set1_ps(iou), _CMP_GT_OQ)) {
            return true;
        }
    }
    return false;
}
