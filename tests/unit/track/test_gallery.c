// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Galleries against a plain list of the last features: distances at every level, budgets around the size of a
// page, slots and pages used again; the smoothed feature by hand; memory.

#include "../testing.h"
#include "base/alloc.h"
#include "track/gallery.h"

#include <math.h>

enum { DIM = 19, MOST = 40 };

static void random_unit(uint64_t *rng, float *v, size_t dim)
{
    double sum = 0;
    for (size_t i = 0; i < dim; i++) {
        v[i] = (float)rnd_below(rng, 2001) / 1000 - 1;
        sum += (double)v[i] * (double)v[i];
    }
    for (size_t i = 0; i < dim; i++)
        v[i] = (float)((double)v[i] / sqrt(sum));
}

static double distance(const float *a, const float *b, size_t dim)
{
    double dot = 0;
    for (size_t i = 0; i < dim; i++)
        dot += (double)a[i] * (double)b[i];
    return 1 - dot;
}

static void check(const fm__galleries *g, uint32_t slot, float (*list)[DIM], size_t total, uint64_t *rng)
{
    float q[3][DIM], got[3];
    const float *queries[3] = {q[0], q[1], q[2]};
    size_t first = total > g->budget ? total - g->budget : 0;
    for (int i = 0; i < 3; i++)
        random_unit(rng, q[i], DIM);
    fm__gallery_distances(g, slot, queries, 3, got);
    assert_int_equal(fm__gallery_count(g, slot), total - first);
    for (int i = 0; i < 3; i++) {
        double least = INFINITY;
        for (size_t k = first; k < total; k++) {
            double d = distance(list[k], q[i], DIM);
            least = d < least ? d : least;
        }
        if (total == 0) {
            assert_true(isinf(got[i]));
            assert_false(fm__gallery_near(g, slot, q[i], 2));
            continue;
        }
        assert_true(fabs((double)got[i] - least) < 1e-5);
        assert_true(fm__gallery_near(g, slot, q[i], got[i]));
        assert_false(fm__gallery_near(g, slot, q[i], got[i] - 1e-5F));
    }
}

static void test_against_list(void **state)
{
    (void)state;
    const size_t budgets[] = {1, 2, 7, 8, 9, 16, 17, 30};
    uint64_t rng = 2;
    for (int level = 0; level <= (int)fm__cpu_level(); level++)
        for (size_t b = 0; b < COUNT_OF(budgets); b++) {
            fm__galleries g;
            fm__galleries_init(&g, DIM, budgets[b], (fm_cpu_level)level);
            for (int again = 0; again < 3; again++) {
                static float lists[2][MOST][DIM];
                assert_true(fm__galleries_reserve(&g, 2, 0));
                uint32_t slots[2] = {fm__gallery_open(&g), fm__gallery_open(&g)};
                for (size_t total = 0; total < MOST; total++)
                    for (int k = 0; k < 2; k++) {
                        check(&g, slots[k], lists[k], total, &rng);
                        random_unit(&rng, lists[k][total], DIM);
                        assert_true(fm__galleries_reserve(&g, 0, 1));
                        fm__gallery_add(&g, slots[k], lists[k][total]);
                    }
                fm__gallery_close(&g, slots[0]);
                fm__gallery_close(&g, slots[1]);
            }
            fm__galleries_done(&g);
        }
}

static void test_between(void **state)
{
    (void)state;
    uint64_t rng = 7;
    float a[4][DIM], b[3][DIM];
    fm__galleries g;
    fm__galleries_init(&g, DIM, 8, fm__cpu_level());
    assert_true(fm__galleries_reserve(&g, 3, 3));
    uint32_t sa = fm__gallery_open(&g), sb = fm__gallery_open(&g), empty = fm__gallery_open(&g);
    double least = INFINITY;
    for (int i = 0; i < 4; i++) {
        random_unit(&rng, a[i], DIM);
        fm__gallery_add(&g, sa, a[i]);
    }
    for (int i = 0; i < 3; i++) {
        random_unit(&rng, b[i], DIM);
        fm__gallery_add(&g, sb, b[i]);
        for (int k = 0; k < 4; k++)
            least = fmin(least, distance(a[k], b[i], DIM));
    }
    assert_true(fabs((double)fm__gallery_between(&g, sa, sb) - least) < 1e-5);
    assert_true(isinf(fm__gallery_between(&g, sa, empty)) && isinf(fm__gallery_between(&g, empty, sa)));
    fm__galleries_done(&g);
}

static void test_smoothed(void **state)
{
    (void)state;
    const float x[2] = {1, 0}, y[2] = {0, 1}, back[2] = {-1, 0};
    const float *queries[] = {x, y};
    float got[2];
    fm__galleries g;
    fm__galleries_init(&g, 2, 1, FM_CPU_SCALAR);
    assert_true(fm__galleries_reserve(&g, 1, 1));
    uint32_t slot = fm__gallery_open(&g);
    fm__gallery_smooth(&g, slot, x, 0.75F);
    fm__gallery_smooth(&g, slot, y, 0.75F); // (3, 1) / sqrt(10)
    fm__gallery_distances(&g, slot, queries, 2, got);
    assert_true(fabs((double)got[0] - (1 - 3 / sqrt(10))) < 1e-6);
    assert_true(fabs((double)got[1] - (1 - 1 / sqrt(10))) < 1e-6);
    fm__gallery_close(&g, slot);
    slot = fm__gallery_open(&g);
    fm__gallery_smooth(&g, slot, x, 0.5F);
    fm__gallery_smooth(&g, slot, back, 0.5F); // nothing is left: the new one stays
    fm__gallery_distances(&g, slot, queries, 1, got);
    assert_true(fabs((double)got[0] - 2) < 1e-6);
    fm__galleries_done(&g);
}

static void test_unit(void **state)
{
    (void)state;
    const float good[3] = {30, 0, 40}, zero[3] = {0}, nan[3] = {1, NAN, 0}, inf[3] = {INFINITY, 0, 0};
    float out[3];
    assert_true(fm__feature_unit(good, 3, FM_CPU_SCALAR, out));
    assert_true(fabsf(out[0] - 0.6F) < 1e-6F && fabsf(out[2] - 0.8F) < 1e-6F);
    assert_false(fm__feature_unit(zero, 3, FM_CPU_SCALAR, out));
    assert_false(fm__feature_unit(nan, 3, FM_CPU_SCALAR, out));
    assert_false(fm__feature_unit(inf, 3, FM_CPU_SCALAR, out));
}

static void test_no_memory(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 8; nth++) {
        fm__galleries g;
        fm__galleries_init(&g, DIM, 20, FM_CPU_SCALAR);
        fm__alloc_fail_at(nth, false);
        bool ok = fm__galleries_reserve(&g, 3, 3);
        fm__alloc_fail_at(0, false);
        assert_int_equal(ok, nth > 8);
        assert_true(fm__galleries_reserve(&g, 3, 3));
        float f[DIM] = {1};
        for (int i = 0; i < 3; i++)
            fm__gallery_add(&g, fm__gallery_open(&g), f);
        fm__galleries_done(&g);
    }
}

// A thousand lives: no more pages than live at a time.
static void test_bounded(void **state)
{
    (void)state;
    uint64_t rng = 1;
    float f[DIM] = {1};
    fm__galleries g;
    fm__galleries_init(&g, DIM, 24, FM_CPU_SCALAR);
    uint32_t slots[5];
    for (int i = 0; i < 1000; i++) {
        uint32_t *slot = &slots[i % 5];
        if (i >= 5)
            fm__gallery_close(&g, *slot);
        assert_true(fm__galleries_reserve(&g, 1, 1));
        *slot = fm__gallery_open(&g);
        for (int k = rnd_below(&rng, 60); k >= 0; k--) {
            assert_true(fm__galleries_reserve(&g, 1, 1));
            fm__gallery_add(&g, *slot, f);
        }
    }
    assert_in_range(g.page_count, 5, 5 * 3 + 1);
    assert_in_range(g.slot_cap, 5, 16);
    fm__galleries_done(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_list),
        cmocka_unit_test(test_between),
        cmocka_unit_test(test_smoothed),
        cmocka_unit_test(test_unit),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
