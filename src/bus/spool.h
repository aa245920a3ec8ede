// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What waits for Redis, on disk: a folder of append-only segments and the position up to which all was
 *  acknowledged. Survives the process's death at any point (kill -9), not the loss of power: nothing is
 *  synced. Bounded: when full, the oldest segment goes, and its records are counted. Owner thread only; a
 *  lock keeps other processes out. */
#ifndef FM_BUS_SPOOL_H
#define FM_BUS_SPOOL_H

#include "bus/record.h"

#include <framemill/log.h>
#include <framemill/status.h>

typedef struct fm_spool fm_spool;

typedef struct fm_spool_opts {
    const char *dir;   // made if missing
    int64_t max_bytes; // of all segments, at least FM_SPOOL_MIN_BYTES
    const fm_log *log;
} fm_spool_opts;

#define FM_SPOOL_MIN_BYTES (1 << 20)

/** Records that were read and wait for their acknowledgment. They are of one epoch. */
typedef struct fm_spool_batch {
    uint64_t segment; // 0: none of the spool's
    int64_t end;      // offset behind the last one
    uint8_t *data;
    size_t len, cap;
    fm_record *records; // into data
    size_t count, record_cap;
} fm_spool_batch;

typedef struct fm_spool_stats {
    uint64_t unread;  // records that no batch has had yet
    uint64_t dropped; // because the spool was full
    int64_t bytes, peak_bytes;
    uint64_t damaged_bytes;
} fm_spool_stats;

/** BUSY when another process has it. */
fm_status fm__spool_open(const fm_spool_opts *opts, fm_spool **out, fm_error *err) FM_MUST_USE;
/** A segment that is done with is deleted. */
void fm__spool_close(fm_spool **spool);
/** Of this opening: larger than that of every other one, also where the folder was deleted in between. */
uint64_t fm__spool_epoch(const fm_spool *spool);
/** Whole records, one after another. On failure (disk full) none of them is in; *taken: bytes of whole
 * records that are. */
fm_status fm__spool_append(
    fm_spool *spool, const uint8_t *records, size_t len, size_t *taken, fm_error *err) FM_MUST_USE;
/** The next records into batch, which is empty: at most max_count, and max_bytes but for the first. count 0:
 * there is none. */
fm_status fm__spool_read(
    fm_spool *spool, size_t max_count, size_t max_bytes, fm_spool_batch *batch, fm_error *err) FM_MUST_USE;
/** All up to the batch's end have arrived. */
void fm__spool_ack(fm_spool *spool, const fm_spool_batch *batch);
void fm__spool_stats(const fm_spool *spool, fm_spool_stats *out);

/** Adds a whole record to a batch; false: out of memory. */
bool fm__spool_batch_add(fm_spool_batch *batch, const uint8_t *record, size_t size);
/** Makes the records of what fm__spool_batch_add put there. */
void fm__spool_batch_seal(fm_spool_batch *batch);
void fm__spool_batch_reset(fm_spool_batch *batch);
void fm__spool_batch_done(fm_spool_batch *batch);

#endif
