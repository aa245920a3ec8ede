// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Tracking in a whole run, with the ref backend as detector and as embedder: the ids are those of the test
// source's shapes, the results the same to the byte however the work is spread, weak detections stay inside,
// features come out only when asked for, and an embedder that fails costs no frame and no run.

#include "../testing.h"

#include "base/alloc.h"
#include "base/file.h"
#include "runner.h"
#include "stream/testsrc.h"

#include <framemill/frame.h>

#include <math.h>

enum { FRAMES = 40, SHAPES = 5 };

typedef struct setup {
    const char *tracker, *reid, *embedder;
} setup;

static const setup setups[] = {
    {"deepsort", "always", "colors:size=16x32"},
    {"deepsort", "ambiguous", "colors:size=16x32"},
    {"deepsort", NULL, "none"},
    {"bytetrack", NULL, NULL},
    {"ocsort", NULL, NULL},
};

static void prepare(runner *r, const setup *s, int streams, int batch, int workers)
{
    runner_init(r, "shapes:size=192x128", true);
    r->o.tracker = s->tracker;
    r->o.reid = s->reid;
    r->o.embedder = s->embedder;
    r->o.batch = batch;
    r->o.workers = workers;
    r->o.buffer_size = 5;
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
        fm_stream_report report = runner_report(&r, i);
        assert_int_equal(lines, FRAMES);
        assert_null(report.error);
        assert_int_equal(report.tracks, SHAPES);
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
        assert_non_null(strstr(want[0], "\"track_id\":5"));
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

/** What a result callback has seen of ids, for the test's own thread. */
typedef struct ids {
    fm_testsrc src;
    int64_t id_of_shape[SHAPES + 1];
    int switches, unknown, with_id, with_feature, bad_features, weak, filtered_far;
} ids;

static int shape_at(const ids *t, uint64_t frame, fm_box box)
{
    fm_det truth[64];
    size_t n = fm__testsrc_truth(&t->src, frame, truth);
    for (size_t i = 0; i < n; i++) {
        float dx = fabsf(truth[i].box.x0 - box.x0), dy = fabsf(truth[i].box.y0 - box.y0);
        if (dx <= 4 && dy <= 4) {
            return (int)truth[i].track_id;
        }
    }
    return 0;
}

static void look_at_feature(ids *t, const fm_result *result, size_t i)
{
    const float *f = result->features ? result->features[i] : NULL;
    double norm = 0;
    for (int k = 0; f && k < result->feature_dim; k++) {
        norm += (double)f[k] * f[k];
    }
    t->with_feature += f != NULL;
    t->bad_features += f && fabs(norm - 1) > 1e-4;
}

static void look_at_ids(const fm_result *result, void *opaque)
{
    ids *t = opaque;
    for (size_t i = 0; i < result->det_count; i++) {
        const fm_det *d = &result->dets[i];
        look_at_feature(t, result, i);
        t->weak += d->score < 0.5f && d->track_id == 0;
        if (d->track_id == 0) {
            continue;
        }
        t->with_id++;
        t->filtered_far += fabsf(result->track_boxes[i].x0 - d->box.x0) > 8;
        int shape = shape_at(t, result->frame, d->box);
        t->unknown += shape == 0;
        t->switches += shape && t->id_of_shape[shape] && t->id_of_shape[shape] != d->track_id;
        t->id_of_shape[shape] = d->track_id;
    }
}

static ids run_ids(const setup *s, bool features, const char *embedder)
{
    runner r;
    ids t = {0};
    prepare(&r, s, 1, 2, 2);
    assert_int_equal(fm__testsrc_parse(r.urls[0], &t.src, NULL), FM_OK);
    r.o.embedder = embedder;
    r.o.features = features;
    r.o.on_result = look_at_ids;
    r.o.opaque = &t;
    runner_start(&r);
    runner_wait(&r);
    runner_done(&r);
    return t;
}

static void ids_are_those_of_the_shapes(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT_OF(setups); k++) {
        ids t = run_ids(&setups[k], false, setups[k].embedder);
        assert_int_equal(t.switches, 0);
        assert_int_equal(t.unknown, 0);
        assert_int_equal(t.weak, 0);
        assert_int_equal(t.filtered_far, 0);
        assert_int_equal(t.with_feature, 0);
        assert_true(t.with_id > (FRAMES - 6) * SHAPES);
    }
}

static void features_come_out_when_asked_for(void **state)
{
    (void)state;
    static const setup with[] = {{"deepsort", NULL, NULL}, {"bytetrack", NULL, NULL}, {"none", NULL, NULL}};
    for (size_t k = 0; k < COUNT_OF(with); k++) {
        ids t = run_ids(&with[k], true, "colors:size=16x32");
        assert_true(t.with_feature >= FRAMES * SHAPES * 9 / 10);
        assert_int_equal(t.bad_features, 0);
    }
}

static void an_embedder_that_fails_costs_features_only(void **state)
{
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        ids t = run_ids(&setups[k], false, "colors:size=16x32:fail_every=2");
        assert_int_equal(t.switches, 0);
        assert_true(t.with_id > (FRAMES - 6) * SHAPES);
    }
}

static void an_abort_ends_while_features_are_awaited(void **state)
{
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        runner r;
        prepare(&r, &setups[k], 2, 1, 2);
        r.o.embedder = "colors:size=16x32:delay_us=20000";
        runner_start(&r);
        runner_wait_results(&r, 2);
        fm_run_stop(r.run, true);
        fm_run_stop(r.run, false);
        runner_wait(&r);
        runner_done(&r);
    }
}

static void given_detections_are_tracked(void **state)
{
    (void)state;
    runner r;
    prepare(&r, &setups[3], 1, 1, 1);
    char path[600], text[FRAMES * 40];
    size_t len = 0;
    for (int f = 1; f <= FRAMES; f++) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%d,-1,%d,20,30,60,0.9\n", f, 10 + 2 * f);
    }
    snprintf(path, sizeof(path), "%s/s0.txt", r.dir);
    assert_int_equal(fm__file_replace(path, text, len, NULL), FM_OK);
    r.o.detector = NULL;
    r.o.detections = path;
    runner_start(&r);
    runner_wait(&r);
    size_t lines = 0;
    char *out = runner_lines(&r, 0, true, &lines);
    assert_non_null(
        strstr(out, "\"label\":\"person\",\"class_id\":0,\"score\":0.9000,\"box\":[50.00,20.00,30.00,60.00],"
                    "\"track_id\":1"));
    assert_int_equal(runner_report(&r, 0).tracks, 1);
    assert_int_equal(runner_report(&r, 0).objects, FRAMES);
    fm__free(out);
    runner_done(&r);
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *detector, *tracker, *reid, *embedder, *detections, *says;
        bool features;
    } cases[] = {
        {"shapes", "sort", NULL, NULL, NULL, "sort", false},
        {"none", "bytetrack", NULL, NULL, NULL, "nothing to follow", false},
        {"shapes", "bytetrack", "always", NULL, NULL, "does not look at appearance", false},
        {"shapes", "deepsort", "often", "colors", NULL, "often", false},
        {"shapes", "deepsort", NULL, "shapes", NULL, "--embedder needs task features", false},
        {"shapes", "none", NULL, "none", NULL, "no embedder", true},
        {"shapes", "bytetrack", NULL, NULL, "/no/such.txt", "leave detector", false},
        {"none", "bytetrack", NULL, NULL, "/no/such.txt", "/no/such.txt", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        runner r;
        fm_error err = {0};
        prepare(&r, &setups[0], 1, 1, 1);
        r.o.detector = cases[i].detector;
        r.o.tracker = cases[i].tracker;
        r.o.reid = cases[i].reid;
        r.o.embedder = cases[i].embedder;
        r.o.detections = cases[i].detections;
        r.o.features = cases[i].features;
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
        runner_init(&r, "shapes:size=64x64", true);
        r.o.tracker = setups[k].tracker;
        r.o.reid = setups[k].reid;
        r.o.embedder = setups[k].embedder;
        r.hook = count_allocations;
        r.opaque = counts;
        runner_add(&r, "testsrc:64x64@25,frames=750,shapes=3");
        runner_start(&r);
        runner_wait(&r);
        assert_true(counts[0] > 0);
        // A work that was deep in the stock, or a worker that came late, makes its room when it is first
        // used.
        assert_true(counts[1] - counts[0] < 40);
        runner_done(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bytes_for_any_streams_batch_and_slots),
        cmocka_unit_test(ids_are_those_of_the_shapes),
        cmocka_unit_test(features_come_out_when_asked_for),
        cmocka_unit_test(an_embedder_that_fails_costs_features_only),
        cmocka_unit_test(an_abort_ends_while_features_are_awaited),
        cmocka_unit_test(given_detections_are_tracked),
        cmocka_unit_test(refuses),
        cmocka_unit_test(nothing_is_allocated_per_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
