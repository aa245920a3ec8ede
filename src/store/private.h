// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The store's own insides, shared by its files. put.c queues, writer.c is the writer's thread, rows.c what
 * it writes, retain.c what it deletes, open.c life and recovery, read.c what is asked. */
#ifndef FM_STORE_PRIVATE_H
#define FM_STORE_PRIVATE_H

#include "base/alloc.h"
#include "image/jpeg.h"
#include "store/schema.h"
#include "store/segment.h"
#include "store/sql.h"
#include "store/store.h"

#include <pthread.h>

typedef enum item_kind { ITEM_RECORD, ITEM_RUN, ITEM_FLUSH, ITEM_PRUNE } item_kind;

/** Who waits for an item; guarded by the store's lock. */
typedef struct waiter {
    bool done;
    fm_status status;
    fm_error err;
    int64_t value; // the run, or frames deleted
} waiter;

/** What is queued: one block of memory with all that it points to. */
typedef struct item {
    struct item *next;
    item_kind kind;
    fm_store_record r; // RECORD; its stream's id below
    int64_t stream_id;
    const char *stream, *url; // RUN
    size_t bytes;             // of the block
    int64_t queued_ns;        // monotonic
    fm_store_done_fn done;
    void *opaque;
    waiter *waiter;
    fm_status status; // of its writing
    fm_error err;
    int64_t value; // frame id, run or frames deleted
} item;

typedef struct run_entry {
    int64_t run, stream_id;
} run_entry;

/** A model whose features are here. */
typedef struct model_entry {
    char *name;
    bool of_frames;
    int dim;
} model_entry;

/** A stream that the writer writes. */
typedef struct stream_entry {
    int64_t id;
    char *name;
    fm_segment segment;  // fd -1: none
    int64_t added_bytes; // of rows, since the last commit
    int64_t last_frame;
} stream_entry;

typedef enum stmt_id {
    STMT_STREAM_FIND,
    STMT_STREAM_ADD,
    STMT_STREAM_BYTES,
    STMT_RUN_ADD,
    STMT_SEGMENT_ADD,
    STMT_SEGMENT_SET,
    STMT_PICTURE_ADD,
    STMT_FRAME_ADD,
    STMT_FRAME_FIND,
    STMT_DETECTION_ADD,
    STMT_TRACK_PUT,
    STMT_TRACK_VIEW,
    STMT_TRACK_FIND,
    STMT_FEATURE_ADD,
    STMT_MODEL_ADD,
    STMT_COUNT
} stmt_id;

struct fm_store {
    char *dir;
    fm_store_opts o; // strings forgotten
    const fm_store_io *io;
    char *vfs;
    int lock_fd; // -1: read only
    // the writer's thread alone, once it runs
    sqlite3 *db;
    sqlite3_stmt *stmts[STMT_COUNT];
    stream_entry *streams;
    size_t stream_count, stream_cap;
    int64_t next_retain_ns, next_loss_log_ns;
    uint64_t unsaid_losses;
    bool floor_hit;
    pthread_t thread;
    bool running;
    // read.c
    pthread_mutex_t read_lock;
    sqlite3 *reader; // under read_lock
    pthread_mutex_t lock;
    pthread_cond_t work, room, done;
    // under lock
    item *head, *tail;
    size_t queued_bytes;
    size_t wanted; // bytes that have to be queued before the writer is woken
    int hurry;     // somebody waits: commit at once
    bool closing;
    fm_jpeg *encoders[16]; // idle ones
    size_t encoder_count;
    run_entry *runs;
    size_t run_count, run_cap;
    model_entry *models;
    size_t model_count, model_cap;
    fm_status last_loss;
    fm_error last_err;
    uint64_t written, lost, transactions, deleted_frames;
    int64_t longest_ack_ns;
};

// put.c
bool fm__store_writes(const fm_store *store, const char *what, fm_error *err, fm_status *st);
/** Queues an item that the caller waits for on its stack, and waits. */
fm_status fm__store_ask(
    fm_store *store, item_kind kind, const char *stream, const char *url, int64_t *value, fm_error *err);

// writer.c
void *fm__store_writer(void *store);
/** Syncs the folder of segments: the names of new files. */
fm_status fm__store_sync_names(fm_store *store, fm_error *err);

// rows.c
fm_status fm__rows_prepare(fm_store *store, fm_error *err);
void fm__rows_done(fm_store *store);
/** guarded: what fails leaves nothing behind, at the price of a savepoint, for which SQLite copies each page
 * that the record touches; else the transaction is to be given up. */
fm_status fm__rows_record(fm_store *store, item *it, bool guarded, fm_error *err);
fm_status fm__rows_run(fm_store *store, item *it, fm_error *err);
/** Segments' sizes and streams' bytes, before the commit. */
fm_status fm__rows_finish(fm_store *store, fm_error *err);
stream_entry *fm__rows_stream(fm_store *store, int64_t id);
/** A new file of pictures and its row. */
fm_status fm__rows_segment_begin(
    fm_store *store, int64_t stream_id, const char *name, fm_segment *out, fm_error *err);
/** Its size and last frame into its row. */
fm_status fm__rows_segment_set(fm_store *store, const fm_segment *segment, fm_error *err);
/** Bytes past which one ends. */
int64_t fm__rows_segment_limit(const fm_store *store);
/** Is it time for the next one? */
bool fm__rows_segment_is_full(const fm_store *store, const fm_segment *segment);
/** Ends the stream's segment; the next picture begins another. */
void fm__rows_seal(stream_entry *stream);

// retain.c
/** Deletes a bounded part of what is over its bounds; *more when there is more to do. Its own transaction. */
fm_status fm__retain_step(fm_store *store, uint64_t *frames, bool *more, fm_error *err);
/** Is there less free than the floor? */
bool fm__retain_is_full(fm_store *store);

// refile.c
/** Lays the pictures of a segment out anew, in files of the size that the bounds ask for now, in a
 * transaction of its own. The old file has no row afterwards, and is the caller's to delete. @param fd  the
 * old file, locked against readers */
fm_status fm__refile(
    fm_store *store, int64_t stream_id, int64_t segment_id, int fd, int64_t last_frame, fm_error *err);

#define FM_STORE_CSV_HEAD "frame,pts_ns,time_ns,width,height,file,picture,label,class_id,score,x,y,w,h,track"

// open.c
/** Collects what has no row: files of segments, their tails. *lost counts pictures whose file is short. */
fm_status fm__store_recover(fm_store *store, fm_error *err);
/** The lock of the folder; BUSY names the holder. */
fm_status fm__store_lock(const char *dir, int *fd, fm_error *err);

#endif
