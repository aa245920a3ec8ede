// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Contrast limited adaptive histogram equalisation of one plane: OpenCV's, to 1 grey level. In three steps,
 * so that a video's histograms can be smoothed over time between the first and the second. Pure. */
#ifndef FM_OPS_CLAHE_H
#define FM_OPS_CLAHE_H

#include "base/cpu.h"

#include <stddef.h>
#include <stdint.h>

enum { FM__CLAHE_TILES = 8, FM__CLAHE_MAX_TILES = 32 };

typedef struct fm__clahe {
    int width, height;
    int tiles;          // to each side, 1..FM__CLAHE_MAX_TILES
    int tile_w, tile_h; // the picture's mirror image fills the last ones up
} fm__clahe;

/** Values before they are counted and after they were equalised; both may be NULL for none. */
typedef struct fm__clahe_maps {
    const uint8_t *before, *after; // [256]
} fm__clahe_maps;

void fm__clahe_init(fm__clahe *c, int width, int height, int tiles);

/** hist[tile][256], row by row of tiles, of values as they are. */
void fm__clahe_count(const fm__clahe *c, const uint8_t *plane, ptrdiff_t stride, uint32_t *hist);
/** Rows ty0 to ty1 - 1 of tiles only. */
void fm__clahe_count_rows(
    const fm__clahe *c, const uint8_t *plane, ptrdiff_t stride, int ty0, int ty1, uint32_t *hist);

/** table[tile][256] of what each value becomes at a tile's centre; limit: how many times the mean a bin may
 * hold. Histograms need not add up to exactly one tile. */
void fm__clahe_tables(
    const fm__clahe *c, const uint32_t *hist, double limit, const fm__clahe_maps *maps, uint8_t *tables);

/** The same before rounding, curves[tile][256]; for samples of more than 8 bits. */
void fm__clahe_curves(const fm__clahe *c, const uint32_t *hist, double limit, float *curves);
/** weights[width]: how much the tile to the right counts, of 2^14; the same for all rows. */
void fm__clahe_weights(const fm__clahe *c, int16_t *weights);
/** Rows y0 to y1 - 1, which may go over threads; pairs: scratch. dst may be src. */
void fm__clahe_apply_rows(const fm__clahe *c, const uint8_t *tables, const int16_t *weights,
    const uint8_t *src, ptrdiff_t src_stride, uint8_t *dst, ptrdiff_t dst_stride, int y0, int y1,
    uint32_t pairs[256], fm_cpu_level level);

/** Bytes of scratch for apply, 64-byte aligned. */
size_t fm__clahe_scratch_size(const fm__clahe *c);
/** Between the centres of four tiles values are interpolated. dst may be src. */
void fm__clahe_apply(const fm__clahe *c, const uint8_t *tables, const uint8_t *src, ptrdiff_t src_stride,
    uint8_t *dst, ptrdiff_t dst_stride, void *scratch, fm_cpu_level level);

#endif
