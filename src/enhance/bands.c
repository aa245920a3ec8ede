// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Rows over threads: bands are handed out from an atomic counter, so that a slow core takes fewer. Threads
// are started for each call: tens of microseconds, against steps that take milliseconds. Where a thread does
// not start, those that run do its share.

#include "enhance/bands.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/thread.h"

#include <stdatomic.h>
#include <stdbool.h>

enum { MAX_THREADS = 64 };

typedef struct job {
    int rows, band;
    fm__band_fn fn;
    void *opaque;
    atomic_int next; // row of the next band
} job;

typedef struct worker {
    pthread_t thread;
    job *job;
    uint8_t *scratch;
} worker;

static void *work(void *opaque)
{
    worker *w = opaque;
    job *j = w->job;
    for (int y0 = atomic_fetch_add(&j->next, j->band); y0 < j->rows;
         y0 = atomic_fetch_add(&j->next, j->band)) {
        int y1 = j->rows - y0 < j->band ? j->rows : y0 + j->band;
        j->fn(y0, y1, w->scratch, j->opaque);
    }
    return NULL;
}

static int worker_count(int threads, int rows, int band)
{
    int bands = (rows - 1) / band + 1;
    int n = threads < bands ? threads : bands;
    return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n;
}

static fm_status make_room(fm__bands *b, size_t each, int threads, fm_error *err)
{
    size_t all = 0;
    bool fits = fm__mul_size(each, (size_t)threads, &all);
    if (fits && all <= b->size) {
        return FM_OK;
    }
    fm__bands_done(b);
    b->scratch = fits ? fm__calloc_aligned(FM_TAG_ENHANCE, all, 64) : NULL;
    if (!b->scratch) {
        return fm__fail_nomem(err, "enhancing a picture");
    }
    b->size = all;
    return FM_OK;
}

fm_status fm__bands_run(
    fm__bands *b, int rows, int band, size_t scratch_bytes, fm__band_fn fn, void *opaque, fm_error *err)
{
    worker workers[MAX_THREADS];
    job j = {.rows = rows, .band = band, .fn = fn, .opaque = opaque};
    int n = worker_count(b->threads, rows, band), started = 1;
    size_t each = (scratch_bytes + 64) / 64 * 64;
    fm_status st = make_room(b, each, n, err);
    if (st != FM_OK) {
        return st;
    }
    atomic_init(&j.next, 0);
    for (int i = 0; i < n; i++) {
        workers[i] = (worker){.job = &j, .scratch = b->scratch + (size_t)i * each};
    }
    while (started < n &&
           fm__thread_start(&workers[started].thread, "fm-enhance", work, &workers[started], NULL) == FM_OK) {
        started++;
    }
    work(&workers[0]);
    for (int i = 1; i < started; i++) {
        pthread_join(workers[i].thread, NULL);
    }
    return FM_OK;
}

void fm__bands_done(fm__bands *b)
{
    fm__free(b->scratch);
    b->scratch = NULL;
    b->size = 0;
}
