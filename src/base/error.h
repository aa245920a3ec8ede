// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Filling fm_error. `err` may be NULL everywhere: the status alone is returned then. */
#ifndef FM_BASE_ERROR_H
#define FM_BASE_ERROR_H

#include <framemill/status.h>

/** Writes one line (control characters become '?') and returns status, so that `return fm__fail(err, ...)`
 * works. */
fm_status fm__fail(fm_error *err, fm_status status, const char *fmt, ...) FM_PRINTF(3, 4);
/** The same with the code of the library below. */
fm_status fm__fail_native(fm_error *err, fm_status status, int native, const char *fmt, ...) FM_PRINTF(4, 5);
/** "out of memory" with what for. */
fm_status fm__fail_nomem(fm_error *err, const char *what);
/** From errno: ENOENT -> NOTFOUND, EACCES -> IO ..., message "what 'which': strerror". */
fm_status fm__fail_errno(fm_error *err, int errnum, const char *what, const char *which);
/** Puts "prefix: " in front of the message that is there. */
void fm__error_prefix(fm_error *err, const char *fmt, ...) FM_PRINTF(2, 3);

#endif
