// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The chain of steps. Each makes a new frame and lets the one before go, so that two are held at most beside
// the input; frames come from a pool, whose blocks a video's next frame uses again. For video, noise and
// colour statistics move towards each frame's by SHARE: a time constant of about ten frames, no flicker.

#include "enhance/enhance.h"

#include "base/alloc.h"
#include "base/error.h"
#include "enhance/steps.h"
#include "enhance/window.h"
#include "ops/color_rgb.h"

#include <string.h>

enum { MAX_SIDE = 65535 }; // of frames and of the kernels

#define SHARE 0.1
#define DEFAULT_MAX_PIXELS ((int64_t)16384 * 16384 / 2)

struct fm__enhancer {
    fm__enhance_opts opts;
    fm__step step;
    fm__noise_state noise;
    fm__color_state color;
    fm__window window;      // of FM__DENOISE_NLM_T
    fm__superres *superres; // NULL: Lanczos enlarges
    int largest;            // scale of the largest frame on the way
};

fm_status fm__step_frame(
    fm__step *s, const fm_frame *like, fm_pixfmt format, int width, int height, fm_frame **out, fm_error *err)
{
    fm_frame *f = NULL;
    fm_status st = fm__kept_frame(&s->kept, format, width, height, &f, err);
    if (st != FM_OK) {
        return st;
    }
    f->view.matrix = like->view.matrix;
    f->view.range = like->view.range;
    f->view.chroma_site = like->view.chroma_site;
    f->pts_ns = like->pts_ns;
    f->wall_ns = like->wall_ns;
    f->index = like->index;
    memcpy(f->file, like->file, sizeof(f->file));
    *out = f;
    return FM_OK;
}

static fm_status turned(fm__step *s, fm_frame *bgr, fm_frame **out, fm_error *err)
{
    const fm_frame_view *v = &bgr->view;
    fm_frame *f = NULL;
    fm_status st = fm__step_frame(s, bgr, FM_PIXFMT_RGB24, v->width, v->height, &f, err);
    if (st != FM_OK) {
        return st;
    }
    for (int y = 0; y < v->height; y++) {
        fm__rgb_row_turn(fm__frame_plane(f, 0) + (ptrdiff_t)y * f->view.stride[0],
            v->plane[0] + (ptrdiff_t)y * v->stride[0], (size_t)v->width);
    }
    *out = f;
    return FM_OK;
}

static fm_status planar(fm__step *s, fm_frame *in, fm_frame **out, fm_error *err)
{
    const fm_frame_view *v = &in->view;
    fm_frame *f = NULL;
    fm_status st = FM_OK;
    if (v->format == FM_PIXFMT_BGR24) {
        return turned(s, in, out, err);
    }
    if (v->format != FM_PIXFMT_NV12) {
        *out = fm_frame_ref(in);
        return FM_OK;
    }
    st = fm__step_frame(s, in, FM_PIXFMT_YUV420P, v->width, v->height, &f, err);
    if (st != FM_OK) {
        return st;
    }
    for (int y = 0; y < v->height; y++) {
        memcpy(fm__frame_plane(f, 0) + (ptrdiff_t)y * f->view.stride[0],
            v->plane[0] + (ptrdiff_t)y * v->stride[0], (size_t)v->width);
    }
    for (int y = 0; y < (v->height + 1) / 2; y++) {
        const uint8_t *uv = v->plane[1] + (ptrdiff_t)y * v->stride[1];
        uint8_t *u = fm__frame_plane(f, 1) + (ptrdiff_t)y * f->view.stride[1];
        uint8_t *w = fm__frame_plane(f, 2) + (ptrdiff_t)y * f->view.stride[2];
        for (int x = 0; x < (v->width + 1) / 2; x++) {
            u[x] = uv[2 * x];
            w[x] = uv[2 * x + 1];
        }
    }
    *out = f;
    return FM_OK;
}

static fm_status denoise(fm__enhancer *e, fm_frame *in, fm_frame **out, fm_error *err)
{
    double share = e->opts.is_video ? SHARE : 1;
    return fm__step_denoise(&e->step, &e->opts.spec, &e->noise, share, in, out, err);
}

static fm_status correct(fm__enhancer *e, fm_frame *in, fm_frame **out, fm_error *err)
{
    fm__color_state *state = e->opts.is_video ? &e->color : NULL;
    return fm__step_correct(&e->step, &e->opts.spec.color, state, (float)SHARE, in, out, err);
}

static fm_status look_up(fm__enhancer *e, fm_frame *in, fm_frame **out, fm_error *err)
{
    return fm__step_look_up(&e->step, e->opts.lut, in, out, err);
}

static fm_status lanczos(fm__enhancer *e, int width, int height, fm_frame *in, fm_frame **out, fm_error *err)
{
    return fm__step_resize(&e->step, in->view.format, width, height, in, out, err);
}

// As often through the network as it takes to reach the scale; Lanczos makes of more what was asked for.
static fm_status enlarge(fm__enhancer *e, fm_frame *in, fm_frame **out, fm_error *err)
{
    int width = in->view.width * e->opts.spec.scale, height = in->view.height * e->opts.spec.scale;
    fm_frame *now = fm_frame_ref(in), *next = NULL;
    fm_status st = FM_OK;
    while (st == FM_OK && e->superres && now->view.width < width) {
        st = fm__step_upscale(&e->step, e->superres, now, &next, err);
        fm_frame_unref(&now);
        now = next;
        next = NULL;
    }
    if (st == FM_OK && now->view.width != width) {
        st = lanczos(e, width, height, now, &next, err);
        fm_frame_unref(&now);
        now = next;
    }
    *out = st == FM_OK ? now : NULL;
    return st;
}

typedef fm_status (*step_fn)(fm__enhancer *e, fm_frame *in, fm_frame **out, fm_error *err);

// *frame becomes what the step makes of it.
static fm_status apply(fm__enhancer *e, bool wanted, step_fn fn, fm_frame **frame, fm_error *err)
{
    fm_frame *next = NULL;
    if (!wanted) {
        return FM_OK;
    }
    fm_status st = fn(e, *frame, &next, err);
    if (st == FM_OK) {
        fm_frame_unref(frame);
        *frame = next;
    }
    return st;
}

static const char *on_the_way(const fm__enhancer *e)
{
    return e->largest > e->opts.spec.scale ? " on the way" : "";
}

fm_status fm__enhancer_check(const fm__enhancer *e, int width, int height, fm_error *err)
{
    int64_t limit = e->opts.max_pixels > 0 ? e->opts.max_pixels : DEFAULT_MAX_PIXELS;
    int64_t scale = e->largest, w = width * scale, h = height * scale;
    if (w > MAX_SIDE || h > MAX_SIDE) {
        return fm__fail(err, FM_DENIED, "the result would be %lldx%lld%s; %d a side is the limit",
            (long long)w, (long long)h, on_the_way(e), MAX_SIDE);
    }
    if (w * h > limit) {
        return fm__fail(err, FM_DENIED, "the result would be %lldx%lld%s, more than the limit of %lld pixels",
            (long long)w, (long long)h, on_the_way(e), (long long)limit);
    }
    return FM_OK;
}

fm_status fm__enhancer_new(const fm__enhance_opts *opts, fm__enhancer **out, fm_error *err)
{
    fm__enhancer *e = fm__calloc(FM_TAG_ENHANCE, sizeof(*e));
    if (!e) {
        return fm__fail_nomem(err, "an enhancer");
    }
    e->opts = *opts;
    int own = opts->upscaler ? opts->upscaler->head->scale : 1;
    e->opts.spec.scale = opts->spec.scale < 1 ? own : opts->spec.scale;
    for (e->largest = own > 1 ? 1 : e->opts.spec.scale; e->largest < e->opts.spec.scale;) {
        e->largest *= own;
    }
    e->step.level = fm__cpu_level();
    e->step.kept.level = e->step.level;
    e->step.bands.threads = opts->threads;
    fm_status st = opts->upscaler ? fm__superres_new(opts->upscaler, &e->superres, err) : FM_OK;
    if (st != FM_OK) {
        fm__enhancer_free(&e);
        return st;
    }
    *out = e;
    return FM_OK;
}

void fm__enhancer_free(fm__enhancer **e)
{
    if (e && *e) {
        fm__superres_free(&(*e)->superres);
        fm__window_clear(&(*e)->window);
        fm__kept_done(&(*e)->step.kept);
        fm__bands_done(&(*e)->step.bands);
        fm__free(*e);
        *e = NULL;
    }
}

static bool is_temporal(const fm__enhancer *e)
{
    return e->opts.spec.denoise == FM__DENOISE_NLM_T;
}

// What comes after denoising; the frame is given up.
static fm_status finish(fm__enhancer *e, fm_frame *frame, fm_frame **out, fm_error *err)
{
    const fm__enhance_opts *o = &e->opts;
    fm_status st = apply(e, o->spec.has_color, correct, &frame, err);
    st = st == FM_OK ? apply(e, o->lut != NULL, look_up, &frame, err) : st;
    st = st == FM_OK ? apply(e, o->spec.scale > 1, enlarge, &frame, err) : st;
    if (st != FM_OK) {
        fm_frame_unref(&frame);
        return st;
    }
    *out = frame;
    return FM_OK;
}

fm_status fm__enhancer_run(fm__enhancer *e, fm_frame *in, fm_frame **out, fm_error *err)
{
    fm_frame *frame = NULL;
    if (is_temporal(e)) {
        return fm__fail(
            err, FM_INVAL, "denoise: nlm-t looks at the frames around; take nlm where there are none");
    }
    fm_status st = fm__enhancer_check(e, in->view.width, in->view.height, err);
    st = st == FM_OK ? planar(&e->step, in, &frame, err) : st;
    st = st == FM_OK ? apply(e, e->opts.spec.denoise != FM__DENOISE_NONE, denoise, &frame, err) : st;
    if (st != FM_OK) {
        fm_frame_unref(&frame);
        return st;
    }
    return finish(e, frame, out, err);
}

static fm_status next_of_window(fm__enhancer *e, bool has_ended, fm_frame **out, fm_error *err)
{
    fm_frame *frame = NULL;
    fm_status st = fm__window_take(&e->window, &e->step, &e->opts.spec, has_ended, &frame, err);
    return st == FM_OK ? finish(e, frame, out, err) : st;
}

fm_status fm__enhancer_push(fm__enhancer *e, fm_frame *in, fm_frame **out, fm_error *err)
{
    fm_frame *frame = NULL;
    if (!is_temporal(e)) {
        return fm__enhancer_run(e, in, out, err);
    }
    fm_status st = fm__enhancer_check(e, in->view.width, in->view.height, err);
    st = st == FM_OK ? planar(&e->step, in, &frame, err) : st;
    st = st == FM_OK ? fm__window_push(&e->window, &e->step, &e->opts.spec, frame, err) : st;
    fm_frame_unref(&frame);
    return st == FM_OK ? next_of_window(e, false, out, err) : st;
}

fm_status fm__enhancer_flush(fm__enhancer *e, fm_frame **out, fm_error *err)
{
    return is_temporal(e) ? next_of_window(e, true, out, err) : FM_EOF;
}
