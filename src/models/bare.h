// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Model files without a description: what can be told from the file itself. */
#ifndef FM_MODELS_BARE_H
#define FM_MODELS_BARE_H

#include "models/model.h"

typedef struct fm_bare {
    fm_net_info info; // at batch 1
    fm_model_input input;
    fm_head_opts head; // type is static
    int class_count;   // 0: features
    int dim;           // of a feature, else 0
} fm_bare;

/** Looks into an ONNX, IR, TFLite, TensorFlow or TorchScript file: desc's backend, path, ops_library and log.
 * head NULL: one for this task is guessed from the output shapes, said in the log. label_count 0: as many
 * classes as the shapes say; else FORMAT where they say another number. */
fm_status fm__bare_look(const fm_net_desc *desc, fm_task task, const char *head, size_t label_count,
    fm_bare *out, fm_error *err) FM_MUST_USE;

/** The backend that runs files that end like this. */
const char *fm__bare_backend(const char *name);

/** True for names that end as model files do. */
bool fm__bare_is_file_name(const char *name);

#endif
