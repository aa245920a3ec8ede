// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Status codes and error detail.
 *
 *  Every call that can fail returns an fm_status: 0 is success, a negative value is a failure, a positive
 * value is an expected state of the flow (try again, end of stream, cancelled) and not a failure. Detail
 * travels by value in an fm_error that the caller owns: there is no "last error" and no shared buffer, so
 * that a failure born on a worker thread stays with the frame or stream it belongs to. Outputs are written
 * only on success. */
#ifndef FRAMEMILL_STATUS_H
#define FRAMEMILL_STATUS_H

#include <framemill/api.h>

FM_BEGIN_DECLS

/** One list for code, name and text, so that they cannot drift apart. X(NAME, value, "text"). */
#define FM_STATUS_LIST(X)                                                                                    \
    X(OK, 0, "success")                                                                                      \
    X(AGAIN, 1, "try again later")                                                                           \
    X(EOF, 2, "end of stream")                                                                               \
    X(CANCELED, 3, "cancelled")                                                                              \
    X(NOMEM, -1, "out of memory")                                                                            \
    X(INVAL, -2, "invalid argument")                                                                         \
    X(NOTFOUND, -3, "not found")                                                                             \
    X(UNSUPPORTED, -4, "not supported")                                                                      \
    X(IO, -5, "input/output error")                                                                          \
    X(FORMAT, -6, "malformed data")                                                                          \
    X(NET, -7, "network error")                                                                              \
    X(TIMEOUT, -8, "timed out")                                                                              \
    X(BACKEND, -9, "inference backend error")                                                                \
    X(DB, -10, "database error")                                                                             \
    X(BUSY, -11, "busy")                                                                                     \
    X(DENIED, -12, "refused by policy")                                                                      \
    X(INTERNAL, -13, "internal error")

typedef enum fm_status {
#define FM_STATUS_ENUM(name, value, text) FM_##name = (value),
    FM_STATUS_LIST(FM_STATUS_ENUM)
#undef FM_STATUS_ENUM
} fm_status;

/** Failure detail, by value. msg is one line: what failed, which one, what to do. native is the code of the
 *  library below (errno, AVERROR, ov_status_e), 0 where there is none. */
typedef struct fm_error {
    fm_status status;
    int native;
    char msg[512];
} fm_error;

/** Short name ("NOMEM") and text ("out of memory") of a status; "UNKNOWN" for a value that is not listed. */
FM_API const char *fm_status_name(fm_status status);
FM_API const char *fm_status_text(fm_status status);

FM_END_DECLS

#endif
