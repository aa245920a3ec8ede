// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Resampling of one plane to any size by a separable filter, Lanczos of three lobes or bicubic. When the
 * picture gets smaller the filter gets wider by as much: nothing aliases. Rows and columns outside are not
 * made up, the filter is cut off and scaled up there, as Pillow does.
 *
 *  A plan is immutable: any number of threads may run it on bands of rows, each with scratch of its own.
 * Pure. */
#ifndef FM_OPS_RESAMPLE_H
#define FM_OPS_RESAMPLE_H

#include "base/cpu.h"

#include <framemill/status.h>

#include <stddef.h>
#include <stdint.h>

typedef enum fm__filter { FM__FILTER_LANCZOS3, FM__FILTER_BICUBIC } fm__filter; // bicubic: a = -0.5

typedef struct fm__resample_desc {
    int src_w, src_h, dst_w, dst_h;
    // The part of the source that fills the destination, in pixels; w or h 0: all of it. It may reach past
    // the source by a pixel, as that of chroma does.
    double x, y, w, h;
    fm__filter filter;
} fm__resample_desc;

typedef struct fm__resample_plan fm__resample_plan;

fm_status fm__resample_plan_new(
    const fm__resample_desc *desc, fm_cpu_level level, fm__resample_plan **out, fm_error *err) FM_MUST_USE;
void fm__resample_plan_free(fm__resample_plan **plan);
size_t fm__resample_scratch_size(const fm__resample_plan *plan);
/** Writes rows y0 to y1 - 1 of dst, which begins at its row 0. */
void fm__resample_rows(const fm__resample_plan *plan, const uint8_t *src, ptrdiff_t src_stride, uint8_t *dst,
    ptrdiff_t dst_stride, int y0, int y1, void *scratch);

#endif
