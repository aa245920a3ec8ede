// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The sinks: JSON Lines, MOT text, annotated video, class maps as pictures, the store, the bus. Made per
 * stream; see pipeline/sink.h for their life. */
#ifndef FM_SINKS_SINKS_H
#define FM_SINKS_SINKS_H

#include "base/str.h"
#include "bus/bus.h"
#include "pipeline/sink.h"

#include <framemill/log.h>
#include <framemill/store.h>

#include <pthread.h>

/** Writes one result as one line of JSON, newline included (ARCHITECTURE.md "Result"). Allocates nothing once
 * `out` has grown. */
void fm__jsonl_format(fm_str *out, const fm_result *result);

/** JSONL into a file that is made new (its folder must exist). Whole lines only, also after a crash: a line
 * is one write. */
fm_status fm__sink_jsonl_file(const char *path, fm_sink **out, fm_error *err) FM_MUST_USE;
/** JSONL to a descriptor that several streams share, one write a line under `lock`. name stands in errors
 * ("standard output"). */
fm_status fm__sink_jsonl_fd(
    int fd, pthread_mutex_t *lock, const char *name, fm_sink **out, fm_error *err) FM_MUST_USE;
/** Which box a line of MOT text has. */
typedef enum fm_mot_box {
    FM_MOT_BOX_DETECTION, // the detector's
    FM_MOT_BOX_FILTERED,  // the tracker's; the detector's where there is none
} fm_mot_box;

/** Writes the objects of one result that have a track, a line of MOT text each. */
void fm__mot_format(fm_str *out, const fm_result *result, fm_mot_box box);
/** MOT text into a file that is made new. Whole lines only, also after a crash: a frame is one write. */
fm_status fm__sink_mot_file(const char *path, fm_mot_box box, fm_sink **out, fm_error *err) FM_MUST_USE;
/** Results to a callback; with their pictures or without. */
typedef void (*fm_result_fn)(const fm_result *result, void *opaque);
fm_status fm__sink_callback(
    fm_result_fn fn, void *opaque, bool pictures, fm_sink **out, fm_error *err) FM_MUST_USE;

typedef struct fm_annotate_opts {
    const char *path; // .mp4
    double fps;       // of the stream, 0 unknown
    int threads;      // of the encoder
    const fm_log *log;
} fm_annotate_opts;
/** Annotated H.264 MP4: boxes, labels, scores, ids and trails of tracked objects, line width and
 * letters scaled to the frame, colours stable by track, without one by class. */
fm_status fm__sink_annotate(const fm_annotate_opts *opts, fm_sink **out, fm_error *err) FM_MUST_USE;

/** A grey PNG a frame that has a class map, dir/00000000.png and so on; the folder is made with the first
 * one. A pixel's level is its class. */
fm_status fm__sink_class_maps(const char *dir, fm_sink **out, fm_error *err) FM_MUST_USE;

/** Which frames keep their picture. */
typedef enum fm_store_keep {
    FM_STORE_KEEP_FRAMES, // each `every`-th
    FM_STORE_KEEP_EVENTS, // where a track begins, is seen much better than before, has ended
    FM_STORE_KEEP_CROPS,  // none; tracks' best views alone
    FM_STORE_KEEP_NONE,   // nothing but metadata
} fm_store_keep;

typedef struct fm_store_sink_opts {
    fm_store *store; // borrowed; closed after the sink
    const char *stream;
    const char *url; // without credentials, or NULL
    fm_store_keep keep;
    int every;                 // 0: 1
    bool crops;                // each track's best view as a picture of its own
    int gone;                  // frames unseen after which a track has ended; 0: 30
    const char *feature_model; // name of the embedder, NULL: features are not kept
} fm_store_sink_opts;
/** Results, pictures and features into a store: begins a run of the stream. */
fm_status fm__sink_store(const fm_store_sink_opts *opts, fm_sink **out, fm_error *err) FM_MUST_USE;

/** Results (with `results`) and events of a stream onto the bus, which is borrowed and closed after the sink;
 * the events are docs/redis.md's. gone: as the store's. */
fm_status fm__sink_redis(
    fm_bus *bus, const char *stream, bool results, int gone, fm_sink **out, fm_error *err) FM_MUST_USE;

#endif
