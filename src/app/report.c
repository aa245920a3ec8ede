// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What a run tells of itself: progress while it goes, and the report afterwards.

#include "app/run_private.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"

#include <framemill/memory.h>

#include <string.h>
#include <sys/resource.h>

#define RATE_SAMPLES 8
#define RATE_EVERY_NS (500 * FM_NS_PER_MS) // eight samples: the rate of the last four seconds

static double rate(fm_run *run, uint64_t frames, double seconds)
{
    int64_t now = fm__now_ns();
    pthread_mutex_lock(&run->rate_lock);
    unsigned n = run->rate_next;
    unsigned last = (n + RATE_SAMPLES - 1) % RATE_SAMPLES; // of the sample before the next
    if (n == 0 || now - run->rate_ns[last] >= RATE_EVERY_NS) {
        run->rate_ns[n % RATE_SAMPLES] = now;
        run->rate_frames[n % RATE_SAMPLES] = frames;
        run->rate_next = ++n;
    }
    unsigned oldest = n > RATE_SAMPLES ? n % RATE_SAMPLES : 0;
    int64_t span = now - run->rate_ns[oldest];
    uint64_t done = frames - run->rate_frames[oldest];
    pthread_mutex_unlock(&run->rate_lock);
    return span >= RATE_EVERY_NS ? (double)done * 1e9 / (double)span
           : seconds > 0         ? (double)frames / seconds
                                 : 0;
}

void fm_run_progress_get(fm_run *run, fm_run_progress *out)
{
    pthread_mutex_lock(&run->streams_lock);
    fm_run_progress p = run->past;
    p.expected = p.frames + p.dropped;
    p.streams = (int)run->stream_count;
    bool all_known = true;
    for (size_t i = 0; i < run->stream_count; i++) {
        fm_pipeline_stream_state s;
        fm__pipeline_stream_state(run->pipeline, i, &s);
        p.frames += s.frames;
        p.objects += s.objects;
        p.dropped += s.dropped;
        // A stream that ended early was as long as it was.
        p.expected += s.ended ? s.frames + s.dropped : s.expected;
        all_known &= s.ended || s.expected > 0;
        p.active += !s.ended;
        p.failed += s.error[0] != 0;
    }
    pthread_mutex_unlock(&run->streams_lock);
    p.expected = all_known ? p.expected : 0;
    p.seconds = (double)fm__pipeline_elapsed_ns(run->pipeline) / 1e9;
    p.fps = rate(run, p.frames, p.seconds);
    *out = p;
}

size_t fm_run_stream_count(const fm_run *run)
{
    return run->stream_count;
}

fm_status fm_run_stream_report(fm_run *run, size_t index, fm_stream_report *out)
{
    if (index >= run->stream_count) {
        return FM_NOTFOUND;
    }
    run_stream *s = &run->streams[index];
    fm__pipeline_stream_state(run->pipeline, index, &s->state);
    const fm_stream_stats *src = &s->state.source;
    *out = (fm_stream_report){
        .name = s->name,
        .url = s->redacted,
        .frames = s->state.frames,
        .dropped = s->state.dropped,
        .objects = s->state.objects,
        .tracks = s->state.tracks,
        .pts_mended = src->pts_mended,
        .decode_errors = src->decode_errors,
        .converted = src->converted,
        .format_changes = src->format_changes,
        .skipped = src->skipped,
        .passed_over = s->state.passed_over,
        .expected = s->state.expected,
        .queued = s->state.queued,
        .ended = s->state.ended,
        .error = s->state.error[0] ? s->state.error : NULL,
    };
    return FM_OK;
}

const char *fm_run_class_count(fm_run *run, size_t class_id, uint64_t *count)
{
    size_t n;
    const char *const *labels = fm__run_labels(run, &n);
    if (class_id >= n) {
        return NULL;
    }
    *count = fm__pipeline_class_count(run->pipeline, class_id);
    return labels[class_id];
}

static void add_count(fm_json *j, const char *key, uint64_t n)
{
    if (n) {
        fm__json_put_uint(j, key, n);
    }
}

static void add_streams(fm_run *run, fm_json *j)
{
    fm__json_key(j, "streams");
    fm__json_open_object(j);
    for (size_t i = 0; i < run->stream_count; i++) {
        fm_stream_report s;
        (void)fm_run_stream_report(run, i, &s); // i is in range
        fm__json_key(j, s.name);
        fm__json_open_object(j);
        fm__json_put_string(j, "url", s.url);
        fm__json_put_uint(j, "frames", s.frames);
        fm__json_put_uint(j, "dropped", s.dropped);
        fm__json_put_uint(j, "objects", s.objects);
        add_count(j, "tracks", s.tracks);
        add_count(j, "pts_mended", s.pts_mended);
        add_count(j, "decode_errors", s.decode_errors);
        add_count(j, "converted", s.converted);
        add_count(j, "format_changes", s.format_changes);
        add_count(j, "skipped", s.skipped);
        add_count(j, "passed_over", s.passed_over);
        fm__json_put_string(j, "error", s.error);
        fm__json_close_object(j);
    }
    fm__json_close_object(j);
}

static void add_percentiles(fm_json *j, const fm_hist_summary *s)
{
    fm__json_put_fixed(j, "p50_ms", s->p50_ms, 3);
    fm__json_put_fixed(j, "p95_ms", s->p95_ms, 3);
    fm__json_put_fixed(j, "p99_ms", s->p99_ms, 3);
}

static void add_stages(fm_run *run, fm_json *j)
{
    const fm_metrics *m = fm__pipeline_metrics(run->pipeline);
    fm__json_key(j, "stages");
    fm__json_open_object(j);
    for (int i = 0; i < FM_STAGE_LATENCY; i++) {
        fm_hist_summary s = fm__metrics_summary(m, (fm_stage)i);
        if (s.count == 0) {
            continue;
        }
        fm__json_key(j, fm__stage_name((fm_stage)i));
        fm__json_open_object(j);
        fm__json_put_uint(j, "count", s.count);
        fm__json_put_fixed(j, "total_ms", s.total_ms, 3);
        add_percentiles(j, &s);
        fm__json_close_object(j);
    }
    fm__json_close_object(j);
    fm_hist_summary l = fm__metrics_summary(m, FM_STAGE_LATENCY);
    fm__json_key(j, "latency_ms");
    fm__json_open_object(j);
    fm__json_put_fixed(j, "p50", l.p50_ms, 3);
    fm__json_put_fixed(j, "p95", l.p95_ms, 3);
    fm__json_put_fixed(j, "p99", l.p99_ms, 3);
    fm__json_close_object(j);
}

size_t fm__run_models(const fm_run *run, run_model out[RUN_MODELS])
{
    const run_model all[RUN_MODELS] = {{FM_TASK_DETECTION, run->model},
        {FM_TASK_SEGMENTATION, run->segmenter}, {FM_TASK_CLASSIFICATION, run->classifier},
        {FM_TASK_FEATURES, run->embedder}};
    size_t n = 0;
    for (size_t i = 0; i < RUN_MODELS; i++) {
        if (all[i].model) {
            out[n++] = all[i];
        }
    }
    return n;
}

static void add_task(fm_json *j, const char *task, const fm_executor_stats *x, const fm_model *model)
{
    const fm_net_info *info = fm__net_info(model->net);
    fm__json_key(j, task);
    fm__json_open_object(j);
    fm__json_put_uint(j, "count", x->batches);
    fm__json_put_uint(j, "items", x->items);
    fm__json_put_fixed(j, "mean_size", x->batches ? (double)x->items / (double)x->batches : 0, 2);
    fm__json_put_uint(j, "failed", x->failed_batches);
    fm__json_put_int(j, "largest", info->batch);
    fm__json_put_int(j, "slots", info->slots);
    fm__json_put_string(j, "model", model->name);
    fm__json_close_object(j);
}

static void add_batches(fm_run *run, fm_json *j)
{
    run_model models[RUN_MODELS];
    size_t n = fm__run_models(run, models);
    fm__json_key(j, "batches");
    fm__json_open_object(j);
    for (size_t i = 0; i < n; i++) {
        fm_executor_stats x;
        fm__pipeline_exec_stats(run->pipeline, models[i].task, &x);
        add_task(j, fm__task_name(models[i].task), &x, models[i].model);
    }
    fm__json_close_object(j);
}

static void add_memory(fm_json *j)
{
    struct rusage ru;
    getrusage(RUSAGE_SELF, &ru);
    fm__json_put_int(j, "peak_rss_bytes", (int64_t)ru.ru_maxrss * 1024);
    fm_memory_stat stats[32];
    size_t n = fm_memory_stats(stats, 32);
    fm__json_key(j, "memory");
    fm__json_open_object(j);
    for (size_t i = 0; i < n && i < 32; i++) {
        fm__json_key(j, stats[i].module);
        fm__json_open_object(j);
        fm__json_put_uint(j, "current_bytes", stats[i].current_bytes);
        fm__json_put_uint(j, "peak_bytes", stats[i].peak_bytes);
        fm__json_put_uint(j, "blocks", stats[i].blocks);
        fm__json_put_uint(j, "allocations", stats[i].allocations);
        fm__json_close_object(j);
    }
    fm__json_close_object(j);
}

static void add_pools(fm_json *j)
{
    fm_memory_pool pools[32];
    size_t n = fm_memory_pools(pools, 32);
    fm__json_key(j, "pools");
    fm__json_open_object(j);
    for (size_t i = 0; i < n && i < 32; i++) {
        fm__json_key(j, pools[i].name);
        fm__json_open_object(j);
        fm__json_put_string(j, "module", pools[i].module);
        fm__json_put_uint(j, "current_bytes", pools[i].current_bytes);
        fm__json_put_uint(j, "peak_bytes", pools[i].peak_bytes);
        fm__json_put_uint(j, "in_use", pools[i].in_use);
        fm__json_put_uint(j, "resting", pools[i].resting);
        fm__json_close_object(j);
    }
    fm__json_close_object(j);
}

// Only where a model is on a GPU and its framework tells.
static void add_device_memory(const fm_run *run, fm_json *j)
{
    fm_device_memory m;
    if (!fm__run_device_memory(run, &m)) {
        return;
    }
    fm__json_key(j, "device_memory");
    fm__json_open_object(j);
    fm__json_put_string(j, "device", run->device);
    fm__json_put_uint(j, "allocated_bytes", m.allocated_bytes);
    fm__json_put_uint(j, "reserved_bytes", m.reserved_bytes);
    fm__json_put_uint(j, "peak_bytes", m.peak_bytes);
    fm__json_close_object(j);
}

bool fm__run_device_memory(const fm_run *run, fm_device_memory *out)
{
    run_model models[RUN_MODELS];
    size_t n = fm__run_models(run, models), i = 0;
    while (i < n && !fm__net_memory(models[i].model->net, out)) {
        i++;
    }
    return i < n;
}

fm_status fm_run_report_json(fm_run *run, char **out, fm_error *err)
{
    fm_run_progress p;
    fm_run_progress_get(run, &p);
    fm_str s;
    fm_json j;
    fm__str_init(&s, FM_TAG_APP);
    fm__json_init(&j, &s);
    fm__json_open_object(&j);
    fm__json_put_uint(&j, "frames", p.frames);
    fm__json_put_fixed(&j, "seconds", p.seconds, 6);
    fm__json_put_fixed(&j, "fps", p.seconds > 0 ? (double)p.frames / p.seconds : 0, 3);
    fm__json_put_string(&j, "detector", run->detector);
    if (run->tracker.type) {
        fm__json_put_string(&j, "tracker", run->tracker.type);
    }
    add_streams(run, &j);
    add_batches(run, &j);
    add_stages(run, &j);
    fm__run_report_bus(run, &j);
    add_memory(&j);
    add_pools(&j);
    add_device_memory(run, &j);
    fm__json_close_object(&j);
    fm__str_add_char(&s, '\n');
    char *text = fm__str_take(&s);
    if (!text) {
        return fm__fail_nomem(err, "the report");
    }
    *out = text;
    return FM_OK;
}

fm_status fm_run_trace_write(fm_run *run, const char *path, uint64_t *lost, fm_error *err)
{
    if (!run->trace) {
        return fm__fail(err, FM_INVAL, "this run kept no trace: set fm_run_opts.trace");
    }
    const char **names = fm__calloc_array(FM_TAG_APP, run->stream_count, sizeof(*names));
    if (!names) {
        return fm__fail_nomem(err, "the trace");
    }
    for (size_t i = 0; i < run->stream_count; i++) {
        names[i] = run->streams[i].name;
    }
    fm_status st = fm__trace_write(run->trace, path, names, run->stream_count, err);
    if (lost) {
        *lost = fm__trace_lost(run->trace);
    }
    fm__free(names);
    return st;
}
