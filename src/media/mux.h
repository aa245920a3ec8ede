// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Inside media/: a file that takes the packets of an encoder, and those that a decoder has kept for it. */
#ifndef FM_MEDIA_MUX_H
#define FM_MEDIA_MUX_H

#include "media/internal.h"

typedef struct fm_muxer fm_muxer;

typedef struct fm_muxer_opts {
    const char *path;         // its ending says the kind of file; replaced if there
    bool part;                // written as PATH.part, which becomes PATH when it is finished
    const fm_decoder *source; // whose sound, subtitles and tags are copied; NULL: none; outlives the muxer
    const AVCodecContext *avctx;
    const fm_log *log;
} fm_muxer_opts;

/** Is there a kind of file for this ending: mp4, m4v, mov, mkv, webm, avi? Others are written as MP4. */
bool fm__muxer_knows(const char *path);
/** Writes the header. */
fm_status fm__muxer_open(const fm_muxer_opts *opts, fm_muxer **out, fm_error *err) FM_MUST_USE;
/** A packet of the video, in the codec's time base; what is kept up to now goes with it. */
fm_status fm__muxer_write(fm_muxer *m, AVPacket *packet, fm_error *err) FM_MUST_USE;
/** With keep: the rest, the trailer and the final name; without, a part is taken away. Always frees. */
fm_status fm__muxer_close(fm_muxer **m, bool keep, fm_error *err);

#endif
