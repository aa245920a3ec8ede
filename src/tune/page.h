// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** A run's profile as a page: one HTML file that needs nothing else, no script in it. Its size is bounded by
 * what is drawn (threads, streams), whatever the run's length. */
#ifndef FM_TUNE_PAGE_H
#define FM_TUNE_PAGE_H

#include "pipeline/metrics.h"
#include "pipeline/sampler.h"
#include "tune/verdict.h"

#include <framemill/memory.h>
#include <framemill/run.h>

#define FM_PAGE_THREADS 48 // drawn; all are summed
#define FM_PAGE_STREAMS 256

typedef struct fm__page_fact {
    const char *name, *text;
} fm__page_fact;

typedef struct fm__page_model {
    fm_task task;
    const char *name, *file, *digest; // digest NULL: not known
    int slots, largest;
    uint64_t batches, items, failed;
} fm__page_model;

/** All borrowed. */
typedef struct fm__page {
    const fm__page_fact *machine, *settings; // [machine_count], [setting_count]
    size_t machine_count, setting_count;
    const char *date; // of the begin, UTC
    double seconds;
    uint64_t frames;
    int cores;
    uint64_t peak_rss_bytes;
    const fm_metrics *metrics;
    const fm_profile_view *threads;
    const fm_samples *samples;
    const fm__page_model *models; // [model_count]
    size_t model_count;
    const fm_stream_report *streams; // [stream_count], the first FM_PAGE_STREAMS of all_streams
    size_t stream_count, all_streams;
    bool has_device;
    const char *device;
    fm_device_memory device_memory;
} fm__page;

void fm__page_html(fm_str *out, const fm__page *page);

/** Of a thread: time with a name, busy or waiting. */
int64_t fm__page_busy_ns(const fm_profile_thread *t);
int64_t fm__page_idle_ns(const fm_profile_thread *t);

// page_load.c
/** What the verdict is made of. */
void fm__page_load(const fm__page *page, fm__load *out);
/** Share of a model's slots that was busy. */
double fm__page_slots_busy(const fm__page *page, const fm__page_model *model);
/** Of all threads together. */
int64_t fm__page_total_ns(const fm__page *page, fm_act act);

// page_time.c: what is drawn over time
void fm__page_stages_over_time(fm_str *out, const fm__page *page);
void fm__page_threads(fm_str *out, const fm__page *page);
void fm__page_queues(fm_str *out, const fm__page *page);
void fm__page_batches(fm_str *out, const fm__page *page);

// page_memory.c
void fm__page_memory(fm_str *out, const fm__page *page);

// page_json.c: the numbers, for programs
void fm__page_numbers(fm_str *out, const fm__page *page);

#endif
