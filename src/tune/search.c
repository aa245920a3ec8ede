// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Sequential halving (Karnin, Koren and Somekh: Almost optimal exploration in multi-armed bandits, ICML 2013,
// algorithm 1), the best-arm form of successive halving (Jamieson and Talwalkar: Non-stochastic best arm
// identification and hyperparameter optimization, AISTATS 2016): all arms get a little time, the better ones
// go on with more. Deviations: a quarter goes on instead of a half, since opening a network is what a round
// costs most; samples of earlier rounds are kept; and the first round does not open what its neighbours rule
// out. A series is what differs in batch alone. It goes no further up once two sizes in a row fall behind its
// best, for throughput over batch rises to a peak or a plateau and falls behind it; and a series that is far
// behind the best one at its first two sizes is left: more slots or cores never make up for that at the same
// batch. What was left out is marked so, and never called measured.

#include "tune/search.h"

#include "base/alloc.h"
#include "base/error.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { KEEP_ONE_OF = 4, FINALISTS = 3, MAX_ROUNDS = 3 };
// Samples that an arm takes in each round. The last one decides between neighbours: twenty of a spread of
// 5 % tell 3 % apart.
static const int round_samples[MAX_ROUNDS] = {1, 2, 20};
// Two settings closer than this are one: rounds of the same setting differ by as much on an idle machine.
static const double AS_GOOD = 0.015;
static const double FALLS_BEHIND = 0.95; // of the best of its series: the next size is past the peak
static const double FAR_BEHIND = 0.75;   // of the best of all, at the same two smallest sizes

void fm__tune_stats_add(fm__tune_stats *s, double v)
{
    double delta = v - s->mean;
    s->n++;
    s->mean += delta / s->n;
    s->m2 += delta * (v - s->mean);
}

double fm__tune_stats_half(const fm__tune_stats *s)
{
    // 97.5 % quantiles of Student's t for 1, 2, ... degrees of freedom
    static const double t[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201,
        2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060,
        2.056, 2.052, 2.048, 2.045, 2.042};
    int freedom = s->n - 1, most = (int)(sizeof(t) / sizeof(t[0]));
    if (freedom < 1) {
        return 0;
    }
    double q = freedom <= most ? t[freedom - 1] : 1.960 + 2.4 / freedom; // within 0.002 of the quantile
    return q * sqrt(s->m2 / freedom / s->n);
}

void fm__tune_arm_add(fm__tune_arm *arm, const fm__tune_sample *sample)
{
    fm__tune_stats_add(&arm->fps, sample->fps);
    fm__tune_stats_add(&arm->p50_ms, sample->p50_ms);
    fm__tune_stats_add(&arm->p99_ms, sample->p99_ms);
    fm__tune_stats_add(&arm->cpu_ms, sample->cpu_ms);
    fm__tune_stats_add(&arm->share, sample->share);
    arm->state = FM_TUNE_MEASURED;
}

bool fm__tune_fits(const fm__tune_goal *goal, const fm__tune_arm *arm)
{
    return (goal->max_p99_ms <= 0 || arm->p99_ms.mean <= goal->max_p99_ms) &&
           (goal->max_memory_bytes <= 0 || arm->memory_bytes <= goal->max_memory_bytes);
}

// Larger is better, in whatever unit; ratios have a meaning.
static double score(const fm__tune_goal *goal, const fm__tune_arm *arm)
{
    if (goal->objective == FM_TUNE_LATENCY) {
        return arm->p99_ms.mean > 0 ? 1000 / arm->p99_ms.mean : 0;
    }
    return arm->fps.mean;
}

static bool is_measured(const fm__tune_arm *arm)
{
    return arm->state == FM_TUNE_MEASURED;
}

// How far beyond its bounds, as a factor: 1 is within.
static double excess(const fm__tune_goal *goal, const fm__tune_arm *arm)
{
    double time = goal->max_p99_ms > 0 ? arm->p99_ms.mean / goal->max_p99_ms : 0;
    double memory =
        goal->max_memory_bytes > 0 ? (double)arm->memory_bytes / (double)goal->max_memory_bytes : 0;
    double most = time > memory ? time : memory;
    return most > 1 ? most : 1;
}

// Those within the bounds first, then those least beyond them.
static bool better(const fm__tune_goal *goal, const fm__tune_arm *a, const fm__tune_arm *b)
{
    double ea = excess(goal, a), eb = excess(goal, b);
    return ea != eb ? ea < eb : score(goal, a) > score(goal, b);
}

size_t fm__tune_best(const fm__tune_goal *goal, const fm__tune_arm *arms, size_t count)
{
    size_t best = count;
    int rounds = 0;
    // Those of the last round were measured longest; a lucky sample of the first one is no rival.
    for (size_t i = 0; i < count; i++) {
        bool takes_part = is_measured(&arms[i]) && fm__tune_fits(goal, &arms[i]);
        rounds = takes_part && arms[i].rounds > rounds ? arms[i].rounds : rounds;
    }
    for (size_t i = 0; i < count; i++) {
        bool takes_part = is_measured(&arms[i]) && fm__tune_fits(goal, &arms[i]) && arms[i].rounds == rounds;
        if (takes_part && (best == count || better(goal, &arms[i], &arms[best]))) {
            best = i;
        }
    }
    size_t chosen = best;
    for (size_t i = 0; best < count && i < count; i++) {
        const fm__tune_arm *a = &arms[i], *c = &arms[chosen];
        bool as_good = is_measured(a) && fm__tune_fits(goal, a) && a->rounds == rounds &&
                       score(goal, a) >= (1 - AS_GOOD) * score(goal, &arms[best]);
        if (as_good && a->batch * a->slots < c->batch * c->slots) {
            chosen = i;
        }
    }
    return chosen;
}

void fm__tune_pareto(const fm__tune_arm *arms, size_t count, bool *front)
{
    for (size_t i = 0; i < count; i++) {
        front[i] = is_measured(&arms[i]);
        for (size_t k = 0; front[i] && k < count; k++) {
            bool beats = is_measured(&arms[k]) && arms[k].fps.mean >= arms[i].fps.mean &&
                         arms[k].p99_ms.mean <= arms[i].p99_ms.mean &&
                         (arms[k].fps.mean > arms[i].fps.mean || arms[k].p99_ms.mean < arms[i].p99_ms.mean);
            front[i] = !beats;
        }
    }
}

/* ---- the first round: who takes part at all */

static bool same_series(const fm__tune_arm *a, const fm__tune_arm *b)
{
    return a->slots == b->slots && a->threads == b->threads;
}

static double best_score(const fm__tune_goal *goal, const fm__tune_arm *arms, size_t count, int max_batch)
{
    double best = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_measured(&arms[i]) && arms[i].batch <= max_batch && score(goal, &arms[i]) > best) {
            best = score(goal, &arms[i]);
        }
    }
    return best;
}

// Looks at the arms before `at` only: they are in ascending order of batch.
static bool is_ruled_out(const fm__tune_goal *goal, fm__tune_arm *arms, size_t at)
{
    fm__tune_arm *arm = &arms[at];
    const fm__tune_arm *last[2] = {NULL, NULL};
    double peak = 0;
    int seen = 0;
    for (size_t i = 0; i < at; i++) {
        const fm__tune_arm *a = &arms[i];
        if (!same_series(a, arm) || !is_measured(a)) {
            continue;
        }
        last[0] = last[1];
        last[1] = a;
        seen++;
        peak = score(goal, a) > peak ? score(goal, a) : peak;
    }
    if (seen < 2) {
        return false;
    }
    if (score(goal, last[0]) < FALLS_BEHIND * peak && score(goal, last[1]) < FALLS_BEHIND * peak) {
        snprintf(arm->why, sizeof(arm->why), "batches %d and %d were behind smaller ones already",
            last[0]->batch, last[1]->batch);
        return true;
    }
    if (seen == 2 && peak < FAR_BEHIND * best_score(goal, arms, at, last[1]->batch)) {
        snprintf(arm->why, sizeof(arm->why), "%d slots on %d cores were far behind at small batches",
            arm->slots, arm->threads);
        return true;
    }
    return false;
}

static fm_status first_round(
    const fm__tune_search_opts *o, fm__tune_arm *arms, size_t count, int samples, fm_error *err)
{
    fm_status st = FM_OK;
    for (size_t i = 0; st == FM_OK && i < count; i++) {
        if (!o->grid && is_ruled_out(&o->goal, arms, i)) {
            arms[i].state = FM_TUNE_SKIPPED;
            continue;
        }
        st = o->measure(arms, &i, 1, samples, o->opaque, err);
        arms[i].rounds = 1;
    }
    return st;
}

/* ---- the others */

// The better quarter of those that took part in the last round, best first. Returns how many.
static size_t survivors(
    const fm__tune_goal *goal, const fm__tune_arm *arms, size_t count, int round, size_t *which)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_measured(&arms[i]) || arms[i].rounds != round) {
            continue;
        }
        size_t at = n++;
        for (; at > 0 && better(goal, &arms[i], &arms[which[at - 1]]); at--) {
            which[at] = which[at - 1];
        }
        which[at] = i;
    }
    size_t kept = (n + KEEP_ONE_OF - 1) / KEEP_ONE_OF;
    kept = kept < FINALISTS ? FINALISTS : kept;
    return kept < n ? kept : n;
}

fm_status fm__tune_search(const fm__tune_search_opts *o, fm__tune_arm *arms, size_t count, fm_error *err)
{
    size_t *which = fm__calloc_array(FM_TAG_TUNE, count ? count : 1, sizeof(*which));
    if (!which) {
        return fm__fail_nomem(err, "a search");
    }
    int all = 0;
    for (int r = 0; r < MAX_ROUNDS; r++) {
        all += round_samples[r];
    }
    fm_status st = first_round(o, arms, count, o->grid ? all : round_samples[0], err);
    for (int round = 1; st == FM_OK && !o->grid && round < MAX_ROUNDS; round++) {
        size_t n = survivors(&o->goal, arms, count, round, which);
        bool last = n <= FINALISTS;
        int samples = last ? round_samples[MAX_ROUNDS - 1] : round_samples[round];
        st = n > 0 ? o->measure(arms, which, n, samples, o->opaque, err) : FM_OK;
        for (size_t i = 0; i < n; i++) {
            arms[which[i]].rounds = round + 1;
        }
        if (last) {
            break;
        }
    }
    fm__free(which);
    return st;
}
