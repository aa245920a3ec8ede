// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Writing of pictures, made in memory by libvips and put in their place whole. Class maps (8 bit grey, PNG)
// with deflate at its fastest: they are large surfaces that any level packs well. Other pictures in the kind
// that their name's ending says.

#include "image/image.h"

#include "base/error.h"
#include "base/file.h"
#include "base/str.h"

#include <fm_config.h>

#if FM_HAVE_VIPS

#include "image/extra.h"

enum { DEFLATE_LEVEL = 1, QUALITY = 95 };

// bare: not even what the library would say of itself.
typedef int (*writer)(VipsImage *image, int quality, gboolean bare, void **data, size_t *size);

static int write_png(VipsImage *image, int quality, gboolean bare, void **data, size_t *size)
{
    (void)quality;
    return vips_pngsave_buffer(image, data, size, "strip", bare, NULL);
}

static int write_jpeg(VipsImage *image, int quality, gboolean bare, void **data, size_t *size)
{
    return vips_jpegsave_buffer(image, data, size, "Q", quality, "strip", bare, NULL);
}

static int write_webp(VipsImage *image, int quality, gboolean bare, void **data, size_t *size)
{
    return vips_webpsave_buffer(image, data, size, "Q", quality, "strip", bare, NULL);
}

static int write_tiff(VipsImage *image, int quality, gboolean bare, void **data, size_t *size)
{
    (void)quality;
    return vips_tiffsave_buffer(image, data, size, "compression", VIPS_FOREIGN_TIFF_COMPRESSION_DEFLATE,
        "predictor", VIPS_FOREIGN_TIFF_PREDICTOR_HORIZONTAL, "strip", bare, NULL);
}

static writer writer_of(const char *path)
{
    static const struct {
        const char *ending;
        writer fn;
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
    return writer_of(path) != NULL;
}

// Rows of any stride: bytes first, cut to the row, three of them a pixel then. NULL when it fails.
static VipsImage *as_vips(const fm_frame_view *v)
{
    VipsImage *t[4] = {NULL}, *out = NULL;
    int bands = v->format == FM_PIXFMT_RGB24 ? 3 : 1;
    t[0] = vips_image_new_from_memory(
        v->plane[0], (size_t)v->stride[0] * (size_t)v->height, v->stride[0], v->height, 1, VIPS_FORMAT_UCHAR);
    if (t[0] && vips_extract_area(t[0], &t[1], 0, 0, v->width * bands, v->height, NULL) == 0 &&
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

bool fm__image_has_alpha(const char *path)
{
    writer fn = writer_of(path);
    return fn && fn != write_jpeg;
}

// Alpha as the last band; JPEG's saver lays it over white.
static int join_alpha(VipsImage **image, const fm_frame_view *alpha)
{
    VipsImage *a = as_vips(alpha), *both = NULL;
    if (!a || vips_bandjoin2(*image, a, &both, NULL) != 0) {
        VIPS_UNREF(a);
        return -1;
    }
    g_object_unref(a);
    g_object_unref(*image);
    *image = both;
    return 0;
}

static int flatten(VipsImage **image)
{
    double white[] = {255, 255, 255};
    VipsArrayDouble *background = vips_array_double_new(white, vips_image_get_bands(*image) - 1);
    VipsImage *flat = NULL;
    int ret = vips_flatten(*image, &flat, "background", background, NULL);
    vips_area_unref(VIPS_AREA(background));
    if (ret == 0) {
        g_object_unref(*image);
        *image = flat;
    }
    return ret;
}

static VipsImage *make(const char *path, const fm_frame_view *view, const fm_image_save_opts *opts)
{
    VipsImage *image = as_vips(view);
    bool ok = image != NULL;
    if (ok && opts->alpha) {
        ok = join_alpha(&image, opts->alpha) == 0 && (fm__image_has_alpha(path) || flatten(&image) == 0);
    }
    ok = ok && (!opts->extra || fm__image_extra_put(opts->extra, &image) == 0);
    if (!ok) {
        VIPS_UNREF(image);
    }
    return image;
}

fm_status fm__image_save(
    const char *path, const fm_frame_view *view, const fm_image_save_opts *opts, fm_error *err)
{
    static const fm_image_save_opts plain = {.quality = QUALITY};
    writer fn = writer_of(path);
    void *data = NULL;
    size_t size = 0;
    opts = opts ? opts : &plain;
    if (!fn) {
        return fm__fail(
            err, FM_INVAL, "cannot write '%s': give a name that ends in .png, .jpg, .webp or .tif", path);
    }
    if (view->format != FM_PIXFMT_RGB24 && view->format != FM_PIXFMT_GRAY8) {
        return fm__fail(err, FM_UNSUPPORTED, "cannot write '%s': pictures are rgb24 or gray8, not %s", path,
            fm_pixfmt_name(view->format));
    }
    VipsImage *image = make(path, view, opts);
    bool ok =
        image && fn(image, opts->quality > 0 ? opts->quality : QUALITY, !opts->extra, &data, &size) == 0;
    if (!ok) {
        vips_error_clear();
    }
    fm_status st = ok ? fm__file_replace(path, data, size, err)
                      : fm__fail(err, FM_UNSUPPORTED,
                            "cannot make '%s': %dx%d may be more than its kind takes (WebP: 16383 a side, "
                            "JPEG: 65535)",
                            path, view->width, view->height);
    g_free(data);
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

bool fm__image_has_alpha(const char *path)
{
    (void)path;
    return false;
}

fm_status fm__image_save(
    const char *path, const fm_frame_view *view, const fm_image_save_opts *opts, fm_error *err)
{
    (void)view;
    (void)opts;
    return fm__fail(err, FM_UNSUPPORTED,
        "cannot write '%s': built without libvips; install libvips-dev and build again", path);
}

#endif
