// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The row kernels of the letterbox, one table for each CPU level. Every entry gives the same bits at every
 * level; the scalar table is the definition. Rounding: mulhrs(x, c) is (x * c + 2^14) >> 15, what PMULHRSW
 * computes.
 *
 *  A row buffer is one plane's row of u8 in scratch with FM__ROW_PAD readable bytes behind it; a sample row
 * holds i16 with FM__FRACTION_BITS fractional bits, its length a multiple of FM__GROUP pairs
 * (FM__SAMPLE_ALIGN). */
#ifndef FM_OPS_LETTERBOX_KERNELS_H
#define FM_OPS_LETTERBOX_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum {
    FM__GROUP = 16,        // outputs that one step of a horizontal kernel makes
    FM__SAMPLE_ALIGN = 32, // sample rows hold whole steps of AVX2's colour kernels
    FM__ROW_PAD = 64, // bytes behind any row in scratch: a window of 16, the rest of a wider level's vector
    FM__FRACTION_BITS = 6, // of samples: 255 << 6 leaves a sign bit, and 64 fits PMADDUBSW's signed operand
    FM__NORM_PERIOD = 48,  // multiple of 3 channels and of 8 and 16 lanes
};

/** Where each output of a row takes its left sample (the right one is next to it) and the right one's share,
 * Q15. Past `count` the last output is repeated up to `padded`. The windows serve SIMD: 16 source bytes hold
 * what `per_window` outputs need; with 1 there are none and each pair is read by its index. */
typedef struct fm__taps {
    int count, padded; // outputs
    int per_window;    // 8, 4, 2 or 1
    int32_t *index;    // [padded]
    int16_t *weight;   // [padded], 0..32767
    int32_t *start; // [padded / per_window] first byte of a window, in the order in which a step loads them
    uint8_t *mask;  // [padded / 16][8 / per_window][32] PSHUFB masks that gather the pairs
} fm__taps;

/** Coefficients of the colour step, see letterbox_plan.c. */
typedef struct fm__color_coef {
    int16_t y;              // Q13
    int16_t rv, gu, gv, bu; // Q13
    int16_t bias[3];        // of R, G, B, with 4 fractional bits, rounding included
    int16_t luma_bias;      // of Y alone, the same way
    int16_t gray[3];        // Q15, R, G, B to gray
} fm__color_coef;

/** out[i][0..n-1] from sample rows; out that a kernel does not make is left alone. */
typedef void fm__color_fn(
    uint8_t *const out[3], const int16_t *const in[3], size_t n, const fm__color_coef *coef);

typedef struct fm__letterbox_kernels {
    /** dst = a + mulhrs(b - a, weight); reads and writes n bytes, no more. */
    void (*blend)(uint8_t *dst, const uint8_t *a, const uint8_t *b, int weight, size_t n);
    /** The same for n interleaved pairs, taken apart into u and v. */
    void (*blend_pairs)(uint8_t *u, uint8_t *v, const uint8_t *a, const uint8_t *b, int weight, size_t n);
    /** n interleaved triples, in a row buffer, taken apart into row buffers. */
    void (*split)(uint8_t *const out[3], const uint8_t *in, size_t n);
    /** dst[i] = (l << 6) + mulhrs((r - l) << 6, weight[i]) for taps->padded outputs. */
    void (*sample)(int16_t *dst, const uint8_t *row, const fm__taps *taps);
    fm__color_fn *yuv_rgb;  // Y, U, V to R, G, B
    fm__color_fn *luma;     // Y to gray, out[0]
    fm__color_fn *copy;     // each of three as it is
    fm__color_fn *rgb_gray; // R, G, B to gray, out[0]
    void (*interleave)(uint8_t *dst, const uint8_t *const in[3], size_t n);
    /** dst[i] = (src[i] - mean[i mod 48]) * scale[i mod 48]. */
    void (*to_float)(float *dst, const uint8_t *src, size_t n, const float *mean, const float *scale);
} fm__letterbox_kernels;

/** pos(i) = origin + i * step, in samples of a plane `len` long, clamped to first..len-1. */
typedef struct fm__axis {
    double origin, step;
    int count, first, len;
} fm__axis;

/** Bytes that the taps of so many outputs take, a multiple of 64. */
size_t fm__taps_size(int count);
/** Taps in memory that the caller holds; without windows. */
void fm__taps_init(fm__taps *taps, const fm__axis *axis, void *mem);
/** Taps at the same positions in a plane each of whose samples stands for 2^shift of the other's. */
void fm__taps_repeat(fm__taps *taps, const fm__taps *of, int shift, void *mem);
/** Finds the widest windows that fit: for taps along a row. */
void fm__taps_group(fm__taps *taps);

extern const fm__letterbox_kernels fm__letterbox_scalar;
#if defined(__x86_64__)
extern const fm__letterbox_kernels fm__letterbox_avx2;
extern const fm__letterbox_kernels fm__letterbox_avx512;
#endif

#endif
