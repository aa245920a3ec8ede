// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The model store: model files (YAML) and their weights.
 *
 *  A model is named ("yolox-nano") and described by a YAML file with one or more variants of its weights.
 * Descriptions come with framemill (share_dir/models) or lie in the user's models folder; weights lie in the
 * models folder only. A store is immutable after open and may be read from any thread; fetch and import write
 * files and are for one thread at a time. */
#ifndef FRAMEMILL_MODEL_H
#define FRAMEMILL_MODEL_H

#include <framemill/api.h>
#include <framemill/log.h>
#include <framemill/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

FM_BEGIN_DECLS

typedef struct fm_model_store fm_model_store;

typedef struct fm_model_store_opts {
    size_t struct_size;
    const char *share_dir;  // folder with models/ (the built-in YAML files) and tools; required
    const char *models_dir; // where weights lie and are put; required, created on first fetch
    const char *mirror_dir; // folder that is tried before the network, or NULL
    const char *python;     // Python with the package openvino, to free a baked batch; NULL: not to be had
    const char *exporter;   // the program framemill-export, to make what is in Python packages only; or NULL
    const char *exporter_python; // the Python that runs it; NULL: its own
    fm_log log;
} fm_model_store_opts;
#define FM_MODEL_STORE_OPTS_INIT                                                                             \
    {                                                                                                        \
        .struct_size = sizeof(fm_model_store_opts)                                                           \
    }

FM_API fm_status fm_model_store_open(
    const fm_model_store_opts *opts, fm_model_store **out, fm_error *err) FM_MUST_USE;
FM_API void fm_model_store_close(fm_model_store **store);

typedef enum fm_model_state {
    FM_MODEL_MISSING = 0,   // no complete variant on disk
    FM_MODEL_INSTALLED = 1, // files are there, sizes fit
    FM_MODEL_DAMAGED = 2,   // a file is there with the wrong size or digest
} fm_model_state;

/** One model, for lists. Borrowed from the store. */
typedef struct fm_model_info {
    const char *name;
    const char *task; // "detection", ...
    const char *version;
    const char *licence; // SPDX name
    const char *about;   // one line
    const char *head;
    int width, height; // of the input
    size_t label_count;
    uint64_t size_bytes; // of the variant that would be used
    fm_model_state state;
    bool agpl; // licence asks for more than naming: shown before fetching
} fm_model_info;

FM_API size_t fm_model_store_count(const fm_model_store *store);
FM_API fm_status fm_model_store_get(const fm_model_store *store, size_t index, fm_model_info *out);
/** NOTFOUND suggests the nearest names. */
FM_API fm_status fm_model_store_find(
    const fm_model_store *store, const char *name, fm_model_info *out, fm_error *err) FM_MUST_USE;

/** Progress of a download; total 0 where unknown. Return non-zero to cancel. */
typedef int (*fm_progress_fn)(const char *what, uint64_t done, uint64_t total, void *opaque);

typedef struct fm_model_fetch_opts {
    size_t struct_size;
    bool accept_licence; // must be set for models whose agpl flag is set, else DENIED names the licence
    bool force;          // fetch again although installed
    const char *backend; // "openvino", "torch": the form for that one; NULL: the first that can be had
    fm_progress_fn progress;
    void *opaque;
} fm_model_fetch_opts;
#define FM_MODEL_FETCH_OPTS_INIT                                                                             \
    {                                                                                                        \
        .struct_size = sizeof(fm_model_fetch_opts)                                                           \
    }

/** Brings a model's weights: mirror first, then the official address; checks size and digest (a digest that
 * is not known is recorded); frees a baked batch into a derived file. Files appear whole or not at all. */
FM_API fm_status fm_model_fetch(
    fm_model_store *store, const char *name, const fm_model_fetch_opts *opts, fm_error *err) FM_MUST_USE;
/** Checks size and SHA-256 of every installed file of a model; FORMAT names the file that differs. */
FM_API fm_status fm_model_verify(const fm_model_store *store, const char *name, fm_error *err) FM_MUST_USE;
/** Takes a model file of the user's own (ONNX, IR, TFLite, TorchScript) into the models folder under `name`,
 * writes its YAML, frees a baked batch. head NULL: guessed. */
FM_API fm_status fm_model_import(fm_model_store *store, const char *path, const char *name, const char *head,
    const char *labels_path, fm_error *err) FM_MUST_USE;
/** The model as text for people (json false: its YAML facts, files, paths, state) or as JSON. Free with
 * fm_free. */
FM_API fm_status fm_model_show(
    const fm_model_store *store, const char *name, bool json, char **out, fm_error *err) FM_MUST_USE;

/** Frees strings that the library returned as char *. Accepts NULL. */
FM_API void fm_free(void *ptr);

FM_END_DECLS

#endif
