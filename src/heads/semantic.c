// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Head `semantic`: a class for every pixel, as DeepLab and networks of its kind have it ("Rethinking Atrous
// Convolution for Semantic Image Segmentation", Chen, Papandreou, Schroff, Adam 2017).
//   input   as the model file says
//   output  the class map itself, integers [N, h, w], [N, 1, h, w] or [N, h, w, 1] (i64, i32 or u8), or a
//           number for each class, f32 [N, C, h, w] or [N, h, w, C] with C >= 2, whose largest wins (of
//           equals the first; a NaN never does). A second output of the same shape (torchvision's `aux`) is
//           passed over
//   classes C, or the number of labels, at most 255; integers beyond are FM_CLASS_UNSEEN
//   map     a pixel of the source frame has the class of the cell that holds its centre: nearest neighbour.
//           Where h x w is much smaller than the frame, networks that give numbers would get smoother borders
//           from widening them first, at C times the cost
// Cells that only cover padding have no pixel and so count nowhere. Areas are exact: pixels, not cells.

#include "base/error.h"
#include "heads/decode.h"
#include "heads/mask_kernels.h"

#include <string.h>

enum { MAX_SIDE = 1 << 14, MAX_MAP_CLASSES = 255, LEAST_SIDE = 8, BLOCK = 512 };

static bool is_integer(fm_dtype dtype)
{
    return dtype == FM_DTYPE_I64 || dtype == FM_DTYPE_I32 || dtype == FM_DTYPE_U8;
}

static bool sides_fit(int64_t w, int64_t h)
{
    return w >= 1 && h >= 1 && w <= MAX_SIDE && h <= MAX_SIDE;
}

// Sides of a map of integers, or false.
static bool read_ids_shape(const fm_tensor *t, fm_head *head)
{
    int first = t->rank == 4 && t->dims[1] == 1 ? 2 : 1;
    bool is_map = t->rank == 3 || (t->rank == 4 && (first == 2 || t->dims[3] == 1));
    if (!is_map || !is_integer(t->dtype) || !sides_fit(t->dims[first + 1], t->dims[first]))
        return false;
    head->grid_h = (int)t->dims[first];
    head->grid_w = (int)t->dims[first + 1];
    return true;
}

static bool is_last(const fm_tensor *t, const fm_head *head)
{
    bool first = t->dims[1] == head->opts.class_count, last = t->dims[3] == head->opts.class_count;
    return first != last ? last : fm__head_channels_last(t, head->input_w, head->input_h);
}

// Sides and classes of a map of numbers, or false.
static bool read_scores_shape(const fm_tensor *t, fm_head *head, int64_t *classes)
{
    if (t->rank != 4 || t->dtype != FM_DTYPE_F32 || t->dims[1] < 1 || t->dims[1] > MAX_SIDE ||
        !sides_fit(t->dims[2], t->dims[3]))
        return false;
    head->channels_last = is_last(t, head);
    head->grid_h = (int)t->dims[head->channels_last ? 1 : 2];
    head->grid_w = (int)t->dims[head->channels_last ? 2 : 3];
    *classes = t->dims[head->channels_last ? 3 : 1];
    return *classes >= 2;
}

static bool has_same_shape(const fm_tensor *a, const fm_tensor *b)
{
    return a->rank == b->rank && memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) == 0;
}

static bool count_fits(const fm_tensor *outs, size_t n)
{
    return n == 1 || (n == 2 && has_same_shape(&outs[0], &outs[1]));
}

// Numbers of one or three channels are more likely a picture.
static bool guess(const fm_tensor *outs, size_t n, int input_w, int input_h, fm_head_opts *opts)
{
    fm_head head = {.input_w = input_w, .input_h = input_h};
    int64_t classes = 0;
    (void)opts;
    if (!count_fits(outs, n))
        return false;
    if (!read_ids_shape(&outs[0], &head) &&
        (!read_scores_shape(&outs[0], &head, &classes) || classes == 3 || classes > MAX_MAP_CLASSES))
        return false;
    return head.grid_w >= LEAST_SIDE && head.grid_h >= LEAST_SIDE && head.grid_w <= input_w &&
           head.grid_h <= input_h;
}

static fm_status check(fm_head *head, const fm_tensor *outs, size_t n, fm_error *err)
{
    int64_t classes = head->opts.class_count > 0 ? head->opts.class_count : MAX_MAP_CLASSES;
    if (!count_fits(outs, n) ||
        (!read_ids_shape(&outs[0], head) && !read_scores_shape(&outs[0], head, &classes)))
        return fm__head_fail_shape(head, outs, n, "[N, h, w] of integers or [N, C, h, w] of f32", err);
    if (classes > MAX_MAP_CLASSES)
        return fm__fail(err, FM_FORMAT,
            "head 'semantic': %d classes are too many, at most %d fit a class map", (int)classes,
            MAX_MAP_CLASSES);
    return fm__head_set_classes(head, classes, &outs[0], err);
}

static size_t cell_count(const fm_head *head)
{
    return (size_t)head->grid_w * (size_t)head->grid_h;
}

static uint8_t known(int64_t id, int classes)
{
    return id >= 0 && id < classes ? (uint8_t)id : FM_CLASS_UNSEEN;
}

static void copy_ids(const fm_tensor *out, size_t at, size_t n, int classes, uint8_t *ids)
{
    if (out->dtype == FM_DTYPE_I64) {
        for (size_t i = 0; i < n; i++)
            ids[i] = known(((const int64_t *)out->data)[at + i], classes);
    } else if (out->dtype == FM_DTYPE_I32) {
        for (size_t i = 0; i < n; i++)
            ids[i] = known(((const int32_t *)out->data)[at + i], classes);
    } else {
        for (size_t i = 0; i < n; i++)
            ids[i] = known(((const uint8_t *)out->data)[at + i], classes);
    }
}

static uint8_t argmax_of(const float *v, int classes)
{
    float most = -INFINITY;
    int best = 0;
    for (int c = 0; c < classes; c++) {
        if (v[c] > most) {
            most = v[c];
            best = c;
        }
    }
    return (uint8_t)best;
}

static void cells(
    const fm_head *head, const fm_tensor *outs, int64_t row, uint8_t *ids, void *scratch, fm_cpu_level level)
{
    size_t n = cell_count(head), classes = (size_t)head->class_count;
    if (outs[0].dtype != FM_DTYPE_F32) {
        copy_ids(&outs[0], (size_t)row * n, n, head->class_count, ids);
        return;
    }
    const float *v = (const float *)outs[0].data + (size_t)row * n * classes;
    if (head->channels_last) {
        for (size_t i = 0; i < n; i++)
            ids[i] = argmax_of(v + i * classes, head->class_count);
        return;
    }
    const fm_mask_kernels *k = fm__mask_kernels(level);
    for (size_t i = 0; i < n; i += BLOCK)
        k->argmax(v + i, n, classes, n - i < BLOCK ? n - i : BLOCK, scratch, ids + i);
}

// Working memory: ids of the cells, where columns begin, a block of numbers.
static size_t ids_size(const fm_head *head)
{
    return (cell_count(head) + 63) / 64 * 64;
}

size_t fm__class_map_scratch_size(const fm_head *head)
{
    return ids_size(head) + ((size_t)head->grid_w + 1) * sizeof(int32_t) + BLOCK * sizeof(float);
}

// The first pixel whose centre lies at or behind the beginning of a cell.
static int first_pixel(
    int cell, int cells, int input, int dst, int dst_len, float src, float src_len, int len)
{
    double at = ((double)cell * input / cells - dst) * (double)src_len / dst_len + (double)src;
    double i = ceil(at - 0.5);
    return i < 0 ? 0 : i > len ? len : (int)i;
}

static int first_row(const fm_head *head, const fm_fit_map *map, int cell)
{
    return first_pixel(
        cell, head->grid_h, head->input_h, map->dst_y, map->dst_ch, map->src_y, map->src_ch, map->src_h);
}

static void find_columns(const fm_head *head, const fm_fit_map *map, int32_t *begin)
{
    for (int c = 0; c <= head->grid_w; c++)
        begin[c] = first_pixel(
            c, head->grid_w, head->input_w, map->dst_x, map->dst_cw, map->src_x, map->src_cw, map->src_w);
}

// One row of cells: areas, and the row of pixels where one is wanted.
static void widen_row(
    const uint8_t *cell, int cells, const int32_t *begin, int rows, int width, int64_t *area, uint8_t *pixels)
{
    if (pixels != NULL)
        memset(pixels, FM_CLASS_UNSEEN, (size_t)width);
    for (int c = 0; c < cells;) {
        int from = c;
        uint8_t id = cell[c];
        while (c < cells && cell[c] == id) // large surfaces have one class
            c++;
        int n = begin[c] - begin[from];
        if (id != FM_CLASS_UNSEEN)
            area[id] += (int64_t)n * rows;
        if (pixels != NULL && n > 0)
            memset(pixels + begin[from], id, (size_t)n);
    }
}

static void clear_rows(uint8_t *ids, int stride, int width, int from, int to)
{
    for (int y = from; ids != NULL && y < to; y++)
        memset(ids + (size_t)y * (size_t)stride, FM_CLASS_UNSEEN, (size_t)width);
}

void fm__head_class_map(const fm_head *head, const fm_tensor *outs, size_t n, int64_t row,
    const fm_fit_map *map, uint8_t *ids, int stride, int64_t *area, void *scratch, fm_cpu_level level)
{
    (void)n; // as checked
    uint8_t *cell = scratch;
    int32_t *begin = (int32_t *)(void *)(cell + ids_size(head));
    head->cls->cells(head, outs, row, cell, begin + head->grid_w + 1, level);
    find_columns(head, map, begin);
    memset(area, 0, (size_t)head->class_count * sizeof *area);
    clear_rows(ids, stride, map->src_w, 0, first_row(head, map, 0));
    for (int c = 0; c < head->grid_h; c++, cell += head->grid_w) {
        int from = first_row(head, map, c), to = first_row(head, map, c + 1);
        if (from >= to)
            continue;
        uint8_t *pixels = ids == NULL ? NULL : ids + (size_t)from * (size_t)stride;
        widen_row(cell, head->grid_w, begin, to - from, map->src_w, area, pixels);
        for (int y = from + 1; pixels != NULL && y < to; y++)
            memcpy(ids + (size_t)y * (size_t)stride, pixels, (size_t)map->src_w);
    }
    clear_rows(ids, stride, map->src_w, first_row(head, map, head->grid_h), map->src_h);
}

const fm_head_class fm__head_semantic = {
    .name = "semantic",
    .task = FM_TASK_SEGMENTATION,
    .guess = guess,
    .check = check,
    .cells = cells,
};
