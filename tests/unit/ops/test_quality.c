// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// PSNR by hand, SSIM where its value is known. tests/reference has scikit-image beside it.

#include "ops/quality.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { W = 40, H = 30 };

static fm_quality compare(const uint8_t *a, const uint8_t *b, int w, int h)
{
    fm_quality q;
    void *scratch = aligned_alloc(64, (fm__quality_scratch_size(w) + 63) / 64 * 64);
    assert_non_null(scratch);
    fm__quality_rgb(a, 3 * w, b, 3 * w, w, h, scratch, &q);
    free(scratch);
    return q;
}

static void fill(uint8_t *p, uint8_t r, uint8_t g, uint8_t b)
{
    for (int i = 0; i < W * H; i++) {
        p[3 * i] = r;
        p[3 * i + 1] = g;
        p[3 * i + 2] = b;
    }
}

static void test_equal(void **state)
{
    (void)state;
    static uint8_t a[3 * W * H];
    for (int i = 0; i < 3 * W * H; i++) {
        a[i] = (uint8_t)(i * 37);
    }
    fm_quality q = compare(a, a, W, H);
    assert_int_equal(q.width, W);
    assert_int_equal(q.height, H);
    assert_true(q.mse_rgb == 0 && q.mse_y == 0 && isinf(q.psnr_rgb) && isinf(q.psnr_y));
    assert_true(fabs(q.ssim_rgb - 1) < 1e-6 && fabs(q.ssim_y - 1) < 1e-6);
}

static void test_flat_pictures(void **state)
{
    (void)state;
    static uint8_t a[3 * W * H], b[3 * W * H];
    fill(a, 100, 100, 100);
    fill(b, 110, 100, 100);
    fm_quality q = compare(a, b, W, H);
    assert_true(fabs(q.mse_rgb - 100.0 / 3) < 1e-9);
    assert_true(fabs(q.psnr_rgb - 10 * log10(65025.0 * 3 / 100)) < 1e-9);
    double dy = 65.481 * 10 / 255;
    assert_true(fabs(q.psnr_y - 10 * log10(65025 / (dy * dy))) < 1e-4);
    // no variance: the luminance term alone, in one channel of three
    double c1 = 2.55 * 2.55, term = (2 * 100.0 * 110 + c1) / (100.0 * 100 + 110.0 * 110 + c1);
    assert_true(fabs(q.ssim_rgb - (2 + term) / 3) < 1e-5);
}

static void test_opposite(void **state)
{
    (void)state;
    static uint8_t a[3 * W * H], b[3 * W * H];
    uint32_t seed = 1;
    for (int i = 0; i < 3 * W * H; i++) {
        seed = seed * 1664525U + 1013904223U;
        a[i] = (uint8_t)(seed >> 24);
        b[i] = (uint8_t)(255 - a[i]);
    }
    fm_quality q = compare(a, b, W, H);
    assert_true(q.ssim_rgb < -0.9);
}

static void test_small_pictures_have_no_ssim(void **state)
{
    (void)state;
    static const uint8_t a[3 * 11 * 11] = {10}, b[3 * 11 * 11] = {20};
    fm_quality q = compare(a, b, 10, 11);
    assert_true(isnan(q.ssim_rgb) && isnan(q.ssim_y) && q.psnr_rgb > 0);
    q = compare(a, b, 1, 1);
    assert_true(isnan(q.ssim_rgb) && fabs(q.mse_rgb - 100.0 / 3) < 1e-9);
    q = compare(a, b, 11, 11);
    assert_true(q.ssim_rgb > 0 && q.ssim_rgb <= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_flat_pictures),
        cmocka_unit_test(test_opposite),
        cmocka_unit_test(test_small_pictures_have_no_ssim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
