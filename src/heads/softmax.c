// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Head `softmax`: a classifier's output as its best classes.
//   input   as the model file says; customary are RGB, ImageNet's mean and deviation or -1..1, the shorter
//   side
//           resized and the centre cut out (fit: crop, crop_ratio 0.875)
//   output  one, [N, C], or pooled maps whose two sides are 1: [N, C, 1, 1], [N, 1, 1, C]; f32, or u8: the
//           probabilities of a quantised network, in steps of 1/256 as TFLite writes the output of a softmax
//   row     C logits or probabilities; networks of the TensorFlow family have a class "background" first,
//   which
//           is a class like any other here and stands in their labels
//   activation  softmax: logits. none: probabilities. sigmoid: logits of classes that do not exclude each
//           other. auto: softmax, unless the row is a distribution already: nothing below 0, sum 1 within
//           0.005; files without a description get this one, since the shape is the same for both
//   score   probability; classes by descending score, of equals the first; those of probability 0 are none
// An embedder's output has the same shape, so shapes alone cannot tell the two apart: who asks for a
// classifier takes a file to be one. Only the scores that are reported cost more than one exponential a
// class; sums run in double from the first class to the last.

#include "base/error.h"
#include "heads/decode.h"

#define SUM_TOLERANCE 0.005 // half floats of a thousand classes stay within it

static bool guess(const fm_tensor *outs, size_t n, int input_w, int input_h, fm_head_opts *opts)
{
    (void)input_w;
    (void)input_h;
    opts->activation = FM_HEAD_ACT_AUTO;
    return n == 1 && fm__head_vector(&outs[0]) > 1;
}

static fm_status check(fm_head *head, const fm_tensor *outs, size_t n, fm_error *err)
{
    int64_t classes = n == 1 ? fm__head_vector(&outs[0]) : 0;
    if (classes == 0)
        return fm__head_fail_shape(head, outs, n, "[N, C] or [N, C, 1, 1], one", err);
    if (outs[0].dtype != FM_DTYPE_F32 && outs[0].dtype != FM_DTYPE_U8)
        return fm__fail(err, FM_FORMAT, "head 'softmax' wants a f32 or u8 output, the network's is %s",
            fm__dtype_name(outs[0].dtype));
    if (outs[0].dtype == FM_DTYPE_U8 && head->opts.activation == FM_HEAD_ACT_AUTO)
        head->opts.activation = FM_HEAD_ACT_NONE;
    if (outs[0].dtype == FM_DTYPE_U8 && head->opts.activation != FM_HEAD_ACT_NONE)
        return fm__fail(err, FM_FORMAT,
            "head 'softmax': a u8 output holds probabilities; activation must be none or auto");
    return fm__head_set_classes(head, classes, &outs[0], err);
}

static double value_at(const fm_tensor *out, int64_t i)
{
    return out->dtype == FM_DTYPE_U8 ? ((const uint8_t *)out->data)[i] / 256.0
                                     : (double)((const float *)out->data)[i];
}

// The k largest, in order; by raw value, which every activation keeps in order.
static size_t select_top(const fm_tensor *out, int64_t at, int classes, fm_class_score *top, size_t k)
{
    size_t count = 0;
    for (int c = 0; c < classes; c++) {
        float v = (float)value_at(out, at + c);
        if (count == k && !(v > top[count - 1].score))
            continue;
        size_t i = count < k ? count++ : k - 1;
        for (; i > 0 && v > top[i - 1].score; i--)
            top[i] = top[i - 1];
        top[i] = (fm_class_score){.class_id = c, .score = v};
    }
    return count;
}

static bool is_finite_row(const fm_tensor *out, int64_t at, int classes)
{
    double zero = 0;
    for (int c = 0; c < classes; c++)
        zero += value_at(out, at + c) * 0;
    return zero == 0; // a NaN as soon as one number is not finite
}

static bool is_distribution(const fm_tensor *out, int64_t at, int classes)
{
    double sum = 0;
    for (int c = 0; c < classes; c++) {
        double v = value_at(out, at + c);
        if (v < 0)
            return false;
        sum += v;
    }
    return fabs(sum - 1) <= SUM_TOLERANCE;
}

static void softmax(const fm_tensor *out, int64_t at, int classes, fm_class_score *top, size_t count)
{
    double largest = (double)top[0].score, sum = 0;
    for (int c = 0; c < classes; c++)
        sum += exp(value_at(out, at + c) - largest);
    for (size_t i = 0; i < count; i++)
        top[i].score = (float)(exp((double)top[i].score - largest) / sum);
}

static float clamp_score(double v)
{
    return v < 0 ? 0 : v > 1 ? 1 : (float)v;
}

static size_t classify_all(
    const fm_head *head, const fm_tensor *outs, int64_t row, fm_class_score *top, size_t k)
{
    int classes = head->class_count;
    int64_t at = row * classes;
    fm_head_activation activation = head->opts.activation;
    if (!is_finite_row(&outs[0], at, classes))
        return 0;
    size_t count = select_top(&outs[0], at, classes, top, k);
    if (activation == FM_HEAD_ACT_SOFTMAX ||
        (activation == FM_HEAD_ACT_AUTO && !is_distribution(&outs[0], at, classes))) {
        softmax(&outs[0], at, classes, top, count);
        return count;
    }
    for (size_t i = 0; i < count; i++) {
        double v = (double)top[i].score;
        top[i].score = clamp_score(activation == FM_HEAD_ACT_SIGMOID ? 1 / (1 + exp(-v)) : v);
    }
    return count;
}

static size_t classify(const fm_head *head, const fm_tensor *outs, int64_t row, fm_class_score *top, size_t k)
{
    size_t count = classify_all(head, outs, row, top, k);
    while (count > 0 && !(top[count - 1].score > 0))
        count--;
    return count;
}

const fm_head_class fm__head_softmax = {
    .name = "softmax",
    .task = FM_TASK_CLASSIFICATION,
    .guess = guess,
    .check = check,
    .classify = classify,
};
