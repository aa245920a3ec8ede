// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Colour stays where luma is: a blob, drawn at one place into luma and, as they sit, into the samples of
// chroma, must have its middle at one place in both after enlarging, whatever the format, siting, size and
// scale.

#include "../testing.h"

#include "enhance/enhance.h"

#include <math.h>

#define SIGMA 3.0 // pixels of luma: smooth enough for half the samples

// Middle of sample i of a plane along x or y, in pixels of luma; pixel 0's own is at 0.5.
static double place(const fm_frame_view *v, int plane, int i, bool is_x)
{
    int shift_x = 0, shift_y = 0;
    if (plane > 0) {
        fm__pixfmt_shift(v->format, &shift_x, &shift_y);
    }
    int step = 1 << (is_x ? shift_x : shift_y);
    bool is_left = is_x && step == 2 && v->chroma_site == FM_CHROMA_LEFT;
    return is_left ? 2 * i + 0.5 : (i + 0.5) * step;
}

static void draw(fm_frame *f, double cx, double cy)
{
    for (int p = 0; p < fm_pixfmt_planes(f->view.format); p++) {
        int w, h;
        fm__pixfmt_plane_size(f->view.format, f->view.width, f->view.height, p, &w, &h);
        for (int y = 0; y < h; y++) {
            for (int x = 0; x < w; x++) {
                double dx = place(&f->view, p, x, true) - cx, dy = place(&f->view, p, y, false) - cy;
                fm__frame_plane(f, p)[(ptrdiff_t)y * f->view.stride[p] + x] =
                    (uint8_t)lrint(60 + 120 * exp(-(dx * dx + dy * dy) / (2 * SIGMA * SIGMA)));
            }
        }
    }
}

static void middle(const fm_frame_view *v, int plane, double *cx, double *cy)
{
    double sum = 0, sx = 0, sy = 0;
    int w, h;
    fm__pixfmt_plane_size(v->format, v->width, v->height, plane, &w, &h);
    for (int y = 0; y < h; y++) {
        for (int x = 0; x < w; x++) {
            double mass = v->plane[plane][(ptrdiff_t)y * v->stride[plane] + x] - 60;
            mass = mass < 6 ? 0 : mass; // ripples far away
            sum += mass;
            sx += mass * place(v, plane, x, true);
            sy += mass * place(v, plane, y, false);
        }
    }
    *cx = sx / sum;
    *cy = sy / sum;
}

static void colour_stays_where_luma_is(void **state)
{
    static const fm_pixfmt formats[] = {FM_PIXFMT_YUV420P, FM_PIXFMT_YUV422P, FM_PIXFMT_YUV444P};
    static const int sizes[][2] = {{48, 40}, {49, 41}, {43, 52}};
    fm_frame_pool *pool = NULL;
    (void)state;
    assert_int_equal(fm__frame_pool_new(&pool, NULL), FM_OK);
    for (int k = 0; k < 3 * 2 * 3 * 3; k++) {
        int scale = 2 + k % 3, site = k / 3 % 2, w = sizes[k / 6 % 3][0], h = sizes[k / 6 % 3][1];
        const fm__enhance_opts opts = {.spec = {.scale = scale}};
        fm__enhancer *e = NULL;
        fm_frame *in = NULL, *out = NULL;
        assert_int_equal(fm__frame_pool_take_pixels(pool, formats[k / 18], w, h, &in, NULL), FM_OK);
        in->view.chroma_site = (fm_chroma_site)site;
        draw(in, w * 0.55, h * 0.45);
        assert_int_equal(fm__enhancer_new(&opts, &e, NULL), FM_OK);
        assert_int_equal(fm__enhancer_run(e, in, &out, NULL), FM_OK);
        assert_int_equal(out->view.chroma_site, site);
        for (int p = 0; p < 3; p++) {
            double x, y;
            middle(&out->view, p, &x, &y);
            if (fabs(x / scale - w * 0.55) > 0.03 || fabs(y / scale - h * 0.45) > 0.03) {
                fail_msg("%s, site %d, %dx%d times %d: plane %d is at %.3f,%.3f, not at %.3f,%.3f",
                    fm_pixfmt_name(formats[k / 18]), site, w, h, scale, p, x / scale, y / scale, w * 0.55,
                    h * 0.45);
            }
        }
        fm_frame_unref(&out);
        fm_frame_unref(&in);
        fm__enhancer_free(&e);
    }
    fm__frame_pool_free(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(colour_stays_where_luma_is)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
