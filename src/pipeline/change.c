// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Streams that come and go while the pipeline runs. Room for them is there from the start: a lane, and a
// source of each executor. A lane is used again once its stream has gone: delivery said so under the
// pipeline's lock as the last thing it did with it. Its lock and condition stay, since who unlocked them last
// may not have left yet.

#include "pipeline/private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/thread.h"

// Takes the lane for a stream. Pipeline lock held.
static fm_status claim(fm_pipeline *p, lane *l, fm_error *err)
{
    if (atomic_load(&p->stop) != RUN_ON || p->closing == 0 || p->start_ns == 0) {
        fm__fail(err, FM_CANCELED, "the run takes no streams: it is being stopped, or has ended");
        return FM_CANCELED;
    }
    if (l->taken && !l->gone) {
        return fm__fail(err, FM_BUSY, "the stream in this place has not ended");
    }
    l->taken = true;
    l->gone = false;
    p->open_lanes++;
    p->closing++;
    atomic_store(&l->interrupt, false);
    atomic_store(&l->paused, false);
    return FM_OK;
}

static void clear(lane *l)
{
    if (l->thread_started) {
        pthread_join(l->thread, NULL); // it has nothing left to do
    }
    fm__lane_clear(l);
    atomic_store(&l->frames, 0);
    atomic_store(&l->objects, 0);
    atomic_store(&l->dropped, 0);
    atomic_store(&l->expected, 0);
    atomic_store(&l->tracks, 0);
    atomic_store(&l->passed_over, 0);
}

fm_status fm__pipeline_add(fm_pipeline *p, size_t index, fm_error *err)
{
    lane *l = &p->lanes[index];
    pthread_mutex_lock(&p->lock);
    fm_status st = claim(p, l, err);
    pthread_mutex_unlock(&p->lock);
    if (st != FM_OK) {
        return st;
    }
    clear(l);
    fm__stages_source(p, index, true);
    st = fm__lane_init(l, err);
    st = st == FM_OK ? fm__lane_start(l, err) : st;
    if (st != FM_OK) {
        fm__stages_source(p, index, false);
        pthread_mutex_lock(&l->lock);
        l->closed = true; // for who asks for its state
        pthread_mutex_unlock(&l->lock);
        fm__pipeline_leave(p, l);
    }
    return st;
}

void fm__pipeline_remove(fm_pipeline *p, size_t index)
{
    atomic_store(&p->lanes[index].interrupt, true);
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->changed); // who paces or pauses looks at it
    pthread_mutex_unlock(&p->lock);
}

void fm__pipeline_pause(fm_pipeline *p, size_t index, bool paused)
{
    atomic_store(&p->lanes[index].paused, paused);
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

bool fm__pipeline_wait_gone(fm_pipeline *p, size_t index, int64_t deadline_ns)
{
    const lane *l = &p->lanes[index];
    pthread_mutex_lock(&p->lock);
    while (l->taken && !l->gone && fm__cond_wait_until(&p->changed, &p->lock, deadline_ns)) {
    }
    bool gone = !l->taken || l->gone;
    pthread_mutex_unlock(&p->lock);
    return gone;
}
