// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What heads share: shape checks and the last steps of a candidate. Only for files of this folder.
 *
 *  Rules that hold for every detector head. The class of a candidate is the best one of all classes (first of
 *  equals); only then is it asked whether that class is wanted, so that a narrower class mask gives a subset.
 * NaN never wins a comparison, and a candidate whose score or box is not a finite number, or whose box is
 * empty, is dropped. */
#ifndef FM_HEADS_DECODE_H
#define FM_HEADS_DECODE_H

#include "heads/head.h"

#include <math.h>

extern const fm_head_class fm__head_yolox;
extern const fm_head_class fm__head_yolov5;
extern const fm_head_class fm__head_yolov8;
extern const fm_head_class fm__head_yolov5_seg;
extern const fm_head_class fm__head_yolov8_seg;
extern const fm_head_class fm__head_mask_rcnn;
extern const fm_head_class fm__head_semantic;
extern const fm_head_class fm__head_softmax;
extern const fm_head_class fm__head_feature_class;
extern const fm_head_class fm__head_pixels_class;

/** A box as networks write it: centre and size. */
typedef struct fm_center_box {
    float cx, cy, w, h;
} fm_center_box;

/** "[1,116,8400] [1,32,160,160]" into buf. */
void fm__head_shapes_text(const fm_tensor *outs, size_t n, char *buf, size_t size);
/** FORMAT, with what is wanted and what is there. */
fm_status fm__head_fail_shape(
    const fm_head *head, const fm_tensor *outs, size_t n, const char *layout, fm_error *err);
/** A network of one float32 output that `fits`. `layout` ("[N, D]") stands in the message. */
fm_status fm__head_check_one(const fm_head *head, const fm_tensor *outs, size_t n,
    bool (*fits)(const fm_tensor *out), const char *layout, fm_error *err) FM_MUST_USE;
/** The one output of a detector: rank 3, float32, sane dimensions. `layout` ("[N, A, 5+C]") stands in the
 * message. */
fm_status fm__head_check_output(
    const fm_head *head, const fm_tensor *outs, size_t n, const char *layout, fm_error *err) FM_MUST_USE;
/** Length of a row that is a vector: [N, D], or pooled maps with sides of 1, [N, D, 1, 1] and [N, 1, 1, D];
 * 0 where it is not one, or longer than 65,536. */
int64_t fm__head_vector(const fm_tensor *out);
/** Of [N, C, h, w] and [N, h, w, C], which are all at least 1 and at most 2^22, the one whose sides are like
 * the input's; where that does not tell, the channels are the fewer. */
bool fm__head_channels_last(const fm_tensor *out, int input_w, int input_h);
/** Takes the class count found in the shape over, or fails when the labels say another one. */
fm_status fm__head_set_classes(fm_head *head, int64_t found, const fm_tensor *out, fm_error *err) FM_MUST_USE;
/** Cells of the grids of stride 8, 16 and 32. */
int64_t fm__head_cells(int input_w, int input_h);

/** Smallest raw objectness or class value that can still reach q->conf: the threshold itself, or, where the
 * sigmoid is still to be done, a little under its inverse; the exact test follows after the activation. */
float fm__head_raw_threshold(const fm_head *head, float conf);

/** Working memory of fm__head_class_map. */
size_t fm__class_map_scratch_size(const fm_head *head);

/** Appends the candidate at `place` when it passes the rules above, and returns the new count. The box is in
 * input pixels. */
static inline size_t fm__head_push_box(
    const fm_head_query *q, fm_det *cand, size_t count, fm_box box, float score, int class_id, int64_t place)
{
    if (!(score >= q->conf) || (q->class_mask != NULL && q->class_mask[class_id] == 0))
        return count;
    // one test for four numbers: the sum of products with zero is NaN as soon as one is NaN or infinite
    bool is_finite =
        (box.x0 * 0.0f + box.y0 * 0.0f + box.x1 * 0.0f + box.y1 * 0.0f) == 0.0f && isfinite(score);
    if (!is_finite || !(box.x1 > box.x0) || !(box.y1 > box.y0))
        return count;
    cand[count] =
        (fm_det){.box = box, .score = score < 1.0f ? score : 1.0f, .class_id = class_id, .track_id = place};
    return count + 1;
}

/** The same for a box as networks write it, in the head's units. */
static inline size_t fm__head_push(const fm_head *head, const fm_head_query *q, fm_det *cand, size_t count,
    fm_center_box b, float score, int class_id, int64_t place)
{
    if (head->opts.boxes == FM_HEAD_BOXES_UNIT) {
        b.cx *= (float)head->input_w;
        b.w *= (float)head->input_w;
        b.cy *= (float)head->input_h;
        b.h *= (float)head->input_h;
    }
    fm_box box = {b.cx - b.w * 0.5f, b.cy - b.h * 0.5f, b.cx + b.w * 0.5f, b.cy + b.h * 0.5f};
    return fm__head_push_box(q, cand, count, box, score, class_id, place);
}

static inline float fm__head_activate(const fm_head *head, float v)
{
    return head->opts.activation == FM_HEAD_ACT_SIGMOID ? 1.0f / (1.0f + expf(-v)) : v;
}

/** First of the n scores (each `stride` apart) that equals `best`; 0 when none does. */
static inline int fm__head_index_of(const float *scores, int n, int64_t stride, float best)
{
    for (int c = 0; c < n; c++) {
        if (scores[c * stride] == best)
            return c;
    }
    return 0;
}

#endif
