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

typedef struct picture {
    fm_frame *in, *after;
    fm_image_extra *extra; // NULL: nothing is known of it (BMP)
    fm_frame *alpha;       // of the result's size
    bool writing;          // reading and enhancing are behind it
} picture;

static void done(picture *p)
{
    fm_frame_unref(&p->in);
    fm_frame_unref(&p->after);
    fm_frame_unref(&p->alpha);
    fm__image_extra_free(&p->extra);
}

// A colour table makes colours of grey.
static fm_status spread_grey(fm__enhance_job *j, fm_frame **frame, fm_error *err)
{
    const fm_frame_view *v = &(*frame)->view;
    fm_frame *rgb = NULL;
    if (v->format != FM_PIXFMT_GRAY8 || !j->lut) {
        return FM_OK;
    }
    fm_status st = fm__frame_pool_take_pixels(j->pool, FM_PIXFMT_RGB24, v->width, v->height, &rgb, err);
    for (int y = 0; st == FM_OK && y < v->height; y++) {
        const uint8_t *from = v->plane[0] + (ptrdiff_t)y * v->stride[0];
        uint8_t *to = fm__frame_plane(rgb, 0) + (ptrdiff_t)y * rgb->view.stride[0];
        for (int x = 0; x < v->width; x++) {
            to[3 * x] = to[3 * x + 1] = to[3 * x + 2] = from[x];
        }
    }
    if (st == FM_OK) {
        rgb->view.range = FM_RANGE_FULL;
        fm_frame_unref(frame);
        *frame = rgb;
    }
    return st;
}

static fm_status load(fm__enhance_job *j, const char *path, picture *p, fm_error *err)
{
    fm_status st = fm__image_load_all(path, j->opts->max_pixels, j->pool, &p->in, &p->extra, err);
    fm_error other = {0};
    if (st == FM_UNSUPPORTED &&
        fm__media_picture(path, j->opts->max_pixels, j->pool, &p->in, &other) == FM_OK) {
        st = FM_OK;
    }
    return st == FM_OK ? spread_grey(j, &p->in, err) : st;
}

// Alpha grows with the colours, by Lanczos whatever enlarges these.
static fm_status enhance(fm__enhance_job *j, picture *p, fm_error *err)
{
    fm_frame *alpha = fm__image_alpha(p->extra);
    fm_status st = fm__enhancer_run(j->enhancer, p->in, &p->after, err);
    if (st == FM_OK && alpha) {
        st = fm__enhancer_run(j->plain, alpha, &p->alpha, err);
    }
    return st;
}

static fm_status write_comparison(fm__enhance_job *j, const picture *p, fm_error *err)
{
    fm_frame *before = NULL, *both = NULL;
    fm_status st = fm__enhancer_run(j->plain, p->in, &before, err);
    st = st == FM_OK ? fm__enhance_side_by_side(j->pool, before, p->after, &both, err) : st;
    st = st == FM_OK ? fm__image_save(j->opts->compare, &both->view, NULL, err) : st;
    fm_frame_unref(&before);
    fm_frame_unref(&both);
    return st;
}

static fm_status write(fm__enhance_job *j, const picture *p, const char *to, fm_error *err)
{
    fm_image_save_opts so = {.extra = j->opts->strip ? NULL : p->extra,
        .alpha = p->alpha ? &p->alpha->view : NULL,
        .quality = j->opts->quality};
    if (p->alpha && !fm__image_has_alpha(to)) {
        fm__log(&j->opts->log, FM_LOG_WARN, "enhance",
            "'%s': what was transparent lies over white: this kind has no alpha", to);
    }
    fm_status st = fm__image_save(to, &p->after->view, &so, err);
    return st == FM_OK && j->opts->compare ? write_comparison(j, p, err) : st;
}

// *is_output: it failed to write, as the next one will.
static fm_status one_picture(
    fm__enhance_job *j, const char *from, const char *to, bool *is_output, fm_error *err)
{
    picture p = {.in = NULL};
    fm_status st = load(j, from, &p, err);
    if (st == FM_OK) {
        st = enhance(j, &p, err);
        if (st < 0) {
            fm__error_prefix(err, "'%s'", from);
        }
    }
    *is_output = st == FM_OK;
    st = st == FM_OK ? write(j, &p, to, err) : st;
    done(&p);
    return st;
}

fm_status fm__enhance_picture(fm__enhance_job *j, fm_error *err)
{
    j->progress.expected = 1;
    if (!fm__enhance_tell(j)) {
        return fm__fail(err, FM_CANCELED, "stopped");
    }
    bool is_output;
    fm_status st = one_picture(j, j->opts->input, j->opts->output, &is_output, err);
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

typedef struct listing {
    struct dirent **list;
    int count;
} listing;

static bool is_listed(const listing *l, const char *name)
{
    for (int i = 0; i < l->count; i++) {
        if (strcmp(l->list[i]->d_name, name) == 0) {
            return true;
        }
    }
    return false;
}

// The same name; where there is no writer for its kind (BMP) with .png after it, and again for as long as
// another picture of the folder has that name.
static char *output_name(const listing *l, const char *name)
{
    char *out = fm__strdup(FM_TAG_APP, name);
    while (out && (!fm__image_can_save(out) || (strcmp(out, name) != 0 && is_listed(l, out)))) {
        char *longer = fm__asprintf(FM_TAG_APP, "%s.png", out);
        fm__free(out);
        out = longer;
    }
    return out;
}

static fm_status folder_entry(
    fm__enhance_job *j, const listing *l, const char *name, bool *is_output, fm_error *err)
{
    char *from = fm__path_join(FM_TAG_APP, j->opts->input, name);
    char *as = output_name(l, name);
    char *to = as ? fm__path_join(FM_TAG_APP, j->opts->output, as) : NULL;
    fm_status st =
        from && to ? one_picture(j, from, to, is_output, err) : fm__fail_nomem(err, "the path of a picture");
    fm__free(from);
    fm__free(as);
    fm__free(to);
    return st;
}

static fm_status folder_entries(fm__enhance_job *j, const listing *l, fm_error *err)
{
    fm_error first = {.status = FM_OK};
    j->progress.expected = (uint64_t)l->count;
    for (int i = 0; i < l->count; i++) {
        bool is_output = false;
        fm_error why = {.status = FM_OK};
        if (!fm__enhance_tell(j)) {
            return fm__fail(err, FM_CANCELED, "stopped");
        }
        fm_status st = folder_entry(j, l, l->list[i]->d_name, &is_output, &why);
        j->progress.done++;
        j->progress.failed += st != FM_OK;
        if (st == FM_NOMEM || (st == FM_IO && is_output)) {
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
            err, first.status, "none of the %d pictures in '%s' could be enhanced", l->count, j->opts->input);
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
    const listing l = {list, count};
    st = count > 0 ? folder_entries(j, &l, err)
                   : fm__fail(err, FM_NOTFOUND,
                         "no pictures in folder '%s'; it needs .jpg, .png, .webp, .tif or .bmp files",
                         j->opts->input);
    for (int i = 0; i < count; i++) {
        free(list[i]);
    }
    free(list);
    return st;
}
