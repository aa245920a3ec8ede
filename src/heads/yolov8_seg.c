// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Head `yolov8-seg`: Ultralytics YOLOv8-seg (and YOLO11-seg) as its exporter writes ONNX, OpenVINO and TFLite
// files.
//   input   RGB, 0..1 (x / 255), NCHW (TFLite: NHWC); letterbox in the middle, padded with 114
//   outputs two, f32, in either order:
//           candidates [N, 4+C+M, A] or [N, A, 4+C+M]: centre x, centre y, width, height, C class scores
//           after their sigmoid, M mask coefficients; A and the layout as with head yolov8 prototypes [N, M,
//           h, w] or [N, h, w, M]; customary are M = 32 and a quarter of the input a side
//   boxes   `boxes: pixels` of the input, or `boxes: unit`, 0..1 of it (TFLite and networks made from it)
//   score   best class; one class a candidate
//   mask    coefficients x prototypes > 0 within the box, at the source frame's resolution (protos.c)
// The input's line is the model file's business and stands here for who writes one.

#include "base/error.h"
#include "heads/columns.h"
#include "heads/protos.h"

static bool guess(const fm_tensor *outs, size_t n, int input_w, int input_h, fm_head_opts *opts)
{
    int64_t coefs = 0;
    (void)opts; // decoded; shapes do not tell pixels from unit
    const fm_tensor *boxes = fm__protos_guess(outs, n, input_w, input_h, &coefs);
    return boxes != NULL && fm__columns_guess(boxes, fm__head_cells(input_w, input_h), coefs);
}

static fm_status check(fm_head *head, const fm_tensor *outs, size_t n, fm_error *err)
{
    if (head->opts.grid == FM_HEAD_GRID_RAW)
        return fm__fail(err, FM_UNSUPPORTED,
            "head 'yolov8-seg': a raw grid is not supported; export the model with its Segment layer");
    fm_status status = fm__protos_check(head, outs, n, "[N, 4+C+M, A] and [N, M, h, w]", err);
    return status == FM_OK ? fm__columns_configure(head, &outs[head->outs[FM_PROTOS_BOXES]], err) : status;
}

static size_t decode(
    const fm_head *head, const fm_tensor *outs, size_t n, int64_t row, const fm_head_query *q, fm_det *cand)
{
    (void)n; // two, as checked
    return fm__columns_decode(head, &outs[head->outs[FM_PROTOS_BOXES]], row, q, cand);
}

static void mask(const fm_head *head, const fm_tensor *outs, int64_t row, const fm_fit_map *map,
    uint32_t place, const fm_mask *m, uint8_t *bits, void *scratch, fm_cpu_level level)
{
    int64_t stride;
    const float *coefs = fm__columns_coefs(head, &outs[head->outs[FM_PROTOS_BOXES]], row, place, &stride);
    fm__protos_mask(head, outs, row, map, coefs, stride, m, bits, scratch, level);
}

const fm_head_class fm__head_yolov8_seg = {
    .name = "yolov8-seg",
    .task = FM_TASK_SEGMENTATION,
    .guess = guess,
    .check = check,
    .decode = decode,
    .mask = mask,
    .mask_scratch = fm__protos_scratch,
};
