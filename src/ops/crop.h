// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The crop kernel: one pass from a box of a frame's planes into one row of a batch tensor, as the letterbox
 * does it from a whole frame, and by the same row kernels: SIMD picked at run time, same bits as the scalar
 * twin. Boxes differ each time, so the tables are made anew for each of them, in scratch; nothing is
 * allocated, and only the box's rows and columns are read. Pure: no threads, clock, files. */
#ifndef FM_OPS_CROP_H
#define FM_OPS_CROP_H

#include "ops/letterbox.h"

/** Where crops go to; the format of the frames is not part of it. */
typedef struct fm_crop_desc {
    int dst_w, dst_h;
    fm_layout layout;
    fm_color color;
    fm_dtype dtype; // U8 or F32
    fm_fit fit;     // of the box into the destination
    fm_anchor anchor;
    float crop_ratio;        // see fm__fit
    uint8_t pad;             // value of padding in every channel, before mean and scale
    float mean[3], scale[3]; // F32 only: (v - mean) / scale by channel in output order; scale 0 means 1
} fm_crop_desc;

/** Checks sides (1..16384) and type. */
fm_status fm__crop_check(const fm_crop_desc *desc, fm_error *err) FM_MUST_USE;
/** Bytes of scratch, 64-byte aligned, that crops of frames up to this width need; any format. */
size_t fm__crop_scratch_size(const fm_crop_desc *desc, int max_frame_w);
/** Fills `dst` (dense, dst_w * dst_h * channels of dtype) from the part of `box` (pixels of the frame) that
 * lies in the frame, its sides rounded to whole pixels, at least one: bilinear as OpenCV's resize of that
 * crop, INTER_LINEAR. Chroma samples are repeated, as fits frames of any siting. False when nothing of the
 * box lies in the frame, or a side of it is no number or not positive: dst is padding then. desc must be one
 * that fm__crop_check takes. */
bool fm__crop_run(const fm_crop_desc *desc, const fm_frame_view *view, fm_box box, void *dst, void *scratch,
    fm_cpu_level level);

#endif
