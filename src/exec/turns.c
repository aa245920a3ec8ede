// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A count of free turns, and a flag a taker. Taking is one compare-and-swap, so that it may happen under the
// taker's own lock; giving back looks for flags under the lock of the list, and wakes through the taker's
// lock. Lock order: turns.lock, then a taker's. No wake-up is lost: a taker raises its flag before it looks
// at the count, a giver raises the count before it looks at the flags, both in one order (seq_cst).

#include "exec/turns.h"

#include "base/alloc.h"
#include "base/error.h"

#include <assert.h>
#include <pthread.h>

enum { MOST_TAKERS = 8 };

struct fm_turns {
    atomic_int free;
    pthread_mutex_t lock;
    // protected by lock
    fm_turn_taker *takers[MOST_TAKERS];
    int count;
};

fm_status fm__turns_new(int count, fm_turns **out, fm_error *err)
{
    fm_turns *t = fm__calloc(FM_TAG_EXEC, sizeof(*t));
    if (!t) {
        return fm__fail_nomem(err, "turns");
    }
    atomic_init(&t->free, count < 1 ? 1 : count);
    pthread_mutex_init(&t->lock, NULL);
    *out = t;
    return FM_OK;
}

void fm__turns_free(fm_turns **turns)
{
    if (*turns) {
        assert((*turns)->count == 0);
        pthread_mutex_destroy(&(*turns)->lock);
        fm__free(*turns);
        *turns = NULL;
    }
}

void fm__turns_join(fm_turns *t, fm_turn_taker *taker)
{
    pthread_mutex_lock(&t->lock);
    assert(t->count < MOST_TAKERS);
    t->takers[t->count++] = taker;
    pthread_mutex_unlock(&t->lock);
}

void fm__turns_leave(fm_turns *t, fm_turn_taker *taker)
{
    pthread_mutex_lock(&t->lock);
    for (int i = 0; i < t->count; i++) {
        if (t->takers[i] == taker) {
            t->takers[i] = t->takers[--t->count];
            break;
        }
    }
    pthread_mutex_unlock(&t->lock);
}

bool fm__turns_take(fm_turns *t, fm_turn_taker *taker)
{
    atomic_store(&taker->waits, true);
    int n = atomic_load(&t->free);
    while (n > 0) {
        if (atomic_compare_exchange_weak(&t->free, &n, n - 1)) {
            atomic_store(&taker->waits, false);
            return true;
        }
    }
    return false;
}

void fm__turns_give(fm_turns *t)
{
    atomic_fetch_add(&t->free, 1);
    pthread_mutex_lock(&t->lock);
    for (int i = 0; i < t->count; i++) {
        if (atomic_load(&t->takers[i]->waits)) {
            t->takers[i]->wake(t->takers[i]->opaque);
        }
    }
    pthread_mutex_unlock(&t->lock);
}
