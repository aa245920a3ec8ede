// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** One run's graph: stream threads -> executor -> delivery in frame order -> sinks. Built by app from a
 * config; knows no file format and no option's name.
 *
 *  Threads: one a stream (decode), the executor's workers (prepare, decode heads), a few that deliver (order,
 * sinks). A stream's items come back in any order and are delivered in the order in which they were taken, by
 * one thread at a time. Bounded everywhere: a stream holds at most ring + max_in_flight items, allocated
 * before its first frame. A stream ends alone: its sinks are closed when its last item was delivered. */
#ifndef FM_PIPELINE_PIPELINE_H
#define FM_PIPELINE_PIPELINE_H

#include "base/trace.h"
#include "enhance/enhance.h"
#include "exec/executor.h"
#include "models/model.h"
#include "pipeline/metrics.h"
#include "pipeline/sampler.h"
#include "pipeline/sink.h"
#include "stream/stream.h"
#include "track/tracker.h"

#define FM_MAX_SINKS 8
#define FM_MAX_DETS 300
#define FM_MAX_TOP_K 10
#define FM_PUSH_MAX 256 // frames that are pushed at once

typedef struct fm_pipeline fm_pipeline;

typedef struct fm_pipeline_stream {
    const char *name;                // safe and unique; must outlive the pipeline, as all strings here
    const char *url;                 // NULL: its frames are pushed
    const fm__enhance_opts *enhance; // NULL: frames go on as they are; its threads and is_video are set here
    uint64_t start_frame;            // of a stream with url: the first that comes out of its source
    const void *state;               // [state_size] of a result of frame start_frame - 1, or NULL
    size_t state_size;
} fm_pipeline_stream;

/** Makes a stream's sinks once its source is open; writes up to FM_MAX_SINKS and their number. On failure
 * none is left. */
typedef fm_status (*fm_open_sinks_fn)(
    size_t stream, const fm_stream_info *info, fm_sink **sinks, size_t *count, void *opaque, fm_error *err);

typedef enum fm_detector_kind {
    FM_DETECTOR_NONE,
    FM_DETECTOR_MODEL,
    FM_DETECTOR_MOTION,
    FM_DETECTOR_GIVEN, // detections come with the stream
} fm_detector_kind;

/** Given detections of a frame (from 0): writes up to cap of them, returns how many there are. Any thread. */
typedef size_t (*fm_given_dets_fn)(size_t stream, uint64_t frame, fm_det *dets, size_t cap, void *opaque);

typedef struct fm_pipeline_opts {
    const fm_pipeline_stream
        *streams; // [stream_room]; those from stream_count on are filled in when they come
    size_t stream_count;
    size_t stream_room; // streams at a time, with those that come later; 0: stream_count
    bool stays;         // goes on without streams until it is stopped
    fm_detector_kind detector;
    const fm_model *model;      // of FM_DETECTOR_MODEL
    fm_given_dets_fn given;     // of FM_DETECTOR_GIVEN
    const fm_model *segmenter;  // NULL: none. With a detector, objects are the detector's, and get the masks
                                // of what the segmenter found there; without one they are the segmenter's
    const fm_model *classifier; // NULL: none
    bool classify_objects;      // false: whole frames
    size_t top_k;               // classes that are reported, 1..FM_MAX_TOP_K
    const fm_model *embedder;   // NULL: none
    bool embed_frames;          // false: objects
    bool features;              // sinks get the features
    bool class_map;             // sinks get class maps, not only areas
    const char *const *labels;  // of the objects
    size_t label_count;
    const uint8_t *class_mask;      // [label_count], NULL: all
    float conf, iou;                // what is reported, and NMS's
    const fm_tracker_opts *tracker; // NULL: none; copied
    fm_cpu_level level;
    int64_t batch_timeout_ns;
    int64_t latency_goal_ns; // of batches; 0: none
    int buffer_size;
    size_t buffer_bytes;  // a stream
    int detect_every;     // models look at each n-th frame; 0: at all; negative: as often as it takes
    bool motion_gate;     // they do not look at frames in which nothing changed
    uint64_t max_frames;  // a stream, 0: all
    int checkpoint_every; // each n-th result of a stream with url has the state behind it; 0: none
    const char *settings; // what a state must agree with, as lines; or NULL
    bool realtime;
    int64_t timeout_ns;
    int64_t max_pixels;
    int cores;
    fm_open_sinks_fn open_sinks;
    void (*ended)(void *opaque); // every stream has ended and its sinks are closed; a thread of the
                                 // pipeline's; or NULL
    void *opaque;
    fm_trace *trace;     // what every thread did, or NULL; outlives the pipeline
    fm_sampler *sampler; // where its time went, and what was looked at meanwhile, or NULL; outlives it, too
    const fm_log *log;
} fm_pipeline_opts;

typedef struct fm_pipeline_stream_state {
    uint64_t frames, objects, dropped, tracks;
    uint64_t expected;    // 0 unknown
    uint64_t passed_over; // frames of a live source while it was paused
    fm_stream_stats source;
    int queued; // frames in the ring now
    bool started, ended;
    char error[512]; // empty: none
} fm_pipeline_stream_state;

fm_status fm__pipeline_new(const fm_pipeline_opts *opts, fm_pipeline **out, fm_error *err) FM_MUST_USE;
fm_status fm__pipeline_start(fm_pipeline *p, fm_error *err) FM_MUST_USE;
/** AGAIN while it runs past timeout_ms (negative: for ever), OK when every stream has ended and its sinks are
 * closed. */
fm_status fm__pipeline_wait(fm_pipeline *p, int timeout_ms);
/** Ends intake; with drain what was read is processed. Idempotent; drain may be followed by no drain. Any
 * thread. */
void fm__pipeline_stop(fm_pipeline *p, bool drain);
void fm__pipeline_free(fm_pipeline **p);

/** Frames into a stream without url, at most FM_PUSH_MAX and buffer_size at once, numbered from 0 as they
 * come; waits for room. Pixels are given back before the frame's result goes to the sinks, unless those want
 * to see them.
 *  @param frames  [n] references that move on success and on failure alike
 *  @param taken  how many will have a result; those before a failure
 *  @return CANCELED after a stop. One thread a stream. */
fm_status fm__pipeline_push(fm_pipeline *p, size_t stream, fm_frame *const *frames, size_t n, size_t *taken,
    fm_error *err) FM_MUST_USE;
/** The number that the next frame of such a stream gets. Whoever pushes. */
uint64_t fm__pipeline_next_index(const fm_pipeline *p, size_t stream);
/** A stream without url ends: what was pushed is still processed. Idempotent. */
void fm__pipeline_end(fm_pipeline *p, size_t stream);
/** What a stream without url remembers: its frames' count, its tracker, its motion detector. Bytes, versioned
 * and checked on load. Nothing of the stream may be under way. Save returns the size needed and writes where
 * cap allows it. Load wants a stream with the same settings, and leaves it as it was on failure. */
size_t fm__pipeline_save(fm_pipeline *p, size_t stream, void *data, size_t cap);
fm_status fm__pipeline_load(
    fm_pipeline *p, size_t stream, const void *data, size_t len, fm_error *err) FM_MUST_USE;
/** Is this a whole state of a result, of the same settings? *start_frame is where it goes on. FORMAT,
 * UNSUPPORTED, INVAL. */
fm_status fm__pipeline_check_state(
    const fm_pipeline *p, const void *data, size_t len, uint64_t *start_frame, fm_error *err) FM_MUST_USE;
/** A stream that comes: streams[index] has been filled in. Its place was never used, or its stream has gone.
 * BUSY where it has not, CANCELED once the pipeline is being stopped or has ended. Not from two threads at
 * once. */
fm_status fm__pipeline_add(fm_pipeline *p, size_t index, fm_error *err) FM_MUST_USE;
/** Ends a stream's source; what was read of it goes its way. Any thread, also once it has ended. */
void fm__pipeline_remove(fm_pipeline *p, size_t index);
/** A paused stream's file is read no further; a live source's frames are passed over. Any thread. */
void fm__pipeline_pause(fm_pipeline *p, size_t index, bool paused);
/** Has the stream gone, its sinks closed? Waits for that until deadline_ns. */
bool fm__pipeline_wait_gone(fm_pipeline *p, size_t index, int64_t deadline_ns);

void fm__pipeline_stream_state(fm_pipeline *p, size_t stream, fm_pipeline_stream_state *out);
const fm_metrics *fm__pipeline_metrics(const fm_pipeline *p);
/** Of the model of this task; all zero without one. */
void fm__pipeline_exec_stats(fm_pipeline *p, fm_task task, fm_executor_stats *out);
/** Objects reported so far by class, [label_count]. */
uint64_t fm__pipeline_class_count(const fm_pipeline *p, size_t class_id);
/** From start to the end, or to now. */
int64_t fm__pipeline_elapsed_ns(fm_pipeline *p);

#endif
