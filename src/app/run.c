// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A run, put together: options are checked and copied, names made unique, the model loaded, the pipeline
// built over them. Sinks are opened by a stream's own thread once its source is open, so that a source that
// fails leaves no empty file behind.

#include "app/run_private.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "base/thread.h"
#include "image/image.h"
#include "sinks/sinks.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_BUFFER 30
#define DEFAULT_BUFFER_BYTES ((size_t)64 * 1024 * 1024)
#define ALL_BUFFERS_BYTES ((size_t)512 * 1024 * 1024) // shared by all streams, whatever their number
#define FEW_STREAMS ((size_t)8)                       // that a run with room for more has its buffers cut for
#define TRACE_EVENTS ((size_t)1 << 20)                // 48 MiB; about 100,000 frames of one model
#define DEFAULT_MAX_PIXELS (INT64_C(16384) * 16384 / 2)

void fm_run_opts_init(fm_run_opts *opts)
{
    *opts = (fm_run_opts)FM_RUN_OPTS_INIT;
}

static fm_status check_range(const char *what, double v, double min, double max, fm_error *err)
{
    if (isfinite(v) && v >= min && v <= max) {
        return FM_OK;
    }
    return fm__fail(err, FM_INVAL, "%s is %g; %g to %g is allowed", what, v, min, max);
}

static fm_status check_opts(const fm_run_opts *o, fm_error *err)
{
    if (o->struct_size != sizeof(*o)) {
        return fm__fail(err, FM_INVAL,
            "fm_run_opts has %zu bytes instead of %zu: begin with FM_RUN_OPTS_INIT", o->struct_size,
            sizeof(*o));
    }
    if ((o->stream_count == 0 || !o->streams) && !fm__run_stays(o)) {
        return fm__fail(err, FM_INVAL, "no input: name at least one video, picture, folder, URL or testsrc:");
    }
    fm_status st = check_range("conf", o->conf, -1, 1, err);
    st = st == FM_OK ? check_range("iou", o->iou, 0, 1, err) : st;
    st = st == FM_OK ? check_range("batch", o->batch, 0, 256, err) : st;
    st = st == FM_OK ? check_range("top_k", o->top_k, 0, FM_MAX_TOP_K, err) : st;
    st = st == FM_OK ? check_range("workers", o->workers, 0, 256, err) : st;
    st = st == FM_OK ? check_range("threads", o->threads, 0, 1024, err) : st;
    st = st == FM_OK ? check_range("batch_timeout_ms", o->batch_timeout_ms, -1e6, 1e6, err) : st;
    st = st == FM_OK ? check_range("latency_goal_ms", o->latency_goal_ms, 0, 1e6, err) : st;
    st = st == FM_OK ? check_range("timeout_s", o->timeout_s, 0, 1e6, err) : st;
    st = st == FM_OK ? check_range("buffer_size", o->buffer_size, 0, 10000, err) : st;
    st = st == FM_OK ? check_range("store quality", o->keeping.jpeg_quality, 0, 100, err) : st;
    st = st == FM_OK ? check_range("queue", o->queue, 0, 1e6, err) : st;
    st = st == FM_OK ? check_range("max_streams", o->max_streams, 0, 4096, err) : st;
    st = st == FM_OK ? check_range("detect_every", o->detect_every, -1, 16, err) : st;
    st = st == FM_OK ? check_range("checkpoint_every", o->checkpoint_every, 0, 1e6, err) : st;
    if (st == FM_OK && (o->detect_every != 0 || o->motion_gate) && o->detector &&
        strcmp(o->detector, "motion") == 0) {
        st = fm__fail(err, FM_INVAL,
            "the detector 'motion' looks at every frame: leave out --detect-every and --motion-gate");
    }
    if (st == FM_OK && (o->annotate || o->maps) && !o->out_dir) {
        st = fm__fail(err, FM_INVAL, "%s need an output folder: give --out DIR",
            o->annotate ? "annotated videos" : "class maps");
    }
    return st;
}

static fm_status prepare_out_dir(fm_run *run, fm_error *err)
{
    if (!run->out_dir) {
        return FM_OK;
    }
    fm_status st = fm__mkdir_all(run->out_dir, err);
    if (st == FM_OK && access(run->out_dir, W_OK | X_OK) != 0) {
        st = fm__fail_errno(err, errno, "cannot write into folder", run->out_dir);
    }
    return st;
}

static fm_status make_class_mask(fm_run *run, const fm_run_opts *o, fm_error *err)
{
    size_t count;
    const char *const *labels = fm__run_labels(run, &count);
    if (o->class_count == 0 || count == 0) {
        return FM_OK;
    }
    run->class_mask = fm__calloc(FM_TAG_APP, count);
    if (!run->class_mask) {
        return fm__fail_nomem(err, "classes");
    }
    for (size_t i = 0; i < o->class_count; i++) {
        bool found = false;
        for (size_t c = 0; c < count; c++) {
            if (fm__str_ieq(labels[c], o->classes[i])) {
                run->class_mask[c] = 1;
                found = true;
            }
        }
        if (!found) {
            return fm__fail(err, FM_INVAL, "detector '%s' has no class '%s'; its %zu classes begin with '%s'",
                run->detector, o->classes[i], count, labels[0]);
        }
    }
    return FM_OK;
}

static fm_status add_sink(fm_status st, size_t *count)
{
    *count += st == FM_OK;
    return st;
}

static char *out_path(const fm_run *run, const char *name, const char *ending)
{
    return fm__asprintf(FM_TAG_APP, "%s/%s%s", run->out_dir, name, ending);
}

static fm_status open_file_sinks(
    fm_run *run, const char *name, const fm_stream_info *info, fm_sink **sinks, size_t *n, fm_error *err)
{
    char *jsonl = out_path(run, name, ".jsonl"), *mot = out_path(run, name, ".mot.txt");
    char *video = out_path(run, name, ".mp4"), *maps = out_path(run, name, ".maps");
    fm_status st = jsonl && mot && video && maps ? FM_OK : fm__fail_nomem(err, "a path");
    if (st == FM_OK) {
        st = add_sink(fm__sink_jsonl_file(jsonl, &sinks[*n], err), n);
    }
    if (st == FM_OK && run->tracker.type) {
        st = add_sink(fm__sink_mot_file(mot, run->mot_box, &sinks[*n], err), n);
    }
    if (st == FM_OK && run->o.annotate) {
        fm_annotate_opts ao = {.path = video, .fps = info->fps, .threads = 1, .log = &run->o.log};
        st = add_sink(fm__sink_annotate(&ao, &sinks[*n], err), n);
    }
    if (st == FM_OK && run->o.maps) {
        st = add_sink(fm__sink_class_maps(maps, &sinks[*n], err), n);
    }
    fm__free(maps);
    fm__free(jsonl);
    fm__free(mot);
    fm__free(video);
    return st;
}

static void into_queue(const fm_result *result, void *opaque)
{
    fm__result_queue_put(opaque, result);
}

// The pipeline has ended.
static void end_queue(void *opaque)
{
    const fm_run *run = opaque;
    if (run->queue) {
        fm__result_queue_end(run->queue);
    }
}

static fm_status open_sinks(
    size_t stream, const fm_stream_info *info, fm_sink **sinks, size_t *count, void *opaque, fm_error *err)
{
    fm_run *run = opaque;
    size_t n = 0;
    fm_status st = FM_OK;
    if (run->out_dir) {
        st = open_file_sinks(run, run->streams[stream].name, info, sinks, &n, err);
    } else if (run->o.jsonl_fd >= 0) {
        st = add_sink(
            fm__sink_jsonl_fd(run->o.jsonl_fd, &run->fd_lock, "standard output", &sinks[n], err), &n);
    }
    if (st == FM_OK && run->kept) {
        st = add_sink(fm__run_store_sink(run, stream, &sinks[n], err), &n);
    }
    if (st == FM_OK && run->bus) {
        st = add_sink(fm__run_bus_sink(run, stream, &sinks[n], err), &n);
    }
    if (st == FM_OK && run->o.on_result) {
        st =
            add_sink(fm__sink_callback(run->o.on_result, run->o.opaque, run->o.pictures, &sinks[n], err), &n);
    }
    if (st == FM_OK && run->queue) {
        st = add_sink(fm__sink_callback(into_queue, run->queue, run->o.pictures, &sinks[n], err), &n);
    }
    if (st == FM_OK && run->own_sink.make) {
        st = add_sink(run->own_sink.make(stream, run->own_sink.opaque, &sinks[n], err), &n);
    }
    if (st == FM_OK) {
        *count = n;
        return FM_OK;
    }
    while (n > 0) {
        fm_sink *s = sinks[--n];
        (void)s->cls->close(s, NULL); // the first failure is the one to tell
    }
    return st;
}

int fm__run_buffer_size(const fm_run_opts *o)
{
    return o->buffer_size > 0 ? o->buffer_size : DEFAULT_BUFFER;
}

bool fm__run_stays(const fm_run_opts *o)
{
    return o->stays || o->redis.commands;
}

int64_t fm__run_max_pixels(const fm_run_opts *o)
{
    return o->max_pixels > 0 ? o->max_pixels : DEFAULT_MAX_PIXELS;
}

static fm_status make_pipeline(fm_run *run, fm_error *err)
{
    const fm_run_opts *o = &run->o;
    size_t per_stream = o->buffer_bytes ? o->buffer_bytes : DEFAULT_BUFFER_BYTES;
    size_t sharing = run->stream_room < FEW_STREAMS ? run->stream_room : FEW_STREAMS;
    size_t fair = ALL_BUFFERS_BYTES / (run->stream_count > sharing ? run->stream_count : sharing);
    bool motion = strcmp(run->detector, "motion") == 0;
    fm_pipeline_opts po = {
        .streams = run->sources,
        .stream_count = run->stream_count,
        .stream_room = run->stream_room,
        .stays = fm__run_stays(o),
        .detector = run->given   ? FM_DETECTOR_GIVEN
                    : run->model ? FM_DETECTOR_MODEL
                    : motion     ? FM_DETECTOR_MOTION
                                 : FM_DETECTOR_NONE,
        .model = run->model,
        .segmenter = run->segmenter,
        .classifier = run->classifier,
        .classify_objects = run->classify_objects,
        .top_k = (size_t)(o->top_k > 0 ? o->top_k : 5),
        .class_map = o->annotate || o->maps,
        .class_mask = run->class_mask,
        .conf = fm__run_conf(run, o),
        .iou = o->iou > 0 ? o->iou : 0.45f,
        .given = fm__run_given,
        .tracker = run->tracker.type ? &run->tracker : NULL,
        .embedder = run->embedder,
        .embed_frames = run->embed_frames,
        .features = o->features,
        .level = fm__cpu_level(),
        .batch_timeout_ns = (int64_t)((o->batch_timeout_ms < 0      ? 0
                                          : o->batch_timeout_ms > 0 ? o->batch_timeout_ms
                                                                    : 20) *
                                      1e6),
        .latency_goal_ns = (int64_t)(o->latency_goal_ms * 1e6),
        .buffer_size = fm__run_buffer_size(o),
        .buffer_bytes = o->buffer_bytes || per_stream < fair ? per_stream : fair,
        .detect_every = o->detect_every == 1 ? 0 : o->detect_every,
        .motion_gate = o->motion_gate,
        .max_frames = o->max_frames,
        .checkpoint_every = o->checkpoint_every,
        .settings = run->settings,
        .realtime = o->realtime,
        .timeout_ns = (int64_t)((o->timeout_s > 0 ? o->timeout_s : 10) * 1e9),
        .max_pixels = fm__run_max_pixels(o),
        .cores = o->threads > 0 ? o->threads : fm__cpu_count(),
        .open_sinks = open_sinks,
        .ended = end_queue,
        .opaque = run,
        .trace = run->trace,
        .sampler = run->sampler,
        .log = &run->o.log,
    };
    po.labels = fm__run_labels(run, &po.label_count);
    return fm__pipeline_new(&po, &run->pipeline, err);
}

static fm_status build(fm_run *run, const fm_run_opts *opts, fm_error *err)
{
    run->out_dir = fm__strdup(FM_TAG_APP, opts->out_dir);
    run->device = fm__strdup(FM_TAG_APP, opts->device ? opts->device : "cpu");
    if ((opts->out_dir && !run->out_dir) || !run->device) {
        return fm__fail_nomem(err, "options");
    }
    fm_status st = fm__run_init_streams(run, opts, err);
    st = st == FM_OK ? prepare_out_dir(run, err) : st;
    if (st == FM_OK) {
        st = fm__image_init(err);
        run->image_ready = st == FM_OK;
    }
    st = st == FM_OK ? fm__run_init_enhance(run, opts, err) : st;
    st = st == FM_OK ? fm__run_init_given(run, opts, err) : st;
    st = st == FM_OK ? fm__run_load_models(run, opts, err) : st;
    st = st == FM_OK ? fm__run_init_tracking(run, opts, err) : st;
    st = st == FM_OK ? make_class_mask(run, opts, err) : st;
    st = st == FM_OK ? fm__run_init_settings(run, opts, err) : st;
    st = st == FM_OK ? fm__run_init_store(run, opts, err) : st;
    if (st == FM_OK && opts->queue > 0) {
        st = fm__result_queue_new((size_t)opts->queue, &run->queue, err);
    }
    st = st == FM_OK ? fm__run_init_bus(run, opts, err) : st;
    if (st == FM_OK && opts->trace) {
        st = fm__trace_new(TRACE_EVENTS, &run->trace, err);
    }
    if (st == FM_OK && opts->profile) {
        st = fm__sampler_new(&run->sampler, err);
    }
    st = st == FM_OK ? make_pipeline(run, err) : st;
    for (size_t i = 0; st == FM_OK && i < run->stream_count && opts->streams; i++) {
        st = fm__run_resume_stream(run, i, &opts->streams[i], err);
    }
    return st;
}

// What points into the caller's memory is not kept past fm_run_new.
static void forget_borrowed(fm_run_opts *o)
{
    o->streams = NULL;
    o->torch_ops = NULL;
    o->own_backend = NULL;
    o->segmenter = o->classifier = o->classify = o->embed = NULL;
    o->detector = o->head = o->labels = o->backend = o->device = o->precision = o->out_dir = o->cache_dir =
        o->tuning = NULL;
    o->tracker = o->embedder = o->reid = o->detections = o->mot_box = NULL;
    o->classes = NULL;
    o->enhance = (fm_frame_enhance){.denoise = NULL};
    o->store = NULL;
    o->redis.url = o->redis.password_file = o->redis.ca = o->redis.producer = o->redis.spool_dir = NULL;
    o->redis.allow = NULL;
    o->keeping.dir = o->keeping.keep = o->keeping.sync = NULL;
}

fm_status fm__run_new(const fm_run_opts *opts, const fm__run_own_sink *own, fm_run **out, fm_error *err)
{
    fm_status st = check_opts(opts, err);
    if (st != FM_OK) {
        return st;
    }
    fm_run *run = fm__calloc(FM_TAG_APP, sizeof(*run));
    if (!run) {
        return fm__fail_nomem(err, "a run");
    }
    run->o = *opts;
    run->own_sink = own ? *own : (fm__run_own_sink){.make = NULL};
    pthread_mutex_init(&run->fd_lock, NULL);
    pthread_mutex_init(&run->rate_lock, NULL);
    pthread_mutex_init(&run->streams_lock, NULL);
    st = build(run, opts, err);
    forget_borrowed(&run->o);
    if (st != FM_OK) {
        fm_run_free(&run);
        return st;
    }
    *out = run;
    return FM_OK;
}

fm_status fm_run_new(const fm_run_opts *opts, fm_run **out, fm_error *err)
{
    if (!opts || !out) {
        return fm__fail(err, FM_INVAL, "fm_run_new without options or output");
    }
    return fm__run_new(opts, NULL, out, err);
}

fm_status fm_run_start(fm_run *run, fm_error *err)
{
    run->is_started = true;
    run->begun_ns = fm__wall_ns();
    fm_status st = fm__pipeline_start(run->pipeline, err);
    if (st == FM_OK) {
        fm__run_open_streams(run);
    }
    return st == FM_OK && run->bus ? fm__bus_start(run->bus, err) : st;
}

fm_status fm_run_wait(fm_run *run, int timeout_ms)
{
    int64_t begin = fm__now_ns();
    fm_status st = fm__pipeline_wait(run->pipeline, timeout_ms);
    if (st != FM_OK) {
        return st;
    }
    int64_t gone_ms = (fm__now_ns() - begin) / FM_NS_PER_MS;
    int left_ms = timeout_ms < 0 ? -1 : timeout_ms > gone_ms ? timeout_ms - (int)gone_ms : 0;
    return fm__run_end_bus(run, left_ms) ? FM_OK : FM_AGAIN;
}

fm_status fm_run_next(fm_run *run, int timeout_ms, fm_result **out, fm_error *err)
{
    if (!run || !out || !run->queue) {
        return fm__fail(
            err, FM_INVAL, "fm_run_next without a run or output, or of a run whose options have no queue");
    }
    return fm__result_queue_take(run->queue, timeout_ms, out, err);
}

void fm_run_stop(fm_run *run, bool drain)
{
    if (!drain && run->queue) { // whoever delivers must not wait for whoever stops
        fm__result_queue_close(run->queue);
    }
    fm__pipeline_stop(run->pipeline, drain);
    if (!drain && run->bus) {
        fm__bus_end(run->bus, true);
    }
}

void fm_run_free(fm_run **run)
{
    if (!run || !*run) {
        return;
    }
    fm_run *r = *run;
    *run = NULL;
    if (r->queue) {
        fm__result_queue_close(r->queue);
    }
    fm__run_close_streams(r);
    fm__pipeline_free(&r->pipeline);
    fm__result_queue_free(&r->queue);
    fm__bus_close(&r->bus);
    fm__trace_free(&r->trace);
    fm__sampler_free(&r->sampler);
    fm__run_done_store(r);
    fm__run_done_tracking(r);
    fm__run_done_enhance(r);
    fm__model_free(&r->classifier);
    fm__model_free(&r->segmenter);
    fm__model_free(&r->model);
    fm_model_store_close(&r->store);
    if (r->image_ready) {
        fm__image_shutdown();
    }
    fm__run_done_streams(r);
    fm__free(r->settings);
    fm__free(r->class_mask);
    fm__free(r->detector);
    fm__free(r->out_dir);
    fm__free(r->device);
    pthread_mutex_destroy(&r->fd_lock);
    pthread_mutex_destroy(&r->rate_lock);
    pthread_mutex_destroy(&r->streams_lock);
    fm__free(r);
}
