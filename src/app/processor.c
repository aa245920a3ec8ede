// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A processor is a run whose streams are pushed: options, models, trackers and pipeline are a run's own, so
// that results are, too. A stream's results come in the order of its frames, so who waits for them stands in
// a line: jobs, one a frame, and the sink of each stream answers the first one. A push that fails takes its
// own jobs back from the end of the line, which nobody else can have reached.
//
// Lock order: line.push, line.lock. No callback runs under either.

#include "app/run_private.h"
#include "base/alloc.h"
#include "base/error.h"
#include "base/thread.h"

#include <framemill/processor.h>

#include <string.h>

typedef struct job {
    struct job *next;
    uint64_t index; // of its frame in the stream
    fm_processor_fn fn;
    void *opaque;
    bool is_own; // freed when answered
} job;

typedef struct line {
    fm_processor *processor;
    pthread_mutex_t push; // one at a time hands frames in
    pthread_mutex_t lock;
    pthread_cond_t answered;
    // protected by lock
    job *first, *last;
} line;

struct fm_processor {
    fm_run *run;
    line *streams; // [stream_count]
    size_t stream_count;
    int64_t max_pixels;
    size_t most; // frames that are pushed at once
};

/* ---- the line ---- */

static void stand_in_line(line *s, job *jobs, size_t n, uint64_t first_index)
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < n; i++) {
        jobs[i].next = NULL;
        jobs[i].index = first_index + i;
        if (s->last) {
            s->last->next = &jobs[i];
        } else {
            s->first = &jobs[i];
        }
        s->last = &jobs[i];
    }
    pthread_mutex_unlock(&s->lock);
}

// Jobs from `from` on leave the end of the line. Only they stand there: the stream's push is held.
static void leave_line(line *s, const job *from)
{
    pthread_mutex_lock(&s->lock);
    job **link = &s->first, *before = NULL;
    while (*link && *link != from) {
        before = *link;
        link = &(*link)->next;
    }
    *link = NULL;
    s->last = before;
    pthread_mutex_unlock(&s->lock);
}

// The first of the line, if it is of a frame before `end`.
static job *next_in_line(line *s, uint64_t end)
{
    pthread_mutex_lock(&s->lock);
    job *j = s->first && s->first->index < end ? s->first : NULL;
    if (j) {
        s->first = j->next;
        s->last = s->first ? s->last : NULL;
    }
    pthread_mutex_unlock(&s->lock);
    return j;
}

static void answer(line *s, job *j, fm_status status, const fm_result *result, const fm_error *err)
{
    bool is_own = j->is_own; // one that is not may be gone after the call
    j->fn(status, result, err, j->opaque);
    if (is_own) {
        fm__free(j);
    }
    pthread_mutex_lock(&s->lock);
    pthread_cond_broadcast(&s->answered);
    pthread_mutex_unlock(&s->lock);
}

static void cancel_before(line *s, uint64_t end)
{
    fm_error err = {.status = FM_CANCELED, .msg = "the processor was stopped"};
    for (job *j = next_in_line(s, end); j; j = next_in_line(s, end)) {
        answer(s, j, FM_CANCELED, NULL, &err);
    }
}

static void on_result(const fm_result *result, void *opaque)
{
    line *s = opaque;
    cancel_before(s, result->frame); // frames that a stop left without a result
    job *j = next_in_line(s, result->frame + 1);
    if (j) {
        answer(s, j, FM_OK, result, NULL);
    }
}

static fm_status make_sink(size_t index, void *opaque, fm_sink **out, fm_error *err)
{
    fm_processor *p = opaque;
    return fm__sink_callback(on_result, &p->streams[index], p->run->o.pictures, out, err);
}

/* ---- making ---- */

static const char *what_needs_a_source(const fm_run_opts *o)
{
    return o->detections         ? "detections"
           : o->detect_every     ? "detect_every"
           : o->motion_gate      ? "motion_gate"
           : o->max_frames       ? "max_frames"
           : o->realtime         ? "realtime"
           : o->annotate         ? "annotate"
           : o->queue            ? "queue"
           : o->checkpoint_every ? "checkpoint_every"
                                 : NULL;
}

static fm_status check(const fm_run_opts *o, fm_error *err)
{
    const char *what = what_needs_a_source(o);
    for (size_t i = 0; o->streams && i < o->stream_count; i++) {
        if (o->streams[i].url) {
            return fm__fail(err, FM_INVAL,
                "stream %zu of a processor has an input: frames are handed in; for inputs make a run", i + 1);
        }
        if (o->streams[i].start_frame || o->streams[i].state) {
            return fm__fail(err, FM_INVAL,
                "stream %zu of a processor has a start_frame or state: fm_processor_state_load takes its own",
                i + 1);
        }
    }
    return what ? fm__fail(err, FM_INVAL, "'%s' is for runs, a processor has no source of its own", what)
                : FM_OK;
}

static fm_status make_streams(fm_processor *p, size_t n, fm_error *err)
{
    p->streams = fm__calloc_array(FM_TAG_APP, n, sizeof(*p->streams));
    if (!p->streams) {
        return fm__fail_nomem(err, "a processor");
    }
    p->stream_count = n;
    for (size_t i = 0; i < n; i++) {
        p->streams[i].processor = p;
        pthread_mutex_init(&p->streams[i].push, NULL);
        pthread_mutex_init(&p->streams[i].lock, NULL);
        fm__cond_init(&p->streams[i].answered);
    }
    return FM_OK;
}

fm_status fm_processor_new(const fm_run_opts *opts, fm_processor **out, fm_error *err)
{
    static const fm_stream_opts one = {.name = "frames"};
    if (!opts || !out) {
        return fm__fail(err, FM_INVAL, "fm_processor_new without options or output");
    }
    fm_run_opts o = *opts;
    if (o.stream_count == 0) {
        o.streams = &one;
        o.stream_count = 1;
    }
    fm_status st = check(&o, err);
    fm_processor *p = st == FM_OK ? fm__calloc(FM_TAG_APP, sizeof(*p)) : NULL;
    if (!p) {
        return st == FM_OK ? fm__fail_nomem(err, "a processor") : st;
    }
    fm__run_own_sink own = {.make = make_sink, .opaque = p};
    st = make_streams(p, o.stream_count, err);
    st = st == FM_OK ? fm__run_new(&o, &own, &p->run, err) : st;
    if (st == FM_OK) {
        p->max_pixels = fm__run_max_pixels(&o);
        size_t most = (size_t)fm__run_buffer_size(&o);
        p->most = most < FM_PUSH_MAX ? most : FM_PUSH_MAX;
        st = fm_run_start(p->run, err);
    }
    if (st != FM_OK) {
        fm_processor_free(&p);
        return st;
    }
    *out = p;
    return FM_OK;
}

/* ---- frames in ---- */

static fm_status check_stream(const fm_processor *p, size_t stream, fm_error *err)
{
    return stream < p->stream_count
               ? FM_OK
               : fm__fail(err, FM_INVAL, "stream %zu of %zu: they count from 0", stream, p->stream_count);
}

static fm_status check_view(const fm_processor *p, const fm_frame_view *v, fm_error *err)
{
    fm_status st = fm__frame_check_view(v, err);
    if (st == FM_OK && (int64_t)v->width * v->height > p->max_pixels) {
        st = fm__fail(err, FM_DENIED, "a frame of %dx%d has more than the limit of %lld pixels", v->width,
            v->height, (long long)p->max_pixels);
    }
    return st;
}

// Takes the references over. The stream's push is held; *taken are those that will be answered.
static fm_status push(
    fm_processor *p, size_t index, fm_frame *const *frames, job *jobs, size_t n, size_t *taken, fm_error *err)
{
    line *s = &p->streams[index];
    stand_in_line(s, jobs, n, fm__pipeline_next_index(p->run->pipeline, index));
    fm_status st = fm__pipeline_push(p->run->pipeline, index, frames, n, taken, err);
    if (*taken < n) {
        leave_line(s, &jobs[*taken]);
    }
    return st == FM_CANCELED ? fm__fail(err, FM_CANCELED, "the processor was stopped") : st;
}

fm_status fm_processor_submit(
    fm_processor *p, size_t index, fm_frame *frame, fm_processor_fn fn, void *opaque, fm_error *err)
{
    if (!p || !frame || !fn) {
        return fm__fail(err, FM_INVAL, "fm_processor_submit without a processor, frame or function");
    }
    fm_status st = check_stream(p, index, err);
    st = st == FM_OK ? check_view(p, &frame->view, err) : st;
    job *j = st == FM_OK ? fm__calloc(FM_TAG_APP, sizeof(*j)) : NULL;
    if (!j) {
        return st == FM_OK ? fm__fail_nomem(err, "a frame's place in line") : st;
    }
    *j = (job){.fn = fn, .opaque = opaque, .is_own = true};
    size_t taken = 0;
    pthread_mutex_lock(&p->streams[index].push);
    st = push(p, index, &(fm_frame *){fm_frame_ref(frame)}, j, 1, &taken, err);
    pthread_mutex_unlock(&p->streams[index].push);
    if (taken == 0) {
        fm__free(j);
    }
    return st;
}

/* ---- a call that waits ---- */

typedef struct call {
    pthread_mutex_t lock;
    pthread_cond_t done;
    // protected by lock
    fm_result **results;
    size_t answered;
    fm_status status; // the first failure
    fm_error err;
} call;

typedef struct place {
    call *of;
    size_t at;
} place;

static void keep_answer(fm_status status, const fm_result *result, const fm_error *err, void *opaque)
{
    const place *at = opaque;
    call *c = at->of;
    fm_result *own = NULL;
    fm_error why = {0};
    status = status == FM_OK ? fm_result_dup(result, &own, &why) : status;
    pthread_mutex_lock(&c->lock);
    c->results[at->at] = own;
    if (status != FM_OK && c->status == FM_OK) {
        c->status = status;
        c->err = err ? *err : why;
    }
    c->answered++;
    // Signalled under the lock: after unlocking, the call may be over.
    pthread_cond_signal(&c->done);
    pthread_mutex_unlock(&c->lock);
}

static void wait_for(call *c, size_t n)
{
    pthread_mutex_lock(&c->lock);
    while (c->answered < n) {
        pthread_cond_wait(&c->done, &c->lock);
    }
    pthread_mutex_unlock(&c->lock);
}

// Frames over the caller's pixels; on failure none is left.
static fm_status wrap(const fm_frame_view *views, size_t n, fm_frame **frames, fm_error *err)
{
    fm_status st = FM_OK;
    for (size_t i = 0; i < n; i++) {
        st = fm_frame_new(&views[i], FM_PTS_NONE, NULL, NULL, &frames[i], err);
        if (st != FM_OK) {
            while (i > 0) {
                fm_frame_unref(&frames[--i]);
            }
            break;
        }
    }
    return st;
}

// Some of a call's frames: as many as are pushed at once. The stream's push is held.
static fm_status push_some(fm_processor *p, size_t index, const fm_frame_view *views, job *jobs, size_t n,
    size_t *taken, fm_error *err)
{
    fm_frame *frames[FM_PUSH_MAX];
    *taken = 0;
    fm_status st = wrap(views, n, frames, err);
    return st == FM_OK ? push(p, index, frames, jobs, n, taken, err) : st;
}

static fm_status push_views(fm_processor *p, size_t index, const fm_frame_view *views, job *jobs, size_t n,
    size_t *pushed, fm_error *err)
{
    fm_status st = FM_OK;
    pthread_mutex_lock(&p->streams[index].push);
    while (st == FM_OK && *pushed < n) {
        size_t some = n - *pushed < p->most ? n - *pushed : p->most, taken;
        st = push_some(p, index, views + *pushed, jobs + *pushed, some, &taken, err);
        *pushed += taken;
    }
    pthread_mutex_unlock(&p->streams[index].push);
    return st;
}

static fm_status run_call(
    fm_processor *p, size_t index, const fm_frame_view *views, size_t n, call *c, fm_error *err)
{
    job *jobs = fm__calloc_array(FM_TAG_APP, n, sizeof(*jobs));
    place *places = fm__calloc_array(FM_TAG_APP, n, sizeof(*places));
    size_t pushed = 0;
    fm_status st = jobs && places ? FM_OK : fm__fail_nomem(err, "a call's frames");
    for (size_t i = 0; st == FM_OK && i < n; i++) {
        places[i] = (place){.of = c, .at = i};
        jobs[i] = (job){.fn = keep_answer, .opaque = &places[i]};
    }
    st = st == FM_OK ? push_views(p, index, views, jobs, n, &pushed, err) : st;
    wait_for(c, pushed);
    fm__free(jobs);
    fm__free(places);
    if (st == FM_OK && c->status != FM_OK) {
        st = c->status;
        *err = c->err;
    }
    return st;
}

static fm_status check_call(
    const fm_processor *p, size_t index, const fm_frame_view *views, size_t n, fm_error *err)
{
    fm_status st = check_stream(p, index, err);
    if (st == FM_OK && n > SIZE_MAX / sizeof(fm_frame_view)) {
        st = fm__fail(err, FM_INVAL, "%zu frames are too many", n);
    }
    for (size_t i = 0; st == FM_OK && i < n; i++) {
        st = check_view(p, &views[i], err);
        if (st != FM_OK) {
            fm__error_prefix(err, "frame %zu", i);
        }
    }
    return st;
}

fm_status fm_processor_run(
    fm_processor *p, size_t index, const fm_frame_view *views, size_t n, fm_result **results, fm_error *err)
{
    if (!p || !views || !results || n == 0) {
        return fm__fail(err, FM_INVAL, "fm_processor_run without a processor, frames or room for results");
    }
    fm_error why = {0};
    fm_status st = check_call(p, index, views, n, &why);
    call c = {.results = fm__calloc_array(FM_TAG_APP, n, sizeof(*c.results))};
    pthread_mutex_init(&c.lock, NULL);
    fm__cond_init(&c.done);
    if (st == FM_OK) {
        st = c.results ? run_call(p, index, views, n, &c, &why) : fm__fail_nomem(&why, "results");
    }
    for (size_t i = 0; c.results && i < n; i++) {
        if (st == FM_OK) {
            results[i] = c.results[i];
        } else {
            fm_result_free(&c.results[i]);
        }
    }
    fm__free(c.results);
    pthread_cond_destroy(&c.done);
    pthread_mutex_destroy(&c.lock);
    if (st != FM_OK && err) {
        *err = why;
    }
    return st;
}

/* ---- state ---- */

// No frame of the stream is under way, and none can be handed in, until the push is let go.
static void hold_still(line *s)
{
    pthread_mutex_lock(&s->push);
    pthread_mutex_lock(&s->lock);
    while (s->first) {
        pthread_cond_wait(&s->answered, &s->lock);
    }
    pthread_mutex_unlock(&s->lock);
}

fm_status fm_processor_state_save(fm_processor *p, size_t index, void **data, size_t *size, fm_error *err)
{
    if (!p || !data || !size) {
        return fm__fail(err, FM_INVAL, "fm_processor_state_save without a processor or output");
    }
    fm_status st = check_stream(p, index, err);
    if (st != FM_OK) {
        return st;
    }
    hold_still(&p->streams[index]);
    size_t need = fm__pipeline_save(p->run->pipeline, index, NULL, 0);
    void *bytes = fm__calloc(FM_TAG_APP, need);
    if (bytes) {
        *size = fm__pipeline_save(p->run->pipeline, index, bytes, need);
        *data = bytes;
    }
    pthread_mutex_unlock(&p->streams[index].push);
    return bytes ? FM_OK : fm__fail_nomem(err, "a stream's state");
}

fm_status fm_processor_state_load(fm_processor *p, size_t index, const void *data, size_t size, fm_error *err)
{
    if (!p || !data) {
        return fm__fail(err, FM_INVAL, "fm_processor_state_load without a processor or state");
    }
    fm_status st = check_stream(p, index, err);
    if (st != FM_OK) {
        return st;
    }
    hold_still(&p->streams[index]);
    st = fm__pipeline_load(p->run->pipeline, index, data, size, err);
    pthread_mutex_unlock(&p->streams[index].push);
    return st;
}

/* ---- the rest ---- */

size_t fm_processor_stream_count(const fm_processor *p)
{
    return p->stream_count;
}

size_t fm_processor_find_stream(const fm_processor *p, const char *name)
{
    size_t i = 0;
    while (i < p->stream_count && strcmp(p->run->streams[i].name, name) != 0) {
        i++;
    }
    return i;
}

const char *const *fm_processor_labels(const fm_processor *p, size_t *count)
{
    return fm__run_labels(p->run, count);
}

// All streams end; what is under way is finished, or was canceled by a stop of the pipeline.
static void end_streams(fm_processor *p)
{
    for (size_t i = 0; i < p->stream_count; i++) {
        pthread_mutex_lock(&p->streams[i].push);
        fm__pipeline_end(p->run->pipeline, i);
        pthread_mutex_unlock(&p->streams[i].push);
    }
    (void)fm__pipeline_wait(p->run->pipeline, -1); // without a limit it returns at the end
}

void fm_processor_stop(fm_processor *p)
{
    fm__pipeline_stop(p->run->pipeline, false);
    end_streams(p);
    for (size_t i = 0; i < p->stream_count; i++) {
        cancel_before(&p->streams[i], UINT64_MAX);
    }
}

void fm_processor_free(fm_processor **processor)
{
    if (!processor || !*processor) {
        return;
    }
    fm_processor *p = *processor;
    *processor = NULL;
    if (p->run && p->run->is_started) {
        end_streams(p);
    }
    fm_run_free(&p->run);
    for (size_t i = 0; i < p->stream_count; i++) {
        pthread_cond_destroy(&p->streams[i].answered);
        pthread_mutex_destroy(&p->streams[i].lock);
        pthread_mutex_destroy(&p->streams[i].push);
    }
    fm__free(p->streams);
    fm__free(p);
}
