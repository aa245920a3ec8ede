// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** A loaded model under full load: frames in memory go through preprocessing, network and head by the
 * executor that a run has, over and over, and what comes out is cut into samples. One thread. */
#ifndef FM_TUNE_TRIAL_H
#define FM_TUNE_TRIAL_H

#include "frame/frame.h"
#include "models/model.h"
#include "tune/search.h"

/** Decoded frames, kept. */
typedef struct fm__tune_frames {
    fm_frame **frames;
    size_t count;
    size_t bytes;
} fm__tune_frames;

typedef struct fm__tune_frames_opts {
    const char *const *inputs;
    size_t input_count;
    int most; // of all inputs together
    int64_t max_pixels;
    const fm_log *log;
} fm__tune_frames_opts;

/** As many from each input, in turn of their own order; fewer where inputs are short or memory is (256 MiB).
 * INVAL when there is none. */
fm_status fm__tune_frames_load(
    const fm__tune_frames_opts *opts, fm__tune_frames *out, fm_error *err) FM_MUST_USE;
void fm__tune_frames_done(fm__tune_frames *f);

typedef struct fm__trial fm__trial;

typedef struct fm__trial_opts {
    const fm_model *model;         // borrowed
    const fm__tune_frames *frames; // borrowed
    int lanes;         // inferences that the device runs at a time: what a sample is a multiple of
    bool network_only; // the same rows over and over, outputs are not read
    const fm_log *log;
} fm__trial_opts;

fm_status fm__trial_new(const fm__trial_opts *opts, fm__trial **out, fm_error *err) FM_MUST_USE;
void fm__trial_free(fm__trial **trial);

/** Runs until `count` samples of at least `sample_s` are there, after a batch in each lane that does not
 * count. `go_on` (or NULL) is asked now and then: false ends it with CANCELED. */
fm_status fm__trial_run(fm__trial *t, double sample_s, int count, bool (*go_on)(void *opaque), void *opaque,
    fm__tune_sample *out, fm_error *err) FM_MUST_USE;

#endif
