// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What all types share: settings out of range, the two phases, detections that cannot be right, frames that
// are missing or out of order, memory that is refused, none that is asked for in the steady state. Run for
// every type there is.

#include "../testing.h"
#include "base/alloc.h"
#include "scene.h"
#include "track/tracker.h"

#include <math.h>

enum { W = 640, H = 480, DIM = 8 };

static const char *type;

static fm_tracker_opts make_opts(void)
{
    fm_tracker_opts o;
    assert_int_equal(fm__tracker_opts_init(&o, type, NULL), FM_OK);
    o.dim = fm__tracker_wants_features(type) ? DIM : 0;
    return o;
}

static fm_tracker *make(const fm_tracker_opts *o)
{
    fm_tracker *t = NULL;
    fm_error err = {0};
    if (fm__tracker_new(o, &t, &err) != FM_OK)
        fail_msg("%s", err.msg);
    return t;
}

static fm_det det_at(float x, float y)
{
    return (fm_det){.box = {x, y, x + 40, y + 90}, .score = 0.9F};
}

// One frame without features.
static void show(fm_tracker *t, uint64_t frame, const fm_det *dets, size_t n, fm_track_mark *marks)
{
    uint8_t wants[FM_TRACK_MAX_DETS];
    size_t asked = 0;
    fm_error err = {0};
    if (fm__tracker_begin(t, frame, W, H, dets, n, wants, &asked, &err) != FM_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(fm__tracker_finish(t, NULL, marks, &err), FM_OK);
}

static void test_names(void **state)
{
    (void)state;
    fm_tracker_opts o;
    fm_error err = {0};
    assert_int_equal(fm__tracker_opts_init(&o, "sort", &err), FM_NOTFOUND);
    assert_non_null(strstr(err.msg, "deepsort"));
    assert_int_equal(fm__tracker_opts_init(&o, NULL, &err), FM_NOTFOUND);
    assert_false(fm__tracker_wants_features("sort"));
    assert_true(fm__tracker_wants_features("deepsort"));
    fm_tracker *t = NULL;
    o = make_opts();
    o.type = "sort";
    assert_int_equal(fm__tracker_new(&o, &t, &err), FM_NOTFOUND);
    fm__tracker_free(&t);
}

static void test_settings(void **state)
{
    (void)state;
    const struct {
        const char *word;
        fm_tracker_opts o;
    } cases[] = {
#define BAD(field, value)                                                                                    \
    {                                                                                                        \
#field,                                                                                              \
        {                                                                                                    \
            .field = (value)                                                                                 \
        }                                                                                                    \
    }
        BAD(dim, -1),
        BAD(dim, FM_TRACK_MAX_DIM + 1),
        BAD(high, NAN),
        BAD(high, 1.5F),
        BAD(low, -0.1F),
        BAD(begin_margin, 2),
        BAD(n_init, -1),
        BAD(max_age, 20000),
        BAD(max_tracks, FM_TRACK_MAX_TRACKS + 1),
        BAD(confirm_score, -1),
        BAD(max_iou, 2),
        BAD(max_iou_low, INFINITY),
        BAD(max_iou_new, -1),
        BAD(momentum, 2),
        BAD(momentum_frames, 8),
        BAD(overlap_age, -3),
        BAD(max_cosine, 2.1F),
        BAD(max_cosine_near, 3),
        BAD(gate, -1),
        BAD(motion_weight, 2),
        BAD(overlap_weight, 101),
        BAD(budget, 1001),
        BAD(feature_weight, 1),
        BAD(reentry_count, -1),
        BAD(reentry_age, -1),
        BAD(clear_iou, -1),
        BAD(rival_iou, NAN),
        BAD(young, -1),
        BAD(stale, -1),
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        fm_tracker_opts o = make_opts();
        const unsigned char *bad = (const unsigned char *)&cases[i].o;
        unsigned char *all = (unsigned char *)&o;
        for (size_t b = offsetof(fm_tracker_opts, dim); b < sizeof o; b += 4) { // fields of 4 bytes
            if (memcmp(bad + b, "\0\0\0\0", 4) != 0)
                memcpy(all + b, bad + b, 4);
        }
        fm_tracker *t = NULL;
        fm_error err = {0};
        fm_status status = fm__tracker_new(&o, &t, &err);
        if (status != FM_INVAL || strstr(err.msg, cases[i].word) == NULL)
            fail_msg("%s: status %d, '%s'", cases[i].word, (int)status, err.msg);
        assert_null(t);
    }
}

static void test_phases(void **state)
{
    (void)state;
    fm_tracker_opts o = make_opts();
    fm_tracker *t = make(&o);
    fm_error err = {0};
    fm_det d = det_at(10, 10);
    fm_track_mark mark;
    uint8_t want;
    size_t asked;
    assert_int_equal(fm__tracker_finish(t, NULL, &mark, &err), FM_INVAL);
    assert_int_equal(fm__tracker_begin(t, 5, W, H, &d, 1, &want, &asked, &err), FM_OK);
    assert_int_equal(fm__tracker_begin(t, 6, W, H, &d, 1, &want, &asked, &err), FM_INVAL);
    assert_int_equal(fm__tracker_save(t, NULL, 0), 0);
    assert_int_equal(fm__tracker_finish(t, NULL, &mark, &err), FM_OK);
    assert_int_equal(fm__tracker_finish(t, NULL, &mark, &err), FM_INVAL);
    const uint64_t late[] = {5, 4, 0};
    for (size_t i = 0; i < COUNT_OF(late); i++) {
        assert_int_equal(fm__tracker_begin(t, late[i], W, H, &d, 1, &want, &asked, &err), FM_INVAL);
        assert_non_null(strstr(err.msg, "order"));
    }
    assert_int_equal(fm__tracker_begin(t, 6, 0, H, &d, 1, &want, &asked, &err), FM_INVAL);
    assert_int_equal(fm__tracker_begin(t, 6, W, H, &d, FM_TRACK_MAX_DETS + 1, &want, &asked, &err), FM_INVAL);
    assert_int_equal(fm__tracker_begin(t, 6, W, H, NULL, 0, NULL, &asked, &err), FM_OK);
    assert_int_equal(asked, 0);
    assert_int_equal(fm__tracker_finish(t, NULL, NULL, &err), FM_OK);
    fm__tracker_free(&t);
    assert_null(t);
    fm__tracker_free(&t);
}

static void test_unsound_detections(void **state)
{
    (void)state;
    const fm_det bad[] = {
        {.box = {NAN, 10, 50, 100}, .score = 0.9F},
        {.box = {10, 10, INFINITY, 100}, .score = 0.9F},
        {.box = {10, 10, 10, 100}, .score = 0.9F},
        {.box = {50, 10, 10, 100}, .score = 0.9F},
        {.box = {10, 10, 50, 10.0001F}, .score = 0.9F},
        {.box = {W, 10, W + 50, 100}, .score = 0.9F},
        {.box = {10, -100, 50, 0}, .score = 0.9F},
        {.box = {-2e6F, 10, 50, 100}, .score = 0.9F},
        {.box = {10, 10, 50, 100}, .score = NAN},
        {.box = {10, 10, 50, 100}, .score = -1},
    };
    enum { N = COUNT_OF(bad) };
    fm_tracker_opts o = make_opts();
    fm_tracker *t = make(&o);
    fm_track_mark marks[N];
    for (uint64_t frame = 0; frame < 10; frame++) {
        show(t, frame, bad, N, marks);
        for (size_t i = 0; i < N; i++)
            assert_int_equal(marks[i].id, 0);
        assert_int_equal(fm__tracker_count(t), 0);
    }
    for (size_t i = 0; i < N; i++)
        assert_false(fm__tracker_wants_ahead(&o, &bad[i], W, H));
    fm__tracker_free(&t);
}

static void test_what_was_announced_is_asked_for(void **state)
{
    (void)state;
    fm_tracker_opts o = make_opts();
    o.reid = FM_REID_ALWAYS;
    fm_tracker *t = make(&o);
    uint64_t rng = 3;
    for (uint64_t frame = 0; frame < 200; frame++) {
        fm_det dets[20];
        uint8_t wants[20];
        fm_track_mark marks[20];
        size_t asked, count = 0;
        for (size_t i = 0; i < 20; i++) {
            dets[i] = det_at((float)rnd_below(&rng, 900) - 150, (float)rnd_below(&rng, 700) - 150);
            dets[i].score = (float)rnd_below(&rng, 101) / 100;
        }
        assert_int_equal(fm__tracker_begin(t, frame, W, H, dets, 20, wants, &asked, NULL), FM_OK);
        for (size_t i = 0; i < 20; i++) {
            assert_int_equal(wants[i], fm__tracker_wants_ahead(&o, &dets[i], W, H));
            count += wants[i];
        }
        assert_int_equal(asked, count);
        assert_int_equal(fm__tracker_finish(t, NULL, marks, NULL), FM_OK);
    }
    fm__tracker_free(&t);
}

// A crowd of thousands, all over the frame or all on one spot: bounded, and over soon.
static void test_five_thousand(void **state)
{
    (void)state;
    enum { N = 5000 };
    static fm_det dets[N];
    static fm_track_mark marks[N];
    for (int same = 0; same < 2; same++) {
        fm_tracker_opts o = make_opts();
        o.n_init = 2;
        fm_tracker *t = make(&o);
        uint64_t rng = 8;
        for (size_t i = 0; i < N; i++)
            dets[i] = same ? det_at(300, 200)
                           : det_at((float)rnd_below(&rng, W - 40), (float)rnd_below(&rng, H - 90));
        for (uint64_t frame = 0; frame < 3; frame++)
            show(t, frame, dets, N, marks);
        size_t marked = 0;
        for (size_t i = 0; i < N; i++)
            marked += marks[i].id > 0;
        assert_true(fm__tracker_count(t) <= (size_t)o.max_tracks);
        assert_true(marked > 0 && marked <= (size_t)o.max_tracks);
        fm__tracker_free(&t);
    }
}

// A frame that was dropped is the same as an empty one, however many.
static void test_gaps(void **state)
{
    (void)state;
    const uint64_t gaps[] = {1, 2, 5, 29, 30, 31, 32, 400};
    for (size_t g = 0; g < COUNT_OF(gaps); g++) {
        fm_tracker_opts o = make_opts();
        fm_tracker *shown = make(&o), *dropped = make(&o);
        scene *s = scene_new(4, 12, o.dim > 0 ? o.dim : 1, 0);
        fm_track_mark a[SCENE_MOST], b[SCENE_MOST];
        uint64_t frame = 0;
        for (int i = 0; i < 60; i++, frame++) {
            scene_next(s);
            if (i == 30)
                for (uint64_t k = 0; k < gaps[g]; k++)
                    show(shown, frame++, NULL, 0, NULL);
            scene_show(s, shown, frame, a);
            scene_show(s, dropped, frame, b);
            for (size_t k = 0; k < s->n; k++) {
                assert_int_equal(a[k].id, b[k].id);
                assert_memory_equal(&a[k].filtered, &b[k].filtered, sizeof(fm_box));
            }
            assert_int_equal(fm__tracker_count(shown), fm__tracker_count(dropped));
        }
        scene_free(s);
        fm__tracker_free(&shown);
        fm__tracker_free(&dropped);
    }
}

static void test_leap(void **state)
{
    (void)state;
    fm_tracker_opts o = make_opts();
    fm_tracker *t = make(&o);
    fm_det d = det_at(100, 100);
    fm_track_mark mark;
    for (uint64_t frame = 0; frame < 10; frame++)
        show(t, frame, &d, 1, &mark);
    int64_t before = mark.id;
    assert_true(before > 0);
    show(t, UINT64_MAX - 10, &d, 1, &mark);
    show(t, UINT64_MAX - 9, &d, 1, &mark);
    show(t, UINT64_MAX - 8, &d, 1, &mark);
    assert_true(mark.id > before);
    fm__tracker_free(&t);
}

// Every allocation refused once: begin says so, changes nothing, and works when tried again.
// Looked at in every third frame only: a track is born, gets its id and goes on as if the frames between were
// not there, and says which detection of the look before was it.
static void test_coasting(void **state)
{
    (void)state;
    fm_tracker_opts o = make_opts();
    fm_tracker *t = make(&o);
    fm_track_mark marks[3];
    int64_t first = 0, second = 0;
    for (uint64_t frame = 0; frame < 60; frame++) {
        if (frame % 3 != 0) {
            assert_int_equal(fm__tracker_coast(t, frame, true, NULL), FM_OK);
            continue;
        }
        float x = 100 + 3 * (float)frame;
        // The two change places in the list from look to look.
        bool turned = frame % 2 != 0;
        fm_det dets[3] = {det_at(300, 200), det_at(turned ? 500 - x / 2 : x, turned ? 300 : 20),
            det_at(turned ? x : 500 - x / 2, turned ? 20 : 300)};
        show(t, frame, dets, 3, marks);
        int a = turned ? 2 : 1, b = turned ? 1 : 2;
        if (marks[a].id == 0)
            continue;
        if (first > 0) {
            assert_int_equal(marks[a].id, first);
            assert_int_equal(marks[b].id, second);
        }
        first = marks[a].id;
        second = marks[b].id;
        assert_int_equal(marks[0].previous, frame > 0 ? 0 : -1);
        assert_int_equal(marks[a].previous, frame > 0 ? b : -1);
        assert_int_equal(marks[b].previous, frame > 0 ? a : -1);
    }
    assert_true(first > 0 && second > 0 && first != second);
    assert_int_equal(fm__tracker_confirmed(t), 3);
    assert_int_equal(fm__tracker_coast(t, 59, true, NULL), FM_INVAL);
    fm__tracker_free(&t);
}

// Where nothing moves time stands still, however long; who was lost before is not found by waiting.
static void test_standing_still(void **state)
{
    (void)state;
    fm_tracker_opts o = make_opts();
    fm_tracker *t = make(&o);
    fm_track_mark mark;
    fm_det det = det_at(300, 200);
    uint64_t frame = 0;
    for (; frame < 10; frame++)
        show(t, frame, &det, 1, &mark);
    int64_t id = mark.id;
    assert_true(id > 0);
    for (; frame < 10 + 3 * (uint64_t)o.max_age; frame++)
        assert_int_equal(fm__tracker_coast(t, frame, false, NULL), FM_OK);
    show(t, frame++, &det, 1, &mark);
    assert_int_equal(mark.id, id);
    show(t, frame++, NULL, 0, NULL);
    for (int i = 0; i <= o.max_age; i++)
        assert_int_equal(fm__tracker_coast(t, frame++, true, NULL), FM_OK);
    assert_int_equal(fm__tracker_count(t), 0);
    fm__tracker_free(&t);
}

static void test_no_memory(void **state)
{
    (void)state;
    fm_tracker_opts o = make_opts();
    o.reentry_count = 4;
    for (uint64_t nth = 1;; nth++) {
        fm_tracker *t = NULL;
        fm__alloc_fail_at(nth, false);
        fm_status status = fm__tracker_new(&o, &t, NULL);
        fm__alloc_fail_at(0, false);
        if (status == FM_OK) {
            fm__tracker_free(&t);
            break;
        }
        assert_int_equal(status, FM_NOMEM);
        assert_null(t);
        assert_true(nth < 50);
    }
    int refused = 0;
    for (uint64_t nth = 1; nth <= 40; nth++) {
        fm_tracker *easy = make(&o), *hard = make(&o);
        scene *s = scene_new(6, 20, o.dim > 0 ? o.dim : 1, 30);
        fm_track_mark a[SCENE_MOST], b[SCENE_MOST];
        for (uint64_t frame = 0; frame < 80; frame++) {
            uint8_t wants[SCENE_MOST];
            size_t asked;
            scene_next(s);
            scene_show(s, easy, frame, a);
            fm__alloc_fail_at(nth, false);
            fm_status status = fm__tracker_begin(
                hard, frame, (int)s->width, (int)s->height, s->dets, s->n, wants, &asked, NULL);
            fm__alloc_fail_at(0, false);
            refused += status == FM_NOMEM;
            if (status != FM_OK)
                scene_show(s, hard, frame, b);
            else
                assert_int_equal(fm__tracker_finish(hard, o.dim > 0 ? s->feature_of : NULL, b, NULL), FM_OK);
            for (size_t i = 0; i < s->n; i++)
                assert_int_equal(a[i].id, b[i].id);
        }
        scene_free(s);
        fm__tracker_free(&easy);
        fm__tracker_free(&hard);
    }
    assert_true(refused > 20);
}

// Once the crowd was at its largest, births and deaths cost no allocation.
static void test_steady_state(void **state)
{
    (void)state;
    fm_tracker_opts o = make_opts();
    fm_tracker *t = make(&o);
    scene *s = scene_new(9, 40, o.dim > 0 ? o.dim : 1, 120);
    fm_track_mark marks[SCENE_MOST];
    uint64_t before = 0;
    for (uint64_t frame = 0; frame < 3000; frame++) {
        if (frame == 1500)
            before = fm__alloc_count();
        scene_next(s);
        scene_show(s, t, frame, marks);
    }
    // A larger crowd than ever may still come, but not often.
    assert_in_range(fm__alloc_count() - before, 0, 8);
    assert_true(s->births > 500);
    scene_free(s);
    fm__tracker_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_phases),
        cmocka_unit_test(test_unsound_detections),
        cmocka_unit_test(test_what_was_announced_is_asked_for),
        cmocka_unit_test(test_five_thousand),
        cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_leap),
        cmocka_unit_test(test_coasting),
        cmocka_unit_test(test_standing_still),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_steady_state),
    };
    int failed = 0;
    for (const char *const *name = fm__tracker_names(); *name != NULL; name++) {
        type = *name;
        printf("type %s\n", type);
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    }
    return failed;
}
