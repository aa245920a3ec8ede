// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The letterbox plan as an interface: what it refuses, what it matches, what happens without memory. Pixels
// are tested in tests/kernel.

#include "ops/letterbox.h"

#include "base/alloc.h"

#include <framemill/memory.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static fm_letterbox_desc good_desc(void)
{
    return (fm_letterbox_desc){.format = FM_PIXFMT_NV12,
        .matrix = FM_MATRIX_BT709,
        .map = fm__fit(FM_FIT_LETTERBOX, FM_ANCHOR_CENTER, 0, 100, 60, 32, 32),
        .dtype = FM_DTYPE_F32,
        .pad = 114};
}

static void test_matches(void **state)
{
    (void)state;
    fm_letterbox_desc desc = good_desc();
    fm_letterbox_plan *plan = NULL;
    assert_int_equal(fm__letterbox_plan_new(&desc, fm__cpu_level(), &plan, NULL), FM_OK);
    assert_int_equal(fm__letterbox_plan_desc(plan)->map.dst_cw, 32);
    assert_true(fm__letterbox_scratch_size(plan) > 0);
    const fm_frame_view same = {
        .width = 100, .height = 60, .format = FM_PIXFMT_NV12, .matrix = FM_MATRIX_BT709};
    assert_true(fm__letterbox_plan_matches(plan, &same));
    fm_frame_view other[] = {same, same, same, same, same, same};
    other[0].width = 101;
    other[1].height = 61;
    other[2].format = FM_PIXFMT_YUV420P;
    other[3].matrix = FM_MATRIX_BT601;
    other[4].range = FM_RANGE_FULL;
    other[5].chroma_site = FM_CHROMA_CENTER;
    for (size_t i = 0; i < sizeof(other) / sizeof(*other); i++) {
        assert_false(fm__letterbox_plan_matches(plan, &other[i]));
    }
    fm__letterbox_plan_free(&plan);
    assert_null(plan);
    fm__letterbox_plan_free(&plan);
    fm__letterbox_plan_free(NULL);
}

static void assert_refused(const fm_letterbox_desc *desc, fm_status status)
{
    fm_letterbox_plan *plan = NULL;
    fm_error err = {0};
    assert_int_equal(fm__letterbox_plan_new(desc, FM_CPU_SCALAR, &plan, &err), status);
    assert_null(plan);
    assert_int_equal(err.status, status);
    assert_non_null(strstr(err.msg, "letterbox"));
}

static void test_refuses(void **state)
{
    (void)state;
    fm_letterbox_desc d = good_desc();
    d.format = FM_PIXFMT_NONE;
    assert_refused(&d, FM_UNSUPPORTED);
    d = good_desc();
    d.dtype = FM_DTYPE_F16;
    assert_refused(&d, FM_UNSUPPORTED);
    d = good_desc();
    d.map.src_w = 0;
    assert_refused(&d, FM_INVAL);
    d = good_desc();
    d.map.src_h = 16385;
    assert_refused(&d, FM_INVAL);
    d = good_desc();
    d.map.dst_y = 20; // content leaves the tensor
    assert_refused(&d, FM_INVAL);
    d = good_desc();
    d.map.dst_x = -1;
    assert_refused(&d, FM_INVAL);
    d = good_desc();
    d.map.dst_cw = 0;
    assert_refused(&d, FM_INVAL);
    d = good_desc();
    d.map.src_x = NAN;
    assert_refused(&d, FM_INVAL);
    d = good_desc();
    d.map.src_cw = INFINITY;
    assert_refused(&d, FM_INVAL);
}

static uint64_t bytes_held(void)
{
    fm_memory_stat stats[FM_TAG_COUNT];
    size_t n = fm_memory_stats(stats, FM_TAG_COUNT);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(stats[i].module, "ops") == 0) {
            return stats[i].current_bytes;
        }
    }
    return 0;
}

// The one allocation of a plan fails; nothing is left behind.
static void test_no_memory(void **state)
{
    (void)state;
    fm_letterbox_desc desc = good_desc();
    fm_letterbox_plan *plan = NULL;
    fm_status status = FM_NOMEM;
    uint64_t failed = 0;
    for (uint64_t nth = 1; status == FM_NOMEM; nth++) {
        fm__alloc_fail_at(nth, false);
        status = fm__letterbox_plan_new(&desc, FM_CPU_SCALAR, &plan, NULL);
        fm__alloc_fail_at(0, false);
        failed += status == FM_NOMEM;
    }
    assert_int_equal(status, FM_OK);
    assert_int_equal(failed, 1);
    assert_true(bytes_held() > 0);
    fm__letterbox_plan_free(&plan);
    assert_int_equal(bytes_held(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
