// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// BMP pictures, written by hand after the format's description: 24 and 32 bit, palettes, either row order.

#include "clip.h"

#include "media/decode.h"

static void put32(uint8_t *at, int64_t v)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)((uint64_t)v >> (8 * i));
    }
}

static uint8_t rgb_at(int x, int y, int c)
{
    return (uint8_t)(x * 20 + y * 7 + c * 40);
}

// A BMP of the pattern above; depth 24 or 32, or 8 with a grey palette. Returns its length.
static size_t make_bmp(uint8_t *out, int w, int h, int depth, bool top_down)
{
    int row = (w * depth / 8 + 3) & ~3, palette = depth == 8 ? 1024 : 0, start = 54 + palette;
    memset(out, 0, (size_t)(start + row * h));
    memcpy(out, "BM", 2);
    put32(out + 2, start + row * h);
    put32(out + 10, start);
    put32(out + 14, 40);
    put32(out + 18, w);
    put32(out + 22, top_down ? -h : h);
    out[26] = 1;
    out[28] = (uint8_t)depth;
    for (int i = 0; i < palette / 4; i++) {
        memset(out + 54 + 4 * i, i, 3);
    }
    for (int y = 0; y < h; y++) {
        for (int x = 0; x < w; x++) {
            uint8_t *at = out + start + (top_down ? y : h - 1 - y) * row + x * depth / 8;
            for (int c = 0; c < (depth == 8 ? 1 : 3); c++) {
                at[c] = rgb_at(x, y, depth == 8 ? 0 : 2 - c);
            }
        }
    }
    return (size_t)(start + row * h);
}

static uint8_t bytes[65536];

static fm_status load(const char *path, int64_t max_pixels, fm_frame **out, fm_error *err)
{
    fm_frame_pool *pool = NULL;
    assert_int_equal(fm__frame_pool_new(&pool, NULL), FM_OK);
    fm_status st = fm__media_picture(path, max_pixels, pool, out, err);
    fm__frame_pool_free(&pool);
    return st;
}

static void reads_every_kind_of_bmp(void **state)
{
    static const struct {
        int w, h, depth;
        bool top_down;
    } cases[] = {{7, 5, 24, false}, {7, 5, 24, true}, {6, 4, 32, false}, {9, 3, 8, false}, {1, 1, 24, false},
        {1, 1, 8, true}};
    char path[600];
    fm_error err;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        size_t len = make_bmp(bytes, cases[i].w, cases[i].h, cases[i].depth, cases[i].top_down);
        write_file(in_folder(*state, "a.bmp", path, sizeof(path)), bytes, len);
        fm_frame *f = NULL;
        assert_status(FM_OK, load(path, 0, &f, &err), &err);
        const fm_frame_view *v = fm_frame_get_view(f);
        assert_int_equal(v->format, FM_PIXFMT_RGB24);
        assert_int_equal(v->width, cases[i].w);
        assert_int_equal(v->height, cases[i].h);
        for (int y = 0; y < v->height; y++) {
            for (int x = 0; x < v->width * 3; x++) {
                int c = cases[i].depth == 8 ? 0 : x % 3;
                assert_int_equal(v->plane[0][y * v->stride[0] + x], rgb_at(x / 3, y, c));
            }
        }
        fm_frame_unref(&f);
    }
}

static void refuses_what_it_should(void **state)
{
    char path[600];
    fm_error err;
    fm_frame *f = NULL;
    size_t len = make_bmp(bytes, 40, 30, 24, false);
    write_file(in_folder(*state, "cut.bmp", path, sizeof(path)), bytes, len / 2);
    assert_status(FM_FORMAT, load(path, 0, &f, &err), &err);
    write_file(path, bytes, len);
    assert_status(FM_DENIED, load(path, 40 * 30 - 1, &f, &err), &err);
    put32(bytes + 18, 2000000000); // a bomb: its header alone promises 6 TB
    write_file(path, bytes, len);
    assert_status(FM_DENIED, load(path, 0, &f, &err), &err);
    put32(bytes + 18, INT32_MIN);
    write_file(path, bytes, len);
    assert_true(load(path, 0, &f, &err) < 0);
    write_file(path, "GIF89a", 6);
    assert_status(FM_UNSUPPORTED, load(path, 0, &f, &err), &err);
    write_file(path, "BM", 2);
    assert_status(FM_FORMAT, load(path, 0, &f, &err), &err);
    write_file(path, "", 0);
    assert_status(FM_FORMAT, load(path, 0, &f, &err), &err);
    assert_status(FM_INVAL, load(*state, 0, &f, &err), &err);
    assert_status(FM_NOTFOUND, load(in_folder(*state, "no.bmp", path, sizeof(path)), 0, &f, &err), &err);
    assert_null(f);
}

static int set_up(void **state)
{
    *state = temp_folder();
    return 0;
}

static int tear_down(void **state)
{
    remove_folder(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_kind_of_bmp),
        cmocka_unit_test(refuses_what_it_should),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
