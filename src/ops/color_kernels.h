// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Row kernels of colour correction, one table for each CPU level, the same bits at each; the scalar table is
 * the definition. mulhrs(x, c) is (x * c + 2^14) >> 15. */
#ifndef FM_OPS_COLOR_KERNELS_H
#define FM_OPS_COLOR_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/** One output component: (mulhrs(y, cy) + mulhrs(u, cu) + mulhrs(v, cv) + bias) >> 4, clamped to 0..255; y is
 * the luma * 64, u and v are chroma - 128, * 64; sums saturate at 16 bits, y last. */
typedef struct fm__color_row {
    int16_t y, u, v; // Q13
    int16_t bias;    // 4 fractional bits, rounding included
} fm__color_row;

/** Between RGB and YUV of one matrix and range; black levels and halves are in the bases. */
typedef struct fm__rgb_coef {
    int16_t yuv[3][3]; // of R, G, B in Y, U, V, 15 fractional bits
    int32_t yuv_base[3];
    int16_t luma, rgb[3][2]; // of V, U in R, G, B, 13 fractional bits
    int32_t rgb_base;
} fm__rgb_coef;

typedef struct fm__color_kernels {
    /** n luma samples; with `shift`, two share a chroma sample. dst may be y. */
    void (*luma)(uint8_t *dst, const uint8_t *y, const uint8_t *u, const uint8_t *v, size_t n, int shift,
        const fm__color_row *c);
    /** n chroma samples of each; y0 and y1 are the luma rows they cover (the same one twice where chroma is
     * full height), `shift` as above: their mean is taken, and past `luma_n` the last sample again. dst may
     * be u, v. */
    void (*chroma)(uint8_t *dst_u, uint8_t *dst_v, const uint8_t *y0, const uint8_t *y1, const uint8_t *u,
        const uint8_t *v, size_t n, size_t luma_n, int shift, const fm__color_row c[2]);
    /** pairs[i] = left | right << 16, each the mix of two tables: (128 - w) * upper + w * lower, w 0..128. */
    void (*mix_tables)(uint32_t pairs[256], const uint8_t *upper_left, const uint8_t *lower_left,
        const uint8_t *upper_right, const uint8_t *lower_right, int w);
    /** dst[i] = mix of the halves of pairs[src[i]], right's share weights[i] of 2^14, rounded. dst may be
     * src. */
    void (*mix_pixels)(
        uint8_t *dst, const uint8_t *src, size_t n, const uint32_t pairs[256], const int16_t *weights);
    /** RGB to YUV, planes of one row: (weights . RGB + base) >> 15, clamped. */
    void (*to_yuv)(uint8_t *const yuv[3], const uint8_t *const rgb[3], size_t n, const fm__rgb_coef *c);
    /** And back: (luma * Y + weights . (V - 128, U - 128) + base) >> 13, clamped. */
    void (*to_rgb)(uint8_t *const rgb[3], const uint8_t *const yuv[3], size_t n, const fm__rgb_coef *c);
} fm__color_kernels;

const fm__color_kernels *fm__color_kernels_of(int level);

extern const fm__color_kernels fm__color_scalar;
#if defined(__x86_64__)
extern const fm__color_kernels fm__color_avx2;
#endif

#endif
