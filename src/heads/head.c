// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The table of head types, and what they share: configuration against a network's shapes, guessing, and one
// run. For detections that is the type's decoder followed by greedy class-aware non-maximum suppression
// (ops/nms.h); the order of the result is the suppression's (score, class, place in the output), and so
// depends on the numbers alone.

#include "heads/head.h"
#include "base/error.h"
#include "base/str.h"
#include "heads/decode.h"
#include "ops/nms.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define MAX_ANCHORS (1 << 22) // bounds the scratch memory; yolox-x at 4096 x 4096 has 344,064
#define MAX_CLASSES (1 << 16)
#define MAX_INPUT (1 << 14) // pixels a side
#define SCRATCH_ALIGN 64

const fm_head_class *const *fm__head_classes(void)
{
    static const fm_head_class *const all[] = {
        &fm__head_yolox, &fm__head_yolov5, &fm__head_yolov8, &fm__head_feature_class, NULL};
    return all;
}

const fm_head_class *fm__head_find(const char *name)
{
    for (const fm_head_class *const *c = fm__head_classes(); *c != NULL; c++) {
        if (strcmp((*c)->name, name) == 0)
            return *c;
    }
    return NULL;
}

const char *fm__task_name(fm_task task)
{
    static const char *const names[FM_TASK_COUNT] = {"any", "detection", "features"};
    return names[task];
}

int64_t fm__head_cells(int input_w, int input_h)
{
    int64_t cells = 0;
    for (int stride = 8; stride <= 32; stride *= 2)
        cells += (int64_t)(input_w / stride) * (input_h / stride);
    return cells;
}

float fm__head_raw_threshold(const fm_head *head, float conf)
{
    if (head->opts.activation == FM_HEAD_ACT_NONE)
        return conf;
    if (!(conf > 0.0f))
        return -INFINITY;
    if (conf >= 1.0f)
        return 10.0f; // the sigmoid rounds to 1 from 17 on
    return logf(conf / (1.0f - conf)) - 0.01f;
}

fm_status fm__head_check_one(const fm_head *head, const fm_tensor *outs, size_t n,
    bool (*fits)(const fm_tensor *out), const char *layout, fm_error *err)
{
    char shape[96];
    if (n != 1)
        return fm__fail(err, FM_FORMAT,
            "head '%s' wants one output %s, the network has %zu; choose another head with --head",
            head->opts.type, layout, n);
    fm__tensor_shape_text(&outs[0], shape, sizeof shape);
    if (!fits(&outs[0]))
        return fm__fail(err, FM_FORMAT,
            "head '%s' wants an output %s, the network's is %s; choose another head with --head",
            head->opts.type, layout, shape);
    if (outs[0].dtype != FM_DTYPE_F32)
        return fm__fail(err, FM_FORMAT, "head '%s' wants a f32 output, the network's %s is %s",
            head->opts.type, shape, fm__dtype_name(outs[0].dtype));
    return FM_OK;
}

static bool is_rank3(const fm_tensor *out)
{
    return out->rank == 3 && out->dims[1] >= 1 && out->dims[2] >= 1;
}

fm_status fm__head_check_output(
    const fm_head *head, const fm_tensor *outs, size_t n, const char *layout, fm_error *err)
{
    return fm__head_check_one(head, outs, n, is_rank3, layout, err);
}

fm_status fm__head_set_classes(fm_head *head, int64_t found, const fm_tensor *out, fm_error *err)
{
    char shape[96];
    fm__tensor_shape_text(out, shape, sizeof shape);
    if (found < 1 || found > MAX_CLASSES)
        return fm__fail(err, FM_FORMAT, "head '%s': the network's output %s has no room for a class",
            head->opts.type, shape);
    if (head->opts.class_count > 0 && head->opts.class_count != found)
        return fm__fail(err, FM_FORMAT,
            "wrong number of classes in labels: %d labels are given, the network's output %s has %d classes",
            head->opts.class_count, shape, (int)found);
    head->class_count = (int)found;
    return FM_OK;
}

// Names of the heads of a task: "yolox, yolov5, yolov8".
static void list_names(fm_task task, char *buf, size_t size)
{
    size_t len = 0;
    buf[0] = '\0';
    for (const fm_head_class *const *c = fm__head_classes(); *c != NULL && len + 1 < size; c++) {
        if (task != FM_TASK_ANY && (*c)->task != task)
            continue;
        int n = snprintf(buf + len, size - len, "%s%s", len > 0 ? ", " : "", (*c)->name);
        len += n > 0 ? (size_t)n : 0;
    }
}

fm_status fm__head_init(fm_head *head, const fm_head_opts *opts, int input_w, int input_h,
    const fm_tensor *outs, size_t n, fm_error *err)
{
    const fm_head_class *cls = opts->type == NULL ? NULL : fm__head_find(opts->type);
    if (cls == NULL) {
        char names[96];
        list_names(FM_TASK_ANY, names, sizeof names);
        return fm__fail(err, FM_UNSUPPORTED, "no head is called '%s'; there are %s",
            opts->type == NULL ? "" : opts->type, names);
    }
    if (input_w < 1 || input_h < 1 || input_w > MAX_INPUT || input_h > MAX_INPUT)
        return fm__fail(err, FM_FORMAT, "head '%s': network input of %d x %d pixels is out of range",
            cls->name, input_w, input_h);
    fm_head made = {.cls = cls, .opts = *opts, .input_w = input_w, .input_h = input_h};
    made.opts.type = cls->name;
    fm_status status = cls->check(&made, outs, n, err);
    if (status != FM_OK)
        return status;
    if (cls->task == FM_TASK_DETECTION && (made.anchors < 1 || made.anchors > MAX_ANCHORS))
        return fm__fail(err, FM_FORMAT, "head '%s': %lld candidates in the network's output is out of range",
            cls->name, (long long)made.anchors);
    *head = made;
    return FM_OK;
}

static fm_status no_guess(
    const fm_tensor *outs, size_t n, int input_w, int input_h, fm_task task, fm_error *err)
{
    char text[256] = "", names[96];
    size_t len = 0;
    for (size_t i = 0; i < n && len + 1 < sizeof text; i++) {
        fm__tensor_shape_text(&outs[i], text + len, sizeof text - len);
        len = strlen(text);
        if (i + 1 < n && len + 1 < sizeof text) {
            text[len++] = ' ';
            text[len] = '\0';
        }
    }
    list_names(task, names, sizeof names);
    return fm__fail(err, FM_NOTFOUND,
        "no head%s%s fits the output shapes %s of a network with input %d x %d; name one with --head (%s)",
        task != FM_TASK_ANY ? " for " : "", task != FM_TASK_ANY ? fm__task_name(task) : "", text, input_w,
        input_h, names);
}

fm_status fm__head_guess(const fm_tensor *outs, size_t n, int input_w, int input_h, fm_task task,
    fm_head_opts *opts, fm_error *err)
{
    for (const fm_head_class *const *c = fm__head_classes(); *c != NULL; c++) {
        fm_head_opts guessed = {.type = (*c)->name};
        bool is_asked = (*c)->task == (task == FM_TASK_ANY ? FM_TASK_DETECTION : task);
        if (is_asked && (*c)->guess(outs, n, input_w, input_h, &guessed)) {
            *opts = guessed;
            return FM_OK;
        }
    }
    return no_guess(outs, n, input_w, input_h, task, err);
}

static size_t candidates_size(const fm_head *head)
{
    size_t bytes = (size_t)head->anchors * sizeof(fm_det); // bounded by MAX_ANCHORS
    return (bytes + SCRATCH_ALIGN - 1) / SCRATCH_ALIGN * SCRATCH_ALIGN;
}

size_t fm__head_scratch_size(const fm_head *head)
{
    return candidates_size(head) + fm__nms_scratch_size((size_t)head->anchors);
}

size_t fm__head_run(const fm_head *head, const fm_tensor *outs, size_t n, int64_t row, const fm_head_query *q,
    fm_det *dets, void *scratch)
{
    assert(head->cls->task == FM_TASK_DETECTION);
    fm_det *cand = scratch;
    void *rest = (uint8_t *)scratch + candidates_size(head);
    size_t count = head->cls->decode(head, outs, n, row, q, cand);
    count = fm__nms(cand, count, q->iou, q->max_dets, rest, q->level);
    if (count > 0)
        memcpy(dets, cand, count * sizeof *dets);
    return count;
}

size_t fm__head_dim(const fm_head *head)
{
    return head->dim;
}

bool fm__head_feature(const fm_head *head, const fm_tensor *outs, size_t n, int64_t row, float *out)
{
    assert(head->cls->task == FM_TASK_FEATURES);
    return head->cls->feature(head, outs, n, row, out);
}
