// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Frames over pixels that somebody else owns: checked once, here, since kernels trust a view.

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "frame/frame.h"

#include <stdlib.h>

#define MAX_SIDE 16384

fm_status fm__frame_check_view(const fm_frame_view *v, fm_error *err)
{
    int planes = fm_pixfmt_planes(v->format);
    if (planes == 0) {
        return fm__fail(err, FM_INVAL, "a frame of pixel format %d, which is not known", (int)v->format);
    }
    if (v->width < 1 || v->height < 1 || v->width > MAX_SIDE || v->height > MAX_SIDE) {
        return fm__fail(
            err, FM_INVAL, "a frame of %dx%d; sides of 1 to %d are allowed", v->width, v->height, MAX_SIDE);
    }
    for (int i = 0; i < planes; i++) {
        size_t row = fm__pixfmt_row_bytes(v->format, v->width, i);
        if (!v->plane[i] || (size_t)llabs((long long)v->stride[i]) < row) {
            return fm__fail(err, FM_INVAL,
                "plane %d of a %s frame of %dx%d has %s: give a pointer, and a stride of %zu bytes at least",
                i, fm_pixfmt_name(v->format), v->width, v->height,
                v->plane[i] ? "rows that overlap" : "no pixels", row);
        }
    }
    return FM_OK;
}

uint32_t fm__frame_crc(const fm_frame_view *v)
{
    uint32_t crc = 0;
    for (int i = 0; i < fm_pixfmt_planes(v->format); i++) {
        int w, h;
        fm__pixfmt_plane_size(v->format, v->width, v->height, i, &w, &h);
        size_t row = fm__pixfmt_row_bytes(v->format, v->width, i);
        for (int y = 0; y < h; y++) {
            crc = fm__crc32c(crc, v->plane[i] + (ptrdiff_t)y * v->stride[i], row);
        }
    }
    return crc;
}

size_t fm__frame_view_bytes(const fm_frame_view *v)
{
    size_t bytes = 0;
    for (int i = 0; i < fm_pixfmt_planes(v->format); i++) {
        int w, h;
        fm__pixfmt_plane_size(v->format, v->width, v->height, i, &w, &h);
        bytes += (size_t)llabs((long long)v->stride[i]) * (size_t)h;
    }
    return bytes;
}

typedef struct wrapper {
    fm_frame frame; // first: the block is freed through it
    void (*release)(void *opaque);
} wrapper;

static void release_wrapped(void *buffer, void *opaque)
{
    const wrapper *w = buffer;
    w->release(opaque);
}

fm_status fm_frame_new(const fm_frame_view *view, int64_t pts_ns, void (*release)(void *opaque), void *opaque,
    fm_frame **out, fm_error *err)
{
    if (!view || !out) {
        return fm__fail(err, FM_INVAL, "fm_frame_new without a view or output");
    }
    fm_status st = fm__frame_check_view(view, err);
    if (st != FM_OK) {
        return st;
    }
    wrapper *w = fm__calloc(FM_TAG_FRAME, sizeof(*w));
    if (!w) {
        return fm__fail_nomem(err, "a frame");
    }
    w->release = release;
    w->frame = (fm_frame){
        .view = *view,
        .pts_ns = pts_ns,
        .wall_ns = FM_PTS_NONE,
        .bytes = fm__frame_view_bytes(view),
        .buffer = w,
        .release = release ? release_wrapped : NULL,
        .opaque = opaque,
    };
    atomic_init(&w->frame.refs, 1);
    *out = &w->frame;
    return FM_OK;
}
