// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Row kernels of resampling, the same bits at each CPU level; the scalar table is the definition. Weights
 * have 14 fractional bits, rows between the two passes 6. */
#ifndef FM_OPS_RESAMPLE_KERNELS_H
#define FM_OPS_RESAMPLE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum {
    FM__RESAMPLE_STEP = 8,  // taps of a row of weights are a multiple of this, the rest zero
    FM__RESAMPLE_GROUP = 8, // outputs that are made at once; weights are there for whole groups
};

/** Where each output takes its inputs from. */
typedef struct fm__resample_taps {
    int count;        // outputs
    int taps, padded; // of each output; rounded up to FM__RESAMPLE_STEP
    int32_t *first;   // [count rounded up to FM__RESAMPLE_GROUP] first input
    int16_t *weights; // [the same][padded]
} fm__resample_taps;

typedef struct fm__resample_kernels {
    /** dst[x] = sum of weights[i] * rows[i][x], rounded >> 8, clamped to 16 bits. `taps` is even. */
    void (*down)(int16_t *dst, const uint8_t *const rows[], const int16_t *weights, int taps, size_t n);
    /** dst[i] = sum of the padded weights of output i times src[first[i] + k], rounded >> 20, clamped to 8
     * bits, for whole groups; src has FM__RESAMPLE_STEP readable values behind its last. */
    void (*across)(uint8_t *dst, const int16_t *src, const fm__resample_taps *taps);
} fm__resample_kernels;

extern const fm__resample_kernels fm__resample_scalar;
#if defined(__x86_64__)
extern const fm__resample_kernels fm__resample_avx2;
#endif

#endif
