// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Pictures enhanced: options read, files listed, each one loaded, sent through src/enhance and written under
// a temporary name that becomes the final one when it is whole. In a folder one picture that fails holds up
// no other; only when memory runs out, or nothing can be written, is there no point in going on.

#include <framemill/enhance.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "base/thread.h"
#include "enhance/enhance.h"
#include "image/image.h"
#include "media/decode.h"
#include "stream/source.h"
#include "stream/stream.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_CUBE_BYTES = 64 << 20 };

typedef struct job {
    const fm_enhance_opts *opts;
    fm__enhance_spec spec;
    fm__lut3d *lut;
    fm__enhancer *enhancer;
    fm__enhancer *plain; // what comes before, enlarged as what comes after; where they are compared
    fm_frame_pool *pool;
    fm_enhance_progress progress;
    int64_t start_ns;
} job;

/* ---- options ---- */

static bool is_same_file(const char *a, const char *b)
{
    struct stat x, y;
    if (!a || !b) {
        return false;
    }
    if (stat(a, &x) != 0 || stat(b, &y) != 0) {
        return strcmp(a, b) == 0;
    }
    return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static fm_status check_paths(const fm_enhance_opts *o, fm_error *err)
{
    const char *const reads[] = {o->input, o->lut}, *const writes[] = {o->output, o->compare};
    for (int i = 0; i < 4; i++) {
        if (is_same_file(reads[i / 2], writes[i % 2])) {
            return fm__fail(
                err, FM_INVAL, "'%s' is read and would be written; choose another output", writes[i % 2]);
        }
    }
    if (is_same_file(o->output, o->compare)) {
        return fm__fail(
            err, FM_INVAL, "'%s' is the output and the comparison; choose another name for one", o->compare);
    }
    return FM_OK;
}

static fm_status check_endings(const fm_enhance_opts *o, bool is_folder, fm_error *err)
{
    const char *bad = is_folder || fm__image_can_save(o->output) ? NULL : o->output;
    if (o->compare && is_folder) {
        return fm__fail(err, FM_INVAL, "a comparison is made of one picture, and '%s' is a folder", o->input);
    }
    if (!bad && o->compare && !fm__image_can_save(o->compare)) {
        bad = o->compare;
    }
    return bad ? fm__fail(err, FM_INVAL,
                     "cannot write '%s': give a name that ends in .png, .jpg, .webp or .tif", bad)
               : FM_OK;
}

static fm_status read_spec(job *j, fm_error *err)
{
    const fm_enhance_opts *o = j->opts;
    fm_status st = fm__enhance_parse_denoise(o->denoise, &j->spec, err);
    st = st == FM_OK ? fm__enhance_parse_color(o->color, &j->spec, err) : st;
    st = st == FM_OK ? fm__enhance_parse_sr(o->sr, &j->spec, err) : st;
    bool has_work = j->spec.denoise != FM__DENOISE_NONE || j->spec.has_color || j->spec.scale > 1 || o->lut;
    if (st == FM_OK && !has_work) {
        st = fm__fail(err, FM_INVAL, "nothing to do: give --denoise, --color, --lut or --sr");
    }
    return st;
}

static fm_status read_lut(job *j, fm_error *err)
{
    char *text = NULL;
    size_t len = 0;
    if (!j->opts->lut) {
        return FM_OK;
    }
    fm_status st = fm__file_read(FM_TAG_APP, j->opts->lut, MAX_CUBE_BYTES, &text, &len, err);
    if (st == FM_OK) {
        st = fm__lut3d_parse(text, len, j->opts->lut, &j->lut, err);
        fm__free(text);
    }
    return st;
}

static fm_status find_kind(const char *input, bool *is_folder, fm_error *err)
{
    fm_stream_kind kind;
    fm_status st = fm__stream_classify(input, &kind, err);
    if (st == FM_OK && kind != FM_STREAM_PICTURE && kind != FM_STREAM_FOLDER) {
        st = fm__fail(err, FM_UNSUPPORTED,
            "'%s' is neither a picture nor a folder of pictures; videos are not enhanced yet", input);
    }
    if (st == FM_OK) {
        *is_folder = kind == FM_STREAM_FOLDER;
    }
    return st;
}

static fm_status make_enhancers(job *j, fm_error *err)
{
    fm__enhance_opts opts = {.spec = j->spec,
        .lut = j->lut,
        .threads = j->opts->threads > 0 ? j->opts->threads : fm__cpu_count(),
        .max_pixels = j->opts->max_pixels};
    fm_status st = fm__enhancer_new(&opts, &j->enhancer, err);
    if (st == FM_OK && j->opts->compare) {
        opts.spec = (fm__enhance_spec){.scale = j->spec.scale};
        opts.lut = NULL;
        st = fm__enhancer_new(&opts, &j->plain, err);
    }
    return st;
}

/* ---- one picture ---- */

static fm_status load(const job *j, const char *path, fm_frame **out, fm_error *err)
{
    fm_status st = fm__image_load(path, j->opts->max_pixels, j->pool, out, err);
    fm_error other = {0};
    if (st == FM_UNSUPPORTED && fm__media_picture(path, j->opts->max_pixels, j->pool, out, &other) == FM_OK) {
        st = FM_OK;
    }
    return st;
}

static fm_status write_comparison(job *j, fm_frame *in, const fm_frame *after, fm_error *err)
{
    fm_frame *before = NULL, *both = NULL;
    const fm_frame_view *v = &after->view;
    size_t row = fm__pixfmt_row_bytes(v->format, v->width, 0);
    fm_status st = fm__enhancer_run(j->plain, in, &before, err);
    if (st == FM_OK) {
        st = fm__frame_pool_take_pixels(j->pool, v->format, 2 * v->width, v->height, &both, err);
    }
    for (int y = 0; st == FM_OK && y < v->height; y++) {
        uint8_t *to = fm__frame_plane(both, 0) + (ptrdiff_t)y * both->view.stride[0];
        memcpy(to, before->view.plane[0] + (ptrdiff_t)y * before->view.stride[0], row);
        memcpy(to + row, v->plane[0] + (ptrdiff_t)y * v->stride[0], row);
    }
    st = st == FM_OK ? fm__image_save(j->opts->compare, &both->view, err) : st;
    fm_frame_unref(&before);
    fm_frame_unref(&both);
    return st;
}

static fm_status enhance_picture(job *j, const char *from, const char *to, fm_error *err)
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

static bool tell(job *j)
{
    j->progress.seconds = (double)(fm__now_ns() - j->start_ns) / FM_NS_PER_S;
    return !j->opts->progress || j->opts->progress(&j->progress, j->opts->opaque);
}

static fm_status one_picture(job *j, fm_error *err)
{
    j->progress.expected = 1;
    if (!tell(j)) {
        return fm__fail(err, FM_CANCELED, "stopped");
    }
    fm_status st = enhance_picture(j, j->opts->input, j->opts->output, err);
    j->progress.done = 1;
    j->progress.failed = st != FM_OK;
    (void)tell(j); // there is nothing left to stop
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

static fm_status folder_entry(job *j, const char *name, fm_error *err)
{
    char *from = fm__path_join(FM_TAG_APP, j->opts->input, name);
    char *to = output_path(j->opts->output, name);
    fm_status st =
        from && to ? enhance_picture(j, from, to, err) : fm__fail_nomem(err, "the path of a picture");
    fm__free(from);
    fm__free(to);
    return st;
}

static fm_status folder_entries(job *j, struct dirent **list, int count, fm_error *err)
{
    fm_error first = {.status = FM_OK};
    j->progress.expected = (uint64_t)count;
    for (int i = 0; i < count; i++) {
        fm_error why = {.status = FM_OK};
        if (!tell(j)) {
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
    (void)tell(j); // there is nothing left to stop
    if (j->progress.failed == j->progress.expected) {
        return fm__fail(
            err, first.status, "none of the %d pictures in '%s' could be enhanced", count, j->opts->input);
    }
    return FM_OK;
}

static fm_status folder(job *j, fm_error *err)
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

/* ---- all of it ---- */

static fm_status prepare(job *j, bool *is_folder, fm_error *err)
{
    fm_status st = read_spec(j, err);
    st = st == FM_OK ? find_kind(j->opts->input, is_folder, err) : st;
    st = st == FM_OK ? check_paths(j->opts, err) : st;
    st = st == FM_OK ? check_endings(j->opts, *is_folder, err) : st;
    st = st == FM_OK ? read_lut(j, err) : st;
    st = st == FM_OK ? fm__frame_pool_new(&j->pool, err) : st;
    return st == FM_OK ? make_enhancers(j, err) : st;
}

fm_status fm_enhance(const fm_enhance_opts *opts, fm_enhance_progress *out, fm_error *err)
{
    if (!opts || !opts->input || !opts->output) {
        return fm__fail(err, FM_INVAL, "fm_enhance: an input and an output are required");
    }
    job j = {.opts = opts, .start_ns = fm__now_ns()};
    bool is_folder = false;
    fm_status st = fm__image_init(err);
    if (st != FM_OK) {
        return st;
    }
    st = prepare(&j, &is_folder, err);
    if (st == FM_OK) {
        st = is_folder ? folder(&j, err) : one_picture(&j, err);
    }
    fm__enhancer_free(&j.enhancer);
    fm__enhancer_free(&j.plain);
    fm__frame_pool_free(&j.pool);
    fm__lut3d_free(&j.lut);
    fm__image_shutdown();
    if (out) {
        *out = j.progress;
    }
    return st;
}
