// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Head `yolov5-seg`: Ultralytics YOLOv5-seg (v7) as its export.py writes ONNX, OpenVINO and TFLite files,
// decoded inside the network.
//   input   RGB, 0..1 (x / 255), NCHW (TFLite: NHWC); letterbox in the middle, padded with 114
//   outputs two, f32, in either order:
//           candidates [N, A, 5+C+M]: centre x, centre y, width, height, objectness, C class scores, all
//           after their sigmoid, M mask coefficients; A as with head yolov5 prototypes [N, M, h, w] or [N, h,
//           w, M]; customary are M = 32 and a quarter of the input a side
//   boxes   `boxes: pixels` of the input (ONNX, OpenVINO) or `boxes: unit`, 0..1 of it (TFLite)
//   score   objectness x best class; one class a candidate, as segment/predict.py has it
//   mask    coefficients x prototypes > 0 within the box, at the source frame's resolution (protos.c)
// The input's lines are the model file's business and stand here for who writes one. A raw grid would need
// the anchor sizes, which no export of that project leaves out of the graph: it is refused.

#include "base/error.h"
#include "heads/protos.h"
#include "heads/rows.h"

static bool guess(const fm_tensor *outs, size_t n, int input_w, int input_h, fm_head_opts *opts)
{
    int64_t coefs = 0;
    (void)opts; // decoded; shapes do not tell pixels from unit
    const fm_tensor *boxes = fm__protos_guess(outs, n, input_w, input_h, &coefs);
    return boxes != NULL && fm__rows_guess(boxes, 3 * fm__head_cells(input_w, input_h), coefs);
}

static fm_status check(fm_head *head, const fm_tensor *outs, size_t n, fm_error *err)
{
    if (head->opts.grid == FM_HEAD_GRID_RAW)
        return fm__fail(err, FM_UNSUPPORTED,
            "head 'yolov5-seg': a raw grid is not supported; export the model with its Segment layer");
    fm_status status = fm__protos_check(head, outs, n, "[N, A, 5+C+M] and [N, M, h, w]", err);
    return status == FM_OK ? fm__rows_configure(head, &outs[head->outs[FM_PROTOS_BOXES]], err) : status;
}

static size_t decode(
    const fm_head *head, const fm_tensor *outs, size_t n, int64_t row, const fm_head_query *q, fm_det *cand)
{
    (void)n; // two, as checked
    return fm__rows_decode(head, &outs[head->outs[FM_PROTOS_BOXES]], row, q, NULL, cand);
}

static void mask(const fm_head *head, const fm_tensor *outs, int64_t row, const fm_fit_map *map,
    uint32_t place, const fm_mask *m, uint8_t *bits, void *scratch, fm_cpu_level level)
{
    const float *coefs = fm__rows_coefs(head, &outs[head->outs[FM_PROTOS_BOXES]], row, place);
    fm__protos_mask(head, outs, row, map, coefs, 1, m, bits, scratch, level);
}

const fm_head_class fm__head_yolov5_seg = {
    .name = "yolov5-seg",
    .task = FM_TASK_SEGMENTATION,
    .guess = guess,
    .check = check,
    .decode = decode,
    .mask = mask,
    .mask_scratch = fm__protos_scratch,
};
