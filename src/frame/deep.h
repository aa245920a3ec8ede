// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Pictures of 16 bits a sample: planes of grey, or of R, G and B, dense rows. Only enhancing knows them;
 * everything else works on frames of 8 bits. */
#ifndef FM_FRAME_DEEP_H
#define FM_FRAME_DEEP_H

#include "base/alloc.h"
#include "frame/frame.h"

#define FM__DEEP_MAX_PLANES 3

typedef struct fm__deep {
    int width, height;
    int planes; // 1 or 3
    uint16_t *plane[FM__DEEP_MAX_PLANES];
} fm__deep;

fm_status fm__deep_new(
    fm_tag tag, int width, int height, int planes, fm__deep **out, fm_error *err) FM_MUST_USE;
void fm__deep_free(fm__deep **d);
/** The same picture rounded to 8 bits, as GRAY8 or RGB24: v / 257. */
fm_status fm__deep_to_frame(
    const fm__deep *d, fm_frame_pool *pool, fm_frame **out, fm_error *err) FM_MUST_USE;

#endif
