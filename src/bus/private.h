// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Shared by the files of this folder: the bus with what its thread has in hand. */
#ifndef FM_BUS_PRIVATE_H
#define FM_BUS_PRIVATE_H

#include "base/loop.h"
#include "bus/bus.h"
#include "bus/conn.h"
#include "bus/spool.h"
#include "bus/url.h"

#include <pthread.h>

#define FM__BATCH_RECORDS 128
#define FM__BATCH_BYTES ((size_t)512 * 1024)
#define FM__ID_MAX 160 // producer (100 at most), epoch, sequence

/** Records, one after another; head..len are there. */
typedef struct record_queue {
    uint8_t *data;
    size_t head, len, cap;
    uint64_t count;
} record_queue;

/** The sending side: sender.c. */
typedef struct sender {
    fm_conn *conn;
    fm_spool_batch batch; // on its way or to be sent (again)
    size_t done;          // of it, records that have arrived
    enum { SENDER_IDLE, SENDER_LOADING, SENDER_SENDING } doing;
    char sha[41];   // of the script, as Redis named it
    char *last_key; // of the last batch
    int64_t wait_until_ns, pause_ns;
    char said[160]; // the last refusal that was logged
    char (*ids)[FM__ID_MAX];
    const char **argv;
    size_t *lens;
} sender;

/** The receiving side: commands.c. */
typedef struct receiver {
    fm_conn *conn; // NULL: no commands
    enum { READ_GROUP, READ_PENDING, READ_NEW } doing;
    int acks_due;     // answers to XACK that come first
    char handled[48]; // id of the last command that was done
} receiver;

struct fm_bus {
    // immutable after open
    fm_bus_opts o; // strings are copies
    char *producer, *ca, *spool_dir;
    fm_bus_url url;
    uint64_t epoch;
    pthread_t thread;
    bool thread_started;
    fm_loop *loop;

    // the bus's thread only
    fm_spool *spool;
    record_queue taken; // out of the queue, not in the spool yet
    bool spool_fails;   // and has said so
    int64_t retry_ns;   // when to try again
    sender sender;
    receiver receiver;
    uint64_t said_dropped;
    int64_t said_ns;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    // protected by lock
    record_queue queue;
    int64_t first_put_ns; // of what is in the queue
    uint64_t sequence;
    bool ending, ended;
    int64_t end_ns; // when the end waits no more
    fm_bus_stats stats;
    uint64_t spool_dropped; // as the spool told last
};

// queue.c: the bounded queue in memory
bool fm__queue_init(record_queue *q);
void fm__queue_done(record_queue *q);
/** Room for size bytes at the end; the oldest records go for it. Returns how many did. */
uint64_t fm__queue_reserve(record_queue *q, size_t size);
/** `n` bytes of whole records are done with. */
void fm__queue_take(record_queue *q, size_t n);

// sender.c
fm_status fm__sender_init(fm_bus *bus, fm_error *err);
void fm__sender_done(fm_bus *bus);
/** Sends the next batch, when all is ready for it. */
void fm__sender_pump(fm_bus *bus, int64_t now_ns);
/** Nothing is on its way or to be sent. */
bool fm__sender_idle(const fm_bus *bus);

// commands.c
fm_status fm__receiver_init(fm_bus *bus, fm_error *err);

// bus.c
/** Puts the queue into the spool now, as far as it goes. */
void fm__bus_spool_queue(fm_bus *bus);
/** Options of a connection of this bus. */
fm_conn_opts fm__bus_conn_opts(fm_bus *bus, const char *name);

#endif
