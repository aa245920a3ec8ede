// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What AVX-512 without VBMI2 takes from the JPEG encoder's AVX2. */
#ifndef FM_OPS_JPEG_AVX2_H
#define FM_OPS_JPEG_AVX2_H

#include "ops/jpeg_kernels.h"

size_t fm__jpeg_encode_avx2(const fm__jpeg_scan *scan, fm__jpeg_state *state, uint8_t *out);

#endif
