// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** JSON read as it comes (RFC 8259): no tree, so that a file of a million boxes costs what is kept of it.
 * Calls follow the text:
 *
 *      for (fm__jread_object(r); fm__jread_key(r, &key);)
 *          if (strcmp(key, "id") == 0) fm__jread_int(r, &id); else fm__jread_skip(r);
 *      return fm__jread_end(r);
 *
 *  The first failure is kept with name:line:column, and every later call does nothing and returns false.
 *  Limits: depth 62, numbers of 64 characters. NaN and Infinity, which some programs write, are no JSON. */
#ifndef FM_BASE_JSON_READ_H
#define FM_BASE_JSON_READ_H

#include "base/str.h"

typedef enum fm_jkind {
    FM_JSON_NONE, // no value begins here, or something failed
    FM_JSON_OBJECT,
    FM_JSON_ARRAY,
    FM_JSON_STRING,
    FM_JSON_NUMBER,
    FM_JSON_WORD, // true, false, null
} fm_jkind;

typedef struct fm_jread {
    const char *text, *at, *end;
    const char *name;   // stands in messages
    const char *value;  // where the value that was read last begins: what fm__jread_fail points at
    fm_str key, string; // what was handed out last
    size_t line;        // of the first byte of text in its file, from 1
    uint64_t has_item;  // bit per depth: something was read there
    int depth;
    fm_status status;
    fm_error *err;
} fm_jread;

/** text need not end with NUL; it, name and err are borrowed until fm__jread_done. */
void fm__jread_init(fm_jread *r, const char *text, size_t len, const char *name, fm_error *err);
void fm__jread_done(fm_jread *r);

/** Kind of the value that comes next, which is not taken. */
fm_jkind fm__jread_peek(fm_jread *r);
bool fm__jread_object(fm_jread *r); // takes "{"
/** The next key, borrowed until the one after it; false where the object ends, which is taken, or on failure.
 */
bool fm__jread_key(fm_jread *r, const char **key);
bool fm__jread_array(fm_jread *r); // takes "["
/** Is there another item? false takes the "]". */
bool fm__jread_item(fm_jread *r);
/** A string as UTF-8, borrowed until the next one; one that holds NUL is an error. */
bool fm__jread_string(fm_jread *r, const char **out);
bool fm__jread_number(fm_jread *r, double *out);
/** A whole number; 3.0 is one. */
bool fm__jread_int(fm_jread *r, int64_t *out);
/** true, false, 0 or 1. */
bool fm__jread_flag(fm_jread *r, bool *out);
/** Any value. */
bool fm__jread_skip(fm_jread *r);
/** Nothing but blanks may follow; the first failure otherwise. */
fm_status fm__jread_end(fm_jread *r) FM_MUST_USE;
/** "name:line:column: text" at the value that was read last; false always. */
bool fm__jread_fail(fm_jread *r, const char *fmt, ...) FM_PRINTF(2, 3);
/** The same for no memory. */
bool fm__jread_nomem(fm_jread *r);

#endif
