// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The benchmark for users. Parts are measured in turns, round by round, so that what the machine does beside
// meets all of them; a figure is the median of the rounds. Decoding alone and the network alone, each with
// all cores, one after the other: their times add up to the floor, below which no run over these frames can
// be without doing less. The network alone goes through the executor, whose own cost is a few microseconds a
// batch.

#include "app/bench_private.h"

#include "app/run_private.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "base/thread.h"
#include "stream/stream.h"
#include "tune/load.h"
#include "tune/trial.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DEFAULT_FRAMES = 120, DEFAULT_ROUNDS = 3, MOST_ROUNDS = 32, KEPT_FRAMES = 32, DECODER_THREADS = 16 };
static const char *const DEFAULT_DETECTOR = "yolox-nano";
static const char *const standard[] = {"testsrc:640x480@30", "testsrc:1280x720@30", "testsrc:1920x1080@30"};
static const int64_t MAX_PIXELS = INT64_C(134217728);

typedef enum part { DECODE, NETWORK, FLOOR, RUN, OF_FLOOR, PREPROCESS, INFER, HEAD, LATENCY, PARTS } part;
static const struct {
    const char *what, *unit;
    bool less;
} parts[PARTS] = {
    [DECODE] = {"decode", "frames/s", false},
    [NETWORK] = {"network", "frames/s", false},
    [FLOOR] = {"floor", "frames/s", false},
    [RUN] = {"run", "frames/s", false},
    [OF_FLOOR] = {"of floor", "ratio", false},
    [PREPROCESS] = {"preprocess", "ms", true},
    [INFER] = {"infer", "ms", true},
    [HEAD] = {"head", "ms", true},
    [LATENCY] = {"latency p99", "ms", true},
};

typedef struct bench {
    const fm_bench_opts *o;
    fm_bench_report *r;
    fm_model_store *store;
    int done, expected; // of the parts of rounds that are measured
} bench;

typedef struct figures {
    double v[PARTS][MOST_ROUNDS];
    int rounds;
} figures;

static bool tell(bench *b, const char *input, const char *what)
{
    char text[256];
    char *shown = fm__redact_url(FM_TAG_APP, input);
    snprintf(text, sizeof(text), "%.180s, %s", shown ? fm__path_base(shown) : "", what);
    fm__free(shown);
    double fraction = b->expected > 0 ? (double)b->done++ / b->expected : 0;
    return !b->o->progress || b->o->progress(fraction, text, b->o->opaque);
}

static int frames_of(const bench *b)
{
    return b->o->frames > 0 ? b->o->frames : DEFAULT_FRAMES;
}

/* ---- the parts */

static fm_status time_decode(const bench *b, const char *url, double *fps, fm_error *err)
{
    int cores = fm__cpu_count(), n = 0;
    fm_source_opts so = {.url = url,
        .decoder_threads = cores < DECODER_THREADS ? cores : DECODER_THREADS,
        .timeout_ns = 10 * FM_NS_PER_S,
        .max_pixels = MAX_PIXELS,
        .log = &b->o->log};
    fm_stream *s = NULL;
    int64_t begin = fm__now_ns();
    fm_status st = fm__stream_open(&so, &s, err);
    while (st == FM_OK && n < frames_of(b)) {
        fm_frame *frame = NULL;
        st = fm__stream_read(s, &frame, err);
        n += st == FM_OK;
        fm_frame_unref(&frame);
    }
    double seconds = (double)(fm__now_ns() - begin) / (double)FM_NS_PER_S;
    fm__stream_close(&s);
    if (n == 0 && (st == FM_OK || st == FM_EOF)) {
        return fm__fail(err, FM_INVAL, "input '%s' has no frames", url);
    }
    *fps = n / seconds;
    return st == FM_EOF ? FM_OK : st;
}

static bool go_on(void *opaque)
{
    const bench *b = opaque;
    return !b->o->progress || b->o->progress(-1, NULL, b->o->opaque);
}

static fm_status time_network(
    bench *b, const fm_model *model, const fm__tune_frames *frames, double *fps, fm_error *err)
{
    const fm_net_info *info = fm__net_info(model->net);
    fm__trial_opts to = {
        .model = model, .frames = frames, .lanes = info->slots, .network_only = true, .log = &b->o->log};
    fm__trial *t = NULL;
    fm__tune_sample got = {.share = 1};
    fm_status st = fm__trial_new(&to, &t, err);
    st = st == FM_OK ? fm__trial_run(t, 1.0, 1, go_on, b, &got, err) : st;
    fm__trial_free(&t);
    *fps = got.fps * got.share; // as it was: the run is not corrected either
    return st;
}

static fm_run_opts run_opts(const bench *b, const fm_stream_opts *stream, int fd, bool is_first)
{
    const fm_bench_opts *o = b->o;
    fm_run_opts ro = FM_RUN_OPTS_INIT;
    ro.streams = stream;
    ro.stream_count = 1;
    ro.detector = o->detector ? o->detector : DEFAULT_DETECTOR;
    ro.backend = o->backend;
    ro.device = o->device;
    ro.precision = o->precision;
    ro.batch = o->batch;
    ro.workers = o->workers;
    ro.threads = o->threads;
    ro.max_frames = (uint64_t)frames_of(b);
    ro.jsonl_fd = fd;
    ro.store = o->store;
    ro.cache_dir = o->cache_dir;
    ro.tuning = o->tuning;
    ro.log = o->log;
    ro.log.level = is_first && o->log.level >= FM_LOG_WARN ? FM_LOG_WARN : FM_LOG_ERROR; // once is enough
    return ro;
}

// A failed stream's own words.
static fm_status check_stream(fm_run *run, fm_error *err)
{
    fm_stream_report sr;
    fm_status st = fm_run_stream_report(run, 0, &sr);
    if (st == FM_OK && sr.error) {
        st = fm__fail(err, FM_IO, "%s", sr.error);
    } else if (st == FM_OK && sr.frames == 0) {
        st = fm__fail(err, FM_INVAL, "the run has no frames");
    }
    return st;
}

static fm_status finish_run(fm_run *run, figures *f, int round, fm_error *err)
{
    fm_status st = check_stream(run, err);
    if (st != FM_OK) {
        return st;
    }
    const fm_metrics *m = fm__pipeline_metrics(run->pipeline);
    fm_run_progress p;
    fm_run_progress_get(run, &p);
    f->v[RUN][round] = (double)p.frames / p.seconds;
    f->v[PREPROCESS][round] = fm__metrics_summary(m, FM_STAGE_PREPROCESS).p50_ms;
    f->v[INFER][round] = fm__metrics_summary(m, FM_STAGE_INFER).p50_ms;
    f->v[HEAD][round] = fm__metrics_summary(m, FM_STAGE_HEAD).p50_ms;
    f->v[LATENCY][round] = fm__metrics_summary(m, FM_STAGE_LATENCY).p99_ms;
    return FM_OK;
}

static fm_status time_run(bench *b, const char *url, figures *f, int round, fm_error *err)
{
    fm_stream_opts stream = {.url = url};
    fm_run *run = NULL;
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return fm__fail(err, FM_IO, "cannot open /dev/null");
    }
    fm_run_opts ro = run_opts(b, &stream, fd, round == 0 && b->r->count == 0);
    fm_status st = fm_run_new(&ro, &run, err);
    st = st == FM_OK ? fm_run_start(run, err) : st;
    while (st == FM_OK && fm_run_wait(run, 100) == FM_AGAIN) {
        if (!go_on(b)) {
            fm_run_stop(run, false);
            st = fm__fail(err, FM_CANCELED, "stopped");
        }
    }
    st = st == FM_OK ? finish_run(run, f, round, err) : st;
    fm_run_free(&run);
    close(fd);
    return st;
}

/* ---- rows */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static fm_status add_rows(fm_bench_report *r, const char *input, figures *f, fm_error *err)
{
    for (int i = 0; i < PARTS; i++) {
        double *v = f->v[i];
        qsort(v, (size_t)f->rounds, sizeof(*v), by_value);
        fm_bench_row row = {.input = input,
            .what = parts[i].what,
            .unit = parts[i].unit,
            .less_is_better = parts[i].less,
            .value = f->rounds % 2 ? v[f->rounds / 2] : (v[f->rounds / 2 - 1] + v[f->rounds / 2]) / 2,
            .least = v[0],
            .most = v[f->rounds - 1]};
        fm_status st = fm__bench_add(r, &row, err);
        if (st != FM_OK) {
            return st;
        }
    }
    return FM_OK;
}

static fm_status measure_round(bench *b, const char *url, const fm_model *model,
    const fm__tune_frames *frames, figures *f, int round, fm_error *err)
{
    fm_status st = tell(b, url, "decoding") ? FM_OK : fm__fail(err, FM_CANCELED, "stopped");
    st = st == FM_OK ? time_decode(b, url, &f->v[DECODE][round], err) : st;
    if (st == FM_OK && !tell(b, url, "network")) {
        st = fm__fail(err, FM_CANCELED, "stopped");
    }
    st = st == FM_OK ? time_network(b, model, frames, &f->v[NETWORK][round], err) : st;
    if (st == FM_OK && !tell(b, url, "run")) {
        st = fm__fail(err, FM_CANCELED, "stopped");
    }
    st = st == FM_OK ? time_run(b, url, f, round, err) : st;
    if (st == FM_OK) {
        f->v[FLOOR][round] = 1 / (1 / f->v[DECODE][round] + 1 / f->v[NETWORK][round]);
        f->v[OF_FLOOR][round] = f->v[RUN][round] / f->v[FLOOR][round];
    }
    return st;
}

// "testsrc 640x480", or the name of the file.
static char *name_input(const char *url, const fm__tune_frames *frames)
{
    const fm_frame_view *v = fm_frame_get_view(frames->frames[0]);
    char *name = fm__str_starts(url, "testsrc:") ? fm__strdup(FM_TAG_APP, "testsrc") : fm__stream_name(url);
    char *text = name ? fm__asprintf(FM_TAG_APP, "%s %dx%d", name, v->width, v->height) : NULL;
    fm__free(name);
    return text;
}

static fm_status measure_input(bench *b, const char *url, fm_error *err)
{
    fm__tune_frames frames = {0};
    fm__tune_frames_opts fo = {
        .inputs = &url, .input_count = 1, .most = KEPT_FRAMES, .max_pixels = MAX_PIXELS, .log = &b->o->log};
    fm_model *model = NULL;
    figures *f = fm__calloc(FM_TAG_APP, sizeof(*f));
    char *name = NULL;
    int rounds = b->o->rounds > 0 ? b->o->rounds : DEFAULT_ROUNDS;
    fm_status st = f ? fm__tune_frames_load(&fo, &frames, err) : fm__fail_nomem(err, "a benchmark");
    st = st == FM_OK ? fm__bench_load(b->store, b->o, &model, err) : st;
    if (st == FM_OK) {
        fm__bench_describe(b->r, model, b->o);
        name = name_input(url, &frames);
        st = name ? FM_OK : fm__fail_nomem(err, "a name");
    }
    for (int i = 0; st == FM_OK && i < rounds; i++) {
        st = measure_round(b, url, model, &frames, f, i, err);
        f->rounds += st == FM_OK;
    }
    if (f && f->rounds > 0 && (st == FM_OK || st == FM_CANCELED)) {
        fm_status added = add_rows(b->r, name, f, err);
        st = added != FM_OK ? added : st;
    }
    fm__free(name);
    fm__model_free(&model);
    fm__tune_frames_done(&frames);
    fm__free(f);
    return st;
}

static fm_status check(const fm_bench_opts *o, fm_error *err)
{
    if (o->struct_size != sizeof(*o)) {
        return fm__fail(err, FM_INVAL,
            "fm_bench_opts has %zu bytes instead of %zu: begin with FM_BENCH_OPTS_INIT", o->struct_size,
            sizeof(*o));
    }
    if (!o->store || o->frames < 0 || o->rounds < 0 || o->rounds > MOST_ROUNDS) {
        return fm__fail(
            err, FM_INVAL, "a benchmark needs a model store, frames, and 1 to %d rounds", MOST_ROUNDS);
    }
    return FM_OK;
}

static fm_status measure_all(bench *b, fm_error *err)
{
    const fm_bench_opts *o = b->o;
    const char *const *inputs = o->input_count ? o->inputs : standard;
    size_t count = o->input_count ? o->input_count : sizeof(standard) / sizeof(standard[0]);
    b->expected = (int)count * 3 * (o->rounds > 0 ? o->rounds : DEFAULT_ROUNDS);
    fm_status st = fm_model_store_open(o->store, &b->store, err);
    fm__tune_load begin = fm__tune_load_now();
    int64_t begin_ns = fm__now_ns();
    for (size_t i = 0; st == FM_OK && i < count; i++) {
        st = measure_input(b, inputs[i], err);
    }
    fm__tune_load end = fm__tune_load_now();
    double all = (double)(fm__now_ns() - begin_ns) / (double)FM_NS_PER_S * (double)fm__cpu_count();
    double others = (end.busy_s - begin.busy_s) - (end.cpu_s - begin.cpu_s);
    b->r->disturbance = others > 0 && all > 0 ? others / all : 0;
    b->r->stopped = st == FM_CANCELED;
    return st == FM_CANCELED ? FM_OK : st;
}

fm_status fm_bench(const fm_bench_opts *opts, fm_bench_report **out, fm_error *err)
{
    if (!opts || !out) {
        return fm__fail(err, FM_INVAL, "fm_bench without options or output");
    }
    fm_status st = check(opts, err);
    if (st != FM_OK) {
        return st;
    }
    bench b = {.o = opts, .r = fm__calloc(FM_TAG_APP, sizeof(*b.r))};
    st = b.r ? measure_all(&b, err) : fm__fail_nomem(err, "a report");
    fm_model_store_close(&b.store);
    if (st != FM_OK) {
        fm_bench_free(&b.r);
        return st;
    }
    *out = b.r;
    return FM_OK;
}
