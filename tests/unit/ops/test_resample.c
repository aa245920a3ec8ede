// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Resampling against its definition in double, level by level, by bands, and what must hold of any filter.

#include "ops/resample.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PI 3.14159265358979323846

typedef struct plane {
    uint8_t *data;
    int w, h;
} plane;

static plane plane_new(int w, int h)
{
    plane p = {malloc((size_t)w * (size_t)h), w, h}; // no byte more: a sanitizer sees a read past the end
    assert_non_null(p.data);
    uint32_t seed = (uint32_t)(w * 31 + h);
    for (int i = 0; i < w * h; i++) {
        seed = seed * 1664525U + 1013904223U;
        p.data[i] = (uint8_t)((i % w) * 3 + (i / w) * 5 + (seed >> 25));
    }
    return p;
}

static double sinc(double x)
{
    return x == 0 ? 1 : sin(PI * x) / (PI * x);
}

static double weight_of(fm__filter filter, double x)
{
    x = fabs(x);
    if (filter == FM__FILTER_LANCZOS3) {
        return x < 3 ? sinc(x) * sinc(x / 3) : 0;
    }
    return x < 1 ? 1.5 * x * x * x - 2.5 * x * x + 1 : x < 2 ? -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2 : 0;
}

// Normalised weights of output i over all inputs.
static void exact_axis(fm__filter filter, int len, double start, double size, int count, int i, double *w)
{
    double scale = fmax(1, size / count), centre = start + (i + 0.5) * size / count, sum = 0;
    for (int k = 0; k < len; k++) {
        w[k] = weight_of(filter, (k + 0.5 - centre) / scale);
        sum += w[k];
    }
    for (int k = 0; k < len; k++) {
        w[k] /= sum;
    }
}

static double exact(const plane *p, const double *wx, const double *wy)
{
    double sum = 0;
    for (int y = 0; y < p->h; y++) {
        for (int x = 0; x < p->w && wy[y] != 0; x++) {
            sum += wy[y] * wx[x] * p->data[y * p->w + x];
        }
    }
    return fmax(0, fmin(255, sum));
}

static plane resample(const plane *src, const fm__resample_desc *d, fm_cpu_level level, int band)
{
    fm__resample_plan *plan = NULL;
    fm_error err = {0};
    if (fm__resample_plan_new(d, level, &plan, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    plane dst = plane_new(d->dst_w, d->dst_h);
    void *scratch = aligned_alloc(64, fm__resample_scratch_size(plan));
    assert_non_null(scratch);
    memset(scratch, 0xa5, fm__resample_scratch_size(plan));
    for (int y = 0; y < d->dst_h; y += band) {
        int end = y + band < d->dst_h ? y + band : d->dst_h;
        fm__resample_rows(plan, src->data, src->w, dst.data, dst.w, y, end, scratch);
    }
    free(scratch);
    fm__resample_plan_free(&plan);
    assert_null(plan);
    return dst;
}

static void check_exact(const plane *src, const plane *dst, const fm__resample_desc *d)
{
    double *wx = calloc((size_t)src->w, sizeof(*wx)), *wy = calloc((size_t)src->h, sizeof(*wy));
    for (int y = 0; y < dst->h; y++) {
        exact_axis(d->filter, src->h, d->y, d->h > 0 ? d->h : src->h, dst->h, y, wy);
        for (int x = 0; x < dst->w; x += 1 + x % 3) {
            exact_axis(d->filter, src->w, d->x, d->w > 0 ? d->w : src->w, dst->w, x, wx);
            double want = exact(src, wx, wy);
            if (fabs(dst->data[y * dst->w + x] - want) > 1) {
                fail_msg("%dx%d to %dx%d, filter %d: (%d,%d) is %d, should be %f", src->w, src->h, dst->w,
                    dst->h, (int)d->filter, x, y, dst->data[y * dst->w + x], want);
            }
        }
    }
    free(wx);
    free(wy);
}

static void test_every_level_is_exact(void **state)
{
    (void)state;
    static const int sizes[][4] = {{1, 1, 1, 1}, {1, 1, 9, 7}, {3, 2, 6, 4}, {40, 30, 80, 60},
        {40, 30, 41, 29}, {33, 17, 99, 51}, {64, 48, 16, 12}, {61, 43, 7, 5}, {50, 40, 1, 1},
        {17, 31, 17, 31}, {100, 3, 25, 9}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        for (int filter = 0; filter < 2; filter++) {
            const int *s = sizes[i];
            plane src = plane_new(s[0], s[1]);
            fm__resample_desc d = {
                .src_w = s[0], .src_h = s[1], .dst_w = s[2], .dst_h = s[3], .filter = (fm__filter)filter};
            plane scalar = resample(&src, &d, FM_CPU_SCALAR, s[3]),
                  best = resample(&src, &d, fm__cpu_level(), 1 + s[3] / 3);
            check_exact(&src, &scalar, &d);
            assert_memory_equal(scalar.data, best.data, (size_t)s[2] * (size_t)s[3]);
            free(src.data);
            free(scalar.data);
            free(best.data);
        }
    }
}

static void test_a_part_of_the_source(void **state)
{
    (void)state;
    plane src = plane_new(60, 50);
    fm__resample_desc d = {60, 50, 37, 41, 10.25, 3.5, 20.5, 30, FM__FILTER_LANCZOS3};
    plane dst = resample(&src, &d, fm__cpu_level(), 41);
    check_exact(&src, &dst, &d);
    free(src.data);
    free(dst.data);
}

static void test_flat_stays_flat_and_same_size_stays_the_same(void **state)
{
    (void)state;
    for (int n = 1; n < 140; n += 1 + n / 7) {
        plane src = plane_new(50, 20), flat = plane_new(50, 20);
        fm__resample_desc d = {.src_w = 50, .src_h = 20, .dst_w = n, .dst_h = 1 + n / 2},
                          same = {.src_w = 50, .src_h = 20, .dst_w = 50, .dst_h = 20};
        memset(flat.data, n, 1000);
        plane a = resample(&flat, &d, fm__cpu_level(), 1000), b = resample(&src, &same, fm__cpu_level(), 7);
        for (int i = 0; i < a.w * a.h; i++) {
            assert_int_equal(a.data[i], n);
        }
        assert_memory_equal(src.data, b.data, 1000);
        free(src.data);
        free(flat.data);
        free(a.data);
        free(b.data);
    }
}

static void test_bad_descriptions(void **state)
{
    (void)state;
    static const fm__resample_desc bad[] = {{.src_w = 0, .src_h = 1, .dst_w = 1, .dst_h = 1},
        {.src_w = 1, .src_h = 1, .dst_w = 1 << 20, .dst_h = 1},
        {4, 4, 4, 4, 1.1, 0, 4, 4, FM__FILTER_LANCZOS3},
        {4, 4, 4, 4, 0, 0, (double)NAN, 4, FM__FILTER_LANCZOS3},
        {4, 4, 4, 4, -1.1, 0, 2, 2, FM__FILTER_LANCZOS3}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        fm__resample_plan *plan = NULL;
        fm_error err = {0};
        assert_int_equal(fm__resample_plan_new(&bad[i], FM_CPU_SCALAR, &plan, &err), FM_INVAL);
        assert_true(strncmp(err.msg, "resampling: ", 12) == 0);
    }
    fm__resample_desc strong = {.src_w = 1 << 16, .src_h = 1, .dst_w = 1, .dst_h = 1};
    fm__resample_plan *plan = NULL;
    assert_int_equal(fm__resample_plan_new(&strong, FM_CPU_SCALAR, &plan, NULL), FM_UNSUPPORTED);
    assert_null(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_level_is_exact),
        cmocka_unit_test(test_a_part_of_the_source),
        cmocka_unit_test(test_flat_stays_flat_and_same_size_stays_the_same),
        cmocka_unit_test(test_bad_descriptions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
