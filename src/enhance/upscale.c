// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A frame through a network once. Networks of luma get that plane, and chroma is enlarged by Lanczos; RGB is
// taken apart into full-range BT.601 for them and put together again. Networks of RGB get RGB: YUV becomes it
// by its own matrix and range, with chroma enlarged by Lanczos before and made smaller after.

#include "base/error.h"
#include "enhance/steps.h"
#include "ops/color_rgb.h"

#include <string.h>

enum { NO_COLOR = 128 };

static fm__rgb_coef coef_of(const fm_frame *f)
{
    bool has_own = f->view.format != FM_PIXFMT_RGB24 && f->view.format != FM_PIXFMT_GRAY8;
    return has_own ? fm__rgb_coef_of(f->view.matrix, f->view.range)
                   : fm__rgb_coef_of(FM_MATRIX_BT601, FM_RANGE_FULL);
}

static uint8_t *row_of(fm_frame *f, int plane, int y)
{
    return fm__frame_plane(f, plane) + (ptrdiff_t)y * f->view.stride[plane];
}

static const uint8_t *seen_row(const fm_frame *f, int plane, int y)
{
    return f->view.plane[plane] + (ptrdiff_t)y * f->view.stride[plane];
}

static fm_status to_yuv(
    fm__step *s, const fm__rgb_coef *coef, const fm_frame *rgb, fm_frame **out, fm_error *err)
{
    fm_frame *yuv = NULL;
    fm_status st = fm__step_frame(s, rgb, FM_PIXFMT_YUV444P, rgb->view.width, rgb->view.height, &yuv, err);
    for (int y = 0; st == FM_OK && y < rgb->view.height; y++) {
        uint8_t *const rows[3] = {row_of(yuv, 0, y), row_of(yuv, 1, y), row_of(yuv, 2, y)};
        fm__rgb_row_to_yuv(rows, seen_row(rgb, 0, y), (size_t)rgb->view.width, coef, s->level);
    }
    *out = yuv;
    return st;
}

static fm_status to_rgb(
    fm__step *s, const fm__rgb_coef *coef, const fm_frame *yuv, fm_frame **out, fm_error *err)
{
    fm_frame *rgb = NULL;
    fm_status st = fm__step_frame(s, yuv, FM_PIXFMT_RGB24, yuv->view.width, yuv->view.height, &rgb, err);
    for (int y = 0; st == FM_OK && y < yuv->view.height; y++) {
        const uint8_t *const rows[3] = {seen_row(yuv, 0, y), seen_row(yuv, 1, y), seen_row(yuv, 2, y)};
        fm__yuv_row_to_rgb(row_of(rgb, 0, y), rows, (size_t)yuv->view.width, coef, s->level);
    }
    *out = rgb;
    return st;
}

// The first plane through the network into a frame of in's format, larger.
static fm_status first_plane(
    fm__step *s, fm__superres *net, const fm_frame *in, fm_frame **out, fm_error *err)
{
    int scale = fm__superres_scale(net);
    const fm_frame_view *v = &in->view;
    fm_frame *large = NULL;
    fm_status st = fm__step_frame(s, in, v->format, v->width * scale, v->height * scale, &large, err);
    if (st == FM_OK) {
        st = fm__superres_run(net, v->plane[0], v->stride[0], v->width, v->height, fm__frame_plane(large, 0),
            large->view.stride[0], err);
    }
    *out = large;
    return st;
}

static fm_status luma_of(fm__step *s, fm__superres *net, const fm_frame *in, fm_frame **out, fm_error *err)
{
    fm_status st = first_plane(s, net, in, out, err);
    for (int i = 1; st == FM_OK && i < fm_pixfmt_planes(in->view.format); i++) {
        st = fm__step_resize_plane(s, in, *out, i, err);
    }
    return st;
}

static fm_status luma_of_rgb(
    fm__step *s, fm__superres *net, const fm_frame *in, fm_frame **out, fm_error *err)
{
    fm__rgb_coef coef = coef_of(in);
    fm_frame *yuv = NULL, *large = NULL;
    fm_status st = to_yuv(s, &coef, in, &yuv, err);
    st = st == FM_OK ? luma_of(s, net, yuv, &large, err) : st;
    st = st == FM_OK ? to_rgb(s, &coef, large, out, err) : st;
    fm_frame_unref(&yuv);
    fm_frame_unref(&large);
    return st;
}

// A frame with three planes of full size.
static fm_status full_chroma(fm__step *s, const fm_frame *in, fm_frame **out, fm_error *err)
{
    int w = in->view.width, h = in->view.height;
    if (in->view.format != FM_PIXFMT_GRAY8) {
        return fm__step_resize(s, FM_PIXFMT_YUV444P, w, h, in, out, err);
    }
    fm_frame *f = NULL;
    fm_status st = fm__step_frame(s, in, FM_PIXFMT_YUV444P, w, h, &f, err);
    for (int y = 0; st == FM_OK && y < h; y++) {
        memcpy(row_of(f, 0, y), seen_row(in, 0, y), (size_t)w);
        memset(row_of(f, 1, y), NO_COLOR, (size_t)w);
        memset(row_of(f, 2, y), NO_COLOR, (size_t)w);
    }
    *out = f;
    return st;
}

static fm_status rgb_of_yuv(fm__step *s, fm__superres *net, const fm_frame *in, fm_frame **out, fm_error *err)
{
    fm__rgb_coef coef = coef_of(in);
    fm_frame *full = NULL, *rgb = NULL, *large = NULL, *large_yuv = NULL;
    fm_status st = full_chroma(s, in, &full, err);
    st = st == FM_OK ? to_rgb(s, &coef, full, &rgb, err) : st;
    st = st == FM_OK ? first_plane(s, net, rgb, &large, err) : st;
    st = st == FM_OK ? to_yuv(s, &coef, large, &large_yuv, err) : st;
    if (st == FM_OK) {
        st = fm__step_resize(s, in->view.format, large->view.width, large->view.height, large_yuv, out, err);
    }
    fm_frame_unref(&full);
    fm_frame_unref(&rgb);
    fm_frame_unref(&large);
    fm_frame_unref(&large_yuv);
    return st;
}

fm_status fm__step_upscale(fm__step *s, fm__superres *net, fm_frame *in, fm_frame **out, fm_error *err)
{
    bool is_rgb = in->view.format == FM_PIXFMT_RGB24, wants_rgb = fm__superres_channels(net) == 3;
    fm_frame *large = NULL;
    fm_status st = wants_rgb ? (is_rgb ? first_plane : rgb_of_yuv)(s, net, in, &large, err)
                             : (is_rgb ? luma_of_rgb : luma_of)(s, net, in, &large, err);
    if (st != FM_OK) {
        fm_frame_unref(&large);
        return st;
    }
    *out = large;
    return FM_OK;
}
