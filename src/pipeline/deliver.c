// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Delivery: completed items come back in any order, from any worker; each lane puts them in order by the
// ticket they got when a batch took them (dropped items never got one, so there are no holes), and one
// delivery thread at a time hands them to the lane's sinks. A lane with something to do stands once in the
// ready queue; a thread gives it a few items' worth of time and puts it back, so that a lane with a slow sink
// does not starve the others.

#include "pipeline/private.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/thread.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define TURN 16 // items of one lane in a row

// Lane lock held. True when delivery has something to do for this lane.
static bool has_business(const lane *l)
{
    if (l->awaiting) {
        return l->features_here;
    }
    return l->order[l->next_ticket % l->order_cap] || (l->ended && l->outstanding == 0 && !l->closed);
}

// Lane lock held.
static void schedule(lane *l)
{
    if (l->scheduled || !has_business(l)) {
        return;
    }
    l->scheduled = true;
    fm_pipeline *p = l->p;
    pthread_mutex_lock(&p->lock);
    l->next_ready = NULL;
    if (p->ready_tail) {
        p->ready_tail->next_ready = l;
    } else {
        p->ready_head = l;
    }
    p->ready_tail = l;
    pthread_cond_signal(&p->ready);
    pthread_mutex_unlock(&p->lock);
}

void fm__deliver_complete(work *w)
{
    lane *l = w->lane;
    pthread_mutex_lock(&l->lock);
    work **place = &l->order[w->parts[0].item.ticket % l->order_cap];
    assert(!*place);
    *place = w;
    schedule(l);
    pthread_mutex_unlock(&l->lock);
}

void fm__deliver_resume(work *w)
{
    lane *l = w->lane;
    pthread_mutex_lock(&l->lock);
    l->features_here = true;
    schedule(l);
    pthread_mutex_unlock(&l->lock);
}

void fm__deliver_dropped(work *w)
{
    lane *l = w->lane;
    atomic_fetch_add(&l->dropped, 1);
    fm__work_recycle(w);
    pthread_mutex_lock(&l->lock);
    l->outstanding--;
    schedule(l);
    pthread_mutex_unlock(&l->lock);
}

void fm__deliver_end(lane *l)
{
    pthread_mutex_lock(&l->lock);
    l->ended = true;
    schedule(l);
    pthread_mutex_unlock(&l->lock);
}

// A sink that fails ends itself; the lane's other sinks go on.
static void write_sinks(lane *l, const fm_result *result, const fm_frame *frame)
{
    for (size_t i = 0; i < l->sink_count; i++) {
        fm_sink *s = l->sinks[i];
        fm_error err = {0};
        if (!s || s->cls->write(s, result, s->cls->wants_pixels ? frame : NULL, &err) >= 0) {
            continue;
        }
        fm__lane_fail(l, &err);
        l->sinks[i] = NULL;
        (void)s->cls->close(s, NULL); // its first failure is told already
    }
}

static void count_objects(lane *l, const work *w)
{
    fm_pipeline *p = l->p;
    atomic_fetch_add(&l->frames, 1);
    atomic_fetch_add(&l->objects, w->det_count);
    for (size_t i = 0; i < w->det_count; i++) {
        size_t c = (size_t)w->dets[i].class_id;
        if (c < p->o.label_count) {
            atomic_fetch_add_explicit(&p->class_count[c], 1, memory_order_relaxed);
        }
    }
}

// What is known of the whole frame.
static void add_frame_results(const work *w, fm_result *result)
{
    const fm_pipeline_opts *o = &w->lane->p->o;
    if (o->classifier) {
        result->class_labels = (const char *const *)o->classifier->labels;
        result->class_label_count = o->classifier->label_count;
    }
    if (o->classifier && !o->classify_objects && !w->skipped) {
        result->classes = w->frame_classes;
        result->class_count = w->frame_class_count;
    }
    if (w->has_frame_feature && o->features) {
        result->frame_feature = w->frame_feature;
        result->frame_feature_dim = w->lane->p->dim;
    }
    result->class_map = w->seg.has_map ? &w->seg.map : NULL;
}

void fm__deliver_one(lane *l, work *w)
{
    fm_pipeline *p = l->p;
    int64_t begin = fm__now_ns();
    fm_result result = {
        .stream = p->o.streams[l->index].name,
        .frame = w->index,
        .file = w->file[0] ? w->file : NULL,
        .pts_ns = w->pts_ns,
        .wall_ns = w->wall_ns,
        .width = w->width,
        .height = w->height,
        .dets = w->dets,
        .det_count = w->det_count,
        .track_boxes = l->tracker ? w->filtered : NULL,
        .features = p->o.features ? w->feature : NULL,
        .feature_dim = p->dim,
        .masks = w->masks,
        .object_classes = w->classes,
        .object_class_count = w->classes ? p->o.top_k : 0,
        .labels = p->o.labels,
        .label_count = p->o.label_count,
        .carried = w->skipped,
        .error = w->status < 0 ? w->error.msg : NULL,
    };
    result.state = fm__resume_take(l, w, &result.state_bytes);
    add_frame_results(w, &result);
    if (!l->keep_pixels) { // before whoever waits for the result hears of it
        fm_frame_unref(&w->frame);
    }
    write_sinks(l, &result, w->frame);
    count_objects(l, w);
    int64_t now = fm__now_ns();
    fm__span(l, FM_STAGE_SINK, w->index, begin, now);
    fm__metrics_add(&p->metrics, FM_STAGE_LATENCY, now - w->decoded_ns);
}

static void close_sinks(lane *l)
{
    for (size_t i = 0; i < l->sink_count; i++) {
        fm_error err = {0};
        if (l->sinks[i] && l->sinks[i]->cls->close(l->sinks[i], &err) < 0) {
            fm__lane_fail(l, &err);
        }
        l->sinks[i] = NULL;
    }
}

static void close_lane(lane *l)
{
    fm_pipeline *p = l->p;
    fm__hold_end(l);
    int64_t begin = p->profile ? fm__now_ns() : 0;
    close_sinks(l);
    fm__span_other(l, FM_ACT_CLOSE, begin);
    fm__pipeline_leave(p, l);
}

// The work whose features have come, or the next one in order, or NULL. Lane lock held.
static work *next_work(lane *l, bool *resumed)
{
    work *w = l->awaiting;
    *resumed = w != NULL;
    if (w) {
        l->awaiting = l->features_here ? NULL : w;
        return l->features_here ? w : NULL;
    }
    work **place = &l->order[l->next_ticket % l->order_cap];
    w = *place;
    if (w) {
        *place = NULL;
        l->next_ticket++;
    }
    return w;
}

// True when the frame is through, false when it waits for features.
static bool track(lane *l, work *w, bool resumed)
{
    if (w->status < 0 && !resumed) {
        fm__lane_fail(l, &w->error);
    }
    if (w->no_objects) {
        w->det_count = 0;
        return true;
    }
    if (!resumed && !fm__track_begin(l, w)) {
        return false;
    }
    fm__track_finish(l, w);
    return true;
}

static void finish_work(lane *l, work *w, bool resumed)
{
    bool held = false;
    // Stopped without draining: nobody waits for this frame any more.
    if (w->status != FM_CANCELED) {
        if (!w->skipped && !resumed) {
            fm__hold_checkpoint(l);
        }
        if (!w->skipped && !track(l, w, resumed)) {
            return;
        }
        held = fm__hold_take(l, w);
        if (!held) {
            fm__resume_carry(l, w);
            fm__deliver_one(l, w);
        }
    }
    if (!held) {
        fm__work_recycle(w);
    }
    fm__executor_release(l->p->frame_stages[0].exec, (int)l->index);
    pthread_mutex_lock(&l->lock);
    l->outstanding--;
    pthread_mutex_unlock(&l->lock);
}

static void serve(lane *l)
{
    for (int i = 0; i < TURN; i++) {
        pthread_mutex_lock(&l->lock);
        bool resumed;
        work *w = next_work(l, &resumed);
        bool end = !w && has_business(l);
        l->closed |= end;
        pthread_mutex_unlock(&l->lock);
        if (end) {
            close_lane(l);
            return; // stays scheduled: a closed lane has no business again
        }
        if (!w) {
            break;
        }
        finish_work(l, w, resumed);
    }
    pthread_mutex_lock(&l->lock);
    l->scheduled = false;
    schedule(l);
    pthread_mutex_unlock(&l->lock);
}

static void *delivery_main(void *arg)
{
    fm_pipeline *p = arg;
    fm__profile_begin(p->profile);
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->ready_head && !p->delivery_quit) {
            fm__profile_wait(p->profile, FM_ACT_NO_WORK);
            pthread_cond_wait(&p->ready, &p->lock);
            fm__profile_woke(p->profile);
        }
        lane *l = p->ready_head;
        if (!l) {
            break;
        }
        p->ready_head = l->next_ready;
        p->ready_tail = p->ready_head ? p->ready_tail : NULL;
        pthread_mutex_unlock(&p->lock);
        fm_profile_mark mark = fm__profile_open(p->profile);
        serve(l);
        fm__profile_close(p->profile, FM_ACT_ORDER, mark);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    fm__profile_end(p->profile);
    return NULL;
}

fm_status fm__deliver_start(fm_pipeline *p, fm_error *err)
{
    size_t n = p->o.stream_room < (size_t)p->o.cores ? p->o.stream_room : (size_t)p->o.cores;
    p->delivery = fm__calloc_array(FM_TAG_PIPELINE, n, sizeof(*p->delivery));
    if (!p->delivery) {
        return fm__fail_nomem(err, "threads");
    }
    for (size_t i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof(name), "fm-out-%d", (int)(i & 0xfff));
        fm_status st = fm__thread_start(&p->delivery[i], name, delivery_main, p, err);
        if (st != FM_OK) {
            return st;
        }
        p->delivery_count++;
    }
    return FM_OK;
}

void fm__deliver_stop(fm_pipeline *p)
{
    pthread_mutex_lock(&p->lock);
    p->delivery_quit = true;
    pthread_cond_broadcast(&p->ready);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->delivery_count; i++) {
        pthread_join(p->delivery[i], NULL);
    }
    p->delivery_count = 0;
    fm__free(p->delivery);
    p->delivery = NULL;
    for (size_t i = 0; i < p->o.stream_room && p->lanes; i++) {
        close_sinks(&p->lanes[i]); // of lanes that never came to their end
    }
}
