// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The levels of the scan, and the arithmetic behind its whole numbers, which all levels do in this order:
 *
 *      cross = (t s) dot + (T m + u S)             T = t sum(d), S = sum(x')
 *      base  = |q'|^2 + |x'|^2
 *      near2 = base - (cross + cross)
 *      far   = reach + (residual_q + residual_x)
 *      hit   = near2 <= (far far) GROWN + (blur_q + blur_x)                                           */
#ifndef FM_OPS_SCAN_KERNELS_H
#define FM_OPS_SCAN_KERNELS_H

#include "ops/scan.h"

#define FM_SCAN_GROWN 1.000002F // more than the roundings of far and its square

typedef void fm__scan_codes_fn(const fm__scan_run *run);
typedef void fm__scan_dots_fn(
    const uint8_t *const *rows, size_t count, const int8_t *query, size_t length, int32_t *dots);
typedef float fm__scan_l2_fn(const float *a, const float *b, size_t stride);

#if defined(__x86_64__)
fm__scan_codes_fn fm__scan_codes_avx2, fm__scan_codes_vnni;
fm__scan_dots_fn fm__scan_dots_avx2, fm__scan_dots_vnni;
fm__scan_l2_fn fm__scan_l2_avx2, fm__scan_l2_avx512;
#endif

#endif
