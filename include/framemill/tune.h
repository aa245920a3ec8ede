// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The best setting of a model on this machine, found by measuring: batch, slots and cores, on frames of the
 * user's own.
 *
 *  fm_tune decodes some frames into memory, runs preprocessing, network and head over them through the same
 * executor that a run has, and ends with a report. A tuning file keeps what was found, keyed by machine,
 * model digest and version; a run with batch 0 (auto) that is given the file (fm_run_opts.tuning) looks
 * there. docs/tune.md says how it searches and what its numbers mean. */
#ifndef FRAMEMILL_TUNE_H
#define FRAMEMILL_TUNE_H

#include <framemill/api.h>
#include <framemill/log.h>
#include <framemill/model.h>
#include <framemill/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

FM_BEGIN_DECLS

typedef enum fm_tune_objective {
    FM_TUNE_THROUGHPUT = 0, // most frames a second within the bounds
    FM_TUNE_LATENCY = 1,    // least p99 from a frame's being taken to its result, under full load
} fm_tune_objective;

typedef enum fm_tune_state {
    FM_TUNE_WAITING = 0, // its turn had not come when the search was stopped
    FM_TUNE_MEASURED = 1,
    FM_TUNE_SKIPPED = 2, // ruled out by its neighbours
    FM_TUNE_FAILED = 3,  // could not be measured
} fm_tune_state;

/** Return false to stop: the best so far is reported. `fraction` of the work, 0..1; `text` is one line. */
typedef bool (*fm_tune_progress_fn)(double fraction, const char *text, void *opaque);

/** Zero means the default. Use FM_TUNE_OPTS_INIT. */
typedef struct fm_tune_opts {
    size_t struct_size;
    const char *const *inputs; // as of a run; none: the test source
    size_t input_count;
    const char *model;                            // name or path; required
    const char *task;                             // "detection", ...: what it is wanted for; NULL: any
    const char *head, *labels, *backend, *device; // as of a run
    const char *precision;                        // "fp32", "bf16", "fp16"; NULL: "fp32"
    fm_tune_objective objective;
    double max_latency_ms;        // bound of p99; 0: none
    double max_memory_mib;        // bound of what the process grows by; 0: none
    int max_batch;                // 1..64; default 64
    int frames;                   // kept in memory, of all inputs; default 64
    double sample_s;              // length of one sample; default 0.25
    bool grid;                    // measure every setting as long as the last ones of a search
    fm_tune_progress_fn progress; // or NULL
    void *opaque;
    const fm_model_store_opts *store;
    const char *cache_dir; // compiled-model cache, or NULL
    int64_t max_pixels;    // as of a run
    fm_log log;
} fm_tune_opts;
#define FM_TUNE_OPTS_INIT                                                                                    \
    {                                                                                                        \
        .struct_size = sizeof(fm_tune_opts)                                                                  \
    }

/** One setting. Strings live as long as the report. */
typedef struct fm_tune_row {
    int batch, slots, threads;
    fm_tune_state state;
    int samples;
    double fps, fps_half;  // mean, and half of its 95 % confidence interval
    double p50_ms, p99_ms; // from being taken to the result, under full load
    double p99_half;       //
    double cpu_ms;         // processor time a frame
    double share;          // of the cores it wanted, which other work left it; the above are corrected for it
    int64_t memory_bytes;  // what the process grew by; 0: not known
    bool is_fast, is_within; // on the Pareto front of throughput and latency; within the bounds
    const char *why;         // FAILED, SKIPPED; else ""
} fm_tune_row;

typedef struct fm_tune_report fm_tune_report;

/** Measures. OK also when it was stopped: the report says so. INVAL for wrong options; NOTFOUND and others
 * for models and inputs that cannot be opened; a setting that fails is a row of the report. */
FM_API fm_status fm_tune(const fm_tune_opts *opts, fm_tune_report **out, fm_error *err) FM_MUST_USE;
FM_API void fm_tune_free(fm_tune_report **report);
FM_API bool fm_tune_was_stopped(const fm_tune_report *report);
/** Wall time that measuring took. */
FM_API double fm_tune_seconds(const fm_tune_report *report);
FM_API const char *fm_tune_model(const fm_tune_report *report);
FM_API size_t fm_tune_count(const fm_tune_report *report);
FM_API fm_status fm_tune_get(const fm_tune_report *report, size_t index, fm_tune_row *out);
/** Index of the best row; fm_tune_count where no setting could be measured within the bounds. */
FM_API size_t fm_tune_best(const fm_tune_report *report);
/** Free with fm_free. */
FM_API fm_status fm_tune_json(const fm_tune_report *report, char **out, fm_error *err) FM_MUST_USE;
/** A picture of it: SVG, or with `html` a page around one. Free with fm_free. */
FM_API fm_status fm_tune_plot(const fm_tune_report *report, bool html, char **out, fm_error *err) FM_MUST_USE;
/** Puts the best row into the tuning file at `path`, in place of what it said of this model, machine and
 * precision before. NOTFOUND without a best row. */
FM_API fm_status fm_tune_save(const fm_tune_report *report, const char *path, fm_error *err) FM_MUST_USE;

/** Times of a network's layers, where the backend tells them. */
typedef struct fm_tune_layer {
    const char *name, *type; // as the backend calls them
    const char *kernel;      // what ran: "brgconv_avx512_f32"
    double ms;               // mean of an inference of one frame
} fm_tune_layer;
typedef struct fm_tune_layers fm_tune_layers;
/** Runs the model (options as above) over the frames with the backend's counters on, one inference at a time.
 * UNSUPPORTED where the backend has none. */
FM_API fm_status fm_tune_layers_new(
    const fm_tune_opts *opts, fm_tune_layers **out, fm_error *err) FM_MUST_USE;
FM_API void fm_tune_layers_free(fm_tune_layers **layers);
/** By descending time. NULL past the end. */
FM_API const fm_tune_layer *fm_tune_layers_get(const fm_tune_layers *layers, size_t index);

FM_END_DECLS

#endif
