// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Other sizes by Lanczos, plane by plane, rows over threads. RGB is taken apart into its three planes and put
// together again: its own values are filtered, with no conversion in between. Subsampled chroma stays where
// it sits: its samples are placed by their pixels of luma in the source and in the result, so that colour is
// where luma is, whichever side the samples sit on and however odd the size is.

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

// A plane's samples along one axis, against pixels of luma.
typedef struct grid {
    int pixels;   // of luma
    double step;  // pixels from one sample to the next
    double shift; // of sample 0's left edge from that of pixel 0, in samples
} grid;

// Chroma that sits left has its first sample's centre where the first pixel has its own: half a pixel, a
// quarter of a sample, before the middle of the two pixels that share it.
static grid across(const fm_frame_view *v, int plane)
{
    int shift_x = 0, shift_y = 0;
    if (plane > 0) {
        fm__pixfmt_shift(v->format, &shift_x, &shift_y);
    }
    bool is_left = shift_x > 0 && v->chroma_site == FM_CHROMA_LEFT;
    return (grid){v->width, 1 << shift_x, is_left ? -0.25 : 0};
}

static grid down(const fm_frame_view *v, int plane)
{
    int shift_x = 0, shift_y = 0;
    if (plane > 0) {
        fm__pixfmt_shift(v->format, &shift_x, &shift_y);
    }
    return (grid){v->height, 1 << shift_y, 0};
}

// The part of the source, in its samples, that `count` samples of the destination cover.
static void part_of(const grid *src, const grid *dst, int count, double *start, double *size)
{
    double ratio = (double)src->pixels / dst->pixels * dst->step / src->step;
    *start = dst->shift * ratio - src->shift;
    *size = count * ratio;
}

fm_status fm__step_resize_plane(fm__step *s, const fm_frame *in, fm_frame *out, int plane, fm_error *err)
{
    fm__resample_desc desc = {.filter = FM__FILTER_LANCZOS3};
    const fm__resample_plan *plan = NULL;
    const grid from_x = across(&in->view, plane), to_x = across(&out->view, plane);
    const grid from_y = down(&in->view, plane), to_y = down(&out->view, plane);
    fm__pixfmt_plane_size(in->view.format, in->view.width, in->view.height, plane, &desc.src_w, &desc.src_h);
    fm__pixfmt_plane_size(
        out->view.format, out->view.width, out->view.height, plane, &desc.dst_w, &desc.dst_h);
    part_of(&from_x, &to_x, desc.dst_w, &desc.x, &desc.w);
    part_of(&from_y, &to_y, desc.dst_h, &desc.y, &desc.h);
    fm_status st = fm__kept_resample(&s->kept, &desc, &plan, err);
    if (st != FM_OK) {
        return st;
    }
    job j = {.plan = plan,
        .src = in->view.plane[plane],
        .src_stride = in->view.stride[plane],
        .dst = fm__frame_plane(out, plane),
        .dst_stride = out->view.stride[plane]};
    return fm__bands_run(&s->bands, desc.dst_h, BAND, fm__resample_scratch_size(plan), scale_rows, &j, err);
}

static fm_status resize_planes(
    fm__step *s, fm_pixfmt format, int width, int height, const fm_frame *in, fm_frame **out, fm_error *err)
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

fm_status fm__step_resize(
    fm__step *s, fm_pixfmt format, int width, int height, const fm_frame *in, fm_frame **out, fm_error *err)
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
