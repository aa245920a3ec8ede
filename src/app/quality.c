// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Two picture files compared: read as RGB, whatever they are, then src/ops/quality.c measures. What libvips
// does not read (BMP) libav does.

#include <framemill/quality.h>

#include "base/alloc.h"
#include "base/error.h"
#include "image/image.h"
#include "media/decode.h"
#include "ops/quality.h"

static fm_status read_rgb(const char *path, fm_frame_pool *pool, fm_frame **out, fm_error *err)
{
    fm_status st = fm__image_load(path, 0, pool, out, err);
    fm_error other = {0};
    if (st == FM_UNSUPPORTED && fm__media_picture(path, 0, pool, out, &other) == FM_OK) {
        st = FM_OK;
    }
    if (st == FM_OK && (*out)->view.format != FM_PIXFMT_RGB24) {
        const char *format = fm_pixfmt_name((*out)->view.format);
        st = fm__fail(err, FM_UNSUPPORTED, "'%s' is %s inside; a picture of colours is needed", path, format);
        fm_frame_unref(out);
    }
    return st;
}

static fm_status compare(const char *a_path, const fm_frame_view *a, const char *b_path,
    const fm_frame_view *b, fm_quality *out, fm_error *err)
{
    if (a->width != b->width || a->height != b->height) {
        return fm__fail(err, FM_INVAL,
            "'%s' is %dx%d and '%s' %dx%d; only pictures of one size can be compared", a_path, a->width,
            a->height, b_path, b->width, b->height);
    }
    void *scratch = fm__calloc_aligned(FM_TAG_APP, fm__quality_scratch_size(a->width), 64);
    if (!scratch) {
        return fm__fail_nomem(err, "comparing pictures");
    }
    fm__quality_rgb(a->plane[0], a->stride[0], b->plane[0], b->stride[0], a->width, a->height, scratch, out);
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
    fm_frame *first = NULL, *second = NULL;
    fm_status st = fm__image_init(err);
    if (st != FM_OK) {
        return st;
    }
    st = fm__frame_pool_new(&pool, err);
    st = st == FM_OK ? read_rgb(a, pool, &first, err) : st;
    st = st == FM_OK ? read_rgb(b, pool, &second, err) : st;
    st = st == FM_OK ? compare(a, &first->view, b, &second->view, out, err) : st;
    fm_frame_unref(&first);
    fm_frame_unref(&second);
    fm__frame_pool_free(&pool);
    fm__image_shutdown();
    return st;
}
