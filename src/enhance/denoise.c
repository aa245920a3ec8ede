// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Non-local means over a frame: luma alone, then both chroma planes with shared weights, as OpenCV's coloured
// variant does. RGB goes to full-range BT.601 at full chroma size and back (OpenCV takes L*a*b*). Automatic
// strength: the noise of luma and of chroma is measured apart (src/ops/noise.c), since cameras and codecs
// treat them apart. The frames before and after may be searched too: window.c says which.

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
    fm__nlm_frame src[FM__NLM_MAX_FRAMES];
    uint8_t *dst[FM__NLM_MAX_PLANES];
    ptrdiff_t dst_stride[FM__NLM_MAX_PLANES];
} job;

static void clean_rows(int y0, int y1, void *scratch, void *opaque)
{
    const job *j = opaque;
    fm__nlm_rows(j->plan, j->src, j->dst, j->dst_stride, y0, y1, scratch);
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

// Planes first to first + count - 1 of frames[0], all of one size.
static fm_status clean_planes(fm__step *s, const fm_frame *const *frames, int frame_count, fm_frame *out,
    int first, int count, float h, fm_error *err)
{
    job j = {.plan = NULL};
    const fm_frame_view *v = &frames[0]->view;
    fm__nlm_desc desc = {.planes = count, .h = h, .frames = frame_count, .band = BAND};
    for (int i = 0; i < count; i++) {
        for (int f = 0; f < frame_count; f++) {
            j.src[f].plane[i] = frames[f]->view.plane[first + i];
            j.src[f].stride[i] = frames[f]->view.stride[first + i];
        }
        j.dst[i] = fm__frame_plane(out, first + i);
        j.dst_stride[i] = out->view.stride[first + i];
        if (h <= 0) {
            copy_plane(frames[0], out, first + i);
        }
    }
    if (h <= 0) {
        return FM_OK;
    }
    fm__pixfmt_plane_size(v->format, v->width, v->height, first, &desc.width, &desc.height);
    fm_status st = fm__kept_nlm(&s->kept, &desc, &j.plan, err);
    if (st == FM_OK) {
        st = fm__bands_run(&s->bands, desc.height, BAND, fm__nlm_scratch_size(j.plan), clean_rows, &j, err);
    }
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
    if (spec->denoise != FM__DENOISE_AUTO) {
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

fm_status fm__step_clean(fm__step *s, float h, float h_color, const fm_frame *const *frames, int count,
    fm_frame **out, fm_error *err)
{
    const fm_frame_view *v = &frames[0]->view;
    fm_frame *frame = NULL;
    fm_status st = fm__step_frame(s, frames[0], v->format, v->width, v->height, &frame, err);
    if (st == FM_OK) {
        st = clean_planes(s, frames, count, frame, 0, 1, h, err);
    }
    if (st == FM_OK && v->format != FM_PIXFMT_GRAY8) {
        st = clean_planes(s, frames, count, frame, 1, 2, h_color, err);
    }
    if (st != FM_OK) {
        fm_frame_unref(&frame);
        return st;
    }
    *out = frame;
    return FM_OK;
}

static fm_status clean(fm__step *s, const fm__enhance_spec *spec, fm__noise_state *noise, double share,
    fm_frame *in, fm_frame **out, fm_error *err)
{
    const fm_frame *const frames[] = {in};
    float h = 0, h_color = 0;
    strengths(spec, noise, share, in, &h, &h_color);
    if (h <= 0 && h_color <= 0) {
        *out = fm_frame_ref(in);
        return FM_OK;
    }
    return fm__step_clean(s, h, h_color, frames, 1, out, err);
}

fm_status fm__step_split(fm__step *s, const fm_frame *rgb, fm_frame **out, fm_error *err)
{
    fm_frame *ycc = NULL;
    fm_status st = fm__step_frame(s, rgb, FM_PIXFMT_YUV444P, rgb->view.width, rgb->view.height, &ycc, err);
    for (int y = 0; st == FM_OK && y < rgb->view.height; y++) {
        uint8_t *row[3];
        for (int i = 0; i < 3; i++) {
            row[i] = fm__frame_plane(ycc, i) + (ptrdiff_t)y * ycc->view.stride[i];
        }
        fm__rgb_to_ycc(row[0], row[1], row[2], rgb->view.plane[0] + (ptrdiff_t)y * rgb->view.stride[0],
            (size_t)rgb->view.width, s->level);
    }
    *out = ycc;
    return st;
}

fm_status fm__step_join(fm__step *s, const fm_frame *ycc, fm_frame **out, fm_error *err)
{
    fm_frame *rgb = NULL;
    fm_status st = fm__step_frame(s, ycc, FM_PIXFMT_RGB24, ycc->view.width, ycc->view.height, &rgb, err);
    for (int y = 0; st == FM_OK && y < ycc->view.height; y++) {
        const uint8_t *row[3];
        for (int i = 0; i < 3; i++) {
            row[i] = ycc->view.plane[i] + (ptrdiff_t)y * ycc->view.stride[i];
        }
        fm__ycc_to_rgb(fm__frame_plane(rgb, 0) + (ptrdiff_t)y * rgb->view.stride[0], row[0], row[1], row[2],
            (size_t)rgb->view.width, s->level);
    }
    *out = rgb;
    return st;
}

static fm_status clean_rgb(fm__step *s, const fm__enhance_spec *spec, fm__noise_state *noise, double share,
    fm_frame *in, fm_frame **out, fm_error *err)
{
    fm_frame *ycc = NULL, *cleaned = NULL;
    fm_status st = fm__step_split(s, in, &ycc, err);
    st = st == FM_OK ? clean(s, spec, noise, share, ycc, &cleaned, err) : st;
    if (st == FM_OK && cleaned == ycc) { // nothing to clean: not even the rounding of a conversion
        *out = fm_frame_ref(in);
    } else if (st == FM_OK) {
        st = fm__step_join(s, cleaned, out, err);
    }
    fm_frame_unref(&ycc);
    fm_frame_unref(&cleaned);
    return st;
}

fm_status fm__step_denoise(fm__step *s, const fm__enhance_spec *spec, fm__noise_state *noise, double share,
    fm_frame *in, fm_frame **out, fm_error *err)
{
    return in->view.format == FM_PIXFMT_RGB24 ? clean_rgb(s, spec, noise, share, in, out, err)
                                              : clean(s, spec, noise, share, in, out, err);
}
