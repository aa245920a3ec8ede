// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Tagged memory: alignment, zeroes, counters, overflow, ordered failures, from one thread and from many.

#include "../testing.h"

#include "base/alloc.h"

#include <framemill/memory.h>
#include <framemill/model.h>

#include <pthread.h>

static fm_memory_stat stat_of(const char *module)
{
    fm_memory_stat stats[FM_TAG_COUNT];
    size_t n = fm_memory_stats(stats, COUNT_OF(stats));
    assert_true(n <= COUNT_OF(stats));
    for (size_t i = 0; i < n; i++) {
        if (strcmp(stats[i].module, module) == 0) {
            return stats[i];
        }
    }
    return (fm_memory_stat){.module = module};
}

static bool all_zero(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i]) {
            return false;
        }
    }
    return true;
}

static void blocks_are_aligned_and_zero(void **state)
{
    (void)state;
    for (size_t align = 16; align <= 4096; align *= 2) {
        for (size_t size = 1; size < 300; size += 7) {
            unsigned char *p = fm__calloc_aligned(FM_TAG_OPS, size, align);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % align, 0);
            assert_true(all_zero(p, size));
            memset(p, 0xa5, size);
            fm__free(p);
        }
    }
    void *plain = fm__calloc(FM_TAG_OPS, 3);
    assert_int_equal((uintptr_t)plain % 16, 0);
    fm__free(plain);
    fm__free(NULL);
    fm_free(NULL);
}

static void sizes_that_no_memory_holds_give_null(void **state)
{
    (void)state;
    size_t out = 7;
    assert_null(fm__calloc(FM_TAG_OPS, 0));
    assert_null(fm__calloc(FM_TAG_OPS, SIZE_MAX));
    assert_null(fm__calloc(FM_TAG_OPS, SIZE_MAX - 31));
    assert_null(fm__calloc_aligned(FM_TAG_OPS, SIZE_MAX - 4096, 4096));
    assert_null(fm__calloc_array(FM_TAG_OPS, SIZE_MAX / 2 + 1, 2));
    assert_null(fm__calloc_array(FM_TAG_OPS, 0, 8));
    assert_false(fm__mul_size(SIZE_MAX, 2, &out));
    assert_true(fm__mul_size(SIZE_MAX, 1, &out));
    assert_true(out == SIZE_MAX);
}

static void counters_follow_every_block(void **state)
{
    (void)state;
    fm_memory_stat before = stat_of("search");
    uint64_t all_before = fm__alloc_count();
    void *a = fm__calloc(FM_TAG_SEARCH, 1000), *b = fm__calloc_aligned(FM_TAG_SEARCH, 500, 64);
    fm_memory_stat held = stat_of("search");
    assert_int_equal(held.current_bytes - before.current_bytes, 1500);
    assert_int_equal(held.allocations - before.allocations, 2);
    assert_int_equal(held.blocks, 2);
    assert_int_equal(held.peak_bytes, 1500); // nobody else uses this tag here
    fm__free(a);
    a = fm__calloc(FM_TAG_SEARCH, 10);
    fm_memory_stat after = stat_of("search");
    assert_int_equal(after.current_bytes, 510);
    assert_int_equal(after.peak_bytes, 1500);
    assert_int_equal(after.blocks, 2);
    assert_int_equal(fm__alloc_count() - all_before, 3);
    fm__free(a);
    fm__free(b);
    assert_int_equal(stat_of("search").current_bytes, 0);
    assert_int_equal(stat_of("search").blocks, 0);
    assert_true(fm_memory_stats(NULL, 0) >= 1);
}

static void realloc_keeps_contents_and_zeroes_the_tail(void **state)
{
    (void)state;
    unsigned char *p = fm__realloc_array(FM_TAG_STORE, NULL, 10, 1);
    memset(p, 7, 10);
    p = fm__realloc_array(FM_TAG_STORE, p, 100, 1);
    assert_true(p[0] == 7 && p[9] == 7 && all_zero(p + 10, 90));
    p = fm__realloc_array(FM_TAG_STORE, p, 4, 1);
    assert_true(p[0] == 7 && p[3] == 7);
    assert_int_equal(stat_of("store").current_bytes, 4);
    assert_null(fm__realloc_array(FM_TAG_STORE, p, SIZE_MAX, 2));
    fm__alloc_fail_at(1, false);
    assert_null(fm__realloc_array(FM_TAG_STORE, p, 50, 1));
    assert_true(p[0] == 7 && p[3] == 7); // a failure leaves the old block
    fm__free(p);
    assert_int_equal(stat_of("store").current_bytes, 0);
}

static void grow_doubles_and_changes_nothing_on_failure(void **state)
{
    (void)state;
    int *list = NULL;
    size_t cap = 0;
    for (int i = 0; i < 1000; i++) {
        assert_true(fm__grow(FM_TAG_STORE, (void **)&list, &cap, (size_t)i + 1, sizeof(*list)));
        list[i] = i;
    }
    assert_int_equal(cap, 1024);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(list[i], i);
    }
    int *old = list;
    assert_false(fm__grow(FM_TAG_STORE, (void **)&list, &cap, SIZE_MAX, sizeof(*list)));
    assert_false(fm__grow(FM_TAG_STORE, (void **)&list, &cap, SIZE_MAX / 8, sizeof(*list)));
    fm__alloc_fail_at(1, false);
    assert_false(fm__grow(FM_TAG_STORE, (void **)&list, &cap, 2000, sizeof(*list)));
    assert_ptr_equal(list, old);
    assert_int_equal(cap, 1024);
    fm__free(list);
}

static void the_ordered_allocation_fails(void **state)
{
    (void)state;
    for (int sticky = 0; sticky < 2; sticky++) {
        for (int nth = 1; nth <= 5; nth++) {
            fm__alloc_fail_at((uint64_t)nth, sticky);
            for (int i = 1; i <= 8; i++) {
                void *p = fm__calloc(FM_TAG_OPS, 8);
                assert_int_equal(p == NULL, sticky ? i >= nth : i == nth);
                fm__free(p);
            }
        }
    }
    fm__alloc_fail_at(0, true);
    void *p = fm__calloc(FM_TAG_OPS, 8);
    assert_non_null(p);
    fm__free(p);
}

static void *hammer(void *arg)
{
    uint64_t seed = (uintptr_t)arg;
    void *held[16] = {0};
    for (int i = 0; i < 4000; i++) {
        int at = rnd_below(&seed, 16);
        fm__free(held[at]);
        held[at] = fm__calloc(FM_TAG_ENHANCE, (size_t)rnd_below(&seed, 200) + 1);
    }
    for (size_t i = 0; i < COUNT_OF(held); i++) {
        fm__free(held[i]);
    }
    return NULL;
}

static void counters_are_right_over_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, (void *)(i + 1)), 0);
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    fm_memory_stat s = stat_of("enhance");
    assert_int_equal(s.current_bytes, 0);
    assert_int_equal(s.allocations, 4 * 4000);
    assert_true(s.peak_bytes > 200 && s.peak_bytes <= 4 * 17 * 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_and_zero),
        cmocka_unit_test(sizes_that_no_memory_holds_give_null),
        cmocka_unit_test(counters_follow_every_block),
        cmocka_unit_test(realloc_keeps_contents_and_zeroes_the_tail),
        cmocka_unit_test(grow_doubles_and_changes_nothing_on_failure),
        cmocka_unit_test(the_ordered_allocation_fails),
        cmocka_unit_test(counters_are_right_over_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
