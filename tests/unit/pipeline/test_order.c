// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Results come in order, complete, and the same to the byte, however the work is spread: 1 to 4 streams, any
// batch, any number of slots, failing inferences, stalled consumers. The steady state allocates nothing.

#include "../testing.h"

#include "base/alloc.h"
#include "runner.h"

enum { FRAMES = 13 };

static void add_source(runner *r, int i)
{
    runner_add(r, "testsrc:%dx%d@25,frames=%d,seed=%d,shapes=4", 96 + 32 * (i % 2), 64, FRAMES, i + 1);
}

// One run; texts[i] is stream i's JSONL.
static void run_once(const char *detector, int streams, int batch, int workers, char **texts)
{
    runner r;
    runner_init(&r, detector, true);
    r.o.batch = batch;
    r.o.workers = workers;
    r.o.buffer_size = 5;
    for (int i = 0; i < streams; i++) {
        add_source(&r, i);
    }
    runner_start(&r);
    runner_wait(&r);
    for (int i = 0; i < streams; i++) {
        size_t lines = 0;
        texts[i] = runner_lines(&r, i, true, &lines);
        fm_stream_report report = runner_report(&r, i);
        assert_int_equal(lines, FRAMES);
        assert_int_equal(report.frames, FRAMES);
        assert_int_equal(report.dropped, 0);
        assert_null(report.error);
        assert_int_equal(r.seen[i].frames, FRAMES);
        assert_int_equal(r.seen[i].gaps + r.seen[i].backwards + r.seen[i].errors, 0);
        assert_int_equal(r.seen[i].objects, report.objects);
    }
    runner_done(&r);
}

static void free_texts(char **texts, int n)
{
    for (int i = 0; i < n; i++) {
        fm__free(texts[i]);
    }
}

static void same_bytes_for_any_streams_batch_and_slots(void **state)
{
    (void)state;
    static const int batches[] = {1, 2, 5}, workers[] = {1, 3};
    const char *detector = "shapes:size=96x64";
    char *want[4], *got[4];
    run_once(detector, 4, 1, 1, want);
    assert_non_null(strstr(want[0], "\"label\":\"red\""));
    assert_string_not_equal(want[0], want[1]);
    for (int streams = 1; streams <= 4; streams++) {
        for (size_t b = 0; b < COUNT_OF(batches); b++) {
            for (size_t w = 0; w < COUNT_OF(workers); w++) {
                run_once(detector, streams, batches[b], workers[w], got);
                for (int i = 0; i < streams; i++) {
                    assert_string_equal(got[i], want[i]);
                }
                free_texts(got, streams);
            }
        }
    }
    free_texts(want, 4);
}

static void same_bytes_without_a_network(void **state)
{
    (void)state;
    static const char *const detectors[] = {"none", "motion"};
    for (size_t d = 0; d < COUNT_OF(detectors); d++) {
        char *want[3], *got[3];
        run_once(detectors[d], 3, 1, 1, want);
        run_once(detectors[d], 3, 5, 3, got);
        for (int i = 0; i < 3; i++) {
            assert_string_equal(got[i], want[i]);
        }
        free_texts(want, 3);
        free_texts(got, 3);
    }
}

static void slots_that_finish_out_of_order_change_nothing(void **state)
{
    (void)state;
    char *want[2], *got[2];
    run_once("shapes:size=96x64", 2, 1, 1, want);
    run_once("shapes:size=96x64:delay_us=700", 2, 2, 6, got);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(got[i], want[i]);
    }
    free_texts(want, 2);
    free_texts(got, 2);
}

static void failing_inferences_cost_their_frames_only(void **state)
{
    (void)state;
    runner r;
    runner_init(&r, "shapes:size=96x64:fail_every=3", true);
    r.o.batch = 2;
    r.o.workers = 2;
    add_source(&r, 0);
    add_source(&r, 1);
    runner_start(&r);
    runner_wait(&r);
    uint64_t errors = 0;
    for (int i = 0; i < 2; i++) {
        size_t lines = 0;
        fm__free(runner_lines(&r, i, true, &lines));
        assert_int_equal(lines, FRAMES);
        assert_int_equal(r.seen[i].frames, FRAMES);
        assert_int_equal(r.seen[i].gaps + r.seen[i].backwards, 0);
        assert_true((r.seen[i].errors > 0) == (runner_report(&r, i).error != NULL));
        errors += r.seen[i].errors;
    }
    assert_true(errors > 2 && errors < 2 * FRAMES);
    runner_done(&r);
}

// The first stream's consumer waits in its first result until the other stream has ended.
static void wait_for_other(runner *r, int stream, uint64_t nth)
{
    if (stream != 0 || nth > 0) {
        return;
    }
    pthread_mutex_lock(&r->lock);
    while (r->seen[1].frames < 80) {
        pthread_cond_wait(&r->changed, &r->lock);
    }
    pthread_mutex_unlock(&r->lock);
}

static void a_stalled_consumer_holds_up_only_its_stream(void **state)
{
    (void)state;
    static const char *const detectors[] = {"shapes:size=96x64", "none"};
    for (size_t d = 0; d < COUNT_OF(detectors); d++) {
        runner r;
        runner_init(&r, detectors[d], false);
        r.hook = wait_for_other;
        r.o.batch = 2;
        r.o.workers = 2;
        r.o.buffer_size = 3;
        runner_add(&r, "testsrc:96x64@25,frames=80");
        runner_add(&r, "testsrc:96x64@25,frames=80,seed=2");
        runner_start(&r);
        runner_wait(&r);
        assert_int_equal(r.seen[0].frames, 80);
        assert_int_equal(r.seen[1].frames, 80);
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
    static const char *const detectors[] = {"shapes:size=64x64", "motion", "none"};
    for (size_t d = 0; d < COUNT_OF(detectors); d++) {
        runner r;
        uint64_t counts[2] = {0};
        runner_init(&r, detectors[d], true);
        r.hook = count_allocations;
        r.opaque = counts;
        runner_add(&r, "testsrc:64x64@25,frames=750,shapes=3");
        runner_start(&r);
        runner_wait(&r);
        assert_true(counts[0] > 0);
        // A worker that got its first frame late made its scratch then; five hundred frames make none.
        assert_true(counts[1] - counts[0] < 20);
        runner_done(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bytes_for_any_streams_batch_and_slots),
        cmocka_unit_test(same_bytes_without_a_network),
        cmocka_unit_test(slots_that_finish_out_of_order_change_nothing),
        cmocka_unit_test(failing_inferences_cost_their_frames_only),
        cmocka_unit_test(a_stalled_consumer_holds_up_only_its_stream),
        cmocka_unit_test(nothing_is_allocated_per_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
