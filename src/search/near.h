// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** A graph beside an index, for collections that outgrow an exact scan: nearly all of the k nearest, in a
 *  fraction of the time. The graph proposes, the index decides: who is alive, who is allowed and how far they
 *  are, so the buried and the filtered never show and distances are exact. Where the graph cannot be trusted
 *  to find k, the exact scan answers, and the caller is told.
 *
 *  A graph is derived from an index, which is derived itself. It covers whole blocks; what is newer is
 * scanned. It names the blocks it was made of by their checksums, so it never speaks for another index, nor
 * for this one after its vectors moved (many were buried, and it was written anew): then it is made anew. */
#ifndef FM_SEARCH_NEAR_H
#define FM_SEARCH_NEAR_H

#include "search/graph.h"
#include "search/index.h"

typedef struct fm__near_opts {
    size_t links, build_effort; // fm__graph_opts
    size_t effort;              // nodes kept in view of a search; more finds more; 0: FM_NEAR_EFFORT
} fm__near_opts;
#define FM_NEAR_EFFORT 96

/** How an answer came about; of several queries the last of these that holds for any. */
typedef enum fm__near_how {
    FM_NEAR_GRAPH,   // through the graph
    FM_NEAR_FEW,     // by the exact scan: a filter leaves few, or few of what the graph knows are left
    FM_NEAR_BEHIND,  // by the exact scan: too much is newer than the graph, or it is of an older index
    FM_NEAR_DAMAGED, // by the exact scan: the graph is damaged
} fm__near_how;

typedef struct fm__near fm__near;

/** A graph that holds nothing yet. @param index  outlives it */
fm_status fm__near_new(
    fm__index *index, const fm__near_opts *opts, fm__near **out, fm_error *err) FM_MUST_USE;
/** The graph of a file. NOTFOUND; FORMAT: damaged, or not of this index as it is now. */
fm_status fm__near_open(
    fm__index *index, const char *path, const fm__near_opts *opts, fm__near **out, fm_error *err) FM_MUST_USE;
/** Accepts NULL. */
void fm__near_free(fm__near **near);

/** Links what the index has in whole blocks and the graph has not; anew when vectors changed their places.
 * Not side by side with searches through it; changes of the index wait. On failure the graph is empty.
 *  @param linked  may be NULL: vectors that were linked */
fm_status fm__near_update(
    fm__near *near, fm__graph_go_on *go_on, void *opaque, size_t *linked, fm_error *err) FM_MUST_USE;
fm_status fm__near_save(fm__near *near, const char *path, fm_error *err) FM_MUST_USE;

/** As fm__index_search; nearly always the same hits. @param how  may be NULL */
fm_status fm__near_search(fm__near *near, const float *queries, size_t nq, size_t k, const int64_t *allowed,
    size_t allowed_count, fm__hit *hits, size_t *counts, fm__near_how *how, fm_error *err) FM_MUST_USE;

size_t fm__near_count(const fm__near *near); // vectors in the graph
size_t fm__near_bytes(const fm__near *near);
/** Checks all of the graph; FORMAT says where it is damaged. */
fm_status fm__near_verify(fm__near *near, fm_error *err) FM_MUST_USE;

#endif
