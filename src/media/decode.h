// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Demux and decode: libav's reading half. Nobody outside media/ sees an AVFrame.
 *
 *  A decoder opens one input, yields frames in presentation order in the decoder's own memory (reference
 * counted; converted only where the kernels cannot read the format, which is counted), with times mended:
 * pts_ns counts from the first frame, never goes back. Owner thread only, except fm__decoder_interrupt. */
#ifndef FM_MEDIA_DECODE_H
#define FM_MEDIA_DECODE_H

#include "frame/frame.h"

#include <framemill/log.h>

#include <stdatomic.h>
#include <stdbool.h>

typedef struct fm_decoder fm_decoder;

typedef enum fm_input_kind {
    FM_INPUT_FILE,   // path of this machine: protocol whitelist file
    FM_INPUT_HTTP,   // http(s)://: http,https,tls,tcp, httpproxy; playlists refused
    FM_INPUT_RTSP,   // rtsp(s)://: tcp,udp,rtp,rtsp,tls,srtp
    FM_INPUT_DEVICE, // v4l2:///dev/video0
} fm_input_kind;

typedef struct fm_decoder_opts {
    const char *url; // as libav takes it (device: the device file)
    fm_input_kind kind;
    int threads;        // decoder threads, 1..16
    int64_t timeout_ns; // nothing came for so long: TIMEOUT; 0: 10 s
    int64_t max_pixels; // larger pictures are refused before decoding; 0: 16384*16384/2
    const fm_log *log;
    const atomic_bool *cancel; // may be NULL; once true, open and read return CANCELED soon
    bool keep_others; // packets of sound and subtitles are kept for an encoder that copies them (encode.h)
} fm_decoder_opts;

typedef struct fm_decoder_info {
    char container[32], codec[32];
    int width, height;        // first known
    double fps;               // average, 0 when unknown
    int64_t duration_ns;      // 0 when unknown
    int64_t frame_count;      // as the container says or estimated from duration; 0 when unknown
    int64_t creation_wall_ns; // container's creation time, or FM_PTS_NONE
    bool live;
} fm_decoder_info;

/** Counted while decoding. */
typedef struct fm_decoder_stats {
    uint64_t frames;
    uint64_t pts_mended;     // missing, backward or jumping timestamps
    uint64_t decode_errors;  // packets or frames that did not decode and were left out
    uint64_t converted;      // frames whose pixel format had to be converted (a copy)
    uint64_t format_changes; // resolution or pixel format changes in mid-stream
} fm_decoder_stats;

fm_status fm__decoder_open(const fm_decoder_opts *opts, fm_decoder **out, fm_error *err) FM_MUST_USE;
/** Next frame: OK with a new reference, EOF, CANCELED after interrupt, or a failure that ends the stream. */
fm_status fm__decoder_read(fm_decoder *d, fm_frame **out, fm_error *err) FM_MUST_USE;
/** Where reading stands after a frame, for another decoder of the same file to go on behind it. */
typedef struct fm_decoder_mark {
    bool exact;        // its time tells the frame; false: it is found by counting from the start alone
    int64_t ts;        // the frame's time in the container's own units
    int64_t offset_ns; // what mending adds to times
    int64_t end_ns;    // of the frame, by its duration
} fm_decoder_mark;

/** Of the last frame that was read. */
void fm__decoder_get_mark(const fm_decoder *d, fm_decoder_mark *out);
/** A decoder that has read nothing yet goes behind the frame of this mark, of which number, time and pixels
 * (fm__frame_crc) are known: decoding begins at a keyframe before it, and what comes out in its place is
 * compared.
 *  @return NOTFOUND where the frame is not found like this: close the decoder, and count from the start */
fm_status fm__decoder_seek(fm_decoder *d, const fm_decoder_mark *mark, uint64_t frame, int64_t pts_ns,
    uint32_t crc, fm_error *err) FM_MUST_USE;
/** Times go on behind pts_ns, whatever the input's own begin with. Before the first frame. */
void fm__decoder_continue(fm_decoder *d, int64_t pts_ns);
const fm_decoder_info *fm__decoder_info(const fm_decoder *d);
void fm__decoder_stats(const fm_decoder *d, fm_decoder_stats *out);
/** Makes a blocked read return CANCELED soon; any thread, while the decoder lives. An open that blocks is
 * stopped with opts->cancel. */
void fm__decoder_interrupt(fm_decoder *d);
void fm__decoder_close(fm_decoder **d);

/** Decodes one still picture with libav (BMP and whatever libvips does not take), limits as above. */
fm_status fm__media_picture(
    const char *path, int64_t max_pixels, fm_frame_pool *pool, fm_frame **out, fm_error *err) FM_MUST_USE;

/** "59.37.100" style versions for doctor. */
void fm__media_version(char *buf, size_t size);

#endif
