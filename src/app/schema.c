// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The JSON schema (draft 2020-12) of configuration files, written from the table of options, for editors that
// complete and check YAML.

#include "app/keys.h"

#include "base/error.h"
#include "base/json.h"

#include <string.h>

static void text_key(fm_json *j, const char *key, const char *text)
{
    fm__json_put_string(j, key, text);
}

static void add_words(fm_json *j, const char *words)
{
    fm__json_key(j, "enum");
    fm__json_open_array(j);
    for (const char *w = words; *w;) {
        size_t n = strcspn(w, " ");
        char word[64] = "";
        memcpy(word, w, n < sizeof(word) ? n : sizeof(word) - 1);
        fm__json_string(j, word);
        w += n + strspn(w + n, " ");
    }
    fm__json_close_array(j);
}

static void add_range(fm_json *j, const fm_option *o)
{
    int decimals = o->type == FM_OPTION_INT ? 0 : 2;
    text_key(j, "type", o->type == FM_OPTION_INT ? "integer" : "number");
    fm__json_put_fixed(j, "minimum", o->min, decimals);
    fm__json_put_fixed(j, "maximum", o->max, decimals);
}

// A number, or one of the words taken beside it.
static void add_number(fm_json *j, const fm_option *o)
{
    if (!o->values) {
        add_range(j, o);
        return;
    }
    fm__json_key(j, "anyOf");
    fm__json_open_array(j);
    fm__json_open_object(j);
    add_range(j, o);
    fm__json_close_object(j);
    fm__json_open_object(j);
    add_words(j, o->values);
    fm__json_close_object(j);
    fm__json_close_array(j);
}

static void add_array(fm_json *j, const char *item_type, int length)
{
    text_key(j, "type", "array");
    fm__json_key(j, "items");
    fm__json_open_object(j);
    text_key(j, "type", item_type);
    fm__json_close_object(j);
    if (length > 0) {
        fm__json_put_int(j, "minItems", length);
        fm__json_put_int(j, "maxItems", length);
    }
}

static void add_type(fm_json *j, const fm_option *o)
{
    switch (o->type) {
    case FM_OPTION_BOOL:
        text_key(j, "type", "boolean");
        break;
    case FM_OPTION_INT:
    case FM_OPTION_NUMBER:
        add_number(j, o);
        break;
    case FM_OPTION_CHOICE:
        add_words(j, o->values);
        break;
    case FM_OPTION_LIST:
        add_array(j, "string", 0);
        break;
    case FM_OPTION_SIZE:
        add_array(j, "integer", 2);
        break;
    case FM_OPTION_TEXT:
    case FM_OPTION_FILE:
    case FM_OPTION_DIR:
    case FM_OPTION_MODEL:
        text_key(j, "type", "string");
        break;
    }
}

static void add_option(fm_json *j, const char *name, const fm_option *o)
{
    fm__json_key(j, name);
    fm__json_open_object(j);
    text_key(j, "description", o->help);
    add_type(j, o);
    fm__json_close_object(j);
}

// Files may spell a setting as its flag, too.
static void add_flag_spelling(fm_json *j, const fm_option *o)
{
    char name[64] = "";
    for (size_t i = 0; o->flag && o->flag[i] && i + 1 < sizeof(name); i++) {
        name[i] = o->flag[i] == '-' ? '_' : o->flag[i];
    }
    if (name[0] && strcmp(name, o->key) != 0) {
        add_option(j, name, o);
    }
}

static void open_closed_object(fm_json *j)
{
    text_key(j, "type", "object");
    fm__json_put_bool(j, "additionalProperties", false);
}

// The length of the map's name in "a.b", 0 without one.
static size_t map_length(const fm_option *o)
{
    const char *dot = o->also ? strchr(o->also, '.') : NULL;
    return dot ? (size_t)(dot - o->also) : 0;
}

static bool same_map(const fm_option *a, const fm_option *b)
{
    size_t len = map_length(a);
    return len > 0 && len == map_length(b) && strncmp(a->also, b->also, len) == 0;
}

static void add_map(fm_json *j, const fm_option *first)
{
    char name[64] = "";
    size_t len = map_length(first);
    memcpy(name, first->also, len < sizeof(name) ? len : sizeof(name) - 1);
    fm__json_key(j, name);
    fm__json_open_object(j);
    open_closed_object(j);
    fm__json_key(j, "properties");
    fm__json_open_object(j);
    for (size_t i = 0; i < fm__key_count; i++) {
        const fm_option *o = &fm__keys[i].option;
        if (same_map(first, o)) {
            add_option(j, o->also + len + 1, o);
        }
    }
    fm__json_close_object(j);
    fm__json_close_object(j);
}

// model_paths: {detection: ...} and whatever else the table spells "a.b"; a map's rows need not stand
// together.
static void add_nested(fm_json *j)
{
    for (size_t i = 0; i < fm__key_count; i++) {
        const fm_option *o = &fm__keys[i].option;
        bool seen = map_length(o) == 0;
        for (size_t k = 0; k < i && !seen; k++) {
            seen = same_map(o, &fm__keys[k].option);
        }
        if (!seen) {
            add_map(j, o);
        }
    }
}

static void add_text(fm_json *j, const char *key)
{
    fm__json_key(j, key);
    fm__json_open_object(j);
    text_key(j, "type", "string");
    fm__json_close_object(j);
}

static void add_stream_enhance(fm_json *j)
{
    fm__json_key(j, "enhance");
    fm__json_open_object(j);
    text_key(j, "description", "of this stream; what is left out is as for all streams");
    open_closed_object(j);
    fm__json_key(j, "properties");
    fm__json_open_object(j);
    add_text(j, "denoise");
    add_text(j, "color");
    add_text(j, "lut");
    fm__json_close_object(j);
    fm__json_close_object(j);
}

static void add_start_frame(fm_json *j)
{
    fm__json_key(j, "start_frame");
    fm__json_open_object(j);
    text_key(j, "description", "the first frame that is looked at, from 0");
    text_key(j, "type", "integer");
    fm__json_put_int(j, "minimum", 0);
    fm__json_close_object(j);
}

static void add_streams(fm_json *j)
{
    fm__json_key(j, "streams");
    fm__json_open_object(j);
    text_key(j, "description", "what to read; INPUTs of the command line take their place");
    text_key(j, "type", "array");
    fm__json_key(j, "items");
    fm__json_open_object(j);
    open_closed_object(j);
    fm__json_key(j, "required");
    fm__json_open_array(j);
    fm__json_string(j, "url");
    fm__json_close_array(j);
    fm__json_key(j, "properties");
    fm__json_open_object(j);
    add_text(j, "url");
    add_text(j, "name");
    add_start_frame(j);
    add_stream_enhance(j);
    fm__json_close_object(j);
    fm__json_close_object(j);
    fm__json_close_object(j);
}

fm_status fm_config_schema(char **out, fm_error *err)
{
    fm_str s;
    fm_json j;
    fm__str_init(&s, FM_TAG_APP);
    fm__json_init(&j, &s);
    fm__json_open_object(&j);
    text_key(&j, "$schema", "https://json-schema.org/draft/2020-12/schema");
    text_key(&j, "title", "framemill configuration");
    open_closed_object(&j);
    fm__json_key(&j, "properties");
    fm__json_open_object(&j);
    add_streams(&j);
    for (size_t i = 0; i < fm__key_count; i++) {
        add_option(&j, fm__keys[i].option.key, &fm__keys[i].option);
        add_flag_spelling(&j, &fm__keys[i].option);
    }
    add_nested(&j);
    fm__json_close_object(&j);
    fm__json_close_object(&j);
    fm__str_add(&s, "\n");
    char *text = fm__str_take(&s);
    if (!text) {
        return fm__fail_nomem(err, "the schema");
    }
    *out = text;
    return FM_OK;
}
