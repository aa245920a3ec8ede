// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Formatting in front of the caller's log function; lines above its level cost one comparison.

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void fm__log(const fm_log *log, fm_log_level level, const char *domain, const char *fmt, ...)
{
    if (!fm__log_on(log, level)) {
        return;
    }
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    for (char *p = line; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            *p = '?';
        }
    }
    log->fn(level, domain, line, log->opaque);
}
