// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Masks as linear combinations of prototypes: "YOLACT: Real-time Instance Segmentation" (Bolya, Zhou, Xiao,
// Lee 2019, section 3.2), as Ultralytics' YOLOv5 and YOLOv8 have them. The network gives M prototypes, each a
// quarter of the input a side, and M coefficients a candidate; a mask is sigmoid(coefficients x prototypes),
// cut off at the box. The result is that of Ultralytics' process_mask_native: logits widened to the source
// frame, cropped to the source box, greater than 0 (which is a sigmoid above 0.5, without the exponentials).
// Two deviations: the letterbox' padding is taken away exactly, through the fit, and not in whole cells of
// the prototypes; and a pixel belongs to a box when its centre does. The product runs over the cells under
// the box only, so that its cost follows the size of the objects.

#include "heads/protos.h"
#include "base/error.h"
#include "heads/mask_fill.h"

#include <math.h>

#define MAX_COEFS 256
#define MAX_CELLS (1 << 22)
#define LANES 8
#define ALIGN 64

static bool is_grid(const fm_tensor *t)
{
    for (int i = 1; i < t->rank; i++) {
        if (t->dims[i] < 1 || t->dims[i] > MAX_CELLS)
            return false;
    }
    return t->rank == 4;
}

static bool find_outputs(const fm_tensor *outs, size_t n, uint8_t roles[2])
{
    if (n != 2)
        return false;
    uint8_t grid = outs[1].rank == 4;
    roles[FM_PROTOS_BOXES] = !grid;
    roles[FM_PROTOS_GRID] = grid;
    const fm_tensor *boxes = &outs[!grid];
    return boxes->rank == 3 && boxes->dims[1] >= 1 && boxes->dims[2] >= 1 && is_grid(&outs[grid]);
}

const fm_tensor *fm__protos_guess(const fm_tensor *outs, size_t n, int input_w, int input_h, int64_t *coefs)
{
    uint8_t roles[2];
    if (!find_outputs(outs, n, roles))
        return NULL;
    const fm_tensor *grid = &outs[roles[FM_PROTOS_GRID]];
    *coefs = grid->dims[fm__head_channels_last(grid, input_w, input_h) ? 3 : 1];
    return &outs[roles[FM_PROTOS_BOXES]];
}

fm_status fm__protos_check(fm_head *head, const fm_tensor *outs, size_t n, const char *layout, fm_error *err)
{
    if (!find_outputs(outs, n, head->outs))
        return fm__head_fail_shape(head, outs, n, layout, err);
    const fm_tensor *grid = &outs[head->outs[FM_PROTOS_GRID]];
    for (size_t i = 0; i < n; i++) {
        if (outs[i].dtype != FM_DTYPE_F32)
            return fm__fail(err, FM_FORMAT, "head '%s' wants f32 outputs, the network's output %zu is %s",
                head->opts.type, i, fm__dtype_name(outs[i].dtype));
    }
    head->channels_last = fm__head_channels_last(grid, head->input_w, head->input_h);
    int64_t coefs = grid->dims[head->channels_last ? 3 : 1];
    int64_t h = grid->dims[head->channels_last ? 1 : 2], w = grid->dims[head->channels_last ? 2 : 3];
    if (coefs > MAX_COEFS || h * w > MAX_CELLS)
        return fm__head_fail_shape(head, outs, n, layout, err);
    head->coefs = (int)coefs;
    head->grid_w = (int)w;
    head->grid_h = (int)h;
    return FM_OK;
}

static size_t cells_size(const fm_head *head)
{
    size_t bytes = (size_t)head->grid_w * (size_t)head->grid_h * sizeof(float);
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

size_t fm__protos_scratch(const fm_head *head)
{
    return cells_size(head) + fm__mask_fill_scratch(head->grid_w);
}

// How pixels lie on one axis of the prototypes, and which cells the mask's pixels need.
typedef struct span {
    fm_grid_axis axis;
    int from, count;
} span;

static int hold(double v, int limit)
{
    return !(v > 0) ? 0 : v > limit ? limit : (int)v;
}

static span span_of(int at, int pixels, int cells, int input, float src, float src_len, int dst, int dst_len)
{
    double by = (double)dst_len / src_len, to_cells = (double)cells / input;
    double step = by * to_cells;
    double first = ((at + 0.5 - src) * by + dst) * to_cells - 0.5;
    int from = hold(floor(first), cells - 1);
    int to = hold(floor(first + step * (pixels - 1)) + 1, cells - 1);
    return (span){{first - from, step}, from, to - from + 1};
}

static float dot(const float *a, const float *b, int n)
{
    float part[LANES] = {0};
    int i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int k = 0; k < LANES; k++)
            part[k] += a[i + k] * b[i + k];
    }
    for (; i < n; i++)
        part[i % LANES] += a[i] * b[i];
    return ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]));
}

// Logits of the cells under the mask, dense.
static void combine(const fm_head *head, const float *protos, const float *coef, const span *x, const span *y,
    float *cells, const fm_mask_kernels *k)
{
    size_t w = (size_t)head->grid_w, plane = w * (size_t)head->grid_h, m = (size_t)head->coefs;
    for (int j = 0; j < y->count; j++, cells += x->count) {
        size_t at = (size_t)(y->from + j) * w + (size_t)x->from;
        if (!head->channels_last) {
            k->combine(protos + at, plane, coef, m, (size_t)x->count, cells);
            continue;
        }
        for (int i = 0; i < x->count; i++)
            cells[i] = dot(protos + (at + (size_t)i) * m, coef, head->coefs);
    }
}

void fm__protos_mask(const fm_head *head, const fm_tensor *outs, int64_t row, const fm_fit_map *map,
    const float *coefs, int64_t stride, const fm_mask *mask, uint8_t *bits, void *scratch, fm_cpu_level level)
{
    const fm_mask_kernels *k = fm__mask_kernels(level);
    float coef[MAX_COEFS], *cells = scratch;
    for (int i = 0; i < head->coefs; i++)
        coef[i] = coefs[i * stride];
    span x = span_of(
        mask->x, mask->width, head->grid_w, head->input_w, map->src_x, map->src_cw, map->dst_x, map->dst_cw);
    span y = span_of(
        mask->y, mask->height, head->grid_h, head->input_h, map->src_y, map->src_ch, map->dst_y, map->dst_ch);
    size_t size = (size_t)head->coefs * (size_t)head->grid_w * (size_t)head->grid_h;
    const float *protos = (const float *)outs[head->outs[FM_PROTOS_GRID]].data + (size_t)row * size;
    combine(head, protos, coef, &x, &y, cells, k);
    fm_grid grid = {cells, x.count, y.count};
    fm__mask_fill(&grid, x.axis, y.axis, 0, mask, bits, (uint8_t *)scratch + cells_size(head), k);
}
