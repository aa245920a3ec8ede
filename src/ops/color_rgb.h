// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** RGB and YUV, rows of either. Pure. */
#ifndef FM_OPS_COLOR_RGB_H
#define FM_OPS_COLOR_RGB_H

#include "base/cpu.h"
#include "ops/color_kernels.h"

#include <framemill/frame.h>

#include <stddef.h>
#include <stdint.h>

fm__rgb_coef fm__rgb_coef_of(fm_matrix matrix, fm_range range);

/** One row of RGB24 to three planes of YUV and back. dst may not be the source. */
void fm__rgb_row_to_yuv(
    uint8_t *const yuv[3], const uint8_t *rgb, size_t n, const fm__rgb_coef *coef, fm_cpu_level level);
void fm__yuv_row_to_rgb(
    uint8_t *rgb, const uint8_t *const yuv[3], size_t n, const fm__rgb_coef *coef, fm_cpu_level level);

/** The same in full-range BT.601, as JFIF has it. */
void fm__rgb_to_ycc(uint8_t *y, uint8_t *u, uint8_t *v, const uint8_t *rgb, size_t n, fm_cpu_level level);
void fm__ycc_to_rgb(
    uint8_t *rgb, const uint8_t *y, const uint8_t *u, const uint8_t *v, size_t n, fm_cpu_level level);

/** One row of R, G, B to B, G, R, or back; dst may be the source. */
void fm__rgb_row_turn(uint8_t *dst, const uint8_t *src, size_t n);

#endif
