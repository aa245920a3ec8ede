// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The inner steps of non-local means, one table for each CPU level, the same bits at each; the scalar table
 * is the definition. nlm.c says how they are put together.
 *
 *  A *lane* is 32 bits: two u16, of displacement (dx, dy) and (dx + 1, dy), dx even. Even and odd pixels lie
 * in rows of their own (parity 0 and 1): lane i of parity 0 is pixel 2i, of parity 1 pixel 2i - 1. Sums of
 * u16 saturate: they never fall, and past the bound every weight is zero, so a saturated sum is as good as
 * the true one. */
#ifndef FM_OPS_NLM_KERNELS_H
#define FM_OPS_NLM_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum {
    FM__NLM_PAIRS = 6,  // of displacements at a time, at most; the first-level cache sets it
    FM__NLM_REACH = 5,  // lanes that a displacement goes to either side, at most
    FM__NLM_STRIP = 64, // lanes of a strip, at most; a multiple of
    FM__NLM_LANES = 16, // the widest vector
    FM__NLM_EDGE = 2,   // lanes to either side that a strip's patches cover
    FM__NLM_COLUMNS = FM__NLM_STRIP + FM__NLM_LANES, // lanes of a row of column sums
    FM__NLM_MARGIN = 16,                             // lanes before a strip and
    FM__NLM_TAIL = 32, // behind it that may be read in rows of pixels and weights
    FM__NLM_PIXEL_MARGIN =
        FM__NLM_MARGIN + FM__NLM_EDGE, // of pixels, so that a patch's first column is aligned
    FM__NLM_PITCH = FM__NLM_MARGIN + FM__NLM_STRIP + FM__NLM_TAIL,
    FM__NLM_SLOTS = 6,    // of a pair's vertical state: three pairs of rows, 2 pairs of rows, 3 rows
    FM__NLM_SUMS = 3,     // kinds of column sums: parity 0, parity 1, both together
    FM__NLM_LIVE_PAD = 1, // word before and behind the words of live blocks
};

/** Kinds of pixel rows: each pixel twice; with its right neighbour; with its left one. */
enum { FM__NLM_SAME, FM__NLM_PAIR, FM__NLM_SWAP, FM__NLM_KINDS };

/** Weight of a patch sum s: a = max(bound - s, 0) * times * scale >> 16, 0 where a is 0, else with x = a +
 * offset and y = (x * x rounded >> 15) + lift, y squared three times: >> 16, >> 16, rounded >> 15. Squares of
 * differences are shifted right by square_shift, rounded. */
typedef struct fm__nlm_coef {
    uint16_t bound;
    uint16_t times; // bound * times is just below 2^16
    uint16_t scale, offset, lift;
    int square_shift;
} fm__nlm_coef;

/** A row of pixels: [planes][FM__NLM_KINDS][2 parities][FM__NLM_PITCH] lanes; the next row follows. */
typedef uint32_t fm__nlm_row;

/** One row of accumulators by parity, from the strip's first lane on; num by plane. */
typedef struct fm__nlm_sums {
    uint32_t *num[2][2], *den[2];
} fm__nlm_sums;

/** One strip of pixels and one row of the search window. */
typedef struct fm__nlm_strip {
    const fm__nlm_coef *coef;
    int planes;
    int lanes;
    int pairs;
    int first;              // lane that pair 0 is displaced by; pair k: first + k
    const uint32_t *bounds; // [pairs] coef.bound in both halves, 0 in a half that must weigh nothing
    uint32_t *state;        // [pairs][FM__NLM_SLOTS][2 parities][FM__NLM_COLUMNS]
    uint32_t *columns;      // [2 rows][FM__NLM_PAIRS][FM__NLM_SUMS][FM__NLM_COLUMNS]
    uint32_t *weights;      // [pairs][2 parities][FM__NLM_PITCH], of zeros where no strip is
    uint32_t *live; // [FM__NLM_LIVE_PAD + blocks + FM__NLM_LIVE_PAD] which pairs have a weight, by vector
} fm__nlm_strip;

typedef struct fm__nlm_kernels {
    /** Starts the vertical state of every pair from six rows. */
    void (*start)(const fm__nlm_strip *s, const fm__nlm_row *a, const fm__nlm_row *b);
    /** Takes two rows more and makes the column sums of two rows of patches. step counts from 0. */
    void (*columns)(const fm__nlm_strip *s, const fm__nlm_row *a, const fm__nlm_row *b, int step);
    /** Column sums of row 0 or 1 to patch sums to weights; with `sums`, pixels b times weights are added. */
    void (*weigh)(const fm__nlm_strip *s, int row, const fm__nlm_row *b, const fm__nlm_sums *sums);
    /** The other ends: pixels a times the weights of the last weigh, displaced. */
    void (*spread)(const fm__nlm_strip *s, const fm__nlm_row *a, const fm__nlm_sums *sums);
    /** dst[x] = (num + self * src[x]) / (den + self), rounded, from pixel 0 on, in whole vectors: reads and
     * writes up to 2 * FM__NLM_LANES pixels past count. */
    void (*divide)(uint8_t *dst, const uint8_t *src, int count, uint32_t self, uint32_t *const num[2],
        uint32_t *const den[2]);
} fm__nlm_kernels;

/** First lane of a strip in a row of pixels, as pairs of u16. */
static inline const uint16_t *fm__nlm_pixels(const fm__nlm_row *row, int plane, int kind, int parity)
{
    return (const uint16_t *)(row + ((plane * FM__NLM_KINDS + kind) * 2 + parity) * FM__NLM_PITCH +
                              FM__NLM_PIXEL_MARGIN);
}

/** First lane of a strip in pair k's row of weights. */
static inline uint16_t *fm__nlm_weights(const fm__nlm_strip *s, int k, int parity)
{
    return (uint16_t *)(s->weights + (2 * k + parity) * FM__NLM_PITCH + FM__NLM_MARGIN);
}

extern const fm__nlm_kernels fm__nlm_scalar;
#if defined(__x86_64__)
extern const fm__nlm_kernels fm__nlm_avx2;
extern const fm__nlm_kernels fm__nlm_avx512;
#endif

#endif
