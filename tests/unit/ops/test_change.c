// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Block means against the plain sum over the pixels that belong to a block, and what counts as changed.

#include "../testing.h"

#include "ops/change.h"

#include <stdlib.h>

enum { MOST = 200 * 160 };

static uint8_t pixels[3 * MOST];

static fm_frame_view view_of(fm_pixfmt format, int width, int height, ptrdiff_t stride)
{
    fm_frame_view v = {.format = format, .width = width, .height = height};
    v.plane[0] = pixels;
    v.stride[0] = (int)stride;
    return v;
}

static void fill(uint64_t seed)
{
    for (size_t i = 0; i < sizeof(pixels); i++) {
        pixels[i] = (uint8_t)rnd_below(&seed, 256);
    }
}

static int index_of(int at, int block, int n)
{
    return at / block < n ? at / block : n - 1;
}

static void check(fm_pixfmt format, int width, int height)
{
    int step = format == FM_PIXFMT_RGB24 ? 3 : 1, offset = format == FM_PIXFMT_RGB24 ? 1 : 0;
    fm_frame_view v = view_of(format, width, height, (ptrdiff_t)width * step);
    fm__change_grid g = fm__change_grid_of(width, height);
    size_t n = (size_t)g.rows * (size_t)g.columns;
    uint16_t *means = calloc(n, sizeof(*means));
    double *sum = calloc(n, sizeof(*sum)), *count = calloc(n, sizeof(*count));
    fm__change_means(&g, &v, means);
    for (int y = 0; y < height; y++) {
        int row = index_of(y, g.block, g.rows);
        for (int x = 0; x < width; x++) {
            size_t b = (size_t)(row * g.columns + index_of(x, g.block, g.columns));
            sum[b] += pixels[(y * width + x) * step + offset];
            count[b]++;
        }
    }
    for (size_t b = 0; b < n; b++) {
        assert_true(count[b] > 0);
        assert_true(means[b] - sum[b] / count[b] * FM_CHANGE_SCALE <= 0.5 + 1e-9);
        assert_true(sum[b] / count[b] * FM_CHANGE_SCALE - means[b] <= 0.5 + 1e-9);
    }
    free(means);
    free(sum);
    free(count);
}

static void means_are_those_of_the_blocks(void **state)
{
    (void)state;
    static const int sizes[][2] = {
        {1, 1}, {3, 2}, {4, 9}, {47, 31}, {192, 128}, {199, 160}, {1, 160}, {200, 1}};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        fill(i + 1);
        check(FM_PIXFMT_YUV420P, sizes[i][0], sizes[i][1]);
        check(FM_PIXFMT_RGB24, sizes[i][0], sizes[i][1]);
        check(FM_PIXFMT_GRAY8, sizes[i][0], sizes[i][1]);
    }
}

static void a_grid_covers_every_picture(void **state)
{
    (void)state;
    for (int w = 1; w < 16384; w = w * 2 + 1) {
        for (int h = 1; h < 16384; h = h * 3 + 1) {
            fm__change_grid g = fm__change_grid_of(w, h);
            assert_true(g.rows >= 1 && g.columns >= 1 && g.block >= 8);
            assert_true((g.columns - 1) * g.block < w && (g.rows - 1) * g.block < h);
            assert_true(g.rows * g.columns <= 8192);
        }
    }
}

static void what_differs_by_more_than_the_limit_has_changed(void **state)
{
    (void)state;
    fm__change_grid g = {.block = 4, .columns = 3, .rows = 2};
    uint16_t a[] = {0, 100, 4080, 50, 60, 70}, b[] = {48, 51, 0, 50, 109, 118};
    uint8_t changed[6], want[] = {0, 1, 1, 0, 1, 0};
    assert_int_equal(fm__change_count(&g, a, b, 48, changed), 3);
    assert_memory_equal(changed, want, sizeof(want));
    assert_int_equal(fm__change_count(&g, b, a, 48, changed), 3);
    assert_int_equal(fm__change_count(&g, a, a, 0, changed), 0);
    assert_int_equal(fm__change_median(&g, a, b), 48); // 0 48 48 49 49 4080: three of six
    assert_int_equal(fm__change_median(&g, a, a), 0);
    uint16_t c[] = {4000, 4000, 4080, 4000, 0, 0}, d[] = {0, 0, 0, 0, 0, 0};
    assert_int_equal(fm__change_median(&g, c, d), 16 * FM_CHANGE_SCALE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(means_are_those_of_the_blocks),
        cmocka_unit_test(a_grid_covers_every_picture),
        cmocka_unit_test(what_differs_by_more_than_the_limit_has_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
