// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Non-local means (Buades, Coll, Morel 2005): each pixel becomes the mean of the pixels around it, weighted
 * by how much the 7x7 patches around both look alike. One plane (grey, luma) or two planes that share their
 * weights (chroma); video may search the same window in neighbouring frames too.
 *
 *  Weight of two patches whose squared difference is d on average: exp(-d / h^2), 0 where that is below
 * 0.001. Outside the picture stands its mirror image (the border pixel once). All of that is OpenCV's
 * fastNlMeansDenoising; its result is met to 1 grey level.
 *
 *  A plan is immutable after init: any number of threads may run it on bands of rows, each with scratch of
 * its own; bands do not change the result by a bit. Pure: no threads, clock, files. */
#ifndef FM_OPS_NLM_H
#define FM_OPS_NLM_H

#include "base/cpu.h"

#include <framemill/status.h>

#include <stddef.h>
#include <stdint.h>

enum {
    FM__NLM_RADIUS = 10, // of the search window, the most and the default: 21 x 21
    FM__NLM_PATCH = 7,
    FM__NLM_MAX_FRAMES = 5,
    FM__NLM_MAX_PLANES = 2,
    FM__NLM_MAX_H = 200,
};

typedef struct fm__nlm_desc {
    int width, height;
    int planes; // 1, or 2 that share their weights
    float h;    // strength in grey levels, above 0, at most FM__NLM_MAX_H
    int radius; // of the search window, 1..FM__NLM_RADIUS; 0: FM__NLM_RADIUS
    int frames; // searched, 1..FM__NLM_MAX_FRAMES; 0: 1
    int band;   // rows that the caller hands in at most; 0: all. Sets the size of the scratch
} fm__nlm_desc;

/** Planes of one frame, of the plan's size. */
typedef struct fm__nlm_frame {
    const uint8_t *plane[FM__NLM_MAX_PLANES];
    ptrdiff_t stride[FM__NLM_MAX_PLANES];
} fm__nlm_frame;

typedef struct fm__nlm_plan fm__nlm_plan;

fm_status fm__nlm_plan_new(
    const fm__nlm_desc *desc, fm_cpu_level level, fm__nlm_plan **out, fm_error *err) FM_MUST_USE;
void fm__nlm_plan_free(fm__nlm_plan **plan);
/** Another strength and number of frames for a plan that nobody runs meanwhile; what it needs of scratch
 * stays. Allocates nothing. */
fm_status fm__nlm_plan_retune(fm__nlm_plan *plan, float h, int frames, fm_error *err) FM_MUST_USE;
/** Bytes of scratch that each thread needs, 64-byte aligned. */
size_t fm__nlm_scratch_size(const fm__nlm_plan *plan);

/** Writes rows y0 to y1 - 1 of dst, which must not overlap the source. frame[0] is the one to clean, the
 * others (plan's frames - 1) are only searched. */
void fm__nlm_rows(const fm__nlm_plan *plan, const fm__nlm_frame *frame, uint8_t *const dst[],
    const ptrdiff_t dst_stride[], int y0, int y1, void *scratch);

#endif
