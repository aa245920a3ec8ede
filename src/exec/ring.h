// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** One source's queue of items: bounded by number and bytes, no lock of its own (the executor's guards it).
 * The first item always fits, however large: a bound that nothing passes would stop the source for ever. */
#ifndef FM_EXEC_RING_H
#define FM_EXEC_RING_H

#include "base/pool.h"
#include "exec/executor.h"

typedef struct fm_ring {
    fm_item *head, *tail;
    int count;
    int passing; // of them, items that pass
    size_t bytes;
    // immutable after the first push
    fm_ring_policy policy;
    int max_items;
    size_t max_bytes;
} fm_ring;

static inline bool fm__ring_full(const fm_ring *r, size_t more_bytes)
{
    return r->count > 0 && (r->count >= r->max_items || r->bytes + more_bytes > r->max_bytes);
}

static inline void fm__ring_put(fm_ring *r, fm_item *item)
{
    item->next = NULL;
    if (r->tail) {
        r->tail->next = item;
    } else {
        r->head = item;
    }
    r->tail = item;
    r->count++;
    r->passing += item->passes;
    r->bytes += item->bytes;
    fm__pool_made(FM_POOL_RINGS, item->bytes);
}

static inline fm_item *fm__ring_take(fm_ring *r)
{
    fm_item *item = r->head;
    if (item) {
        r->head = item->next;
        r->tail = r->head ? r->tail : NULL;
        r->count--;
        r->passing -= item->passes;
        r->bytes -= item->bytes;
        fm__pool_gone(FM_POOL_RINGS, item->bytes, false);
        item->next = NULL;
    }
    return item;
}

#endif
