// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Growable strings, safe names, paths. */
#ifndef FM_BASE_STR_H
#define FM_BASE_STR_H

#include "base/alloc.h"

#include <framemill/status.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Growable byte string, always NUL-terminated once something was added. Allocation failure sets `failed` and
 * every later call does nothing: check once at the end. Reset keeps the memory. */
typedef struct fm_str {
    char *data;
    size_t len, cap;
    fm_tag tag;
    bool failed;
} fm_str;

void fm__str_init(fm_str *s, fm_tag tag);
void fm__str_done(fm_str *s);
void fm__str_reset(fm_str *s);
void fm__str_add(fm_str *s, const char *text);
void fm__str_add_n(fm_str *s, const char *bytes, size_t len);
void fm__str_add_char(fm_str *s, char c);
void fm__str_printf(fm_str *s, const char *fmt, ...) FM_PRINTF(2, 3);
void fm__str_vprintf(fm_str *s, const char *fmt, va_list ap) FM_PRINTF(2, 0);
/** Decimal integer; number with a fixed count of decimals (0..9), rounded half away from zero (exactly, up to
 * 15 digits), "." whatever the locale, "-0.00" is "0.00". NaN and infinities are written as 0. */
void fm__str_add_int(fm_str *s, int64_t v);
void fm__str_add_uint(fm_str *s, uint64_t v);
void fm__str_add_fixed(fm_str *s, double v, int decimals);
/** Text of a page: what markup would take for its own is escaped, control characters become spaces, bytes
 * that are not UTF-8 U+FFFD. Fit for an attribute's value in quotes, too. */
void fm__str_add_escaped(fm_str *s, const char *text);
/** Base64 with padding (RFC 4648, section 4). */
void fm__str_add_base64(fm_str *s, const void *bytes, size_t len);
/** Takes the string out (free with fm__free) and leaves the fm_str empty; NULL when failed. */
char *fm__str_take(fm_str *s);

char *fm__strdup(fm_tag tag, const char *text) FM_MUST_USE; // NULL for NULL
char *fm__asprintf(fm_tag tag, const char *fmt, ...) FM_PRINTF(2, 3) FM_MUST_USE;
/** "a/b" with exactly one slash between. */
char *fm__path_join(fm_tag tag, const char *dir, const char *name) FM_MUST_USE;
/** Part after the last slash (borrowed). */
const char *fm__path_base(const char *path);
bool fm__str_starts(const char *text, const char *prefix);
bool fm__str_ends(const char *text, const char *suffix); // letter case is ignored
bool fm__str_ieq(const char *a, const char *b);          // ASCII letter case is ignored
/** Length of the valid UTF-8 sequence at text (RFC 3629, section 4: no overlong forms, no surrogates), 0 when
 * there is none. Text ends with NUL. */
int fm__utf8_len(const char *text);
/** Parses a whole string as a decimal number, in the C locale; false on trailing text, overflow, NaN,
 * infinity. */
bool fm__parse_int(const char *text, int64_t *out);
bool fm__parse_double(const char *text, double *out);
/** Makes a name that is safe as a file name on any file system: letters, digits, '.', '_', '-' stay, a run of
 * other bytes becomes '_' (bytes >= 0x80 that form valid UTF-8 stay); never empty, never starting with '.' or
 * '-'; at most 100 bytes. */
char *fm__safe_name(fm_tag tag, const char *text) FM_MUST_USE;
/** A copy of a URL for eyes: user and password replaced by "***" (also in query values of keys such as
 * password, token, key), control characters by '?'. Plain paths come back with control characters made
 * visible only. */
char *fm__redact_url(fm_tag tag, const char *url) FM_MUST_USE;

#endif
