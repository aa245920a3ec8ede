// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Frames that no model looks at: which ones they are, where their objects are then (the test source knows),
// that the results are the same to the byte however the work is spread, and that nothing is lost at any end.

#include "../testing.h"

#include "base/alloc.h"
#include "base/file.h"
#include "runner.h"
#include "stream/testsrc.h"

#include <math.h>

enum { FRAMES = 50, SHAPES = 4 };

typedef struct seen {
    fm_testsrc src;
    int frames, looks, objects, near, with_id, carried_with_id, wrong_flag;
    int every;
    size_t last_count; // of the last look
    fm_det last[64];
    int not_as_before; // carried objects that are not those of the last look
} seen;

static bool is_near(const seen *t, uint64_t frame, fm_box box)
{
    fm_det truth[64];
    size_t n = fm__testsrc_truth(&t->src, frame, truth);
    for (size_t i = 0; i < n; i++) {
        if (fabsf(truth[i].box.x0 - box.x0) <= 4 && fabsf(truth[i].box.y0 - box.y0) <= 4) {
            return true;
        }
    }
    return false;
}

static void look(const fm_result *r, void *opaque)
{
    seen *t = opaque;
    t->frames++;
    t->looks += !r->carried;
    t->wrong_flag += t->every > 0 && r->carried != (r->frame % (unsigned)t->every != 0);
    for (size_t i = 0; i < r->det_count; i++) {
        t->objects++;
        t->near += is_near(t, r->frame, r->dets[i].box);
        t->with_id += r->dets[i].track_id > 0;
        t->carried_with_id += r->carried && r->dets[i].track_id > 0;
    }
    if (!r->carried) {
        t->last_count = r->det_count;
        memcpy(t->last, r->dets, r->det_count * sizeof(*r->dets));
    } else {
        t->not_as_before +=
            r->det_count != t->last_count || memcmp(t->last, r->dets, r->det_count * sizeof(*r->dets)) != 0;
    }
}

static void prepare(runner *r, const char *tracker, int every, bool gate, const char *source)
{
    runner_init(r, "shapes:size=192x128", true);
    r->o.tracker = tracker;
    r->o.embedder = strcmp(tracker, "deepsort") == 0 ? "colors:size=16x32" : NULL;
    r->o.detect_every = every;
    r->o.motion_gate = gate;
    r->o.buffer_size = 5;
    runner_add(r, "%s", source);
}

static seen run(const char *tracker, int every, bool gate, const char *source)
{
    runner r;
    seen t = {.every = every};
    prepare(&r, tracker, every, gate, source);
    assert_int_equal(fm__testsrc_parse(r.urls[0], &t.src, NULL), FM_OK);
    r.o.on_result = look;
    r.o.opaque = &t;
    runner_start(&r);
    runner_wait(&r);
    size_t lines = 0;
    fm__free(runner_lines(&r, 0, true, &lines));
    assert_int_equal(lines, t.frames);
    assert_null(runner_report(&r, 0).error);
    runner_done(&r);
    return t;
}

static const char moving[] = "testsrc:192x128@25,frames=50,seed=3,shapes=4";
static const char still[] = "testsrc:192x128@25,frames=300,seed=3,shapes=0";
static const char *const trackers[] = {"deepsort", "bytetrack", "ocsort"};

static void each_nth_frame_is_looked_at(void **state)
{
    (void)state;
    for (int every = 2; every <= 16; every += 7) {
        for (size_t k = 0; k < COUNT_OF(trackers); k++) {
            seen t = run(trackers[k], every, false, moving);
            assert_int_equal(t.frames, FRAMES);
            assert_int_equal(t.looks, (FRAMES + every - 1) / every);
            assert_int_equal(t.wrong_flag, 0);
        }
    }
}

static void tracked_objects_are_where_they_are_between_two_looks(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT_OF(trackers); k++) {
        seen t = run(trackers[k], 3, false, moving);
        // The last look's objects stay where they were for the frames after it; shapes turn round at the
        // edges.
        assert_true(t.near >= t.objects * 95 / 100);
        assert_true(t.with_id >= FRAMES * SHAPES * 85 / 100);
        assert_true(t.carried_with_id >= FRAMES * 2 / 3 * SHAPES * 85 / 100);
    }
}

// With the look that confirms it a track has been there since the look before.
static void whoever_comes_in_is_known_from_the_first_look(void **state)
{
    (void)state;
    runner r;
    prepare(&r, "deepsort", 4, false, moving);
    runner_start(&r);
    runner_wait(&r);
    size_t count = 0;
    char *text = runner_lines(&r, 0, true, &count);
    char *second = strchr(text, '\n') + 1;
    *strchr(second, '\n') = 0;
    assert_non_null(strstr(second, "\"frame\":1"));
    assert_non_null(strstr(second, "\"carried\":true"));
    assert_non_null(strstr(second, "\"track_id\":3"));
    fm__free(text);
    runner_done(&r);
}

static void without_a_tracker_objects_are_those_of_the_last_look(void **state)
{
    (void)state;
    seen t = run("none", 4, false, moving);
    assert_int_equal(t.looks, (FRAMES + 3) / 4);
    assert_int_equal(t.not_as_before, 0);
    assert_true(t.objects >= FRAMES * (SHAPES - 1));
}

static void where_nothing_moves_nobody_looks(void **state)
{
    (void)state;
    seen t = run("deepsort", 0, true, still); // 12 s: the first frame, and the one after ten seconds
    assert_int_equal(t.looks, 2);
    t = run("deepsort", 0, false, still);
    assert_int_equal(t.looks, t.frames);
    t = run("none", -1, false, still); // once a second
    assert_int_equal(t.looks, 12);
    t = run("deepsort", 0, true, moving); // every frame has something new
    assert_true(t.looks >= FRAMES * 9 / 10);
}

static void auto_looks_more_often_where_something_moves(void **state)
{
    (void)state;
    seen t = run("deepsort", -1, true, moving);
    assert_true(t.looks >= FRAMES / 8 && t.looks <= FRAMES / 2);
    // The shapes turn round at the edges of their cells, which nobody sees between two looks.
    assert_true(t.near >= t.objects * 60 / 100);
}

static char *lines_of(const char *tracker, int every, bool gate, int batch, int workers, int streams)
{
    runner r;
    prepare(&r, tracker, every, gate, moving);
    r.o.batch = batch;
    r.o.workers = workers;
    for (int i = 1; i < streams; i++) {
        runner_add(&r, "testsrc:192x128@25,frames=50,seed=%d,shapes=4", i);
    }
    runner_start(&r);
    runner_wait(&r);
    size_t count = 0;
    char *text = runner_lines(&r, 0, true, &count);
    runner_done(&r);
    return text;
}

static void same_bytes_for_any_batch_slots_and_streams(void **state)
{
    (void)state;
    static const int spreads[][3] = {{1, 3, 1}, {4, 2, 1}, {3, 4, 3}};
    for (size_t k = 0; k < COUNT_OF(trackers); k++) {
        for (int every = -1; every <= 3; every += 4) {
            char *want = lines_of(trackers[k], every, true, 1, 1, 1);
            for (size_t i = 0; i < COUNT_OF(spreads); i++) {
                char *got = lines_of(trackers[k], every, true, spreads[i][0], spreads[i][1], spreads[i][2]);
                assert_string_equal(got, want);
                fm__free(got);
            }
            fm__free(want);
        }
    }
}

static void a_look_that_fails_costs_its_objects_only(void **state)
{
    (void)state;
    runner r;
    seen t = {.every = 3};
    prepare(&r, "bytetrack", 3, false, moving);
    snprintf(r.detector, sizeof(r.detector), "shapes:size=192x128:fail_every=4");
    assert_int_equal(fm__testsrc_parse(r.urls[0], &t.src, NULL), FM_OK);
    r.o.on_result = look;
    r.o.opaque = &t;
    runner_start(&r);
    runner_wait(&r);
    assert_int_equal(t.frames, FRAMES);
    assert_int_equal(t.wrong_flag, 0);
    assert_non_null(runner_report(&r, 0).error);
    runner_done(&r);
}

static void stops_lose_nothing_that_was_taken_up(void **state)
{
    (void)state;
    for (int drain = 0; drain < 2; drain++) {
        runner r;
        prepare(&r, "deepsort", 5, true, "testsrc:192x128@25,frames=100000,seed=3,shapes=4");
        runner_start(&r);
        runner_wait_results(&r, 20);
        fm_run_stop(r.run, drain);
        runner_wait(&r);
        size_t count = 0;
        fm__free(runner_lines(&r, 0, drain, &count));
        runner_done(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_nth_frame_is_looked_at),
        cmocka_unit_test(tracked_objects_are_where_they_are_between_two_looks),
        cmocka_unit_test(whoever_comes_in_is_known_from_the_first_look),
        cmocka_unit_test(without_a_tracker_objects_are_those_of_the_last_look),
        cmocka_unit_test(where_nothing_moves_nobody_looks),
        cmocka_unit_test(auto_looks_more_often_where_something_moves),
        cmocka_unit_test(same_bytes_for_any_batch_slots_and_streams),
        cmocka_unit_test(a_look_that_fails_costs_its_objects_only),
        cmocka_unit_test(stops_lose_nothing_that_was_taken_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
