// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The scalar non-local means against its definition, written out in double: every patch with every patch, no
// sum shared, exp from the C library. No pixel may be off by more than 1.

#include "nlm_cases.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static int mirror(int i, int n)
{
    while (i < 0 || i >= n) {
        i = n == 1 ? 0 : i < 0 ? -i : 2 * (n - 1) - i;
    }
    return i;
}

static int at(const picture *p, int plane, int x, int y)
{
    const fm_frame_view *v = &p->view;
    return v->plane[plane][(ptrdiff_t)mirror(y, v->height) * v->stride[plane] + mirror(x, v->width)];
}

static double patch_distance(
    const picture *a, const picture *b, const fm__nlm_desc *d, int x, int y, int dx, int dy)
{
    double sum = 0;
    int first = d->planes == 2 ? 1 : 0;
    for (int p = first; p < first + d->planes; p++) {
        for (int j = -3; j <= 3; j++) {
            for (int i = -3; i <= 3; i++) {
                int diff = at(a, p, x + i, y + j) - at(b, p, x + dx + i, y + dy + j);
                sum += (double)diff * diff;
            }
        }
    }
    return sum / (49 * d->planes);
}

static void expected(const picture *p, const fm__nlm_desc *d, int x, int y, double mean[FM__NLM_MAX_PLANES])
{
    double num[FM__NLM_MAX_PLANES] = {0}, den = 0;
    int first = d->planes == 2 ? 1 : 0;
    for (int f = 0; f < d->frames; f++) {
        for (int dy = -d->radius; dy <= d->radius; dy++) {
            for (int dx = -d->radius; dx <= d->radius; dx++) {
                double w = exp(-patch_distance(&p[0], &p[f], d, x, y, dx, dy) / ((double)d->h * d->h));
                w = w < 0.001 ? 0 : w;
                den += w;
                for (int i = 0; i < d->planes; i++) {
                    num[i] += w * at(&p[f], first + i, x + dx, y + dy);
                }
            }
        }
    }
    for (int i = 0; i < d->planes; i++) {
        mean[i] = num[i] / den;
    }
}

static void check(const fm__nlm_desc *d, content kind, placement place)
{
    picture p[NLM_FRAMES];
    nlm_result got;
    nlm_make(p, d, kind, place);
    nlm_run(p, d, FM_CPU_SCALAR, d->height, &got);
    for (int y = 0; y < d->height; y++) {
        for (int x = 0; x < d->width; x++) {
            double want[FM__NLM_MAX_PLANES];
            expected(p, d, x, y, want);
            for (int i = 0; i < d->planes; i++) {
                int is = got.plane[i].data[y * d->width + x];
                if (abs(is - (int)floor(want[i] + 0.5)) > 1) {
                    fail_msg("%dx%d, %d planes, h %g: plane %d (%d,%d) is %d, should be %f", d->width,
                        d->height, d->planes, (double)d->h, i, x, y, is, want[i]);
                }
            }
        }
    }
    nlm_result_free(&got);
    nlm_free(p);
}

static void test_definition(void **state)
{
    (void)state;
    static const float strengths[] = {0.5F, 2, 5, 9.9F, 12, 25, 80, 200};
    for (size_t i = 0; i < sizeof(strengths) / sizeof(*strengths); i++) {
        for (int planes = 1; planes <= 2; planes++) {
            for (int kind = 0; kind < CONTENT_COUNT; kind++) {
                fm__nlm_desc d = {.width = 19,
                    .height = 14,
                    .planes = planes,
                    .h = strengths[i],
                    .radius = 10,
                    .frames = 1};
                check(&d, (content)kind, PLACE_WIDE);
            }
        }
    }
}

static void test_definition_of_windows_and_frames(void **state)
{
    (void)state;
    for (int radius = 1; radius <= 10; radius++) {
        fm__nlm_desc d = {.width = 20 + radius,
            .height = 9,
            .planes = 1,
            .h = 10,
            .radius = radius,
            .frames = 1 + radius % 3};
        check(&d, CONTENT_SMOOTH, PLACE_END);
    }
}

static void test_definition_of_small_pictures(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {1, 17}, {17, 1}, {2, 2}, {3, 5}, {7, 7}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        fm__nlm_desc d = {
            .width = sizes[i][0], .height = sizes[i][1], .planes = 1, .h = 30, .radius = 10, .frames = 1};
        check(&d, CONTENT_NOISE, PLACE_END);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition),
        cmocka_unit_test(test_definition_of_windows_and_frames),
        cmocka_unit_test(test_definition_of_small_pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
