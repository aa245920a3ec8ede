// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Histograms against the sorted values themselves: percentiles within a 32nd, totals and counts exact, also
// when several threads add.

#include "../testing.h"

#include "base/thread.h"
#include "pipeline/metrics.h"

#include <math.h>

enum { VALUES = 5000 };

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void check_percentile(double got_ms, const int64_t *sorted, size_t n, double p)
{
    size_t rank = (size_t)(p * (double)n);
    double want = (double)sorted[rank < n ? rank : n - 1] / 1e6;
    if (fabs(got_ms - want) > want / 32 + 1e-6) {
        fail_msg("p%g is %.9g instead of %.9g", p * 100, got_ms, want);
    }
}

static void percentiles_are_within_a_thirtysecond(void **state)
{
    (void)state;
    static fm_metrics m;
    static int64_t values[VALUES];
    uint64_t seed = 71;
    for (int top = 4; top <= 46; top += 7) {
        m = (fm_metrics){0};
        double total = 0;
        for (int i = 0; i < VALUES; i++) {
            values[i] = (int64_t)(rnd(&seed) & ((UINT64_C(1) << (rnd_below(&seed, top) + 1)) - 1));
            total += (double)values[i] / 1e6;
            fm__metrics_add(&m, FM_STAGE_INFER, values[i]);
        }
        qsort(values, VALUES, sizeof(*values), by_value);
        fm_hist_summary s = fm__metrics_summary(&m, FM_STAGE_INFER);
        assert_int_equal(s.count, VALUES);
        assert_true(fabs(s.total_ms - total) <= 1e-9 * total + 1e-9);
        check_percentile(s.p50_ms, values, VALUES, 0.50);
        check_percentile(s.p95_ms, values, VALUES, 0.95);
        check_percentile(s.p99_ms, values, VALUES, 0.99);
    }
}

static void extremes_stay_inside(void **state)
{
    (void)state;
    static fm_metrics m;
    fm_hist_summary s = fm__metrics_summary(&m, FM_STAGE_SINK);
    assert_true(s.count == 0 && s.p99_ms == 0 && s.total_ms == 0);
    fm__metrics_add(&m, FM_STAGE_SINK, -5); // a clock that stepped back counts as nothing
    s = fm__metrics_summary(&m, FM_STAGE_SINK);
    assert_true(s.count == 1 && s.p50_ms == 0 && s.total_ms == 0);
    fm__metrics_add(&m, FM_STAGE_DECODE, INT64_MAX);
    assert_true(fm__metrics_summary(&m, FM_STAGE_DECODE).p50_ms > 1e8); // the last bucket: a day and more
    fm__metrics_add(&m, FM_STAGE_HEAD, 7);
    assert_true(fm__metrics_summary(&m, FM_STAGE_HEAD).p50_ms == 7e-6);
    assert_string_equal(fm__stage_name(FM_STAGE_DECODE), "decode");
    assert_string_equal(fm__stage_name(FM_STAGE_LATENCY), "latency");
}

static void *add_many(void *arg)
{
    fm_metrics *m = arg;
    for (int i = 0; i < 20000; i++) {
        fm__metrics_add(m, FM_STAGE_QUEUE, 1000);
    }
    return NULL;
}

static void nothing_is_lost_over_threads(void **state)
{
    (void)state;
    static fm_metrics m;
    pthread_t threads[3];
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        assert_int_equal(fm__thread_start(&threads[i], "add", add_many, &m, NULL), FM_OK);
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    fm_hist_summary s = fm__metrics_summary(&m, FM_STAGE_QUEUE);
    assert_int_equal(s.count, 60000);
    assert_true(fabs(s.total_ms - 60) < 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentiles_are_within_a_thirtysecond),
        cmocka_unit_test(extremes_stay_inside),
        cmocka_unit_test(nothing_is_lost_over_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
