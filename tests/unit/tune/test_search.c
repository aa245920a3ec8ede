// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The search over grids that are known: machines made up of a formula, with seeded noise on every sample and
// a price for opening a setting. What it picks is held against the grid's true best, and what it spent
// against what the full grid would have cost.

#include "../testing.h"

#include "base/error.h"
#include "tune/search.h"

#include <math.h>

enum { MAX_ARMS = 96 };
static const int batches[] = {1, 2, 4, 8, 16, 32, 64};

typedef struct machine {
    double (*fps)(const fm__tune_arm *arm); // the truth
    double noise;                           // relative standard deviation of a sample
    double burst;                           // chance of a sample that other work slows down by a third
    int fail_from;                          // batches from here fail, 0: none
    uint64_t seed;
    double spent_s;
    int calls, stop_after; // 0: never
} machine;

static double uniform(uint64_t *seed)
{
    return (double)(rnd(seed) >> 11) / 9007199254740992.0;
}

// Box and Muller 1958.
static double normal(uint64_t *seed)
{
    double u = uniform(seed), v = uniform(seed);
    return sqrt(-2 * log(u + 1e-300)) * cos(6.283185307179586 * v);
}

// A processor: batches gain nothing and cost caches, one stream wastes a fifth.
static double cpu_fps(const fm__tune_arm *a)
{
    double streams = a->slots < a->threads ? a->slots : a->threads;
    double rate = 35.0 * a->threads * (streams < a->threads ? 0.8 : 1.0);
    rate *= a->slots > a->threads ? 1.04 : 1.0;
    return rate * (1 - 0.02 * log2(a->batch));
}

// A device where batches win up to 16, and a second slot hides the way there.
static double gpu_fps(const fm__tune_arm *a)
{
    double ms = 2.0 + 0.25 * a->batch + (a->batch > 16 ? 0.1 * (a->batch - 16) : 0);
    return 1000.0 * a->batch / ms * (a->slots > 1 ? 1.25 : 1.0) * (a->threads > 1 ? 1 : 0.97);
}

// A peak in the middle that depends on the slots.
static double ridge_fps(const fm__tune_arm *a)
{
    double at = log2(a->batch) - (a->slots == 1 ? 4 : a->slots == 2 ? 3 : 2);
    return 200.0 * a->threads / (1 + 0.08 * at * at) * (a->slots == 3 ? 1.08 : 1);
}

static double sample_seconds(const machine *m, const fm__tune_arm *a)
{
    double round = 2.0 * a->batch / m->fps(a);
    return round > 0.25 ? round : 0.25;
}

static fm_status measure(
    fm__tune_arm *arms, const size_t *which, size_t count, int samples, void *opaque, fm_error *err)
{
    machine *m = opaque;
    for (size_t i = 0; i < count; i++) {
        fm__tune_arm *a = &arms[which[i]];
        if (m->stop_after && ++m->calls > m->stop_after) {
            return fm__fail(err, FM_CANCELED, "stopped");
        }
        if (m->fail_from && a->batch >= m->fail_from) {
            a->state = FM_TUNE_FAILED;
            snprintf(a->why, sizeof(a->why), "out of memory");
            m->spent_s += 0.3;
            continue;
        }
        m->spent_s += 0.4; // opened
        for (int k = 0; k < samples; k++) {
            double v = m->fps(a) * (1 + m->noise * normal(&m->seed));
            v *= uniform(&m->seed) < m->burst ? 0.67 : 1;
            fm__tune_sample s = {.fps = v, .p50_ms = 900 * a->batch * a->slots / v};
            s.p99_ms = 1.1 * s.p50_ms;
            fm__tune_arm_add(a, &s);
            a->memory_bytes = (int64_t)a->batch * a->slots << 23;
            m->spent_s += sample_seconds(m, a);
        }
    }
    return FM_OK;
}

static size_t make_grid(fm__tune_arm *arms, int max_batch)
{
    static const int series[][2] = {{1, 2}, {2, 2}, {3, 2}, {1, 1}, {2, 1}};
    size_t n = 0;
    for (size_t b = 0; b < COUNT_OF(batches) && batches[b] <= max_batch; b++) {
        for (size_t s = 0; s < COUNT_OF(series); s++) {
            arms[n++] = (fm__tune_arm){.batch = batches[b], .slots = series[s][0], .threads = series[s][1]};
        }
    }
    return n;
}

typedef struct outcome {
    fm__tune_arm arms[MAX_ARMS];
    size_t count, best;
    double spent_s;
    fm_status status;
} outcome;

static outcome run(machine *m, fm__tune_goal goal, bool grid)
{
    outcome o = {.count = 0};
    o.count = make_grid(o.arms, 64);
    fm__tune_search_opts so = {.goal = goal, .grid = grid, .measure = measure, .opaque = m};
    m->spent_s = 0;
    fm_error err;
    o.status = fm__tune_search(&so, o.arms, o.count, &err);
    o.best = fm__tune_best(&goal, o.arms, o.count);
    o.spent_s = m->spent_s;
    return o;
}

static double true_best(const machine *m, const outcome *o)
{
    double best = 0;
    for (size_t i = 0; i < o->count; i++) {
        best = m->fps(&o->arms[i]) > best ? m->fps(&o->arms[i]) : best;
    }
    return best;
}

static double (*const machines[])(const fm__tune_arm *) = {cpu_fps, gpu_fps, ridge_fps};

static void finds_what_the_grid_finds_in_a_quarter_of_its_time(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT_OF(machines); k++) {
        int close = 0;
        double worst = 1, dearest = 0;
        for (int seed = 0; seed < 40; seed++) {
            machine m = {.fps = machines[k], .noise = 0.03, .seed = (uint64_t)seed + 100};
            outcome o = run(&m, (fm__tune_goal){0}, false), g = run(&m, (fm__tune_goal){0}, true);
            assert_int_equal(o.status, FM_OK);
            assert_true(o.best < o.count);
            double got = m.fps(&o.arms[o.best]) / true_best(&m, &o), cost = o.spent_s / g.spent_s;
            worst = got < worst ? got : worst;
            dearest = cost > dearest ? cost : dearest;
            close += got >= 0.97;
        }
        print_message("machine %zu: within 3 %% in %d of 40, worst %.3f, at most %.3f of the grid's time\n",
            k, close, worst, dearest);
        assert_true(close >= 39 && worst > 0.94);
        assert_true(dearest <= 0.25);
    }
}

static void other_work_does_not_lead_it_far_astray(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT_OF(machines); k++) {
        int close = 0;
        for (int seed = 0; seed < 40; seed++) {
            machine m = {.fps = machines[k], .noise = 0.05, .burst = 0.1, .seed = (uint64_t)seed + 7};
            outcome o = run(&m, (fm__tune_goal){0}, false);
            close += m.fps(&o.arms[o.best]) >= 0.90 * true_best(&m, &o);
        }
        print_message("machine %zu with bursts: within 10 %% in %d of 40\n", k, close);
        assert_true(close >= 36);
    }
}

static void without_noise_it_is_exact(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT_OF(machines); k++) {
        machine m = {.fps = machines[k]};
        outcome o = run(&m, (fm__tune_goal){0}, false);
        assert_true(m.fps(&o.arms[o.best]) >= 0.985 * true_best(&m, &o));
        outcome g = run(&m, (fm__tune_goal){0}, true);
        for (size_t i = 0; i < g.count; i++) {
            assert_int_equal(g.arms[i].state, FM_TUNE_MEASURED);
            assert_int_equal(g.arms[i].fps.n, g.arms[0].fps.n);
        }
        assert_true(m.fps(&g.arms[g.best]) >= 0.985 * true_best(&m, &g));
    }
}

static void bounds_are_kept(void **state)
{
    (void)state;
    machine m = {.fps = gpu_fps, .noise = 0.01, .seed = 4};
    fm__tune_goal goal = {.max_p99_ms = 6};
    outcome o = run(&m, goal, false);
    assert_true(o.best < o.count);
    double best = 0; // of those that keep the bound in truth, with a margin for noise
    for (size_t i = 0; i < o.count; i++) {
        const fm__tune_arm *a = &o.arms[i];
        if (990.0 * a->batch * a->slots / gpu_fps(a) <= 0.97 * goal.max_p99_ms) {
            best = gpu_fps(a) > best ? gpu_fps(a) : best;
        }
    }
    assert_true(o.arms[o.best].p99_ms.mean <= goal.max_p99_ms);
    assert_true(gpu_fps(&o.arms[o.best]) >= 0.95 * best);
    goal = (fm__tune_goal){.max_memory_bytes = (int64_t)8 << 23};
    o = run(&m, goal, false);
    assert_true(o.best < o.count && o.arms[o.best].batch * o.arms[o.best].slots <= 8);
    goal = (fm__tune_goal){.max_p99_ms = 0.001};
    o = run(&m, goal, false);
    assert_int_equal(o.best, o.count); // nothing is that fast
}

static void the_least_latency_is_found(void **state)
{
    (void)state;
    machine m = {.fps = cpu_fps, .noise = 0.02, .seed = 5};
    outcome o = run(&m, (fm__tune_goal){.objective = FM_TUNE_LATENCY}, false);
    assert_int_equal(o.arms[o.best].batch, 1);
    assert_int_equal(o.arms[o.best].slots, 1);
    assert_int_equal(o.arms[o.best].threads, 2);
}

static void sizes_that_fail_do_not_end_it(void **state)
{
    (void)state;
    machine m = {.fps = gpu_fps, .noise = 0.01, .fail_from = 8, .seed = 6};
    outcome o = run(&m, (fm__tune_goal){0}, false);
    assert_int_equal(o.status, FM_OK);
    assert_int_equal(o.arms[o.best].batch, 4);
    int failed = 0;
    for (size_t i = 0; i < o.count; i++) {
        failed += o.arms[i].state == FM_TUNE_FAILED;
        assert_int_not_equal(o.arms[i].state, FM_TUNE_WAITING);
    }
    assert_true(failed >= 4);
    m.fail_from = 1;
    o = run(&m, (fm__tune_goal){0}, false);
    assert_int_equal(o.status, FM_OK);
    assert_int_equal(o.best, o.count);
}

static void a_stop_leaves_the_best_so_far(void **state)
{
    (void)state;
    for (int after = 1; after < 40; after++) {
        machine m = {.fps = cpu_fps, .noise = 0.01, .stop_after = after, .seed = 8};
        outcome o = run(&m, (fm__tune_goal){0}, false);
        assert_true(o.best < o.count);
        assert_int_equal(o.arms[o.best].state, FM_TUNE_MEASURED);
    }
}

static void the_front_is_what_nothing_beats(void **state)
{
    (void)state;
    uint64_t seed = 9;
    for (int round = 0; round < 200; round++) {
        fm__tune_arm arms[12] = {{0}};
        bool front[12];
        for (int i = 0; i < 12; i++) {
            fm__tune_sample s = {.fps = rnd_below(&seed, 8), .p99_ms = rnd_below(&seed, 8)};
            if (rnd_below(&seed, 5)) {
                fm__tune_arm_add(&arms[i], &s);
            }
        }
        fm__tune_pareto(arms, 12, front);
        for (int i = 0; i < 12; i++) {
            int beaten = 0;
            for (int k = 0; k < 12; k++) {
                double more = arms[k].fps.mean - arms[i].fps.mean;
                double less = arms[i].p99_ms.mean - arms[k].p99_ms.mean;
                beaten += arms[k].fps.n && more >= 0 && less >= 0 && more + less > 0;
            }
            assert_int_equal(front[i], arms[i].fps.n && !beaten);
        }
    }
}

// Against the formula on numbers whose interval is in every textbook: 1..10, mean 5.5, s = 3.0277, t = 2.262.
static void intervals_are_students(void **state)
{
    (void)state;
    fm__tune_stats s = {0};
    assert_true(fm__tune_stats_half(&s) == 0);
    for (int i = 1; i <= 10; i++) {
        fm__tune_stats_add(&s, i);
    }
    assert_true(fabs(s.mean - 5.5) < 1e-12);
    assert_true(fabs(fm__tune_stats_half(&s) - 2.262 * 3.02765 / sqrt(10)) < 1e-3);
    for (int i = 0; i < 90; i++) { // beyond the table: t of 99 degrees of freedom is 1.984
        fm__tune_stats_add(&s, i % 2 ? 5 : 6);
    }
    assert_true(fabs(fm__tune_stats_half(&s) / (1.984 * sqrt(s.m2 / 99 / 100)) - 1) < 2e-3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_the_grid_finds_in_a_quarter_of_its_time),
        cmocka_unit_test(other_work_does_not_lead_it_far_astray),
        cmocka_unit_test(without_noise_it_is_exact),
        cmocka_unit_test(bounds_are_kept),
        cmocka_unit_test(the_least_latency_is_found),
        cmocka_unit_test(sizes_that_fail_do_not_end_it),
        cmocka_unit_test(a_stop_leaves_the_best_so_far),
        cmocka_unit_test(the_front_is_what_nothing_beats),
        cmocka_unit_test(intervals_are_students),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
