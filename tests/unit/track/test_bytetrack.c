// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Tracker "bytetrack", one rule at a time, on scenes of a few boxes.

#include "../testing.h"
#include "rounds.h"

static const char type[] = "bytetrack";

static void test_strong_begin_and_weak_carry_on(void **state)
{
    (void)state;
    rounds *r = rounds_new(type, NULL);
    rounds_put(r, 100, 100, 0.65F, 0); // strong, but not by the margin
    rounds_show(r);
    assert_int_equal(fm__tracker_count(r->t), 0);
    rounds_put(r, 100, 100, 0.9F, 0);
    rounds_show(r);
    assert_int_equal(fm__tracker_count(r->t), 1);
    assert_int_equal(r->marks[0].id, 0); // the second match confirms
    rounds_put(r, 102, 100, 0.9F, 0);
    rounds_show(r);
    assert_int_equal(r->marks[0].id, 1);
    for (int i = 0; i < 5; i++) {
        rounds_put(r, 104 + 2 * (float)i, 100, 0.2F, 0);
        rounds_show(r);
        assert_int_equal(r->marks[0].id, 1);
    }
    rounds_put(r, 114, 100, 0.05F, 0); // weaker than low
    rounds_show(r);
    assert_int_equal(r->marks[0].id, 0);
    rounds_free(r);
}

static void test_first_frame_confirms(void **state)
{
    (void)state;
    rounds *r = rounds_new(type, NULL);
    rounds_put(r, 100, 100, 0.9F, 0);
    rounds_show(r);
    assert_int_equal(r->marks[0].id, 1);
    rounds_free(r);
}

// A lost track takes strong detections only.
static void test_weak_do_not_find_the_lost(void **state)
{
    (void)state;
    rounds *r = rounds_new(type, NULL);
    rounds_stand(r, 100, 100, 5);
    rounds_show(r);
    rounds_put(r, 100, 100, 0.3F, 0);
    rounds_show(r);
    assert_int_equal(r->marks[0].id, 0);
    assert_int_equal(rounds_stand(r, 100, 100, 1), 1);
    rounds_free(r);
}

static void short_lives(fm_tracker_opts *o)
{
    o->max_age = 10;
}

static void test_lost_for_max_age(void **state)
{
    (void)state;
    for (int missed = 9; missed < 12; missed++) {
        rounds *r = rounds_new(type, short_lives);
        rounds_stand(r, 100, 100, 5);
        for (int i = 0; i < missed; i++)
            rounds_show(r);
        assert_int_equal(fm__tracker_count(r->t), missed <= 10);
        assert_int_equal(rounds_stand(r, 100, 100, 2), missed <= 10 ? 1 : 2);
        rounds_free(r);
    }
}

static void test_dropped_frames_age(void **state)
{
    (void)state;
    rounds *r = rounds_new(type, short_lives);
    rounds_stand(r, 100, 100, 5);
    r->frame += 11;
    assert_int_equal(rounds_stand(r, 100, 100, 2), 2);
    rounds_free(r);
}

static void test_classes_do_not_meet(void **state)
{
    (void)state;
    rounds *r = rounds_new(type, NULL);
    rounds_stand(r, 100, 100, 5);
    for (int i = 0; i < 2; i++) {
        rounds_put(r, 100, 100, 0.9F, 1);
        rounds_show(r);
    }
    assert_int_equal(r->marks[0].id, 2);
    rounds_free(r);
}

// A track that was lost under a younger one that has taken its place, box for box.
static void test_doubles_end(void **state)
{
    (void)state;
    rounds *r = rounds_new(type, NULL);
    rounds_stand(r, 100, 100, 5);
    for (int i = 0; i < 3; i++) { // two boxes on one person: the second begins a track of its own
        rounds_put(r, 100, 100, 0.9F, 0);
        rounds_put(r, 101, 100, 0.8F, 0);
        rounds_show(r);
    }
    assert_int_equal(fm__tracker_count(r->t), 2);
    assert_int_equal(rounds_stand(r, 100, 100, 1), 1);
    assert_int_equal(fm__tracker_count(r->t), 1);
    rounds_free(r);
}

static void by_score(fm_tracker_opts *o)
{
    o->fuse_score = true;
    o->max_iou = 0.5F;
}

static void test_score_weighs(void **state)
{
    (void)state;
    rounds *r = rounds_new(type, by_score);
    rounds_stand(r, 100, 100, 5);
    rounds_put(r, 108, 100, 0.55F, 0); // overlap 0.67: times the score too little
    rounds_show(r);
    assert_int_equal(r->marks[0].id, 0);
    rounds_put(r, 108, 100, 0.95F, 0);
    rounds_show(r);
    assert_int_equal(r->marks[0].id, 1);
    rounds_free(r);
}

// Thousands of boxes on one spot, and many apart: bounded work, and nobody twice.
static void test_crowds(void **state)
{
    (void)state;
    rounds *r = rounds_new(type, NULL);
    rounds_pile(r, 3000);
    rounds_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strong_begin_and_weak_carry_on),
        cmocka_unit_test(test_first_frame_confirms),
        cmocka_unit_test(test_weak_do_not_find_the_lost),
        cmocka_unit_test(test_lost_for_max_age),
        cmocka_unit_test(test_dropped_frames_age),
        cmocka_unit_test(test_classes_do_not_meet),
        cmocka_unit_test(test_doubles_end),
        cmocka_unit_test(test_score_weighs),
        cmocka_unit_test(test_crowds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
