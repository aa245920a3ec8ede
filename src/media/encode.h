// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Encode and mux: frames into a video file that plays as far as it goes when it is cut short. Owner thread
 * only. */
#ifndef FM_MEDIA_ENCODE_H
#define FM_MEDIA_ENCODE_H

#include "frame/frame.h"
#include "media/decode.h"

#include <framemill/log.h>

typedef struct fm_encoder fm_encoder;

typedef struct fm_encoder_opts {
    const char *path; // .mp4 .m4v .mov .mkv .webm .avi; replaced if there
    const char
        *codec; // "h264", "hevc", "av1", "vp9", "mpeg4", "ffv1"; NULL: what files of that ending usually hold
    bool part;  // written as PATH.part, which becomes PATH at the end
    const fm_decoder
        *source;      // its sound, subtitles, tags and times are kept (keep_others); NULL; outlives this
    fm_pixfmt format; // of the frames; only ffv1 keeps more than 4:2:0
    int width,
        height; // of the first frame; frames of another size are scaled into it, keeping the aspect ratio
    fm_matrix matrix;
    fm_range range;
    double fps; // a hint for rate control; 0: 25
    int crf;    // quality, falling: h264 and hevc to 51, av1 and vp9 to 63, mpeg4 to 31; 0: the codec's usual
    const char *preset; // h264, hevc; NULL: "veryfast"
    int threads;        // 0: 1
    const fm_log *log;
} fm_encoder_opts;

fm_status fm__encoder_open(const fm_encoder_opts *opts, fm_encoder **out, fm_error *err) FM_MUST_USE;
/** Encodes one frame (any fm_pixfmt); pts as in the frame. The frame is borrowed. */
fm_status fm__encoder_write(fm_encoder *e, const fm_frame *frame, fm_error *err) FM_MUST_USE;
/** Flushes and closes; the first failure of the file's life is reported, and then a part is taken away.
 * Always frees. */
fm_status fm__encoder_close(fm_encoder **e, fm_error *err);
/** Closes and takes a part away. */
void fm__encoder_abort(fm_encoder **e);
/** Is there a kind of video file for this name's ending? */
bool fm__encoder_knows(const char *path);
/** Would codec, quality and preset do? Before anything is opened. */
fm_status fm__encoder_check(const fm_encoder_opts *opts, fm_error *err) FM_MUST_USE;

#endif
