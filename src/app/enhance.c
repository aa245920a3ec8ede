// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// One call of `enhance`: options are read and checked, the enhancers made, then enhance_pictures.c or
// enhance_video.c does the work. What would overwrite its own input, or has nothing to do, is refused before
// anything is read.

#include "app/enhance_private.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "base/thread.h"
#include "image/image.h"
#include "stream/stream.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_CUBE_BYTES = 64 << 20 };

/* ---- options ---- */

// Files that are not there yet: one name in one folder.
static bool is_same_place(const char *a, const char *b)
{
    const char *name_a = fm__path_base(a), *name_b = fm__path_base(b);
    struct stat x, y;
    if (strcmp(name_a, name_b) != 0) {
        return false;
    }
    char *dir_a = fm__asprintf(FM_TAG_APP, "%.*s.", (int)(name_a - a), a);
    char *dir_b = fm__asprintf(FM_TAG_APP, "%.*s.", (int)(name_b - b), b);
    bool is_same = strcmp(a, b) == 0;
    if (dir_a && dir_b && stat(dir_a, &x) == 0 && stat(dir_b, &y) == 0) {
        is_same = x.st_dev == y.st_dev && x.st_ino == y.st_ino;
    }
    fm__free(dir_a);
    fm__free(dir_b);
    return is_same;
}

static bool is_same_file(const char *a, const char *b)
{
    struct stat x, y;
    if (!a || !b) {
        return false;
    }
    if (stat(a, &x) != 0 || stat(b, &y) != 0) {
        return is_same_place(a, b);
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

static bool is_video(fm_stream_kind kind)
{
    return kind == FM_STREAM_VIDEO || kind == FM_STREAM_URL || kind == FM_STREAM_DEVICE;
}

// What only videos, and what only pictures have.
static fm_status check_endings(
    const fm_enhance_opts *o, const fm__enhance_spec *spec, fm_stream_kind kind, fm_error *err)
{
    bool is_folder = kind == FM_STREAM_FOLDER;
    const char *bad = is_folder || fm__image_can_save(o->output) ? NULL : o->output;
    if (is_video(kind)) {
        return fm__enhance_check_video(o, err);
    }
    bool loses = is_folder || fm__str_ends(o->output, ".jpg") || fm__str_ends(o->output, ".jpeg") ||
                 fm__str_ends(o->output, ".webp");
    if (o->quality < 0 || o->quality > 100 || (o->quality && !loses)) {
        return fm__fail(err, FM_INVAL,
            loses ? "quality %d: JPEG and WebP take 1 to 100 (best)"
                  : "quality %d: PNG and TIFF lose nothing, leave it out",
            o->quality);
    }
    if (o->codec || o->preset || o->max_frames) {
        return fm__fail(err, FM_INVAL, "codec, preset and frames are for videos, and '%s' is none", o->input);
    }
    if (spec->denoise == FM__DENOISE_NLM_T) {
        return fm__fail(err, FM_INVAL,
            "denoise: nlm-t looks at neighbouring frames, and '%s' is no video; take nlm or auto", o->input);
    }
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

fm_status fm__enhance_read_spec(fm__enhance_job *j, fm_error *err)
{
    const fm_enhance_opts *o = j->opts;
    fm_status st = fm__enhance_parse_denoise(o->denoise, &j->spec, err);
    st = st == FM_OK ? fm__enhance_parse_color(o->color, &j->spec, err) : st;
    st = st == FM_OK ? fm__enhance_parse_sr(o->sr, &j->spec, err) : st;
    bool has_work = j->spec.denoise != FM__DENOISE_NONE || j->spec.has_color || j->spec.scale != 1 || o->lut;
    if (st == FM_OK && !has_work) {
        st = fm__fail(err, FM_INVAL, "nothing to do: give --denoise, --color, --lut or --sr");
    }
    return st;
}

fm_status fm__enhance_read_lut(const char *path, fm__lut3d **out, fm_error *err)
{
    char *text = NULL;
    size_t len = 0;
    fm_status st = fm__file_read(FM_TAG_APP, path, MAX_CUBE_BYTES, &text, &len, err);
    if (st == FM_OK) {
        st = fm__lut3d_parse(text, len, path, out, err);
        fm__free(text);
    }
    return st;
}

static fm_status find_kind(const char *input, fm_stream_kind *kind, fm_error *err)
{
    fm_status st = fm__stream_classify(input, kind, err);
    if (st == FM_OK && *kind == FM_STREAM_TEST) {
        st = fm__fail(err, FM_UNSUPPORTED,
            "the test source '%s' is not enhanced: give a picture, folder or video", input);
    }
    return st;
}

int fm__enhance_threads(const fm__enhance_job *j)
{
    return j->opts->threads > 0 ? j->opts->threads : fm__cpu_count();
}

// What comes before: enlarged alike. Where frames wait for those after them it waits as long, with nothing to
// clean, so that both give the same frame at the same time.
static fm__enhance_spec plain_spec(const fm__enhance_spec *spec)
{
    fm__enhance_spec plain = {.scale = spec->scale};
    if (spec->denoise == FM__DENOISE_NLM_T) {
        plain.denoise = FM__DENOISE_NLM_T;
        plain.frames = spec->frames;
    }
    return plain;
}

// Of a video; pictures make their own, one a thread.
static fm_status make_enhancers(fm__enhance_job *j, fm_error *err)
{
    fm__enhance_opts opts = {.spec = j->spec,
        .lut = j->lut,
        .upscaler = j->model ? &j->upscaler : NULL,
        .threads = fm__enhance_threads(j),
        .max_pixels = j->opts->max_pixels,
        .is_video = true};
    fm_status st = fm__enhancer_new(&opts, &j->enhancer, err);
    if (st == FM_OK) {
        opts.spec = plain_spec(&j->spec);
        opts.lut = NULL;
        opts.upscaler = NULL;
        st = fm__enhancer_new(&opts, &j->plain, err);
    }
    return st;
}

/* ---- a network that enlarges ---- */

// On a CPU each tile is a request; a GPU wants several at once.
#define CUDA_BATCH 8

static fm_status load_model(fm__enhance_job *j, fm_error *err)
{
    const fm_enhance_opts *o = j->opts;
    bool is_cuda = o->device && fm__str_starts(o->device, "cuda");
    fm_model_load_opts lo = {.task = FM_TASK_ENHANCEMENT,
        .name = j->spec.model,
        .device = o->device ? o->device : "cpu",
        .precision = o->precision,
        .batch = is_cuda ? CUDA_BATCH : 1,
        .threads = o->threads,
        .tile = o->sr_tile,
        .cache_dir = o->cache_dir};
    fm_status st = fm_model_store_open(o->store, &j->store, err);
    return st == FM_OK ? fm__model_load(j->store, &lo, &j->model, err) : st;
}

fm_status fm__enhance_load_model(fm__enhance_job *j, fm_error *err)
{
    if (!j->spec.model) {
        return FM_OK;
    }
    if (!j->opts->store) {
        return fm__fail(err, FM_INVAL, "sr '%s' needs a model store", j->opts->sr);
    }
    fm_status st = load_model(j, err);
    if (st == FM_OK) {
        j->upscaler = (fm__upscaler){.net = j->model->net, .head = &j->model->head};
        j->spec.scale = j->spec.scale > 0 ? j->spec.scale : j->model->head.scale;
    }
    return st;
}

/* ---- all of it ---- */

bool fm__enhance_tell(fm__enhance_job *j)
{
    j->progress.seconds = (double)(fm__now_ns() - j->start_ns) / FM_NS_PER_S;
    return !j->opts->progress || j->opts->progress(&j->progress, j->opts->opaque);
}

fm_status fm__enhance_side_by_side(
    fm_frame_pool *pool, const fm_frame *before, const fm_frame *after, fm_frame **out, fm_error *err)
{
    const fm_frame_view *a = &before->view, *b = &after->view;
    fm_frame *both = NULL;
    fm_status st = fm__frame_pool_take_pixels(pool, b->format, 2 * b->width, b->height, &both, err);
    for (int i = 0; st == FM_OK && i < fm_pixfmt_planes(b->format); i++) {
        int w, h;
        fm__pixfmt_plane_size(b->format, b->width, b->height, i, &w, &h);
        size_t row = b->format == FM_PIXFMT_RGB24 ? 3 * (size_t)w : (size_t)w;
        for (int y = 0; y < h; y++) {
            uint8_t *to = fm__frame_plane(both, i) + (ptrdiff_t)y * both->view.stride[i];
            memcpy(to, a->plane[i] + (ptrdiff_t)y * a->stride[i], row);
            memcpy(to + row, b->plane[i] + (ptrdiff_t)y * b->stride[i], row);
        }
    }
    if (st == FM_OK) {
        both->view.matrix = b->matrix;
        both->view.range = b->range;
        both->pts_ns = after->pts_ns;
        *out = both;
    }
    return st;
}

static fm_status prepare(fm__enhance_job *j, fm_stream_kind *kind, fm_error *err)
{
    fm_status st = fm__enhance_read_spec(j, err);
    st = st == FM_OK ? find_kind(j->opts->input, kind, err) : st;
    st = st == FM_OK ? check_paths(j->opts, err) : st;
    st = st == FM_OK ? check_endings(j->opts, &j->spec, *kind, err) : st;
    st = st == FM_OK && j->opts->lut ? fm__enhance_read_lut(j->opts->lut, &j->lut, err) : st;
    st = st == FM_OK ? fm__enhance_load_model(j, err) : st;
    st = st == FM_OK ? fm__frame_pool_new(&j->pool, err) : st;
    return st == FM_OK && is_video(*kind) ? make_enhancers(j, err) : st;
}

static fm_status work(fm__enhance_job *j, fm_stream_kind kind, fm_error *err)
{
    return is_video(kind)             ? fm__enhance_video(j, kind, err)
           : kind == FM_STREAM_FOLDER ? fm__enhance_folder(j, err)
                                      : fm__enhance_picture(j, err);
}

fm_status fm_enhance(const fm_enhance_opts *opts, fm_enhance_progress *out, fm_error *err)
{
    if (!opts || !opts->input || !opts->output) {
        return fm__fail(err, FM_INVAL, "fm_enhance: an input and an output are required");
    }
    fm__enhance_job j = {.opts = opts, .start_ns = fm__now_ns()};
    fm_stream_kind kind = FM_STREAM_PICTURE;
    fm_status st = fm__image_init(err);
    if (st != FM_OK) {
        return st;
    }
    st = prepare(&j, &kind, err);
    if (st == FM_OK) {
        st = work(&j, kind, err);
    }
    fm__enhancer_free(&j.enhancer);
    fm__enhancer_free(&j.plain);
    fm__model_free(&j.model);
    fm_model_store_close(&j.store);
    fm__frame_pool_free(&j.pool);
    fm__lut3d_free(&j.lut);
    fm__image_shutdown();
    if (out) {
        *out = j.progress;
    }
    return st;
}
