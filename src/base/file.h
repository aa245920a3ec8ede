// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Whole files and folders. */
#ifndef FM_BASE_FILE_H
#define FM_BASE_FILE_H

#include "base/alloc.h"

#include <framemill/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** Reads at most max_bytes (FORMAT when there is more); the result is NUL-terminated, free with fm__free. */
fm_status fm__file_read(
    fm_tag tag, const char *path, size_t max_bytes, char **out, size_t *len, fm_error *err) FM_MUST_USE;
/** Writes through a temporary file beside it, fsync and rename: the old file or the new one is there, never
 * half of one. */
fm_status fm__file_replace(const char *path, const void *data, size_t len, fm_error *err) FM_MUST_USE;
/** The same where `write` writes the file: as it returns, so does this, and a failure leaves the old file. */
typedef fm_status fm__write_fn(int fd, void *opaque, fm_error *err);
fm_status fm__file_replace_by(const char *path, fm__write_fn *write, void *opaque, fm_error *err) FM_MUST_USE;
/** As fm__file_replace, but what is no regular file (a pipe, a device) is written as it is. */
fm_status fm__file_put(const char *path, const void *data, size_t len, fm_error *err) FM_MUST_USE;
/** write(2) until all is written; restarts on EINTR. */
fm_status fm__fd_write_all(int fd, const void *data, size_t len, const char *name, fm_error *err) FM_MUST_USE;
/** pread(2) until all is read or the file ends; restarts on EINTR.
 *  @return bytes that were read, or -1 with errno */
ssize_t fm__fd_read_at(int fd, void *to, size_t len, int64_t at);
/** Opens a file, made if missing, and locks it for this process, whose number is written into it.
 *  @return a descriptor, which holds the lock until it is closed; -1 with errno, and where that is
 * EWOULDBLOCK *holder is the process that holds the lock (0: not known) */
int fm__file_lock(const char *path, unsigned mode, long *holder);
/** mkdir -p. */
fm_status fm__mkdir_all(const char *path, fm_error *err) FM_MUST_USE;
bool fm__is_dir(const char *path);
bool fm__is_file(const char *path); // regular file
/** Size in bytes, or -1. */
int64_t fm__file_size(const char *path);

#endif
