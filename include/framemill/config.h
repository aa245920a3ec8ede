// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Settings of a run: one table of options, and configurations made from it.
 *
 *  Every setting stands once in a table with its name, type, range, default and help. Configuration files
 * (YAML), the command's flags, its help, man page, completion and the JSON schema all come from that table,
 * so that a value is checked in one place and reads the same everywhere. Setting the same thing twice: the
 * later call wins, so load a file first and set what shall override it after. */
#ifndef FRAMEMILL_CONFIG_H
#define FRAMEMILL_CONFIG_H

#include <framemill/api.h>
#include <framemill/run.h>
#include <framemill/status.h>

FM_BEGIN_DECLS

typedef enum fm_option_type {
    FM_OPTION_BOOL,   // true or false
    FM_OPTION_INT,    // whole number
    FM_OPTION_NUMBER, // number
    FM_OPTION_TEXT,   // any text
    FM_OPTION_FILE,   // path of a file
    FM_OPTION_DIR,    // path of a folder
    FM_OPTION_MODEL,  // name or path of a model
    FM_OPTION_CHOICE, // one of `values`
    FM_OPTION_LIST,   // texts; "a,b" on one line
    FM_OPTION_SIZE,   // width and height; "640x480" on one line
} fm_option_type;

/** One setting. Static storage. */
typedef struct fm_option {
    const char *flag; // "batch-timeout-ms" for --batch-timeout-ms; NULL: configuration files only
    const char *key;  // in configuration files; NULL: a flag only
    const char *also; // another spelling accepted in files, "a.b" for b inside a; or NULL
    fm_option_type type;
    double min, max; // INT, NUMBER
    const char
        *values; // words, separated by spaces: all there are (CHOICE) or taken beside the rest ("auto")
    const char *fallback; // the default as text; NULL: none
    const char *group;    // heading in help
    const char *metavar;  // "N" in --batch N; NULL for BOOL
    const char *help;     // one line
    bool hidden;          // for tests: works, but no help or completion shows it
} fm_option;

FM_API size_t fm_option_count(void);
/** NULL past the end. */
FM_API const fm_option *fm_option_get(size_t index);
/** By flag, key or other spelling ("conf", "conf_threshold", "model_paths.detection"), without dashes in
 * front; NULL when there is none. */
FM_API const fm_option *fm_option_find(const char *name);
/** What a value must be, for people: "a number from 0 to 1", "a whole number from 1 to 256, or auto". */
FM_API void fm_option_expected(const fm_option *option, char *buf, size_t size);
/** Is text a value of this option? INVAL says what was expected. */
FM_API fm_status fm_option_check(const fm_option *option, const char *text, fm_error *err) FM_MUST_USE;
/** The word that was probably meant by a misspelt one, or NULL. */
FM_API const char *fm_suggest(const char *word, const char *const *words, size_t count);

typedef struct fm_config fm_config;

/** A configuration in which nothing is set. */
FM_API fm_status fm_config_new(fm_config **out, fm_error *err) FM_MUST_USE;
/** Reads a file. Unknown keys, wrong types and values out of range are FORMAT errors that name file, line,
 * column and key. */
FM_API fm_status fm_config_load(const char *path, fm_config **out, fm_error *err) FM_MUST_USE;
FM_API void fm_config_free(fm_config **config);
/** Sets one option (any name of fm_option_find) from text. NOTFOUND: no such option. INVAL: what was
 * expected. Options without a key are not kept. */
FM_API fm_status fm_config_set(
    fm_config *config, const char *name, const char *text, fm_error *err) FM_MUST_USE;
/** Text of a setting, or NULL when it is not set; borrowed until the setting changes. */
FM_API const char *fm_config_get(const fm_config *config, const char *name);
/** Puts what is set into opts; strings and arrays are borrowed from config, which must outlive the call that
 * uses opts. */
FM_API void fm_config_apply(const fm_config *config, fm_run_opts *opts);
/** The JSON schema of the file, for editors. Free with fm_free. */
FM_API fm_status fm_config_schema(char **out, fm_error *err) FM_MUST_USE;

FM_END_DECLS

#endif
