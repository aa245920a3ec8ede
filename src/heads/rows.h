// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Outputs of one candidate a row, [N, A, 5+C] of cx, cy, w, h, objectness, class scores: what yolox, yolov5
 * and, with mask coefficients behind, [N, A, 5+C+M], yolov5-seg share. */
#ifndef FM_HEADS_ROWS_H
#define FM_HEADS_ROWS_H

#include "heads/decode.h"

#define FM_ROWS_LAYOUT "[N, A, 5+C]"

/** Shape, class count and number of candidates. */
fm_status fm__rows_check(fm_head *head, const fm_tensor *outs, size_t n, fm_error *err) FM_MUST_USE;
/** The same for an output whose rank and type are checked, with head->coefs set. */
fm_status fm__rows_configure(fm_head *head, const fm_tensor *out, fm_error *err) FM_MUST_USE;
/** Does the shape look like so many candidates of 5+C values and `coefs` more? */
bool fm__rows_guess(const fm_tensor *out, int64_t anchors, int64_t coefs);
/** The mask coefficients of a candidate. */
const float *fm__rows_coefs(const fm_head *head, const fm_tensor *out, int64_t row, uint32_t place);

/** Turns the raw box of candidate `anchor` into a decoded one. */
typedef fm_center_box (*fm_rows_box)(const fm_head *head, int64_t anchor, const float *row);
/** Score is objectness x best class. NULL `box`: the boxes are decoded already. */
size_t fm__rows_decode(const fm_head *head, const fm_tensor *out, int64_t row, const fm_head_query *q,
    fm_rows_box box, fm_det *cand);

#endif
