// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Drawing on YUV420P pictures: filled rectangles, outlines, coverage masks, colours by class and track.
 * Pure; every call clips at the picture's borders. */
#ifndef FM_OPS_DRAW_H
#define FM_OPS_DRAW_H

#include <framemill/frame.h>
#include <framemill/result.h>

#include <stdbool.h>

/** Writable planes of a YUV420P picture. Chroma planes are ceil(width / 2) x ceil(height / 2). */
typedef struct fm_canvas {
    uint8_t *plane[3];
    int stride[3];
    int width, height;
} fm_canvas;

/** Whole pixels, x1 and y1 exclusive; empty where x1 <= x0 or y1 <= y0. Coordinates within +-2^30. */
typedef struct fm_rect {
    int x0, y0, x1, y1;
} fm_rect;

typedef struct fm_rgb {
    uint8_t r, g, b;
} fm_rgb;

typedef struct fm_yuv {
    uint8_t y, u, v;
} fm_yuv;

fm_yuv fm__rgb_to_yuv(fm_rgb c, fm_matrix matrix, fm_range range);
/** The colour of a class: the same in every run and stream, neighbours far apart in hue. */
fm_rgb fm__class_color(int32_t class_id);
/** The colour of a track, by the same rule: the same in every frame. */
fm_rgb fm__track_color(int64_t track_id);
/** Near black or white, whichever reads better on `plate`. */
fm_rgb fm__text_color(fm_rgb plate);

/** Fills r with c; alpha 255 covers. A chroma sample takes its share of the pixels covered. */
void fm__draw_fill(const fm_canvas *canvas, fm_rect r, fm_yuv c, uint8_t alpha);
/** The frame of `thickness` pixels just inside r. */
void fm__draw_outline(const fm_canvas *canvas, fm_rect r, int thickness, fm_yuv c, uint8_t alpha);
/** Paints c through cover[h][stride], 0 nothing .. 255 all, with its top left corner at x, y. */
void fm__draw_mask(
    const fm_canvas *canvas, int x, int y, const uint8_t *cover, int w, int h, int stride, fm_yuv c);

/** The outer edge of a line of `thickness` centred on a box's border, on even pixels, so that thin lines keep
 * their colour in the halved chroma. false where there is nothing to draw: a NaN, an inverted box, a box
 * wholly outside the width x height picture. */
bool fm__outline_of_box(fm_box box, int thickness, int width, int height, fm_rect *out);

#endif
