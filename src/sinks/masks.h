// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Masks of objects and class maps in annotated video. One owner thread. */
#ifndef FM_SINKS_MASKS_H
#define FM_SINKS_MASKS_H

#include "ops/draw.h"

#include <framemill/status.h>

typedef struct fm_masks {
    void *scratch; // grows to the largest mask's size
    size_t size;
} fm_masks;

void fm__masks_done(fm_masks *m);
/** Is there anything to draw for this frame? */
bool fm__masks_any(const fm_result *result);
/** The colour that an object is drawn in. */
typedef fm_rgb (*fm_color_of_fn)(const fm_det *det);
/** Draws the frame's class map and its masks, the weakest first: a tint, and a line of `line` pixels along
 * the mask's edge. */
fm_status fm__masks_draw(fm_masks *m, const fm_canvas *canvas, const fm_frame_view *view,
    const fm_result *result, fm_color_of_fn color_of, int line, fm_error *err) FM_MUST_USE;

#endif
