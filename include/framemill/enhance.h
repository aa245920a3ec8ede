// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Pictures and videos made better: denoised, corrected in colour, enlarged; one file, a folder of pictures,
 * or frames of the program's own. */
#ifndef FRAMEMILL_ENHANCE_H
#define FRAMEMILL_ENHANCE_H

#include <framemill/api.h>
#include <framemill/frame.h>
#include <framemill/log.h>
#include <framemill/model.h>
#include <framemill/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

FM_BEGIN_DECLS

typedef struct fm_enhance_progress {
    // Pictures; done counts those that failed too. Of a video: frames, and failed is 1 where parts of it
    // could not be read; expected is 0 where nobody knows.
    uint64_t done, failed, expected;
    double seconds; // since the start
    bool is_video;
} fm_enhance_progress;

/** Called before the first picture or frame and after each one, from the caller's thread; false stops:
 * CANCELED. */
typedef bool (*fm_enhance_progress_fn)(const fm_enhance_progress *progress, void *opaque);

/** Zero means the default. Strings are borrowed for the call. */
typedef struct fm_enhance_opts {
    size_t struct_size;
    const char *input;   // a picture, a folder of them, a video, http(s)://, rtsp://
    const char *output;  // .png .jpg .jpeg .webp .tif .tiff; a folder where input is one; of a video: .mp4
                         // .m4v .mov .mkv .webm .avi
    const char *denoise; // "none" (default), "auto", "nlm[:h=H][:hcolor=H]"; of a video
                         // "nlm-t[:h=H][:hcolor=H][:frames=3|5]"
    const char *color; // "none" (default), "auto", "wb=shades,levels=0.002,gamma=0.9,clahe=2,saturation=1.1"
    const char *lut;   // path of a .cube file; NULL: none
    const char *sr;    // "none" (default), "x2", "x3", "x4" (our own network), a model's name or path,
                       // "lanczos:2" to "lanczos:4"
    int sr_tile;       // pixels a side of what the network gets at once; 0: the model's
    const fm_model_store_opts *store; // required where a model enlarges
    const char *device;               // of the network: "cpu", "cuda:0"; NULL: "cpu"
    const char *precision;            // of the network: "fp32", "bf16", "fp16"; NULL: "fp32"
    const char *cache_dir;            // of compiled networks; NULL: none
    const char *compare; // also write before and after, side by side, here; not of a folder; NULL: not
    // of a video: "h264", "hevc", "av1", "vp9", "mpeg4", "ffv1"; NULL: by the output's ending
    const char *codec;
    const char *preset;  // of h264 and hevc: "veryfast" (default), ...
    int quality;         // of a video: its codec's number, falling; 0: the usual. Of JPEG and WebP:
                         // 1..100, rising; 0: 95
    bool strip;          // of pictures: write no EXIF, XMP, IPTC, profile
    uint64_t max_frames; // of a video; 0: all
    int threads;         // 0: one a core
    int64_t max_pixels;  // of a picture or frame, and of a result; 0: 16384*16384/2
    fm_log log;          // pictures of a folder that failed and what is not kept, as warnings; any thread
    fm_enhance_progress_fn progress; // may be NULL
    void *opaque;                    // of progress
} fm_enhance_opts;
#define FM_ENHANCE_OPTS_INIT                                                                                 \
    {                                                                                                        \
        .struct_size = sizeof(fm_enhance_opts)                                                               \
    }

/** Reads, enhances and writes. Files are written whole or not at all: a video grows as OUTPUT.part. Sound,
 * subtitles, tags and times of a video are kept.
 *  @param out  counts, written in every case; may be NULL.
 *  @return INVAL for options that are not right, DENIED past max_pixels, CANCELED when stopped: a video then
 *  ends there, and is whole. Of a folder
 *  pictures that fail are counted and logged, and the rest goes on: OK, unless none could be done. */
FM_API fm_status fm_enhance(const fm_enhance_opts *opts, fm_enhance_progress *out, fm_error *err) FM_MUST_USE;

/** Frames of the program's own, made better one by one. One thread at a time. */
typedef struct fm_enhancer fm_enhancer;

/** @param opts  denoise, color, lut, sr and what belongs to them; input, output and what is about files is
 * not looked at. "nlm-t" is INVAL: it waits for later frames.
 *  @param is_video  frames follow one another: what is measured in them is averaged over time */
FM_API fm_status fm_enhancer_new(
    const fm_enhance_opts *opts, bool is_video, fm_enhancer **out, fm_error *err) FM_MUST_USE;
/** A new frame, of the format of `in` (NV12 as YUV420P), which stays the caller's. DENIED past max_pixels. */
FM_API fm_status fm_enhancer_run(
    fm_enhancer *enhancer, fm_frame *in, fm_frame **out, fm_error *err) FM_MUST_USE;
/** Frames that came out live on. Accepts NULL and a pointer to NULL. */
FM_API void fm_enhancer_free(fm_enhancer **enhancer);

FM_END_DECLS

#endif
