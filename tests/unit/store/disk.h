// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** A disk that remembers: every creation, write, cut, sync and removal that a store and its SQLite make, in
 * order, and what a power failure after any of them may leave. A write is on the disk for certain once its
 * file was synced, a name once its folder was; until then each of them may be there or not, and a write may
 * be torn between two sectors of 512 bytes. (Pillai et al., All File Systems Are Not Created Equal, OSDI
 * 2014, calls such states by their reordering of what was not synced.) Shared memory (-shm) is left out:
 * SQLite makes it anew. */
#ifndef FM_TESTS_UNIT_STORE_DISK_H
#define FM_TESTS_UNIT_STORE_DISK_H

#include "store/store.h"

typedef struct disk disk;

/** Begins to record what goes on below dir (its absolute path). One at a time. */
disk *disk_new(const char *dir);
void disk_free(disk *d);
/** For fm__store_open; borrowed from the disk. */
const fm__store_hooks *disk_hooks(disk *d);
/** Notes that record `number` of `run` was acknowledged now; any thread. */
void disk_acknowledged(disk *d, int64_t run, uint64_t number);

/** Nothing is recorded from now on; what follows asks of the record. The hooks go on to work, on any folder,
 * and spare the real disk its syncs. */
void disk_end(disk *d);
size_t disk_len(const disk *d); // events
/** Does event i change what is certain (a sync, an acknowledgement)? */
bool disk_is_barrier(const disk *d, size_t i);
/** Records acknowledged within the first n events, of a run. */
int64_t disk_acks(const disk *d, size_t n, int64_t run);

typedef enum disk_luck {
    DISK_SYNCED, // only what is certain
    DISK_ALL,    // everything
    DISK_SOME,   // each of the rest by a coin, writes torn
} disk_luck;
/** Makes in `dir` (which is empty) what is there after a power failure behind the first n events. */
void disk_replay(const disk *d, size_t n, disk_luck luck, uint64_t seed, const char *dir);

#endif
