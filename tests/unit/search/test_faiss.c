// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// FAISS, the peer: its flat index gives the neighbours of the exact scan, its graph and lists find at least
// 0.95 of them; without it the shim says so.

#include "clusters.h"
#include "fm_config.h"
#include "search/faiss.h"

static double found_by(fm__faiss *f, fm__index *ix)
{
    static fm__hit exact[NQ * K];
    static int64_t theirs[NQ * K];
    static float distances[NQ * K];
    size_t counts[NQ], found = 0;
    assert_int_equal(fm__index_search(ix, asks, NQ, K, NULL, 0, exact, counts, NULL), FM_OK);
    assert_int_equal(fm__faiss_search(f, asks, NQ, K, theirs, distances, NULL), FM_OK);
    for (size_t i = 0; i < NQ * K; i++) {
        for (size_t e = i / K * K; e < (i / K + 1) * K; e++) {
            found += exact[e].id == theirs[i];
        }
    }
    return (double)found / (NQ * K);
}

static void test_kinds(void **state)
{
    (void)state;
    const fm__faiss_kind kinds[] = {FM_FAISS_FLAT, FM_FAISS_HNSW, FM_FAISS_IVF};
    const double least[] = {1, 0.95, 0.95};
    fm__index *ix = index_at(NULL, N, FM_METRIC_L2, 2);
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        fm__faiss_opts o = {.kind = kinds[i], .dim = DIM, .threads = 1};
        fm__faiss *f = NULL;
        assert_int_equal(fm__faiss_new(&o, &f, NULL), FM_OK);
        assert_int_equal(fm__faiss_add(f, ids, rows, N, NULL), FM_OK);
        assert_int_equal(fm__faiss_count(f), N);
        double r = found_by(f, ix);
        if (r < least[i]) {
            fail_msg("kind %zu finds %.3f", i, r);
        }
        fm__faiss_set_effort(f, 1);
        assert_true(i == 0 ? found_by(f, ix) == r : found_by(f, ix) < r);
        fm__faiss_free(&f);
    }
    fm__index_close(&ix);
}

static void test_without(void **state)
{
    (void)state;
    fm__faiss_opts o = {.kind = FM_FAISS_HNSW, .dim = DIM};
    fm__faiss *f = NULL;
    assert_string_equal(fm__faiss_version(), "");
    assert_int_equal(fm__faiss_new(&o, &f, NULL), FM_UNSUPPORTED);
}

int main(void)
{
    fill(51, 0.5F);
    const struct CMUnitTest with[] = {cmocka_unit_test(test_kinds)},
                            without[] = {cmocka_unit_test(test_without)};
    return FM_HAVE_FAISS ? cmocka_run_group_tests(with, NULL, NULL)
                         : cmocka_run_group_tests(without, NULL, NULL);
}
