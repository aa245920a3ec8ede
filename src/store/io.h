// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The calls by which segment files reach the disk, as a table, so that tests can record them, cut them short
 * and make them fail. Each returns as the system call does, with errno. */
#ifndef FM_STORE_IO_H
#define FM_STORE_IO_H

#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef struct fm_store_io {
    int (*create)(void *opaque, const char *path); // a file that must be new; a descriptor to write
    ssize_t (*write)(void *opaque, int fd, const struct iovec *parts, int count, off_t at);
    int (*sync)(void *opaque, int fd);                  // fdatasync
    int (*sync_folder)(void *opaque, const char *path); // names of new files
    int (*truncate)(void *opaque, int fd, off_t size);
    int (*remove)(void *opaque, const char *path);
    int64_t (*free_bytes)(void *opaque, const char *path); // of the file system; -1: not known
    void *opaque;
} fm_store_io;

extern const fm_store_io fm__store_system_io;

#endif
