// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The inner loops of heads at every level against their scalar form, bit for bit: all lengths around the
// vector widths, extreme values, guard bytes behind the results.

#include "heads/kernels.h"
#include "heads/mask_kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_N = 200, GUARD = 64 };

static uint32_t next(uint32_t *rng)
{
    *rng = *rng * 1664525u + 1013904223u;
    return *rng >> 8;
}

static void random_bytes(uint8_t *p, size_t n, uint32_t *rng)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)next(rng);
}

static void random_floats(float *p, size_t n, uint32_t *rng)
{
    const float odd[] = {NAN, INFINITY, -INFINITY, 3e38f, 1e-45f, 1.0f, -2.0f, NAN};
    for (size_t i = 0; i < n; i++) {
        uint32_t r = next(rng);
        p[i] = r % 5 == 0 ? odd[r / 5 % 8] : (float)(r % 1000) / 700.0f + 0.001f;
    }
}

static void maxima_equal_the_scalar_form(void **state)
{
    (void)state;
    const fm_heads_kernels *ref = fm__heads_kernels(FM_CPU_SCALAR);
    uint32_t rng = 3;
    enum { ROWS = 9 };
    float src[ROWS * MAX_N], want[MAX_N + GUARD], got[MAX_N + GUARD];
    for (int level = 0; level <= (int)fm__cpu_level(); level++) {
        const fm_heads_kernels *k = fm__heads_kernels((fm_cpu_level)level);
        for (size_t n = 0; n <= MAX_N; n++) {
            random_floats(src, ROWS * MAX_N, &rng);
            float a = ref->row_max(src, n), b = k->row_max(src, n);
            assert_memory_equal(&a, &b, sizeof a);
            memset(want, 0x5a, sizeof want);
            memset(got, 0x5a, sizeof got);
            ref->col_max(src, MAX_N, ROWS, n, want);
            k->col_max(src, MAX_N, ROWS, n, got);
            assert_memory_equal(want, got, sizeof want);
        }
    }
}

static void nan_never_wins(void **state)
{
    (void)state;
    const float all_nan[20] = {
        NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    float some[20];
    memcpy(some, all_nan, sizeof some);
    some[11] = -5.0f;
    for (int level = 0; level <= (int)fm__cpu_level(); level++) {
        const fm_heads_kernels *k = fm__heads_kernels((fm_cpu_level)level);
        assert_true(k->row_max(all_nan, 20) == -INFINITY);
        assert_true(k->row_max(some, 20) == -5.0f);
        float best[20];
        k->col_max(some, 0, 3, 20, best);
        assert_true(best[11] == -5.0f && best[0] == -INFINITY && best[19] == -INFINITY);
    }
}

static void averaging_equals_the_scalar_form(void **state)
{
    (void)state;
    const fm_heads_kernels *ref = fm__heads_kernels(FM_CPU_SCALAR);
    uint32_t rng = 5;
    uint8_t row[2 * MAX_N], want8[MAX_N + GUARD], got8[MAX_N + GUARD];
    uint16_t want[2 * MAX_N + GUARD], got[2 * MAX_N + GUARD];
    for (int level = 0; level <= (int)fm__cpu_level(); level++) {
        const fm_heads_kernels *k = fm__heads_kernels((fm_cpu_level)level);
        for (size_t n = 0; n <= MAX_N; n++) {
            memset(want, 0, sizeof want);
            memset(got, 0, sizeof got);
            for (int r = 0; r < 2; r++) {
                random_bytes(row, sizeof row, &rng);
                if (n % 7 == 0)
                    memset(row, 255, sizeof row);
                ref->add_row(want, row, 2 * n);
                k->add_row(got, row, 2 * n);
            }
            assert_memory_equal(want, got, sizeof want);
            memset(want8, 0x5a, sizeof want8);
            memset(got8, 0x5a, sizeof got8);
            ref->halve(want8, want, n);
            k->halve(got8, got, n);
            assert_memory_equal(want8, got8, sizeof want8);
            for (size_t i = 0; i < n; i++)
                assert_int_equal(want8[i], (want[2 * i] + want[2 * i + 1] + 2) / 4);
        }
    }
}

static void classification_equals_a_count_of_matches(void **state)
{
    (void)state;
    uint32_t rng = 9;
    uint8_t cur[MAX_N], samples[FM_MOTION_SAMPLES * MAX_N], got[MAX_N + GUARD];
    const uint8_t radii[] = {0, 1, 20, 127, 128, 254, 255};
    for (int level = 0; level <= (int)fm__cpu_level(); level++) {
        const fm_heads_kernels *k = fm__heads_kernels((fm_cpu_level)level);
        for (size_t n = 0; n <= MAX_N; n++) {
            uint8_t radius = radii[n % sizeof radii];
            random_bytes(cur, sizeof cur, &rng);
            random_bytes(samples, sizeof samples, &rng);
            memset(got, 0x5a, sizeof got);
            k->classify(got, cur, samples, MAX_N, radius, n);
            for (size_t i = 0; i < n; i++) {
                int matches = 0;
                for (size_t s = 0; s < FM_MOTION_SAMPLES; s++)
                    matches += abs(cur[i] - samples[s * MAX_N + i]) <= radius;
                assert_int_equal(got[i], matches < FM_MOTION_MATCHES ? 255 : 0);
            }
            for (size_t i = n; i < n + GUARD; i++)
                assert_int_equal(got[i], 0x5a);
        }
    }
}

static void votes_equal_a_count_of_neighbours(void **state)
{
    (void)state;
    enum { ROW = MAX_N + 2 };
    uint32_t rng = 13;
    uint8_t plane[3 * ROW], got[MAX_N + GUARD];
    for (int level = 0; level <= (int)fm__cpu_level(); level++) {
        const fm_heads_kernels *k = fm__heads_kernels((fm_cpu_level)level);
        for (size_t n = 0; n <= MAX_N; n++) {
            int least = 1 + (int)(n % 9);
            for (size_t i = 0; i < sizeof plane; i++)
                plane[i] = next(&rng) % 3 != 0 ? 255 : 0;
            memset(got, 0x5a, sizeof got);
            k->vote(got, plane + 1, plane + ROW + 1, plane + 2 * ROW + 1, least, n);
            for (size_t i = 0; i < n; i++) {
                int count = 0;
                for (size_t y = 0; y < 3; y++) {
                    for (size_t x = i; x < i + 3; x++)
                        count += plane[y * ROW + x] == 255;
                }
                assert_int_equal(got[i], count >= least ? 255 : 0);
            }
            for (size_t i = n; i < n + GUARD; i++)
                assert_int_equal(got[i], 0x5a);
        }
    }
}

static void products_and_blends_equal_the_scalar_form(void **state)
{
    (void)state;
    enum { ROWS = 7 };
    const fm_mask_kernels *ref = fm__mask_kernels(FM_CPU_SCALAR);
    float src[ROWS * MAX_N], coef[ROWS], want[MAX_N + GUARD], got[MAX_N + GUARD];
    uint8_t want8[MAX_N + GUARD], got8[MAX_N + GUARD];
    uint32_t rng = 21;
    for (int level = 0; level <= (int)fm__cpu_level(); level++) {
        const fm_mask_kernels *k = fm__mask_kernels((fm_cpu_level)level);
        for (size_t n = 0; n <= MAX_N; n++) {
            random_floats(src, ROWS * MAX_N, &rng);
            for (int i = 0; i < ROWS; i++)
                coef[i] = (float)(next(&rng) % 1000) / 300.0f - 1.5f;
            memset(want, 0x5a, sizeof want);
            memset(got, 0x5a, sizeof got);
            ref->argmax(src, MAX_N, ROWS, n, want, want8);
            memset(got8, 0x5a, sizeof got8);
            k->argmax(src, MAX_N, ROWS, n, got, got8);
            assert_memory_equal(want8, got8, n);
            assert_int_equal(got8[n], 0x5a);
            for (int i = 0; i < ROWS * MAX_N; i++) // which NaN comes out of two is nobody's promise
                src[i] = isnan(src[i]) ? 0.7f : src[i] / 3;
            memset(want, 0x5a, sizeof want);
            memset(got, 0x5a, sizeof got);
            ref->combine(src, MAX_N, coef, 0, n, want);
            k->combine(src, MAX_N, coef, 0, n, got);
            assert_memory_equal(want, got, sizeof want);
            for (int i = 0; i < ROWS * MAX_N; i++)
                src[i] = isinf(src[i]) ? 1 : src[i];
            ref->combine(src, MAX_N, coef, ROWS, n, want);
            k->combine(src, MAX_N, coef, ROWS, n, got);
            assert_memory_equal(want, got, sizeof want);
            ref->lerp(src, src + MAX_N, 0.3f, n, want);
            k->lerp(src, src + MAX_N, 0.3f, n, got);
            assert_memory_equal(want, got, sizeof want);
        }
    }
}

static void bits_of_a_row_equal_the_scalar_form(void **state)
{
    (void)state;
    const fm_mask_kernels *ref = fm__mask_kernels(FM_CPU_SCALAR);
    float row[MAX_N + 1 + FM_MASK_STEP], t[MAX_N + FM_MASK_STEP];
    int32_t cell[MAX_N + FM_MASK_STEP];
    uint8_t want[MAX_N], got[MAX_N];
    uint32_t rng = 22;
    for (int level = 0; level <= (int)fm__cpu_level(); level++) {
        const fm_mask_kernels *k = fm__mask_kernels((fm_cpu_level)level);
        for (size_t n = 1; n <= MAX_N; n++) {
            random_floats(row, MAX_N + 1 + FM_MASK_STEP, &rng);
            for (size_t i = 0; n % 3 > 0 && i < MAX_N + 1; i++) // long stretches of one side, as in a mask
                row[i] = 0.9f + 0.1f * sinf((float)i * 0.1f + (float)n);
            cell[0] = 0;
            for (size_t i = 0; i < n + FM_MASK_STEP; i++) {
                t[i] = (float)(next(&rng) % 1000) / 1000.0f;
                if (i > 0)
                    cell[i] = cell[i - 1] + (i < n && next(&rng) % (1 + n % 5) == 0);
            }
            memset(want, 0x5a, sizeof want);
            memset(got, 0x5a, sizeof got);
            ref->bits(row, cell, t, 0.9f, n, want);
            k->bits(row, cell, t, 0.9f, n, got);
            assert_memory_equal(want, got, (n + 7) / 8);
            for (size_t i = n; i < (n + 7) / 8 * 8; i++)
                assert_int_equal(got[i / 8] >> i % 8 & 1, 0);
            assert_true(got[(n + 7) / 8] == 0x5a || got[(n + 7) / 8] == 0);
            assert_int_equal(got[(n + 7) / 8 + 1], 0x5a);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maxima_equal_the_scalar_form),
        cmocka_unit_test(nan_never_wins),
        cmocka_unit_test(averaging_equals_the_scalar_form),
        cmocka_unit_test(classification_equals_a_count_of_matches),
        cmocka_unit_test(votes_equal_a_count_of_neighbours),
        cmocka_unit_test(products_and_blends_equal_the_scalar_form),
        cmocka_unit_test(bits_of_a_row_equal_the_scalar_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
