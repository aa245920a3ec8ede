// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The table of options: every setting of a run, once. The public half is fm_option (framemill/config.h);
 * this adds where a value goes in fm_run_opts, and the parsing that flags and configuration files share. */
#ifndef FM_APP_KEYS_H
#define FM_APP_KEYS_H

#include <framemill/config.h>

#include <stdint.h>

/** How a value is stored in fm_run_opts; NONE: the caller of the library asks for it with fm_config_get. */
typedef enum fm_field {
    FM_FIELD_NONE,
    FM_FIELD_STRING,
    FM_FIELD_BOOL,
    FM_FIELD_TRISTATE, // int: 1 true, -1 false, 0 not set
    FM_FIELD_INT,
    FM_FIELD_INT64,
    FM_FIELD_UINT64,
    FM_FIELD_SIZE,
    FM_FIELD_FLOAT,
    FM_FIELD_DOUBLE,
    FM_FIELD_LIST,
} fm_field;

typedef struct fm_key {
    fm_option option;
    fm_field field;
    size_t offset;         // in fm_run_opts; of a list: of its array
    size_t count_offset;   // of a list: of its length
    bool zero_is_negative; // fm_run_opts takes 0 for "the default", and a negative number for a true 0
} fm_key;

/** A parsed value. Free with fm__value_done. */
typedef struct fm_value {
    char *text;    // canonical: "true", "0.5", "person,car"; NULL: not set
    double number; // INT and NUMBER; 0 for a word such as "auto"
    bool truth;
    char **items; // LIST
    size_t count;
} fm_value;

/** A key that ARCHITECTURE.md names and that a later part brings: refused by name, with the reason. */
typedef struct fm_later_key {
    const char *key;
    const char *part; // "trackers"
} fm_later_key;

extern const fm_key fm__keys[];
extern const size_t fm__key_count;
extern const fm_later_key fm__later_keys[];
extern const size_t fm__later_key_count;

/** NULL when there is none. The first also takes flag names with dashes; the second only what stands in
 * files. */
const fm_key *fm__key_find(const char *name);
const fm_key *fm__key_in_file(const char *name);
/** INVAL: "expected a number from 0 to 1, got 'x'"; the caller puts the name in front. */
fm_status fm__value_parse(
    const fm_option *option, const char *text, fm_value *out, fm_error *err) FM_MUST_USE;
/** A LIST from items that may hold commas. Empty items are INVAL. */
fm_status fm__value_from_items(
    const char *const *items, size_t count, fm_value *out, fm_error *err) FM_MUST_USE;
void fm__value_done(fm_value *value);

#endif
