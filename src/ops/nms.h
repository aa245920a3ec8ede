// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Overlap of boxes and greedy non-maximum suppression. Pure. */
#ifndef FM_OPS_NMS_H
#define FM_OPS_NMS_H

#include "base/cpu.h"

#include <framemill/result.h>

/** Intersection over union; 0 where the union is empty or a coordinate is NaN. */
float fm__iou(fm_box a, fm_box b);

/** Working memory of an NMS over at most n boxes, in bytes, 64-byte aligned. */
size_t fm__nms_scratch_size(size_t n);

/** Greedy, class-aware non-maximum suppression, in place.
 *  @param det  [n] boxes in any pixel space; reordered by descending score, ties by class_id, then by place
 * in the input.
 *  @param iou  overlap above which the lower score is dropped, in (0,1].
 *  @param max_keep  stop after so many.
 *  @return number kept; they occupy det[0..ret-1]. NaN scores are dropped.
 *  O(n log n + n * kept). Same result at every level. */
size_t fm__nms(fm_det *det, size_t n, float iou, size_t max_keep, void *scratch, fm_cpu_level level);

#endif
