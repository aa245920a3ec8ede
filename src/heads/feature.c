// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Head `feature`: an embedder's output as a vector of length 1, so that a dot product is the cosine, which is
// how "Simple Online and Realtime Tracking with a Deep Association Metric" (Wojke, Bewley, Paulus 2017,
// section 2.2) compares appearances.
//   input   as the model file says; OSNet: RGB, NCHW, ImageNet mean and deviation, stretched to 128 x 256
//   output  one, f32 [N, D], or pooled maps whose two sides are 1: [N, D, 1, 1], [N, 1, 1, D]
//   row     the embedding, of any length
//   feature row / its Euclidean length
// A classifier's output has the same shape, so shapes alone cannot tell the two apart: who asks for features
// takes a file to be an embedder. The sum runs in double, where the squares of floats neither overflow nor
// vanish, in eight partial sums of fixed order: the same bits on every CPU.

#include "base/error.h"
#include "heads/decode.h"

#define LANES 8

static bool is_vector(const fm_tensor *out)
{
    return fm__head_vector(out) > 0;
}

static bool guess(const fm_tensor *outs, size_t n, int input_w, int input_h, fm_head_opts *opts)
{
    (void)input_w;
    (void)input_h;
    (void)opts;
    return n == 1 && fm__head_vector(&outs[0]) > 1;
}

static fm_status check(fm_head *head, const fm_tensor *outs, size_t n, fm_error *err)
{
    char shape[96];
    fm_status status = fm__head_check_one(head, outs, n, is_vector, "[N, D] or [N, D, 1, 1]", err);
    if (status != FM_OK)
        return status;
    int64_t dim = fm__head_vector(&outs[0]);
    fm__tensor_shape_text(&outs[0], shape, sizeof shape);
    if (head->opts.dim > 0 && head->opts.dim != dim)
        return fm__fail(err, FM_FORMAT,
            "wrong length of the feature: dim %d is given, the network's output %s has %d numbers a row",
            head->opts.dim, shape, (int)dim);
    head->dim = (size_t)dim;
    return FM_OK;
}

static double sum_of_squares(const float *v, size_t n)
{
    double part[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t k = 0; k < LANES; k++)
            part[k] += (double)v[i + k] * (double)v[i + k];
    }
    for (; i < n; i++)
        part[i % LANES] += (double)v[i] * (double)v[i];
    return ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]));
}

static bool feature(const fm_head *head, const fm_tensor *outs, size_t n, int64_t row, float *out)
{
    (void)n; // one, as checked
    const float *v = (const float *)outs[0].data + (size_t)row * head->dim;
    double sum = sum_of_squares(v, head->dim);
    if (!isfinite(sum)) // exactly when a number is not: squares of floats stay far within double
        return false;
    double factor = sum > 0 ? 1 / sqrt(sum) : 0;
    for (size_t i = 0; i < head->dim; i++)
        out[i] = (float)((double)v[i] * factor);
    return true;
}

const fm_head_class fm__head_feature_class = {
    .name = "feature",
    .task = FM_TASK_FEATURES,
    .guess = guess,
    .check = check,
    .feature = feature,
};
