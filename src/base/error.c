// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Status names and error messages. A message is one line whatever was put into it: control characters become
// '?', and what does not fit is cut with "...".

#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *fm_status_name(fm_status status)
{
    switch (status) {
#define STATUS_NAME(name, value, text)                                                                       \
    case FM_##name:                                                                                          \
        return #name;
        FM_STATUS_LIST(STATUS_NAME)
#undef STATUS_NAME
    }
    return "UNKNOWN";
}

const char *fm_status_text(fm_status status)
{
    switch (status) {
#define STATUS_TEXT(name, value, text)                                                                       \
    case FM_##name:                                                                                          \
        return text;
        FM_STATUS_LIST(STATUS_TEXT)
#undef STATUS_TEXT
    }
    return "unknown status";
}

static void clean(char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f) {
            *text = '?';
        }
    }
}

static void finish(fm_error *err, int len)
{
    if (len >= (int)sizeof(err->msg)) {
        memcpy(err->msg + sizeof(err->msg) - 4, "...", 4);
    }
    clean(err->msg);
}

FM_PRINTF(4, 0)
static void vfill(fm_error *err, fm_status status, int native, const char *fmt, va_list ap)
{
    err->status = status;
    err->native = native;
    finish(err, vsnprintf(err->msg, sizeof(err->msg), fmt, ap));
}

fm_status fm__fail(fm_error *err, fm_status status, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        vfill(err, status, 0, fmt, ap);
        va_end(ap);
    }
    return status;
}

fm_status fm__fail_native(fm_error *err, fm_status status, int native, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        vfill(err, status, native, fmt, ap);
        va_end(ap);
    }
    return status;
}

fm_status fm__fail_nomem(fm_error *err, const char *what)
{
    return fm__fail(err, FM_NOMEM, "out of memory for %s", what);
}

static fm_status status_of_errno(int errnum)
{
    switch (errnum) {
    case ENOENT:
    case ENOTDIR:
        return FM_NOTFOUND;
    case ENOMEM:
        return FM_NOMEM;
    case ETIMEDOUT:
        return FM_TIMEOUT;
    case EINVAL:
    case ENAMETOOLONG:
        return FM_INVAL;
    default:
        return FM_IO;
    }
}

fm_status fm__fail_errno(fm_error *err, int errnum, const char *what, const char *which)
{
    char text[128];
    // The GNU form returns its text, which may or may not lie in the buffer.
    const char *why = strerror_r(errnum, text, sizeof(text));
    return fm__fail_native(err, status_of_errno(errnum), errnum, "%s '%s': %s", what, which, why);
}

void fm__error_prefix(fm_error *err, const char *fmt, ...)
{
    if (!err) {
        return;
    }
    char old[sizeof(err->msg)];
    char prefix[sizeof(err->msg)];
    memcpy(old, err->msg, sizeof(old));
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(prefix, sizeof(prefix), fmt, ap);
    va_end(ap);
    size_t n = strnlen(prefix, sizeof(prefix) / 2);
    memcpy(err->msg, prefix, n);
    finish(err, (int)n + snprintf(err->msg + n, sizeof(err->msg) - n, ": %s", old));
}
