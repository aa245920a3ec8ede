// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What the metrics share: a sequence made ready for counting. Ids are dense numbers from 0; of all pairs of
 * boxes only those that overlap are kept. */
#ifndef FM_TRACK_EVAL_INT_H
#define FM_TRACK_EVAL_INT_H

#include "track/assign.h"
#include "track/eval.h"

/** Two boxes of a frame that overlap. */
typedef struct fm_overlap {
    double iou;       // > 0
    uint32_t pair;    // of their ids, into fm_eval_seq.pairs
    uint16_t gt, box; // places in their frame
} fm_overlap;

typedef struct fm_eval_frame {
    uint32_t gt_count, box_count; // not both 0
    size_t gt_first, box_first;   // into gt_ids, box_ids
    size_t overlap_first, overlap_count;
} fm_eval_frame;

/** Two ids whose boxes overlap somewhere. */
typedef struct fm_id_pair {
    uint32_t gt, track;
} fm_id_pair;

typedef struct fm_eval_seq {
    fm_eval_frame *frames; // ascending
    size_t frame_count, frame_cap;
    uint32_t *gt_ids, *box_ids; // [gt_count], [box_count]: of boxes, in order of frames and lines
    size_t gt_count, gt_cap, box_count, box_cap;
    uint32_t gt_track_count, track_count;
    uint32_t *gt_length, *length; // [gt_track_count], [track_count]: boxes of each id
    fm_overlap *overlaps;
    size_t overlap_count, overlap_cap;
    fm_id_pair *pairs;
    size_t pair_count, pair_cap;
    size_t max_gt, max_boxes; // of a frame
} fm_eval_seq;

/** Does this overlap reach a threshold? TrackEval's tolerance for rounding. */
static inline bool fm__iou_reaches(double iou, double threshold)
{
    return iou >= threshold - 2.220446049250313e-16;
}

/** Builds it: drops what is not to be evaluated, numbers ids, measures overlaps. Free with
 * fm__eval_seq_done, also after a failure. */
fm_status fm__eval_seq_init(fm_eval_seq *s, const fm_mot *gt, const char *gt_name, const fm_mot *result,
    const char *result_name, fm_eval_format format, fm_error *err) FM_MUST_USE;
void fm__eval_seq_done(fm_eval_seq *s);

/** Assignments of rows to columns by largest total weight. */
typedef struct fm_matcher {
    fm__assign assign;
    fm__pair *pairs; // [cap]
    int32_t *col_of; // [rows]
    size_t count, cap, rows, row_cap, cols;
} fm_matcher;

/** Begins a new one; false: no memory. pairs: at most so many will be added. */
bool fm__matcher_begin(fm_matcher *m, size_t rows, size_t cols, size_t pairs) FM_MUST_USE;
/** A pair that may be made, weight > 0. */
void fm__matcher_add(fm_matcher *m, size_t row, size_t col, double weight);
/** Column of each row, -1 for none. */
const int32_t *fm__matcher_best(fm_matcher *m);
/** The same, but as many pairs as possible come first. */
const int32_t *fm__matcher_most(fm_matcher *m);
void fm__matcher_done(fm_matcher *m);

fm_status fm__eval_clear(
    const fm_eval_seq *s, double iou, fm_eval_rules rules, fm_eval_sums *out, fm_error *err) FM_MUST_USE;
fm_status fm__eval_identity(const fm_eval_seq *s, double iou, fm_eval_sums *out, fm_error *err) FM_MUST_USE;
fm_status fm__eval_hota(const fm_eval_seq *s, fm_eval_sums *out, fm_error *err) FM_MUST_USE;

#endif
