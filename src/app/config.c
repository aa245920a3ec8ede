// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Configurations: values for the table in app/keys.c, from a YAML file or set one by one, put into
// fm_run_opts at the end. The file's tree is kept, so that streams can borrow their strings from it. Nothing
// in a file is ignored: a key that this version does not know, or that belongs to a part still to come, is an
// error at its line.

#include "app/keys.h"

#include "base/error.h"
#include "base/str.h"
#include "base/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fm_config {
    fm_value *values; // [fm__key_count], in the order of the table
    fm_stream_opts *streams;
    size_t stream_count;
    fm_yaml *doc; // of the file, or NULL
};

// The keys of files that are no option of the table.
#define KEY_STREAMS "streams"
#define MAX_WORDS 256

fm_status fm_config_new(fm_config **out, fm_error *err)
{
    fm_config *c = fm__calloc(FM_TAG_APP, sizeof(*c));
    if (c) {
        c->values = fm__calloc_array(FM_TAG_APP, fm__key_count, sizeof(*c->values));
    }
    if (!c || !c->values) {
        fm_config_free(&c);
        return fm__fail_nomem(err, "a configuration");
    }
    *out = c;
    return FM_OK;
}

void fm_config_free(fm_config **config)
{
    fm_config *c = config ? *config : NULL;
    if (!c) {
        return;
    }
    for (size_t i = 0; c->values && i < fm__key_count; i++) {
        fm__value_done(&c->values[i]);
    }
    fm__free(c->values);
    fm__free(c->streams);
    fm__yaml_free(&c->doc);
    fm__free(c);
    *config = NULL;
}

fm_status fm_config_set(fm_config *c, const char *name, const char *text, fm_error *err)
{
    const fm_key *key = fm__key_find(name);
    if (!key) {
        return fm__fail(err, FM_NOTFOUND, "there is no option '%s'", name);
    }
    fm_value v;
    fm_status st = fm__value_parse(&key->option, text, &v, err);
    if (st == FM_OK) {
        fm_value *slot = &c->values[key - fm__keys];
        fm__value_done(slot);
        *slot = v;
    }
    return st;
}

const char *fm_config_get(const fm_config *c, const char *name)
{
    const fm_key *key = fm__key_find(name);
    return key ? c->values[key - fm__keys].text : NULL;
}

static const char *kind_text(const fm_yaml_node *n)
{
    return n->kind == FM_YAML_MAP   ? "a map"
           : n->kind == FM_YAML_SEQ ? "a list"
           : n->scalar[0]           ? "text"
                                    : "nothing";
}

static fm_status wrong_kind(
    const fm_config *c, const fm_yaml_node *n, const char *name, const fm_option *o, fm_error *err)
{
    char expected[256];
    fm_option_expected(o, expected, sizeof(expected));
    return fm__yaml_fail(c->doc, n, err, "key '%s': expected %s, got %s", name, expected, kind_text(n));
}

// Quotes make text of what looks like a number or a truth value.
static bool quoted_wrongly(const fm_yaml_node *n, const fm_option *o)
{
    double number;
    return n->quoted &&
           (o->type == FM_OPTION_BOOL || ((o->type == FM_OPTION_INT || o->type == FM_OPTION_NUMBER) &&
                                             fm__parse_double(n->scalar, &number)));
}

static fm_status parse_items(
    fm_config *c, const fm_yaml_node *n, const char *name, const fm_option *o, fm_value *v, fm_error *err)
{
    const char **items = fm__calloc_array(FM_TAG_APP, n->count + 1, sizeof(*items));
    fm_status st = items ? FM_OK : fm__fail_nomem(err, "a list");
    size_t i = 0;
    for (const fm_yaml_node *child = n->child; st == FM_OK && child; child = child->next) {
        if (child->kind != FM_YAML_SCALAR) {
            st = wrong_kind(c, child, name, o, err);
        } else {
            items[i++] = child->scalar;
        }
    }
    if (st == FM_OK && o->type == FM_OPTION_SIZE) {
        char text[32] = "";
        if (i == 2 && strlen(items[0]) < 10 && strlen(items[1]) < 10) {
            snprintf(text, sizeof(text), "%sx%s", items[0], items[1]);
        }
        st = fm__value_parse(o, text, v, err) == FM_OK
                 ? FM_OK
                 : fm__yaml_fail(c->doc, n, err, "key '%s': expected [width, height]", name);
    } else if (st == FM_OK) {
        fm_error why;
        st = fm__value_from_items(items, i, v, &why);
        st = st == FM_OK ? FM_OK : fm__yaml_fail(c->doc, n, err, "key '%s': %s", name, why.msg);
    }
    fm__free(items);
    return st;
}

static fm_status parse_node(
    fm_config *c, const fm_yaml_node *n, const char *name, const fm_option *o, fm_value *v, fm_error *err)
{
    if (n->kind == FM_YAML_SEQ && (o->type == FM_OPTION_LIST || o->type == FM_OPTION_SIZE)) {
        return parse_items(c, n, name, o, v, err);
    }
    if (n->kind != FM_YAML_SCALAR || (!n->quoted && n->scalar[0] == 0)) {
        return wrong_kind(c, n, name, o, err);
    }
    if (quoted_wrongly(n, o)) {
        return fm__yaml_fail(
            c->doc, n, err, "key '%s': '%.80s' in quotes is text; write it without them", name, n->scalar);
    }
    fm_error why;
    if (fm__value_parse(o, n->scalar, v, &why) != FM_OK) {
        return fm__yaml_fail(c->doc, n, err, "key '%s': %s", name, why.msg);
    }
    return FM_OK;
}

static fm_status load_option(
    fm_config *c, const fm_key *key, const fm_yaml_node *n, const char *name, fm_error *err)
{
    fm_value *slot = &c->values[key - fm__keys];
    if (slot->text) {
        return fm__yaml_fail(
            c->doc, n, err, "key '%s': this setting stands above already, under another of its names", name);
    }
    return parse_node(c, n, name, &key->option, slot, err);
}

// What may stand in a file at this place, for suggestions: whole names at the top, last parts inside a map.
static size_t known_words(const char *prefix, const char **words)
{
    size_t n = 0, skip = strlen(prefix);
    if (skip == 0) {
        words[n++] = KEY_STREAMS;
    }
    for (size_t i = 0; i < fm__key_count && n + 2 < MAX_WORDS; i++) {
        const fm_option *o = &fm__keys[i].option;
        if (skip == 0) {
            words[n++] = o->key;
        }
        if (o->also && strncmp(o->also, prefix, skip) == 0) {
            words[n++] = o->also + skip;
        }
    }
    return n;
}

static fm_status unknown_key(const fm_config *c, const fm_yaml_node *n, const char *prefix, fm_error *err)
{
    const char *words[MAX_WORDS];
    const char *near = fm_suggest(n->key, words, known_words(prefix, words));
    char *shown = fm__redact_url(FM_TAG_APP, n->key);
    fm_status st = fm__yaml_fail(c->doc, n, err,
        near ? "unknown key '%s%.80s'; did you mean '%s%s'?"
             : "unknown key '%s%.80s'; docs/config.md lists them all",
        prefix, shown ? shown : "?", prefix, near);
    fm__free(shown);
    return st;
}

static bool opens_map(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < fm__key_count; i++) {
        const char *also = fm__keys[i].option.also;
        if (also && strncmp(also, name, len) == 0 && also[len] == '.') {
            return true;
        }
    }
    return false;
}

static fm_status load_streams(fm_config *c, const fm_yaml_node *list, fm_error *err);

static fm_status load_key(fm_config *c, const fm_yaml_node *n, const char *prefix, fm_error *err)
{
    char name[128];
    snprintf(name, sizeof(name), "%s%.100s", prefix, n->key);
    if (strcmp(name, KEY_STREAMS) == 0) {
        return load_streams(c, n, err);
    }
    if (prefix[0] == 0 && opens_map(name)) {
        if (n->kind != FM_YAML_MAP) {
            return fm__yaml_fail(c->doc, n, err, "key '%s': expected a map, got %s", name, kind_text(n));
        }
        fm_status st = FM_OK;
        strcat(name, ".");
        for (const fm_yaml_node *child = n->child; st == FM_OK && child; child = child->next) {
            st = load_key(c, child, name, err);
        }
        return st;
    }
    const fm_key *key = fm__key_in_file(name);
    // A dot in a key at the top is part of its name, not a way into a map.
    if (key && (prefix[0] != 0 || !strchr(name, '.'))) {
        return load_option(c, key, n, name, err);
    }
    for (size_t i = 0; i < fm__later_key_count; i++) {
        if (strcmp(fm__later_keys[i].key, name) == 0) {
            return fm__yaml_fail(c->doc, n, err, "key '%s': this version has no %s yet; take the key out",
                name, fm__later_keys[i].part);
        }
    }
    return unknown_key(c, n, prefix, err);
}

static fm_status load_stream_text(
    fm_config *c, const fm_yaml_node *n, const char *prefix, const char **slot, fm_error *err)
{
    if (n->kind != FM_YAML_SCALAR || n->scalar[0] == 0) {
        return fm__yaml_fail(
            c->doc, n, err, "key '%s%s' of a stream: expected text, got %s", prefix, n->key, kind_text(n));
    }
    *slot = n->scalar;
    return FM_OK;
}

static fm_status load_stream_enhance(
    fm_config *c, const fm_yaml_node *map, fm_frame_enhance *out, fm_error *err)
{
    if (map->kind != FM_YAML_MAP) {
        return fm__yaml_fail(c->doc, map, err,
            "key 'enhance' of a stream: expected {denoise: ..., color: ..., lut: ...}, got %s",
            kind_text(map));
    }
    for (const fm_yaml_node *n = map->child; n; n = n->next) {
        const char **slot = strcmp(n->key, "denoise") == 0 ? &out->denoise
                            : strcmp(n->key, "color") == 0 ? &out->color
                            : strcmp(n->key, "lut") == 0   ? &out->lut
                                                           : NULL;
        if (!slot) {
            return fm__yaml_fail(c->doc, n, err,
                "unknown key 'enhance.%.80s' of a stream; it has denoise, color and lut", n->key);
        }
        fm_status st = load_stream_text(c, n, "enhance.", slot, err);
        if (st != FM_OK) {
            return st;
        }
    }
    return FM_OK;
}

static fm_status load_start_frame(const fm_config *c, const fm_yaml_node *n, uint64_t *out, fm_error *err)
{
    const char *text = n->kind == FM_YAML_SCALAR ? n->scalar : "";
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 18 || text[digits] != 0) {
        return fm__yaml_fail(c->doc, n, err,
            "key 'start_frame' of a stream: expected the number of a frame, from 0, got %s", kind_text(n));
    }
    *out = strtoull(text, NULL, 10);
    return FM_OK;
}

static fm_status load_stream(fm_config *c, const fm_yaml_node *map, fm_stream_opts *out, fm_error *err)
{
    if (map->kind != FM_YAML_MAP) {
        return fm__yaml_fail(
            c->doc, map, err, "a stream: expected {name: ..., url: ...}, got %s", kind_text(map));
    }
    for (const fm_yaml_node *n = map->child; n; n = n->next) {
        const char **slot = strcmp(n->key, "url") == 0    ? &out->url
                            : strcmp(n->key, "name") == 0 ? &out->name
                                                          : NULL;
        bool enhances = strcmp(n->key, "enhance") == 0, starts = strcmp(n->key, "start_frame") == 0;
        if (!slot && !enhances && !starts) {
            char *shown = fm__redact_url(FM_TAG_APP, n->key);
            fm_status st = fm__yaml_fail(c->doc, n, err,
                "unknown key '%.80s' of a stream; it has name, url, start_frame and enhance",
                shown ? shown : "?");
            fm__free(shown);
            return st;
        }
        fm_status st = enhances ? load_stream_enhance(c, n, &out->enhance, err)
                       : starts ? load_start_frame(c, n, &out->start_frame, err)
                                : load_stream_text(c, n, "", slot, err);
        if (st != FM_OK) {
            return st;
        }
    }
    return out->url ? FM_OK : fm__yaml_fail(c->doc, map, err, "a stream without url");
}

static fm_status load_streams(fm_config *c, const fm_yaml_node *list, fm_error *err)
{
    if (list->kind != FM_YAML_SEQ) {
        return fm__yaml_fail(c->doc, list, err,
            "key '" KEY_STREAMS "': expected a list of {name, url}, got %s", kind_text(list));
    }
    c->streams = fm__calloc_array(FM_TAG_APP, list->count + 1, sizeof(*c->streams));
    if (!c->streams) {
        return fm__fail_nomem(err, "the streams");
    }
    for (const fm_yaml_node *n = list->child; n; n = n->next) {
        fm_status st = load_stream(c, n, &c->streams[c->stream_count++], err);
        if (st != FM_OK) {
            return st;
        }
    }
    return FM_OK;
}

fm_status fm_config_load(const char *path, fm_config **out, fm_error *err)
{
    fm_config *c = NULL;
    fm_status st = fm_config_new(&c, err);
    if (st == FM_OK) {
        st = fm__yaml_load(path, &c->doc, err);
    }
    const fm_yaml_node *root = st == FM_OK ? fm__yaml_root(c->doc) : NULL;
    if (root && root->kind != FM_YAML_MAP) {
        st = fm__yaml_fail(c->doc, root, err, "expected a map of settings, got %s", kind_text(root));
    }
    for (const fm_yaml_node *n = root ? root->child : NULL; st == FM_OK && n; n = n->next) {
        st = load_key(c, n, "", err);
    }
    if (st != FM_OK) {
        fm_config_free(&c);
        return st;
    }
    *out = c;
    return FM_OK;
}

static void store(const fm_key *key, const fm_value *v, fm_run_opts *opts)
{
    void *at = (char *)opts + key->offset;
    double number = key->zero_is_negative && v->number == 0 ? -1 : v->number;
    switch (key->field) {
    case FM_FIELD_NONE:
        break;
    case FM_FIELD_STRING:
        *(const char **)at = v->text;
        break;
    case FM_FIELD_BOOL:
        *(bool *)at = v->truth;
        break;
    case FM_FIELD_TRISTATE:
        *(int *)at = v->truth ? 1 : -1;
        break;
    case FM_FIELD_INT:
        *(int *)at = (int)number;
        break;
    case FM_FIELD_INT64:
        *(int64_t *)at = (int64_t)number;
        break;
    case FM_FIELD_UINT64:
        *(uint64_t *)at = (uint64_t)number;
        break;
    case FM_FIELD_SIZE:
        *(size_t *)at = (size_t)number;
        break;
    case FM_FIELD_FLOAT:
        *(float *)at = (float)number;
        break;
    case FM_FIELD_DOUBLE:
        *(double *)at = number;
        break;
    case FM_FIELD_LIST:
        *(const char *const **)at = (const char *const *)v->items;
        *(size_t *)((char *)opts + key->count_offset) = v->count;
        break;
    }
}

void fm_config_apply(const fm_config *c, fm_run_opts *opts)
{
    for (size_t i = 0; i < fm__key_count; i++) {
        if (c->values[i].text) {
            store(&fm__keys[i], &c->values[i], opts);
        }
    }
    if (c->stream_count) {
        opts->streams = c->streams;
        opts->stream_count = c->stream_count;
    }
}
