// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** A graph beside an index, for collections that outgrow an exact scan: nearly always the k nearest (recall
 * 0.95 and more), in a fraction of the time. The index stays what counts: it says who is alive, gives the
 * distances, and answers itself where the graph cannot: for what it does not hold yet, and for filters that
 * leave few. */
#ifndef FM_SEARCH_NEAR_H
#define FM_SEARCH_NEAR_H

#include "search/faiss.h"
#include "search/index.h"

typedef struct fm__near fm__near;

/** @param index  outlives the graph; L2 or cosine
 *  @param opts  dim is taken from the index. UNSUPPORTED without FAISS. */
fm_status fm__near_new(
    fm__index *index, const fm__faiss_opts *opts, fm__near **out, fm_error *err) FM_MUST_USE;
void fm__near_free(fm__near **near);
/** Takes into the graph what the index has and it has not, at most `most` vectors; *more: some remain. When
 * more than a quarter of the graph is buried it is made anew. Not side by side with searches. */
fm_status fm__near_update(fm__near *near, size_t most, bool *more, fm_error *err) FM_MUST_USE;
/** As fm__index_search; every hit is alive and allowed, and its distance is exact. The graph is asked for
 * more and more until k such are found; past a quarter of all, the exact scan answers. */
fm_status fm__near_search(fm__near *near, const float *queries, size_t nq, size_t k, const int64_t *allowed,
    size_t allowed_count, fm__hit *hits, size_t *counts, fm_error *err) FM_MUST_USE;

#endif
