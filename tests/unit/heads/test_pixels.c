// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Head `pixels`: shapes that are a picture of the input's size times a scale, and those that are not; both
// layouts; rounding, clamping and what is no number; rectangles of a row of a batch.

#include "../testing.h"

#include "heads/head.h"

#include <math.h>

#define W 5
#define H 3

typedef struct shape_case {
    int rank;
    int64_t dims[4];
    int scale, channels; // scale 0: refused
    bool last;
} shape_case;

static fm_tensor tensor_of(const shape_case *c, float *data)
{
    fm_tensor t = {.dtype = FM_DTYPE_F32, .rank = c->rank, .data = data};
    memcpy(t.dims, c->dims, sizeof(c->dims));
    return t;
}

static void shapes_that_fit(void **state)
{
    static const shape_case cases[] = {
        {4, {1, 1, 2 * H, 2 * W}, 2, 1, false},
        {4, {1, 3, 4 * H, 4 * W}, 4, 3, false},
        {4, {2, 3 * H, 3 * W, 1}, 3, 1, true},
        {4, {2, 2 * H, 2 * W, 3}, 2, 3, true},
        {4, {1, 1, H, W}, 0, 0, false},         // not larger
        {4, {1, 1, 5 * H, 5 * W}, 0, 0, false}, // larger than is known
        {4, {1, 1, 2 * H, 3 * W}, 0, 0, false},
        {4, {1, 1, 9, 7}, 0, 0, false},         // 1.5 times, rounded
        {4, {1, 2, 2 * H, 2 * W}, 0, 0, false}, // two channels
        {4, {1, 4, H, W}, 0, 0, false},         // before the shuffle
        {3, {1, 2 * H, 2 * W}, 0, 0, false},
        {4, {1, 1, 0, 0}, 0, 0, false},
        {4, {1, 1, -2 * H, -2 * W}, 0, 0, false},
        {2, {1, 80}, 0, 0, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        fm_tensor t = tensor_of(&cases[i], NULL);
        fm_head_opts opts = {0};
        fm_head head;
        fm_error err = {0};
        fm_error why = {0};
        bool is_guessed = fm__head_guess(&t, 1, W, H, FM_TASK_ENHANCEMENT, &opts, &why) == FM_OK;
        bool fits = fm__head_init(&head, &(fm_head_opts){.type = "pixels"}, W, H, &t, 1, &err) == FM_OK;
        if (fits != (cases[i].scale > 0) || is_guessed != fits) {
            fail_msg("case %zu: %d %d %s", i, fits, is_guessed, err.msg);
        }
        if (fits) {
            assert_int_equal(head.scale, cases[i].scale);
            assert_int_equal(head.channels, cases[i].channels);
            assert_int_equal(head.channels_last, cases[i].last);
            assert_int_equal(head.opts.context, FM_HEAD_USUAL_CONTEXT);
        } else {
            assert_non_null(strstr(err.msg, "input of 5 x 3"));
            assert_non_null(strstr(why.msg, "no picture two to four times as large"));
        }
    }
}

static void other_outputs_are_refused(void **state)
{
    fm_tensor two[2] = {{.dtype = FM_DTYPE_F32, .rank = 4, .dims = {1, 1, 2 * H, 2 * W}}}, bytes = two[0];
    fm_head head;
    (void)state;
    two[1] = two[0];
    bytes.dtype = FM_DTYPE_U8;
    assert_int_equal(fm__head_init(&head, &(fm_head_opts){.type = "pixels"}, W, H, two, 2, NULL), FM_FORMAT);
    assert_int_equal(
        fm__head_init(&head, &(fm_head_opts){.type = "pixels"}, W, H, &bytes, 1, NULL), FM_FORMAT);
}

// No detector's file is taken for a picture.
static void nothing_is_guessed_for_other_tasks(void **state)
{
    fm_tensor t = {.dtype = FM_DTYPE_F32, .rank = 4, .dims = {1, 3, 2 * H, 2 * W}};
    fm_head_opts opts;
    (void)state;
    assert_int_equal(fm__head_guess(&t, 1, W, H, FM_TASK_ANY, &opts, NULL), FM_NOTFOUND);
    assert_int_equal(fm__head_guess(&t, 1, W, H, FM_TASK_CLASSIFICATION, &opts, NULL), FM_NOTFOUND);
    assert_int_equal(fm__head_guess(&t, 1, 0, 0, FM_TASK_ENHANCEMENT, &opts, NULL), FM_NOTFOUND); // no input
}

static void numbers_become_bytes(void **state)
{
    static const struct {
        float value;
        uint8_t unit, bytes;
    } cases[] = {{0, 0, 0}, {1, 255, 1}, {-0.5F, 0, 0}, {1.2F, 255, 1}, {0.5F, 128, 1}, {0.1F, 26, 0},
        {254.6F, 255, 255}, {254.4F, 255, 254}, {1e30F, 255, 255}, {-1e30F, 0, 0}, {INFINITY, 255, 255},
        {-INFINITY, 0, 0}, {NAN, 0, 0}};
    float data[4 * W * H];
    uint8_t out[4 * W * H];
    shape_case shape = {4, {1, 1, 2 * H, 2 * W}, 2, 1, false};
    fm_tensor t = tensor_of(&shape, data);
    (void)state;
    for (int bytes = 0; bytes < 2; bytes++) {
        fm_head_opts opts = {.type = "pixels", .range = bytes ? FM_HEAD_RANGE_BYTES : FM_HEAD_RANGE_UNIT};
        fm_head head;
        assert_int_equal(fm__head_init(&head, &opts, W, H, &t, 1, NULL), FM_OK);
        for (size_t i = 0; i < COUNT_OF(data); i++) {
            data[i] = cases[i % COUNT_OF(cases)].value;
        }
        fm__head_pixels(&head, &t, 0, &(fm_head_rect){0, 0, 2 * W, 2 * H}, out, 2 * W);
        for (size_t i = 0; i < COUNT_OF(data); i++) {
            size_t c = i % COUNT_OF(cases);
            if (out[i] != (bytes ? cases[c].bytes : cases[c].unit)) {
                fail_msg("%g became %d", (double)cases[c].value, out[i]);
            }
        }
    }
}

static int value_of(int row, int c, int y, int x)
{
    return (row * 101 + c * 61 + y * 17 + x * 3) % 256;
}

// Every rectangle of every row, channels beside one another, nothing written beside it.
static void rectangles_in_both_layouts(void **state)
{
    enum { WIDE = 2 * W, HIGH = 2 * H, STRIDE = 3 * WIDE + 5, ROWS = 2 };
    static const shape_case shapes[] = {{4, {ROWS, 3, HIGH, WIDE}, 2, 3, false},
        {4, {ROWS, HIGH, WIDE, 3}, 2, 3, true}, {4, {ROWS, 1, HIGH, WIDE}, 2, 1, false}};
    static const fm_head_rect rects[] = {{0, 0, WIDE, HIGH}, {2, 1, 4, 3}, {WIDE - 1, HIGH - 1, 1, 1}};
    static float data[ROWS * 3 * HIGH * WIDE];
    (void)state;
    for (size_t k = 0; k < COUNT_OF(shapes); k++) {
        const shape_case *s = &shapes[k];
        fm_tensor t = tensor_of(s, data);
        fm_head head;
        float *at = data;
        for (int i = 0; i < ROWS * s->channels * HIGH * WIDE; i++) {
            int row = i / (s->channels * HIGH * WIDE), in = i % (s->channels * HIGH * WIDE);
            int c = s->last ? in % s->channels : in / (HIGH * WIDE);
            int pixel = s->last ? in / s->channels : in % (HIGH * WIDE);
            *at++ = (float)value_of(row, c, pixel / WIDE, pixel % WIDE);
        }
        fm_head_opts opts = {.type = "pixels", .range = FM_HEAD_RANGE_BYTES};
        assert_int_equal(fm__head_init(&head, &opts, W, H, &t, 1, NULL), FM_OK);
        for (size_t r = 0; r < COUNT_OF(rects); r++) {
            uint8_t out[HIGH * STRIDE];
            memset(out, 77, sizeof(out));
            fm__head_pixels(&head, &t, 1, &rects[r], out, STRIDE);
            for (int i = 0; i < HIGH * STRIDE; i++) {
                int y = i / STRIDE, x = i % STRIDE / s->channels, c = i % STRIDE % s->channels;
                bool inside = y < rects[r].height && x < rects[r].width;
                assert_int_equal(out[i], inside ? value_of(1, c, rects[r].y + y, rects[r].x + x) : 77);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_that_fit),
        cmocka_unit_test(other_outputs_are_refused),
        cmocka_unit_test(nothing_is_guessed_for_other_tasks),
        cmocka_unit_test(numbers_become_bytes),
        cmocka_unit_test(rectangles_in_both_layouts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
