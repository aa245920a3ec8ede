// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// heads/head.h: shapes and contents of a network's output. The first bytes choose type, options and shape,
// the rest is repeated over the tensor. What is decoded must be finite, in range, in order and the same at
// every SIMD level.

#include "base/alloc.h"
#include "fuzz.h"
#include "heads/head.h"

#include <math.h>
#include <string.h>

enum { OPTION_BYTES = 8, MAX_VALUES = 1 << 16, MAX_DETS = 50 };

static const char *const types[] = {"yolox", "yolov5", "yolov8", "feature"};

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

static void init(const fm_head_opts *opts, int side, const fm_tensor *outs, size_t n)
{
    fm_head head;
    fm_error err = {0};
    if (fm__head_init(&head, opts, side, side, outs, n, &err) == FM_OK)
        FUZZ_CHECK(head.cls->task == FM_TASK_FEATURES
                       ? fm__head_dim(&head) >= 1
                       : head.anchors >= 1 && head.class_count >= 1 && fm__head_scratch_size(&head) > 0);
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
    if (fm__head_guess(t, 1 + data[2] % 2, side, side, data[6] % FM_TASK_COUNT, &opts, NULL) == FM_OK)
        init(&opts, side, t, 1); // may refuse what was guessed
    opts.type = types[data[3] % 4];
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
    out.data = values;
    fm_head head;
    if (fm__head_init(&head, &opts, w, h, &out, 1, NULL) == FM_OK)
        run(&head, &out, (float)(data[7] + 1) / 256.0f);
    return 0;
}
