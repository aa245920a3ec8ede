// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Import: a model file of the user's own becomes a model of the store. The file is looked into before
// anything is written (input, head, number of classes against the labels), copied as
// <models_dir>/<name>/model.*, described by a model.yaml that the user may edit, and its batch is freed. A
// failed import leaves nothing behind.

#include "models/store.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "models/bare.h"
#include "models/digest.h"

#include <string.h>
#include <unistd.h>

#define CAP_BYTES (UINT64_C(1) << 36)

typedef struct import_file {
    char *from, *name;
    char hex[FM_DIGEST_TEXT];
    uint64_t size;
} import_file;

typedef struct import {
    const char *name, *path;
    char *dir;
    fm_bare bare;
    char **labels;
    size_t label_count;
    import_file files[2];
    size_t file_count;
} import;

static fm_status add_file(import *im, char *from, char *name, fm_error *err)
{
    im->files[im->file_count++] = (import_file){.from = from, .name = name};
    if (!from || !name) {
        return fm__fail_nomem(err, "a path");
    }
    return fm__is_file(from) ? FM_OK : fm__fail(err, FM_NOTFOUND, "model file '%s' is not there", from);
}

// The file itself, and for an IR its weights beside it.
static fm_status list_files(import *im, fm_error *err)
{
    const char *base = fm__path_base(im->path), *ending = strrchr(base, '.');
    if (!fm__bare_is_file_name(base) || !ending) {
        return fm__fail(err, FM_UNSUPPORTED,
            "'%s' is no model file: .onnx, .xml, .tflite, .pb or .pt is expected", im->path);
    }
    fm_status st = add_file(
        im, fm__strdup(FM_TAG_MODELS, im->path), fm__asprintf(FM_TAG_MODELS, "model%s", ending), err);
    if (st == FM_OK && strcmp(ending, ".xml") == 0) {
        st = add_file(im,
            fm__asprintf(FM_TAG_MODELS, "%.*s.bin", (int)(strlen(im->path) - strlen(ending)), im->path),
            fm__strdup(FM_TAG_MODELS, "model.bin"), err);
    }
    return st;
}

static fm_status look(import *im, const fm_log *log, const char *head, const char *labels_path, fm_error *err)
{
    fm_net_desc desc = {.backend = fm__bare_backend(im->path), .path = im->path, .log = log};
    fm_status st = FM_OK;
    if (labels_path) {
        st = fm__labels_read(labels_path, &im->labels, &im->label_count, err);
    }
    if (st == FM_OK) {
        st = fm__bare_look(&desc, FM_TASK_ANY, head, im->label_count, &im->bare, err);
    }
    return st;
}

static fm_status copy_file(const import *im, import_file *file, fm_error *err)
{
    fm_incoming *in = NULL;
    char *path = fm__path_join(FM_TAG_MODELS, im->dir, file->name);
    fm_status st = path ? fm__incoming_open(path, CAP_BYTES, &in, err) : fm__fail_nomem(err, "a path");
    if (st == FM_OK) {
        st = fm__incoming_copy(in, file->from, err);
    }
    if (st == FM_OK) {
        st = fm__incoming_check(in, 0, NULL, file->from, err);
    }
    if (st == FM_OK) {
        file->size = fm__incoming_size(in);
        st = fm__incoming_commit(in, err);
    }
    fm__incoming_close(&in);
    if (st == FM_OK && !fm__digest_recorded(path, file->hex)) {
        st = fm__fail(err, FM_IO, "cannot read back what was written to '%s'", path);
    }
    fm__free(path);
    return st;
}

// JSON strings and lists are YAML too.
static void write_labels(const import *im, fm_str *out)
{
    fm_json j;
    if (im->bare.dim > 0) {
        return;
    }
    const char *set = fm__labels_usual(fm__head_find(im->bare.head.type)->task, im->bare.class_count);
    if (!im->labels && set) {
        fm__str_printf(out, "labels: %s # guessed from the number of classes\n", set);
        return;
    }
    if (!im->labels) {
        return; // "class 0", "class 1", ...
    }
    fm__str_add(out, "labels: ");
    fm__json_init(&j, out);
    fm__json_open_array(&j);
    for (size_t i = 0; i < im->label_count; i++) {
        fm__json_string(&j, im->labels[i]);
    }
    fm__json_close_array(&j);
    fm__str_add_char(out, '\n');
}

// One number where the channels have the same. JSON's numbers: the locale plays no part.
static void write_triple(const char *key, const float v[3], fm_str *out)
{
    fm_json j;
    bool is_one = v[0] == v[1] && v[1] == v[2];
    fm__str_printf(out, "  %s: ", key);
    fm__json_init(&j, out);
    if (!is_one) {
        fm__json_open_array(&j);
    }
    for (int c = 0; c < (is_one ? 1 : 3); c++) {
        fm__json_fixed(&j, (double)v[c], 3);
    }
    if (!is_one) {
        fm__json_close_array(&j);
    }
    fm__str_add_char(out, '\n');
}

static void write_input(const fm_model_input *in, fm_str *out)
{
    static const char *const colors[] = {"rgb", "bgr", "gray"};
    fm__str_printf(out, "input:\n  layout: %s\n  size: [%d, %d]\n  color: %s\n",
        in->layout == FM_LAYOUT_NCHW ? "nchw" : "nhwc", in->width, in->height, colors[in->color]);
    write_triple("mean", in->mean, out);
    write_triple("scale", in->scale, out);
    if (in->fit == FM_FIT_STRETCH) {
        fm__str_add(out, "  fit: stretch\n");
        return;
    }
    if (in->fit == FM_FIT_CROP) {
        fm__str_add(out, "  fit: crop\n  crop_ratio: ");
        fm__str_add_fixed(out, (double)in->crop_ratio, 3);
        fm__str_add_char(out, '\n');
        return;
    }
    fm__str_printf(out, "  fit: letterbox\n  anchor: %s\n  pad: %d\n",
        in->anchor == FM_ANCHOR_TOPLEFT ? "topleft" : "center", in->pad);
}

static void write_head(const fm_bare *bare, fm_str *out)
{
    static const char *const activations[] = {"none", "sigmoid", "softmax", "auto"};
    const fm_head_opts *head = &bare->head;
    const fm_head_class *cls = fm__head_find(head->type);
    fm__str_printf(out, "head: {type: %s", head->type);
    if (cls->decode) {
        fm__str_printf(out, ", boxes: %s, grid: %s", head->boxes == FM_HEAD_BOXES_UNIT ? "unit" : "pixels",
            head->grid == FM_HEAD_GRID_RAW ? "raw" : "decoded");
    } else if (cls->classify) {
        fm__str_printf(out, ", activation: %s", activations[head->activation]);
    }
    fm__str_add(out, "}\n");
    if (bare->dim > 0) {
        fm__str_printf(out, "dim: %d\n", bare->dim);
    }
}

static void write_yaml(const import *im, fm_str *out)
{
    const char *task = fm__task_name(fm__head_find(im->bare.head.type)->task);
    fm__str_add(
        out, "# Written by an import; input, head and labels are guesses from shapes: correct them here.\n");
    fm__str_printf(out, "name: %s\ntask: %s\nversion: imported\nlicence: unknown\n", im->name, task);
    write_input(&im->bare.input, out);
    write_head(&im->bare, out);
    write_labels(im, out);
    fm__str_printf(out, "variants:\n  - backend: %s\n    files:\n", fm__bare_backend(im->path));
    for (size_t i = 0; i < im->file_count; i++) {
        fm__str_printf(out, "      - {path: %s, size: %llu, sha256: %s}\n", im->files[i].name,
            (unsigned long long)im->files[i].size, im->files[i].hex);
    }
}

static fm_status describe(const import *im, const char *yaml_path, fm_error *err)
{
    fm_str text;
    fm__str_init(&text, FM_TAG_MODELS);
    write_yaml(im, &text);
    fm_status st = text.failed ? fm__fail_nomem(err, "a model description")
                               : fm__file_replace(yaml_path, text.data, text.len, err);
    fm__str_done(&text);
    return st;
}

static fm_status add_to_store(fm_model_store *store, import *im, const char *yaml_path, fm_error *err)
{
    fm_spec *spec = NULL;
    fm_status st = fm__spec_load(yaml_path, store->labels_dir, &spec, err);
    if (st != FM_OK) {
        return st;
    }
    spec->dir = fm__strdup(FM_TAG_MODELS, im->dir);
    st = spec->dir ? fm__store_add(store, spec, err) : fm__fail_nomem(err, "a path");
    if (st != FM_OK) {
        fm__spec_free(&spec);
        return st;
    }
    return fm__derive(store, spec, &spec->variants[0], err);
}

static void undo(const import *im, const char *yaml_path)
{
    for (size_t i = 0; i < im->file_count; i++) {
        char *path = fm__path_join(FM_TAG_MODELS, im->dir, im->files[i].name ? im->files[i].name : "");
        char *side = path ? fm__asprintf(FM_TAG_MODELS, "%s.sha256", path) : NULL;
        if (side) { // what is not there need not go
            (void)unlink(path);
            (void)unlink(side);
        }
        fm__free(path);
        fm__free(side);
    }
    if (yaml_path) {
        (void)unlink(yaml_path);
    }
    (void)rmdir(im->dir);
}

static fm_status write_all(fm_model_store *store, import *im, fm_error *err)
{
    char *yaml_path = fm__path_join(FM_TAG_MODELS, im->dir, "model.yaml");
    fm_status st = yaml_path ? fm__mkdir_all(im->dir, err) : fm__fail_nomem(err, "a path");
    for (size_t i = 0; st == FM_OK && i < im->file_count; i++) {
        st = copy_file(im, &im->files[i], err);
    }
    if (st == FM_OK) {
        st = describe(im, yaml_path, err);
    }
    if (st == FM_OK) {
        st = add_to_store(store, im, yaml_path, err);
    }
    if (st != FM_OK) {
        undo(im, yaml_path);
    }
    fm__free(yaml_path);
    return st;
}

static fm_status check_name(const fm_model_store *store, const char *name, fm_error *err)
{
    const fm_spec *taken = NULL;
    if (!name || !fm__model_name_ok(name)) {
        return fm__fail(err, FM_INVAL,
            "'%s' is no name for a model: lower-case letters, digits, '.', '_' and '-' only",
            name ? name : "");
    }
    if (fm__store_find(store, name, &taken, NULL) == FM_OK) {
        return fm__fail(err, FM_INVAL, "there is a model '%s' already: choose another name", name);
    }
    return FM_OK;
}

fm_status fm_model_import(fm_model_store *store, const char *path, const char *name, const char *head,
    const char *labels_path, fm_error *err)
{
import im = {.name = name, .path = path };
    if (!store || !path) {
        return fm__fail(err, FM_INVAL, "no model store or no file to import");
    }
    fm_status st = check_name(store, name, err);
    if (st == FM_OK) {
        st = list_files(&im, err);
    }
    if (st == FM_OK) {
        st = look(&im, &store->log, head, labels_path, err);
    }
    if (st == FM_OK) {
        im.dir = fm__path_join(FM_TAG_MODELS, store->models_dir, name);
        st = im.dir ? write_all(store, &im, err) : fm__fail_nomem(err, "a path");
    }
    fm__labels_free(&im.labels, im.label_count);
    for (size_t i = 0; i < im.file_count; i++) {
        fm__free(im.files[i].from);
        fm__free(im.files[i].name);
    }
    fm__free(im.dir);
    return st;
}
