// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Entropy coding in plain C, for the files that compile it for their CPU level; and the constants of the
 * DCT. */
#ifndef FM_OPS_JPEG_HUFF_H
#define FM_OPS_JPEG_HUFF_H

#include "ops/jpeg_kernels.h"

#include <string.h>

/** Of the DCT, times 2^15. */
enum {
    FM__DCT_C1 = 32138,        // cos(pi / 16)
    FM__DCT_S1 = 6393,         // sin(pi / 16)
    FM__DCT_C3 = 27246,        // cos(3 pi / 16)
    FM__DCT_S3 = 18205,        // sin(3 pi / 16)
    FM__DCT_C2 = 10045,        // sqrt(2) cos(pi / 8), less 1
    FM__DCT_S2 = 17734,        // sqrt(2) sin(pi / 8)
    FM__DCT_R2 = 13573,        // sqrt(2), less 1
    FM__DCT_QUARTER = 8192,    // 1 / 4
    FM__DCT_LEVEL = 128 * 128, // the level shift of eight samples, times 16
};

/** Where bits go: `held` (0..7) of the lowest bits of acc are not stored yet; what is above is stale. */
typedef struct fm__jpeg_bits {
    uint64_t acc;
    unsigned held;
    uint8_t *at;
} fm__jpeg_bits;

/** len <= 57. Stores eight bytes whatever len is; no branch. */
static inline void bits_add(fm__jpeg_bits *b, uint64_t code, unsigned len)
{
    b->acc = b->acc << len | code;
    b->held += len;
    uint64_t word = b->acc << (-b->held & 63);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    memcpy(b->at, &word, sizeof(word));
    b->at += b->held >> 3;
    b->held &= 7;
}

/** Asks for the next row of blocks, as far as this one tells where it lies, every 64 samples. */
static inline void look_ahead(const uint8_t *const rows[8], ptrdiff_t x0)
{
    uintptr_t on = 8 * ((uintptr_t)rows[1] - (uintptr_t)rows[0]) + (uintptr_t)x0;
    for (int y = 0; y < 8 && x0 % 64 == 0; y++) {
        __builtin_prefetch((const void *)((uintptr_t)rows[y] + on));
    }
}

static inline void split_pairs(uint8_t *restrict u, uint8_t *restrict v, const uint8_t *restrict uv, int n)
{
    for (int i = 0; i < n; i++) {
        u[i] = uv[2 * i];
        v[i] = uv[2 * i + 1];
    }
}

#endif
