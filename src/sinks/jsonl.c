// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// JSON Lines: one object a frame. A line is formatted (format.c) into a buffer that is kept, then handed to
// the kernel in one write(2), so that a killed process leaves whole lines. Where a write ends half way (disk
// full, size limit), the part that went out is cut off again if the descriptor is a file that nobody else has
// appended to since.

#include "base/clock.h"
#include "base/error.h"
#include "sinks/sinks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// Enough for the 300 objects that a frame may have at most, so that no line makes it grow.
#define LINE_RESERVE 40960

typedef struct jsonl {
    fm_sink sink;
    int fd;
    bool owns_fd;
    pthread_mutex_t *lock; // of a shared descriptor; NULL: nobody else writes
    char *name;            // for messages
    fm_str line;
} jsonl;

/** Takes the last `written` bytes back, if they still are the end of a file. */
static void cut_off(int fd, size_t written)
{
    struct stat st;
    off_t end = lseek(fd, 0, SEEK_CUR);
    if (end < (off_t)written || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size != end)
        return;
    // The first error is what the user needs to hear of; a line that cannot be cut off stays half.
    if (ftruncate(fd, end - (off_t)written) == 0)
        (void)lseek(fd, end - (off_t)written, SEEK_SET);
}

static fm_status write_failed(int errnum, const char *name, fm_error *err)
{
    if (errnum == ENOSPC || errnum == EDQUOT)
        return fm__fail_native(
            err, FM_IO, errnum, "cannot write '%s': the disk is full; free some space", name);
    if (errnum == EFBIG)
        return fm__fail_native(
            err, FM_IO, errnum, "cannot write '%s': the file has reached its size limit", name);
    if (errnum == EPIPE)
        return fm__fail_native(err, FM_IO, errnum, "cannot write '%s': its reader has gone", name);
    return fm__fail_native(err, FM_IO, errnum, "cannot write '%s': %s", name, strerror(errnum));
}

/** True when the failure of write(2) was a passing one. */
static bool may_retry(int fd)
{
    if (errno == EINTR)
        return true;
    if (errno != EAGAIN)
        return false;
    // A descriptor inherited in non-blocking mode, such as a terminal shared with a shell.
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    return poll(&p, 1, -1) >= 0 || errno == EINTR;
}

static fm_status write_line(int fd, const char *data, size_t len, const char *name, fm_error *err)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = write(fd, data + done, len - done);
        if (n < 0 && may_retry(fd))
            continue;
        if (n <= 0) {
            int errnum = n < 0 ? errno : ENOSPC;
            cut_off(fd, done);
            return write_failed(errnum, name, err);
        }
        done += (size_t)n;
    }
    return FM_OK;
}

static fm_status jsonl_write(fm_sink *sink, const fm_result *result, const fm_frame *frame, fm_error *err)
{
    jsonl *s = (jsonl *)sink;
    (void)frame;
    fm__str_reset(&s->line);
    fm__jsonl_format(&s->line, result);
    if (s->line.failed)
        return fm__fail_nomem(err, "a line of JSON");
    if (s->lock)
        pthread_mutex_lock(s->lock);
    fm_status status = write_line(s->fd, s->line.data, s->line.len, s->name, err);
    if (s->lock)
        pthread_mutex_unlock(s->lock);
    return status;
}

static fm_status jsonl_close(fm_sink *sink, fm_error *err)
{
    jsonl *s = (jsonl *)sink;
    fm_status status = FM_OK;
    // Network file systems report lost writes here.
    if (s->owns_fd && s->fd >= 0 && close(s->fd) != 0)
        status = write_failed(errno, s->name, err);
    fm__str_done(&s->line);
    fm__free(s->name);
    fm__free(s);
    return status;
}

static const fm_sink_class jsonl_class = {
    .name = "jsonl",
    .wants_pixels = false,
    .write = jsonl_write,
    .close = jsonl_close,
};

static jsonl *jsonl_new(int fd, pthread_mutex_t *lock, const char *name)
{
    jsonl *s = fm__calloc(FM_TAG_SINKS, sizeof *s);
    if (!s)
        return NULL;
    *s = (jsonl){.sink.cls = &jsonl_class, .fd = fd, .lock = lock, .name = fm__strdup(FM_TAG_SINKS, name)};
    fm__str_init(&s->line, FM_TAG_SINKS);
    if (s->name && fm__grow(FM_TAG_SINKS, (void **)&s->line.data, &s->line.cap, LINE_RESERVE, 1))
        return s;
    (void)jsonl_close(&s->sink, NULL); // the descriptor is not its own yet: nothing to report
    return NULL;
}

static fm_status open_failed(int errnum, const char *path, fm_error *err)
{
    if (errnum == ELOOP)
        return fm__fail_native(
            err, FM_IO, errnum, "cannot write '%s': it is a symbolic link; remove it", path);
    if (errnum == ENOSPC || errnum == EDQUOT)
        return write_failed(errnum, path, err);
    return fm__fail_errno(err, errnum, "cannot write", path);
}

fm_status fm__sink_jsonl_file(const char *path, fm_sink **out, fm_error *err)
{
    jsonl *s = jsonl_new(-1, NULL, path);
    if (!s)
        return fm__fail_nomem(err, "a JSONL sink");
    s->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (s->fd < 0) {
        fm_status status = open_failed(errno, path, err);
        (void)jsonl_close(&s->sink, NULL); // nothing is open
        return status;
    }
    s->owns_fd = true;
    *out = &s->sink;
    return FM_OK;
}

fm_status fm__sink_jsonl_fd(int fd, pthread_mutex_t *lock, const char *name, fm_sink **out, fm_error *err)
{
    jsonl *s = jsonl_new(fd, lock, name);
    if (!s)
        return fm__fail_nomem(err, "a JSONL sink");
    *out = &s->sink;
    return FM_OK;
}
