// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** An index inside: shared by index.c (what it does) and index_file.c (how it lies in files). */
#ifndef FM_SEARCH_INDEX_PRIVATE_H
#define FM_SEARCH_INDEX_PRIVATE_H

#include "search/block.h"
#include "search/index.h"
#include "search/team.h"

#include <pthread.h>

struct fm__index {
    // immutable after open
    fm__index_opts opts;
    char *path, *dead_path; // NULL: in memory only
    fm__block_layout layout;
    fm__team *team;
    fm_cpu_level cpu;
    fm__scan_level level;
    // Lock order: change, then state. A change holds `change` throughout and `state` for writing while it
    // alters what a search sees; a search holds `state` for reading.
    pthread_mutex_t change;
    pthread_rwlock_t state;
    // protected by state
    fm__block **blocks; // all full but the last
    size_t block_count, block_cap;
    size_t alive, buried;
    int64_t last_id;
    // protected by change
    int fd;             // -1: no file yet
    uint64_t sequence;  // of the newest header
    size_t saved_count; // vectors that it names
    int64_t saved_last_id;
    bool dead_is_dirty;
};

/** Adds one more block to the list, which takes ownership. */
fm_status fm__index_add_block(fm__index *index, fm__block *block, fm_error *err) FM_MUST_USE;
void fm__index_drop_blocks(fm__index *index);
/** The block and slot of an id; false when it is not there or buried. FORMAT when a block on the way is
 * damaged. */
fm_status fm__index_find(
    fm__index *index, int64_t id, size_t *block, size_t *slot, bool *found, fm_error *err) FM_MUST_USE;
/** Buries what is found of a list; `state` is held for writing. */
fm_status fm__index_bury(
    fm__index *index, const int64_t *ids, size_t n, size_t *removed, fm_error *err) FM_MUST_USE;
fm_status fm__index_damaged(const fm__index *index, size_t block, fm_error *err);

/** Opens the file where there is one and takes its blocks on. */
fm_status fm__index_load(fm__index *index, fm_error *err) FM_MUST_USE;
/** `change` is held. */
fm_status fm__index_write(fm__index *index, fm_error *err) FM_MUST_USE;
void fm__index_free_block(fm__index *index, fm__block **block);

#endif
