// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Pictures enhanced: each one is loaded, sent through src/enhance and written under a temporary name that
// becomes the final one when it is whole. In a folder one picture that fails holds up no other; only when
// memory runs out, or nothing can be written, is there no point in going on.

#include "app/enhance_private.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "image/image.h"
#include "media/decode.h"
#include "stream/source.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- one picture ---- */

static fm_status load(const fm__enhance_job *j, const char *path, fm_frame **out, fm_error *err)
{
    fm_status st = fm__image_load(path, j->opts->max_pixels, j->pool, out, err);
    fm_error other = {0};
    if (st == FM_UNSUPPORTED && fm__media_picture(path, j->opts->max_pixels, j->pool, out, &other) == FM_OK) {
        st = FM_OK;
    }
    return st;
}

static fm_status write_comparison(fm__enhance_job *j, fm_frame *in, const fm_frame *after, fm_error *err)
{
    fm_frame *before = NULL, *both = NULL;
    fm_status st = fm__enhancer_run(j->plain, in, &before, err);
    st = st == FM_OK ? fm__enhance_side_by_side(j->pool, before, after, &both, err) : st;
    st = st == FM_OK ? fm__image_save(j->opts->compare, &both->view, err) : st;
    fm_frame_unref(&before);
    fm_frame_unref(&both);
    return st;
}

static fm_status one_picture(fm__enhance_job *j, const char *from, const char *to, fm_error *err)
{
    fm_frame *in = NULL, *after = NULL;
    fm_status st = load(j, from, &in, err);
    if (st == FM_OK) {
        st = fm__enhancer_run(j->enhancer, in, &after, err);
        if (st < 0) {
            fm__error_prefix(err, "'%s'", from);
        }
    }
    st = st == FM_OK ? fm__image_save(to, &after->view, err) : st;
    st = st == FM_OK && j->plain ? write_comparison(j, in, after, err) : st;
    fm_frame_unref(&in);
    fm_frame_unref(&after);
    return st;
}

fm_status fm__enhance_picture(fm__enhance_job *j, fm_error *err)
{
    j->progress.expected = 1;
    if (!fm__enhance_tell(j)) {
        return fm__fail(err, FM_CANCELED, "stopped");
    }
    fm_status st = one_picture(j, j->opts->input, j->opts->output, err);
    j->progress.done = 1;
    j->progress.failed = st != FM_OK;
    (void)fm__enhance_tell(j); // there is nothing left to stop
    return st;
}

/* ---- a folder ---- */

static int is_picture(const struct dirent *e)
{
    return e->d_name[0] != '.' && e->d_type != DT_DIR && fm__image_is_picture_name(e->d_name);
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return fm__natural_compare((*a)->d_name, (*b)->d_name);
}

// The same name, with .png after it where there is no writer for its kind (BMP).
static char *output_path(const char *folder, const char *name)
{
    return fm__asprintf(FM_TAG_APP, "%s/%s%s", folder, name, fm__image_can_save(name) ? "" : ".png");
}

static fm_status folder_entry(fm__enhance_job *j, const char *name, fm_error *err)
{
    char *from = fm__path_join(FM_TAG_APP, j->opts->input, name);
    char *to = output_path(j->opts->output, name);
    fm_status st = from && to ? one_picture(j, from, to, err) : fm__fail_nomem(err, "the path of a picture");
    fm__free(from);
    fm__free(to);
    return st;
}

static fm_status folder_entries(fm__enhance_job *j, struct dirent **list, int count, fm_error *err)
{
    fm_error first = {.status = FM_OK};
    j->progress.expected = (uint64_t)count;
    for (int i = 0; i < count; i++) {
        fm_error why = {.status = FM_OK};
        if (!fm__enhance_tell(j)) {
            return fm__fail(err, FM_CANCELED, "stopped");
        }
        fm_status st = folder_entry(j, list[i]->d_name, &why);
        j->progress.done++;
        j->progress.failed += st != FM_OK;
        if (st == FM_NOMEM || st == FM_IO) {
            return fm__fail(err, st, "%s", why.msg);
        }
        if (st != FM_OK) {
            first = first.status == FM_OK ? why : first;
            fm__log(&j->opts->log, FM_LOG_WARN, "enhance", "left out: %s", why.msg);
        }
    }
    (void)fm__enhance_tell(j); // there is nothing left to stop
    if (j->progress.failed == j->progress.expected) {
        return fm__fail(
            err, first.status, "none of the %d pictures in '%s' could be enhanced", count, j->opts->input);
    }
    return FM_OK;
}

fm_status fm__enhance_folder(fm__enhance_job *j, fm_error *err)
{
    struct dirent **list = NULL;
    fm_status st = fm__mkdir_all(j->opts->output, err);
    if (st != FM_OK) {
        return st;
    }
    int count = scandir(j->opts->input, &list, is_picture, compare_names);
    if (count < 0) {
        return fm__fail_errno(err, errno, "cannot open folder", j->opts->input);
    }
    st = count > 0 ? folder_entries(j, list, count, err)
                   : fm__fail(err, FM_NOTFOUND,
                         "no pictures in folder '%s'; it needs .jpg, .png, .webp, .tif or .bmp files",
                         j->opts->input);
    for (int i = 0; i < count; i++) {
        free(list[i]);
    }
    free(list);
    return st;
}
