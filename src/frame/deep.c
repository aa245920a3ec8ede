// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Pictures of 16 bits a sample: one block for the planes, which start at multiples of 64 bytes.

#include "frame/deep.h"

#include "base/error.h"

fm_status fm__deep_new(fm_tag tag, int width, int height, int planes, fm__deep **out, fm_error *err)
{
    const size_t head = (sizeof(fm__deep) + 63) / 64 * 64;
    size_t samples = 0, bytes = 0;
    fm__deep *d = NULL;
    if (fm__mul_size((size_t)width, (size_t)height, &samples) &&
        fm__mul_size((samples + 31) / 32 * 64, (size_t)planes, &bytes) && bytes < SIZE_MAX - head) {
        d = fm__calloc_aligned(tag, head + bytes, 64);
    }
    if (!d) {
        return fm__fail_nomem(err, "a picture of 16 bits");
    }
    *d = (fm__deep){.width = width, .height = height, .planes = planes};
    for (int i = 0; i < planes; i++) {
        d->plane[i] = (uint16_t *)((char *)d + head + bytes / (size_t)planes * (size_t)i);
    }
    *out = d;
    return FM_OK;
}

void fm__deep_free(fm__deep **d)
{
    if (d && *d) {
        fm__free(*d);
        *d = NULL;
    }
}

fm_status fm__deep_to_frame(const fm__deep *d, fm_frame_pool *pool, fm_frame **out, fm_error *err)
{
    fm_frame *f = NULL;
    fm_pixfmt format = d->planes == 1 ? FM_PIXFMT_GRAY8 : FM_PIXFMT_RGB24;
    fm_status st = fm__frame_pool_take_pixels(pool, format, d->width, d->height, &f, err);
    if (st != FM_OK) {
        return st;
    }
    for (int y = 0; y < d->height; y++) {
        uint8_t *to = fm__frame_plane(f, 0) + (ptrdiff_t)y * f->view.stride[0];
        for (int c = 0; c < d->planes; c++) {
            const uint16_t *from = d->plane[c] + (size_t)y * (size_t)d->width;
            for (int x = 0; x < d->width; x++) {
                to[x * d->planes + c] = (uint8_t)((from[x] + 128) / 257);
            }
        }
    }
    f->view.range = FM_RANGE_FULL;
    *out = f;
    return FM_OK;
}
