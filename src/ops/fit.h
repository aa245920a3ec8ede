// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** How a picture is fitted into a network's input, and the way back for boxes. Plain geometry, no pixels. */
#ifndef FM_OPS_FIT_H
#define FM_OPS_FIT_H

#include <framemill/result.h>

typedef enum fm_fit { FM_FIT_LETTERBOX, FM_FIT_STRETCH, FM_FIT_CROP } fm_fit;
typedef enum fm_anchor { FM_ANCHOR_TOPLEFT, FM_ANCHOR_CENTER } fm_anchor;

/** Source rectangle (src_x.., in source pixels) drawn into the content rectangle (dst_x.., whole pixels) of a
 * dst_w x dst_h input. Letterbox keeps the aspect ratio and pads; crop keeps it and cuts (resize the shorter
 * side, then centre crop); stretch does neither. */
typedef struct fm_fit_map {
    int src_w, src_h;                   // whole source
    int dst_w, dst_h;                   // whole input
    float src_x, src_y, src_cw, src_ch; // part of the source that is used
    int dst_x, dst_y, dst_cw, dst_ch;   // part of the input that is filled; the rest is padding
} fm_fit_map;

/** Letterbox: content size is round(src * min(dst_w/src_w, dst_h/src_h)), at least 1 (YOLOX, Ultralytics).
 * `crop_ratio` is used by FM_FIT_CROP only: input side / resized shorter side, 224/256 = 0.875 is the
 * customary one, 1 when 0. */
fm_fit_map fm__fit(
    fm_fit fit, fm_anchor anchor, float crop_ratio, int src_w, int src_h, int dst_w, int dst_h);
/** A box in input pixels to source pixels, clipped to the source. */
fm_box fm__fit_to_source(const fm_fit_map *map, fm_box box);

#endif
