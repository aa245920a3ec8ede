// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Inside media/: what its files share. Nobody else includes this; it is the only header that names libav
 * types. */
#ifndef FM_MEDIA_INTERNAL_H
#define FM_MEDIA_INTERNAL_H

#include "media/decode.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>

#include <stdatomic.h>

/** Hangs on every libav context of one input or output: says whom to log to and when to stop waiting. */
typedef struct fm_av_guard {
    // immutable after init
    fm_log log;
    const atomic_bool *cancel; // the caller's, may be NULL
    int64_t timeout_ns;        // 0: never
    // any thread
    atomic_bool interrupted;
    // owner thread only
    int64_t deadline_ns;
    bool timed_out;
    bool refused; // a nested open was refused
} fm_av_guard;

void fm__av_guard_init(fm_av_guard *g, const fm_log *log, const atomic_bool *cancel, int64_t timeout_ns);
/** The clock of silence starts anew. */
void fm__av_guard_arm(fm_av_guard *g);
bool fm__av_guard_stopped(const fm_av_guard *g);
AVIOInterruptCB fm__av_guard_callback(fm_av_guard *g);
/** Marks a codec context as ours, so that its log lines find the guard, and keeps it to software formats. */
void fm__av_guard_codec(fm_av_guard *g, AVCodecContext *avctx);
/** Process-wide set-up of libav, once. */
void fm__av_setup(void);
/** Status and message for a libav error code; `shown` is the redacted name. `net`: connection trouble is NET,
 * not IO. */
fm_status fm__av_fail(
    fm_error *err, int ret, const fm_av_guard *g, bool net, const char *what, const char *shown);

/** One opened input. */
typedef struct fm_input {
    AVFormatContext *fmt;
    AVIOContext *pb; // NULL where the demuxer does its own reading (RTSP, devices)
    AVStream *video;
    int turns; // quarter turns clockwise that make it upright
    bool live;
} fm_input;

fm_status fm__input_open(
    const fm_decoder_opts *opts, const char *shown, fm_av_guard *g, fm_input *in, fm_error *err) FM_MUST_USE;
void fm__input_close(fm_input *in);
/** A file whose container leads from a time to the frame that has it. */
bool fm__input_seeks(const fm_input *in);
/** After the end of a local file: was there meant to be more? */
bool fm__input_is_cut(const fm_input *in, int64_t last_end_ns, int64_t step_ns);

/** Packets of sound and subtitles on their way from a decoder's thread to a muxer's; bounded. */
typedef struct fm_others fm_others;
fm_others *fm__others_new(void) FM_MUST_USE;
void fm__others_free(fm_others **others);
/** Takes the packet's data over, if its stream is one that is kept. Where too much is waiting the oldest is
 * lost, and counted. */
void fm__others_put(fm_others *o, const AVFormatContext *fmt, AVPacket *packet);
/** The oldest packet, the caller's now; NULL: none waits. */
AVPacket *fm__others_take(fm_others *o) FM_MUST_USE;
uint64_t fm__others_lost(fm_others *o);

const fm_input *fm__decoder_input(const fm_decoder *d);
fm_others *fm__decoder_others(const fm_decoder *d);
/** The container's time of the first frame: what times from the first frame count from. */
int64_t fm__decoder_first_ns(const fm_decoder *d);

/** AVFrames used again and again; outlives its owner until the last frame came back. Thread-safe. */
typedef struct fm_av_stock fm_av_stock;
fm_av_stock *fm__av_stock_new(void) FM_MUST_USE;
void fm__av_stock_free(fm_av_stock **stock);
AVFrame *fm__av_stock_take(fm_av_stock *stock) FM_MUST_USE;
/** fm_frame's release: buffer is the AVFrame, opaque the stock. */
void fm__av_stock_give(void *frame, void *stock);

/** Pixel formats. fm__pixfmt_of_av: the format that kernels read as it is, or NONE. */
fm_pixfmt fm__pixfmt_of_av(enum AVPixelFormat format);
enum AVPixelFormat fm__pixfmt_to_av(fm_pixfmt format);
/** Fills matrix, range and chroma site of `view` from a frame's tags, or from what players assume where there
 * are none. */
void fm__colour_of_av(const AVFrame *frame, enum AVCodecID codec, fm_frame_view *view);

/** Conversion to what kernels read and turning upright, into frames of `pool`. */
typedef struct fm_converter {
    struct SwsContext *sws;
    int width, height, range, matrix; // what sws was made for
    enum AVPixelFormat from, to;
    fm_frame_pool *scratch; // for conversion before turning
} fm_converter;
/** @param want  format to convert to; NONE: the nearest one. `colour` carries matrix, range, chroma site of
 * the source. */
fm_status fm__convert(fm_converter *c, const AVFrame *src, fm_pixfmt want, int turns,
    const fm_frame_view *colour, fm_frame_pool *pool, fm_frame **out, fm_error *err) FM_MUST_USE;
void fm__converter_done(fm_converter *c);

/** Mends presentation times; pure. Zero it, set the first block, feed frames in order. */
typedef struct fm_pts_mender {
    int64_t step_ns; // expected time between frames, > 0
    int64_t end_ns;  // end of the stream from its first frame as the container's header says; 0 unknown
    // state
    bool started, has_base, has_alt;
    int64_t offset;             // out = in + offset
    int64_t last_out, last_end; // last_end: by its duration
    int64_t last_arrival;
    int64_t alt_in, alt_out; // the last time that did not fit: maybe the start of a new base
    uint64_t mended;
} fm_pts_mender;
/** @param in_ns        the container's time, FM_PTS_NONE when missing
 *  @param duration_ns  of this frame, 0 unknown
 *  @param arrival_ns   monotonic arrival time for live sources, FM_PTS_NONE for files
 *  @return time from the first frame; strictly greater than the one before. */
int64_t fm__pts_mend(fm_pts_mender *m, int64_t in_ns, int64_t duration_ns, int64_t arrival_ns);

#endif
