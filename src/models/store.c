// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The store: reads all model descriptions when it is opened, the built-in ones and those that imports left in
// the models folder, sorts them by name and answers from them. State is looked up on disk when it is asked
// for, by sizes: a list over many models must not hash gigabytes; `verify` does. A broken built-in
// description fails the open, a broken one of the user's is logged and left out.

#include "models/store.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DOMAIN "models"
#define NEAR 3 // edits up to which a name is suggested
#define MAX_SUGGESTIONS 3

static int by_name(const void *a, const void *b)
{
    const fm_spec *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static const fm_spec *lookup(const fm_model_store *store, const char *name)
{
    for (size_t i = 0; i < store->count; i++) {
        if (strcmp(store->specs[i]->name, name) == 0) {
            return store->specs[i];
        }
    }
    return NULL;
}

fm_status fm__store_add(fm_model_store *store, fm_spec *spec, fm_error *err)
{
    if (lookup(store, spec->name)) {
        return fm__fail(err, FM_INVAL, "there is a model '%s' already: choose another name", spec->name);
    }
    void *specs = store->specs;
    if (!fm__grow(FM_TAG_MODELS, &specs, &store->cap, store->count + 1, sizeof(fm_spec *))) {
        return fm__fail_nomem(err, "the model list");
    }
    store->specs = specs;
    store->specs[store->count++] = spec;
    qsort(store->specs, store->count, sizeof(fm_spec *), by_name);
    return FM_OK;
}

// Weights of our own come with framemill; all others are fetched into a folder of the model's.
static char *weights_dir(const fm_model_store *store, const fm_spec *spec)
{
    return spec->built_in && spec->is_shipped ? fm__path_join(FM_TAG_MODELS, store->share_dir, "weights")
                                              : fm__path_join(FM_TAG_MODELS, store->models_dir, spec->name);
}

static fm_status add_file(fm_model_store *store, const char *path, bool built_in, fm_error *err)
{
    fm_spec *spec = NULL;
    fm_status st = fm__spec_load(path, store->labels_dir, &spec, err);
    if (st != FM_OK) {
        return st;
    }
    spec->built_in = built_in;
    spec->dir = weights_dir(store, spec);
    st = spec->dir ? fm__store_add(store, spec, err) : fm__fail_nomem(err, "a path");
    if (st != FM_OK) {
        fm__spec_free(&spec);
        fm__error_prefix(err, "%s", path);
    }
    return st;
}

static fm_status add_built_in(fm_model_store *store, const char *dir, const char *entry, fm_error *err)
{
    if (!fm__str_ends(entry, ".yaml") || entry[0] == '.') {
        return FM_OK;
    }
    char *path = fm__path_join(FM_TAG_MODELS, dir, entry);
    fm_status st = path ? add_file(store, path, true, err) : fm__fail_nomem(err, "a path");
    fm__free(path);
    return st;
}

static fm_status add_users(fm_model_store *store, const char *dir, const char *entry, fm_error *err)
{
    fm_error why = {0};
    if (!fm__model_name_ok(entry)) {
        return FM_OK;
    }
    char *path = fm__asprintf(FM_TAG_MODELS, "%s/%s/model.yaml", dir, entry);
    if (!path) {
        return fm__fail_nomem(err, "a path");
    }
    if (fm__is_file(path) && add_file(store, path, false, &why) != FM_OK) {
        fm__log(&store->log, FM_LOG_WARN, DOMAIN, "left out: %s", why.msg);
    }
    fm__free(path);
    return FM_OK;
}

typedef fm_status (*entry_fn)(fm_model_store *store, const char *dir, const char *entry, fm_error *err);

static fm_status each_entry(fm_model_store *store, const char *path, entry_fn fn, fm_error *err)
{
    fm_status st = FM_OK;
    DIR *dir = opendir(path);
    if (!dir) {
        return fm__fail_errno(err, errno, "cannot open the folder", path);
    }
    for (struct dirent *e; st == FM_OK && (e = readdir(dir)) != NULL;) {
        st = fn(store, path, e->d_name, err);
    }
    closedir(dir);
    return st;
}

static fm_status read_descriptions(fm_model_store *store, fm_error *err)
{
    char *dir = fm__path_join(FM_TAG_MODELS, store->share_dir, "models");
    fm_status st = dir ? each_entry(store, dir, add_built_in, err) : fm__fail_nomem(err, "a path");
    fm__free(dir);
    if (st == FM_OK && fm__is_dir(store->models_dir)) {
        st = each_entry(store, store->models_dir, add_users, err);
    }
    return st;
}

static bool copy_options(fm_model_store *store, const fm_model_store_opts *opts)
{
    store->log = opts->log;
    store->share_dir = fm__strdup(FM_TAG_MODELS, opts->share_dir);
    store->models_dir = fm__strdup(FM_TAG_MODELS, opts->models_dir);
    store->mirror_dir = fm__strdup(FM_TAG_MODELS, opts->mirror_dir);
    store->python = fm__strdup(FM_TAG_MODELS, opts->python);
    store->exporter = fm__strdup(FM_TAG_MODELS, opts->exporter);
    store->exporter_python = fm__strdup(FM_TAG_MODELS, opts->exporter_python);
    store->labels_dir = fm__path_join(FM_TAG_MODELS, opts->share_dir, "models/labels");
    return store->share_dir && store->models_dir && store->labels_dir &&
           (store->mirror_dir || !opts->mirror_dir) && (store->python || !opts->python) &&
           (store->exporter || !opts->exporter) && (store->exporter_python || !opts->exporter_python);
}

fm_status fm_model_store_open(const fm_model_store_opts *opts, fm_model_store **out, fm_error *err)
{
    if (!opts || !opts->share_dir || !opts->models_dir || !out) {
        return fm__fail(err, FM_INVAL, "a model store needs share_dir and models_dir");
    }
    fm_model_store *store = fm__calloc(FM_TAG_MODELS, sizeof(*store));
    if (!store) {
        return fm__fail_nomem(err, "a model store");
    }
    fm_status st =
        copy_options(store, opts) ? read_descriptions(store, err) : fm__fail_nomem(err, "a model store");
    if (st != FM_OK) {
        fm_model_store_close(&store);
        return st;
    }
    *out = store;
    return FM_OK;
}

void fm_model_store_close(fm_model_store **store)
{
    if (!store || !*store) {
        return;
    }
    fm_model_store *s = *store;
    for (size_t i = 0; i < s->count; i++) {
        fm__spec_free(&s->specs[i]);
    }
    fm__free(s->specs);
    fm__free(s->share_dir);
    fm__free(s->models_dir);
    fm__free(s->mirror_dir);
    fm__free(s->python);
    fm__free(s->exporter);
    fm__free(s->exporter_python);
    fm__free(s->labels_dir);
    fm__free(s);
    *store = NULL;
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

// Levenshtein's distance over one row; names are at most 64 long, what is longer is far from all of them.
static size_t edits(const char *a, const char *b)
{
    size_t row[65], n = strlen(b);
    if (n > 64 || strlen(a) > 128) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            size_t above = row[j + 1];
            row[j + 1] = min3(above + 1, row[j] + 1, diagonal + (a[i] != b[j]));
            diagonal = above;
        }
    }
    return row[n];
}

static void suggest(const fm_model_store *store, const char *name, fm_str *out)
{
    int found = 0;
    for (size_t d = 0; d <= NEAR; d++) {
        for (size_t i = 0; i < store->count && found < MAX_SUGGESTIONS; i++) {
            const char *known = store->specs[i]->name;
            size_t distance = strlen(name) > 2 && fm__str_starts(known, name) ? 1 : edits(name, known);
            if (distance == d) {
                fm__str_printf(out, "%s'%s'", found++ ? ", " : "; did you mean ", known);
            }
        }
    }
    fm__str_add(out, found ? "?" : "; see: framemill models list");
}

fm_status fm__store_find(const fm_model_store *store, const char *name, const fm_spec **out, fm_error *err)
{
    const fm_spec *spec = name ? lookup(store, name) : NULL;
    if (spec) {
        *out = spec;
        return FM_OK;
    }
    fm_str hint;
    fm__str_init(&hint, FM_TAG_MODELS);
    suggest(store, name ? name : "", &hint);
    fm_status st =
        fm__fail(err, FM_NOTFOUND, "there is no model '%s'%s", name ? name : "", hint.data ? hint.data : "");
    fm__str_done(&hint);
    return st;
}

char *fm__spec_path(const fm_spec *spec, const char *file)
{
    return fm__path_join(FM_TAG_MODELS, spec->dir, file);
}

static fm_model_state file_state(const fm_spec *spec, const fm_spec_file *file)
{
    char *path = fm__spec_path(spec, file->path);
    int64_t size = path && fm__is_file(path) ? fm__file_size(path) : -1;
    fm__free(path);
    if (size < 0) {
        return FM_MODEL_MISSING;
    }
    return size == 0 || (file->size && (uint64_t)size != file->size) ? FM_MODEL_DAMAGED : FM_MODEL_INSTALLED;
}

// A variant whose classifier must go is there once the rest of it is.
static bool has_its_cut(const fm_spec *spec, const fm_spec_variant *variant)
{
    char *path = variant->cut_classifier ? fm__derived_path(spec, variant) : NULL;
    bool ok = !variant->cut_classifier || (path && fm__is_file(path));
    fm__free(path);
    return ok;
}

fm_model_state fm__variant_state(const fm_spec *spec, const fm_spec_variant *variant)
{
    size_t installed = 0, damaged = 0;
    for (size_t i = 0; i < variant->file_count; i++) {
        fm_model_state state = file_state(spec, &variant->files[i]);
        installed += state == FM_MODEL_INSTALLED;
        damaged += state == FM_MODEL_DAMAGED;
    }
    if (installed == variant->file_count) {
        return has_its_cut(spec, variant) ? FM_MODEL_INSTALLED : FM_MODEL_MISSING;
    }
    return damaged || installed ? FM_MODEL_DAMAGED : FM_MODEL_MISSING;
}

const fm_spec_variant *fm__spec_installed(const fm_spec *spec, const char *backend)
{
    for (size_t i = 0; i < spec->variant_count; i++) {
        const fm_spec_variant *v = &spec->variants[i];
        if ((!backend || strcmp(backend, v->backend) == 0) &&
            fm__variant_state(spec, v) == FM_MODEL_INSTALLED) {
            return v;
        }
    }
    return NULL;
}

fm_model_state fm__spec_state(const fm_spec *spec)
{
    bool damaged = false;
    for (size_t i = 0; i < spec->variant_count; i++) {
        fm_model_state state = fm__variant_state(spec, &spec->variants[i]);
        if (state == FM_MODEL_INSTALLED) {
            return state;
        }
        damaged = damaged || state == FM_MODEL_DAMAGED;
    }
    return damaged ? FM_MODEL_DAMAGED : FM_MODEL_MISSING;
}

uint64_t fm__variant_size(const fm_spec *spec, const fm_spec_variant *variant)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < variant->file_count; i++) {
        char *path = fm__spec_path(spec, variant->files[i].path);
        int64_t size = path ? fm__file_size(path) : -1;
        sum += variant->files[i].size ? variant->files[i].size : size > 0 ? (uint64_t)size : 0;
        fm__free(path);
    }
    return sum;
}

// Is there somewhere to take all files of a variant from?
static bool can_be_fetched(const fm_model_store *store, const fm_spec_variant *variant)
{
    for (size_t i = 0; i < variant->file_count; i++) {
        const fm_spec_file *file = &variant->files[i];
        char *path = store->mirror_dir ? fm__path_join(FM_TAG_MODELS, store->mirror_dir, file->path) : NULL;
        bool ok = file->urls || (path && fm__is_file(path));
        fm__free(path);
        if (!ok) {
            return false;
        }
    }
    return true;
}

// The variant that is used, or that a fetch would bring.
static const fm_spec_variant *likely_variant(const fm_model_store *store, const fm_spec *spec)
{
    const fm_spec_variant *v = fm__spec_installed(spec, NULL);
    for (size_t i = 0; !v && i < spec->variant_count; i++) {
        v = can_be_fetched(store, &spec->variants[i]) ? &spec->variants[i] : NULL;
    }
    return v ? v : &spec->variants[0];
}

static void fill_info(const fm_model_store *store, const fm_spec *spec, fm_model_info *out)
{
    const fm_spec_variant *v = likely_variant(store, spec);
    *out = (fm_model_info){
        .name = spec->name,
        .task = spec->task,
        .version = spec->version,
        .licence = spec->licence,
        .about = spec->about,
        .head = v->head.type,
        .width = v->input.width,
        .height = v->input.height,
        .label_count = spec->label_count,
        .size_bytes = fm__variant_size(spec, v),
        .state = fm__spec_state(spec),
        .agpl = fm__str_starts(spec->licence, "AGPL"),
    };
}

size_t fm_model_store_count(const fm_model_store *store)
{
    return store ? store->count : 0;
}

fm_status fm_model_store_get(const fm_model_store *store, size_t index, fm_model_info *out)
{
    if (!store || !out || index >= store->count) {
        return FM_INVAL;
    }
    fill_info(store, store->specs[index], out);
    return FM_OK;
}

fm_status fm_model_store_find(
    const fm_model_store *store, const char *name, fm_model_info *out, fm_error *err)
{
    const fm_spec *spec = NULL;
    if (!store || !out) {
        return fm__fail(err, FM_INVAL, "no store, or nowhere to put the answer");
    }
    fm_status st = fm__store_find(store, name, &spec, err);
    if (st == FM_OK) {
        fill_info(store, spec, out);
    }
    return st;
}
