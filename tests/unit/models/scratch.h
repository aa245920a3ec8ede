// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** A folder of a test's own with a share folder, a mirror and a place for models, and a log that is kept. */
#ifndef FM_TEST_MODELS_SCRATCH_H
#define FM_TEST_MODELS_SCRATCH_H

#include "base/alloc.h"
#include "base/file.h"
#include "base/str.h"

#include <framemill/model.h>

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct scratch {
    char root[256], share[288], mirror[288], models[288];
    char log[8192];
} scratch;

static inline void scratch_log(fm_log_level level, const char *domain, const char *msg, void *opaque)
{
    (void)level;
    (void)domain;
    scratch *s = opaque;
    size_t used = strlen(s->log);
    snprintf(s->log + used, sizeof(s->log) - used, "%s\n", msg);
}

static inline void put(const char *dir, const char *name, const void *data, size_t len)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    assert_int_equal(fm__file_replace(path, data, len, NULL), FM_OK);
}

static inline void put_text(const char *dir, const char *name, const char *text)
{
    put(dir, name, text, strlen(text));
}

static inline bool have(const char *dir, const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return fm__is_file(path);
}

static inline void scratch_init(scratch *s)
{
    const char *tmp = getenv("TMPDIR");
    char labels[400];
    *s = (scratch){0};
    snprintf(s->root, sizeof(s->root), "%s/fm-models-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(s->root));
    snprintf(s->share, sizeof(s->share), "%s/share", s->root);
    snprintf(s->mirror, sizeof(s->mirror), "%s/mirror", s->root);
    snprintf(s->models, sizeof(s->models), "%s/models", s->root);
    snprintf(labels, sizeof(labels), "%s/models/labels", s->share);
    assert_int_equal(fm__mkdir_all(labels, NULL), FM_OK);
    assert_int_equal(fm__mkdir_all(s->mirror, NULL), FM_OK);
    put_text(labels, "two.txt", "cat\ndog\n");
}

static inline int scratch_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void scratch_done(scratch *s)
{
    nftw(s->root, scratch_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/** Built-in description share/models/<file>. */
static inline void scratch_yaml(const scratch *s, const char *file, const char *text)
{
    char dir[400];
    snprintf(dir, sizeof(dir), "%s/models", s->share);
    put_text(dir, file, text);
}

static inline fm_model_store *scratch_open(scratch *s, const char *share, const char *python)
{
    fm_model_store_opts opts = FM_MODEL_STORE_OPTS_INIT;
    fm_model_store *store = NULL;
    fm_error err = {0};
    opts.share_dir = share ? share : s->share;
    opts.models_dir = s->models;
    opts.mirror_dir = s->mirror;
    opts.python = python;
    opts.log = (fm_log){.fn = scratch_log, .level = FM_LOG_DEBUG, .opaque = s};
    if (fm_model_store_open(&opts, &store, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    return store;
}

static inline void expect_text(const char *text, const char *part)
{
    if (!strstr(text, part)) {
        fail_msg("'%s' lacks '%s'", text, part);
    }
}

/** The project's own share folder. */
static inline char *source_share(void)
{
    const char *root = getenv("FM_SOURCE_ROOT");
    return fm__asprintf(FM_TAG_MODELS, "%s/share/framemill", root ? root : ".");
}

static inline char *data_model(const char *name)
{
    const char *data = getenv("FM_DATA");
    return fm__asprintf(FM_TAG_MODELS, "%s/models/%s", data ? data : "../shared/data", name);
}

#endif
