// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Non-local means at one CPU level (the argument) against the scalar twin: every bit the same, nothing
// touched outside the planes, the scratch and the result.

#include "nlm_cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static fm_cpu_level level;

static void compare(const fm__nlm_desc *desc, content kind, placement place)
{
    picture p[NLM_FRAMES];
    nlm_result want, got;
    nlm_make(p, desc, kind, place);
    nlm_run(p, desc, FM_CPU_SCALAR, desc->height, &want);
    nlm_run(p, desc, level, desc->height, &got);
    nlm_expect_same(&want, &got, desc, fm__cpu_level_name(level));
    nlm_result_free(&want);
    nlm_result_free(&got);
    nlm_free(p);
}

// Strengths on both sides of where sums and squares change: shifted, unshifted, rounded.
static void test_strengths(void **state)
{
    (void)state;
    static const float strengths[] = {0.1F, 1, 3, 8, 9.7F, 9.9F, 10, 13.8F, 14, 25, 60, 200};
    for (size_t i = 0; i < sizeof(strengths) / sizeof(*strengths); i++) {
        for (int planes = 1; planes <= 2; planes++) {
            for (int kind = 0; kind < CONTENT_COUNT; kind++) {
                fm__nlm_desc desc = {.width = 71,
                    .height = 23,
                    .planes = planes,
                    .h = strengths[i],
                    .radius = 10,
                    .frames = 1};
                compare(&desc, (content)kind, (placement)(i % PLACE_COUNT));
            }
        }
    }
}

// Widths whose last strip ends in every lane of a vector, and pictures smaller than a patch.
static void test_sizes(void **state)
{
    (void)state;
    for (int w = 1; w <= 68; w++) {
        fm__nlm_desc desc = {
            .width = w, .height = 1 + w % 9, .planes = 1 + w % 2, .h = 12, .radius = 1 + w % 10, .frames = 1};
        compare(&desc, CONTENT_SMOOTH, (placement)(w % PLACE_COUNT));
    }
    static const int widths[] = {105, 106, 107, 127, 128, 129, 234, 300};
    for (size_t i = 0; i < sizeof(widths) / sizeof(*widths); i++) {
        fm__nlm_desc desc = {
            .width = widths[i], .height = 9, .planes = 1, .h = 10, .radius = 10, .frames = 1};
        compare(&desc, CONTENT_SMOOTH, PLACE_WIDE);
    }
}

static void test_more_frames(void **state)
{
    (void)state;
    for (int planes = 1; planes <= 2; planes++) {
        fm__nlm_desc desc = {.width = 77, .height = 31, .planes = planes, .h = 20, .radius = 5, .frames = 3};
        compare(&desc, CONTENT_SMOOTH, PLACE_FLIP);
    }
}

// Every weight the same and the largest: the sums at their fullest.
static void test_flat_white(void **state)
{
    (void)state;
    fm__nlm_desc desc = {.width = 40, .height = 40, .planes = 1, .h = 200, .radius = 10, .frames = 1};
    picture p[NLM_FRAMES];
    nlm_result got;
    nlm_make(p, &desc, CONTENT_NOISE, PLACE_END);
    memset((void *)(uintptr_t)p[0].view.plane[0], 255, 40 * 40);
    nlm_run(p, &desc, level, 40, &got);
    for (size_t i = 0; i < got.plane[0].size; i++) {
        assert_int_equal(got.plane[0].data[i], 255);
    }
    nlm_result_free(&got);
    nlm_free(p);
}

int main(int argc, char **argv)
{
    if (!level_from(argc, argv, &level)) {
        return SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strengths),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_more_frames),
        cmocka_unit_test(test_flat_white),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
