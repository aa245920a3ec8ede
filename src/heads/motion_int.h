// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The motion detector's inside, shared by motion.c (background model), motion_blobs.c (mask to boxes) and
 * motion_state.c (save, load). */
#ifndef FM_HEADS_MOTION_INT_H
#define FM_HEADS_MOTION_INT_H

#include "heads/kernels.h"
#include "heads/motion.h"

#include <stdbool.h>

#define FM_MOTION_MAX_SIDE 65536 // of the source
#define FM_MOTION_MAX_BLOBS 4096 // labels of one frame; blobs beyond are left out

/** A run of moving pixels in one row, x1 exclusive. */
typedef struct fm_motion_segment {
    int x0, x1, label;
} fm_motion_segment;

/** Connected moving pixels; corners exclusive. parent: another blob that this one was joined to, or itself.
 */
typedef struct fm_motion_blob {
    int x0, y0, x1, y1, area, parent;
} fm_motion_blob;

struct fm_motion {
    // immutable after new
    fm_motion_opts opts;
    const fm_heads_kernels *kernels;
    // geometry, set by fm__motion_configure; src_w 0 before the first frame
    int src_w, src_h;
    fm_pixfmt format;
    int step;      // one work pixel is the mean of step x step source pixels
    int w, h;      // work size
    size_t plane;  // w * h
    size_t stride; // of the masks, which have a border of one pixel
    // the background model; saved
    uint32_t seen;        // frames learnt from, up to the number that a fresh model needs
    uint32_t flooded;     // frames in a row in which the whole scene changed
    uint32_t last_moving; // pixels, in the frame before
    uint32_t rng;
    uint8_t *samples; // [h][FM_MOTION_SAMPLES][w]
    uint16_t *mean;   // running mean on a sparse grid, 8 fractional bits, for changes of light
    int grid_w, grid_h;
    // scratch
    uint8_t *cur;     // the work picture
    uint8_t *mask[2]; // pixel 0 of padded planes in mask_block
    uint8_t *mask_block;
    uint16_t *sums;              // of the source rows that make a work row
    fm_motion_segment *segments; // two rows
    fm_motion_blob *blobs;
};

/** Samples a pixel that a fresh model takes, one a frame, before it reports anything. */
#define FM_MOTION_LEARN ((uint32_t)FM_MOTION_SAMPLES)

/** Allocates for this geometry and starts the background anew; on failure nothing changes. */
fm_status fm__motion_configure(
    fm_motion *m, int src_w, int src_h, fm_pixfmt format, fm_error *err) FM_MUST_USE;
/** Back to before the first frame. */
void fm__motion_reset(fm_motion *m);
/** Size of the work picture and of the grid for this source; allocates nothing. */
void fm__motion_set_geometry(fm_motion *m, int src_w, int src_h, fm_pixfmt format);

/** Boxes of the moving pixels of `mask` (padded plane) in source pixels, by descending area; at most cap.
 * `moving` is set to their number, boxed or not. */
size_t fm__motion_boxes(fm_motion *m, const uint8_t *mask, fm_det *dets, size_t cap, size_t *moving);

#endif
