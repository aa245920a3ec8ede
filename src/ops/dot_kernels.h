// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The order of a dot product's additions, which all levels keep so that all give the same bits: lane l of
 * sixteen sums the products at l, l + 16, l + 32 ..., multiplied and added apart (no fused operation); then
 * lanes l and l + 8 are added, of the eight sums l and l + 4, then l and l + 2, then the two. */
#ifndef FM_OPS_DOT_KERNELS_H
#define FM_OPS_DOT_KERNELS_H

#include <stddef.h>

typedef float fm__dot_max_fn(const float *rows, size_t count, size_t stride, const float *q, size_t n);

#if defined(__x86_64__)
fm__dot_max_fn fm__dot_max_avx2, fm__dot_max_avx512;
#endif

#endif
