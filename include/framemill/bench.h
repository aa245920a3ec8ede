// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** framemill's own benchmark: what this machine does of the work of a run, part by part, on standard test
 * sources and inputs of the user's own. For each input decoding alone and the network alone give the floor, a
 * whole run is held against it. docs/bench.md says what the rows mean. */
#ifndef FRAMEMILL_BENCH_H
#define FRAMEMILL_BENCH_H

#include <framemill/api.h>
#include <framemill/log.h>
#include <framemill/model.h>
#include <framemill/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

FM_BEGIN_DECLS

/** Return false to stop: the rows so far are reported. */
typedef bool (*fm_bench_progress_fn)(double fraction, const char *text, void *opaque);

/** Zero means the default. Use FM_BENCH_OPTS_INIT. */
typedef struct fm_bench_opts {
    size_t struct_size;
    const char *const *inputs; // as of a run; none: test sources of 640x480, 1280x720 and 1920x1080
    size_t input_count;
    const char *detector, *backend, *device, *precision; // as of a run; detector NULL: "yolox-nano"
    int batch, workers, threads;                         // as of a run
    int frames;                                          // of each input; default 120
    int rounds;                                          // of which a row is the median; default 3
    fm_bench_progress_fn progress;                       // or NULL
    void *opaque;
    const fm_model_store_opts *store;
    const char *cache_dir, *tuning; // as of a run
    fm_log log;
} fm_bench_opts;
#define FM_BENCH_OPTS_INIT                                                                                   \
    {                                                                                                        \
        .struct_size = sizeof(fm_bench_opts)                                                                 \
    }

/** One figure. Strings live as long as the report. */
typedef struct fm_bench_row {
    const char *input; // "testsrc 640x480", the name of a file
    const char *what;  // "decode", "network", "floor", "run", "of floor", "preprocess", ...
    const char *unit;  // "frames/s", "ms", "ratio"
    double value;      // the median
    double least, most;
    bool less_is_better;
} fm_bench_row;

typedef struct fm_bench_report fm_bench_report;

FM_API fm_status fm_bench(const fm_bench_opts *opts, fm_bench_report **out, fm_error *err) FM_MUST_USE;
/** A report that fm_bench_json wrote. FORMAT names the place in the file that is wrong. */
FM_API fm_status fm_bench_read(const char *path, fm_bench_report **out, fm_error *err) FM_MUST_USE;
FM_API void fm_bench_free(fm_bench_report **report);
FM_API bool fm_bench_was_stopped(const fm_bench_report *report);
/** One line about where it ran: processor, cores, SIMD, versions, model. */
FM_API const char *fm_bench_machine(const fm_bench_report *report);
/** Of all cores, what other processes took meanwhile: 0..1. */
FM_API double fm_bench_disturbance(const fm_bench_report *report);
/** NULL past the end. */
FM_API const fm_bench_row *fm_bench_get(const fm_bench_report *report, size_t index);
/** The row of the same input and figure in another report, or NULL. */
FM_API const fm_bench_row *fm_bench_find(const fm_bench_report *report, const fm_bench_row *like);
/** Free with fm_free. */
FM_API fm_status fm_bench_json(const fm_bench_report *report, char **out, fm_error *err) FM_MUST_USE;

FM_END_DECLS

#endif
