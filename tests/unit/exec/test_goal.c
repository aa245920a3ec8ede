// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Batches under a latency goal, with made-up time: live cameras send frames into the batcher, a device whose
// times are a formula takes what it allows. What counts is how many frames come out within the goal; every
// fixed setting of batch and timeout runs against it under the same load.

#include "../testing.h"

#include "exec/batcher.h"

enum { MS = 1000000, CAMERAS = 8, RING = 30, MAX_ITEMS = 40000, MAX_BATCH = 16 };
static const int64_t LEARNING = (int64_t)2000 * MS; // frames of this time do not count

typedef struct device {
    const char *name;
    double base_ms, row_ms; // of a batch
    int size_count, sizes[FM_NET_MAX_SIZES];
} device;

static const device gpu = {"gpu", 6, 0.5, 5, {1, 2, 4, 8, 16}};
static const device cpu = {"cpu", 0, 4, 2, {1, 8}};
static const device both = {"in between", 3, 2, 3, {1, 4, 8}};

typedef struct sim {
    fm_batcher b;
    fm_batch_source sources[CAMERAS];
    fm_item items[MAX_ITEMS];
    int next_item;
    int64_t next_ns[CAMERAS];
    uint64_t seed;
    int good, done, dropped;
} sim;

static int64_t infer_ns(const device *d, int rows, uint64_t *seed)
{
    double ms = d->base_ms + d->row_ms * rows;
    return (int64_t)(ms * MS * (0.95 + 0.1 * rnd_below(seed, 1000) / 1000.0));
}

static void arrive(sim *s, int camera, int64_t now)
{
    fm_batch_source *src = &s->sources[camera];
    fm_item *item = &s->items[s->next_item++ % MAX_ITEMS];
    if (src->ring.count == RING) { // as a live source
        (void)fm__ring_take(&src->ring);
        s->b.queued--;
        s->dropped++;
    }
    *item = (fm_item){.source = camera, .queued_ns = now};
    fm__ring_put(&src->ring, item);
    s->b.queued++;
}

static int64_t first_arrival(const sim *s, int *camera)
{
    int64_t first = INT64_MAX;
    for (int i = 0; i < CAMERAS; i++) {
        if (s->next_ns[i] < first) {
            first = s->next_ns[i];
            *camera = i;
        }
    }
    return first;
}

// Frames within the goal in `seconds` of cameras that send `fps` in all, with a jitter of a tenth.
static int run(
    const device *d, int max_size, int64_t timeout_ns, int64_t goal_ns, bool adapts, double fps, int seconds)
{
    static sim s;
    int64_t period = (int64_t)(1e9 * CAMERAS / fps), now = 0, busy_until = 0, began = 0, wake;
    fm_item *batch[MAX_BATCH];
    int running = 0;
    s = (sim){.b = {.source_count = CAMERAS, .max_in_flight = 1000, .timeout_ns = timeout_ns}, .seed = 5};
    s.b.sources = s.sources;
    s.b.goal_ns = adapts ? goal_ns : 0;
    for (int i = 0; i < d->size_count && d->sizes[i] <= max_size; i++) {
        s.b.sizes[s.b.size_count++] = d->sizes[i];
    }
    for (int i = 0; i < CAMERAS; i++) {
        s.sources[i].ring = (fm_ring){.max_items = RING, .max_bytes = SIZE_MAX};
        s.next_ns[i] = period * i / CAMERAS;
    }
    while (now < (int64_t)seconds * 1000 * MS) {
        int camera = 0, n = 0;
        if (running && busy_until <= now) {
            fm__batcher_learn(&s.b, running, busy_until - began);
            for (int i = 0; i < running; i++) {
                s.good += batch[i]->queued_ns >= LEARNING && busy_until - batch[i]->queued_ns <= goal_ns;
                s.sources[batch[i]->source].in_flight--;
            }
            s.done += running;
            running = 0;
        }
        wake = 0;
        if (!running && (n = fm__batcher_ready(&s.b, now, false, &wake)) > 0) {
            fm__batcher_take(&s.b, batch, n, now);
            running = n;
            began = now;
            busy_until = now + infer_ns(d, n, &s.seed);
        }
        int64_t to = first_arrival(&s, &camera);
        int64_t event = running ? busy_until : wake ? wake : INT64_MAX;
        if (event <= to) {
            now = event;
            continue;
        }
        now = to;
        arrive(&s, camera, now);
        s.next_ns[camera] += period * (900 + rnd_below(&s.seed, 201)) / 1000;
    }
    return s.good;
}

static double capacity(const device *d)
{
    int last = d->sizes[d->size_count - 1];
    double big = 1000.0 * last / (d->base_ms + d->row_ms * last), one = 1000.0 / (d->base_ms + d->row_ms);
    return big > one ? big : one;
}

static const double loads[] = {0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95};

// At every load, against the best of all fixed settings for that load.
static void no_fixed_setting_is_much_better(void **state)
{
    (void)state;
    static const device *const devices[] = {&gpu, &cpu, &both};
    static const int timeouts_ms[] = {0, 2, 5, 10, 20, 40};
    static const int goals_ms[] = {25, 50, 100};
    double worst = 2;
    for (size_t k = 0; k < COUNT_OF(devices); k++) {
        const device *d = devices[k];
        for (size_t g = 0; g < COUNT_OF(goals_ms); g++) {
            int64_t goal = (int64_t)goals_ms[g] * MS;
            for (size_t l = 0; l < COUNT_OF(loads); l++) {
                double fps = loads[l] * capacity(d);
                int best = 0;
                for (int i = 0; i < d->size_count; i++) {
                    for (size_t t = 0; t < COUNT_OF(timeouts_ms); t++) {
                        int n = run(d, d->sizes[i], (int64_t)timeouts_ms[t] * MS, goal, false, fps, 10);
                        best = n > best ? n : best;
                    }
                }
                int got = run(d, d->sizes[d->size_count - 1], goal, goal, true, fps, 10);
                double ratio = best ? (double)got / best : 1;
                if (ratio < 0.97) {
                    print_message("%s, goal %d ms, load %.2f: %d of the best fixed %d\n", d->name,
                        goals_ms[g], loads[l], got, best);
                }
                worst = ratio < worst ? ratio : worst;
            }
        }
    }
    print_message("worst ratio to the best fixed setting: %.3f\n", worst);
    // 0.947 close to what the device can do at all, where a quarter of the frames is late whatever is chosen
    assert_true(worst >= 0.94);
}

// Against what a user has who sets nothing: the largest batch, a timeout of 20 ms.
static void the_default_is_beaten_where_it_misses_the_goal(void **state)
{
    (void)state;
    static const device *const devices[] = {&gpu, &cpu, &both};
    double most = 0, least = 2;
    for (size_t k = 0; k < COUNT_OF(devices); k++) {
        int largest = devices[k]->sizes[devices[k]->size_count - 1];
        for (size_t l = 0; l < COUNT_OF(loads); l++) {
            double fps = loads[l] * capacity(devices[k]);
            double fixed = run(devices[k], largest, 20 * MS, 25 * MS, false, fps, 10);
            double ratio =
                run(devices[k], largest, 20 * MS, 25 * MS, true, fps, 10) / (fixed > 0 ? fixed : 1);
            most = ratio > most ? ratio : most;
            least = ratio < least ? ratio : least;
        }
    }
    print_message("frames within 25 ms, to those of the default: from %.2f to %.2f\n", least, most);
    assert_true(least > 0.95);
    assert_true(most > 1.2);
}

static void put(sim *s, int64_t queued_ns)
{
    arrive(s, 0, queued_ns);
}

static void init(sim *s, int64_t timeout_ns, int64_t goal_ns)
{
    *s = (sim){.b = {.source_count = 1, .max_in_flight = 1000, .timeout_ns = timeout_ns, .goal_ns = goal_ns}};
    s->b.sources = s->sources;
    s->b.size_count = 2;
    s->b.sizes[0] = 1;
    s->b.sizes[1] = 8;
    s->sources[0].ring = (fm_ring){.max_items = RING, .max_bytes = SIZE_MAX};
}

static void nothing_waits_past_what_keeps_the_goal(void **state)
{
    (void)state;
    static sim s;
    int64_t wake;
    init(&s, 100 * MS, 50 * MS);
    fm__batcher_learn(&s.b, 1, 10 * MS);
    fm__batcher_learn(&s.b, 8, 16 * MS); // 2 ms an item: waiting pays
    put(&s, 1000);
    assert_int_equal(fm__batcher_ready(&s.b, 2000, false, &wake), 0);
    assert_int_equal(wake, 1000 + 30 * MS); // 50 - 1.25 * 16
    assert_int_equal(fm__batcher_ready(&s.b, wake, false, &wake), 1);
    s.b.goal_ns = 0;
    assert_int_equal(fm__batcher_ready(&s.b, 2000, false, &wake), 0);
    assert_int_equal(wake, 1000 + 100 * MS); // the timeout alone
    s.b.goal_ns = 10 * MS;                   // a full batch could never keep it
    assert_int_equal(fm__batcher_ready(&s.b, 1000, false, &wake), 1);
}

static void a_batch_is_no_larger_than_the_goal_allows(void **state)
{
    (void)state;
    static sim s;
    int64_t wake;
    init(&s, 0, 50 * MS);
    fm__batcher_learn(&s.b, 1, 4 * MS);
    fm__batcher_learn(&s.b, 8, 60 * MS);
    for (int i = 0; i < 8; i++) {
        put(&s, 0);
    }
    assert_int_equal(fm__batcher_ready(&s.b, 0, false, &wake), 1); // 60 ms would be too late, 8 * 4 is not
    s.b.goal_ns = 70 * MS;
    assert_int_equal(fm__batcher_ready(&s.b, 0, false, &wake), 8);
    assert_int_equal(fm__batcher_ready(&s.b, 20 * MS, false, &wake), 1); // it is not any more
    s.b.goal_ns = 10 * MS;
    assert_int_equal(fm__batcher_ready(&s.b, 0, false, &wake), 1); // lost: the cheaper one, 4 ms an item
    assert_int_equal(fm__batcher_ready(&s.b, 0, true, &wake), 8);  // a stop does not look at goals
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_fixed_setting_is_much_better),
        cmocka_unit_test(the_default_is_beaten_where_it_misses_the_goal),
        cmocka_unit_test(nothing_waits_past_what_keeps_the_goal),
        cmocka_unit_test(a_batch_is_no_larger_than_the_goal_allows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
