// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Tracker "deepsort", one rule at a time, on scenes of a few boxes whose looks are unit vectors along an
// axis.

#include "../testing.h"
#include "scene.h"
#include "track/tracker.h"

#include <math.h>

enum { W = 1000, H = 600, DIM = 16, MOST = 16 };

typedef struct stage {
    fm_tracker_opts o;
    fm_tracker *t;
    uint64_t frame;
    fm_det dets[MOST];
    float looks[MOST][DIM];
    size_t n;
    uint8_t wants[MOST];
    size_t asked;
    fm_track_mark marks[MOST];
} stage;

static stage *open_stage(void (*change)(fm_tracker_opts *o))
{
    stage *s = calloc(1, sizeof *s);
    assert_non_null(s);
    assert_int_equal(fm__tracker_opts_init(&s->o, "deepsort", NULL), FM_OK);
    s->o.dim = DIM;
    scene_paper(&s->o);
    s->o.high = 0.5F;
    if (change != NULL)
        change(&s->o);
    fm_error err = {0};
    if (fm__tracker_new(&s->o, &s->t, &err) != FM_OK)
        fail_msg("%s", err.msg);
    return s;
}

static void close_stage(stage *s)
{
    fm__tracker_free(&s->t);
    free(s);
}

static void put(stage *s, float x, float y, int look, float score, int class_id)
{
    s->dets[s->n] = (fm_det){.box = {x, y, x + 40, y + 100}, .score = score, .class_id = class_id};
    memset(s->looks[s->n], 0, sizeof s->looks[0]);
    s->looks[s->n++][look] = 1;
}

static void show(stage *s)
{
    const float *features[MOST];
    fm_error err = {0};
    if (fm__tracker_begin(s->t, s->frame++, W, H, s->dets, s->n, s->wants, &s->asked, &err) != FM_OK)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < s->n; i++)
        features[i] = s->wants[i] ? s->looks[i] : NULL;
    assert_int_equal(fm__tracker_finish(s->t, features, s->marks, &err), FM_OK);
    s->n = 0;
}

// Somebody stands still for some frames; the id at the end.
static int64_t stand(stage *s, float x, float y, int look, int frames)
{
    for (int i = 0; i < frames; i++) {
        put(s, x, y, look, 0.9F, 0);
        show(s);
    }
    return s->marks[0].id;
}

static void nobody(stage *s, int frames)
{
    for (int i = 0; i < frames; i++)
        show(s);
}

static void test_confirmed_after_n_init(void **state)
{
    (void)state;
    stage *s = open_stage(NULL);
    assert_int_equal(stand(s, 100, 100, 0, 2), 0);
    assert_int_equal(stand(s, 100, 100, 0, 1), 1);
    assert_true(s->marks[0].filtered.x0 > 99 && s->marks[0].filtered.x1 < 141);
    assert_int_equal(stand(s, 100, 100, 0, 20), 1);
    close_stage(s);
}

static void test_tentative_ends_with_a_miss(void **state)
{
    (void)state;
    stage *s = open_stage(NULL);
    stand(s, 100, 100, 0, 2);
    nobody(s, 1);
    assert_int_equal(fm__tracker_count(s->t), 0);
    assert_int_equal(stand(s, 100, 100, 0, 2), 0);
    assert_int_equal(stand(s, 100, 100, 0, 1), 1); // ids have no holes
    close_stage(s);
}

static void test_ends_after_max_age(void **state)
{
    (void)state;
    stage *s = open_stage(NULL);
    stand(s, 100, 100, 0, 5);
    nobody(s, 30);
    assert_int_equal(fm__tracker_count(s->t), 1);
    nobody(s, 1);
    assert_int_equal(fm__tracker_count(s->t), 0);
    assert_int_equal(stand(s, 100, 100, 0, 3), 2);
    close_stage(s);
}

static void test_lost_is_found_by_look(void **state)
{
    (void)state;
    for (int missing = 1; missing < 30; missing++) {
        stage *s = open_stage(NULL);
        stand(s, 100, 100, 0, 10);
        nobody(s, missing);
        assert_int_equal(stand(s, 110, 100, 0, 1), 1);
        close_stage(s);
    }
    stage *s = open_stage(NULL); // somebody else at the same place is somebody else
    stand(s, 100, 100, 0, 10);
    nobody(s, 10);
    assert_int_equal(stand(s, 110, 100, 1, 3), 2);
    close_stage(s);
}

static void test_gate(void **state)
{
    (void)state;
    stage *s = open_stage(NULL);
    stand(s, 100, 100, 0, 10);
    assert_int_equal(stand(s, 800, 100, 0, 3), 2); // looks the same, but nobody jumps so far
    close_stage(s);
}

// Two change places behind a pillar: looks tell them apart.
static void test_swapped(void **state)
{
    (void)state;
    stage *s = open_stage(NULL);
    for (int i = 0; i < 10; i++) {
        put(s, 100, 100, 0, 0.9F, 0);
        put(s, 160, 100, 1, 0.9F, 0);
        show(s);
    }
    int64_t first = s->marks[0].id, second = s->marks[1].id;
    assert_true(first > 0 && second > 0 && first != second);
    nobody(s, 15);
    put(s, 160, 100, 0, 0.9F, 0);
    put(s, 100, 100, 1, 0.9F, 0);
    show(s);
    assert_int_equal(s->marks[0].id, first);
    assert_int_equal(s->marks[1].id, second);
    close_stage(s);
}

static void test_classes_do_not_mix(void **state)
{
    (void)state;
    stage *s = open_stage(NULL);
    for (int i = 0; i < 5; i++) {
        put(s, 100, 100, 0, 0.9F, 0);
        put(s, 100, 100, 0, 0.9F, 7);
        show(s);
    }
    int64_t person = s->marks[0].id, dog = s->marks[1].id;
    assert_true(person > 0 && dog > 0 && person != dog);
    put(s, 100, 100, 0, 0.9F, 7);
    show(s);
    assert_int_equal(s->marks[0].id, dog);
    close_stage(s);
}

static void low(fm_tracker_opts *o)
{
    o->low = 0.1F;
}

static void test_weak_detection(void **state)
{
    (void)state;
    stage *s = open_stage(low);
    for (int i = 0; i < 5; i++) { // alone, it begins nothing
        put(s, 100, 100, 0, 0.3F, 0);
        show(s);
    }
    assert_int_equal(fm__tracker_count(s->t), 0);
    stand(s, 100, 100, 0, 5);
    for (int i = 0; i < 40; i++) { // it carries a track on, unasked
        put(s, 104, 100, 0, 0.3F, 0);
        show(s);
        assert_int_equal(s->asked, 0);
        assert_int_equal(s->marks[0].id, 1);
    }
    put(s, 104, 100, 0, 0.05F, 0); // below low
    show(s);
    assert_int_equal(s->marks[0].id, 0);
    close_stage(s);
}

static void confirm(fm_tracker_opts *o)
{
    o->confirm_score = 0.8F;
}

static void test_confirmed_by_score(void **state)
{
    (void)state;
    stage *s = open_stage(confirm);
    put(s, 100, 100, 0, 0.85F, 0);
    put(s, 300, 100, 1, 0.75F, 0);
    show(s);
    assert_int_equal(s->marks[0].id, 1);
    assert_int_equal(s->marks[1].id, 0);
    close_stage(s);
}

static void reentry(fm_tracker_opts *o)
{
    o->reentry_count = 2;
    o->reentry_age = 200;
}

static void test_reentry(void **state)
{
    (void)state;
    stage *s = open_stage(reentry);
    stand(s, 100, 100, 0, 5);
    nobody(s, 100);
    assert_int_equal(fm__tracker_count(s->t), 0);
    assert_int_equal(stand(s, 700, 300, 0, 2), 0);
    assert_int_equal(stand(s, 700, 300, 0, 1), 1); // elsewhere, long after
    nobody(s, 300);
    assert_int_equal(stand(s, 100, 100, 0, 3), 2); // too long after
    nobody(s, 40);
    stand(s, 100, 100, 3, 3); // id 3
    nobody(s, 40);
    stand(s, 100, 100, 4, 3); // id 4
    nobody(s, 40);
    assert_int_equal(stand(s, 100, 100, 0, 3), 5); // 2 was pushed out by 3 and 4
    assert_int_equal(stand(s, 500, 100, 3, 3), 3);
    close_stage(s);
}

static void both_cues(fm_tracker_opts *o)
{
    o->overlap_weight = 0.3F;
    o->max_cosine_near = 0.35F;
    o->max_iou = 0;
}

// Looks somewhat like another: cosine 0.7.
static void put_half_like(stage *s, float x, float y, int look)
{
    put(s, x, y, look, 0.9F, 0);
    s->looks[s->n - 1][look] = 0.7F;
    s->looks[s->n - 1][DIM - 1] = sqrtf(1 - 0.49F);
}

static void test_overlap_forgives_a_changed_look(void **state)
{
    (void)state;
    stage *s = open_stage(both_cues);
    stand(s, 100, 100, 0, 5);
    put_half_like(s, 104, 100, 0);
    show(s);
    assert_int_equal(s->marks[0].id, 1);
    put(s, 104, 100, 5, 0.9F, 0); // somebody else in that place
    show(s);
    assert_int_equal(s->marks[0].id, 0);
    close_stage(s);
}

// Two that look alike and stand side by side keep their ids where the looks alone would exchange them.
static void test_overlap_decides_between_twins(void **state)
{
    (void)state;
    for (int both = 0; both < 2; both++) {
        stage *s = open_stage(both ? both_cues : NULL);
        for (int i = 0; i < 6; i++) {
            put(s, 100, 100, 0, 0.9F, 0);
            put(s, 125, 100, 0, 0.9F, 0);
            // The right one's look changes a little, to something that the left one's is nearer to.
            s->looks[1][0] = 0.995F;
            s->looks[1][1] = 0.1F;
            if (i == 5) {
                memcpy(s->looks[0], s->looks[1], sizeof s->looks[0]);
                memset(s->looks[1], 0, sizeof s->looks[1]);
                s->looks[1][0] = 1;
            }
            show(s);
        }
        assert_int_equal(s->marks[0].id, both ? 1 : 2);
        assert_int_equal(s->marks[1].id, both ? 2 : 1);
        close_stage(s);
    }
}

static void margin(fm_tracker_opts *o)
{
    o->begin_margin = 0.2F;
}

static void test_begin_margin(void **state)
{
    (void)state;
    stage *s = open_stage(margin);
    put(s, 100, 100, 0, 0.65F, 0);
    show(s);
    assert_int_equal(fm__tracker_count(s->t), 0);
    put(s, 100, 100, 0, 0.75F, 0);
    show(s);
    for (int i = 0; i < 3; i++) { // what continues it may be weaker
        put(s, 100, 100, 0, 0.55F, 0);
        show(s);
    }
    assert_int_equal(s->marks[0].id, 1);
    close_stage(s);
}

static void two(fm_tracker_opts *o)
{
    o->max_tracks = 2;
}

static void test_max_tracks(void **state)
{
    (void)state;
    stage *s = open_stage(two);
    for (int i = 0; i < 5; i++) {
        for (int k = 0; k < 5; k++)
            put(s, (float)k * 150, 100, k, 0.9F, 0);
        show(s);
        assert_int_equal(fm__tracker_count(s->t), 2);
    }
    assert_true(s->marks[0].id > 0 && s->marks[1].id > 0 && s->marks[2].id == 0);
    close_stage(s);
}

// A feature whose inference failed, or that is no direction at all: overlap decides.
static void test_features_missing(void **state)
{
    (void)state;
    stage *s = open_stage(NULL);
    for (int i = 0; i < 20; i++) {
        put(s, 100, 100, 0, 0.9F, 0);
        if (i % 3 == 0)
            memset(s->looks[0], 0, sizeof s->looks[0]);
        show(s);
    }
    assert_int_equal(s->marks[0].id, 1);
    close_stage(s);
}

static void wide(fm_tracker_opts *o)
{
    o->overlap_age = 5;
}

// A look that changed while nobody looked: overlap finds him if he was not away for long.
static void test_overlap_age(void **state)
{
    (void)state;
    for (int away = 0; away < 8; away++) {
        stage *s = open_stage(wide);
        stand(s, 100, 100, 0, 5);
        nobody(s, away);
        assert_int_equal(stand(s, 100, 100, 1, 1), away < 5 ? 1 : 0);
        close_stage(s);
    }
}

static void beside(fm_tracker_opts *o)
{
    o->overlap_weight = 0.8F;
    o->max_cosine = 0.9F;
}

// Two who look much alike: appearance alone would cross them, place keeps them apart.
static void test_overlap_weight(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        stage *s = open_stage(beside);
        if (i == 0) {
            fm__tracker_free(&s->t);
            s->o.overlap_weight = 0;
            assert_int_equal(fm__tracker_new(&s->o, &s->t, NULL), FM_OK);
        }
        int64_t left = 0;
        for (int frame = 0; frame < 6; frame++) {
            put(s, 100, 100, 0, 0.9F, 0);
            put(s, 110, 100, 1, 0.9F, 0);
            if (frame == 5) { // each looks a little more like the other
                const float mixed[2][2] = {{0.68F, 0.73F}, {0.73F, 0.68F}};
                memcpy(s->looks[0], mixed[0], sizeof mixed[0]);
                memcpy(s->looks[1], mixed[1], sizeof mixed[1]);
            }
            left = s->marks[0].id;
            show(s);
        }
        assert_true(left > 0 && (s->marks[0].id == left) == (i == 1));
        close_stage(s);
    }
}

static void ambiguous(fm_tracker_opts *o)
{
    o->reid = FM_REID_AMBIGUOUS;
    o->young = 2;
    o->stale = 10;
}

static void test_asks_where_it_matters(void **state)
{
    (void)state;
    stage *s = open_stage(ambiguous);
    size_t asked = 0;
    for (int i = 0; i < 100; i++) {
        put(s, 100, 100, 0, 0.9F, 0);
        show(s);
        asked += s->asked;
    }
    assert_in_range(asked, 10, 13); // young, then once in ten frames
    for (int i = 0; i < 6; i++) {   // somebody comes close: both are looked at
        put(s, 100, 100, 0, 0.9F, 0);
        put(s, 118, 100, 1, 0.9F, 0);
        show(s);
        assert_int_equal(s->asked, 2); // both are near the track
    }
    nobody(s, 5);
    put(s, 100, 100, 0, 0.9F, 0); // after an absence
    show(s);
    assert_int_equal(s->asked, 1);
    close_stage(s);
}

// The same people, most of the time without a look.
static void test_ambiguous_keeps_ids(void **state)
{
    (void)state;
    size_t asked[2] = {0}, all = 0;
    int64_t last[2] = {0};
    for (int mode = 0; mode < 2; mode++) {
        fm_tracker_opts o;
        fm_tracker *t = NULL;
        assert_int_equal(fm__tracker_opts_init(&o, "deepsort", NULL), FM_OK);
        o.dim = 32;
        o.reid = mode == 0 ? FM_REID_ALWAYS : FM_REID_AMBIGUOUS;
        assert_int_equal(fm__tracker_new(&o, &t, NULL), FM_OK);
        scene *s = scene_new(12, 10, 32, 0);
        fm_track_mark marks[SCENE_MOST];
        for (uint64_t frame = 0; frame < 600; frame++) {
            scene_next(s);
            asked[mode] += scene_show(s, t, frame, marks);
            all += mode == 0 ? s->n : 0;
            for (size_t i = 0; i < s->n; i++)
                last[mode] = marks[i].id > last[mode] ? marks[i].id : last[mode];
        }
        scene_free(s);
        fm__tracker_free(&t);
    }
    assert_int_equal(asked[0], all);
    assert_true(asked[1] * 2 < all);
    print_message("ids given: %lld always, %lld ambiguous with %zu of %zu features\n", (long long)last[0],
        (long long)last[1], asked[1], all);
    assert_true(last[1] <= last[0] + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_confirmed_after_n_init),
        cmocka_unit_test(test_tentative_ends_with_a_miss),
        cmocka_unit_test(test_ends_after_max_age),
        cmocka_unit_test(test_lost_is_found_by_look),
        cmocka_unit_test(test_gate),
        cmocka_unit_test(test_swapped),
        cmocka_unit_test(test_classes_do_not_mix),
        cmocka_unit_test(test_weak_detection),
        cmocka_unit_test(test_confirmed_by_score),
        cmocka_unit_test(test_reentry),
        cmocka_unit_test(test_overlap_forgives_a_changed_look),
        cmocka_unit_test(test_overlap_decides_between_twins),
        cmocka_unit_test(test_begin_margin),
        cmocka_unit_test(test_max_tracks),
        cmocka_unit_test(test_features_missing),
        cmocka_unit_test(test_overlap_age),
        cmocka_unit_test(test_overlap_weight),
        cmocka_unit_test(test_asks_where_it_matters),
        cmocka_unit_test(test_ambiguous_keeps_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
