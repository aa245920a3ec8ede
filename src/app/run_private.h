// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Shared by run.c and report.c. */
#ifndef FM_APP_RUN_PRIVATE_H
#define FM_APP_RUN_PRIVATE_H

#include "pipeline/pipeline.h"

#include <framemill/run.h>

#include <pthread.h>

typedef struct run_stream {
    char *name;                     // safe, unique
    char *url;                      // as given, may hold credentials: never shown
    char *redacted;                 // for eyes
    fm_pipeline_stream_state state; // of the last look
} run_stream;

struct fm_run {
    fm_run_opts o; // strings below are copies; pointers of the caller are not kept
    char *detector;
    char *out_dir;
    run_stream *streams;
    size_t stream_count;
    fm_pipeline_stream *sources; // names and urls borrowed from streams
    fm_model_store *store;
    fm_model *model;
    uint8_t *class_mask;
    fm_pipeline *pipeline;
    bool image_ready;
    pthread_mutex_t fd_lock; // one line at a time on jsonl_fd
    pthread_mutex_t rate_lock;
    // protected by rate_lock
    int64_t rate_ns[8]; // samples of (time, frames), a ring
    uint64_t rate_frames[8];
    unsigned rate_next;
};

/** Labels of whatever detects. */
const char *const *fm__run_labels(const fm_run *run, size_t *count);

#endif
