// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The assignment against a dumb version that tries everything, over random small matrices of every shape,
// with ties, forbidden pairs and limits; both ways to call it; memory that is refused.

#include "../testing.h"
#include "base/alloc.h"
#include "track/assign.h"

#include <math.h>

enum { MOST = 7, CASES = 6000 };

typedef struct problem {
    size_t rows, cols;
    double limit;
    float cost[MOST * MOST];
} problem;

typedef struct verdict {
    int made; // pairs
    double cost;
} verdict;

static bool better(const problem *p, verdict a, verdict b)
{
    if (isinf(p->limit))
        return a.made > b.made || (a.made == b.made && a.cost < b.cost);
    return a.cost - a.made * p->limit < b.cost - b.made * p->limit;
}

static void try_rows(const problem *p, size_t row, unsigned taken, verdict now, verdict *best)
{
    if (row == p->rows) {
        if (better(p, now, *best))
            *best = now;
        return;
    }
    try_rows(p, row + 1, taken, now, best);
    for (size_t col = 0; col < p->cols; col++) {
        float c = p->cost[row * p->cols + col];
        if ((taken >> col & 1) == 0 && !isinf(c) && (double)c <= p->limit)
            try_rows(p, row + 1, taken | 1u << col, (verdict){now.made + 1, now.cost + (double)c}, best);
    }
}

static verdict judge(const problem *p, const int32_t *col_of_row)
{
    verdict v = {0};
    unsigned taken = 0;
    for (size_t row = 0; row < p->rows; row++) {
        int32_t col = col_of_row[row];
        if (col < 0) {
            assert_int_equal(col, -1);
            continue;
        }
        assert_true((size_t)col < p->cols && (taken >> col & 1) == 0);
        taken |= 1u << col;
        float c = p->cost[row * p->cols + (size_t)col];
        assert_true(!isinf(c) && (double)c <= p->limit);
        v = (verdict){v.made + 1, v.cost + (double)c};
    }
    return v;
}

static problem make(uint64_t *rng)
{
    problem p = {.rows = (size_t)rnd_below(rng, MOST + 1), .cols = (size_t)rnd_below(rng, MOST + 1)};
    int kind = rnd_below(rng, 4), forbidden = rnd_below(rng, 90);
    p.limit = rnd_below(rng, 3) == 0 ? INFINITY : rnd_below(rng, 100) / 80.0;
    for (size_t i = 0; i < p.rows * p.cols; i++) {
        float c = (float)rnd_below(rng, 1000) / 1000.0F;
        if (kind == 0)
            c = (float)rnd_below(rng, 3) / 2; // ties
        else if (kind == 1)
            c = c * 20 - 10; // below zero, too
        p.cost[i] = rnd_below(rng, 100) < forbidden ? INFINITY : c;
    }
    return p;
}

static size_t list_pairs(const problem *p, fm__pair *pairs)
{
    size_t n = 0;
    for (size_t i = p->rows * p->cols; i-- > 0;) // any order will do
        if (!isinf(p->cost[i]))
            pairs[n++] = (fm__pair){(int32_t)(i / p->cols), (int32_t)(i % p->cols), p->cost[i]};
    return n;
}

static void test_brute_force(void **state)
{
    (void)state;
    uint64_t rng = 11;
    fm__assign a = {0};
    for (int i = 0; i < CASES; i++) {
        problem p = make(&rng);
        fm__pair pairs[MOST * MOST];
        size_t n = list_pairs(&p, pairs);
        verdict best = {0};
        try_rows(&p, 0, 0, best, &best);
        int32_t got[2][MOST];
        assert_true(fm__assign_reserve(&a, p.rows, p.cols, p.rows * p.cols));
        fm__assign_dense(&a, p.cost, p.rows, p.cols, p.limit, got[0]);
        fm__assign_pairs(&a, pairs, n, p.rows, p.cols, p.limit, got[1]);
        for (int k = 0; k < 2; k++) {
            verdict v = judge(&p, got[k]);
            double worse = isinf(p.limit) ? (best.made - v.made) * 1e6 + v.cost - best.cost
                                          : (v.cost - v.made * p.limit) - (best.cost - best.made * p.limit);
            if (fabs(worse) > 1e-5)
                fail_msg("case %d: %d pairs, %.9g; by brute force %d, %.9g", i, v.made, v.cost, best.made,
                    best.cost);
        }
    }
    fm__assign_done(&a);
}

// Rows that all want the same columns, many of them: every search runs through the whole tree.
static void test_contested(void **state)
{
    (void)state;
    enum { N = 300 };
    fm__assign a = {0};
    float *cost = calloc(N * N, sizeof *cost);
    int32_t got[N];
    for (size_t r = 0; r < N; r++)
        for (size_t c = 0; c < N; c++)
            cost[r * N + c] = (float)((r + 1) * (c + 1)) / (N * N); // best: largest row, smallest column
    assert_true(fm__assign_reserve(&a, N, N, N * N));
    fm__assign_dense(&a, cost, N, N, INFINITY, got);
    for (int r = 0; r < N; r++)
        assert_int_equal(got[r], N - 1 - r);
    free(cost);
    fm__assign_done(&a);
}

static void test_steady_state(void **state)
{
    (void)state;
    fm__assign a = {0};
    fm__pair pairs[] = {{0, 1, 0.5F}, {1, 1, 0.25F}, {1, 0, 1}};
    int32_t got[2];
    assert_true(fm__assign_reserve(&a, 2, 2, 3));
    uint64_t before = fm__alloc_count();
    for (int i = 0; i < 100; i++) {
        assert_true(fm__assign_reserve(&a, 2, 2, 3));
        fm__assign_pairs(&a, pairs, 3, 2, 2, 2, got);
    }
    assert_int_equal(fm__alloc_count(), before);
    assert_int_equal(got[0], 1);
    assert_int_equal(got[1], 0);
    fm__assign_done(&a);
}

static void test_no_memory(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 10; nth++) {
        fm__assign a = {0};
        fm__alloc_fail_at(nth, false);
        bool ok = fm__assign_reserve(&a, 3, 3, 9);
        fm__alloc_fail_at(0, false);
        assert_false(ok);
        assert_true(fm__assign_reserve(&a, 3, 3, 9));
        float cost[9] = {1, 2, 3, 2, 1, 3, 3, 2, 1};
        int32_t got[3];
        fm__assign_dense(&a, cost, 3, 3, INFINITY, got);
        assert_true(got[0] == 0 && got[1] == 1 && got[2] == 2);
        fm__assign_done(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_brute_force),
        cmocka_unit_test(test_contested),
        cmocka_unit_test(test_steady_state),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
