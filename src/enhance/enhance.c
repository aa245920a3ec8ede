// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The chain of steps. Each makes a new frame and lets the one before go, so that two are held at most beside
// the input; frames come from a pool, whose blocks a video's next frame uses again. For video, noise and
// colour statistics move towards each frame's by SHARE: a time constant of about ten frames, no flicker.

#include "enhance/enhance.h"

#include "base/alloc.h"
#include "base/error.h"
#include "enhance/steps.h"

#include <string.h>

enum { MAX_SIDE = 65535 }; // of frames and of the kernels

#define SHARE 0.1
#define DEFAULT_MAX_PIXELS ((int64_t)16384 * 16384 / 2)

struct fm__enhancer {
    fm__enhance_opts opts;
    fm__step step;
    fm__noise_state noise;
    fm__color_state color;
    fm__superres *superres; // NULL: Lanczos enlarges
    int largest;            // scale of the largest frame on the way
};

fm_status fm__step_frame(const fm__step *s, const fm_frame *like, fm_pixfmt format, int width, int height,
    fm_frame **out, fm_error *err)
{
    fm_frame *f = NULL;
    fm_status st = fm__frame_pool_take_pixels(s->pool, format, width, height, &f, err);
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

static fm_status planar(const fm__step *s, fm_frame *in, fm_frame **out, fm_error *err)
{
    const fm_frame_view *v = &in->view;
    fm_frame *f = NULL;
    if (v->format != FM_PIXFMT_NV12) {
        *out = fm_frame_ref(in);
        return FM_OK;
    }
    fm_status st = fm__step_frame(s, in, FM_PIXFMT_YUV420P, v->width, v->height, &f, err);
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

static void planes_of(fm_frame *f, uint8_t *planes[FM_MAX_PLANES])
{
    for (int i = 0; i < fm_pixfmt_planes(f->view.format); i++) {
        planes[i] = fm__frame_plane(f, i);
    }
}

static fm_status correct(fm__enhancer *e, fm_frame *in, fm_frame **out, fm_error *err)
{
    const fm_frame_view *v = &in->view;
    const fm__color_desc desc = {v->width, v->height, v->format, v->matrix, v->range};
    fm__color_plan *plan = NULL;
    fm_frame *f = NULL;
    fm__color_stats now;
    fm__color_params params;
    uint8_t *planes[FM_MAX_PLANES] = {NULL};
    void *scratch = NULL;
    fm_status st = fm__color_plan_new(&desc, e->step.level, &plan, err);
    st = st == FM_OK ? fm__step_frame(&e->step, in, v->format, v->width, v->height, &f, err) : st;
    if (st == FM_OK) {
        scratch = fm__calloc_aligned(FM_TAG_ENHANCE, fm__color_scratch_size(plan), 64);
        st = scratch ? FM_OK : fm__fail_nomem(err, "colour correction");
    }
    if (st == FM_OK) {
        bool is_yuv = v->format != FM_PIXFMT_RGB24 && v->format != FM_PIXFMT_GRAY8;
        fm__color_stats_of(v, &now);
        fm__color_smooth(&e->color, &now, e->opts.is_video ? (float)SHARE : 1);
        fm__color_params_of(
            &e->opts.spec.color, &e->color.stats, is_yuv ? v->matrix : FM_MATRIX_BT601, &params);
        planes_of(f, planes);
        fm__color_apply(plan, &params, v, planes, f->view.stride, e->opts.is_video ? &e->color : NULL,
            (float)SHARE, scratch);
        *out = f;
        f = NULL;
    }
    fm_frame_unref(&f);
    fm__free(scratch);
    fm__color_plan_free(&plan);
    return st;
}

static fm_status look_up(fm__enhancer *e, fm_frame *in, fm_frame **out, fm_error *err)
{
    const fm_frame_view *v = &in->view;
    uint8_t *planes[FM_MAX_PLANES] = {NULL};
    fm_frame *f = NULL;
    void *scratch = fm__calloc_aligned(FM_TAG_ENHANCE, fm__lut3d_scratch_size(v->width), 64);
    if (!scratch) {
        return fm__fail_nomem(err, "a colour table");
    }
    fm_status st = fm__step_frame(&e->step, in, v->format, v->width, v->height, &f, err);
    if (st == FM_OK) {
        planes_of(f, planes);
        fm__lut3d_frame(e->opts.lut, v, planes, f->view.stride, scratch, e->step.level);
        *out = f;
    }
    fm__free(scratch);
    return st;
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

static fm_status check_size(const fm__enhancer *e, const fm_frame *in, fm_error *err)
{
    int64_t limit = e->opts.max_pixels > 0 ? e->opts.max_pixels : DEFAULT_MAX_PIXELS;
    int64_t scale = e->largest, w = in->view.width * scale, h = in->view.height * scale;
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
    e->step.threads = opts->threads < 1 ? 1 : opts->threads;
    fm_status st = fm__frame_pool_new(&e->step.pool, err);
    st = st == FM_OK && opts->upscaler ? fm__superres_new(opts->upscaler, &e->superres, err) : st;
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
        fm__frame_pool_free(&(*e)->step.pool);
        fm__free(*e);
        *e = NULL;
    }
}

fm_status fm__enhancer_run(fm__enhancer *e, fm_frame *in, fm_frame **out, fm_error *err)
{
    const fm__enhance_opts *o = &e->opts;
    fm_frame *frame = NULL;
    fm_status st = check_size(e, in, err);
    st = st == FM_OK ? planar(&e->step, in, &frame, err) : st;
    st = st == FM_OK ? apply(e, o->spec.denoise != FM__DENOISE_NONE, denoise, &frame, err) : st;
    st = st == FM_OK ? apply(e, o->spec.has_color, correct, &frame, err) : st;
    st = st == FM_OK ? apply(e, o->lut != NULL, look_up, &frame, err) : st;
    st = st == FM_OK ? apply(e, o->spec.scale > 1, enlarge, &frame, err) : st;
    if (st != FM_OK) {
        fm_frame_unref(&frame);
        return st;
    }
    *out = frame;
    return FM_OK;
}
