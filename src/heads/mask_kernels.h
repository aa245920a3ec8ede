// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Inner loops of masks and class maps: scalar, AVX2 and AVX-512, the same bits at every level: products and
 * sums are rounded one by one, in the same order. Picked by the level that is handed in. */
#ifndef FM_HEADS_MASK_KERNELS_H
#define FM_HEADS_MASK_KERNELS_H

#include "base/cpu.h"

#include <stddef.h>
#include <stdint.h>

/** Columns that `bits` works on at once; its tables are padded to a multiple with copies of the last entry.
 */
#define FM_MASK_STEP 16

typedef struct fm_mask_kernels {
    /** dst[i] = sum over k of coef[k] * src[k * plane + i], from the first to the last. */
    void (*combine)(const float *src, size_t plane, const float *coef, size_t coefs, size_t n, float *dst);
    /** dst[i] = a[i] + t * (b[i] - a[i]). */
    void (*lerp)(const float *a, const float *b, float t, size_t n, float *dst);
    /** Bit i, for i in 0..n-1: of a = row[cell[i]] and b = row[cell[i] + 1], are both greater than threshold,
     * or is one of them and a + t[i] * (b - a) too? Between two numbers on the same side nothing can lie on
     * the other, which lets long stretches of a row be told from a few cells.
     * cell ascends by 0 or 1 from one entry to the next; row may be read FM_MASK_STEP floats beyond its last
     * cell. Whole bytes are written, ceil(n / 8) or one more, with zeros for what lies beyond n. */
    void (*bits)(
        const float *row, const int32_t *cell, const float *t, float threshold, size_t n, uint8_t *dst);
    /** best[i] = the first r in 0..rows-1, at most 255, with the largest src[r * stride + i]; NaN is passed
     * over; 0 when nothing else is there. `most` is working memory, [n]. */
    void (*argmax)(const float *src, size_t stride, size_t rows, size_t n, float *most, uint8_t *best);
} fm_mask_kernels;

const fm_mask_kernels *fm__mask_kernels(fm_cpu_level level);

/** The tables behind it. */
extern const fm_mask_kernels fm__mask_scalar;
#if defined(__x86_64__)
extern const fm_mask_kernels fm__mask_avx2, fm__mask_avx512;
#endif

#endif
