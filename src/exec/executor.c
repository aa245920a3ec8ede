// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The executor: rings, batcher and slots under one lock, and a few workers that do whatever is next: finish a
// completed inference first (it frees a slot), else form a batch, prepare it and start it. One lock is
// enough: it is held for list operations only, a few hundred nanoseconds a batch, while pixels, networks and
// heads are worked on without it. A slot is in exactly one place at any time: the idle list, a worker's
// hands, the backend, the done list; every path of a worker ends with the slot on the idle list, so none is
// ever lost. A backend's completion call comes from a foreign thread and only moves the slot to the done
// list.
//
// Lock order: executor.lock is a leaf. No callback and no backend call runs under it, except that the done
// call takes it.

#include "exec/executor.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/thread.h"
#include "exec/batcher.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define MAX_WORKERS 16

typedef struct slot slot;
struct slot {
    fm_executor *x;
    fm_request *request;
    slot *next;
    // of the batch in it; whoever holds the slot
    int rows;
    int64_t started_ns;
    fm_item **items;       // [batch]
    fm_status *row_status; // [batch] of prepare
    fm_error *row_error;   // [batch]
};

typedef struct worker {
    fm_executor *x;
    int index;
    pthread_t thread;
    bool running;
} worker;

struct fm_executor {
    // immutable after new
    fm_net *net;
    fm_executor_ops ops;
    const fm_log *log;
    fm_turns *turns; // NULL: none
    fm_profile *profile;
    fm_turn_taker taker;
    slot *slots;
    int slot_count, batch;
    worker workers[MAX_WORKERS];
    int worker_count;

    pthread_mutex_t lock;
    pthread_cond_t work;  // something a worker may do
    pthread_cond_t *room; // [source] the ring has room
    // protected by lock
    fm_batcher batcher;
    slot *idle, *done;
    int busy; // slots that are not idle
    bool stopping, drain, joined;
    fm_executor_stats stats;
};

static void wake_for_turn(void *opaque)
{
    fm_executor *x = opaque;
    pthread_mutex_lock(&x->lock);
    pthread_cond_signal(&x->work);
    pthread_mutex_unlock(&x->lock);
}

// Lock not held.
static void give_turn(fm_executor *x)
{
    if (x->turns) {
        fm__turns_give(x->turns);
    }
}

static void post_done(void *opaque)
{
    slot *s = opaque;
    fm_executor *x = s->x;
    give_turn(x);
    pthread_mutex_lock(&x->lock);
    s->next = x->done;
    x->done = s;
    // Signalled under the lock: after unlocking, the executor may be gone.
    pthread_cond_signal(&x->work);
    pthread_mutex_unlock(&x->lock);
}

static void make_idle(fm_executor *x, slot *s)
{
    pthread_mutex_lock(&x->lock);
    s->rows = 0;
    s->next = x->idle;
    x->idle = s;
    x->busy--;
    pthread_cond_signal(&x->work);
    if (x->busy == 0 && x->stopping) {
        pthread_cond_broadcast(&x->work);
    }
    pthread_mutex_unlock(&x->lock);
}

static void complete_all(fm_executor *x, slot *s, fm_status status, const fm_error *err)
{
    for (int i = 0; i < s->rows; i++) {
        fm_item *item = s->items[i];
        s->items[i] = NULL;
        x->ops.complete(item, status, err, x->ops.opaque);
    }
}

static void fail_batch(fm_executor *x, slot *s, fm_status status, const fm_error *err)
{
    fm__log(x->log, FM_LOG_WARN, "exec", "a batch of %d failed: %s", s->rows, err->msg);
    pthread_mutex_lock(&x->lock);
    x->stats.failed_batches++;
    pthread_mutex_unlock(&x->lock);
    complete_all(x, s, status, err);
    make_idle(x, s);
}

// Prepares the rows and starts the inference; the slot is in the backend's hands afterwards, or idle again.
static void run_batch(fm_executor *x, slot *s, int worker_index)
{
    fm_tensor input = fm__request_input(s->request);
    for (int i = 0; i < s->rows; i++) {
        fm_tensor row = fm__tensor_row(&input, i);
        s->row_error[i].msg[0] = 0;
        s->row_status[i] = x->ops.prepare(s->items[i], row, worker_index, x->ops.opaque, &s->row_error[i]);
    }
    s->started_ns = fm__now_ns();
    fm_error err = {0};
    fm_status st = fm__request_start(s->request, s->rows, &err);
    if (st != FM_OK) {
        give_turn(x);
        fail_batch(x, s, st, &err);
    }
}

static void decode_row(
    fm_executor *x, slot *s, int i, const fm_tensor *outs, size_t n, int64_t infer_ns, int worker_index)
{
    fm_item *item = s->items[i];
    s->items[i] = NULL;
    item->infer_ns = infer_ns;
    item->batch_rows = s->rows;
    item->started_ns = s->started_ns;
    item->slot = (int)(s - x->slots);
    fm_status st = s->row_status[i];
    if (st == FM_OK) {
        st = x->ops.decode(item, outs, n, i, worker_index, x->ops.opaque, &s->row_error[i]);
    }
    x->ops.complete(item, st, &s->row_error[i], x->ops.opaque);
}

// Counted before its items complete: whoever saw the last item sees its batch too.
static void count_batch(fm_executor *x, int rows, int64_t infer_ns)
{
    pthread_mutex_lock(&x->lock);
    fm__batcher_learn(&x->batcher, rows, infer_ns);
    x->stats.batches++;
    x->stats.items += (uint64_t)rows;
    pthread_mutex_unlock(&x->lock);
}

static void finish_batch(fm_executor *x, slot *s, int worker_index)
{
    fm_error err = {0};
    fm_tensor outs[FM_NET_MAX_OUTPUTS];
    int64_t infer_ns = fm__now_ns() - s->started_ns;
    fm_status st = fm__request_finish(s->request, outs, &err);
    if (st != FM_OK) {
        fail_batch(x, s, st, &err);
        return;
    }
    count_batch(x, s->rows, infer_ns);
    size_t n = fm__net_info(x->net)->output_count;
    for (int i = 0; i < s->rows; i++) {
        decode_row(x, s, i, outs, n, infer_ns, worker_index);
    }
    make_idle(x, s);
}

static void signal_room(fm_executor *x, int source)
{
    pthread_cond_signal(&x->room[source]);
}

// Takes a batch into an idle slot. Lock held.
static slot *take_batch(fm_executor *x, int n)
{
    slot *s = x->idle;
    x->idle = s->next;
    x->busy++;
    s->rows = n;
    fm__batcher_take(&x->batcher, s->items, n, fm__now_ns());
    for (int i = 0; i < n; i++) {
        signal_room(x, s->items[i]->source);
    }
    return s;
}

// Completes an item as it is. Lock held on entry and exit.
static void complete_one(fm_executor *x, fm_item *item)
{
    signal_room(x, item->source);
    x->busy++;
    pthread_mutex_unlock(&x->lock);
    x->ops.complete(item, FM_OK, NULL, x->ops.opaque);
    pthread_mutex_lock(&x->lock);
    x->busy--;
}

// An item that no network is to see.
static bool pass_one(fm_executor *x)
{
    fm_item *item = fm__batcher_pass(&x->batcher, fm__now_ns());
    if (!item) {
        return false;
    }
    complete_one(x, item);
    return true;
}

// Where there is no network at all.
static bool take_one(fm_executor *x)
{
    int64_t wake;
    fm_item *item;
    if (fm__batcher_ready(&x->batcher, 0, true, &wake) == 0) {
        return false;
    }
    fm__batcher_take(&x->batcher, &item, 1, fm__now_ns());
    x->stats.items++; // before it completes, as with batches
    complete_one(x, item);
    return true;
}

// One thing that can be done now. Lock held on entry and exit; false when there is nothing, *wake_ns says
// until when.
static bool step(fm_executor *x, int worker_index, int64_t *wake_ns)
{
    *wake_ns = 0;
    if (pass_one(x)) {
        return true;
    }
    if (!x->net) {
        return take_one(x);
    }
    slot *s = x->done;
    bool finish = s != NULL;
    if (finish) {
        x->done = s->next;
    } else if (x->idle) {
        int n = fm__batcher_ready(&x->batcher, fm__now_ns(), x->stopping, wake_ns);
        bool may = n > 0 && (!x->turns || fm__turns_take(x->turns, &x->taker));
        s = may ? take_batch(x, n) : NULL;
    }
    if (!s) {
        return false;
    }
    pthread_mutex_unlock(&x->lock);
    if (finish) {
        finish_batch(x, s, worker_index);
    } else {
        run_batch(x, s, worker_index);
    }
    pthread_mutex_lock(&x->lock);
    return true;
}

static bool finished(const fm_executor *x)
{
    return x->stopping && x->busy == 0 && x->batcher.queued == 0 && !x->batcher.passed;
}

// Lock held.
static void wait_for_work(fm_executor *x, int64_t wake_ns)
{
    fm__profile_wait(x->profile, FM_ACT_NO_WORK);
    if (wake_ns) {
        fm__cond_wait_until(&x->work, &x->lock, wake_ns);
    } else {
        pthread_cond_wait(&x->work, &x->lock);
    }
    fm__profile_woke(x->profile);
}

static void *work(void *arg)
{
    worker *w = arg;
    fm_executor *x = w->x;
    fm__profile_begin(x->profile);
    pthread_mutex_lock(&x->lock);
    while (!finished(x)) {
        int64_t wake_ns;
        fm_profile_mark mark = fm__profile_open(x->profile);
        if (step(x, w->index, &wake_ns)) {
            fm__profile_close(x->profile, FM_ACT_BATCH, mark);
            continue;
        }
        if (finished(x)) {
            break;
        }
        wait_for_work(x, wake_ns);
    }
    pthread_cond_broadcast(&x->work);
    pthread_mutex_unlock(&x->lock);
    fm__profile_end(x->profile);
    return NULL;
}

static fm_status slot_init(fm_executor *x, slot *s, fm_error *err)
{
    s->x = x;
    s->items = fm__calloc_array(FM_TAG_EXEC, (size_t)x->batch, sizeof(*s->items));
    s->row_status = fm__calloc_array(FM_TAG_EXEC, (size_t)x->batch, sizeof(*s->row_status));
    s->row_error = fm__calloc_array(FM_TAG_EXEC, (size_t)x->batch, sizeof(*s->row_error));
    if (!s->items || !s->row_status || !s->row_error) {
        return fm__fail_nomem(err, "an inference slot");
    }
    fm_status st = fm__request_new(x->net, post_done, s, &s->request, err);
    if (st == FM_OK) {
        s->next = x->idle;
        x->idle = s;
    }
    return st;
}

static fm_status init_net(fm_executor *x, fm_error *err)
{
    fm_batcher *b = &x->batcher;
    if (!x->net) {
        b->sizes[0] = b->size_count = x->batch = 1;
        return FM_OK;
    }
    const fm_net_info *info = fm__net_info(x->net);
    if (info->size_count < 1 || info->sizes[0] != 1) {
        return fm__fail(
            err, FM_INVAL, "a network that cannot run a single item would leave the last ones behind");
    }
    x->batch = info->batch;
    x->slot_count = b->slots = info->slots;
    memcpy(b->sizes, info->sizes, sizeof(b->sizes));
    b->size_count = info->size_count;
    x->slots = fm__calloc_array(FM_TAG_EXEC, (size_t)x->slot_count, sizeof(*x->slots));
    if (!x->slots) {
        return fm__fail_nomem(err, "inference slots");
    }
    for (int i = 0; i < x->slot_count; i++) {
        fm_status st = slot_init(x, &x->slots[i], err);
        if (st != FM_OK) {
            return st;
        }
    }
    return FM_OK;
}

static fm_status init_sources(fm_executor *x, int n, fm_error *err)
{
    x->room = fm__calloc_array(FM_TAG_EXEC, (size_t)n, sizeof(*x->room));
    x->batcher.sources = fm__calloc_array(FM_TAG_EXEC, (size_t)n, sizeof(*x->batcher.sources));
    if (!x->room || !x->batcher.sources) {
        return fm__fail_nomem(err, "rings");
    }
    for (int i = 0; i < n; i++) {
        fm__cond_init(&x->room[i]);
        x->batcher.sources[i].ring =
            (fm_ring){.policy = FM_RING_BLOCK, .max_items = 30, .max_bytes = SIZE_MAX};
    }
    x->batcher.source_count = n;
    return FM_OK;
}

// Preparing and decoding cost a few per cent of the network, so a quarter of the cores is plenty.
static int auto_workers(void)
{
    int n = (fm__cpu_count() + 3) / 4;
    return n < MAX_WORKERS ? n : MAX_WORKERS;
}

static fm_status start_workers(fm_executor *x, int count, fm_error *err)
{
    for (int i = 0; i < count; i++) {
        worker *w = &x->workers[i];
        char name[16];
        snprintf(name, sizeof(name), "fm-exec-%d", i & 0xff);
        *w = (worker){.x = x, .index = i};
        fm_status st = fm__thread_start(&w->thread, name, work, w, err);
        if (st != FM_OK) {
            return st;
        }
        w->running = true;
        x->worker_count++;
    }
    return FM_OK;
}

fm_status fm__executor_new(
    const fm_executor_opts *opts, const fm_executor_ops *ops, fm_executor **out, fm_error *err)
{
    if (opts->sources < 1 || opts->workers > MAX_WORKERS) {
        return fm__fail(err, FM_INVAL, "an executor needs a source, and at most %d workers", MAX_WORKERS);
    }
    fm_executor *x = fm__calloc_aligned(FM_TAG_EXEC, sizeof(*x), 64);
    if (!x) {
        return fm__fail_nomem(err, "the executor");
    }
    x->net = opts->net;
    x->ops = *ops;
    x->log = opts->log;
    x->profile = opts->profile;
    x->turns = opts->net ? opts->turns : NULL;
    x->taker = (fm_turn_taker){.wake = wake_for_turn, .opaque = x};
    pthread_mutex_init(&x->lock, NULL);
    fm__cond_init(&x->work);
    if (x->turns) {
        fm__turns_join(x->turns, &x->taker);
    }
    x->batcher.timeout_ns = opts->batch_timeout_ns;
    x->batcher.goal_ns = opts->latency_goal_ns;
    x->batcher.max_in_flight = opts->max_in_flight > 0 ? opts->max_in_flight : 64;
    fm_status st = init_sources(x, opts->sources, err);
    st = st == FM_OK ? init_net(x, err) : st;
    st = st == FM_OK ? start_workers(x, opts->workers > 0 ? opts->workers : auto_workers(), err) : st;
    if (st != FM_OK) {
        fm__executor_free(&x);
        return st;
    }
    *out = x;
    return FM_OK;
}

int fm__executor_workers(const fm_executor_opts *opts)
{
    return opts->workers > 0 ? opts->workers : auto_workers();
}

void fm__executor_source(fm_executor *x, int source, fm_ring_policy policy, int max_items, size_t max_bytes)
{
    pthread_mutex_lock(&x->lock);
    fm_ring *r = &x->batcher.sources[source].ring;
    r->policy = policy;
    r->max_items = max_items > 0 ? max_items : 1;
    r->max_bytes = max_bytes;
    pthread_mutex_unlock(&x->lock);
}

// False after a stop. Lock held.
static bool wait_for_room(fm_executor *x, const fm_item *item)
{
    const fm_ring *ring = &x->batcher.sources[item->source].ring;
    while (!x->stopping && ring->policy == FM_RING_BLOCK && fm__ring_full(ring, item->bytes)) {
        pthread_cond_signal(&x->work); // what is in it already may go
        fm__profile_wait(x->profile, FM_ACT_NO_ROOM);
        pthread_cond_wait(&x->room[item->source], &x->lock);
        fm__profile_woke(x->profile);
    }
    return !x->stopping;
}

// What has to make room goes onto *dropped. Lock held.
static void put_item(fm_executor *x, fm_item *item, int64_t now_ns, fm_item **dropped)
{
    fm_ring *ring = &x->batcher.sources[item->source].ring;
    while (fm__ring_full(ring, item->bytes)) {
        fm_item *old = fm__ring_take(ring);
        x->batcher.queued--;
        old->next = *dropped;
        *dropped = old;
    }
    item->queued_ns = now_ns;
    fm__ring_put(ring, item);
    x->batcher.queued++;
}

size_t fm__executor_push_all(fm_executor *x, fm_item *const *items, size_t n)
{
    fm_item *dropped = NULL;
    size_t taken = 0;
    pthread_mutex_lock(&x->lock);
    for (; taken < n && wait_for_room(x, items[taken]); taken++) {
        put_item(x, items[taken], fm__now_ns(), &dropped);
    }
    if (taken > 0) {
        pthread_cond_signal(&x->work);
    }
    pthread_mutex_unlock(&x->lock);
    while (dropped) {
        fm_item *next = dropped->next;
        x->ops.dropped(dropped, x->ops.opaque);
        dropped = next;
    }
    return taken;
}

fm_status fm__executor_push(fm_executor *x, fm_item *item)
{
    return fm__executor_push_all(x, &item, 1) == 1 ? FM_OK : FM_CANCELED;
}

void fm__executor_end(fm_executor *x, int source)
{
    pthread_mutex_lock(&x->lock);
    x->batcher.sources[source].ended = true;
    pthread_cond_signal(&x->work);
    pthread_mutex_unlock(&x->lock);
}

void fm__executor_reopen(fm_executor *x, int source)
{
    pthread_mutex_lock(&x->lock);
    x->batcher.sources[source].ended = false;
    x->batcher.sources[source].tickets = 0;
    pthread_mutex_unlock(&x->lock);
}

void fm__executor_release(fm_executor *x, int source)
{
    pthread_mutex_lock(&x->lock);
    x->batcher.sources[source].in_flight--;
    assert(x->batcher.sources[source].in_flight >= 0);
    pthread_cond_signal(&x->work);
    pthread_mutex_unlock(&x->lock);
}

int fm__executor_depth(fm_executor *x, int source)
{
    pthread_mutex_lock(&x->lock);
    int n = x->batcher.sources[source].ring.count;
    pthread_mutex_unlock(&x->lock);
    return n;
}

// Takes everything out of the rings; lock held.
static fm_item *take_queued(fm_executor *x)
{
    fm_item *list = NULL, **tail = &list;
    for (int i = 0; i < x->batcher.source_count; i++) {
        while (x->batcher.sources[i].ring.count > 0) {
            fm_item *item = fm__batcher_take_one(&x->batcher, i);
            *tail = item;
            tail = &item->next;
        }
    }
    return list;
}

void fm__executor_stop(fm_executor *x, bool drain)
{
    pthread_mutex_lock(&x->lock);
    x->stopping = true;
    fm_item *canceled = drain ? NULL : take_queued(x);
    for (int i = 0; i < x->batcher.source_count; i++) {
        x->batcher.sources[i].ended = true;
        pthread_cond_broadcast(&x->room[i]);
    }
    pthread_cond_broadcast(&x->work);
    bool join = !x->joined;
    x->joined = true;
    pthread_mutex_unlock(&x->lock);
    fm_error err = {.status = FM_CANCELED, .msg = "the run was stopped"};
    while (canceled) {
        fm_item *next = canceled->next;
        x->ops.complete(canceled, FM_CANCELED, &err, x->ops.opaque);
        canceled = next;
    }
    for (int i = 0; join && i < x->worker_count; i++) {
        pthread_join(x->workers[i].thread, NULL);
    }
}

void fm__executor_stats(fm_executor *x, fm_executor_stats *out)
{
    pthread_mutex_lock(&x->lock);
    *out = x->stats;
    pthread_mutex_unlock(&x->lock);
}

void fm__executor_free(fm_executor **x)
{
    if (!x || !*x) {
        return;
    }
    fm_executor *e = *x;
    *x = NULL;
    fm__executor_stop(e, false);
    if (e->turns) {
        fm__turns_leave(e->turns, &e->taker);
    }
    for (int i = 0; i < e->slot_count && e->slots; i++) {
        fm__request_free(&e->slots[i].request);
        fm__free(e->slots[i].items);
        fm__free(e->slots[i].row_status);
        fm__free(e->slots[i].row_error);
    }
    for (int i = 0; i < e->batcher.source_count; i++) {
        pthread_cond_destroy(&e->room[i]);
    }
    pthread_cond_destroy(&e->work);
    pthread_mutex_destroy(&e->lock);
    fm__free(e->batcher.sources);
    fm__free(e->room);
    fm__free(e->slots);
    fm__free(e);
}
