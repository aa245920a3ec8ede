// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Formatting for the log callback. `log` may be NULL. */
#ifndef FM_BASE_LOG_H
#define FM_BASE_LOG_H

#include <framemill/log.h>

#include <stdbool.h>

void fm__log(const fm_log *log, fm_log_level level, const char *domain, const char *fmt, ...) FM_PRINTF(4, 5);
static inline bool fm__log_on(const fm_log *log, fm_log_level level)
{
    return log && log->fn && level <= log->level;
}

#endif
