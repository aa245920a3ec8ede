// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Head `yolox`: "YOLOX: Exceeding YOLO Series in 2021", Ge et al. 2021, section 2.1 (anchor-free, decoupled
// head), as its official ONNX export (release 0.1.1rc0) and demo_postprocess of its ONNXRuntime demo have it.
//   input   BGR, NCHW, 0..255, no mean or scale; letterbox at the top left, padded with 114
//   output  one, f32 [N, A, 5+C], A = sum over strides s = 8, 16, 32 of (input_w/s)(input_h/s), strides
//           ascending, the cells of each row by row
//   row     x, y, w, h, objectness, C class scores; the last two after their sigmoid, which the export has
//   boxes   `grid: raw` (the official export): centre (x + gx)s, (y + gy)s and size exp(w)s, exp(h)s in input
//           pixels, done here; `grid: decoded` (exported with decode_in_inference): centre and size
//   score   objectness x best class
// The input's line is the model file's business and stands here for who writes one.

#include "base/error.h"
#include "heads/rows.h"

static bool guess(const fm_tensor *outs, size_t n, int input_w, int input_h, fm_head_opts *opts)
{
    if (n != 1 || !fm__rows_guess(&outs[0], fm__head_cells(input_w, input_h), 0))
        return false;
    opts->grid = FM_HEAD_GRID_RAW;
    return true;
}

static fm_status check(fm_head *head, const fm_tensor *outs, size_t n, fm_error *err)
{
    fm_status status = fm__rows_check(head, outs, n, err);
    if (status != FM_OK)
        return status;
    int64_t cells = fm__head_cells(head->input_w, head->input_h);
    if (head->opts.grid == FM_HEAD_GRID_RAW && head->anchors != cells)
        return fm__fail(err, FM_FORMAT,
            "head 'yolox': a raw grid of a %d x %d input has %lld cells, the network's output has %lld; "
            "export it with decoded boxes",
            head->input_w, head->input_h, (long long)cells, (long long)head->anchors);
    if (head->opts.grid == FM_HEAD_GRID_RAW && head->opts.boxes == FM_HEAD_BOXES_UNIT)
        return fm__fail(
            err, FM_FORMAT, "head 'yolox': a raw grid gives pixels; boxes: unit goes with grid: decoded");
    return FM_OK;
}

static fm_center_box raw_box(const fm_head *head, int64_t anchor, const float *v)
{
    int stride = 8;
    int64_t cols = head->input_w / stride;
    for (; stride < 32 && anchor >= cols * (head->input_h / stride); cols = head->input_w / stride) {
        anchor -= cols * (head->input_h / stride);
        stride *= 2;
    }
    float s = (float)stride;
    return (fm_center_box){(v[0] + (float)(anchor % cols)) * s, (v[1] + (float)(anchor / cols)) * s,
        expf(v[2]) * s, expf(v[3]) * s};
}

static size_t decode(
    const fm_head *head, const fm_tensor *outs, size_t n, int64_t row, const fm_head_query *q, fm_det *cand)
{
    (void)n; // one, as checked
    return fm__rows_decode(
        head, &outs[0], row, q, head->opts.grid == FM_HEAD_GRID_RAW ? raw_box : NULL, cand);
}

const fm_head_class fm__head_yolox = {
    .name = "yolox",
    .task = FM_TASK_DETECTION,
    .guess = guess,
    .check = check,
    .decode = decode,
};
