// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Configuration of heads against output shapes: what is accepted, what is refused and with which words, and
// what is guessed.

#include "heads/head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static fm_tensor shape3(int64_t a, int64_t b, int64_t c)
{
    return (fm_tensor){.dtype = FM_DTYPE_F32, .rank = 3, .dims = {a, b, c}};
}

static void classes_and_names(void **state)
{
    (void)state;
    int n = 0;
    for (const fm_head_class *const *c = fm__head_classes(); *c != NULL; c++, n++)
        assert_ptr_equal(fm__head_find((*c)->name), *c);
    assert_int_equal(n, 10);
    assert_null(fm__head_find("yolov9"));
}

typedef struct guess_case {
    int64_t d1, d2;
    int w, h;
    const char *type; // NULL: none
    fm_head_grid grid;
} guess_case;

static void guesses_from_shapes(void **state)
{
    (void)state;
    const guess_case cases[] = {
        {3549, 85, 416, 416, "yolox", FM_HEAD_GRID_RAW},
        {8400, 85, 640, 640, "yolox", FM_HEAD_GRID_RAW},
        {10647, 85, 416, 416, "yolov5", FM_HEAD_GRID_DECODED},
        {25200, 85, 640, 640, "yolov5", FM_HEAD_GRID_DECODED},
        {25200, 6, 640, 640, "yolov5", FM_HEAD_GRID_DECODED},
        {84, 8400, 640, 640, "yolov8", FM_HEAD_GRID_DECODED},
        {5, 8400, 640, 640, "yolov8", FM_HEAD_GRID_DECODED},
        {84, 3360, 512, 320, "yolov8", FM_HEAD_GRID_DECODED},
        {3360, 85, 512, 320, "yolox", FM_HEAD_GRID_RAW},
        {84, 8400, 416, 416, NULL, 0},
        {1000, 4, 640, 640, NULL, 0},
        {4, 8400, 640, 640, NULL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const guess_case *c = &cases[i];
        fm_tensor t = shape3(1, c->d1, c->d2);
        fm_head_opts opts = {0};
        fm_error err = {0};
        fm_status status = fm__head_guess(&t, 1, c->w, c->h, FM_TASK_ANY, &opts, &err);
        if (c->type == NULL) {
            assert_int_equal(status, FM_NOTFOUND);
            assert_non_null(strstr(err.msg, "--head"));
            continue;
        }
        if (status != FM_OK)
            fail_msg("case %zu: %s", i, err.msg);
        assert_string_equal(opts.type, c->type);
        assert_int_equal(opts.grid, c->grid);
        fm_head head;
        assert_int_equal(fm__head_init(&head, &opts, c->w, c->h, &t, 1, &err), FM_OK);
    }
}

static void guess_names_every_shape(void **state)
{
    (void)state;
    fm_tensor t[2] = {shape3(1, 116, 8400), {.dtype = FM_DTYPE_F32, .rank = 4, .dims = {1, 32, 160, 160}}};
    fm_head_opts opts = {0};
    fm_error err = {0};
    assert_int_equal(fm__head_guess(t, 2, 640, 640, FM_TASK_DETECTION, &opts, &err), FM_NOTFOUND);
    assert_non_null(strstr(err.msg, "no head for detection"));
    assert_non_null(strstr(err.msg, "[1,116,8400]"));
    assert_non_null(strstr(err.msg, "[1,32,160,160]"));
    assert_null(opts.type);
    assert_int_equal(fm__head_guess(t, 2, 640, 640, FM_TASK_ANY, &opts, &err), FM_OK);
    assert_string_equal(opts.type, "yolov8-seg");
}

static void wrong_number_of_classes_in_labels_names_both(void **state)
{
    (void)state;
    const struct {
        const char *type;
        fm_tensor t;
    } cases[] = {
        {"yolox", shape3(1, 3549, 85)},
        {"yolov5", shape3(1, 10647, 85)},
        {"yolov8", shape3(1, 84, 3549)},
    };
    for (size_t i = 0; i < 3; i++) {
        fm_head_opts opts = {.type = cases[i].type, .class_count = 79};
        fm_head head = {.class_count = -7};
        fm_error err = {0};
        assert_int_equal(fm__head_init(&head, &opts, 416, 416, &cases[i].t, 1, &err), FM_FORMAT);
        assert_non_null(strstr(err.msg, "wrong number of classes in labels"));
        assert_non_null(strstr(err.msg, "79"));
        assert_non_null(strstr(err.msg, "80"));
        assert_int_equal(head.class_count, -7); // outputs only on success
        opts.class_count = 80;
        assert_int_equal(fm__head_init(&head, &opts, 416, 416, &cases[i].t, 1, &err), FM_OK);
        opts.class_count = 0;
        assert_int_equal(fm__head_init(&head, &opts, 416, 416, &cases[i].t, 1, &err), FM_OK);
        assert_int_equal(head.class_count, 80);
        assert_int_equal(head.anchors, i == 1 ? 10647 : 3549);
    }
}

static void yolov8_layout_follows_the_labels(void **state)
{
    (void)state;
    fm_tensor t = shape3(1, 20, 24); // 20 candidates of 4+20, or 24 candidates of 4+16
    fm_error err = {0};
    fm_head head;
    assert_int_equal(
        fm__head_init(&head, &(fm_head_opts){.type = "yolov8", .class_count = 20}, 32, 32, &t, 1, &err),
        FM_OK);
    assert_int_equal(head.anchors, 20);
    assert_int_equal(
        fm__head_init(&head, &(fm_head_opts){.type = "yolov8", .class_count = 16}, 32, 32, &t, 1, &err),
        FM_OK);
    assert_int_equal(head.anchors, 24);
    assert_int_equal(fm__head_init(&head, &(fm_head_opts){.type = "yolov8"}, 32, 32, &t, 1, &err), FM_OK);
    assert_int_equal(head.anchors, 24);
}

typedef struct refused_case {
    const char *type;
    fm_head_grid grid;
    fm_head_boxes boxes;
    fm_dtype dtype;
    int rank;
    int64_t dims[4];
    int w;
    size_t outs;
    fm_status status;
} refused_case;

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    const refused_case cases[] = {
        {"yolov9", 0, 0, FM_DTYPE_F32, 3, {1, 3549, 85}, 416, 1, FM_UNSUPPORTED},
        {NULL, 0, 0, FM_DTYPE_F32, 3, {1, 3549, 85}, 416, 1, FM_UNSUPPORTED},
        {"yolox", FM_HEAD_GRID_RAW, 0, FM_DTYPE_F32, 3, {4, 14196, 85}, 416, 1,
            FM_FORMAT}, // batch folded into the cells
        {"yolox", FM_HEAD_GRID_RAW, FM_HEAD_BOXES_UNIT, FM_DTYPE_F32, 3, {1, 3549, 85}, 416, 1, FM_FORMAT},
        {"yolox", 0, 0, FM_DTYPE_F16, 3, {1, 3549, 85}, 416, 1, FM_FORMAT},
        {"yolox", 0, 0, FM_DTYPE_F32, 3, {1, 3549, 85}, 416, 2, FM_FORMAT},
        {"yolox", 0, 0, FM_DTYPE_F32, 3, {1, 3549, 85}, 416, 0, FM_FORMAT},
        {"yolox", 0, 0, FM_DTYPE_F32, 2, {3549, 85}, 416, 1, FM_FORMAT},
        {"yolox", 0, 0, FM_DTYPE_F32, 3, {1, 3549, 5}, 416, 1, FM_FORMAT},
        {"yolox", 0, 0, FM_DTYPE_F32, 3, {1, -1, 85}, 416, 1, FM_FORMAT},
        {"yolox", 0, 0, FM_DTYPE_F32, 3, {1, 0, 85}, 416, 1, FM_FORMAT},
        {"yolox", 0, 0, FM_DTYPE_F32, 3, {1, INT64_MAX, 85}, 416, 1, FM_FORMAT},
        {"yolox", 0, 0, FM_DTYPE_F32, 3, {1, 3549, INT64_MAX}, 416, 1, FM_FORMAT},
        {"yolox", 0, 0, FM_DTYPE_F32, 3, {1, 3549, 85}, 0, 1, FM_FORMAT},
        {"yolov5", FM_HEAD_GRID_RAW, 0, FM_DTYPE_F32, 3, {1, 10647, 85}, 416, 1, FM_UNSUPPORTED},
        {"yolov8", FM_HEAD_GRID_RAW, 0, FM_DTYPE_F32, 3, {1, 84, 3549}, 416, 1, FM_UNSUPPORTED},
        {"yolov8", 0, 0, FM_DTYPE_F32, 3, {1, 4, 3549}, 416, 1, FM_FORMAT},
        {"yolov8", 0, 0, FM_DTYPE_F32, 4, {1, 84, 3549, 1}, 416, 1, FM_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const refused_case *c = &cases[i];
        fm_tensor t[2] = {{.dtype = c->dtype, .rank = c->rank}, shape3(1, 1, 1)};
        memcpy(t[0].dims, c->dims, sizeof c->dims);
        fm_head_opts opts = {.type = c->type, .grid = c->grid, .boxes = c->boxes};
        fm_head head;
        fm_error err = {0};
        fm_status status = fm__head_init(&head, &opts, c->w, c->w, t, c->outs, &err);
        if (status != c->status)
            fail_msg("case %zu: got %s (%s)", i, fm_status_name(status), err.msg);
        assert_true(strlen(err.msg) > 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_and_names),
        cmocka_unit_test(guesses_from_shapes),
        cmocka_unit_test(guess_names_every_shape),
        cmocka_unit_test(wrong_number_of_classes_in_labels_names_both),
        cmocka_unit_test(yolov8_layout_follows_the_labels),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
