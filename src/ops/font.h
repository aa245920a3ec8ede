// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The stroke font: printable ASCII as anti-aliased coverage at any size. Pure; who draws caches the glyphs.
 */
#ifndef FM_OPS_FONT_H
#define FM_OPS_FONT_H

#include <stddef.h>
#include <stdint.h>

#define FM_FONT_FIRST 32
#define FM_FONT_LAST 126
#define FM_FONT_GLYPHS (FM_FONT_LAST - FM_FONT_FIRST + 1)

/** The font at one size, in whole pixels, but for the stroke. */
typedef struct fm_font {
    int cap_height;  // of 'H'
    int cell_height; // of every glyph's coverage
    int cap_top;     // row of the cell where capitals begin
    int baseline;    // first row below letters without descender
    int gap;         // between neighbours
    float stroke;    // line width
} fm_font;

/** cap_height is held to 6..256. */
fm_font fm__font_at(int cap_height);
/** Place of a byte's glyph in a cache of FM_FONT_GLYPHS; '?' for what the font does not have. */
int fm__font_index(unsigned char c);
/** Width of a glyph's cell in pixels, the gap included. */
int fm__font_advance(const fm_font *font, int index);
/** Writes the glyph's cell: cell_height rows of fm__font_advance bytes, 0 nothing .. 255 all. */
void fm__font_render(const fm_font *font, int index, uint8_t *cover, int stride);

#endif
