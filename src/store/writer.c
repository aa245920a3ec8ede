// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The writer's thread. It sleeps until something is queued, begins a transaction, writes what comes for
// GATHER_NS (or until the queue is empty and somebody waits), and commits: data files are synced first, then
// the folder where a file is new, then SQLite's log by its commit. Only then are callbacks called. Many
// frames share one commit, and none waits long for its own. Where a record fails, the transaction is written
// once more from its start, so that what fails alone costs the others nothing. Between transactions it
// deletes what is too old.

#include "store/private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/str.h"
#include "base/thread.h"

#include <errno.h>
#include <string.h>

#define GATHER_NS (INT64_C(60) * FM_NS_PER_MS) // with a commit of up to 40 ms: 100 ms a transaction
// Within a transaction it takes all there is, then sleeps until so much is there or the end is near: a
// thread's waking costs as much as a record's rows.
#define GATHER_BYTES ((size_t)512 << 10)
#define DRAIN_NS (INT64_C(10) * FM_NS_PER_MS)
#define RETAIN_NS FM_NS_PER_S                   // how often bounds are looked at
#define LOSS_LOG_NS (INT64_C(10) * FM_NS_PER_S) // losses are said at once, then so often

/** What a transaction holds, until it is known what became of it. */
typedef struct batch {
    item *first, *last;
    bool asked;   // somebody waits for one of them
    bool guarded; // one has failed: each is kept apart from the others from here on
} batch;

static void keep(batch *b, item *it)
{
    it->next = NULL;
    if (b->last) {
        b->last->next = it;
    } else {
        b->first = it;
    }
    b->last = it;
    b->asked = b->asked || it->waiter;
}

// The next item. Where there is none it waits until deadline_ns for one, or for `bytes` of them. NULL: the
// time is over, or nothing will come.
static item *next_item(fm_store *s, int64_t deadline_ns, size_t bytes, bool may_wait)
{
    pthread_mutex_lock(&s->lock);
    s->wanted = bytes;
    bool waits = !s->head && may_wait;
    while (waits && (!s->head || s->queued_bytes < bytes) && !s->closing && s->hurry == 0 &&
           fm__cond_wait_until(&s->work, &s->lock, deadline_ns)) {
    }
    item *it = s->head;
    if (it) {
        s->head = it->next;
        s->tail = s->head ? s->tail : NULL;
        s->queued_bytes -= it->bytes;
        fm__pool_gone(FM_POOL_STORE_QUEUE, it->bytes, false);
        s->hurry -= it->waiter != NULL;
        pthread_cond_broadcast(&s->room);
    }
    pthread_mutex_unlock(&s->lock);
    return it;
}

static void say_loss(fm_store *s, const fm_error *err)
{
    s->unsaid_losses++;
    int64_t now = fm__now_ns();
    if (now < s->next_loss_log_ns) {
        return;
    }
    s->next_loss_log_ns = now + LOSS_LOG_NS;
    fm__log(&s->o.log, FM_LOG_ERROR, "store", "%llu records were lost: %s",
        (unsigned long long)s->unsaid_losses, err->msg);
    s->unsaid_losses = 0;
}

static void answer(fm_store *s, item *it)
{
    int64_t took = fm__now_ns() - it->queued_ns;
    bool is_record = it->kind == ITEM_RECORD;
    if (is_record && it->status != FM_OK) {
        say_loss(s, &it->err);
    }
    if (it->done) {
        it->done(it->status, it->value, it->status == FM_OK ? NULL : &it->err, it->opaque);
    }
    pthread_mutex_lock(&s->lock);
    s->longest_ack_ns = is_record && took > s->longest_ack_ns ? took : s->longest_ack_ns;
    s->written += is_record && it->status == FM_OK;
    s->lost += is_record && it->status != FM_OK;
    if (is_record && it->status != FM_OK) {
        s->last_loss = it->status;
        s->last_err = it->err;
    }
    if (it->waiter) {
        it->waiter->status = it->status;
        it->waiter->err = it->err;
        it->waiter->value = it->value;
        it->waiter->done = true;
        pthread_cond_broadcast(&s->done);
    }
    pthread_mutex_unlock(&s->lock);
    fm__free(it);
}

static void answer_all(fm_store *s, batch *b)
{
    for (item *it = b->first; it;) {
        item *next = it->next;
        answer(s, it);
        it = next;
    }
    *b = (batch){0};
}

static void write_item(fm_store *s, item *it, bool guarded)
{
    if (it->kind == ITEM_RECORD) {
        it->status = fm__rows_record(s, it, guarded, &it->err);
    } else if (it->kind == ITEM_RUN) {
        it->status = fm__rows_run(s, it, &it->err);
    }
}

fm_status fm__store_sync_names(fm_store *s, fm_error *err)
{
    char *path = fm__path_join(FM_TAG_STORE, s->dir, FM_STORE_SEGMENTS);
    fm_status st = path ? FM_OK : fm__fail_nomem(err, "a path");
    if (path && s->io->sync_folder(s->io->opaque, path) != 0) {
        st = fm__fail_errno(err, errno, "cannot sync folder", path);
    }
    fm__free(path);
    return st;
}

// Data first, then the names of new files, so that no row ever points to what a power failure takes away.
static fm_status sync_segments(fm_store *s, fm_error *err)
{
    bool is_new = false;
    for (size_t i = 0; i < s->stream_count; i++) {
        fm_segment *g = &s->streams[i].segment;
        if (g->fd < 0 || !g->dirty) {
            continue;
        }
        is_new = is_new || g->committed == 0;
        if (s->io->sync(s->io->opaque, g->fd) != 0) {
            return fm__fail_errno(err, errno, "cannot sync a segment of", s->dir);
        }
    }
    return is_new ? fm__store_sync_names(s, err) : FM_OK;
}

static void segments_committed(fm_store *s)
{
    for (size_t i = 0; i < s->stream_count; i++) {
        stream_entry *e = &s->streams[i];
        e->added_bytes = 0;
        e->segment.committed = e->segment.size;
        e->segment.dirty = false;
        if (e->segment.fd >= 0 && fm__rows_segment_is_full(s, &e->segment)) {
            fm__rows_seal(e);
        }
    }
}

static void segments_undone(fm_store *s)
{
    for (size_t i = 0; i < s->stream_count; i++) {
        s->streams[i].added_bytes = 0;
        if (s->streams[i].segment.fd >= 0 && s->streams[i].segment.dirty) {
            fm__segment_undo(s->io, s->dir, &s->streams[i].segment);
        }
    }
}

static fm_status commit(fm_store *s, fm_error *err)
{
    fm_status st = fm__rows_finish(s, err);
    st = st == FM_OK && s->o.sync == FM_STORE_SYNC_FULL ? sync_segments(s, err) : st;
    st = st == FM_OK ? fm__sql_exec(s->db, "COMMIT", err) : st;
    if (st == FM_OK) {
        segments_committed(s);
        return FM_OK;
    }
    if (!sqlite3_get_autocommit(s->db)) {
        (void)fm__sql_exec(s->db, "ROLLBACK", NULL);
    }
    segments_undone(s);
    return st;
}

// From the start, each record by itself. Nobody was told anything yet, and ids are given as before.
static fm_status write_again(fm_store *s, batch *b, fm_error *err)
{
    b->guarded = true;
    fm_status st = fm__sql_exec(s->db, "ROLLBACK", err);
    segments_undone(s);
    st = st == FM_OK ? fm__sql_exec(s->db, "BEGIN IMMEDIATE", err) : st;
    for (item *it = b->first; it && st == FM_OK; it = it->next) {
        it->status = FM_OK;
        it->err = (fm_error){0};
        it->value = 0;
        write_item(s, it, true);
        if (sqlite3_get_autocommit(s->db)) {
            st = FM_IO;
            *err = it->err;
        }
    }
    return st;
}

// The last of the batch; OK also where it alone has failed.
static fm_status write_last(fm_store *s, batch *b, fm_error *err)
{
    item *it = b->last;
    write_item(s, it, b->guarded);
    if (sqlite3_get_autocommit(s->db)) { // a failure ended the transaction
        *err = it->err;
        return FM_IO;
    }
    return it->kind == ITEM_RECORD && it->status != FM_OK && !b->guarded ? write_again(s, b, err) : FM_OK;
}

static void fail_all(batch *b, fm_status st, const fm_error *err)
{
    for (item *it = b->first; it; it = it->next) {
        if (it->status == FM_OK) {
            it->status = st;
            it->err = *err;
            it->value = 0;
        }
    }
}

static void prune_all(fm_store *s, item *it)
{
    bool more = true;
    uint64_t frames = 0;
    while (more && it->status == FM_OK) {
        it->status = fm__retain_step(s, &frames, &more, &it->err);
    }
    it->value = (int64_t)frames;
}

// What is asked for by itself: not part of a transaction of records.
static bool stands_alone(const item *it)
{
    return it->kind == ITEM_FLUSH || it->kind == ITEM_PRUNE;
}

static void take_alone(fm_store *s, item *it)
{
    if (it->kind == ITEM_PRUNE) {
        prune_all(s, it);
    }
    answer(s, it);
}

// What comes next in a transaction that ends at `end`.
static item *gather(fm_store *s, int64_t end, bool may_wait)
{
    int64_t now = fm__now_ns();
    if (now >= end) {
        return NULL;
    }
    bool near = now >= end - DRAIN_NS;
    return next_item(s, near ? end : end - DRAIN_NS, near ? 0 : GATHER_BYTES, may_wait);
}

static void run_transaction(fm_store *s, item *first)
{
    batch b = {0};
    fm_error err = {0}, full = {0};
    item *alone = NULL;
    int64_t end = fm__now_ns() + GATHER_NS;
    fm_status st = fm__sql_exec(s->db, "BEGIN IMMEDIATE", &err);
    if (s->floor_hit) {
        fm__fail_native(&full, FM_IO, ENOSPC,
            "the disk of %s has less than %lld bytes free: make room, or lower free_floor", s->dir,
            (long long)s->o.free_floor);
    }
    for (item *it = first; it; it = gather(s, end, !b.asked)) {
        if (stands_alone(it)) {
            alone = it;
            break;
        }
        keep(&b, it);
        if (s->floor_hit && it->kind == ITEM_RECORD) {
            it->status = FM_IO;
            it->err = full;
        } else if (st == FM_OK) {
            st = write_last(s, &b, &err);
            if (st != FM_OK) {
                break;
            }
        }
    }
    if (st == FM_OK) {
        st = commit(s, &err);
    } else {
        segments_undone(s);
    }
    if (st != FM_OK) {
        fail_all(&b, st, &err);
    }
    pthread_mutex_lock(&s->lock);
    s->transactions++;
    pthread_mutex_unlock(&s->lock);
    answer_all(s, &b);
    if (alone) {
        take_alone(s, alone);
    }
}

static void keep_bounds(fm_store *s)
{
    int64_t now = fm__now_ns();
    if (now < s->next_retain_ns) {
        return;
    }
    bool more = false;
    uint64_t frames = 0;
    fm_error err = {0};
    if (fm__retain_step(s, &frames, &more, &err) != FM_OK) {
        fm__log(&s->o.log, FM_LOG_WARN, "store", "cannot delete old records: %s", err.msg);
        more = false;
    }
    s->next_retain_ns = more ? now : now + RETAIN_NS;
    s->floor_hit = !more && fm__retain_is_full(s);
}

void *fm__store_writer(void *opaque)
{
    fm_store *s = opaque;
    for (;;) {
        keep_bounds(s);
        // It wakes for its bounds also when nothing comes.
        item *it = next_item(s, fm__now_ns() + RETAIN_NS, 0, true);
        if (it && stands_alone(it)) {
            take_alone(s, it);
        } else if (it) {
            run_transaction(s, it);
        } else {
            pthread_mutex_lock(&s->lock);
            bool end = s->closing && !s->head;
            pthread_mutex_unlock(&s->lock);
            if (end) {
                return NULL;
            }
        }
    }
}
