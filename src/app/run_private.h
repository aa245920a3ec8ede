// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What the parts of a run share, and processor.c, whose processors are runs. */
#ifndef FM_APP_RUN_PRIVATE_H
#define FM_APP_RUN_PRIVATE_H

#include "app/result_queue.h"
#include "base/json.h"
#include "bus/bus.h"
#include "enhance/enhance.h"
#include "pipeline/pipeline.h"
#include "sinks/sinks.h"
#include "track/mot_text.h"

#include <framemill/run.h>

#include <pthread.h>

typedef struct run_stream {
    char *name;                     // safe, unique
    char *url;                      // as given, may hold credentials: never shown
    char *redacted;                 // for eyes
    bool removed;                   // and perhaps still ending
    fm_pipeline_stream_state state; // of the last look
    fm__enhance_opts enhance;       // its table is the run's
    void *resume;                   // the state that it goes on from, or NULL
} run_stream;

typedef struct run_lut {
    char *path;
    fm__lut3d *lut;
} run_lut;

/** A sink of whoever makes a run whose frames are pushed, for each stream. */
typedef struct fm__run_own_sink {
    fm_status (*make)(size_t stream, void *opaque, fm_sink **out, fm_error *err);
    void *opaque;
} fm__run_own_sink;

struct fm_run {
    fm_run_opts o; // strings below are copies; pointers of the caller are not kept
    char *detector;
    char *out_dir;
    char *device;
    run_stream *streams; // [stream_room]
    size_t stream_room;
    fm_pipeline_stream *sources; // names and urls borrowed from streams
    pthread_mutex_t streams_lock;
    // protected by streams_lock once the run has started
    size_t stream_count;
    bool takes_streams;
    fm_run_progress past; // of streams whose places others have taken: counts only
    fm_model_store *store;
    fm_model *model;
    fm_model *segmenter, *classifier; // NULL: none
    bool classify_objects, embed_frames;
    fm_model *embedder;      // NULL: appearance is not looked at
    fm_tracker_opts tracker; // type NULL: none
    fm_mot_box mot_box;      // in MOT text
    fm_mot *given;           // [stream_count] detections in place of a detector's, or NULL
    run_lut *luts;           // [lut_count], room for one a place: streams that name the same file share it
    char *denoise, *color, *lut; // of streams that come later; NULL: none
    size_t lut_count;
    uint8_t *class_mask;
    char *settings; // that a stream's state depends on, as lines
    fm_store *kept; // results go there; NULL: nowhere
    fm_store_keep store_keep;
    bool store_crops;
    fm_bus *bus;          // NULL: none
    const char *allow[7]; // kinds of input that a command may add
    size_t allow_count;
    fm_pipeline *pipeline;
    fm__run_own_sink own_sink; // make NULL: streams have sources
    fm__result_queue *queue;   // of fm_run_next; NULL: none
    bool is_started;
    fm_trace *trace;     // NULL: not asked for
    fm_sampler *sampler; // the same
    int64_t begun_ns;    // of the wall's clock
    bool image_ready;
    pthread_mutex_t fd_lock; // one line at a time on jsonl_fd
    pthread_mutex_t rate_lock;
    // protected by rate_lock
    int64_t rate_ns[8]; // samples of (time, frames), a ring
    uint64_t rate_frames[8];
    unsigned rate_next;
};

// run.c
/** fm_run_new; with `own`, streams without url whose frames are pushed. */
fm_status fm__run_new(
    const fm_run_opts *opts, const fm__run_own_sink *own, fm_run **out, fm_error *err) FM_MUST_USE;
int fm__run_buffer_size(const fm_run_opts *o);
int64_t fm__run_max_pixels(const fm_run_opts *o);
/** It goes on without streams until it is stopped. */
bool fm__run_stays(const fm_run_opts *o);

// streams.c
/** Names, urls, and room for more. */
fm_status fm__run_init_streams(fm_run *run, const fm_run_opts *o, fm_error *err);
/** Streams may come and go from now on; until this. */
void fm__run_open_streams(fm_run *run);
void fm__run_close_streams(fm_run *run);
void fm__run_done_streams(fm_run *run);

// resuming.c
/** Writes down what a state must agree with, after tracking. */
fm_status fm__run_init_settings(fm_run *run, const fm_run_opts *o, fm_error *err);
/** Where a stream begins, after its enhancement; the pipeline is there. */
fm_status fm__run_resume_stream(fm_run *run, size_t index, const fm_stream_opts *o, fm_error *err);

// models.c
/** The detector's name, and the models but the embedder. */
fm_status fm__run_load_models(fm_run *run, const fm_run_opts *o, fm_error *err);
/** Does the segmenter find objects? */
bool fm__run_segments_objects(const fm_run *run);
/** Does anything: detector, segmenter, given detections? */
bool fm__run_finds_objects(const fm_run *run);
/** "frames" or "objects" into *objects; NULL leaves it. */
fm_status fm__run_choose(const char *what, const char *text, bool *objects, fm_error *err);
/** A model from the store of o, which the first call opens, with the options that all models of a run share.
 */
fm_status fm__run_load(
    fm_run *run, const fm_run_opts *o, const fm_model_load_opts *which, fm_model **out, fm_error *err);

// enhancing.c
/** How each stream's frames are made better, after streams. */
fm_status fm__run_init_enhance(fm_run *run, const fm_run_opts *o, fm_error *err);
/** Of a stream that comes later. */
fm_status fm__run_enhance_stream(fm_run *run, size_t index, const fm_frame_enhance *own, fm_error *err);
void fm__run_done_enhance(fm_run *run);

// storing.c
/** Opens the store that results go to, after tracking. */
fm_status fm__run_init_store(fm_run *run, const fm_run_opts *o, fm_error *err);
fm_status fm__run_store_sink(fm_run *run, size_t stream, fm_sink **out, fm_error *err);
void fm__run_done_store(fm_run *run);

// publishing.c
/** Opens the bus, after streams. */
fm_status fm__run_init_bus(fm_run *run, const fm_run_opts *o, fm_error *err);
fm_status fm__run_bus_sink(fm_run *run, size_t stream, fm_sink **out, fm_error *err);
/** Lets what waits go out, once all streams have ended; true when that has ended, too. */
bool fm__run_end_bus(fm_run *run, int timeout_ms);
void fm__run_report_bus(fm_run *run, fm_json *j);

// tracking.c
/** Detections in place of a detector's, after streams. */
fm_status fm__run_init_given(fm_run *run, const fm_run_opts *o, fm_error *err);
/** Embedder and tracker settings, after the detector. */
fm_status fm__run_init_tracking(fm_run *run, const fm_run_opts *o, fm_error *err);
void fm__run_done_tracking(fm_run *run);
/** Least score that is reported. */
float fm__run_conf(const fm_run *run, const fm_run_opts *o);
size_t fm__run_given(size_t stream, uint64_t frame, fm_det *dets, size_t cap, void *opaque);

// report.c
/** The models of a run by what they are for, as many as there are. */
enum { RUN_MODELS = 4 };
typedef struct run_model {
    fm_task task;
    const fm_model *model;
} run_model;
size_t fm__run_models(const fm_run *run, run_model out[RUN_MODELS]);
/** false: no model is on a GPU, or its framework does not tell. */
bool fm__run_device_memory(const fm_run *run, fm_device_memory *out);

/** Labels of whatever detects. */
const char *const *fm__run_labels(const fm_run *run, size_t *count);

#endif
