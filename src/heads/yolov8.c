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
// The input's line is the model file's business and stands here for who writes one. columns.c decodes.

#include "base/error.h"
#include "heads/columns.h"

static bool guess(const fm_tensor *outs, size_t n, int input_w, int input_h, fm_head_opts *opts)
{
    (void)opts; // decoded; shapes do not tell pixels from unit
    return n == 1 && fm__columns_guess(&outs[0], fm__head_cells(input_w, input_h), 0);
}

static fm_status check(fm_head *head, const fm_tensor *outs, size_t n, fm_error *err)
{
    if (head->opts.grid == FM_HEAD_GRID_RAW)
        return fm__fail(err, FM_UNSUPPORTED,
            "head 'yolov8': a raw grid is not supported; export the model with its Detect layer");
    fm_status status = fm__head_check_output(head, outs, n, "[N, 4+C, A]", err);
    return status == FM_OK ? fm__columns_configure(head, &outs[0], err) : status;
}

static size_t decode(
    const fm_head *head, const fm_tensor *outs, size_t n, int64_t row, const fm_head_query *q, fm_det *cand)
{
    (void)n; // one, as checked
    return fm__columns_decode(head, &outs[0], row, q, cand);
}

const fm_head_class fm__head_yolov8 = {
    .name = "yolov8",
    .task = FM_TASK_DETECTION,
    .guess = guess,
    .check = check,
    .decode = decode,
};
