// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Whole lines, also after a kill: text is gathered in a buffer that is kept, then handed to the kernel in one
// write(2), which a kill can only end between two pages of the file. Where a write ends half way (disk full,
// size limit), the part that went out is cut off again if the descriptor is a file that nobody else has
// appended to since.

#include "sinks/lines.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static fm_status write_text(int fd, const char *data, size_t len, const char *name, fm_error *err)
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

fm_status fm__lines_write(fm_lines *l, fm_error *err)
{
    if (l->text.failed)
        return fm__fail_nomem(err, l->name);
    if (l->lock)
        pthread_mutex_lock(l->lock);
    fm_status status = write_text(l->fd, l->text.data, l->text.len, l->name, err);
    if (l->lock)
        pthread_mutex_unlock(l->lock);
    fm__str_reset(&l->text);
    return status;
}

fm_status fm__lines_close(fm_lines *l, fm_error *err)
{
    fm_status status = FM_OK;
    // Network file systems report lost writes here.
    if (l->owns_fd && close(l->fd) != 0)
        status = write_failed(errno, l->name, err);
    fm__str_done(&l->text);
    fm__free(l->name);
    *l = (fm_lines){.fd = -1};
    return status;
}

fm_status fm__lines_attach(
    fm_lines *l, int fd, pthread_mutex_t *lock, const char *name, size_t reserve, fm_error *err)
{
    *l = (fm_lines){.fd = fd, .lock = lock, .name = fm__strdup(FM_TAG_SINKS, name)};
    fm__str_init(&l->text, FM_TAG_SINKS);
    if (l->name && fm__grow(FM_TAG_SINKS, (void **)&l->text.data, &l->text.cap, reserve, 1))
        return FM_OK;
    (void)fm__lines_close(l, NULL); // nothing is open
    return fm__fail_nomem(err, name);
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

fm_status fm__lines_open(fm_lines *l, const char *path, size_t reserve, fm_error *err)
{
    fm_status status = fm__lines_attach(l, -1, NULL, path, reserve, err);
    if (status != FM_OK)
        return status;
    l->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (l->fd < 0) {
        status = open_failed(errno, path, err);
        (void)fm__lines_close(l, NULL); // nothing is open
        return status;
    }
    l->owns_fd = true;
    return FM_OK;
}
