// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The vector index of one model's features, as new as the database.
 *
 *  The file is derived: what the database has above its last id is appended, what the database no longer has
 * is buried, and a file that is damaged, or says more than the database, is made anew. One process at a time
 * may write it (path + ".lock"); others read it as it is and keep what is newer in memory.
 *
 *  The graph (path + ".graph") is derived from the file, and made or extended by fm__vectors_link alone: it
 * takes minutes where the file takes seconds. A search that asks for it and finds it missing, damaged or of
 * an older file says so in the log, and is exact. */
#ifndef FM_STORE_VECTORS_H
#define FM_STORE_VECTORS_H

#include "search/index.h"
#include "search/near.h"

#include <framemill/log.h>

#include <sqlite3.h>

typedef struct fm__vectors fm__vectors;

typedef struct fm__vectors_opts {
    const char *path; // of the index file; NULL: in memory
    const char *model, *kind;
    int dim;
    int threads;
    bool approx;       // search through the graph beside the file, where there is one
    const fm_log *log; // may be NULL
} fm__vectors_opts;

fm_status fm__vectors_open(
    sqlite3 *db, const fm__vectors_opts *opts, fm__vectors **out, fm_error *err) FM_MUST_USE;
/** Brings it up to date with what the connection sees now. */
fm_status fm__vectors_update(fm__vectors *v, sqlite3 *db, fm_error *err) FM_MUST_USE;
/** Accepts NULL. */
void fm__vectors_close(fm__vectors **v);
/** As fm__index_search, cosine distance, after fm__vectors_open or _update on the same snapshot.
 *  @param exact  may be NULL: nothing but the exact scan answered */
fm_status fm__vectors_search(fm__vectors *v, const float *queries, size_t nq, size_t k,
    const int64_t *allowed, size_t allowed_count, fm__hit *hits, size_t *counts, bool *exact,
    fm_error *err) FM_MUST_USE;
size_t fm__vectors_count(fm__vectors *v);
/** May it write the file? Else another process does, or the folder cannot be written. */
bool fm__vectors_is_writer(const fm__vectors *v);
/** Brings the graph up to date with the file, or makes it, and writes it. The writer's to call. CANCELED:
 * go_on said so, and nothing is written.
 *  @param in_graph  vectors that it holds now */
fm_status fm__vectors_link(
    fm__vectors *v, fm__graph_go_on *go_on, void *opaque, size_t *in_graph, fm_error *err) FM_MUST_USE;

#endif
