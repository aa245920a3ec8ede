// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Kernels of 16-bit samples: each level and each cut into bands gives the same bits, odd sizes and extreme
// samples included, and nothing is written past the rows asked for.

#include "base/alloc.h"
#include "ops/deep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { GUARD = 0x5a5a, MAX = 90 * 70 };

static void fill(uint16_t *p, int n, unsigned seed)
{
    for (int i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        p[i] = seed >> 28 == 0 ? 0 : seed >> 28 == 1 ? 65535 : (uint16_t)(20000 + (seed >> 20));
    }
}

static void clean(const fm__nlm16 *d, int band, fm_cpu_level level)
{
    void *scratch = fm__calloc_aligned(FM_TAG_OPS, fm__nlm16_scratch_size(d, band), 64);
    assert_non_null(scratch);
    for (int y = 0; y < d->height; y += band) {
        fm__nlm16_rows(d, y, y + band < d->height ? y + band : d->height, scratch, level);
    }
    fm__free(scratch);
}

static void test_nlm(void **state)
{
    static const int sizes[][2] = {{1, 1}, {1, 40}, {33, 1}, {7, 5}, {61, 47}, {90, 70}};
    static uint16_t src[2][MAX], want[2][MAX], got[2][MAX];
    (void)state;
    fill(src[0], MAX, 1);
    fill(src[1], MAX, 2);
    for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
        for (int planes = 1; planes <= 2; planes++) {
            int n = sizes[s][0] * sizes[s][1];
            fm__nlm16 d = {sizes[s][0], sizes[s][1], planes, planes == 1 ? 5.0F : 120.0F, {src[0], src[1]},
                {want[0], want[1]}};
            clean(&d, d.height, FM_CPU_SCALAR);
            for (int band = 1; band <= 64; band += 21) {
                memset(got, GUARD & 0xff, sizeof(got));
                d.dst[0] = got[0];
                d.dst[1] = got[1];
                clean(&d, band, band == 1 ? FM_CPU_SCALAR : fm__cpu_level());
                for (int p = 0; p < planes; p++) {
                    assert_memory_equal(got[p], want[p], (size_t)n * sizeof(uint16_t));
                    assert_true(n == MAX || got[p][n] == GUARD);
                }
            }
        }
    }
}

static void test_flat_stays(void **state)
{
    static uint16_t src[MAX], dst[MAX];
    static const uint16_t values[] = {0, 1, 255, 256, 32767, 65534, 65535};
    (void)state;
    for (size_t v = 0; v < sizeof(values) / sizeof(*values); v++) {
        fm__nlm16 d = {30, 20, 1, 10, {src, NULL}, {dst, NULL}};
        fm__lanczos16 up = {30, 20, 3, src, dst};
        void *scratch = fm__calloc(FM_TAG_OPS, fm__lanczos16_scratch_size(&up));
        for (int i = 0; i < MAX; i++) {
            src[i] = values[v];
        }
        clean(&d, 20, fm__cpu_level());
        assert_memory_equal(dst, src, 600 * sizeof(uint16_t));
        fm__lanczos16_rows(&up, 0, 60, scratch);
        assert_memory_equal(dst, src, 5400 * sizeof(uint16_t));
        fm__free(scratch);
    }
}

static void test_ycc_and_back(void **state)
{
    static uint16_t rgb[3][MAX], ycc[3][MAX], back[3][MAX];
    const uint16_t *from[] = {rgb[0], rgb[1], rgb[2]}, *mid[] = {ycc[0], ycc[1], ycc[2]};
    (void)state;
    for (int c = 0; c < 3; c++) {
        fill(rgb[c], MAX, 7 + (unsigned)c);
    }
    fm__rgb16_to_ycc((uint16_t *[]){ycc[0], ycc[1], ycc[2]}, from, MAX);
    fm__ycc16_to_rgb((uint16_t *[]){back[0], back[1], back[2]}, mid, MAX);
    for (int c = 0; c < 3; c++) {
        for (int i = 0; i < MAX; i++) {
            assert_in_range(back[c][i] + 2 - rgb[c][i], 0, 4);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nlm),
        cmocka_unit_test(test_flat_stays),
        cmocka_unit_test(test_ycc_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
