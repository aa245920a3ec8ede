// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The inside of a model store, for the files of this folder. */
#ifndef FM_MODELS_STORE_H
#define FM_MODELS_STORE_H

#include "models/spec.h"

struct fm_model_store {
    char *share_dir, *models_dir, *mirror_dir, *python; // the last two may be NULL
    char *exporter, *exporter_python;                   // may be NULL
    char *labels_dir;
    fm_log log;
    fm_spec **specs; // by name
    size_t count, cap;
};

/** NOTFOUND suggests near names. */
fm_status fm__store_find(
    const fm_model_store *store, const char *name, const fm_spec **out, fm_error *err) FM_MUST_USE;
/** Takes the spec on success. */
fm_status fm__store_add(fm_model_store *store, fm_spec *spec, fm_error *err) FM_MUST_USE;

/** Path of one of the model's files; free with fm__free. */
char *fm__spec_path(const fm_spec *spec, const char *file) FM_MUST_USE;
fm_model_state fm__variant_state(const fm_spec *spec, const fm_spec_variant *variant);
/** The first complete variant of this backend (NULL: of any), or NULL. */
const fm_spec_variant *fm__spec_installed(const fm_spec *spec, const char *backend);
fm_model_state fm__spec_state(const fm_spec *spec);
/** Bytes of a variant: as described, else as they lie on disk; 0 where neither is known. */
uint64_t fm__variant_size(const fm_spec *spec, const fm_spec_variant *variant);

/** The file derived from a variant, its batch freed or its classifier cut off (there or not); NULL where the
 * digest is not known or there is no memory. */
char *fm__derived_path(const fm_spec *spec, const fm_spec_variant *variant) FM_MUST_USE;
/** Makes that file where it is needed and not there. A cut that is not possible is an error; a batch that
 * cannot be freed is logged, the model runs with batch 1. */
fm_status fm__derive(const fm_model_store *store, const fm_spec *spec, const fm_spec_variant *variant,
    fm_error *err) FM_MUST_USE;

#endif
