// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Shared by the files of the benchmark. */
#ifndef FM_APP_BENCH_PRIVATE_H
#define FM_APP_BENCH_PRIVATE_H

#include "models/model.h"

#include <framemill/bench.h>

struct fm_bench_report {
    fm_bench_row *rows; // their strings are copies
    size_t count, cap;
    char machine[768];
    double disturbance;
    bool stopped;
};

/** Copies the row's strings. */
fm_status fm__bench_add(fm_bench_report *r, const fm_bench_row *row, fm_error *err) FM_MUST_USE;
void fm__bench_describe(fm_bench_report *r, const fm_model *model, const fm_bench_opts *o);
/** The detector as the run loads it. */
fm_status fm__bench_load(
    const fm_model_store *store, const fm_bench_opts *o, fm_model **out, fm_error *err) FM_MUST_USE;

#endif
