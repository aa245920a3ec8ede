// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Inside stream/: the table that each kind of source fills. */
#ifndef FM_STREAM_SOURCE_H
#define FM_STREAM_SOURCE_H

#include "stream/stream.h"

typedef struct fm_source fm_source; // each kind's own

typedef struct fm_source_ops {
    const char *name;
    /** Fills info (kind is set by the caller). */
    fm_status (*open)(const fm_source_opts *opts, fm_stream_kind kind, fm_source **out, fm_stream_info *info,
        fm_error *err);
    /** Frames with pts_ns and wall_ns; index is the caller's. */
    fm_status (*read)(fm_source *s, fm_frame **out, fm_error *err);
    /** Nothing has been read: goes to frame `frame` > 0, behind that of the mark (NULL: there is none).
     * AGAIN: the frames before have to be read, by a source opened anew. */
    fm_status (*start)(fm_source *s, uint64_t frame, const fm_stream_mark *mark, fm_error *err);
    /** Its own part of a mark of the frame read last; NULL: it has none. */
    void (*mark)(const fm_source *s, fm_stream_mark *out);
    void (*stats)(const fm_source *s, fm_stream_stats *out);
    void (*interrupt)(fm_source *s); // any thread
    void (*close)(fm_source *s);
} fm_source_ops;

extern const fm_source_ops fm__video_source;
extern const fm_source_ops fm__picture_source; // one picture or a folder of them
extern const fm_source_ops fm__test_source;

/** Order for eyes: digits compare by value ("2.jpg" before "10.jpg"); total, independent of the locale. */
int fm__natural_compare(const char *a, const char *b);
/** What stands behind "v4l2://" (borrowed): the device file. */
const char *fm__device_path(const char *url);

#endif
