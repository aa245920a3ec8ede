// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Pictures made better: denoised, corrected in colour, enlarged; one file or a folder of them. */
#ifndef FRAMEMILL_ENHANCE_H
#define FRAMEMILL_ENHANCE_H

#include <framemill/api.h>
#include <framemill/log.h>
#include <framemill/model.h>
#include <framemill/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

FM_BEGIN_DECLS

typedef struct fm_enhance_progress {
    uint64_t done, failed, expected; // pictures; done counts those that failed too
    double seconds;                  // since the start
} fm_enhance_progress;

/** Called before the first picture and after each one, from the caller's thread; false stops: CANCELED. */
typedef bool (*fm_enhance_progress_fn)(const fm_enhance_progress *progress, void *opaque);

/** Zero means the default. Strings are borrowed for the call. */
typedef struct fm_enhance_opts {
    size_t struct_size;
    const char *input;   // a picture, or a folder of them
    const char *output;  // .png .jpg .jpeg .webp .tif .tiff; a folder where input is one
    const char *denoise; // "none" (default), "auto", "nlm[:h=H][:hcolor=H]"
    const char *color; // "none" (default), "auto", "wb=shades,levels=0.002,gamma=0.9,clahe=2,saturation=1.1"
    const char *lut;   // path of a .cube file; NULL: none
    const char *sr;    // "none" (default), "x2", "x3", "x4" (our own network), a model's name or path,
                    // "lanczos:2" to "lanczos:4"
    int sr_tile;                      // pixels a side of what the network gets at once; 0: the model's
    const fm_model_store_opts *store; // required where a model enlarges
    const char *device;               // of the network: "cpu", "cuda:0"; NULL: "cpu"
    const char *precision;            // of the network: "fp32", "bf16", "fp16"; NULL: "fp32"
    const char *cache_dir;            // of compiled networks; NULL: none
    const char *compare; // also write before and after, side by side, here; one picture only; NULL: not
    int threads;         // 0: one a core
    int64_t max_pixels;  // of a picture, and of a result; 0: 16384*16384/2
    fm_log log;          // pictures of a folder that failed, as warnings
    fm_enhance_progress_fn progress; // may be NULL
    void *opaque;                    // of progress
} fm_enhance_opts;
#define FM_ENHANCE_OPTS_INIT                                                                                 \
    {                                                                                                        \
        .struct_size = sizeof(fm_enhance_opts)                                                               \
    }

/** Reads, enhances and writes. Files are written whole or not at all.
 *  @param out  counts, written in every case; may be NULL.
 *  @return INVAL for options that are not right, DENIED past max_pixels, CANCELED when stopped. Of a folder
 *  pictures that fail are counted and logged, and the rest goes on: OK, unless none could be done. */
FM_API fm_status fm_enhance(const fm_enhance_opts *opts, fm_enhance_progress *out, fm_error *err) FM_MUST_USE;

FM_END_DECLS

#endif
