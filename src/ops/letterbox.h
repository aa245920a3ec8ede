// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The preprocessing kernel: one pass from a frame's planes into one row of the batch tensor: scale
 * (bilinear), pad, YUV to RGB (BT.601/709, limited/full range, chroma siting), channel order, layout, type.
 * SIMD picked at run time, same bits as the scalar twin.
 *
 *  A plan holds the tables of one geometry (source size and format, fit, destination) and is immutable after
 * init: any number of threads may run it, each with scratch of its own. Pure: no threads, clock, files. */
#ifndef FM_OPS_LETTERBOX_H
#define FM_OPS_LETTERBOX_H

#include "base/cpu.h"
#include "frame/tensor.h"
#include "ops/fit.h"

#include <framemill/frame.h>
#include <framemill/status.h>

#include <stdbool.h>

typedef enum fm_layout { FM_LAYOUT_NCHW, FM_LAYOUT_NHWC } fm_layout;
typedef enum fm_color { FM_COLOR_RGB, FM_COLOR_BGR, FM_COLOR_GRAY } fm_color;

typedef struct fm_letterbox_desc {
    fm_pixfmt format;
    fm_matrix matrix;
    fm_range range;
    fm_chroma_site chroma_site; // FM_CHROMA_REPEAT fits frames of any siting
    fm_fit_map map;
    fm_layout layout;
    fm_color color;
    fm_dtype dtype;          // U8 or F32
    uint8_t pad;             // value of the padding in every channel, before mean and scale
    float mean[3], scale[3]; // F32 only: (v - mean) / scale by channel in output order; scale 0 means 1
} fm_letterbox_desc;

typedef struct fm_letterbox_plan fm_letterbox_plan;

fm_status fm__letterbox_plan_new(
    const fm_letterbox_desc *desc, fm_cpu_level level, fm_letterbox_plan **out, fm_error *err) FM_MUST_USE;
void fm__letterbox_plan_free(fm_letterbox_plan **plan);
const fm_letterbox_desc *fm__letterbox_plan_desc(const fm_letterbox_plan *plan);
/** True when the plan fits frames that look like `view` (size, format, colour). */
bool fm__letterbox_plan_matches(const fm_letterbox_plan *plan, const fm_frame_view *view);
/** Bytes of scratch that a run needs, 64-byte aligned; a run may be handed more. */
size_t fm__letterbox_scratch_size(const fm_letterbox_plan *plan);
/** Fills `dst` (dense, dst_w * dst_h * channels of dtype). view must match the plan. */
void fm__letterbox_run(const fm_letterbox_plan *plan, const fm_frame_view *view, void *dst, void *scratch);

#endif
