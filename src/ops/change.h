// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** How much of a picture has changed: the luma as means of square blocks, and how many of them differ between
 * two pictures. Pure. */
#ifndef FM_OPS_CHANGE_H
#define FM_OPS_CHANGE_H

#include <framemill/frame.h>
#include <stddef.h>
#include <stdint.h>

/** Means are in sixteenths of a level. */
#define FM_CHANGE_SCALE 16

typedef struct fm__change_grid {
    int block; // pixels a side
    int columns, rows;
} fm__change_grid;

/** Blocks of about a 48th of the longer side, 8 pixels at least: large enough that noise averages out, small
 * enough that a far person moves some of them. */
fm__change_grid fm__change_grid_of(int width, int height);
/** @param means  [rows * columns]. Of RGB24 and BGR24 green stands for luma. */
void fm__change_means(const fm__change_grid *grid, const fm_frame_view *view, uint16_t *means);
/** Half of the blocks differ by this much or less; 16 levels are the most that is told. */
int fm__change_median(const fm__change_grid *grid, const uint16_t *a, const uint16_t *b);
/** Blocks that differ by more than `limit`; changed[i] is 1 for them, 0 for the others. */
size_t fm__change_count(
    const fm__change_grid *grid, const uint16_t *a, const uint16_t *b, int limit, uint8_t *changed);

#endif
