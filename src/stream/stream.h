// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Streams: sources of frames, over media and image, behind one table: a file, URL, device, picture, folder
 * of pictures, or the test source.
 *
 *  INPUT grammar: path of a video, picture or folder; http(s)://, rtsp(s)://, v4l2:///dev/videoN,
 * testsrc:WxH@FPS[,key=value...]. Everything else with a scheme (concat:, subfile:, file:, pipe:, data: ...)
 * is refused. Owner thread only, except interrupt. */
#ifndef FM_STREAM_STREAM_H
#define FM_STREAM_STREAM_H

#include "frame/frame.h"
#include "media/decode.h"

#include <framemill/log.h>
#include <framemill/result.h>

#include <stdatomic.h>
#include <stdbool.h>

typedef struct fm_stream fm_stream;

typedef enum fm_stream_kind {
    FM_STREAM_VIDEO,
    FM_STREAM_URL,
    FM_STREAM_DEVICE,
    FM_STREAM_PICTURE,
    FM_STREAM_FOLDER,
    FM_STREAM_TEST,
} fm_stream_kind;

/** Where a source stands after one of its frames, and how that frame is known again. */
typedef struct fm_stream_mark {
    fm_stream_kind kind;
    uint64_t frame;          // its number
    int64_t pts_ns, wall_ns; // its times; the latter FM_PTS_NONE where not known
    uint32_t crc;            // fm__frame_crc of its pixels as they left the source
    fm_decoder_mark video;
    uint64_t place;              // of a folder: the picture's in the list
    char file[FM_FILE_NAME_MAX]; // its name, else empty
} fm_stream_mark;

typedef struct fm_source_opts {
    const char *url;
    uint64_t start_frame;       // frames before it are read and thrown away, but for a live source: it counts
                                // from there on
    const fm_stream_mark *mark; // of frame start_frame - 1, which is then found without reading all before
                                // it; borrowed for the opening; NULL: none
    int decoder_threads;        // 0: 1
    int64_t timeout_ns;         // see fm_decoder_opts
    int64_t max_pixels;
    const fm_log *log;
    const atomic_bool
        *cancel; // may be NULL; once true, open and read return CANCELED soon; outlives the stream
} fm_source_opts;

typedef struct fm_stream_info {
    fm_stream_kind kind;
    bool live;            // drops its oldest frame when behind, instead of waiting
    double fps;           // 0 unknown
    uint64_t frame_count; // expected, 0 unknown
    int width, height;    // 0 unknown
} fm_stream_info;

typedef struct fm_stream_stats {
    uint64_t pts_mended, decode_errors, converted, format_changes;
    uint64_t skipped; // pictures of a folder that could not be read
} fm_stream_stats;

/** What kind an INPUT is, without opening it: NOTFOUND, DENIED, INVAL with a line that says what to do. */
fm_status fm__stream_classify(const char *url, fm_stream_kind *kind, fm_error *err) FM_MUST_USE;
/** Name after ARCHITECTURE's rules: "vtest" for "a/vtest.avi", host and path for URLs; safe, not yet unique.
 * Free with fm__free. */
char *fm__stream_name(const char *url) FM_MUST_USE;

/** With a start_frame: INVAL where there are fewer frames, or a mark is of something else. */
fm_status fm__stream_open(const fm_source_opts *opts, fm_stream **out, fm_error *err) FM_MUST_USE;
/** Next frame with index, pts_ns (from the first frame, never backwards) and wall_ns set. OK, EOF, CANCELED,
 * or the failure that ends the stream. The end of a folder some of whose pictures could not be read is EOF
 * with a message in err. */
fm_status fm__stream_read(fm_stream *s, fm_frame **out, fm_error *err) FM_MUST_USE;
/** Of the frame read last; its pixels are summed up. */
void fm__stream_get_mark(const fm_stream *s, const fm_frame *frame, fm_stream_mark *out);
const char *fm__stream_kind_name(fm_stream_kind kind);
const fm_stream_info *fm__stream_info(const fm_stream *s);
void fm__stream_stats(const fm_stream *s, fm_stream_stats *out);
/** Makes a blocked read return CANCELED soon; any thread. */
void fm__stream_interrupt(fm_stream *s);
void fm__stream_close(fm_stream **s);

#endif
