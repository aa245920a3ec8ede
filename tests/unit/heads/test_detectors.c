// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The detector heads against numbers worked out by hand and against a plain loop over the same tensor, at
// every SIMD level that this machine has; what a hostile or broken output may not do; thresholds, class masks
// and limits.

#include "heads/head.h"

#include "base/alloc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_DETS = 1000 };

typedef struct plan {
    const char *type;
    fm_head_boxes boxes;
    fm_head_grid grid;
    fm_head_activation activation;
    int input_w, input_h, classes, batch;
    bool channels_first;
} plan;

static int64_t anchors_of(const plan *p)
{
    int64_t cells = 0;
    for (int s = 8; s <= 32; s *= 2)
        cells += (p->input_w / s) * (p->input_h / s);
    return strcmp(p->type, "yolov5") == 0 ? 3 * cells : cells;
}

static bool has_objectness(const plan *p)
{
    return strcmp(p->type, "yolov8") != 0;
}

static int channels_of(const plan *p)
{
    return p->classes + (has_objectness(p) ? 5 : 4);
}

static fm_tensor shape_of(const plan *p)
{
    fm_tensor t = {.dtype = FM_DTYPE_F32, .rank = 3, .dims = {p->batch, anchors_of(p), channels_of(p)}};
    if (p->channels_first) {
        t.dims[1] = channels_of(p);
        t.dims[2] = anchors_of(p);
    }
    return t;
}

static float *cell(const plan *p, const fm_tensor *t, int64_t row, int64_t anchor, int channel)
{
    int64_t a = anchors_of(p), c = channels_of(p);
    float *v = (float *)t->data + row * a * c;
    return p->channels_first ? v + channel * a + anchor : v + anchor * c + channel;
}

static fm_tensor tensor_new(const plan *p)
{
    fm_tensor t = shape_of(p);
    t.data = calloc((size_t)(t.dims[0] * t.dims[1] * t.dims[2]), sizeof(float));
    assert_non_null(t.data);
    if (p->activation == FM_HEAD_ACT_SIGMOID) { // calloc's 0 would be a score of 0.5
        for (int64_t i = 0; i < t.dims[0] * t.dims[1] * t.dims[2]; i++)
            ((float *)t.data)[i] = -20.0f;
    }
    return t;
}

static fm_head head_of(const plan *p, const fm_tensor *t)
{
    fm_head head;
    fm_error err = {0};
    fm_head_opts opts = {.type = p->type,
        .boxes = p->boxes,
        .grid = p->grid,
        .activation = p->activation,
        .class_count = p->classes};
    fm_status status = fm__head_init(&head, &opts, p->input_w, p->input_h, t, 1, &err);
    if (status != FM_OK)
        fail_msg("init: %s", err.msg);
    return head;
}

static size_t run(const plan *p, const fm_tensor *t, int64_t row, const fm_head_query *q, fm_det *dets)
{
    fm_head head = head_of(p, t);
    void *scratch = fm__calloc_aligned(FM_TAG_HEADS, fm__head_scratch_size(&head), 64);
    assert_non_null(scratch);
    size_t n = fm__head_run(&head, t, 1, row, q, dets, scratch);
    fm__free(scratch);
    return n;
}

static void put(const plan *p, const fm_tensor *t, int64_t row, int64_t a, const float *box, float obj,
    int cls, float score)
{
    for (int i = 0; i < 4; i++)
        *cell(p, t, row, a, i) = box[i];
    if (has_objectness(p))
        *cell(p, t, row, a, 4) = obj;
    *cell(p, t, row, a, channels_of(p) - p->classes + cls) = score;
}

static void expect_det(const fm_det *d, float x0, float y0, float x1, float y1, float score, int cls)
{
    const float got[5] = {d->box.x0, d->box.y0, d->box.x1, d->box.y1, d->score},
                want[5] = {x0, y0, x1, y1, score};
    for (int i = 0; i < 5; i++) {
        if (!(fabsf(got[i] - want[i]) < 1e-3f))
            fail_msg("value %d: got %g, expected %g", i, (double)got[i], (double)want[i]);
    }
    assert_int_equal(d->class_id, cls);
    assert_int_equal(d->track_id, 0);
}

static const plan yolox_plan = {
    .type = "yolox", .grid = FM_HEAD_GRID_RAW, .input_w = 96, .input_h = 64, .classes = 3, .batch = 2};
static const plan yolov5_plan = {.type = "yolov5", .input_w = 64, .input_h = 64, .classes = 3, .batch = 2};
static const plan yolov8_plan = {
    .type = "yolov8", .input_w = 64, .input_h = 64, .classes = 3, .batch = 2, .channels_first = true};

static void yolox_raw_grid_by_hand(void **state)
{
    (void)state;
    fm_tensor t = tensor_new(&yolox_plan);
    fm_det dets[MAX_DETS];
    fm_head_query q = {.conf = 0.3f, .iou = 0.5f, .max_dets = MAX_DETS};
    // 96 x 64: 12 x 8 cells of stride 8, 6 x 4 of 16, 3 x 2 of 32
    put(&yolox_plan, &t, 1, 12 * 2 + 3, (float[]){0.5f, 0.25f, 0.0f, logf(2.0f)}, 0.9f, 2,
        0.5f); // stride 8, cell (3, 2)
    put(&yolox_plan, &t, 1, 96 + 6 * 3 + 5, (float[]){0.0f, 0.0f, 0.0f, 0.0f}, 0.8f, 0,
        0.5f); // stride 16, cell (5, 3)
    put(&yolox_plan, &t, 1, 96 + 24 + 3 * 1 + 2, (float[]){0.5f, 0.5f, logf(0.5f), 0.0f}, 1.0f, 1,
        0.35f); // stride 32, cell (2, 1)
    assert_int_equal(run(&yolox_plan, &t, 0, &q, dets), 0);
    assert_int_equal(run(&yolox_plan, &t, 1, &q, dets), 3);
    expect_det(&dets[0], 24, 10, 32, 26, 0.45f, 2);
    expect_det(&dets[1], 72, 40, 88, 56, 0.40f, 0);
    expect_det(&dets[2], 72, 32, 88, 64, 0.35f, 1);
    free(t.data);
}

static void yolox_decoded_boxes_by_hand(void **state)
{
    (void)state;
    plan p = yolox_plan;
    p.grid = FM_HEAD_GRID_DECODED;
    fm_tensor t = tensor_new(&p);
    fm_det dets[MAX_DETS];
    put(&p, &t, 0, 7, (float[]){30, 20, 10, 4}, 0.5f, 1, 0.8f);
    assert_int_equal(run(&p, &t, 0, &(fm_head_query){.conf = 0.3f, .iou = 0.5f, .max_dets = 5}, dets), 1);
    expect_det(&dets[0], 25, 18, 35, 22, 0.4f, 1);
    free(t.data);
}

static void yolov5_pixels_and_unit_by_hand(void **state)
{
    (void)state;
    fm_head_query q = {.conf = 0.3f, .iou = 0.5f, .max_dets = 5};
    fm_det dets[MAX_DETS];
    for (int unit = 0; unit < 2; unit++) {
        plan p = yolov5_plan;
        p.boxes = unit ? FM_HEAD_BOXES_UNIT : FM_HEAD_BOXES_PIXELS;
        float s = unit ? 1.0f / 64.0f : 1.0f;
        fm_tensor t = tensor_new(&p);
        put(&p, &t, 1, anchors_of(&p) - 1, (float[]){30 * s, 20 * s, 10 * s, 4 * s}, 0.5f, 1, 0.8f);
        assert_int_equal(run(&p, &t, 1, &q, dets), 1);
        expect_det(&dets[0], 25, 18, 35, 22, 0.4f, 1);
        free(t.data);
    }
}

static void yolov8_both_layouts_by_hand(void **state)
{
    (void)state;
    fm_head_query q = {.conf = 0.3f, .iou = 0.5f, .max_dets = 5};
    fm_det dets[MAX_DETS];
    for (int first = 0; first < 2; first++) {
        plan p = yolov8_plan;
        p.channels_first = first;
        p.boxes = first ? FM_HEAD_BOXES_UNIT : FM_HEAD_BOXES_PIXELS;
        float s = first ? 1.0f / 64.0f : 1.0f;
        fm_tensor t = tensor_new(&p);
        put(&p, &t, 1, 83, (float[]){30 * s, 20 * s, 10 * s, 4 * s}, 0, 2, 0.8f);
        assert_int_equal(run(&p, &t, 1, &q, dets), 1);
        expect_det(&dets[0], 25, 18, 35, 22, 0.8f, 2);
        free(t.data);
    }
}

static void sigmoid_left_to_the_head_is_done(void **state)
{
    (void)state;
    const plan *const all[] = {&yolox_plan, &yolov5_plan, &yolov8_plan};
    for (int i = 0; i < 3; i++) {
        plan p = *all[i];
        p.activation = FM_HEAD_ACT_SIGMOID;
        p.grid = FM_HEAD_GRID_DECODED;
        fm_tensor t = tensor_new(&p);
        fm_det dets[MAX_DETS];
        put(&p, &t, 0, 5, (float[]){30, 20, 10, 4}, 1.0f, 1, 2.0f);
        float cls = 1.0f / (1.0f + expf(-2.0f)), obj = 1.0f / (1.0f + expf(-1.0f));
        float want = has_objectness(&p) ? cls * obj : cls;
        fm_head_query q = {.conf = want - 1e-4f, .iou = 0.5f, .max_dets = 5};
        assert_int_equal(run(&p, &t, 0, &q, dets), 1);
        expect_det(&dets[0], 25, 18, 35, 22, want, 1);
        q.conf = want + 1e-4f;
        assert_int_equal(run(&p, &t, 0, &q, dets), 0);
        free(t.data);
    }
}

// What the head has to find, by the plainest loop: every candidate's best class, its score, its box.
static size_t naive(const plan *p, const fm_tensor *t, int64_t row, float conf, fm_det *out)
{
    size_t n = 0;
    int first = channels_of(p) - p->classes;
    for (int64_t a = 0; a < anchors_of(p); a++) {
        int best = 0;
        for (int c = 1; c < p->classes; c++) {
            if (*cell(p, t, row, a, first + c) > *cell(p, t, row, a, first + best))
                best = c;
        }
        float score = *cell(p, t, row, a, first + best);
        if (has_objectness(p))
            score *= *cell(p, t, row, a, 4);
        if (score < conf)
            continue;
        float cx = *cell(p, t, row, a, 0), cy = *cell(p, t, row, a, 1);
        float w = *cell(p, t, row, a, 2), h = *cell(p, t, row, a, 3);
        out[n++] = (fm_det){.box = {cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2},
            .score = score,
            .class_id = best,
            .track_id = a}; // a decoder leaves the candidate's place there
    }
    return n;
}

static float random_unit(uint32_t *rng)
{
    *rng = *rng * 1664525u + 1013904223u;
    return (float)(*rng >> 8) / 16777216.0f;
}

static void fill_random(const plan *p, const fm_tensor *t, uint32_t seed)
{
    for (int64_t row = 0; row < p->batch; row++) {
        for (int64_t a = 0; a < anchors_of(p); a++) {
            for (int c = 0; c < channels_of(p); c++) {
                float v = random_unit(&seed);
                *cell(p, t, row, a, c) = c < 4 ? 1.0f + v * 60.0f : v * v * v;
            }
        }
    }
}

static void decoding_equals_the_plain_loop_at_every_level(void **state)
{
    (void)state;
    const plan plans[] = {
        {.type = "yolox", .input_w = 160, .input_h = 96, .classes = 80, .batch = 2},
        {.type = "yolov5", .input_w = 96, .input_h = 96, .classes = 7, .batch = 2},
        {.type = "yolov5", .input_w = 32, .input_h = 32, .classes = 1, .batch = 1},
        {.type = "yolov8", .input_w = 320, .input_h = 256, .classes = 80, .batch = 2, .channels_first = true},
        {.type = "yolov8", .input_w = 160, .input_h = 160, .classes = 13, .batch = 2, .channels_first = true},
        {.type = "yolov8", .input_w = 160, .input_h = 96, .classes = 21, .batch = 2},
        {.type = "yolov8", .input_w = 64, .input_h = 32, .classes = 1, .batch = 1, .channels_first = true},
    };
    for (size_t i = 0; i < sizeof plans / sizeof plans[0]; i++) {
        const plan *p = &plans[i];
        fm_tensor t = tensor_new(p);
        fill_random(p, &t, (uint32_t)i + 1);
        fm_head head = head_of(p, &t);
        size_t A = (size_t)anchors_of(p);
        fm_det *want = calloc(A, sizeof *want), *got = calloc(A, sizeof *got);
        for (int level = 0; level <= (int)fm__cpu_level(); level++) {
            for (int64_t row = 0; row < p->batch; row++) {
                fm_head_query q = {
                    .conf = 0.25f, .iou = 0.5f, .max_dets = MAX_DETS, .level = (fm_cpu_level)level};
                size_t n = naive(p, &t, row, q.conf, want);
                assert_true(n > 0);
                assert_int_equal(head.cls->decode(&head, &t, 1, row, &q, got), n);
                assert_memory_equal(got, want, n * sizeof *got);
            }
        }
        free(want);
        free(got);
        free(t.data);
    }
}

static void not_a_number_neither_crashes_nor_passes(void **state)
{
    (void)state;
    const float evil[] = {NAN, -NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-45f, -0.0f};
    const plan *const all[] = {&yolox_plan, &yolov5_plan, &yolov8_plan};
    for (int i = 0; i < 3; i++) {
        const plan *p = all[i];
        fm_tensor t = tensor_new(p);
        fm_det dets[MAX_DETS];
        size_t count = (size_t)(t.dims[0] * t.dims[1] * t.dims[2]);
        uint32_t rng = 7;
        for (size_t j = 0; j < count; j++)
            ((float *)t.data)[j] =
                random_unit(&rng) < 0.4f ? evil[(size_t)(random_unit(&rng) * 7.99f)] : random_unit(&rng);
        for (int level = 0; level <= (int)fm__cpu_level(); level++) {
            fm_head_query q = {.conf = 0.1f, .iou = 0.5f, .max_dets = MAX_DETS, .level = (fm_cpu_level)level};
            size_t n = run(p, &t, 0, &q, dets);
            for (size_t d = 0; d < n; d++) {
                assert_true(isfinite(dets[d].box.x0) && isfinite(dets[d].box.y0));
                assert_true(isfinite(dets[d].box.x1) && isfinite(dets[d].box.y1));
                assert_true(dets[d].box.x1 > dets[d].box.x0 && dets[d].box.y1 > dets[d].box.y0);
                assert_true(dets[d].score >= 0.1f && dets[d].score <= 1.0f);
                assert_in_range(dets[d].class_id, 0, p->classes - 1);
            }
        }
        free(t.data);
    }
}

static void one_nan_class_does_not_hide_the_others(void **state)
{
    (void)state;
    const plan *const all[] = {&yolov5_plan, &yolov8_plan};
    for (int i = 0; i < 2; i++) {
        const plan *p = all[i];
        fm_tensor t = tensor_new(p);
        fm_det dets[MAX_DETS];
        put(p, &t, 0, 5, (float[]){30, 20, 10, 4}, 1.0f, 0, NAN);
        put(p, &t, 0, 5, (float[]){30, 20, 10, 4}, 1.0f, 1, 0.5f);
        assert_int_equal(
            run(p, &t, 0,
                &(fm_head_query){.conf = 0.3f, .iou = 0.5f, .max_dets = 5, .level = fm__cpu_level()}, dets),
            1);
        expect_det(&dets[0], 25, 18, 35, 22, 0.5f, 1);
        free(t.data);
    }
}

static void threshold_is_inclusive_and_equal_scores_take_the_first_class(void **state)
{
    (void)state;
    const plan *const all[] = {&yolov5_plan, &yolov8_plan};
    for (int i = 0; i < 2; i++) {
        const plan *p = all[i];
        fm_tensor t = tensor_new(p);
        fm_det dets[MAX_DETS];
        put(p, &t, 0, 3, (float[]){30, 20, 10, 4}, 1.0f, 2, 0.5f);
        put(p, &t, 0, 3, (float[]){30, 20, 10, 4}, 1.0f, 1, 0.5f);
        fm_head_query q = {.conf = 0.5f, .iou = 0.5f, .max_dets = 5};
        assert_int_equal(run(p, &t, 0, &q, dets), 1);
        assert_int_equal(dets[0].class_id, 1);
        q.conf = nextafterf(0.5f, 1.0f);
        assert_int_equal(run(p, &t, 0, &q, dets), 0);
        free(t.data);
    }
}

static void class_mask_gives_a_subset(void **state)
{
    (void)state;
    const plan *const all[] = {&yolox_plan, &yolov5_plan, &yolov8_plan};
    for (int i = 0; i < 3; i++) {
        plan p = *all[i];
        p.grid = FM_HEAD_GRID_DECODED;
        fm_tensor t = tensor_new(&p);
        fm_det whole[MAX_DETS], part[MAX_DETS];
        fill_random(&p, &t, 11);
        const uint8_t mask[3] = {0, 1, 0};
        fm_head_query q = {.conf = 0.2f, .iou = 0.6f, .max_dets = MAX_DETS};
        size_t n = run(&p, &t, 0, &q, whole), kept = 0;
        q.class_mask = mask;
        size_t m = run(&p, &t, 0, &q, part);
        for (size_t d = 0; d < n; d++) {
            if (whole[d].class_id == 1)
                whole[kept++] = whole[d];
        }
        assert_true(kept > 0 && kept < n);
        assert_int_equal(m, kept);
        assert_memory_equal(part, whole, m * sizeof *part);
        free(t.data);
    }
}

static void overlapping_boxes_of_one_class_become_one(void **state)
{
    (void)state;
    fm_tensor t = tensor_new(&yolov5_plan);
    fm_det dets[MAX_DETS];
    put(&yolov5_plan, &t, 0, 3, (float[]){30, 20, 10, 10}, 1.0f, 0, 0.6f);
    put(&yolov5_plan, &t, 0, 9, (float[]){31, 20, 10, 10}, 1.0f, 0, 0.7f); // IoU 0.82
    put(&yolov5_plan, &t, 0, 5, (float[]){31, 20, 10, 10}, 1.0f, 1, 0.5f); // another class stays
    fm_head_query q = {.conf = 0.3f, .iou = 0.5f, .max_dets = MAX_DETS};
    assert_int_equal(run(&yolov5_plan, &t, 0, &q, dets), 2);
    expect_det(&dets[0], 26, 15, 36, 25, 0.7f, 0);
    expect_det(&dets[1], 26, 15, 36, 25, 0.5f, 1);
    q.iou = 0.9f;
    assert_int_equal(run(&yolov5_plan, &t, 0, &q, dets), 3);
    free(t.data);
}

static void max_dets_keeps_the_best(void **state)
{
    (void)state;
    fm_tensor t = tensor_new(&yolov5_plan);
    fm_det dets[4];
    for (int i = 0; i < 10; i++)
        put(&yolov5_plan, &t, 0, 3 * i, (float[]){5.0f + 6.0f * (float)i, 20, 4, 4}, 1.0f, 0,
            0.5f + 0.01f * (float)i);
    assert_int_equal(
        run(&yolov5_plan, &t, 0, &(fm_head_query){.conf = 0.3f, .iou = 0.5f, .max_dets = 4}, dets), 4);
    for (int i = 0; i < 4; i++)
        expect_det(
            &dets[i], 57.0f - 6.0f * (float)i, 18, 61.0f - 6.0f * (float)i, 22, 0.59f - 0.01f * (float)i, 0);
    free(t.data);
}

static void a_score_a_little_over_one_is_one(void **state)
{
    (void)state;
    fm_tensor t = tensor_new(&yolov8_plan);
    fm_det dets[MAX_DETS];
    put(&yolov8_plan, &t, 0, 3, (float[]){30, 20, 10, 4}, 0, 0, 1.004f);
    assert_int_equal(
        run(&yolov8_plan, &t, 0, &(fm_head_query){.conf = 0.3f, .iou = 0.5f, .max_dets = 5}, dets), 1);
    assert_true(dets[0].score == 1.0f);
    free(t.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yolox_raw_grid_by_hand),
        cmocka_unit_test(yolox_decoded_boxes_by_hand),
        cmocka_unit_test(yolov5_pixels_and_unit_by_hand),
        cmocka_unit_test(yolov8_both_layouts_by_hand),
        cmocka_unit_test(sigmoid_left_to_the_head_is_done),
        cmocka_unit_test(decoding_equals_the_plain_loop_at_every_level),
        cmocka_unit_test(not_a_number_neither_crashes_nor_passes),
        cmocka_unit_test(one_nan_class_does_not_hide_the_others),
        cmocka_unit_test(threshold_is_inclusive_and_equal_scores_take_the_first_class),
        cmocka_unit_test(class_mask_gives_a_subset),
        cmocka_unit_test(overlapping_boxes_of_one_class_become_one),
        cmocka_unit_test(max_dets_keeps_the_best),
        cmocka_unit_test(a_score_a_little_over_one_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
