// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Streams that come and go while a run goes on, as callers of the library do it: from several threads, into
// places that others have left, while somebody asks for the progress. Every frame of every stream comes once
// and in order, whatever was done beside it.

#include "../pipeline/runner.h"

#include "../testing.h"

#include <framemill/run.h>

#include <pthread.h>

#define SHORT "testsrc:64x48@25,frames=20"

static void put_in(runner *r, const char *name, const char *url)
{
    fm_error err = {0};
    fm_stream_opts so = {.url = url, .name = name};
    if (fm_run_stream_add(r->run, &so, &err) != FM_OK) {
        fail_msg("%s: %s", name, err.msg);
    }
}

// Waits until so many streams are left.
static void wait_active(runner *r, int active)
{
    fm_run_progress p;
    for (int i = 0; i < 12000; i++) {
        fm_run_progress_get(r->run, &p);
        if (p.active <= active) {
            return;
        }
        (void)fm_run_wait(r->run, 5); // what ends is seen above
    }
    fail_msg("%d streams are still there", p.active);
}

static void refused(runner *r, const char *name, const char *url, fm_status want, const char *part)
{
    fm_error err = {0};
    fm_stream_opts so = {.url = url, .name = name};
    assert_int_equal(fm_run_stream_add(r->run, &so, &err), want);
    if (!strstr(err.msg, part)) {
        fail_msg("'%s' instead of '...%s...'", err.msg, part);
    }
}

static void places_are_used_again(void **state)
{
    (void)state;
    runner r;
    runner_init(&r, "shapes", false);
    runner_add(&r, "%s", "testsrc:64x48@25");
    r.o.realtime = true; // s0 goes on while the others come and go
    r.o.max_streams = 3;
    runner_start(&r);
    for (int i = 0; i < 12; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%d", i);
        put_in(&r, name, "testsrc:64x48@200,frames=20");
        wait_active(&r, 2);
    }
    assert_true(fm_run_stream_count(r.run) <= 3);
    refused(&r, "x", "nowhere.mp4", FM_NOTFOUND, "nowhere.mp4");
    refused(&r, "x", "concat:a", FM_DENIED, "scheme");
    refused(&r, "s0", SHORT, FM_BUSY, "has not ended");
    assert_int_equal(fm_run_stream_remove(r.run, "nobody", NULL), FM_NOTFOUND);
    assert_int_equal(fm_run_stream_remove(r.run, "s0", NULL), FM_OK);
    assert_int_equal(fm_run_wait(r.run, 60000), FM_OK);
    fm_run_progress p;
    fm_run_progress_get(r.run, &p);
    assert_true(p.frames + p.dropped >= 12 * 20 && p.active == 0);
    refused(&r, "late", SHORT, FM_CANCELED, "has ended");
    runner_done(&r);
}

// Nothing at first, then one, then another when the first has ended; it ends when it is told to.
static void it_stays_without_streams(void **state)
{
    (void)state;
    runner r;
    runner_init(&r, "shapes", false);
    fm_error err = {0};
    assert_int_equal(fm_run_new(&r.o, &r.run, &err), FM_INVAL);
    r.o.stays = true;
    runner_start(&r);
    fm_run_progress p;
    for (int i = 0; i < 2; i++) {
        put_in(&r, i ? "second" : "first", SHORT);
        wait_active(&r, 0);
        assert_int_equal(fm_run_wait(r.run, 0), FM_AGAIN);
        fm_stream_report s;
        assert_int_equal(fm_run_stream_report(r.run, (size_t)i, &s), FM_OK);
        assert_true(s.ended && s.frames == 20 && s.expected == 20 && s.queued == 0);
    }
    fm_run_progress_get(r.run, &p);
    assert_int_equal(p.frames, 40);
    fm_run_stop(r.run, true);
    assert_int_equal(fm_run_wait(r.run, 60000), FM_OK);
    runner_done(&r);
}

static void files_are_not_lost(void **state)
{
    (void)state;
    runner r;
    runner_init(&r, "none", true);
    runner_add(&r, "%s", "testsrc:64x48@25");
    r.o.realtime = true;
    r.o.max_streams = 4;
    runner_start(&r);
    put_in(&r, "s1", "testsrc:64x48@200,frames=5");
    wait_active(&r, 1);
    refused(&r, "s1", "testsrc:64x48@200,frames=6", FM_INVAL, "is there already");
    fm_run_stop(r.run, true);
    assert_int_equal(fm_run_wait(r.run, 60000), FM_OK);
    size_t lines = 0;
    char path[600];
    snprintf(path, sizeof(path), "%s/s1.jsonl", r.dir);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    for (int c; (c = fgetc(f)) != EOF;) {
        lines += c == '\n';
    }
    fclose(f);
    assert_int_equal(lines, 5);
    runner_done(&r);
}

static void a_paused_file_loses_nothing(void **state)
{
    (void)state;
    runner r;
    runner_init(&r, "shapes", false);
    runner_add(&r, "%s", "testsrc:64x48@200,frames=400");
    runner_add(&r, "%s", "testsrc:64x48@200,frames=60");
    runner_start(&r);
    assert_int_equal(fm_run_stream_pause(r.run, "s0", true, NULL), FM_OK);
    wait_active(&r, 1); // the other one goes on to its end
    assert_int_equal(fm_run_wait(r.run, 50), FM_AGAIN);
    assert_true(runner_report(&r, 0).frames < 400);
    assert_int_equal(fm_run_stream_pause(r.run, "s0", false, NULL), FM_OK);
    runner_wait(&r);
    for (int i = 0; i < 2; i++) {
        assert_true(r.seen[i].frames == (i ? 60 : 400) && r.seen[i].gaps == 0 && r.seen[i].backwards == 0);
    }
    assert_int_equal(fm_run_stream_pause(r.run, "s0", true, NULL), FM_NOTFOUND);
    runner_done(&r);
}

typedef struct changer {
    runner *r;
    int number;
} changer;

static void *change(void *opaque)
{
    changer *c = opaque;
    for (int i = 0; i < 25; i++) {
        char name[16];
        snprintf(name, sizeof(name), "t%d-%d", c->number, i % 3);
        fm_stream_opts so = {.url = i % 2 ? "testsrc:64x48@500" : "testsrc:64x48@500,frames=7", .name = name};
        fm_status st = fm_run_stream_add(c->r->run, &so, NULL);
        assert_true(st == FM_OK || st == FM_BUSY || st == FM_CANCELED);
        st = fm_run_stream_pause(c->r->run, name, i % 5 == 0, NULL);
        assert_true(st == FM_OK || st == FM_NOTFOUND); // it may have ended
        st = fm_run_stream_remove(c->r->run, name, NULL);
        assert_true(st == FM_OK || st == FM_NOTFOUND);
    }
    return NULL;
}

// A stop in the middle of it all ends the run, and every stream in it.
static void many_change_it_at_once(void **state)
{
    (void)state;
    for (int stop = 0; stop < 2; stop++) {
        runner r;
        runner_init(&r, "shapes", false);
        runner_add(&r, "%s", "testsrc:64x48@100");
        r.o.realtime = true;
        r.o.max_streams = 5;
        runner_start(&r);
        changer changers[3];
        pthread_t threads[3];
        for (int i = 0; i < 3; i++) {
            changers[i] = (changer){.r = &r, .number = i};
            assert_int_equal(pthread_create(&threads[i], NULL, change, &changers[i]), 0);
        }
        if (stop) {
            runner_wait_results(&r, 3);
            fm_run_stop(r.run, false);
        }
        for (int i = 0; i < 3; i++) {
            pthread_join(threads[i], NULL);
        }
        fm_run_stop(r.run, true);
        assert_int_equal(fm_run_wait(r.run, 60000), FM_OK);
        assert_true(r.seen[0].backwards == 0);
        fm_run_progress p;
        fm_run_progress_get(r.run, &p);
        assert_int_equal(p.active, 0);
        runner_done(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_used_again),
        cmocka_unit_test(it_stays_without_streams),
        cmocka_unit_test(files_are_not_lost),
        cmocka_unit_test(a_paused_file_loses_nothing),
        cmocka_unit_test(many_change_it_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
