// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Pictures of 16 bits through all steps: any number of threads, odd sizes, the input untouched, every
// allocation failing in turn. What comes out is checked beside numpy (tests/reference/compare_pictures.py).

#include "../testing.h"

#include "base/alloc.h"
#include "enhance/deep.h"

static const char cube[] = "LUT_3D_SIZE 2\n0 0 0\n0.9 0 0\n0 1 0\n1 1 0\n0 0 1\n1 0 1\n0 1 1\n1 1 1\n";

typedef struct setting {
    fm__enhance_opts opts;
    fm__lut3d *lut;
    fm_frame_pool *pool;
    fm__deep *in;
} setting;

static void set_up(setting *s, int width, int height, int planes)
{
    uint64_t seed = 9;
    *s = (setting){.lut = NULL};
    assert_int_equal(fm__enhance_parse_denoise("auto", &s->opts.spec, NULL), FM_OK);
    assert_int_equal(fm__enhance_parse_color("auto", &s->opts.spec, NULL), FM_OK);
    assert_int_equal(fm__enhance_parse_sr("lanczos:2", &s->opts.spec, NULL), FM_OK);
    assert_int_equal(fm__lut3d_parse(cube, sizeof(cube) - 1, "cube", &s->lut, NULL), FM_OK);
    assert_int_equal(fm__frame_pool_new(&s->pool, NULL), FM_OK);
    assert_int_equal(fm__deep_new(FM_TAG_ENHANCE, width, height, planes, &s->in, NULL), FM_OK);
    s->opts.lut = planes == 3 ? s->lut : NULL;
    s->opts.threads = 1;
    for (int c = 0; c < planes; c++) {
        for (int i = 0; i < width * height; i++) {
            s->in->plane[c][i] = (uint16_t)(20000 + i % width * 100 + rnd_below(&seed, 6000));
        }
    }
}

static void tear_down(setting *s)
{
    fm__deep_free(&s->in);
    fm__lut3d_free(&s->lut);
    fm__frame_pool_free(&s->pool);
}

static void any_size_and_number_of_threads(void **state)
{
    static const int sizes[][2] = {{1, 1}, {2, 70}, {131, 3}, {75, 139}};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        for (int planes = 1; planes <= 3; planes += 2) {
            setting s;
            fm__deep *one = NULL, *many = NULL;
            set_up(&s, sizes[i][0], sizes[i][1], planes);
            size_t n = 4 * (size_t)sizes[i][0] * (size_t)sizes[i][1];
            uint16_t first = s.in->plane[0][0];
            assert_int_equal(fm__enhance_deep(&s.opts, s.in, s.pool, &one, NULL), FM_OK);
            s.opts.threads = 5;
            assert_int_equal(fm__enhance_deep(&s.opts, s.in, s.pool, &many, NULL), FM_OK);
            assert_int_equal(one->width, 2 * sizes[i][0]);
            assert_int_equal(one->planes, planes);
            for (int c = 0; c < planes; c++) {
                assert_memory_equal(one->plane[c], many->plane[c], n * sizeof(uint16_t));
            }
            assert_int_equal(s.in->plane[0][0], first);
            fm__deep_free(&one);
            fm__deep_free(&many);
            tear_down(&s);
        }
    }
}

static void nothing_to_do_is_a_copy(void **state)
{
    setting s;
    fm__deep *out = NULL;
    const fm__enhance_opts none = {.spec = {.scale = 1}};
    (void)state;
    set_up(&s, 30, 20, 3);
    assert_int_equal(fm__enhance_deep(&none, s.in, s.pool, &out, NULL), FM_OK);
    assert_true(out != s.in);
    assert_memory_equal(out->plane[2], s.in->plane[2], 600 * sizeof(uint16_t));
    fm__deep_free(&out);
    tear_down(&s);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (int planes = 1; planes <= 3; planes += 2) {
        setting s;
        int failures = 0;
        set_up(&s, 40, 30, planes);
        for (uint64_t nth = 1; nth < 60; nth++) {
            fm__deep *out = NULL;
            fm__alloc_fail_at(nth, false);
            fm_status st = fm__enhance_deep(&s.opts, s.in, s.pool, &out, NULL);
            fm__alloc_fail_at(0, false);
            assert_true(st == FM_OK || (st == FM_NOMEM && !out));
            failures += st != FM_OK;
            fm__deep_free(&out);
        }
        assert_in_range(failures, 6, 50);
        tear_down(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_size_and_number_of_threads),
        cmocka_unit_test(nothing_to_do_is_a_copy),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
