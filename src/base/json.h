// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Streaming JSON writer over an fm_str: commas and nesting are kept by the writer, no tree, no locale,
 * nothing allocated once the string has grown to its size. */
#ifndef FM_BASE_JSON_H
#define FM_BASE_JSON_H

#include "base/str.h"

typedef struct fm_json {
    fm_str *out;
    int depth;
    uint64_t has_item; // bit per depth: something was written there
    bool after_key;
} fm_json;

void fm__json_init(fm_json *j, fm_str *out);
void fm__json_open_object(fm_json *j);
void fm__json_close_object(fm_json *j);
void fm__json_open_array(fm_json *j);
void fm__json_close_array(fm_json *j);
void fm__json_key(fm_json *j, const char *key);
void fm__json_string(
    fm_json *j, const char *text); // NULL writes null; bytes that are not UTF-8 become U+FFFD
void fm__json_int(fm_json *j, int64_t v);
void fm__json_uint(fm_json *j, uint64_t v);
void fm__json_fixed(fm_json *j, double v, int decimals);
void fm__json_bool(fm_json *j, bool v);
void fm__json_null(fm_json *j);
/** A key and its value. */
void fm__json_put_string(fm_json *j, const char *key, const char *text);
void fm__json_put_int(fm_json *j, const char *key, int64_t v);
void fm__json_put_uint(fm_json *j, const char *key, uint64_t v);
void fm__json_put_fixed(fm_json *j, const char *key, double v, int decimals);
void fm__json_put_bool(fm_json *j, const char *key, bool v);
/** A value that the caller appends to the returned string itself, as JSON text. */
fm_str *fm__json_by_hand(fm_json *j);

#endif
