// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Kernels for pictures of 16 bits a sample, in float: non-local means, colour correction, colour tables,
 * Lanczos. They do what their twins of 8 bits do (nlm.h, color.h, lut3d.h, resample.h), some ten times
 * slower: pictures of 16 bits are rare. Planes are dense: rows of `width` samples. Pure; rows y0 to y1 - 1
 * are written, and bands do not change the result by a bit. */
#ifndef FM_OPS_DEEP_H
#define FM_OPS_DEEP_H

#include "ops/color.h"
#include "ops/lut3d.h"

typedef struct fm__nlm16 {
    int width, height;
    int planes; // 1, or 2 that share their weights
    float h;    // strength in levels of 8 bits, above 0
    const uint16_t *src[2];
    uint16_t *dst[2];
} fm__nlm16;

size_t fm__nlm16_scratch_size(const fm__nlm16 *d, int band);
/** Distances of patches are exact in integers, of samples rounded to 12 bits. */
void fm__nlm16_rows(const fm__nlm16 *d, int y0, int y1, void *scratch, fm_cpu_level level);
#if defined(__x86_64__)
void fm__nlm16_rows_avx2(const fm__nlm16 *d, int y0, int y1, void *scratch);
#endif

/** RGB to full-range BT.601 and back, rounded to 16 bits. */
void fm__rgb16_to_ycc(uint16_t *const ycc[3], const uint16_t *const rgb[3], size_t n);
void fm__ycc16_to_rgb(uint16_t *const rgb[3], const uint16_t *const ycc[3], size_t n);

typedef struct fm__color16 {
    int width, height;
    int planes; // 1 or 3: R, G, B
    const fm__color_params *params;
    const uint16_t *src[3];
    uint16_t *dst[3];
    const fm__clahe *clahe;
    const float *curves; // [tiles][256] of fm__clahe_curves; NULL: no local contrast
} fm__color16;

/** Luma of 8 bits as local contrast counts it: balanced, stretched, with gamma. */
void fm__color16_luma(const fm__color16 *d, int y0, int y1, uint8_t *luma);
void fm__color16_rows(const fm__color16 *d, int y0, int y1);

/** RGB; entries of the table have 13 bits, what lies between them more. */
void fm__lut16_rows(const fm__lut3d *lut, const uint16_t *const src[3], uint16_t *const dst[3], size_t n);

typedef struct fm__lanczos16 {
    int src_w, src_h, scale; // 2..4
    const uint16_t *src;
    uint16_t *dst;
} fm__lanczos16;

size_t fm__lanczos16_scratch_size(const fm__lanczos16 *d);
void fm__lanczos16_rows(const fm__lanczos16 *d, int y0, int y1, void *scratch);

#endif
