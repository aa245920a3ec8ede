// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Run lengths: texts that pycocotools 2.0.11 made of the same masks, and, of masks of every size and place,
// the way back by a decoder written after maskApi.c's rleFrString.

#include "ops/rle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_SIDE = 300 };

static uint32_t next(uint32_t *rng)
{
    *rng = *rng * 1664525u + 1013904223u;
    return *rng >> 8;
}

// One pixel in `one_of` is set.
static fm_mask make_mask(int x, int y, int w, int h, uint32_t one_of, uint32_t seed)
{
    fm_mask m = {.x = x, .y = y, .width = w, .height = h, .stride = (w + 63) / 64 * 8};
    uint8_t *bits = calloc((size_t)m.stride * (size_t)h + 1, 1);
    for (int i = 0; i < w * h; i++)
        bits[i / w * m.stride + i % w / 8] |= (uint8_t)((next(&seed) / 16 % one_of == 0) << i % w % 8);
    m.bits = bits;
    return m;
}

static void free_mask(const fm_mask *m)
{
    free((void *)m->bits);
}

static void texts_equal_those_of_pycocotools(void **state)
{
    (void)state;
    static const struct {
        int width, height, x, y, w, h;
        uint32_t one_of, seed;
        const char *text;
    } cases[] = {
        {10, 7, 0, 0, 0, 0, 1, 1, "V2"},
        {10, 7, 2, 1, 5, 4, 1, 1, "?430000000d0"},
        {10, 7, 0, 0, 10, 7, 1, 1, "0V2"},
        {10, 7, 0, 0, 10, 7, 2, 9, "012003OM50K0110O00O23NM31OON32N0ON3"},
        {10, 7, 3, 0, 4, 7, 2, 5, "f061L0O132MM010c0"},
        {10, 7, 9, 0, 1, 7, 1, 1, "o17"},
        {2000, 1000, 100, 0, 64, 1000, 1, 1, "PeQ3P`n1PoPh1"},
        {2000, 1000, 1999, 999, 1, 1, 1, 1, "oSQm11"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fm_mask m = make_mask(cases[i].x, cases[i].y, cases[i].w, cases[i].h, cases[i].one_of, cases[i].seed);
        fm_str s;
        fm__str_init(&s, FM_TAG_OPS);
        fm__rle_add(&s, &m, cases[i].width, cases[i].height);
        assert_string_equal(s.data, cases[i].text);
        fm__str_done(&s);
        free_mask(&m);
    }
}

// Into the frame, column by column; false where the runs do not fill it exactly.
static bool decode(const char *text, uint8_t *frame, int64_t pixels)
{
    int64_t runs[4] = {0}, at = 0;
    for (int64_t i = 0; *text; i++) {
        int64_t v = 0;
        int shift = 0;
        bool is_more = true;
        while (is_more) {
            int64_t c = *text++ - 48;
            v |= (c & 0x1f) << shift;
            is_more = c & 0x20;
            shift += 5;
            if (!is_more && c & 0x10)
                v |= -(INT64_C(1) << shift);
        }
        if (i > 2)
            v += runs[(i - 2) % 4];
        runs[i % 4] = v;
        if (v < 0 || at + v > pixels || (v == 0 && i > 0))
            return false;
        memset(frame + at, i % 2, (size_t)v);
        at += v;
    }
    return at == pixels;
}

static void every_mask_comes_back(void **state)
{
    (void)state;
    static uint8_t frame[MAX_SIDE * MAX_SIDE];
    uint32_t rng = 1;
    for (int round = 0; round < 3000; round++) {
        int width = 1 + (int)next(&rng) % (round % 10 == 0 ? MAX_SIDE : 40);
        int height = 1 + (int)next(&rng) % (round % 7 == 0 ? MAX_SIDE : 40);
        int x = (int)next(&rng) % width, y = round % 3 == 0 ? 0 : (int)next(&rng) % height;
        int w = 1 + (int)next(&rng) % (width - x);
        int h = round % 3 < 2 ? height - y : 1 + (int)next(&rng) % (height - y);
        fm_mask m = make_mask(x, y, w, h, 1 + next(&rng) % 4, next(&rng));
        fm_str s;
        fm__str_init(&s, FM_TAG_OPS);
        fm__rle_add(&s, &m, width, height);
        if (!decode(s.data, frame, (int64_t)width * height))
            fail_msg("%d x %d: '%s' does not fill the frame", width, height, s.data);
        for (int i = 0; i < width * height; i++) {
            if (frame[i] != fm_mask_at(&m, i / height, i % height))
                fail_msg("%d x %d, mask %d x %d at %d, %d: pixel %d", width, height, w, h, x, y, i);
        }
        fm__str_done(&s);
        free_mask(&m);
    }
}

// More ends in 64 columns than are sorted at once.
static void noise_in_a_tall_frame_comes_back(void **state)
{
    (void)state;
    enum { WIDTH = 70, HEIGHT = 3000 };
    uint8_t *frame = malloc(WIDTH * HEIGHT);
    for (int y = 0; y < 2; y++) {
        fm_mask m = make_mask(0, y, WIDTH, HEIGHT - y, 2, 77);
        fm_str s;
        fm__str_init(&s, FM_TAG_OPS);
        fm__rle_add(&s, &m, WIDTH, HEIGHT);
        assert_true(decode(s.data, frame, WIDTH * HEIGHT));
        for (int i = 0; i < WIDTH * HEIGHT; i++)
            assert_int_equal(frame[i], fm_mask_at(&m, i / HEIGHT, i % HEIGHT));
        fm__str_done(&s);
        free_mask(&m);
    }
    free(frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_equal_those_of_pycocotools),
        cmocka_unit_test(every_mask_comes_back),
        cmocka_unit_test(noise_in_a_tall_frame_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
