// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Processors and fm_run_next, held against a run over the same pixels: a run whose results keep their
// pictures says what the truth is, the processor is handed those pictures.

#include "models.h"

#include <framemill/framemill.h>

#include <pthread.h>
#include <stdatomic.h>

enum { FRAMES = 40, STREAMS = 3, STATE_AT = 17 };

typedef struct truth {
    fm_result *results[FRAMES];
    char *lines[FRAMES];
} truth;

// Everything that a frame can be looked at for.
static fm_run_opts all_opts(void)
{
    fm_run_opts o = FM_RUN_OPTS_INIT;
    o.backend = "ref";
    o.detector = "shapes:size=192x128";
    o.segmenter = "cells:size=192x128";
    o.classifier = "hues";
    o.classify = "objects";
    o.embedder = "colors";
    o.tracker = "deepsort";
    o.features = true;
    o.store = &store;
    o.threads = 2;
    o.batch = 4;
    return o;
}

// Of a result as a processor may say it too: neither source nor clock.
static char *line_of(const fm_result *result)
{
    fm_result r = *result;
    fm_error err = {0};
    char *text = NULL;
    r.stream = "s";
    r.file = NULL;
    r.pts_ns = r.wall_ns = FM_PTS_NONE;
    if (fm_result_json(&r, &text, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    return text;
}

static fm_run *start_run(const fm_run_opts *o)
{
    fm_run *run = NULL;
    fm_error err = {0};
    if (fm_run_new(o, &run, &err) != FM_OK || fm_run_start(run, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    return run;
}

static fm_result *next_of(fm_run *run)
{
    fm_result *r = NULL;
    fm_error err = {0};
    fm_status st = fm_run_next(run, 60000, &r, &err);
    if (st != FM_OK && st != FM_EOF) {
        fail_msg("%s %s", fm_status_name(st), err.msg);
    }
    return r;
}

// The pictures live as long as the results. The run does not: the test wants them to outlive it.
static void learn_truth(truth *t, fm_run **run, const char *format)
{
    char url[100];
    snprintf(url, sizeof(url), "testsrc:320x240@25,frames=%d,format=%s,seed=4,shapes=5", FRAMES, format);
    fm_stream_opts stream = {.url = url};
    fm_run_opts o = all_opts();
    o.streams = &stream;
    o.stream_count = 1;
    o.queue = 4;
    o.pictures = true;
    *run = start_run(&o);
    for (int i = 0; i < FRAMES; i++) {
        t->results[i] = next_of(*run);
        assert_non_null(t->results[i]);
        assert_int_equal(t->results[i]->frame, i);
        t->lines[i] = line_of(t->results[i]);
    }
    assert_null(next_of(*run));
}

static void forget(truth *t)
{
    for (int i = 0; i < FRAMES; i++) {
        fm_result_free(&t->results[i]);
        fm_free(t->lines[i]);
    }
}

static fm_processor *new_processor(const fm_run_opts *o)
{
    fm_processor *p = NULL;
    fm_error err = {0};
    if (fm_processor_new(o, &p, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    return p;
}

// Frames first..end-1 of the truth, `step` a call: the first that is not the same, or -1. Any thread.
static int find_difference(fm_processor *p, size_t stream, const truth *t, int first, int end, int step)
{
    int wrong = -1;
    for (int i = first; i < end; i += step) {
        int n = end - i < step ? end - i : step;
        fm_frame_view views[FRAMES];
        fm_result *results[FRAMES];
        fm_error err = {0};
        for (int k = 0; k < n; k++) {
            views[k] = *fm_frame_get_view(t->results[i + k]->picture);
        }
        if (fm_processor_run(p, stream, views, (size_t)n, results, &err) != FM_OK) {
            return i;
        }
        for (int k = 0; k < n; k++) {
            char *line = line_of(results[k]);
            wrong = wrong < 0 && strcmp(line, t->lines[i + k]) != 0 ? i + k : wrong;
            fm_free(line);
            fm_result_free(&results[k]);
        }
    }
    return wrong;
}

static void check_frames(fm_processor *p, size_t stream, const truth *t, int first, int end, int step)
{
    assert_int_equal(find_difference(p, stream, t, first, end, step), -1);
}

static void a_processor_says_what_a_run_says(void **state)
{
    (void)state;
    static const char *const formats[] = {"yuv420p", "rgb24"};
    for (int f = 0; f < 2; f++) {
        truth t;
        fm_run *run;
        learn_truth(&t, &run, formats[f]);
        assert_true(strstr(t.lines[FRAMES - 1], "track_id") != NULL);
        for (int step = 1; step <= FRAMES; step = step * 3 + 1) {
            fm_run_opts o = all_opts();
            o.buffer_size = step > 10 ? 5 : 0; // smaller than a call
            fm_processor *p = new_processor(&o);
            check_frames(p, 0, &t, 0, FRAMES, step);
            fm_processor_free(&p);
            assert_null(p);
        }
        forget(&t);
        fm_run_free(&run);
    }
}

typedef struct worker {
    fm_processor *p;
    const truth *t;
    size_t stream;
    int wrong;
    pthread_t thread;
} worker;

static void *work(void *arg)
{
    worker *w = arg;
    w->wrong = find_difference(w->p, w->stream, w->t, 0, FRAMES, 1 + (int)w->stream);
    return NULL;
}

// The detector that remembers, with state.
static void motion_is_seen_in_frames_of_ones_own(void **state)
{
    (void)state;
    fm_stream_opts stream = {.url = "testsrc:320x240@25,frames=40,format=rgb24,seed=4"};
    fm_run_opts o = FM_RUN_OPTS_INIT;
    o.detector = "motion";
    o.tracker = "bytetrack";
    fm_run_opts with_source = o;
    with_source.streams = &stream;
    with_source.stream_count = 1;
    with_source.queue = 4;
    with_source.pictures = true;
    fm_run *run = start_run(&with_source);
    truth t;
    size_t objects = 0;
    for (int i = 0; i < FRAMES; i++) {
        t.results[i] = next_of(run);
        t.lines[i] = line_of(t.results[i]);
        objects += t.results[i]->det_count;
    }
    assert_true(objects > 0);
    fm_processor *a = new_processor(&o), *b = new_processor(&o);
    check_frames(a, 0, &t, 0, 30, 7);
    void *data = NULL;
    size_t size = 0;
    fm_error err = {0};
    assert_int_equal(fm_processor_state_save(a, 0, &data, &size, &err), FM_OK);
    assert_int_equal(fm_processor_state_load(b, 0, data, size, &err), FM_OK);
    check_frames(b, 0, &t, 30, FRAMES, 3);
    fm_free(data);
    fm_processor_free(&a);
    fm_processor_free(&b);
    forget(&t);
    fm_run_free(&run);
}

static void streams_of_several_threads_do_not_mix(void **state)
{
    (void)state;
    truth t;
    fm_run *run;
    learn_truth(&t, &run, "yuv420p");
    fm_stream_opts streams[STREAMS] = {{.name = "a"}, {.name = "b"}, {.name = "c"}};
    fm_run_opts o = all_opts();
    o.streams = streams;
    o.stream_count = STREAMS;
    fm_processor *p = new_processor(&o);
    assert_int_equal(fm_processor_stream_count(p), STREAMS);
    assert_int_equal(fm_processor_find_stream(p, "b"), 1);
    assert_int_equal(fm_processor_find_stream(p, "d"), STREAMS);
    worker w[STREAMS];
    for (size_t i = 0; i < STREAMS; i++) {
        w[i] = (worker){.p = p, .t = &t, .stream = i};
        assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    }
    for (size_t i = 0; i < STREAMS; i++) {
        pthread_join(w[i].thread, NULL);
        assert_int_equal(w[i].wrong, -1);
    }
    fm_processor_free(&p);
    forget(&t);
    fm_run_free(&run);
}

static void a_stream_is_taken_up_by_another_processor(void **state)
{
    (void)state;
    truth t;
    fm_run *run;
    learn_truth(&t, &run, "yuv420p");
    fm_run_opts o = all_opts();
    fm_processor *a = new_processor(&o), *b = new_processor(&o);
    void *data = NULL;
    size_t size = 0;
    fm_error err = {0};
    check_frames(a, 0, &t, 0, STATE_AT, 5);
    assert_int_equal(fm_processor_state_save(a, 0, &data, &size, &err), FM_OK);
    fm_processor_free(&a);
    assert_int_equal(fm_processor_state_load(b, 0, data, size, &err), FM_OK);
    check_frames(b, 0, &t, STATE_AT, FRAMES, 4);

    uint8_t *bytes = data;
    for (size_t cut = 0; cut < size; cut += 1 + size / 50) {
        assert_true(fm_processor_state_load(b, 0, data, cut, &err) < 0);
    }
    bytes[8]++; // the version
    assert_int_equal(fm_processor_state_load(b, 0, data, size, &err), FM_UNSUPPORTED);
    bytes[8]--;
    bytes[0]++;
    assert_int_equal(fm_processor_state_load(b, 0, data, size, &err), FM_FORMAT);
    bytes[0]--;
    o.tracker = NULL;
    fm_processor *c = new_processor(&o);
    assert_int_equal(fm_processor_state_load(c, 0, data, size, &err), FM_INVAL);
    fm_processor_free(&c);
    fm_processor_free(&b);
    fm_free(data);
    forget(&t);
    fm_run_free(&run);
}

/* ---- one frame at a time ---- */

typedef struct watch {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    // protected by lock
    int released, answered, canceled, errors, backwards;
    uint64_t next;
    const uint8_t *pixels; // of the last picture
} watch;

static void watch_init(watch *w)
{
    *w = (watch){.next = 0};
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
}

static void on_release(void *opaque)
{
    watch *w = opaque;
    pthread_mutex_lock(&w->lock);
    w->released++;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void on_answer(fm_status status, const fm_result *result, const fm_error *err, void *opaque)
{
    watch *w = opaque;
    pthread_mutex_lock(&w->lock);
    w->answered++;
    w->canceled += status == FM_CANCELED && !result && err && err->status == FM_CANCELED;
    if (status == FM_OK) {
        w->backwards += result->frame < w->next;
        w->next = result->frame + 1;
        w->errors += result->error != NULL;
        w->pixels = result->picture ? fm_frame_get_view(result->picture)->plane[0] : NULL;
    }
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void submit(fm_processor *p, const fm_frame_view *view, watch *w, fm_status want)
{
    fm_frame *frame = NULL;
    fm_error err = {0};
    assert_int_equal(fm_frame_new(view, 5, on_release, w, &frame, &err), FM_OK);
    assert_int_equal(fm_processor_submit(p, 0, frame, on_answer, w, &err), want);
    fm_frame_unref(&frame);
}

static void wait_for(watch *w, const int *count, int n)
{
    pthread_mutex_lock(&w->lock);
    while (*count < n) {
        pthread_cond_wait(&w->changed, &w->lock);
    }
    pthread_mutex_unlock(&w->lock);
}

static uint8_t gray[64 * 48];
static const fm_frame_view small = {
    .plane = {gray}, .stride = {64}, .width = 64, .height = 48, .format = FM_PIXFMT_GRAY8};

static void pixels_are_the_callers_own_and_are_given_back_once(void **state)
{
    (void)state;
    for (int pictures = 0; pictures < 2; pictures++) {
        watch w;
        watch_init(&w);
        fm_run_opts o = all_opts();
        o.pictures = pictures;
        fm_processor *p = new_processor(&o);
        for (int i = 0; i < 50; i++) {
            submit(p, &small, &w, FM_OK);
        }
        wait_for(&w, &w.answered, 50);
        wait_for(&w, &w.released, 50);
        fm_processor_free(&p);
        assert_int_equal(w.answered, 50);
        assert_int_equal(w.released, 50);
        assert_int_equal(w.backwards, 0);
        assert_int_equal(w.next, 50);
        assert_ptr_equal(w.pixels, pictures ? gray : NULL);
    }
}

static void a_stop_cancels_what_is_under_way(void **state)
{
    (void)state;
    watch w;
    watch_init(&w);
    fm_run_opts o = all_opts();
    o.detector = "shapes:size=64x48:delay_us=20000";
    fm_processor *p = new_processor(&o);
    for (int i = 0; i < 20; i++) {
        submit(p, &small, &w, FM_OK);
    }
    fm_processor_stop(p);
    assert_int_equal(w.answered, 20);
    assert_true(w.canceled > 0);
    assert_int_equal(w.canceled + (int)w.next, 20);
    submit(p, &small, &w, FM_CANCELED);
    fm_result *r = NULL;
    fm_error err = {0};
    assert_int_equal(fm_processor_run(p, 0, &small, 1, &r, &err), FM_CANCELED);
    assert_null(r);
    fm_processor_free(&p);
    assert_int_equal(w.answered, 20);
    assert_int_equal(w.released, 21);
}

static void an_inference_that_fails_is_told_of_its_frame(void **state)
{
    (void)state;
    fm_run_opts o = all_opts();
    o.detector = "shapes:size=64x48:fail_every=3";
    o.batch = 1;
    fm_processor *p = new_processor(&o);
    int errors = 0;
    for (int i = 0; i < 12; i++) {
        fm_result *r = NULL;
        fm_error err = {0};
        assert_int_equal(fm_processor_run(p, 0, &small, 1, &r, &err), FM_OK);
        errors += r->error != NULL;
        fm_result_free(&r);
    }
    assert_int_equal(errors, 4);
    fm_processor_free(&p);
}

/* ---- refusals ---- */

static void check_view_refused(fm_processor *p, fm_frame_view v, fm_status want, const char *part)
{
    fm_frame_view views[2] = {small, v};
    fm_result *results[2] = {NULL, NULL};
    fm_error err = {0};
    fm_status st = fm_processor_run(p, 0, views, 2, results, &err);
    if (st != want || !strstr(err.msg, part) || !strstr(err.msg, "frame 1")) {
        fail_msg("%s '%s' instead of %s '...%s...'", fm_status_name(st), err.msg, fm_status_name(want), part);
    }
    assert_null(results[0]);
}

static void frames_that_cannot_be_read_are_refused(void **state)
{
    (void)state;
    fm_run_opts o = all_opts();
    o.max_pixels = 5000;
    fm_processor *p = new_processor(&o);
    fm_frame_view v = small;
    v.format = FM_PIXFMT_NONE;
    check_view_refused(p, v, FM_INVAL, "pixel format");
    v = small;
    v.width = 0;
    check_view_refused(p, v, FM_INVAL, "sides");
    v = small;
    v.height = 16385;
    check_view_refused(p, v, FM_INVAL, "sides");
    v = small;
    v.plane[0] = NULL;
    check_view_refused(p, v, FM_INVAL, "no pixels");
    v = small;
    v.stride[0] = 63;
    check_view_refused(p, v, FM_INVAL, "stride");
    v = small;
    v.format = FM_PIXFMT_BGR24;
    check_view_refused(p, v, FM_INVAL, "stride");
    v = small;
    v.height = 100;
    check_view_refused(p, v, FM_DENIED, "limit");
    fm_result *r = NULL;
    fm_error err = {0};
    assert_int_equal(fm_processor_run(p, 1, &small, 1, &r, &err), FM_INVAL);
    assert_int_equal(fm_processor_run(p, 0, &small, 0, &r, &err), FM_INVAL);
    fm_processor_free(&p);
}

static void check_refused(const fm_run_opts *o, const char *part)
{
    fm_processor *p = NULL;
    fm_error err = {0};
    fm_status st = fm_processor_new(o, &p, &err);
    if (st != FM_INVAL || !strstr(err.msg, part)) {
        fail_msg("%s '%s' instead of '...%s...'", fm_status_name(st), err.msg, part);
    }
}

static void what_needs_a_source_is_refused(void **state)
{
    (void)state;
    fm_run_opts o = all_opts();
    o.detect_every = 2;
    check_refused(&o, "detect_every");
    o = all_opts();
    o.realtime = true;
    check_refused(&o, "realtime");
    o = all_opts();
    o.queue = 3;
    check_refused(&o, "queue");
    o = all_opts();
    fm_stream_opts s = {.url = "testsrc:64x48@5"};
    o.streams = &s;
    o.stream_count = 1;
    check_refused(&o, "make a run");
    o = all_opts();
    o.batch = -1;
    check_refused(&o, "batch");
    fm_frame *frame = NULL;
    assert_int_equal(fm_frame_new(NULL, 0, NULL, NULL, &frame, NULL), FM_INVAL);
}

/* ---- results of a run, taken ---- */

static void a_queue_that_nobody_empties_holds_the_run_up_and_lets_it_go(void **state)
{
    (void)state;
    fm_stream_opts streams[2] = {
        {.url = "testsrc:64x48@25,frames=500"}, {.url = "testsrc:64x48@25,frames=500"}};
    fm_run_opts o = all_opts();
    o.streams = streams;
    o.stream_count = 2;
    o.queue = 2;
    fm_run *run = start_run(&o);
    fm_result *r = next_of(run);
    assert_non_null(r);
    assert_int_equal(fm_run_wait(run, 300), FM_AGAIN);
    fm_run_progress at;
    fm_run_progress_get(run, &at);
    assert_true(at.frames < 10); // two in the queue, one taken, one in each stream's hands
    fm_run_stop(run, false);
    assert_int_equal(fm_run_wait(run, 60000), FM_OK);
    for (fm_result *more = next_of(run); more; more = next_of(run)) {
        fm_result_free(&more);
    }
    fm_run_free(&run);
    fm_result_free(&r);

    run = start_run(&o); // freed at once, with results in its queue
    fm_run_free(&run);
}

static void next_needs_a_queue_and_does_not_wait_past_its_time(void **state)
{
    (void)state;
    fm_stream_opts stream = {.url = "testsrc:64x48@25,frames=3"};
    fm_run_opts o = all_opts();
    o.streams = &stream;
    o.stream_count = 1;
    fm_run *run = start_run(&o);
    fm_result *r = NULL;
    fm_error err = {0};
    assert_int_equal(fm_run_next(run, 0, &r, &err), FM_INVAL);
    fm_run_free(&run);
    o.detector = "shapes:size=64x48:delay_us=300000";
    o.queue = 1;
    run = start_run(&o);
    assert_int_equal(fm_run_next(run, 1, &r, &err), FM_AGAIN);
    r = next_of(run);
    assert_non_null(r);
    fm_result_free(&r);
    fm_run_free(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_processor_says_what_a_run_says),
        cmocka_unit_test(motion_is_seen_in_frames_of_ones_own),
        cmocka_unit_test(streams_of_several_threads_do_not_mix),
        cmocka_unit_test(a_stream_is_taken_up_by_another_processor),
        cmocka_unit_test(pixels_are_the_callers_own_and_are_given_back_once),
        cmocka_unit_test(a_stop_cancels_what_is_under_way),
        cmocka_unit_test(an_inference_that_fails_is_told_of_its_frame),
        cmocka_unit_test(frames_that_cannot_be_read_are_refused),
        cmocka_unit_test(what_needs_a_source_is_refused),
        cmocka_unit_test(a_queue_that_nobody_empties_holds_the_run_up_and_lets_it_go),
        cmocka_unit_test(next_needs_a_queue_and_does_not_wait_past_its_time),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
