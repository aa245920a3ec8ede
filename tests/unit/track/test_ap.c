// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Average precision by hand: so few boxes that every number can be counted. pycocotools and VOC's development
// kit have their say in tests/reference/compare_ap.py.

#include "../testing.h"
#include "track/ap.h"

#include "base/alloc.h"

#include <math.h>

#define NEAR 1e-12
#define GT(i, x, w, ...)                                                                                     \
    {                                                                                                        \
        .box = {x, 0, w, 100}, .area = (w)*100.0, .image = i, __VA_ARGS__                                    \
    }
#define DET(i, x, w, s)                                                                                      \
    {                                                                                                        \
        .box = {x, 0, w, 100}, .score = s, .image = i                                                        \
    }

typedef struct answer {
    fm_ap_class one, all, large;
    size_t large_count;
} answer;

static void assert_near(double a, double b)
{
    if (!(fabs(a - b) <= NEAR))
        fail_msg("%.17g is not %.17g", a, b);
}

static answer evaluate(
    const fm_ap_gt *gts, size_t gt_count, const fm_ap_det *dets, size_t det_count, double at)
{
    answer a = {0};
    fm_error err = {0};
    const fm_ap_input in = {.gts = gts,
        .gt_count = gt_count,
        .dets = dets,
        .det_count = det_count,
        .categories = 1,
        .voc = true,
        .min_objects = 1,
        .at = at};
    if (fm__ap_evaluate(&in, &a.one, &a.all, &a.large, &a.large_count, &err) != FM_OK)
        fail_msg("%s", err.msg);
    return a;
}

static void nothing_at_all(void **state)
{
    (void)state;
    answer a = evaluate(NULL, 0, NULL, 0, -1);
    assert_near(a.all.coco.ap, -1);
    assert_near(a.one.voc_ap, -1);
    assert_near(a.one.curve[0], -1);
    assert_int_equal(a.large_count, 0);
    // Objects and no detection: found none, which is 0.
    const fm_ap_gt gt = GT(0, 0, 100);
    a = evaluate(&gt, 1, NULL, 0, -1);
    assert_near(a.all.coco.ap, 0);
    assert_near(a.all.coco.ar100, 0);
    assert_near(a.one.voc_ap, 0);
    assert_near(a.one.coco.ap_small, -1);
    assert_int_equal(a.one.point.fn, 1);
    // Detections and no object: there was nothing to find.
    const fm_ap_det det = DET(0, 0, 100, 0.5);
    a = evaluate(NULL, 0, &det, 1, -1);
    assert_near(a.all.coco.ap, -1);
    assert_int_equal(a.one.detections, 1);
}

// Overlap 0.8 is found at 0.50 .. 0.80: 7 of 10.
static void a_box_that_fits_at_some_overlaps(void **state)
{
    (void)state;
    const fm_ap_gt gt = GT(0, 0, 100);
    const fm_ap_det det = DET(0, 0, 80, 0.5);
    answer a = evaluate(&gt, 1, &det, 1, -1);
    assert_near(a.one.coco.ap50, 1);
    assert_near(a.one.coco.ap75, 1);
    assert_near(a.one.coco.ap, 0.7);
    assert_near(a.one.coco.ar1, 0.7);
    assert_near(a.one.coco.ap_large, 0.7); // 10,000 pixels
    assert_near(a.one.coco.ap_medium, -1);
    assert_near(a.one.voc_ap, 1);
    const fm_ap_det half = DET(0, 0, 50, 0.5); // 0.5 itself reaches 0.50
    a = evaluate(&gt, 1, &half, 1, -1);
    assert_near(a.one.coco.ap, 0.1);
    assert_near(a.one.voc_ap, 1);
}

// Right, wrong, right, of two objects: precision 1 up to recall 0.5 (51 of 101 steps), then 2/3.
static void a_curve(void **state)
{
    (void)state;
    const fm_ap_gt gts[] = {GT(0, 0, 100), GT(1, 0, 100)};
    const fm_ap_det dets[] = {DET(1, 0, 100, 0.7), DET(0, 500, 100, 0.8), DET(0, 0, 100, 0.9)};
    answer a = evaluate(gts, 2, dets, 3, -1);
    assert_near(a.one.coco.ap50, (51 + 50 * 2 / 3.0) / 101);
    assert_near(a.one.voc_ap, 0.5 + 0.5 * 2 / 3);
    assert_near(a.one.curve[50], 1);
    assert_near(a.one.curve[51], 2 / 3.0);
    assert_near(a.one.point.conf, 0.7); // F1 4/5, against 2/3 at 0.9
    assert_near(a.one.point.f1, 0.8);
    a = evaluate(gts, 2, dets, 3, 0.75);
    assert_int_equal(a.one.point.tp, 1);
    assert_int_equal(a.one.point.fp, 1);
    assert_int_equal(a.all.point.fn, 1);
    assert_near(a.one.point.precision, 0.5);
    a = evaluate(gts, 2, dets, 3, 0.95);
    assert_int_equal(a.one.point.tp + a.one.point.fp, 0);
}

static void a_second_box_on_an_object_is_wrong(void **state)
{
    (void)state;
    const fm_ap_gt gt = GT(0, 0, 100);
    const fm_ap_det dets[] = {DET(0, 0, 100, 0.5), DET(0, 0, 100, 0.9)};
    answer a = evaluate(&gt, 1, dets, 2, 0);
    assert_int_equal(a.one.point.tp, 1);
    assert_int_equal(a.one.point.fp, 1);
    assert_near(a.one.coco.ap, 1); // it comes after the right one
}

// A crowd takes any number, by the share of the detection that is inside; one ignored object takes one.
static void crowds_and_ignored_objects(void **state)
{
    (void)state;
    const fm_ap_gt crowd[] = {GT(0, 0, 1000, .crowd = true), GT(1, 0, 100)};
    const fm_ap_det dets[] = {DET(0, 0, 100, 0.9), DET(0, 200, 100, 0.8), DET(0, 950, 100, 0.7),
        DET(1, 0, 100, 0.6), DET(0, 990, 100, 0.5)};
    answer a = evaluate(crowd, 2, dets, 5, 0);
    assert_int_equal(a.one.objects, 1);
    assert_int_equal(a.one.ignored, 1);
    assert_int_equal(a.one.point.tp, 1);
    assert_int_equal(a.one.point.fp, 1); // a tenth of it is inside
    assert_near(a.one.coco.ap50, 1);
    const fm_ap_gt ignored[] = {GT(0, 0, 100, .ignore = true)};
    const fm_ap_det two[] = {DET(0, 0, 100, 0.9), DET(0, 0, 100, 0.8)};
    a = evaluate(ignored, 1, two, 2, 0);
    assert_int_equal(a.one.point.fp, 1);
    assert_near(a.one.voc_ap, -1);
    // An object that must be found comes before one that need not, though that fits better.
    const fm_ap_gt both[] = {GT(0, 0, 100, .ignore = true), GT(0, 0, 90)};
    a = evaluate(both, 2, two, 1, 0);
    assert_int_equal(a.one.point.tp, 1);
}

static void a_hundred_boxes_of_a_picture_count(void **state)
{
    (void)state;
    fm_ap_det dets[101];
    const fm_ap_gt gt = GT(0, 0, 100);
    for (int i = 0; i < 101; i++)
        dets[i] = (fm_ap_det)DET(0, 1000 + i, 10, 0.5);
    dets[0] = (fm_ap_det)DET(0, 0, 100, 0.4); // the 101st by score
    answer a = evaluate(&gt, 1, dets, 101, 0);
    assert_int_equal(a.one.point.tp, 0);
    assert_near(a.one.coco.ar100, 0);
    assert_near(a.one.voc_ap, 1 / 101.0); // VOC has no such bound
    dets[0].score = 0.5;                  // of equal scores the first one given
    a = evaluate(&gt, 1, dets, 101, 0);
    assert_near(a.one.coco.ar1, 1);
    assert_int_equal(a.one.point.fp, 99);
}

// VOC: the object overlapped most decides, taken or difficult.
static void the_rules_of_voc(void **state)
{
    (void)state;
    const fm_ap_gt gts[] = {GT(0, 0, 100, .ignore = true), GT(0, 20, 100)};
    const fm_ap_det dets[] = {DET(0, 2, 100, 0.9), DET(0, 20, 100, 0.8), DET(0, 15, 100, 0.95)};
    answer a = evaluate(gts, 2, dets, 3, -1);
    assert_near(a.one.voc_ap, 1); // right, on the difficult one, a second on the other
    const fm_ap_gt twins[] = {GT(0, 0, 100), GT(0, 40, 100)};
    const fm_ap_det same[] = {DET(0, 10, 100, 0.9), DET(0, 15, 100, 0.8)}; // both nearest to the first
    a = evaluate(twins, 2, same, 2, -1);
    assert_near(a.one.voc_ap, 0.5);
    assert_near(a.one.coco.ap50, 1); // COCO gives the second one what is free: overlap 75/125
}

static void classes_with_few_objects_are_left_out_of_the_second_mean(void **state)
{
    (void)state;
    const fm_ap_gt gts[] = {GT(0, 0, 100), GT(0, 0, 100, .category = 1), GT(1, 0, 100, .category = 1)};
    const fm_ap_det dets[] = {DET(0, 0, 100, 0.9)};
    fm_ap_class classes[3] = {0}, all = {0}, large = {0};
    size_t count = 0;
    fm_error err = {0};
    const fm_ap_input in = {
        .gts = gts, .gt_count = 3, .dets = dets, .det_count = 1, .categories = 3, .min_objects = 2, .at = -1};
    assert_int_equal(fm__ap_evaluate(&in, classes, &all, &large, &count, &err), FM_OK);
    assert_near(all.coco.ap, 0.5); // the third class has no object
    assert_near(large.coco.ap, 0);
    assert_near(classes[2].coco.ap, -1);
    assert_int_equal(count, 1);
    assert_int_equal(large.objects, 2);
    assert_near(all.voc_ap, -1); // was not asked for
}

static void memory_that_runs_out(void **state)
{
    (void)state;
    const fm_ap_gt gt = GT(0, 0, 100);
    const fm_ap_det det = DET(0, 0, 80, 0.5);
    fm_ap_class one, all, large;
    size_t count = 0;
    fm_error err;
    const fm_ap_input in = {
        .gts = &gt, .gt_count = 1, .dets = &det, .det_count = 1, .categories = 1, .voc = true};
    fm_status st = FM_NOMEM;
    uint64_t n = 1;
    for (; n < 100 && st == FM_NOMEM; n++) {
        one = all = large = (fm_ap_class){0};
        fm__alloc_fail_at(n, false);
        st = fm__ap_evaluate(&in, &one, &all, &large, &count, &err);
        fm__alloc_fail_at(0, false);
    }
    assert_int_equal(st, FM_OK);
    assert_true(n > 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_at_all),
        cmocka_unit_test(a_box_that_fits_at_some_overlaps),
        cmocka_unit_test(a_curve),
        cmocka_unit_test(a_second_box_on_an_object_is_wrong),
        cmocka_unit_test(crowds_and_ignored_objects),
        cmocka_unit_test(a_hundred_boxes_of_a_picture_count),
        cmocka_unit_test(the_rules_of_voc),
        cmocka_unit_test(classes_with_few_objects_are_left_out_of_the_second_mean),
        cmocka_unit_test(memory_that_runs_out),
    };
    return cmocka_run_group_tests_name("track/ap", tests, NULL, NULL);
}
