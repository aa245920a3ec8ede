// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Turns alone: never more at a time than there are, and nobody sleeps while one is free. Threads write down
// what they see; the main thread asserts.

#include "../testing.h"

#include "exec/turns.h"

#include <pthread.h>
#include <sched.h>

enum { TAKERS = 6, ROUNDS = 5000 };

typedef struct taker {
    fm_turn_taker turn; // first
    fm_turns *turns;
    pthread_mutex_t lock;
    pthread_cond_t work;
    pthread_t thread;
    int done;
} taker;

static atomic_int running, most, wrong;

static void wake(void *opaque)
{
    taker *t = opaque;
    pthread_mutex_lock(&t->lock);
    pthread_cond_signal(&t->work);
    pthread_mutex_unlock(&t->lock);
}

static void use(int limit)
{
    int now = atomic_fetch_add(&running, 1) + 1, seen = atomic_load(&most);
    while (now > seen && !atomic_compare_exchange_weak(&most, &seen, now)) {
    }
    if (now > limit) {
        atomic_fetch_add(&wrong, 1);
    }
    sched_yield();
    atomic_fetch_sub(&running, 1);
}

static atomic_int limit;

static void *run(void *opaque)
{
    taker *t = opaque;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&t->lock);
        while (!fm__turns_take(t->turns, &t->turn)) {
            pthread_cond_wait(&t->work, &t->lock); // for ever, where a wake-up is lost
        }
        pthread_mutex_unlock(&t->lock);
        use(atomic_load(&limit));
        fm__turns_give(t->turns);
        t->done++;
    }
    return NULL;
}

static void never_more_at_a_time_and_none_is_lost(void **state)
{
    (void)state;
    for (int count = 1; count <= 3; count++) {
        taker takers[TAKERS];
        fm_turns *turns = NULL;
        assert_int_equal(fm__turns_new(count, &turns, NULL), FM_OK);
        atomic_store(&limit, count);
        atomic_store(&most, 0);
        for (int i = 0; i < TAKERS; i++) {
            takers[i] = (taker){.turn = {.wake = wake, .opaque = &takers[i]}, .turns = turns};
            pthread_mutex_init(&takers[i].lock, NULL);
            pthread_cond_init(&takers[i].work, NULL);
            fm__turns_join(turns, &takers[i].turn);
        }
        for (int i = 0; i < TAKERS; i++) {
            assert_int_equal(pthread_create(&takers[i].thread, NULL, run, &takers[i]), 0);
        }
        for (int i = 0; i < TAKERS; i++) {
            pthread_join(takers[i].thread, NULL);
            assert_int_equal(takers[i].done, ROUNDS);
            fm__turns_leave(turns, &takers[i].turn);
            pthread_mutex_destroy(&takers[i].lock);
            pthread_cond_destroy(&takers[i].work);
        }
        assert_int_equal(atomic_load(&wrong), 0);
        assert_true(atomic_load(&most) >= 1);
        fm__turns_free(&turns);
        assert_null(turns);
    }
}

static int woken;

static void count_wake(void *opaque)
{
    (void)opaque;
    woken++;
}

static void only_those_that_wait_are_woken(void **state)
{
    (void)state;
    fm_turns *turns = NULL;
    fm_turn_taker a = {.wake = count_wake}, b = {.wake = count_wake};
    assert_int_equal(fm__turns_new(1, &turns, NULL), FM_OK);
    fm__turns_join(turns, &a);
    fm__turns_join(turns, &b);
    assert_true(fm__turns_take(turns, &a));
    fm__turns_give(turns);
    assert_int_equal(woken, 0);
    assert_true(fm__turns_take(turns, &a));
    assert_false(fm__turns_take(turns, &b));
    fm__turns_give(turns);
    assert_int_equal(woken, 1);
    assert_true(fm__turns_take(turns, &b));
    fm__turns_give(turns);
    assert_int_equal(woken, 1);
    fm__turns_leave(turns, &a);
    fm__turns_leave(turns, &b);
    fm__turns_free(&turns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_more_at_a_time_and_none_is_lost),
        cmocka_unit_test(only_those_that_wait_are_woken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
