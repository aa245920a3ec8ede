// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Non-local means, the inner steps in plain C: what the other levels must compute, bit by bit.

#include "ops/nlm_kernels.h"

#include <string.h>

static inline uint16_t add(uint16_t a, uint16_t b)
{
    uint32_t sum = (uint32_t)a + b;
    return sum > 0xffff ? 0xffff : (uint16_t)sum;
}

static inline uint16_t square(uint16_t a, uint16_t b, int shift)
{
    int d = (int)a - (int)b;
    return (uint16_t)((d * d + (shift ? 1 << (shift - 1) : 0)) >> shift);
}

static inline uint16_t high(uint16_t a, uint16_t b)
{
    return (uint16_t)((uint32_t)a * b >> 16);
}

static inline uint16_t high_round(uint16_t a, uint16_t b)
{
    return (uint16_t)(((uint32_t)a * b + 0x4000) >> 15);
}

static inline uint16_t weight(uint16_t sum, uint16_t bound, const fm__nlm_coef *c)
{
    if (sum >= bound) {
        return 0;
    }
    uint16_t above = high((uint16_t)((bound - sum) * c->times), c->scale), x = (uint16_t)(above + c->offset);
    uint16_t y = (uint16_t)(high_round(x, x) + c->lift);
    y = high(y, y);
    y = high(y, y);
    return above ? high_round(y, y) : 0;
}

// Squared difference of element i of two rows, counted from the strip's first column; b is displaced.
static inline uint16_t difference(
    const fm__nlm_strip *s, const fm__nlm_row *a, const fm__nlm_row *b, int k, int parity, int i)
{
    uint16_t sum = 0;
    for (int p = 0; p < s->planes; p++) {
        uint16_t near = fm__nlm_pixels(a, p, FM__NLM_SAME, parity)[i - 2 * FM__NLM_EDGE];
        uint16_t far = fm__nlm_pixels(b, p, FM__NLM_PAIR, parity)[i - 2 * FM__NLM_EDGE + 2 * (s->first + k)];
        sum = add(sum, square(near, far, s->coef->square_shift));
    }
    return sum;
}

static int columns_of(const fm__nlm_strip *s)
{
    return 2 * (s->lanes + 2 * FM__NLM_EDGE);
}

static uint16_t *slot(const fm__nlm_strip *s, int k, int index, int parity)
{
    return (uint16_t *)(s->state + ((k * FM__NLM_SLOTS + index) * 2 + parity) * FM__NLM_COLUMNS);
}

static uint16_t *column_sums(const fm__nlm_strip *s, int row, int k, int kind)
{
    return (uint16_t *)(s->columns + ((row * FM__NLM_PAIRS + k) * FM__NLM_SUMS + kind) * FM__NLM_COLUMNS);
}

static void start(const fm__nlm_strip *s, const fm__nlm_row *a, const fm__nlm_row *b)
{
    const int row = s->planes * FM__NLM_KINDS * 2 * FM__NLM_PITCH;
    for (int k = 0; k < s->pairs; k++) {
        for (int parity = 0; parity < 2; parity++) {
            for (int i = 0; i < columns_of(s); i++) {
                uint16_t pair[3];
                for (int j = 0; j < 3; j++) {
                    const int at = 2 * j * row;
                    uint16_t odd = difference(s, a + at + row, b + at + row, k, parity, i);
                    pair[j] = add(difference(s, a + at, b + at, k, parity, i), odd);
                    slot(s, k, 3 + j, parity)[i] = odd;
                }
                slot(s, k, 0, parity)[i] = add(add(pair[0], pair[1]), pair[2]);
                slot(s, k, 1, parity)[i] = pair[1];
                slot(s, k, 2, parity)[i] = pair[2];
            }
        }
    }
}

// The window of seven rows moves by two: with pairs of rows p, three of them t, S(even) = t + r6 and
// S(odd) = r1 + t', where t' = p1 + p2 + (r6 + r7).
static void columns(const fm__nlm_strip *s, const fm__nlm_row *a, const fm__nlm_row *b, int step)
{
    const int row = s->planes * FM__NLM_KINDS * 2 * FM__NLM_PITCH;
    for (int k = 0; k < s->pairs; k++) {
        for (int parity = 0; parity < 2; parity++) {
            uint16_t *t = slot(s, k, 0, parity), *r1 = slot(s, k, 3 + step % 3, parity);
            uint16_t *p1 = slot(s, k, 1 + step % 2, parity), *p2 = slot(s, k, 2 - step % 2, parity);
            for (int i = 0; i < columns_of(s); i++) {
                uint16_t r6 = difference(s, a, b, k, parity, i);
                uint16_t r7 = difference(s, a + row, b + row, k, parity, i), pair = add(r6, r7);
                column_sums(s, 0, k, parity)[i] = add(t[i], r6);
                t[i] = add(add(p1[i], p2[i]), pair);
                column_sums(s, 1, k, parity)[i] = add(r1[i], t[i]);
                p1[i] = pair;
                r1[i] = r7;
            }
        }
        for (int y = 0; y < 2; y++) {
            for (int i = 0; i < columns_of(s); i++) {
                column_sums(s, y, k, 2)[i] = add(column_sums(s, y, k, 0)[i], column_sums(s, y, k, 1)[i]);
            }
        }
    }
}

static uint32_t dot(const uint16_t w[2], const uint16_t v[2])
{
    return (uint32_t)w[0] * v[0] + (uint32_t)w[1] * v[1];
}

static void gather(const fm__nlm_strip *s, const fm__nlm_row *b, const fm__nlm_sums *sums, int k)
{
    for (int parity = 0; parity < 2; parity++) {
        const uint16_t *w = fm__nlm_weights(s, k, parity);
        for (int i = 0; i < s->lanes; i++) {
            sums->den[parity][i] += (uint32_t)w[2 * i] + w[2 * i + 1];
            for (int p = 0; p < s->planes; p++) {
                const uint16_t *v = fm__nlm_pixels(b, p, FM__NLM_PAIR, parity);
                sums->num[p][parity][i] += dot(w + 2 * i, v + 2 * (i + s->first + k));
            }
        }
    }
}

static void weigh(const fm__nlm_strip *s, int row, const fm__nlm_row *b, const fm__nlm_sums *sums)
{
    for (int k = 0; k < s->pairs; k++) {
        const uint16_t *even = column_sums(s, row, k, 0), *odd = column_sums(s, row, k, 1);
        const uint16_t *both = column_sums(s, row, k, 2);
        uint16_t bound[2];
        memcpy(bound, &s->bounds[k], sizeof(bound));
        for (int i = 0; i < 2 * s->lanes; i++) {
            uint16_t three = add(add(both[i + 2], both[i + 4]), both[i + 6]); // pixels 2i - 3 to 2i + 2
            fm__nlm_weights(s, k, 0)[i] = weight(add(three, odd[i + 8]), bound[i & 1], s->coef);
            fm__nlm_weights(s, k, 1)[i] = weight(add(three, even[i]), bound[i & 1], s->coef);
        }
        if (sums) {
            gather(s, b, sums, k);
        }
    }
}

// Pixel z takes the low half from the patch at z - dx, the high half from that at z - dx - 1, which is of the
// other parity.
static void spread(const fm__nlm_strip *s, const fm__nlm_row *a, const fm__nlm_sums *sums)
{
    for (int k = 0; k < s->pairs; k++) {
        const uint16_t *even = fm__nlm_weights(s, k, 0), *odd = fm__nlm_weights(s, k, 1);
        for (int n = 0; n <= s->lanes; n++) {
            const uint16_t w[2][2] = {{even[2 * n], odd[2 * n + 1]}, {odd[2 * n], even[2 * n - 1]}};
            for (int parity = 0; parity < 2; parity++) {
                const int to = n + s->first + k;
                sums->den[parity][to] += (uint32_t)w[parity][0] + w[parity][1];
                for (int p = 0; p < s->planes; p++) {
                    const uint16_t *v = fm__nlm_pixels(a, p, FM__NLM_SWAP, parity);
                    sums->num[p][parity][to] += dot(w[parity], v + 2 * n);
                }
            }
        }
    }
}

static uint8_t quotient(uint32_t num, uint32_t den)
{
    return (uint8_t)(int32_t)((float)(int32_t)num / (float)(int32_t)den + 0.5F);
}

static void divide(uint8_t *dst, const uint8_t *src, int count, uint32_t self, uint32_t *const num[2],
    uint32_t *const den[2])
{
    for (int x = 0; x < count; x++) {
        int parity = x & 1, i = (x + 1) / 2;
        dst[x] = quotient(num[parity][i] + self * src[x], den[parity][i] + self);
    }
}

const fm__nlm_kernels fm__nlm_scalar = {
    .start = start,
    .columns = columns,
    .weigh = weigh,
    .spread = spread,
    .divide = divide,
};
