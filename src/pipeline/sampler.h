// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What a profile keeps beside the threads' own times (base/profile.h): looks at the process every now and
 * then, and the sizes of batches. Memory and the time of a look are bounded. */
#ifndef FM_PIPELINE_SAMPLER_H
#define FM_PIPELINE_SAMPLER_H

#include "base/alloc.h"
#include "base/profile.h"
#include "models/model.h"

#define FM_SAMPLED_STREAMS 32 // with a queue of their own
#define FM_SAMPLED_OTHERS 256
#define FM_SAMPLED_TASKS (FM_TASK_FEATURES + 1)
#define FM_SAMPLED_ROWS 256

typedef struct fm_sampler fm_sampler;

/** A thread that keeps no record: a library's. */
typedef struct fm_other_thread {
    int tid;
    char name[16];
    int64_t base_ns; // when it was there before the run: its processor time then
    int64_t cpu_ns;  // since, as of the last look, to hundredths of a second
} fm_other_thread;

typedef struct fm_samples {
    fm_series cores;  // busy with this process
    fm_series rss;    // bytes
    fm_series device; // bytes that networks hold on a GPU
    fm_series memory[FM_TAG_COUNT];
    fm_series queued[FM_SAMPLED_STREAMS]; // frames that wait
    fm_series queued_rest;                // of all streams beyond
    fm_series rows[FM_SAMPLED_TASKS];     // of each batch, by the model's task
    uint64_t sizes[FM_SAMPLED_TASKS][FM_SAMPLED_ROWS + 1];
    fm_other_thread others[FM_SAMPLED_OTHERS];
    size_t other_count;
    int64_t cpu_ns; // of the process, since it was first looked at
} fm_samples;

fm_status fm__sampler_new(fm_sampler **out, fm_error *err) FM_MUST_USE;
void fm__sampler_free(fm_sampler **sampler);
fm_profile *fm__sampler_profile(fm_sampler *s);
/** As what a model's inferences are told. */
fm_act fm__task_inferences(fm_task task);
/** A batch of a model ended. Any thread. */
void fm__sampler_batch(fm_sampler *s, fm_task task, int rows, int64_t at_ns);
/** What was seen up to now. Any thread. */
void fm__sampler_read(fm_sampler *s, fm_samples *out);

#endif
