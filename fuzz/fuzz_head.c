// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// heads/head.h: shapes and contents of a network's output. The first bytes choose type, options and shape,
// the rest is repeated over the tensor. What is decoded must be finite, in range, in order and the same at
// every SIMD level; masks must lie in the frame and come back from their run lengths.

#include "base/alloc.h"
#include "fuzz.h"
#include "heads/head.h"
#include "ops/rle.h"

#include <math.h>
#include <string.h>

enum { OPTION_BYTES = 8, MAX_VALUES = 1 << 16, MAX_DETS = 50 };

static const char *const types[] = {"yolox", "yolov5", "yolov8", "feature", "yolov8-seg", "yolov5-seg",
    "mask-rcnn", "semantic", "softmax", "pixels"};
enum { TYPES = sizeof types / sizeof types[0] };

static void check_dets(const fm_head *head, const fm_head_query *q, const fm_det *dets, size_t n)
{
    FUZZ_CHECK(n <= q->max_dets);
    for (size_t i = 0; i < n; i++) {
        fm_box b = dets[i].box;
        FUZZ_CHECK(isfinite(b.x0) && isfinite(b.y0) && isfinite(b.x1) && isfinite(b.y1));
        FUZZ_CHECK(b.x1 > b.x0 && b.y1 > b.y0);
        FUZZ_CHECK(dets[i].score >= q->conf && dets[i].score <= 1.0f);
        FUZZ_CHECK(dets[i].class_id >= 0 && dets[i].class_id < head->class_count);
        FUZZ_CHECK(i == 0 || dets[i].score <= dets[i - 1].score);
    }
}

static void run(const fm_head *head, const fm_tensor *out, float conf)
{
    void *scratch = fm__calloc_aligned(FM_TAG_HEADS, fm__head_scratch_size(head), 64);
    FUZZ_CHECK(scratch != NULL);
    fm_det want[MAX_DETS], got[MAX_DETS];
    size_t first = 0;
    for (int level = 0; level <= (int)fm__cpu_level(); level++) {
        fm_head_query q = {.conf = conf, .iou = 0.5f, .max_dets = MAX_DETS, .level = (fm_cpu_level)level};
        size_t n = fm__head_run(head, out, 1, out->dims[0] - 1, &q, level == 0 ? want : got, scratch);
        check_dets(head, &q, level == 0 ? want : got, n);
        FUZZ_CHECK(level == 0 || (n == first && memcmp(want, got, n * sizeof *want) == 0));
        first = n;
    }
    fm__free(scratch);
}

// A vector of length 1 or of zeros, or none.
static void run_feature(float *values, size_t count)
{
    fm_tensor out = {.data = values, .dtype = FM_DTYPE_F32, .rank = 2, .dims = {1, (int64_t)count}};
    fm_head head;
    if (fm__head_init(&head, &(fm_head_opts){.type = "feature"}, 8, 8, &out, 1, NULL) != FM_OK)
        return;
    float *v = fm__calloc_array(FM_TAG_HEADS, count, sizeof *v);
    FUZZ_CHECK(v != NULL);
    if (fm__head_feature(&head, &out, 1, 0, v)) {
        double sum = 0;
        for (size_t i = 0; i < count; i++)
            sum += (double)v[i] * (double)v[i];
        FUZZ_CHECK(sum == 0 || fabs(sum - 1) < 1e-5);
    }
    fm__free(v);
}

// Any frame and any fit.
static fm_fit_map any_map(const uint8_t *b, int w, int h)
{
    return fm__fit((fm_fit)(b[0] % 3), (fm_anchor)(b[0] >> 2 & 1), (float)(b[1] + 1) / 256, 1 + b[2] * 3,
        1 + b[3] * 2, w, h);
}

static void check_masks(const fm_fit_map *map, const fm_mask *masks, size_t n)
{
    fm_str text;
    fm__str_init(&text, FM_TAG_HEADS);
    for (size_t i = 0; i < n; i++) {
        const fm_mask *m = &masks[i];
        FUZZ_CHECK(m->width >= 0 && m->height >= 0 && m->x >= 0 && m->y >= 0);
        FUZZ_CHECK(m->x + m->width <= map->src_w && m->y + m->height <= map->src_h);
        FUZZ_CHECK(m->stride % 8 == 0 && m->stride * 8 >= m->width);
        fm__str_reset(&text);
        fm__rle_add(&text, m, map->src_w, map->src_h);
        FUZZ_CHECK(text.len > 0 && strspn(text.data, "0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`"
                                                     "abcdefghijklmno") == text.len);
    }
    fm__str_done(&text);
}

static void run_objects(
    const fm_head *head, const fm_tensor *outs, size_t n_outs, const fm_fit_map *map, float conf)
{
    static fm_det dets[MAX_DETS];
    static fm_mask masks[MAX_DETS];
    static uint32_t places[MAX_DETS];
    uint8_t *first = NULL;
    size_t first_size = 0;
    void *scratch = fm__calloc_aligned(FM_TAG_HEADS, fm__head_scratch_size(head), 64);
    for (int level = 0; level <= (int)fm__cpu_level(); level++) {
        fm_head_query q = {.conf = conf, .iou = 0.5f, .max_dets = MAX_DETS, .level = (fm_cpu_level)level};
        int64_t row = outs[0].dims[0] - 1;
        size_t n = fm__head_objects(head, outs, n_outs, row, &q, map, dets, masks, places, scratch);
        check_dets(head, &q, dets, n);
        size_t size = fm__masks_size(masks, n);
        uint8_t *bits = fm__calloc_array(FM_TAG_HEADS, size + 1, 1);
        fm__head_masks(head, outs, n_outs, row, map, places, masks, n, bits, scratch, q.level);
        check_masks(map, masks, n);
        FUZZ_CHECK(level == 0 || (size == first_size && memcmp(bits, first, size) == 0));
        if (level == 0) {
            first = bits;
            first_size = size;
        } else {
            fm__free(bits);
        }
    }
    fm__free(first);
    fm__free(scratch);
}

static void run_class_map(const fm_head *head, const fm_tensor *out, const fm_fit_map *map)
{
    size_t pixels = (size_t)map->src_w * (size_t)map->src_h;
    int64_t area[FM_CLASS_UNSEEN], sum = 0;
    uint8_t *ids = fm__calloc_array(FM_TAG_HEADS, pixels, 1),
            *again = fm__calloc_array(FM_TAG_HEADS, pixels, 1);
    void *scratch = fm__calloc_aligned(FM_TAG_HEADS, fm__head_scratch_size(head), 64);
    for (int level = 0; level <= (int)fm__cpu_level(); level++)
        fm__head_class_map(head, out, 1, out->dims[0] - 1, map, level ? again : ids, map->src_w, area,
            scratch, (fm_cpu_level)level);
    FUZZ_CHECK(fm__cpu_level() == FM_CPU_SCALAR || memcmp(ids, again, pixels) == 0);
    for (int c = 0; c < head->class_count; c++)
        sum += area[c];
    for (size_t i = 0; i < pixels; i++) {
        FUZZ_CHECK(ids[i] < head->class_count || ids[i] == FM_CLASS_UNSEEN);
        sum -= ids[i] != FM_CLASS_UNSEEN;
    }
    FUZZ_CHECK(sum == 0);
    fm__free(scratch);
    fm__free(again);
    fm__free(ids);
}

// Segmenters: as many outputs as fit the bytes, of shapes that the options choose.
static void run_segmenters(const uint8_t *data, float *values, const uint8_t *ids)
{
    static int64_t one[2] = {3, 200};
    int side = 32 * (1 + data[2] % 3), cells = side / 4, coefs = 1 + data[3] % 9, classes = 1 + data[4] % 20;
    int v5 = data[1] >> 4 & 1;
    int64_t anchors = (int64_t)(side / 8) * (side / 8) * 21 / 16 * (v5 ? 3 : 1),
            channels = classes + coefs + 4 + v5;
    bool rows = v5 || data[1] & 8;
    fm_tensor outs[5] = {{values, FM_DTYPE_F32, 3, {1, rows ? anchors : channels, rows ? channels : anchors}},
        {values, FM_DTYPE_F32, 4, {1, coefs, cells, cells}}};
    fm_fit_map map = any_map(data + 4, side, side);
    float conf = (float)(data[7] + 1) / 256.0f;
    fm_head head;
    fm_head_opts opts = {
        .type = v5 ? "yolov5-seg" : "yolov8-seg", .boxes = data[1] & 1, .class_count = classes};
    if (fm__tensor_count(&outs[0]) <= MAX_VALUES &&
        fm__head_init(&head, &opts, side, side, outs, 2, NULL) == FM_OK)
        run_objects(&head, outs, 2, &map, conf);
    outs[0] = (fm_tensor){values, FM_DTYPE_F32, 3, {1, classes, 4}};
    outs[1] = (fm_tensor){values, FM_DTYPE_F32, 2, {1, classes}};
    outs[2] = (fm_tensor){(void *)ids, FM_DTYPE_I32, 2, {1, classes}};
    outs[3] = (fm_tensor){values, FM_DTYPE_F32, 4, {1, classes, 28, 28}};
    outs[4] = (fm_tensor){one + (data[1] & 1), FM_DTYPE_I64, 1, {1}};
    opts = (fm_head_opts){.type = "mask-rcnn", .boxes = data[1] & 1};
    if (fm__head_init(&head, &opts, side, side, outs, 5, NULL) == FM_OK)
        run_objects(&head, outs, 5, &map, conf);
    opts = (fm_head_opts){.type = "semantic", .class_count = data[5]};
    outs[0] = data[1] & 2 ? (fm_tensor){values, FM_DTYPE_F32, 4, {1, classes, cells, cells}}
                          : (fm_tensor){(void *)ids, FM_DTYPE_U8 + (data[1] & 4 ? 0 : FM_DTYPE_I32), 3,
                                {1, cells, cells}};
    if (fm__head_init(&head, &opts, side, side, outs, 1, NULL) == FM_OK)
        run_class_map(&head, outs, &map);
}

static void run_softmax(float *values, size_t count, fm_head_activation activation)
{
    fm_tensor out = {.data = values, .dtype = FM_DTYPE_F32, .rank = 2, .dims = {1, (int64_t)count}};
    fm_class_score top[5];
    fm_head head;
    fm_head_opts opts = {.type = "softmax", .activation = activation};
    if (fm__head_init(&head, &opts, 8, 8, &out, 1, NULL) != FM_OK)
        return;
    size_t n = fm__head_classify(&head, &out, 1, 0, top, 5);
    for (size_t i = 0; i < n; i++) {
        FUZZ_CHECK(top[i].score > 0 && top[i].score <= 1 && (i == 0 || top[i].score <= top[i - 1].score));
        FUZZ_CHECK(top[i].class_id >= 0 && (size_t)top[i].class_id < count);
    }
}

// A picture of any numbers, a part of it: nothing beside the part is written.
static void run_pixels(const uint8_t *data, float *values)
{
    int w = 1 + data[2] % 20, h = 1 + data[3] % 20, scale = 2 + data[4] % 3, c = data[5] & 1 ? 3 : 1;
    fm_tensor out = {.data = values, .dtype = FM_DTYPE_F32, .rank = 4, .dims = {1, c, h * scale, w * scale}};
    if (data[1] & 1)
        memcpy(out.dims, (int64_t[]){1, h * scale, w * scale, c}, 4 * sizeof(int64_t));
    fm_head head;
    fm_head_opts opts = {.type = "pixels", .range = data[1] >> 1 & 1};
    fm_head_rect rect = {data[6] % (w * scale), data[7] % (h * scale), 1, 1};
    FUZZ_CHECK(fm__head_init(&head, &opts, w, h, &out, 1, NULL) == FM_OK);
    rect.width += data[5] % (w * scale - rect.x);
    rect.height += data[4] % (h * scale - rect.y);
    size_t row = (size_t)(rect.width * c), size = row * (size_t)rect.height;
    uint8_t *dst = fm__calloc_array(FM_TAG_HEADS, size, 1); // exactly: a sanitizer sees what is past it
    fm__head_pixels(&head, &out, 0, &rect, dst, (ptrdiff_t)row);
    fm__free(dst);
}

static bool is_whole(const fm_head *head)
{
    switch (head->cls->task) {
    case FM_TASK_FEATURES:
        return fm__head_dim(head) >= 1;
    case FM_TASK_ENHANCEMENT:
        return head->scale >= 2 && head->scale <= FM_HEAD_MAX_SCALE &&
               (head->channels == 1 || head->channels == 3);
    default:
        return head->class_count >= 1;
    }
}

static void init(const fm_head_opts *opts, int side, const fm_tensor *outs, size_t n)
{
    fm_head head;
    fm_error err = {0};
    if (fm__head_init(&head, opts, side, side, outs, n, &err) == FM_OK)
        FUZZ_CHECK(fm__head_scratch_size(&head) > 0 && is_whole(&head) &&
                   (head.cls->decode == NULL || head.anchors >= 1));
    else
        FUZZ_CHECK(err.msg[0] != '\0');
}

// Dimensions of any kind, without data: configuration and guess may only refuse.
static void configure_wildly(const uint8_t *data, size_t size)
{
    fm_tensor t[2] = {{.dtype = FM_DTYPE_F32, .rank = data[0] % (FM_TENSOR_MAX_RANK + 1)}, {.rank = 0}};
    for (int i = 0; i < t[0].rank && (size_t)(i + 1) * 8 <= size; i++)
        memcpy(&t[0].dims[i], data + (size_t)i * 8, 8);
    fm_head_opts opts = {0};
    int side = data[1] * 16;
    if (size > 64) {
        t[1].dtype = data[6] % FM_DTYPE_COUNT;
        t[1].rank = data[7] % (FM_TENSOR_MAX_RANK + 1);
        memcpy(t[1].dims, data + 16, sizeof t[1].dims);
    }
    size_t n = 1 + data[2] % 2;
    if (fm__head_guess(t, n, side, side, data[6] % FM_TASK_COUNT, &opts, NULL) == FM_OK)
        init(&opts, side, t, n); // may refuse what was guessed
    opts.type = types[data[3] % TYPES];
    opts.class_count = data[4];
    init(&opts, side, t, data[5] % 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size <= OPTION_BYTES)
        return 0;
    configure_wildly(data, size);
    fm_head_opts opts = {.type = types[data[0] % 3],
        .boxes = data[1] & 1,
        .grid = data[1] >> 1 & 1,
        .activation = data[1] >> 2 & 1};
    int w = 8 * (1 + data[2] % 16), h = 8 * (1 + data[3] % 16), classes = 1 + data[4] % 90;
    fm_tensor out = {
        .dtype = FM_DTYPE_F32, .rank = 3, .dims = {1 + data[5] % 2, 1 + data[6] % 200, classes + 5}};
    if (opts.grid == FM_HEAD_GRID_RAW)
        out.dims[1] = (w / 8) * (h / 8) + (w / 16) * (h / 16) + (w / 32) * (h / 32);
    if (data[1] & 8) {
        out.dims[2] = out.dims[1];
        out.dims[1] = classes + 4;
    }
    static float values[MAX_VALUES];
    int64_t count = fm__tensor_count(&out);
    if (count < 1 || count > MAX_VALUES)
        return 0;
    const uint8_t *bytes = data + OPTION_BYTES;
    size_t len = size - OPTION_BYTES;
    for (size_t i = 0; i < (size_t)count * sizeof(float); i++)
        ((uint8_t *)values)[i] = bytes[i % len];
    run_feature(values, (size_t)count);
    run_softmax(values, (size_t)count, (fm_head_activation)(data[1] & 3));
    for (size_t i = 0; i < sizeof values; i++) // all of them from here on
        ((uint8_t *)values)[i] = bytes[i % len];
    run_segmenters(data, values, (const uint8_t *)values);
    run_pixels(data, values);
    out.data = values;
    fm_head head;
    if (fm__head_init(&head, &opts, w, h, &out, 1, NULL) == FM_OK)
        run(&head, &out, (float)(data[7] + 1) / 256.0f);
    return 0;
}
