// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Searching through a graph. The graph proposes; what it proposes goes as a list of allowed ids through the
// index, which drops the buried, gives exact distances and breaks ties. So a proposal that is wrong costs
// recall, never a wrong answer.

#include "search/near.h"

#include "base/alloc.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

// Vectors handed to FAISS at once; its threads share them.
#define ADD_AT_ONCE 8192

struct fm__near {
    fm__index *index;
    fm__faiss_opts opts;
    fm__faiss *graph;
    int64_t last_id; // the highest in the graph
};

fm_status fm__near_new(fm__index *index, const fm__faiss_opts *opts, fm__near **out, fm_error *err)
{
    fm__near *n = fm__calloc(FM_TAG_SEARCH, sizeof(*n));
    if (!n) {
        return fm__fail_nomem(err, "a graph");
    }
    n->index = index;
    n->opts = *opts;
    n->opts.dim = fm__index_dim(index);
    fm_status st = fm__faiss_new(&n->opts, &n->graph, err);
    if (st != FM_OK) {
        fm__near_free(&n);
        return st;
    }
    *out = n;
    return FM_OK;
}

void fm__near_free(fm__near **near)
{
    fm__near *n = near ? *near : NULL;
    if (n) {
        fm__faiss_free(&n->graph);
        fm__free(n);
        *near = NULL;
    }
}

// The most that may lie in the index and not in the graph: ids may have gaps.
static size_t behind(fm__near *n)
{
    int64_t last = fm__index_last_id(n->index);
    return last > n->last_id ? (size_t)(last - n->last_id) : 0;
}

static fm_status start_anew(fm__near *n, fm_error *err)
{
    fm__faiss *fresh = NULL;
    fm_status st = fm__faiss_new(&n->opts, &fresh, err);
    if (st == FM_OK) {
        fm__faiss_free(&n->graph);
        n->graph = fresh;
        n->last_id = 0;
    }
    return st;
}

static fm_status add_some(
    fm__near *n, size_t most, int64_t *ids, float *vectors, size_t *count, fm_error *err)
{
    fm_status st = fm__index_read(n->index, n->last_id, most, ids, vectors, count, err);
    st = st == FM_OK ? fm__faiss_add(n->graph, ids, vectors, *count, err) : st;
    if (st == FM_OK && *count > 0) {
        n->last_id = ids[*count - 1];
    }
    return st;
}

fm_status fm__near_update(fm__near *n, size_t most, bool *more, fm_error *err)
{
    size_t in_graph = fm__faiss_count(n->graph), alive = fm__index_count(n->index), count = 1;
    // The buried are those of the graph that the index no longer counts, at the least.
    if (in_graph > alive && in_graph - alive > in_graph / 4) {
        fm_status st = start_anew(n, err);
        if (st != FM_OK) {
            return st;
        }
    }
    size_t at_once = most < ADD_AT_ONCE ? most : ADD_AT_ONCE;
    int64_t *ids = fm__calloc_array(FM_TAG_SEARCH, at_once + 1, sizeof(*ids));
    float *vectors = fm__calloc_array(FM_TAG_SEARCH, (at_once + 1) * (size_t)n->opts.dim, sizeof(*vectors));
    fm_status st = ids && vectors ? FM_OK : fm__fail_nomem(err, "a graph");
    while (st == FM_OK && most > 0 && count > 0) {
        st = add_some(n, most < at_once ? most : at_once, ids, vectors, &count, err);
        most -= count;
    }
    fm__free(ids);
    fm__free(vectors);
    if (st == FM_OK) {
        *more = behind(n) > 0;
    }
    return st;
}

static int by_id(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

// Sorted, without -1 and doubles, and of `allowed` only where there is such a list.
static size_t tidy(int64_t *ids, size_t n, const int64_t *allowed, size_t allowed_count)
{
    size_t kept = 0;
    qsort(ids, n, sizeof(*ids), by_id);
    for (size_t i = 0; i < n; i++) {
        if (ids[i] > 0 && (i == 0 || ids[i] != ids[i - 1]) &&
            (!allowed || bsearch(&ids[i], allowed, allowed_count, sizeof(*allowed), by_id))) {
            ids[kept++] = ids[i];
        }
    }
    return kept;
}

// Adds the ids that the graph does not hold yet. *cap grows.
static fm_status add_tail(fm__near *n, int64_t **ids, size_t *cap, size_t *count, fm_error *err)
{
    for (int64_t after = n->last_id;;) {
        size_t got = 0;
        if (!fm__grow(FM_TAG_SEARCH, (void **)ids, cap, *count + ADD_AT_ONCE, sizeof(**ids))) {
            return fm__fail_nomem(err, "a search");
        }
        fm_status st = fm__index_read(n->index, after, ADD_AT_ONCE, *ids + *count, NULL, &got, err);
        if (st != FM_OK || got == 0) {
            return st;
        }
        *count += got;
        after = (*ids)[*count - 1];
    }
}

typedef struct ask {
    const float *query;
    size_t k;
    const int64_t *allowed;
    size_t allowed_count;
    fm__hit *hits;
    size_t *count;
} ask;

// Asks the graph for `wide`. *enough when k of them are alive and allowed.
static fm_status propose(
    fm__near *n, const ask *a, size_t wide, int64_t **ids, size_t *cap, bool *enough, fm_error *err)
{
    if (!fm__grow(FM_TAG_SEARCH, (void **)ids, cap, wide, sizeof(**ids))) {
        return fm__fail_nomem(err, "a search");
    }
    float *distances = fm__calloc_array(FM_TAG_SEARCH, wide, sizeof(*distances));
    if (!distances) {
        return fm__fail_nomem(err, "a search");
    }
    fm_status st = fm__faiss_search(n->graph, a->query, 1, wide, *ids, distances, err);
    fm__free(distances);
    size_t count = st == FM_OK ? tidy(*ids, wide, a->allowed, a->allowed_count) : 0;
    if (st == FM_OK) {
        st = fm__index_search(n->index, a->query, 1, a->k, *ids, count, a->hits, a->count, err);
    }
    *enough = st == FM_OK && *a->count == a->k;
    if (*enough && behind(n) > 0) {
        st = add_tail(n, ids, cap, &count, err);
        count = st == FM_OK ? tidy(*ids, count, a->allowed, a->allowed_count) : 0;
        st = st == FM_OK ? fm__index_search(n->index, a->query, 1, a->k, *ids, count, a->hits, a->count, err)
                         : st;
    }
    return st;
}

static fm_status search_one(fm__near *n, const ask *a, fm_error *err)
{
    size_t in_graph = fm__faiss_count(n->graph), cap = 0, wide = a->k + 16;
    int64_t *ids = NULL;
    bool enough = false;
    fm_status st = FM_OK;
    // Fewer than a quarter allowed: the exact scan is at its best there, the graph at its worst.
    bool use_graph = behind(n) <= in_graph && (!a->allowed || a->allowed_count > in_graph / 4);
    for (; use_graph && st == FM_OK && !enough && wide <= in_graph / 4; wide *= 4) {
        st = propose(n, a, wide, &ids, &cap, &enough, err);
    }
    fm__free(ids);
    if (st == FM_OK && !enough) {
        st = fm__index_search(
            n->index, a->query, 1, a->k, a->allowed, a->allowed_count, a->hits, a->count, err);
    }
    return st;
}

fm_status fm__near_search(fm__near *n, const float *queries, size_t nq, size_t k, const int64_t *allowed,
    size_t allowed_count, fm__hit *hits, size_t *counts, fm_error *err)
{
    if (k > FM_INDEX_MAX_K) {
        return fm__fail(err, FM_INVAL, "%zu nearest asked for, at most %d", k, FM_INDEX_MAX_K);
    }
    fm_status st = FM_OK;
    // The length of a query plays no part in what is nearest among vectors of length 1, so cosine needs no
    // more.
    for (size_t j = 0; j < nq && st == FM_OK; j++) {
        ask a = {queries + j * (size_t)n->opts.dim, k, allowed, allowed_count, hits + j * k, counts + j};
        st = search_one(n, &a, err);
    }
    return st;
}
