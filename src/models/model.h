// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Models: YAML model files, their weights on disk, and network + head in one. Owns libcurl and OpenSSL.
 * Public calls: framemill/model.h. */
#ifndef FM_MODELS_MODEL_H
#define FM_MODELS_MODEL_H

#include "heads/head.h"
#include "infer/infer.h"
#include "ops/letterbox.h"

#include <framemill/model.h>

/** How a model wants its input. */
typedef struct fm_model_input {
    fm_layout layout;
    int width, height;
    fm_color color;
    float mean[3], scale[3];
    fm_fit fit;
    fm_anchor anchor;
    uint8_t pad;
    float crop_ratio;
} fm_model_input;

/** A model ready to run: compiled network, head configured against it, labels. Immutable after load. */
typedef struct fm_model {
    char *name;
    char *licence;
    fm_model_input input;
    fm_net *net;
    fm_head head;
    char **labels;
    size_t label_count;
    char *file; // main file that was loaded
} fm_model;

typedef struct fm_model_load_opts {
    fm_task task;       // what it is wanted for: another task is an error that says so; FM_TASK_ANY: any
    const char *name;   // built-in or user model name, or a path to ONNX, IR, TFLite, TorchScript, or to a
                        // model YAML
    const char *head;   // overrides the guess for a bare file; NULL: guess
    const char *labels; // path of a label file (one a line) for a bare file; NULL: the set that is usual for
                        // the task and so many classes (COCO's 80), else "class 0"...
    const char *device; // "cpu", "cuda:0"
    const char *precision;     // as in fm_net_desc
    const char *backend;       // NULL: the variant's; "ref" for tests
    int batch, slots, threads; // as in fm_net_desc
    int tile; // task enhancement: pixels a side of the input, where the file leaves them free; 0: the model's
    const char *cache_dir;
    const char *ops_library;   // as in fm_net_desc
    bool counters;             // as in fm_net_desc
    const fm_own_backend *own; // of names that begin with FM_OWN_PREFIX; NULL: none
} fm_model_load_opts;

#define FM_OWN_PREFIX "own:"
/** Is this a network of the program's own? */
bool fm__model_is_own(const fm_model_load_opts *opts);

/** INVAL when the model is for another task than opts->task. Other errors name the command that mends them:
 * NOTFOUND "... run: framemill models fetch yolox-nano", FORMAT for damaged files. */
fm_status fm__model_load(
    const fm_model_store *store, const fm_model_load_opts *opts, fm_model **out, fm_error *err) FM_MUST_USE;
void fm__model_free(fm_model **model);
/** What a load with these options would open: the file and the backend's name. Free *file with fm__free. */
fm_status fm__model_file(const fm_model_store *store, const fm_model_load_opts *opts, char **file,
    const char **backend, fm_error *err) FM_MUST_USE;

#endif
