// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Fetching and verifying. A fetch is done when one variant is complete; variants are tried in the order of
// the model file, and for each file of one the mirror folder before its addresses. A file is taken when its
// size and digest are the described ones, or, where no digest is described, the one recorded at its first
// use. All files of a variant are complete before the first of them appears, the one a backend opens last. A
// mirror's copy that does not fit is logged and passed over: mirrors hold re-exports under the official name.
// What is published in Python packages only is made from them by framemill-export, where that is there.

#include "models/store.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "models/digest.h"
#include "models/http.h"
#include "models/program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DOMAIN "models"
#define CAP_UNKNOWN (UINT64_C(2) << 30) // of a file whose size is not described

typedef struct fetch {
    const fm_model_store *store;
    const fm_spec *spec;
    const fm_model_fetch_opts *opts;
    bool tried;      // something was there to try
    bool has_cooked; // a recipe was run: the other forms' would fail as this one did, a minute later
} fetch;

static const char *expected_digest(const fm_spec_file *file, const char *path, char hex[FM_DIGEST_TEXT])
{
    if (file->sha256) {
        return file->sha256;
    }
    return fm__digest_recorded(path, hex) ? hex : NULL;
}

static void report(const fetch *f, const fm_spec_file *file, uint64_t size)
{
    if (f->opts->progress) { // too late to cancel
        (void)f->opts->progress(file->path, size, size, f->opts->opaque);
    }
}

static fm_status from_mirror(
    fetch *f, const fm_spec_file *file, const char *sha256, fm_incoming *in, fm_error *err)
{
    char *path = f->store->mirror_dir ? fm__path_join(FM_TAG_MODELS, f->store->mirror_dir, file->path) : NULL;
    if (!path || !fm__is_file(path)) {
        fm__free(path);
        return fm__fail(err, FM_NOTFOUND, "'%s' is not in the mirror folder", file->path);
    }
    f->tried = true;
    fm_status st = fm__incoming_restart(in, err);
    if (st == FM_OK) {
        st = fm__incoming_copy(in, path, err);
    }
    if (st == FM_OK) {
        st = fm__incoming_check(in, file->size, sha256, path, err);
    }
    if (st == FM_OK) {
        report(f, file, fm__incoming_size(in));
    }
    fm__free(path);
    return st;
}

static fm_status from_url(
    fetch *f, const fm_spec_file *file, const char *url, const char *sha256, fm_incoming *in, fm_error *err)
{
    fm_http_get get = {.url = url,
        .what = file->path,
        .progress = f->opts->progress,
        .opaque = f->opts->opaque,
        .log = &f->store->log};
    f->tried = true;
    fm_status st = fm__http_get(&get, in, err);
    return st == FM_OK ? fm__incoming_check(in, file->size, sha256, url, err) : st;
}

// Local trouble ends a fetch: another source would meet it again.
static bool is_final(fm_status st)
{
    return st == FM_OK || st == FM_CANCELED || st == FM_NOMEM || st == FM_IO || st == FM_INTERNAL;
}

static const char *ending_of(const fm_spec_variant *v)
{
    return strcmp(v->backend, "torch") == 0 ? "pt" : "onnx";
}

// Runs the recipe; what it makes lies in `dir` under `name`, with the ending of its kind.
static fm_status run_recipe(
    const fetch *f, const fm_spec_variant *v, const char *dir, const char *name, fm_error *err)
{
    const fm_model_store *s = f->store;
    char said[400] = "", recipe[80], stem[80];
    char to[] = "--out", as[] = "--name", kind[] = "--format", torchscript[] = "torchscript", onnx[] = "onnx";
    snprintf(recipe, sizeof(recipe), "%s", v->recipe);
    snprintf(stem, sizeof(stem), "%s", name);
    char *folder = fm__strdup(FM_TAG_MODELS, dir);
    if (!folder) {
        return fm__fail_nomem(err, "a path");
    }
    char *argv[] = {s->exporter_python, s->exporter, recipe, kind,
        strcmp(v->backend, "torch") == 0 ? torchscript : onnx, to, folder, as, stem, NULL};
    fm__log(&s->log, FM_LOG_INFO, DOMAIN, "model '%s' is made from its Python packages; this takes a minute",
        f->spec->name);
    int rc = fm__run_program(s->exporter_python ? argv : argv + 1, said, sizeof(said));
    fm__free(folder);
    return rc == 0 ? FM_OK : fm__fail(err, FM_UNSUPPORTED, "it was not made from its packages: %s", said);
}

static void empty(const char *dir, const char *name, const fm_spec_variant *v)
{
    const char *const endings[] = {ending_of(v), "yaml"};
    for (size_t i = 0; i < 2; i++) {
        char *path = fm__asprintf(FM_TAG_MODELS, "%s/%s.%s", dir, name, endings[i]);
        if (path) {
            (void)unlink(path); // not there is as good
        }
        fm__free(path);
    }
    (void)rmdir(dir); // a file that nobody expects keeps it, to be looked at
}

static fm_status from_recipe(
    fetch *f, const fm_spec_variant *v, const char *sha256, fm_incoming *in, fm_error *err)
{
    if (!f->spec->built_in || !f->store->exporter || f->has_cooked) {
        return fm__fail(err, FM_NOTFOUND, "there is no way to make '%s' here", v->files[0].path);
    }
    char *dir = fm__asprintf(FM_TAG_MODELS, "%s/.made-XXXXXX", f->spec->dir);
    char *made = NULL;
    fm_status st = dir ? FM_OK : fm__fail_nomem(err, "a path");
    if (st == FM_OK && !mkdtemp(dir)) {
        st = fm__fail_errno(err, errno, "cannot make folder", dir);
    }
    if (st == FM_OK) {
        f->tried = f->has_cooked = true;
        st = run_recipe(f, v, dir, f->spec->name, err);
        made = fm__asprintf(FM_TAG_MODELS, "%s/%s.%s", dir, f->spec->name, ending_of(v));
        st = st == FM_OK && !made ? fm__fail_nomem(err, "a path") : st;
        if (st == FM_OK && !fm__is_file(made)) {
            st = fm__fail(err, FM_UNSUPPORTED,
                "it was not made from its packages: framemill-export said that all is well, and made no "
                "'%s.%s'",
                f->spec->name, ending_of(v));
        }
        st = st == FM_OK ? fm__incoming_restart(in, err) : st;
        st = st == FM_OK ? fm__incoming_copy(in, made, err) : st;
        st = st == FM_OK ? fm__incoming_check(in, v->files[0].size, sha256, made, err) : st;
        empty(dir, f->spec->name, v);
    }
    fm__free(made);
    fm__free(dir);
    return st;
}

static fm_status fetch_file(fetch *f, const fm_spec_variant *v, const fm_spec_file *file, const char *path,
    fm_incoming *in, fm_error *err)
{
    char hex[FM_DIGEST_TEXT];
    const char *sha256 = expected_digest(file, path, hex), *url = NULL;
    fm_status st = from_mirror(f, file, sha256, in, err);
    if (st == FM_FORMAT) {
        fm__log(&f->store->log, FM_LOG_WARN, DOMAIN, "the mirror's copy is passed over: %s", err->msg);
    }
    const fm_yaml_node *n = file->urls ? file->urls->child : NULL;
    for (; n && !is_final(st); n = n->next) {
        st = fm__yaml_string(f->spec->doc, n, &url, err);
        if (st == FM_OK) {
            st = from_url(f, file, url, sha256, in, err);
        }
    }
    return st != FM_OK && v->recipe && !is_final(st) ? from_recipe(f, v, sha256, in, err) : st;
}

static fm_status fetch_into(fetch *f, const fm_spec_variant *v, fm_incoming **in, fm_error *err)
{
    fm_status st = FM_OK;
    for (size_t i = 0; st == FM_OK && i < v->file_count; i++) {
        const fm_spec_file *file = &v->files[i];
        char *path = fm__spec_path(f->spec, file->path);
        st = path ? fm__incoming_open(path, file->size ? file->size : CAP_UNKNOWN, &in[i], err)
                  : fm__fail_nomem(err, "a path");
        if (st == FM_OK) {
            st = fetch_file(f, v, file, path, in[i], err);
        }
        fm__free(path);
    }
    for (size_t i = v->file_count; st == FM_OK && i-- > 0;) {
        st = fm__incoming_commit(in[i], err);
    }
    return st;
}

static fm_status fetch_variant(fetch *f, const fm_spec_variant *v, fm_error *err)
{
    fm_incoming *in[FM_SPEC_MAX_FILES] = {0};
    fm_status st = fetch_into(f, v, in, err);
    for (size_t i = 0; i < v->file_count; i++) {
        fm__incoming_close(&in[i]);
    }
    return st;
}

// Is this a form that was asked for?
static bool is_wanted(const fetch *f, const fm_spec_variant *v)
{
    return !f->opts->backend || strcmp(f->opts->backend, v->backend) == 0;
}

static fm_status nothing_to_fetch(const fetch *f, fm_error *err)
{
    const char *mirror = f->store->mirror_dir ? f->store->mirror_dir : "(none)", *how = NULL;
    size_t wanted = 0;
    for (size_t i = 0; i < f->spec->variant_count; i++) {
        const fm_spec_variant *v = &f->spec->variants[i];
        wanted += is_wanted(f, v);
        // a form that was asked for says how it is made before the model does
        how = !how && f->opts->backend && is_wanted(f, v) ? v->export_command : how;
    }
    how = how ? how : f->spec->export_command;
    if (wanted == 0) {
        return fm__fail(err, FM_UNSUPPORTED, "model '%s' has no file for backend '%s'%s%s", f->spec->name,
            f->opts->backend, how ? "; " : "", how ? how : "");
    }
    if (how) {
        return fm__fail(err, FM_NOTFOUND,
            "model '%s': its file is not in the mirror folder %s and nobody publishes one; %s", f->spec->name,
            mirror, how);
    }
    return fm__fail(err, FM_NOTFOUND,
        "model '%s': its file is not in the mirror folder %s and has no address", f->spec->name, mirror);
}

// The first failure of something that was really tried tells most.
static fm_status fetch_any(fetch *f, const fm_spec_variant **got, fm_error *err)
{
    fm_error first = {0};
    for (size_t i = 0; i < f->spec->variant_count; i++) {
        const fm_spec_variant *v = &f->spec->variants[i];
        fm_error why = {0};
        bool tried_before = f->tried;
        if (!is_wanted(f, v)) {
            continue;
        }
        fm_status st = fetch_variant(f, v, &why);
        if (st == FM_OK) {
            *got = v;
            return st;
        }
        if (f->tried && !tried_before) {
            first = why;
        }
        if (is_final(st)) {
            first = why;
            break;
        }
    }
    if (first.status == FM_OK) {
        return nothing_to_fetch(f, err);
    }
    if (err) {
        *err = first;
        fm__error_prefix(err, "model '%s'", f->spec->name);
    }
    return first.status;
}

static void drop_derived(const fm_spec *spec, const fm_spec_variant *variant)
{
    char *path = fm__derived_path(spec, variant);
    if (path) {
        (void)unlink(path); // not there is as good
    }
    fm__free(path);
}

static fm_status check_licence(const fm_spec *spec, const fm_model_fetch_opts *opts, fm_error *err)
{
    if (fm__str_starts(spec->licence, "AGPL") && !opts->accept_licence) {
        return fm__fail(err, FM_DENIED,
            "model '%s' is under %s, which binds programs that use it: to accept, run: framemill models "
            "fetch "
            "--accept-licence %s",
            spec->name, spec->licence, spec->name);
    }
    return FM_OK;
}

// What came with framemill is there, or framemill is not whole.
static fm_status check_shipped(const fm_spec *spec, fm_error *err)
{
    if (fm__spec_installed(spec, NULL)) {
        return FM_OK;
    }
    return fm__fail(err, FM_NOTFOUND,
        "model '%s' is part of framemill, and its file '%s' in '%s' is missing or damaged; install framemill "
        "again",
        spec->name, spec->variants[0].files[0].path, spec->dir);
}

fm_status fm_model_fetch(
    fm_model_store *store, const char *name, const fm_model_fetch_opts *opts, fm_error *err)
{
    static const fm_model_fetch_opts plain = FM_MODEL_FETCH_OPTS_INIT;
    fetch f = {.store = store, .opts = opts ? opts : &plain};
    if (!store) {
        return fm__fail(err, FM_INVAL, "no model store");
    }
    fm_status st = fm__store_find(store, name, &f.spec, err);
    if (st == FM_OK && f.spec->built_in && f.spec->is_shipped) {
        return check_shipped(f.spec, err);
    }
    const fm_spec_variant *variant = st == FM_OK ? fm__spec_installed(f.spec, f.opts->backend) : NULL;
    if (st == FM_OK && variant && !f.opts->force) {
        return fm__derive(store, f.spec, variant, err); // Python may have come since
    }
    if (st == FM_OK) {
        st = check_licence(f.spec, f.opts, err);
    }
    if (st == FM_OK) {
        st = fm__mkdir_all(f.spec->dir, err);
    }
    if (st == FM_OK) {
        st = fetch_any(&f, &variant, err);
    }
    if (st == FM_OK) {
        drop_derived(f.spec, variant);
        st = fm__derive(store, f.spec, variant, err);
    }
    return st;
}

static fm_status verify_file(const fm_spec *spec, const fm_spec_file *file, size_t *seen, fm_error *err)
{
    char got[FM_DIGEST_TEXT], known[FM_DIGEST_TEXT];
    char *path = fm__spec_path(spec, file->path);
    fm_status st = path ? FM_OK : fm__fail_nomem(err, "a path");
    if (st == FM_OK && fm__is_file(path)) {
        (*seen)++;
        const char *want = expected_digest(file, path, known);
        int64_t size = fm__file_size(path);
        st = fm__digest_file(path, got, err);
        if (st == FM_OK && file->size && (uint64_t)size != file->size) {
            st = fm__fail(err, FM_FORMAT, "'%s' has %lld bytes, expected %llu", path, (long long)size,
                (unsigned long long)file->size);
        } else if (st == FM_OK && want && strcmp(want, got) != 0) {
            st = fm__fail(err, FM_FORMAT, "'%s' has SHA-256 %s, expected %s", path, got, want);
        }
    }
    fm__free(path);
    return st;
}

fm_status fm_model_verify(const fm_model_store *store, const char *name, fm_error *err)
{
    const fm_spec *spec = NULL;
    size_t seen = 0;
    if (!store) {
        return fm__fail(err, FM_INVAL, "no model store");
    }
    fm_status st = fm__store_find(store, name, &spec, err);
    for (size_t i = 0; st == FM_OK && i < spec->variant_count; i++) {
        for (size_t k = 0; st == FM_OK && k < spec->variants[i].file_count; k++) {
            st = verify_file(spec, &spec->variants[i].files[k], &seen, err);
        }
    }
    if (st == FM_OK && fm__spec_state(spec) != FM_MODEL_INSTALLED) {
        st = fm__fail(err, seen ? FM_FORMAT : FM_NOTFOUND,
            "model '%s' is %s; run: framemill models fetch %s%s", name, seen ? "incomplete" : "not installed",
            seen ? "--force " : "", name);
    }
    return st;
}
