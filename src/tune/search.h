// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The search for the best setting, apart from what is measured: arms, their samples, which of them go on.
 * Memory in, memory out; whoever measures is a callback, so that a test can put a known grid with noise in
 * its place. */
#ifndef FM_TUNE_SEARCH_H
#define FM_TUNE_SEARCH_H

#include <framemill/tune.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Mean and spread of samples as they come (Welford 1962). */
typedef struct fm__tune_stats {
    int n;
    double mean, m2;
} fm__tune_stats;

void fm__tune_stats_add(fm__tune_stats *s, double v);
/** Half of the 95 % confidence interval of the mean, Student's t; 0 with fewer than two samples. */
double fm__tune_stats_half(const fm__tune_stats *s);

/** One stretch of work under full load. */
typedef struct fm__tune_sample {
    double fps;
    double p50_ms, p99_ms; // from being taken into a batch to the result
    double cpu_ms;         // processor time a frame, of the whole process
    double share;          // of the cores that it wanted; the above are as if it had had all
} fm__tune_sample;

typedef struct fm__tune_arm {
    int batch, slots, threads;
    fm__tune_stats fps, p50_ms, p99_ms, cpu_ms, share;
    int64_t memory_bytes; // what the process grew by; 0: not known
    int rounds;           // that it took part in
    fm_tune_state state;
    char why[256]; // FAILED, SKIPPED
} fm__tune_arm;

void fm__tune_arm_add(fm__tune_arm *arm, const fm__tune_sample *sample);

typedef struct fm__tune_goal {
    fm_tune_objective objective;
    double max_p99_ms;        // 0: no bound
    int64_t max_memory_bytes; // 0: no bound
} fm__tune_goal;

/** Does it keep the bounds? */
bool fm__tune_fits(const fm__tune_goal *goal, const fm__tune_arm *arm);
/** The best one: of those that are as good, within what noise can tell, the one with the fewest frames under
 * way. `count` when there is none. */
size_t fm__tune_best(const fm__tune_goal *goal, const fm__tune_arm *arms, size_t count);
/** front[i]: no other arm has both more throughput and less latency. */
void fm__tune_pareto(const fm__tune_arm *arms, size_t count, bool *front);

/** Measures `count` arms of these numbers, each `samples` times more, in turns where it can, and adds to them
 * what came out; what fails is written into its arm and the others go on. Not OK: the search ends. */
typedef fm_status (*fm__tune_measure_fn)(
    fm__tune_arm *arms, const size_t *which, size_t count, int samples, void *opaque, fm_error *err);

typedef struct fm__tune_search_opts {
    fm__tune_goal goal;
    bool grid; // every arm as often as the last ones of a search
    fm__tune_measure_fn measure;
    void *opaque;
} fm__tune_search_opts;

/** Arms in ascending order of batch. Returns what `measure` returned when that was not OK; arms hold what was
 * measured until then. */
fm_status fm__tune_search(
    const fm__tune_search_opts *opts, fm__tune_arm *arms, size_t count, fm_error *err) FM_MUST_USE;

#endif
