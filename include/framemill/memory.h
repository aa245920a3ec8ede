// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Memory taken through framemill's own allocator, by module. Third-party libraries are not counted here. */
#ifndef FRAMEMILL_MEMORY_H
#define FRAMEMILL_MEMORY_H

#include <framemill/api.h>
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

FM_END_DECLS

#endif
