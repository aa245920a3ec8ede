// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The tables behind fm__heads_kernels(). */
#ifndef FM_HEADS_KERNELS_SIMD_H
#define FM_HEADS_KERNELS_SIMD_H

#include "heads/kernels.h"

extern const fm_heads_kernels fm__heads_scalar;
#if defined(__x86_64__)
extern const fm_heads_kernels fm__heads_avx2;
#endif

#endif
