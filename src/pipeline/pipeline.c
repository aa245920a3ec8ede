// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A run's life: everything is made in new, threads start in start (delivery first, sources last), and free
// undoes it in the opposite order. Stopping is the sources' end come early: they are interrupted, what they
// had read goes its way, and each lane closes as it always does. Only a stop without draining also empties
// the rings.

#include "pipeline/pipeline.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/thread.h"
#include "pipeline/private.h"

#include <stdio.h>
#include <string.h>

#define MAX_DECODER_THREADS 4 // more gives one stream little and holds a frame in memory each

static fm_status make_lanes(fm_pipeline *p, fm_error *err)
{
    p->lanes = fm__calloc_array(FM_TAG_PIPELINE, p->o.stream_room, sizeof(*p->lanes));
    p->class_count = fm__calloc_array(FM_TAG_PIPELINE, p->o.label_count + 1, sizeof(*p->class_count));
    for (size_t i = 0; p->lanes && i < p->o.stream_room; i++) {
        lane *l = &p->lanes[i];
        l->p = p;
        l->index = i;
        pthread_mutex_init(&l->lock, NULL);
        fm__cond_init(&l->returned);
    }
    if (!p->lanes || !p->class_count) {
        return fm__fail_nomem(err, "streams");
    }
    fm_status st = FM_OK;
    for (size_t i = 0; i < p->o.stream_count && st == FM_OK; i++) {
        p->lanes[i].taken = true;
        st = fm__lane_init(&p->lanes[i], err);
    }
    return st;
}

static void free_lanes(fm_pipeline *p)
{
    for (size_t i = 0; i < p->o.stream_room && p->lanes; i++) {
        lane *l = &p->lanes[i];
        fm__lane_clear(l);
        pthread_cond_destroy(&l->returned);
        pthread_mutex_destroy(&l->lock);
    }
    fm__free(p->lanes);
}

fm_status fm__pipeline_new(const fm_pipeline_opts *opts, fm_pipeline **out, fm_error *err)
{
    size_t room = opts->stream_room > opts->stream_count ? opts->stream_room : opts->stream_count;
    if (room < 1 || room > 4096 || (opts->stream_count < 1 && !opts->stays) || opts->buffer_size < 1) {
        return fm__fail(err, FM_INVAL, "a run needs 1 to 4096 streams and buffers of a frame at least");
    }
    fm_pipeline *p = fm__calloc_aligned(FM_TAG_PIPELINE, sizeof(*p), 64);
    if (!p) {
        return fm__fail_nomem(err, "the pipeline");
    }
    p->o = *opts;
    p->profile = opts->sampler ? fm__sampler_profile(opts->sampler) : NULL;
    p->o.stream_room = room;
    pthread_mutex_init(&p->lock, NULL);
    fm__cond_init(&p->changed);
    fm__cond_init(&p->ready);
    p->staying = opts->stays;
    p->open_lanes = p->closing = opts->stream_count + (opts->stays ? 1 : 0);
    if (opts->tracker) {
        p->tracker = *opts->tracker;
        p->o.tracker = &p->tracker;
    }
    p->det_conf = opts->tracker && opts->tracker->low < opts->conf ? opts->tracker->low : opts->conf;
    p->share = opts->stream_count > 1 ? opts->cores / (int)opts->stream_count : opts->cores;
    p->share = p->share < 1 ? 1 : p->share;
    p->decoder_threads = p->share > MAX_DECODER_THREADS ? MAX_DECODER_THREADS : p->share;
    fm_status st = fm__stages_init(p, err);
    st = st == FM_OK ? make_lanes(p, err) : st;
    st = st == FM_OK ? fm__stages_start(p, err) : st;
    if (st != FM_OK) {
        fm__pipeline_free(&p);
        return st;
    }
    *out = p;
    return FM_OK;
}

fm_status fm__pipeline_start(fm_pipeline *p, fm_error *err)
{
    p->start_ns = fm__now_ns();
    fm_status st = fm__sampling_start(p, err);
    st = st == FM_OK ? fm__deliver_start(p, err) : st;
    for (size_t i = p->o.stream_count; i < p->o.stream_room; i++) {
        fm__stages_source(p, i, false); // nobody waits for what may never come
    }
    for (size_t i = 0; st == FM_OK && i < p->o.stream_count; i++) {
        lane *l = &p->lanes[i];
        st = p->o.streams[i].url ? fm__lane_start(l, err) : fm__lane_open_pushed(l, err);
    }
    return st;
}

fm_status fm__pipeline_wait(fm_pipeline *p, int timeout_ms)
{
    int64_t deadline = fm__now_ns() + timeout_ms * FM_NS_PER_MS;
    pthread_mutex_lock(&p->lock);
    while (p->open_lanes > 0) {
        if (timeout_ms < 0) {
            pthread_cond_wait(&p->changed, &p->lock);
        } else if (!fm__cond_wait_until(&p->changed, &p->lock, deadline)) {
            break;
        }
    }
    bool ended = p->open_lanes == 0;
    pthread_mutex_unlock(&p->lock);
    return ended ? FM_OK : FM_AGAIN;
}

void fm__pipeline_leave(fm_pipeline *p, lane *l)
{
    pthread_mutex_lock(&p->lock);
    bool last = --p->closing == 0;
    pthread_mutex_unlock(&p->lock);
    if (last && p->o.ended) {
        p->o.ended(p->o.opaque);
    }
    pthread_mutex_lock(&p->lock);
    if (l) {
        l->gone = true;
    }
    if (--p->open_lanes == 0) {
        p->end_ns = fm__now_ns();
    }
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

void fm__pipeline_stop(fm_pipeline *p, bool drain)
{
    int mode = drain ? STOP_DRAIN : STOP_ABORT;
    int old = atomic_load(&p->stop);
    while (old < mode && !atomic_compare_exchange_weak(&p->stop, &old, mode)) {
    }
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->o.stream_room && p->lanes; i++) {
        atomic_store(&p->lanes[i].interrupt, true);
    }
    bool stayed = p->staying;
    p->staying = false;
    pthread_cond_broadcast(&p->changed); // who paces looks at stop
    pthread_mutex_unlock(&p->lock);
    if (stayed) {
        fm__pipeline_leave(p, NULL);
    }
    if (!drain) {
        fm__stages_stop(p, false);
    }
}

static void join_lanes(fm_pipeline *p)
{
    for (size_t i = 0; i < p->o.stream_room && p->lanes; i++) {
        if (p->lanes[i].thread_started) {
            pthread_join(p->lanes[i].thread, NULL);
            p->lanes[i].thread_started = false;
        }
    }
}

void fm__pipeline_free(fm_pipeline **pipeline)
{
    if (!pipeline || !*pipeline) {
        return;
    }
    fm_pipeline *p = *pipeline;
    *pipeline = NULL;
    if (p->frame_stages[0].exec) {
        fm__pipeline_stop(p, false);
    }
    join_lanes(p);
    fm__sampling_stop(p);
    fm__deliver_stop(p);
    fm__stages_done(p);
    free_lanes(p);
    fm__free(p->class_count);
    pthread_cond_destroy(&p->ready);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    fm__free(p);
}

void fm__pipeline_stream_state(fm_pipeline *p, size_t stream, fm_pipeline_stream_state *out)
{
    lane *l = &p->lanes[stream];
    *out = (fm_pipeline_stream_state){
        .frames = atomic_load(&l->frames),
        .objects = atomic_load(&l->objects),
        .dropped = atomic_load(&l->dropped),
        .expected = atomic_load(&l->expected),
        .tracks = atomic_load(&l->tracks),
        .passed_over = atomic_load(&l->passed_over),
        .queued = p->frame_stage_count ? fm__executor_depth(p->frame_stages[0].exec, (int)stream) : 0,
    };
    pthread_mutex_lock(&l->lock);
    out->source = l->source_stats;
    out->started = l->started;
    out->ended = l->closed;
    if (l->error.status != FM_OK) {
        snprintf(out->error, sizeof(out->error), "%s", l->error.msg);
    }
    pthread_mutex_unlock(&l->lock);
}

const fm_metrics *fm__pipeline_metrics(const fm_pipeline *p)
{
    return &p->metrics;
}

void fm__pipeline_exec_stats(fm_pipeline *p, fm_task task, fm_executor_stats *out)
{
    *out = (fm_executor_stats){0};
    for (int i = 0; i < p->frame_stage_count; i++) {
        if (p->frame_stages[i].model && p->frame_stages[i].task == task) {
            fm__executor_stats(p->frame_stages[i].exec, out);
        }
    }
    for (int i = 0; i < CROP_STAGES; i++) {
        if (p->crop_stages[i].model && p->crop_stages[i].task == task) {
            fm__executor_stats(p->crop_stages[i].exec, out);
        }
    }
}

uint64_t fm__pipeline_class_count(const fm_pipeline *p, size_t class_id)
{
    return class_id < p->o.label_count ? atomic_load(&p->class_count[class_id]) : 0;
}

int64_t fm__pipeline_elapsed_ns(fm_pipeline *p)
{
    pthread_mutex_lock(&p->lock);
    int64_t end = p->end_ns;
    pthread_mutex_unlock(&p->lock);
    return p->start_ns ? (end ? end : fm__now_ns()) - p->start_ns : 0;
}
