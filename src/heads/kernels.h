// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Inner loops of this folder, scalar and AVX2, the same bits at every level. Picked by the level that is
 * handed in. */
#ifndef FM_HEADS_KERNELS_H
#define FM_HEADS_KERNELS_H

#include "base/cpu.h"

#include <stddef.h>
#include <stdint.h>

#define FM_MOTION_SAMPLES                                                                                    \
    20 // samples a pixel of the background model; the values of the paper that motion.c names
#define FM_MOTION_MATCHES 2 // so many close samples make a pixel background

typedef struct fm_heads_kernels {
    /** Largest of v[0..n-1]; NaN is passed over; -infinity when nothing is left. */
    float (*row_max)(const float *v, size_t n);
    /** best[i] = largest of src[r * stride + i] over r in 0..rows-1; NaN is passed over. */
    void (*col_max)(const float *src, size_t stride, size_t rows, size_t n, float *best);
    /** sum[i] += row[i]. */
    void (*add_row)(uint16_t *sum, const uint8_t *row, size_t n);
    /** dst[i] = (sum[2i] + sum[2i+1] + 2) >> 2: the horizontal half of a 2x2 average. */
    void (*halve)(uint8_t *dst, const uint16_t *sum, size_t n);
    /** mask[i] = 255 where fewer than FM_MOTION_MATCHES of the samples lie within `radius` of cur[i], else 0.
     * Sample s of pixel i is samples[s * plane + i]. */
    void (*classify)(
        uint8_t *mask, const uint8_t *cur, const uint8_t *samples, size_t plane, uint8_t radius, size_t n);
    /** dst[i] = 255 where at least `least` of the 3x3 around it are 255, else 0; up, mid, down point at pixel
     * 0 and one pixel on both sides may be read. */
    void (*vote)(
        uint8_t *dst, const uint8_t *up, const uint8_t *mid, const uint8_t *down, int least, size_t n);
} fm_heads_kernels;

const fm_heads_kernels *fm__heads_kernels(fm_cpu_level level);

#endif
