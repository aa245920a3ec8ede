// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Tagged allocator: calloc behind a small header in front of each block that remembers size, tag and where
// the block really starts. Counters are relaxed atomics, one cache line a module, so that counting costs a
// few nanoseconds and never a lock. This file and pool.c hold the only mutable globals of the library: they
// count, and tests may order a failure; no behaviour of the product depends on them.

#include "base/alloc.h"

#include <framemill/memory.h>
#include <framemill/model.h>

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef struct header {
    size_t size;
    uint32_t tag;
    uint32_t offset; // from the start of the malloc block to the user's pointer
} header;

_Static_assert(sizeof(header) == 16, "the header keeps 16-byte alignment");

typedef struct counter {
    _Alignas(64) atomic_uint_fast64_t current;
    atomic_uint_fast64_t peak;
    atomic_uint_fast64_t count;
    atomic_uint_fast64_t blocks; // not freed yet
} counter;

static counter counters[FM_TAG_COUNT];
static atomic_uint_fast64_t fail_at; // 0: off; else allocations left until the failing one
static atomic_bool fail_sticky;

static const char *const tag_names[FM_TAG_COUNT] = {
#define TAG_NAME(name, text) text,
    FM_TAG_LIST(TAG_NAME)
#undef TAG_NAME
};

const char *fm__tag_name(fm_tag tag)
{
    return tag_names[tag];
}

fm_tag fm__tag_find(const char *module)
{
    int i = 0;
    while (i < FM_TAG_COUNT && strcmp(tag_names[i], module) != 0) {
        i++;
    }
    return (fm_tag)i;
}

static bool must_fail(void)
{
    uint_fast64_t left = atomic_load_explicit(&fail_at, memory_order_relaxed);
    while (left > 0) {
        if (left == 1 && atomic_load_explicit(&fail_sticky, memory_order_relaxed)) {
            return true;
        }
        if (atomic_compare_exchange_weak(&fail_at, &left, left - 1)) {
            return left == 1;
        }
    }
    return false;
}

static void count_in(fm_tag tag, size_t size)
{
    counter *c = &counters[tag];
    atomic_fetch_add_explicit(&c->count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&c->blocks, 1, memory_order_relaxed);
    uint_fast64_t now = atomic_fetch_add_explicit(&c->current, size, memory_order_relaxed) + size;
    uint_fast64_t peak = atomic_load_explicit(&c->peak, memory_order_relaxed);
    while (now > peak && !atomic_compare_exchange_weak_explicit(
                             &c->peak, &peak, now, memory_order_relaxed, memory_order_relaxed)) {
    }
}

static header *header_of(void *ptr)
{
    return (header *)ptr - 1;
}

void *fm__calloc_aligned(fm_tag tag, size_t size, size_t align)
{
    assert(align >= 16 && align <= 4096 && (align & (align - 1)) == 0);
    if (size == 0 || size > PTRDIFF_MAX - align - sizeof(header) || must_fail()) {
        return NULL;
    }
    unsigned char *block = calloc(1, size + align - 16 + sizeof(header));
    if (!block) {
        return NULL;
    }
    uintptr_t user = ((uintptr_t)block + sizeof(header) + align - 1) & ~(uintptr_t)(align - 1);
    unsigned char *ptr = block + (user - (uintptr_t)block);
    *header_of(ptr) = (header){.size = size, .tag = (uint32_t)tag, .offset = (uint32_t)(ptr - block)};
    count_in(tag, size);
    return ptr;
}

void *fm__calloc(fm_tag tag, size_t size)
{
    return fm__calloc_aligned(tag, size, 16);
}

void *fm__calloc_array(fm_tag tag, size_t n, size_t size)
{
    size_t bytes;
    return fm__mul_size(n, size, &bytes) ? fm__calloc(tag, bytes) : NULL;
}

void *fm__realloc_array(fm_tag tag, void *old, size_t n, size_t size)
{
    size_t bytes;
    if (!fm__mul_size(n, size, &bytes)) {
        return NULL;
    }
    void *ptr = fm__calloc(tag, bytes);
    if (ptr && old) {
        size_t had = header_of(old)->size;
        memcpy(ptr, old, had < bytes ? had : bytes);
        fm__free(old);
    }
    return ptr;
}

void fm__free(void *ptr)
{
    if (!ptr) {
        return;
    }
    header *h = header_of(ptr);
    atomic_fetch_sub_explicit(&counters[h->tag].current, h->size, memory_order_relaxed);
    atomic_fetch_sub_explicit(&counters[h->tag].blocks, 1, memory_order_relaxed);
    free((unsigned char *)ptr - h->offset);
}

size_t fm__alloc_size(const void *ptr)
{
    return ptr ? ((const header *)ptr - 1)->size : 0;
}

bool fm__grow(fm_tag tag, void **ptr, size_t *cap, size_t want, size_t size)
{
    if (want <= *cap) {
        return true;
    }
    size_t next = *cap < 8 ? 8 : *cap;
    while (next < want) {
        if (next > SIZE_MAX / 2) {
            return false;
        }
        next *= 2;
    }
    void *grown = fm__realloc_array(tag, *ptr, next, size);
    if (!grown) {
        return false;
    }
    *ptr = grown;
    *cap = next;
    return true;
}

bool fm__mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

uint64_t fm__alloc_count(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < FM_TAG_COUNT; i++) {
        sum += atomic_load_explicit(&counters[i].count, memory_order_relaxed);
    }
    return sum;
}

void fm__alloc_fail_at(uint64_t nth, bool sticky)
{
    atomic_store(&fail_sticky, sticky);
    atomic_store(&fail_at, nth);
}

size_t fm_memory_stats(fm_memory_stat *stats, size_t cap)
{
    size_t n = 0;
    for (int i = 0; i < FM_TAG_COUNT; i++) {
        fm_memory_stat s = {
            .module = tag_names[i],
            .current_bytes = atomic_load_explicit(&counters[i].current, memory_order_relaxed),
            .peak_bytes = atomic_load_explicit(&counters[i].peak, memory_order_relaxed),
            .allocations = atomic_load_explicit(&counters[i].count, memory_order_relaxed),
            .blocks = atomic_load_explicit(&counters[i].blocks, memory_order_relaxed),
        };
        if (s.allocations == 0) {
            continue;
        }
        if (n < cap) {
            stats[n] = s;
        }
        n++;
    }
    return n;
}

void fm_free(void *ptr)
{
    fm__free(ptr);
}
