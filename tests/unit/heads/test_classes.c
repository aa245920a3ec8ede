// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Heads `softmax` and `semantic`: classes of a picture, and of each of its pixels.

#include "base/alloc.h"
#include "heads/head.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_PIXELS = 512 };

static fm_head make_head(const fm_head_opts *opts, int w, int h, const fm_tensor *outs, size_t n)
{
    fm_head head;
    fm_error err = {0};
    if (fm__head_init(&head, opts, w, h, outs, n, &err) != FM_OK)
        fail_msg("%s: %s", opts->type, err.msg);
    return head;
}

static size_t classify(
    const fm_tensor *t, fm_head_activation activation, int64_t row, fm_class_score *top, size_t k)
{
    fm_head head = make_head(&(fm_head_opts){.type = "softmax", .activation = activation}, 224, 224, t, 1);
    return fm__head_classify(&head, t, 1, row, top, k);
}

static void the_best_classes_in_order(void **state)
{
    (void)state;
    float v[2][6] = {{0}, {1, 3, -2, 3, 0.5f, 2}};
    fm_tensor t = {.data = v, .dtype = FM_DTYPE_F32, .rank = 2, .dims = {2, 6}};
    fm_class_score top[8];
    double sum = 0;
    for (int i = 0; i < 6; i++)
        sum += exp((double)v[1][i]);
    const int32_t order[6] = {1, 3, 5, 0, 4, 2}; // of equals the first
    for (size_t k = 0; k <= 8; k++) {
        assert_int_equal(classify(&t, FM_HEAD_ACT_SOFTMAX, 1, top, k), k < 6 ? k : 6);
        for (size_t i = 0; i < k && i < 6; i++) {
            assert_int_equal(top[i].class_id, order[i]);
            assert_true(fabs((double)top[i].score - exp((double)v[1][order[i]]) / sum) < 1e-6);
        }
    }
    assert_int_equal(classify(&t, FM_HEAD_ACT_SIGMOID, 1, top, 2), 2);
    assert_true(fabsf(top[0].score - 0.95257413f) < 1e-6f);
    t.rank = 4;
    t.dims[2] = t.dims[3] = 1;
    assert_int_equal(classify(&t, FM_HEAD_ACT_SOFTMAX, 1, top, 1), 1);
    assert_int_equal(top[0].class_id, 1);
}

static void a_distribution_is_told_from_logits(void **state)
{
    (void)state;
    float probabilities[4] = {0.1f, 0.7f, 0.2f, 0}, logits[4] = {0.1f, 0.7f, 0.2f, -0.1f},
          large[4] = {1e4f, -1e4f, 0, 0};
    fm_tensor t = {.data = probabilities, .dtype = FM_DTYPE_F32, .rank = 2, .dims = {1, 4}};
    fm_class_score top[1];
    assert_int_equal(classify(&t, FM_HEAD_ACT_AUTO, 0, top, 1), 1);
    assert_true(top[0].score == 0.7f);
    t.data = logits;
    assert_int_equal(classify(&t, FM_HEAD_ACT_AUTO, 0, top, 1), 1);
    assert_true(top[0].score > 0.3f && top[0].score < 0.5f);
    t.data = large;
    assert_int_equal(classify(&t, FM_HEAD_ACT_AUTO, 0, top, 1), 1);
    assert_true(top[0].score == 1.0f);
    uint8_t quantised[4] = {13, 0, 230, 13};
    t.data = quantised;
    t.dtype = FM_DTYPE_U8;
    assert_int_equal(classify(&t, FM_HEAD_ACT_AUTO, 0, top, 1), 1);
    assert_int_equal(top[0].class_id, 2);
    assert_true(top[0].score == 230.0f / 256.0f);
}

static void a_row_that_is_no_number_has_no_classes(void **state)
{
    (void)state;
    float v[3][4] = {{0, NAN, 1, 2}, {0, INFINITY, 1, 2}, {-3e38f, 3e38f, 0, 0}};
    fm_tensor t = {.data = v, .dtype = FM_DTYPE_F32, .rank = 2, .dims = {3, 4}};
    fm_class_score top[2];
    assert_int_equal(classify(&t, FM_HEAD_ACT_SOFTMAX, 0, top, 2), 0);
    assert_int_equal(classify(&t, FM_HEAD_ACT_NONE, 1, top, 2), 0);
    assert_int_equal(classify(&t, FM_HEAD_ACT_AUTO, 2, top, 2), 1); // what has probability 0 is no class
    assert_int_equal(top[0].class_id, 1);
    assert_true(top[0].score == 1.0f);
}

static void a_classifiers_shapes(void **state)
{
    (void)state;
    fm_tensor t = {.dtype = FM_DTYPE_F32, .rank = 2, .dims = {1, 1000}};
    fm_head head;
    fm_error err = {0};
    fm_head_opts opts = {0};
    assert_int_equal(fm__head_guess(&t, 1, 224, 224, FM_TASK_CLASSIFICATION, &opts, NULL), FM_OK);
    assert_string_equal(opts.type, "softmax");
    assert_int_equal(opts.activation, FM_HEAD_ACT_AUTO);
    opts.class_count = 1001;
    assert_int_equal(fm__head_init(&head, &opts, 224, 224, &t, 1, &err), FM_FORMAT);
    assert_non_null(strstr(err.msg, "1001 labels"));
    assert_non_null(strstr(err.msg, "1000 classes"));
    t.dtype = FM_DTYPE_I64;
    assert_int_equal(fm__head_init(&head, &opts, 224, 224, &t, 1, &err), FM_FORMAT);
    t.dtype = FM_DTYPE_U8;
    opts = (fm_head_opts){.type = "softmax", .activation = FM_HEAD_ACT_SOFTMAX};
    assert_int_equal(fm__head_init(&head, &opts, 224, 224, &t, 1, &err), FM_FORMAT);
    t = (fm_tensor){.dtype = FM_DTYPE_F32, .rank = 3, .dims = {1, 84, 8400}};
    opts = (fm_head_opts){.type = "softmax"};
    assert_int_equal(fm__head_init(&head, &opts, 224, 224, &t, 1, &err), FM_FORMAT);
    assert_non_null(strstr(err.msg, "[1,84,8400]"));
    assert_int_equal(fm__head_guess(&t, 1, 640, 640, FM_TASK_CLASSIFICATION, &opts, &err), FM_NOTFOUND);
    assert_non_null(strstr(err.msg, "no head for classification"));
    opts = (fm_head_opts){.type = "yolov8", .activation = FM_HEAD_ACT_SOFTMAX};
    assert_int_equal(fm__head_init(&head, &opts, 640, 640, &t, 1, &err), FM_FORMAT);
    assert_non_null(strstr(err.msg, "activation"));
}

/** A class map of the frame. */
typedef struct class_map {
    uint8_t ids[MAX_PIXELS];
    int64_t area[FM_CLASS_UNSEEN];
} class_map;

static class_map map_of(
    const fm_head_opts *opts, const fm_tensor *t, int64_t row, const fm_fit_map *map, fm_cpu_level level)
{
    class_map m;
    fm_head head = make_head(opts, map->dst_w, map->dst_h, t, 1);
    assert_false(fm__head_has_objects(&head));
    void *scratch = fm__calloc_aligned(FM_TAG_HEADS, fm__head_scratch_size(&head), 64);
    memset(&m, 0xa5, sizeof m);
    fm__head_class_map(&head, t, 1, row, map, m.ids, map->src_w, m.area, scratch, level);
    class_map areas;
    fm__head_class_map(&head, t, 1, row, map, NULL, 0, areas.area, scratch, level);
    assert_memory_equal(areas.area, m.area, (size_t)head.class_count * sizeof m.area[0]);
    for (int i = map->src_w * map->src_h; i < MAX_PIXELS; i++)
        assert_int_equal(m.ids[i], 0xa5);
    int64_t seen = 0, counted = 0;
    for (int i = 0; i < map->src_w * map->src_h; i++)
        seen += m.ids[i] != FM_CLASS_UNSEEN;
    for (int c = 0; c < head.class_count; c++)
        counted += m.area[c];
    assert_int_equal(seen, counted);
    fm__free(scratch);
    return m;
}

static void a_map_of_integers_reaches_the_frame(void **state)
{
    (void)state;
    // 4 x 4 cells over an input of 8 x 8, a frame of 12 x 6 in its upper half: 3 pixels a cell, two rows seen
    int64_t ids[2][16] = {{0}, {0, 1, 2, 3, 3, 2, 300, -1, 7, 7, 7, 7, 7, 7, 7, 7}};
    fm_tensor t = {.data = ids, .dtype = FM_DTYPE_I64, .rank = 3, .dims = {2, 4, 4}};
    fm_fit_map map = {
        .src_w = 12, .src_h = 6, .dst_w = 8, .dst_h = 8, .src_cw = 12, .src_ch = 6, .dst_cw = 8, .dst_ch = 4};
    class_map m = map_of(&(fm_head_opts){.type = "semantic", .class_count = 8}, &t, 1, &map, FM_CPU_SCALAR);
    const uint8_t want[2][4] = {{0, 1, 2, 3}, {3, 2, FM_CLASS_UNSEEN, FM_CLASS_UNSEEN}};
    for (int y = 0; y < 6; y++) {
        for (int x = 0; x < 12; x++)
            assert_int_equal(m.ids[y * 12 + x], want[y / 3][x / 3]);
    }
    assert_int_equal(m.area[0], 9);
    assert_int_equal(m.area[2], 18);
    assert_int_equal(m.area[3], 18);
    assert_int_equal(m.area[7], 0); // under the padding only
}

static void a_crop_leaves_pixels_unseen(void **state)
{
    (void)state;
    uint8_t ids[4] = {1, 2, 3, 4};
    fm_tensor t = {.data = ids, .dtype = FM_DTYPE_U8, .rank = 4, .dims = {1, 1, 2, 2}};
    fm_fit_map map = {.src_w = 20,
        .src_h = 10,
        .dst_w = 8,
        .dst_h = 8,
        .src_x = 5,
        .src_cw = 10,
        .src_ch = 10,
        .dst_cw = 8,
        .dst_ch = 8};
    class_map m = map_of(&(fm_head_opts){.type = "semantic"}, &t, 0, &map, FM_CPU_SCALAR);
    for (int i = 0; i < 200; i++) {
        int x = i % 20, y = i / 20;
        int want = x < 5 || x >= 15 ? FM_CLASS_UNSEEN : 1 + (x >= 10) + 2 * (y >= 5);
        assert_int_equal(m.ids[i], want);
    }
}

static void the_largest_number_wins_at_every_level(void **state)
{
    (void)state;
    enum { CLASSES = 5, W = 19, H = 7 };
    static float first[CLASSES][H][W], last[H][W][CLASSES];
    uint32_t rng = 4;
    for (int i = 0; i < CLASSES * H * W; i++) {
        rng = rng * 1664525u + 1013904223u;
        int c = i / (H * W), y = i / W % H, x = i % W;
        float v = rng % 11 == 0 ? NAN : rng % 13 == 0 ? INFINITY : (float)(rng >> 8 & 7); // with many equals
        first[c][y][x] = last[y][x][c] = v;
    }
    fm_fit_map map = {.src_w = W,
        .src_h = H,
        .dst_w = 4 * W,
        .dst_h = 4 * H,
        .src_cw = W,
        .src_ch = H,
        .dst_cw = 4 * W,
        .dst_ch = 4 * H};
    fm_tensor t = {.data = first, .dtype = FM_DTYPE_F32, .rank = 4, .dims = {1, CLASSES, H, W}};
    fm_tensor u = {.data = last, .dtype = FM_DTYPE_F32, .rank = 4, .dims = {1, H, W, CLASSES}};
    fm_head_opts opts = {.type = "semantic"};
    class_map want = map_of(&opts, &u, 0, &map, FM_CPU_SCALAR);
    for (int i = 0; i < W * H; i++) {
        int best = 0;
        float most = -INFINITY;
        for (int c = 0; c < CLASSES; c++) {
            float v = last[i / W][i % W][c];
            best = v > most ? c : best;
            most = v > most ? v : most;
        }
        assert_int_equal(want.ids[i], best);
    }
    for (int level = 0; level <= (int)fm__cpu_level(); level++) {
        class_map got = map_of(&opts, &t, 0, &map, (fm_cpu_level)level);
        assert_memory_equal(got.ids, want.ids, sizeof got.ids);
    }
}

static void a_class_maps_shapes(void **state)
{
    (void)state;
    static const struct {
        fm_dtype dtype;
        int rank;
        int64_t dims[4];
        int classes; // 0: refused
        bool guessed;
    } cases[] = {
        {FM_DTYPE_I64, 3, {1, 513, 513}, 255, true},
        {FM_DTYPE_I32, 4, {1, 1, 64, 64}, 255, true},
        {FM_DTYPE_U8, 4, {1, 64, 64, 1}, 255, true},
        {FM_DTYPE_F32, 4, {1, 21, 65, 65}, 21, true},
        {FM_DTYPE_F32, 4, {1, 65, 65, 21}, 21, true},
        {FM_DTYPE_F32, 4, {1, 3, 513, 513}, 3, false}, // more likely a picture
        {FM_DTYPE_F32, 4, {1, 1, 513, 513}, 0, false},
        {FM_DTYPE_F32, 4, {1, 300, 65, 65}, 0, false},
        {FM_DTYPE_F32, 3, {1, 513, 513}, 0, false},
        {FM_DTYPE_I64, 2, {1, 513}, 0, false},
        {FM_DTYPE_I64, 3, {1, 0, 513}, 0, false},
        {FM_DTYPE_I64, 3, {1, INT64_MAX, 513}, 0, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fm_tensor t = {.dtype = cases[i].dtype, .rank = cases[i].rank};
        memcpy(t.dims, cases[i].dims, sizeof cases[i].dims);
        fm_head head;
        fm_error err = {0};
        fm_head_opts opts = {0};
        bool guessed = fm__head_guess(&t, 1, 513, 513, FM_TASK_SEGMENTATION, &opts, NULL) == FM_OK;
        bool fits = fm__head_init(&head, &(fm_head_opts){.type = "semantic"}, 513, 513, &t, 1, &err) == FM_OK;
        if (guessed != cases[i].guessed || fits != (cases[i].classes > 0) ||
            (fits && head.class_count != cases[i].classes))
            fail_msg("case %zu: %d %d %s", i, guessed, fits, err.msg);
    }
    fm_tensor two[2] = {{.dtype = FM_DTYPE_F32, .rank = 4, .dims = {1, 21, 520, 520}},
        {.dtype = FM_DTYPE_F32, .rank = 4, .dims = {1, 21, 520, 520}}};
    fm_head head = make_head(&(fm_head_opts){.type = "semantic", .class_count = 21}, 520, 520, two, 2);
    assert_int_equal(head.grid_w, 520);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_classes_in_order),
        cmocka_unit_test(a_distribution_is_told_from_logits),
        cmocka_unit_test(a_row_that_is_no_number_has_no_classes),
        cmocka_unit_test(a_classifiers_shapes),
        cmocka_unit_test(a_map_of_integers_reaches_the_frame),
        cmocka_unit_test(a_crop_leaves_pixels_unseen),
        cmocka_unit_test(the_largest_number_wins_at_every_level),
        cmocka_unit_test(a_class_maps_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
