// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The executor over a fake network that fails, completes out of order and can be held shut. What must hold on
// every path: an item ends exactly once, tickets follow the queue, the flight's limit is kept, no slot is
// lost. Other threads only write down what they see; the main thread asserts.

#include "../testing.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/thread.h"
#include "exec/executor.h"
#include "fake_net.h"

#include <pthread.h>

enum { MAX_SOURCES = 5, MAX_JOBS = 2000 };

typedef enum outcome { OUT_NONE, OUT_COMPLETE, OUT_DROPPED, OUT_REJECTED } outcome;

typedef struct job {
    fm_item item; // first
    uint64_t id;
    bool fails; // its prepare, or without a network nothing
    bool prepared;
    outcome end;
    int ends;
    fm_status status;
    uint64_t answer;
    int order; // of its end within the source's completions
} job;

typedef struct source {
    struct rig *rig;
    int index, count, first; // its jobs
    pthread_t thread;
    // protected by rig.lock
    int pushed, completed, in_flight, most_in_flight, unreleased;
    bool holds; // completed items are not released
} source;

typedef struct rig {
    fake_net net;
    bool has_net;
    fm_executor *x;
    source sources[MAX_SOURCES];
    int source_count, job_count, max_in_flight;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    // protected by lock
    job jobs[MAX_JOBS];
    int ended;
    int wrong; // anything that must not be
} rig;

static fm_status prepare(fm_item *item, fm_tensor row, int worker, void *opaque, fm_error *err)
{
    rig *r = opaque;
    job *j = (job *)item;
    source *s = &r->sources[item->source];
    pthread_mutex_lock(&r->lock);
    r->wrong += j->prepared || worker < 0 || row.dims[0] != 1 || item->taken_ns < item->queued_ns;
    j->prepared = true;
    s->in_flight++;
    s->most_in_flight = s->in_flight > s->most_in_flight ? s->in_flight : s->most_in_flight;
    pthread_mutex_unlock(&r->lock);
    if (j->fails) {
        return fm__fail(err, FM_FORMAT, "item %llu cannot be prepared", (unsigned long long)j->id);
    }
    memcpy(row.data, &j->id, sizeof(j->id));
    return FM_OK;
}

static fm_status decode(
    fm_item *item, const fm_tensor *outs, size_t n, int64_t row, int worker, void *opaque, fm_error *err)
{
    (void)worker;
    (void)opaque;
    (void)err;
    job *j = (job *)item;
    j->answer = n == 1 && row < outs[0].dims[0] ? ((const uint64_t *)outs[0].data)[row] : 0;
    return FM_OK;
}

static void release(rig *r, source *s, bool was_prepared)
{
    pthread_mutex_lock(&r->lock);
    s->in_flight -= was_prepared;
    pthread_mutex_unlock(&r->lock);
    fm__executor_release(r->x, s->index);
}

static void end_job(rig *r, job *j, outcome end, fm_status status)
{
    source *s = &r->sources[j->item.source];
    pthread_mutex_lock(&r->lock);
    j->end = end;
    j->ends++;
    j->status = status;
    j->order = end == OUT_COMPLETE ? s->completed++ : -1;
    bool give_back = end == OUT_COMPLETE && !s->holds, prepared = j->prepared;
    s->unreleased += end == OUT_COMPLETE && s->holds;
    r->ended++;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    if (give_back) {
        release(r, s, prepared);
    }
}

static void complete(fm_item *item, fm_status status, const fm_error *err, void *opaque)
{
    job *j = (job *)item;
    rig *r = opaque;
    if (status != FM_OK && (!err || err->msg[0] == 0)) {
        pthread_mutex_lock(&r->lock);
        r->wrong++; // a failure without words
        pthread_mutex_unlock(&r->lock);
    }
    end_job(r, j, OUT_COMPLETE, status);
}

static void dropped(fm_item *item, void *opaque)
{
    end_job(opaque, (job *)item, OUT_DROPPED, FM_OK);
}

static void *push_all(void *arg)
{
    source *s = arg;
    rig *r = s->rig;
    for (int i = 0; i < s->count; i++) {
        job *j = &r->jobs[s->first + i];
        if (fm__executor_push(r->x, &j->item) != FM_OK) {
            end_job(r, j, OUT_REJECTED, FM_CANCELED);
        }
        pthread_mutex_lock(&r->lock);
        s->pushed++;
        pthread_cond_broadcast(&r->changed);
        pthread_mutex_unlock(&r->lock);
    }
    fm__executor_end(r->x, s->index);
    return NULL;
}

typedef struct plan {
    int sources, items; // of each source
    int workers, slots, batch, max_in_flight;
    int64_t timeout_ns;
    bool no_net;
    uint64_t seed;
} plan;

static int make_sizes(int batch, int *sizes)
{
    int n = 0;
    for (int size = 1; size < batch; size *= 2) {
        sizes[n++] = size;
    }
    sizes[n++] = batch;
    return n;
}

static rig *rig_new(const plan *p)
{
    rig *r = calloc(1, sizeof(*r));
    int sizes[8], n = make_sizes(p->batch, sizes);
    r->source_count = p->sources;
    r->has_net = !p->no_net;
    r->max_in_flight = p->max_in_flight;
    pthread_mutex_init(&r->lock, NULL);
    fm__cond_init(&r->changed);
    if (r->has_net) {
        fake_net_open(&r->net, p->slots, n, sizes, p->seed);
    }
    fm_executor_opts xo = {.net = r->has_net ? &r->net.base : NULL,
        .sources = p->sources,
        .workers = p->workers,
        .batch_timeout_ns = p->timeout_ns,
        .max_in_flight = p->max_in_flight};
    fm_executor_ops ops = {
        .prepare = prepare, .decode = decode, .complete = complete, .dropped = dropped, .opaque = r};
    assert_int_equal(fm__executor_new(&xo, &ops, &r->x, NULL), FM_OK);
    for (int i = 0; i < p->sources; i++) {
        r->sources[i] = (source){.rig = r, .index = i, .count = p->items, .first = i * p->items};
        for (int k = 0; k < p->items; k++) {
            job *j = &r->jobs[r->job_count++];
            *j = (job){.item = {.source = i, .bytes = 10}, .id = (uint64_t)r->job_count};
        }
    }
    return r;
}

static void start_pushing(rig *r)
{
    for (int i = 0; i < r->source_count; i++) {
        assert_int_equal(
            fm__thread_start(&r->sources[i].thread, "push", push_all, &r->sources[i], NULL), FM_OK);
    }
}

static void join_pushing(rig *r)
{
    for (int i = 0; i < r->source_count; i++) {
        pthread_join(r->sources[i].thread, NULL);
    }
}

// Waits until *value is at least n; a failure after twenty seconds is a hang.
static void wait_for(rig *r, const int *value, int n, const char *what)
{
    int64_t deadline = fm__now_ns() + 20 * FM_NS_PER_S;
    pthread_mutex_lock(&r->lock);
    bool in_time = true;
    while (*value < n && in_time) {
        in_time = fm__cond_wait_until(&r->changed, &r->lock, deadline);
    }
    int got = *value;
    pthread_mutex_unlock(&r->lock);
    if (got < n) {
        fail_msg("waited for %s: %d of %d", what, got, n);
    }
}

static void check_job(const rig *r, const job *j)
{
    assert_int_equal(j->ends, 1);
    if (j->end != OUT_COMPLETE) {
        assert_false(j->prepared);
        return;
    }
    switch (j->status) {
    case FM_OK:
        if (r->has_net) {
            assert_false(j->fails);
            assert_int_equal(j->answer, j->id * 2 + 1);
            assert_true(j->item.batch_rows >= 1 && j->item.batch_rows <= r->net.base.info.batch);
        }
        break;
    case FM_FORMAT:
        assert_true(j->fails && r->has_net);
        break;
    case FM_BACKEND:
    case FM_TIMEOUT:
        assert_true(r->has_net && j->prepared);
        break;
    default:
        assert_int_equal(j->status, FM_CANCELED);
        assert_false(j->prepared);
    }
}

// Tickets of a source are 0, 1, 2, ... in the order of its queue over all that was not dropped or rejected.
static void check_source(const rig *r, const source *s)
{
    uint64_t next = 0;
    bool rejected = false;
    for (int i = 0; i < s->count; i++) {
        const job *j = &r->jobs[s->first + i];
        check_job(r, j);
        assert_false(rejected && j->end != OUT_REJECTED); // after a refusal there is nothing more
        rejected |= j->end == OUT_REJECTED;
        if (j->end == OUT_COMPLETE) {
            assert_int_equal(j->item.ticket, next);
            next++;
        }
    }
    assert_true(s->most_in_flight <= r->max_in_flight);
    assert_int_equal(s->in_flight, 0);
}

static void rig_free(rig *r)
{
    fm__executor_free(&r->x);
    assert_null(r->x);
    assert_int_equal(r->wrong, 0);
    if (r->has_net) {
        assert_int_equal(r->net.misuses, 0);
        assert_int_equal(r->net.running_count, 0);
        fake_net_close(&r->net);
    }
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

// Stops first: only then the workers are out of the last callbacks.
static void check_all(rig *r)
{
    fm__executor_stop(r->x, true);
    assert_int_equal(r->ended, r->job_count);
    for (int i = 0; i < r->source_count; i++) {
        check_source(r, &r->sources[i]);
    }
}

typedef enum stop_kind { STOP_AT_END, STOP_DRAIN, STOP_ABORT, STOP_BOTH, STOP_KINDS } stop_kind;

static void random_scenario(uint64_t seed)
{
    plan p = {.sources = rnd_below(&seed, MAX_SOURCES) + 1,
        .items = rnd_below(&seed, 60),
        .workers = rnd_below(&seed, 3) + 1,
        .slots = rnd_below(&seed, 4) + 1,
        .batch = (int[]){1, 2, 4, 5, 9}[rnd_below(&seed, 5)],
        .max_in_flight = rnd_below(&seed, 20) + 1,
        .timeout_ns = rnd_below(&seed, 2) * FM_NS_PER_MS,
        .no_net = rnd_below(&seed, 8) == 0,
        .seed = seed};
    rig *r = rig_new(&p);
    bool drops = false;
    for (int i = 0; i < p.sources; i++) {
        bool drop = rnd_below(&seed, 4) == 0;
        size_t bytes = rnd_below(&seed, 3) ? SIZE_MAX : (size_t)rnd_below(&seed, 50);
        fm__executor_source(
            r->x, i, drop ? FM_RING_DROP_OLDEST : FM_RING_BLOCK, rnd_below(&seed, 8) + 1, bytes);
        drops |= drop;
    }
    for (int i = 0; i < r->job_count; i++) {
        r->jobs[i].fails = r->has_net && rnd_below(&seed, 10) == 0;
    }
    if (r->has_net) {
        r->net.fail_start = rnd_below(&seed, 2) * 30;
        r->net.fail_finish = rnd_below(&seed, 2) * 30;
        r->net.inside_start = rnd_below(&seed, 3) * 40;
    }
    stop_kind kind = (stop_kind)rnd_below(&seed, STOP_KINDS);
    start_pushing(r);
    wait_for(r, &r->ended, kind == STOP_AT_END ? r->job_count : rnd_below(&seed, r->job_count + 1), "ends");
    if (kind != STOP_AT_END) {
        fm__executor_stop(r->x, kind != STOP_ABORT);
    }
    if (kind == STOP_BOTH) {
        fm__executor_stop(r->x, false);
    }
    join_pushing(r);
    check_all(r);
    for (int i = 0; i < r->job_count; i++) {
        assert_true(drops || r->jobs[i].end != OUT_DROPPED);
        bool whole = kind == STOP_AT_END || kind == STOP_DRAIN;
        assert_true(!whole || r->jobs[i].status != FM_CANCELED || r->jobs[i].end == OUT_REJECTED);
    }
    fm_executor_stats stats;
    fm__executor_stats(r->x, &stats);
    assert_int_equal(stats.failed_batches, r->has_net ? r->net.failed_starts + r->net.failed_finishes : 0);
    rig_free(r);
}

static void every_item_ends_once_whatever_happens(void **state)
{
    (void)state;
    int64_t begin = fm__now_ns();
    int n = 0;
    for (uint64_t seed = 1; seed <= 400 && fm__now_ns() - begin < 6 * FM_NS_PER_S; seed++, n++) {
        random_scenario(seed * 7919);
    }
    print_message("%d scenarios\n", n);
    assert_true(n > 20);
}

static void no_slot_is_lost_in_a_storm_of_failures(void **state)
{
    (void)state;
    plan p = {
        .sources = 2, .items = 600, .workers = 2, .slots = 4, .batch = 4, .max_in_flight = 64, .seed = 5};
    rig *r = rig_new(&p);
    r->net.fail_start = r->net.fail_finish = 45;
    r->net.inside_start = 20;
    start_pushing(r);
    wait_for(r, &r->ended, 900, "the storm's ends");
    pthread_mutex_lock(&r->net.lock);
    r->net.fail_start = r->net.fail_finish = r->net.inside_start = 0;
    r->net.shut = true;
    uint64_t failed = r->net.failed_starts + r->net.failed_finishes;
    pthread_mutex_unlock(&r->net.lock);
    assert_true(failed > 50);
    bool all = fake_net_wait_running(&r->net, p.slots); // every slot is there to be used
    fake_net_shut(&r->net, false);
    assert_true(all);
    wait_for(r, &r->ended, r->job_count, "the last ends");
    join_pushing(r);
    check_all(r);
    rig_free(r);
}

static void a_stalled_consumer_holds_up_only_itself(void **state)
{
    (void)state;
    plan p = {
        .sources = 3, .items = 150, .workers = 2, .slots = 2, .batch = 4, .max_in_flight = 3, .seed = 6};
    rig *r = rig_new(&p);
    source *stalled = &r->sources[1];
    stalled->holds = true;
    for (int i = 0; i < 3; i++) {
        fm__executor_source(r->x, i, FM_RING_BLOCK, 4, SIZE_MAX);
    }
    start_pushing(r);
    wait_for(r, &r->sources[0].completed, 150, "a source beside a stalled one");
    wait_for(r, &r->sources[2].completed, 150, "a source beside a stalled one");
    wait_for(r, &stalled->completed, 3, "as many as may be in flight");
    wait_for(r, &stalled->pushed, 7, "ring and flight to be full");
    pthread_mutex_lock(&r->lock);
    int completed = stalled->completed, pushed = stalled->pushed;
    stalled->holds = false;
    int owed = stalled->unreleased;
    pthread_mutex_unlock(&r->lock);
    for (int i = 0; i < owed; i++) {
        release(r, stalled, true);
    }
    wait_for(r, &r->ended, r->job_count, "all ends");
    join_pushing(r);
    assert_int_equal(completed, 3);
    assert_int_equal(pushed, 7);
    check_all(r);
    rig_free(r);
}

// A source with hundreds of items queued and one with a few, first in, behind it: each turn takes one of
// both.
static void a_source_with_many_items_does_not_starve_one_with_few(void **state)
{
    (void)state;
    plan p = {
        .sources = 2, .items = 300, .workers = 1, .slots = 1, .batch = 2, .max_in_flight = 100, .seed = 7};
    rig *r = rig_new(&p);
    fm__executor_source(r->x, 0, FM_RING_BLOCK, 300, SIZE_MAX);
    fake_net_shut(&r->net, true);
    r->sources[1].count = 10;
    r->job_count = 310; // the rest of the second source's jobs stays out
    assert_int_equal(fm__thread_start(&r->sources[0].thread, "push", push_all, &r->sources[0], NULL), FM_OK);
    wait_for(r, &r->sources[0].pushed, 300, "the long queue");
    assert_int_equal(fm__thread_start(&r->sources[1].thread, "push", push_all, &r->sources[1], NULL), FM_OK);
    wait_for(r, &r->sources[1].pushed, 10, "the short queue");
    fake_net_shut(&r->net, false);
    wait_for(r, &r->ended, 310, "all ends");
    join_pushing(r);
    // The ends of both in the order of time: orders are per source, so the queue times tell.
    int64_t last_short = r->jobs[309].item.taken_ns;
    int before = 0;
    for (int i = 0; i < 300; i++) {
        before += r->jobs[i].item.taken_ns < last_short;
    }
    assert_true(before <= 2 + 10 + 2); // one batch before, one beside each, one of a turn
    check_all(r);
    rig_free(r);
}

// Pushes with nobody taking: the flight is full, so the ring stands still.
static rig *rig_with_a_full_flight(fm_ring_policy policy, int max_items, size_t max_bytes)
{
    plan p = {.sources = 1, .items = 1, .workers = 1, .slots = 1, .batch = 1, .max_in_flight = 1, .seed = 9};
    rig *r = rig_new(&p);
    r->sources[0].holds = true;
    fm__executor_source(r->x, 0, policy, max_items, max_bytes);
    assert_int_equal(fm__executor_push(r->x, &r->jobs[0].item), FM_OK);
    wait_for(r, &r->ended, 1, "the first item");
    r->sources[0].holds = false;
    return r;
}

static job *add_job(rig *r, size_t bytes)
{
    job *j = &r->jobs[r->job_count++];
    *j = (job){.item = {.bytes = bytes}, .id = (uint64_t)r->job_count};
    r->sources[0].count = r->job_count;
    return j;
}

static void the_oldest_are_dropped_and_a_push_never_waits(void **state)
{
    (void)state;
    rig *r = rig_with_a_full_flight(FM_RING_DROP_OLDEST, 4, SIZE_MAX);
    for (int i = 1; i <= 40; i++) {
        assert_int_equal(fm__executor_push(r->x, &add_job(r, 10)->item), FM_OK);
        assert_int_equal(fm__executor_depth(r->x, 0), i < 4 ? i : 4);
    }
    release(r, &r->sources[0], true);
    wait_for(r, &r->ended, r->job_count, "all ends");
    check_all(r);
    for (int i = 1; i <= 40; i++) {
        assert_int_equal(r->jobs[i].end, i <= 36 ? OUT_DROPPED : OUT_COMPLETE);
    }
    rig_free(r);
}

static void bytes_bound_the_ring_and_the_first_item_always_fits(void **state)
{
    (void)state;
    rig *r = rig_with_a_full_flight(FM_RING_DROP_OLDEST, 100, 100);
    assert_int_equal(fm__executor_push(r->x, &add_job(r, 5000)->item), FM_OK); // larger than all of it
    assert_int_equal(fm__executor_depth(r->x, 0), 1);
    assert_int_equal(fm__executor_push(r->x, &add_job(r, 40)->item), FM_OK); // takes its place
    assert_int_equal(r->jobs[1].end, OUT_DROPPED);
    assert_int_equal(fm__executor_push(r->x, &add_job(r, 60)->item), FM_OK);
    assert_int_equal(fm__executor_depth(r->x, 0), 2);
    assert_int_equal(fm__executor_push(r->x, &add_job(r, 95)->item), FM_OK); // two go for it
    assert_int_equal(fm__executor_depth(r->x, 0), 1);
    assert_int_equal(r->jobs[2].end, OUT_DROPPED);
    assert_int_equal(r->jobs[3].end, OUT_DROPPED);
    release(r, &r->sources[0], true);
    wait_for(r, &r->ended, r->job_count, "all ends");
    check_all(r);
    rig_free(r);
}

static void every_release_wakes_who_waits_for_it(void **state)
{
    (void)state;
    enum { N = 100 };
    rig *r = rig_with_a_full_flight(FM_RING_BLOCK, N, SIZE_MAX);
    r->sources[0].holds = true;
    for (int i = 0; i < N; i++) {
        assert_int_equal(fm__executor_push(r->x, &add_job(r, 10)->item), FM_OK);
    }
    for (int i = 0; i < N; i++) {
        release(r, &r->sources[0], true);
        wait_for(r, &r->ended, i + 2, "the item that had to wait");
    }
    release(r, &r->sources[0], true);
    check_all(r);
    rig_free(r);
}

typedef struct stopper {
    rig *r;
    bool drain;
} stopper;

static void *stop_it(void *arg)
{
    stopper *s = arg;
    fm__executor_stop(s->r->x, s->drain);
    return NULL;
}

static void a_blocked_push_returns_canceled_on_stop(void **state)
{
    (void)state;
    for (int drain = 0; drain < 2; drain++) {
        plan p = {
            .sources = 1, .items = 10, .workers = 1, .slots = 1, .batch = 1, .max_in_flight = 8, .seed = 10};
        rig *r = rig_new(&p);
        fm__executor_source(r->x, 0, FM_RING_BLOCK, 1, SIZE_MAX);
        fake_net_shut(&r->net, true);
        start_pushing(r);
        wait_for(r, &r->sources[0].pushed, 2, "one in flight and one in the ring");
        stopper s = {.r = r, .drain = drain};
        pthread_t thread;
        assert_int_equal(fm__thread_start(&thread, "stop", stop_it, &s, NULL), FM_OK);
        wait_for(r, &r->sources[0].pushed, 10, "the pushes to come back");
        fake_net_shut(&r->net, false);
        pthread_join(thread, NULL);
        join_pushing(r);
        check_all(r);
        assert_int_equal(r->jobs[0].status, FM_OK);
        assert_int_equal(r->jobs[1].status, drain ? FM_OK : FM_CANCELED);
        for (int i = 2; i < 10; i++) {
            assert_int_equal(r->jobs[i].end, OUT_REJECTED);
        }
        rig_free(r);
    }
}

static void full_batches_form_when_the_queue_is_long(void **state)
{
    (void)state;
    plan p = {
        .sources = 2, .items = 400, .workers = 1, .slots = 2, .batch = 8, .max_in_flight = 64, .seed = 11};
    rig *r = rig_new(&p);
    for (int i = 0; i < 2; i++) {
        fm__executor_source(r->x, i, FM_RING_BLOCK, 400, SIZE_MAX);
    }
    fake_net_shut(&r->net, true);
    start_pushing(r);
    join_pushing(r);
    fake_net_shut(&r->net, false);
    wait_for(r, &r->ended, r->job_count, "all ends");
    fm_executor_stats stats;
    fm__executor_stop(r->x, true);
    fm__executor_stats(r->x, &stats);
    assert_int_equal(stats.items, 800);
    assert_true(stats.batches <= 100 + 8); // all full but for what was taken before the queue was long
    check_all(r);
    rig_free(r);
}

static void wrong_options_are_refused(void **state)
{
    (void)state;
    fm_executor_ops ops = {.complete = complete};
    fm_executor *x = NULL;
    fm_error err;
    assert_int_equal(fm__executor_new(&(fm_executor_opts){.sources = 0}, &ops, &x, &err), FM_INVAL);
    assert_int_equal(
        fm__executor_new(&(fm_executor_opts){.sources = 1, .workers = 99}, &ops, &x, &err), FM_INVAL);
    assert_null(x);
    fm__executor_free(&x);
    fm__executor_free(NULL);
    assert_true(fm__executor_workers(&(fm_executor_opts){.sources = 1}) >= 1);
    assert_int_equal(fm__executor_workers(&(fm_executor_opts){.sources = 1, .workers = 3}), 3);
}

// Items that are fewer than its smallest batch would have waited for ever, and the stop with them.
static void a_network_that_cannot_run_one_item_is_refused(void **state)
{
    (void)state;
    fake_net net;
    fm_executor_ops ops = {.complete = complete};
    fm_executor *x = NULL;
    fm_error err;
    fake_net_open(&net, 2, 2, (int[]){4, 8}, 1);
    assert_int_equal(
        fm__executor_new(&(fm_executor_opts){.net = &net.base, .sources = 1}, &ops, &x, &err), FM_INVAL);
    assert_null(x);
    fake_net_close(&net);
}

static void a_request_that_cannot_be_made_fails_cleanly(void **state)
{
    (void)state;
    fm_executor_ops ops = {.complete = complete};
    for (int nth = 1; nth <= 3; nth++) {
        fake_net net;
        fm_executor *x = NULL;
        fm_error err;
        fake_net_open(&net, 3, 1, (int[]){1}, 1);
        net.refuse_request = nth;
        fm_executor_opts xo = {.net = &net.base, .sources = 2};
        assert_int_equal(fm__executor_new(&xo, &ops, &x, &err), FM_BACKEND);
        assert_string_equal(err.msg, "no more requests");
        fake_net_close(&net);
    }
}

static void stopping_twice_and_freeing_unused_is_fine(void **state)
{
    (void)state;
    plan p = {.sources = 2, .items = 0, .workers = 3, .slots = 2, .batch = 2, .max_in_flight = 4, .seed = 12};
    rig *r = rig_new(&p);
    rig_free(r); // never used, never stopped
    r = rig_new(&p);
    fm__executor_stop(r->x, true);
    fm__executor_stop(r->x, true);
    fm__executor_stop(r->x, false);
    job *j = add_job(r, 1);
    assert_int_equal(fm__executor_push(r->x, &j->item), FM_CANCELED);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_ends_once_whatever_happens),
        cmocka_unit_test(no_slot_is_lost_in_a_storm_of_failures),
        cmocka_unit_test(a_stalled_consumer_holds_up_only_itself),
        cmocka_unit_test(a_source_with_many_items_does_not_starve_one_with_few),
        cmocka_unit_test(the_oldest_are_dropped_and_a_push_never_waits),
        cmocka_unit_test(bytes_bound_the_ring_and_the_first_item_always_fits),
        cmocka_unit_test(every_release_wakes_who_waits_for_it),
        cmocka_unit_test(a_blocked_push_returns_canceled_on_stop),
        cmocka_unit_test(full_batches_form_when_the_queue_is_long),
        cmocka_unit_test(wrong_options_are_refused),
        cmocka_unit_test(a_network_that_cannot_run_one_item_is_refused),
        cmocka_unit_test(a_request_that_cannot_be_made_fails_cleanly),
        cmocka_unit_test(stopping_twice_and_freeing_unused_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
