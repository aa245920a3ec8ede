// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What an index answers, against a scan of all vectors that knows nothing of blocks, codes or bounds: sizes
// around blocks and panels, dimensions that fill no register, both metrics, ties, buried vectors, lists of
// allowed ids from none to all, vectors all alike, any number of threads; and what it refuses.

#include "../testing.h"
#include "base/alloc.h"
#include "search/index.h"

#include <math.h>

enum { MOST = 5000, DIM_MAX = 130, K_MAX = 300, NQ = 19 };

typedef struct world {
    size_t n, dim;
    fm_metric metric;
    int64_t ids[MOST];
    float rows[MOST * DIM_MAX], asks[NQ * DIM_MAX];
    bool dead[MOST];
    fm__index *ix;
} world;

static world w;
static fm__hit want[MOST], got[NQ * K_MAX];
static size_t counts[NQ];

// Clustered, so that near and far differ; every ninth is a copy of the one before, for ties.
static void fill(uint64_t *rng)
{
    float centres[7][DIM_MAX];
    for (size_t i = 0; i < 7 * DIM_MAX; i++) {
        centres[i / DIM_MAX][i % DIM_MAX] = (float)(rnd_below(rng, 2001) - 1000) / 500;
    }
    int64_t id = 0;
    for (size_t v = 0; v < w.n; v++) {
        id += 1 + rnd_below(rng, 3);
        w.ids[v] = id;
        w.dead[v] = false;
        for (size_t i = 0; i < w.dim; i++) {
            w.rows[v * w.dim + i] = v % 9 == 8 ? w.rows[(v - 1) * w.dim + i]
                                               : centres[v % 7][i] + (float)rnd_below(rng, 1000) / 1000;
        }
    }
    for (size_t i = 0; i < NQ * w.dim; i++) {
        w.asks[i] = centres[i / w.dim % 7][i % w.dim] + (float)rnd_below(rng, 1000) / 1000;
    }
}

static void make(uint64_t *rng, size_t n, size_t dim, fm_metric metric, int threads)
{
    w.n = n;
    w.dim = dim;
    w.metric = metric;
    fill(rng);
    fm__index_opts o = {.dim = (int)dim, .metric = metric, .threads = threads};
    assert_int_equal(fm__index_open(NULL, &o, &w.ix, NULL), FM_OK);
    for (size_t at = 0; at < n;) { // in pieces
        size_t piece = 1 + (size_t)rnd_below(rng, 900);
        piece = piece < n - at ? piece : n - at;
        assert_int_equal(fm__index_append(w.ix, w.ids + at, w.rows + at * dim, piece, NULL), FM_OK);
        at += piece;
    }
}

static double true_distance(const float *a, const float *b)
{
    double l2 = 0, dot = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < w.dim; i++) {
        double d = (double)a[i] - (double)b[i];
        l2 += d * d;
        dot += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return w.metric == FM_METRIC_L2 ? l2 : 1 - dot / sqrt(aa * bb);
}

static bool is_allowed(const int64_t *allowed, size_t n, int64_t id)
{
    for (size_t i = 0; i < n; i++) {
        if (allowed[i] == id) {
            return true;
        }
    }
    return false;
}

static int by_hit(const void *a, const void *b)
{
    const fm__hit *x = a, *y = b;
    return x->distance != y->distance ? (x->distance < y->distance ? -1 : 1)
                                      : (x->id > y->id) - (x->id < y->id);
}

static size_t scan_all(size_t j, const int64_t *allowed, size_t allowed_count)
{
    size_t n = 0;
    for (size_t v = 0; v < w.n; v++) {
        if (!w.dead[v] && (!allowed || is_allowed(allowed, allowed_count, w.ids[v]))) {
            want[n++] = (fm__hit){w.ids[v], (float)true_distance(&w.asks[j * w.dim], &w.rows[v * w.dim])};
        }
    }
    qsort(want, n, sizeof(*want), by_hit);
    return n;
}

// Rank by rank: the same distance to rounding; and where no other vector is as near, the same vector.
static void check_query(size_t j, size_t k, const int64_t *allowed, size_t allowed_count)
{
    size_t n = scan_all(j, allowed, allowed_count), expect = n < k ? n : k;
    const float near = 4e-6F;
    assert_int_equal(counts[j], expect);
    for (size_t i = 0; i < expect; i++) {
        fm__hit a = got[j * k + i], b = want[i];
        float slack = near * (1 + fabsf(b.distance));
        if (fabsf(a.distance - b.distance) > slack) {
            fail_msg("rank %zu: distance %.9g, is %.9g", i, (double)a.distance, (double)b.distance);
        }
        bool alone = (i == 0 || b.distance - want[i - 1].distance > slack) &&
                     (i + 1 == n || want[i + 1].distance - b.distance > slack);
        if (alone && a.id != b.id) {
            fail_msg("rank %zu: id %lld, is %lld", i, (long long)a.id, (long long)b.id);
        }
        assert_true(i == 0 || by_hit(&got[j * k + i - 1], &a) < 0); // ties by id, none twice
    }
}

static void check(size_t nq, size_t k, const int64_t *allowed, size_t allowed_count)
{
    fm_error err = {0};
    if (fm__index_search(w.ix, w.asks, nq, k, allowed, allowed_count, got, counts, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    for (size_t j = 0; j < nq; j++) {
        check_query(j, k, allowed, allowed_count);
    }
}

static void test_shapes(void **state)
{
    (void)state;
    uint64_t rng = 1;
    const size_t sizes[] = {0, 1, 2, 15, 16, 17, 129, 1023, 1024, 1025, 3333};
    const size_t dims[] = {1, 3, 4, 16, 17, 33, 64, 100, 128, 130};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        for (size_t d = 0; d < COUNT_OF(dims); d++) {
            make(&rng, sizes[i], dims[d], (i + d) % 2 ? FM_METRIC_COSINE : FM_METRIC_L2, 1 + (int)(d % 3));
            check(1, 10, NULL, 0);
            check(NQ, 1 + (size_t)rnd_below(&rng, 40), NULL, 0);
            check(3, K_MAX, NULL, 0); // more than there are, sometimes
            check(2, 0, NULL, 0);
            fm__index_close(&w.ix);
        }
    }
}

static void test_buried(void **state)
{
    (void)state;
    uint64_t rng = 2;
    make(&rng, 3000, 40, FM_METRIC_L2, 2);
    for (int round = 0; round < 8; round++) {
        int64_t ids[400];
        size_t n = 0, expect = 0, removed = 0;
        for (size_t v = 0; v < w.n; v++) {
            if (n < 400 && rnd_below(&rng, 6) == 0) {
                ids[n++] = w.ids[v];
                expect += !w.dead[v];
                w.dead[v] = true;
            }
        }
        assert_int_equal(fm__index_remove(w.ix, ids, n, &removed, NULL), FM_OK);
        assert_int_equal(removed, expect);
        check(NQ, 12, NULL, 0);
    }
    size_t kept = 0, alive = 0, removed = 0;
    static int64_t keep[MOST];
    for (size_t v = 0; v < w.n; v++) {
        alive += !w.dead[v];
        if (v % 5 == 0) {
            keep[kept++] = w.ids[v];
        } else {
            w.dead[v] = true;
        }
    }
    assert_int_equal(fm__index_keep(w.ix, keep, kept, &removed, NULL), FM_OK);
    assert_int_equal(alive - removed, fm__index_count(w.ix));
    check(NQ, 12, NULL, 0);
    assert_int_equal(fm__index_last_id(w.ix), w.ids[w.n - 1]);
    fm__index_close(&w.ix);
}

static void test_allowed(void **state)
{
    (void)state;
    uint64_t rng = 3;
    make(&rng, 4100, 20, FM_METRIC_L2, 2);
    static int64_t allowed[2 * MOST];
    const int of_hundred[] = {0, 1, 3, 10, 14, 20, 50, 99, 100};
    for (size_t s = 0; s < COUNT_OF(of_hundred); s++) {
        size_t n = 0;
        int64_t last = w.ids[w.n - 1] + 50; // ids that are not there are among them
        for (int64_t id = 0; id < last; id++) {
            if (rnd_below(&rng, 100) < of_hundred[s]) {
                allowed[n++] = id;
            }
        }
        check(1, 10, allowed, n);
        check(6, 25, allowed, n);
    }
    const int64_t falling[] = {5, 4};
    assert_int_equal(fm__index_search(w.ix, w.asks, 1, 1, falling, 2, got, counts, NULL), FM_INVAL);
    fm__index_close(&w.ix);
}

// The bound rules nothing out here, and memory for what it leaves must not grow.
static void test_all_alike(void **state)
{
    (void)state;
    static float row[64 * 4000];
    static int64_t ids[4000];
    for (size_t i = 0; i < COUNT_OF(row); i++) {
        row[i] = (float)(i % 64);
    }
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        ids[i] = 10 + 2 * (int64_t)i;
    }
    fm__index_opts o = {.dim = 64, .threads = 2};
    fm__index *ix = NULL;
    assert_int_equal(fm__index_open(NULL, &o, &ix, NULL), FM_OK);
    assert_int_equal(fm__index_append(ix, ids, row, 4000, NULL), FM_OK);
    assert_int_equal(fm__index_search(ix, row, 1, 30, NULL, 0, got, counts, NULL), FM_OK);
    assert_int_equal(counts[0], 30);
    for (int i = 0; i < 30; i++) {
        assert_int_equal(got[i].id, 10 + 2 * i);
        assert_true(got[i].distance == 0);
    }
    fm__index_close(&ix);
}

static void test_threads_change_nothing(void **state)
{
    (void)state;
    static fm__hit first[NQ * 20];
    for (int threads = 1; threads <= 5; threads++) {
        uint64_t rng = 4;
        make(&rng, 5000, 70, FM_METRIC_COSINE, threads);
        for (int round = 0; round < 5; round++) {
            assert_int_equal(fm__index_search(w.ix, w.asks, NQ, 20, NULL, 0, got, counts, NULL), FM_OK);
            if (threads == 1 && round == 0) {
                memcpy(first, got, sizeof(first));
            }
            assert_memory_equal(first, got, sizeof(first));
        }
        fm__index_close(&w.ix);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    fm__index *ix = NULL;
    fm_error err;
    for (int dim = -1; dim <= FM_INDEX_MAX_DIM + 1; dim += FM_INDEX_MAX_DIM / 2 + 1) {
        fm__index_opts o = {.dim = dim};
        assert_int_equal(
            fm__index_open(NULL, &o, &ix, &err), dim < 1 || dim > FM_INDEX_MAX_DIM ? FM_INVAL : FM_OK);
        fm__index_close(&ix);
    }
    fm__index_opts o = {.dim = 3, .metric = FM_METRIC_COSINE};
    assert_int_equal(fm__index_open(NULL, &o, &ix, NULL), FM_OK);
    const int64_t ids[] = {5, 6};
    const float odd[][6] = {
        {1, 2, 3, NAN, 0, 0}, {1, 2, 3, 0, INFINITY, 0}, {1, 2, 3, 2e18F, 0, 0}, {1, 2, 3, 0, 0, 0}};
    for (size_t i = 0; i < COUNT_OF(odd); i++) {
        assert_int_equal(fm__index_append(ix, ids, odd[i], 2, &err), FM_INVAL);
        assert_non_null(strstr(err.msg, "vector 1"));
        assert_int_equal(fm__index_count(ix), 0); // none of the two
        assert_int_equal(fm__index_search(ix, odd[i] + 3, 1, 1, NULL, 0, got, counts, &err), FM_INVAL);
    }
    const float good[] = {1, 2, 3, 3, 2, 1};
    assert_int_equal(fm__index_append(ix, ids, good, 2, &err), FM_OK);
    const int64_t again[] = {6, 7}, fall[] = {9, 8};
    assert_int_equal(fm__index_append(ix, again, good, 2, &err), FM_INVAL);
    assert_int_equal(fm__index_append(ix, fall, good, 2, &err), FM_INVAL);
    assert_int_equal(fm__index_count(ix), 2);
    assert_int_equal(fm__index_search(ix, good, 1, FM_INDEX_MAX_K + 1, NULL, 0, got, counts, &err), FM_INVAL);
    float v[3];
    assert_int_equal(fm__index_get(ix, 5, v, NULL), FM_OK);
    assert_true(fabsf(v[2] - 3 / sqrtf(14)) < 1e-6F);
    assert_int_equal(fm__index_get(ix, 4, v, &err), FM_NOTFOUND);
    fm__index_close(&ix);
}

static void test_no_memory(void **state)
{
    (void)state;
    uint64_t rng = 5;
    make(&rng, 1100, 8, FM_METRIC_L2, 1);
    const int64_t some[] = {1, 2, 3};
    for (uint64_t nth = 1;; nth++) {
        fm__alloc_fail_at(nth, false);
        fm_status st = fm__index_search(w.ix, w.asks, NQ, 5, some, 3, got, counts, NULL);
        fm__alloc_fail_at(0, false);
        if (st == FM_OK) {
            assert_true(nth > 3);
            break;
        }
        assert_int_equal(st, FM_NOMEM);
    }
    fm__index_close(&w.ix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_buried),
        cmocka_unit_test(test_allowed),
        cmocka_unit_test(test_all_alike),
        cmocka_unit_test(test_threads_change_nothing),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
