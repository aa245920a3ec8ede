// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Crop: a box of a frame becomes a frame of its own, whose planes begin at the box's first samples, and is
// drawn by a letterbox plan that lives in scratch. The box is what Python programs cut out before they
// resize: whole pixels, clipped to the frame, so that a sample beyond the box is the box's own border, not
// what lies beside it. Where chroma is subsampled the view begins at an even pixel; the pixel before an odd
// box is then in the view, but the tables never reach it. Setting a plan up costs a few microseconds, by what
// the destination's sides are, not its area.

#include "ops/crop.h"

#include "base/error.h"
#include "frame/frame.h"
#include "ops/letterbox_plan.h"

#include <math.h>

#define MAX_SIDE 16384
#define ALIGN 64

typedef struct rect {
    int x0, y0, x1, y1; // the last two behind the last pixel
} rect;

fm_status fm__crop_check(const fm_crop_desc *desc, fm_error *err)
{
    if (desc->dst_w < 1 || desc->dst_h < 1 || desc->dst_w > MAX_SIDE || desc->dst_h > MAX_SIDE) {
        return fm__fail(err, FM_INVAL, "crop: cannot draw into %dx%d; sides must be 1..%d", desc->dst_w,
            desc->dst_h, MAX_SIDE);
    }
    if (desc->dtype != FM_DTYPE_U8 && desc->dtype != FM_DTYPE_F32) {
        return fm__fail(err, FM_UNSUPPORTED, "crop: writes u8 or f32, not %s", fm__dtype_name(desc->dtype));
    }
    return FM_OK;
}

static size_t round_up(size_t size)
{
    return (size + ALIGN - 1) / ALIGN * ALIGN;
}

static fm_letterbox_desc describe(const fm_crop_desc *d)
{
    fm_letterbox_desc out = {.chroma_site = FM_CHROMA_REPEAT,
        .map = {.dst_w = d->dst_w, .dst_h = d->dst_h},
        .layout = d->layout,
        .color = d->color,
        .dtype = d->dtype,
        .pad = d->pad};
    for (int c = 0; c < 3; c++) {
        out.mean[c] = d->mean[c];
        out.scale[c] = d->scale[c];
    }
    return out;
}

size_t fm__crop_scratch_size(const fm_crop_desc *desc, int max_frame_w)
{
    fm_letterbox_desc d = describe(desc);
    return round_up(sizeof(fm_letterbox_plan)) + fm__plan_tables_size(&d) +
           fm__plan_scratch_size(max_frame_w, desc->dst_w);
}

// lo..hi in whole pixels of 0..len-1, at least one; false when there is none. NaN fails the comparisons.
static bool clip(float lo, float hi, int len, int *first, int *end)
{
    if (!(hi > lo) || !(hi > 0) || !(lo < (float)len)) {
        return false;
    }
    double a = fmax(rint((double)lo), 0), b = fmin(rint((double)hi), len);
    *first = a > len - 1 ? len - 1 : (int)a;
    *end = b < *first + 1 ? *first + 1 : (int)b;
    return true;
}

static fm_frame_view view_of(const fm_frame_view *view, const rect *r)
{
    fm_frame_view part = *view;
    int shift_x, shift_y;
    fm__pixfmt_shift(view->format, &shift_x, &shift_y);
    int x0 = r->x0 >> shift_x << shift_x, y0 = r->y0 >> shift_y << shift_y;
    part.width = r->x1 - x0;
    part.height = r->y1 - y0;
    for (int p = 0; p < fm_pixfmt_planes(view->format); p++) {
        ptrdiff_t row = p > 0 ? y0 >> shift_y : y0;
        part.plane[p] += row * view->stride[p] + (ptrdiff_t)fm__pixfmt_row_bytes(view->format, x0, p);
    }
    return part;
}

// The fit of the rectangle alone, moved to where it lies in the view.
static fm_fit_map fit_of(const fm_crop_desc *d, const rect *r, const fm_frame_view *part)
{
    int w = r->x1 - r->x0, h = r->y1 - r->y0;
    fm_fit_map map = fm__fit(d->fit, d->anchor, d->crop_ratio, w, h, d->dst_w, d->dst_h);
    map.src_w = part->width;
    map.src_h = part->height;
    map.src_x += (float)(part->width - w);
    map.src_y += (float)(part->height - h);
    return map;
}

bool fm__crop_run(const fm_crop_desc *desc, const fm_frame_view *view, fm_box box, void *dst, void *scratch,
    fm_cpu_level level)
{
    rect r = {0, 0, 1, 1};
    bool is_inside =
        clip(box.x0, box.x1, view->width, &r.x0, &r.x1) && clip(box.y0, box.y1, view->height, &r.y0, &r.y1);
    if (!is_inside) {
        r = (rect){0, 0, 1, 1};
    }
    fm_frame_view part = view_of(view, &r);
    fm_letterbox_desc d = describe(desc);
    d.format = view->format;
    d.matrix = view->matrix;
    d.range = view->range;
    d.map = fit_of(desc, &r, &part);
    fm_letterbox_plan *plan = scratch;
    uint8_t *tables = (uint8_t *)scratch + round_up(sizeof(*plan));
    fm__plan_init(plan, &d, part.width - (r.x1 - r.x0), part.height - (r.y1 - r.y0), level, tables);
    if (is_inside) {
        fm__letterbox_run(plan, &part, dst, tables + fm__plan_tables_size(&d));
    } else {
        fm__plan_init_padding(plan);
        fm__letterbox_fill(plan, dst);
    }
    return is_inside;
}
