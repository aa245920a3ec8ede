// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** How good tracks are, against ground truth: the CLEAR, Identity and HOTA metrics of one sequence, and of
 * several taken together. Pure; memory from the allocator. */
#ifndef FM_TRACK_EVAL_H
#define FM_TRACK_EVAL_H

#include "track/mot_text.h"

#include <framemill/eval.h>

typedef struct fm_track_eval_opts {
    double iou; // overlap from which a box is found, 0..1; CLEAR and Identity
    fm_eval_rules rules;
    fm_eval_format format;
} fm_track_eval_opts;

/** What is counted in a sequence. Sums add up over sequences; metrics are made from sums. */
typedef struct fm_eval_sums {
    int64_t gt_boxes, boxes, gt_tracks, tracks, frames; // that are evaluated
    // CLEAR
    int64_t tp, fp, fn, switches, frag, mt, pt, ml;
    double tp_iou; // sum over the boxes found
    // Identity
    int64_t idtp, idfp, idfn;
    // HOTA, by alpha
    int64_t hota_tp[FM_EVAL_ALPHAS];
    double hota_iou[FM_EVAL_ALPHAS];                                           // sum over hota_tp
    double assa[FM_EVAL_ALPHAS], assre[FM_EVAL_ALPHAS], asspr[FM_EVAL_ALPHAS]; // sums over hota_tp
} fm_eval_sums;

/** Counts one sequence.
 *  @param gt,result  rows; names stand in errors.
 *  FORMAT: an id twice in one frame, a class that MOT16 does not know; UNSUPPORTED: more overlaps than memory
 * is given for. O(boxes^2) a frame for overlaps, plus the assignments. */
fm_status fm__eval_sequence(const fm_mot *gt, const char *gt_name, const fm_mot *result,
    const char *result_name, const fm_track_eval_opts *opts, fm_eval_sums *out, fm_error *err) FM_MUST_USE;
void fm__eval_add(fm_eval_sums *sums, const fm_eval_sums *more);
void fm__eval_metrics(const fm_eval_sums *sums, fm_eval_metrics *out);

#endif
