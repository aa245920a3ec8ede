// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What pools say of themselves, against blocks that the test keeps and gives back itself; a frame that was
// forgotten is named.

#include "../testing.h"

#include "base/alloc.h"
#include "base/pool.h"
#include "frame/frame.h"
#include "track/gallery.h"

#include <framemill/memory.h>

static fm_memory_pool find(const char *name)
{
    fm_memory_pool pools[32];
    size_t n = fm_memory_pools(pools, 32);
    assert_true(n <= 32);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(pools[i].name, name) == 0) {
            return pools[i];
        }
    }
    return (fm_memory_pool){.name = NULL};
}

static void frames_in_use_free_and_forgotten(void **state)
{
    (void)state;
    fm_frame_pool *pool;
    fm_frame *a, *b;
    assert_null(find("frames").name); // a pool that never had a block is not told of
    assert_int_equal(fm__frame_pool_new(&pool, NULL), FM_OK);
    assert_int_equal(fm__frame_pool_take_pixels(pool, FM_PIXFMT_GRAY8, 64, 10, &a, NULL), FM_OK);
    assert_int_equal(fm__frame_pool_take_pixels(pool, FM_PIXFMT_GRAY8, 64, 10, &b, NULL), FM_OK);
    fm_memory_pool p = find("frames");
    assert_string_equal(p.module, "frame");
    assert_int_equal(p.in_use, 2);
    assert_int_equal(p.resting, 0);
    assert_int_equal(p.current_bytes, 2 * 64 * 10);
    fm_frame_unref(&b);
    p = find("frames");
    assert_int_equal(p.in_use, 1);
    assert_int_equal(p.resting, 1);
    assert_int_equal(p.current_bytes, 2 * 64 * 10);
    assert_int_equal(fm__frame_pool_take_pixels(pool, FM_PIXFMT_GRAY8, 64, 10, &b, NULL), FM_OK);
    assert_int_equal(find("frames").blocks, 2); // the same one again
    fm_frame_unref(&b);
    fm__frame_pool_free(&pool);
    // `a` was forgotten: a block in use, and the module's blocks, when all else has gone.
    p = find("frames");
    assert_int_equal(p.in_use, 1);
    fm_frame_unref(&a);
    p = find("frames");
    assert_int_equal(p.in_use + p.resting, 0);
    assert_int_equal(p.current_bytes, 0);
    assert_int_equal(p.peak_bytes, 2 * 64 * 10);
}

static void frames_of_another_size(void **state)
{
    (void)state;
    fm_frame_pool *pool;
    fm_frame *f;
    assert_int_equal(fm__frame_pool_new(&pool, NULL), FM_OK);
    for (int i = 1; i <= 6; i++) {
        assert_int_equal(fm__frame_pool_take_pixels(pool, FM_PIXFMT_YUV420P, 64, 2 * i, &f, NULL), FM_OK);
        fm_memory_pool p = find("frames");
        assert_int_equal(p.in_use, 1);
        assert_int_equal(p.resting, 0); // those of the old size are gone
        fm_frame_unref(&f);
    }
    fm__frame_pool_free(&pool);
    assert_int_equal(find("frames").current_bytes, 0);
}

static void galleries_by_pages(void **state)
{
    (void)state;
    fm__galleries g;
    float unit[16] = {1};
    fm__galleries_init(&g, 16, 100, FM_CPU_SCALAR);
    assert_true(fm__galleries_reserve(&g, 2, 5));
    assert_int_equal(find("galleries").resting, 5);
    uint32_t slot = fm__gallery_open(&g);
    for (int i = 0; i < 9; i++) { // eight features on a page
        fm__gallery_add(&g, slot, unit);
    }
    fm_memory_pool p = find("galleries");
    assert_int_equal(p.in_use, 2);
    assert_int_equal(p.resting, 3);
    assert_int_equal(p.current_bytes, 5 * 8 * 16 * sizeof(float));
    fm__gallery_close(&g, slot);
    p = find("galleries");
    assert_int_equal(p.in_use, 0);
    assert_int_equal(p.resting, 5);
    slot = fm__gallery_open(&g);
    fm__gallery_add(&g, slot, unit);
    fm__galleries_done(&g); // with one in use
    p = find("galleries");
    assert_int_equal(p.in_use + p.resting + p.current_bytes, 0);
}

static void sizes_change(void **state)
{
    (void)state;
    fm__pool_made(FM_POOL_WORKS, 100);
    fm__pool_resized(FM_POOL_WORKS, 100, 340);
    assert_int_equal(find("works").current_bytes, 340);
    fm__pool_resized(FM_POOL_WORKS, 340, 40);
    fm__pool_rests(FM_POOL_WORKS);
    fm_memory_pool p = find("works");
    assert_int_equal(p.current_bytes, 40);
    assert_int_equal(p.peak_bytes, 340);
    assert_int_equal(p.resting, 1);
    fm__pool_gone(FM_POOL_WORKS, 40, true);
    assert_int_equal(find("works").resting, 0);
    fm_memory_pool one[1];
    assert_true(fm_memory_pools(one, 1) > 1); // tells how many there are, writes no more than fit
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_in_use_free_and_forgotten),
        cmocka_unit_test(frames_of_another_size),
        cmocka_unit_test(galleries_by_pages),
        cmocka_unit_test(sizes_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
