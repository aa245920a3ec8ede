// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Head `yolov8`: Ultralytics YOLOv8 (and YOLO11, which kept the format) as its exporter writes ONNX, OpenVINO
// and TFLite files.
//   input   RGB, 0..1 (x / 255), NCHW (TFLite: NHWC); letterbox in the middle, padded with 114
//   output  one, f32 [N, 4+C, A], A = sum over strides s = 8, 16, 32 of (input_w/s)(input_h/s), but any A is
//           taken; so is [N, A, 4+C]: of the two the one with fewer channels than candidates is meant, unless
//           the number of labels says otherwise
//   channel centre x, centre y, width, height, C class scores after their sigmoid; no objectness
//   boxes   `boxes: pixels` of the input, or `boxes: unit`, 0..1 of it (TFLite and networks made from it)
//   score   best class; one class a candidate
// The input's line is the model file's business and stands here for who writes one. With channels first a
// candidate's scores lie A floats apart. The search therefore goes over blocks of candidates that stay in the
// first-level cache: per block the running maximum over all class rows (SIMD), then, only where it passes the
// threshold, the class that holds it.

#include "base/error.h"
#include "heads/decode.h"
#include "heads/kernels.h"

enum { BOX_CHANNELS = 4, BLOCK = 512 };

static bool is_channels_first(const fm_head *head, const fm_tensor *out)
{
    return out->dims[1] == BOX_CHANNELS + head->class_count && out->dims[2] == head->anchors;
}

static bool guess(const fm_tensor *outs, size_t n, int input_w, int input_h, fm_head_opts *opts)
{
    (void)opts; // decoded; shapes do not tell pixels from unit
    int64_t cells = fm__head_cells(input_w, input_h);
    if (n != 1 || outs[0].rank != 3 || cells < 1)
        return false;
    return (outs[0].dims[2] == cells && outs[0].dims[1] > BOX_CHANNELS) ||
           (outs[0].dims[1] == cells && outs[0].dims[2] > BOX_CHANNELS);
}

static fm_status check(fm_head *head, const fm_tensor *outs, size_t n, fm_error *err)
{
    if (head->opts.grid == FM_HEAD_GRID_RAW)
        return fm__fail(err, FM_UNSUPPORTED,
            "head 'yolov8': a raw grid is not supported; export the model with its Detect layer");
    fm_status status = fm__head_check_output(head, outs, n, "[N, 4+C, A]", err);
    if (status != FM_OK)
        return status;
    int64_t d1 = outs[0].dims[1], d2 = outs[0].dims[2], want = BOX_CHANNELS + (int64_t)head->opts.class_count;
    bool first = d1 <= d2;
    if (head->opts.class_count > 0 && d1 != d2 && (d1 == want || d2 == want))
        first = d1 == want;
    status = fm__head_set_classes(head, (first ? d1 : d2) - BOX_CHANNELS, &outs[0], err);
    if (status != FM_OK)
        return status;
    head->anchors = first ? d2 : d1;
    return FM_OK;
}

static size_t decode_columns(const fm_head *head, const float *v, const fm_head_query *q, fm_det *cand)
{
    const fm_heads_kernels *k = fm__heads_kernels(q->level);
    float least = fm__head_raw_threshold(head, q->conf), best[BLOCK];
    int64_t A = head->anchors;
    size_t count = 0;

    for (int64_t start = 0; start < A; start += BLOCK) {
        int64_t len = A - start < BLOCK ? A - start : BLOCK;
        const float *scores = v + BOX_CHANNELS * A + start;
        k->col_max(scores, (size_t)A, (size_t)head->class_count, (size_t)len, best);
        for (int64_t i = 0; i < len; i++) {
            if (!(best[i] >= least))
                continue;
            const float *b = v + start + i;
            int class_id = fm__head_index_of(scores + i, head->class_count, A, best[i]);
            count = fm__head_push(head, q, cand, count, (fm_center_box){b[0], b[A], b[2 * A], b[3 * A]},
                fm__head_activate(head, best[i]), class_id);
        }
    }
    return count;
}

static size_t decode_rows(const fm_head *head, const float *v, const fm_head_query *q, fm_det *cand)
{
    const fm_heads_kernels *k = fm__heads_kernels(q->level);
    float least = fm__head_raw_threshold(head, q->conf);
    size_t count = 0;

    for (int64_t a = 0; a < head->anchors; a++, v += BOX_CHANNELS + head->class_count) {
        float best = k->row_max(v + BOX_CHANNELS, (size_t)head->class_count);
        if (!(best >= least))
            continue;
        int class_id = fm__head_index_of(v + BOX_CHANNELS, head->class_count, 1, best);
        count = fm__head_push(head, q, cand, count, (fm_center_box){v[0], v[1], v[2], v[3]},
            fm__head_activate(head, best), class_id);
    }
    return count;
}

static size_t decode(
    const fm_head *head, const fm_tensor *outs, size_t n, int64_t row, const fm_head_query *q, fm_det *cand)
{
    (void)n; // one, as checked
    const float *v = (const float *)outs[0].data + row * head->anchors * (BOX_CHANNELS + head->class_count);
    return is_channels_first(head, &outs[0]) ? decode_columns(head, v, q, cand)
                                             : decode_rows(head, v, q, cand);
}

const fm_head_class fm__head_yolov8 = {
    .name = "yolov8",
    .task = FM_TASK_DETECTION,
    .guess = guess,
    .check = check,
    .decode = decode,
};
