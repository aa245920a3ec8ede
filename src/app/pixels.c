// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A frame's pixels as R, G, B or B, G, R, for programs that want to look at them: the letterbox kernel
// without scaling. Chroma is repeated, as swscale and so OpenCV's VideoCapture convert.

#include "base/alloc.h"
#include "base/error.h"
#include "frame/frame.h"
#include "ops/letterbox.h"

static fm_status convert(const fm_frame_view *v, fm_color color, uint8_t *dst, fm_error *err)
{
    fm_letterbox_desc desc = {
        .format = v->format,
        .matrix = v->matrix,
        .range = v->range,
        .chroma_site = FM_CHROMA_REPEAT,
        .map = fm__fit(FM_FIT_STRETCH, FM_ANCHOR_TOPLEFT, 0, v->width, v->height, v->width, v->height),
        .layout = FM_LAYOUT_NHWC,
        .color = color,
        .dtype = FM_DTYPE_U8,
    };
    fm_letterbox_plan *plan = NULL;
    fm_status st = fm__letterbox_plan_new(&desc, fm__cpu_level(), &plan, err);
    if (st != FM_OK) {
        return st;
    }
    void *scratch = fm__calloc_aligned(FM_TAG_APP, fm__letterbox_scratch_size(plan), 64);
    if (scratch) {
        fm__letterbox_run(plan, v, dst, scratch);
    } else {
        st = fm__fail_nomem(err, "a conversion");
    }
    fm__free(scratch);
    fm__letterbox_plan_free(&plan);
    return st;
}

fm_status fm_frame_read(const fm_frame *frame, fm_pixfmt format, uint8_t *dst, size_t size, fm_error *err)
{
    if (!frame || !dst || !fm__pixfmt_is_rgb(format)) {
        return fm__fail(err, FM_INVAL, "fm_frame_read: give a frame, room, and rgb24 or bgr24");
    }
    const fm_frame_view *v = &frame->view;
    size_t need = 3 * (size_t)v->width * (size_t)v->height;
    if (size < need) {
        return fm__fail(
            err, FM_INVAL, "a frame of %dx%d takes %zu bytes, not %zu", v->width, v->height, need, size);
    }
    return convert(v, format == FM_PIXFMT_BGR24 ? FM_COLOR_BGR : FM_COLOR_RGB, dst, err);
}
