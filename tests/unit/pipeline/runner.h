// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Whole runs for tests: test sources in, the ref backend or none between, results noted by stream. Result
 * callbacks come from the run's threads: they only write down, the test's own thread asserts. */
#ifndef FM_TESTS_UNIT_PIPELINE_RUNNER_H
#define FM_TESTS_UNIT_PIPELINE_RUNNER_H

#include <framemill/run.h>

#include <pthread.h>

enum { RUNNER_STREAMS = 8 };

typedef struct runner_seen {
    uint64_t frames, next, gaps, backwards, errors, objects;
    int64_t first_ns, last_ns; // when the first and the last result came
} runner_seen;

typedef struct runner runner;
struct runner {
    fm_run *run;
    fm_run_opts o;
    fm_model_store_opts store;
    fm_stream_opts streams[RUNNER_STREAMS]; // named s0, s1, ...
    char urls[RUNNER_STREAMS][200], names[RUNNER_STREAMS][8];
    char detector[100], share[512];
    char *dir;                                         // the folder of results and models
    void (*hook)(runner *r, int stream, uint64_t nth); // from the run's threads, without a lock
    void *opaque;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    // protected by lock
    runner_seen seen[RUNNER_STREAMS];
    uint64_t total, strangers;
};

/** detector: "none", "motion", "shapes:..."; results go to the callback, and with `files` to JSONL in a
 * folder too. */
void runner_init(runner *r, const char *detector, bool files);
void runner_add(runner *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** fm_run_new and fm_run_start; both must work. */
void runner_start(runner *r);
/** Waits for the end; a failure after a minute is a hang. */
void runner_wait(runner *r);
/** Waits until n results were seen, of all streams. */
void runner_wait_results(runner *r, uint64_t n);
/** Bytes of a stream's JSONL, or NULL where there is no file; free the text. Lines must be whole and of
 * frames that count up, by one where `contiguous`. */
char *runner_lines(const runner *r, int stream, bool contiguous, size_t *count);
fm_stream_report runner_report(runner *r, int stream);
void runner_done(runner *r);

#endif
