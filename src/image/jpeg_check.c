// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// JPEGs that come from elsewhere: their size, and whether they are whole, by libturbojpeg.

#include "image/jpeg.h"

#include "base/error.h"

#include <fm_config.h>

#if FM_HAVE_TURBOJPEG

#include <turbojpeg.h>

static fm_status head_of(tjhandle h, const void *bytes, size_t size, int *width, int *height, fm_error *err)
{
    int sampling = 0, color = 0;
    if (!h) {
        return fm__fail_nomem(err, "a JPEG decoder");
    }
    if (size == 0 || tjDecompressHeader3(h, bytes, size, width, height, &sampling, &color) != 0) {
        return fm__fail(err, FM_FORMAT, "not a JPEG: %s", size ? tjGetErrorStr2(h) : "empty");
    }
    return FM_OK;
}

fm_status fm__jpeg_size(const void *bytes, size_t size, int *width, int *height, fm_error *err)
{
    tjhandle h = tjInitDecompress();
    fm_status st = head_of(h, bytes, size, width, height, err);
    if (h) {
        tjDestroy(h);
    }
    return st;
}

fm_status fm__jpeg_check(const void *bytes, size_t size, int *width, int *height, fm_error *err)
{
    tjhandle h = tjInitDecompress();
    int w = 0, ht = 0;
    uint8_t *pixels = NULL;
    fm_status st = head_of(h, bytes, size, &w, &ht, err);
    if (st == FM_OK) {
        pixels = fm__calloc(FM_TAG_IMAGE, (size_t)w * (size_t)ht);
        st = pixels ? FM_OK : fm__fail_nomem(err, "a picture");
    }
    if (st == FM_OK &&
        tjDecompress2(h, bytes, size, pixels, w, 0, ht, TJPF_GRAY, TJFLAG_STOPONWARNING) != 0) {
        st = fm__fail(err, FM_FORMAT, "damaged JPEG: %s", tjGetErrorStr2(h));
    }
    if (st == FM_OK && width && height) {
        *width = w;
        *height = ht;
    }
    fm__free(pixels);
    if (h) {
        tjDestroy(h);
    }
    return st;
}

#else

fm_status fm__jpeg_check(const void *bytes, size_t size, int *width, int *height, fm_error *err)
{
    (void)bytes;
    (void)size;
    (void)width;
    (void)height;
    return fm__fail(
        err, FM_UNSUPPORTED, "this framemill was built without libturbojpeg: it cannot check a JPEG");
}

fm_status fm__jpeg_size(const void *bytes, size_t size, int *width, int *height, fm_error *err)
{
    return fm__jpeg_check(bytes, size, width, height, err);
}

#endif
