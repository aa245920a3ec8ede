// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** YAML read into a tree whose nodes know their line and column, for configuration and model files. libyaml's
 * only owner. Limits: 1 MiB, depth 32, 65536 nodes, 1024 keys a map; aliases are refused; duplicate keys are
 * errors. */
#ifndef FM_BASE_YAML_H
#define FM_BASE_YAML_H

#include <framemill/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum fm_yaml_kind { FM_YAML_SCALAR, FM_YAML_SEQ, FM_YAML_MAP } fm_yaml_kind;

typedef struct fm_yaml_node fm_yaml_node;
struct fm_yaml_node {
    fm_yaml_kind kind;
    int line, column;          // from 1
    const char *key;           // in a map: its key, else NULL
    const char *scalar;        // SCALAR: its text
    bool quoted;               // SCALAR: written in quotes, so never a number, bool or null
    const fm_yaml_node *child; // SEQ, MAP: first child
    const fm_yaml_node *next;  // next sibling
    size_t count;              // SEQ, MAP: children
};

typedef struct fm_yaml fm_yaml;

/** Parses `text` (len bytes); `name` stands in messages ("config.yaml:3:5: ..."). */
fm_status fm__yaml_parse(
    const char *text, size_t len, const char *name, fm_yaml **out, fm_error *err) FM_MUST_USE;
fm_status fm__yaml_load(const char *path, fm_yaml **out, fm_error *err) FM_MUST_USE;
void fm__yaml_free(fm_yaml **doc);
const fm_yaml_node *fm__yaml_root(const fm_yaml *doc);
const char *fm__yaml_name(const fm_yaml *doc);
/** Child of a map by key, or NULL. */
const fm_yaml_node *fm__yaml_get(const fm_yaml_node *map, const char *key);
/** Typed reading: status FORMAT with "name:line:column: key 'k': expected ..., got ..." when the node is of
 * another type. */
fm_status fm__yaml_int(
    const fm_yaml *doc, const fm_yaml_node *n, int64_t min, int64_t max, int64_t *out, fm_error *err);
fm_status fm__yaml_double(
    const fm_yaml *doc, const fm_yaml_node *n, double min, double max, double *out, fm_error *err);
fm_status fm__yaml_bool(const fm_yaml *doc, const fm_yaml_node *n, bool *out, fm_error *err);
fm_status fm__yaml_string(
    const fm_yaml *doc, const fm_yaml_node *n, const char **out, fm_error *err); // borrowed
/** An error at a node: "name:line:column: " + text. */
fm_status fm__yaml_fail(const fm_yaml *doc, const fm_yaml_node *n, fm_error *err, const char *fmt, ...)
    FM_PRINTF(4, 5);

#endif
