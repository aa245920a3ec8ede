// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The trace's promises that a whole run does not show: threads that append side by side while it is written,
// a bound that holds, a loss that leaves what came before whole, no memory.

#include "../testing.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "base/thread.h"
#include "base/trace.h"

#include <framemill/memory.h>

#include <stdatomic.h>

enum { THREADS = 4, EACH = 5000 };

typedef struct adder {
    fm_trace *t;
    uint32_t stream;
    atomic_int *ready;
} adder;

// Events 10 ns apart: thread s's n-th ends at 1e15 + 10 n + s.
static fm_trace_event event_of(uint32_t stream, uint64_t n)
{
    int64_t at = INT64_C(1000000000000000) + (int64_t)(10 * n + stream);
    return (fm_trace_event){.name = "step",
        .kind = FM_TRACE_SPAN,
        .begin_ns = at - 4,
        .end_ns = at,
        .stream = stream,
        .frame = n};
}

static void *add_all(void *arg)
{
    const adder *a = arg;
    atomic_fetch_add(a->ready, 1);
    for (uint64_t n = 0; n < EACH; n++) {
        fm_trace_event e = event_of(a->stream, n);
        fm__trace_add(a->t, &e);
    }
    return NULL;
}

static const char *const names[THREADS] = {"s0", "s1", "s2", "s3"};

static char *written(fm_trace *t)
{
    char *dir = make_dir(), *path = fm__path_join(FM_TAG_BASE, dir, "t.json"), *text = NULL;
    size_t len;
    assert_int_equal(fm__trace_write(t, path, names, THREADS, NULL), FM_OK);
    assert_int_equal(fm__file_read(FM_TAG_APP, path, (size_t)1 << 28, &text, &len, NULL), FM_OK);
    fm__free(path);
    drop_dir(dir);
    return text;
}

// Frames of a stream that stand in the text, which must be 0, 1, 2, ...
static uint64_t frames_of(const char *text, const char *stream)
{
    char key[64];
    uint64_t n = 0;
    snprintf(key, sizeof(key), "{\"stream\":\"%s\",\"frame\":", stream);
    for (const char *at = strstr(text, key); at; at = strstr(at + 1, key)) {
        assert_int_equal(strtoull(at + strlen(key), NULL, 10), n);
        n++;
    }
    return n;
}

static void run_threads(fm_trace *t, char **midway)
{
    pthread_t threads[THREADS];
    adder adders[THREADS];
    atomic_int ready = 0;
    for (uint32_t i = 0; i < THREADS; i++) {
        char name[16];
        adders[i] = (adder){t, i, &ready};
        snprintf(name, sizeof(name), "adder-%d", (int)(i & 0xff));
        assert_int_equal(fm__thread_start(&threads[i], name, add_all, &adders[i], NULL), FM_OK);
    }
    *midway = written(t);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void threads_append_while_it_is_written(void **state)
{
    (void)state;
    fm_trace *t = NULL;
    char *midway = NULL;
    assert_int_equal(fm__trace_new(THREADS * (EACH + 1024), &t, NULL), FM_OK);
    run_threads(t, &midway);
    char *text = written(t);
    assert_int_equal(fm__trace_lost(t), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_in_range(frames_of(midway, names[i]), 0, EACH);
        assert_int_equal(frames_of(text, names[i]), EACH);
        char thread[40];
        snprintf(thread, sizeof(thread), "\"name\":\"adder-%d\"", i);
        assert_non_null(strstr(text, thread));
    }
    fm__free(midway);
    fm__free(text);
    fm__trace_free(&t);
}

static uint64_t held(void)
{
    fm_memory_stat stats[FM_TAG_COUNT];
    size_t n = fm_memory_stats(stats, FM_TAG_COUNT);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(stats[i].module, "base") == 0) {
            return stats[i].current_bytes;
        }
    }
    return 0;
}

// What is written ends for all threads at the first loss: nobody's event is there that ended later.
static void a_full_trace_ends_for_all_at_once(void **state)
{
    (void)state;
    fm_trace *t = NULL;
    char *midway = NULL;
    uint64_t before = held();
    assert_int_equal(fm__trace_new(6 * 1024, &t, NULL), FM_OK);
    run_threads(t, &midway);
    assert_in_range(held() - before, 1, (6 * 1024 + 64) * sizeof(fm_trace_event));
    assert_true(fm__trace_lost(t) > 0);
    char *text = written(t);
    uint64_t least = UINT64_MAX, most = 0, sum = 0;
    for (int i = 0; i < THREADS; i++) {
        uint64_t n = frames_of(text, names[i]);
        least = n < least ? n : least;
        most = n > most ? n : most;
        sum += n;
    }
    // A thread that had not begun when the others filled it may have nothing.
    assert_true(sum <= 6 * 1024 && most <= 6 * 1024 && least <= most);
    fm__free(midway);
    fm__free(text);
    fm__trace_free(&t);
    assert_int_equal(held(), before);
}

// One thread, so that it is known which event is the first without room.
static void what_came_before_a_loss_is_whole(void **state)
{
    (void)state;
    fm_trace *t = NULL;
    atomic_int ready = 0;
    assert_int_equal(fm__trace_new(2048, &t, NULL), FM_OK);
    adder a = {t, 1, &ready};
    add_all(&a);
    char *text = written(t);
    assert_int_equal(frames_of(text, "s1"), 2048);
    assert_int_equal(fm__trace_lost(t), EACH - 2048);
    fm_trace_event early = event_of(0, 5); // its thread was late to tell
    fm__trace_add(t, &early);
    assert_int_equal(fm__trace_lost(t), EACH - 2048 + 1);
    fm__free(text);
    text = written(t);
    assert_int_equal(frames_of(text, "s1"), 5); // and so all that ended after it is left out
    fm__free(text);
    fm__trace_free(&t);
}

static void without_memory_events_are_lost_and_counted(void **state)
{
    (void)state;
    fm_trace *t = NULL;
    fm_error err;
    fm__alloc_fail_at(1, true);
    assert_int_equal(fm__trace_new(1024, &t, &err), FM_NOMEM);
    fm__alloc_fail_at(0, false);
    for (uint64_t nth = 1; nth <= 2; nth++) { // the thread's list, its first chunk
        assert_int_equal(fm__trace_new(1024, &t, NULL), FM_OK);
        fm__alloc_fail_at(nth, true);
        fm_trace_event e = event_of(0, 0);
        fm__trace_add(t, &e);
        fm__alloc_fail_at(0, false);
        assert_int_equal(fm__trace_lost(t), 1);
        fm__trace_free(&t);
    }
    assert_int_equal(fm__trace_new(1024, &t, NULL), FM_OK);
    fm__alloc_fail_at(1, true);
    assert_int_equal(fm__trace_write(t, "/nonexistent/t.json", NULL, 0, &err), FM_NOMEM);
    fm__alloc_fail_at(0, false);
    assert_true(fm__trace_write(t, "/nonexistent/t.json", NULL, 0, &err) < 0);
    assert_non_null(strstr(err.msg, "/nonexistent/t.json"));
    fm__trace_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_append_while_it_is_written),
        cmocka_unit_test(a_full_trace_ends_for_all_at_once),
        cmocka_unit_test(what_came_before_a_loss_is_whole),
        cmocka_unit_test(without_memory_events_are_lost_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
