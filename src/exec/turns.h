// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** How many inferences may run at a time over several executors that share the machine's cores. Without it
 * each network keeps as many requests in flight as suit it alone, and the system's scheduler slices the cores
 * among all of them, each slice beginning with a cold cache. Any thread. */
#ifndef FM_EXEC_TURNS_H
#define FM_EXEC_TURNS_H

#include <framemill/status.h>

#include <stdatomic.h>
#include <stdbool.h>

typedef struct fm_turns fm_turns;

/** Whoever takes turns. `wake` is called when one has come free and `waits` is set, without a lock of the
 * waiter's being held; it must lead to another try. */
typedef struct fm_turn_taker {
    void (*wake)(void *opaque);
    void *opaque;
    atomic_bool waits;
} fm_turn_taker;

fm_status fm__turns_new(int count, fm_turns **out, fm_error *err) FM_MUST_USE;
void fm__turns_free(fm_turns **turns);
/** A taker stays until it leaves; at most 8 at a time. */
void fm__turns_join(fm_turns *turns, fm_turn_taker *taker);
void fm__turns_leave(fm_turns *turns, fm_turn_taker *taker);
/** False: none is free, and taker->waits is set. */
bool fm__turns_take(fm_turns *turns, fm_turn_taker *taker) FM_MUST_USE;
/** Gives one back and wakes those that wait. */
void fm__turns_give(fm_turns *turns);

#endif
