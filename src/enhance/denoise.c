// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Non-local means over a frame: luma alone, then both chroma planes with shared weights, as OpenCV's coloured
// variant does. RGB goes to full-range BT.601 at full chroma size and back (OpenCV takes L*a*b*). Automatic
// strength: the noise of luma and of chroma is measured apart (src/ops/noise.c), since cameras and codecs
// treat them apart.

#include "base/error.h"
#include "enhance/bands.h"
#include "enhance/steps.h"
#include "ops/color_rgb.h"
#include "ops/nlm.h"
#include "ops/noise.h"

#include <string.h>

enum { BAND = 64 }; // rows; scratch is for so many, and 1080p makes 17 of them

typedef struct job {
    const fm__nlm_plan *plan;
    fm__nlm_frame src;
    uint8_t *dst[FM__NLM_MAX_PLANES];
    ptrdiff_t dst_stride[FM__NLM_MAX_PLANES];
} job;

static void clean_rows(int y0, int y1, void *scratch, void *opaque)
{
    const job *j = opaque;
    fm__nlm_rows(j->plan, &j->src, j->dst, j->dst_stride, y0, y1, scratch);
}

static void copy_plane(const fm_frame *in, fm_frame *out, int plane)
{
    int w, h;
    fm__pixfmt_plane_size(in->view.format, in->view.width, in->view.height, plane, &w, &h);
    for (int y = 0; y < h; y++) {
        memcpy(fm__frame_plane(out, plane) + (ptrdiff_t)y * out->view.stride[plane],
            in->view.plane[plane] + (ptrdiff_t)y * in->view.stride[plane], (size_t)w);
    }
}

// Planes first to first + count - 1, all of one size.
static fm_status clean_planes(
    const fm__step *s, const fm_frame *in, fm_frame *out, int first, int count, float h, fm_error *err)
{
    job j = {.plan = NULL};
    fm__nlm_desc desc = {.planes = count, .h = h, .band = BAND};
    fm__nlm_plan *plan = NULL;
    for (int i = 0; i < count; i++) {
        j.src.plane[i] = in->view.plane[first + i];
        j.src.stride[i] = in->view.stride[first + i];
        j.dst[i] = fm__frame_plane(out, first + i);
        j.dst_stride[i] = out->view.stride[first + i];
        if (h <= 0) {
            copy_plane(in, out, first + i);
        }
    }
    if (h <= 0) {
        return FM_OK;
    }
    fm__pixfmt_plane_size(in->view.format, in->view.width, in->view.height, first, &desc.width, &desc.height);
    fm_status st = fm__nlm_plan_new(&desc, s->level, &plan, err);
    if (st == FM_OK) {
        j.plan = plan;
        st = fm__bands_run(s->threads, desc.height, BAND, fm__nlm_scratch_size(plan), clean_rows, &j, err);
    }
    fm__nlm_plan_free(&plan);
    return st;
}

static double measure(const fm_frame *in, int first, int count)
{
    fm__noise_stats stats = {.count = {0}};
    int w, h;
    fm__pixfmt_plane_size(in->view.format, in->view.width, in->view.height, first, &w, &h);
    for (int i = first; i < first + count; i++) {
        fm__noise_add(&stats, in->view.plane[i], in->view.stride[i], w, h, 0, h);
    }
    return fm__noise_sigma(&stats);
}

static void follow(double *value, double now, double share, bool has)
{
    *value = has ? *value + share * (now - *value) : now;
}

static void strengths(const fm__enhance_spec *spec, fm__noise_state *noise, double share, const fm_frame *in,
    float *h, float *h_color)
{
    bool has_chroma = in->view.format != FM_PIXFMT_GRAY8;
    if (spec->denoise == FM__DENOISE_NLM) {
        *h = spec->h;
        *h_color = spec->h_color;
        return;
    }
    follow(&noise->luma, measure(in, 0, 1), share, noise->has);
    if (has_chroma) {
        follow(&noise->chroma, measure(in, 1, 2), share, noise->has);
    }
    noise->has = true;
    *h = fm__nlm_auto_luma(noise->luma);
    *h_color = fm__nlm_auto_chroma(noise->chroma);
}

static fm_status clean(const fm__step *s, const fm__enhance_spec *spec, fm__noise_state *noise, double share,
    fm_frame *in, fm_frame **out, fm_error *err)
{
    float h = 0, h_color = 0;
    fm_frame *frame = NULL;
    strengths(spec, noise, share, in, &h, &h_color);
    if (h <= 0 && h_color <= 0) {
        *out = fm_frame_ref(in);
        return FM_OK;
    }
    fm_status st = fm__step_frame(s, in, in->view.format, in->view.width, in->view.height, &frame, err);
    if (st == FM_OK) {
        st = clean_planes(s, in, frame, 0, 1, h, err);
    }
    if (st == FM_OK && in->view.format != FM_PIXFMT_GRAY8) {
        st = clean_planes(s, in, frame, 1, 2, h_color, err);
    }
    if (st != FM_OK) {
        fm_frame_unref(&frame);
        return st;
    }
    *out = frame;
    return FM_OK;
}

static void split(const fm__step *s, const fm_frame *rgb, fm_frame *ycc)
{
    for (int y = 0; y < rgb->view.height; y++) {
        uint8_t *row[3];
        for (int i = 0; i < 3; i++) {
            row[i] = fm__frame_plane(ycc, i) + (ptrdiff_t)y * ycc->view.stride[i];
        }
        fm__rgb_to_ycc(row[0], row[1], row[2], rgb->view.plane[0] + (ptrdiff_t)y * rgb->view.stride[0],
            (size_t)rgb->view.width, s->level);
    }
}

static void join(const fm__step *s, const fm_frame *ycc, fm_frame *rgb)
{
    for (int y = 0; y < rgb->view.height; y++) {
        const uint8_t *row[3];
        for (int i = 0; i < 3; i++) {
            row[i] = ycc->view.plane[i] + (ptrdiff_t)y * ycc->view.stride[i];
        }
        fm__ycc_to_rgb(fm__frame_plane(rgb, 0) + (ptrdiff_t)y * rgb->view.stride[0], row[0], row[1], row[2],
            (size_t)rgb->view.width, s->level);
    }
}

static fm_status clean_rgb(const fm__step *s, const fm__enhance_spec *spec, fm__noise_state *noise,
    double share, fm_frame *in, fm_frame **out, fm_error *err)
{
    fm_frame *ycc = NULL, *cleaned = NULL, *rgb = NULL;
    int w = in->view.width, h = in->view.height;
    fm_status st = fm__step_frame(s, in, FM_PIXFMT_YUV444P, w, h, &ycc, err);
    if (st == FM_OK) {
        split(s, in, ycc);
        st = clean(s, spec, noise, share, ycc, &cleaned, err);
    }
    if (st == FM_OK && cleaned == ycc) { // nothing to clean: not even the rounding of a conversion
        *out = fm_frame_ref(in);
    } else if (st == FM_OK) {
        st = fm__step_frame(s, in, FM_PIXFMT_RGB24, w, h, &rgb, err);
        if (st == FM_OK) {
            join(s, cleaned, rgb);
            *out = rgb;
        }
    }
    fm_frame_unref(&ycc);
    fm_frame_unref(&cleaned);
    return st;
}

fm_status fm__step_denoise(const fm__step *s, const fm__enhance_spec *spec, fm__noise_state *noise,
    double share, fm_frame *in, fm_frame **out, fm_error *err)
{
    return in->view.format == FM_PIXFMT_RGB24 ? clean_rgb(s, spec, noise, share, in, out, err)
                                              : clean(s, spec, noise, share, in, out, err);
}
