// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Log sink. The library never prints: it calls the function it was given, with no lock held, from any of its
 *  threads, possibly several at once. A NULL function drops everything. */
#ifndef FRAMEMILL_LOG_H
#define FRAMEMILL_LOG_H

#include <framemill/api.h>

FM_BEGIN_DECLS

typedef enum fm_log_level {
    FM_LOG_ERROR = 0,
    FM_LOG_WARN = 1,
    FM_LOG_INFO = 2,
    FM_LOG_DEBUG = 3,
    FM_LOG_TRACE = 4,
} fm_log_level;

/** @param domain  module that speaks ("media", "models"); static storage.
 *  @param msg     one line, no newline, borrowed for the call; no credentials, control characters made
 * visible. */
typedef void (*fm_log_fn)(fm_log_level level, const char *domain, const char *msg, void *opaque);

typedef struct fm_log {
    fm_log_fn fn;
    fm_log_level level; // lines above this level are not formatted
    void *opaque;
} fm_log;

FM_END_DECLS

#endif
