// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Outputs without an objectness, [N, 4+C, A] or [N, A, 4+C] of cx, cy, w, h, class scores: what yolov8 and,
 * with mask coefficients behind, yolov8-seg share. */
#ifndef FM_HEADS_COLUMNS_H
#define FM_HEADS_COLUMNS_H

#include "heads/decode.h"

/** Class count and number of candidates of an output whose rank and type are checked, with head->coefs set.
 */
fm_status fm__columns_configure(fm_head *head, const fm_tensor *out, fm_error *err) FM_MUST_USE;
/** Does the shape look like so many candidates of 4+C values and `coefs` more? */
bool fm__columns_guess(const fm_tensor *out, int64_t anchors, int64_t coefs);
size_t fm__columns_decode(
    const fm_head *head, const fm_tensor *out, int64_t row, const fm_head_query *q, fm_det *cand);
/** The mask coefficients of a candidate: the first one, and how many floats lie from one to the next. */
const float *fm__columns_coefs(
    const fm_head *head, const fm_tensor *out, int64_t row, uint32_t place, int64_t *stride);

#endif
