// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Tuning a model: which settings this machine tells apart, opened one after another as the search asks for
// them. On a CPU, OpenVINO runs min(slots, threads) streams that share the threads, and every slot beyond is
// a request that waits filled; so slots go up to one more than threads, and further ones would be the same
// setting again. Memory is what the process's resident set grows by between before the model is opened and
// after its first samples, with freed heap given back to the system first.

#include "app/tune_private.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/str.h"
#include "base/thread.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

enum {
    MOST_BATCH = 64,
    DEFAULT_FRAMES = 64,
    MOST_FRAMES = 1024,
    PASSES = 5,
    MOST_OPEN = 4,
    MOST_SAMPLES = 32
};
static const double DEFAULT_SAMPLE_S = 0.25;
static const char *const DEFAULT_INPUT = "testsrc:1280x720@30";
// Of the free memory that a setting may be expected to take: others want some, too.
static const double MEMORY_SHARE = 0.8;

typedef struct tuner {
    const fm_tune_opts *o;
    fm_model_store *store;
    fm__tune_frames frames;
    fm_tune_report *r;
    bool have_key;
    int samples_done, samples_expected;
} tuner;

typedef struct opened {
    fm_model *model;
    fm__trial *trial;
    int64_t before_bytes;
} opened;

/* ---- memory */

static int64_t free_bytes(void)
{
    char *text = NULL;
    long long kib = 0;
    if (fm__file_read(FM_TAG_TUNE, "/proc/meminfo", 1 << 16, &text, NULL, NULL) == FM_OK) {
        const char *at = strstr(text, "MemAvailable:");
        if (at) {
            (void)sscanf(at, "MemAvailable: %lld", &kib);
        }
    }
    fm__free(text);
    return (int64_t)kib * 1024;
}

// Memory grows at most in proportion to the batch. What would not fit is not tried: a system that runs out
// ends processes, and perhaps not this one.
static bool would_not_fit(const tuner *t, fm__tune_arm *arm)
{
    const fm__tune_arm *near = NULL;
    for (size_t i = 0; i < t->r->count; i++) {
        const fm__tune_arm *a = &t->r->arms[i];
        if (a->memory_bytes > 0 && a->batch < arm->batch && a->slots == arm->slots &&
            a->threads == arm->threads) {
            near = a;
        }
    }
    int64_t have = free_bytes();
    double want = near ? (double)near->memory_bytes / near->batch * arm->batch : 0;
    if (have <= 0 || want <= MEMORY_SHARE * (double)have) {
        return false;
    }
    snprintf(arm->why, sizeof(arm->why), "would take up to %.0f MiB of memory, and %.0f are free",
        want / (1 << 20), (double)have / (1 << 20));
    return true;
}

/* ---- one setting */

static bool tell(tuner *t, const char *text)
{
    double all = t->samples_expected > 0 ? t->samples_expected : 1;
    double fraction = t->samples_done / all;
    return !t->o->progress || t->o->progress(fraction < 1 ? fraction : 1, text, t->o->opaque);
}

static bool go_on(void *opaque)
{
    return tell(opaque, NULL);
}

fm_model_load_opts fm__tune_load_opts(const fm_tune_opts *o)
{
    return (fm_model_load_opts){
        .task = fm__tune_task(o->task),
        .name = o->model,
        .head = o->head,
        .labels = o->labels,
        .device = o->device ? o->device : "cpu",
        .precision = o->precision,
        .backend = o->backend,
        .cache_dir = o->cache_dir,
    };
}

static void close_one(opened *c)
{
    fm__trial_free(&c->trial);
    fm__model_free(&c->model);
}

static fm_status open_one(tuner *t, const fm__tune_arm *arm, opened *out, fm_error *err)
{
    opened c = {0};
    fm_model_load_opts lo = fm__tune_load_opts(t->o);
    lo.batch = arm->batch;
    lo.slots = arm->slots;
    lo.threads = arm->threads;
    malloc_trim(0);
    c.before_bytes = fm__process_resident_bytes();
    fm_status st = fm__model_load(t->store, &lo, &c.model, err);
    if (st == FM_OK && fm__net_info(c.model->net)->batch != arm->batch) {
        st = fm__fail(err, FM_UNSUPPORTED,
            "the model runs with batch %d only; 'framemill models import' may free it",
            fm__net_info(c.model->net)->batch);
    }
    fm__trial_opts to = {.model = c.model,
        .frames = &t->frames,
        .lanes = arm->slots < arm->threads ? arm->slots : arm->threads,
        .log = &t->o->log};
    st = st == FM_OK ? fm__trial_new(&to, &c.trial, err) : st;
    if (st == FM_OK && !t->have_key) {
        st = fm__tune_key_fill(&t->r->key, t->o->model, c.model->file, c.model->net->backend->name, lo.device,
            lo.precision, err);
        t->have_key = st == FM_OK;
    }
    if (st != FM_OK) {
        close_one(&c);
        return st;
    }
    *out = c;
    return FM_OK;
}

// CANCELED ends the search; any other failure is the arm's own.
static fm_status run_one(tuner *t, fm__tune_arm *arm, opened *c, int samples, fm_error *err)
{
    fm__tune_sample got[MOST_SAMPLES];
    char text[96];
    snprintf(text, sizeof(text), "batch %d, %d slots, %d cores", arm->batch, arm->slots, arm->threads);
    if (!tell(t, text)) {
        return fm__fail(err, FM_CANCELED, "stopped");
    }
    double sample_s = t->o->sample_s > 0 ? t->o->sample_s : DEFAULT_SAMPLE_S;
    fm_status st = fm__trial_run(c->trial, sample_s, samples, go_on, t, got, err);
    for (int i = 0; st == FM_OK && i < samples; i++) {
        fm__tune_arm_add(arm, &got[i]);
    }
    t->samples_done += st == FM_OK ? samples : 0;
    if (st == FM_OK && arm->memory_bytes == 0) {
        int64_t grown = fm__process_resident_bytes() - c->before_bytes;
        arm->memory_bytes = grown > 0 ? grown : 0;
    }
    return st;
}

static void fail_arm(const tuner *t, fm__tune_arm *arm, const fm_error *why)
{
    arm->state = FM_TUNE_FAILED;
    if (!arm->why[0]) {
        snprintf(arm->why, sizeof(arm->why), "%.250s", why->msg);
    }
    fm__log(&t->o->log, FM_LOG_DEBUG, "tune", "batch %d, %d slots, %d cores: %s", arm->batch, arm->slots,
        arm->threads, arm->why);
}

// Opened, measured, closed.
static fm_status measure_alone(tuner *t, fm__tune_arm *arm, int samples, fm_error *err)
{
    opened c = {0};
    fm_error why = {0};
    fm_status st =
        would_not_fit(t, arm) ? fm__fail(&why, FM_NOMEM, "%s", arm->why) : open_one(t, arm, &c, &why);
    st = st == FM_OK ? run_one(t, arm, &c, samples, &why) : st;
    close_one(&c);
    // A model that does not open as such is no matter of its setting.
    if (st == FM_CANCELED || (st != FM_OK && !t->have_key && arm == &t->r->arms[0])) {
        if (err) {
            *err = why;
        }
        return st;
    }
    if (st != FM_OK) {
        fail_arm(t, arm, &why);
    }
    return FM_OK;
}

// All open at once, and in turns, so that what the machine does beside meets all of them alike.
static fm_status measure_in_turns(
    tuner *t, fm__tune_arm *arms, const size_t *which, size_t count, int samples, fm_error *err)
{
    opened open[MOST_OPEN] = {{0}};
    fm_status st = FM_OK;
    fm_error why = {0};
    for (size_t i = 0; i < count; i++) {
        if (open_one(t, &arms[which[i]], &open[i], &why) != FM_OK) {
            fail_arm(t, &arms[which[i]], &why);
        }
    }
    for (int pass = 0; st == FM_OK && pass < PASSES; pass++) {
        int n = samples * (pass + 1) / PASSES - samples * pass / PASSES;
        for (size_t i = 0; st == FM_OK && n > 0 && i < count; i++) {
            size_t k = pass % 2 ? count - 1 - i : i;
            fm__tune_arm *arm = &arms[which[k]];
            if (!open[k].trial || arm->state == FM_TUNE_FAILED) {
                continue;
            }
            fm_status one = run_one(t, arm, &open[k], n, &why);
            if (one == FM_CANCELED) {
                st = one;
            } else if (one != FM_OK) {
                fail_arm(t, arm, &why);
            }
        }
    }
    for (size_t i = 0; i < count; i++) {
        close_one(&open[i]);
    }
    if (st != FM_OK && err) {
        *err = why;
    }
    return st;
}

static fm_status measure(
    fm__tune_arm *arms, const size_t *which, size_t count, int samples, void *opaque, fm_error *err)
{
    tuner *t = opaque;
    int64_t need = 0;
    for (size_t i = 0; i < count; i++) {
        need += arms[which[i]].memory_bytes;
    }
    if (count > 1 && count <= MOST_OPEN && need < (int64_t)(MEMORY_SHARE * (double)free_bytes())) {
        return measure_in_turns(t, arms, which, count, samples, err);
    }
    fm_status st = FM_OK;
    for (size_t i = 0; st == FM_OK && i < count; i++) {
        st = measure_alone(t, &arms[which[i]], samples, err);
    }
    return st;
}

/* ---- all of them */

static size_t add_series(fm__tune_arm *arms, size_t n, int batch, int threads)
{
    const int slots[] = {1, threads / 2, threads, threads + 1};
    int last = 0;
    for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
        if (slots[i] > last) {
            arms[n++] = (fm__tune_arm){.batch = batch, .slots = slots[i], .threads = threads};
            last = slots[i];
        }
    }
    return n;
}

static fm_status make_arms(tuner *t, fm_error *err)
{
    fm_tune_report *r = t->r;
    int cores = fm__cpu_count();
    int most = t->o->max_batch > 0 ? t->o->max_batch : MOST_BATCH;
    r->arms = fm__calloc_array(FM_TAG_TUNE, (size_t)7 * 8, sizeof(*r->arms));
    r->front = fm__calloc_array(FM_TAG_TUNE, (size_t)7 * 8, sizeof(*r->front));
    if (!r->arms || !r->front) {
        return fm__fail_nomem(err, "settings");
    }
    for (int batch = 1; batch <= most; batch *= 2) {
        r->count = add_series(r->arms, r->count, batch, cores);
        if (cores > 1) {
            r->count = add_series(r->arms, r->count, batch, cores / 2);
        }
    }
    t->samples_expected = t->o->grid ? (int)r->count * 23 : (int)r->count + (int)r->count / 2 + 60;
    return FM_OK;
}

fm_task fm__tune_task(const char *name)
{
    for (int i = FM_TASK_DETECTION; name && i < FM_TASK_COUNT; i++) {
        if (strcmp(name, fm__task_name((fm_task)i)) == 0) {
            return (fm_task)i;
        }
    }
    return FM_TASK_ANY;
}

fm_status fm__tune_check(const fm_tune_opts *o, fm_error *err)
{
    if (o->struct_size != sizeof(*o)) {
        return fm__fail(err, FM_INVAL,
            "fm_tune_opts has %zu bytes instead of %zu: begin with FM_TUNE_OPTS_INIT", o->struct_size,
            sizeof(*o));
    }
    if (!o->model || !*o->model || !o->store) {
        return fm__fail(err, FM_INVAL, "nothing to tune: a model and a model store are needed");
    }
    if (o->task && fm__tune_task(o->task) == FM_TASK_ANY) {
        return fm__fail(err, FM_INVAL,
            "task '%s' is none of detection, segmentation, classification and "
            "features",
            o->task);
    }
    if (o->max_batch < 0 || o->max_batch > MOST_BATCH || o->frames < 0 || o->frames > MOST_FRAMES ||
        !(o->sample_s >= 0 && o->sample_s <= 60) || !(o->max_latency_ms >= 0) || !(o->max_memory_mib >= 0)) {
        return fm__fail(err, FM_INVAL,
            "out of range: max_batch is 1 to %d, frames 1 to %d, sample_s at most 60, bounds not negative",
            MOST_BATCH, MOST_FRAMES);
    }
    return FM_OK;
}

fm_status fm__tune_read_frames(const fm_tune_opts *o, fm__tune_frames *out, fm_error *err)
{
    fm__tune_frames_opts fo = {
        .inputs = o->input_count ? o->inputs : &DEFAULT_INPUT,
        .input_count = o->input_count ? o->input_count : 1,
        .most = o->frames > 0 ? o->frames : DEFAULT_FRAMES,
        .max_pixels = o->max_pixels,
        .log = &o->log,
    };
    if (o->input_count == 0) {
        fm__log(&o->log, FM_LOG_INFO, "tune", "no input was given: tuning on %s; frames of your own say more",
            DEFAULT_INPUT);
    }
    return fm__tune_frames_load(&fo, out, err);
}

static void describe(tuner *t)
{
    fm_tune_report *r = t->r;
    const fm_frame_view *v = fm_frame_get_view(t->frames.frames[0]);
    const char *first = t->o->input_count ? t->o->inputs[0] : DEFAULT_INPUT;
    char *shown = fm__redact_url(FM_TAG_TUNE, first);
    r->frames = (int)t->frames.count;
    r->width = v->width;
    r->height = v->height;
    r->grid = t->o->grid;
    snprintf(r->inputs, sizeof(r->inputs), t->o->input_count > 1 ? "%.100s and %zu more" : "%.100s",
        shown ? fm__path_base(shown) : "", t->o->input_count - 1);
    snprintf(r->model, sizeof(r->model), "%s", t->o->model);
    fm__free(shown);
}

static fm_status tune(tuner *t, fm_error *err)
{
    fm_tune_report *r = t->r;
    fm_model_store_opts so = *t->o->store;
    so.log.level = FM_LOG_ERROR; // what a model says when it is loaded it would say some fifty times
    fm_status st = fm_model_store_open(&so, &t->store, err);
    st = st == FM_OK ? fm__tune_read_frames(t->o, &t->frames, err) : st;
    st = st == FM_OK ? make_arms(t, err) : st;
    if (st != FM_OK) {
        return st;
    }
    describe(t);
    r->goal = (fm__tune_goal){.objective = t->o->objective,
        .max_p99_ms = t->o->max_latency_ms,
        .max_memory_bytes = (int64_t)(t->o->max_memory_mib * (1 << 20))};
    fm__tune_search_opts so2 = {.goal = r->goal, .grid = t->o->grid, .measure = measure, .opaque = t};
    int64_t begin = fm__now_ns();
    st = fm__tune_search(&so2, r->arms, r->count, err);
    r->seconds = (double)(fm__now_ns() - begin) / (double)FM_NS_PER_S;
    r->stopped = st == FM_CANCELED;
    r->best = fm__tune_best(&r->goal, r->arms, r->count);
    fm__tune_pareto(r->arms, r->count, r->front);
    return st == FM_CANCELED ? FM_OK : st;
}

fm_status fm_tune(const fm_tune_opts *opts, fm_tune_report **out, fm_error *err)
{
    if (!opts || !out) {
        return fm__fail(err, FM_INVAL, "fm_tune without options or output");
    }
    tuner t = {.o = opts};
    fm_status st = fm__tune_check(opts, err);
    if (st != FM_OK) {
        return st;
    }
    t.r = fm__calloc(FM_TAG_TUNE, sizeof(*t.r));
    st = t.r ? tune(&t, err) : fm__fail_nomem(err, "a report");
    fm__tune_frames_done(&t.frames);
    fm_model_store_close(&t.store);
    if (st != FM_OK) {
        fm_tune_free(&t.r);
        return st;
    }
    *out = t.r;
    return FM_OK;
}
