// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The built-in models' descriptions, and an empty folder for weights; set up before the tests of a file. */
#ifndef FM_TESTS_UNIT_APP_MODELS_H
#define FM_TESTS_UNIT_APP_MODELS_H

#include "../testing.h"

#include <framemill/model.h>

static char share[512], *models;
static fm_model_store_opts store;

static inline int set_up(void **state)
{
    (void)state;
    const char *root = getenv("FM_SOURCE_ROOT");
    snprintf(share, sizeof(share), "%s/share/framemill", root ? root : ".");
    models = make_dir();
    store = (fm_model_store_opts)FM_MODEL_STORE_OPTS_INIT;
    store.share_dir = share;
    store.models_dir = models;
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    drop_dir(models);
    return 0;
}

#endif
