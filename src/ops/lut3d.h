// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Colour tables in three dimensions (.cube files): text in memory to a table, a table over rows of RGB.
 * Pure. */
#ifndef FM_OPS_LUT3D_H
#define FM_OPS_LUT3D_H

#include "base/cpu.h"

#include <framemill/frame.h>
#include <framemill/status.h>

#include <stddef.h>
#include <stdint.h>

enum { FM__LUT3D_MAX_SIZE = 129 };

/** Where an input value lies on an axis: entries before its cell, and how far into the cell, of 2^14. */
typedef struct fm__lut3d_place {
    int32_t at, share;
} fm__lut3d_place;

/** Corners of a tetrahedron, from the cell's first: the one along the axis of the largest share, the one
 * along the two largest, the far one. By the order of shares: bit 2 is r >= g, bit 1 g >= b, bit 0 r >= b. */
typedef struct fm__lut3d_corners {
    int32_t second, third, last;
} fm__lut3d_corners;

typedef struct fm__lut3d {
    int size;                      // points to a side, 2..FM__LUT3D_MAX_SIZE
    fm__lut3d_place place[3][256]; // by channel and value
    fm__lut3d_corners corners[8];
    int16_t table[][4]; // [size^3] R, G, B, 0 in 1/8160; red runs fastest
} fm__lut3d;

/** Reads a .cube file: LUT_3D_SIZE, TITLE, DOMAIN_MIN, DOMAIN_MAX, LUT_3D_INPUT_RANGE, comments. `name` is
 * for messages, which tell the line. FORMAT where it is not right, UNSUPPORTED where it holds a 1D table or
 * too large a one. Free with fm__lut3d_free. */
fm_status fm__lut3d_parse(
    const char *text, size_t len, const char *name, fm__lut3d **out, fm_error *err) FM_MUST_USE;
void fm__lut3d_free(fm__lut3d **lut);

/** n pixels of RGB24 by tetrahedral interpolation; dst may be src. */
void fm__lut3d_row(const fm__lut3d *lut, uint8_t *dst, const uint8_t *src, size_t n, fm_cpu_level level);

/** Bytes of scratch for frames of this width, 64-byte aligned. */
size_t fm__lut3d_scratch_size(int width);
/** A frame of any format; NV12 becomes YUV420P (fm__color_out_format), all else stays. YUV goes to RGB and
 * back, chroma repeated over its block there and averaged over it back. dst may be the source's planes,
 * unless that is NV12. */
void fm__lut3d_frame(const fm__lut3d *lut, const fm_frame_view *src, uint8_t *const dst[FM_MAX_PLANES],
    const int dst_stride[FM_MAX_PLANES], void *scratch, fm_cpu_level level);

/** Rows y0 to y1 - 1 of it, which may go over threads, each with scratch of its own; y0 is even, and so is y1
 * unless it is the height. */
void fm__lut3d_frame_rows(const fm__lut3d *lut, const fm_frame_view *src, uint8_t *const dst[FM_MAX_PLANES],
    const int dst_stride[FM_MAX_PLANES], int y0, int y1, void *scratch, fm_cpu_level level);

#if defined(__x86_64__)
void fm__lut3d_row_avx2(const fm__lut3d *lut, uint8_t *dst, const uint8_t *src, size_t n);
#endif
void fm__lut3d_row_scalar(const fm__lut3d *lut, uint8_t *dst, const uint8_t *src, size_t n);

#endif
