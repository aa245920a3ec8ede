// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Entropy coding on vectors: the coefficients of some blocks that have a symbol are pressed together, each
 * with its position. A mask bit set at the first zero behind the last coefficient makes the end of the block
 * (run 0, size 0), one set sixteen behind the one before a run of sixteen zeros (run 15, size 0). Some
 * symbols at a time then find their codes by one gather, and neighbours are joined twice, so that the bit
 * writer, which takes one after the other, has a fourth of the work. */
#ifndef FM_OPS_JPEG_SYMBOLS_H
#define FM_OPS_JPEG_SYMBOLS_H

#include "ops/jpeg_huff.h"

enum {
    CHUNK = 32,  // blocks whose symbols lie ready at a time
    CHROMA = 64, // added to the positions of chroma
    ROOM = CHUNK * FM__JPEG_BLOCK + FM__JPEG_BLOCK,
};

typedef struct symbols {
    uint8_t positions[64 + ROOM]; // the first 64 only so that there is one before the first
    int16_t values[ROOM];
    size_t count;
} symbols;

// Bits sixteen behind the one before, wherever more zeros than fifteen follow.
static inline uint64_t mark_long_runs(uint64_t mask)
{
    uint64_t out = mask;
    int last = 0;
    for (uint64_t m = mask & (mask - 1); m; m &= m - 1) {
        int k = __builtin_ctzll(m);
        for (last += 16; last < k; last += 16) {
            out |= (uint64_t)1 << last;
        }
        last = k;
    }
    return out;
}

static inline uint64_t mark_symbols(uint64_t mask)
{
    int last = 63 - __builtin_clzll(mask);
    uint64_t within = ((uint64_t)2 << last) - 1, near = mask | mask >> 1;
    near |= near >> 2;
    near |= near >> 4;
    near |= near >> 8; // one of this bit and the 15 above is set
    uint64_t out = __builtin_expect((~near & within) != 0, 0) ? mark_long_runs(mask) : mask;
    return out | ((uint64_t)1 << last) << 1;
}

/** As many blocks as CHUNK holds, then their symbols: with `press` and `code_all` of the level. */
typedef void press_fn(
    symbols *s, const int16_t *coefs, const uint8_t *order, uint64_t mask, bool chroma, int16_t *dc);
typedef void code_all_fn(fm__jpeg_bits *b, symbols *s, const uint32_t *codes);

static inline __attribute__((always_inline)) size_t encode_chunks(
    const fm__jpeg_scan *scan, fm__jpeg_state *state, uint8_t *out, press_fn *press, code_all_fn *code_all)
{
    fm__jpeg_bits b = {state->bits, state->held, out};
    symbols s;
    s.positions[63] = 0;
    s.count = 0;
    for (int i = 0, blocks = 0; i < scan->units; i++) {
        for (int k = 0; k < scan->count; k++) {
            const fm__jpeg_lane *l = &scan->lanes[k];
            ptrdiff_t at = (ptrdiff_t)i * l->step;
            press(&s, l->coefs + at * FM__JPEG_BLOCK, scan->order, l->masks[at], l->component > 0,
                &state->dc[l->component]);
        }
        blocks += scan->count;
        if (blocks > CHUNK - FM__JPEG_UNIT_BLOCKS || i + 1 == scan->units) {
            code_all(&b, &s, scan->codes);
            blocks = 0;
        }
    }
    state->bits = b.acc;
    state->held = b.held;
    return (size_t)(b.at - out);
}

#endif
