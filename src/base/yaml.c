// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// YAML into a tree with places, from libyaml's event stream (its parser works by events, so every node's line
// and column is known). Limits keep hostile files cheap; aliases are refused, since a tree of aliases grows
// exponentially and no setting needs them.

#include "base/yaml.h"

#include "base/error.h"
#include "base/file.h"
#include "base/str.h"

#include <yaml.h>

#include <string.h>

#define MAX_BYTES (1024 * 1024)
#define MAX_DEPTH 32
#define MAX_NODES 65536
#define MAX_KEYS 1024 // of one map: finding a key twice takes time with the square of it

typedef struct block { // nodes and strings of a document are freed together
    struct block *next;
} block;

struct fm_yaml {
    char *name;
    fm_yaml_node *root;
    block *blocks;
    size_t nodes;
};

typedef struct reader {
    yaml_parser_t parser;
    const char *text;
    fm_yaml *doc;
    fm_error *err;
} reader;

static void *take(fm_yaml *doc, size_t size)
{
    block *b = fm__calloc(FM_TAG_BASE, sizeof(block) + size);
    if (!b) {
        return NULL;
    }
    b->next = doc->blocks;
    doc->blocks = b;
    return b + 1;
}

static fm_status fail_at(reader *r, yaml_mark_t mark, const char *text)
{
    return fm__fail(r->err, FM_FORMAT, "%s:%zu:%zu: %s", r->doc->name, mark.line + 1, mark.column + 1, text);
}

// Place of a byte of the text, for errors of the lowest layer: libyaml knows only its offset.
static yaml_mark_t mark_of(const char *text, size_t offset)
{
    yaml_mark_t mark = {.index = offset};
    for (size_t i = 0; i < offset; i++) {
        bool line_end = text[i] == '\n';
        mark.line += line_end;
        mark.column = line_end ? 0 : mark.column + ((text[i] & 0xc0) != 0x80);
    }
    return mark;
}

static fm_status next_event(reader *r, yaml_event_t *event)
{
    if (yaml_parser_parse(&r->parser, event)) {
        return FM_OK;
    }
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR) {
        return fm__fail_nomem(r->err, r->doc->name);
    }
    yaml_mark_t mark = p->error == YAML_READER_ERROR ? mark_of(r->text, p->problem_offset) : p->problem_mark;
    return fail_at(r, mark, p->problem ? p->problem : "not YAML");
}

static fm_status copy_text(reader *r, const yaml_event_t *e, const char **out)
{
    size_t n = e->data.scalar.length;
    if (memchr(e->data.scalar.value, 0, n)) {
        return fail_at(r, e->start_mark, "a NUL character in the text");
    }
    char *text = take(r->doc, n + 1);
    if (!text) {
        return fm__fail_nomem(r->err, r->doc->name);
    }
    memcpy(text, e->data.scalar.value, n);
    *out = text;
    return FM_OK;
}

static fm_status new_node(reader *r, const yaml_event_t *e, fm_yaml_node **out)
{
    if (++r->doc->nodes > MAX_NODES) {
        return fail_at(r, e->start_mark, "too many values");
    }
    fm_yaml_node *n = take(r->doc, sizeof(*n));
    if (!n) {
        return fm__fail_nomem(r->err, r->doc->name);
    }
    n->line = (int)e->start_mark.line + 1;
    n->column = (int)e->start_mark.column + 1;
    *out = n;
    return FM_OK;
}

static fm_status read_node(reader *r, yaml_event_t *e, int depth, fm_yaml_node **out);

static fm_status read_key(reader *r, const yaml_event_t *e, const fm_yaml_node *map, const char **key)
{
    if (e->type != YAML_SCALAR_EVENT) {
        return fail_at(r, e->start_mark, "a key must be plain text");
    }
    if (map->count >= MAX_KEYS) {
        return fail_at(r, e->start_mark, "too many keys in one map");
    }
    fm_status st = copy_text(r, e, key);
    if (st == FM_OK && fm__yaml_get(map, *key)) {
        char text[160];
        snprintf(text, sizeof(text), "key '%.100s' stands twice", *key);
        st = fail_at(r, e->start_mark, text);
    }
    return st;
}

static fm_status read_children(reader *r, fm_yaml_node *parent, int depth)
{
    yaml_event_type_t end = parent->kind == FM_YAML_MAP ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
    const fm_yaml_node **tail = &parent->child;
    for (;;) {
        yaml_event_t e;
        fm_status st = next_event(r, &e);
        if (st != FM_OK) {
            return st;
        }
        const char *key = NULL;
        fm_yaml_node *child = NULL;
        bool done = e.type == end;
        if (!done && parent->kind == FM_YAML_MAP) {
            st = read_key(r, &e, parent, &key);
            yaml_event_delete(&e);
            st = st == FM_OK ? next_event(r, &e) : st;
            if (st != FM_OK) {
                return st;
            }
        }
        if (!done) {
            st = read_node(r, &e, depth + 1, &child);
        }
        yaml_event_delete(&e);
        if (done || st != FM_OK) {
            return st;
        }
        child->key = key;
        *tail = child;
        tail = &child->next;
        parent->count++;
    }
}

static fm_status read_node(reader *r, yaml_event_t *e, int depth, fm_yaml_node **out)
{
    if (depth > MAX_DEPTH) {
        return fail_at(r, e->start_mark, "nested too deeply");
    }
    if (e->type == YAML_ALIAS_EVENT) {
        return fail_at(r, e->start_mark, "aliases are not supported");
    }
    fm_yaml_node *n = NULL;
    fm_status st = new_node(r, e, &n);
    if (st != FM_OK) {
        return st;
    }
    if (e->type == YAML_SCALAR_EVENT) {
        n->kind = FM_YAML_SCALAR;
        n->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        st = copy_text(r, e, &n->scalar);
    } else if (e->type == YAML_SEQUENCE_START_EVENT || e->type == YAML_MAPPING_START_EVENT) {
        n->kind = e->type == YAML_MAPPING_START_EVENT ? FM_YAML_MAP : FM_YAML_SEQ;
        st = read_children(r, n, depth);
    } else {
        st = fail_at(r, e->start_mark, "unexpected end");
    }
    if (st == FM_OK) {
        *out = n;
    }
    return st;
}

// stream start, document start, one node, document end, stream end; an empty text is an empty map.
static fm_status read_document(reader *r)
{
    for (;;) {
        yaml_event_t e;
        fm_status st = next_event(r, &e);
        if (st != FM_OK) {
            return st;
        }
        yaml_event_type_t type = e.type;
        if (type == YAML_DOCUMENT_START_EVENT && r->doc->root) {
            st = fail_at(r, e.start_mark, "a second document; only one is read");
        } else if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT &&
                   type != YAML_DOCUMENT_END_EVENT && type != YAML_STREAM_END_EVENT) {
            st = read_node(r, &e, 0, &r->doc->root);
        }
        yaml_event_delete(&e);
        if (st != FM_OK || type == YAML_STREAM_END_EVENT) {
            return st;
        }
    }
}

static fm_status finish_root(fm_yaml *doc, fm_error *err)
{
    if (doc->root) {
        return FM_OK;
    }
    doc->root = take(doc, sizeof(*doc->root));
    if (!doc->root) {
        return fm__fail_nomem(err, doc->name);
    }
    *doc->root = (fm_yaml_node){.kind = FM_YAML_MAP, .line = 1, .column = 1};
    return FM_OK;
}

fm_status fm__yaml_parse(const char *text, size_t len, const char *name, fm_yaml **out, fm_error *err)
{
    if (len > MAX_BYTES) {
        return fm__fail(err, FM_FORMAT, "%s: larger than 1 MiB", name);
    }
    fm_yaml *doc = fm__calloc(FM_TAG_BASE, sizeof(*doc));
    reader r = {.text = text, .doc = doc, .err = err};
    if (!doc || !(doc->name = fm__strdup(FM_TAG_BASE, name)) || !yaml_parser_initialize(&r.parser)) {
        fm__yaml_free(&doc);
        return fm__fail_nomem(err, name);
    }
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    fm_status st = read_document(&r);
    yaml_parser_delete(&r.parser);
    st = st == FM_OK ? finish_root(doc, err) : st;
    if (st != FM_OK) {
        fm__yaml_free(&doc);
        return st;
    }
    *out = doc;
    return FM_OK;
}

fm_status fm__yaml_load(const char *path, fm_yaml **out, fm_error *err)
{
    char *text = NULL;
    size_t len = 0;
    fm_status st = fm__file_read(FM_TAG_BASE, path, MAX_BYTES, &text, &len, err);
    if (st == FM_OK) {
        st = fm__yaml_parse(text, len, path, out, err);
    }
    fm__free(text);
    return st;
}

void fm__yaml_free(fm_yaml **doc)
{
    if (!doc || !*doc) {
        return;
    }
    for (block *b = (*doc)->blocks; b;) {
        block *next = b->next;
        fm__free(b);
        b = next;
    }
    fm__free((*doc)->name);
    fm__free(*doc);
    *doc = NULL;
}

const fm_yaml_node *fm__yaml_root(const fm_yaml *doc)
{
    return doc->root;
}

const char *fm__yaml_name(const fm_yaml *doc)
{
    return doc->name;
}

const fm_yaml_node *fm__yaml_get(const fm_yaml_node *map, const char *key)
{
    if (!map || map->kind != FM_YAML_MAP) {
        return NULL;
    }
    for (const fm_yaml_node *n = map->child; n; n = n->next) {
        if (strcmp(n->key, key) == 0) {
            return n;
        }
    }
    return NULL;
}

fm_status fm__yaml_fail(const fm_yaml *doc, const fm_yaml_node *n, fm_error *err, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return fm__fail(err, FM_FORMAT, "%s:%d:%d: %s", doc->name, n->line, n->column, text);
}

static fm_status wrong_type(const fm_yaml *doc, const fm_yaml_node *n, const char *expected, fm_error *err)
{
    const char *got = n->kind == FM_YAML_MAP ? "a map" : n->kind == FM_YAML_SEQ ? "a list" : n->scalar;
    return fm__yaml_fail(
        doc, n, err, "key '%s': expected %s, got '%.80s'", n->key ? n->key : "(list item)", expected, got);
}

fm_status fm__yaml_int(
    const fm_yaml *doc, const fm_yaml_node *n, int64_t min, int64_t max, int64_t *out, fm_error *err)
{
    int64_t v;
    if (n->kind != FM_YAML_SCALAR || n->quoted || !fm__parse_int(n->scalar, &v)) {
        return wrong_type(doc, n, "a whole number", err);
    }
    if (v < min || v > max) {
        return fm__yaml_fail(doc, n, err, "key '%s': %lld is out of range, %lld to %lld is allowed",
            n->key ? n->key : "(list item)", (long long)v, (long long)min, (long long)max);
    }
    *out = v;
    return FM_OK;
}

fm_status fm__yaml_double(
    const fm_yaml *doc, const fm_yaml_node *n, double min, double max, double *out, fm_error *err)
{
    double v;
    if (n->kind != FM_YAML_SCALAR || n->quoted || !fm__parse_double(n->scalar, &v)) {
        return wrong_type(doc, n, "a number", err);
    }
    if (v < min || v > max) {
        return fm__yaml_fail(doc, n, err, "key '%s': %g is out of range, %g to %g is allowed",
            n->key ? n->key : "(list item)", v, min, max);
    }
    *out = v;
    return FM_OK;
}

fm_status fm__yaml_bool(const fm_yaml *doc, const fm_yaml_node *n, bool *out, fm_error *err)
{
    if (n->kind == FM_YAML_SCALAR && !n->quoted) {
        if (fm__str_ieq(n->scalar, "true") || fm__str_ieq(n->scalar, "yes") || fm__str_ieq(n->scalar, "on")) {
            *out = true;
            return FM_OK;
        }
        if (fm__str_ieq(n->scalar, "false") || fm__str_ieq(n->scalar, "no") ||
            fm__str_ieq(n->scalar, "off")) {
            *out = false;
            return FM_OK;
        }
    }
    return wrong_type(doc, n, "true or false", err);
}

fm_status fm__yaml_string(const fm_yaml *doc, const fm_yaml_node *n, const char **out, fm_error *err)
{
    if (n->kind != FM_YAML_SCALAR || (!n->quoted && n->scalar[0] == 0)) {
        return wrong_type(doc, n, "text", err);
    }
    *out = n->scalar;
    return FM_OK;
}
