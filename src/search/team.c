// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Threads that stay, and a loop at a time for them. Parts are taken from a counter, so a thread that the
// system holds up costs no more than the part it is at.

#include "search/team.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/thread.h"

#include <stdatomic.h>
#include <stdbool.h>

typedef struct member {
    fm__team *team;
    pthread_t thread;
    int number;
} member;

struct fm__team {
    // immutable after new
    int size;
    member members[FM_TEAM_MAX]; // [0] is the caller
    pthread_mutex_t turn;        // held by the caller whose loop runs; taken before lock
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    // protected by lock
    fm__team_fn *fn;
    void *opaque;
    size_t count;
    unsigned long round; // of the loop under way
    int busy;            // members that have not finished it
    bool stop;
    // shared
    atomic_size_t next;
};

static void take_parts(fm__team *t, fm__team_fn *fn, void *opaque, size_t count, int number)
{
    for (;;) {
        size_t i =
            atomic_fetch_add_explicit(&t->next, 1, memory_order_relaxed); // parts depend on nothing else
        if (i >= count) {
            return;
        }
        fn(opaque, i, number);
    }
}

static void *work(void *arg)
{
    member *m = arg;
    fm__team *t = m->team;
    unsigned long seen = 0;
    pthread_mutex_lock(&t->lock);
    for (;;) {
        while (!t->stop && t->round == seen) {
            pthread_cond_wait(&t->wake, &t->lock);
        }
        if (t->stop) {
            break;
        }
        seen = t->round;
        fm__team_fn *fn = t->fn;
        void *opaque = t->opaque;
        size_t count = t->count;
        pthread_mutex_unlock(&t->lock);
        take_parts(t, fn, opaque, count, m->number);
        pthread_mutex_lock(&t->lock);
        if (--t->busy == 0) {
            pthread_cond_signal(&t->done);
        }
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

fm_status fm__team_new(int size, fm__team **out, fm_error *err)
{
    size = size > 0 ? size : fm__cpu_count();
    size = size > FM_TEAM_MAX ? FM_TEAM_MAX : size;
    fm__team *t = fm__calloc(FM_TAG_SEARCH, sizeof(*t));
    if (!t) {
        return fm__fail_nomem(err, "the threads of a search");
    }
    pthread_mutex_init(&t->turn, NULL);
    pthread_mutex_init(&t->lock, NULL);
    fm__cond_init(&t->wake);
    fm__cond_init(&t->done);
    for (t->size = 1; t->size < size; t->size++) {
        member *m = &t->members[t->size];
        *m = (member){.team = t, .number = t->size};
        fm_status st = fm__thread_start(&m->thread, "fm-search", work, m, err);
        if (st != FM_OK) {
            fm__team_free(&t);
            return st;
        }
    }
    *out = t;
    return FM_OK;
}

void fm__team_free(fm__team **team)
{
    fm__team *t = team ? *team : NULL;
    if (!t) {
        return;
    }
    pthread_mutex_lock(&t->lock);
    t->stop = true;
    pthread_cond_broadcast(&t->wake);
    pthread_mutex_unlock(&t->lock);
    for (int i = 1; i < t->size; i++) {
        pthread_join(t->members[i].thread, NULL);
    }
    pthread_cond_destroy(&t->wake);
    pthread_cond_destroy(&t->done);
    pthread_mutex_destroy(&t->lock);
    pthread_mutex_destroy(&t->turn);
    fm__free(t);
    *team = NULL;
}

int fm__team_size(const fm__team *team)
{
    return team->size;
}

void fm__team_run(fm__team *t, size_t count, fm__team_fn *fn, void *opaque)
{
    pthread_mutex_lock(&t->turn);
    bool together = t->size > 1 && count > 1;
    atomic_store(&t->next, 0);
    if (together) {
        pthread_mutex_lock(&t->lock);
        t->fn = fn;
        t->opaque = opaque;
        t->count = count;
        t->busy = t->size - 1;
        t->round++;
        pthread_cond_broadcast(&t->wake);
        pthread_mutex_unlock(&t->lock);
    }
    take_parts(t, fn, opaque, count, 0);
    if (together) {
        pthread_mutex_lock(&t->lock);
        while (t->busy > 0) {
            pthread_cond_wait(&t->done, &t->lock);
        }
        pthread_mutex_unlock(&t->lock);
    }
    pthread_mutex_unlock(&t->turn);
}
