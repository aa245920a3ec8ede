// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The graph beside an index against the exact scan: of clustered vectors and of spread ones it finds at least
// 0.95, and what FAISS's graph of the same size finds; whatever is buried or not allowed is never among the
// hits, as many are found as there are, what came after the graph was made is found, too; and where the graph
// cannot answer the exact scan does and it is said.

#include "base/alloc.h"
#include "clusters.h"
#include "fm_config.h"
#include "search/faiss.h"

static void test_recall(void **state)
{
    (void)state;
    const float spreads[] = {0.5F, 0.5F, 0.1F, 1, 0, 0}; // each second one by cosine
    for (size_t s = 0; s < COUNT_OF(spreads); s++) {
        fill(21 + s, spreads[s]);
        fm__index *ix = index_at(NULL, N, (fm_metric)(s % 2), 2);
        fm__near *near = near_over(ix);
        check_recall(ix, near, NULL, 0, 1, FM_NEAR_BEHIND); // there is nothing in it yet
        update(near);
        assert_int_equal(fm__near_count(near), N);
        check_recall(ix, near, NULL, 0, 0.95, FM_NEAR_GRAPH);
        fm__near_free(&near);
        fm__index_close(&ix);
    }
}

// The same links, effort and vectors.
static void test_beside_faiss(void **state)
{
    (void)state;
    enum { LINKS = 8, EFFORT = 24 };
    fm__faiss_opts fo = {.kind = FM_FAISS_HNSW,
        .dim = DIM,
        .links = LINKS,
        .build_effort = 100,
        .search_effort = EFFORT,
        .threads = 1}; // its OpenMP looks like races to ThreadSanitizer
    fm__near_opts o = {.links = LINKS, .build_effort = 100, .effort = EFFORT};
    fm__faiss *f = NULL;
    fm__near *near = NULL;
    static int64_t theirs[NQ * K];
    static float distances[NQ * K];
    static fm__hit exact[NQ * K];
    size_t counts[NQ], found = 0;
    if (!FM_HAVE_FAISS) {
        skip();
    }
    fill(31, 0);
    fm__index *ix = index_at(NULL, N, FM_METRIC_L2, 2);
    assert_int_equal(fm__near_new(ix, &o, &near, NULL), FM_OK);
    update(near);
    assert_int_equal(fm__faiss_new(&fo, &f, NULL), FM_OK);
    assert_int_equal(fm__faiss_add(f, ids, rows, N, NULL), FM_OK);
    assert_int_equal(fm__faiss_search(f, asks, NQ, K, theirs, distances, NULL), FM_OK);
    assert_int_equal(fm__index_search(ix, asks, NQ, K, NULL, 0, exact, counts, NULL), FM_OK);
    for (size_t i = 0; i < NQ * K; i++) {
        for (size_t e = i / K * K; e < (i / K + 1) * K; e++) {
            found += exact[e].id == theirs[i];
        }
    }
    double peer = (double)found / (NQ * K), own = recall(ix, near, NULL, 0, NULL);
    if (own < peer - 0.02) {
        fail_msg("recall %.4f, FAISS's %.4f", own, peer);
    }
    fm__faiss_free(&f);
    fm__near_free(&near);
    fm__index_close(&ix);
}

// More effort finds more; enough of it nearly all.
static void test_effort(void **state)
{
    (void)state;
    const size_t efforts[] = {20, 100, 400};
    double last = 0;
    fill(22, 0);
    fm__index *ix = index_at(NULL, N, FM_METRIC_L2, 2);
    for (size_t i = 0; i < COUNT_OF(efforts); i++) {
        fm__near_opts o = {.links = 8, .effort = efforts[i]};
        fm__near *near = NULL;
        assert_int_equal(fm__near_new(ix, &o, &near, NULL), FM_OK);
        update(near);
        double r = recall(ix, near, NULL, 0, NULL);
        assert_true(r >= last);
        last = r;
        fm__near_free(&near);
    }
    assert_true(last >= 0.99);
    fm__index_close(&ix);
}

static void test_changes(void **state)
{
    (void)state;
    uint64_t rng = 22;
    static int64_t gone[N];
    size_t n = 0, linked = 0, count;
    fm__hit hit;
    fill(23, 0.5F);
    fm__index *ix = index_at(NULL, N / 2, FM_METRIC_L2, 2);
    fm__near *near = near_over(ix);
    update(near);
    for (size_t v = 0; v < N / 2; v++) {
        if (rnd_below(&rng, 5) == 0) {
            gone[n++] = ids[v];
        }
    }
    assert_int_equal(fm__index_remove(ix, gone, n, NULL, NULL), FM_OK);
    check_recall(ix, near, NULL, 0, 0.95, FM_NEAR_GRAPH);
    // Not in the graph yet; the nearest of all to itself.
    assert_int_equal(fm__index_append(ix, ids + N / 2, rows + (size_t)N / 2 * DIM, 1500, NULL), FM_OK);
    for (size_t v = N / 2; v < N / 2 + 1500; v += 99) {
        assert_int_equal(
            fm__near_search(near, rows + v * DIM, 1, 1, NULL, 0, &hit, &count, NULL, NULL), FM_OK);
        assert_true(count == 1 && hit.id == ids[v] && hit.distance == 0);
    }
    check_recall(ix, near, NULL, 0, 0.95, FM_NEAR_GRAPH);
    assert_int_equal(fm__index_append(ix, ids + N / 2 + 1500, rows + ((size_t)N / 2 + 1500) * DIM,
                         N + EXTRA - N / 2 - 1500, NULL),
        FM_OK);
    check_recall(ix, near, NULL, 0, 1, FM_NEAR_BEHIND); // more is newer than half of what it holds
    assert_int_equal(fm__near_update(near, NULL, NULL, &linked, NULL), FM_OK);
    assert_int_equal(linked, N / 2);
    assert_int_equal(fm__near_update(near, NULL, NULL, &linked, NULL), FM_OK);
    assert_int_equal(linked, 0);
    update(near);
    check_recall(ix, near, NULL, 0, 0.95, FM_NEAR_GRAPH);
    assert_int_equal(fm__near_count(near), N);
    fm__near_free(&near);
    fm__index_close(&ix);
}

// All of some clusters are buried: what is near is gone, and what is left is far.
static void test_buried_neighbourhoods(void **state)
{
    (void)state;
    static int64_t gone[N];
    size_t n = 0;
    fill(24, 0.1F);
    fm__index *ix = index_at(NULL, N, FM_METRIC_L2, 2);
    fm__near *near = near_over(ix);
    update(near);
    for (size_t v = 0; v < N; v++) {
        if (v % CENTRES < CENTRES / 5) {
            gone[n++] = ids[v];
        }
    }
    assert_int_equal(fm__index_remove(ix, gone, n, NULL, NULL), FM_OK);
    check_recall(ix, near, NULL, 0, 0.95, FM_NEAR_GRAPH); // by looking wider
    assert_int_equal(fm__index_remove(ix, ids, N, NULL, NULL), FM_OK);
    check_recall(ix, near, NULL, 0, 1, FM_NEAR_FEW); // nothing is left, and nothing found
    fm__near_free(&near);
    fm__index_close(&ix);
}

static void test_filters(void **state)
{
    (void)state;
    uint64_t rng = 23;
    static int64_t allowed[N + EXTRA];
    fill(25, 0.5F);
    fm__index *ix = index_at(NULL, N + EXTRA, FM_METRIC_COSINE, 2);
    fm__near *near = near_over(ix);
    update(near);
    for (int percent = 0; percent <= 100; percent += 5) {
        size_t n = 0;
        for (size_t v = 0; v < N + EXTRA; v++) {
            if (rnd_below(&rng, 100) < percent) {
                allowed[n++] = ids[v];
            }
        }
        // Of 6,144 nodes an eighth is 768: enough for a filter that leaves more than an eighth.
        fm__near_how how;
        double r = recall(ix, near, allowed, n, &how);
        if (r < 0.95 || (percent >= 20 && how != FM_NEAR_GRAPH) || (percent <= 10 && how != FM_NEAR_FEW)) {
            fail_msg("of %d %% allowed %.4f are found, in way %d", percent, r, how);
        }
    }
    // What is allowed lies elsewhere than what is asked for.
    size_t n = 0;
    for (size_t v = 0; v < N + EXTRA; v++) {
        if (v % CENTRES >= CENTRES / 2) {
            allowed[n++] = ids[v];
        }
    }
    fm__near_how how;
    assert_true(recall(ix, near, allowed, n, &how) >= 0.95);
    fm__near_free(&near);
    fm__index_close(&ix);
}

// Many of the same: as near as the exact ones, though which of them is not said.
static void test_all_alike(void **state)
{
    (void)state;
    fm__hit hits[K];
    size_t count;
    fill(26, 0.5F);
    for (size_t v = 0; v < N; v++) {
        memcpy(rows + v * DIM, rows + v % 3 * DIM, DIM * sizeof(float));
    }
    fm__index *ix = index_at(NULL, N, FM_METRIC_L2, 2);
    fm__near *near = near_over(ix);
    update(near);
    for (size_t v = 0; v < 3; v++) {
        assert_int_equal(
            fm__near_search(near, rows + v * DIM, 1, K, NULL, 0, hits, &count, NULL, NULL), FM_OK);
        assert_int_equal(count, K);
        for (size_t i = 0; i < K; i++) {
            assert_true(hits[i].distance == 0 && (hits[i].id - 5) / 2 % 3 == (int64_t)v);
        }
    }
    fm__near_free(&near);
    fm__index_close(&ix);
}

// An index that is written anew moves its vectors: the graph is no longer asked, until it is made anew.
static void test_index_written_anew(void **state)
{
    (void)state;
    char *dir = make_dir(), *path = NULL, *graph = NULL;
    fm__near_opts o = {0};
    fm__near *near = NULL;
    size_t linked;
    fm_error err = {0};
    assert_true(asprintf(&path, "%s/a", dir) > 0 && asprintf(&graph, "%s/g", dir) > 0);
    fill(27, 0.5F);
    fm__index *ix = index_at(path, N, FM_METRIC_L2, 2);
    near = near_over(ix);
    update(near);
    assert_int_equal(fm__near_save(near, graph, NULL), FM_OK);
    assert_int_equal(fm__index_remove(ix, ids, N / 3, NULL, NULL), FM_OK);
    check_recall(ix, near, NULL, 0, 0.95, FM_NEAR_GRAPH);
    assert_int_equal(fm__index_save(ix, NULL), FM_OK);
    check_recall(ix, near, NULL, 0, 1, FM_NEAR_BEHIND);
    fm__near_free(&near);
    assert_int_equal(fm__near_open(ix, graph, &o, &near, &err), FM_FORMAT);
    assert_non_null(strstr(err.msg, "not of the index"));
    near = near_over(ix);
    assert_int_equal(fm__near_update(near, NULL, NULL, &linked, NULL), FM_OK);
    assert_int_equal(linked, N - N / 3 - (N - N / 3) % 1024);
    check_recall(ix, near, NULL, 0, 0.95, FM_NEAR_GRAPH);
    fm__near_free(&near);
    fm__index_close(&ix);
    free(path);
    free(graph);
    drop_dir(dir);
}

static void test_refusals(void **state)
{
    (void)state;
    fm__hit hits[K];
    size_t count = 7;
    float bad[DIM] = {0};
    const int64_t falling[] = {9, 7};
    fm__near_opts o = {.links = 65};
    fm__near *near = NULL;
    fill(28, 0.5F);
    fm__index *ix = index_at(NULL, N, FM_METRIC_COSINE, 1);
    assert_int_equal(fm__near_new(ix, &o, &near, NULL), FM_INVAL);
    near = near_over(ix);
    update(near);
    assert_int_equal(fm__near_search(near, bad, 1, K, NULL, 0, hits, &count, NULL, NULL), FM_INVAL);
    assert_int_equal(
        fm__near_search(near, asks, 1, FM_INDEX_MAX_K + 1, NULL, 0, hits, &count, NULL, NULL), FM_INVAL);
    assert_int_equal(fm__near_search(near, asks, 1, K, falling, 2, hits, &count, NULL, NULL), FM_INVAL);
    assert_int_equal(fm__near_search(near, asks, 1, 0, NULL, 0, hits, &count, NULL, NULL), FM_OK);
    assert_int_equal(count, 0);
    assert_int_equal(fm__near_search(near, asks, 0, K, NULL, 0, hits, &count, NULL, NULL), FM_OK);
    fm__near_free(&near);
    fm__near_free(&near);
    fm__index_close(&ix);
}

static bool stop_halfway(void *opaque, size_t done, size_t total)
{
    size_t *calls = opaque;
    ++*calls;
    return done < total / 2;
}

static void test_stopped(void **state)
{
    (void)state;
    size_t calls = 0;
    fill(29, 0.5F);
    fm__index *ix = index_at(NULL, N, FM_METRIC_L2, 2);
    fm__near *near = near_over(ix);
    assert_int_equal(fm__near_update(near, stop_halfway, &calls, NULL, NULL), FM_CANCELED);
    assert_true(calls > 2);
    check_recall(ix, near, NULL, 0, 1, FM_NEAR_BEHIND);
    update(near);
    check_recall(ix, near, NULL, 0, 0.95, FM_NEAR_GRAPH);
    fm__near_free(&near);
    fm__index_close(&ix);
}

static void test_no_memory(void **state)
{
    (void)state;
    fm__hit hits[NQ * K];
    size_t counts[NQ];
    fill(30, 0.5F);
    fm__index *ix = index_at(NULL, 1024, FM_METRIC_L2, 1);
    fm__near_opts o = {0};
    fm__near *near = NULL;
    uint64_t nth = 1;
    for (fm_status st = FM_NOMEM; st != FM_OK; nth++) {
        fm__near_free(&near);
        fm__alloc_fail_at(nth, false);
        st = fm__near_new(ix, &o, &near, NULL);
        st = st == FM_OK ? fm__near_update(near, NULL, NULL, NULL, NULL) : st;
        fm__alloc_fail_at(0, false);
        assert_true(st == FM_OK || st == FM_NOMEM);
        if (near) { // an answer all the same
            check_recall(ix, near, NULL, 0, 0.95, st == FM_OK ? FM_NEAR_GRAPH : FM_NEAR_BEHIND);
        }
    }
    assert_true(nth > 10);
    nth = 1;
    for (fm_status st = FM_NOMEM; st != FM_OK; nth++) {
        fm__alloc_fail_at(nth, false);
        st = fm__near_search(near, asks, NQ, K, NULL, 0, hits, counts, NULL, NULL);
        fm__alloc_fail_at(0, false);
        assert_true(st == FM_OK || st == FM_NOMEM);
    }
    assert_true(nth > 3);
    fm__near_free(&near);
    fm__index_close(&ix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recall),
        cmocka_unit_test(test_beside_faiss),
        cmocka_unit_test(test_effort),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_buried_neighbourhoods),
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_all_alike),
        cmocka_unit_test(test_index_written_anew),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
