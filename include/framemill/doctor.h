// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What this machine and this build offer. */
#ifndef FRAMEMILL_DOCTOR_H
#define FRAMEMILL_DOCTOR_H

#include <framemill/api.h>
#include <framemill/model.h>
#include <framemill/status.h>

FM_BEGIN_DECLS

typedef enum fm_check_state { FM_CHECK_OK, FM_CHECK_NOTE, FM_CHECK_BAD } fm_check_state;

typedef struct fm_check {
    fm_check_state state;
    const char *group; // "cpu", "libraries", "backends", "gpu", "models", "paths"
    const char *name;
    const char *text; // one line: what was found, or what to do
} fm_check;

typedef struct fm_doctor fm_doctor;

/** Looks at everything; never fails because something is missing, that is what it tells. */
FM_API fm_status fm_doctor_new(const fm_model_store_opts *store, fm_doctor **out, fm_error *err) FM_MUST_USE;
FM_API size_t fm_doctor_count(const fm_doctor *doctor);
FM_API const fm_check *fm_doctor_get(const fm_doctor *doctor, size_t index);
FM_API void fm_doctor_free(fm_doctor **doctor);

FM_END_DECLS

#endif
