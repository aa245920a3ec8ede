// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The inside of a letterbox plan: for the files of the letterbox, and for crops, which set a plan up anew
 * for every box, in memory of their caller's. */
#ifndef FM_OPS_LETTERBOX_PLAN_H
#define FM_OPS_LETTERBOX_PLAN_H

#include "ops/letterbox.h"
#include "ops/letterbox_kernels.h"

typedef enum fm__reading { FM__READ_PLANAR, FM__READ_NV12, FM__READ_RGB } fm__reading;

/** Byte offsets into scratch. */
typedef struct fm__plan_layout {
    size_t row[3];     // row buffers, planar
    size_t mixed;      // an interleaved row, of the source (RGB24, BGR24) or of the output
    size_t samples[3]; // i16
    size_t out[3];     // output rows in u8, where the tensor does not take them as they are
    size_t size;
} fm__plan_layout;

/** The tensor is `planes` planes of dst_h rows, with `per_pixel` elements a pixel: 3 x 1 (NCHW), 1 x 3 (NHWC)
 * or 1 x 1 (gray). */
struct fm_letterbox_plan {
    fm_letterbox_desc desc;
    const fm__letterbox_kernels *kernels;
    fm__reading reading;
    fm__color_fn *color;
    fm__color_coef coef;
    bool is_yuv;     // planes 1 and 2 are chroma
    int planes_read; // of the source
    int inputs;      // sample rows: 1 or 3
    int made;        // rows that the colour step makes: 1 or 3
    int planes, per_pixel;
    size_t element_size, row_size, plane_size; // of the tensor, bytes
    int place[3];                              // channel of the first, second, third row in the tensor
    fm__taps x[2], y[2];                       // luma, chroma; in the tables
    float mean[3][FM__NORM_PERIOD], scale[3][FM__NORM_PERIOD]; // by plane; scale is the reciprocal; F32 only
    uint8_t *pad_row[3]; // by plane, a whole row of padding, in the tables
    fm__plan_layout at;
};

/** Bytes of the tables of any plan with a destination of this size; a multiple of 64. */
size_t fm__plan_tables_size(const fm_letterbox_desc *desc);
/** Bytes of scratch of any plan whose source is not wider and whose destination is as wide. */
size_t fm__plan_scratch_size(int src_w, int dst_w);
/** Sets a plan up over tables in memory of the caller's, 64-byte aligned. Nothing left of first_x or above
 * first_y in the source is sampled. desc must be sane. */
void fm__plan_init(fm_letterbox_plan *plan, const fm_letterbox_desc *desc, int first_x, int first_y,
    fm_cpu_level level, void *tables);
/** Fills pad_row; done by fm__plan_init where the content does not fill the destination. */
void fm__plan_init_padding(fm_letterbox_plan *plan);
/** Fills the whole of dst with padding; pad_row must be there. */
void fm__letterbox_fill(const fm_letterbox_plan *plan, void *dst);

#endif
