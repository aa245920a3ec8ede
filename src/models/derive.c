// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Networks derived from others: a baked batch is freed, a classifier is cut off so that what it classifies
// by becomes the output. Whether a batch needs freeing is seen by reshaping the file; a cut is asked for by
// the description. The work is done by share_dir/tools/derive.py in a process of its own, since rebuilding a
// network needs OpenVINO's C++ or Python interface. Its result lies in <model>/free_batch or <model>/cut,
// named after the digest of the source, so that another source never meets an old result. A batch that stays
// baked fails nothing: without Python, or where the script refuses, the model runs with batch 1, and the log
// says so. Without its cut a model is of no use, so that is an error.

#include "models/store.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "models/digest.h"
#include "models/program.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DOMAIN "models"
#define EXIT_FREE_ALREADY 3

static bool source_digest(const fm_spec *spec, const fm_spec_variant *variant, char hex[FM_DIGEST_TEXT])
{
    const fm_spec_file *file = &variant->files[0];
    if (file->sha256) {
        memcpy(hex, file->sha256, FM_DIGEST_TEXT);
        return true;
    }
    char *path = fm__spec_path(spec, file->path);
    bool ok = path && fm__digest_recorded(path, hex);
    fm__free(path);
    return ok;
}

static const char *folder_of(const fm_spec_variant *variant)
{
    return variant->cut_classifier ? "cut" : "free_batch";
}

char *fm__derived_path(const fm_spec *spec, const fm_spec_variant *variant)
{
    char hex[FM_DIGEST_TEXT];
    if (!source_digest(spec, variant, hex)) {
        return NULL;
    }
    return fm__asprintf(FM_TAG_MODELS, "%s/%s/%.16s.xml", spec->dir, folder_of(variant), hex);
}

// The IR's second file: same name, other ending. path ends with ".xml".
static char *weights_of(const char *path)
{
    return fm__asprintf(FM_TAG_MODELS, "%.*s.bin", (int)(strlen(path) - strlen(".xml")), path);
}

static fm_status put_in_place(const char *tmp, const char *path, fm_error *err)
{
    fm_status st = FM_OK;
    char *tmp_bin = weights_of(tmp), *bin = weights_of(path);
    if (!tmp_bin || !bin) {
        st = fm__fail_nomem(err, "a path");
    } else if (rename(tmp_bin, bin) != 0 ||
               rename(tmp, path) != 0) { // the .xml last: with it the pair counts
        st = fm__fail_errno(err, errno, "cannot put in place", path);
    }
    fm__free(tmp_bin);
    fm__free(bin);
    return st;
}

// Runs the script on `source`; the result appears at `path` whole or not at all.
static fm_status derive(
    const fm_model_store *store, bool cut_classifier, const char *source, const char *path, fm_error *err)
{
    char said[400] = "";
    char isolated[] = "-I", free_batch[] = "free-batch", cut[] = "cut-classifier";
    char *tmp = fm__asprintf(FM_TAG_MODELS, "%s.part.%ld.xml", path, (long)getpid());
    char *script = fm__path_join(FM_TAG_MODELS, store->share_dir, "tools/derive.py");
    char *from = fm__strdup(FM_TAG_MODELS, source);
    fm_status st = tmp && script && from ? FM_OK : fm__fail_nomem(err, "a path");
    if (st == FM_OK) {
        char *const argv[] = {
            store->python, isolated, script, cut_classifier ? cut : free_batch, from, tmp, NULL};
        int rc = fm__run_program(argv, said, sizeof(said));
        if (rc == 0) {
            st = put_in_place(tmp, path, err);
        } else if (rc != EXIT_FREE_ALREADY) {
            st = fm__fail(err, FM_UNSUPPORTED, "%s", said);
        }
    }
    fm__free(tmp);
    fm__free(script);
    fm__free(from);
    return st;
}

static bool is_baked(const fm_spec_variant *variant, const char *source)
{
    fm_net_info info;
    fm_net_desc desc = {.backend = variant->backend,
        .path = source,
        .layout = variant->input.layout,
        .input_w = variant->input.width,
        .input_h = variant->input.height,
        .channels = variant->input.color == FM_COLOR_GRAY ? 1 : 3};
    return strcmp(variant->backend, "openvino") == 0 && fm__net_describe(&desc, &info, NULL) == FM_OK &&
           info.batch_baked;
}

static fm_status prepare(
    const fm_model_store *store, const fm_spec *spec, const fm_spec_variant *variant, fm_error *err)
{
    if (!store->python) {
        return fm__fail(
            err, FM_UNSUPPORTED, "that needs Python with the package openvino, which ./bootstrap brings");
    }
    char *dir = fm__spec_path(spec, folder_of(variant));
    fm_status st = dir ? fm__mkdir_all(dir, err) : fm__fail_nomem(err, "a path");
    fm__free(dir);
    return st;
}

// What is to be said of a batch that was to be freed.
static void log_freed(const fm_model_store *store, const fm_spec *spec, fm_status st, const fm_error *why)
{
    if (st == FM_OK) {
        fm__log(&store->log, FM_LOG_INFO, DOMAIN, "model '%s': its baked batch was freed", spec->name);
    } else {
        fm__log(&store->log, FM_LOG_WARN, DOMAIN,
            "model '%s' runs with batch 1: its batch is baked in and was not freed (%s)", spec->name,
            why->msg);
    }
}

fm_status fm__derive(
    const fm_model_store *store, const fm_spec *spec, const fm_spec_variant *variant, fm_error *err)
{
    fm_error why = {0};
    fm_status st = FM_OK;
    bool cut = variant->cut_classifier;
    char *source = fm__spec_path(spec, variant->files[0].path), *path = fm__derived_path(spec, variant);
    if (source && path && !fm__is_file(path) && (cut || is_baked(variant, source))) {
        st = prepare(store, spec, variant, &why);
        if (st == FM_OK) {
            st = derive(store, cut, source, path, &why);
        }
        if (!cut) {
            log_freed(store, spec, st, &why);
            st = FM_OK;
        } else if (st != FM_OK) {
            st = fm__fail(err, st, "model '%s': its classifier was not cut off (%s)", spec->name, why.msg);
        }
    }
    fm__free(source);
    fm__free(path);
    return st;
}
