// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Commands come by a connection of their own, since reading them waits in Redis. A consumer group named after
// the producer remembers how far this producer has come: what was handed out and not acknowledged when the
// process died is read first. A command is acknowledged after it was done and its answer lies in the spool.
// One that comes again within a process's life is acknowledged and not done again.

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "bus/private.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#define CONSUMER "framemill"
#define COUNT "16"
#define BLOCK_MS "2000"
#define BLOCK_NS (2 * FM_NS_PER_S)

static void ask(fm_bus *b)
{
    bool fresh = b->receiver.doing == READ_NEW;
    const char *pending[] = {
        "XREADGROUP", "GROUP", b->producer, CONSUMER, "COUNT", COUNT, "STREAMS", FM_BUS_COMMANDS, "0"};
    const char *new[] = {"XREADGROUP", "GROUP", b->producer, CONSUMER, "COUNT", COUNT, "BLOCK", BLOCK_MS,
        "STREAMS", FM_BUS_COMMANDS, ">"};
    fm__conn_send(b->receiver.conn, fresh ? 11 : 9, fresh ? new : pending, NULL, fresh ? BLOCK_NS : 0);
}

static void make_group(fm_bus *b)
{
    const char *argv[] = {"XGROUP", "CREATE", FM_BUS_COMMANDS, b->producer, "$", "MKSTREAM"};
    b->receiver.doing = READ_GROUP;
    fm__conn_send(b->receiver.conn, 6, argv, NULL, 0);
}

static void on_ready(fm_conn *conn, void *opaque)
{
    fm_bus *b = opaque;
    (void)conn;
    b->receiver.acks_due = 0;
    make_group(b);
}

static void on_down(fm_conn *conn, void *opaque)
{
    (void)conn;
    (void)opaque; // all begins anew in on_ready
}

static const char *field(const redisReply *fields, const char *name)
{
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        const redisReply *key = fields->element[i], *value = fields->element[i + 1];
        if (key->type == REDIS_REPLY_STRING && value->type == REDIS_REPLY_STRING &&
            strcmp(key->str, name) == 0 && strlen(value->str) == (size_t)value->len) {
            return value->str;
        }
    }
    return NULL;
}

static void answer(fm_bus *b, const char *id, const fm_bus_command *c, fm_status st, const fm_error *err)
{
    fm_str s;
    fm_json j;
    fm__str_init(&s, FM_TAG_BUS);
    fm__json_init(&j, &s);
    fm__json_open_object(&j);
    fm__json_put_string(&j, "entry", id);
    fm__json_put_string(&j, "command", c->command);
    fm__json_put_string(&j, "stream", c->stream);
    fm__json_put_bool(&j, "ok", st == FM_OK);
    if (st != FM_OK) {
        fm__json_put_string(&j, "error", err->msg);
    }
    fm__json_close_object(&j);
    if (!s.failed) {
        fm__bus_put(b, FM_BUS_EVENT, c->stream ? c->stream : "", "command", s.data, s.len);
    }
    fm__str_done(&s);
    fm__log(b->o.log, st == FM_OK ? FM_LOG_INFO : FM_LOG_WARN, "redis", "command %s '%.100s': %s",
        c->command ? c->command : "without a name", c->stream ? c->stream : "",
        st == FM_OK ? "done" : err->msg);
}

// "1700000000000-5": later ones have larger numbers.
static bool is_later(const char *id, const char *than)
{
    char *a_rest, *b_rest;
    unsigned long long a = strtoull(id, &a_rest, 10), b = strtoull(than, &b_rest, 10);
    if (a != b) {
        return a > b;
    }
    return strtoull(*a_rest ? a_rest + 1 : "0", NULL, 10) > strtoull(*b_rest ? b_rest + 1 : "0", NULL, 10);
}

static void do_command(fm_bus *b, const char *id, const redisReply *fields)
{
    fm_bus_command c = {
        .command = field(fields, "command"), .stream = field(fields, "stream"), .url = field(fields, "url")};
    const char *whom = field(fields, "producer");
    fm_error err = {0};
    if (whom && strcmp(whom, b->producer) != 0) {
        return;
    }
    fm_status st = b->o.on_command(&c, b->o.opaque, &err);
    answer(b, id, &c, st, &err);
}

static void take_entry(fm_bus *b, const redisReply *entry)
{
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
        entry->element[0]->type != REDIS_REPLY_STRING) {
        return;
    }
    const char *id = entry->element[0]->str;
    receiver *r = &b->receiver;
    // A pending entry that was trimmed away in the meantime has no fields.
    if (entry->element[1]->type == REDIS_REPLY_ARRAY && (!r->handled[0] || is_later(id, r->handled))) {
        do_command(b, id, entry->element[1]);
        strncpy(r->handled, id, sizeof(r->handled) - 1);
    }
    fm__bus_spool_queue(b);
    const char *ack[] = {"XACK", FM_BUS_COMMANDS, b->producer, id};
    r->acks_due++;
    fm__conn_send(r->conn, 4, ack, NULL, 0);
}

// [[key, [entry, ...]]], or nil where the wait was in vain.
static void take_entries(fm_bus *b, const redisReply *r)
{
    size_t n = 0;
    if (r->type == REDIS_REPLY_ARRAY && r->elements == 1 && r->element[0]->type == REDIS_REPLY_ARRAY &&
        r->element[0]->elements == 2 && r->element[0]->element[1]->type == REDIS_REPLY_ARRAY) {
        const redisReply *entries = r->element[0]->element[1];
        for (n = 0; n < entries->elements && fm__conn_is_ready(b->receiver.conn); n++) {
            take_entry(b, entries->element[n]);
        }
    }
    if (n == 0) {
        b->receiver.doing = READ_NEW;
    }
    if (fm__conn_is_ready(b->receiver.conn)) {
        ask(b);
    }
}

static void on_reply(fm_conn *conn, const redisReply *r, void *opaque)
{
    fm_bus *b = opaque;
    receiver *x = &b->receiver;
    bool is_ack = x->acks_due > 0;
    x->acks_due -= is_ack;
    if (r->type != REDIS_REPLY_ERROR) {
        if (is_ack) {
            return;
        }
        if (x->doing == READ_GROUP) {
            x->doing = READ_PENDING;
            ask(b);
        } else {
            take_entries(b, r);
        }
    } else if (!is_ack && x->doing == READ_GROUP && strncmp(r->str, "BUSYGROUP", 9) == 0) {
        x->doing = READ_PENDING;
        ask(b);
    } else if (!is_ack && strncmp(r->str, "NOGROUP", 7) == 0) {
        make_group(b); // Redis came back without what it knew
    } else {
        fm__conn_fail(conn, r->str);
    }
}

fm_status fm__receiver_init(fm_bus *b, fm_error *err)
{
    if (!b->o.on_command) {
        return FM_OK;
    }
    fm_conn_opts co = fm__bus_conn_opts(b, "commands");
    co.on_ready = on_ready;
    co.on_reply = on_reply;
    co.on_down = on_down;
    return fm__conn_new(&co, b->loop, &b->receiver.conn, err);
}
