// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The batcher: which items go next, and whether to wait for more. Holds the rings; no lock of its own.
 *
 *  With a latency goal, batch and wait follow the load: see goal_ns.
 *
 *  Fair: round robin over sources, one item a turn. Work-conserving: what is queued goes to an idle slot at
 * once, unless the measured cost an item says that a fuller batch is worth waiting for; then the batch
 * timeout, counted from the oldest queued item, is the upper bound. */
#ifndef FM_EXEC_BATCHER_H
#define FM_EXEC_BATCHER_H

#include "exec/ring.h"

typedef struct fm_batch_source {
    fm_ring ring;
    bool ended;
    int in_flight;    // taken, not released
    uint64_t tickets; // given out
} fm_batch_source;

typedef struct fm_batcher {
    fm_batch_source *sources;
    int source_count;
    int cursor; // whose turn it is
    int max_in_flight;
    int queued;                    // items in all rings
    fm_item *passed, *passed_tail; // taken together with those of a batch that stood behind them
    int64_t timeout_ns;
    int64_t goal_ns; // from an item's being queued to the end of its inference; 0: none. Nothing waits past
                     // the time at which it could still keep the goal, and a batch is no larger than what
                     // keeps it, unless only a cheaper size keeps up with what comes
    int sizes[FM_NET_MAX_SIZES]; // ascending
    int size_count;
    double cost_ns[FM_NET_MAX_SIZES]; // smoothed inference time an item, 0: not measured yet
    int slots;                        // inferences that may run at a time; 0 counts as 1
    double gap_ns;                    // smoothed time from item to item, as taken; 0: not known yet
    int64_t last_take_ns;
} fm_batcher;

/** How many items the next batch takes now: 0 = none (nothing to do, or waiting pays: *wake_ns is then when
 * to look again, 0 = when something happens). */
int fm__batcher_ready(const fm_batcher *b, int64_t now_ns, bool hurry, int64_t *wake_ns);
/** Takes `n` items as fm__batcher_ready allowed. */
void fm__batcher_take(fm_batcher *b, fm_item **items, int n, int64_t now_ns);
/** Takes one item that passes and has nothing before it, or NULL. */
fm_item *fm__batcher_pass(fm_batcher *b, int64_t now_ns);
/** Takes one item of a source whose ring is not empty, and gives it its ticket. */
fm_item *fm__batcher_take_one(fm_batcher *b, int source);
/** Learns what an inference of `rows` items cost. */
void fm__batcher_learn(fm_batcher *b, int rows, int64_t infer_ns);

#endif
