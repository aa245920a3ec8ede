// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Histograms with log-linear buckets after the idea of HdrHistogram (Tene): the exponent of a duration and
// its next four bits choose the bucket, so that the error of a percentile is bounded by a 32nd of its value
// whatever its size, and adding is one relaxed atomic increment. Durations past 2^47 ns (39 hours) land in
// the last one.

#include "pipeline/metrics.h"

#include <stddef.h>
#include <string.h>

#define SUB_BITS 4

const char *fm__stage_name(fm_stage stage)
{
    static const char *const names[FM_STAGE_COUNT] = {"decode", "enhance", "queue", "preprocess", "infer",
        "head", "segment", "classify", "embed", "track", "sink", "latency"};
    return names[stage];
}

// Values below 16 have a bucket each; from there on the top five bits count.
static size_t bucket_of(uint64_t ns)
{
    if (ns < FM_HIST_SUB) {
        return (size_t)ns;
    }
    int exponent = 63 - __builtin_clzll(ns);
    size_t i = (size_t)(exponent - SUB_BITS + 1) * FM_HIST_SUB +
               (size_t)((ns >> (exponent - SUB_BITS)) & (FM_HIST_SUB - 1));
    return i < FM_HIST_BUCKETS ? i : FM_HIST_BUCKETS - 1;
}

// Middle of a bucket.
static double bucket_value(size_t i)
{
    if (i < FM_HIST_SUB) {
        return (double)i;
    }
    int shift = (int)(i / FM_HIST_SUB) - 1;
    double low = (double)((uint64_t)(FM_HIST_SUB + i % FM_HIST_SUB) << shift);
    return low + (double)(UINT64_C(1) << shift) / 2;
}

void fm__metrics_add(fm_metrics *m, fm_stage stage, int64_t ns)
{
    fm_hist *h = &m->stage[stage];
    uint64_t v = ns > 0 ? (uint64_t)ns : 0;
    atomic_fetch_add_explicit(&h->bucket[bucket_of(v)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->total_ns, v, memory_order_relaxed);
}

static double percentile_ms(const fm_hist *h, uint64_t count, double p)
{
    uint64_t rank = (uint64_t)(p * (double)count), seen = 0;
    rank = rank >= count ? count - 1 : rank;
    for (size_t i = 0; i < FM_HIST_BUCKETS; i++) {
        seen += atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
        if (seen > rank) {
            return bucket_value(i) / 1e6;
        }
    }
    return 0;
}

// The buckets [*first, *last] that something is in.
static bool occupied(const fm_hist *h, int *first, int *last)
{
    *first = -1;
    for (int i = 0; i < FM_HIST_BUCKETS; i++) {
        if (atomic_load_explicit(&h->bucket[i], memory_order_relaxed) > 0) {
            *first = *first < 0 ? i : *first;
            *last = i;
        }
    }
    return *first >= 0;
}

bool fm__metrics_shape(
    const fm_metrics *m, fm_stage stage, uint64_t *cells, int n, double *from_ms, double *to_ms)
{
    const fm_hist *h = &m->stage[stage];
    int first = 0, last = 0;
    if (!occupied(h, &first, &last)) {
        return false;
    }
    memset(cells, 0, (size_t)n * sizeof(*cells));
    for (int i = first; i <= last; i++) {
        cells[(i - first) * n / (last - first + 1)] +=
            atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
    }
    *from_ms = bucket_value((size_t)first) / 1e6;
    *to_ms = bucket_value((size_t)last) / 1e6;
    return true;
}

fm_hist_summary fm__metrics_summary(const fm_metrics *m, fm_stage stage)
{
    const fm_hist *h = &m->stage[stage];
    fm_hist_summary s = {
        .count = atomic_load_explicit(&h->count, memory_order_relaxed),
        .total_ms = (double)atomic_load_explicit(&h->total_ns, memory_order_relaxed) / 1e6,
    };
    if (s.count > 0) {
        s.p50_ms = percentile_ms(h, s.count, 0.50);
        s.p95_ms = percentile_ms(h, s.count, 0.95);
        s.p99_ms = percentile_ms(h, s.count, 0.99);
    }
    return s;
}
