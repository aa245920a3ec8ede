// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The system's own calls behind the store's input/output table.

#include "store/io.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int sys_create(void *opaque, const char *path)
{
    (void)opaque;
    return open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
}

static ssize_t sys_write(void *opaque, int fd, const struct iovec *parts, int count, off_t at)
{
    (void)opaque;
    return pwritev(fd, parts, count, at);
}

static int sys_sync(void *opaque, int fd)
{
    (void)opaque;
    return fdatasync(fd);
}

static int sys_sync_folder(void *opaque, const char *path)
{
    (void)opaque;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    int rc = fsync(fd);
    close(fd);
    return rc;
}

static int sys_truncate(void *opaque, int fd, off_t size)
{
    (void)opaque;
    return ftruncate(fd, size);
}

static int sys_remove(void *opaque, const char *path)
{
    (void)opaque;
    return unlink(path);
}

static int64_t sys_free_bytes(void *opaque, const char *path)
{
    (void)opaque;
    struct statvfs v;
    return statvfs(path, &v) == 0 ? (int64_t)v.f_bavail * (int64_t)v.f_frsize : -1;
}

const fm_store_io fm__store_system_io = {
    .create = sys_create,
    .write = sys_write,
    .sync = sys_sync,
    .sync_folder = sys_sync_folder,
    .truncate = sys_truncate,
    .remove = sys_remove,
    .free_bytes = sys_free_bytes,
};
