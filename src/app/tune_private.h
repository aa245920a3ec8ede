// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Shared by the files that tune. */
#ifndef FM_APP_TUNE_PRIVATE_H
#define FM_APP_TUNE_PRIVATE_H

#include "models/model.h"
#include "tune/file.h"
#include "tune/search.h"
#include "tune/trial.h"

#include <framemill/tune.h>

struct fm_tune_report {
    fm__tune_arm *arms; // [count]
    bool *front;        // [count]
    size_t count, best;
    fm__tune_goal goal;
    fm__tune_key key;
    char model[FM__TUNE_TEXT], inputs[FM__TUNE_TEXT];
    int frames, width, height; // that were tuned on; size of the first one
    bool stopped, grid;
    double seconds;
};

fm_status fm__tune_check(const fm_tune_opts *o, fm_error *err) FM_MUST_USE;
fm_task fm__tune_task(const char *name);
fm_status fm__tune_read_frames(const fm_tune_opts *o, fm__tune_frames *out, fm_error *err) FM_MUST_USE;
/** Options of a model that is tuned, all but batch, slots and threads. */
fm_model_load_opts fm__tune_load_opts(const fm_tune_opts *o);

#endif
