// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Text of whole lines into a file or a descriptor that several streams share: what the sinks of text have in
 * common. One owner thread; a shared descriptor is written to under its lock. */
#ifndef FM_SINKS_LINES_H
#define FM_SINKS_LINES_H

#include "base/str.h"

#include <pthread.h>

typedef struct fm_lines {
    fm_str text; // what the next write hands over; keeps its memory
    int fd;
    bool owns_fd;
    pthread_mutex_t *lock; // of a shared descriptor; NULL: nobody else writes
    char *name;            // for messages
} fm_lines;

/** A new file (its folder must exist; a symbolic link is refused). reserve: bytes of text that shall never
 * make it allocate. After a failure there is nothing to close. */
fm_status fm__lines_open(fm_lines *l, const char *path, size_t reserve, fm_error *err) FM_MUST_USE;
/** A descriptor that stays the caller's. */
fm_status fm__lines_attach(
    fm_lines *l, int fd, pthread_mutex_t *lock, const char *name, size_t reserve, fm_error *err) FM_MUST_USE;
/** Writes the text, whole lines, in one write(2), and empties it. */
fm_status fm__lines_write(fm_lines *l, fm_error *err) FM_MUST_USE;
fm_status fm__lines_close(fm_lines *l, fm_error *err);

#endif
