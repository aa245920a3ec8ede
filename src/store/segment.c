// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Segment files. A picture goes out with its head in one write; a write that fails half way is cut off again,
// so that the file only ever holds whole pictures and, behind the last that is committed, nothing.

#include "store/segment.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "store/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(sizeof(fm_segment_head) == FM_SEGMENT_HEAD, "the format is fixed");
_Static_assert(sizeof(fm_picture_head) == FM_SEGMENT_PICTURE, "the format is fixed");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "heads are written as they lie in memory");

char *fm__segment_path(const char *dir, int64_t id)
{
    return fm__asprintf(FM_TAG_STORE, "%s/" FM_STORE_SEGMENTS "/%08lld.seg", dir, (long long)id);
}

// All of it, or false with errno.
static bool write_all(const fm_store_io *io, int fd, const void *head, size_t head_len, const void *body,
    size_t body_len, int64_t at)
{
    size_t done = 0, total = head_len + body_len;
    while (done < total) {
        struct iovec v[2];
        int n = 0;
        if (done < head_len) {
            v[n++] = (struct iovec){(char *)head + done, head_len - done};
        }
        size_t in_body = done > head_len ? done - head_len : 0;
        if (body_len > in_body) {
            v[n++] = (struct iovec){(char *)body + in_body, body_len - in_body};
        }
        ssize_t w = io->write(io->opaque, fd, v, n, (off_t)(at + (int64_t)done));
        if (w < 0 && errno == EINTR) {
            continue;
        }
        if (w <= 0) {
            errno = w == 0 ? ENOSPC : errno;
            return false;
        }
        done += (size_t)w;
    }
    return true;
}

static void seal_head(fm_segment_head *head)
{
    memcpy(head->magic, "FMSEGMT1", sizeof(head->magic));
    head->crc32c = fm__crc32c(0, head, offsetof(fm_segment_head, crc32c));
}

fm_status fm__segment_create(const fm_store_io *io, const char *dir, int64_t id, int64_t stream_id,
    const char *name, fm_segment *out, fm_error *err)
{
    char *path = fm__segment_path(dir, id);
    if (!path) {
        return fm__fail_nomem(err, "a path");
    }
    fm_segment_head head = {
        .magic = "FMSEGMT", .segment_id = id, .stream_id = stream_id, .created_ns = fm__wall_ns()};
    snprintf(head.name, sizeof(head.name), "%s", name);
    seal_head(&head);
    fm_status st = FM_OK;
    int fd = io->create(io->opaque, path);
    if (fd < 0) {
        st = fm__fail_errno(err, errno, "cannot make", path);
    } else if (flock(fd, LOCK_SH | LOCK_NB) != 0 || // so that retention leaves it alone while it grows
               !write_all(io, fd, &head, sizeof(head), NULL, 0, 0)) {
        st = fm__fail_errno(err, errno, "cannot write", path);
        close(fd);
        (void)io->remove(io->opaque, path);
    } else {
        *out = (fm_segment){.id = id,
            .stream_id = stream_id,
            .created_ns = fm__now_ns(),
            .fd = fd,
            .size = FM_SEGMENT_HEAD,
            .dirty = true};
    }
    fm__free(path);
    return st;
}

fm_status fm__segment_append(const fm_store_io *io, const char *dir, fm_segment *s, fm_picture_head *head,
    const void *jpeg, size_t bytes, int64_t *offset, fm_error *err)
{
    memcpy(head->magic, "FMPC", 4);
    head->length = (uint32_t)bytes;
    head->crc32c = fm__crc32c(0, jpeg, bytes);
    head->reserved = 0;
    head->head_crc32c = fm__crc32c(0, head, offsetof(fm_picture_head, head_crc32c));
    if (!write_all(io, s->fd, head, sizeof(*head), jpeg, bytes, s->size)) {
        int e = errno;
        char *path = fm__segment_path(dir, s->id);
        fm_status st = fm__fail_errno(err, e, "cannot write", path ? path : "a segment");
        (void)io->truncate(io->opaque, s->fd, s->size); // if not, the next picture or the next start does it
        fm__free(path);
        return st;
    }
    *offset = s->size + FM_SEGMENT_PICTURE;
    s->size += FM_SEGMENT_PICTURE + (int64_t)bytes;
    s->dirty = true;
    return FM_OK;
}

void fm__segment_undo(const fm_store_io *io, const char *dir, fm_segment *s)
{
    if (s->committed > 0) {
        (void)io->truncate(io->opaque, s->fd, s->committed); // the next start does it otherwise
        s->size = s->committed;
        s->dirty = false;
        return;
    }
    char *path = fm__segment_path(dir, s->id);
    if (path) {
        (void)io->remove(io->opaque, path);
    }
    fm__free(path);
    close(s->fd);
    s->fd = -1;
}

fm_status fm__segment_open(const char *dir, int64_t id, int *out, fm_error *err)
{
    char *path = fm__segment_path(dir, id);
    if (!path) {
        return fm__fail_nomem(err, "a path");
    }
    fm_status st = FM_OK;
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        st = fm__fail_errno(err, errno, "cannot open", path);
    } else if (flock(fd, LOCK_SH) != 0 || fstat(fd, &info) != 0) {
        st = fm__fail_errno(err, errno, "cannot read", path);
    } else if (info.st_nlink == 0) {
        st = fm__fail(err, FM_NOTFOUND, "%s was deleted: its time was over", path);
    }
    if (st == FM_OK) {
        *out = fd;
    } else if (fd >= 0) {
        close(fd);
    }
    fm__free(path);
    return st;
}

// Whole, or false.
static bool read_all(int fd, void *out, size_t len, int64_t at)
{
    return fm__fd_read_at(fd, out, len, at) == (ssize_t)len;
}

fm_status fm__segment_read(
    int fd, int64_t id, int64_t offset, int64_t length, uint32_t crc32c, void **out, fm_error *err)
{
    struct stat info;
    if (length <= 0 || offset < FM_SEGMENT_HEAD || fstat(fd, &info) != 0 || length > info.st_size ||
        offset > info.st_size - length) {
        return fm__fail(err, FM_FORMAT, "segment %lld ends before the picture at %lld, of %lld bytes",
            (long long)id, (long long)offset, (long long)length);
    }
    void *data = fm__calloc(FM_TAG_STORE, (size_t)length);
    if (!data) {
        return fm__fail_nomem(err, "a picture");
    }
    fm_status st = FM_OK;
    if (!read_all(fd, data, (size_t)length, offset)) {
        st = fm__fail(err, FM_IO, "segment %lld cannot be read at %lld", (long long)id, (long long)offset);
    } else if (fm__crc32c(0, data, (size_t)length) != crc32c) {
        st = fm__fail(err, FM_FORMAT, "the picture at %lld of segment %lld is damaged: its check sum differs",
            (long long)offset, (long long)id);
    }
    if (st == FM_OK) {
        *out = data;
    } else {
        fm__free(data);
    }
    return st;
}

fm_status fm__segment_read_head(int fd, const char *name, fm_segment_head *out, fm_error *err)
{
    fm_segment_head h;
    if (!read_all(fd, &h, sizeof(h), 0) || memcmp(h.magic, "FMSEGMT1", 8) != 0 ||
        fm__crc32c(0, &h, offsetof(fm_segment_head, crc32c)) != h.crc32c || h.name[sizeof(h.name) - 1] != 0) {
        return fm__fail(err, FM_FORMAT, "%s has no head of a segment", name);
    }
    *out = h;
    return FM_OK;
}

fm_status fm__segment_write_head(const char *path, fm_segment_head *head, fm_error *err)
{
    seal_head(head);
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    fm_status st =
        fd >= 0 && pwrite(fd, head, sizeof(*head), 0) == (ssize_t)sizeof(*head) && fdatasync(fd) == 0
            ? FM_OK
            : fm__fail_errno(err, errno, "cannot write", path);
    if (fd >= 0) {
        close(fd);
    }
    return st;
}

fm_status fm__picture_read_head(int fd, int64_t at, fm_picture_head *out, fm_error *err)
{
    fm_picture_head h;
    struct stat info;
    if (fstat(fd, &info) == 0 && at == info.st_size) {
        return FM_EOF;
    }
    if (!read_all(fd, &h, sizeof(h), at) || memcmp(h.magic, "FMPC", 4) != 0 ||
        fm__crc32c(0, &h, offsetof(fm_picture_head, head_crc32c)) != h.head_crc32c) {
        return fm__fail(err, FM_FORMAT, "no head of a picture at %lld", (long long)at);
    }
    *out = h;
    return FM_OK;
}
