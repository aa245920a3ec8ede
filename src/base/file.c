// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Whole files: bounded reads, atomic replacement, full writes.

#include "base/file.h"

#include "base/error.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static fm_status read_fd(
    fm_tag tag, int fd, const char *path, size_t max_bytes, char **out, size_t *len, fm_error *err)
{
    char *data = NULL;
    size_t cap = 0, n = 0;
    for (;;) {
        if (!fm__grow(tag, (void **)&data, &cap, n + 4096 + 1, 1)) {
            fm__free(data);
            return fm__fail_nomem(err, path);
        }
        ssize_t got = read(fd, data + n, cap - n - 1);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            int e = errno;
            fm__free(data);
            return fm__fail_errno(err, e, "cannot read", path);
        }
        n += (size_t)got;
        if (n > max_bytes) {
            fm__free(data);
            return fm__fail(
                err, FM_FORMAT, "'%s' is larger than the %zu bytes allowed here", path, max_bytes);
        }
        if (got == 0) {
            data[n] = 0;
            *out = data;
            if (len) {
                *len = n;
            }
            return FM_OK;
        }
    }
}

fm_status fm__file_read(
    fm_tag tag, const char *path, size_t max_bytes, char **out, size_t *len, fm_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fm__fail_errno(err, errno, "cannot open", path);
    }
    fm_status st = read_fd(tag, fd, path, max_bytes, out, len, err);
    close(fd);
    return st;
}

fm_status fm__fd_write_all(int fd, const void *data, size_t len, const char *name, fm_error *err)
{
    const char *p = data;
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return fm__fail_errno(err, errno, "cannot write", name);
        }
        p += n;
        len -= (size_t)n;
    }
    return FM_OK;
}

fm_status fm__file_replace_by(const char *path, fm__write_fn *write, void *opaque, fm_error *err)
{
    char *tmp = fm__asprintf(FM_TAG_BASE, "%s.XXXXXX", path);
    if (!tmp) {
        return fm__fail_nomem(err, "a path");
    }
    fm_status st = FM_OK;
    int fd = mkostemp(tmp, O_CLOEXEC);
    if (fd < 0) {
        st = fm__fail_errno(err, errno, "cannot write", path);
        goto out;
    }
    st = write(fd, opaque, err);
    if (st == FM_OK && (fchmod(fd, 0644) != 0 || fsync(fd) != 0)) {
        st = fm__fail_errno(err, errno, "cannot write", path);
    }
    if (close(fd) != 0 && st == FM_OK) {
        st = fm__fail_errno(err, errno, "cannot write", path);
    }
    if (st == FM_OK && rename(tmp, path) != 0) {
        st = fm__fail_errno(err, errno, "cannot write", path);
    }
    if (st != FM_OK) {
        (void)unlink(tmp); // best effort: the error is told already
    }
out:
    fm__free(tmp);
    return st;
}

typedef struct whole {
    const char *path;
    const void *data;
    size_t len;
} whole;

static fm_status write_whole(int fd, void *opaque, fm_error *err)
{
    const whole *w = opaque;
    return fm__fd_write_all(fd, w->data, w->len, w->path, err);
}

fm_status fm__file_replace(const char *path, const void *data, size_t len, fm_error *err)
{
    whole w = {.path = path, .data = data, .len = len};
    return fm__file_replace_by(path, write_whole, &w, err);
}

fm_status fm__file_put(const char *path, const void *data, size_t len, fm_error *err)
{
    struct stat s;
    if (stat(path, &s) != 0 || S_ISREG(s.st_mode)) {
        return fm__file_replace(path, data, len, err);
    }
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return fm__fail_errno(err, errno, "cannot write", path);
    }
    fm_status st = fm__fd_write_all(fd, data, len, path, err);
    if (close(fd) != 0 && st == FM_OK) {
        st = fm__fail_errno(err, errno, "cannot write", path);
    }
    return st;
}

ssize_t fm__fd_read_at(int fd, void *to, size_t len, int64_t at)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(fd, (char *)to + done, len - done, (off_t)(at + (int64_t)done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -1;
        }
        if (n == 0) {
            break;
        }
        done += (size_t)n;
    }
    return (ssize_t)done;
}

// The number that the holder wrote, 0 when it cannot be read.
static long holder_of(int fd)
{
    char buf[32] = {0};
    int64_t pid = 0;
    ssize_t n = pread(fd, buf, sizeof(buf) - 1, 0);
    buf[n > 0 ? strcspn(buf, "\n") : 0] = 0;
    return fm__parse_int(buf, &pid) ? (long)pid : 0;
}

int fm__file_lock(const char *path, unsigned mode, long *holder)
{
    char pid[32];
    int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int e = errno;
        *holder = holder_of(fd);
        close(fd);
        errno = e;
        return -1;
    }
    if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)n, 0) != n) {
        (void)!ftruncate(fd, 0); // a full disk takes the number, not the lock
    }
    return fd;
}

fm_status fm__mkdir_all(const char *path, fm_error *err)
{
    char *copy = fm__strdup(FM_TAG_BASE, path);
    if (!copy) {
        return fm__fail_nomem(err, "a path");
    }
    fm_status st = FM_OK;
    for (char *p = copy + 1; st == FM_OK && p[-1]; p++) {
        if (*p && *p != '/') {
            continue;
        }
        char kept = *p;
        *p = 0;
        if (mkdir(copy, 0777) != 0 && !fm__is_dir(copy)) {
            st = errno == EEXIST
                     ? fm__fail(err, FM_IO, "cannot make folder '%s': a file of that name is there", copy)
                     : fm__fail_errno(err, errno, "cannot make folder", copy);
        }
        *p = kept;
        if (!kept) {
            break;
        }
    }
    fm__free(copy);
    return st;
}

bool fm__is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool fm__is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

int64_t fm__file_size(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}
