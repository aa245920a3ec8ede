// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Encode and mux: H.264 into MP4 (fragmented, so that a file cut short still plays). Owner thread only. */
#ifndef FM_MEDIA_ENCODE_H
#define FM_MEDIA_ENCODE_H

#include "frame/frame.h"

#include <framemill/log.h>

typedef struct fm_encoder fm_encoder;

typedef struct fm_encoder_opts {
    const char *path; // .mp4; replaced if there
    int width,
        height; // of the first frame; frames of another size are scaled into it, keeping the aspect ratio
    fm_matrix matrix;
    fm_range range;
    double fps;         // a hint for rate control; 0: 25
    int crf;            // 0: 23
    const char *preset; // NULL: "veryfast"
    int threads;        // 0: 1
    const fm_log *log;
} fm_encoder_opts;

fm_status fm__encoder_open(const fm_encoder_opts *opts, fm_encoder **out, fm_error *err) FM_MUST_USE;
/** Encodes one frame (any fm_pixfmt); pts as in the frame. The frame is borrowed. */
fm_status fm__encoder_write(fm_encoder *e, const fm_frame *frame, fm_error *err) FM_MUST_USE;
/** Flushes and closes; the first failure of the file's life is reported. Always frees. */
fm_status fm__encoder_close(fm_encoder **e, fm_error *err);

#endif
