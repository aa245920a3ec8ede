// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Masks from prototypes: what yolov8-seg and yolov5-seg share. */
#ifndef FM_HEADS_PROTOS_H
#define FM_HEADS_PROTOS_H

#include "heads/decode.h"

/** Roles in head->outs. */
enum { FM_PROTOS_BOXES, FM_PROTOS_GRID };

/** Finds the candidates (rank 3) and the prototypes (rank 4) among two f32 outputs in either order, and fills
 * outs, coefs, grid_w, grid_h and channels_last. `layout` stands in the message. */
fm_status fm__protos_check(
    fm_head *head, const fm_tensor *outs, size_t n, const char *layout, fm_error *err) FM_MUST_USE;
/** For guesses: the candidates among the outputs, and how many coefficients the prototypes say; NULL where
 * the shapes are others. */
const fm_tensor *fm__protos_guess(const fm_tensor *outs, size_t n, int input_w, int input_h, int64_t *coefs);
/** Working memory of fm__protos_mask. */
size_t fm__protos_scratch(const fm_head *head);
/** A mask from the candidate's coefficients, each `stride` floats from the one before. */
void fm__protos_mask(const fm_head *head, const fm_tensor *outs, int64_t row, const fm_fit_map *map,
    const float *coefs, int64_t stride, const fm_mask *mask, uint8_t *bits, void *scratch,
    fm_cpu_level level);

#endif
