// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Suppression's inner step in AVX2, eight kept boxes at a time; nms.c says what it computes. The arrays are
// as long as the candidates are many, so the last vector may reach past their end: its loads are masked.

#include "ops/nms_kernels.h"

#include <immintrin.h>

// Lanes of the last vector that count: a window into ones followed by zeros.
static const int32_t lane_masks[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

static inline __m256 extent(const float *lo, const float *hi, float c_lo, float c_hi, __m256i lanes)
{
    __m256 low = _mm256_max_ps(_mm256_maskload_ps(lo, lanes), _mm256_set1_ps(c_lo));
    __m256 high = _mm256_min_ps(_mm256_maskload_ps(hi, lanes), _mm256_set1_ps(c_hi));
    return _mm256_max_ps(_mm256_sub_ps(high, low), _mm256_setzero_ps());
}

bool fm__nms_hit_avx2(const fm__kept *kept, const fm__candidate *c, float iou)
{
    const __m256i class_id = _mm256_set1_epi32(c->class_id);
    for (size_t i = 0; i < kept->count; i += 8) {
        size_t left = kept->count - i < 8 ? kept->count - i : 8;
        __m256i lanes = _mm256_loadu_si256((const __m256i *)(const void *)(lane_masks + 8 - left));
        __m256i same = _mm256_cmpeq_epi32(_mm256_maskload_epi32(kept->class_id + i, lanes), class_id);
        __m256 w = extent(kept->x0 + i, kept->x1 + i, c->box.x0, c->box.x1, lanes);
        __m256 h = extent(kept->y0 + i, kept->y1 + i, c->box.y0, c->box.y1, lanes);
        __m256 inter = _mm256_mul_ps(w, h);
        __m256 sum = _mm256_add_ps(_mm256_maskload_ps(kept->area + i, lanes), _mm256_set1_ps(c->area));
        __m256 over =
            _mm256_cmp_ps(_mm256_div_ps(inter, _mm256_sub_ps(sum, inter)), _mm256_set1_ps(iou), _CMP_GT_OQ);
        __m256i hits = _mm256_and_si256(_mm256_and_si256(_mm256_castps_si256(over), same), lanes);
        if (!_mm256_testz_si256(hits, hits)) {
            return true;
        }
    }
    return false;
}
