// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The table of head types, and what they share: configuration against a network's shapes, guessing, and one
// run. For detections that is the type's decoder followed by greedy class-aware non-maximum suppression
// (ops/nms.h); the order of the result is the suppression's (score, class, place in the output), and so
// depends on the numbers alone. Objects of a segmenter are found in the same way, mapped to the source frame,
// and only then get their masks, of the pixels that they really have. What is done with class maps stands in
// semantic.c.

#include "heads/head.h"
#include "base/error.h"
#include "base/str.h"
#include "heads/decode.h"
#include "ops/nms.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define MAX_ANCHORS (1 << 22) // bounds the scratch memory; yolox-x at 4096 x 4096 has 344,064
#define MAX_CLASSES (1 << 16) // and numbers of a feature: what a model file may say
#define MAX_INPUT (1 << 14)   // pixels a side
#define SCRATCH_ALIGN 64

const fm_head_class *const *fm__head_classes(void)
{
    static const fm_head_class *const all[] = {&fm__head_yolox, &fm__head_yolov5, &fm__head_yolov8,
        &fm__head_yolov8_seg, &fm__head_yolov5_seg, &fm__head_mask_rcnn, &fm__head_semantic,
        &fm__head_softmax, &fm__head_feature_class, &fm__head_pixels_class, NULL};
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
    static const char *const names[FM_TASK_COUNT] = {
        "any", "detection", "segmentation", "classification", "features", "enhancement"};
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

void fm__head_shapes_text(const fm_tensor *outs, size_t n, char *buf, size_t size)
{
    size_t len = 0;
    buf[0] = '\0';
    for (size_t i = 0; i < n && len + 1 < size; i++) {
        fm__tensor_shape_text(&outs[i], buf + len, size - len);
        len = strlen(buf);
        if (i + 1 < n && len + 1 < size) {
            buf[len++] = ' ';
            buf[len] = '\0';
        }
    }
}

fm_status fm__head_fail_shape(
    const fm_head *head, const fm_tensor *outs, size_t n, const char *layout, fm_error *err)
{
    char shapes[256];
    fm__head_shapes_text(outs, n, shapes, sizeof shapes);
    return fm__fail(err, FM_FORMAT,
        "head '%s' wants outputs %s, the network's are %s; choose another head with --head", head->opts.type,
        layout, shapes);
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

int64_t fm__head_vector(const fm_tensor *out)
{
    int64_t dim = 1;
    if (out->rank != 2 && out->rank != 4)
        return 0;
    for (int i = 1; i < out->rank; i++) {
        if (out->dims[i] < 1 || (out->dims[i] > 1 && dim > 1))
            return 0;
        dim = out->dims[i] > 1 ? out->dims[i] : dim;
    }
    return dim <= MAX_CLASSES ? dim : 0;
}

bool fm__head_channels_last(const fm_tensor *t, int input_w, int input_h)
{
    bool first = t->dims[2] * input_w == t->dims[3] * input_h;
    bool last = t->dims[1] * input_w == t->dims[2] * input_h;
    return first != last ? last : t->dims[3] < t->dims[1];
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

static bool activation_fits(const fm_head_class *cls, fm_head_activation activation)
{
    return cls->classify != NULL || activation == FM_HEAD_ACT_NONE || activation == FM_HEAD_ACT_SIGMOID;
}

fm_status fm__head_init(fm_head *head, const fm_head_opts *opts, int input_w, int input_h,
    const fm_tensor *outs, size_t n, fm_error *err)
{
    const fm_head_class *cls = opts->type == NULL ? NULL : fm__head_find(opts->type);
    if (cls == NULL) {
        char names[160];
        list_names(FM_TASK_ANY, names, sizeof names);
        return fm__fail(err, FM_UNSUPPORTED, "no head is called '%s'; there are %s",
            opts->type == NULL ? "" : opts->type, names);
    }
    if (input_w < 1 || input_h < 1 || input_w > MAX_INPUT || input_h > MAX_INPUT)
        return fm__fail(err, FM_FORMAT, "head '%s': network input of %d x %d pixels is out of range",
            cls->name, input_w, input_h);
    if (!activation_fits(cls, opts->activation))
        return fm__fail(err, FM_FORMAT, "head '%s': activation must be %s", cls->name,
            cls->classify != NULL ? "none, softmax, sigmoid or auto" : "none or sigmoid");
    fm_head made = {.cls = cls, .opts = *opts, .input_w = input_w, .input_h = input_h};
    made.opts.type = cls->name;
    fm_status status = cls->check(&made, outs, n, err);
    if (status != FM_OK)
        return status;
    if (cls->decode != NULL && (made.anchors < 1 || made.anchors > MAX_ANCHORS))
        return fm__fail(err, FM_FORMAT, "head '%s': %lld candidates in the network's output is out of range",
            cls->name, (long long)made.anchors);
    *head = made;
    return FM_OK;
}

static fm_status no_guess(
    const fm_tensor *outs, size_t n, int input_w, int input_h, fm_task task, fm_error *err)
{
    char text[256], names[160];
    fm__head_shapes_text(outs, n, text, sizeof text);
    list_names(task, names, sizeof names);
    if (task == FM_TASK_ENHANCEMENT) // there is one, and no flag to name another
        return fm__fail(err, FM_NOTFOUND,
            "its outputs %s are no picture two to four times as large as its input of %d x %d", text, input_w,
            input_h);
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
        bool is_asked = task == FM_TASK_ANY ? (*c)->task < FM_TASK_CLASSIFICATION : (*c)->task == task;
        if (is_asked && (*c)->guess(outs, n, input_w, input_h, &guessed)) {
            *opts = guessed;
            return FM_OK;
        }
    }
    return no_guess(outs, n, input_w, input_h, task, err);
}

static size_t round_up(size_t bytes)
{
    return (bytes + SCRATCH_ALIGN - 1) / SCRATCH_ALIGN * SCRATCH_ALIGN;
}

static size_t candidates_size(const fm_head *head)
{
    return round_up((size_t)head->anchors * sizeof(fm_det)); // bounded by MAX_ANCHORS
}

size_t fm__head_scratch_size(const fm_head *head)
{
    size_t run = 0, later = 0;
    if (head->cls->decode != NULL)
        run = candidates_size(head) + fm__nms_scratch_size((size_t)head->anchors);
    if (head->cls->mask_scratch != NULL)
        later = head->cls->mask_scratch(head);
    if (head->cls->cells != NULL)
        later = fm__class_map_scratch_size(head);
    size_t most = run > later ? run : later;
    return most > 0 ? most : SCRATCH_ALIGN;
}

// Decoding and suppression; the detections stand at the start of scratch, their places in track_id.
static size_t find(
    const fm_head *head, const fm_tensor *outs, size_t n, int64_t row, const fm_head_query *q, void *scratch)
{
    fm_det *cand = scratch;
    void *rest = (uint8_t *)scratch + candidates_size(head);
    size_t count = head->cls->decode(head, outs, n, row, q, cand);
    return fm__nms(cand, count, head->cls->is_suppressed ? 1.0f : q->iou, q->max_dets, rest, q->level);
}

size_t fm__head_run(const fm_head *head, const fm_tensor *outs, size_t n, int64_t row, const fm_head_query *q,
    fm_det *dets, void *scratch)
{
    assert(head->cls->task == FM_TASK_DETECTION);
    size_t count = find(head, outs, n, row, q, scratch);
    for (size_t i = 0; i < count; i++) {
        dets[i] = ((const fm_det *)scratch)[i];
        dets[i].track_id = 0;
    }
    return count;
}

bool fm__head_has_objects(const fm_head *head)
{
    return head->cls->mask != NULL;
}

// First pixel whose centre lies at or behind v, a coordinate within 0..limit.
static int first_inside(float v, int limit)
{
    int i = (int)ceilf(v - 0.5f);
    return i < 0 ? 0 : i > limit ? limit : i;
}

static void place_in_box(const fm_head *head, const fm_fit_map *map, fm_box box, fm_mask *mask)
{
    (void)head;
    fm_box b = fm__fit_to_source(map, box);
    mask->x = first_inside(b.x0, map->src_w);
    mask->y = first_inside(b.y0, map->src_h);
    mask->width = first_inside(b.x1, map->src_w) - mask->x;
    mask->height = first_inside(b.y1, map->src_h) - mask->y;
}

static fm_mask place_mask(const fm_head *head, const fm_fit_map *map, fm_box box)
{
    fm_mask mask = {0};
    (head->cls->place != NULL ? head->cls->place : place_in_box)(head, map, box, &mask);
    if (mask.width < 1 || mask.height < 1)
        return (fm_mask){0};
    mask.stride = (mask.width + 63) / 64 * 8; // whole words of 64 bits
    return mask;
}

size_t fm__head_objects(const fm_head *head, const fm_tensor *outs, size_t n, int64_t row,
    const fm_head_query *q, const fm_fit_map *map, fm_det *dets, fm_mask *masks, uint32_t *places,
    void *scratch)
{
    assert(fm__head_has_objects(head));
    const fm_det *found = scratch;
    size_t count = find(head, outs, n, row, q, scratch), kept = 0;
    for (size_t i = 0; i < count; i++) {
        fm_box b = fm__fit_to_source(map, found[i].box);
        if (!(b.x1 > b.x0) || !(b.y1 > b.y0))
            continue;
        masks[kept] = place_mask(head, map, found[i].box);
        places[kept] = (uint32_t)found[i].track_id;
        dets[kept] = (fm_det){.box = b, .score = found[i].score, .class_id = found[i].class_id};
        kept++;
    }
    return kept;
}

size_t fm__masks_size(const fm_mask *masks, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += (size_t)masks[i].stride * (size_t)masks[i].height;
    return size;
}

void fm__head_masks(const fm_head *head, const fm_tensor *outs, size_t n, int64_t row, const fm_fit_map *map,
    const uint32_t *places, fm_mask *masks, size_t count, uint8_t *bits, void *scratch, fm_cpu_level level)
{
    (void)n; // as checked
    for (size_t i = 0; i < count; i++) {
        size_t size = fm__masks_size(&masks[i], 1);
        if (size == 0)
            continue;
        memset(bits, 0, size);
        head->cls->mask(head, outs, row, map, places[i], &masks[i], bits, scratch, level);
        masks[i].bits = bits;
        bits += size;
    }
}

size_t fm__head_classify(
    const fm_head *head, const fm_tensor *outs, size_t n, int64_t row, fm_class_score *top, size_t k)
{
    (void)n; // one, as checked
    assert(head->cls->task == FM_TASK_CLASSIFICATION);
    return k > 0 ? head->cls->classify(head, outs, row, top, k) : 0;
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
