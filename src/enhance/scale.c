// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Other sizes by Lanczos, plane by plane, rows over threads. RGB is taken apart into its three planes and put
// together again: its own values are filtered, with no conversion in between. Subsampled chroma is enlarged
// about the picture's centre, which for chroma that sits left moves it by an eighth of its sample at most.

#include "base/error.h"
#include "enhance/bands.h"
#include "enhance/steps.h"
#include "ops/resample.h"

enum { BAND = 64 };

typedef struct job {
    const fm__resample_plan *plan;
    const uint8_t *src;
    ptrdiff_t src_stride;
    uint8_t *dst;
    ptrdiff_t dst_stride;
} job;

static void scale_rows(int y0, int y1, void *scratch, void *opaque)
{
    const job *j = opaque;
    fm__resample_rows(j->plan, j->src, j->src_stride, j->dst, j->dst_stride, y0, y1, scratch);
}

fm_status fm__step_resize_plane(
    const fm__step *s, const fm_frame *in, fm_frame *out, int plane, fm_error *err)
{
    fm__resample_desc desc = {.filter = FM__FILTER_LANCZOS3};
    fm__resample_plan *plan = NULL;
    fm__pixfmt_plane_size(in->view.format, in->view.width, in->view.height, plane, &desc.src_w, &desc.src_h);
    fm__pixfmt_plane_size(
        out->view.format, out->view.width, out->view.height, plane, &desc.dst_w, &desc.dst_h);
    fm_status st = fm__resample_plan_new(&desc, s->level, &plan, err);
    if (st != FM_OK) {
        return st;
    }
    job j = {.plan = plan,
        .src = in->view.plane[plane],
        .src_stride = in->view.stride[plane],
        .dst = fm__frame_plane(out, plane),
        .dst_stride = out->view.stride[plane]};
    st = fm__bands_run(s->threads, desc.dst_h, BAND, fm__resample_scratch_size(plan), scale_rows, &j, err);
    fm__resample_plan_free(&plan);
    return st;
}

static fm_status resize_planes(const fm__step *s, fm_pixfmt format, int width, int height, const fm_frame *in,
    fm_frame **out, fm_error *err)
{
    fm_frame *frame = NULL;
    fm_status st = fm__step_frame(s, in, format, width, height, &frame, err);
    for (int i = 0; st == FM_OK && i < fm_pixfmt_planes(format); i++) {
        st = fm__step_resize_plane(s, in, frame, i, err);
    }
    if (st != FM_OK) {
        fm_frame_unref(&frame);
        return st;
    }
    *out = frame;
    return FM_OK;
}

static void take_apart(const fm_frame *rgb, fm_frame *planes)
{
    for (int y = 0; y < rgb->view.height; y++) {
        const uint8_t *row = rgb->view.plane[0] + (ptrdiff_t)y * rgb->view.stride[0];
        for (int c = 0; c < 3; c++) {
            uint8_t *to = fm__frame_plane(planes, c) + (ptrdiff_t)y * planes->view.stride[c];
            for (int x = 0; x < rgb->view.width; x++) {
                to[x] = row[3 * x + c];
            }
        }
    }
}

static void put_together(const fm_frame *planes, fm_frame *rgb)
{
    for (int y = 0; y < rgb->view.height; y++) {
        uint8_t *row = fm__frame_plane(rgb, 0) + (ptrdiff_t)y * rgb->view.stride[0];
        for (int c = 0; c < 3; c++) {
            const uint8_t *from = planes->view.plane[c] + (ptrdiff_t)y * planes->view.stride[c];
            for (int x = 0; x < rgb->view.width; x++) {
                row[3 * x + c] = from[x];
            }
        }
    }
}

fm_status fm__step_resize(const fm__step *s, fm_pixfmt format, int width, int height, const fm_frame *in,
    fm_frame **out, fm_error *err)
{
    fm_frame *planes = NULL, *scaled = NULL, *rgb = NULL;
    if (in->view.format != FM_PIXFMT_RGB24) {
        return resize_planes(s, format, width, height, in, out, err);
    }
    // R, G and B in the planes of a format that has three of full size.
    fm_status st = fm__step_frame(s, in, FM_PIXFMT_YUV444P, in->view.width, in->view.height, &planes, err);
    if (st == FM_OK) {
        take_apart(in, planes);
        st = resize_planes(s, FM_PIXFMT_YUV444P, width, height, planes, &scaled, err);
    }
    fm_frame_unref(&planes);
    if (st == FM_OK) {
        st = fm__step_frame(s, in, FM_PIXFMT_RGB24, width, height, &rgb, err);
    }
    if (st == FM_OK) {
        put_together(scaled, rgb);
        *out = rgb;
    }
    fm_frame_unref(&scaled);
    return st;
}
