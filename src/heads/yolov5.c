// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Head `yolov5`: Ultralytics YOLOv5 (v6, v7) as its export.py writes ONNX, OpenVINO and TFLite files, decoded
// inside the network.
//   input   RGB, 0..1 (x / 255), NCHW (TFLite: NHWC); letterbox in the middle, padded with 114
//   output  one, f32 [N, A, 5+C]; A = 3 anchors for each cell of the strides 8, 16 and 32, but any A is
//   taken,
//           as larger models have four strides
//   row     centre x, centre y, width, height, objectness, C class scores, all after their sigmoid
//   boxes   `boxes: pixels` of the input (ONNX, OpenVINO) or `boxes: unit`, 0..1 of it (TFLite)
//   score   objectness x best class; one class a candidate, as detect.py has it
// The input's lines are the model file's business and stand here for who writes one. A raw grid would need
// the anchor sizes, which no export of that project leaves out of the graph: it is refused.

#include "base/error.h"
#include "heads/rows.h"

static bool guess(const fm_tensor *outs, size_t n, int input_w, int input_h, fm_head_opts *opts)
{
    (void)opts; // decoded; shapes do not tell pixels from unit
    return n == 1 && fm__rows_guess(&outs[0], 3 * fm__head_cells(input_w, input_h), 0);
}

static fm_status check(fm_head *head, const fm_tensor *outs, size_t n, fm_error *err)
{
    if (head->opts.grid == FM_HEAD_GRID_RAW)
        return fm__fail(err, FM_UNSUPPORTED,
            "head 'yolov5': a raw grid is not supported; export the model with its Detect layer");
    return fm__rows_check(head, outs, n, err);
}

static size_t decode(
    const fm_head *head, const fm_tensor *outs, size_t n, int64_t row, const fm_head_query *q, fm_det *cand)
{
    (void)n; // one, as checked
    return fm__rows_decode(head, &outs[0], row, q, NULL, cand);
}

const fm_head_class fm__head_yolov5 = {
    .name = "yolov5",
    .task = FM_TASK_DETECTION,
    .guess = guess,
    .check = check,
    .decode = decode,
};
