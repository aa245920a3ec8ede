// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The detector `motion`: background subtraction on the luma plane, morphology, blobs merged into boxes. No
 * weights. One per stream, fed every frame in order. Pure but for its own state; owner thread only. */
#ifndef FM_HEADS_MOTION_H
#define FM_HEADS_MOTION_H

#include "base/cpu.h"

#include <framemill/frame.h>
#include <framemill/result.h>
#include <framemill/status.h>

typedef struct fm_motion fm_motion;

typedef struct fm_motion_opts {
    int work_width;  // the luma is scaled down to about this width; default 320
    float min_area;  // smallest blob, as a fraction of the picture; default 0.0004
    size_t max_dets; // default 300
    fm_cpu_level level;
    uint32_t seed; // of its random numbers, so that runs repeat
} fm_motion_opts;

fm_status fm__motion_new(const fm_motion_opts *opts, fm_motion **out, fm_error *err) FM_MUST_USE;
void fm__motion_free(fm_motion **motion);
/** Boxes of what moves, in source pixels, class_id 0 (its one label is "motion"), score = share of the box's
 * pixels that moved. A change of size or format starts the background anew. While it learns the first frames
 * nothing is reported. */
fm_status fm__motion_run(fm_motion *motion, const fm_frame_view *view, fm_det *dets, size_t cap,
    size_t *count, fm_error *err) FM_MUST_USE;
/** State as bytes: versioned, checked on load. Save writes up to cap bytes and returns the size needed. */
size_t fm__motion_save(const fm_motion *motion, void *data, size_t cap);
fm_status fm__motion_load(fm_motion *motion, const void *data, size_t len, fm_error *err) FM_MUST_USE;

#endif
