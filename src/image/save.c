// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Writing of pictures, made in memory by libvips and put in their place whole. Class maps (8 bit grey, PNG)
// with deflate at its fastest: they are large surfaces that any level packs well. Other pictures in the kind
// that their name's ending says.

#include "image/image.h"

#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "image/loading.h"

#include <fm_config.h>

#if FM_HAVE_VIPS

#include <vips/vips.h>

enum { DEFLATE_LEVEL = 1, QUALITY = 95 };

static int write_png(VipsImage *image, int quality, bool strip, void **data, size_t *size)
{
    (void)quality; // without loss
    return vips_pngsave_buffer(image, data, size, "strip", strip, NULL);
}

static int write_jpeg(VipsImage *image, int quality, bool strip, void **data, size_t *size)
{
    return vips_jpegsave_buffer(image, data, size, "Q", quality, "strip", strip, NULL);
}

static int write_webp(VipsImage *image, int quality, bool strip, void **data, size_t *size)
{
    return vips_webpsave_buffer(image, data, size, "Q", quality, "strip", strip, NULL);
}

static int write_tiff(VipsImage *image, int quality, bool strip, void **data, size_t *size)
{
    (void)quality; // without loss
    return vips_tiffsave_buffer(image, data, size, "compression", VIPS_FOREIGN_TIFF_COMPRESSION_DEFLATE,
        "predictor", VIPS_FOREIGN_TIFF_PREDICTOR_HORIZONTAL, "strip", strip, NULL);
}

fm__image_writer fm__image_writer_of(const char *path)
{
    static const struct {
        const char *ending;
        fm__image_writer fn;
    } writers[] = {{".png", write_png}, {".jpg", write_jpeg}, {".jpeg", write_jpeg}, {".webp", write_webp},
        {".tif", write_tiff}, {".tiff", write_tiff}};
    for (size_t i = 0; i < sizeof(writers) / sizeof(*writers); i++) {
        if (fm__str_ends(path, writers[i].ending)) {
            return writers[i].fn;
        }
    }
    return NULL;
}

bool fm__image_can_save(const char *path)
{
    return fm__image_writer_of(path) != NULL;
}

// Bytes first, cut to the row, `bands` of them a pixel then. NULL when it fails.
VipsImage *fm__image_over(const uint8_t *rows, int stride, int width, int height, int bands)
{
    VipsImage *t[4] = {NULL}, *out = NULL;
    t[0] = vips_image_new_from_memory(
        rows, (size_t)stride * (size_t)height, stride, height, 1, VIPS_FORMAT_UCHAR);
    if (t[0] && vips_extract_area(t[0], &t[1], 0, 0, width * bands, height, NULL) == 0 &&
        vips_bandfold(t[1], &t[2], "factor", bands, NULL) == 0 &&
        vips_copy(t[2], &t[3], "interpretation",
            bands == 3 ? VIPS_INTERPRETATION_sRGB : VIPS_INTERPRETATION_B_W, NULL) == 0) {
        out = t[3];
        t[3] = NULL;
    }
    for (int i = 0; i < 4; i++) {
        VIPS_UNREF(t[i]);
    }
    return out;
}

fm_status fm__image_write(const char *path, VipsImage *image, int quality, bool strip, fm_error *err)
{
    fm__image_writer fn = fm__image_writer_of(path);
    void *data = NULL;
    size_t size = 0;
    if (!fn) {
        return fm__fail(
            err, FM_INVAL, "cannot write '%s': give a name that ends in .png, .jpg, .webp or .tif", path);
    }
    bool ok = image && fn(image, quality > 0 ? quality : QUALITY, strip, &data, &size) == 0;
    vips_error_clear();
    fm_status st =
        ok ? fm__file_replace(path, data, size, err)
           : fm__fail(err, FM_UNSUPPORTED,
                 "cannot make '%s': %dx%d may be more than its kind takes (WebP: 16383 a side, "
                 "JPEG: 65535)",
                 path, image ? vips_image_get_width(image) : 0, image ? vips_image_get_height(image) : 0);
    g_free(data);
    return st;
}

fm_status fm__image_save(const char *path, const fm_frame_view *view, fm_error *err)
{
    if (view->format != FM_PIXFMT_RGB24 && view->format != FM_PIXFMT_GRAY8) {
        return fm__fail(err, FM_UNSUPPORTED, "cannot write '%s': pictures are rgb24 or gray8, not %s", path,
            fm_pixfmt_name(view->format));
    }
    VipsImage *image = fm__image_over(
        view->plane[0], view->stride[0], view->width, view->height, view->format == FM_PIXFMT_RGB24 ? 3 : 1);
    fm_status st = fm__image_write(path, image, QUALITY, true, err);
    VIPS_UNREF(image);
    vips_thread_shutdown(); // this thread may end before it comes here again
    return st;
}

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

bool fm__image_can_save(const char *path)
{
    (void)path;
    return true; // saving says what is missing
}

fm_status fm__image_save(const char *path, const fm_frame_view *view, fm_error *err)
{
    (void)view;
    return fm__fail(err, FM_UNSUPPORTED,
        "cannot write '%s': built without libvips; install libvips-dev and build again", path);
}

#endif
