// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** An index inside: shared by index.c (what it holds), index_search.c (how it is searched),
 *  index_file.c (how it lies in files) and near.c (the graph beside it). */
#ifndef FM_SEARCH_INDEX_PRIVATE_H
#define FM_SEARCH_INDEX_PRIVATE_H

#include "search/block.h"
#include "search/flat.h"
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
    size_t generation; // rises when vectors change their places
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
/** Is it a vector that can be kept or asked for? What and number are for the error. */
fm_status fm__index_check_vector(
    const fm__index *index, const float *v, const char *what, size_t number, fm_error *err) FM_MUST_USE;
/** As it is kept and compared: of length 1 for cosine. */
void fm__index_copy_vector(const fm__index *index, const float *v, float *out);

/** What of a list of ids is there: places, and the same as a bit a slot. */
typedef struct fm__narrowed {
    fm__place *places;
    uint16_t *bits; // [block_count * FM_BLOCK_PANELS]
    size_t count;
} fm__narrowed;
/** `state` is held; what is in *out is the caller's on failure, too: fm__narrowed_done. */
fm_status fm__index_narrow(
    fm__index *index, const int64_t *allowed, size_t n, fm__narrowed *out, fm_error *err) FM_MUST_USE;
void fm__narrowed_done(fm__narrowed *narrowed);
/** Queries as they are compared, in rows of the layout's stride, zeros behind. Free with fm__free. */
fm_status fm__index_prepare(
    const fm__index *index, const float *queries, size_t nq, float **out, fm_error *err) FM_MUST_USE;
/** The exact scan from block `first` on; squared distances. `state` is held.
 *  @param narrowed  NULL: all that are alive */
fm_status fm__index_scan(fm__index *index, const float *rows, size_t nq, size_t k,
    const fm__narrowed *narrowed, size_t first, fm__hit *hits, size_t *counts, fm_error *err) FM_MUST_USE;
/** Squared distances to those of the metric. Of vectors of length 1: |a - b|^2 = 2 - 2 a.b */
void fm__index_finish(const fm__index *index, size_t nq, size_t k, fm__hit *hits, const size_t *counts);

fm_status fm__index_damaged(const fm__index *index, size_t block, fm_error *err);

/** Opens the file where there is one and takes its blocks on. */
fm_status fm__index_load(fm__index *index, fm_error *err) FM_MUST_USE;
/** `change` is held. */
fm_status fm__index_write(fm__index *index, fm_error *err) FM_MUST_USE;
void fm__index_free_block(fm__index *index, fm__block **block);

#endif
