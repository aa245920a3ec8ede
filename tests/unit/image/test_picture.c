// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Whole pictures written and read back: grey and RGB, 8 and 16 bits, with and without alpha, in every kind
// that holds them; every allocation failing in turn. Metadata are tested beside Pillow
// (tests/reference/compare_pictures.py).

#include "../testing.h"

#include "base/alloc.h"
#include "image/image.h"
#include "image/picture.h"

#include <fm_config.h>

#include <stdio.h>
#include <unistd.h>

#if FM_HAVE_VIPS

enum { W = 21, H = 13 };

static fm_frame_pool *pool;

static fm__deep *deep_of(int planes, uint64_t seed)
{
    fm__deep *d = NULL;
    assert_int_equal(fm__deep_new(FM_TAG_IMAGE, W, H, planes, &d, NULL), FM_OK);
    for (int c = 0; c < planes; c++) {
        for (int i = 0; i < W * H; i++) {
            d->plane[c][i] = (uint16_t)rnd_below(&seed, 65536);
        }
    }
    return d;
}

static void make(fm__picture *p, int planes, bool is_deep, bool has_alpha)
{
    *p = (fm__picture){.pages = 1, .deep = deep_of(planes, 3)};
    assert_int_equal(fm__deep_to_frame(p->deep, pool, &p->color, NULL), FM_OK);
    if (has_alpha) {
        p->deep_alpha = deep_of(1, 4);
        assert_int_equal(fm__deep_to_frame(p->deep_alpha, pool, &p->alpha, NULL), FM_OK);
    }
    if (!is_deep) {
        fm__deep_free(&p->deep);
        fm__deep_free(&p->deep_alpha);
    }
}

static void expect_same_frame(const fm_frame *a, const fm_frame *b)
{
    assert_int_equal(!a, !b);
    for (int y = 0; a && y < H; y++) {
        assert_int_equal(a->view.format, b->view.format);
        assert_memory_equal(a->view.plane[0] + (ptrdiff_t)y * a->view.stride[0],
            b->view.plane[0] + (ptrdiff_t)y * b->view.stride[0], fm__pixfmt_row_bytes(a->view.format, W, 0));
    }
}

static void expect_same_deep(const fm__deep *a, const fm__deep *b)
{
    assert_int_equal(!a, !b);
    for (int c = 0; a && c < a->planes; c++) {
        assert_int_equal(a->planes, b->planes);
        assert_memory_equal(a->plane[c], b->plane[c], W * H * sizeof(uint16_t));
    }
}

static void kinds_without_loss_give_back_every_sample(void **state)
{
    static const char *const names[] = {"picture-test.png", "picture-test.tif"};
    (void)state;
    for (int i = 0; i < 16; i++) {
        fm__picture p, q;
        int w = 0, h = 0;
        make(&p, i & 1 ? 3 : 1, i & 2, i & 4);
        assert_int_equal(fm__picture_save(names[i >> 3], &p, &(fm__picture_save_opts){0}, NULL), FM_OK);
        assert_int_equal(fm__picture_size(names[i >> 3], &w, &h, NULL), FM_OK);
        assert_int_equal(w * 1000 + h, W * 1000 + H);
        assert_int_equal(fm__picture_load(names[i >> 3], 0, false, pool, &q, NULL), FM_OK);
        expect_same_frame(p.color, q.color);
        expect_same_frame(p.alpha, q.alpha);
        expect_same_deep(p.deep, q.deep);
        expect_same_deep(p.deep_alpha, q.deep_alpha);
        fm__picture_done(&p);
        fm__picture_done(&q);
        unlink(names[i >> 3]);
    }
}

static void grey_becomes_rgb_where_it_is_wanted(void **state)
{
    fm__picture p, q;
    (void)state;
    make(&p, 1, true, true);
    assert_int_equal(fm__picture_save("picture-test.png", &p, &(fm__picture_save_opts){0}, NULL), FM_OK);
    assert_int_equal(fm__picture_load("picture-test.png", 0, true, pool, &q, NULL), FM_OK);
    assert_int_equal(q.deep->planes, 3);
    for (int c = 0; c < 3; c++) {
        assert_memory_equal(q.deep->plane[c], p.deep->plane[0], W * H * sizeof(uint16_t));
    }
    expect_same_deep(p.deep_alpha, q.deep_alpha);
    fm__picture_done(&p);
    fm__picture_done(&q);
    unlink("picture-test.png");
}

static void every_allocation_may_fail(void **state)
{
    fm__picture p, q;
    int failures = 0;
    (void)state;
    make(&p, 3, true, true);
    assert_int_equal(fm__picture_save("picture-test.png", &p, &(fm__picture_save_opts){0}, NULL), FM_OK);
    for (uint64_t nth = 1; nth < 20; nth++) {
        q = (fm__picture){.pages = 1};
        fm_frame_pool *own = NULL; // nothing to reuse
        assert_int_equal(fm__frame_pool_new(&own, NULL), FM_OK);
        fm__alloc_fail_at(nth, false);
        fm_status st = fm__picture_load("picture-test.png", 0, false, own, &q, NULL);
        fm__alloc_fail_at(0, false);
        assert_true(st == FM_OK || (st == FM_NOMEM && !q.color && !q.deep && !q.meta));
        failures += st != FM_OK;
        fm__picture_done(&q);
        fm__frame_pool_free(&own);
    }
    assert_in_range(failures, 5, 15);
    fm__picture_done(&p);
    unlink("picture-test.png");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_without_loss_give_back_every_sample),
        cmocka_unit_test(grey_becomes_rgb_where_it_is_wanted),
        cmocka_unit_test(every_allocation_may_fail),
    };
    assert_int_equal(fm__image_init(NULL), FM_OK);
    assert_int_equal(fm__frame_pool_new(&pool, NULL), FM_OK);
    int ret = cmocka_run_group_tests(tests, NULL, NULL);
    fm__frame_pool_free(&pool);
    fm__image_shutdown();
    return ret;
}

#else

int main(void)
{
    return 77; // without libvips there is nothing to test
}

#endif
