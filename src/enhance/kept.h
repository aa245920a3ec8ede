// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What an enhancer keeps from frame to frame: plans, pools of frames and scratch, each made for the first
 * frame of its kind. Once a video has shown every size and format there is on its way, nothing is allocated
 * for a frame any more. What is asked for is borrowed, until something of its sort is asked for again. */
#ifndef FM_ENHANCE_KEPT_H
#define FM_ENHANCE_KEPT_H

#include "frame/frame.h"
#include "ops/color.h"
#include "ops/nlm.h"
#include "ops/resample.h"

#include <stdbool.h>

// The longest way: YUV through a network of RGB twice, then by Lanczos to the size that was asked for.
enum { FM__KEPT_POOLS = 16, FM__KEPT_SIZES = 16 };

typedef struct fm__kept_pool {
    fm_pixfmt format;
    int width, height;
    fm_frame_pool *pool;
} fm__kept_pool;

typedef struct fm__kept_size {
    fm__resample_desc desc;
    fm__resample_plan *plan;
} fm__kept_size;

/** All zeros to begin with, but for the level. */
typedef struct fm__kept {
    fm_cpu_level level;
    fm__kept_pool pools[FM__KEPT_POOLS];
    fm__kept_size sizes[FM__KEPT_SIZES];
    int next_pool, next_size;                  // whose turn it is to go
    fm__nlm_desc nlm_desc[FM__NLM_MAX_PLANES]; // by planes - 1
    fm__nlm_plan *nlm[FM__NLM_MAX_PLANES];
    fm__color_desc color_desc;
    fm__color_plan *color;
    void *color_shared;
} fm__kept;

fm_status fm__kept_frame(
    fm__kept *k, fm_pixfmt format, int width, int height, fm_frame **out, fm_error *err) FM_MUST_USE;
fm_status fm__kept_resample(
    fm__kept *k, const fm__resample_desc *desc, const fm__resample_plan **out, fm_error *err) FM_MUST_USE;
/** Strength and number of frames may change from call to call for nothing. */
fm_status fm__kept_nlm(
    fm__kept *k, const fm__nlm_desc *desc, const fm__nlm_plan **out, fm_error *err) FM_MUST_USE;
/** shared: memory of fm__color_shared_size. */
fm_status fm__kept_color(fm__kept *k, const fm__color_desc *desc, const fm__color_plan **out, void **shared,
    fm_error *err) FM_MUST_USE;
void fm__kept_done(fm__kept *k);

#endif
