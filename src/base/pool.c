// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The counts of pools: relaxed atomics, a cache line a pool, as those of modules in alloc.c. A reader sees
// each number as it was at some moment, not all of them as they were at the same one.

#include "base/pool.h"

#include <framemill/memory.h>

#include <stdatomic.h>

typedef struct counts {
    _Alignas(64) atomic_uint_fast64_t bytes;
    atomic_uint_fast64_t peak;
    atomic_uint_fast64_t made; // blocks, ever
    atomic_uint_fast64_t in_use;
    atomic_uint_fast64_t resting;
} counts;

static counts pools[FM_POOL_COUNT];

static const struct {
    const char *name;
    fm_tag tag;
    bool refers;
} kinds[FM_POOL_COUNT] = {
#define POOL_KIND(name, tag, text, refers) {text, FM_TAG_##tag, refers},
    FM_POOL_LIST(POOL_KIND)
#undef POOL_KIND
};

static void add(atomic_uint_fast64_t *n, uint64_t by)
{
    atomic_fetch_add_explicit(n, by, memory_order_relaxed);
}

static void take(atomic_uint_fast64_t *n, uint64_t by)
{
    atomic_fetch_sub_explicit(n, by, memory_order_relaxed);
}

static uint64_t get(const atomic_uint_fast64_t *n)
{
    return atomic_load_explicit(n, memory_order_relaxed);
}

static void add_bytes(counts *c, size_t bytes)
{
    uint_fast64_t now = atomic_fetch_add_explicit(&c->bytes, bytes, memory_order_relaxed) + bytes;
    uint_fast64_t peak = get(&c->peak);
    while (now > peak && !atomic_compare_exchange_weak_explicit(
                             &c->peak, &peak, now, memory_order_relaxed, memory_order_relaxed)) {
    }
}

void fm__pool_made(fm_pool_kind pool, size_t bytes)
{
    counts *c = &pools[pool];
    add(&c->made, 1);
    add(&c->in_use, 1);
    add_bytes(c, bytes);
}

void fm__pool_rests(fm_pool_kind pool)
{
    add(&pools[pool].resting, 1);
    take(&pools[pool].in_use, 1);
}

void fm__pool_used(fm_pool_kind pool)
{
    add(&pools[pool].in_use, 1);
    take(&pools[pool].resting, 1);
}

void fm__pool_gone(fm_pool_kind pool, size_t bytes, bool was_free)
{
    counts *c = &pools[pool];
    take(was_free ? &c->resting : &c->in_use, 1);
    take(&c->bytes, bytes);
}

void fm__pool_resized(fm_pool_kind pool, size_t from, size_t to)
{
    if (to > from) {
        add_bytes(&pools[pool], to - from);
    } else {
        take(&pools[pool].bytes, from - to);
    }
}

size_t fm_memory_pools(fm_memory_pool *out, size_t cap)
{
    size_t n = 0;
    for (int i = 0; i < FM_POOL_COUNT; i++) {
        const counts *c = &pools[i];
        if (get(&c->made) == 0) {
            continue;
        }
        if (n < cap) {
            out[n] = (fm_memory_pool){
                .name = kinds[i].name,
                .module = fm__tag_name(kinds[i].tag),
                .current_bytes = get(&c->bytes),
                .peak_bytes = get(&c->peak),
                .blocks = get(&c->made),
                .in_use = get(&c->in_use),
                .resting = get(&c->resting),
                .refers = kinds[i].refers,
            };
        }
        n++;
    }
    return n;
}
