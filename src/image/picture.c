// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Whole pictures through libvips. Reading: the steps of image.c but for the last ones: grey stays grey, 16
// bits stay, alpha goes into a plane of its own, no profile is applied (but CMYK's, whose inks are none of
// our formats). Metadata are the fields that libvips attached to the image: they are put aside on a picture
// of one pixel and attached to what is written; libvips makes the EXIF block anew from them, with the sizes
// and the orientation of the picture that it writes.

#include "image/picture.h"

#include "base/error.h"
#include "base/str.h"
#include "image/image.h"
#include "image/loading.h"

#include <fm_config.h>

bool fm__picture_holds_alpha(const char *path)
{
    return !fm__str_ends(path, ".jpg") && !fm__str_ends(path, ".jpeg");
}

bool fm__picture_holds_deep(const char *path)
{
    return fm__str_ends(path, ".png") || fm__str_ends(path, ".tif") || fm__str_ends(path, ".tiff");
}

#if FM_HAVE_VIPS

#include <limits.h>
#include <string.h>
#include <unistd.h>

#define MAX_CHUNKS 256 // of a PNG before its pixels
#define WHITE 255
#define PROFILE_SPACE 16 // byte of an ICC profile where its colour space stands, four letters

struct fm__picture_meta {
    VipsImage *fields; // one pixel; carries them
    double x_res, y_res;
};

/* ---- metadata ---- */

// Sizes, pages and how the old file was packed are not the new one's.
static bool is_kept(const char *name)
{
    static const char *const kept[] = {VIPS_META_EXIF_NAME, VIPS_META_XMP_NAME, VIPS_META_IPTC_NAME,
        VIPS_META_ICC_NAME, VIPS_META_RESOLUTION_UNIT};
    for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++) {
        if (strcmp(name, kept[i]) == 0) {
            return true;
        }
    }
    return fm__str_starts(name, "exif-ifd") && !strstr(name, "Orientation");
}

static void *copy_field(VipsImage *image, const char *name, GValue *value, void *to)
{
    (void)image;
    if (is_kept(name)) {
        vips_image_set(to, name, value);
    }
    return NULL;
}

static fm_status take_meta(VipsImage *image, fm__picture_meta **out, fm_error *err)
{
    fm__picture_meta *m = fm__calloc(FM_TAG_IMAGE, sizeof(*m));
    if (m) {
        m->fields = vips_image_new_matrix(1, 1);
    }
    if (!m || !m->fields) {
        fm__free(m);
        return fm__fail_nomem(err, "the metadata of a picture");
    }
    m->x_res = vips_image_get_xres(image);
    m->y_res = vips_image_get_yres(image);
    vips_image_map(image, copy_field, m->fields);
    *out = m;
    return FM_OK;
}

static void free_meta(fm__picture_meta **m)
{
    if (*m) {
        VIPS_UNREF((*m)->fields);
        fm__free(*m);
        *m = NULL;
    }
}

static bool fits_profile(const fm__picture_meta *m, int colors)
{
    const void *data = NULL;
    size_t size = 0;
    const char *want = colors == 1 ? "GRAY" : "RGB ";
    return vips_image_get_typeof(m->fields, VIPS_META_ICC_NAME) != 0 &&
           vips_image_get_blob(m->fields, VIPS_META_ICC_NAME, &data, &size) == 0 &&
           size > PROFILE_SPACE + 4 && memcmp((const char *)data + PROFILE_SPACE, want, 4) == 0;
}

// XMP may tell the orientation too, as text: the digit after its name becomes 1.
static void reset_xmp(VipsImage *image)
{
    static const char name[] = "tiff:Orientation";
    const void *data = NULL;
    size_t size = 0;
    if (vips_image_get_typeof(image, VIPS_META_XMP_NAME) == 0 ||
        vips_image_get_blob(image, VIPS_META_XMP_NAME, &data, &size) != 0) {
        return;
    }
    char *text = g_malloc(size);
    memcpy(text, data, size);
    for (size_t i = 0; i + sizeof(name) + 2 < size; i++) {
        size_t at = i + sizeof(name) - 1;
        if (memcmp(text + i, name, sizeof(name) - 1) == 0) {
            at += text[at] == '=' ? 2 : 1; // ="6" or >6<
            text[at] = text[at] >= '2' && text[at] <= '8' ? '1' : text[at];
        }
    }
    vips_image_set_blob(image, VIPS_META_XMP_NAME, (VipsCallbackFn)vips_area_free_cb, text, size);
}

// *image becomes itself with fields and resolution.
static int put_meta(VipsImage **image, const fm__picture_meta *m, int colors)
{
    VipsImage *next = NULL;
    int ret = vips_copy(*image, &next, "xres", m->x_res, "yres", m->y_res, NULL);
    if (fm__image_replace(image, &next, ret) != 0) {
        return -1;
    }
    vips_image_map(m->fields, copy_field, *image);
    if (vips_image_get_typeof(*image, VIPS_META_ICC_NAME) != 0 && !fits_profile(m, colors)) {
        vips_image_remove(*image, VIPS_META_ICC_NAME);
    }
    if (vips_image_get_typeof(*image, VIPS_META_EXIF_NAME) != 0) {
        vips_image_set_int(*image, VIPS_META_ORIENTATION, 1);
    }
    reset_xmp(*image);
    return 0;
}

/* ---- reading ---- */

// Pictures in an animated PNG (its acTL chunk, which stands before the pixels), which libvips does not tell;
// 1 for any other file.
static int png_frames(int fd)
{
    uint8_t chunk[16];
    off_t at = 8;
    for (int i = 0; i < MAX_CHUNKS && pread(fd, chunk, sizeof(chunk), at) == sizeof(chunk); i++) {
        uint32_t size =
            (uint32_t)chunk[0] << 24 | (uint32_t)chunk[1] << 16 | (uint32_t)chunk[2] << 8 | chunk[3];
        if (memcmp(chunk + 4, "acTL", 4) == 0) {
            uint32_t n =
                (uint32_t)chunk[8] << 24 | (uint32_t)chunk[9] << 16 | (uint32_t)chunk[10] << 8 | chunk[11];
            return n > 1 && n <= INT_MAX ? (int)n : 1;
        }
        if (memcmp(chunk + 4, "IDAT", 4) == 0) {
            break;
        }
        at += (off_t)size + 12;
    }
    return 1;
}

static int page_count(const fm__image_file *f)
{
    const char *loader = NULL;
    bool is_png =
        vips_image_get_string(f->image, VIPS_META_LOADER, &loader) == 0 && strstr(loader, "pngload");
    return is_png ? png_frames(f->fd) : vips_image_get_n_pages(f->image);
}

// Rows of interleaved samples into planes.
typedef struct target {
    fm__picture *p;
    bool is_deep, has_alpha;
    int bands, colors;   // of the image; of the picture
    int colors_in_image; // 1: grey
} target;

static void put_row(const target *t, const void *row, int y)
{
    const fm__picture *p = t->p;
    int w = p->color ? p->color->view.width : p->deep->width;
    for (int c = 0; c < t->colors + (t->has_alpha ? 1 : 0); c++) {
        bool is_alpha = c == t->colors;
        int from = is_alpha ? t->bands - 1 : t->colors_in_image == 1 ? 0 : c;
        if (t->is_deep) {
            const uint16_t *in = (const uint16_t *)row + from;
            uint16_t *to = (is_alpha ? p->deep_alpha->plane[0] : p->deep->plane[c]) + (size_t)y * (size_t)w;
            for (int x = 0; x < w; x++) {
                to[x] = in[(ptrdiff_t)x * t->bands];
            }
        } else {
            const uint8_t *in = (const uint8_t *)row + from;
            fm_frame *f = is_alpha ? p->alpha : p->color;
            int step = is_alpha ? 1 : t->colors;
            uint8_t *to = fm__frame_plane(f, 0) + (ptrdiff_t)y * f->view.stride[0] + (is_alpha ? 0 : c);
            for (int x = 0; x < w; x++) {
                to[(ptrdiff_t)x * step] = in[(ptrdiff_t)x * t->bands];
            }
        }
    }
}

// Strips, top to bottom, as sequential loaders want it.
static int pull(VipsImage *image, const target *t)
{
    int w = vips_image_get_width(image), h = vips_image_get_height(image), ret = 0;
    VipsRegion *region = vips_region_new(image);
    for (int y = 0; region && ret == 0 && y < h; y += FM__IMAGE_STRIP_ROWS) {
        VipsRect rows = {.left = 0, .top = y, .width = w, .height = VIPS_MIN(FM__IMAGE_STRIP_ROWS, h - y)};
        ret = vips_region_prepare(region, &rows);
        for (int r = 0; ret == 0 && r < rows.height; r++) {
            put_row(t, VIPS_REGION_ADDR(region, 0, y + r), y + r);
        }
    }
    if (!region) {
        return -1;
    }
    g_object_unref(region);
    return ret;
}

static fm_status make_planes(VipsImage *image, const target *t, fm_frame_pool *pool, fm_error *err)
{
    fm__picture *p = t->p;
    int w = vips_image_get_width(image), h = vips_image_get_height(image);
    fm_status st = FM_OK;
    if (t->is_deep) {
        st = fm__deep_new(FM_TAG_IMAGE, w, h, t->colors, &p->deep, err);
        return st == FM_OK && t->has_alpha ? fm__deep_new(FM_TAG_IMAGE, w, h, 1, &p->deep_alpha, err) : st;
    }
    st = fm__frame_pool_take_pixels(
        pool, t->colors == 1 ? FM_PIXFMT_GRAY8 : FM_PIXFMT_RGB24, w, h, &p->color, err);
    if (st == FM_OK) {
        p->color->view.range = FM_RANGE_FULL;
    }
    return st == FM_OK && t->has_alpha
               ? fm__frame_pool_take_pixels(pool, FM_PIXFMT_GRAY8, w, h, &p->alpha, err)
               : st;
}

// Rounded twins, for all that works on 8 bits.
static fm_status round_deep(fm__picture *p, fm_frame_pool *pool, fm_error *err)
{
    fm_status st = p->deep ? fm__deep_to_frame(p->deep, pool, &p->color, err) : FM_OK;
    return st == FM_OK && p->deep_alpha ? fm__deep_to_frame(p->deep_alpha, pool, &p->alpha, err) : st;
}

// Grey or RGB of 8 or 16 bits; all else goes to sRGB.
static int to_known_colors(VipsImage **image, fm__picture *p)
{
    VipsInterpretation space = vips_image_guess_interpretation(*image);
    VipsBandFormat format = vips_image_get_format(*image);
    bool is_known = space == VIPS_INTERPRETATION_sRGB || space == VIPS_INTERPRETATION_RGB ||
                    space == VIPS_INTERPRETATION_RGB16 || space == VIPS_INTERPRETATION_B_W ||
                    space == VIPS_INTERPRETATION_GREY16;
    p->was_ink = vips_image_get_interpretation(*image) == VIPS_INTERPRETATION_CMYK;
    if (is_known && !p->was_ink && (format == VIPS_FORMAT_UCHAR || format == VIPS_FORMAT_USHORT)) {
        return 0;
    }
    return fm__image_to_srgb(image);
}

static fm_status make_picture(
    VipsImage **image, const char *path, bool wants_rgb, fm_frame_pool *pool, fm__picture *p, fm_error *err)
{
    if (fm__image_upright(image) != 0) {
        return fm__image_damaged(path, err);
    }
    if (to_known_colors(image, p) != 0) {
        return fm__fail(err, FM_UNSUPPORTED, "'%s': its colours cannot be turned into RGB", path);
    }
    target t = {.p = p, .bands = vips_image_get_bands(*image)};
    t.is_deep = vips_image_get_format(*image) == VIPS_FORMAT_USHORT;
    t.has_alpha = t.bands == 2 || t.bands == 4;
    t.colors_in_image = t.bands < 3 ? 1 : 3;
    t.colors = t.colors_in_image == 1 && !wants_rgb ? 1 : 3;
    fm_status st = make_planes(*image, &t, pool, err);
    if (st == FM_OK && pull(*image, &t) != 0) {
        st = fm__image_damaged(path, err);
    }
    return st == FM_OK ? round_deep(p, pool, err) : st;
}

fm_status fm__picture_load(const char *path, int64_t max_pixels, bool wants_rgb, fm_frame_pool *pool,
    fm__picture *out, fm_error *err)
{
    fm__image_file f;
    fm__picture p = {.pages = 1};
    fm_status st = fm__image_open(path, max_pixels, &f, err);
    if (st != FM_OK) {
        return st;
    }
    p.pages = page_count(&f);
    st = take_meta(f.image, &p.meta, err);
    st = st == FM_OK ? make_picture(&f.image, path, wants_rgb, pool, &p, err) : st;
    fm__image_close(&f);
    if (st != FM_OK) {
        fm__picture_done(&p);
        return st;
    }
    *out = p;
    return FM_OK;
}

void fm__picture_done(fm__picture *p)
{
    fm_frame_unref(&p->color);
    fm_frame_unref(&p->alpha);
    fm__deep_free(&p->deep);
    fm__deep_free(&p->deep_alpha);
    free_meta(&p->meta);
}

fm_status fm__picture_size(const char *path, int *width, int *height, fm_error *err)
{
    fm__image_file f;
    fm_status st = fm__image_open(path, INT64_MAX, &f, err);
    if (st == FM_OK) {
        *width = vips_image_get_width(f.image);
        *height = vips_image_get_height(f.image);
        fm__image_close(&f);
    }
    return st;
}

/* ---- writing ---- */

// Planes of 16 bits as one image; alpha last.
static VipsImage *join_deep(const fm__deep *d, const fm__deep *alpha)
{
    VipsImage *band[FM__DEEP_MAX_PLANES + 1] = {NULL}, *joined = NULL, *out = NULL;
    int n = d->planes + (alpha ? 1 : 0), ret = 0;
    size_t bytes = (size_t)d->width * (size_t)d->height * sizeof(uint16_t);
    for (int i = 0; i < n; i++) {
        const uint16_t *plane = i < d->planes ? d->plane[i] : alpha->plane[0];
        band[i] = vips_image_new_from_memory(plane, bytes, d->width, d->height, 1, VIPS_FORMAT_USHORT);
        ret = band[i] ? ret : -1;
    }
    VipsInterpretation space = d->planes == 1 ? VIPS_INTERPRETATION_GREY16 : VIPS_INTERPRETATION_RGB16;
    if (ret == 0 && vips_bandjoin(band, &joined, n, NULL) == 0) {
        ret = vips_copy(joined, &out, "interpretation", space, NULL);
    }
    for (int i = 0; i < n; i++) {
        VIPS_UNREF(band[i]);
    }
    VIPS_UNREF(joined);
    return ret == 0 ? out : NULL;
}

static VipsImage *image_of(const fm_frame *f)
{
    const fm_frame_view *v = &f->view;
    return fm__image_over(
        v->plane[0], v->stride[0], v->width, v->height, v->format == FM_PIXFMT_RGB24 ? 3 : 1);
}

static VipsImage *join_frames(const fm_frame *color, const fm_frame *alpha, bool over_white)
{
    VipsImage *in[2] = {image_of(color), NULL}, *joined = NULL, *flat = NULL;
    if (!alpha || !in[0]) {
        return in[0];
    }
    in[1] = image_of(alpha);
    int ret = in[1] ? vips_bandjoin(in, &joined, 2, NULL) : -1;
    if (ret == 0 && over_white) {
        double white = WHITE;
        VipsArrayDouble *background = vips_array_double_new(&white, 1);
        ret = fm__image_replace(&joined, &flat, vips_flatten(joined, &flat, "background", background, NULL));
        vips_area_unref(VIPS_AREA(background));
    }
    VIPS_UNREF(in[0]);
    VIPS_UNREF(in[1]);
    if (ret != 0) {
        VIPS_UNREF(joined);
    }
    return joined;
}

fm_status fm__picture_save(
    const char *path, const fm__picture *p, const fm__picture_save_opts *opts, fm_error *err)
{
    bool is_deep = p->deep && fm__picture_holds_deep(path);
    VipsImage *image = is_deep ? join_deep(p->deep, p->deep_alpha)
                               : join_frames(p->color, p->alpha, !fm__picture_holds_alpha(path));
    int colors = p->color->view.format == FM_PIXFMT_RGB24 ? 3 : 1;
    int ret = image && p->meta && !opts->strip ? put_meta(&image, p->meta, colors) : 0;
    fm_status st = ret == 0 ? fm__image_write(path, image, opts->quality, opts->strip || !p->meta, err)
                            : fm__fail(err, FM_INTERNAL, "cannot attach the metadata of '%s'", path);
    VIPS_UNREF(image);
    vips_error_clear();
    vips_thread_shutdown(); // this thread may end before it comes here again
    return st;
}

#else

static fm_status no_vips(const char *path, fm_error *err)
{
    return fm__fail(err, FM_UNSUPPORTED,
        "'%s' needs libvips, and this was built without; install libvips-dev and build again", path);
}

fm_status fm__picture_load(const char *path, int64_t max_pixels, bool wants_rgb, fm_frame_pool *pool,
    fm__picture *out, fm_error *err)
{
    (void)max_pixels;
    (void)wants_rgb;
    (void)pool;
    (void)out;
    return no_vips(path, err);
}

void fm__picture_done(fm__picture *p)
{
    fm_frame_unref(&p->color);
    fm_frame_unref(&p->alpha);
    fm__deep_free(&p->deep);
    fm__deep_free(&p->deep_alpha);
}

fm_status fm__picture_size(const char *path, int *width, int *height, fm_error *err)
{
    (void)width;
    (void)height;
    return no_vips(path, err);
}

fm_status fm__picture_save(
    const char *path, const fm__picture *p, const fm__picture_save_opts *opts, fm_error *err)
{
    (void)p;
    (void)opts;
    return no_vips(path, err);
}

#endif
