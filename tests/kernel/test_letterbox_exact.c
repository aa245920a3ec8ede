// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The scalar letterbox against an independent slow twin in double: exact bilinear weights (OpenCV's
// INTER_LINEAR positions), the colour equations of BT.601 and BT.709 as they stand in the recommendations,
// rounding once at the end. No pixel may be off by more than 2, the mean difference must stay small.

#include "letterbox_cases.h"

#include "frame/frame.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_OFF 2
// A vertical blend's rounding, weighted by the matrix, beside the rounding at the end: 0.376 is the largest
// mean seen, on noise; a wrong position, weight or matrix shows as 1 and more.
#define MAX_MEAN 0.4

static double at(const fm_frame_view *v, int plane, int step, int offset, int x, int y)
{
    return v->plane[plane][(ptrdiff_t)y * v->stride[plane] + (ptrdiff_t)x * step + offset];
}

static double clamp(double v, double lo, double hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

// Bilinear sample of one component at (x, y), in samples of its plane.
static double bilinear(const fm_frame_view *v, int plane, int step, int offset, double x, double y)
{
    int w, h;
    fm__pixfmt_plane_size(v->format, v->width, v->height, plane, &w, &h);
    x = clamp(x, 0, w - 1);
    y = clamp(y, 0, h - 1);
    int x0 = (int)floor(x), y0 = (int)floor(y);
    int x1 = x0 + 1 < w ? x0 + 1 : x0, y1 = y0 + 1 < h ? y0 + 1 : y0;
    double fx = x - x0, fy = y - y0;
    double top = at(v, plane, step, offset, x0, y0) * (1 - fx) + at(v, plane, step, offset, x1, y0) * fx;
    double low = at(v, plane, step, offset, x0, y1) * (1 - fx) + at(v, plane, step, offset, x1, y1) * fx;
    return top * (1 - fy) + low * fy;
}

// The plane blown up to luma size first, each sample repeated, then bilinear there.
static double repeated(const fm_frame_view *v, int plane, int step, int offset, double x, double y)
{
    int sx, sy;
    fm__pixfmt_shift(v->format, &sx, &sy);
    x = clamp(x, 0, v->width - 1);
    y = clamp(y, 0, v->height - 1);
    int x0 = (int)floor(x), y0 = (int)floor(y);
    int x1 = x0 + 1 < v->width ? x0 + 1 : x0, y1 = y0 + 1 < v->height ? y0 + 1 : y0;
    double fx = x - x0, fy = y - y0;
    double top = at(v, plane, step, offset, x0 >> sx, y0 >> sy) * (1 - fx) +
                 at(v, plane, step, offset, x1 >> sx, y0 >> sy) * fx;
    double low = at(v, plane, step, offset, x0 >> sx, y1 >> sy) * (1 - fx) +
                 at(v, plane, step, offset, x1 >> sx, y1 >> sy) * fx;
    return top * (1 - fy) + low * fy;
}

static void yuv_to_rgb(const fm_letterbox_desc *d, double y, double u, double v, double rgb[3])
{
    double kr = d->matrix == FM_MATRIX_BT709 ? 0.2126 : 0.299,
           kb = d->matrix == FM_MATRIX_BT709 ? 0.0722 : 0.114;
    bool full = d->range == FM_RANGE_FULL;
    double luma = full ? y / 255 : (y - 16) / 219;
    double pb = (u - 128) / (full ? 255 : 224), pr = (v - 128) / (full ? 255 : 224);
    double r = luma + 2 * (1 - kr) * pr, b = luma + 2 * (1 - kb) * pb;
    double g = (luma - kr * r - kb * b) / (1 - kr - kb);
    rgb[0] = clamp(255 * r, 0, 255);
    rgb[1] = clamp(255 * g, 0, 255);
    rgb[2] = clamp(255 * b, 0, 255);
}

// RGB at a luma position.
static void source_rgb(const fm_letterbox_desc *d, const fm_frame_view *v, double x, double y, double rgb[3])
{
    int sx, sy;
    fm__pixfmt_shift(v->format, &sx, &sy);
    double cx = !sx ? x : d->chroma_site == FM_CHROMA_LEFT ? x / 2 : (x + 0.5) / 2 - 0.5;
    double cy = !sy ? y : (y + 0.5) / 2 - 0.5;
    if (fm__pixfmt_is_rgb(v->format)) {
        for (int c = 0; c < 3; c++) {
            rgb[v->format == FM_PIXFMT_BGR24 ? 2 - c : c] = bilinear(v, 0, 3, c, x, y);
        }
        return;
    }
    bool repeat = d->chroma_site == FM_CHROMA_REPEAT;
    double luma = bilinear(v, 0, 1, 0, x, y), u = 128, w = 128;
    if (d->color == FM_COLOR_GRAY || v->format == FM_PIXFMT_GRAY8) {
        u = w = 128;
    } else if (v->format == FM_PIXFMT_NV12) {
        u = repeat ? repeated(v, 1, 2, 0, x, y) : bilinear(v, 1, 2, 0, cx, cy);
        w = repeat ? repeated(v, 1, 2, 1, x, y) : bilinear(v, 1, 2, 1, cx, cy);
    } else {
        u = repeat ? repeated(v, 1, 1, 0, x, y) : bilinear(v, 1, 1, 0, cx, cy);
        w = repeat ? repeated(v, 2, 1, 0, x, y) : bilinear(v, 2, 1, 0, cx, cy);
    }
    yuv_to_rgb(d, luma, u, w, rgb);
}

// What channel c of the tensor should be at (x, y).
static double expected(const fm_letterbox_desc *d, const fm_frame_view *v, int x, int y, int c)
{
    const fm_fit_map *m = &d->map;
    int ix = x - m->dst_x, iy = y - m->dst_y;
    if (ix < 0 || iy < 0 || ix >= m->dst_cw || iy >= m->dst_ch) {
        return d->pad;
    }
    double rgb[3];
    source_rgb(d, v, m->src_x + (ix + 0.5) * m->src_cw / m->dst_cw - 0.5,
        m->src_y + (iy + 0.5) * m->src_ch / m->dst_ch - 0.5, rgb);
    if (d->color == FM_COLOR_GRAY) {
        return fm__pixfmt_is_rgb(v->format) ? 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2] : rgb[0];
    }
    return rgb[d->color == FM_COLOR_BGR ? 2 - c : c];
}

// Value of the tensor at (x, y), channel c, mean and scale undone.
static double actual(const fm_letterbox_desc *d, const tensor_buffer *t, int x, int y, int c)
{
    int channels = d->color == FM_COLOR_GRAY ? 1 : 3;
    size_t pixel = (size_t)y * (size_t)d->map.dst_w + (size_t)x;
    size_t plane = (size_t)d->map.dst_w * (size_t)d->map.dst_h;
    size_t i = d->layout == FM_LAYOUT_NHWC ? pixel * (size_t)channels + (size_t)c : (size_t)c * plane + pixel;
    if (d->dtype == FM_DTYPE_U8) {
        return t->data[i];
    }
    float v;
    memcpy(&v, t->data + i * sizeof(v), sizeof(v));
    return (double)v * (d->scale[c] == 0 ? 1 : d->scale[c]) + d->mean[c];
}

static void check(const fm_letterbox_desc *d, const fm_frame_view *v)
{
    tensor_buffer t;
    run_letterbox(d, FM_CPU_SCALAR, v, &t);
    double sum = 0;
    int channels = d->color == FM_COLOR_GRAY ? 1 : 3;
    for (int y = 0; y < d->map.dst_h; y++) {
        for (int x = 0; x < d->map.dst_w; x++) {
            for (int c = 0; c < channels; c++) {
                double want = floor(expected(d, v, x, y, c) + 0.5), got = actual(d, &t, x, y, c);
                double off = fabs(want - got);
                sum += off;
                if (!(off <= MAX_OFF + 1e-3)) {
                    fail_msg("%s: (%d,%d) channel %d is %f, should be %f", describe(d), x, y, c, got, want);
                }
            }
        }
    }
    double mean = sum / ((double)channels * d->map.dst_w * d->map.dst_h);
    if (mean > MAX_MEAN) {
        fail_msg("%s: mean difference %f", describe(d), mean);
    }
    tensor_check_and_free(&t);
}

static void test_twin(void **state)
{
    (void)state;
    int next[2] = {0, 0}; // of BGR24, and of the others
    for (size_t g = 0; g < letterbox_geometry_count; g++) {
        const geometry *geo = &letterbox_geometries[g];
        for (int format = FM_PIXFMT_NONE + 1; format < FM_PIXFMT_COUNT; format++) {
            for (int n = 0; n < 3; n++) {
                int variant = next[format != FM_PIXFMT_BGR24]++;
                picture p;
                picture_make(&p, (fm_pixfmt)format, geo->src_w, geo->src_h, (content)n, PLACE_END, 7);
                fm_letterbox_desc desc = make_desc(&p, geo, variant);
                p.view.matrix = desc.matrix;
                p.view.range = desc.range;
                p.view.chroma_site = desc.chroma_site;
                set_output(&desc, variant % 12);
                check(&desc, &p.view);
                picture_free(&p);
            }
        }
    }
}

// Colours that are known without arithmetic: black, white, the primaries of BT.601 and BT.709 at limited
// range.
static void test_known_colors(void **state)
{
    (void)state;
    static const struct {
        fm_matrix matrix;
        uint8_t yuv[3], rgb[3];
    } cases[] = {
        {FM_MATRIX_BT601, {16, 128, 128}, {0, 0, 0}},
        {FM_MATRIX_BT601, {235, 128, 128}, {255, 255, 255}},
        {FM_MATRIX_BT601, {81, 90, 240}, {254, 0, 0}},
        {FM_MATRIX_BT601, {145, 54, 34}, {0, 255, 1}},
        {FM_MATRIX_BT601, {41, 240, 110}, {0, 0, 255}},
        {FM_MATRIX_BT709, {63, 102, 240}, {255, 1, 0}},
        {FM_MATRIX_BT709, {173, 42, 26}, {0, 255, 1}},
        {FM_MATRIX_BT709, {32, 240, 118}, {1, 0, 255}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fm_frame_view view = {.plane = {&cases[i].yuv[0], &cases[i].yuv[1], &cases[i].yuv[2]},
            .stride = {1, 1, 1},
            .width = 1,
            .height = 1,
            .format = FM_PIXFMT_YUV420P,
            .matrix = cases[i].matrix};
        fm_letterbox_desc desc = {.format = FM_PIXFMT_YUV420P,
            .matrix = cases[i].matrix,
            .map = fm__fit(FM_FIT_STRETCH, FM_ANCHOR_TOPLEFT, 0, 1, 1, 1, 1)};
        tensor_buffer t;
        run_letterbox(&desc, FM_CPU_SCALAR, &view, &t);
        for (int c = 0; c < 3; c++) {
            if (abs(t.data[c] - cases[i].rgb[c]) > 1) {
                fail_msg("case %zu channel %d is %d, should be %d", i, c, t.data[c], cases[i].rgb[c]);
            }
        }
        tensor_check_and_free(&t);
    }
}

// A picture that is not scaled comes through as it is.
static void test_identity_of_rgb(void **state)
{
    (void)state;
    geometry g = {19, 11, 19, 11, FM_FIT_STRETCH, FM_ANCHOR_TOPLEFT, 0};
    picture p;
    picture_make(&p, FM_PIXFMT_RGB24, g.src_w, g.src_h, CONTENT_NOISE, PLACE_END, 3);
    fm_letterbox_desc desc = make_desc(&p, &g, 0);
    desc.layout = FM_LAYOUT_NHWC;
    tensor_buffer t;
    run_letterbox(&desc, FM_CPU_SCALAR, &p.view, &t);
    assert_memory_equal(t.data, p.view.plane[0], (size_t)g.src_w * (size_t)g.src_h * 3);
    tensor_check_and_free(&t);
    picture_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_twin),
        cmocka_unit_test(test_known_colors),
        cmocka_unit_test(test_identity_of_rgb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
