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

/** `codes` begins at the component's table. */
static inline void add_symbol(fm__jpeg_bits *b, const uint32_t *codes, int run, int value)
{
    int sign = value < 0 ? -1 : 0;
    unsigned size = 31 - (unsigned)__builtin_clz(2 * (unsigned)((value ^ sign) - sign) + 1);
    uint32_t code = codes[run * 16 + (int)size];
    bits_add(b, code >> 5 | ((uint32_t)(value + sign) & ((1U << size) - 1)), code & 31);
}

static inline void encode_block(fm__jpeg_bits *b, const uint32_t *codes, const int16_t *coefs,
    const uint8_t *order, uint64_t mask, int16_t *dc)
{
    int before = *dc, last = 0;
    *dc = mask ? coefs[0] : *dc;
    add_symbol(b, codes, FM__JPEG_DC_RUN, *dc - before);
    for (mask &= ~(uint64_t)1; mask; mask &= mask - 1) {
        int k = __builtin_ctzll(mask), run = k - last - 1;
        for (; run >= 16; run -= 16) {
            add_symbol(b, codes, 15, 0);
        }
        add_symbol(b, codes, run, coefs[order[k]]);
        last = k;
    }
    if (last < FM__JPEG_BLOCK - 1) {
        add_symbol(b, codes, 0, 0);
    }
}

static inline size_t encode_units(const fm__jpeg_scan *s, fm__jpeg_state *state, uint8_t *out)
{
    fm__jpeg_bits b = {state->bits, state->held, out};
    for (int i = 0; i < s->units; i++) {
        for (int k = 0; k < s->count; k++) {
            const fm__jpeg_lane *l = &s->lanes[k];
            const int16_t *coefs = l->coefs + (ptrdiff_t)i * l->step * FM__JPEG_BLOCK;
            encode_block(&b, s->codes + (l->component ? FM__JPEG_CODES : 0), coefs, s->order,
                l->masks[(ptrdiff_t)i * l->step], &state->dc[l->component]);
        }
    }
    state->bits = b.acc;
    state->held = b.held;
    return (size_t)(b.at - out);
}

static inline void split_pairs(uint8_t *restrict u, uint8_t *restrict v, const uint8_t *restrict uv, int n)
{
    for (int i = 0; i < n; i++) {
        u[i] = uv[2 * i];
        v[i] = uv[2 * i + 1];
    }
}

#endif
