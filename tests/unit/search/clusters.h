// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What the tests of graphs share: features as networks give them (clusters, and spread within), an index of
 * them, and the part of the exact answer that another answer holds. */
#ifndef FM_TESTS_UNIT_SEARCH_CLUSTERS_H
#define FM_TESTS_UNIT_SEARCH_CLUSTERS_H

#include "../testing.h"
#include "search/near.h"

enum { BLOCKS = 6, N = BLOCKS * 1024, EXTRA = 300, DIM = 40, NQ = 60, K = 10, CENTRES = 60 };

static float rows[(N + EXTRA) * DIM], asks[NQ * DIM];
static int64_t ids[N + EXTRA];

static inline float gauss(uint64_t *rng)
{
    float sum = -6;
    for (int i = 0; i < 12; i++) {
        sum += (float)(rnd(rng) >> 40) / (float)(1 << 24);
    }
    return sum;
}

/** @param spread  within a cluster, against 1 between them; 0: no clusters */
static inline void fill(uint64_t seed, float spread)
{
    uint64_t rng = seed;
    static float centres[CENTRES][DIM];
    for (size_t i = 0; i < CENTRES * DIM; i++) {
        centres[i / DIM][i % DIM] = spread > 0 ? gauss(&rng) : 0;
    }
    for (size_t v = 0; v < N + EXTRA + NQ; v++) {
        float *to = v < N + EXTRA ? rows + v * DIM : asks + (v - N - EXTRA) * DIM;
        for (size_t i = 0; i < DIM; i++) {
            to[i] = centres[v % CENTRES][i] + (spread > 0 ? spread : 1) * gauss(&rng);
        }
    }
    for (size_t v = 0; v < N + EXTRA; v++) {
        ids[v] = 2 * (int64_t)v + 5;
    }
}

static inline fm__index *index_at(const char *path, size_t n, fm_metric metric, int threads)
{
    fm__index_opts o = {.dim = DIM, .metric = metric, .threads = threads};
    fm__index *ix = NULL;
    assert_int_equal(fm__index_open(path, &o, &ix, NULL), FM_OK);
    if (n > 0) {
        assert_int_equal(fm__index_append(ix, ids, rows, n, NULL), FM_OK);
    }
    if (path) {
        assert_int_equal(fm__index_save(ix, NULL), FM_OK);
    }
    return ix;
}

static inline fm__near *near_over(fm__index *ix)
{
    fm__near_opts o = {0};
    fm__near *near = NULL;
    assert_int_equal(fm__near_new(ix, &o, &near, NULL), FM_OK);
    return near;
}

static inline void update(fm__near *near)
{
    fm_error err = {0};
    if (fm__near_update(near, NULL, NULL, NULL, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    if (fm__near_verify(near, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
}

static inline int by_id(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/** Hits are what the exact scan finds among them alone: alive, each as far as it says, in order, none twice.
 */
static inline void check_hits(fm__index *ix, const float *query, const fm__hit *hits, size_t count)
{
    int64_t list[K];
    fm__hit own[K];
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        list[i] = hits[i].id;
    }
    qsort(list, count, sizeof(*list), by_id);
    assert_int_equal(fm__index_search(ix, query, 1, K, list, count, own, &found, NULL), FM_OK);
    assert_int_equal(found, count);
    for (size_t i = 0; i < count; i++) {
        assert_true(own[i].id == hits[i].id && own[i].distance == hits[i].distance);
    }
}

/** Part of the exact answer to all asks that the graph finds, and how it came about. As many hits as there
 * are.
 */
static inline double recall(
    fm__index *ix, fm__near *near, const int64_t *allowed, size_t n, fm__near_how *how)
{
    static fm__hit exact[NQ * K], hits[NQ * K];
    static size_t exact_counts[NQ], counts[NQ];
    size_t found = 0, all = 0;
    assert_int_equal(fm__index_search(ix, asks, NQ, K, allowed, n, exact, exact_counts, NULL), FM_OK);
    assert_int_equal(fm__near_search(near, asks, NQ, K, allowed, n, hits, counts, how, NULL), FM_OK);
    for (size_t j = 0; j < NQ; j++) {
        assert_int_equal(exact_counts[j], counts[j]);
        check_hits(ix, asks + j * DIM, hits + j * K, counts[j]);
        all += counts[j];
        for (size_t i = 0; i < counts[j] * counts[j]; i++) {
            found += exact[j * K + i % counts[j]].id == hits[j * K + i / counts[j]].id;
        }
        for (size_t i = 0; allowed && i < counts[j]; i++) {
            assert_non_null(bsearch(&hits[j * K + i].id, allowed, n, sizeof(*allowed), by_id));
        }
    }
    return all ? (double)found / (double)all : 1;
}

static inline void check_recall(
    fm__index *ix, fm__near *near, const int64_t *allowed, size_t n, double least, fm__near_how expected)
{
    fm__near_how how;
    double r = recall(ix, near, allowed, n, &how);
    if (r < least || how != expected) {
        fail_msg("recall %.4f of %.4f, answered in way %d, expected %d", r, least, how, expected);
    }
}

#endif
