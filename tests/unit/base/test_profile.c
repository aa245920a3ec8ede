// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Bins and the profile against slow twins: sums kept by the nanosecond, lives told by the test's own clock.

#include "../testing.h"

#include "base/alloc.h"
#include "base/bins.h"
#include "base/clock.h"
#include "base/profile.h"
#include "base/thread.h"

#include <framemill/memory.h>

#include <math.h>
#include <stdlib.h>

#define MS FM_NS_PER_MS

static uint64_t sum_of(const uint64_t *bins)
{
    uint64_t sum = 0;
    for (int i = 0; i < FM_BINS; i++) {
        sum += bins[i];
    }
    return sum;
}

static void spread_is_even_and_loses_nothing(void **state)
{
    (void)state;
    srand(7);
    for (int round = 0; round < 500; round++) {
        uint64_t bins[FM_BINS] = {0};
        int64_t width = FM_BIN_NS, span = FM_BINS * width;
        int64_t a = rand() % (int)span, b = rand() % (int)span;
        int64_t begin = a < b ? a : b, end = a < b ? b : a, ns = (end - begin) / (1 + rand() % 3);
        fm__bins_spread(bins, width, begin, end, ns);
        assert_int_equal(sum_of(bins), end > begin ? ns : 0);
        for (int i = 0; i < FM_BINS; i++) {
            int64_t from = begin > i * width ? begin : i * width;
            int64_t to = end < (i + 1) * width ? end : (i + 1) * width;
            double want = to > from ? (double)ns * (double)(to - from) / (double)(end - begin) : 0;
            assert_true(fabs((double)bins[i] - want) <= FM_BINS); // a nanosecond of rounding a bin
        }
    }
}

static void widening_keeps_places_and_sums(void **state)
{
    (void)state;
    uint64_t fine[FM_BINS], wide[FM_BINS];
    for (int i = 0; i < FM_BINS; i++) {
        fine[i] = wide[i] = (uint64_t)(i * i + 1);
    }
    fm__bins_widen(wide, FM_BIN_NS, 8 * FM_BIN_NS);
    for (int i = 0; i < FM_BINS; i++) {
        uint64_t want = 0;
        for (int k = 8 * i; k < 8 * i + 8 && k < FM_BINS; k++) {
            want += fine[k];
        }
        assert_int_equal(wide[i], want);
    }
    assert_int_equal(fm__bins_width(0, 0), FM_BIN_NS);
    assert_int_equal(fm__bins_width(0, FM_BINS * FM_BIN_NS - 1), FM_BIN_NS);
    assert_int_equal(fm__bins_width(0, FM_BINS * FM_BIN_NS), 2 * FM_BIN_NS);
    int64_t week = 7 * 24 * 3600 * FM_NS_PER_S;
    assert_true(fm__bins_width(0, week) * FM_BINS > week);
}

// Every second for three hours: each bin must be the mean and the most of what a plain list says.
static void series_of_hours(void **state)
{
    (void)state;
    enum { N = 3 * 3600 };
    fm_series *s = calloc(1, sizeof(*s));
    for (int i = 0; i < N; i++) {
        fm__series_add(s, i * FM_NS_PER_S, i % 97);
    }
    assert_true(s->width_ns * FM_BINS > (N - 1) * FM_NS_PER_S);
    for (int bin = 0; bin * s->width_ns < N * FM_NS_PER_S; bin++) {
        double sum = 0, most = 0;
        int count = 0;
        for (int i = 0; i < N; i++) {
            if (i * FM_NS_PER_S / s->width_ns == bin) {
                sum += i % 97;
                most = i % 97 > most ? i % 97 : most;
                count++;
            }
        }
        assert_true(fabs(fm__series_mean(s, bin) - sum / count) < 1e-9);
        assert_true(fabs((double)s->most[bin] - most) < 1e-6);
    }
    assert_true(fabs(fm__series_most(s) - 96) < 1e-6);
    free(s);
}

static void series_holds_its_value(void **state)
{
    (void)state;
    fm_series s = {0};
    assert_true(fabs(fm__series_mean(&s, 0)) < 1e-12);
    fm__series_add(&s, 2 * FM_BIN_NS, 5);
    fm__series_add(&s, 6 * FM_BIN_NS, 3);
    const double want[] = {0, 0, 5, 5, 5, 5, 3, 0};
    for (int i = 0; i < 8; i++) {
        assert_true(fabs(fm__series_mean(&s, i) - want[i]) < 1e-12);
    }
}

/* ---- threads ---- */

static const fm_profile_thread *only(fm_profile *p, fm_profile_view *v)
{
    assert_int_equal(fm__profile_view(p, v, NULL), FM_OK);
    assert_int_equal(v->count, 1);
    return &v->threads[0];
}

static void spans_nest_without_counting_twice(void **state)
{
    (void)state;
    fm_profile *p;
    fm_profile_view v;
    assert_int_equal(fm__profile_new(&p, NULL), FM_OK);
    int64_t start = fm__now_ns();
    fm__profile_start(p, start);
    fm_profile_mark outer = fm__profile_open(p), inner = fm__profile_open(p);
    int64_t at = fm__now_ns();
    fm__profile_add(p, FM_ACT_SINK, at - 1, at);
    fm__profile_close(p, FM_ACT_ORDER, inner);
    fm__profile_add(p, FM_ACT_INFERS, start, start + 1000 * MS); // apart: takes nothing from anybody
    fm__profile_close(p, FM_ACT_BATCH, outer);
    int64_t end = fm__now_ns();
    const fm_profile_thread *t = only(p, &v);
    assert_int_equal(t->total_ns[FM_ACT_SINK], 1);
    assert_int_equal(t->total_ns[FM_ACT_INFERS], 1000 * MS);
    int64_t all = t->total_ns[FM_ACT_SINK] + t->total_ns[FM_ACT_ORDER] + t->total_ns[FM_ACT_BATCH];
    assert_true(all > 0 && all <= end - start);
    assert_int_equal(t->count[FM_ACT_ORDER] + t->count[FM_ACT_BATCH], 2);
    fm__profile_view_done(&v);
    fm__profile_free(&p);
}

static void before_the_origin_is_cut_off(void **state)
{
    (void)state;
    fm_profile *p;
    fm_profile_view v;
    assert_int_equal(fm__profile_new(&p, NULL), FM_OK);
    int64_t origin = fm__now_ns() + FM_NS_PER_S;
    fm__profile_begin(p);
    fm__profile_start(p, origin);
    fm__profile_add(p, FM_ACT_DECODE, origin - 9 * MS, origin - 1 * MS);
    fm__profile_add(p, FM_ACT_DECODE, origin - 5 * MS, origin + 3 * MS);
    fm__profile_add(p, FM_ACT_DECODE, origin + 15 * MS, origin + 25 * MS);
    const fm_profile_thread *t = only(p, &v);
    assert_int_equal(t->total_ns[FM_ACT_DECODE], 13 * MS);
    assert_int_equal(t->count[FM_ACT_DECODE], 2);
    assert_int_equal(t->begin_ns, 0);
    assert_int_equal(v.width_ns, 10 * MS);
    assert_int_equal(t->bins[FM_ACT_DECODE][0], 3 * MS);
    assert_int_equal(t->bins[FM_ACT_DECODE][1], 5 * MS);
    assert_int_equal(t->bins[FM_ACT_DECODE][2], 5 * MS);
    assert_null(t->bins[FM_ACT_SINK]);
    fm__profile_view_done(&v);
    fm__profile_free(&p);
}

typedef struct waiter {
    fm_profile *p;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool waits, go;
    int64_t begin_ns, end_ns; // by the thread's own clock
} waiter;

static void *wait_once(void *arg)
{
    waiter *w = arg;
    w->begin_ns = fm__now_ns();
    fm__profile_begin(w->p);
    fm__profile_wait(w->p, FM_ACT_NO_WORK);
    pthread_mutex_lock(&w->lock);
    w->waits = true;
    pthread_cond_signal(&w->changed);
    while (!w->go) {
        pthread_cond_wait(&w->changed, &w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    fm__profile_woke(w->p);
    volatile double x = 1;
    int64_t busy = fm__now_ns();
    while (fm__now_ns() < busy + 20 * MS) {
        x = x * 1.0000001;
    }
    fm__profile_add(w->p, FM_ACT_TRACK, busy, fm__now_ns());
    fm__profile_end(w->p);
    w->end_ns = fm__now_ns();
    return NULL;
}

static void a_wait_counts_before_it_is_over(void **state)
{
    (void)state;
    waiter w = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    pthread_t thread;
    fm_profile_view v;
    assert_int_equal(fm__profile_new(&w.p, NULL), FM_OK);
    assert_int_equal(fm__thread_start(&thread, "fm-waits", wait_once, &w, NULL), FM_OK);
    pthread_mutex_lock(&w.lock);
    while (!w.waits) {
        pthread_cond_wait(&w.changed, &w.lock);
    }
    pthread_mutex_unlock(&w.lock);
    const fm_profile_thread *t = only(w.p, &v);
    assert_true(t->total_ns[FM_ACT_NO_WORK] > 0 && t->total_ns[FM_ACT_NO_WORK] <= t->life_ns);
    assert_int_equal(t->count[FM_ACT_NO_WORK], 0); // not over yet
    int64_t first = t->total_ns[FM_ACT_NO_WORK];
    fm__profile_view_done(&v);
    pthread_mutex_lock(&w.lock);
    w.go = true;
    pthread_cond_signal(&w.changed);
    pthread_mutex_unlock(&w.lock);
    pthread_join(thread, NULL);
    t = only(w.p, &v);
    assert_string_equal(t->name, "fm-waits");
    assert_true(t->total_ns[FM_ACT_NO_WORK] > first);
    assert_int_equal(t->count[FM_ACT_NO_WORK], 1);
    assert_true(t->life_ns <= w.end_ns - w.begin_ns);
    int64_t named = t->total_ns[FM_ACT_NO_WORK] + t->total_ns[FM_ACT_TRACK];
    assert_true(named <= t->life_ns);
    assert_true(t->total_ns[FM_ACT_TRACK] >= 20 * MS);
    // It computed all the time: on a core, or in line for one.
    assert_true(t->cpu_ns <= t->life_ns);
    assert_true(t->delayed_ns < 0 || t->cpu_ns + t->delayed_ns >= 19 * MS);
    fm__profile_view_done(&v);
    fm__profile_free(&w.p);
}

enum { MANY = FM_PROFILE_DRAWN + 20 };

static void *spin(void *arg)
{
    fm_profile *p = arg;
    int64_t origin = fm__profile_origin(p);
    for (int i = 0; i < 1000; i++) { // of ten days
        int64_t begin = origin + i * 864 * FM_NS_PER_S;
        fm__profile_add(p, FM_ACT_DECODE, begin, begin + FM_NS_PER_S);
    }
    fm__profile_end(p);
    return NULL;
}

static uint64_t base_bytes(void)
{
    fm_memory_stat stats[FM_TAG_COUNT];
    size_t n = fm_memory_stats(stats, FM_TAG_COUNT);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(stats[i].module, "base") == 0) {
            return stats[i].current_bytes;
        }
    }
    return 0;
}

static void many_threads_for_days_stay_bounded(void **state)
{
    (void)state;
    fm_profile *p;
    pthread_t threads[MANY];
    fm_profile_view v;
    uint64_t before = base_bytes();
    assert_int_equal(fm__profile_new(&p, NULL), FM_OK);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(fm__thread_start(&threads[i], "fm-many", spin, p, NULL), FM_OK);
        pthread_join(threads[i], NULL);
    }
    assert_true(base_bytes() - before < MANY * 2048 + FM_PROFILE_DRAWN * FM_BINS * 8 + 4096);
    assert_int_equal(fm__profile_view(p, &v, NULL), FM_OK);
    assert_int_equal(v.count, MANY);
    int drawn = 0;
    for (size_t i = 0; i < v.count; i++) {
        assert_int_equal(v.threads[i].total_ns[FM_ACT_DECODE], 1000 * FM_NS_PER_S);
        drawn += v.threads[i].bins[FM_ACT_DECODE] != NULL;
        if (v.threads[i].bins[FM_ACT_DECODE]) {
            assert_int_equal(sum_of(v.threads[i].bins[FM_ACT_DECODE]), 1000 * FM_NS_PER_S);
        }
    }
    assert_int_equal(drawn, FM_PROFILE_DRAWN);
    fm__profile_view_done(&v);
    fm__profile_free(&p);
    assert_int_equal(base_bytes(), before);
}

static void without_memory_or_profile(void **state)
{
    (void)state;
    fm_profile *p = NULL;
    fm__profile_begin(NULL);
    fm__profile_add(NULL, FM_ACT_SINK, 1, 2);
    fm__profile_wait(NULL, FM_ACT_NO_WORK);
    fm__profile_woke(NULL);
    fm__profile_close(NULL, FM_ACT_BATCH, fm__profile_open(NULL));
    fm__profile_end(NULL);
    fm__alloc_fail_at(1, true);
    assert_int_equal(fm__profile_new(&p, NULL), FM_NOMEM);
    fm__alloc_fail_at(0, false);
    assert_int_equal(fm__profile_new(&p, NULL), FM_OK);
    fm__alloc_fail_at(1, true);
    fm__profile_add(p, FM_ACT_SINK, 1, 2);
    fm_profile_view v;
    assert_int_equal(fm__profile_view(p, &v, NULL), FM_NOMEM);
    fm__alloc_fail_at(0, false);
    assert_int_equal(fm__profile_view(p, &v, NULL), FM_OK);
    assert_true(v.lost >= 1);
    fm__profile_view_done(&v);
    fm__profile_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spread_is_even_and_loses_nothing),
        cmocka_unit_test(widening_keeps_places_and_sums),
        cmocka_unit_test(series_of_hours),
        cmocka_unit_test(series_holds_its_value),
        cmocka_unit_test(spans_nest_without_counting_twice),
        cmocka_unit_test(before_the_origin_is_cut_off),
        cmocka_unit_test(a_wait_counts_before_it_is_over),
        cmocka_unit_test(many_threads_for_days_stay_bounded),
        cmocka_unit_test(without_memory_or_profile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
