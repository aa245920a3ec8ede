// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The bus: results and events to Redis Streams, commands from one. docs/redis.md says what stands there.
 *
 *  Whoever puts something never waits: a bounded queue in memory takes it, one thread appends it to a spool
 * on disk and sends from there, in order, a batch at a time, each batch by a script that drops what has
 * arrived before. Away, slow, full or restarted, Redis gets everything that the spool still holds, each entry
 * once by its id (producer:epoch:sequence). */
#ifndef FM_BUS_BUS_H
#define FM_BUS_BUS_H

#include <framemill/log.h>
#include <framemill/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FM_BUS_RESULTS "framemill:results:" // and the stream's name
#define FM_BUS_EVENTS "framemill:events"
#define FM_BUS_COMMANDS "framemill:commands"

typedef struct fm_bus fm_bus;

typedef enum fm_bus_kind { FM_BUS_RESULT, FM_BUS_EVENT } fm_bus_kind;

/** A command; texts are NULL where the entry has no such field. */
typedef struct fm_bus_command {
    const char *command, *stream, *url;
} fm_bus_command;

/** Does it, on the bus's thread; what it returns is answered as an event. A command may come again after a
 * crash: doing it twice must be as good as once. */
typedef fm_status (*fm_bus_command_fn)(const fm_bus_command *command, void *opaque, fm_error *err);

typedef struct fm_bus_opts {
    const char *url;
    const char *password_file; // its first line takes the place of the URL's password; NULL: none
    const char *ca;            // NULL: the system's
    const char *producer;      // a safe name
    const char *spool_dir;
    int64_t spool_bytes;
    int64_t window_s;                // for which repeats are known
    int64_t max_results, max_events; // entries that a Redis stream keeps, about
    int64_t timeout_ns;              // of connecting, and of an answer
    int64_t flush_ns;                // how long the end waits for Redis
    fm_bus_command_fn on_command;    // NULL: no commands
    void *opaque;
    const fm_log *log; // outlives the bus
} fm_bus_opts;

typedef struct fm_bus_stats {
    uint64_t put;      // entries handed over by this process
    uint64_t sent;     // that Redis has taken, those of an earlier run included
    uint64_t repeated; // that it had already
    uint64_t dropped;  // since spool or memory was full
    uint64_t waiting;  // in memory or in the spool
    uint64_t reconnects;
    int64_t spool_peak_bytes;
    uint64_t damaged_bytes; // of the spool, skipped
} fm_bus_stats;

/** UNSUPPORTED in a build without Redis. Redis need not be there. Things may be put from now on. */
fm_status fm__bus_open(const fm_bus_opts *opts, fm_bus **out, fm_error *err) FM_MUST_USE;
/** Starts the thread that sends, and that brings commands. */
fm_status fm__bus_start(fm_bus *bus, fm_error *err) FM_MUST_USE;
/** data: JSON, copied. Any thread. */
void fm__bus_put(
    fm_bus *bus, fm_bus_kind kind, const char *stream, const char *type, const char *data, size_t len);
/** Begins the end: no more commands; sends what is there for flush_ns at most, or (now) not any more. Any
 * thread; may be called again. */
void fm__bus_end(fm_bus *bus, bool now);
/** Has it ended? Waits until deadline_ns (monotonic). */
bool fm__bus_wait(fm_bus *bus, int64_t deadline_ns);
void fm__bus_stats(fm_bus *bus, fm_bus_stats *out);
/** Ends at once if it has not, and frees. */
void fm__bus_close(fm_bus **bus);

#endif
