// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** A model's description, read from its YAML file and checked strictly. Strings are borrowed from the
 * document that the spec owns. */
#ifndef FM_MODELS_SPEC_H
#define FM_MODELS_SPEC_H

#include "base/yaml.h"
#include "models/model.h"

#define FM_SPEC_MAX_FILES 4
#define FM_SPEC_MAX_VARIANTS 8
#define FM_SPEC_MAX_LABELS 65536

typedef struct fm_spec_file {
    const char *path;         // a plain file name, checked
    uint64_t size;            // 0: not known
    const char *sha256;       // 64 lower-case hex digits, or NULL: not known
    const fm_yaml_node *urls; // sequence of https addresses, checked, or NULL
} fm_spec_file;

/** One form of the weights. files[0] is the one a backend opens. */
typedef struct fm_spec_variant {
    const char *backend;
    fm_spec_file files[FM_SPEC_MAX_FILES];
    size_t file_count;
    fm_model_input input;
    fm_head_opts head;
    const char *export_command; // how to make this form of the weights where nobody publishes it, or NULL
    const char *recipe;         // framemill-export makes this form by it, from Python packages; or NULL
    bool cut_classifier;        // the last layer with weights goes: what enters it is the output
} fm_spec_variant;

typedef struct fm_spec {
    fm_yaml *doc;
    const char *name, *task, *version, *licence, *about;
    const char *export_command; // how to make a file where nobody publishes one, or NULL
    fm_spec_variant variants[FM_SPEC_MAX_VARIANTS];
    size_t variant_count;
    fm_model_input input;
    fm_head_opts head;
    char **labels;
    size_t label_count;
    int dim;         // of the feature, 0 for other tasks
    char *dir;       // where the files lie; set by who loads the spec
    bool built_in;   // came with framemill
    bool is_shipped; // so did its weights: they lie in the share folder
} fm_spec;

/** labels_dir holds the named label sets; it may be NULL. Errors name line and key. */
fm_status fm__spec_parse(const char *text, size_t len, const char *name, const char *labels_dir,
    fm_spec **out, fm_error *err) FM_MUST_USE;
fm_status fm__spec_load(const char *path, const char *labels_dir, fm_spec **out, fm_error *err) FM_MUST_USE;
void fm__spec_free(fm_spec **spec);
/** What a head's usual network wants as input, for files that come without a description. */
fm_model_input fm__spec_usual_input(const char *head_type);
/** Name of the label set that models of this task with so many classes usually have, or NULL. */
const char *fm__labels_usual(fm_task task, int class_count);

/** https, no user, no control characters. */
bool fm__url_allowed(const char *url);
/** A model's name is a folder's name: lower-case letters, digits, '.', '_', '-'; at most 64. */
bool fm__model_name_ok(const char *name);

/** One label a line; blank lines at the end are dropped, others are errors. */
fm_status fm__labels_read(const char *path, char ***out, size_t *count, fm_error *err) FM_MUST_USE;
void fm__labels_free(char ***labels, size_t count);

#endif
