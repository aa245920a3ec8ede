// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Steps of an enhancer; each takes a frame and makes another. */
#ifndef FM_ENHANCE_STEPS_H
#define FM_ENHANCE_STEPS_H

#include "enhance/enhance.h"

/** Noise as measured so far, for strengths that follow it. */
typedef struct fm__noise_state {
    bool has;
    double luma, chroma; // grey levels
} fm__noise_state;

typedef struct fm__step {
    fm_frame_pool *pool;
    fm_cpu_level level;
    int threads;
} fm__step;

/** A frame of this format and size with everything else of `like`. */
fm_status fm__step_frame(const fm__step *s, const fm_frame *like, fm_pixfmt format, int width, int height,
    fm_frame **out, fm_error *err) FM_MUST_USE;

/** Not for NV12. noise: its state, moved by `share` (1: measured anew). */
fm_status fm__step_denoise(const fm__step *s, const fm__enhance_spec *spec, fm__noise_state *noise,
    double share, fm_frame *in, fm_frame **out, fm_error *err) FM_MUST_USE;
/** Not for NV12. By Lanczos to this size, planes of YUV to those of any other format of YUV with as many; RGB
 * stays RGB. */
fm_status fm__step_resize(const fm__step *s, fm_pixfmt format, int width, int height, const fm_frame *in,
    fm_frame **out, fm_error *err) FM_MUST_USE;
/** One plane of it. */
fm_status fm__step_resize_plane(
    const fm__step *s, const fm_frame *in, fm_frame *out, int plane, fm_error *err) FM_MUST_USE;
/** Not for NV12. Enlarges once by a network's own scale. */
fm_status fm__step_upscale(
    const fm__step *s, fm__superres *net, fm_frame *in, fm_frame **out, fm_error *err) FM_MUST_USE;

#endif
