// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** All of nlm16.c but its choice of level: plain loops that the compiler turns into vectors, compiled once
 * for each level, the same bits at each. */
#ifndef FM_OPS_NLM16_ROWS_H
#define FM_OPS_NLM16_ROWS_H

#include "ops/deep.h"

#include <string.h>

enum { RADIUS = 10, PATCH = 3, EDGE = RADIUS + PATCH, WINDOW = 2 * PATCH + 1 };

#define CUT 6.9078F // ln 1000: weights below 0.001 are zero, as OpenCV's

// Everything for one band, in scratch.
typedef struct band {
    const fm__nlm16 *d;
    int y0, rows;
    size_t pitch;        // samples of a padded row
    uint16_t *low[2];    // padded rows of 12 bits, from y0 - EDGE on
    float *full[2];      // the same rows as they are
    float *num[2], *den; // [rows][width]
    int32_t *columns;    // sums of 7 rows
    float *weights;      // of one row
} band;

static size_t pitch_of(const fm__nlm16 *d)
{
    return ((size_t)d->width + 2 * EDGE + 15) / 16 * 16;
}

static int mirror(int i, int n)
{
    while (i < 0 || i >= n) {
        i = n == 1 ? 0 : i < 0 ? -i : 2 * (n - 1) - i;
    }
    return i;
}

static void lay_out(band *b, const fm__nlm16 *d, int y0, int y1, void *scratch)
{
    float *at = scratch;
    *b = (band){.d = d, .y0 = y0, .rows = y1 - y0, .pitch = pitch_of(d)};
    size_t padded = ((size_t)b->rows + 2 * EDGE) * b->pitch, inner = (size_t)b->rows * b->pitch;
    for (int p = 0; p < 2; p++, at += padded) {
        b->full[p] = at;
    }
    for (int p = 0; p < 2; p++, at += inner) {
        b->num[p] = at;
    }
    b->den = at;
    b->columns = (int32_t *)(at + inner);
    b->weights = (float *)(b->columns + b->pitch);
    b->low[0] = (uint16_t *)(b->weights + b->pitch);
    b->low[1] = b->low[0] + padded;
}

static void pad(const band *b)
{
    const fm__nlm16 *d = b->d;
    for (int p = 0; p < d->planes; p++) {
        for (int r = 0; r < b->rows + 2 * EDGE; r++) {
            const uint16_t *row = d->src[p] + (size_t)mirror(b->y0 - EDGE + r, d->height) * (size_t)d->width;
            uint16_t *low = b->low[p] + (size_t)r * b->pitch;
            float *full = b->full[p] + (size_t)r * b->pitch;
            for (int x = 0; x < d->width + 2 * EDGE; x++) {
                uint16_t v = row[mirror(x - EDGE, d->width)];
                low[x] = (uint16_t)((v + 8) >> 4);
                full[x] = v;
            }
        }
    }
}

// Squared differences of padded row r with the one displaced, added to the column sums (sign 1) or taken off.
static void move_columns(const band *b, int r, int dx, int dy, int sign)
{
    int n = b->d->width + 2 * PATCH;
    for (int p = 0; p < b->d->planes; p++) {
        const uint16_t *a = b->low[p] + (size_t)r * b->pitch + RADIUS;
        const uint16_t *c = b->low[p] + (size_t)(r + dy) * b->pitch + RADIUS + dx;
        int32_t *restrict sums = b->columns;
        for (int x = 0; x < n; x++) {
            int32_t t = (int32_t)a[x] - c[x];
            sums[x] += sign * t * t;
        }
    }
}

// Sums past the bound weigh nothing. Without a branch: compilers make vectors of signs, not of choices.
static void weigh(const band *b, float unit, int32_t bound)
{
    const int w = b->d->width;
    const int32_t *restrict c = b->columns;
    float *restrict weights = b->weights;
    for (int x = 0; x < w; x++) {
        int32_t s = c[x] + c[x + 1] + c[x + 2] + c[x + 3] + c[x + 4] + c[x + 5] + c[x + 6];
        int32_t room = bound - s, is_far = (int32_t)((uint32_t)room >> 31);
        float t = (float)(s + (room & -is_far)) * unit * (1.0F / 16);
        float e = 1 - t * (1 - t * (0.5F - t * (1.0F / 6 - t * (1.0F / 24 - t * (1.0F / 120)))));
        e *= e;
        e *= e;
        e *= e;
        e *= e;
        weights[x] = e * (float)(1 - is_far);
    }
}

static void add_weighted(const band *b, int row, int dx, int dy)
{
    const int w = b->d->width;
    const float *restrict e = b->weights;
    float *restrict den = b->den + (size_t)row * b->pitch;
    for (int x = 0; x < w; x++) {
        den[x] += e[x];
    }
    for (int p = 0; p < b->d->planes; p++) {
        const float *restrict v = b->full[p] + (size_t)(row + EDGE + dy) * b->pitch + EDGE + dx;
        float *restrict num = b->num[p] + (size_t)row * b->pitch;
        for (int x = 0; x < w; x++) {
            num[x] += e[x] * v[x];
        }
    }
}

static void displace(const band *b, int dx, int dy, float unit, int32_t bound)
{
    memset(b->columns, 0, b->pitch * sizeof(*b->columns));
    for (int r = 0; r < WINDOW - 1; r++) {
        move_columns(b, RADIUS + r, dx, dy, 1);
    }
    for (int row = 0; row < b->rows; row++) {
        move_columns(b, RADIUS + row + WINDOW - 1, dx, dy, 1);
        weigh(b, unit, bound);
        add_weighted(b, row, dx, dy);
        move_columns(b, RADIUS + row, dx, dy, -1);
    }
}

static void rows_of(const fm__nlm16 *d, int y0, int y1, void *scratch)
{
    band b;
    // One level of 8 bits is 257 of 16, 16.0625 of 12.
    float level = d->h * (257.0F / 16), unit = 1 / (level * level * WINDOW * WINDOW * (float)d->planes);
    int32_t bound = CUT / unit < 2147483520.0F ? (int32_t)(CUT / unit) : INT32_MAX;
    lay_out(&b, d, y0, y1, scratch);
    memset(b.num[0], 0, 3 * (size_t)b.rows * b.pitch * sizeof(float));
    pad(&b);
    for (int dy = -RADIUS; dy <= RADIUS; dy++) {
        for (int dx = -RADIUS; dx <= RADIUS; dx++) {
            displace(&b, dx, dy, unit, bound);
        }
    }
    for (int p = 0; p < d->planes; p++) {
        for (int row = 0; row < b.rows; row++) {
            uint16_t *to = d->dst[p] + (size_t)(y0 + row) * (size_t)d->width;
            for (int x = 0; x < d->width; x++) {
                size_t at = (size_t)row * b.pitch + (size_t)x;
                to[x] = (uint16_t)(b.num[p][at] / b.den[at] + 0.5F);
            }
        }
    }
}

#endif
