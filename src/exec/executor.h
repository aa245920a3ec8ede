// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Ring, batcher and slots: items from many sources become batches, run through one network, and come back.
 *
 *  Each source has a bounded ring. Workers (threads) take items round robin over the sources, prepare their
 * rows, start an inference on an idle slot, and on its completion hand every item back, exactly once, on
 * every path: success, failed start, failed inference, cancel, stop. Without a net the executor passes items
 * straight through (detectors that work in the stream thread, or none). */
#ifndef FM_EXEC_EXECUTOR_H
#define FM_EXEC_EXECUTOR_H

#include "base/profile.h"
#include "exec/turns.h"
#include "infer/infer.h"

#include <framemill/log.h>
#include <framemill/status.h>

#include <stdbool.h>
#include <stdint.h>

typedef struct fm_executor fm_executor;

/** Intrusive part of whatever is processed. */
typedef struct fm_item fm_item;
struct fm_item {
    fm_item *next;
    int source;
    size_t bytes;       // for the ring's byte bound
    bool passes;        // keeps its place in the order, but no network sees it: completes without prepare
    int64_t queued_ns;  // set by push
    int64_t taken_ns;   // set when a batch took it
    uint64_t ticket;    // set when taken: 0, 1, 2, ... in queue order within its source
    int64_t infer_ns;   // set before decode: how long its inference took
    int batch_rows;     // set before decode: how many items shared the inference
    int64_t started_ns; // set before decode: when their inference began, and in which slot
    int slot;
};

typedef enum fm_ring_policy {
    FM_RING_BLOCK,       // push waits: every item is processed
    FM_RING_DROP_OLDEST, // push never waits: the oldest queued item is handed to `dropped`
} fm_ring_policy;

typedef struct fm_executor_ops {
    /** Writes the item's row of the batch tensor. worker: 0..workers-1, for scratch. A failure takes this
     * item out of the batch's results only. */
    fm_status (*prepare)(fm_item *item, fm_tensor row, int worker, void *opaque, fm_error *err);
    /** Reads the item's row of the outputs. */
    fm_status (*decode)(
        fm_item *item, const fm_tensor *outs, size_t n, int64_t row, int worker, void *opaque, fm_error *err);
    /** The item's end: OK, or why it has no result (CANCELED on stop without drain or dropped). Called
     * without a lock, exactly once an item. */
    void (*complete)(fm_item *item, fm_status status, const fm_error *err, void *opaque);
    /** A live source's oldest item was dropped to make room (its end, instead of complete). */
    void (*dropped)(fm_item *item, void *opaque);
    void *opaque;
} fm_executor_ops;

typedef struct fm_executor_opts {
    fm_net *net;              // NULL: pass through
    int sources;              // number of sources, fixed
    int workers;              // threads that prepare and decode; 0: from cores
    int64_t batch_timeout_ns; // upper bound of waiting for a fuller batch, from the batch's first item
    int64_t latency_goal_ns;  // from push to the end of the inference, for batches to follow; 0: none
    int max_in_flight;   // items of one source taken but not released, so that a slow consumer holds up only
                         // itself
    fm_profile *profile; // of its workers and pushes, outlives it; NULL: none
    fm_turns *turns;     // shared with other executors, outlives them; NULL: every idle slot may run
    const fm_log *log;
} fm_executor_opts;

typedef struct fm_executor_stats {
    uint64_t batches, items, failed_batches;
} fm_executor_stats;

fm_status fm__executor_new(
    const fm_executor_opts *opts, const fm_executor_ops *ops, fm_executor **out, fm_error *err) FM_MUST_USE;
/** Threads that an executor with these options has, for scratch that is kept by worker. */
int fm__executor_workers(const fm_executor_opts *opts);
/** Configures a source's ring before its first push. */
void fm__executor_source(fm_executor *x, int source, fm_ring_policy policy, int max_items, size_t max_bytes);
/** The source begins anew: its tickets count from 0 again. Only when it has ended, or never began, and none
 * of its items is on its way. */
void fm__executor_reopen(fm_executor *x, int source);
/** Takes the item (ownership moves) or returns CANCELED (it stays the caller's). Blocks by policy. One thread
 * a source. */
fm_status fm__executor_push(fm_executor *x, fm_item *item);
/** Items of one source at once: as far as the ring has room no batch is formed before all are in it.
 *  @return how many were taken, in order; fewer than n after a stop. */
size_t fm__executor_push_all(fm_executor *x, fm_item *const *items, size_t n);
/** The source will push no more; its queued items are still processed. */
void fm__executor_end(fm_executor *x, int source);
/** The consumer is done with one completed item of this source (see max_in_flight). Any thread. */
void fm__executor_release(fm_executor *x, int source);
/** Queue depth of a source now. */
int fm__executor_depth(fm_executor *x, int source);
/** Stops: with drain all that is queued is still processed, else it completes with CANCELED; pushes return
 * CANCELED. Joins the workers. Idempotent. */
void fm__executor_stop(fm_executor *x, bool drain);
void fm__executor_stats(fm_executor *x, fm_executor_stats *out);
void fm__executor_free(fm_executor **x);

#endif
