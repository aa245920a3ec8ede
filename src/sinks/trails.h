// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Where tracks were in the last second or so: a short line behind each, fading with age. One owner thread.
 */
#ifndef FM_SINKS_TRAILS_H
#define FM_SINKS_TRAILS_H

#include "ops/draw.h"

#include <framemill/status.h>

#define FM_TRAIL_POINTS 30 // of a track; a point is drawn for as many frames
#define FM_TRAIL_TRACKS 512

/** All zero: nobody has left a trail. */
typedef struct fm_trails {
    struct fm_trail *trails; // [FM_TRAIL_TRACKS], of which count are in use; NULL before the first point
    size_t count;
    uint64_t frame; // the last one
    uint8_t *cover; // scratch of drawing
    size_t cover_cap;
} fm_trails;

/** Begins a frame: trails that are all faded are forgotten. Frames come in order; one that is not after the
 * last begins anew. */
void fm__trails_frame(fm_trails *t, uint64_t frame);
/** A track (id > 0) is at x, y in this frame. Where there are too many tracks, the one seen longest ago makes
 * room; of those of this frame, none does. NOMEM at the first point only. */
fm_status fm__trails_add(fm_trails *t, int64_t id, float x, float y, fm_error *err) FM_MUST_USE;
/** Is there anything to draw? */
bool fm__trails_any(const fm_trails *t);
/** Draws every trail in its track's colour, `width` pixels wide. On no memory the frame goes without. */
void fm__trails_draw(fm_trails *t, const fm_canvas *canvas, double width, fm_matrix matrix, fm_range range);
void fm__trails_done(fm_trails *t);

#endif
