// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** How noisy a picture is, and how strongly it should be denoised. Pure. */
#ifndef FM_OPS_NOISE_H
#define FM_OPS_NOISE_H

#include <stddef.h>
#include <stdint.h>

/** Counts of the second difference by size; of one plane, or of several frames when it is kept. */
typedef struct fm__noise_stats {
    uint32_t count[2041]; // |difference|, 0..8 * 255
} fm__noise_stats;

/** Adds the inner pixels of rows y0 to y1 - 1 (rows y0 - 1 and y1 are read where they exist). */
void fm__noise_add(
    fm__noise_stats *stats, const uint8_t *plane, ptrdiff_t stride, int width, int height, int y0, int y1);
/** Standard deviation of white noise, in grey levels; 0 without pixels. Texture adds 1 to 2 where there is no
 * noise. */
double fm__noise_sigma(const fm__noise_stats *stats);

/** Strength h of non-local means that suits noise of this deviation, for luma or grey and for chroma planes;
 * 0 where nothing should be done. */
float fm__nlm_auto_luma(double sigma);
float fm__nlm_auto_chroma(double sigma);

#endif
