// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** A connection to Redis that keeps itself up: connect, TLS, AUTH, SELECT; when it breaks, again after a
 *  growing pause with jitter. Belongs to a loop's thread; nothing in it blocks but the look-up of a host's
 *  name. */
#ifndef FM_BUS_CONN_H
#define FM_BUS_CONN_H

#include "base/loop.h"
#include "bus/url.h"

#include <framemill/log.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fm_conn fm_conn;
struct redisReply;

typedef struct fm_conn_opts {
    const char *name; // in the log: "results", "commands"
    const fm_bus_url *url;
    const char *ca;     // PEM file; NULL: the system's
    int64_t timeout_ns; // of connecting with all that belongs to it, and of an answer
    const fm_log *log;
    /** All is ready for commands. */
    void (*on_ready)(fm_conn *conn, void *opaque);
    /** An answer, in the order of the commands; borrowed. */
    void (*on_reply)(fm_conn *conn, const struct redisReply *reply, void *opaque);
    /** It broke: what was not answered may or may not have been done. */
    void (*on_down)(fm_conn *conn, void *opaque);
    void *opaque;
} fm_conn_opts;

/** Options' strings and url must outlive it. */
fm_status fm__conn_new(const fm_conn_opts *opts, fm_loop *loop, fm_conn **out, fm_error *err) FM_MUST_USE;
void fm__conn_free(fm_conn **conn);
bool fm__conn_is_ready(const fm_conn *conn);
/** A command, to be sent soon; its answer comes within the options' timeout and `patience_ns` more, or the
 * connection is given up. Only when ready. */
void fm__conn_send(fm_conn *conn, int argc, const char **argv, const size_t *lens, int64_t patience_ns);
/** Gives the connection up, as after an error that only a new one mends. `why` is for the log. */
void fm__conn_fail(fm_conn *conn, const char *why);
/** Does what its time has come for (connecting, giving up); when to call again, INT64_MAX: not before an
 * event. */
int64_t fm__conn_tick(fm_conn *conn, int64_t now_ns);
/** How often it was ready. */
uint64_t fm__conn_times_up(const fm_conn *conn);

#endif
