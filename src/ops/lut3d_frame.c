// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The 3D table over a whole frame. YUV goes to RGB and back, one or two rows of luma with their chroma at a
// time: chroma is repeated over its block on the way there, and the mean of the block on the way back.

#include "frame/frame.h"
#include "ops/color_rgb.h"
#include "ops/lut3d.h"

#include <stdbool.h>
#include <string.h>

enum { ROWS = 2 };

// Rows of one width in scratch: RGB, and YUV with chroma of full width, for each of the rows that share
// chroma.
typedef struct buffers {
    uint8_t *rgb, *yuv[ROWS][3];
} buffers;

typedef struct pass {
    const fm__lut3d *lut;
    const fm_frame_view *src;
    uint8_t *const *dst;
    const int *dst_stride;
    fm_cpu_level level;
    int shift_x, shift_y;
    fm__rgb_coef coef;
    buffers at;
} pass;

static size_t pitch_of(int width)
{
    return ((size_t)width + 64) / 64 * 64;
}

size_t fm__lut3d_scratch_size(int width)
{
    return (3 + ROWS * 3) * pitch_of(width);
}

static buffers buffers_in(void *scratch, int width)
{
    uint8_t *at = scratch;
    buffers b = {.rgb = at};
    at += 3 * pitch_of(width);
    for (int i = 0; i < ROWS * 3; i++, at += pitch_of(width)) {
        b.yuv[i / 3][i % 3] = at;
    }
    return b;
}

// Chroma samples of one row, each as often as pixels share it.
static void repeat_chroma(const pass *run, int cy, uint8_t *u, uint8_t *v)
{
    const fm_frame_view *f = run->src;
    bool is_paired = f->format == FM_PIXFMT_NV12;
    const uint8_t *from_u = f->plane[1] + (ptrdiff_t)cy * f->stride[1];
    const uint8_t *from_v = is_paired ? from_u + 1 : f->plane[2] + (ptrdiff_t)cy * f->stride[2];
    for (int x = 0; x < f->width; x++) {
        int i = (x >> run->shift_x) << (is_paired ? 1 : 0);
        u[x] = from_u[i];
        v[x] = from_v[i];
    }
}

// Sum of a block over its pixels that exist, rounded.
static void mean_chroma(const pass *run, int cy, int rows)
{
    const int w = run->src->width, across = 1 << run->shift_x;
    for (int p = 1; p < 3; p++) {
        uint8_t *to = run->dst[p] + (ptrdiff_t)cy * run->dst_stride[p];
        for (int x = 0; x < w; x += across) {
            int last = x + across - 1 < w ? x + across - 1 : x;
            const uint8_t *a = run->at.yuv[0][p], *b = run->at.yuv[rows - 1][p];
            to[x >> run->shift_x] = (uint8_t)((a[x] + a[last] + b[x] + b[last] + 2) >> 2);
        }
    }
}

static void block_row(const pass *run, int cy)
{
    const fm_frame_view *f = run->src;
    int y0 = cy << run->shift_y, rows = run->shift_y && y0 + 1 < f->height ? 2 : 1;
    size_t w = (size_t)f->width;
    for (int r = 0; r < rows; r++) {
        uint8_t *const *yuv = run->at.yuv[r];
        memcpy(yuv[0], f->plane[0] + (ptrdiff_t)(y0 + r) * f->stride[0], w);
        if (f->format == FM_PIXFMT_GRAY8) {
            memset(yuv[1], 128, w);
            memset(yuv[2], 128, w);
        } else {
            repeat_chroma(run, cy, yuv[1], yuv[2]);
        }
    }
    for (int r = 0; r < rows; r++) {
        uint8_t *const *yuv = run->at.yuv[r];
        fm__yuv_row_to_rgb(run->at.rgb, (const uint8_t *const *)yuv, w, &run->coef, run->level);
        fm__lut3d_row(run->lut, run->at.rgb, run->at.rgb, w, run->level);
        fm__rgb_row_to_yuv(yuv, run->at.rgb, w, &run->coef, run->level);
        memcpy(run->dst[0] + (ptrdiff_t)(y0 + r) * run->dst_stride[0], yuv[0], w);
    }
    if (f->format != FM_PIXFMT_GRAY8) {
        mean_chroma(run, cy, rows);
    }
}

void fm__lut3d_frame_rows(const fm__lut3d *lut, const fm_frame_view *src, uint8_t *const dst[FM_MAX_PLANES],
    const int dst_stride[FM_MAX_PLANES], int y0, int y1, void *scratch, fm_cpu_level level)
{
    bool is_gray = src->format == FM_PIXFMT_GRAY8;
    pass run = {.lut = lut, .src = src, .dst = dst, .dst_stride = dst_stride, .level = level};
    for (int y = y0; y < y1 && src->format == FM_PIXFMT_RGB24; y++) {
        fm__lut3d_row(lut, dst[0] + (ptrdiff_t)y * dst_stride[0],
            src->plane[0] + (ptrdiff_t)y * src->stride[0], (size_t)src->width, level);
    }
    if (src->format == FM_PIXFMT_RGB24) {
        return;
    }
    fm__pixfmt_shift(src->format, &run.shift_x, &run.shift_y);
    run.coef = fm__rgb_coef_of(is_gray ? FM_MATRIX_BT601 : src->matrix, is_gray ? FM_RANGE_FULL : src->range);
    run.at = buffers_in(scratch, src->width);
    for (int cy = y0 >> run.shift_y; cy << run.shift_y < y1; cy++) {
        block_row(&run, cy);
    }
}

void fm__lut3d_frame(const fm__lut3d *lut, const fm_frame_view *src, uint8_t *const dst[FM_MAX_PLANES],
    const int dst_stride[FM_MAX_PLANES], void *scratch, fm_cpu_level level)
{
    fm__lut3d_frame_rows(lut, src, dst, dst_stride, 0, src->height, scratch, level);
}
