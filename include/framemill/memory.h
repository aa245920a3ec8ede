// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Memory taken through framemill's own allocator, by module and by pool. What third-party libraries take is
 * not counted here: it is the process's resident memory less this. */
#ifndef FRAMEMILL_MEMORY_H
#define FRAMEMILL_MEMORY_H

#include <framemill/api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

FM_BEGIN_DECLS

typedef struct fm_memory_stat {
    const char *module; // static storage
    uint64_t current_bytes;
    uint64_t peak_bytes;
    uint64_t allocations; // since the process started
    uint64_t blocks;      // of them, not given back yet
} fm_memory_stat;

/** Writes up to cap entries (modules that ever allocated) and returns how many there are. Any thread. */
FM_API size_t fm_memory_stats(fm_memory_stat *stats, size_t cap);

/** All pools of a kind together: blocks that are used again and again, or wait in a queue. What is left of
 * one after everything was freed was forgotten. */
typedef struct fm_memory_pool {
    const char *name;   // static storage
    const char *module; // that keeps it
    uint64_t current_bytes;
    uint64_t peak_bytes;
    uint64_t blocks;  // made since the process started
    uint64_t in_use;  // of them, now
    uint64_t resting; // kept to be used again
    bool refers;      // its bytes belong to others and are counted there, too
} fm_memory_pool;

/** Writes up to cap entries (pools that ever had a block) and returns how many there are. Any thread. */
FM_API size_t fm_memory_pools(fm_memory_pool *pools, size_t cap);

FM_END_DECLS

#endif
