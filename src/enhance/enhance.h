// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Frames made better: denoised, corrected in colour, enlarged. Frame in, frame out.
 *
 *  Steps, each one optional, in this order: non-local means, colour correction, a 3D LUT, enlarging by a
 * network (superres.h) or by Lanczos. Rows go over threads, and what comes out does not depend on how many.
 * Frames of any format; NV12 comes out as YUV420P, BGR24 as RGB24, all others as they are. An enhancer
 * belongs to one stream and one thread. Once it has seen a stream's sizes and formats, frames cost it no
 * allocation.
 *
 *  Non-local means may search the frames before and after as well (FM__DENOISE_NLM_T). Then frames come out
 * later than they go in, and in the end some are still inside: push and flush. Where the scene, the size or
 * the format changes, what lies beyond is not searched. */
#ifndef FM_ENHANCE_ENHANCE_H
#define FM_ENHANCE_ENHANCE_H

#include "enhance/superres.h"
#include "frame/frame.h"
#include "ops/color.h"
#include "ops/lut3d.h"

#include <stdbool.h>

enum { FM__ENHANCE_MAX_SCALE = 4 };

#define FM__ENHANCE_OWN_MODEL "superres-x2"

typedef enum fm__denoise_kind {
    FM__DENOISE_NONE,
    FM__DENOISE_AUTO,
    FM__DENOISE_NLM,
    FM__DENOISE_NLM_T
} fm__denoise_kind;

/** What --denoise, --color and --sr say. */
typedef struct fm__enhance_spec {
    fm__denoise_kind denoise;
    float h, h_color; // grey levels, of FM__DENOISE_NLM and _NLM_T; 0: that part is left alone
    int frames;       // that _NLM_T searches, the one to clean among them: 3 or 5
    bool has_color;
    fm__color_opts color;
    int scale;         // 1: none; 0: the model's own
    const char *model; // that enlarges, a name or a path; part of the text it was read from; NULL: Lanczos
} fm__enhance_spec;

typedef struct fm__enhance_opts {
    fm__enhance_spec spec;
    const fm__lut3d *lut;         // borrowed; NULL: none
    const fm__upscaler *upscaler; // of spec.model, borrowed; NULL: Lanczos
    int threads;                  // 0: 1
    int64_t max_pixels;           // of the result, DENIED past it; 0: 16384*16384/2
    bool is_video;                // what is measured is averaged over time
} fm__enhance_opts;

typedef struct fm__enhancer fm__enhancer;

/** From "auto", "none", "nlm:h=10:hcolor=7", "nlm-t:h=10:frames=5". INVAL says which word was not understood;
 * NULL is "none". */
fm_status fm__enhance_parse_denoise(const char *text, fm__enhance_spec *spec, fm_error *err) FM_MUST_USE;
/** From "auto", "none", "wb=grey,levels=0.002,gamma=0.9,clahe=2,saturation=1.1"; "auto,saturation=1.2". */
fm_status fm__enhance_parse_color(const char *text, fm__enhance_spec *spec, fm_error *err) FM_MUST_USE;
/** From "none", "lanczos:2", "x2" (our own network), anything else: a model. */
fm_status fm__enhance_parse_sr(const char *text, fm__enhance_spec *spec, fm_error *err) FM_MUST_USE;

fm_status fm__enhancer_new(const fm__enhance_opts *opts, fm__enhancer **out, fm_error *err) FM_MUST_USE;
void fm__enhancer_free(fm__enhancer **e);
/** Is the result of a frame of this size within the limits? DENIED says which one it passes. */
fm_status fm__enhancer_check(const fm__enhancer *e, int width, int height, fm_error *err) FM_MUST_USE;
/** A new frame with the time and place of `in`, which stays the caller's. INVAL with FM__DENOISE_NLM_T. */
fm_status fm__enhancer_run(fm__enhancer *e, fm_frame *in, fm_frame **out, fm_error *err) FM_MUST_USE;

/** The same for a stream, whatever its steps: one frame in, and the next one that is ready out, or AGAIN
 * where none is yet. A frame that fails does not come out, the others do. */
fm_status fm__enhancer_push(fm__enhancer *e, fm_frame *in, fm_frame **out, fm_error *err) FM_MUST_USE;
/** After the last push: one of those that are still inside, EOF where there is none. A stream may begin
 * anew then. */
fm_status fm__enhancer_flush(fm__enhancer *e, fm_frame **out, fm_error *err) FM_MUST_USE;

#endif
