// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Frames to JPEG by ops/jpeg. Planes go in as they are where they hold BT.601, which JFIF 1.02 (section
// "Colour space") asks for; BT.709 and RGB go through a copy (jpeg_planes.c).

#include "image/jpeg.h"

#include "base/error.h"
#include "frame/frame.h"
#include "image/jpeg_planes.h"
#include "ops/jpeg.h"

bool fm__view_part(const fm_frame_view *view, fm_box box, fm_frame_view *out)
{
    static const int shifts[FM_PIXFMT_COUNT][2] = {
        [FM_PIXFMT_YUV420P] = {1, 1}, [FM_PIXFMT_YUV422P] = {1, 0}, [FM_PIXFMT_NV12] = {1, 1}};
    const int *shift = shifts[view->format];
    if (!(box.x0 < box.x1 && box.y0 < box.y1)) {
        return false;
    }
    float w = (float)view->width, h = (float)view->height;
    int x0 = (int)(box.x0 < 0   ? 0
                   : box.x0 > w ? w
                                : box.x0),
        y0 = (int)(box.y0 < 0   ? 0
                   : box.y0 > h ? h
                                : box.y0);
    int x1 = box.x1 >= w ? view->width : (int)(box.x1 < 0 ? 0 : box.x1 + 0.999f);
    int y1 = box.y1 >= h ? view->height : (int)(box.y1 < 0 ? 0 : box.y1 + 0.999f);
    if (x0 >= x1 || y0 >= y1) {
        return false;
    }
    x0 &= ~((1 << shift[0]) - 1);
    y0 &= ~((1 << shift[1]) - 1);
    *out = *view;
    out->width = x1 - x0;
    out->height = y1 - y0;
    for (int i = 0; i < fm_pixfmt_planes(view->format); i++) {
        int sx = i ? shift[0] : 0, sy = i ? shift[1] : 0;
        int bytes = fm__pixfmt_is_rgb(view->format) ? 3 : view->format == FM_PIXFMT_NV12 && i ? 2 : 1;
        out->plane[i] += (ptrdiff_t)(y0 >> sy) * view->stride[i] + (ptrdiff_t)(x0 >> sx) * bytes;
    }
    return true;
}

struct fm_jpeg {
    fm__jpeg_tables tables[2]; // by range
    const fm__jpeg_kernels *kernels;
    fm_cpu_level level;
    uint8_t *out;
    size_t out_cap;
    uint8_t *scratch; // the encoder's, then the planes that are not the frame's own
    size_t scratch_size;
};

fm_status fm__jpeg_new(int quality, fm_jpeg **out, fm_error *err)
{
    fm_jpeg *j = fm__calloc_aligned(FM_TAG_IMAGE, sizeof(*j), 64);
    if (!j) {
        return fm__fail_nomem(err, "a JPEG encoder");
    }
    j->level = fm__cpu_level();
    j->kernels = fm__jpeg_kernels_of(j->level);
    fm__jpeg_tables_init(&j->tables[FM_RANGE_LIMITED], quality, FM_RANGE_LIMITED);
    fm__jpeg_tables_init(&j->tables[FM_RANGE_FULL], quality, FM_RANGE_FULL);
    *out = j;
    return FM_OK;
}

void fm__jpeg_free(fm_jpeg **jpeg)
{
    if (!jpeg || !*jpeg) {
        return;
    }
    fm__free((*jpeg)->out);
    fm__free((*jpeg)->scratch);
    fm__free(*jpeg);
    *jpeg = NULL;
}

// The encoder's scratch, and in *s the frame or a copy that is right for JPEG.
static fm_status prepare(fm_jpeg *j, const fm_frame_view *v, fm_frame_view *s, fm_error *err)
{
    bool copied = fm__jpeg_planes_needed(v);
    fm_pixfmt format = copied ? fm__jpeg_planes_format(v->format) : v->format;
    size_t own = fm__jpeg_scratch_size(format, v->width);
    size_t need = own + (copied ? fm__jpeg_planes_size(v) : 0);
    if (need > j->scratch_size) {
        uint8_t *more = fm__calloc_aligned(FM_TAG_IMAGE, need, 64);
        if (!more) {
            return fm__fail_nomem(err, "a picture");
        }
        fm__free(j->scratch);
        j->scratch = more;
        j->scratch_size = need;
    }
    *s = *v;
    if (copied) {
        fm__jpeg_planes_fill(v, j->scratch + own, j->level, s);
    }
    return FM_OK;
}

static bool reserve(fm_jpeg *j, size_t have, size_t more)
{
    return fm__grow(FM_TAG_IMAGE, (void **)&j->out, &j->out_cap, have + more, 1);
}

fm_status fm__jpeg_encode(
    fm_jpeg *j, const fm_frame_view *v, const uint8_t **bytes, size_t *size, fm_error *err)
{
    if (v->format <= FM_PIXFMT_NONE || v->format >= FM_PIXFMT_COUNT || v->width < 1 || v->height < 1 ||
        v->width > FM__JPEG_MAX_SIDE || v->height > FM__JPEG_MAX_SIDE) {
        return fm__fail(err, FM_INVAL, "a picture of %dx%d, %s, does not fit a JPEG", v->width, v->height,
            fm_pixfmt_name(v->format));
    }
    fm_frame_view s;
    fm_status st = prepare(j, v, &s, err);
    if (st != FM_OK) {
        return st;
    }
    fm__jpeg_run run;
    size_t n = 0, most = fm__jpeg_row_bytes(s.format, s.width);
    fm__jpeg_begin(&run, &j->tables[s.range], j->kernels, &s, j->scratch);
    bool room = reserve(j, n, FM__JPEG_HEAD_BYTES);
    n += room ? fm__jpeg_head(&run, j->out) : 0;
    for (int row = 0; row < run.rows && room; row++) {
        room = reserve(j, n, most);
        n += room ? fm__jpeg_row(&run, row, j->out + n) : 0;
    }
    room = room && reserve(j, n, FM__JPEG_HEAD_BYTES);
    if (!room) {
        return fm__fail_nomem(err, "a JPEG");
    }
    *size = n + fm__jpeg_tail(&run, j->out + n);
    *bytes = j->out;
    return FM_OK;
}
