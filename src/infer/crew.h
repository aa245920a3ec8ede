// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Threads of a net's own and the queue of its started requests: what a backend needs whose library computes
 * in the caller's thread. A request holds a job; a job that was put is run by one of the threads, once, and
 * its `done` is called. */
#ifndef FM_INFER_CREW_H
#define FM_INFER_CREW_H

#include "base/thread.h"
#include "infer/infer.h"

#define FM_CREW_MAX 64

typedef struct fm__job fm__job;
struct fm__job {
    // immutable once set up
    fm_request_done_fn done;
    void *opaque;
    // protected by the crew's lock
    fm__job *next;
    bool running;
};

typedef struct fm__crew_opts {
    const char *name; // of the threads
    int threads;      // at most FM_CREW_MAX
    void (*run)(void *owner, fm__job *job);
    void (*enter)(void *owner); // in each thread, before its first job; may be NULL
    void *owner;
} fm__crew_opts;

typedef struct fm__crew {
    // immutable after start
    fm__crew_opts opts;
    pthread_t threads[FM_CREW_MAX];
    int thread_count;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    // protected by lock
    fm__job *head, *tail; // put, not yet taken by a thread
    bool stop;
} fm__crew;

/** The crew must be zero and stay where it is. On failure nothing is left running and stop must not be
 * called. */
fm_status fm__crew_start(fm__crew *crew, const fm__crew_opts *opts, fm_error *err) FM_MUST_USE;
/** Ends the threads after what was put; no job may be put any more. */
void fm__crew_stop(fm__crew *crew);
/** false, and nothing done, when the job is still running. */
bool fm__crew_put(fm__crew *crew, fm__job *job) FM_MUST_USE;
bool fm__crew_runs(fm__crew *crew, const fm__job *job);

#endif
