// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Loading: a name or a path becomes a compiled network with its head and labels. A name is looked up in the
// store and the first complete variant that suits the device is taken, in its form with a freed batch where
// there is one; a path to a .yaml is a description with its files beside it; a path to a model file is looked
// into (bare.c); "shapes", "hues", "cells", "colors" and "double" are the built-in networks of the ref
// backend. Whatever is wrong with files ends in an error that says which command mends it.

#include "models/model.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "models/bare.h"
#include "models/store.h"

#include <string.h>

// What is to be loaded, from wherever it was found. Strings are borrowed unless marked.
typedef struct source {
    const char *name, *licence, *backend;
    char *file; // owned
    fm_model_input input;
    fm_head_opts head;
    char *const *labels;
    size_t label_count;
    char **own_labels; // owned, what `labels` points to when they were read here
    fm_spec *own_spec; // owned, of a path to a .yaml
    const char *mend;  // command for damaged files, or NULL
} source;

// Of the test source's shapes, and last what has no colour, which detectors leave out.
static const char *const ref_labels[] = {"red", "green", "blue", "yellow", "magenta", "cyan", "grey"};
#define REF_COLORS 6
#define REF_HUES 7
#define USUAL_TILE 256 // pixels a side, of enhancers that leave it free

static void source_done(source *s)
{
    fm__labels_free(&s->own_labels, s->label_count);
    fm__spec_free(&s->own_spec);
    fm__free(s->file);
}

// What the flag is called that asks for a model of this task.
static const char *flag_of(fm_task task)
{
    static const char *const flags[FM_TASK_COUNT] = {
        "", "--detector", "--segmenter", "--classifier", "--embedder", "--sr"};
    return flags[task];
}

static fm_status check_task(const fm_model_load_opts *opts, const char *name, const char *task, fm_error *err)
{
    static const char *const kinds[][2] = {{"detection", "a detector"}, {"features", "an embedder"},
        {"segmentation", "a segmenter"}, {"classification", "a classifier"},
        {"enhancement", "for super-resolution"}};
    const char *kind = "another kind of model";
    if (opts->task == FM_TASK_ANY || strcmp(task, fm__task_name(opts->task)) == 0) {
        return FM_OK;
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        kind = strcmp(kinds[i][0], task) == 0 ? kinds[i][1] : kind;
    }
    return fm__fail(err, FM_INVAL, "model '%s' is %s (task %s); %s needs task %s", name, kind, task,
        flag_of(opts->task), fm__task_name(opts->task));
}

typedef struct ref_model {
    const char *name, *task, *head;
    fm_fit fit;
    const char *const *labels;
    size_t label_count;
} ref_model;

static const ref_model ref_models[] = {
    {"shapes", "detection", "yolov5", FM_FIT_LETTERBOX, ref_labels, REF_COLORS},
    {"hues", "classification", "softmax", FM_FIT_STRETCH, ref_labels, REF_HUES},
    {"cells", "segmentation", "semantic", FM_FIT_LETTERBOX, ref_labels, REF_HUES},
    {"colors", "features", "feature", FM_FIT_STRETCH, NULL, 0},
    {"double", "enhancement", "pixels", FM_FIT_STRETCH, NULL, 0},
};

// The built-in network that is named, options or not, or NULL.
static const ref_model *find_ref(const fm_model_load_opts *opts)
{
    size_t len = strcspn(opts->name, ":");
    for (size_t i = 0; i < sizeof(ref_models) / sizeof(*ref_models); i++) {
        const char *name = ref_models[i].name;
        if (strlen(name) == len && strncmp(name, opts->name, len) == 0) {
            return !opts->backend || strcmp(opts->backend, "ref") == 0 ? &ref_models[i] : NULL;
        }
    }
    return NULL;
}

static fm_status from_ref(const ref_model *ref, const fm_model_load_opts *opts, source *s, fm_error *err)
{
    fm_net_info info;
    fm_net_desc desc = {.backend = "ref", .path = opts->name, .input_w = opts->tile, .input_h = opts->tile};
    fm_status st = check_task(opts, ref->name, ref->task, err);
    if (st == FM_OK) {
        st = fm__net_describe(&desc, &info, err);
    }
    if (st != FM_OK) {
        return st;
    }
    s->name = ref->name;
    s->licence = "Apache-2.0";
    s->backend = "ref";
    s->input = fm__spec_usual_input(NULL);
    s->input.fit = ref->fit;
    s->input.width = info.input_w;
    s->input.height = info.input_h;
    s->head = (fm_head_opts){.type = ref->head, .context = 1}; // of "double"
    s->labels = (char *const *)ref->labels;
    s->label_count = ref->label_count;
    s->file = fm__strdup(FM_TAG_MODELS, opts->name);
    return s->file ? FM_OK : fm__fail_nomem(err, "a name");
}

static bool wants_gpu(const fm_model_load_opts *opts)
{
    return opts->device && fm__str_starts(opts->device, "cuda");
}

static const char *backend_for(const fm_model_load_opts *opts)
{
    if (opts->backend) {
        return opts->backend;
    }
    return wants_gpu(opts) ? "torch" : "openvino";
}

static const fm_spec_variant *first_of_backend(const fm_spec *spec, const char *backend)
{
    for (size_t i = 0; i < spec->variant_count; i++) {
        if (strcmp(spec->variants[i].backend, backend) == 0) {
            return &spec->variants[i];
        }
    }
    return NULL;
}

// What the user is told to do for a file of a backend that is not the usual one.
static fm_status no_file_for(
    const fm_spec *spec, const fm_model_load_opts *opts, const fm_spec_variant *v, fm_error *err)
{
    const char *how = v && v->export_command ? v->export_command : spec->export_command;
    if (v && spec->built_in) {
        return fm__fail(err, FM_NOTFOUND,
            "model '%s': its file for device '%s' (backend %s) is not installed; run: framemill models fetch "
            "--backend %s %s",
            spec->name, opts->device ? opts->device : "cpu", v->backend, v->backend, spec->name);
    }
    if (!how && strcmp(backend_for(opts), "torch") == 0) {
        how = "make TorchScript of it with framemill-export; see docs/export.md";
    }
    return fm__fail(err, FM_UNSUPPORTED, "model '%s' has no file for device '%s' (backend %s)%s%s",
        spec->name, opts->device ? opts->device : "cpu", backend_for(opts), how ? "; " : "", how ? how : "");
}

// Why no variant can be used.
static fm_status no_variant(const fm_spec *spec, const fm_model_load_opts *opts, fm_error *err)
{
    const fm_spec_variant *v = first_of_backend(spec, backend_for(opts));
    bool damaged = fm__spec_state(spec) == FM_MODEL_DAMAGED;
    if (!v || (strcmp(v->backend, "openvino") != 0 && fm__variant_state(spec, v) == FM_MODEL_MISSING)) {
        return no_file_for(spec, opts, v, err);
    }
    if (!spec->built_in) {
        return fm__fail(err, damaged ? FM_FORMAT : FM_NOTFOUND,
            "files of model '%s' in '%s' are %s; import the model again: framemill models import", spec->name,
            spec->dir, damaged ? "damaged" : "missing");
    }
    if (damaged) {
        return fm__fail(err, FM_FORMAT,
            "files of model '%s' in '%s' are damaged; run: framemill models fetch --force %s", spec->name,
            spec->dir, spec->name);
    }
    return fm__fail(err, FM_NOTFOUND, "model '%s' is not installed; run: framemill models fetch %s",
        spec->name, spec->name);
}

// The variant's file, or what was derived from it.
static char *file_to_load(const fm_spec *spec, const fm_spec_variant *variant)
{
    char *derived = fm__derived_path(spec, variant);
    if (derived && fm__is_file(derived)) {
        return derived;
    }
    fm__free(derived);
    return fm__spec_path(spec, variant->files[0].path);
}

static fm_status from_spec(const fm_spec *spec, const fm_model_load_opts *opts, source *s, fm_error *err)
{
    fm_status st = check_task(opts, spec->name, spec->task, err);
    if (st != FM_OK) {
        return st;
    }
    const fm_spec_variant *v = fm__spec_installed(spec, backend_for(opts));
    if (!v && !opts->backend && !wants_gpu(opts)) { // TorchScript runs on a CPU too, if slower
        v = fm__spec_installed(spec, "torch");
    }
    if (!v) {
        return no_variant(spec, opts, err);
    }
    s->name = spec->name;
    s->licence = spec->licence;
    s->backend = v->backend;
    s->input = v->input;
    s->head = v->head;
    if (opts->tile > 0 && opts->task == FM_TASK_ENHANCEMENT) {
        s->input.width = s->input.height = opts->tile;
    }
    s->head.dim = spec->dim;
    s->labels = spec->labels;
    s->label_count = spec->label_count;
    s->mend = spec->built_in ? "framemill models fetch --force " : NULL;
    s->file = file_to_load(spec, v);
    return s->file ? FM_OK : fm__fail_nomem(err, "a path");
}

static fm_status from_yaml(
    const fm_model_store *store, const fm_model_load_opts *opts, source *s, fm_error *err)
{
    fm_status st = fm__spec_load(opts->name, store ? store->labels_dir : NULL, &s->own_spec, err);
    if (st != FM_OK) {
        return st;
    }
    const char *base = fm__path_base(opts->name);
    s->own_spec->dir = base == opts->name
                           ? fm__strdup(FM_TAG_MODELS, ".")
                           : fm__asprintf(FM_TAG_MODELS, "%.*s", (int)(base - opts->name), opts->name);
    return s->own_spec->dir ? from_spec(s->own_spec, opts, s, err) : fm__fail_nomem(err, "a path");
}

// The user's, or those that models like this one usually have.
static fm_status labels_of_bare(const fm_model_store *store, const fm_model_load_opts *opts,
    const fm_bare *bare, source *s, fm_error *err)
{
    fm_status st = FM_OK;
    const char *set = fm__labels_usual(fm__head_find(bare->head.type)->task, bare->class_count);
    if (opts->labels) {
        st = fm__labels_read(opts->labels, &s->own_labels, &s->label_count, err);
    } else if (set && store) {
        char *path = fm__asprintf(FM_TAG_MODELS, "%s/%s.txt", store->labels_dir, set);
        st = path ? fm__labels_read(path, &s->own_labels, &s->label_count, err)
                  : fm__fail_nomem(err, "a path");
        fm__free(path);
    }
    s->labels = s->own_labels;
    return st;
}

static fm_status from_bare(
    const fm_model_store *store, const fm_model_load_opts *opts, source *s, fm_error *err)
{
    fm_bare bare;
    s->backend = opts->backend ? opts->backend : fm__bare_backend(opts->name);
    s->name = fm__path_base(opts->name);
    if (wants_gpu(opts) && strcmp(s->backend, "openvino") == 0) {
        return fm__fail(err, FM_UNSUPPORTED,
            "model '%s' cannot run on '%s', where TorchScript is needed; make it with framemill-export; see "
            "docs/export.md",
            opts->name, opts->device);
    }
    fm_net_desc desc = {.backend = s->backend,
        .path = opts->name,
        .ops_library = opts->ops_library,
        .own = strcmp(s->backend, "own") == 0 ? opts->own : NULL,
        .log = store ? &store->log : NULL};
    if (opts->task == FM_TASK_ENHANCEMENT) { // no other kind of file leaves its size free
        desc.input_w = desc.input_h = opts->tile > 0 ? opts->tile : USUAL_TILE;
        desc.fills_in = true;
        desc.layout =
            fm__str_ends(opts->name, ".pb") ? FM_LAYOUT_NHWC : FM_LAYOUT_NCHW; // TensorFlow's, others'
        desc.channels = 1;
    }
    fm_status st = fm__bare_look(&desc, opts->task, opts->head, 0, &bare, err);
    if (st == FM_OK) {
        st = check_task(opts, s->name, fm__task_name(fm__head_find(bare.head.type)->task), err);
    }
    if (st != FM_OK) {
        return st;
    }
    s->licence = "unknown";
    s->input = bare.input;
    s->head = bare.head;
    s->file = fm__strdup(FM_TAG_MODELS, opts->name);
    if (!s->file) {
        return fm__fail_nomem(err, "a path");
    }
    return labels_of_bare(store, opts, &bare, s, err);
}

bool fm__model_is_own(const fm_model_load_opts *opts)
{
    return opts->own && opts->name && fm__str_starts(opts->name, FM_OWN_PREFIX);
}

// A network of the program's, looked at as a file without a description is; its colours are R, G, B.
static fm_status from_own(
    const fm_model_store *store, const fm_model_load_opts *opts, source *s, fm_error *err)
{
    fm_model_load_opts bare = *opts;
    bare.name = opts->name + strlen(FM_OWN_PREFIX);
    bare.backend = "own";
    bare.device = NULL;
    fm_status st = from_bare(store, &bare, s, err);
    s->name = opts->name;
    s->input.color = FM_COLOR_RGB;
    return st;
}

static fm_status find_source(
    const fm_model_store *store, const fm_model_load_opts *opts, source *s, fm_error *err)
{
    const fm_spec *spec = NULL;
    const ref_model *ref = find_ref(opts);
    if (fm__model_is_own(opts)) {
        return from_own(store, opts, s, err);
    }
    if (ref) {
        return from_ref(ref, opts, s, err);
    }
    if (fm__str_ends(opts->name, ".yaml")) {
        return from_yaml(store, opts, s, err);
    }
    if (fm__bare_is_file_name(opts->name) || strchr(opts->name, '/')) {
        return from_bare(store, opts, s, err);
    }
    if (!store) {
        return fm__fail(err, FM_INVAL, "model '%s' was asked for by name without a model store", opts->name);
    }
    fm_status st = fm__store_find(store, opts->name, &spec, err);
    return st == FM_OK ? from_spec(spec, opts, s, err) : st;
}

static fm_status open_net(
    const fm_model_store *store, const fm_model_load_opts *opts, const source *s, fm_net **out, fm_error *err)
{
    fm_net_desc desc = {
        .backend = s->backend,
        .path = s->file,
        .device = opts->device,
        .precision = opts->precision,
        .batch = opts->batch,
        .slots = opts->slots,
        .threads = opts->threads,
        .layout = s->input.layout,
        .input_w = s->input.width,
        .input_h = s->input.height,
        .channels = s->input.color == FM_COLOR_GRAY ? 1 : 3,
        .cache_dir = opts->cache_dir,
        .ops_library = opts->ops_library,
        .counters = opts->counters,
        .own = fm__model_is_own(opts) ? opts->own : NULL,
        .log = store ? &store->log : NULL,
    };
    memcpy(desc.mean, s->input.mean, sizeof(desc.mean));
    memcpy(desc.scale, s->input.scale, sizeof(desc.scale));
    fm_status st = fm__net_open(&desc, out, err);
    if (st == FM_FORMAT && err && s->mend) {
        fm_error why = *err;
        return fm__fail_native(err, st, why.native, "%.300s; run: %s%s", why.msg, s->mend, s->name);
    }
    return st;
}

static fm_status init_head(fm_model *model, const source *s, fm_error *err)
{
    const fm_net_info *info = fm__net_info(model->net);
    fm_head_opts opts = s->head;
    opts.class_count = (int)s->label_count;
    fm_status st = fm__head_init(
        &model->head, &opts, info->input_w, info->input_h, info->outputs, info->output_count, err);
    if (st != FM_OK) {
        fm__error_prefix(err, "model '%s'", s->name);
    }
    return st;
}

static fm_status copy_labels(fm_model *model, const source *s, fm_error *err)
{
    size_t n = (size_t)model->head.class_count;
    if (n == 0) { // a feature has no classes
        return FM_OK;
    }
    model->labels = fm__calloc_array(FM_TAG_MODELS, n, sizeof(*model->labels));
    if (!model->labels) {
        return fm__fail_nomem(err, "labels");
    }
    for (size_t i = 0; i < n; i++) {
        model->labels[i] = i < s->label_count ? fm__strdup(FM_TAG_MODELS, s->labels[i])
                                              : fm__asprintf(FM_TAG_MODELS, "class %zu", i);
        model->label_count++;
        if (!model->labels[i]) {
            return fm__fail_nomem(err, "labels");
        }
    }
    return FM_OK;
}

static fm_status build(const fm_model_store *store, const fm_model_load_opts *opts, const source *s,
    fm_model *model, fm_error *err)
{
    model->name = fm__strdup(FM_TAG_MODELS, s->name);
    model->licence = fm__strdup(FM_TAG_MODELS, s->licence);
    model->file = fm__strdup(FM_TAG_MODELS, s->file);
    model->input = s->input;
    if (!model->name || !model->licence || !model->file) {
        return fm__fail_nomem(err, "a model");
    }
    fm_status st = open_net(store, opts, s, &model->net, err);
    if (st == FM_OK) {
        st = init_head(model, s, err);
    }
    return st == FM_OK ? copy_labels(model, s, err) : st;
}

fm_status fm__model_load(
    const fm_model_store *store, const fm_model_load_opts *opts, fm_model **out, fm_error *err)
{
    source s = {0};
    if (!opts->name || !*opts->name) {
        return fm__fail(err, FM_INVAL, "no model was named");
    }
    fm_model *model = fm__calloc(FM_TAG_MODELS, sizeof(*model));
    if (!model) {
        return fm__fail_nomem(err, "a model");
    }
    fm_status st = find_source(store, opts, &s, err);
    if (st == FM_OK) {
        st = build(store, opts, &s, model, err);
    }
    source_done(&s);
    if (st != FM_OK) {
        fm__model_free(&model);
        return st;
    }
    *out = model;
    return FM_OK;
}

fm_status fm__model_file(const fm_model_store *store, const fm_model_load_opts *opts, char **file,
    const char **backend, fm_error *err)
{
    source s = {0};
    fm_status st = find_source(store, opts, &s, err);
    const fm_backend *b = st == FM_OK ? fm__backend_find(s.backend) : NULL;
    if (st == FM_OK && !b) {
        st = fm__fail(err, FM_UNSUPPORTED, "this build has no backend '%s'", s.backend);
    }
    if (st == FM_OK) {
        *file = fm__strdup(FM_TAG_MODELS, s.file);
        *backend = b->name;
        st = *file ? FM_OK : fm__fail_nomem(err, "a path");
    }
    source_done(&s);
    return st;
}

void fm__model_free(fm_model **model)
{
    if (!model || !*model) {
        return;
    }
    fm_model *m = *model;
    fm__net_close(&m->net);
    fm__labels_free(&m->labels, m->label_count);
    fm__free(m->name);
    fm__free(m->licence);
    fm__free(m->file);
    fm__free(m);
    *model = NULL;
}
