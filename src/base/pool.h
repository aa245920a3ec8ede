// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Pools: blocks that are kept and used again and again, or wait in a queue. Who keeps one says here what
 * becomes of its blocks; a report tells, for all pools of a kind together, bytes now and at most, and how
 * many blocks are in use and free. Counting is atomic and takes no lock; like the counters of base/alloc.h
 * these are process-wide and nothing depends on them. */
#ifndef FM_BASE_POOL_H
#define FM_BASE_POOL_H

#include "base/alloc.h"

/** X(NAME, module that keeps it, "name", bytes belong to someone else: the pool only refers to them) */
#define FM_POOL_LIST(X)                                                                                      \
    X(FRAMES, FRAME, "frames", false)           /* pixels of frames that are made here */                    \
    X(TENSORS, INFER, "tensors", false)         /* inputs and outputs of inference slots */                  \
    X(GALLERIES, TRACK, "galleries", false)     /* pages of features that trackers keep */                   \
    X(STORE_QUEUE, STORE, "store queue", false) /* records on their way to the store */                      \
    X(RINGS, EXEC, "rings", true)               /* what waits for a batch: frames, crops */                  \
    X(WORKS, PIPELINE, "works", false)          /* what a frame carries on its way, beside its pixels */     \
    X(SCRATCH, PIPELINE, "scratch", false)      /* of workers */

typedef enum fm_pool_kind {
#define FM_POOL_ENUM(name, tag, text, refers) FM_POOL_##name,
    FM_POOL_LIST(FM_POOL_ENUM)
#undef FM_POOL_ENUM
        FM_POOL_COUNT
} fm_pool_kind;

/** A new block, in use. */
void fm__pool_made(fm_pool_kind pool, size_t bytes);
/** A block in use became free to be used again, and the other way round. */
void fm__pool_rests(fm_pool_kind pool);
void fm__pool_used(fm_pool_kind pool);
/** A block that was in use, or free, is gone. */
void fm__pool_gone(fm_pool_kind pool, size_t bytes, bool was_free);
/** A block's size has changed. */
void fm__pool_resized(fm_pool_kind pool, size_t from, size_t to);

#endif
