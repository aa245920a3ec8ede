// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Frames and their pool: sizes of planes for every format, references over threads, pools that go before
// their frames, blocks used again, and no block of an old size kept. Memory is checked by the allocator's
// counter.

#include "../testing.h"

#include "base/alloc.h"
#include "base/thread.h"
#include "frame/frame.h"
#include "frame/tensor.h"

#include <framemill/memory.h>

#include <pthread.h>

static uint64_t held(void)
{
    fm_memory_stat stats[FM_TAG_COUNT];
    size_t n = fm_memory_stats(stats, COUNT_OF(stats));
    for (size_t i = 0; i < n; i++) {
        if (strcmp(stats[i].module, "frame") == 0) {
            return stats[i].current_bytes;
        }
    }
    return 0;
}

static fm_frame_pool *new_pool(void)
{
    fm_frame_pool *pool = NULL;
    assert_int_equal(fm__frame_pool_new(&pool, NULL), FM_OK);
    return pool;
}

static fm_frame *new_frame(fm_frame_pool *pool, fm_pixfmt format, int width, int height)
{
    fm_frame *f = NULL;
    assert_int_equal(fm__frame_pool_take_pixels(pool, format, width, height, &f, NULL), FM_OK);
    return f;
}

static void planes_of_odd_sizes(void **state)
{
    (void)state;
    static const struct {
        fm_pixfmt format;
        const char *name;
        int planes, w, h, plane, plane_w, plane_h;
        size_t row;
    } cases[] = {
        {FM_PIXFMT_GRAY8, "gray8", 1, 7, 5, 0, 7, 5, 7},
        {FM_PIXFMT_RGB24, "rgb24", 1, 7, 5, 0, 7, 5, 21},
        {FM_PIXFMT_YUV420P, "yuv420p", 3, 7, 5, 0, 7, 5, 7},
        {FM_PIXFMT_YUV420P, "yuv420p", 3, 7, 5, 1, 4, 3, 4},
        {FM_PIXFMT_YUV420P, "yuv420p", 3, 8, 6, 2, 4, 3, 4},
        {FM_PIXFMT_YUV420P, "yuv420p", 3, 1, 1, 2, 1, 1, 1},
        {FM_PIXFMT_YUV422P, "yuv422p", 3, 7, 5, 1, 4, 5, 4},
        {FM_PIXFMT_YUV422P, "yuv422p", 3, 8, 6, 2, 4, 6, 4},
        {FM_PIXFMT_YUV444P, "yuv444p", 3, 7, 5, 2, 7, 5, 7},
        {FM_PIXFMT_NV12, "nv12", 2, 7, 5, 0, 7, 5, 7},
        {FM_PIXFMT_NV12, "nv12", 2, 7, 5, 1, 4, 3, 8},
        {FM_PIXFMT_NV12, "nv12", 2, 8, 6, 1, 4, 3, 8},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int w = 0, h = 0;
        fm__pixfmt_plane_size(cases[i].format, cases[i].w, cases[i].h, cases[i].plane, &w, &h);
        assert_int_equal(w, cases[i].plane_w);
        assert_int_equal(h, cases[i].plane_h);
        assert_int_equal(fm__pixfmt_row_bytes(cases[i].format, cases[i].w, cases[i].plane), cases[i].row);
        assert_int_equal(fm_pixfmt_planes(cases[i].format), cases[i].planes);
        assert_string_equal(fm_pixfmt_name(cases[i].format), cases[i].name);
    }
    assert_string_equal(fm_pixfmt_name((fm_pixfmt)99), "none");
    assert_string_equal(fm_pixfmt_name((fm_pixfmt)-1), "none");
    assert_int_equal(fm_pixfmt_planes(FM_PIXFMT_NONE), 0);
}

// Every plane of every format is written in full: rows lie apart, aligned, and inside the block (which ASan
// and the neighbours' bytes check).
static void planes_do_not_overlap(void **state)
{
    (void)state;
    fm_frame_pool *pool = new_pool();
    for (int format = 1; format < FM_PIXFMT_COUNT; format++) {
        for (int size = 1; size <= 70; size += 23) {
            int width = size, height = 71 - size, planes = fm_pixfmt_planes((fm_pixfmt)format);
            fm_frame *f = new_frame(pool, (fm_pixfmt)format, width, height);
            const fm_frame_view *v = fm_frame_get_view(f);
            assert_true(v->format == (fm_pixfmt)format && v->width == width && v->height == height);
            size_t sum = 0;
            for (int p = 0; p < planes; p++) {
                int w, h;
                fm__pixfmt_plane_size(v->format, width, height, p, &w, &h);
                assert_int_equal((uintptr_t)v->plane[p] % 64, 0);
                assert_int_equal(v->stride[p] % 64, 0);
                assert_ptr_equal(fm__frame_plane(f, p), v->plane[p]);
                for (int y = 0; y < h; y++) {
                    memset(fm__frame_plane(f, p) + y * v->stride[p], p + 1, (size_t)v->stride[p]);
                }
                sum += (size_t)v->stride[p] * (size_t)h;
            }
            assert_int_equal(f->bytes, sum);
            for (int p = 0; p < planes; p++) {
                int w, h;
                fm__pixfmt_plane_size(v->format, width, height, p, &w, &h);
                assert_int_equal(v->plane[p][0], p + 1);
                assert_int_equal(v->plane[p][(h - 1) * v->stride[p] + v->stride[p] - 1], p + 1);
            }
            fm_frame_unref(&f);
        }
    }
    fm__frame_pool_free(&pool);
    assert_int_equal(held(), 0);
}

static void impossible_frames_are_refused(void **state)
{
    (void)state;
    fm_frame_pool *pool = new_pool();
    static const struct {
        int format, width, height;
    } cases[] = {{FM_PIXFMT_NONE, 8, 8}, {FM_PIXFMT_COUNT, 8, 8}, {-1, 8, 8}, {FM_PIXFMT_GRAY8, 0, 8},
        {FM_PIXFMT_GRAY8, 8, -1}, {FM_PIXFMT_GRAY8, 65537, 1}, {FM_PIXFMT_GRAY8, 1, 65537}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        fm_frame *f = NULL;
        fm_error err;
        assert_int_equal(fm__frame_pool_take_pixels(
                             pool, (fm_pixfmt)cases[i].format, cases[i].width, cases[i].height, &f, &err),
            FM_INVAL);
        assert_null(f);
    }
    fm__frame_pool_free(&pool);
    fm__frame_pool_free(&pool);
    assert_int_equal(held(), 0);
}

static void a_new_shell_says_that_nothing_is_known(void **state)
{
    (void)state;
    fm_frame_pool *pool = new_pool();
    for (int round = 0; round < 2; round++) { // the second one is used again
        fm_frame *f = fm__frame_pool_take(pool);
        assert_true(fm_frame_pts_ns(f) == FM_PTS_NONE && fm_frame_wall_ns(f) == FM_PTS_NONE);
        assert_int_equal(fm_frame_index(f), 0);
        assert_int_equal(f->bytes, 0);
        assert_null(f->buffer);
        assert_null(f->release);
        f->pts_ns = f->wall_ns = 5;
        f->index = 6;
        f->bytes = 7;
        fm_frame_unref(&f);
        assert_null(f);
        fm_frame_unref(&f);
    }
    fm_frame_unref(NULL);
    fm__frame_pool_free(&pool);
}

static void pixel_blocks_are_used_again(void **state)
{
    (void)state;
    fm_frame_pool *pool = new_pool();
    fm_frame *f = new_frame(pool, FM_PIXFMT_NV12, 64, 48);
    const uint8_t *pixels = f->view.plane[0];
    fm_frame *shell = f;
    fm_frame_unref(&f);
    uint64_t count = fm__alloc_count();
    for (int i = 0; i < 100; i++) {
        f = new_frame(pool, FM_PIXFMT_NV12, 64, 48);
        assert_ptr_equal(f->view.plane[0], pixels);
        assert_ptr_equal(f, shell);
        fm_frame_unref(&f);
    }
    assert_int_equal(fm__alloc_count(), count);
    f = new_frame(pool, FM_PIXFMT_YUV420P, 64, 48); // as many bytes, but another format
    fm_frame_unref(&f);
    assert_true(fm__alloc_count() > count);
    fm__frame_pool_free(&pool);
    assert_int_equal(held(), 0);
}

// Frames of the old size that were still out used to pile up below those of the new one.
static void a_size_change_leaves_no_block_of_the_old_size(void **state)
{
    (void)state;
    enum { OUT = 20, BLOCK = 640 * 480 };
    fm_frame_pool *pool = new_pool();
    fm_frame *old[OUT], *f;
    for (int i = 0; i < OUT; i++) {
        old[i] = new_frame(pool, FM_PIXFMT_GRAY8, 640, 480);
    }
    fm_frame_unref(&old[0]);
    f = new_frame(pool, FM_PIXFMT_GRAY8, 64, 64);
    assert_true(held() < OUT * BLOCK); // the free one is gone at once
    for (int i = 1; i < OUT; i++) {
        fm_frame_unref(&old[i]);
    }
    fm_frame_unref(&f);
    assert_true(held() < BLOCK);
    f = new_frame(pool, FM_PIXFMT_GRAY8, 64, 64);
    assert_true(held() < BLOCK);
    fm_frame_unref(&f);
    fm__frame_pool_free(&pool);
    assert_int_equal(held(), 0);
}

static void the_free_list_is_bounded(void **state)
{
    (void)state;
    enum { OUT = 200, BLOCK = 64 * 64 };
    fm_frame_pool *pool = new_pool();
    fm_frame *out[OUT];
    for (int i = 0; i < OUT; i++) {
        out[i] = new_frame(pool, FM_PIXFMT_GRAY8, 64, 64);
    }
    for (int i = 0; i < OUT; i++) {
        fm_frame_unref(&out[i]);
    }
    // Shells come in slabs of 64 and stay; of the pixel blocks 64 do.
    assert_true(held() < 65 * (BLOCK + 256) + (OUT + 63) / 64 * 64 * sizeof(fm_frame) + 1024);
    fm__frame_pool_free(&pool);
    assert_int_equal(held(), 0);
}

static void frames_outlive_their_pool(void **state)
{
    (void)state;
    fm_frame_pool *pool = new_pool();
    fm_frame *a = new_frame(pool, FM_PIXFMT_RGB24, 33, 17), *b = fm__frame_pool_take(pool);
    fm_frame *again = fm_frame_ref(a);
    assert_ptr_equal(again, a);
    fm__frame_pool_free(&pool);
    assert_null(pool);
    memset((void *)(uintptr_t)a->view.plane[0], 9, (size_t)a->view.stride[0] * 17);
    fm_frame_unref(&a);
    assert_int_equal(again->view.plane[0][5], 9);
    fm_frame_unref(&b);
    assert_true(held() > 0);
    fm_frame_unref(&again);
    assert_int_equal(held(), 0);
}

static void failed_allocations_leave_the_pool_whole(void **state)
{
    (void)state;
    fm_frame_pool *pool = new_pool();
    for (int nth = 1; nth <= 2; nth++) {
        fm_frame *f = NULL;
        fm__alloc_fail_at((uint64_t)nth, false);
        assert_int_equal(fm__frame_pool_take_pixels(pool, FM_PIXFMT_GRAY8, 8, 8, &f, NULL), FM_NOMEM);
        fm__alloc_fail_at(0, false);
        assert_null(f);
        f = new_frame(pool, FM_PIXFMT_GRAY8, 8, 8);
        fm_frame_unref(&f);
        fm__frame_pool_free(&pool);
        assert_int_equal(held(), 0);
        pool = new_pool();
    }
    fm__frame_pool_free(&pool);
}

typedef struct maker {
    int released; // by the last one who drops the frame: atomic through the pool's and the frame's order
} maker;

static void count_release(void *buffer, void *opaque)
{
    maker *m = opaque;
    if (buffer == m) {
        __atomic_fetch_add(&m->released, 1, __ATOMIC_RELAXED);
    }
}

enum { SHARERS = 4, SHARED = 400 };

typedef struct sharing {
    pthread_barrier_t start;
    fm_frame *frames[SHARED];
    uint64_t wrong;
} sharing;

static void *share(void *arg)
{
    sharing *s = arg;
    pthread_barrier_wait(&s->start);
    for (int i = 0; i < SHARED; i++) {
        fm_frame *extra = fm_frame_ref(s->frames[i]), *mine = s->frames[i];
        if (fm_frame_index(extra) != (uint64_t)i || extra->view.plane[0][0] != (uint8_t)i) {
            __atomic_fetch_add(&s->wrong, 1, __ATOMIC_RELAXED);
        }
        fm_frame_unref(&extra);
        fm_frame_unref(&mine);
    }
    return NULL;
}

static void references_are_counted_over_threads(void **state)
{
    (void)state;
    static sharing s;
    fm_frame_pool *pool = new_pool();
    pthread_barrier_init(&s.start, NULL, SHARERS);
    for (int i = 0; i < SHARED; i++) {
        s.frames[i] = new_frame(pool, FM_PIXFMT_GRAY8, 16, 16);
        s.frames[i]->index = (uint64_t)i;
        fm__frame_plane(s.frames[i], 0)[0] = (uint8_t)i;
        for (int k = 1; k < SHARERS; k++) {
            fm_frame_ref(s.frames[i]);
        }
    }
    pthread_t threads[SHARERS];
    for (int i = 0; i < SHARERS; i++) {
        assert_int_equal(fm__thread_start(&threads[i], "share", share, &s, NULL), FM_OK);
    }
    fm__frame_pool_free(&pool); // while they are all out
    for (int i = 0; i < SHARERS; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_barrier_destroy(&s.start);
    assert_int_equal(s.wrong, 0);
    assert_int_equal(held(), 0);
}

typedef struct churn {
    fm_frame_pool *pool;
    uint64_t seed, wrong;
} churn;

static void *take_and_drop(void *arg)
{
    churn *c = arg;
    fm_frame *out[8] = {0};
    for (int i = 0; i < 2000; i++) {
        int at = rnd_below(&c->seed, (int)COUNT_OF(out)), size = rnd_below(&c->seed, 40) ? 16 : 24;
        fm_frame_unref(&out[at]);
        if (fm__frame_pool_take_pixels(c->pool, FM_PIXFMT_GRAY8, size, size, &out[at], NULL) != FM_OK) {
            c->wrong++;
            continue;
        }
        memset(fm__frame_plane(out[at], 0), at, (size_t)size);
        c->wrong += out[at]->view.width != size;
    }
    for (size_t i = 0; i < COUNT_OF(out); i++) {
        c->wrong += out[i] && out[i]->view.plane[0][0] != (uint8_t)i;
        fm_frame_unref(&out[i]);
    }
    return NULL;
}

static void a_pool_serves_several_threads(void **state)
{
    (void)state;
    fm_frame_pool *pool = new_pool();
    churn churns[3];
    pthread_t threads[3];
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        churns[i] = (churn){.pool = pool, .seed = i + 1};
        assert_int_equal(fm__thread_start(&threads[i], "churn", take_and_drop, &churns[i], NULL), FM_OK);
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(churns[i].wrong, 0);
    }
    fm__frame_pool_free(&pool);
    assert_int_equal(held(), 0);
}

static void a_makers_frame_is_released_once(void **state)
{
    (void)state;
    maker m = {0};
    fm_frame_pool *pool = new_pool();
    for (int i = 1; i <= 3; i++) {
        fm_frame *f = fm__frame_pool_take(pool);
        f->buffer = f->opaque = &m;
        f->release = count_release;
        fm_frame *other = fm_frame_ref(f);
        fm_frame_unref(&f);
        assert_int_equal(m.released, i - 1);
        fm_frame_unref(&other);
        assert_int_equal(m.released, i);
    }
    fm__frame_pool_free(&pool);
}

static void tensors(void **state)
{
    (void)state;
    float values[2 * 3 * 4];
    fm_tensor t = {.data = values, .dtype = FM_DTYPE_F32, .rank = 3, .dims = {2, 3, 4}};
    assert_int_equal(fm__tensor_count(&t), 24);
    fm_tensor row = fm__tensor_row(&t, 1);
    assert_ptr_equal(row.data, values + 12);
    assert_int_equal(fm__tensor_count(&row), 12);
    assert_int_equal(t.dims[0], 2);
    char text[64], tiny[6];
    fm__tensor_shape_text(&t, text, sizeof(text));
    assert_string_equal(text, "[2,3,4]");
    fm__tensor_shape_text(&t, tiny, sizeof(tiny));
    assert_string_equal(tiny, "[2,3,");
    fm__tensor_shape_text(&(fm_tensor){.rank = 0}, text, sizeof(text));
    assert_string_equal(text, "[]");
    assert_int_equal(fm__tensor_count(&(fm_tensor){.rank = 0}), 1);
    assert_int_equal(fm__tensor_count(&(fm_tensor){.rank = 2, .dims = {4, -1}}), -1);
    assert_int_equal(fm__tensor_count(&(fm_tensor){.rank = 2, .dims = {INT64_MAX, 2}}), -1);
    assert_int_equal(fm__tensor_count(&(fm_tensor){.rank = 2, .dims = {0, 5}}), 0);
    static const struct {
        fm_dtype dtype;
        size_t size;
        const char *name;
    } types[] = {{FM_DTYPE_U8, 1, "u8"}, {FM_DTYPE_F16, 2, "f16"}, {FM_DTYPE_F32, 4, "f32"},
        {FM_DTYPE_I32, 4, "i32"}, {FM_DTYPE_I64, 8, "i64"}, {FM_DTYPE_COUNT, 0, "unknown"}};
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        assert_int_equal(fm__dtype_size(types[i].dtype), types[i].size);
        assert_string_equal(fm__dtype_name(types[i].dtype), types[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(planes_of_odd_sizes),
        cmocka_unit_test(planes_do_not_overlap),
        cmocka_unit_test(impossible_frames_are_refused),
        cmocka_unit_test(a_new_shell_says_that_nothing_is_known),
        cmocka_unit_test(pixel_blocks_are_used_again),
        cmocka_unit_test(a_size_change_leaves_no_block_of_the_old_size),
        cmocka_unit_test(the_free_list_is_bounded),
        cmocka_unit_test(frames_outlive_their_pool),
        cmocka_unit_test(failed_allocations_leave_the_pool_whole),
        cmocka_unit_test(references_are_counted_over_threads),
        cmocka_unit_test(a_pool_serves_several_threads),
        cmocka_unit_test(a_makers_frame_is_released_once),
        cmocka_unit_test(tensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
