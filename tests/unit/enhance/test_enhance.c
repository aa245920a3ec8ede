// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Frames through an enhancer: every format and odd sizes, any number of threads, what is kept, what noise
// becomes, limits, every allocation failing in turn.

#include "../testing.h"

#include "base/alloc.h"
#include "enhance/enhance.h"

static fm_frame *make(fm_pixfmt format, int w, int h, int noise)
{
    fm_frame_pool *pool = NULL;
    fm_frame *f = NULL;
    uint64_t seed = 5;
    assert_int_equal(fm__frame_pool_new(&pool, NULL), FM_OK);
    assert_int_equal(fm__frame_pool_take_pixels(pool, format, w, h, &f, NULL), FM_OK);
    fm__frame_pool_free(&pool);
    for (int i = 0; i < fm_pixfmt_planes(format); i++) {
        int pw, ph;
        fm__pixfmt_plane_size(format, w, h, i, &pw, &ph);
        for (int y = 0; y < ph; y++) {
            uint8_t *row = fm__frame_plane(f, i) + (ptrdiff_t)y * f->view.stride[i];
            for (size_t x = 0; x < fm__pixfmt_row_bytes(format, w, i); x++) {
                row[x] = (uint8_t)(100 + (int)(x / 12) % 3 * 20 +
                                   (noise ? rnd_below(&seed, 2 * noise + 1) - noise : 0));
            }
        }
    }
    f->pts_ns = 1234;
    f->index = 7;
    f->view.matrix = FM_MATRIX_BT709;
    return f;
}

static fm__enhance_spec everything(void)
{
    return (fm__enhance_spec){.denoise = FM__DENOISE_NLM,
        .h = 10,
        .h_color = 10,
        .has_color = true,
        .color = FM__COLOR_AUTO,
        .scale = 2};
}

static fm_frame *enhance(const fm__enhance_opts *opts, fm_frame *in)
{
    fm__enhancer *e = NULL;
    fm_frame *out = NULL;
    fm_error err;
    assert_int_equal(fm__enhancer_new(opts, &e, &err), FM_OK);
    if (fm__enhancer_run(e, in, &out, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    fm__enhancer_free(&e);
    return out;
}

static void assert_same(const fm_frame *a, const fm_frame *b)
{
    assert_int_equal(a->view.format, b->view.format);
    for (int i = 0; i < fm_pixfmt_planes(a->view.format); i++) {
        int w, h;
        fm__pixfmt_plane_size(a->view.format, a->view.width, a->view.height, i, &w, &h);
        for (int y = 0; y < h; y++) {
            assert_memory_equal(a->view.plane[i] + (ptrdiff_t)y * a->view.stride[i],
                b->view.plane[i] + (ptrdiff_t)y * b->view.stride[i],
                fm__pixfmt_row_bytes(a->view.format, a->view.width, i));
        }
    }
}

static void every_format_and_size_on_any_number_of_threads(void **state)
{
    static const int sizes[][2] = {{1, 1}, {1, 9}, {2, 3}, {33, 1}, {67, 131}};
    (void)state;
    for (int format = FM_PIXFMT_NONE + 1; format <= FM_PIXFMT_RGB24; format++) {
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            fm_frame *in = make((fm_pixfmt)format, sizes[i][0], sizes[i][1], 20);
            fm__enhance_opts one = {.spec = everything()}, many = one;
            many.threads = 5;
            fm_frame *a = enhance(&one, in), *b = enhance(&many, in);
            assert_int_equal(
                a->view.format, format == FM_PIXFMT_NV12 ? FM_PIXFMT_YUV420P : (fm_pixfmt)format);
            assert_int_equal(a->view.width, 2 * sizes[i][0]);
            assert_int_equal(a->view.height, 2 * sizes[i][1]);
            assert_int_equal(a->pts_ns, 1234);
            assert_int_equal(a->index, 7);
            assert_int_equal(a->view.matrix, FM_MATRIX_BT709);
            assert_same(a, b);
            fm_frame_unref(&a);
            fm_frame_unref(&b);
            fm_frame_unref(&in);
        }
    }
}

static double roughness(const fm_frame *f, int step)
{
    double sum = 0;
    for (int y = 0; y < f->view.height; y++) {
        const uint8_t *row = f->view.plane[0] + (ptrdiff_t)y * f->view.stride[0];
        for (int x = step; x < f->view.width * step; x++) {
            sum += abs(row[x] - row[x - step]);
        }
    }
    return sum;
}

static void automatic_denoising_cleans_noise_and_leaves_clean_frames_alone(void **state)
{
    const fm__enhance_opts opts = {.spec = {.denoise = FM__DENOISE_AUTO, .scale = 1}};
    fm_frame *noisy = make(FM_PIXFMT_GRAY8, 96, 80, 25), *flat = make(FM_PIXFMT_RGB24, 96, 80, 0);
    (void)state;
    fm_frame *a = enhance(&opts, noisy), *b = enhance(&opts, flat);
    assert_true(roughness(a, 1) < roughness(noisy, 1) / 3);
    assert_ptr_equal(b, flat);
    fm_frame_unref(&a);
    fm_frame_unref(&b);
    fm_frame_unref(&noisy);
    fm_frame_unref(&flat);
}

static double mean(const fm_frame *f)
{
    double sum = 0;
    for (int y = 0; y < f->view.height; y++) {
        for (int x = 0; x < f->view.width; x++) {
            sum += f->view.plane[0][(ptrdiff_t)y * f->view.stride[0] + x];
        }
    }
    return sum / f->view.width / f->view.height;
}

// A frame that is a little brighter must not be corrected as if the video had begun with it.
static void colour_of_video_follows_slowly(void **state)
{
    fm__enhance_opts opts = {
        .spec = {.has_color = true, .color = FM__COLOR_NONE, .scale = 1}, .is_video = true};
    fm__enhancer *e = NULL;
    fm_frame *first = make(FM_PIXFMT_YUV420P, 64, 48, 3), *second = make(FM_PIXFMT_YUV420P, 64, 48, 3);
    fm_frame *out = NULL, *alone = NULL;
    (void)state;
    opts.spec.color.gamma = 0;
    for (int y = 0; y < 48; y++) {
        for (int x = 0; x < 64; x++) {
            fm__frame_plane(second, 0)[y * second->view.stride[0] + x] += 8;
        }
    }
    assert_int_equal(fm__enhancer_new(&opts, &e, NULL), FM_OK);
    assert_int_equal(fm__enhancer_run(e, first, &out, NULL), FM_OK);
    fm_frame_unref(&out);
    assert_int_equal(fm__enhancer_run(e, second, &out, NULL), FM_OK);
    alone = enhance(&opts, second);
    assert_true(mean(out) > mean(alone) + 1); // it stays brighter
    fm_frame_unref(&out);
    fm_frame_unref(&alone);
    fm_frame_unref(&first);
    fm_frame_unref(&second);
    fm__enhancer_free(&e);
}

// Steps of a video, all of them, with strengths that change from frame to frame.
static void a_steady_video_allocates_nothing(void **state)
{
    static const char table[] = "LUT_3D_SIZE 2\n0 0 0\n1 0 0\n0 1 0\n1 1 0\n0 0 1\n1 0 1\n0 1 1\n1 1 1\n";
    static const fm__denoise_kind kinds[] = {FM__DENOISE_AUTO, FM__DENOISE_NLM_T};
    fm__lut3d *lut = NULL;
    (void)state;
    assert_int_equal(fm__lut3d_parse(table, sizeof(table) - 1, "same", &lut, NULL), FM_OK);
    for (int k = 0; k < 2 * FM_PIXFMT_RGB24; k++) {
        fm__enhance_opts opts = {.spec = everything(), .lut = lut, .threads = 3, .is_video = true};
        fm__enhancer *e = NULL;
        fm_frame *in[3], *out = NULL;
        uint64_t before = 0;
        opts.spec.denoise = kinds[k % 2];
        opts.spec.frames = 3;
        for (int i = 0; i < 3; i++) {
            in[i] = make((fm_pixfmt)(1 + k / 2), 70, 130, 12 + 3 * i);
        }
        assert_int_equal(fm__enhancer_new(&opts, &e, NULL), FM_OK);
        for (int i = 0; i < 12; i++) {
            before = i == 6 ? fm__alloc_count() : before;
            assert_true(fm__enhancer_push(e, in[i % 3], &out, NULL) >= 0);
            fm_frame_unref(&out);
        }
        assert_int_equal(fm__alloc_count() - before, 0);
        fm__enhancer_free(&e);
        for (int i = 0; i < 3; i++) {
            fm_frame_unref(&in[i]);
        }
    }
    fm__lut3d_free(&lut);
}

// Sizes and formats may change at any frame, and come back: as if each had an enhancer of its own.
static void sizes_and_formats_may_change(void **state)
{
    const fm__enhance_opts opts = {.spec = everything(), .threads = 2};
    fm__enhancer *e = NULL;
    (void)state;
    assert_int_equal(fm__enhancer_new(&opts, &e, NULL), FM_OK);
    for (int i = 0; i < 60; i++) {
        fm_frame *in = make((fm_pixfmt)(1 + i % FM_PIXFMT_RGB24), 20 + i % 7, 9 + i % 11 * 9, 9);
        fm_frame *out = NULL, *alone = enhance(&opts, in);
        assert_int_equal(fm__enhancer_run(e, in, &out, NULL), FM_OK);
        assert_same(out, alone);
        fm_frame_unref(&out);
        fm_frame_unref(&alone);
        fm_frame_unref(&in);
    }
    fm__enhancer_free(&e);
}

// Threads and bands make of a frame what one call of the kernels makes of it.
static void colour_as_the_kernels_alone(void **state)
{
    const fm__enhance_opts opts = {
        .spec = {.has_color = true, .color = FM__COLOR_AUTO, .scale = 1}, .threads = 4};
    (void)state;
    for (int format = FM_PIXFMT_NONE + 1; format <= FM_PIXFMT_RGB24; format++) {
        fm_frame *in = make((fm_pixfmt)format, 83, 211, 30), *out = enhance(&opts, in);
        const fm__color_desc desc = {83, 211, (fm_pixfmt)format, in->view.matrix, in->view.range};
        fm_frame *want = make(fm__color_out_format((fm_pixfmt)format), 83, 211, 0);
        fm__color_plan *plan = NULL;
        fm__color_stats stats;
        fm__color_params params;
        uint8_t *planes[FM_MAX_PLANES] = {NULL};
        bool is_yuv = format != FM_PIXFMT_RGB24 && format != FM_PIXFMT_GRAY8;
        for (int i = 0; i < fm_pixfmt_planes(want->view.format); i++) {
            planes[i] = fm__frame_plane(want, i);
        }
        assert_int_equal(fm__color_plan_new(&desc, fm__cpu_level(), &plan, NULL), FM_OK);
        void *scratch = fm__calloc_aligned(FM_TAG_APP, fm__color_scratch_size(plan), 64);
        fm__color_stats_of(&in->view, &stats);
        fm__color_params_of(&opts.spec.color, &stats, is_yuv ? in->view.matrix : FM_MATRIX_BT601, &params);
        fm__color_apply(plan, &params, &in->view, planes, want->view.stride, NULL, 1, scratch);
        assert_same(out, want);
        fm__free(scratch);
        fm__color_plan_free(&plan);
        fm_frame_unref(&in);
        fm_frame_unref(&out);
        fm_frame_unref(&want);
    }
}

static void results_past_the_limit_are_refused(void **state)
{
    fm__enhance_opts opts = {.spec = {.scale = 4}, .max_pixels = 16 * 100};
    fm__enhancer *e = NULL;
    fm_frame *in = make(FM_PIXFMT_RGB24, 11, 10, 0), *out = NULL;
    fm_error err;
    (void)state;
    assert_int_equal(fm__enhancer_new(&opts, &e, NULL), FM_OK);
    assert_int_equal(fm__enhancer_run(e, in, &out, &err), FM_DENIED);
    assert_non_null(strstr(err.msg, "44x40"));
    assert_null(out);
    fm__enhancer_free(&e);
    fm_frame_unref(&in);
}

static void every_allocation_may_fail(void **state)
{
    const fm__enhance_opts opts = {.spec = everything(), .threads = 2};
    fm_frame *in = make(FM_PIXFMT_RGB24, 40, 70, 9);
    int failures = 0;
    (void)state;
    for (uint64_t nth = 1; nth < 200; nth++) {
        fm__enhancer *e = NULL;
        fm_frame *out = NULL;
        fm__alloc_fail_at(nth, false);
        fm_status st = fm__enhancer_new(&opts, &e, NULL);
        st = st == FM_OK ? fm__enhancer_run(e, in, &out, NULL) : st;
        fm__alloc_fail_at(0, false);
        assert_true(st == FM_OK || (st == FM_NOMEM && !out));
        failures += st != FM_OK;
        fm_frame_unref(&out);
        fm__enhancer_free(&e);
    }
    assert_in_range(failures, 15, 150);
    fm_frame_unref(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_and_size_on_any_number_of_threads),
        cmocka_unit_test(automatic_denoising_cleans_noise_and_leaves_clean_frames_alone),
        cmocka_unit_test(colour_of_video_follows_slowly),
        cmocka_unit_test(a_steady_video_allocates_nothing),
        cmocka_unit_test(sizes_and_formats_may_change),
        cmocka_unit_test(colour_as_the_kernels_alone),
        cmocka_unit_test(results_past_the_limit_are_refused),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
