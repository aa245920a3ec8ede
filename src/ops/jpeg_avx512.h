// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What the JPEG encoder's two sets of AVX-512 share. */
#ifndef FM_OPS_JPEG_AVX512_H
#define FM_OPS_JPEG_AVX512_H

#include "ops/jpeg_kernels.h"

extern const uint8_t fm__jpeg_straight[FM__JPEG_BLOCK]; // the order of blocks in zigzag order
void fm__jpeg_transform_avx512(const fm__jpeg_tables *t, int chroma, const uint8_t *const rows[8], int groups,
    int16_t *coefs, uint64_t *masks);
size_t fm__jpeg_stuff_avx512(uint8_t *dst, const uint8_t *src, size_t n);
void fm__jpeg_split_avx512(uint8_t *restrict u, uint8_t *restrict v, const uint8_t *restrict uv, int n);

#endif
