// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Colour correction: nothing asked for changes nothing, casts go, levels fill the range, a video does not
// flicker, a cut is seen, formats agree with one another.

#include "frame/frame.h"
#include "ops/color.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { W = 93, H = 61 };

typedef struct frame {
    fm_frame_view view;
    uint8_t *plane[FM_MAX_PLANES];
    int stride[FM_MAX_PLANES];
} frame;

static frame frame_new(fm_pixfmt format, fm_range range)
{
    frame f = {.view = {.format = format, .width = W, .height = H, .range = range}};
    for (int p = 0; p < fm_pixfmt_planes(format); p++) {
        int w, h;
        fm__pixfmt_plane_size(format, W, H, p, &w, &h);
        f.stride[p] = (int)fm__pixfmt_row_bytes(format, W, p) + 5;
        f.plane[p] = calloc((size_t)h, (size_t)f.stride[p]);
        assert_non_null(f.plane[p]);
        f.view.plane[p] = f.plane[p];
        f.view.stride[p] = f.stride[p];
    }
    return f;
}

static void frame_free(frame *f)
{
    for (int p = 0; p < FM_MAX_PLANES; p++) {
        free(f->plane[p]);
    }
}

// A smooth picture with colours all over, `cast` times each channel.
static void scene(int x, int y, const float cast[3], uint8_t rgb[3])
{
    double v[3] = {0.2 + 0.5 * x / W, 0.25 + 0.5 * y / H, 0.2 + 0.5 * (W - x) / W};
    for (int c = 0; c < 3; c++) {
        rgb[c] = (uint8_t)lrint(fmin(240, 255 * v[c] * (double)cast[c]));
    }
}

static uint8_t code(double v, double low, double high)
{
    return (uint8_t)lrint(fmax(low, fmin(high, v)));
}

static void put_yuv(frame *f, int x, int y, const uint8_t rgb[3])
{
    bool full = f->view.range == FM_RANGE_FULL;
    double luma = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
    double cb = (rgb[2] - luma) / 1.772, cr = (rgb[0] - luma) / 1.402;
    int sx, sy;
    fm__pixfmt_shift(f->view.format, &sx, &sy);
    f->plane[0][y * f->stride[0] + x] = full ? code(luma, 0, 255) : code(16 + luma * 219 / 255, 16, 235);
    uint8_t u = code(128 + cb * (full ? 1 : 224.0 / 255), 0, 255),
            v = code(128 + cr * (full ? 1 : 224.0 / 255), 0, 255);
    if (f->view.format == FM_PIXFMT_NV12) {
        f->plane[1][(y >> sy) * f->stride[1] + 2 * (x >> sx)] = u;
        f->plane[1][(y >> sy) * f->stride[1] + 2 * (x >> sx) + 1] = v;
    } else if (f->view.format != FM_PIXFMT_GRAY8) {
        f->plane[1][(y >> sy) * f->stride[1] + (x >> sx)] = u;
        f->plane[2][(y >> sy) * f->stride[2] + (x >> sx)] = v;
    }
}

static frame picture_of(fm_pixfmt format, fm_range range, float r, float g, float b)
{
    const float cast[] = {r, g, b};
    frame f = frame_new(format, range);
    for (int y = 0; y < H; y++) {
        for (int x = 0; x < W; x++) {
            uint8_t rgb[3];
            scene(x, y, cast, rgb);
            if (format == FM_PIXFMT_RGB24) {
                memcpy(f.plane[0] + y * f.stride[0] + 3 * x, rgb, 3);
            } else {
                put_yuv(&f, x, y, rgb);
            }
        }
    }
    return f;
}

static void correct(const frame *src, const fm__color_params *params, frame *dst, fm__color_state *state)
{
    const fm__color_desc desc = {W, H, src->view.format, src->view.matrix, src->view.range};
    fm__color_plan *plan = NULL;
    assert_int_equal(fm__color_plan_new(&desc, fm__cpu_level(), &plan, NULL), FM_OK);
    void *scratch = aligned_alloc(64, (fm__color_scratch_size(plan) + 63) / 64 * 64);
    assert_non_null(scratch);
    fm__color_apply(plan, params, &src->view, dst->plane, dst->stride, state, 0.1F, scratch);
    free(scratch);
    fm__color_plan_free(&plan);
    assert_null(plan);
}

static fm__color_params params_for(const frame *f, const fm__color_opts *opts)
{
    fm__color_stats stats;
    fm__color_params params;
    assert_int_equal(fm__color_check(opts, NULL), FM_OK);
    fm__color_stats_of(&f->view, &stats);
    fm__color_params_of(opts, &stats, f->view.matrix, &params);
    return params;
}

static bool same_pixels(const frame *a, const frame *b)
{
    for (int p = 0; p < fm_pixfmt_planes(a->view.format); p++) {
        int w, h;
        fm__pixfmt_plane_size(a->view.format, W, H, p, &w, &h);
        for (int y = 0; y < h; y++) {
            size_t row = fm__pixfmt_row_bytes(a->view.format, W, p);
            if (memcmp(a->plane[p] + y * a->stride[p], b->plane[p] + y * b->stride[p], row) != 0) {
                return false;
            }
        }
    }
    return true;
}

static void test_nothing_asked_changes_nothing(void **state)
{
    (void)state;
    static const fm_pixfmt formats[] = {
        FM_PIXFMT_GRAY8, FM_PIXFMT_YUV420P, FM_PIXFMT_YUV422P, FM_PIXFMT_YUV444P};
    const fm__color_opts none = FM__COLOR_NONE;
    for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
        for (int range = 0; range < 2; range++) {
            frame src = picture_of(formats[i], (fm_range)range, 1.2F, 1, 0.8F),
                  dst = frame_new(formats[i], (fm_range)range);
            fm__color_params params = params_for(&src, &none);
            correct(&src, &params, &dst, NULL);
            assert_true(same_pixels(&src, &dst));
            frame_free(&src);
            frame_free(&dst);
        }
    }
}

static void mean_rgb(const frame *f, double mean[3])
{
    memset(mean, 0, 3 * sizeof(*mean));
    for (int y = 0; y < H; y++) {
        for (int x = 0; x < W; x++) {
            for (int c = 0; c < 3; c++) {
                mean[c] += f->plane[0][y * f->stride[0] + 3 * x + c] / (double)(W * H);
            }
        }
    }
}

static void test_a_cast_goes(void **state)
{
    (void)state;
    for (int white = FM__WHITE_GREY_WORLD; white <= FM__WHITE_SHADES; white++) {
        fm__color_opts opts = FM__COLOR_NONE;
        opts.white = (fm__white)white;
        frame good = picture_of(FM_PIXFMT_RGB24, FM_RANGE_FULL, 1, 1, 1);
        frame bad = picture_of(FM_PIXFMT_RGB24, FM_RANGE_FULL, 1.25F, 1, 0.7F),
              fixed = frame_new(FM_PIXFMT_RGB24, FM_RANGE_FULL);
        fm__color_params params = params_for(&bad, &opts);
        correct(&bad, &params, &fixed, NULL);
        double before[3], after[3];
        mean_rgb(&bad, before);
        mean_rgb(&fixed, after);
        assert_true(before[0] / before[2] > 1.5);
        // The scene's own channels are equal in mean; in shades of grey, in their bright parts.
        if (fabs(after[0] / after[2] - 1) > 0.06 || fabs(after[1] / after[2] - 1) > 0.08) {
            fail_msg("white balance %d leaves %f %f %f", white, after[0], after[1], after[2]);
        }
        frame_free(&good);
        frame_free(&bad);
        frame_free(&fixed);
    }
}

static double pixel(const frame *f, int plane, int i)
{
    return f->plane[plane][(i / W) * f->stride[plane] + i % W];
}

static void test_rgb_goes_through_full_range_yuv(void **state)
{
    (void)state;
    const fm__color_params params = {{1.1F, 0.98F, 0.9F}, 0.05F, 0.9F, 0.9F, 2, 1.2F};
    frame full = frame_new(FM_PIXFMT_YUV444P, FM_RANGE_FULL),
          rgb = picture_of(FM_PIXFMT_RGB24, FM_RANGE_FULL, 1, 1, 1);
    for (int y = 0; y < H; y++) {
        fm__rgb_to_ycc(full.plane[0] + y * full.stride[0], full.plane[1] + y * full.stride[1],
            full.plane[2] + y * full.stride[2], rgb.plane[0] + y * rgb.stride[0], W, fm__cpu_level());
    }
    correct(&full, &params, &full, NULL); // in place
    correct(&rgb, &params, &rgb, NULL);
    for (int i = 0; i < W * H; i++) {
        const uint8_t *p = rgb.plane[0] + (i / W) * rgb.stride[0] + 3 * (i % W);
        double luma = pixel(&full, 0, i), cb = pixel(&full, 1, i) - 128, cr = pixel(&full, 2, i) - 128;
        assert_true(fabs(fmax(0, fmin(255, luma + 1.402 * cr)) - p[0]) <= 1.5);
        assert_true(fabs(fmax(0, fmin(255, luma + 1.772 * cb)) - p[2]) <= 1.5);
    }
    frame_free(&full);
    frame_free(&rgb);
}

static void test_ranges_agree(void **state)
{
    (void)state;
    const fm__color_params params = {{1.1F, 0.98F, 0.9F}, 0.05F, 0.9F, 0.9F, 0, 1.2F};
    frame full = picture_of(FM_PIXFMT_YUV444P, FM_RANGE_FULL, 1, 1, 1),
          limited = picture_of(FM_PIXFMT_YUV444P, FM_RANGE_LIMITED, 1, 1, 1);
    correct(&full, &params, &full, NULL);
    correct(&limited, &params, &limited, NULL);
    for (int i = 0; i < W * H; i++) {
        assert_true(fabs(pixel(&full, 0, i) - (pixel(&limited, 0, i) - 16) * 255 / 219) <= 3);
        assert_true(fabs(pixel(&full, 1, i) - 128 - (pixel(&limited, 1, i) - 128) * 255 / 224) <= 3);
        assert_true(fabs(pixel(&full, 2, i) - 128 - (pixel(&limited, 2, i) - 128) * 255 / 224) <= 3);
    }
    frame_free(&full);
    frame_free(&limited);
}

static void test_nv12_gives_what_yuv420p_gives(void **state)
{
    (void)state;
    const fm__color_opts opts = FM__COLOR_AUTO;
    frame a = picture_of(FM_PIXFMT_YUV420P, FM_RANGE_LIMITED, 1.2F, 1, 0.8F),
          b = picture_of(FM_PIXFMT_NV12, FM_RANGE_LIMITED, 1.2F, 1, 0.8F);
    frame to_a = frame_new(FM_PIXFMT_YUV420P, FM_RANGE_LIMITED),
          to_b = frame_new(FM_PIXFMT_YUV420P, FM_RANGE_LIMITED);
    fm__color_params pa = params_for(&a, &opts), pb = params_for(&b, &opts);
    assert_memory_equal(&pa, &pb, sizeof(pa));
    correct(&a, &pa, &to_a, NULL);
    correct(&b, &pb, &to_b, NULL);
    assert_true(same_pixels(&to_a, &to_b));
    correct(&a, &pa, &a, NULL);
    assert_true(same_pixels(&to_a, &a));
    assert_int_equal(fm__color_out_format(FM_PIXFMT_NV12), FM_PIXFMT_YUV420P);
    frame_free(&a);
    frame_free(&b);
    frame_free(&to_a);
    frame_free(&to_b);
}

static void test_levels_fill_the_range(void **state)
{
    (void)state;
    fm__color_opts opts = FM__COLOR_NONE;
    opts.clip = 0.001F;
    frame f = picture_of(FM_PIXFMT_GRAY8, FM_RANGE_FULL, 0.8F, 0.8F, 0.8F);
    fm__color_params params = params_for(&f, &opts);
    correct(&f, &params, &f, NULL);
    int low = 255, high = 0;
    for (int i = 0; i < W * H; i++) {
        int v = f.plane[0][(i / W) * f.stride[0] + i % W];
        low = v < low ? v : low;
        high = v > high ? v : high;
    }
    // The scene has 79 levels; a factor of 2 is the most.
    assert_true(high - low > 145 && high - low <= 160);
    frame_free(&f);
}

static void test_saturation_and_gamma(void **state)
{
    (void)state;
    fm__color_opts opts = FM__COLOR_NONE;
    opts.saturation = 0;
    opts.gamma = 0.5F;
    frame f = picture_of(FM_PIXFMT_YUV420P, FM_RANGE_LIMITED, 1, 1, 1),
          g = picture_of(FM_PIXFMT_YUV420P, FM_RANGE_LIMITED, 1, 1, 1);
    fm__color_params params = params_for(&f, &opts);
    correct(&f, &params, &f, NULL);
    for (int y = 0; y < H / 2; y++) {
        for (int x = 0; x < W / 2; x++) {
            assert_int_equal(f.plane[1][y * f.stride[1] + x], 128);
            assert_int_equal(f.plane[2][y * f.stride[2] + x], 128);
            double v = (g.plane[0][y * g.stride[0] + x] - 16) / 219.0;
            assert_true(fabs(f.plane[0][y * f.stride[0] + x] - (16 + 219 * sqrt(v))) <= 1.5);
        }
    }
    frame_free(&f);
    frame_free(&g);
}

// One bright frame among dark ones moves parameters by its share, not more; a cut moves them at once.
static void test_statistics_move_slowly_and_cuts_are_seen(void **state)
{
    (void)state;
    static fm__color_state s;
    const fm__color_opts opts = FM__COLOR_AUTO;
    fm__color_stats dark, bright, other;
    fm__color_params before, after;
    frame a = picture_of(FM_PIXFMT_YUV420P, FM_RANGE_LIMITED, 1, 1, 1),
          b = picture_of(FM_PIXFMT_YUV420P, FM_RANGE_LIMITED, 1.08F, 1, 1);
    frame c = picture_of(FM_PIXFMT_YUV420P, FM_RANGE_LIMITED, 0.2F, 0.2F, 0.2F);
    fm__color_stats_of(&a.view, &dark);
    fm__color_stats_of(&b.view, &bright);
    fm__color_stats_of(&c.view, &other);
    fm__color_smooth(&s, &dark, 0.1F);
    assert_memory_equal(&s.stats, &dark, sizeof(dark));
    s.has_tiles = true;
    fm__color_params_of(&opts, &s.stats, FM_MATRIX_BT601, &before);
    fm__color_smooth(&s, &bright, 0.1F);
    fm__color_params_of(&opts, &s.stats, FM_MATRIX_BT601, &after);
    assert_true(s.has_tiles);
    assert_true(fabsf(after.gain[0] - before.gain[0]) < 0.01F && after.gain[0] != before.gain[0]);
    assert_true(fabsf(after.white - before.white) < 0.02F);
    fm__color_smooth(&s, &other, 0.1F);
    assert_memory_equal(&s.stats, &other, sizeof(other));
    assert_false(s.has_tiles);
    frame_free(&a);
    frame_free(&b);
    frame_free(&c);
}

// A still scene with a state gives the same frame again and again.
static void test_a_still_video_stands_still(void **state)
{
    (void)state;
    static fm__color_state s;
    const fm__color_opts opts = FM__COLOR_AUTO;
    frame src = picture_of(FM_PIXFMT_YUV420P, FM_RANGE_LIMITED, 1, 1, 1),
          first = frame_new(FM_PIXFMT_YUV420P, FM_RANGE_LIMITED);
    frame next = frame_new(FM_PIXFMT_YUV420P, FM_RANGE_LIMITED);
    fm__color_params params = params_for(&src, &opts);
    correct(&src, &params, &first, &s);
    for (int i = 0; i < 3; i++) {
        correct(&src, &params, &next, &s);
        assert_true(same_pixels(&first, &next));
    }
    frame_free(&src);
    frame_free(&first);
    frame_free(&next);
}

static void test_bad_options(void **state)
{
    (void)state;
    fm__color_opts bad[7] = {FM__COLOR_NONE, FM__COLOR_NONE, FM__COLOR_NONE, FM__COLOR_NONE, FM__COLOR_NONE,
        FM__COLOR_NONE, FM__COLOR_NONE};
    bad[0].white_strength = 1.5F;
    bad[1].clip = 0.5F;
    bad[2].clip = NAN;
    bad[3].gamma = -1;
    bad[4].contrast = 1e6F;
    bad[5].saturation = -0.1F;
    bad[6].white = (fm__white)9;
    for (size_t i = 0; i < 7; i++) {
        fm_error err = {0};
        assert_int_equal(fm__color_check(&bad[i], &err), FM_INVAL);
        assert_true(strncmp(err.msg, "colour: ", 8) == 0);
    }
    fm__color_plan *plan = NULL;
    const fm__color_desc none = {0, 4, FM_PIXFMT_GRAY8, FM_MATRIX_BT601, FM_RANGE_FULL},
                         odd = {4, 4, (fm_pixfmt)99, FM_MATRIX_BT601, FM_RANGE_FULL};
    assert_int_equal(fm__color_plan_new(&none, FM_CPU_SCALAR, &plan, NULL), FM_INVAL);
    assert_int_equal(fm__color_plan_new(&odd, FM_CPU_SCALAR, &plan, NULL), FM_UNSUPPORTED);
    fm__color_plan_free(&plan);
}

static void test_rgb_there_and_back(void **state)
{
    (void)state;
    for (int i = 0; i < 1 << 15; i++) {
        uint8_t rgb[3] = {(uint8_t)(i & 31 ? (i & 31) * 8 : 0), (uint8_t)((i >> 5 & 31) * 8),
            (uint8_t)((i >> 10) * 8)},
                y, u, v, back[3];
        fm__rgb_to_ycc(&y, &u, &v, rgb, 1, fm__cpu_level());
        fm__ycc_to_rgb(back, &y, &u, &v, 1, fm__cpu_level());
        for (int c = 0; c < 3; c++) {
            assert_true(abs(rgb[c] - back[c]) <= 2);
        }
        if (rgb[0] == rgb[1] && rgb[1] == rgb[2]) {
            assert_memory_equal(rgb, back, 3);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_asked_changes_nothing),
        cmocka_unit_test(test_a_cast_goes),
        cmocka_unit_test(test_rgb_goes_through_full_range_yuv),
        cmocka_unit_test(test_ranges_agree),
        cmocka_unit_test(test_nv12_gives_what_yuv420p_gives),
        cmocka_unit_test(test_levels_fill_the_range),
        cmocka_unit_test(test_saturation_and_gamma),
        cmocka_unit_test(test_statistics_move_slowly_and_cuts_are_seen),
        cmocka_unit_test(test_a_still_video_stands_still),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_rgb_there_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
