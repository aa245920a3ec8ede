// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Downloads over HTTPS. Owns libcurl. */
#ifndef FM_MODELS_HTTP_H
#define FM_MODELS_HTTP_H

#include "models/digest.h"

#include <framemill/log.h>
#include <framemill/model.h>

typedef struct fm_http_get {
    const char *url;         // https only, also after redirects
    const char *what;        // for progress
    fm_progress_fn progress; // or NULL; non-zero cancels
    void *opaque;
    const fm_log *log;
} fm_http_get;

/** Downloads into `to`, trying again after passing failures. NET, CANCELED, or what writing gave. */
fm_status fm__http_get(const fm_http_get *get, fm_incoming *to, fm_error *err) FM_MUST_USE;

#endif
