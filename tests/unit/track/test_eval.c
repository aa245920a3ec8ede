// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The metrics by hand: sequences so small that every number can be counted on a finger. The reference
// programs have their say in tests/reference/compare_eval.py.

#include "../testing.h"
#include "track/eval.h"

#include "base/alloc.h"

#include <math.h>

#define NEAR 1e-12

static fm_mot parse(const char *text)
{
    fm_mot m = {0};
    fm_error err = {0};
    if (fm__mot_parse(text, strlen(text), "t.txt", &m, &err) != FM_OK)
        fail_msg("'%s': %s", text, err.msg);
    return m;
}

static fm_status try_count(
    const char *gt, const char *result, const fm_track_eval_opts *opts, fm_eval_sums *out, fm_error *err)
{
    fm_mot g = parse(gt), r = parse(result);
    fm_status st = fm__eval_sequence(&g, "gt.txt", &r, "r.txt", opts, out, err);
    fm__mot_done(&g);
    fm__mot_done(&r);
    return st;
}

static fm_eval_sums count(const char *gt, const char *result, fm_eval_rules rules, fm_eval_format format)
{
    fm_eval_sums sums = {0};
    fm_error err = {0};
    fm_track_eval_opts opts = {.iou = 0.5, .rules = rules, .format = format};
    if (try_count(gt, result, &opts, &sums, &err) != FM_OK)
        fail_msg("%s", err.msg);
    return sums;
}

static fm_eval_metrics measure(const char *gt, const char *result, fm_eval_rules rules)
{
    fm_eval_metrics m;
    fm_eval_sums s = count(gt, result, rules, FM_EVAL_AUTO);
    fm__eval_metrics(&s, &m);
    return m;
}

static void assert_near(double a, double b)
{
    if (!(fabs(a - b) <= NEAR))
        fail_msg("%.17g is not %.17g", a, b);
}

// One object over four frames; its track changes id after two.
#define OBJECT_4 "1,1,0,0,10,10,1\n2,1,0,0,10,10,1\n3,1,0,0,10,10,1\n4,1,0,0,10,10,1\n"
#define TWO_HALVES "1,5,0,0,10,10,1\n2,5,0,0,10,10,1\n3,6,0,0,10,10,1\n4,6,0,0,10,10,1\n"

static void a_perfect_result(void **state)
{
    (void)state;
    fm_eval_metrics m = measure(OBJECT_4, OBJECT_4, FM_EVAL_TRACKEVAL);
    const double ones[] = {m.mota, m.motp, m.recall, m.precision, m.idf1, m.idp, m.idr, m.hota, m.deta,
        m.assa, m.loca, m.detre, m.detpr, m.assre, m.asspr};
    for (size_t i = 0; i < COUNT_OF(ones); i++)
        assert_near(ones[i], 1);
    assert_int_equal(m.tp, 4);
    assert_int_equal(m.fp + m.fn + m.switches + m.frag + m.pt + m.ml, 0);
    assert_int_equal(m.mt, 1);
    assert_int_equal(m.frames, 4);
}

static void an_id_that_changes(void **state)
{
    (void)state;
    for (int rules = 0; rules < 2; rules++) {
        fm_eval_metrics m = measure(OBJECT_4, TWO_HALVES, (fm_eval_rules)rules);
        assert_int_equal(m.switches, 1);
        assert_int_equal(m.frag, 0);
        assert_near(m.mota, 0.75);
        assert_int_equal(m.idtp, 2); // one of the halves
        assert_near(m.idf1, 0.5);
        // Each half: 2 together, of 4 and 2 boxes, united 4: 0.5 for each of four boxes.
        assert_near(m.assa, 0.5);
        assert_near(m.assre, 0.5);
        assert_near(m.asspr, 1);
        assert_near(m.deta, 1);
        assert_near(m.hota, sqrt(0.5));
        assert_int_equal(m.tracks, 2);
    }
}

static void overlap_decides_at_its_threshold(void **state)
{
    (void)state;
    // 12x10 moved by 4: 80 of 160, just 0.5; 10x10 moved by 5: 50 of 150, a third.
    const char *gt = "1,1,0,0,12,10,1\n2,1,0,0,10,10,1\n", *result = "1,1,4,0,12,10,1\n2,1,5,0,10,10,1\n";
    fm_eval_metrics m = measure(gt, result, FM_EVAL_TRACKEVAL);
    assert_int_equal(m.tp, 1);
    assert_near(m.motp, 0.5);
    assert_int_equal(m.idtp, 1);
    // HOTA: both up to 0.30, one up to 0.50, none after.
    assert_near(m.deta_at[5], 1);
    assert_near(m.deta_at[6], 1.0 / 3);
    assert_near(m.deta_at[9], 1.0 / 3);
    assert_near(m.deta_at[10], 0);
    assert_near(m.loca_at[5], (0.5 + 1.0 / 3) / 2);
    assert_near(m.loca_at[10], 1);
    fm_eval_sums s = {0};
    fm_track_eval_opts low = {.iou = 0.3};
    assert_int_equal(try_count(gt, result, &low, &s, NULL), FM_OK);
    assert_int_equal(s.tp, 2);
    assert_int_equal(s.idtp, 2);
}

static void what_was_kept_goes_before_what_fits_better(void **state)
{
    (void)state;
    // Track 5 has the object; in frame 2 a new track 6 lies on it exactly, 5 a little off.
    const char *gt = "1,1,0,0,10,10,1\n2,1,0,0,10,10,1\n";
    const char *result = "1,5,0,0,10,10,1\n2,6,0,0,10,10,1\n2,5,1,0,10,10,1\n";
    for (int rules = 0; rules < 2; rules++) {
        fm_eval_metrics m = measure(gt, result, (fm_eval_rules)rules);
        assert_int_equal(m.switches, 0);
        assert_int_equal(m.tp, 2);
        assert_int_equal(m.fp, 1);
        assert_near(m.motp, (1 + 90.0 / 110) / 2);
    }
}

static void the_two_rules_differ_where_the_programs_do(void **state)
{
    (void)state;
    // The object is missed in frame 2, while another is there; in frame 3 its old track lies a little off, a
    // new one on it. TrackEval has forgotten the old one, py-motmetrics keeps it.
    const char *gt = "1,1,0,0,10,10,1\n2,1,0,0,10,10,1\n3,1,0,0,10,10,1\n2,2,100,0,10,10,1\n";
    const char *result = "1,5,0,0,10,10,1\n2,9,100,0,10,10,1\n3,6,0,0,10,10,1\n3,5,1,0,10,10,1\n";
    fm_eval_metrics t = measure(gt, result, FM_EVAL_TRACKEVAL), m = measure(gt, result, FM_EVAL_MOTMETRICS);
    assert_int_equal(t.switches, 1);
    assert_int_equal(m.switches, 0);
    assert_int_equal(t.frag, 1);
    assert_int_equal(m.frag, 1);
    // Absent from a frame of ground truth is a fragment to TrackEval only.
    const char *away = "1,1,0,0,10,10,1\n2,2,100,0,10,10,1\n3,1,0,0,10,10,1\n";
    assert_int_equal(measure(away, away, FM_EVAL_TRACKEVAL).frag, 1);
    assert_int_equal(measure(away, away, FM_EVAL_MOTMETRICS).frag, 0);
    // Four of five: 0.8 exactly.
    const char *five = "1,1,0,0,9,9,1\n2,1,0,0,9,9,1\n3,1,0,0,9,9,1\n4,1,0,0,9,9,1\n5,1,0,0,9,9,1\n";
    const char *four = "1,1,0,0,9,9,1\n2,1,0,0,9,9,1\n3,1,0,0,9,9,1\n4,1,0,0,9,9,1\n";
    assert_int_equal(measure(five, four, FM_EVAL_TRACKEVAL).pt, 1);
    assert_int_equal(measure(five, four, FM_EVAL_MOTMETRICS).mt, 1);
}

static void as_many_as_possible_or_the_largest_overlap(void **state)
{
    (void)state;
    // A chain of boxes 100 wide at steps of 33 pixels (0.504): two pairs that are the same, or three one step
    // apart.
    const char *gt = "1,1,0,0,100,10,1\n1,2,33,0,100,10,1\n1,3,66,0,100,10,1\n";
    const char *result = "1,1,33,0,100,10,1\n1,2,66,0,100,10,1\n1,3,99,0,100,10,1\n";
    assert_int_equal(measure(gt, result, FM_EVAL_TRACKEVAL).tp, 2);
    assert_int_equal(measure(gt, result, FM_EVAL_MOTMETRICS).tp, 3);
}

static void flagged_boxes_do_not_count(void **state)
{
    (void)state;
    // MOT15: the flagged object is out, what lies on it is a false positive.
    fm_eval_metrics m = measure(
        "1,1,0,0,10,10,0\n1,2,50,0,10,10,1\n", "1,1,0,0,10,10,1\n1,2,50,0,10,10,1\n", FM_EVAL_TRACKEVAL);
    assert_int_equal(m.gt_boxes, 1);
    assert_int_equal(m.gt_tracks, 1);
    assert_int_equal(m.tp, 1);
    assert_int_equal(m.fp, 1);
}

// Pedestrian, car, static person, flagged pedestrian, one box of the result on each.
#define CLASSES                                                                                              \
    "1,1,0,0,10,10,1,1,1\n1,2,50,0,10,10,1,3,1\n1,3,100,0,10,10,1,7,1\n1,4,150,0,10,10,0,1,1\n"              \
    "1,5,200,0,10,10,1,6,1\n"
#define ON_EACH "1,1,0,0,10,10,1\n1,2,50,0,10,10,1\n1,3,100,0,10,10,1\n1,4,150,0,10,10,1\n1,5,200,0,10,10,1\n"

static void distractors_excuse(void **state)
{
    (void)state;
    fm_eval_sums s = count(CLASSES, ON_EACH, FM_EVAL_TRACKEVAL, FM_EVAL_AUTO);
    assert_int_equal(s.gt_boxes, 1);
    assert_int_equal(s.boxes, 4); // the static person's is excused
    assert_int_equal(s.tp, 1);
    assert_int_equal(s.fp, 3);
    s = count(CLASSES, ON_EACH, FM_EVAL_TRACKEVAL, FM_EVAL_MOT20);
    assert_int_equal(s.boxes, 3); // the vehicle's, too
    s = count(CLASSES, ON_EACH, FM_EVAL_TRACKEVAL, FM_EVAL_MOT15);
    assert_int_equal(s.gt_boxes, 4);
    assert_int_equal(s.boxes, 5);
    // Nine columns that say nothing are no classes.
    s = count("1,1,0,0,10,10,1,-1,-1\n", "1,1,0,0,10,10,1\n", FM_EVAL_TRACKEVAL, FM_EVAL_AUTO);
    assert_int_equal(s.tp, 1);
}

static void errors_name_the_line(void **state)
{
    (void)state;
    static const struct {
        const char *gt, *result, *says;
        fm_eval_format format;
    } cases[] = {
        {OBJECT_4, "1,7,0,0,1,1,1\n1,7,5,5,1,1,1\n", "r.txt:2: id 7 is in frame 1 twice", 0},
        {OBJECT_4, "1,-1,0,0,1,1,1\n1,-1,5,5,1,1,1\n", "detections without ids", 0},
        {"1,7,0,0,1,1,0\n\n1,7,5,5,1,1,0\n", OBJECT_4, "gt.txt:3: id 7 is in frame 1 twice", 0},
        {"1,7,0,0,1,1,1,1,1\n1,8,5,5,1,1,1,14,1\n", OBJECT_4, "gt.txt:2: class 14", 0},
        {"1,7,0,0,1,1,1,1,1\n1,8,5,5,1,1,1,1.5,1\n", OBJECT_4, "gt.txt:2: class 1.5", 0},
        {OBJECT_4, OBJECT_4, "gt.txt:1: class -1", FM_EVAL_MOT17},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        fm_eval_sums s;
        fm_error err = {0};
        fm_track_eval_opts opts = {.iou = 0.5, .format = cases[i].format};
        assert_int_equal(try_count(cases[i].gt, cases[i].result, &opts, &s, &err), FM_FORMAT);
        if (!strstr(err.msg, cases[i].says))
            fail_msg("expected '%s': %s", cases[i].says, err.msg);
    }
}

static void nothing_on_a_side(void **state)
{
    (void)state;
    fm_eval_metrics m = measure(OBJECT_4, "", FM_EVAL_TRACKEVAL);
    assert_int_equal(m.fn, 4);
    assert_int_equal(m.ml, 1);
    assert_near(m.mota + m.motp + m.idf1 + m.hota + m.precision, 0);
    assert_near(m.loca, 1); // as TrackEval has it
    m = measure("", OBJECT_4, FM_EVAL_TRACKEVAL);
    assert_int_equal(m.fp, 4);
    assert_near(m.mota + m.hota, 0);
    m = measure("", "", FM_EVAL_TRACKEVAL);
    assert_int_equal(m.frames, 0);
    m = measure("1,1,5,5,0,0,1\n", "1,1,5,5,0,0,1\n", FM_EVAL_TRACKEVAL); // no area, no overlap
    assert_int_equal(m.tp, 0);
}

static void sequences_add_up(void **state)
{
    (void)state;
    fm_eval_sums all = {0}, a = count(OBJECT_4, OBJECT_4, 0, 0), b = count(OBJECT_4, TWO_HALVES, 0, 0),
                 c = count(OBJECT_4, "", 0, 0);
    fm__eval_add(&all, &a);
    fm__eval_add(&all, &b);
    fm__eval_add(&all, &c);
    fm_eval_metrics m;
    fm__eval_metrics(&all, &m);
    assert_int_equal(m.gt_boxes, 12);
    assert_int_equal(m.tracks, 3);
    assert_near(m.mota, 7.0 / 12);
    assert_near(m.idf1, 2 * 6.0 / 20);
    assert_near(m.assa, (4 * 1 + 4 * 0.5) / 8);
    assert_near(m.deta, 8.0 / 12);
    assert_near(m.hota, sqrt(0.75 * 8 / 12));
}

static void identity_is_the_best_of_all_assignments(void **state)
{
    (void)state;
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    uint64_t seed = 11;
    for (int round = 0; round < 300; round++) {
        char gt[4096] = "", result[4096] = "";
        int together[3][3] = {{0}}, best = 0;
        for (int f = 1; f <= 6; f++) {
            int at[3] = {0, 1, 2};
            for (int i = 2; i > 0; i--) {
                int k = rnd_below(&seed, i + 1), t = at[i];
                at[i] = at[k];
                at[k] = t;
            }
            for (int i = 0; i < 3; i++) {
                sprintf(gt + strlen(gt), "%d,%d,%d,0,10,10,1\n", f, i + 1, i * 100);
                if (rnd_below(&seed, 4) == 0)
                    continue;
                sprintf(result + strlen(result), "%d,%d,%d,0,10,10,1\n", f, at[i] + 1, i * 100);
                together[i][at[i]]++;
            }
        }
        for (int o = 0; o < 6; o++) {
            int sum = 0;
            for (int i = 0; i < 3; i++)
                sum += together[i][orders[o][i]];
            best = sum > best ? sum : best;
        }
        assert_int_equal(measure(gt, result, FM_EVAL_TRACKEVAL).idtp, best);
    }
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    fm_mot g = parse(CLASSES), r = parse(ON_EACH);
    for (uint64_t nth = 1;; nth++) {
        fm_eval_sums s;
        fm_error err = {0};
        fm_track_eval_opts opts = {.iou = 0.5};
        fm__alloc_fail_at(nth, false);
        fm_status st = fm__eval_sequence(&g, "g", &r, "r", &opts, &s, &err);
        fm__alloc_fail_at(0, false);
        if (st == FM_OK) {
            assert_true(nth > 20);
            break;
        }
        assert_int_equal(st, FM_NOMEM);
    }
    fm__mot_done(&g);
    fm__mot_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_perfect_result),
        cmocka_unit_test(an_id_that_changes),
        cmocka_unit_test(overlap_decides_at_its_threshold),
        cmocka_unit_test(what_was_kept_goes_before_what_fits_better),
        cmocka_unit_test(the_two_rules_differ_where_the_programs_do),
        cmocka_unit_test(as_many_as_possible_or_the_largest_overlap),
        cmocka_unit_test(flagged_boxes_do_not_count),
        cmocka_unit_test(distractors_excuse),
        cmocka_unit_test(errors_name_the_line),
        cmocka_unit_test(nothing_on_a_side),
        cmocka_unit_test(sequences_add_up),
        cmocka_unit_test(identity_is_the_best_of_all_assignments),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
