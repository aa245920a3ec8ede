// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Pictures enhanced: each one is loaded, sent through src/enhance and written under a temporary name that
// becomes the final one when it is whole. Alpha goes beside the colours, only enlarged; metadata go along.
// The pictures of a folder go over threads, enhance_folder.c.

#include "app/enhance_private.h"

#include "base/error.h"
#include "base/log.h"
#include "enhance/deep.h"
#include "image/image.h"
#include "image/picture.h"
#include "media/decode.h"

#include <string.h>

/* ---- who works ---- */

fm_status fm__enhance_worker_init(fm__enhance_worker *w, fm__enhance_job *j, int threads, fm_error *err)
{
    *w = (fm__enhance_worker){.job = j};
    w->opts = (fm__enhance_opts){.spec = j->spec,
        .lut = j->lut,
        .upscaler = j->model ? &j->upscaler : NULL,
        .threads = threads,
        .max_pixels = j->opts->max_pixels};
    w->plain_opts = w->opts;
    w->plain_opts.spec = (fm__enhance_spec){.scale = j->spec.scale};
    w->plain_opts.lut = NULL;
    w->plain_opts.upscaler = NULL;
    fm_status st = fm__enhancer_new(&w->opts, &w->enhancer, err);
    return st == FM_OK ? fm__enhancer_new(&w->plain_opts, &w->plain, err) : st;
}

void fm__enhance_worker_done(fm__enhance_worker *w)
{
    fm__enhancer_free(&w->enhancer);
    fm__enhancer_free(&w->plain);
}

/* ---- one picture ---- */

static fm_status load(const fm__enhance_job *j, const char *path, fm__picture *out, fm_error *err)
{
    fm_status st = fm__picture_load(path, j->opts->max_pixels, j->lut != NULL, j->pool, out, err);
    fm_error other = {0};
    fm_frame *frame = NULL;
    if (st == FM_UNSUPPORTED &&
        fm__media_picture(path, j->opts->max_pixels, j->pool, &frame, &other) == FM_OK) {
        *out = (fm__picture){.color = frame, .pages = 1};
        st = FM_OK;
    }
    return st;
}

// What does not go along is said.
static void tell_losses(const fm__enhance_job *j, const char *from, const char *to, const fm__picture *p)
{
    const fm_log *log = &j->opts->log;
    if (p->pages > 1) {
        fm__log(
            log, FM_LOG_WARN, "enhance", "'%s' holds %d pictures: the first one is taken", from, p->pages);
    }
    if (p->was_ink) {
        fm__log(log, FM_LOG_WARN, "enhance", "'%s' is CMYK: it becomes RGB, without its profile", from);
    }
    if (p->alpha && !fm__picture_holds_alpha(to)) {
        fm__log(log, FM_LOG_WARN, "enhance", "'%s' cannot be transparent: '%s' is laid over white", to, from);
    }
}

// Colour of 16 bits, or alpha of it, with its rounded twin.
static fm_status run_deep(const fm__enhance_worker *w, const fm__enhance_opts *opts, fm__deep *in,
    fm__deep **out, fm_frame **out_rounded, fm_error *err)
{
    fm_status st = fm__enhance_deep(opts, in, w->job->pool, out, err);
    return st == FM_OK ? fm__deep_to_frame(*out, w->job->pool, out_rounded, err) : st;
}

static fm_status enhance(fm__enhance_worker *w, fm__picture *in, fm__picture *out, fm_error *err)
{
    const fm_frame_view *v = &in->color->view;
    fm_status st = fm__enhancer_check(w->enhancer, v->width, v->height, err);
    if (st == FM_OK) {
        st = in->deep ? run_deep(w, &w->opts, in->deep, &out->deep, &out->color, err)
                      : fm__enhancer_run(w->enhancer, in->color, &out->color, err);
    }
    if (st == FM_OK && in->alpha) {
        st = in->deep_alpha ? run_deep(w, &w->plain_opts, in->deep_alpha, &out->deep_alpha, &out->alpha, err)
                            : fm__enhancer_run(w->plain, in->alpha, &out->alpha, err);
    }
    return st;
}

static fm_status beside(
    fm__enhance_worker *w, fm_frame *in, const fm_frame *after, fm_frame **out, fm_error *err)
{
    fm_frame *before = NULL;
    fm_status st = fm__enhancer_run(w->plain, in, &before, err);
    st = st == FM_OK ? fm__enhance_side_by_side(w->job->pool, before, after, out, err) : st;
    fm_frame_unref(&before);
    return st;
}

static fm_status write_comparison(fm__enhance_worker *w, fm__picture *in, fm__picture *after, fm_error *err)
{
    const fm_enhance_opts *o = w->job->opts;
    fm__picture both = {.pages = 1};
    fm_status st = beside(w, in->color, after->color, &both.color, err);
    st = st == FM_OK && in->alpha ? beside(w, in->alpha, after->alpha, &both.alpha, err) : st;
    if (st == FM_OK) {
        st = fm__picture_save(
            o->compare, &both, &(fm__picture_save_opts){.quality = o->quality, .strip = true}, err);
    }
    fm__picture_done(&both);
    return st;
}

static void say_how_to_raise(fm_error *err, fm_status st)
{
    if (st == FM_DENIED && err && strstr(err->msg, "the limit of")) {
        fm_error why = *err;
        (void)fm__fail(err, st, "%s; --max-pixels raises it", why.msg);
    }
}

fm_status fm__enhance_one(
    fm__enhance_worker *w, const char *from, const char *to, bool *is_writing, fm_error *err)
{
    const fm_enhance_opts *o = w->job->opts;
    fm__picture in = {.pages = 1}, after = {.pages = 1};
    *is_writing = false;
    fm_status st = load(w->job, from, &in, err);
    if (st == FM_OK) {
        tell_losses(w->job, from, to, &in);
        st = enhance(w, &in, &after, err);
        if (st < 0) {
            fm__error_prefix(err, "'%s'", from);
        }
    }
    say_how_to_raise(err, st);
    if (st == FM_OK) {
        *is_writing = true;
        after.meta = in.meta;
        in.meta = NULL;
        st = fm__picture_save(
            to, &after, &(fm__picture_save_opts){.quality = o->quality, .strip = o->strip}, err);
    }
    st = st == FM_OK && o->compare ? write_comparison(w, &in, &after, err) : st;
    fm__picture_done(&in);
    fm__picture_done(&after);
    return st;
}

fm_status fm__enhance_picture(fm__enhance_job *j, fm_error *err)
{
    fm__enhance_worker w;
    bool is_writing = false;
    j->progress.expected = 1;
    if (!fm__enhance_tell(j)) {
        return fm__fail(err, FM_CANCELED, "stopped");
    }
    fm_status st = fm__enhance_worker_init(&w, j, fm__enhance_threads(j), err);
    st = st == FM_OK ? fm__enhance_one(&w, j->opts->input, j->opts->output, &is_writing, err) : st;
    fm__enhance_worker_done(&w);
    j->progress.done = 1;
    j->progress.failed = st != FM_OK;
    (void)fm__enhance_tell(j); // there is nothing left to stop
    return st;
}
