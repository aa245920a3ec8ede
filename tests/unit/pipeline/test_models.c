// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Several models on a frame, all of the ref backend, in every combination: what each says is right by the
// test source's truth, the results are the same to the byte however the work is spread, one model that fails
// costs its own part only, and a run ends at any moment.

#include "../testing.h"

#include "base/alloc.h"
#include "runner.h"
#include "stream/testsrc.h"

#include <framemill/frame.h>

#include <math.h>

enum { FRAMES = 20, SHAPES = 5 };

typedef struct setup {
    const char *detector, *segmenter, *classifier, *classify, *embedder, *embed, *tracker;
    bool features, maps;
} setup;

static const setup setups[] = {
    {"shapes:size=192x128", "cells:size=192x128", "hues", NULL, "colors", "frames", NULL, true, false},
    {"shapes:size=192x128", "cells:size=192x128", "hues", "objects", "colors", NULL, "deepsort", true, false},
    {"none", "cells:size=96x64", NULL, NULL, NULL, NULL, NULL, false, false},
    {"none", NULL, "hues", NULL, NULL, NULL, NULL, false, false},
    {"none", NULL, NULL, NULL, "colors", "frames", NULL, true, false},
    {"motion", NULL, "hues", "objects", NULL, NULL, "bytetrack", false, false},
    {"none", "cells:size=96x64", "hues:size=32x32", "frames", NULL, NULL, NULL, false, false},
};

static void apply(runner *r, const setup *s)
{
    snprintf(r->detector, sizeof(r->detector), "%s", s->detector);
    r->o.segmenter = s->segmenter;
    r->o.classifier = s->classifier;
    r->o.classify = s->classify;
    r->o.embedder = s->embedder;
    r->o.embed = s->embed;
    r->o.tracker = s->tracker;
    r->o.features = s->features;
    r->o.maps = s->maps;
}

static void prepare(runner *r, const setup *s, int streams, int batch, int workers)
{
    runner_init(r, s->detector, true);
    apply(r, s);
    r->o.batch = batch;
    r->o.workers = workers;
    r->o.buffer_size = 4;
    for (int i = 0; i < streams; i++) {
        runner_add(r, "testsrc:192x128@25,frames=%d,seed=%d,shapes=%d", FRAMES, i + 1, SHAPES);
    }
}

static void run_once(const setup *s, int streams, int batch, int workers, char **texts)
{
    runner r;
    prepare(&r, s, streams, batch, workers);
    runner_start(&r);
    runner_wait(&r);
    for (int i = 0; i < streams; i++) {
        size_t lines = 0;
        texts[i] = runner_lines(&r, i, true, &lines);
        assert_int_equal(lines, FRAMES);
        assert_null(runner_report(&r, i).error);
    }
    runner_done(&r);
}

static void same_bytes_for_any_streams_batch_and_slots(void **state)
{
    (void)state;
    static const int spreads[][3] = {{1, 1, 1}, {3, 2, 1}, {3, 5, 3}, {2, 1, 4}};
    for (size_t k = 0; k < COUNT_OF(setups); k++) {
        char *want[3], *got[3];
        run_once(&setups[k], 3, 1, 1, want);
        for (size_t i = 0; i < COUNT_OF(spreads); i++) {
            run_once(&setups[k], spreads[i][0], spreads[i][1], spreads[i][2], got);
            for (int s = 0; s < spreads[i][0]; s++) {
                assert_string_equal(got[s], want[s]);
                fm__free(got[s]);
            }
        }
        for (int s = 0; s < 3; s++) {
            fm__free(want[s]);
        }
    }
}

/** What a result callback has seen, for the test's own thread. */
typedef struct seen {
    fm_testsrc src;
    int frames, with_classes, with_map, with_frame_feature, with_features, objects, wrong_classes,
        wrong_areas;
} seen;

static void look_at_map(seen *t, const fm_result *result)
{
    fm_det truth[64];
    size_t n = fm__testsrc_truth(&t->src, result->frame, truth);
    const fm_class_map *map = result->class_map;
    int64_t want[7] = {0};
    for (size_t i = 0; i < n; i++) {
        fm_box b = truth[i].box;
        want[truth[i].class_id] += (int64_t)((b.x1 - b.x0) * (b.y1 - b.y0));
    }
    t->wrong_areas += map->class_count != 7;
    for (int c = 0; c < 6; c++) {
        // A cell of 8 or 16 pixels is of one class, so that a shape's edge is off by half of one at most.
        t->wrong_areas += llabs(map->area[c] - want[c]) > want[c] / 2 + 600;
    }
}

static void look(const fm_result *result, void *opaque)
{
    seen *t = opaque;
    t->frames++;
    t->with_classes += result->class_count > 0 && result->classes[0].class_id == 6;
    t->with_map += result->class_map != NULL;
    t->with_frame_feature += result->frame_feature && result->frame_feature_dim == 96;
    if (result->class_map) {
        look_at_map(t, result);
    }
    for (size_t i = 0; i < result->det_count; i++) {
        t->objects++;
        t->with_features += result->features && result->features[i];
        if (result->object_classes) {
            int32_t best = result->object_classes[i * result->object_class_count].class_id;
            t->wrong_classes += result->label_count == 6 && best != result->dets[i].class_id;
        }
    }
}

static seen watch(const setup *s, const char *classifier)
{
    runner r;
    seen t = {0};
    prepare(&r, s, 1, 2, 2);
    assert_int_equal(fm__testsrc_parse(r.urls[0], &t.src, NULL), FM_OK);
    r.o.classifier = classifier;
    r.o.on_result = look;
    r.o.opaque = &t;
    runner_start(&r);
    runner_wait(&r);
    runner_done(&r);
    assert_int_equal(t.frames, FRAMES);
    return t;
}

static void each_model_says_what_is_true(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT_OF(setups); k++) {
        const setup *s = &setups[k];
        seen t = watch(s, s->classifier);
        bool frames = s->classifier && !(s->classify && strcmp(s->classify, "objects") == 0);
        assert_int_equal(t.with_classes, frames ? FRAMES : 0);
        assert_int_equal(t.with_map, s->segmenter ? FRAMES : 0);
        assert_int_equal(t.with_frame_feature, s->embed ? FRAMES : 0);
        assert_int_equal(t.wrong_classes, 0);
        assert_int_equal(t.wrong_areas, 0);
        assert_int_equal(t.with_features, s->features && !s->embed ? t.objects : 0);
    }
}

static void a_classifier_that_fails_costs_its_own_part(void **state)
{
    (void)state;
    seen t = watch(&setups[0], "hues:fail_every=2");
    assert_true(t.with_classes > 0 && t.with_classes < FRAMES);
    assert_int_equal(t.with_map, FRAMES);
    assert_true(t.objects >= FRAMES * SHAPES * 9 / 10);
    assert_int_equal(t.with_frame_feature, FRAMES);
    t = watch(&setups[1], "hues:fail_every=2");
    assert_true(t.objects >= FRAMES * SHAPES * 9 / 10);
}

static void a_stop_at_any_moment_ends_the_run(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT_OF(setups); k++) {
        for (int after = 0; after < 12; after += 3) {
            runner r;
            prepare(&r, &setups[k], 2, 2, 2);
            runner_start(&r);
            runner_wait_results(&r, (uint64_t)after);
            fm_run_stop(r.run, after % 2 == 0);
            fm_run_stop(r.run, false);
            runner_wait(&r);
            runner_done(&r);
        }
    }
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        setup s;
        const char *says;
    } cases[] = {
        {{.detector = "none", .classifier = "hues", .classify = "objects"}, "name a detector"},
        {{.detector = "none", .classifier = "hues", .classify = "pixels"}, "classify is 'pixels'"},
        {{.detector = "shapes", .classifier = "shapes"}, "--classifier needs task classification"},
        {{.detector = "shapes", .segmenter = "hues"}, "--segmenter needs task segmentation"},
        {{.detector = "cells"}, "--detector needs task detection"},
        {{.detector = "shapes", .embedder = "colors", .embed = "frames", .tracker = "deepsort"},
            "looks at objects"},
        {{.detector = "shapes", .embedder = "colors", .embed = "all", .features = true}, "embed is 'all'"},
        {{.detector = "shapes", .maps = true}, "no segmenter that makes them"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        runner r;
        fm_error err = {0};
        prepare(&r, &cases[i].s, 1, 1, 1);
        assert_true(fm_run_new(&r.o, &r.run, &err) < 0);
        if (!strstr(err.msg, cases[i].says)) {
            fail_msg("case %zu: '%s' in '%s'", i, cases[i].says, err.msg);
        }
        runner_done(&r);
    }
}

static void count_allocations(runner *r, int stream, uint64_t nth)
{
    uint64_t *counts = r->opaque;
    if (stream == 0 && (nth == 200 || nth == 700)) {
        counts[nth == 700] = fm__alloc_count();
    }
}

static void nothing_is_allocated_per_frame(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT_OF(setups); k++) {
        runner r;
        uint64_t counts[2] = {0};
        runner_init(&r, setups[k].detector, true);
        apply(&r, &setups[k]);
        r.hook = count_allocations;
        r.opaque = counts;
        runner_add(&r, "testsrc:64x64@25,frames=750,shapes=3");
        runner_start(&r);
        runner_wait(&r);
        assert_true(counts[0] > 0);
        // A worker that got its first frame late made its scratch then; five hundred frames make none.
        assert_true(counts[1] - counts[0] < 30);
        runner_done(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bytes_for_any_streams_batch_and_slots),
        cmocka_unit_test(each_model_says_what_is_true),
        cmocka_unit_test(a_classifier_that_fails_costs_its_own_part),
        cmocka_unit_test(a_stop_at_any_moment_ends_the_run),
        cmocka_unit_test(refuses),
        cmocka_unit_test(nothing_is_allocated_per_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
