// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The bus's life and its thread: what was put moves from the queue into the spool, the sender takes it from
// there, the receiver brings commands. Records that come close together share one write and one batch. When
// the disk takes nothing, what is in memory waits there and goes out straight from it; when memory is full
// too, the oldest goes.

#include "bus/bus.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "base/thread.h"
#include "bus/private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LINGER_NS (10 * FM_NS_PER_MS)   // that a record waits for others
#define RETRY_NS FM_NS_PER_S            // after the disk took nothing
#define SAY_EVERY_NS (10 * FM_NS_PER_S) // that records are being dropped

fm_conn_opts fm__bus_conn_opts(fm_bus *b, const char *name)
{
    return (fm_conn_opts){
        .name = name,
        .url = &b->url,
        .ca = b->ca,
        .timeout_ns = b->o.timeout_ns,
        .log = b->o.log,
        .opaque = b,
    };
}

static fm_bus_entry entry_of(
    const char *key, const char *stream, const char *type, const char *data, size_t len)
{
    return (fm_bus_entry){
        .key = key,
        .key_len = strlen(key),
        .stream = stream,
        .stream_len = strlen(stream),
        .type = type,
        .type_len = strlen(type),
        .data = data,
        .data_len = len,
    };
}

// Lock held.
static void push(fm_bus *b, const fm_bus_entry *e)
{
    record_queue *q = &b->queue;
    size_t size = fm__record_size(e);
    b->stats.put++;
    if (size == 0 || b->ended) {
        b->stats.dropped++;
        return;
    }
    b->stats.dropped += fm__queue_reserve(q, size);
    if (q->len + size > q->cap) {
        b->stats.dropped++;
        return;
    }
    fm__record_write(q->data + q->len, e, b->epoch, ++b->sequence);
    q->len += size;
    if (q->count++ == 0) {
        b->first_put_ns = fm__now_ns();
        fm__loop_wake(b->loop);
    }
}

void fm__bus_put(
    fm_bus *b, fm_bus_kind kind, const char *stream, const char *type, const char *data, size_t len)
{
    char key[160];
    snprintf(key, sizeof(key), FM_BUS_RESULTS "%s", stream);
    fm_bus_entry e = entry_of(kind == FM_BUS_EVENT ? FM_BUS_EVENTS : key, stream, type, data, len);
    pthread_mutex_lock(&b->lock);
    push(b, &e);
    pthread_mutex_unlock(&b->lock);
}

static void update_stats(fm_bus *b)
{
    fm_spool_stats s;
    fm__spool_stats(b->spool, &s);
    pthread_mutex_lock(&b->lock);
    b->stats.dropped += s.dropped - b->spool_dropped;
    b->spool_dropped = s.dropped;
    b->stats.waiting = s.unread + b->sender.batch.count - b->sender.done + b->taken.count;
    uint64_t up = fm__conn_times_up(b->sender.conn);
    b->stats.reconnects = up > 0 ? up - 1 : 0;
    b->stats.spool_peak_bytes = s.peak_bytes;
    b->stats.damaged_bytes = s.damaged_bytes;
    pthread_mutex_unlock(&b->lock);
}

static void say_dropped(fm_bus *b, int64_t now_ns)
{
    pthread_mutex_lock(&b->lock);
    uint64_t dropped = b->stats.dropped;
    pthread_mutex_unlock(&b->lock);
    if (dropped == b->said_dropped || (b->said_dropped > 0 && now_ns - b->said_ns < SAY_EVERY_NS)) {
        return;
    }
    fm__log(b->o.log, FM_LOG_WARN, "redis",
        "the spool '%s' is full or cannot be written: %" PRIu64
        " results and events were dropped so far, oldest first",
        b->spool_dir, dropped);
    b->said_dropped = dropped;
    b->said_ns = now_ns;
}

// What the queue holds becomes what is taken, once that has gone.
static void take_queue(fm_bus *b)
{
    pthread_mutex_lock(&b->lock);
    if (b->taken.count == 0) {
        record_queue empty = b->taken;
        b->taken = b->queue;
        b->queue = empty;
        b->queue.head = b->queue.len = 0;
    }
    pthread_mutex_unlock(&b->lock);
}

void fm__bus_spool_queue(fm_bus *b)
{
    fm_error err = {0};
    size_t done = 0;
    take_queue(b);
    record_queue *q = &b->taken;
    if (q->count == 0) {
        return;
    }
    fm_status st = fm__spool_append(b->spool, q->data + q->head, q->len - q->head, &done, &err);
    fm__queue_take(q, done);
    if (st != FM_OK && !b->spool_fails) {
        fm__log(b->o.log, FM_LOG_WARN, "redis", "results and events wait in memory only: %s", err.msg);
    }
    b->spool_fails = st != FM_OK;
    b->retry_ns = st != FM_OK ? fm__now_ns() + RETRY_NS : 0;
}

// When the queue's turn is: at once, or when a record has waited for others.
static int64_t queue_due(fm_bus *b, int64_t now_ns)
{
    pthread_mutex_lock(&b->lock);
    bool any = b->queue.count > 0;
    bool hurry = b->ending || b->queue.len > FM__BATCH_BYTES / 2;
    int64_t due = !any ? INT64_MAX : hurry ? now_ns : b->first_put_ns + LINGER_NS;
    pthread_mutex_unlock(&b->lock);
    if (b->spool_fails && (any || b->taken.count > 0)) {
        return b->retry_ns;
    }
    return b->taken.count > 0 ? now_ns : due;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static bool all_is_out(fm_bus *b)
{
    fm_spool_stats s;
    fm__spool_stats(b->spool, &s);
    pthread_mutex_lock(&b->lock);
    bool empty = b->queue.count == 0;
    pthread_mutex_unlock(&b->lock);
    return empty && b->taken.count == 0 && s.unread == 0 && fm__sender_idle(b);
}

// True when the thread's work is done; else *until_ns is when the end waits no more.
static bool at_end(fm_bus *b, int64_t now_ns, int64_t *until_ns)
{
    pthread_mutex_lock(&b->lock);
    bool ending = b->ending;
    *until_ns = ending ? b->end_ns : INT64_MAX;
    pthread_mutex_unlock(&b->lock);
    if (ending) {
        fm__conn_free(&b->receiver.conn);
    }
    return ending && (now_ns >= *until_ns || all_is_out(b));
}

static void last_words(fm_bus *b)
{
    fm__bus_spool_queue(b); // of what came meanwhile
    fm__bus_spool_queue(b);
    update_stats(b);
    pthread_mutex_lock(&b->lock);
    uint64_t waiting = b->stats.waiting, in_memory = b->taken.count;
    // What only memory holds ends with it.
    in_memory += b->sender.batch.segment == 0 ? b->sender.batch.count - b->sender.done : 0;
    b->stats.waiting -= in_memory;
    b->stats.dropped += in_memory;
    waiting -= in_memory;
    b->ended = true;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
    if (waiting > 0) {
        fm__log(b->o.log, FM_LOG_WARN, "redis",
            "%" PRIu64 " results and events wait in '%s'; the next run as producer '%s' sends them", waiting,
            b->spool_dir, b->producer);
    }
    say_dropped(b, fm__now_ns());
}

static void *bus_main(void *arg)
{
    fm_bus *b = arg;
    for (;;) {
        int64_t now = fm__now_ns(), until;
        if (queue_due(b, now) <= now) {
            fm__bus_spool_queue(b);
        }
        fm__sender_pump(b, now);
        update_stats(b);
        say_dropped(b, now);
        if (at_end(b, now, &until)) {
            break;
        }
        until = earlier(until, queue_due(b, now));
        until = earlier(until, fm__conn_tick(b->sender.conn, now));
        until = earlier(until, b->receiver.conn ? fm__conn_tick(b->receiver.conn, now) : INT64_MAX);
        if (b->sender.wait_until_ns > now) {
            until = earlier(until, b->sender.wait_until_ns);
        }
        fm__loop_run(b->loop, until);
    }
    last_words(b);
    return NULL;
}

void fm__bus_end(fm_bus *b, bool now)
{
    int64_t end = fm__now_ns() + (now ? 0 : b->o.flush_ns);
    pthread_mutex_lock(&b->lock);
    b->end_ns = !b->ending || end < b->end_ns ? end : b->end_ns;
    b->ending = true;
    pthread_mutex_unlock(&b->lock);
    fm__loop_wake(b->loop);
}

bool fm__bus_wait(fm_bus *b, int64_t deadline_ns)
{
    pthread_mutex_lock(&b->lock);
    while (b->thread_started && !b->ended && fm__cond_wait_until(&b->changed, &b->lock, deadline_ns)) {
    }
    bool ended = b->ended || !b->thread_started;
    pthread_mutex_unlock(&b->lock);
    return ended;
}

void fm__bus_stats(fm_bus *b, fm_bus_stats *out)
{
    pthread_mutex_lock(&b->lock);
    *out = b->stats;
    out->waiting += b->queue.count;
    pthread_mutex_unlock(&b->lock);
}

static fm_status read_password(fm_bus *b, const char *path, fm_error *err)
{
    char *text = NULL;
    if (!path) {
        return FM_OK;
    }
    fm_status st = fm__file_read(FM_TAG_BUS, path, 4096, &text, NULL, err);
    if (st != FM_OK) {
        return st;
    }
    text[strcspn(text, "\r\n")] = 0;
    fm__free(b->url.password);
    b->url.password = text;
    return FM_OK;
}

static fm_status copy_texts(fm_bus *b, const fm_bus_opts *o, fm_error *err)
{
    b->producer = fm__strdup(FM_TAG_BUS, o->producer);
    b->spool_dir = fm__strdup(FM_TAG_BUS, o->spool_dir);
    b->ca = fm__strdup(FM_TAG_BUS, o->ca);
    if (!b->producer || !b->spool_dir || (o->ca && !b->ca)) {
        return fm__fail_nomem(err, "the bus");
    }
    return FM_OK;
}

static fm_status set_up(fm_bus *b, const fm_bus_opts *o, fm_error *err)
{
    fm_spool_opts so = {.dir = o->spool_dir, .max_bytes = o->spool_bytes, .log = o->log};
    fm_status st = fm__bus_url_parse(o->url, &b->url, err);
    st = st == FM_OK ? read_password(b, o->password_file, err) : st;
    st = st == FM_OK ? copy_texts(b, o, err) : st;
    if (st == FM_OK && (!fm__queue_init(&b->queue) || !fm__queue_init(&b->taken))) {
        st = fm__fail_nomem(err, "the bus");
    }
    st = st == FM_OK ? fm__loop_new(&b->loop, err) : st;
    st = st == FM_OK ? fm__spool_open(&so, &b->spool, err) : st;
    st = st == FM_OK ? fm__sender_init(b, err) : st;
    st = st == FM_OK ? fm__receiver_init(b, err) : st;
    b->epoch = st == FM_OK ? fm__spool_epoch(b->spool) : 0;
    return st;
}

fm_status fm__bus_start(fm_bus *b, fm_error *err)
{
    fm_status st = fm__thread_start(&b->thread, "fm-bus", bus_main, b, err);
    b->thread_started = st == FM_OK;
    return st;
}

fm_status fm__bus_open(const fm_bus_opts *opts, fm_bus **out, fm_error *err)
{
    fm_bus *b = fm__calloc(FM_TAG_BUS, sizeof(*b));
    if (!b) {
        return fm__fail_nomem(err, "the bus");
    }
    pthread_mutex_init(&b->lock, NULL);
    fm__cond_init(&b->changed);
    b->o = *opts;
    fm_status st = set_up(b, opts, err);
    if (st != FM_OK) {
        fm__bus_close(&b);
        return st;
    }
    *out = b;
    return FM_OK;
}

void fm__bus_close(fm_bus **bus)
{
    fm_bus *b = bus ? *bus : NULL;
    if (!b) {
        return;
    }
    *bus = NULL;
    if (b->thread_started) {
        fm__bus_end(b, true);
        pthread_join(b->thread, NULL);
    }
    fm__conn_free(&b->receiver.conn);
    fm__sender_done(b);
    fm__spool_close(&b->spool);
    fm__loop_free(&b->loop);
    fm__queue_done(&b->queue);
    fm__queue_done(&b->taken);
    fm__bus_url_done(&b->url);
    fm__free(b->producer);
    fm__free(b->spool_dir);
    fm__free(b->ca);
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
    fm__free(b);
}
