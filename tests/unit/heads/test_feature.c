// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Head `feature`: shapes that fit, the dimension that a model file promises, vectors of length 1, and what
// becomes of zeros, of numbers at the ends of a float's range and of what is no number.

#include "heads/head.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define DIM 11 // no multiple of the head's partial sums

static fm_head make_head(const fm_tensor *out)
{
    fm_head head;
    fm_error err = {0};
    if (fm__head_init(&head, &(fm_head_opts){.type = "feature"}, 128, 256, out, 1, &err) != FM_OK)
        fail_msg("%s", err.msg);
    return head;
}

static void shapes_that_fit(void **state)
{
    (void)state;
    static const struct {
        int rank;
        int64_t dims[4];
        int64_t dim; // 0: refused
    } cases[] = {
        {2, {1, 512}, 512},
        {4, {1, 512, 1, 1}, 512},
        {4, {1, 1, 1, 1280}, 1280},
        {4, {1, 1, 7, 1}, 7},
        {2, {1, 1}, 1},
        {2, {1, 65536}, 65536},
        {2, {1, 65537}, 0},
        {2, {1, INT64_MAX}, 0},
        {2, {1, 0}, 0},
        {2, {1, -1}, 0},
        {3, {1, 1, 512}, 0},
        {4, {1, 512, 7, 7}, 0},
        {1, {512}, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fm_tensor t = {.dtype = FM_DTYPE_F32, .rank = cases[i].rank};
        memcpy(t.dims, cases[i].dims, sizeof cases[i].dims);
        fm_head_opts opts = {0};
        fm_head head;
        fm_error err = {0};
        bool is_guessed = fm__head_guess(&t, 1, 128, 256, FM_TASK_FEATURES, &opts, NULL) == FM_OK;
        bool fits = fm__head_init(&head, &(fm_head_opts){.type = "feature"}, 128, 256, &t, 1, &err) == FM_OK;
        if (fits != (cases[i].dim > 0) || is_guessed != (cases[i].dim > 1))
            fail_msg("case %zu: %d %d %s", i, fits, is_guessed, err.msg);
        if (fits)
            assert_int_equal(fm__head_dim(&head), cases[i].dim);
    }
}

static void a_classifiers_shape_is_not_guessed_unasked(void **state)
{
    (void)state;
    fm_tensor t = {.dtype = FM_DTYPE_F32, .rank = 2, .dims = {1, 1000}};
    fm_head_opts opts = {0};
    fm_error err = {0};
    assert_int_equal(fm__head_guess(&t, 1, 224, 224, FM_TASK_ANY, &opts, &err), FM_NOTFOUND);
    assert_non_null(strstr(err.msg, "feature"));
    assert_int_equal(fm__head_guess(&t, 1, 224, 224, FM_TASK_DETECTION, &opts, &err), FM_NOTFOUND);
    assert_null(strstr(err.msg, "feature"));
    assert_int_equal(fm__head_guess(&t, 1, 224, 224, FM_TASK_FEATURES, &opts, &err), FM_OK);
    assert_string_equal(opts.type, "feature");
}

static void refusals_say_what_was_expected(void **state)
{
    (void)state;
    fm_tensor t[2] = {{.dtype = FM_DTYPE_F32, .rank = 2, .dims = {4, 512}},
        {.dtype = FM_DTYPE_F32, .rank = 2, .dims = {4, 512}}};
    fm_head head;
    fm_error err = {0};
    fm_head_opts opts = {.type = "feature", .dim = 128};
    assert_int_equal(fm__head_init(&head, &opts, 128, 256, t, 1, &err), FM_FORMAT);
    assert_non_null(strstr(err.msg, "dim 128"));
    assert_non_null(strstr(err.msg, "[4,512] has 512"));
    opts.dim = 512;
    assert_int_equal(fm__head_init(&head, &opts, 128, 256, t, 1, &err), FM_OK);
    assert_int_equal(fm__head_init(&head, &opts, 128, 256, t, 2, &err), FM_FORMAT);
    assert_non_null(strstr(err.msg, "has 2"));
    t[0].dtype = FM_DTYPE_U8;
    assert_int_equal(fm__head_init(&head, &opts, 128, 256, t, 1, &err), FM_FORMAT);
    assert_non_null(strstr(err.msg, "u8"));
}

static void rows_become_unit_vectors(void **state)
{
    (void)state;
    float values[3][DIM] = {{0}}, got[DIM];
    for (int i = 0; i < DIM; i++) {
        values[1][i] = (float)(i - 4);
        values[2][i] = i % 2 ? 3e38F : -3e38F;
    }
    fm_tensor t = {.data = values, .dtype = FM_DTYPE_F32, .rank = 2, .dims = {3, DIM}};
    fm_head head = make_head(&t);
    assert_true(fm__head_feature(&head, &t, 1, 0, got));
    for (int i = 0; i < DIM; i++)
        assert_true(got[i] == 0.0F);
    assert_true(fm__head_feature(&head, &t, 1, 1, got));
    for (int i = 0; i < DIM; i++)
        assert_true(fabs((double)got[i] - (i - 4) / sqrt(121)) < 1e-7); // 16+9+4+1+0+1+4+9+16+25+36
    assert_true(fm__head_feature(&head, &t, 1, 2, got));
    for (int i = 0; i < DIM; i++)
        assert_true(fabs(fabs((double)got[i]) - 1 / sqrt(DIM)) < 1e-7);
    for (int i = 0; i < DIM; i++)
        values[2][i] = 1e-44F; // its square is far below the smallest float
    assert_true(fm__head_feature(&head, &t, 1, 2, got));
    assert_true(fabs((double)got[5] - 1 / sqrt(DIM)) < 1e-7);
}

static void what_is_no_number_is_no_feature(void **state)
{
    (void)state;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int at = 0; at < DIM; at++) {
        for (int b = 0; b < 3; b++) {
            float values[DIM], got[DIM];
            for (int i = 0; i < DIM; i++) {
                values[i] = i == at ? bad[b] : 1.0F;
                got[i] = 7.0F;
            }
            fm_tensor t = {.data = values, .dtype = FM_DTYPE_F32, .rank = 4, .dims = {1, DIM, 1, 1}};
            fm_head head = make_head(&t);
            assert_false(fm__head_feature(&head, &t, 1, 0, got));
            for (int i = 0; i < DIM; i++)
                assert_true(got[i] == 7.0F);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_that_fit),
        cmocka_unit_test(a_classifiers_shape_is_not_guessed_unasked),
        cmocka_unit_test(refusals_say_what_was_expected),
        cmocka_unit_test(rows_become_unit_vectors),
        cmocka_unit_test(what_is_no_number_is_no_feature),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
