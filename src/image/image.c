// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Still pictures through libvips. The kind is known by the first bytes, never by the name, and only the
// loader of that kind is called, on an open file: no name of ours reaches libvips' "name[options]" syntax and
// no other loader can be chosen (all others are blocked besides). A loader reads the header first: size is
// checked before a pixel is decoded, and damage or truncation is an error, not a grey half. Then, in this
// order: orientation, CMYK through its embedded profile or by arithmetic, anything else to sRGB at 8 bits,
// alpha over white. Rows are pulled in strips straight into the frame. Embedded RGB profiles are left alone:
// detectors were trained on pictures read that way, and OpenCV and Pillow do the same. libvips keeps one
// error text for the whole process, which threads would mix up (its own threading notes say so), so its text
// is dropped and ours says which file.

#include "image/image.h"

#include "base/error.h"
#include "base/str.h"
#include "image/loading.h"

#include <fm_config.h>

bool fm__image_is_picture_name(const char *path)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"};
    for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
        if (fm__str_ends(path, endings[i])) {
            return true;
        }
    }
    return false;
}

#if FM_HAVE_VIPS

#include <vips/vips.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_MAX_PIXELS ((int64_t)16384 * 16384 / 2)
#define MAGIC_BYTES 12

// libvips is one for the process, so its life is counted for the process.
static pthread_mutex_t life_lock = PTHREAD_MUTEX_INITIALIZER;
static int life_count; // protected by life_lock

// libvips warns through GLib, which prints to stderr; a library must not.
static void drop_line(const gchar *domain, GLogLevelFlags level, const gchar *text, gpointer opaque)
{
    (void)domain;
    (void)level;
    (void)text;
    (void)opaque;
}

static void set_up(void)
{
    static const char *const allowed[] = {
        "VipsForeignLoadJpeg", "VipsForeignLoadPng", "VipsForeignLoadWebp", "VipsForeignLoadTiff"};
    g_log_set_handler("VIPS", G_LOG_LEVEL_MASK & ~G_LOG_LEVEL_ERROR, drop_line, NULL);
    vips_block_untrusted_set(TRUE);
    vips_operation_block_set("VipsForeignLoad", TRUE);
    for (size_t i = 0; i < sizeof(allowed) / sizeof(*allowed); i++) {
        vips_operation_block_set(allowed[i], FALSE);
    }
    vips_concurrency_set(1); // threads are the pipeline's
    vips_cache_set_max(0);   // every picture is read once
}

fm_status fm__image_init(fm_error *err)
{
    fm_status st = FM_OK;
    pthread_mutex_lock(&life_lock);
    if (life_count == 0) {
        if (VIPS_INIT("framemill") == 0) {
            set_up();
        } else {
            vips_error_clear();
            st = fm__fail(err, FM_INTERNAL, "libvips does not start; reinstall libvips42");
        }
    }
    life_count += st == FM_OK;
    pthread_mutex_unlock(&life_lock);
    return st;
}

void fm__image_shutdown(void)
{
    pthread_mutex_lock(&life_lock);
    if (life_count > 0 && --life_count == 0) {
        // Not vips_shutdown: libvips cannot be started again after it, and a process may run us twice. The
        // cache holds nothing and must not be dropped either: it is not made anew.
        vips_thread_shutdown();
    }
    pthread_mutex_unlock(&life_lock);
}

static bool is_up(void)
{
    pthread_mutex_lock(&life_lock);
    bool up = life_count > 0;
    pthread_mutex_unlock(&life_lock);
    return up;
}

typedef enum picture_kind { KIND_UNKNOWN, KIND_JPEG, KIND_PNG, KIND_WEBP, KIND_TIFF, KIND_BMP } picture_kind;

static picture_kind kind_of(const uint8_t m[MAGIC_BYTES])
{
    if (memcmp(m, "\xff\xd8\xff", 3) == 0) {
        return KIND_JPEG;
    }
    if (memcmp(m, "\x89PNG\r\n\x1a\n", 8) == 0) {
        return KIND_PNG;
    }
    if (memcmp(m, "RIFF", 4) == 0 && memcmp(m + 8, "WEBP", 4) == 0) {
        return KIND_WEBP;
    }
    if (memcmp(m, "II*\0", 4) == 0 || memcmp(m, "MM\0*", 4) == 0 || memcmp(m, "II+\0", 4) == 0 ||
        memcmp(m, "MM\0+", 4) == 0) {
        return KIND_TIFF;
    }
    return memcmp(m, "BM", 2) == 0 ? KIND_BMP : KIND_UNKNOWN;
}

// Opens the file and looks at its first bytes.
static fm_status open_picture(const char *path, int *fd_out, picture_kind *kind, fm_error *err)
{
    struct stat st;
    uint8_t magic[MAGIC_BYTES] = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a FIFO must not hold us up
    if (fd < 0) {
        return fm__fail_errno(err, errno, "cannot open", path);
    }
    fm_status status = FM_OK;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        status = fm__fail(err, FM_INVAL, "'%s' is not a regular file; give a picture", path);
    } else if (st.st_size == 0) {
        status = fm__fail(err, FM_FORMAT, "'%s' is empty; copy it again", path);
    } else if (pread(fd, magic, sizeof(magic), 0) < 0) {
        status = fm__fail_errno(err, errno, "cannot read", path);
    }
    if (status != FM_OK) {
        close(fd);
        return status;
    }
    *kind = kind_of(magic);
    *fd_out = fd;
    return FM_OK;
}

static VipsImage *load_lazily(VipsSource *source, picture_kind kind)
{
    VipsImage *out = NULL;
    int ret = -1;
    switch (kind) {
    case KIND_JPEG:
        ret = vips_jpegload_source(
            source, &out, "fail_on", VIPS_FAIL_ON_ERROR, "access", VIPS_ACCESS_SEQUENTIAL, NULL);
        break;
    case KIND_PNG:
        ret = vips_pngload_source(
            source, &out, "fail_on", VIPS_FAIL_ON_ERROR, "access", VIPS_ACCESS_SEQUENTIAL, NULL);
        break;
    case KIND_WEBP: // of an animation, the first picture
        ret = vips_webpload_source(
            source, &out, "fail_on", VIPS_FAIL_ON_ERROR, "access", VIPS_ACCESS_SEQUENTIAL, NULL);
        break;
    case KIND_TIFF: // its first page
        ret = vips_tiffload_source(
            source, &out, "fail_on", VIPS_FAIL_ON_ERROR, "access", VIPS_ACCESS_SEQUENTIAL, NULL);
        break;
    case KIND_BMP:
    case KIND_UNKNOWN:
        break;
    }
    return ret == 0 ? out : NULL;
}

// Each step takes *image over and puts its result, *next, there; 0 or -1 as in libvips.
int fm__image_replace(VipsImage **image, VipsImage **next, int ret)
{
    if (ret == 0) {
        g_object_unref(*image);
        *image = *next;
    }
    return ret;
}

// Turning needs all of the picture at once, a stream of rows cannot be turned.
int fm__image_upright(VipsImage **image)
{
    if (vips_image_get_orientation(*image) <= 1) {
        return 0;
    }
    VipsImage *next = vips_image_copy_memory(*image);
    if (fm__image_replace(image, &next, next ? 0 : -1) != 0) {
        return -1;
    }
    return fm__image_replace(image, &next, vips_autorot(*image, &next, NULL));
}

// Ink without a profile: R = (1 - C)(1 - K), as OpenCV and Pillow do. libvips would take a press profile of
// its own instead; on the pair of pictures in the test data that is 33 grey levels from the RGB twin, this
// is 5.
static int ink_to_srgb(VipsImage **image)
{
    VipsImage *t[7] = {NULL};
    int ret = -1;
    if (vips_cast(*image, &t[0], VIPS_FORMAT_UCHAR, "shift", TRUE, NULL) == 0 &&
        vips_invert(t[0], &t[1], NULL) == 0 && vips_extract_band(t[1], &t[2], 0, "n", 3, NULL) == 0 &&
        vips_extract_band(t[1], &t[3], 3, NULL) == 0 && vips_multiply(t[2], t[3], &t[4], NULL) == 0 &&
        vips_linear1(t[4], &t[5], 1.0 / 255, 0.5, "uchar", TRUE, NULL) == 0 &&
        vips_copy(t[5], &t[6], "interpretation", VIPS_INTERPRETATION_sRGB, NULL) == 0) {
        ret = fm__image_replace(image, &t[6], 0);
    }
    for (int i = 0; i < 6; i++) {
        VIPS_UNREF(t[i]);
    }
    return ret;
}

static int cmyk_to_srgb(VipsImage **image)
{
    VipsImage *next = NULL;
    if (vips_image_get_typeof(*image, VIPS_META_ICC_NAME) == 0) {
        return ink_to_srgb(image);
    }
    int ret = vips_icc_transform(
        *image, &next, "srgb", "embedded", TRUE, "input_profile", "cmyk", "depth", 8, NULL);
    return fm__image_replace(image, &next, ret);
}

int fm__image_to_srgb(VipsImage **image)
{
    VipsImage *next = NULL;
    if (vips_image_get_interpretation(*image) == VIPS_INTERPRETATION_CMYK && cmyk_to_srgb(image) != 0) {
        return -1;
    }
    if (vips_image_guess_interpretation(*image) != VIPS_INTERPRETATION_sRGB) {
        if (fm__image_replace(
                image, &next, vips_colourspace(*image, &next, VIPS_INTERPRETATION_sRGB, NULL)) != 0) {
            return -1;
        }
    }
    return vips_image_get_format(*image) == VIPS_FORMAT_UCHAR
               ? 0
               : fm__image_replace(image, &next, vips_cast(*image, &next, VIPS_FORMAT_UCHAR, NULL));
}

// Alpha over white; extra bands beyond it are dropped.
static int to_three_bands(VipsImage **image)
{
    VipsImage *next = NULL;
    if (vips_image_hasalpha(*image)) {
        double white[] = {255, 255, 255};
        VipsArrayDouble *background = vips_array_double_new(white, 3);
        int ret = vips_flatten(*image, &next, "background", background, NULL);
        vips_area_unref(VIPS_AREA(background));
        if (fm__image_replace(image, &next, ret) != 0) {
            return -1;
        }
    }
    return vips_image_get_bands(*image) == 3
               ? 0
               : fm__image_replace(image, &next, vips_extract_band(*image, &next, 0, "n", 3, NULL));
}

// Pulls the picture through in strips, top to bottom as sequential loaders want it, into the frame.
static int fill(VipsImage *image, fm_frame *frame)
{
    uint8_t *to = fm__frame_plane(frame, 0);
    int stride = frame->view.stride[0], w = frame->view.width, h = frame->view.height, ret = 0;
    VipsRegion *region = vips_region_new(image);
    for (int y = 0; region && ret == 0 && y < h; y += FM__IMAGE_STRIP_ROWS) {
        VipsRect rows = {.left = 0, .top = y, .width = w, .height = VIPS_MIN(FM__IMAGE_STRIP_ROWS, h - y)};
        ret = vips_region_prepare(region, &rows);
        for (int r = 0; ret == 0 && r < rows.height; r++) {
            memcpy(to + (ptrdiff_t)(y + r) * stride, VIPS_REGION_ADDR(region, 0, y + r), (size_t)w * 3);
        }
    }
    if (!region) {
        return -1;
    }
    g_object_unref(region);
    return ret;
}

fm_status fm__image_damaged(const char *path, fm_error *err)
{
    return fm__fail(err, FM_FORMAT, "'%s' does not decode: it is damaged or cut short; copy it again", path);
}

static fm_status make_frame(
    VipsImage **image, const char *path, fm_frame_pool *pool, fm_frame **out, fm_error *err)
{
    if (fm__image_upright(image) != 0) {
        return fm__image_damaged(path, err);
    }
    if (fm__image_to_srgb(image) != 0 || to_three_bands(image) != 0) {
        return fm__fail(err, FM_UNSUPPORTED, "'%s': its colours cannot be turned into RGB", path);
    }
    fm_frame *frame = NULL;
    fm_status st = fm__frame_pool_take_pixels(
        pool, FM_PIXFMT_RGB24, vips_image_get_width(*image), vips_image_get_height(*image), &frame, err);
    if (st != FM_OK) {
        return st;
    }
    if (fill(*image, frame) != 0) {
        fm_frame_unref(&frame);
        return fm__image_damaged(path, err);
    }
    frame->view.range = FM_RANGE_FULL;
    *out = frame;
    return FM_OK;
}

static fm_status check_image(const fm__image_file *f, const char *path, int64_t max_pixels, fm_error *err)
{
    if (!f->image) {
        return fm__image_damaged(path, err);
    }
    int w = vips_image_get_width(f->image), h = vips_image_get_height(f->image);
    int64_t limit = max_pixels > 0 ? max_pixels : DEFAULT_MAX_PIXELS;
    return (int64_t)w * h > limit
               ? fm__fail(err, FM_DENIED, "'%s' is %dx%d, more than the limit of %lld pixels", path, w, h,
                     (long long)limit)
               : FM_OK;
}

fm_status fm__image_open(const char *path, int64_t max_pixels, fm__image_file *out, fm_error *err)
{
    fm__image_file f = {.fd = -1};
    picture_kind kind = KIND_UNKNOWN;
    if (!is_up()) {
        return fm__fail(err, FM_INTERNAL, "cannot read '%s': fm__image_init was not called", path);
    }
    fm_status st = open_picture(path, &f.fd, &kind, err);
    if (st != FM_OK) {
        return st;
    }
    if (kind == KIND_UNKNOWN || kind == KIND_BMP) {
        st = fm__fail(err, FM_UNSUPPORTED, "'%s' is not a JPEG, PNG, WebP or TIFF picture", path);
    } else {
        f.source = vips_source_new_from_descriptor(f.fd);
        f.image = f.source ? load_lazily(f.source, kind) : NULL;
        st = check_image(&f, path, max_pixels, err);
    }
    if (st != FM_OK) {
        fm__image_close(&f);
        return st;
    }
    *out = f;
    return FM_OK;
}

void fm__image_close(fm__image_file *f)
{
    VIPS_UNREF(f->image);
    VIPS_UNREF(f->source);
    close(f->fd);
    vips_error_clear();
    vips_thread_shutdown(); // this thread may end before it comes here again
}

fm_status fm__image_load(
    const char *path, int64_t max_pixels, fm_frame_pool *pool, fm_frame **out, fm_error *err)
{
    fm__image_file f;
    fm_status st = fm__image_open(path, max_pixels, &f, err);
    if (st == FM_OK) {
        st = make_frame(&f.image, path, pool, out, err);
        fm__image_close(&f);
    }
    return st;
}

void fm__image_version(char *buf, size_t size)
{
    snprintf(buf, size, "%d.%d.%d", vips_version(0), vips_version(1), vips_version(2));
}

#else

#include <stdio.h>

fm_status fm__image_init(fm_error *err)
{
    (void)err;
    return FM_OK;
}

void fm__image_shutdown(void)
{
}

fm_status fm__image_load(
    const char *path, int64_t max_pixels, fm_frame_pool *pool, fm_frame **out, fm_error *err)
{
    (void)max_pixels;
    (void)pool;
    (void)out;
    return fm__fail(err, FM_UNSUPPORTED,
        "cannot read '%s': built without libvips; install libvips-dev and build again", path);
}

void fm__image_version(char *buf, size_t size)
{
    snprintf(buf, size, "%s", "");
}

#endif
