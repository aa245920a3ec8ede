// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** A grid of numbers widened to a mask in the source frame: bilinear, then a threshold. */
#ifndef FM_HEADS_MASK_FILL_H
#define FM_HEADS_MASK_FILL_H

#include "heads/mask_kernels.h"

#include <framemill/result.h>

/** Numbers at the centres of cells. */
typedef struct fm_grid {
    const float *v; // [h][w]
    int w, h;
} fm_grid;

/** Where pixel i of the mask (0 is its first column or row) lies in the grid, in cells from the centre of the
 * first: i * step + first, held within the grid. */
typedef struct fm_grid_axis {
    double first, step;
} fm_grid_axis;

/** Working memory of fm__mask_fill for a grid of this width. */
size_t fm__mask_fill_scratch(int grid_w);
/** Sets the bits of the pixels where the grid, interpolated, is greater than `threshold`; `bits` must be zero
 * before. The mask's own `bits` is not looked at. */
void fm__mask_fill(const fm_grid *grid, fm_grid_axis x, fm_grid_axis y, float threshold, const fm_mask *mask,
    uint8_t *bits, void *scratch, const fm_mask_kernels *k);

#endif
