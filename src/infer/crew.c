// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A first-in first-out queue of jobs with threads that empty it. Jobs are links inside the requests, so that
// putting one allocates nothing. A job stops counting as running before `done` is called, since whoever is
// told may start it again, or free it, at once.

#include "infer/crew.h"

static fm__job *take(fm__crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    while (!crew->head && !crew->stop) {
        pthread_cond_wait(&crew->wake, &crew->lock);
    }
    fm__job *job = crew->head;
    if (job) {
        crew->head = job->next;
        crew->tail = crew->head ? crew->tail : NULL;
    }
    pthread_mutex_unlock(&crew->lock);
    return job;
}

static void *worker(void *arg)
{
    fm__crew *crew = arg;
    if (crew->opts.enter) {
        crew->opts.enter(crew->opts.owner);
    }
    for (fm__job *job; (job = take(crew)) != NULL;) {
        crew->opts.run(crew->opts.owner, job);
        fm_request_done_fn done = job->done;
        void *opaque = job->opaque;
        pthread_mutex_lock(&crew->lock);
        job->running = false;
        pthread_mutex_unlock(&crew->lock);
        done(opaque); // from here on the job may be gone
    }
    return NULL;
}

fm_status fm__crew_start(fm__crew *crew, const fm__crew_opts *opts, fm_error *err)
{
    fm_status st = FM_OK;
    crew->opts = *opts;
    pthread_mutex_init(&crew->lock, NULL);
    fm__cond_init(&crew->wake);
    while (st == FM_OK && crew->thread_count < opts->threads) {
        st = fm__thread_start(&crew->threads[crew->thread_count], opts->name, worker, crew, err);
        crew->thread_count += st == FM_OK;
    }
    if (st != FM_OK) {
        fm__crew_stop(crew);
    }
    return st;
}

void fm__crew_stop(fm__crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    crew->stop = true;
    pthread_cond_broadcast(&crew->wake);
    pthread_mutex_unlock(&crew->lock);
    for (int i = 0; i < crew->thread_count; i++) {
        pthread_join(crew->threads[i], NULL);
    }
    pthread_cond_destroy(&crew->wake);
    pthread_mutex_destroy(&crew->lock);
}

bool fm__crew_put(fm__crew *crew, fm__job *job)
{
    pthread_mutex_lock(&crew->lock);
    bool is_free = !job->running;
    if (is_free) {
        job->running = true;
        job->next = NULL;
        if (crew->tail) {
            crew->tail->next = job;
        } else {
            crew->head = job;
        }
        crew->tail = job;
        pthread_cond_signal(&crew->wake);
    }
    pthread_mutex_unlock(&crew->lock);
    return is_free;
}

bool fm__crew_runs(fm__crew *crew, const fm__job *job)
{
    pthread_mutex_lock(&crew->lock);
    bool runs = job->running;
    pthread_mutex_unlock(&crew->lock);
    return runs;
}
