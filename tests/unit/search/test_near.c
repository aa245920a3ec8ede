// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// FAISS and the graph beside an index, against the exact scan: its flat index gives the same neighbours, the
// graph and the lists find at least 0.95 of them; whatever is buried or not allowed is never among the hits,
// as many are found as there are, what came after the graph was made is found too.

#include "../testing.h"
#include "fm_config.h"
#include "search/near.h"

#include <math.h>

enum { N = 6000, DIM = 32, NQ = 60, K = 10 };

static float rows[(N + 100) * DIM], asks[NQ * DIM];
static int64_t ids[N + 100];
static fm__hit exact[NQ * K], near_hits[NQ * K];
static size_t exact_counts[NQ], near_counts[NQ];

static float gauss(uint64_t *rng)
{
    float sum = -6;
    for (int i = 0; i < 12; i++) {
        sum += (float)(rnd(rng) >> 40) / (float)(1 << 24);
    }
    return sum;
}

// Features as networks give them: clusters, and spread within.
static void fill(void)
{
    uint64_t rng = 21;
    static float centres[60][DIM];
    for (size_t i = 0; i < 60 * DIM; i++) {
        centres[i / DIM][i % DIM] = gauss(&rng);
    }
    for (size_t v = 0; v < N + 100; v++) {
        ids[v] = 2 * (int64_t)v + 5;
        for (size_t i = 0; i < DIM; i++) {
            rows[v * DIM + i] = centres[v % 60][i] + 0.5F * gauss(&rng);
        }
    }
    for (size_t j = 0; j < NQ; j++) {
        for (size_t i = 0; i < DIM; i++) {
            asks[j * DIM + i] = centres[j % 60][i] + 0.5F * gauss(&rng);
        }
    }
}

static fm__index *index_of(size_t n, fm_metric metric)
{
    fm__index_opts o = {.dim = DIM, .metric = metric, .threads = 2};
    fm__index *ix = NULL;
    assert_int_equal(fm__index_open(NULL, &o, &ix, NULL), FM_OK);
    assert_int_equal(fm__index_append(ix, ids, rows, n, NULL), FM_OK);
    return ix;
}

static fm__near *graph_of(fm__index *ix, fm__faiss_kind kind)
{
    fm__faiss_opts o = {.kind = kind, .threads = 1};
    fm__near *near = NULL;
    bool more = true;
    fm_error err = {0};
    if (fm__near_new(ix, &o, &near, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    assert_int_equal(fm__near_update(near, SIZE_MAX, &more, NULL), FM_OK);
    assert_false(more);
    return near;
}

// Part of the exact answer that the graph found. Hits must be what they say, in order.
static double recall(fm__index *ix, fm__near *near, const int64_t *allowed, size_t n)
{
    assert_int_equal(fm__index_search(ix, asks, NQ, K, allowed, n, exact, exact_counts, NULL), FM_OK);
    assert_int_equal(fm__near_search(near, asks, NQ, K, allowed, n, near_hits, near_counts, NULL), FM_OK);
    size_t found = 0, all = 0;
    for (size_t j = 0; j < NQ; j++) {
        assert_int_equal(exact_counts[j], near_counts[j]);
        all += exact_counts[j];
        for (size_t i = 0; i < near_counts[j]; i++) {
            fm__hit h = near_hits[j * K + i];
            assert_true(i == 0 || near_hits[j * K + i - 1].distance <= h.distance);
            assert_true(h.distance >= exact[j * K + i].distance);
            for (size_t e = 0; e < exact_counts[j]; e++) {
                found += exact[j * K + e].id == h.id && exact[j * K + e].distance == h.distance;
            }
        }
    }
    return all ? (double)found / (double)all : 1;
}

static void test_kinds(void **state)
{
    (void)state;
    const fm__faiss_kind kinds[] = {FM_FAISS_FLAT, FM_FAISS_HNSW, FM_FAISS_IVF};
    const double least[] = {1, 0.95, 0.95};
    for (int m = 0; m < 2; m++) {
        fm__index *ix = index_of(N, (fm_metric)m);
        for (size_t i = 0; i < 3; i++) {
            fm__near *near = graph_of(ix, kinds[i]);
            double r = recall(ix, near, NULL, 0);
            if (r < least[i]) {
                fail_msg("kind %zu finds %.3f", i, r);
            }
            fm__near_free(&near);
        }
        fm__index_close(&ix);
    }
}

static void test_changes(void **state)
{
    (void)state;
    fm__index *ix = index_of(N, FM_METRIC_L2);
    fm__near *near = graph_of(ix, FM_FAISS_HNSW);
    uint64_t rng = 22;
    static int64_t gone[N];
    size_t n = 0;
    for (size_t v = 0; v < N; v++) {
        if (rnd_below(&rng, 5) == 0) {
            gone[n++] = ids[v];
        }
    }
    assert_int_equal(fm__index_remove(ix, gone, n, NULL, NULL), FM_OK);
    assert_true(recall(ix, near, NULL, 0) >= 0.95);
    // Not in the graph yet; the nearest of all to itself.
    assert_int_equal(fm__index_append(ix, ids + N, rows + (size_t)N * DIM, 100, NULL), FM_OK);
    fm__hit hit;
    size_t count;
    assert_int_equal(fm__near_search(near, rows + (N + 7) * DIM, 1, 1, NULL, 0, &hit, &count, NULL), FM_OK);
    assert_true(count == 1 && hit.id == ids[N + 7] && hit.distance == 0);
    bool more = true;
    assert_int_equal(fm__near_update(near, 60, &more, NULL), FM_OK);
    assert_true(more);
    assert_true(recall(ix, near, NULL, 0) >= 0.95);
    assert_int_equal(fm__near_update(near, 60, &more, NULL), FM_OK);
    assert_false(more);
    // More than a quarter buried: made anew.
    assert_int_equal(fm__index_remove(ix, ids, N / 2, NULL, NULL), FM_OK);
    assert_int_equal(fm__near_update(near, SIZE_MAX, &more, NULL), FM_OK);
    assert_true(recall(ix, near, NULL, 0) >= 0.95);
    fm__near_free(&near);
    fm__index_close(&ix);
}

static void test_filters(void **state)
{
    (void)state;
    fm__index *ix = index_of(N, FM_METRIC_L2);
    fm__near *near = graph_of(ix, FM_FAISS_HNSW);
    uint64_t rng = 23;
    static int64_t allowed[N];
    for (int percent = 0; percent <= 100; percent += 10) {
        size_t n = 0;
        for (size_t v = 0; v < N; v++) {
            if (rnd_below(&rng, 100) < percent) {
                allowed[n++] = ids[v];
            }
        }
        double r = recall(ix, near, allowed, n);
        if (r < 0.95) {
            fail_msg("of %d %% allowed %.3f are found", percent, r);
        }
    }
    fm__near_free(&near);
    fm__index_close(&ix);
}

static void test_without_faiss(void **state)
{
    (void)state;
    fm__index *ix = index_of(10, FM_METRIC_L2);
    fm__faiss_opts o = {.kind = FM_FAISS_HNSW};
    fm__near *near = NULL;
    fm_error err;
    assert_string_equal(fm__faiss_version(), "");
    assert_int_equal(fm__near_new(ix, &o, &near, &err), FM_UNSUPPORTED);
    fm__index_close(&ix);
}

int main(void)
{
    fill();
    const struct CMUnitTest with[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_filters),
    };
    const struct CMUnitTest without[] = {cmocka_unit_test(test_without_faiss)};
    return FM_HAVE_FAISS ? cmocka_run_group_tests(with, NULL, NULL)
                         : cmocka_run_group_tests(without, NULL, NULL);
}
