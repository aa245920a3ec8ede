// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Writing of pictures: 8 bit grey as PNG, made in memory by libvips and put in its place whole. Deflate at
// its fastest: class maps are large surfaces that any level packs well.

#include "image/image.h"

#include "base/error.h"
#include "base/file.h"

#include <fm_config.h>

#if FM_HAVE_VIPS

#include <vips/vips.h>

enum { DEFLATE_LEVEL = 1 };

fm_status fm__image_save_gray(
    const char *path, const uint8_t *pixels, int width, int height, int stride, fm_error *err)
{
    VipsImage *all = vips_image_new_from_memory(
                  pixels, (size_t)stride * (size_t)height, stride, height, 1, VIPS_FORMAT_UCHAR),
              *cut = NULL;
    void *png = NULL;
    size_t size = 0;
    bool ok = all && vips_extract_area(all, &cut, 0, 0, width, height, NULL) == 0 &&
              vips_pngsave_buffer(cut, &png, &size, "compression", DEFLATE_LEVEL, NULL) == 0;
    if (!ok)
        vips_error_clear();
    fm_status st = ok ? fm__file_replace(path, png, size, err)
                      : fm__fail(err, FM_INTERNAL, "cannot make the picture '%s'", path);
    g_free(png);
    if (cut)
        g_object_unref(cut);
    if (all)
        g_object_unref(all);
    vips_thread_shutdown(); // this thread may end before it comes here again
    return st;
}

#else

fm_status fm__image_save_gray(
    const char *path, const uint8_t *pixels, int width, int height, int stride, fm_error *err)
{
    (void)pixels;
    (void)width;
    (void)height;
    (void)stride;
    return fm__fail(err, FM_UNSUPPORTED,
        "cannot write '%s': built without libvips; install libvips-dev and build again", path);
}

#endif
