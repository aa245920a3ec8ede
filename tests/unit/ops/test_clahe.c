// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// CLAHE against its definition with double weights, and what tables must be. tests/reference has OpenCV
// beside it.

#include "ops/clahe.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { W = 101, H = 67, TILES = FM__CLAHE_TILES, BINS = 256 };

static void make_picture(uint8_t *p, int n)
{
    uint32_t seed = 9;
    for (int i = 0; i < n; i++) {
        seed = seed * 1664525U + 1013904223U;
        p[i] = (uint8_t)(((i % W) + (seed >> 26) * 2) & 0xff);
    }
}

static double weighed(const uint8_t *tables, const fm__clahe *c, int x, int y, uint8_t v)
{
    double fx = (double)x / c->tile_w - 0.5, fy = (double)y / c->tile_h - 0.5, sum = 0;
    for (int j = 0; j < 2; j++) {
        for (int i = 0; i < 2; i++) {
            int tx = (int)floor(fx) + i, ty = (int)floor(fy) + j;
            double wx = i ? fx - floor(fx) : 1 - (fx - floor(fx)),
                   wy = j ? fy - floor(fy) : 1 - (fy - floor(fy));
            tx = tx < 0 ? 0 : tx >= TILES ? TILES - 1 : tx;
            ty = ty < 0 ? 0 : ty >= TILES ? TILES - 1 : ty;
            sum += wx * wy * tables[(ty * TILES + tx) * BINS + v];
        }
    }
    return sum;
}

static void test_interpolation(void **state)
{
    (void)state;
    static uint8_t src[W * H], dst[W * H], tables[TILES * TILES * BINS];
    static uint32_t hist[TILES * TILES * BINS];
    fm__clahe c;
    make_picture(src, W * H);
    fm__clahe_init(&c, W, H, TILES);
    void *scratch = aligned_alloc(64, fm__clahe_scratch_size(&c));
    fm__clahe_count(&c, src, W, hist);
    fm__clahe_tables(&c, hist, 3, NULL, tables);
    fm__clahe_apply(&c, tables, src, W, dst, W, scratch, fm__cpu_level());
    for (int i = 0; i < W * H; i++) {
        double want = weighed(tables, &c, i % W, i / W, src[i]);
        if (fabs(dst[i] - want) > 1) {
            fail_msg("(%d,%d) is %d, should be %f", i % W, i / W, dst[i], want);
        }
    }
    fm__clahe_apply(&c, tables, src, W, src, W, scratch, fm__cpu_level());
    assert_memory_equal(src, dst, sizeof(src));
    free(scratch);
}

static void test_every_pixel_is_counted_once(void **state)
{
    (void)state;
    static uint8_t src[W * H];
    static uint32_t hist[TILES * TILES * BINS];
    make_picture(src, W * H);
    for (int w = 1; w <= W; w += 7) {
        fm__clahe c;
        fm__clahe_init(&c, w, H, TILES);
        fm__clahe_count(&c, src, W, hist);
        for (int t = 0; t < TILES * TILES; t++) {
            uint32_t sum = 0;
            for (int i = 0; i < BINS; i++) {
                sum += hist[t * BINS + i];
            }
            assert_int_equal(sum, c.tile_w * c.tile_h);
        }
    }
}

// Without a limit a tile's table is its cumulative histogram; a limit of 1 makes it the identity, nearly.
static void test_limits(void **state)
{
    (void)state;
    static uint8_t tables[BINS];
    static uint32_t hist[BINS];
    fm__clahe c;
    fm__clahe_init(&c, 64, 64, 1);
    hist[10] = 1024;
    hist[200] = 3072;
    fm__clahe_tables(&c, hist, 0, NULL, tables);
    assert_int_equal(tables[9], 0);
    assert_int_equal(tables[10], 64);
    assert_int_equal(tables[199], 64);
    assert_int_equal(tables[200], 255);
    fm__clahe_tables(&c, hist, 1, NULL, tables);
    for (int i = 0; i < BINS; i++) {
        assert_true(abs(tables[i] - i) <= 2);
    }
}

static void test_maps_count_values_as_mapped(void **state)
{
    (void)state;
    static uint8_t tables[BINS], plain[BINS], before[BINS], after[BINS];
    static uint32_t hist[BINS], mapped[BINS];
    fm__clahe c;
    fm__clahe_init(&c, 64, 64, 1);
    for (int i = 0; i < BINS; i++) {
        hist[i] = 16;
        before[i] = (uint8_t)(i / 2);
        after[i] = (uint8_t)(255 - i);
        mapped[i / 2] += 16;
    }
    const fm__clahe_maps maps = {before, after};
    fm__clahe_tables(&c, hist, 4, &maps, tables);
    fm__clahe_tables(&c, mapped, 4, NULL, plain);
    for (int i = 0; i < BINS; i++) {
        assert_int_equal(tables[i], 255 - plain[i / 2]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interpolation),
        cmocka_unit_test(test_every_pixel_is_counted_once),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_maps_count_values_as_mapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
