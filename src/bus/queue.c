// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The queue in memory: one block that never grows past what the largest record needs. Where it is full, the
// oldest records go, a quarter of the block at a time, so that moving the rest costs little for each.

#include "base/alloc.h"
#include "bus/private.h"

#include <string.h>

#define QUEUE_BYTES ((size_t)4 << 20)

bool fm__queue_init(record_queue *q)
{
    return fm__grow(FM_TAG_BUS, (void **)&q->data, &q->cap, QUEUE_BYTES, 1);
}

void fm__queue_done(record_queue *q)
{
    fm__free(q->data);
    *q = (record_queue){0};
}

static size_t first_size(const record_queue *q)
{
    fm_record r;
    size_t used = 0, damaged;
    (void)fm__record_next(q->data + q->head, q->len - q->head, &r, &used, &damaged); // our own: whole
    return used;
}

static void to_front(record_queue *q)
{
    memmove(q->data, q->data + q->head, q->len - q->head);
    q->len -= q->head;
    q->head = 0;
}

uint64_t fm__queue_reserve(record_queue *q, size_t size)
{
    uint64_t dropped = 0;
    if (q->len + size <= q->cap) {
        return 0;
    }
    size_t room = q->cap / 4 > size ? q->cap / 4 : size;
    while (q->head < q->len && q->len - q->head + room > q->cap) {
        q->head += first_size(q);
        q->count--;
        dropped++;
    }
    to_front(q);
    // A record that the empty block cannot hold; without memory for it the caller drops it.
    if (size > q->cap && !fm__grow(FM_TAG_BUS, (void **)&q->data, &q->cap, size, 1)) {
        return dropped;
    }
    return dropped;
}

void fm__queue_take(record_queue *q, size_t n)
{
    for (size_t done = 0; done < n; q->count--) {
        size_t used = first_size(q);
        q->head += used;
        done += used;
    }
    if (q->head == q->len) {
        q->head = q->len = 0;
    }
}
