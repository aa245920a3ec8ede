// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** A store: a folder that keeps what pipelines saw: streams, frames, detections, tracks, features, pictures.
 *
 *  Everything is put asynchronously. fm_store_put() copies, encodes the picture on the caller's thread and
 * queues; one writer thread gathers what was queued into transactions of at most 100 ms and then tells each
 * put's callback. That call is the acknowledgement: from then on the record survives the process being killed
 * (FM_STORE_SYNC_NORMAL) or also power loss (FM_STORE_SYNC_FULL). When the queue is full, fm_store_put waits;
 * nothing is ever dropped silently: what cannot be written is told to its callback and counted.
 *
 *  One process at a time may write (a lock in the folder names it); any number may read. docs/store.md. */
#ifndef FRAMEMILL_STORE_H
#define FRAMEMILL_STORE_H

#include <framemill/api.h>
#include <framemill/frame.h>
#include <framemill/log.h>
#include <framemill/result.h>
#include <framemill/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

FM_BEGIN_DECLS

typedef struct fm_store fm_store;

typedef enum fm_store_sync {
    FM_STORE_SYNC_NORMAL = 0, // what was acknowledged survives the process
    FM_STORE_SYNC_FULL = 1,   // and the machine: data, folder and log are on the disk before it is
} fm_store_sync;

/** Zero means the default. Strings are copied. */
typedef struct fm_store_opts {
    size_t struct_size;
    const char *dir; // made if missing, unless read_only
    bool read_only;  // no lock, no writer; fm_store_put and what changes the store are INVAL
    fm_store_sync sync;
    int jpeg_quality;      // 1..100; default 85
    size_t queue_bytes;    // that may wait for the writer; default 64 MiB
    int64_t segment_bytes; // a file of pictures ends past so many; default 64 MiB
    int64_t max_age_s;     // older records are deleted; 0: kept
    int64_t max_bytes;     // of a stream; past it the oldest are deleted; 0: no bound
    int64_t free_floor;    // bytes that stay free on the disk; default 256 MiB; negative: 0
    fm_log log;
} fm_store_opts;
#define FM_STORE_OPTS_INIT                                                                                   \
    {                                                                                                        \
        .struct_size = sizeof(fm_store_opts)                                                                 \
    }

/** BUSY names the process that writes already; UNSUPPORTED: a newer store, or built without SQLite; DENIED,
 * IO: the folder; FORMAT: damaged, see fm_store_rebuild. An older store is brought to the present version
 * (when read_only: UNSUPPORTED). What a killed writer left without a record is collected. */
FM_API fm_status fm_store_open(const fm_store_opts *opts, fm_store **out, fm_error *err) FM_MUST_USE;
/** Writes what is queued, ends the writer, frees. The error is that of the last writing, when it failed.
 * Accepts a pointer to NULL. No put may be under way. */
FM_API fm_status fm_store_close(fm_store **store, fm_error *err);

/** A run of a stream: one sitting in which frames and tracks are counted from the start. The stream is made
 * when its name is new. Waits until it is stored.
 *  @param url  where it comes from, without credentials, or NULL
 *  @param run  its number, for fm_store_record */
FM_API fm_status fm_store_begin_run(
    fm_store *store, const char *stream, const char *url, int64_t *run, fm_error *err) FM_MUST_USE;

typedef struct fm_store_object {
    fm_box box;
    float score;
    int32_t class_id;
    const char *label;    // or NULL
    int64_t track;        // > 0: its number in the run
    const float *feature; // [feature_dim], or NULL
    const char *meta;     // a JSON object, or NULL
} fm_store_object;

/** A track's crop: the best view of it. */
typedef struct fm_store_view {
    int64_t track;    // number in the run
    uint64_t frame;   // in which it was seen so
    fm_box box;       // the part of that frame
    float score;      // of the detection
    const void *jpeg; // [jpeg_bytes], or NULL: none
    size_t jpeg_bytes;
    int width, height; // of the picture
    bool ended;        // the track has ended
} fm_store_view;

/** One frame and what was seen in it; or, without objects and with views alone (no_frame), ends of tracks.
 * Everything is borrowed for the call. Features must be finite. */
typedef struct fm_store_record {
    size_t struct_size;
    int64_t run;
    bool no_frame;           // views only
    uint64_t frame;          // number in the run
    int64_t pts_ns;          // FM_PTS_NONE: not known
    int64_t wall_ns;         // since 1970; FM_PTS_NONE: not known
    int width, height;       // of the frame
    const char *file;        // of a picture: its name, or NULL
    const char *meta;        // a JSON object, or NULL
    const char *error;       // why there are no detections, or NULL
    const fm_frame *picture; // to be kept as JPEG, or NULL
    const void *jpeg;        // or a JPEG that is there already: [jpeg_bytes], or NULL
    size_t jpeg_bytes;
    const fm_store_object *objects; // [object_count]
    size_t object_count;
    int feature_dim;            // of the objects' features
    const float *frame_feature; // [frame_feature_dim], or NULL
    int frame_feature_dim;
    const char *feature_model;  // name of the model that made the features; required where there are any
    const fm_store_view *views; // [view_count]
    size_t view_count;
} fm_store_record;
#define FM_STORE_RECORD_INIT                                                                                 \
    {                                                                                                        \
        .struct_size = sizeof(fm_store_record), .pts_ns = FM_PTS_NONE, .wall_ns = FM_PTS_NONE                \
    }

/** What became of a put, from the writer's thread (or, where nothing could be queued, not at all).
 *  @param frame_id  its row in frames, rising in the order of puts; 0 of no_frame or when it failed
 *  @param err  when status is not OK; the record is lost. Must not call the store. */
typedef void (*fm_store_done_fn)(fm_status status, int64_t frame_id, const fm_error *err, void *opaque);

/** INVAL: a feature that is not finite or has another dimension than this model's before, no such run. Then,
 * and on any other failure, done is not called. Any thread; the records of a run come from one. */
FM_API fm_status fm_store_put(fm_store *store, const fm_store_record *record, fm_store_done_fn done,
    void *opaque, fm_error *err) FM_MUST_USE;
/** As fm_store_put, and waits until the record was acknowledged, or lost: then it says why.
 *  @param frame_id  its row in frames, 0 of no_frame; or NULL */
FM_API fm_status fm_store_put_wait(
    fm_store *store, const fm_store_record *record, int64_t *frame_id, fm_error *err) FM_MUST_USE;
/** Waits until all that was put before was acknowledged or lost. */
FM_API fm_status fm_store_flush(fm_store *store, fm_error *err);

/** A part of a frame as JPEG of the store's quality. Free with fm_free. */
FM_API fm_status fm_store_encode(fm_store *store, const fm_frame *frame, fm_box part, void **jpeg,
    size_t *bytes, int *width, int *height, fm_error *err) FM_MUST_USE;

typedef struct fm_store_counts {
    uint64_t streams, frames, objects, tracks, features, pictures, segments;
    uint64_t picture_bytes, segment_bytes, database_bytes; // pictures' own; of the files; with its log
    // since it was opened
    uint64_t written, lost; // records
    uint64_t transactions, deleted_frames;
    double longest_ack_ms;
    int version; // of the schema
} fm_store_counts;
FM_API fm_status fm_store_count(fm_store *store, fm_store_counts *out, fm_error *err);

/** The picture of a frame, or a track's best view, whole and checked. NOTFOUND where there is none, FORMAT
 * where it is damaged. Free with fm_free. */
FM_API fm_status fm_store_frame_picture(
    fm_store *store, int64_t frame_id, void **jpeg, size_t *bytes, fm_error *err) FM_MUST_USE;
FM_API fm_status fm_store_track_picture(fm_store *store, const char *stream, int64_t track, void **jpeg,
    size_t *bytes, fm_error *err) FM_MUST_USE;

/** Looks at everything: each row, each picture, each index. */
typedef void (*fm_store_damage_fn)(const char *line, void *opaque); // one damage, one line
FM_API fm_status fm_store_verify(
    fm_store *store, fm_store_damage_fn fn, void *opaque, uint64_t *damages, fm_error *err) FM_MUST_USE;
/** How far fm_store_index is with one index. */
typedef struct fm_store_indexing {
    const char *model, *kind; // whose features; kind: "object", "frame"
    uint64_t features;        // that can be found
    uint64_t done, total;     // of those that are being linked into the graph
    double seconds;           // that this took so far
    bool is_done;             // the last of this index
    uint64_t in_graph;        // then: that the graph holds, 0 without
} fm_store_indexing;
/** false: stop, CANCELED. */
typedef bool (*fm_store_indexing_fn)(const fm_store_indexing *now, void *opaque);

/** Brings the files that searches use up to date with the database, so that the next one has nothing to add;
 * with `graph`, also the graphs beside them (fm_search_opts.approx), which it makes where there are none, or
 * damaged ones. BUSY: another process is at one of them.
 *  @param threads  0: as many as there are cores; fn  may be NULL */
FM_API fm_status fm_store_index(fm_store *store, bool graph, int threads, fm_store_indexing_fn fn,
    void *opaque, fm_error *err) FM_MUST_USE;
/** Deletes what the bounds of its options (age, bytes, floor) ask for, now. */
FM_API fm_status fm_store_prune(fm_store *store, uint64_t *frames, fm_error *err) FM_MUST_USE;
/** Makes a damaged store whole: what can be read is kept, rows whose data is gone lose it, pictures without
 * rows get them back, the rest is named. The damaged database is kept beside it. Nobody may have it open. */
FM_API fm_status fm_store_rebuild(
    const fm_store_opts *opts, fm_store_damage_fn fn, void *opaque, fm_error *err) FM_MUST_USE;

typedef enum fm_store_format { FM_STORE_COCO, FM_STORE_MOT, FM_STORE_CSV } fm_store_format;
/** Plain files into a folder: <stream>.json, <stream>.txt or <stream>.csv, and with pictures
 * <stream>/NNNNNNNN.jpg. */
FM_API fm_status fm_store_export(
    fm_store *store, fm_store_format format, const char *dir, bool pictures, fm_error *err) FM_MUST_USE;

/** What an export wrote comes back (CSV, with its pictures), or a folder of pictures comes in as one stream
 * named after it; JPEGs are kept byte for byte. */
typedef struct fm_store_imported {
    uint64_t streams, frames, objects, pictures, failed; // failed: files, each named in the log
} fm_store_imported;
FM_API fm_status fm_store_import(
    fm_store *store, const char *folder, fm_store_imported *out, fm_error *err) FM_MUST_USE;

FM_END_DECLS

#endif
