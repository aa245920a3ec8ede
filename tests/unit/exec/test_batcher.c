// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The batcher alone, with made-up time: which items go, in whose turn, and when it waits. A slow model of the
// same rules, written from the header, answers random situations beside it.

#include "../testing.h"

#include "exec/batcher.h"

enum { MAX_SOURCES = 6, MAX_ITEMS = 400 };

typedef struct bench {
    fm_batcher b;
    fm_batch_source sources[MAX_SOURCES];
    fm_item items[MAX_ITEMS];
    int next;
} bench;

static void bench_init(bench *t, int sources, int max_in_flight, int size_count, const int *sizes)
{
    *t = (bench){.b = {.source_count = sources, .max_in_flight = max_in_flight, .size_count = size_count}};
    t->b.sources = t->sources;
    memcpy(t->b.sizes, sizes, (size_t)size_count * sizeof(*sizes));
    for (int i = 0; i < sources; i++) {
        t->sources[i].ring = (fm_ring){.max_items = 100, .max_bytes = SIZE_MAX};
    }
}

static fm_item *put(bench *t, int source, int64_t queued_ns)
{
    fm_item *item = &t->items[t->next++];
    *item = (fm_item){.source = source, .bytes = 10, .queued_ns = queued_ns};
    fm__ring_put(&t->sources[source].ring, item);
    t->b.queued++;
    return item;
}

static void put_many(bench *t, int source, int n)
{
    for (int i = 0; i < n; i++) {
        put(t, source, 0);
    }
}

static int ready(const bench *t, int64_t now, int64_t *wake)
{
    return fm__batcher_ready(&t->b, now, false, wake);
}

static const int sizes_125[] = {1, 2, 5};
static const int sizes_18[] = {1, 8};

static void a_ring_is_bounded_by_items_and_bytes(void **state)
{
    (void)state;
    fm_ring r = {.max_items = 3, .max_bytes = 100};
    fm_item items[4] = {{.bytes = 40}, {.bytes = 40}, {.bytes = 20}, {.bytes = 0}};
    assert_false(fm__ring_full(&r, 1000)); // the first one always fits
    fm__ring_put(&r, &items[0]);
    assert_true(fm__ring_full(&r, 61));
    assert_false(fm__ring_full(&r, 60));
    fm__ring_put(&r, &items[1]);
    assert_true(fm__ring_full(&r, 40));
    fm__ring_put(&r, &items[2]);
    assert_true(fm__ring_full(&r, 0)); // three items
    assert_int_equal(r.bytes, 100);
    for (int i = 0; i < 3; i++) {
        assert_ptr_equal(fm__ring_take(&r), &items[i]);
    }
    assert_null(fm__ring_take(&r));
    assert_true(r.count == 0 && r.bytes == 0 && !r.head && !r.tail);
    fm__ring_put(&r, &items[3]);
    assert_ptr_equal(r.head, r.tail);
}

static void sources_take_turns(void **state)
{
    (void)state;
    bench t;
    bench_init(&t, 3, 100, 3, sizes_125);
    put_many(&t, 0, 50);
    put_many(&t, 2, 3);
    int order[12], n = 0;
    fm_item *batch[5];
    while (n < 10) {
        fm__batcher_take(&t.b, batch, 5, 7);
        for (int i = 0; i < 5; i++) {
            order[n++] = batch[i]->source;
            assert_int_equal(batch[i]->taken_ns, 7);
        }
    }
    static const int want[] = {0, 2, 0, 2, 0, 2, 0, 0, 0, 0};
    assert_memory_equal(order, want, sizeof(want));
}

static void turns_go_on_from_batch_to_batch(void **state)
{
    (void)state;
    bench t;
    bench_init(&t, 4, 100, 3, sizes_125);
    for (int i = 0; i < 4; i++) {
        put_many(&t, i, 20);
    }
    int taken[4] = {0};
    uint64_t seed = 51;
    for (int round = 0; round < 30; round++) {
        fm_item *batch[2];
        int n = rnd_below(&seed, 2) + 1;
        fm__batcher_take(&t.b, batch, n, 0);
        for (int i = 0; i < n; i++) {
            taken[batch[i]->source]++;
        }
        for (int i = 1; i < 4; i++) {
            assert_true(taken[0] - taken[i] <= 1 && taken[i] <= taken[0]);
        }
    }
}

static void tickets_count_in_queue_order(void **state)
{
    (void)state;
    bench t;
    bench_init(&t, 2, 100, 3, sizes_125);
    for (int i = 0; i < 10; i++) {
        put(&t, i % 2, i);
    }
    for (int i = 0; i < 2; i++) {
        fm_item *batch[5];
        fm__batcher_take(&t.b, batch, 5, 0);
        for (int k = 0; k < 5; k++) {
            assert_int_equal(batch[k]->ticket, batch[k]->queued_ns / 2);
        }
    }
    assert_int_equal(t.b.queued, 0);
    assert_int_equal(t.sources[0].tickets, 5);
}

static fm_item *put_passing(bench *t, int source)
{
    fm_item *item = &t->items[t->next++];
    *item = (fm_item){.source = source, .bytes = 10, .passes = true};
    fm__ring_put(&t->sources[source].ring, item);
    t->b.queued++;
    return item;
}

// n: for the network, p: passes. A batch reaches over those that pass, and they keep their places.
static void items_that_pass_keep_their_places(void **state)
{
    (void)state;
    bench t;
    int64_t wake;
    bench_init(&t, 1, 100, 3, sizes_125);
    fm_item *queue[7];
    for (int i = 0; i < 7; i++) {
        queue[i] = "pnppnnp"[i] == 'p' ? put_passing(&t, 0) : put(&t, 0, 0);
    }
    fm_item *batch[5];
    assert_int_equal(ready(&t, 0, &wake), 2); // of three
    fm__batcher_take(&t.b, batch, 2, 9);
    assert_ptr_equal(batch[0], queue[1]);
    assert_ptr_equal(batch[1], queue[4]);
    static const int passed[] = {0, 2, 3};
    for (size_t i = 0; i < COUNT_OF(passed); i++) {
        assert_ptr_equal(fm__batcher_pass(&t.b, 9), queue[passed[i]]);
    }
    assert_null(fm__batcher_pass(&t.b, 9)); // the last one waits for the third
    assert_int_equal(ready(&t, 0, &wake), 1);
    fm__batcher_take(&t.b, batch, 1, 9);
    assert_ptr_equal(fm__batcher_pass(&t.b, 9), queue[6]);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(queue[i]->ticket, i);
        assert_int_equal(queue[i]->taken_ns, 9);
    }
    assert_int_equal(t.b.queued, 0);
    assert_int_equal(t.sources[0].in_flight, 7);
}

static void items_that_pass_count_in_flight(void **state)
{
    (void)state;
    bench t;
    int64_t wake;
    bench_init(&t, 1, 2, 3, sizes_125);
    put_passing(&t, 0);
    put_passing(&t, 0);
    put(&t, 0, 0);
    assert_int_equal(ready(&t, 0, &wake), 0);
    assert_non_null(fm__batcher_pass(&t.b, 0));
    assert_non_null(fm__batcher_pass(&t.b, 0));
    assert_int_equal(ready(&t, 0, &wake), 0);
    t.sources[0].in_flight--;
    assert_int_equal(ready(&t, 0, &wake), 1);
}

static void the_largest_size_that_fits_goes_at_once(void **state)
{
    (void)state;
    static const int want[] = {0, 1, 2, 2, 2, 5, 5, 5, 5, 5, 5};
    for (int n = 0; n <= 10; n++) {
        bench t;
        bench_init(&t, 1, 100, 3, sizes_125);
        put_many(&t, 0, n);
        int64_t wake = -1;
        assert_int_equal(ready(&t, 0, &wake), want[n]);
        assert_int_equal(wake, 0);
    }
}

static void a_source_in_flight_to_its_limit_gives_nothing(void **state)
{
    (void)state;
    bench t;
    int64_t wake;
    bench_init(&t, 2, 3, 3, sizes_125);
    put_many(&t, 0, 10);
    assert_int_equal(ready(&t, 0, &wake), 2);
    fm_item *batch[5];
    fm__batcher_take(&t.b, batch, 2, 0);
    assert_int_equal(ready(&t, 0, &wake), 1);
    fm__batcher_take(&t.b, batch, 1, 0);
    assert_int_equal(ready(&t, 0, &wake), 0);
    assert_int_equal(fm__batcher_ready(&t.b, 0, true, &wake), 0);
    put_many(&t, 1, 2); // the other one goes on
    assert_int_equal(ready(&t, 0, &wake), 2);
    fm__batcher_take(&t.b, batch, 2, 0);
    assert_true(batch[0]->source == 1 && batch[1]->source == 1);
    t.sources[0].in_flight--;
    assert_int_equal(ready(&t, 0, &wake), 1);
}

static void costs(bench *t, double small, double large)
{
    fm__batcher_learn(&t->b, t->b.sizes[0], (int64_t)small);
    fm__batcher_learn(
        &t->b, t->b.sizes[t->b.size_count - 1], (int64_t)(large * t->b.sizes[t->b.size_count - 1]));
}

static void without_a_measured_gain_it_never_waits(void **state)
{
    (void)state;
    static const struct {
        double small, large;
    } cases[] = {{0, 0}, {1000, 0}, {0, 100}, {1000, 1000}, {1000, 900}, {1000, 1500}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        bench t;
        int64_t wake = -1;
        bench_init(&t, 1, 100, 2, sizes_18);
        t.b.timeout_ns = 1000000;
        t.b.cost_ns[0] = cases[i].small;
        t.b.cost_ns[1] = cases[i].large;
        put(&t, 0, 100);
        assert_int_equal(ready(&t, 100, &wake), 1);
        assert_int_equal(wake, 0);
    }
}

static void with_a_measured_gain_it_waits_until_the_deadline_and_no_longer(void **state)
{
    (void)state;
    bench t;
    int64_t wake;
    bench_init(&t, 2, 100, 2, sizes_18);
    t.b.timeout_ns = 1000;
    costs(&t, 500, 100);
    put(&t, 1, 250);
    put(&t, 0, 300);
    assert_int_equal(ready(&t, 300, &wake), 0);
    assert_int_equal(wake, 1250); // from the first item of the batch
    assert_int_equal(ready(&t, 1249, &wake), 0);
    assert_int_equal(wake, 1250);
    assert_int_equal(ready(&t, 1250, &wake), 1);
    assert_int_equal(wake, 0);
    assert_int_equal(fm__batcher_ready(&t.b, 300, true, &wake), 1); // in a hurry
    put_many(&t, 0, 6);
    assert_int_equal(ready(&t, 300, &wake), 8); // full
}

static void it_does_not_wait_for_sources_that_have_ended(void **state)
{
    (void)state;
    bench t;
    int64_t wake;
    bench_init(&t, 2, 100, 2, sizes_18);
    t.b.timeout_ns = 1000;
    costs(&t, 500, 100);
    put(&t, 0, 0);
    t.sources[1].ended = true;
    assert_int_equal(ready(&t, 0, &wake), 0);
    t.sources[0].ended = true;
    assert_int_equal(ready(&t, 0, &wake), 1);
}

// The head of a stalled source is old for ever: its deadline had passed, so nobody ever waited any more.
static void a_stalled_source_does_not_end_the_others_wait(void **state)
{
    (void)state;
    bench t;
    int64_t wake;
    bench_init(&t, 2, 2, 2, sizes_18);
    t.b.timeout_ns = 1000;
    costs(&t, 500, 100);
    put(&t, 0, 0);
    t.sources[0].in_flight = 2;
    put(&t, 1, 5000);
    assert_int_equal(ready(&t, 5000, &wake), 0);
    assert_int_equal(wake, 6000);
}

// A batch larger than the ring can never fill: the wait would only cost time, at every batch.
static void a_full_ring_does_not_wait_for_what_cannot_come(void **state)
{
    (void)state;
    bench t;
    int64_t wake;
    bench_init(&t, 1, 100, 2, sizes_18);
    t.b.timeout_ns = 1000;
    costs(&t, 500, 100);
    t.sources[0].ring.max_items = 4;
    put_many(&t, 0, 3);
    assert_int_equal(ready(&t, 0, &wake), 0);
    put_many(&t, 0, 1);
    assert_int_equal(ready(&t, 0, &wake), 1);
    bench_init(&t, 1, 4, 2, sizes_18); // the flight is as full as it may be
    t.b.timeout_ns = 1000;
    costs(&t, 500, 100);
    put_many(&t, 0, 4);
    assert_int_equal(ready(&t, 0, &wake), 1);
    bench_init(&t, 1, 100, 2, sizes_18); // no room for the bytes of another one
    t.b.timeout_ns = 1000;
    costs(&t, 500, 100);
    t.sources[0].ring.max_bytes = 35;
    put_many(&t, 0, 3);
    assert_int_equal(ready(&t, 0, &wake), 1);
}

static void costs_are_smoothed(void **state)
{
    (void)state;
    bench t;
    bench_init(&t, 1, 100, 3, sizes_125);
    fm__batcher_learn(&t.b, 5, 5000);
    assert_true(t.b.cost_ns[2] == 1000);
    fm__batcher_learn(&t.b, 5, 13000);
    assert_true(t.b.cost_ns[2] > 1000 && t.b.cost_ns[2] < 1600);
    for (int i = 0; i < 100; i++) {
        fm__batcher_learn(&t.b, 5, 10000);
    }
    assert_true(t.b.cost_ns[2] > 1990 && t.b.cost_ns[2] < 2010);
    fm__batcher_learn(&t.b, 3, 99); // a size that is none of the network's
    assert_true(t.b.cost_ns[0] == 0 && t.b.cost_ns[1] == 0);
}

// The rules once more, slowly: how many may go, and until when to wait.
static int model_ready(const bench *t, int64_t now, bool hurry, int64_t *wake)
{
    const fm_batcher *b = &t->b;
    int may_go = 0, size = 0, at = 0;
    int64_t first = INT64_MAX;
    bool may_come = false;
    for (int i = 0; i < b->source_count; i++) {
        const fm_batch_source *s = &b->sources[i];
        int left = b->max_in_flight - s->in_flight;
        for (const fm_item *item = s->ring.head; item && left > 0; item = item->next, left--) {
            may_go++;
            first = item->queued_ns < first ? item->queued_ns : first;
        }
        may_come |= !s->ended && left > 0 && s->ring.count < s->ring.max_items;
    }
    *wake = 0;
    for (int i = 0; i < b->size_count; i++) {
        if (b->sizes[i] <= may_go) {
            size = b->sizes[i];
            at = i;
        }
    }
    double here = b->cost_ns[at], best = b->cost_ns[b->size_count - 1];
    bool gain = at < b->size_count - 1 && here > 0 && best > 0 && here > 1.15 * best;
    if (size > 0 && gain && may_come && !hurry && now < first + b->timeout_ns) {
        *wake = first + b->timeout_ns;
        return 0;
    }
    return size;
}

static void random_situations_equal_the_model(void **state)
{
    (void)state;
    uint64_t seed = 52;
    for (int round = 0; round < 3000; round++) {
        static bench t;
        bench_init(&t, rnd_below(&seed, MAX_SOURCES) + 1, rnd_below(&seed, 12) + 1, 3, sizes_125);
        t.b.timeout_ns = rnd_below(&seed, 100);
        for (int i = 0; i < 3; i++) {
            t.b.cost_ns[i] = rnd_below(&seed, 4) * 100;
        }
        int64_t now = 0;
        for (int i = 0; i < t.b.source_count; i++) {
            t.sources[i].ring.max_items = rnd_below(&seed, 6) + 1;
        }
        for (int step = 0; step < 40; step++) {
            int source = rnd_below(&seed, t.b.source_count);
            fm_batch_source *s = &t.sources[source];
            now += rnd_below(&seed, 20);
            int what = rnd_below(&seed, 8);
            if (what < 5 && !s->ended && s->ring.count < s->ring.max_items) {
                put(&t, source, now);
            } else if (what == 5 && s->in_flight > 0) {
                s->in_flight--;
            } else if (what == 6 && rnd_below(&seed, 10) == 0) {
                s->ended = true;
            }
            bool hurry = rnd_below(&seed, 10) == 0;
            int64_t wake, model_wake;
            int n = fm__batcher_ready(&t.b, now, hurry, &wake);
            assert_int_equal(n, model_ready(&t, now, hurry, &model_wake));
            assert_int_equal(wake, model_wake);
            if (n > 0 && rnd_below(&seed, 2)) {
                fm_item *batch[5];
                fm__batcher_take(&t.b, batch, n, now);
            }
            int queued = 0;
            for (int i = 0; i < t.b.source_count; i++) {
                assert_true(t.sources[i].in_flight <= t.b.max_in_flight);
                queued += t.sources[i].ring.count;
            }
            assert_int_equal(queued, t.b.queued);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ring_is_bounded_by_items_and_bytes),
        cmocka_unit_test(sources_take_turns),
        cmocka_unit_test(turns_go_on_from_batch_to_batch),
        cmocka_unit_test(tickets_count_in_queue_order),
        cmocka_unit_test(items_that_pass_keep_their_places),
        cmocka_unit_test(items_that_pass_count_in_flight),
        cmocka_unit_test(the_largest_size_that_fits_goes_at_once),
        cmocka_unit_test(a_source_in_flight_to_its_limit_gives_nothing),
        cmocka_unit_test(without_a_measured_gain_it_never_waits),
        cmocka_unit_test(with_a_measured_gain_it_waits_until_the_deadline_and_no_longer),
        cmocka_unit_test(it_does_not_wait_for_sources_that_have_ended),
        cmocka_unit_test(a_stalled_source_does_not_end_the_others_wait),
        cmocka_unit_test(a_full_ring_does_not_wait_for_what_cannot_come),
        cmocka_unit_test(costs_are_smoothed),
        cmocka_unit_test(random_situations_equal_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
