// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Drawing of masks and class maps on YUV420P pictures. Pure; every call clips at the picture's borders. */
#ifndef FM_OPS_DRAW_MASK_H
#define FM_OPS_DRAW_MASK_H

#include "ops/draw.h"

/** Paints c over the mask's pixels; alpha 255 covers. A chroma sample takes its share of the pixels covered.
 */
void fm__draw_bits(const fm_canvas *canvas, const fm_mask *mask, fm_yuv c, uint8_t alpha);

/** Bytes that fm__mask_edge works in. */
size_t fm__mask_edge_scratch(const fm_mask *mask);
/** The mask's pixels that have one outside of it at most `thickness` steps away, as a mask of the same
 * rectangle whose bits lie in scratch. What lies outside of the frame of width x height counts as inside, so
 * that an object that the frame cuts has no line there. */
fm_mask fm__mask_edge(const fm_mask *mask, int thickness, int width, int height, void *scratch);

/** Paints every pixel in its class's colour; colors [FM_CLASS_UNSEEN + 1], and those whose paint is false
 * stay as they are. */
typedef struct fm_class_paint {
    bool paint;
    fm_yuv c;
} fm_class_paint;
void fm__draw_class_map(
    const fm_canvas *canvas, const fm_class_map *map, const fm_class_paint *colors, uint8_t alpha);

#endif
