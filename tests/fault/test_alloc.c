// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Every allocation fails once, in turn, alone and with all that follow it: parsing, pools, plans, the
// executor, a whole run. The answer is NOMEM or, in a run's threads, an error of the stream; nothing crashes,
// nothing hangs, and afterwards every module and pool holds what it held before.

#include "../unit/exec/fake_net.h"
#include "../unit/pipeline/runner.h"
#include "../unit/testing.h"

#include "base/alloc.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/str.h"
#include "base/yaml.h"
#include "exec/executor.h"
#include "frame/frame.h"
#include "ops/letterbox.h"

#include <framemill/memory.h>

#define MOST_ALLOCATIONS 5000 // more than any case here makes: the loop must come to its end

static uint64_t held(void)
{
    fm_memory_stat stats[FM_TAG_COUNT];
    size_t n = fm_memory_stats(stats, COUNT_OF(stats));
    uint64_t sum = 0;
    for (size_t i = 0; i < n && i < COUNT_OF(stats); i++) {
        sum += stats[i].current_bytes;
    }
    fm_memory_pool pools[32];
    n = fm_memory_pools(pools, COUNT_OF(pools));
    for (size_t i = 0; i < n && i < COUNT_OF(pools); i++) {
        sum += pools[i].current_bytes + pools[i].in_use + pools[i].resting;
    }
    return sum;
}

// Does the work once; frees all of it; its status.
typedef fm_status (*work_fn)(void);

static void fail_each(work_fn work)
{
    assert_int_equal(work(), FM_OK);
    for (int sticky = 0; sticky < 2; sticky++) {
        uint64_t before = held(), nth = 1;
        fm_status st = FM_NOMEM;
        for (; st != FM_OK; nth++) {
            assert_true(nth < MOST_ALLOCATIONS);
            fm__alloc_fail_at(nth, sticky);
            st = work();
            fm__alloc_fail_at(0, false);
            assert_true(st == FM_NOMEM || st == FM_OK);
            assert_int_equal(held(), before);
        }
        assert_true(nth > 2); // something failed before nothing did
    }
}

static fm_status parse_yaml(void)
{
    static const char text[] = "a: [1, 2, {b: c}]\nd: \"e\"\nf:\n  - g\n  - h: i\n";
    fm_yaml *doc = NULL;
    fm_error err = {0};
    fm_status st = fm__yaml_parse(text, sizeof(text) - 1, "t", &doc, &err);
    fm__yaml_free(&doc);
    assert_true(st == FM_OK || (err.status == st && err.msg[0]));
    return st;
}

static void yaml(void **state)
{
    (void)state;
    fail_each(parse_yaml);
}

static fm_status build_strings(void)
{
    char *parts[] = {fm__safe_name(FM_TAG_BASE, "a/long/name/of/a/stream/with more than sixteen bytes"),
        fm__redact_url(
            FM_TAG_BASE, "rtsp://user:password@host/path?token=1234567890&more=12345678901234567890"),
        fm__asprintf(FM_TAG_BASE, "%s and %d", "text that is long enough to grow", 5),
        fm__path_join(FM_TAG_BASE, "folder", "file"), fm__strdup(FM_TAG_BASE, "copy")};
    fm_status st = FM_OK;
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        st = parts[i] ? st : FM_NOMEM;
        fm__free(parts[i]);
    }
    return st;
}

static void strings(void **state)
{
    (void)state;
    fail_each(build_strings);
}

static fm_status use_pool(void)
{
    fm_frame_pool *pool = NULL;
    fm_frame *frames[3] = {0};
    fm_status st = fm__frame_pool_new(&pool, NULL);
    for (int i = 0; i < 3 && st == FM_OK; i++) {
        st = fm__frame_pool_take_pixels(pool, FM_PIXFMT_YUV420P, 33, 17, &frames[i], NULL);
    }
    for (int i = 0; i < 3; i++) {
        fm_frame_unref(&frames[i]);
    }
    fm__frame_pool_free(&pool);
    return st;
}

static void frame_pool(void **state)
{
    (void)state;
    fail_each(use_pool);
}

static fm_status make_plan(void)
{
    fm_letterbox_desc desc = {
        .format = FM_PIXFMT_NV12,
        .map = fm__fit(FM_FIT_LETTERBOX, FM_ANCHOR_CENTER, 1, 99, 57, 64, 64),
        .layout = FM_LAYOUT_NCHW,
        .color = FM_COLOR_RGB,
        .dtype = FM_DTYPE_U8,
        .pad = 114,
    };
    fm_letterbox_plan *plan = NULL;
    fm_status st = fm__letterbox_plan_new(&desc, fm__cpu_level(), &plan, NULL);
    fm__letterbox_plan_free(&plan);
    return st;
}

static void letterbox_plan(void **state)
{
    (void)state;
    fail_each(make_plan);
}

static void complete(fm_item *item, fm_status status, const fm_error *err, void *opaque)
{
    (void)item;
    (void)status;
    (void)err;
    ++*(int *)opaque;
}

static fake_net net;

static fm_status use_executor(void)
{
    fm_executor *x = NULL;
    fm_item item = {0};
    int completed = 0;
    fm_executor_opts xo = {.net = &net.base, .sources = 3, .workers = 3};
    fm_executor_ops ops = {.complete = complete, .opaque = &completed};
    fm_status st = fm__executor_new(&xo, &ops, &x, NULL);
    if (st == FM_OK) {
        fm__executor_stop(x, false);
        assert_int_equal(fm__executor_push(x, &item), FM_CANCELED);
    }
    fm__executor_free(&x);
    assert_int_equal(completed, 0);
    return st;
}

static void executor(void **state)
{
    (void)state;
    fake_net_open(&net, 3, 2, (int[]){1, 4}, 1);
    fail_each(use_executor);
    fake_net_close(&net);
}

enum { FRAMES = 4 };

// True when nothing failed.
static bool run_once(runner *r)
{
    fm_error err = {0};
    fm_run *run = NULL;
    fm_status st = fm_run_new(&r->o, &run, &err);
    if (st != FM_OK) {
        assert_int_equal(st, FM_NOMEM);
        assert_null(run);
        assert_true(err.msg[0] != 0);
        return false;
    }
    st = fm_run_start(run, &err);
    bool clean = st == FM_OK;
    if (st == FM_OK) {
        assert_int_equal(fm_run_wait(run, 30000), FM_OK);
        fm_stream_report report;
        assert_int_equal(fm_run_stream_report(run, 0, &report), FM_OK);
        assert_true(report.frames <= FRAMES);
        clean = !report.error;
        assert_true(!clean || report.frames == FRAMES); // a frame is not lost in silence
    } else {
        assert_int_equal(st, FM_NOMEM);
    }
    char *text = NULL;
    st = fm_run_report_json(run, &text, &err);
    assert_true(st == FM_OK ? text != NULL : st == FM_NOMEM && !text);
    clean &= st == FM_OK;
    fm_free(text);
    if (r->o.profile) {
        st = fm_run_profile_write(run, "/dev/null", NULL, &err);
        assert_true(st == FM_OK || st == FM_NOMEM);
        clean &= st == FM_OK;
    }
    fm_run_free(&run);
    return clean;
}

// The built-in models' descriptions have tests of their own; here they would only be thousands of
// allocations.
static void empty_store(runner *r)
{
    char path[600];
    snprintf(r->share, sizeof(r->share), "%s/share", r->dir);
    snprintf(path, sizeof(path), "%s/models/labels", r->share);
    assert_int_equal(fm__mkdir_all(path, NULL), FM_OK);
}

typedef struct models {
    const char *detector, *tracker, *reid, *segmenter, *classifier, *classify, *embed;
    bool annotate, profile;
    int detect_every, checkpoint_every;
    bool goes_on; // from a state
} models;

enum { BEFORE = 4 }; // frames before the state

typedef struct saved_state {
    void *bytes;
    size_t size;
} saved_state;

static void keep_state(const fm_result *r, void *opaque)
{
    saved_state *s = opaque;
    if (r->state && r->frame == BEFORE - 1) {
        s->bytes = malloc(r->state_bytes);
        memcpy(s->bytes, r->state, r->state_bytes);
        s->size = r->state_bytes;
    }
}

// The run's stream becomes one that another run left behind frame BEFORE - 1.
static void leave_in_the_middle(runner *r, saved_state *s)
{
    fm_run_opts own = r->o;
    snprintf(r->urls[0], sizeof(r->urls[0]), "testsrc:64x48@25,frames=%d", BEFORE + FRAMES);
    r->o.on_result = keep_state;
    r->o.opaque = s;
    runner_start(r);
    runner_wait(r);
    fm_run_free(&r->run);
    r->o = own;
    assert_non_null(s->bytes);
    r->streams[0].state = s->bytes;
    r->streams[0].state_bytes = s->size;
}

static void fail_each_of_a_run(const models *m)
{
    runner r;
    runner_init(&r, m->detector, true);
    r.o.tracker = m->tracker;
    r.o.reid = m->reid;
    r.o.segmenter = m->segmenter;
    r.o.classifier = m->classifier;
    r.o.classify = m->classify;
    r.o.embedder = "colors:size=8x16";
    r.o.embed = m->embed;
    r.o.features = m->embed != NULL;
    r.o.annotate = m->annotate;
    r.o.profile = m->profile;
    r.o.track.n_init = 1;
    r.o.detect_every = m->detect_every;
    r.o.checkpoint_every = m->checkpoint_every;
    empty_store(&r);
    r.o.buffer_size = 1;
    r.o.batch = 1;
    r.o.workers = 1;
    runner_add(&r, "testsrc:64x48@25,frames=%d", FRAMES);
    saved_state state = {.size = 0};
    if (m->goes_on) {
        leave_in_the_middle(&r, &state);
    }
    assert_true(run_once(&r));
    for (int sticky = 0; sticky < 2; sticky++) {
        uint64_t before = held(), made = fm__alloc_count();
        assert_true(run_once(&r));
        made = fm__alloc_count() - made;
        assert_true(made > 20 && made < MOST_ALLOCATIONS);
        int failed = 0;
        for (uint64_t nth = 1; nth <= made; nth++) {
            fm__alloc_fail_at(nth, sticky);
            failed += !run_once(&r);
            fm__alloc_fail_at(0, false);
            assert_int_equal(held(), before);
        }
        assert_true(failed > 20);
        assert_true(run_once(&r)); // and the next one works
    }
    runner_done(&r);
    free(state.bytes);
}

static void runs(void **state)
{
    (void)state;
    static const char shapes[] = "shapes:size=64x48", cells[] = "cells:size=64x48", hues[] = "hues:size=8x8";
    static const models cases[] = {
        {.detector = "none"},
        {.detector = "motion"},
        {.detector = shapes},
        {.detector = shapes, .tracker = "deepsort", .reid = "always"},
        {.detector = shapes, .tracker = "deepsort", .reid = "ambiguous"},
        {.detector = shapes, .tracker = "bytetrack"},
        {.detector = shapes, .tracker = "bytetrack", .profile = true},
        {.detector = shapes, .tracker = "ocsort"},
        {.detector = "none", .segmenter = cells},
        {.detector = "none", .segmenter = cells, .annotate = true},
        {.detector = "none", .classifier = hues},
        {.detector = "none", .embed = "frames"},
        {.detector = shapes, .segmenter = cells, .classifier = hues, .embed = "frames"},
        {.detector = shapes,
            .segmenter = cells,
            .classifier = hues,
            .classify = "objects",
            .embed = "objects"},
        {.detector = "motion", .tracker = "bytetrack", .checkpoint_every = 2, .goes_on = true},
        {.detector = shapes, .tracker = "ocsort", .detect_every = 2, .checkpoint_every = 2, .goes_on = true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        fail_each_of_a_run(&cases[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yaml),
        cmocka_unit_test(strings),
        cmocka_unit_test(frame_pool),
        cmocka_unit_test(letterbox_plan),
        cmocka_unit_test(executor),
        cmocka_unit_test(runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
