// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Counts completions of requests and waits for them: what an executor does with `done`, in small. */
#ifndef FM_TEST_INFER_WAITER_H
#define FM_TEST_INFER_WAITER_H

#include "base/clock.h"
#include "base/thread.h"
#include "infer/infer.h"

#define WAITER_MAX 16

typedef struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int done[WAITER_MAX]; // completions not yet taken, by request
} waiter;

typedef struct waiter_slot {
    waiter *w;
    int index;
} waiter_slot;

static void waiter_init(waiter *w)
{
    *w = (waiter){0};
    pthread_mutex_init(&w->lock, NULL);
    fm__cond_init(&w->cond);
}

static void waiter_done(waiter *w)
{
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->cond);
}

static void waiter_post(void *opaque)
{
    waiter_slot *slot = opaque;
    pthread_mutex_lock(&slot->w->lock);
    slot->w->done[slot->index]++;
    pthread_cond_broadcast(&slot->w->cond);
    pthread_mutex_unlock(&slot->w->lock);
}

// Takes one completion of request `index`, or of any with -1; -1 when none came within a minute.
static inline int waiter_take(waiter *w, int index)
{
    int64_t deadline = fm__now_ns() + 60 * FM_NS_PER_S;
    int found = -1;
    pthread_mutex_lock(&w->lock);
    for (bool in_time = true; found < 0 && in_time;) {
        for (int i = 0; i < WAITER_MAX && found < 0; i++) {
            found = w->done[i] > 0 && (index < 0 || index == i) ? i : -1;
        }
        if (found < 0) {
            in_time = fm__cond_wait_until(&w->cond, &w->lock, deadline);
        }
    }
    if (found >= 0) {
        w->done[found]--;
    }
    pthread_mutex_unlock(&w->lock);
    return found;
}

#endif
