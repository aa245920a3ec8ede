// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Any frame to the YUV420P picture that is drawn on. Pure. */
#ifndef FM_SINKS_TO420_H
#define FM_SINKS_TO420_H

#include "ops/draw.h"

/** The colour that a converted picture has: the source's own where it is YUV, what players assume of an
 * untagged video of that size where it is RGB. */
void fm__to420_color(const fm_frame_view *src, fm_matrix *matrix, fm_range *range);
/** Copies or converts src into canvas, which has the same size. */
void fm__to420(const fm_canvas *canvas, const fm_frame_view *src);

#endif
