// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A ring of results under one lock. Whoever puts waits for room, and so does all that stands behind it: a
// slow taker is felt by decoders, not by memory.

#include "app/result_queue.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/thread.h"

#include <pthread.h>

struct fm__result_queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t cap; // immutable after new
    // protected by lock
    fm_result **ring; // [cap]
    size_t head, count;
    bool ended, closed;
    fm_error lost; // status OK: none
};

fm_status fm__result_queue_new(size_t cap, fm__result_queue **out, fm_error *err)
{
    fm__result_queue *q = fm__calloc(FM_TAG_APP, sizeof(*q));
    fm_result **ring = fm__calloc_array(FM_TAG_APP, cap, sizeof(*q->ring));
    if (!q || !ring) {
        fm__free(q);
        fm__free(ring);
        return fm__fail_nomem(err, "a queue of results");
    }
    *q = (fm__result_queue){.cap = cap, .ring = ring};
    pthread_mutex_init(&q->lock, NULL);
    fm__cond_init(&q->changed);
    *out = q;
    return FM_OK;
}

void fm__result_queue_free(fm__result_queue **queue)
{
    fm__result_queue *q = *queue;
    if (!q) {
        return;
    }
    *queue = NULL;
    for (size_t i = 0; i < q->count; i++) {
        fm_result_free(&q->ring[(q->head + i) % q->cap]);
    }
    pthread_cond_destroy(&q->changed);
    pthread_mutex_destroy(&q->lock);
    fm__free(q->ring);
    fm__free(q);
}

void fm__result_queue_put(fm__result_queue *q, const fm_result *result)
{
    fm_result *own = NULL;
    fm_error err = {0};
    fm_status st = fm_result_dup(result, &own, &err);
    pthread_mutex_lock(&q->lock);
    while (q->count == q->cap && !q->closed) {
        pthread_cond_wait(&q->changed, &q->lock);
    }
    if (st != FM_OK) {
        q->lost = err;
    } else if (!q->closed) {
        q->ring[(q->head + q->count++) % q->cap] = own;
        own = NULL;
    }
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->lock);
    fm_result_free(&own);
}

static void set(fm__result_queue *q, bool *flag)
{
    pthread_mutex_lock(&q->lock);
    *flag = true;
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->lock);
}

void fm__result_queue_end(fm__result_queue *q)
{
    set(q, &q->ended);
}

void fm__result_queue_close(fm__result_queue *q)
{
    set(q, &q->closed);
}

// Lock held. False: the time has passed.
static bool wait_for_one(fm__result_queue *q, int timeout_ms)
{
    int64_t deadline = fm__now_ns() + timeout_ms * FM_NS_PER_MS;
    while (q->count == 0 && !q->ended && q->lost.status == FM_OK) {
        if (timeout_ms < 0) {
            pthread_cond_wait(&q->changed, &q->lock);
        } else if (!fm__cond_wait_until(&q->changed, &q->lock, deadline)) {
            return q->count > 0 || q->ended;
        }
    }
    return true;
}

fm_status fm__result_queue_take(fm__result_queue *q, int timeout_ms, fm_result **out, fm_error *err)
{
    pthread_mutex_lock(&q->lock);
    fm_status st = wait_for_one(q, timeout_ms) ? FM_EOF : FM_AGAIN;
    if (q->count > 0) {
        *out = q->ring[q->head];
        q->head = (q->head + 1) % q->cap;
        q->count--;
        st = FM_OK;
        pthread_cond_broadcast(&q->changed);
    } else if (q->lost.status != FM_OK) {
        st = q->lost.status;
        if (err) {
            *err = q->lost;
        }
        q->lost.status = FM_OK;
    }
    pthread_mutex_unlock(&q->lock);
    return st;
}
