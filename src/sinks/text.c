// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A cache of the stroke font's coverage. All glyphs of a size are rendered together: 95 cells of 12x20 pixels
// take about a millisecond, and frames of one stream rarely change their size.

#include "sinks/text.h"

#include "base/alloc.h"
#include "base/error.h"

#include <limits.h>

fm_status fm__text_size(fm_text *t, int cap_height, fm_error *err)
{
    fm_text fresh = {.font = fm__font_at(cap_height)};
    size_t total = 0;
    if (t->cover && t->font.cap_height == fresh.font.cap_height)
        return FM_OK;
    for (int i = 0; i < FM_FONT_GLYPHS; i++) {
        fresh.offset[i] = total;
        fresh.advance[i] = fm__font_advance(&fresh.font, i);
        total += (size_t)fresh.advance[i] * (size_t)fresh.font.cell_height;
    }
    fresh.cover = fm__calloc(FM_TAG_SINKS, total);
    if (!fresh.cover)
        return fm__fail_nomem(err, "the letters of an annotated video");
    for (int i = 0; i < FM_FONT_GLYPHS; i++)
        fm__font_render(&fresh.font, i, fresh.cover + fresh.offset[i], fresh.advance[i]);
    fm__text_done(t);
    *t = fresh;
    return FM_OK;
}

void fm__text_done(fm_text *t)
{
    fm__free(t->cover);
    *t = (fm_text){0};
}

/** Glyph of the character that starts here, or -1 for a byte inside a UTF-8 sequence. */
static int glyph_at(const char *text)
{
    unsigned char c = (unsigned char)*text;
    return (c & 0xc0) == 0x80 ? -1 : fm__font_index(c);
}

int fm__text_width(const fm_text *t, const char *text)
{
    int width = 0;
    for (; *text && width < INT_MAX / 2; text++) {
        int glyph = glyph_at(text);
        width += glyph < 0 ? 0 : t->advance[glyph];
    }
    return width;
}

void fm__text_draw(const fm_text *t, const fm_canvas *canvas, int x, int y, const char *text, fm_yuv color)
{
    for (; *text && x < canvas->width; text++) {
        int glyph = glyph_at(text);
        if (glyph < 0)
            continue;
        int advance = t->advance[glyph];
        fm__draw_mask(
            canvas, x, y, t->cover + t->offset[glyph], advance, t->font.cell_height, advance, color);
        x += advance;
    }
}
