// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** FAISS behind a C header (Johnson, Douze, Jegou: Billion-scale similarity search with GPUs, 2017): the flat
 *  index that the exact scan is measured against, the graph (HNSW: Malkov, Yashunin 2018) that graph.h is,
 * and inverted lists (IVF). A peer for tests and bench/: searches go through index.h and near.h. Distances
 * are squared L2; give vectors of length 1 for cosine. */
#ifndef FM_SEARCH_FAISS_H
#define FM_SEARCH_FAISS_H

#include <framemill/status.h>

#include <stddef.h>
#include <stdint.h>

FM_BEGIN_DECLS

typedef enum fm__faiss_kind { FM_FAISS_FLAT, FM_FAISS_HNSW, FM_FAISS_IVF } fm__faiss_kind;

typedef struct fm__faiss_opts {
    fm__faiss_kind kind;
    int dim;
    int links;         // HNSW: M, 0: 32
    int build_effort;  // HNSW: efConstruction, 0: 80
    int search_effort; // HNSW: efSearch, 0: 64; IVF: lists looked at, 0: 16
    int lists;         // IVF, 0: 4 sqrt(n) of the first vectors added
    int threads;       // 0: as FAISS likes
} fm__faiss_opts;

typedef struct fm__faiss fm__faiss;

/** "1.7.3", or "" where it was built without: fm__faiss_new is UNSUPPORTED then. */
const char *fm__faiss_version(void);

fm_status fm__faiss_new(const fm__faiss_opts *opts, fm__faiss **out, fm_error *err) FM_MUST_USE;
void fm__faiss_free(fm__faiss **index);
/** IVF learns its lists from the first vectors added: give it many. @param vectors  [n][dim], finite */
fm_status fm__faiss_add(
    fm__faiss *index, const int64_t *ids, const float *vectors, size_t n, fm_error *err) FM_MUST_USE;
/** As opts.search_effort; not side by side with searches. IVF: once its lists are learnt. */
void fm__faiss_set_effort(fm__faiss *index, int effort);
size_t fm__faiss_count(const fm__faiss *index);
/** @param ids, distances  [nq][k]; id -1 where nothing more was found. Searches may run side by side. */
fm_status fm__faiss_search(fm__faiss *index, const float *queries, size_t nq, size_t k, int64_t *ids,
    float *distances, fm_error *err) FM_MUST_USE;

FM_END_DECLS

#endif
