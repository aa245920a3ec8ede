// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Shared by the files of this folder only: a stream's lane through the graph, and the items that move along
 * it.
 *
 *  Lock order: lane.lock, then pipeline.lock. Neither is held while the executor, a source or a sink is
 * called. */
#ifndef FM_PIPELINE_PRIVATE_H
#define FM_PIPELINE_PRIVATE_H

#include "heads/motion.h"
#include "pipeline/pipeline.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct lane lane;

/** A letterbox plan shared by the frames of one geometry that are under way. */
typedef struct plan_ref {
    atomic_int refs;
    fm_letterbox_plan *plan;
} plan_ref;

/** One detection on its way through the embedder; its place in work.crops is the detection's. */
typedef struct crop {
    fm_item item; // first, so that an item is a crop
    struct work *work;
} crop;

/** What appearance and tracking add to a frame's detections; every array holds work.det_cap. */
typedef struct appearance {
    crop *crops;
    uint8_t *wants;        // 1: its feature is asked for
    float *values;         // [det_cap][dim]
    const float **feature; // into values; NULL: none (yet)
    fm_track_mark *marks;
    fm_box *filtered;   // the tracker's boxes
    atomic_int pending; // crops under way, and one while they are being handed over
} appearance;

/** One frame on its way. Owned by whoever has it in hand: lane thread, executor, delivery. */
typedef struct work {
    fm_item item; // first, so that an item is a work
    lane *lane;
    struct work *next_free;
    fm_frame *frame; // NULL once nobody needs its pixels
    plan_ref *plan;
    uint64_t index;
    int64_t pts_ns, wall_ns, decoded_ns;
    int width, height;
    char file[FM_FILE_NAME_MAX]; // of a picture, else empty
    fm_det *dets;                // [det_cap]
    size_t det_count, det_cap;
    appearance look;
    bool in_order; // its crops were asked for by its tracker, in delivery
    fm_status status;
    fm_error error;
} work;

typedef enum stop_mode { RUN_ON, STOP_DRAIN, STOP_ABORT } stop_mode;

struct lane {
    fm_pipeline *p;
    size_t index;
    // lane thread only
    pthread_t thread;
    bool thread_started;
    plan_ref *plan;
    fm_motion *motion;
    // lane thread before its first push, delivery afterwards
    fm_sink *sinks[FM_MAX_SINKS];
    size_t sink_count;
    bool keep_pixels;    // until the sinks have seen them
    fm_tracker *tracker; // NULL: none

    pthread_mutex_t lock;
    pthread_cond_t returned; // a work came back
    // protected by lock
    fm_stream_stats source_stats;
    work *works, *free_works;
    work **order; // [order_cap] completed works by ticket
    size_t order_cap;
    uint64_t next_ticket;
    work *awaiting;     // delivery has begun it and waits for its features
    bool features_here; // they have come
    size_t outstanding; // pushed, neither delivered nor dropped
    bool started, ended, closed, scheduled;
    fm_error error; // first failure, status OK: none
    uint64_t failed_frames;
    lane *next_ready; // protected by pipeline.lock

    atomic_uint_fast64_t frames, objects, dropped, expected, tracks;
};

/** What a worker needs for itself, grown to what its largest plan asks for. */
typedef struct worker_scratch {
    void *letterbox;
    size_t letterbox_size;
    void *head;
    fm_det *dets; // [FM_MAX_DETS]
} worker_scratch;

struct fm_pipeline {
    // immutable after new
    fm_pipeline_opts o;
    lane *lanes;
    fm_executor *exec;
    worker_scratch *scratch; // [workers]
    int worker_count;
    fm_tracker_opts tracker; // where o.tracker is not NULL
    fm_executor *embed;      // NULL: no embedder
    int dim;                 // of its features
    float det_conf;          // least score that heads give: the tracker may ask for less than is reported
    void **crop_scratch;     // [embed_workers], grown as worker_scratch is
    size_t *crop_scratch_size;
    int embed_workers;
    int decoder_threads;
    atomic_uint_fast64_t *class_count; // [label_count]
    fm_metrics metrics;
    int64_t start_ns;

    atomic_int stop;       // stop_mode
    atomic_bool interrupt; // true from the first stop on: ends reads and opens that block
    pthread_mutex_t lock;
    pthread_cond_t changed; // a lane closed, or stop
    pthread_cond_t ready;   // delivery has something to do
    // protected by lock
    lane *ready_head, *ready_tail;
    size_t open_lanes;
    bool delivery_quit;
    int64_t end_ns;
    pthread_t *delivery; // [delivery_count]
    int delivery_count;
};

// lane.c: source -> executor
fm_status fm__lane_init(fm_pipeline *p, lane *l, size_t index, fm_error *err);
void fm__lane_done(lane *l);
void *fm__lane_main(void *arg);
/** Remembers the first failure of a stream. */
void fm__lane_fail(lane *l, const fm_error *err);
void fm__work_recycle(work *w);
void fm__plan_unref(plan_ref **plan);

// detect.c: what the executor calls
extern const fm_executor_ops fm__detect_ops;
fm_status fm__detect_init(fm_pipeline *p, fm_error *err);
void fm__detect_done(fm_pipeline *p);
/** The plan for frames that look like view, with one reference for the caller. */
fm_status fm__detect_plan(const fm_pipeline *p, const fm_frame_view *view, plan_ref **out, fm_error *err);

// embed.c: crops of detections -> embedder -> features
fm_status fm__embed_init(fm_pipeline *p, fm_error *err);
void fm__embed_done(fm_pipeline *p);
/** Hands the crops that look.wants names to the embedder; when the last has come back, or none was wanted,
 * goes on with fm__deliver_complete, or fm__deliver_resume where the work is in_order. Any thread. */
void fm__embed_start(work *w);

// track.c: a frame's detections -> tracks
/** Room for as many detections as most frames have, so that the steady state makes none. */
bool fm__work_init_dets(work *w);
/** Room for n detections and what belongs to them, and the detections themselves. */
bool fm__work_set_dets(work *w, const fm_det *dets, size_t n);
void fm__work_free_dets(work *w);
/** Detections whose appearance can be looked at before the frame's turn has come. */
void fm__track_ahead(work *w);
/** Phase one. False: it waits for features, and fm__deliver_resume will follow. */
bool fm__track_begin(lane *l, work *w);
/** Phase two; without a tracker, and on failure, the detections stay as they are. */
void fm__track_finish(lane *l, work *w);

// deliver.c: executor -> sinks, in order
/** Detected, and looked at as far as that goes ahead of the stream's order; status and error are set. */
void fm__deliver_complete(work *w);
void fm__deliver_dropped(work *w);
/** The features that delivery waits for have come. */
void fm__deliver_resume(work *w);
/** The lane's thread has pushed its last item. */
void fm__deliver_end(lane *l);
fm_status fm__deliver_start(fm_pipeline *p, fm_error *err);
void fm__deliver_stop(fm_pipeline *p);

#endif
