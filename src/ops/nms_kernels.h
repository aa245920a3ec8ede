// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The inner step of suppression: one candidate against all boxes kept so far. Same answer at every level:
 * the same float operations in the same order, division included. */
#ifndef FM_OPS_NMS_KERNELS_H
#define FM_OPS_NMS_KERNELS_H

#include <framemill/result.h>

#include <stdbool.h>

/** Kept boxes by coordinate, [count] each; area is NaN where a coordinate is, so that such a box never
 * overlaps another. */
typedef struct fm__kept {
    float *x0, *y0, *x1, *y1, *area;
    int32_t *class_id;
    size_t count;
} fm__kept;

typedef struct fm__candidate {
    fm_box box;
    float area;
    int32_t class_id;
} fm__candidate;

/** True when a kept box of the candidate's class overlaps it by more than `iou`. */
typedef bool fm__nms_hit_fn(const fm__kept *kept, const fm__candidate *c, float iou);

#if defined(__x86_64__)
fm__nms_hit_fn fm__nms_hit_avx2, fm__nms_hit_avx512;
#endif

#endif
