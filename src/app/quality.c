// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Two picture files compared: read as RGB, whatever they are, then src/ops/quality.c measures. Alpha is laid
// over white. Where one has 16 bits a sample both are compared with 16, else with 8. What libvips does not
// read (BMP) libav does.

#include <framemill/quality.h>

#include "base/alloc.h"
#include "base/error.h"
#include "image/image.h"
#include "image/picture.h"
#include "media/decode.h"
#include "ops/quality.h"

static fm_status read_picture(const char *path, fm_frame_pool *pool, fm__picture *out, fm_error *err)
{
    fm_status st = fm__picture_load(path, 0, true, pool, out, err);
    fm_error other = {0};
    fm_frame *frame = NULL;
    if (st == FM_UNSUPPORTED && fm__media_picture(path, 0, pool, &frame, &other) == FM_OK) {
        *out = (fm__picture){.color = frame, .pages = 1};
        st = FM_OK;
    }
    if (st == FM_OK && out->color->view.format != FM_PIXFMT_RGB24) {
        const char *format = fm_pixfmt_name(out->color->view.format);
        st = fm__fail(err, FM_UNSUPPORTED, "'%s' is %s inside; a picture of colours is needed", path, format);
    }
    return st;
}

/* ---- over white ---- */

static void flatten(fm_frame *color, const fm_frame *alpha)
{
    for (int y = 0; y < color->view.height; y++) {
        uint8_t *rgb = fm__frame_plane(color, 0) + (ptrdiff_t)y * color->view.stride[0];
        const uint8_t *a = alpha->view.plane[0] + (ptrdiff_t)y * alpha->view.stride[0];
        for (int x = 0; x < 3 * color->view.width; x++) {
            rgb[x] = (uint8_t)((rgb[x] * a[x / 3] + 255 * (255 - a[x / 3]) + 127) / 255);
        }
    }
}

static void flatten_deep(fm__deep *d, const fm__deep *alpha)
{
    size_t n = (size_t)d->width * (size_t)d->height;
    for (int c = 0; c < d->planes; c++) {
        for (size_t i = 0; i < n; i++) {
            uint64_t a = alpha->plane[0][i], v = d->plane[c][i];
            d->plane[c][i] = (uint16_t)((v * a + 65535 * (65535 - a) + 32767) / 65535);
        }
    }
}

static void over_white(fm__picture *p)
{
    if (p->deep_alpha) {
        flatten_deep(p->deep, p->deep_alpha);
    } else if (p->alpha) {
        flatten(p->color, p->alpha);
    }
}

// 8 bits as 16.
static fm_status deepen(fm__picture *p, fm_error *err)
{
    const fm_frame_view *v = &p->color->view;
    if (p->deep) {
        return FM_OK;
    }
    fm_status st = fm__deep_new(FM_TAG_APP, v->width, v->height, 3, &p->deep, err);
    for (int y = 0; st == FM_OK && y < v->height; y++) {
        const uint8_t *row = v->plane[0] + (ptrdiff_t)y * v->stride[0];
        for (int x = 0; x < v->width; x++) {
            for (int c = 0; c < 3; c++) {
                p->deep->plane[c][(size_t)y * (size_t)v->width + (size_t)x] =
                    (uint16_t)(257 * row[3 * x + c]);
            }
        }
    }
    return st;
}

/* ---- two pictures ---- */

static fm_status check_sizes(
    const char *a_path, const fm_frame_view *a, const char *b_path, const fm_frame_view *b, fm_error *err)
{
    return a->width == b->width && a->height == b->height
               ? FM_OK
               : fm__fail(err, FM_INVAL,
                     "'%s' is %dx%d and '%s' %dx%d; only pictures of one size can be compared", a_path,
                     a->width, a->height, b_path, b->width, b->height);
}

static fm_status compare(fm__picture *a, fm__picture *b, fm_quality *out, fm_error *err)
{
    const fm_frame_view *v = &a->color->view, *w = &b->color->view;
    bool is_deep = a->deep || b->deep;
    over_white(a);
    over_white(b);
    fm_status st = is_deep ? deepen(a, err) : FM_OK;
    st = st == FM_OK && is_deep ? deepen(b, err) : st;
    if (st != FM_OK) {
        return st;
    }
    void *scratch = fm__calloc_aligned(FM_TAG_APP, fm__quality_scratch_size(v->width), 64);
    if (!scratch) {
        return fm__fail_nomem(err, "comparing pictures");
    }
    if (is_deep) {
        fm__quality_rgb16(a->deep, b->deep, scratch, out);
    } else {
        fm__quality_rgb(
            v->plane[0], v->stride[0], w->plane[0], w->stride[0], v->width, v->height, scratch, out);
    }
    fm__free(scratch);
    return FM_OK;
}

fm_status fm_quality_compare(const char *a, const char *b, fm_quality *out, fm_error *err)
{
    if (!a || !b || !out) {
        return fm__fail(
            err, FM_INVAL, "fm_quality_compare: two files and a place for the result are required");
    }
    fm_frame_pool *pool = NULL;
    fm__picture first = {.pages = 1}, second = {.pages = 1};
    fm_status st = fm__image_init(err);
    if (st != FM_OK) {
        return st;
    }
    st = fm__frame_pool_new(&pool, err);
    st = st == FM_OK ? read_picture(a, pool, &first, err) : st;
    st = st == FM_OK ? read_picture(b, pool, &second, err) : st;
    st = st == FM_OK ? check_sizes(a, &first.color->view, b, &second.color->view, err) : st;
    st = st == FM_OK ? compare(&first, &second, out, err) : st;
    fm__picture_done(&first);
    fm__picture_done(&second);
    fm__frame_pool_free(&pool);
    fm__image_shutdown();
    return st;
}
