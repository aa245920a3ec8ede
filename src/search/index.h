// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** A vector index in a file: features by id, found by nearness.
 *
 *  An index is derived data. The features themselves live in the store's database; the index holds a copy
 * laid out for scanning and says how far it got: bring it up to date by appending what has an id above
 *  fm__index_last_id(), drop what the database no longer has with fm__index_remove() or fm__index_keep(), and
 *  make it anew (opts.fresh) when opening or searching it says FORMAT. The answers are exact: the k nearest
 * by distances summed in float in one fixed order (ops/scan.h), ties by the smaller id, the same on any
 * machine and with any number of threads.
 *
 *  Blocks are mapped, not read: opening costs the same for any size. A block's checksum is looked at when the
 *  block is first used, a vector's when it is first compared, so damage is found before it can answer.
 *
 *  All functions may be called from any thread; searches run side by side, changes wait for them. One process
 *  at a time may change a file: that is the caller's to see to (the store's lock). */
#ifndef FM_SEARCH_INDEX_H
#define FM_SEARCH_INDEX_H

#include <framemill/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FM_INDEX_MAX_DIM 16384
#define FM_INDEX_MAX_K 65536

typedef enum fm_metric {
    FM_METRIC_L2 = 0, // distance: the sum of squared differences, as FAISS's IndexFlatL2 gives it
    FM_METRIC_COSINE =
        1, // distance: 1 - cosine, 0..2; vectors are kept at length 1; a zero vector is refused
} fm_metric;

typedef struct fm__index_opts {
    int dim; // 1..FM_INDEX_MAX_DIM
    fm_metric metric;
    int threads;    // of one search, the caller's among them; 0: as many as there are cores
    bool fresh;     // start empty; what was in the file goes with the first save
    bool read_only; // the file is not made or changed; append, remove, keep and save are INVAL
} fm__index_opts;

typedef struct fm__hit {
    int64_t id;
    float distance;
} fm__hit;

typedef struct fm__index fm__index;

/** @param path  the index file; beside it lies path + ".dead", the ids removed. It is made by the first save
 * when there is none (NOTFOUND when read only). NULL: in memory only. FORMAT when the file is damaged or of
 * another version (make it anew), INVAL when it was made for another dimension or metric. A last block that
 * was being written when its process died is dropped without an error: last_id() is then that of the block
 * before. */
fm_status fm__index_open(
    const char *path, const fm__index_opts *opts, fm__index **out, fm_error *err) FM_MUST_USE;
/** What was not saved is lost. Accepts NULL. */
void fm__index_close(fm__index **index);

/** Adds vectors; they are found at once, and kept by the next save.
 *  @param ids  [n] rising, each above last_id(), positive
 *  @param vectors  [n][dim]; one with a NaN, an infinity or a squared length above 1e36 is INVAL, and then
 * none is added. */
fm_status fm__index_append(
    fm__index *index, const int64_t *ids, const float *vectors, size_t n, fm_error *err) FM_MUST_USE;
/** Buries ids: they are no longer found. Ids that are not there do not matter. Returns how many were buried
 * in *removed (may be NULL). */
fm_status fm__index_remove(
    fm__index *index, const int64_t *ids, size_t n, size_t *removed, fm_error *err) FM_MUST_USE;
/** Buries all that are not in this rising list. */
fm_status fm__index_keep(
    fm__index *index, const int64_t *ids, size_t n, size_t *removed, fm_error *err) FM_MUST_USE;
/** Makes everything so far survive: new blocks are written and synced, then the header that names them. After
 *  a crash in between the index is as it was after the save before, or shorter; never wrong. Buried vectors
 *  are left out for good when they are more than a quarter (the file is written anew and renamed). */
fm_status fm__index_save(fm__index *index, fm_error *err) FM_MUST_USE;

/** The k nearest of each query, nearest first.
 *  @param queries  [nq][dim]; not finite is INVAL
 *  @param k  0..FM_INDEX_MAX_K; fewer are found where there are fewer
 *  @param allowed  NULL: all; else a rising list of ids, of which only those are looked at
 *  @param hits  [nq][k]
 *  @param counts  [nq] hits found of each query
 *  FORMAT names the block that is damaged. */
fm_status fm__index_search(fm__index *index, const float *queries, size_t nq, size_t k,
    const int64_t *allowed, size_t allowed_count, fm__hit *hits, size_t *counts, fm_error *err) FM_MUST_USE;

/** The vector of an id, as kept (cosine: at length 1). NOTFOUND. @param out  [dim] */
fm_status fm__index_get(fm__index *index, int64_t id, float *out, fm_error *err) FM_MUST_USE;
/** The next that can be found above `after`, in order: how everything is walked through.
 *  @param ids  [max]; vectors  [max][dim], or NULL; *count of them are there, fewer than max at the end */
fm_status fm__index_read(fm__index *index, int64_t after, size_t max, int64_t *ids, float *vectors,
    size_t *count, fm_error *err) FM_MUST_USE;
/** Reads everything and checks it; FORMAT names the first damage. */
fm_status fm__index_verify(fm__index *index, fm_error *err) FM_MUST_USE;

size_t fm__index_count(fm__index *index);    // that can be found
int64_t fm__index_last_id(fm__index *index); // the highest id ever appended, 0 when there is none
int fm__index_dim(const fm__index *index);
fm_metric fm__index_metric(const fm__index *index);

#endif
