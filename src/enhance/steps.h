// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Steps of an enhancer; each takes a frame and makes another. */
#ifndef FM_ENHANCE_STEPS_H
#define FM_ENHANCE_STEPS_H

#include "enhance/bands.h"
#include "enhance/enhance.h"
#include "enhance/kept.h"

/** Noise as measured so far, for strengths that follow it. */
typedef struct fm__noise_state {
    bool has;
    double luma, chroma; // grey levels
} fm__noise_state;

/** What steps work with; one thread's. */
typedef struct fm__step {
    fm_cpu_level level;
    fm__bands bands;
    fm__kept kept;
} fm__step;

/** A frame of this format and size with everything else of `like`. */
fm_status fm__step_frame(fm__step *s, const fm_frame *like, fm_pixfmt format, int width, int height,
    fm_frame **out, fm_error *err) FM_MUST_USE;

/** Not for NV12. noise: its state, moved by `share` (1: measured anew). */
fm_status fm__step_denoise(fm__step *s, const fm__enhance_spec *spec, fm__noise_state *noise, double share,
    fm_frame *in, fm_frame **out, fm_error *err) FM_MUST_USE;
/** Not for NV12, nor RGB24. frames[0] cleaned, the others searched too; all of one size and format. */
fm_status fm__step_clean(fm__step *s, float h, float h_color, const fm_frame *const *frames, int count,
    fm_frame **out, fm_error *err) FM_MUST_USE;
/** RGB24 to YUV444P, full-range BT.601, and back. */
fm_status fm__step_split(fm__step *s, const fm_frame *rgb, fm_frame **out, fm_error *err) FM_MUST_USE;
fm_status fm__step_join(fm__step *s, const fm_frame *ycc, fm_frame **out, fm_error *err) FM_MUST_USE;
/** Not for NV12. state: what a video remembers, moved by `share`; NULL for pictures. */
fm_status fm__step_correct(fm__step *s, const fm__color_opts *opts, fm__color_state *state, float share,
    const fm_frame *in, fm_frame **out, fm_error *err) FM_MUST_USE;
/** Not for NV12. */
fm_status fm__step_look_up(
    fm__step *s, const fm__lut3d *lut, const fm_frame *in, fm_frame **out, fm_error *err) FM_MUST_USE;
/** Not for NV12. By Lanczos to this size, planes of YUV to those of any other format of YUV with as many; RGB
 * stays RGB. */
fm_status fm__step_resize(fm__step *s, fm_pixfmt format, int width, int height, const fm_frame *in,
    fm_frame **out, fm_error *err) FM_MUST_USE;
/** One plane of it. */
fm_status fm__step_resize_plane(
    fm__step *s, const fm_frame *in, fm_frame *out, int plane, fm_error *err) FM_MUST_USE;
/** Not for NV12. Enlarges once by a network's own scale. */
fm_status fm__step_upscale(
    fm__step *s, fm__superres *net, fm_frame *in, fm_frame **out, fm_error *err) FM_MUST_USE;

#endif
