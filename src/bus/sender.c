// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Sending: one batch is on its way at a time, in the order of the sequence, so that the highest sequence that
// Redis has taken of a producer and epoch says all about repeats. It stands in a key of its own that expires
// when the window has passed without a new entry. The script takes a batch as a whole, up to the first entry
// that Redis refuses: what was taken before it is remembered on both sides. A batch whose answer does not
// come is sent again on the next connection, and what had arrived is dropped there.

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "bus/private.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PAUSE_MIN_NS (50 * FM_NS_PER_MS)
#define PAUSE_MAX_NS (2 * FM_NS_PER_S)
#define TEXTS 6 // of an entry, in the script's arguments
#define ARGS_MAX (4 + FM__BATCH_RECORDS + 1 + TEXTS * FM__BATCH_RECORDS)

// KEYS: the last sequence's, then each entry's stream. ARGV: the window in seconds, then for each entry
// sequence, MAXLEN, id, stream, type, data. Returns how many were added, how many were repeats, and the error
// that stopped it, if one did.
static const char script[] =
    "local last = redis.call('GET', KEYS[1])\n"
    "local top = tonumber(last or '-1')\n"
    "local added, repeated, problem = 0, 0, false\n"
    "for i = 2, #KEYS do\n"
    "  local a = (i - 2) * 6 + 1\n"
    "  local seq = tonumber(ARGV[a + 1])\n"
    "  if seq <= top then\n"
    "    repeated = repeated + 1\n"
    "  else\n"
    "    local r = redis.pcall('XADD', KEYS[i], 'MAXLEN', '~', ARGV[a + 2], '*',\n"
    "      'id', ARGV[a + 3], 'stream', ARGV[a + 4], 'type', ARGV[a + 5], 'data', ARGV[a + 6])\n"
    "    if type(r) == 'table' and r.err then problem = r.err break end\n"
    "    top, last, added = seq, ARGV[a + 1], added + 1\n"
    "  end\n"
    "end\n"
    "if added > 0 then redis.call('SET', KEYS[1], last, 'EX', ARGV[1]) end\n"
    "return {added, repeated, problem}\n";

static void load_script(fm_bus *b)
{
    const char *argv[] = {"SCRIPT", "LOAD", script};
    b->sender.doing = SENDER_LOADING;
    fm__conn_send(b->sender.conn, 3, argv, NULL, 0);
}

static void on_ready(fm_conn *conn, void *opaque)
{
    (void)conn;
    load_script(opaque);
}

static void on_down(fm_conn *conn, void *opaque)
{
    fm_bus *b = opaque;
    (void)conn;
    b->sender.doing = SENDER_IDLE;
}

// Redis is there but does not take it (OOM, LOADING, NOPERM ...): what waits goes on waiting.
static void refused(fm_bus *b, const char *why)
{
    sender *s = &b->sender;
    bool again = strncmp(s->said, why, sizeof(s->said) - 1) == 0;
    fm__log(b->o.log, again ? FM_LOG_DEBUG : FM_LOG_WARN, "redis",
        "%s takes nothing, results and events wait: %s", b->url.shown, why);
    snprintf(s->said, sizeof(s->said), "%.*s", (int)sizeof(s->said) - 1, why);
    s->pause_ns = s->pause_ns ? s->pause_ns * 2 : PAUSE_MIN_NS;
    s->pause_ns = s->pause_ns > PAUSE_MAX_NS ? PAUSE_MAX_NS : s->pause_ns;
    s->wait_until_ns = fm__now_ns() + s->pause_ns;
}

static void on_error(fm_bus *b, const char *text)
{
    if (strncmp(text, "NOSCRIPT", 8) == 0) {
        load_script(b);
    } else if (strncmp(text, "READONLY", 8) == 0) {
        fm__conn_fail(b->sender.conn, text); // another one may have become the primary
    } else {
        refused(b, text);
    }
}

static void count(fm_bus *b, uint64_t added, uint64_t repeated)
{
    pthread_mutex_lock(&b->lock);
    b->stats.sent += added;
    b->stats.repeated += repeated;
    pthread_mutex_unlock(&b->lock);
}

static void batch_arrived(fm_bus *b)
{
    sender *s = &b->sender;
    if (s->said[0]) {
        fm__log(b->o.log, FM_LOG_INFO, "redis", "%s takes results and events again", b->url.shown);
        s->said[0] = 0;
    }
    s->pause_ns = 0;
    fm__spool_ack(b->spool, &s->batch);
    fm__spool_batch_reset(&s->batch);
    s->done = 0;
}

static bool is_number(const redisReply *r)
{
    return r->type == REDIS_REPLY_INTEGER && r->integer >= 0;
}

static void on_taken(fm_bus *b, const redisReply *r)
{
    sender *s = &b->sender;
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 3 || !is_number(r->element[0]) ||
        !is_number(r->element[1])) {
        fm__conn_fail(s->conn, "an answer that is none to the script");
        return;
    }
    uint64_t added = (uint64_t)r->element[0]->integer, repeated = (uint64_t)r->element[1]->integer;
    const redisReply *problem = r->element[2];
    count(b, added, repeated);
    s->done += (size_t)(added + repeated);
    if (problem->type == REDIS_REPLY_STRING || problem->type == REDIS_REPLY_ERROR) {
        on_error(b, problem->str);
    } else if (s->done == s->batch.count) {
        batch_arrived(b);
    } else {
        fm__conn_fail(s->conn, "an answer for another number of entries");
        s->done = 0; // all of it again: Redis knows what it has
    }
}

static void on_reply(fm_conn *conn, const redisReply *r, void *opaque)
{
    fm_bus *b = opaque;
    sender *s = &b->sender;
    bool loading = s->doing == SENDER_LOADING;
    (void)conn;
    s->doing = SENDER_IDLE;
    if (r->type == REDIS_REPLY_ERROR) {
        s->sha[0] = loading ? 0 : s->sha[0];
        on_error(b, r->str);
    } else if (!loading) {
        on_taken(b, r);
    } else if (r->type == REDIS_REPLY_STRING && r->len == 40) {
        memcpy(s->sha, r->str, sizeof(s->sha));
    } else {
        fm__conn_fail(conn, "an answer that is none to SCRIPT LOAD");
    }
}

static fm_status make_last_key(fm_bus *b, uint64_t epoch, fm_error *err)
{
    fm__free(b->sender.last_key);
    b->sender.last_key = fm__asprintf(FM_TAG_BUS, "framemill:last:%s:%" PRIu64, b->producer, epoch);
    return b->sender.last_key ? FM_OK : fm__fail_nomem(err, "a batch");
}

// Memory's own records go straight out while the disk takes none.
static void batch_from_memory(fm_bus *b)
{
    record_queue *q = &b->taken;
    fm_spool_batch *batch = &b->sender.batch;
    size_t used = 0, damaged;
    fm_record r;
    fm__spool_batch_reset(batch);
    while (
        q->head + batch->len < q->len && batch->count < FM__BATCH_RECORDS && batch->len < FM__BATCH_BYTES) {
        const uint8_t *at = q->data + q->head + batch->len;
        (void)fm__record_next(at, q->len - q->head - batch->len, &r, &used, &damaged); // our own: whole
        if (!fm__spool_batch_add(batch, at, used)) {
            break;
        }
    }
    fm__spool_batch_seal(batch);
    fm__queue_take(q, batch->len);
}

static void next_batch(fm_bus *b)
{
    sender *s = &b->sender;
    fm_error err = {0};
    fm_status st = fm__spool_read(b->spool, FM__BATCH_RECORDS, FM__BATCH_BYTES, &s->batch, &err);
    if (st == FM_OK && s->batch.count == 0 && b->spool_fails && b->taken.count > 0) {
        batch_from_memory(b);
    }
    if (st == FM_OK && s->batch.count > 0) {
        st = make_last_key(b, s->batch.records[0].epoch, &err);
    }
    if (st != FM_OK) {
        refused(b, err.msg);
    }
}

static void add_arg(sender *s, int *n, const char *text, size_t len)
{
    s->argv[*n] = text;
    s->lens[(*n)++] = len;
}

static void add_entry(fm_bus *b, int *n, size_t i)
{
    sender *s = &b->sender;
    const fm_record *r = &s->batch.records[i];
    const fm_bus_entry *e = &r->entry;
    bool is_event = e->key_len == strlen(FM_BUS_EVENTS) && memcmp(e->key, FM_BUS_EVENTS, e->key_len) == 0;
    // The two bounds stand behind one another in one text each, made once a batch.
    const char *bound = s->ids[FM__BATCH_RECORDS + (is_event ? 1 : 0)];
    char *id = s->ids[i];
    int len = snprintf(id, FM__ID_MAX, "%s:%" PRIu64 ":%" PRIu64, b->producer, r->epoch, r->sequence);
    const char *seq = strrchr(id, ':') + 1;
    add_arg(s, n, seq, strlen(seq));
    add_arg(s, n, bound, strlen(bound));
    add_arg(s, n, id, (size_t)len);
    add_arg(s, n, e->stream, e->stream_len);
    add_arg(s, n, e->type, e->type_len);
    add_arg(s, n, e->data, e->data_len);
}

static void send_batch(fm_bus *b)
{
    sender *s = &b->sender;
    char keys[16], window[24];
    int n = 0;
    snprintf(keys, sizeof(keys), "%zu", 1 + s->batch.count - s->done);
    snprintf(window, sizeof(window), "%" PRId64, b->o.window_s);
    snprintf(s->ids[FM__BATCH_RECORDS], FM__ID_MAX, "%" PRId64, b->o.max_results);
    snprintf(s->ids[FM__BATCH_RECORDS + 1], FM__ID_MAX, "%" PRId64, b->o.max_events);
    add_arg(s, &n, "EVALSHA", 7);
    add_arg(s, &n, s->sha, 40);
    add_arg(s, &n, keys, strlen(keys));
    add_arg(s, &n, s->last_key, strlen(s->last_key));
    for (size_t i = s->done; i < s->batch.count; i++) {
        add_arg(s, &n, s->batch.records[i].entry.key, s->batch.records[i].entry.key_len);
    }
    add_arg(s, &n, window, strlen(window));
    for (size_t i = s->done; i < s->batch.count; i++) {
        add_entry(b, &n, i);
    }
    s->doing = SENDER_SENDING;
    fm__conn_send(s->conn, n, s->argv, s->lens, 0);
}

void fm__sender_pump(fm_bus *b, int64_t now_ns)
{
    sender *s = &b->sender;
    if (!fm__conn_is_ready(s->conn) || s->doing != SENDER_IDLE || now_ns < s->wait_until_ns) {
        return;
    }
    if (!s->sha[0]) {
        load_script(b);
        return;
    }
    if (s->batch.count == 0) {
        next_batch(b);
    }
    if (s->batch.count > 0) {
        send_batch(b);
    }
}

bool fm__sender_idle(const fm_bus *b)
{
    return b->sender.doing != SENDER_SENDING && b->sender.batch.count == 0;
}

fm_status fm__sender_init(fm_bus *b, fm_error *err)
{
    sender *s = &b->sender;
    fm_conn_opts co = fm__bus_conn_opts(b, "results");
    co.on_ready = on_ready;
    co.on_reply = on_reply;
    co.on_down = on_down;
    s->ids = fm__calloc_array(FM_TAG_BUS, FM__BATCH_RECORDS + 2, sizeof(*s->ids));
    s->argv = fm__calloc_array(FM_TAG_BUS, ARGS_MAX, sizeof(*s->argv));
    s->lens = fm__calloc_array(FM_TAG_BUS, ARGS_MAX, sizeof(*s->lens));
    if (!s->ids || !s->argv || !s->lens) {
        return fm__fail_nomem(err, "the bus");
    }
    return fm__conn_new(&co, b->loop, &s->conn, err);
}

void fm__sender_done(fm_bus *b)
{
    sender *s = &b->sender;
    fm__conn_free(&s->conn);
    fm__spool_batch_done(&s->batch);
    fm__free(s->last_key);
    fm__free(s->ids);
    fm__free(s->argv);
    fm__free(s->lens);
}
