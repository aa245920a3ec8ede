// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// How runs and streams end: by themselves, by a limit, by a failure of one stream's source or sink beside
// good ones, by a stop at any moment, with draining or without. Always in bounded time and with whole lines.

#include "../testing.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread.h"
#include "runner.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void a_failing_stream_leaves_the_others(void **state)
{
    (void)state;
    static const char *const detectors[] = {"none", "shapes:size=64x64"};
    for (size_t d = 0; d < COUNT_OF(detectors); d++) {
        runner r;
        runner_init(&r, detectors[d], true);
        runner_add(&r, "testsrc:64x48@25,frames=30");
        runner_add(&r, "/nonexistent/video.mp4");
        runner_add(&r, "testsrc:0x0@25");
        runner_add(&r, "testsrc:64x48@25,frames=30,seed=2");
        runner_start(&r);
        runner_wait(&r);
        for (int i = 0; i < 4; i++) {
            size_t lines = 0;
            bool good = i == 0 || i == 3;
            char *text = runner_lines(&r, i, true, &lines);
            assert_true(good == (text != NULL)); // a source that does not open leaves no file
            assert_int_equal(lines, good ? 30 : 0);
            assert_true(good == (runner_report(&r, i).error == NULL));
            fm__free(text);
        }
        assert_non_null(strstr(runner_report(&r, 1).error, "/nonexistent/video.mp4"));
        fm_run_progress p;
        fm_run_progress_get(r.run, &p);
        assert_int_equal(p.failed, 2);
        assert_int_equal(p.active, 0);
        assert_int_equal(p.frames, 60);
        runner_done(&r);
    }
}

static void a_sink_that_does_not_open_ends_its_stream_only(void **state)
{
    (void)state;
    runner r;
    char path[600];
    runner_init(&r, "none", true);
    snprintf(path, sizeof(path), "%s/s1.jsonl", r.dir);
    assert_int_equal(mkdir(path, 0755), 0); // a folder stands where the file should
    for (int i = 0; i < 3; i++) {
        runner_add(&r, "testsrc:64x48@25,frames=30,seed=%d", i + 1);
    }
    runner_start(&r);
    runner_wait(&r);
    assert_non_null(runner_report(&r, 1).error);
    assert_non_null(strstr(runner_report(&r, 1).error, "s1.jsonl"));
    assert_int_equal(runner_report(&r, 1).frames, 0);
    for (int i = 0; i < 3; i += 2) {
        assert_int_equal(runner_report(&r, i).frames, 30);
        assert_null(runner_report(&r, i).error);
    }
    runner_done(&r);
}

// As a full disk: the long stream's file meets the limit, the short one's does not.
static void a_sink_that_fails_in_the_middle_leaves_whole_lines(void **state)
{
    (void)state;
    runner r;
    runner_init(&r, "none", true);
    runner_add(&r, "testsrc:64x48@25,frames=400");
    runner_add(&r, "testsrc:64x48@25,frames=10");
    struct rlimit limit, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 8192;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    runner_start(&r);
    runner_wait(&r);
    setrlimit(RLIMIT_FSIZE, &limit);
    size_t lines = 0;
    char *text = runner_lines(&r, 0, true, &lines);
    assert_non_null(text);
    assert_true(lines > 20 && lines < 400);
    assert_non_null(strstr(runner_report(&r, 0).error, "s0.jsonl"));
    assert_int_equal(r.seen[0].frames, 400); // its other sink goes on
    assert_null(runner_report(&r, 1).error);
    assert_int_equal(runner_report(&r, 1).frames, 10);
    fm__free(text);
    runner_done(&r);
}

static void a_limit_of_frames_ends_endless_streams(void **state)
{
    (void)state;
    runner r;
    runner_init(&r, "none", true);
    r.o.max_frames = 17;
    runner_add(&r, "testsrc:64x48@25");
    runner_add(&r, "testsrc:64x48@25,frames=5");
    runner_start(&r);
    runner_wait(&r);
    assert_int_equal(runner_report(&r, 0).frames, 17);
    assert_int_equal(runner_report(&r, 1).frames, 5);
    assert_null(runner_report(&r, 0).error);
    fm_run_progress p;
    fm_run_progress_get(r.run, &p);
    assert_int_equal(p.expected, 22);
    runner_done(&r);
}

static void stop_once(uint64_t *seed, bool drain)
{
    static const char *const detectors[] = {"none", "motion", "shapes:size=64x48",
        "shapes:size=64x48:delay_us=2000", "shapes:size=64x48:fail_every=2:delay_us=500"};
    runner r;
    runner_init(&r, detectors[rnd_below(seed, (int)COUNT_OF(detectors))], true);
    r.o.batch = rnd_below(seed, 4) + 1;
    r.o.workers = rnd_below(seed, 3) + 1;
    r.o.buffer_size = rnd_below(seed, 8) + 1;
    r.o.realtime = rnd_below(seed, 4) == 0;
    int streams = rnd_below(seed, 4) + 1;
    for (int i = 0; i < streams; i++) {
        runner_add(&r, "testsrc:64x48@%d,seed=%d", rnd_below(seed, 2) ? 25 : 200, i + 1);
    }
    runner_start(&r);
    runner_wait_results(&r, (uint64_t)rnd_below(seed, 60));
    int64_t begin = fm__now_ns();
    fm_run_stop(r.run, drain);
    if (rnd_below(seed, 2)) {
        fm_run_stop(r.run, false); // the second Ctrl-C
    }
    runner_wait(&r);
    assert_true(fm__now_ns() - begin < 20 * FM_NS_PER_S);
    for (int i = 0; i < streams; i++) {
        size_t lines = 0;
        fm__free(runner_lines(&r, i, !r.o.realtime, &lines));
        fm_stream_report report = runner_report(&r, i);
        assert_int_equal(lines, report.frames);
        assert_int_equal(r.seen[i].frames, lines);
        assert_int_equal(r.seen[i].backwards, 0);
        assert_true(report.error == NULL || r.seen[i].errors > 0); // to be stopped is no failure
    }
    runner_done(&r);
}

static void a_stop_at_any_moment_ends_the_run_with_whole_lines(void **state)
{
    (void)state;
    uint64_t seed = 61;
    int64_t begin = fm__now_ns();
    int n = 0;
    for (; n < 60 && fm__now_ns() - begin < 5 * FM_NS_PER_S; n++) {
        stop_once(&seed, n % 2);
    }
    print_message("%d stops\n", n);
    assert_true(n > 6);
}

static void stop_in_callback(runner *r, int stream, uint64_t nth)
{
    (void)stream;
    if (nth == 10) {
        fm_run_stop(r->run, *(bool *)r->opaque);
    }
}

static void a_result_callback_may_stop_the_run(void **state)
{
    (void)state;
    for (int drain = 0; drain < 2; drain++) {
        static const char *const detectors[] = {"none", "shapes:size=64x48"};
        for (size_t d = 0; d < COUNT_OF(detectors); d++) {
            bool mode = drain;
            runner r;
            runner_init(&r, detectors[d], false);
            r.hook = stop_in_callback;
            r.opaque = &mode;
            runner_add(&r, "testsrc:64x48@25");
            runner_add(&r, "testsrc:64x48@25,seed=2");
            // The hook may come before runner_start has returned: the run is made first.
            fm_error err;
            assert_int_equal(fm_run_new(&r.o, &r.run, &err), FM_OK);
            assert_int_equal(fm_run_start(r.run, &err), FM_OK);
            runner_wait(&r);
            assert_true(r.seen[0].frames > 10 || r.seen[1].frames > 10);
            runner_done(&r);
        }
    }
}

static void a_run_that_never_started_or_still_runs_is_freed(void **state)
{
    (void)state;
    fm_error err;
    runner r;
    runner_init(&r, "shapes:size=64x48", false);
    runner_add(&r, "testsrc:64x48@25");
    assert_int_equal(fm_run_new(&r.o, &r.run, &err), FM_OK);
    runner_done(&r);
    runner_init(&r, "shapes:size=64x48", true);
    runner_add(&r, "testsrc:64x48@25");
    runner_start(&r);
    runner_wait_results(&r, 5);
    assert_int_equal(fm_run_wait(r.run, 0), FM_AGAIN);
    runner_done(&r);
    fm_run_free(NULL);
}

static void a_run_stopped_before_its_start_ends_at_once(void **state)
{
    (void)state;
    for (int drain = 0; drain < 2; drain++) {
        fm_error err;
        runner r;
        runner_init(&r, "shapes:size=64x48", true);
        runner_add(&r, "testsrc:64x48@25");
        runner_add(&r, "testsrc:64x48@25,seed=2");
        assert_int_equal(fm_run_new(&r.o, &r.run, &err), FM_OK);
        fm_run_stop(r.run, drain);
        assert_int_equal(fm_run_start(r.run, &err), FM_OK);
        runner_wait(&r);
        assert_int_equal(r.total, 0);
        assert_null(runner_report(&r, 0).error);
        runner_done(&r);
    }
}

static void realtime_paces_by_the_streams_clock(void **state)
{
    (void)state;
    runner r;
    runner_init(&r, "none", true);
    r.o.realtime = true;
    runner_add(&r, "testsrc:64x48@50,frames=26");
    runner_start(&r);
    runner_wait(&r);
    fm_stream_report report = runner_report(&r, 0);
    assert_int_equal(report.frames + report.dropped, 26);
    assert_true(
        r.seen[0].last_ns - r.seen[0].first_ns >= 400 * FM_NS_PER_MS); // 25 steps of 20 ms, one may lag
    runner_done(&r);
}

static void realtime_drops_what_it_cannot_do_and_counts_it(void **state)
{
    (void)state;
    runner r;
    runner_init(&r, "shapes:size=64x48:delay_us=30000", true);
    r.o.realtime = true;
    r.o.batch = 1;
    r.o.workers = 1;
    r.o.buffer_size = 2;
    runner_add(&r, "testsrc:64x48@200,frames=150");
    runner_start(&r);
    runner_wait(&r);
    fm_stream_report report = runner_report(&r, 0);
    size_t lines = 0;
    fm__free(runner_lines(&r, 0, false, &lines));
    assert_int_equal(lines, report.frames);
    assert_int_equal(report.frames + report.dropped, 150);
    assert_true(report.dropped > 50);
    assert_true(report.frames >= 2);
    assert_int_equal(r.seen[0].next, 150); // the newest are kept
    assert_int_equal(r.seen[0].backwards, 0);
    assert_null(report.error);
    runner_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failing_stream_leaves_the_others),
        cmocka_unit_test(a_sink_that_does_not_open_ends_its_stream_only),
        cmocka_unit_test(a_sink_that_fails_in_the_middle_leaves_whole_lines),
        cmocka_unit_test(a_limit_of_frames_ends_endless_streams),
        cmocka_unit_test(a_stop_at_any_moment_ends_the_run_with_whole_lines),
        cmocka_unit_test(a_result_callback_may_stop_the_run),
        cmocka_unit_test(a_run_that_never_started_or_still_runs_is_freed),
        cmocka_unit_test(a_run_stopped_before_its_start_ends_at_once),
        cmocka_unit_test(realtime_paces_by_the_streams_clock),
        cmocka_unit_test(realtime_drops_what_it_cannot_do_and_counts_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
