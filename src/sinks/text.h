// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Text on a picture: the stroke font with its glyphs rendered once a size. One owner thread. */
#ifndef FM_SINKS_TEXT_H
#define FM_SINKS_TEXT_H

#include "ops/draw.h"
#include "ops/font.h"

#include <framemill/status.h>

/** All zero is a face without a size. */
typedef struct fm_text {
    fm_font font;
    uint8_t *cover;                // all glyphs' cells, one after another, rows without padding
    size_t offset[FM_FONT_GLYPHS]; // into cover
    int advance[FM_FONT_GLYPHS];   // pixels
} fm_text;

/** Renders the glyphs for this height of capitals; nothing is done where they are there. On failure the old
 * size stays. */
fm_status fm__text_size(fm_text *t, int cap_height, fm_error *err) FM_MUST_USE;
void fm__text_done(fm_text *t);
/** Pixels that a text takes. A UTF-8 character beyond ASCII counts as one '?'. */
int fm__text_width(const fm_text *t, const char *text);
/** Draws with the first cell's top left corner at x, y. */
void fm__text_draw(const fm_text *t, const fm_canvas *canvas, int x, int y, const char *text, fm_yuv color);

#endif
