// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Crops at one CPU level, in memory whose neighbourhood may not be touched. A crop must be to the bit what
// the letterbox makes of the box cut out as a picture of its own, its chroma blown up to luma size before, so
// that nothing beside the box plays a part; at scalar level that is also held against bilinear interpolation
// in double. Boxes are random, at and over borders, a pixel or less, not in the frame, and no boxes at all.

#include "letterbox_cases.h"

#include "frame/frame.h"
#include "ops/crop.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OUTPUTS 12
#define ROUNDS 60

typedef struct cut {
    int x0, y0, w, h;
} cut;

static fm_cpu_level level;

static fm_crop_desc make_crop(int dst_w, int dst_h, int n)
{
    fm_letterbox_desc out = {0};
    set_output(&out, n % OUTPUTS);
    return (fm_crop_desc){.dst_w = dst_w,
        .dst_h = dst_h,
        .layout = out.layout,
        .color = out.color,
        .dtype = out.dtype,
        .fit = (fm_fit)(n / OUTPUTS % 3),
        .anchor = (fm_anchor)(n % 2),
        .crop_ratio = 0.875F,
        .pad = 114,
        .mean = {123.675F, 116.28F, 103.53F},
        .scale = {58.395F, 0, 57.375F}};
}

static size_t crop_size(const fm_crop_desc *d)
{
    return (size_t)d->dst_w * (size_t)d->dst_h * (d->color == FM_COLOR_GRAY ? 1 : 3) *
           fm__dtype_size(d->dtype);
}

static bool run_crop(
    const fm_crop_desc *d, const fm_frame_view *view, fm_box box, fm_cpu_level at_level, tensor_buffer *out)
{
    assert_int_equal(fm__crop_check(d, NULL), FM_OK);
    tensor_buffer scratch = tensor_make(fm__crop_scratch_size(d, view->width));
    *out = tensor_make(crop_size(d));
    bool is_inside = fm__crop_run(d, view, box, out->data, scratch.data, at_level);
    tensor_check_and_free(&scratch);
    return is_inside;
}

static uint8_t sample(const fm_frame_view *v, int plane, int step, int offset, int x, int y)
{
    return v->plane[plane][(ptrdiff_t)y * v->stride[plane] + (ptrdiff_t)x * step + offset];
}

// One full-size component of the pixel at (x, y): Y, U, V; R, G, B; or gray.
static uint8_t component(const fm_frame_view *v, int c, int x, int y)
{
    int sx, sy;
    fm__pixfmt_shift(v->format, &sx, &sy);
    if (fm__pixfmt_is_rgb(v->format)) {
        return sample(v, 0, 3, c, x, y);
    }
    if (c == 0) {
        return sample(v, 0, 1, 0, x, y);
    }
    return v->format == FM_PIXFMT_NV12 ? sample(v, 1, 2, c - 1, x >> sx, y >> sy)
                                       : sample(v, c, 1, 0, x >> sx, y >> sy);
}

// The cut as a tight picture of its own: RGB24, GRAY8, or YUV444P for all else.
static uint8_t *cut_out(const fm_frame_view *v, const cut *r, fm_frame_view *out)
{
    bool is_rgb = fm__pixfmt_is_rgb(v->format), is_gray = v->format == FM_PIXFMT_GRAY8;
    size_t area = (size_t)r->w * (size_t)r->h;
    uint8_t *pixels = malloc(3 * area);
    assert_non_null(pixels);
    *out = *v;
    out->format = is_rgb || is_gray ? v->format : FM_PIXFMT_YUV444P;
    out->width = r->w;
    out->height = r->h;
    for (int c = 0; c < (is_gray ? 1 : 3); c++) {
        out->plane[c] = pixels + (is_rgb ? 0 : (size_t)c * area);
        out->stride[c] = is_rgb ? 3 * r->w : r->w;
        for (size_t i = 0; i < area; i++) {
            int x = r->x0 + (int)(i % (size_t)r->w), y = r->y0 + (int)(i / (size_t)r->w);
            pixels[is_rgb ? 3 * i + (size_t)c : (size_t)c * area + i] = component(v, c, x, y);
        }
    }
    return pixels;
}

static fm_letterbox_desc same_as(const fm_crop_desc *d, const fm_frame_view *v)
{
    fm_letterbox_desc out = {.format = v->format,
        .matrix = v->matrix,
        .range = v->range,
        .chroma_site = FM_CHROMA_REPEAT,
        .map = fm__fit(d->fit, d->anchor, d->crop_ratio, v->width, v->height, d->dst_w, d->dst_h),
        .layout = d->layout,
        .color = d->color,
        .dtype = d->dtype,
        .pad = d->pad};
    memcpy(out.mean, d->mean, sizeof(out.mean));
    memcpy(out.scale, d->scale, sizeof(out.scale));
    return out;
}

static void check(const fm_crop_desc *d, const fm_frame_view *view, fm_box box, const cut *r)
{
    tensor_buffer want, got;
    fm_frame_view own;
    uint8_t *pixels = cut_out(view, r, &own);
    fm_letterbox_desc desc = same_as(d, &own);
    run_letterbox(&desc, FM_CPU_SCALAR, &own, &want);
    assert_true(run_crop(d, view, box, level, &got));
    if (memcmp(want.data, got.data, want.size) != 0) {
        size_t i = 0;
        while (want.data[i] == got.data[i]) {
            i++;
        }
        fail_msg("%s %dx%d, box %g %g %g %g, %s: byte %zu of %zu is %d, should be %d",
            fm_pixfmt_name(view->format), view->width, view->height, (double)box.x0, (double)box.y0,
            (double)box.x1, (double)box.y1, describe(&desc), i, want.size, got.data[i], want.data[i]);
    }
    tensor_check_and_free(&want);
    tensor_check_and_free(&got);
    free(pixels);
}

static picture some_picture(fm_pixfmt format, int w, int h, int variant)
{
    picture p;
    picture_make(&p, format, w, h, (content)(variant % CONTENT_COUNT), (placement)(variant % PLACE_COUNT),
        (uint32_t)variant + 1);
    p.view.matrix = variant & 1 ? FM_MATRIX_BT709 : FM_MATRIX_BT601;
    p.view.range = variant & 2 ? FM_RANGE_FULL : FM_RANGE_LIMITED;
    p.view.chroma_site = (fm_chroma_site)(variant % 3);
    return p;
}

static int below(uint32_t *seed, int n)
{
    return (int)((next_random(seed) >> 8) % (uint32_t)n);
}

static cut random_cut(int w, int h, uint32_t *seed)
{
    int x = below(seed, w), y = below(seed, h);
    return (cut){.x0 = x, .y0 = y, .w = 1 + below(seed, w - x), .h = 1 + below(seed, h - y)};
}

// Whole boxes anywhere, moved by less than half a pixel, which rounding undoes.
static void test_random_boxes(void **state)
{
    (void)state;
    static const int sides[][2] = {{128, 256}, {64, 128}, {224, 224}, {31, 17}, {1, 1}, {97, 3}};
    uint32_t seed = 5;
    for (int round = 0; round < ROUNDS; round++) {
        for (int format = FM_PIXFMT_NONE + 1; format < FM_PIXFMT_COUNT; format++) {
            int w = 1 + below(&seed, round % 4 ? 300 : 9), h = 1 + below(&seed, round % 4 ? 200 : 9);
            picture p = some_picture((fm_pixfmt)format, w, h, round);
            cut r = random_cut(w, h, &seed);
            float dx = (float)below(&seed, 9) * 0.1F - 0.4F, dy = (float)below(&seed, 9) * 0.1F - 0.4F;
            fm_box box = {
                (float)r.x0 + dx, (float)r.y0 - dy, (float)(r.x0 + r.w) - dx, (float)(r.y0 + r.h) + dy};
            const int *side = sides[below(&seed, 6)];
            fm_crop_desc d = make_crop(side[0], side[1], below(&seed, 3 * OUTPUTS));
            check(&d, &p.view, box, &r);
            picture_free(&p);
        }
    }
}

// Each end of a box in each of a few columns, so that odd and even starts and lengths all meet.
static void test_every_start(void **state)
{
    (void)state;
    for (int format = FM_PIXFMT_NONE + 1; format < FM_PIXFMT_COUNT; format++) {
        picture p = some_picture((fm_pixfmt)format, 13, 11, format);
        for (int n = 0; n < 13 * 13; n++) {
            cut r = {.x0 = n % 13, .y0 = n % 11, .w = 1 + n / 13, .h = 1 + n % 7};
            r.w = r.x0 + r.w > 13 ? 13 - r.x0 : r.w;
            r.h = r.y0 + r.h > 11 ? 11 - r.y0 : r.h;
            fm_box box = {(float)r.x0, (float)r.y0, (float)(r.x0 + r.w), (float)(r.y0 + r.h)};
            fm_crop_desc d = make_crop(16, 12, n);
            check(&d, &p.view, box, &r);
        }
        picture_free(&p);
    }
}

static void test_boxes_over_borders(void **state)
{
    (void)state;
    static const struct {
        fm_box box;
        cut cut; // of a frame of 40 x 30
    } cases[] = {
        {{-10, -20, 50, 60}, {0, 0, 40, 30}},
        {{-INFINITY, -INFINITY, INFINITY, INFINITY}, {0, 0, 40, 30}},
        {{-3e38F, -3e38F, 3e38F, 3e38F}, {0, 0, 40, 30}},
        {{-5, 3, 7, 9}, {0, 3, 7, 6}},
        {{35, 25, 44, 99}, {35, 25, 5, 5}},
        {{39.9F, 29.9F, 44, 99}, {39, 29, 1, 1}}, // less than a pixel is left of it
        {{-5, -5, 0.1F, 0.1F}, {0, 0, 1, 1}},
        {{7.2F, 8.2F, 7.3F, 8.3F}, {7, 8, 1, 1}},
        {{7.6F, 8.6F, 7.7F, 8.7F}, {8, 9, 1, 1}},
        {{7, 0, 7.0001F, 30}, {7, 0, 1, 30}},
        {{0, 9, 40, 9.0001F}, {0, 9, 40, 1}},
        {{1e-30F, 1e-30F, 2e-30F, 2e-30F}, {0, 0, 1, 1}},
    };
    for (int format = FM_PIXFMT_NONE + 1; format < FM_PIXFMT_COUNT; format++) {
        picture p = some_picture((fm_pixfmt)format, 40, 30, format);
        for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
            for (int n = 0; n < 3 * OUTPUTS; n++) {
                fm_crop_desc d = make_crop(24, 20, n);
                check(&d, &p.view, cases[i].box, &cases[i].cut);
            }
        }
        picture_free(&p);
    }
}

static void test_no_boxes_give_padding(void **state)
{
    (void)state;
    static const fm_box boxes[] = {{40, 0, 50, 10}, {0, 30, 10, 40}, {-10, 0, 0, 10}, {0, -10, 10, 0},
        {7, 7, 7, 9}, {7, 7, 9, 7}, {9, 7, 7, 9}, {7, 9, 9, 7}, {NAN, 0, 9, 9}, {0, NAN, 9, 9},
        {0, 0, NAN, 9}, {0, 0, 9, NAN}, {NAN, NAN, NAN, NAN}, {INFINITY, 0, INFINITY, 9},
        {-INFINITY, 0, -INFINITY, 9}, {1e30F, 0, 2e30F, 9}, {-2e30F, 0, -1e30F, 9}};
    picture p = some_picture(FM_PIXFMT_YUV420P, 40, 30, 0);
    for (size_t i = 0; i < sizeof(boxes) / sizeof(*boxes); i++) {
        for (int n = 0; n < 3 * OUTPUTS; n++) {
            fm_crop_desc d = make_crop(33, 7, n);
            tensor_buffer t;
            assert_false(run_crop(&d, &p.view, boxes[i], level, &t));
            size_t channels = d.color == FM_COLOR_GRAY ? 1 : 3, area = (size_t)d.dst_w * (size_t)d.dst_h;
            for (size_t k = 0; k < channels * area; k++) {
                size_t c = d.layout == FM_LAYOUT_NHWC ? k % channels : k / area;
                float want = d.scale[c] == 0 ? 114 - d.mean[c] : (114 - d.mean[c]) * (1 / d.scale[c]), got;
                if (d.dtype == FM_DTYPE_U8) {
                    assert_int_equal(t.data[k], 114);
                } else {
                    memcpy(&got, t.data + k * sizeof(got), sizeof(got));
                    assert_true(fabsf(got - want) < 1e-5F);
                }
            }
            tensor_check_and_free(&t);
        }
    }
    picture_free(&p);
}

// OpenCV's INTER_LINEAR of the cut, in double.
static double bilinear(const fm_frame_view *v, const cut *r, int c, double x, double y)
{
    x = fmin(fmax(x, 0), r->w - 1);
    y = fmin(fmax(y, 0), r->h - 1);
    int x0 = (int)x, y0 = (int)y, x1 = x0 + 1 < r->w ? x0 + 1 : x0, y1 = y0 + 1 < r->h ? y0 + 1 : y0;
    double fx = x - x0, fy = y - y0;
    double top =
        component(v, c, r->x0 + x0, r->y0 + y0) * (1 - fx) + component(v, c, r->x0 + x1, r->y0 + y0) * fx;
    double low =
        component(v, c, r->x0 + x0, r->y0 + y1) * (1 - fx) + component(v, c, r->x0 + x1, r->y0 + y1) * fx;
    return top * (1 - fy) + low * fy;
}

static void test_against_double(void **state)
{
    (void)state;
    uint32_t seed = 99;
    for (int round = 0; round < ROUNDS; round++) {
        picture p = some_picture(FM_PIXFMT_RGB24, 150, 120, round);
        cut r = random_cut(150, 120, &seed);
        fm_box box = {(float)r.x0, (float)r.y0, (float)(r.x0 + r.w), (float)(r.y0 + r.h)};
        fm_crop_desc d = {.dst_w = 64,
            .dst_h = 128,
            .layout = FM_LAYOUT_NHWC,
            .color = FM_COLOR_RGB,
            .fit = FM_FIT_STRETCH};
        tensor_buffer t;
        assert_true(run_crop(&d, &p.view, box, level, &t));
        for (int i = 0; i < 3 * d.dst_w * d.dst_h; i++) {
            int x = i / 3 % d.dst_w, y = i / 3 / d.dst_w;
            double want = bilinear(
                &p.view, &r, i % 3, (x + 0.5) * r.w / d.dst_w - 0.5, (y + 0.5) * r.h / d.dst_h - 0.5);
            if (fabs(want - t.data[i]) > 1.02) { // a rounding in each of the two directions
                fail_msg("cut %d %d %d %d: (%d,%d) is %d, should be %f", r.x0, r.y0, r.w, r.h, x, y,
                    t.data[i], want);
            }
        }
        tensor_check_and_free(&t);
        picture_free(&p);
    }
}

static void test_checks(void **state)
{
    (void)state;
    fm_error err = {0};
    fm_crop_desc d = make_crop(0, 5, 0);
    assert_int_equal(fm__crop_check(&d, &err), FM_INVAL);
    assert_non_null(strstr(err.msg, "0x5"));
    d = make_crop(5, 16385, 0);
    assert_int_equal(fm__crop_check(&d, NULL), FM_INVAL);
    d = make_crop(5, 5, 0);
    d.dtype = FM_DTYPE_F16;
    assert_int_equal(fm__crop_check(&d, NULL), FM_UNSUPPORTED);
}

int main(int argc, char **argv)
{
    if (!level_from(argc, argv, &level)) {
        return SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_boxes),
        cmocka_unit_test(test_every_start),
        cmocka_unit_test(test_boxes_over_borders),
        cmocka_unit_test(test_no_boxes_give_padding),
        cmocka_unit_test(test_against_double),
        cmocka_unit_test(test_checks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
