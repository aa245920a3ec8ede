// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Frames of every format copied into YUV420P. Scalar: annotated video costs an H.264 encoder a frame, beside
// which this does not show. Chroma that has to be halved is the rounded mean of the samples it stands for;
// RGB goes through the BT.601 or BT.709 matrix in 16.16 fixed point, limited range, its 2x2 mean taken before
// the matrix (the matrix is linear, so only rounding differs).

#include "sinks/to420.h"

#include <string.h>

#define HD_HEIGHT 720 // from here on players assume BT.709 (ITU-R BT.709 and its customary use)

void fm__to420_color(const fm_frame_view *src, fm_matrix *matrix, fm_range *range)
{
    bool rgb = src->format == FM_PIXFMT_RGB24;
    *matrix = !rgb ? src->matrix : src->height >= HD_HEIGHT ? FM_MATRIX_BT709 : FM_MATRIX_BT601;
    *range = rgb ? FM_RANGE_LIMITED : src->range;
}

static const uint8_t *src_row(const fm_frame_view *src, int plane, int y)
{
    return src->plane[plane] + (ptrdiff_t)y * src->stride[plane];
}

static uint8_t *dst_row(const fm_canvas *dst, int plane, int y)
{
    return dst->plane[plane] + (ptrdiff_t)y * dst->stride[plane];
}

static int half_up(int n)
{
    return (n + 1) / 2;
}

static int last_of(int a, int limit)
{
    return a < limit ? a : limit;
}

static void copy_plane(const fm_canvas *dst, const fm_frame_view *src, int plane, int w, int h)
{
    for (int y = 0; y < h; y++)
        memcpy(dst_row(dst, plane, y), src_row(src, plane, y), (size_t)w);
}

/** One chroma plane of w x h samples made half as high, and half as wide too where the source is not. */
static void halve_plane(const fm_canvas *dst, const fm_frame_view *src, int plane, int w, int h, bool halve_x)
{
    int out_w = halve_x ? half_up(w) : w;
    for (int y = 0; y < half_up(h); y++) {
        const uint8_t *a = src_row(src, plane, 2 * y), *b = src_row(src, plane, last_of(2 * y + 1, h - 1));
        uint8_t *d = dst_row(dst, plane, y);
        for (int x = 0; x < out_w; x++) {
            int x0 = halve_x ? 2 * x : x, x1 = halve_x ? last_of(2 * x + 1, w - 1) : x;
            d[x] = (uint8_t)((a[x0] + a[x1] + b[x0] + b[x1] + 2) / 4);
        }
    }
}

static void split_uv(const fm_canvas *dst, const fm_frame_view *src)
{
    for (int y = 0; y < half_up(src->height); y++) {
        const uint8_t *uv = src_row(src, 1, y);
        uint8_t *u = dst_row(dst, 1, y), *v = dst_row(dst, 2, y);
        for (int x = 0; x < half_up(src->width); x++) {
            u[x] = uv[2 * x];
            v[x] = uv[2 * x + 1];
        }
    }
}

static void grey_chroma(const fm_canvas *dst)
{
    for (int plane = 1; plane <= 2; plane++)
        for (int y = 0; y < half_up(dst->height); y++)
            memset(dst_row(dst, plane, y), 128, (size_t)half_up(dst->width));
}

/** RGB to YUV in 16.16, offsets and rounding included. */
typedef struct rgb_matrix {
    int32_t y[3], u[3], v[3];
} rgb_matrix;

static const rgb_matrix rgb_matrices[] = {
    [FM_MATRIX_BT601] = {.y = {16829, 33039, 6416}, .u = {-9714, -19070, 28784}, .v = {28784, -24103, -4681}},
    [FM_MATRIX_BT709] = {.y = {11966, 40254, 4064}, .u = {-6596, -22189, 28784}, .v = {28784, -26145, -2639}},
};

static uint8_t weigh(const int32_t k[3], const int32_t rgb[3], int offset)
{
    return (uint8_t)((k[0] * rgb[0] + k[1] * rgb[1] + k[2] * rgb[2] + (offset << 16) + (1 << 15)) >> 16);
}

static void rgb_luma(const fm_canvas *dst, const fm_frame_view *src, const rgb_matrix *m)
{
    for (int y = 0; y < src->height; y++) {
        const uint8_t *s = src_row(src, 0, y);
        uint8_t *d = dst_row(dst, 0, y);
        for (int x = 0; x < src->width; x++)
            d[x] = weigh(m->y, (const int32_t[3]){s[3 * x], s[3 * x + 1], s[3 * x + 2]}, 16);
    }
}

static void rgb_chroma(const fm_canvas *dst, const fm_frame_view *src, const rgb_matrix *m)
{
    for (int y = 0; y < half_up(src->height); y++) {
        const uint8_t *a = src_row(src, 0, 2 * y), *b = src_row(src, 0, last_of(2 * y + 1, src->height - 1));
        for (int x = 0; x < half_up(src->width); x++) {
            int x0 = 3 * 2 * x, x1 = 3 * last_of(2 * x + 1, src->width - 1);
            int32_t mean[3];
            for (int c = 0; c < 3; c++)
                mean[c] = (a[x0 + c] + a[x1 + c] + b[x0 + c] + b[x1 + c] + 2) / 4;
            dst_row(dst, 1, y)[x] = weigh(m->u, mean, 128);
            dst_row(dst, 2, y)[x] = weigh(m->v, mean, 128);
        }
    }
}

static void from_rgb(const fm_canvas *dst, const fm_frame_view *src)
{
    fm_matrix matrix;
    fm_range range;
    fm__to420_color(src, &matrix, &range);
    rgb_luma(dst, src, &rgb_matrices[matrix]);
    rgb_chroma(dst, src, &rgb_matrices[matrix]);
}

static void chroma_420(const fm_canvas *dst, const fm_frame_view *src)
{
    copy_plane(dst, src, 1, half_up(src->width), half_up(src->height));
    copy_plane(dst, src, 2, half_up(src->width), half_up(src->height));
}

static void chroma_422(const fm_canvas *dst, const fm_frame_view *src)
{
    halve_plane(dst, src, 1, half_up(src->width), src->height, false);
    halve_plane(dst, src, 2, half_up(src->width), src->height, false);
}

static void chroma_444(const fm_canvas *dst, const fm_frame_view *src)
{
    halve_plane(dst, src, 1, src->width, src->height, true);
    halve_plane(dst, src, 2, src->width, src->height, true);
}

void fm__to420(const fm_canvas *canvas, const fm_frame_view *src)
{
    if (src->format == FM_PIXFMT_RGB24) {
        from_rgb(canvas, src);
        return;
    }
    copy_plane(canvas, src, 0, src->width, src->height);
    switch (src->format) {
    case FM_PIXFMT_YUV420P:
        chroma_420(canvas, src);
        break;
    case FM_PIXFMT_YUV422P:
        chroma_422(canvas, src);
        break;
    case FM_PIXFMT_YUV444P:
        chroma_444(canvas, src);
        break;
    case FM_PIXFMT_NV12:
        split_uv(canvas, src);
        break;
    default:
        grey_chroma(canvas);
        break;
    }
}
