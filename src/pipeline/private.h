// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Shared by the files of this folder only: a stream's lane through the graph, and the items that move along
 * it.
 *
 *  Lock order: lane.lock, then pipeline.lock. Neither is held while the executor, a source or a sink is
 * called. */
#ifndef FM_PIPELINE_PRIVATE_H
#define FM_PIPELINE_PRIVATE_H

#include "base/bytes.h"
#include "heads/motion.h"
#include "pipeline/pipeline.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct lane lane;

/** Frames held at most between two looks of the models. */
#define FM__MAX_HELD 16

/** gate.c: which frames the models look at. */
typedef struct fm__gate fm__gate;
typedef enum fm__look {
    FM__LOOK,
    FM__MOVES, // not looked at, though something may have moved
    FM__STILL, // not looked at, since nothing has
} fm__look;

/** hold.c: what becomes of the frames that they do not look at. */
typedef struct fm__hold fm__hold;

/** A letterbox plan shared by the frames of one geometry that are under way. */
typedef struct plan_ref {
    atomic_int refs;
    fm_letterbox_plan *plan;
} plan_ref;

/** Most models that look at whole frames: detector, segmenter, classifier, embedder. */
#define MAX_FRAME_STAGES 4
/** Models that look at objects: embedder, classifier. */
enum { CROPS_FEATURES, CROPS_CLASSES, CROP_STAGES };

/** What a worker needs for itself, grown to what its largest frame asks for. */
typedef struct worker_scratch {
    void *pixels;
    size_t pixels_size;
    void *head;
    fm_det *dets;      // [FM_MAX_DETS]
    fm_mask *masks;    // [FM_MAX_DETS]
    uint32_t *places;  // [FM_MAX_DETS]
    size_t fixed_size; // of these four together
} worker_scratch;

/** A model at work: an executor over its network. The first of a pipeline's frame stages takes frames in and
 * gives them their order; without any model it passes them through. */
typedef struct stage {
    fm_pipeline *p;
    const fm_model *model; // NULL: passes through
    fm_task task;
    int index;               // in p->frame_stages, or CROPS_*
    fm_stage timed_as;       // its inferences
    fm_executor *exec;       // NULL: there is no such stage
    worker_scratch *scratch; // [worker_count]
    int worker_count;
} stage;

/** A frame's way through one of the frame stages. */
typedef struct part {
    fm_item item; // first, so that an item is a part
    struct work *work;
    plan_ref *plan;
} part;

/** One detection's way through a crop stage; its place in work.crops is the detection's. */
typedef struct crop {
    fm_item item; // first, so that an item is a crop
    struct work *work;
} crop;

/** What segmenters make of a frame. */
typedef struct segments {
    fm_det *dets;   // [FM_MAX_DETS] objects; NULL without a segmenter of objects
    fm_mask *masks; // [FM_MAX_DETS]
    size_t count;
    uint8_t *bits; // of the masks
    size_t bits_size;
    fm_class_map map; // ids and area are the work's own
    uint8_t *ids;
    size_t ids_size;
    int64_t *area;
    bool has_map;
} segments;

/** One frame on its way. Owned by whoever has it in hand: lane thread, executors, delivery. */
typedef struct work {
    lane *lane;
    struct work *next_free;
    part parts[MAX_FRAME_STAGES];
    atomic_int parts_pending;  // frame stages that are not done with it
    atomic_int pixels_pending; // frame stages that have not seen its pixels
    fm_frame *frame;           // NULL once nobody needs its pixels
    uint64_t index;
    size_t pool_bytes, pool_caps; // as its pool counts it, and what its arrays had room for then
    int64_t pts_ns, wall_ns, decoded_ns;
    int width, height;
    char file[FM_FILE_NAME_MAX]; // of a picture, else empty

    // objects: [det_cap] each, those of missing stages NULL
    fm_det *dets;
    size_t det_count, det_cap;
    fm_mask *masks;
    crop *crops[CROP_STAGES];
    uint8_t *wants;          // 1: its feature is asked for
    float *values;           // [det_cap][dim]
    const float **feature;   // into values; NULL: none (yet)
    fm_class_score *classes; // [det_cap][top_k]
    fm_track_mark *marks;
    fm_box *filtered;         // the tracker's boxes
    atomic_int crops_pending; // crops under way, and one while they are being handed over
    bool in_order;            // crops were asked for by the tracker, in delivery

    // the whole frame
    segments seg;
    fm_class_score frame_classes[FM_MAX_TOP_K];
    size_t frame_class_count;
    float *frame_feature; // [dim of the embedder], NULL without
    bool has_frame_feature;

    atomic_bool failed; // some stage did; who set it writes the two below
    fm_status status;
    fm_error error;
    bool no_objects; // the stage that finds them failed

    uint8_t *noted; // [noted_size] what its stream's thread knew behind it, for a checkpoint; else NULL
    size_t noted_size;

    bool skipped, still; // no model looks at it; and nothing moved since one did
    bool tracked;        // the tracker has seen it
} work;

/** resume.c: the state behind a result while it comes together. */
typedef struct resume_state {
    const work *carrier; // of the next result that has one; NULL: none
    uint8_t *tracker;    // [tracker_size] behind that frame
    size_t tracker_size, tracker_cap;
    uint8_t *whole; // of the last one
    size_t whole_cap;
} resume_state;

typedef enum stop_mode { RUN_ON, STOP_DRAIN, STOP_ABORT } stop_mode;

/** A place for a stream; another one may come after it has gone. */
struct lane {
    // immutable after new
    fm_pipeline *p;
    size_t index;
    pthread_mutex_t lock;
    pthread_cond_t returned; // a work came back

    atomic_bool interrupt; // the stream's end has come: ends reads and opens that block
    atomic_bool paused;
    atomic_uint_fast64_t frames, objects, dropped, expected, tracks, passed_over;
    // protected by pipeline.lock
    bool taken; // it has, or had, a stream
    bool gone;  // that has ended, and nobody looks at the lane any more

    // from here on all zero before a stream comes (fm__lane_clear)
    // who starts and joins it
    pthread_t thread;
    bool thread_started;
    // lane thread only
    plan_ref *plans[MAX_FRAME_STAGES];
    fm_motion *motion;
    fm__enhancer *enhancer; // NULL: none
    fm__gate *gate;         // NULL: every frame is looked at
    bool checkpoint_due;    // with the last frame before the next look
    // lane thread before its first push, delivery afterwards
    fm_sink *sinks[FM_MAX_SINKS];
    size_t sink_count;
    bool keep_pixels;    // until the sinks have seen them
    fm_tracker *tracker; // NULL: none
    fm__hold *hold;      // where there is a gate
    resume_state resume;

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

    // of a stream whose frames are pushed: whoever pushes
    uint64_t next_index;
    bool push_ended;
};

struct fm_pipeline {
    // immutable after new
    fm_pipeline_opts o;
    lane *lanes; // [o.stream_room]
    int share;   // of the cores, that a stream has
    stage frame_stages[MAX_FRAME_STAGES];
    int frame_stage_count; // >= 1
    stage crop_stages[CROP_STAGES];
    fm_turns *turns;         // of models that share the cores; NULL: one is alone
    int max_in_flight;       // frames of a stream between being taken and being delivered
    fm_tracker_opts tracker; // where o.tracker is not NULL
    int dim;                 // of features
    float det_conf;          // least score that heads give: the tracker may ask for less than is reported
    int32_t *
        class_of_segment; // [segmenter's classes] the detector's class of that name, -1: none; NULL: not both
    int decoder_threads;
    atomic_uint_fast64_t *class_count; // [label_count]
    fm_metrics metrics;
    fm_profile *profile; // the sampler's, or NULL
    int64_t start_ns;

    atomic_int stop; // stop_mode
    pthread_mutex_t lock;
    pthread_cond_t changed; // a lane closed, or stop
    pthread_cond_t ready;   // delivery has something to do
    // protected by lock
    lane *ready_head, *ready_tail;
    size_t open_lanes; // and one while it stays
    size_t closing;    // of them, those whose sinks are not closed yet
    bool staying;
    bool delivery_quit;
    int64_t end_ns;
    bool sampling_quit;
    pthread_t sampling;
    bool is_sampling;
    pthread_t *delivery; // [delivery_count]
    int delivery_count;
};

// pipeline.c
/** A lane's sinks are closed and nobody looks at it any more; NULL: the pipeline stays no longer. */
void fm__pipeline_leave(fm_pipeline *p, lane *l);

// lane.c: source -> executor
fm_status fm__lane_init(lane *l, fm_error *err);
/** Frees what a stream had, as far as it came. */
void fm__lane_clear(lane *l);
fm_status fm__lane_start(lane *l, fm_error *err);
fm_status fm__lane_new_motion(const fm_pipeline *p, fm_motion **out, fm_error *err);
/** The motion detector's state and its length; 0 where there is none. */
void fm__lane_put_motion(const lane *lane, fm__writer *w);
/** A lane whose frames are pushed, instead of main. */
fm_status fm__lane_open_pushed(lane *l, fm_error *err);
/** Remembers the first failure of a stream. */
void fm__lane_fail(lane *l, const fm_error *err);
void fm__work_recycle(work *w);
void fm__plan_unref(plan_ref **plan);

// gate.c: which frames the models look at
/** @param every  0: each frame; n: each n-th; negative: as often as it takes.
 *  @param still_is_skipped  frames in which nothing changed are never looked at. */
fm_status fm__gate_new(int every, bool still_is_skipped, fm__gate **out, fm_error *err);
void fm__gate_free(fm__gate **gate);
/** The lane's thread, for every frame in order. */
fm_status fm__gate_decide(
    fm__gate *g, const fm_frame_view *view, int64_t pts_ns, fm__look *out, fm_error *err);
/** Frames since the last look. */
int fm__gate_gap(const fm__gate *g);
/** As fm__motion_save and fm__motion_load; never of size 0. */
size_t fm__gate_save(const fm__gate *g, void *data, size_t cap);
fm_status fm__gate_load(fm__gate *g, const void *data, size_t len, fm_error *err);

// hold.c: frames that they do not look at
fm_status fm__hold_new(fm__hold **out, fm_error *err);
void fm__hold_free(fm__hold **hold);
/** Delivery, for every frame in order, after tracking. True: it is held and goes on later; false: it goes on
 * now. */
bool fm__hold_take(lane *l, work *w);
/** The lane's end: all that is held goes on. */
void fm__hold_end(lane *l);
/** Before a look is tracked: the last frame that is held for it carries the tracker's state as it is now. */
void fm__hold_checkpoint(lane *l);
/** What is carried past a frame with which nothing is left held. */
size_t fm__hold_save(const fm__hold *h, void *data, size_t cap);
fm_status fm__hold_load(fm__hold *h, const void *data, size_t len, fm_error *err);

// resume.c: the state behind a result
/** The stream's thread, with a frame as it left the source: its place there is kept where a checkpoint may be
 * taken behind it; NULL: none is. */
const fm_stream_mark *fm__resume_see(
    const lane *l, const fm_stream *source, const fm_frame *frame, fm_stream_mark *mark);
/** The same, once it has done all with the frame but handing it on. */
fm_status fm__resume_note(lane *l, const fm_stream_mark *mark, work *w, fm_error *err);
/** Delivery: the tracker stands behind this frame; where it was noted, its result will carry the state. */
void fm__resume_carry(lane *l, work *w);
/** Delivery: the state that this frame's result carries, borrowed until the next call; NULL: none. */
const void *fm__resume_take(lane *l, work *w, size_t *size);
void fm__resume_clear(lane *l);
/** The stream's state that it goes on from: where its source stood; and all the rest, into what is new. */
fm_status fm__resume_mark(const lane *l, fm_stream_mark *out, fm_error *err);
fm_status fm__resume_load(lane *l, fm_error *err);

// stage.c: models and their executors
/** Makes the frame stages and the crop stages that the options ask for, without their executors. */
fm_status fm__stages_init(fm_pipeline *p, fm_error *err);
/** Starts the executors. */
fm_status fm__stages_start(fm_pipeline *p, fm_error *err);
void fm__stages_stop(fm_pipeline *p, bool drain);
void fm__stages_done(fm_pipeline *p);
/** A source of all stages: takes frames in (again), or will not. */
void fm__stages_source(fm_pipeline *p, size_t index, bool open);
fm_status fm__scratch_grow(worker_scratch *s, size_t size, fm_error *err);
/** Does anything look at crops? */
bool fm__wants_crops(const fm_pipeline *p);
/** Does a segmenter find the objects? */
bool fm__segmenter_finds(const fm_pipeline *p);

// frames.c: whole frames
extern const fm_executor_ops fm__frame_ops;
/** Plans for frames that look like view, for each frame stage that needs one; those there that fit stay. */
fm_status fm__frame_plans(const fm_pipeline *p, const fm_frame_view *view, plan_ref **plans, fm_error *err);
/** Makes the work ready to be pushed: counts, plans (references of its own). */
void fm__frame_begin(work *w, plan_ref *const *plans);

// spans.c: what a stage took
/** This thread was at a frame's stage from begin_ns to end_ns. */
void fm__span(lane *l, fm_stage which, uint64_t frame, int64_t begin_ns, int64_t end_ns);
/** The frame stood in its stream's ring. */
void fm__span_queued(const work *w);
/** An inference of which this is the first item. */
void fm__span_inferred(const stage *s, const fm_item *item);
/** Frames queued and memory held now, for the trace. */
void fm__span_counters(lane *l);
/** This thread was at something that is no stage. */
void fm__span_other(lane *l, fm_act act, int64_t begin_ns);

// sampler.c: looks at the process, where there is a profile
fm_status fm__sampling_start(fm_pipeline *p, fm_error *err);
void fm__sampling_stop(fm_pipeline *p);

// objects.c: a work's memory, and what is known of objects
/** Room for as much as most frames need, so that the steady state makes none. */
bool fm__work_init(work *w);
void fm__work_done(work *w);
/** Its pool counts what it has grown to. */
void fm__work_count(work *w);
/** Room for n detections and what belongs to them, and the detections themselves. */
bool fm__work_set_dets(work *w, const fm_det *dets, size_t n);
/** Notes the first failure of a frame. */
void fm__work_fail(work *w, fm_status status, const fm_error *err);
/** Keeps room for a frame's mask bits, and for a class map. */
bool fm__segments_fit_bits(segments *s, size_t size);
bool fm__segments_fit_map(segments *s, int width, int height);
/** All frame stages are done: gives the detector's objects the segmenter's masks. */
void fm__objects_join(work *w);
/** An item's objects have no masks, features or classes of their own. */
void fm__objects_bare(work *w);
/** Moves what `keep` says of the objects to the front, with all that belongs to them. */
void fm__objects_keep(work *w, const bool *keep);

// crops.c: crops of detections -> features, classes
extern const fm_executor_ops fm__crop_ops;
/** Hands crops to the crop stages: features for those that w->wants names; with `classes` everybody's that is
 * reported. When the last has come back, or none was wanted, goes on with fm__deliver_complete, or
 * fm__deliver_resume where the work is in_order. Any thread. */
void fm__crops_start(work *w, bool classes);

// track.c: a frame's detections -> tracks
/** Looks at objects as far as that can be done before the frame's turn has come. */
void fm__track_ahead(work *w);
/** Phase one. False: it waits for features, and fm__deliver_resume will follow. */
bool fm__track_begin(lane *l, work *w);
/** Phase two; without a tracker, and on failure, the detections stay as they are. */
void fm__track_finish(lane *l, work *w);
/** Gives a tracked frame's objects their ids, and leaves out what is not reported. */
void fm__track_report(const fm_pipeline *p, work *w);

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
/** Hands a frame to its sinks. */
void fm__deliver_one(lane *l, work *w);

#endif
