// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Head `pixels`: a picture made larger, as by ESPCN (Shi et al. 2016), FSRCNN (Dong, Loy, Tang 2016),
// Real-ESRGAN (Wang et al. 2021) and our own superres-x2.
//   input   grey, one channel of luma, or RGB: [N, C, H, W] or [N, H, W, C]; mean and scale as the model says
//   output  one, f32 [N, C, s*H, s*W] or [N, s*H, s*W, C], C 1 or 3, s 2, 3 or 4
//   values  `range: unit` 0..1, `range: bytes` 0..255; what is outside is clamped
//   context pixels of input around one that bear on the output there: how far tiles must overlap. Networks
//           that see further than they are told leave seams.
// A byte is the value rounded half up. Both layouts become channels beside one another.

#include "base/error.h"
#include "heads/decode.h"

#define LAYOUT "[N, C, s*H, s*W] or [N, s*H, s*W, C], C 1 or 3, s 2, 3 or 4,"

static bool is_channels(int64_t n)
{
    return n == 1 || n == 3;
}

// How many times `input` goes into `side`; 0 unless it is a scale that is known.
static int scale_of(int64_t side, int input)
{
    if (input < 1)
        return 0;
    int64_t scale = side / input;
    return side % input == 0 && scale >= 2 && scale <= FM_HEAD_MAX_SCALE ? (int)scale : 0;
}

static bool read_shape(const fm_tensor *t, int input_w, int input_h, bool last, fm_head *head)
{
    int y = last ? 1 : 2;
    if (t->rank != 4 || !is_channels(t->dims[last ? 3 : 1]))
        return false;
    head->scale = scale_of(t->dims[y], input_h);
    head->channels = (int)t->dims[last ? 3 : 1];
    head->channels_last = last;
    return head->scale > 0 && scale_of(t->dims[y + 1], input_w) == head->scale;
}

static bool guess(const fm_tensor *outs, size_t n, int input_w, int input_h, fm_head_opts *opts)
{
    fm_head head;
    (void)opts;
    return n == 1 && outs[0].dtype == FM_DTYPE_F32 &&
           (read_shape(&outs[0], input_w, input_h, false, &head) ||
               read_shape(&outs[0], input_w, input_h, true, &head));
}

static fm_status check(fm_head *head, const fm_tensor *outs, size_t n, fm_error *err)
{
    char shapes[160];
    if (n == 1 && outs[0].dtype == FM_DTYPE_F32 &&
        (read_shape(&outs[0], head->input_w, head->input_h, false, head) ||
            read_shape(&outs[0], head->input_w, head->input_h, true, head))) {
        head->opts.context = head->opts.context > 0 ? head->opts.context : FM_HEAD_USUAL_CONTEXT;
        return FM_OK;
    }
    fm__head_shapes_text(outs, n, shapes, sizeof shapes);
    return fm__fail(err, FM_FORMAT,
        "head 'pixels' wants one f32 output " LAYOUT " for its input of %d x %d; the network's is %s",
        head->input_w, head->input_h, shapes);
}

// A comparison with NaN is false: it ends at 0.
static uint8_t to_byte(float v)
{
    v = v > 0.0f ? v : 0.0f;
    v = v < 255.0f ? v : 255.0f;
    return (uint8_t)(int)(v + 0.5f);
}

static void row_of_bytes(uint8_t *restrict dst, const float *restrict src, int n, float factor)
{
    for (int x = 0; x < n; x++)
        dst[x] = to_byte(src[x] * factor);
}

static void weave(uint8_t *restrict dst, const float *restrict src, int n, int channels, float factor)
{
    for (int x = 0; x < n; x++)
        dst[(ptrdiff_t)x * channels] = to_byte(src[x] * factor);
}

static void pixels(const fm_head *head, const fm_tensor *outs, int64_t row, const fm_head_rect *rect,
    uint8_t *dst, ptrdiff_t stride)
{
    int c = head->channels;
    int64_t width = (int64_t)head->input_w * head->scale, plane = width * head->input_h * head->scale;
    float factor = head->opts.range == FM_HEAD_RANGE_UNIT ? 255.0f : 1.0f;
    const float *from = (const float *)outs[0].data + row * plane * c;
    for (int y = 0; y < rect->height; y++) {
        uint8_t *to = dst + y * stride;
        int64_t at = (rect->y + y) * width + rect->x;
        if (c == 1 || head->channels_last) {
            row_of_bytes(to, from + at * c, rect->width * c, factor);
            continue;
        }
        for (int i = 0; i < c; i++)
            weave(to + i, from + i * plane + at, rect->width, c, factor);
    }
}

void fm__head_pixels(const fm_head *head, const fm_tensor *outs, int64_t row, const fm_head_rect *rect,
    uint8_t *dst, ptrdiff_t stride)
{
    head->cls->pixels(head, outs, row, rect, dst, stride);
}

const fm_head_class fm__head_pixels_class = {
    .name = "pixels",
    .task = FM_TASK_ENHANCEMENT,
    .guess = guess,
    .check = check,
    .pixels = pixels,
};
