// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The denoiser's contract: bands give what the whole gives, scratch stays small, bad descriptions are
// refused, noise goes and edges stay. tests/kernel has every pixel against the definition.

#include "ops/nlm.h"
#include "ops/noise.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { W = 150, H = 131 };

static double gauss(uint32_t *seed)
{
    double sum = 0;
    for (int i = 0; i < 12; i++) {
        *seed = *seed * 1664525U + 1013904223U;
        sum += (*seed >> 8) / 16777216.0;
    }
    return sum - 6;
}

// Two halves, 60 and 180, with noise.
static void make_edge(uint8_t *picture, double sigma)
{
    uint32_t seed = 5;
    for (int i = 0; i < W * H; i++) {
        double v = (i % W < W / 2 ? 60 : 180) + sigma * gauss(&seed);
        picture[i] = (uint8_t)lrint(fmax(0, fmin(255, v)));
    }
}

static void run(const fm__nlm_desc *desc, const uint8_t *src, uint8_t *dst, int band)
{
    fm__nlm_plan *plan = NULL;
    fm_error err = {0};
    assert_int_equal(fm__nlm_plan_new(desc, fm__cpu_level(), &plan, &err), FM_OK);
    void *scratch = aligned_alloc(64, fm__nlm_scratch_size(plan));
    assert_non_null(scratch);
    memset(scratch, 0xa5, fm__nlm_scratch_size(plan));
    fm__nlm_frame frame = {.plane = {src}, .stride = {desc->width}};
    uint8_t *out[] = {dst};
    ptrdiff_t stride[] = {desc->width};
    for (int y = 0; y < desc->height; y += band) {
        fm__nlm_rows(
            plan, &frame, out, stride, y, y + band < desc->height ? y + band : desc->height, scratch);
    }
    free(scratch);
    fm__nlm_plan_free(&plan);
}

static void test_bands_give_what_the_whole_gives(void **state)
{
    (void)state;
    static uint8_t src[W * H], whole[W * H], bands[W * H];
    static const int sizes[] = {1, 7, 32, 50, 130};
    make_edge(src, 15);
    for (int radius = 3; radius <= 10; radius += 7) {
        fm__nlm_desc desc = {.width = W, .height = H, .planes = 1, .h = 15, .radius = radius};
        run(&desc, src, whole, H);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
            desc.band = sizes[i];
            memset(bands, 0, sizeof(bands));
            run(&desc, src, bands, sizes[i]);
            assert_memory_equal(whole, bands, sizeof(whole));
        }
    }
}

static double deviation(const uint8_t *picture, int x0, int x1, double mean)
{
    double sum = 0;
    for (int y = 0; y < H; y++) {
        for (int x = x0; x < x1; x++) {
            sum += (picture[y * W + x] - mean) * (picture[y * W + x] - mean);
        }
    }
    return sqrt(sum / ((double)H * (x1 - x0)));
}

static void test_noise_goes_and_the_edge_stays(void **state)
{
    (void)state;
    static uint8_t src[W * H], dst[W * H];
    make_edge(src, 10);
    fm__nlm_desc desc = {.width = W, .height = H, .planes = 1, .h = 12};
    run(&desc, src, dst, H);
    assert_true(deviation(dst, 0, W / 2, 60) < 2);
    assert_true(deviation(dst, W / 2, W, 180) < 2);
}

static void test_scratch_is_below_four_frames(void **state)
{
    (void)state;
    static const struct {
        int w, h, planes, threads;
    } cases[] = {{1920, 1080, 1, 1}, {1920, 1080, 1, 4}, {1920, 1080, 2, 4}, {960, 540, 2, 2},
        {512, 512, 1, 1}, {3840, 2160, 1, 8}, {20000, 20000, 1, 16}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fm__nlm_desc desc = {.width = cases[i].w,
            .height = cases[i].h,
            .planes = cases[i].planes,
            .h = 10,
            .band = (cases[i].h + cases[i].threads - 1) / cases[i].threads};
        fm__nlm_plan *plan = NULL;
        assert_int_equal(fm__nlm_plan_new(&desc, FM_CPU_SCALAR, &plan, NULL), FM_OK);
        size_t frame = (size_t)desc.width * (size_t)desc.height * (size_t)desc.planes;
        size_t all = fm__nlm_scratch_size(plan) * (size_t)cases[i].threads;
        if (all > 4 * frame) {
            fail_msg("%dx%d, %d threads: %zu bytes for a frame of %zu", desc.width, desc.height,
                cases[i].threads, all, frame);
        }
        fm__nlm_plan_free(&plan);
    }
}

static void test_bad_descriptions(void **state)
{
    (void)state;
    static const fm__nlm_desc good = {.width = 8, .height = 8, .planes = 1, .h = 5};
    fm__nlm_desc bad[] = {good, good, good, good, good, good, good, good, good, good};
    bad[0].width = 0;
    bad[1].height = 1 << 20;
    bad[2].planes = 3;
    bad[3].planes = 0;
    bad[4].h = 0;
    bad[5].h = NAN;
    bad[6].h = 1000;
    bad[7].radius = 11;
    bad[8].frames = FM__NLM_MAX_FRAMES + 1;
    bad[9].band = -1;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        fm__nlm_plan *plan = NULL;
        fm_error err = {0};
        assert_int_equal(fm__nlm_plan_new(&bad[i], FM_CPU_SCALAR, &plan, &err), FM_INVAL);
        assert_null(plan);
        assert_true(strncmp(err.msg, "denoise: ", 9) == 0);
    }
    fm__nlm_plan *none = NULL;
    fm__nlm_plan_free(&none);
    fm__nlm_plan_free(NULL);
}

static void test_noise_is_measured(void **state)
{
    (void)state;
    static uint8_t src[W * H];
    static const double levels[] = {2, 5, 10, 25};
    for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++) {
        static fm__noise_stats stats;
        memset(&stats, 0, sizeof(stats));
        make_edge(src, levels[i]);
        fm__noise_add(&stats, src, W, W, H, 0, H / 3);
        fm__noise_add(&stats, src, W, W, H, H / 3, H);
        double sigma = fm__noise_sigma(&stats);
        if (fabs(sigma - levels[i]) > 0.06 * levels[i]) {
            fail_msg("noise of %g measured as %f", levels[i], sigma);
        }
    }
}

static void test_noise_of_nothing(void **state)
{
    (void)state;
    static fm__noise_stats stats;
    uint8_t one = 7;
    fm__noise_add(&stats, &one, 1, 1, 1, 0, 1);
    assert_true(fm__noise_sigma(&stats) == 0);
    assert_true(fm__nlm_auto_luma(0) == 0 && fm__nlm_auto_chroma(1) == 0);
    assert_true(fm__nlm_auto_luma(10) > 9 && fm__nlm_auto_luma(10) < 12);
    assert_true(fm__nlm_auto_luma(1e9) <= FM__NLM_MAX_H);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bands_give_what_the_whole_gives),
        cmocka_unit_test(test_noise_goes_and_the_edge_stays),
        cmocka_unit_test(test_scratch_is_below_four_frames),
        cmocka_unit_test(test_bad_descriptions),
        cmocka_unit_test(test_noise_is_measured),
        cmocka_unit_test(test_noise_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
