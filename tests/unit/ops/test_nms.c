// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Overlap by hand, and suppression against the textbook's loop over all pairs, at every level that this CPU
// has.

#include "ops/nms.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_BOXES 600

static void test_iou(void **state)
{
    (void)state;
    static const struct {
        fm_box a, b;
        float iou;
    } cases[] = {
        {{0, 0, 10, 10}, {0, 0, 10, 10}, 1},
        {{0, 0, 10, 10}, {5, 0, 15, 10}, 1.0F / 3},
        {{0, 0, 10, 10}, {2, 2, 4, 4}, 0.04F},
        {{0, 0, 10, 10}, {10, 0, 20, 10}, 0},                          // touch
        {{0, 0, 10, 10}, {20, 20, 30, 30}, 0},                         // apart
        {{5, 5, 5, 5}, {5, 5, 5, 5}, 0},                               // both empty
        {{0, 0, 10, 10}, {5, 5, 5, 9}, 0},                             // one empty
        {{10, 10, 0, 0}, {0, 0, 10, 10}, 0},                           // inside out
        {{NAN, 0, 10, 10}, {0, 0, 10, 10}, 0},                         // not a number
        {{0, 0, 10, 10}, {0, 0, 10, NAN}, 0},                          //
        {{-INFINITY, -INFINITY, INFINITY, INFINITY}, {0, 0, 1, 1}, 0}, // no finite union
        {{-10, -10, 0, 0}, {-5, -10, 5, 0}, 1.0F / 3},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        float there = fm__iou(cases[i].a, cases[i].b), back = fm__iou(cases[i].b, cases[i].a);
        if (!(fabsf(there - cases[i].iou) < 1e-6F) || there != back) {
            fail_msg(
                "case %zu: %f and %f, should be %f", i, (double)there, (double)back, (double)cases[i].iou);
        }
    }
}

/* ---- the textbook ---- */

typedef struct ranked {
    fm_det det;
    size_t place;
} ranked;

static int by_rank(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->det.score != y->det.score) {
        return x->det.score > y->det.score ? -1 : 1;
    }
    if (x->det.class_id != y->det.class_id) {
        return x->det.class_id < y->det.class_id ? -1 : 1;
    }
    return x->place < y->place ? -1 : 1;
}

static size_t brute_force(const fm_det *in, size_t n, float iou, size_t max_keep, fm_det *out)
{
    static ranked all[MAX_BOXES];
    bool dead[MAX_BOXES] = {false};
    size_t count = 0, kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (in[i].score == in[i].score) {
            all[count] = (ranked){in[i], count};
            count++;
        }
    }
    qsort(all, count, sizeof(*all), by_rank);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = i + 1; j < count && !dead[i]; j++) {
            bool same = all[i].det.class_id == all[j].det.class_id;
            dead[j] = dead[j] || (same && fm__iou(all[i].det.box, all[j].det.box) > iou);
        }
    }
    for (size_t i = 0; i < count && kept < max_keep; i++) {
        if (!dead[i]) {
            out[kept++] = all[i].det;
        }
    }
    return kept;
}

/* ---- comparison ---- */

static size_t run(fm_det *det, size_t n, float iou, size_t max_keep, fm_cpu_level level)
{
    size_t size = fm__nms_scratch_size(n);
    void *scratch = aligned_alloc(64, size ? (size + 63) / 64 * 64 : 64);
    assert_non_null(scratch);
    memset(scratch, 0xa5, size);
    size_t kept = fm__nms(det, n, iou, max_keep, scratch, level);
    free(scratch);
    return kept;
}

static bool is_same(const fm_det *a, const fm_det *b)
{
    return memcmp(&a->box, &b->box, sizeof(a->box)) == 0 && a->score == b->score &&
           a->class_id == b->class_id && a->track_id == b->track_id;
}

static void compare(const fm_det *in, size_t n, float iou, size_t max_keep)
{
    fm_det want[MAX_BOXES], got[MAX_BOXES];
    size_t count = brute_force(in, n, iou, max_keep, want);
    for (fm_cpu_level level = FM_CPU_SCALAR; level <= fm__cpu_level(); level++) {
        memcpy(got, in, n * sizeof(*in));
        assert_int_equal(run(got, n, iou, max_keep, level), count);
        for (size_t i = 0; i < count; i++) {
            if (!is_same(&got[i], &want[i])) {
                fail_msg(
                    "%s, %zu boxes, iou %f: place %zu differs", fm__cpu_level_name(level), n, (double)iou, i);
            }
        }
    }
}

static uint32_t next_random(uint32_t *s)
{
    *s = *s * 1664525U + 1013904223U;
    return *s >> 8;
}

// Few distinct scores, so that ties are many; now and then a box or score that is broken.
static fm_det random_det(uint32_t *s, int classes, float spread)
{
    float x = (float)(next_random(s) % 1000) * spread, y = (float)(next_random(s) % 1000) * spread;
    fm_det d = {.box = {x, y, x + (float)(next_random(s) % 100), y + (float)(next_random(s) % 100)},
        .score = (float)(next_random(s) % 64) / 64,
        .class_id = (int)(next_random(s) % (uint32_t)classes),
        .track_id = next_random(s)};
    uint32_t fate = next_random(s) % 50;
    d.box.x1 = fate == 0 ? NAN : fate == 1 ? d.box.x0 : fate == 2 ? INFINITY : d.box.x1;
    d.score = fate == 3 ? NAN : d.score;
    return d;
}

static void test_against_brute_force(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 7, 8, 9, 15, 16, 17, 33, 100, 257, MAX_BOXES};
    fm_det det[MAX_BOXES];
    uint32_t seed = 42;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        for (int round = 0; round < 12; round++) {
            for (size_t k = 0; k < sizes[i]; k++) {
                det[k] = random_det(&seed, round % 3 + 1, round & 1 ? 0.05F : 0.5F);
            }
            compare(det, sizes[i], 0.1F * (float)(round % 10 + 1), round == 11 ? 5 : SIZE_MAX);
        }
    }
}

static void test_classes_do_not_suppress_each_other(void **state)
{
    (void)state;
    fm_det det[] = {{{0, 0, 10, 10}, 0.5F, 1, 0}, {{0, 0, 10, 10}, 0.9F, 2, 0}, {{0, 0, 10, 9}, 0.4F, 2, 0}};
    assert_int_equal(run(det, 3, 0.5F, 10, FM_CPU_SCALAR), 2);
    assert_int_equal(det[0].class_id, 2);
    assert_int_equal(det[1].class_id, 1);
}

static void test_overlap_at_the_threshold_stays(void **state)
{
    (void)state;
    // inter 50, union 100: exactly one half
    fm_det det[] = {{{0, 0, 10, 10}, 0.9F, 0, 0}, {{0, 0, 10, 5}, 0.8F, 0, 0}};
    assert_int_equal(run(det, 2, 0.5F, 10, FM_CPU_SCALAR), 2);
    assert_int_equal(run(det, 2, 0.49F, 10, FM_CPU_SCALAR), 1);
}

static void test_ties_go_by_class_then_place(void **state)
{
    (void)state;
    fm_det det[] = {{{0, 0, 1, 1}, 0.5F, 3, 1}, {{5, 5, 6, 6}, 0.5F, 1, 2}, {{8, 8, 9, 9}, 0.5F, 1, 3}};
    assert_int_equal(run(det, 3, 0.5F, 10, FM_CPU_SCALAR), 3);
    assert_int_equal(det[0].track_id, 2);
    assert_int_equal(det[1].track_id, 3);
    assert_int_equal(det[2].track_id, 1);
}

static void test_max_keep(void **state)
{
    (void)state;
    fm_det det[] = {{{0, 0, 1, 1}, 0.1F, 0, 1}, {{5, 5, 6, 6}, 0.9F, 0, 2}, {{8, 8, 9, 9}, 0.5F, 0, 3}};
    assert_int_equal(run(det, 3, 0.5F, 2, FM_CPU_SCALAR), 2);
    assert_int_equal(det[0].track_id, 2);
    assert_int_equal(det[1].track_id, 3);
    assert_int_equal(run(det, 2, 0.5F, 0, FM_CPU_SCALAR), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_iou),
        cmocka_unit_test(test_against_brute_force),
        cmocka_unit_test(test_classes_do_not_suppress_each_other),
        cmocka_unit_test(test_overlap_at_the_threshold_stays),
        cmocka_unit_test(test_ties_go_by_class_then_place),
        cmocka_unit_test(test_max_keep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
