// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Counting while a run goes on: a histogram a stage, written by any thread without a lock. */
#ifndef FM_PIPELINE_METRICS_H
#define FM_PIPELINE_METRICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum fm_stage {
    FM_STAGE_DECODE,
    FM_STAGE_ENHANCE, // before any model
    FM_STAGE_QUEUE,
    FM_STAGE_PREPROCESS,
    FM_STAGE_INFER,    // an inference of the detector
    FM_STAGE_HEAD,     // of all models
    FM_STAGE_SEGMENT,  // an inference of the segmenter
    FM_STAGE_CLASSIFY, // of the classifier
    FM_STAGE_EMBED,    // of the embedder; crops count as preprocess
    FM_STAGE_TRACK,
    FM_STAGE_SINK,
    FM_STAGE_LATENCY, // decoded until every sink has it
    FM_STAGE_COUNT
} fm_stage;

/** Log-linear buckets: 16 a power of two, so that a percentile is right to about 3 %. */
#define FM_HIST_SUB 16
#define FM_HIST_BUCKETS (44 * FM_HIST_SUB)

typedef struct fm_hist {
    atomic_uint_fast64_t bucket[FM_HIST_BUCKETS];
    atomic_uint_fast64_t count;
    atomic_uint_fast64_t total_ns;
} fm_hist;

typedef struct fm_metrics {
    fm_hist stage[FM_STAGE_COUNT];
} fm_metrics;

typedef struct fm_hist_summary {
    uint64_t count;
    double total_ms, p50_ms, p95_ms, p99_ms;
} fm_hist_summary;

const char *fm__stage_name(fm_stage stage);
void fm__metrics_add(fm_metrics *m, fm_stage stage, int64_t ns);
/** The histogram in n cells of equal width on its scale, which is all but logarithmic, from the first value
 * that occurs to the last; their lower and upper end in ms. false: nothing was counted. */
bool fm__metrics_shape(
    const fm_metrics *m, fm_stage stage, uint64_t *cells, int n, double *from_ms, double *to_ms);
fm_hist_summary fm__metrics_summary(const fm_metrics *m, fm_stage stage);

#endif
