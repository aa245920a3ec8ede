// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Head `mask-rcnn`: torchvision's Mask R-CNN ("Mask R-CNN", He, Gkioxari, Dollar, Girshick 2017), exported
// with its lists and dictionaries wrapped into tensors of a fixed size.
//   input   RGB, 0..1 (x / 255), NCHW, without mean and deviation (the network has its own transform)
//   outputs five, told apart by shape and type, in any order, D places a picture:
//           boxes [N, D, 4] f32: x0, y0, x1, y1; scores [N, D] f32, 0..1; labels [N, D] i64 or i32;
//           masks [N, D, m, m] or [N, D, 1, m, m] f32, probabilities, m = 28; counts [N] i64 or i32: so many
//           of the D places are filled, what lies behind them is not looked at
//   boxes   `boxes: pixels` of the input, or `boxes: unit`, 0..1 of it
//   labels  a class's number is its label's index: torchvision's 91 names of COCO, 0 is the background
//   score   as it is; the network has done its non-maximum suppression
//   mask    torchvision's paste_masks_in_image (0.14, models/detection/roi_heads.py) in the source frame: a
//           border of zeros one cell wide, the box grown by the same share and cut to whole numbers, bilinear
//           widening, probability above 0.5. The box is the unclipped one.

#include "base/error.h"
#include "heads/decode.h"
#include "heads/mask_fill.h"

#include <string.h>

enum { BOXES, SCORES, LABELS, MASKS, COUNTS, ROLES };
enum { COCO_CLASSES = 91, MAX_PLACES = 1 << 16, MAX_MASK = 512, BORDER = 1, ALIGN = 64 };

#define FAR 1e7 // coordinates are held within this, far from where whole numbers end

static bool is_integer(const fm_tensor *t)
{
    return t->dtype == FM_DTYPE_I64 || t->dtype == FM_DTYPE_I32;
}

static int role_of(const fm_tensor *t)
{
    bool is_float = t->dtype == FM_DTYPE_F32;
    int64_t last = t->rank > 0 ? t->dims[t->rank - 1] : 0;
    if (t->rank == 1 && is_integer(t))
        return COUNTS;
    if (t->rank == 2)
        return is_float ? SCORES : is_integer(t) ? LABELS : ROLES;
    if (t->rank == 3 && last == 4 && is_float)
        return BOXES;
    bool is_square = t->rank >= 4 && last == t->dims[t->rank - 2] && last >= 1 && last <= MAX_MASK;
    bool is_masks = t->rank == 4 || (t->rank == 5 && t->dims[2] == 1);
    return is_float && is_square && is_masks ? MASKS : ROLES;
}

static bool find_roles(const fm_tensor *outs, size_t n, uint8_t roles[FM_HEAD_MAX_ROLES])
{
    unsigned seen = 0;
    for (size_t i = 0; i < n && n == ROLES; i++) {
        int role = role_of(&outs[i]);
        if (role == ROLES)
            return false;
        seen |= 1U << role;
        roles[role] = (uint8_t)i;
    }
    if (seen != (1U << ROLES) - 1)
        return false;
    int64_t places = outs[roles[BOXES]].dims[1];
    return outs[roles[SCORES]].dims[1] == places && outs[roles[LABELS]].dims[1] == places &&
           outs[roles[MASKS]].dims[1] == places && places >= 1 && places <= MAX_PLACES;
}

static bool guess(const fm_tensor *outs, size_t n, int input_w, int input_h, fm_head_opts *opts)
{
    uint8_t roles[FM_HEAD_MAX_ROLES];
    (void)input_w;
    (void)input_h;
    (void)opts;
    return find_roles(outs, n, roles);
}

static fm_status check(fm_head *head, const fm_tensor *outs, size_t n, fm_error *err)
{
    if (!find_roles(outs, n, head->outs))
        return fm__head_fail_shape(
            head, outs, n, "[N, D, 4], [N, D], [N, D] of integers, [N, D, m, m] and [N] of integers", err);
    const fm_tensor *masks = &outs[head->outs[MASKS]];
    head->anchors = masks->dims[1];
    head->grid_w = head->grid_h = (int)masks->dims[masks->rank - 1];
    return fm__head_set_classes(
        head, head->opts.class_count > 0 ? head->opts.class_count : COCO_CLASSES, masks, err);
}

static int64_t integer_at(const fm_tensor *t, int64_t i)
{
    return t->dtype == FM_DTYPE_I64 ? ((const int64_t *)t->data)[i] : ((const int32_t *)t->data)[i];
}

static fm_box box_at(const fm_head *head, const fm_tensor *outs, int64_t i)
{
    const float *v = (const float *)outs[head->outs[BOXES]].data + i * 4;
    bool is_unit = head->opts.boxes == FM_HEAD_BOXES_UNIT;
    float w = is_unit ? (float)head->input_w : 1, h = is_unit ? (float)head->input_h : 1;
    return (fm_box){v[0] * w, v[1] * h, v[2] * w, v[3] * h};
}

static size_t decode(
    const fm_head *head, const fm_tensor *outs, size_t n, int64_t row, const fm_head_query *q, fm_det *cand)
{
    (void)n; // five, as checked
    const float *scores = outs[head->outs[SCORES]].data;
    int64_t filled = integer_at(&outs[head->outs[COUNTS]], row);
    size_t count = 0;
    for (int64_t a = 0; a < filled && a < head->anchors; a++) {
        int64_t i = row * head->anchors + a, label = integer_at(&outs[head->outs[LABELS]], i);
        if (label < 0 || label >= head->class_count)
            continue;
        count = fm__head_push_box(q, cand, count, box_at(head, outs, i), scores[i], (int)label, a);
    }
    return count;
}

/** One side of the rectangle that the bordered mask is widened to, in source pixels. */
typedef struct side {
    int from, len;
} side;

static double to_source(float v, int dst, int dst_len, float src, float src_len)
{
    return ((double)v - dst) * (double)src_len / dst_len + (double)src;
}

// As expand_boxes and paste_mask_in_image: the ends lose their fraction towards zero, the last pixel counts.
static side paste_side(double a, double b, int cells)
{
    double half = (b - a) * 0.5 * (cells + 2.0 * BORDER) / cells, middle = (a + b) * 0.5;
    int from = (int)fmax(-FAR, fmin(middle - half, FAR)), to = (int)fmax(-FAR, fmin(middle + half, FAR));
    return (side){from, to - from + 1 > 1 ? to - from + 1 : 1};
}

static side paste_x(const fm_head *head, const fm_fit_map *m, fm_box b)
{
    return paste_side(to_source(b.x0, m->dst_x, m->dst_cw, m->src_x, m->src_cw),
        to_source(b.x1, m->dst_x, m->dst_cw, m->src_x, m->src_cw), head->grid_w);
}

static side paste_y(const fm_head *head, const fm_fit_map *m, fm_box b)
{
    return paste_side(to_source(b.y0, m->dst_y, m->dst_ch, m->src_y, m->src_ch),
        to_source(b.y1, m->dst_y, m->dst_ch, m->src_y, m->src_ch), head->grid_h);
}

static void clip(side s, int limit, int *from, int *len)
{
    int end = s.from + s.len < limit ? s.from + s.len : limit;
    *from = s.from > 0 ? s.from : 0;
    *len = end - *from;
}

static void place(const fm_head *head, const fm_fit_map *map, fm_box box, fm_mask *mask)
{
    clip(paste_x(head, map, box), map->src_w, &mask->x, &mask->width);
    clip(paste_y(head, map, box), map->src_h, &mask->y, &mask->height);
}

static size_t bordered_size(const fm_head *head)
{
    size_t cells = (size_t)head->grid_w + 2 * BORDER;
    return (cells * cells * sizeof(float) + ALIGN - 1) / ALIGN * ALIGN;
}

static size_t mask_scratch(const fm_head *head)
{
    return bordered_size(head) + fm__mask_fill_scratch(head->grid_w + 2 * BORDER);
}

static void add_border(const float *v, int cells, float *out)
{
    int wide = cells + 2 * BORDER;
    memset(out, 0, (size_t)wide * (size_t)wide * sizeof *out);
    for (int y = 0; y < cells; y++)
        memcpy(out + (y + BORDER) * wide + BORDER, v + y * cells, (size_t)cells * sizeof *v);
}

static fm_grid_axis axis_of(side s, int mask_from, int cells)
{
    double step = (double)cells / s.len;
    return (fm_grid_axis){(mask_from - s.from + 0.5) * step - 0.5, step};
}

static void mask(const fm_head *head, const fm_tensor *outs, int64_t row, const fm_fit_map *map, uint32_t at,
    const fm_mask *m, uint8_t *bits, void *scratch, fm_cpu_level level)
{
    int64_t i = row * head->anchors + at;
    fm_box box = box_at(head, outs, i);
    int side_cells = head->grid_w + 2 * BORDER;
    fm_grid grid = {scratch, side_cells, side_cells};
    add_border(
        (const float *)outs[head->outs[MASKS]].data + i * head->grid_w * head->grid_h, head->grid_w, scratch);
    fm__mask_fill(&grid, axis_of(paste_x(head, map, box), m->x, side_cells),
        axis_of(paste_y(head, map, box), m->y, side_cells), 0.5f, m, bits,
        (uint8_t *)scratch + bordered_size(head), fm__mask_kernels(level));
}

const fm_head_class fm__head_mask_rcnn = {
    .name = "mask-rcnn",
    .task = FM_TASK_SEGMENTATION,
    .guess = guess,
    .check = check,
    .decode = decode,
    .is_suppressed = true,
    .place = place,
    .mask = mask,
    .mask_scratch = mask_scratch,
};
