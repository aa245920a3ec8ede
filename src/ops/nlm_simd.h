// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Non-local means, the inner steps of every SIMD level: nlm_avx2.c and nlm_avx512.c bring the vector and its
// operations and include this. nlm_scalar.c says what each step computes.

#ifndef FM_OPS_NLM_SIMD_H
#define FM_OPS_NLM_SIMD_H

// Kernels are written once for any number of planes; each copy must know its own.
#define ALWAYS_INLINE inline __attribute__((always_inline))

enum { VEC = VEC_LANES * 2 }; // u16 of a vector

// Constants of the weight, in registers.
typedef struct weigher {
    vec times, scale, offset, lift;
} weigher;

/* ---- column sums ---- */

// How squares are rounded; none where shift is 0, which the compiler is to know.
typedef struct rounding {
    vec half;
    __m128i shift;
} rounding;

static rounding rounding_of(const fm__nlm_coef *c)
{
    return (rounding){set1_16((uint16_t)((1 << c->square_shift) >> 1)), _mm_cvtsi32_si128(c->square_shift)};
}

// Rows of one parity, from the first column on, b displaced. Everything else lies at a fixed distance.
typedef struct source {
    const uint16_t *a, *b;
} source;

static source source_of(const fm__nlm_row *a, const fm__nlm_row *b, int parity, int lane)
{
    return (source){fm__nlm_pixels(a, 0, FM__NLM_SAME, parity) - 2 * FM__NLM_EDGE,
        fm__nlm_pixels(b, 0, FM__NLM_PAIR, parity) - 2 * FM__NLM_EDGE + 2 * lane};
}

static ALWAYS_INLINE vec square(const uint16_t *a, const uint16_t *b, const rounding *r, bool is_scaled)
{
    vec d = sub16(load(a), load(b)), q = mullo(d, d);
    return is_scaled ? shift_right(add16(q, r->half), r->shift) : q;
}

static ALWAYS_INLINE vec difference(
    const source *from, int row, size_t i, const rounding *r, int planes, bool is_scaled)
{
    const size_t plane = FM__NLM_KINDS * 2 * FM__NLM_PITCH * 2;
    const size_t at = (size_t)row * (size_t)planes * plane + i;
    vec d = square(from->a + at, from->b + at, r, is_scaled);
    return planes == 1 ? d : adds(d, square(from->a + at + plane, from->b + at + plane, r, is_scaled));
}

enum { COLUMN_ROW = FM__NLM_COLUMNS * 2 }; // u16 of a row of column sums

static ALWAYS_INLINE void start_pair(
    const fm__nlm_strip *s, const fm__nlm_row *a, const fm__nlm_row *b, int k, int planes)
{
    const rounding r = rounding_of(s->coef);
    for (int parity = 0; parity < 2; parity++) {
        uint16_t *state = (uint16_t *)s->state + (k * FM__NLM_SLOTS * 2 + parity) * COLUMN_ROW;
        source from = source_of(a, b, parity, s->first + k);
        for (size_t i = 0; i < 2 * (size_t)(s->lanes + 2 * FM__NLM_EDGE); i += VEC) {
            vec pair[3];
            for (int j = 0; j < 3; j++) {
                vec odd = difference(&from, 2 * j + 1, i, &r, planes, true);
                pair[j] = adds(difference(&from, 2 * j, i, &r, planes, true), odd);
                store(state + (3 + j) * 2 * COLUMN_ROW + i, odd);
            }
            store(state + i, adds(adds(pair[0], pair[1]), pair[2]));
            store(state + 2 * COLUMN_ROW + i, pair[1]);
            store(state + 4 * COLUMN_ROW + i, pair[2]);
        }
    }
}

static void start(const fm__nlm_strip *s, const fm__nlm_row *a, const fm__nlm_row *b)
{
    for (int k = 0; k < s->pairs; k++) {
        if (s->planes == 1) {
            start_pair(s, a, b, k, 1);
        } else {
            start_pair(s, a, b, k, 2);
        }
    }
}

// One vector of one parity: two rows in, column sums of two rows of patches out. Slots are taken in turn.
static ALWAYS_INLINE void advance(
    uint16_t *three, size_t pair1, size_t pair2, size_t row1, vec row6, vec row7, vec sum[2])
{
    vec pair = adds(row6, row7), next = adds(adds(load(three + pair1), load(three + pair2)), pair);
    sum[0] = adds(load(three), row6);
    sum[1] = adds(load(three + row1), next);
    store(three, next);
    store(three + pair1, pair);
    store(three + row1, row7);
}

static ALWAYS_INLINE void columns_pair(const fm__nlm_strip *s, const fm__nlm_row *a, const fm__nlm_row *b,
    int step, int k, int planes, bool is_scaled)
{
    const rounding r = rounding_of(s->coef);
    const size_t row1 = (size_t)(3 + step % 3) * 2 * COLUMN_ROW;
    const size_t pair1 = (size_t)(1 + step % 2) * 2 * COLUMN_ROW, pair2 = 6 * COLUMN_ROW - pair1;
    uint16_t *state = (uint16_t *)s->state + k * FM__NLM_SLOTS * 2 * COLUMN_ROW;
    uint16_t *upper = (uint16_t *)s->columns + k * FM__NLM_SUMS * COLUMN_ROW;
    uint16_t *lower = upper + FM__NLM_PAIRS * FM__NLM_SUMS * COLUMN_ROW;
    const source even = source_of(a, b, 0, s->first + k), odd = source_of(a, b, 1, s->first + k);
    const size_t count = 2 * (size_t)(s->lanes + 2 * FM__NLM_EDGE);
    for (size_t i = 0; i < count; i += VEC) {
        vec sum0[2], sum1[2];
        advance(state + i, pair1, pair2, row1, difference(&even, 0, i, &r, planes, is_scaled),
            difference(&even, 1, i, &r, planes, is_scaled), sum0);
        advance(state + COLUMN_ROW + i, pair1, pair2, row1, difference(&odd, 0, i, &r, planes, is_scaled),
            difference(&odd, 1, i, &r, planes, is_scaled), sum1);
        store(upper + i, sum0[0]);
        store(upper + COLUMN_ROW + i, sum1[0]);
        store(upper + 2 * COLUMN_ROW + i, adds(sum0[0], sum1[0]));
        store(lower + i, sum0[1]);
        store(lower + COLUMN_ROW + i, sum1[1]);
        store(lower + 2 * COLUMN_ROW + i, adds(sum0[1], sum1[1]));
    }
}

static void columns(const fm__nlm_strip *s, const fm__nlm_row *a, const fm__nlm_row *b, int step)
{
    const bool is_scaled = s->coef->square_shift > 0;
    for (int k = 0; k < s->pairs; k++) {
        if (s->planes == 1 && !is_scaled) {
            columns_pair(s, a, b, step, k, 1, false);
        } else if (s->planes == 1) {
            columns_pair(s, a, b, step, k, 1, true);
        } else {
            columns_pair(s, a, b, step, k, 2, true);
        }
    }
}

/* ---- weights, and the pixels that a patch is compared with ---- */

static ALWAYS_INLINE vec weight(vec below, const weigher *w, bool is_small)
{
    vec above = mulhi(is_small ? mullo(below, w->times) : below, w->scale), x = add16(above, w->offset);
    vec y = add16(mulhi_round(x, x), w->lift);
    y = mulhi(y, y);
    y = mulhi(y, y);
    return where_positive(mulhi_round(y, y), above);
}

// Sums of one block of both parities while the pairs of displacements pass by.
typedef struct block {
    vec num[2][2], den[2];
} block;

// Weights of one pair of displacements, and their products with pixels: `pixels` of plane 0 and parity 0.
static ALWAYS_INLINE void take(block *b, const vec w[2], const uint16_t *pixels, int planes)
{
    for (int parity = 0; parity < 2; parity++) {
        b->den[parity] = add16(b->den[parity], w[parity]);
        for (int p = 0; p < planes; p++) {
            vec v = load(pixels + (p * FM__NLM_KINDS * 2 + parity) * FM__NLM_PITCH * 2);
            b->num[p][parity] = add32(b->num[p][parity], madd(w[parity], v));
        }
    }
}

static ALWAYS_INLINE block empty_block(void)
{
    const vec zero = set1_16(0);
    return (block){{{zero, zero}, {zero, zero}}, {zero, zero}};
}

static ALWAYS_INLINE void add_block(const block *b, const fm__nlm_sums *sums, ptrdiff_t lane, int planes)
{
    const vec low = set1_32(0xffff);
    for (int parity = 0; parity < 2; parity++) {
        uint32_t *den = sums->den[parity] + lane;
        vec both = add32(and_bits(b->den[parity], low), shift_right_32(b->den[parity], 16));
        store(den, add32(load(den), both));
        for (int p = 0; p < planes; p++) {
            uint32_t *num = sums->num[p][parity] + lane;
            store(num, add32(load(num), b->num[p][parity]));
        }
    }
}

// What is left of the bound under the patch sums of one vector, by parity; `sums` are the even column sums.
static ALWAYS_INLINE void below_bound(const uint16_t *sums, vec bound, vec below[2])
{
    const uint16_t *odd = sums + COLUMN_ROW, *both = odd + COLUMN_ROW;
    vec three = adds(adds(load(both + 2), load(both + 6)), load(both + 4));
    below[0] = subs(bound, adds(three, load(odd + 8)));
    below[1] = subs(bound, adds(three, load(sums)));
}

static ALWAYS_INLINE uint32_t weigh_block(const fm__nlm_strip *s, const uint16_t *sums,
    const uint16_t *pixels, uint16_t *weights, const weigher *w, block *acc, int planes, bool is_summed,
    bool is_small)
{
    uint32_t live = 0;
    for (int k = 0; k < s->pairs; k++) {
        vec below[2];
        below_bound(sums, set1_32(s->bounds[k]), below);
        if (is_zero(or_bits(below[0], below[1]))) {
            store(weights, set1_16(0));
            store(weights + 2 * FM__NLM_PITCH, set1_16(0));
        } else {
            vec both[2] = {weight(below[0], w, is_small), weight(below[1], w, is_small)};
            store(weights, both[0]);
            store(weights + 2 * FM__NLM_PITCH, both[1]);
            live |= 1U << k;
            if (is_summed) {
                take(acc, both, pixels, planes);
            }
        }
        sums += FM__NLM_SUMS * COLUMN_ROW;
        weights += 2 * FM__NLM_PITCH * 2;
        pixels += 2;
    }
    return live;
}

static ALWAYS_INLINE void weigh_row(const fm__nlm_strip *s, int row, const fm__nlm_row *b,
    const fm__nlm_sums *out, int planes, bool is_summed, bool is_small)
{
    const fm__nlm_coef *c = s->coef;
    const weigher w = {set1_16(c->times), set1_16(c->scale), set1_16(c->offset), set1_16(c->lift)};
    const uint16_t *sums = (const uint16_t *)s->columns + row * FM__NLM_PAIRS * FM__NLM_SUMS * COLUMN_ROW;
    const uint16_t *pixels = fm__nlm_pixels(b, 0, FM__NLM_PAIR, 0) + 2 * s->first;
    uint16_t *weights = fm__nlm_weights(s, 0, 0);
    uint32_t *live = s->live + FM__NLM_LIVE_PAD;
    for (int lane = 0; lane < s->lanes; lane += VEC_LANES) {
        block acc = empty_block();
        *live++ = weigh_block(
            s, sums + 2 * lane, pixels + 2 * lane, weights + 2 * lane, &w, &acc, planes, is_summed, is_small);
        if (is_summed) {
            add_block(&acc, out, lane, planes);
        }
    }
}

static void weigh(const fm__nlm_strip *s, int row, const fm__nlm_row *b, const fm__nlm_sums *sums)
{
    const bool is_small = s->coef->times > 1;
    if (!sums) {
        weigh_row(s, row, b, sums, 1, false, true);
    } else if (s->planes == 1 && is_small) {
        weigh_row(s, row, b, sums, 1, true, true);
    } else if (s->planes == 1) {
        weigh_row(s, row, b, sums, 1, true, false);
    } else {
        weigh_row(s, row, b, sums, 2, true, true);
    }
}

/* ---- the other ends of the displacements ---- */

// Lanes on from `even` of both parities: low halves of the own parity, high halves of the pixel before.
static ALWAYS_INLINE void swapped_weights(const uint16_t *even, vec w[2])
{
    vec odd = load(even + 2 * FM__NLM_PITCH);
    w[0] = blend_odd(load(even), odd);
    w[1] = blend_odd(odd, load(even - 2));
}

static ALWAYS_INLINE void spread_row(
    const fm__nlm_strip *s, const fm__nlm_row *a, const fm__nlm_sums *sums, int planes)
{
    const uint16_t *pixels = fm__nlm_pixels(a, 0, FM__NLM_SWAP, 0), *weights = fm__nlm_weights(s, 0, 0);
    const uint32_t *live = s->live + FM__NLM_LIVE_PAD;
    // Weights from lane - first - pairs on, up to lane - first + VEC_LANES - 1, end up at `lane`.
    for (int n = 0; n < s->lanes + s->pairs; n += VEC_LANES, live++) {
        const int lane = n + s->first;
        uint32_t pairs = live[-1] | live[0];
        if (pairs == 0) {
            continue;
        }
        block acc = empty_block();
        const uint16_t *w = weights + 2 * n, *v = pixels + 2 * n;
        for (; pairs; pairs >>= 1, w += 4 * FM__NLM_PITCH - 2, v -= 2) {
            if (pairs & 1) {
                vec both[2];
                swapped_weights(w, both);
                take(&acc, both, v, planes);
            }
        }
        add_block(&acc, sums, lane, planes);
    }
}

static void spread(const fm__nlm_strip *s, const fm__nlm_row *a, const fm__nlm_sums *sums)
{
    if (s->planes == 1) {
        spread_row(s, a, sums, 1);
    } else {
        spread_row(s, a, sums, 2);
    }
}

/* ---- the mean ---- */

static ALWAYS_INLINE vec quotient(const uint32_t *num, const uint32_t *den, vec pixel, vec self)
{
    return divide_round(add32(load(num), mullo32(pixel, self)), add32(load(den), self));
}

static void divide(uint8_t *dst, const uint8_t *src, int count, uint32_t self, uint32_t *const num[2],
    uint32_t *const den[2])
{
    const vec weight = set1_32(self), low = set1_32(0xff);
    for (int x = 0, i = 0; x < count; x += VEC, i += VEC_LANES) {
        vec pixels = widen_16(src + x);
        vec even = quotient(num[0] + i, den[0] + i, and_bits(pixels, low), weight);
        vec odd = quotient(num[1] + i + 1, den[1] + i + 1, shift_right_32(pixels, 8), weight);
        store_low_16(dst + x, or_bits(even, shift_left_32(odd, 8)));
    }
}

const fm__nlm_kernels TABLE = {
    .start = start,
    .columns = columns,
    .weigh = weigh,
    .spread = spread,
    .divide = divide,
};

#endif
