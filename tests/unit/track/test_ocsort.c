// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Tracker "ocsort", one rule at a time, on scenes of a few boxes.

#include "../testing.h"
#include "rounds.h"

#include <math.h>

static const char type[] = "ocsort";

static void test_confirmed_after_n_init(void **state)
{
    (void)state;
    rounds *r = rounds_new(type, NULL);
    for (int i = 0; i < 5; i++)
        rounds_show(r); // the first frames are over, in which everything is confirmed
    assert_int_equal(rounds_stand(r, 100, 100, 2), 0);
    rounds_show(r); // a miss: counted anew
    assert_int_equal(rounds_stand(r, 100, 100, 1), 0);
    assert_int_equal(rounds_stand(r, 100, 100, 1), 1);
    rounds_show(r);
    assert_int_equal(rounds_stand(r, 100, 100, 1), 1); // an id once given is reported at once
    rounds_free(r);
}

static void test_first_frames_confirm(void **state)
{
    (void)state;
    rounds *r = rounds_new(type, NULL);
    assert_int_equal(rounds_stand(r, 100, 100, 1), 1);
    assert_int_equal(rounds_stand(r, 600, 100, 1), 2);
    assert_int_equal(rounds_stand(r, 100, 300, 1), 0);
    rounds_free(r);
}

static void strict(fm_tracker_opts *o)
{
    o->max_iou = 0.7F;
}

// Somebody who walked, stopped behind something and comes out of it there: the prediction has walked on.
static void test_recovery_at_the_last_observation(void **state)
{
    (void)state;
    rounds *r = rounds_new(type, strict);
    for (int i = 0; i < 10; i++) {
        rounds_put(r, 100 + 8 * (float)i, 100, 0.9F, 0);
        rounds_show(r);
    }
    for (int i = 0; i < 8; i++)
        rounds_show(r);
    rounds_put(r, 176, 100, 0.9F, 0);
    rounds_show(r);
    assert_int_equal(r->marks[0].id, 1);
    rounds_free(r);
}

// The same, and then stands: after re-update the filter believes that it walked slowly all along. Without it
// the velocity from before would carry the filtered box away.
static void test_re_update_forgets_what_was_believed(void **state)
{
    (void)state;
    rounds *r = rounds_new(type, strict);
    for (int i = 0; i < 10; i++) {
        rounds_put(r, 100 + 8 * (float)i, 100, 0.9F, 0);
        rounds_show(r);
    }
    for (int i = 0; i < 20; i++)
        rounds_show(r);
    rounds_put(r, 172, 100, 0.9F, 0);
    rounds_show(r);
    assert_int_equal(r->marks[0].id, 1);
    assert_true(fabsf(r->marks[0].filtered.x0 - 172) < 0.5F);
    rounds_show(r);
    rounds_put(r, 172, 100, 0.9F, 0);
    rounds_show(r);
    assert_int_equal(r->marks[0].id, 1);
    assert_true(fabsf(r->marks[0].filtered.x0 - 172) < 1);
    rounds_free(r);
}

static void no_momentum(fm_tracker_opts *o)
{
    o->momentum = 0;
}

static void much_momentum(fm_tracker_opts *o)
{
    o->momentum = 1;
}

// Two detections where one walker should be, one a little nearer to the prediction, the other on the way.
static int64_t of_the_one_on_the_way(void (*change)(fm_tracker_opts *o))
{
    rounds *r = rounds_new(type, change);
    for (int i = 0; i < 10; i++) {
        rounds_put(r, 100 + 8 * (float)i, 100, 0.9F, 0);
        rounds_show(r);
    }
    rounds_put(r, 176, 109, 0.9F, 0);
    rounds_put(r, 189, 100, 0.9F, 0);
    rounds_show(r);
    int64_t id = r->marks[1].id;
    rounds_free(r);
    return id;
}

static void test_momentum(void **state)
{
    (void)state;
    assert_int_equal(of_the_one_on_the_way(no_momentum), 0);
    assert_int_equal(of_the_one_on_the_way(much_momentum), 1);
}

static void weak(fm_tracker_opts *o)
{
    o->low = 0.1F;
}

static void test_weak_ones_are_an_option(void **state)
{
    (void)state;
    for (int with = 0; with < 2; with++) {
        rounds *r = rounds_new(type, with ? weak : NULL);
        rounds_stand(r, 100, 100, 5);
        rounds_put(r, 100, 100, 0.3F, 0);
        rounds_show(r);
        assert_int_equal(r->marks[0].id, with);
        rounds_free(r);
    }
}

static void test_classes_do_not_meet(void **state)
{
    (void)state;
    rounds *r = rounds_new(type, NULL);
    rounds_stand(r, 100, 100, 5);
    for (int i = 0; i < 3; i++) {
        rounds_put(r, 100, 100, 0.9F, 1);
        rounds_show(r);
    }
    assert_int_equal(r->marks[0].id, 2);
    rounds_free(r);
}

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
        cmocka_unit_test(test_confirmed_after_n_init),
        cmocka_unit_test(test_first_frames_confirm),
        cmocka_unit_test(test_recovery_at_the_last_observation),
        cmocka_unit_test(test_re_update_forgets_what_was_believed),
        cmocka_unit_test(test_momentum),
        cmocka_unit_test(test_weak_ones_are_an_option),
        cmocka_unit_test(test_classes_do_not_meet),
        cmocka_unit_test(test_crowds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
