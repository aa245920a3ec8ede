// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// JPEG through libturbojpeg. Planes go in as they are where they already hold what JFIF says (full range
// BT.601; JFIF 1.02, section "Colour space"); else through a copy that stretches limited range, and for
// BT.709 also turns the matrix: grey stays grey between the two, so chroma becomes a mix of chroma alone, and
// luma gains a share of its (nearest) chroma.

#include "image/jpeg.h"

#include "base/error.h"

#include <fm_config.h>

#include <stdio.h>
#include <string.h>

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
        int bytes = view->format == FM_PIXFMT_RGB24 ? 3 : view->format == FM_PIXFMT_NV12 && i ? 2 : 1;
        out->plane[i] += (ptrdiff_t)(y0 >> sy) * view->stride[i] + (ptrdiff_t)(x0 >> sx) * bytes;
    }
    return true;
}

#if FM_HAVE_TURBOJPEG

#include <turbojpeg.h>

struct fm_jpeg {
    tjhandle handle;
    int quality;
    unsigned char *out; // libturbojpeg's
    unsigned long out_cap;
    uint8_t *scratch; // planes as JPEG wants them
    size_t scratch_cap;
};

fm_status fm__jpeg_new(int quality, fm_jpeg **out, fm_error *err)
{
    fm_jpeg *j = fm__calloc(FM_TAG_IMAGE, sizeof(*j));
    if (!j) {
        return fm__fail_nomem(err, "a JPEG encoder");
    }
    j->quality = quality;
    j->handle = tjInitCompress();
    if (!j->handle) {
        fm__free(j);
        return fm__fail_nomem(err, "a JPEG encoder");
    }
    *out = j;
    return FM_OK;
}

void fm__jpeg_free(fm_jpeg **jpeg)
{
    if (!jpeg || !*jpeg) {
        return;
    }
    tjDestroy((*jpeg)->handle);
    tjFree((*jpeg)->out);
    fm__free((*jpeg)->scratch);
    fm__free(*jpeg);
    *jpeg = NULL;
}

typedef struct planes {
    const unsigned char *p[3];
    int stride[3];
    int w[3], h[3];     // as libturbojpeg reads them: luma rounded up to whole chroma samples
    int luma_w, luma_h; // as the frame has it
    int sampling;
} planes;

static int sampling_of(fm_pixfmt format)
{
    return format == FM_PIXFMT_GRAY8     ? TJSAMP_GRAY
           : format == FM_PIXFMT_YUV422P ? TJSAMP_422
           : format == FM_PIXFMT_YUV444P ? TJSAMP_444
                                         : TJSAMP_420;
}

static uint8_t clip(int v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

// (v - from) * (1 + k / 32768) + to, rounded, all of it in 16 bits: the product is one instruction of AVX2
// (vpmulhrsw). Compiled twice, for baseline x86-64 has none.
static inline __attribute__((always_inline)) void stretch_body(
    uint8_t *restrict dst, const uint8_t *restrict src, int n, int16_t from, int16_t k, int16_t to)
{
    for (int i = 0; i < n; i++) {
        int16_t x = (int16_t)(src[i] - from);
        int16_t y = (int16_t)(x + (int16_t)((x * k + (1 << 14)) >> 15) + to);
        y = y < 0 ? 0 : y;
        dst[i] = (uint8_t)(y > 255 ? 255 : y);
    }
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void stretch_avx2(
    uint8_t *dst, const uint8_t *src, int n, int16_t from, int16_t k, int16_t to)
{
    stretch_body(dst, src, n, from, k, to);
}
#endif

static void stretch_row(uint8_t *dst, const uint8_t *src, int n, int16_t from, int16_t k, int16_t to)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        stretch_avx2(dst, src, n, from, k, to);
        return;
    }
#endif
    stretch_body(dst, src, n, from, k, to);
}

static void stretch_plane(uint8_t *dst, int dst_stride, const planes *s, int plane, bool limited)
{
    int16_t from = !limited ? 0 : plane ? 128 : 16, to = limited && plane ? 128 : 0;
    // 255 / 219 and 255 / 224, less 1
    int16_t k = !limited ? 0 : plane ? 4535 : 5387;
    int w = plane ? s->w[plane] : s->luma_w, h = plane ? s->h[plane] : s->luma_h;
    for (int y = 0; y < s->h[plane]; y++) {
        const uint8_t *row = s->p[plane] + (ptrdiff_t)(y < h ? y : h - 1) * s->stride[plane];
        uint8_t *d = dst + (ptrdiff_t)y * dst_stride;
        stretch_row(d, row, w, from, k, to);
        if (w < s->w[plane]) {
            d[w] = d[w - 1];
        }
    }
}

// BT.709 to BT.601, full range, 16.16: from R'G'B' by one matrix into Y'CbCr by the other.
enum {
    Y_CB = 6657,   // 0.10156
    Y_CR = 12850,  // 0.19620
    CB_CB = 64871, // 0.98985
    CB_CR = -7252, // -0.11058
    CR_CB = -4748, // -0.07249
    CR_CR = 64448, // 0.98324
};

static void turn_matrix(uint8_t *const p[3], const int stride[3], const planes *s)
{
    int sx = s->w[1] < s->w[0], sy = s->h[1] < s->h[0];
    for (int y = 0; y < s->h[0]; y++) {
        uint8_t *l = p[0] + (ptrdiff_t)y * stride[0];
        const uint8_t *u = p[1] + (ptrdiff_t)(y >> sy) * stride[1],
                      *v = p[2] + (ptrdiff_t)(y >> sy) * stride[2];
        for (int x = 0; x < s->w[0]; x++) {
            l[x] = clip(l[x] + ((Y_CB * (u[x >> sx] - 128) + Y_CR * (v[x >> sx] - 128) + 32768) >> 16));
        }
    }
    for (int y = 0; y < s->h[1]; y++) {
        uint8_t *u = p[1] + (ptrdiff_t)y * stride[1], *v = p[2] + (ptrdiff_t)y * stride[2];
        for (int x = 0; x < s->w[1]; x++) {
            int cb = u[x] - 128, cr = v[x] - 128;
            u[x] = clip(128 + ((CB_CB * cb + CB_CR * cr + 32768) >> 16));
            v[x] = clip(128 + ((CR_CB * cb + CR_CR * cr + 32768) >> 16));
        }
    }
}

static void split_uv(const fm_frame_view *v, uint8_t *u, uint8_t *w, int width, int height)
{
    for (int y = 0; y < height; y++) {
        const uint8_t *uv = v->plane[1] + (ptrdiff_t)y * v->stride[1];
        for (int x = 0; x < width; x++) {
            u[(ptrdiff_t)y * width + x] = uv[2 * x];
            w[(ptrdiff_t)y * width + x] = uv[2 * x + 1];
        }
    }
}

// Fills s: the frame's own planes, or copies that are right for JPEG.
static fm_status prepare(fm_jpeg *j, const fm_frame_view *v, planes *s, fm_error *err)
{
    bool nv12 = v->format == FM_PIXFMT_NV12, gray = v->format == FM_PIXFMT_GRAY8;
    bool limited = v->range == FM_RANGE_LIMITED, turn = !gray && v->matrix == FM_MATRIX_BT709;
    size_t total = 0, at[4] = {0};
    s->sampling = sampling_of(v->format);
    int count = gray ? 1 : 3;
    for (int i = 0; i < count; i++) {
        int from = nv12 && i ? 1 : i;
        s->p[i] = v->plane[from];
        s->stride[i] = v->stride[from];
        s->w[i] = tjPlaneWidth(i, v->width, s->sampling);
        s->h[i] = tjPlaneHeight(i, v->height, s->sampling);
        at[i] = total;
        total += (size_t)s->w[i] * (size_t)s->h[i];
    }
    s->luma_w = v->width;
    s->luma_h = v->height;
    bool odd = s->w[0] != v->width || s->h[0] != v->height; // there is nothing to read behind the last column
    if (!limited && !turn && !nv12 && !odd) {
        return FM_OK;
    }
    size_t uv = nv12 ? total : 0; // NV12's two planes, apart, behind the three
    if (!fm__grow(FM_TAG_IMAGE, (void **)&j->scratch, &j->scratch_cap, total + uv, 1)) {
        return fm__fail_nomem(err, "a picture");
    }
    if (nv12) {
        uint8_t *u = j->scratch + total, *w = u + at[2] - at[1];
        split_uv(v, u, w, s->w[1], s->h[1]);
        s->p[1] = u;
        s->p[2] = w;
        s->stride[1] = s->stride[2] = s->w[1];
    }
    uint8_t *p[3];
    for (int i = 0; i < count; i++) {
        p[i] = j->scratch + at[i];
        stretch_plane(p[i], s->w[i], s, i, limited);
        s->stride[i] = s->w[i];
    }
    if (turn) {
        turn_matrix(p, s->stride, s);
    }
    for (int i = 0; i < count; i++) {
        s->p[i] = p[i];
    }
    return FM_OK;
}

static fm_status reserve(fm_jpeg *j, int width, int height, int sampling, fm_error *err)
{
    unsigned long need = tjBufSize(width, height, sampling);
    if (need == (unsigned long)-1) {
        return fm__fail(err, FM_INVAL, "a picture of %dx%d does not fit a JPEG", width, height);
    }
    if (need > j->out_cap) {
        tjFree(j->out);
        j->out = tjAlloc((int)need);
        j->out_cap = j->out ? need : 0;
    }
    return j->out ? FM_OK : fm__fail_nomem(err, "a JPEG");
}

fm_status fm__jpeg_encode(
    fm_jpeg *j, const fm_frame_view *v, const uint8_t **bytes, size_t *size, fm_error *err)
{
    bool rgb = v->format == FM_PIXFMT_RGB24;
    if (v->format <= FM_PIXFMT_NONE || v->format >= FM_PIXFMT_COUNT || v->width > 65500 ||
        v->height > 65500) {
        return fm__fail(err, FM_INVAL, "a picture of %dx%d, %s, does not fit a JPEG", v->width, v->height,
            fm_pixfmt_name(v->format));
    }
    planes s = {.sampling = sampling_of(v->format)};
    fm_status st = reserve(j, v->width, v->height, s.sampling, err);
    st = st == FM_OK && !rgb ? prepare(j, v, &s, err) : st;
    if (st != FM_OK) {
        return st;
    }
    unsigned long len = j->out_cap;
    int flags = TJFLAG_NOREALLOC | TJFLAG_FASTDCT;
    int rc = rgb ? tjCompress2(j->handle, v->plane[0], v->width, v->stride[0], v->height, TJPF_RGB, &j->out,
                       &len, s.sampling, j->quality, flags)
                 : tjCompressFromYUVPlanes(j->handle, s.p, v->width, s.stride, v->height, s.sampling, &j->out,
                       &len, j->quality, flags);
    if (rc != 0) {
        return fm__fail(
            err, FM_INTERNAL, "a picture could not be made a JPEG: %s", tjGetErrorStr2(j->handle));
    }
    *bytes = j->out;
    *size = len;
    return FM_OK;
}

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

static fm_status absent(fm_error *err)
{
    return fm__fail(err, FM_UNSUPPORTED, "this framemill was built without libturbojpeg: keep no pictures");
}

fm_status fm__jpeg_new(int quality, fm_jpeg **out, fm_error *err)
{
    (void)quality;
    (void)out;
    return absent(err);
}

void fm__jpeg_free(fm_jpeg **jpeg)
{
    (void)jpeg;
}

fm_status fm__jpeg_encode(
    fm_jpeg *jpeg, const fm_frame_view *view, const uint8_t **bytes, size_t *size, fm_error *err)
{
    (void)jpeg;
    (void)view;
    (void)bytes;
    (void)size;
    return absent(err);
}

fm_status fm__jpeg_check(const void *bytes, size_t size, int *width, int *height, fm_error *err)
{
    (void)bytes;
    (void)size;
    (void)width;
    (void)height;
    return absent(err);
}

fm_status fm__jpeg_size(const void *bytes, size_t size, int *width, int *height, fm_error *err)
{
    return fm__jpeg_check(bytes, size, width, height, err);
}

#endif
