// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The JPEG encoder's steps in plain C: the definition that the SIMD levels meet bit by bit.

#include "ops/jpeg_huff.h"

#define V int16_t
#define ADD(a, b) ((int16_t)((a) + (b)))
#define SUB(a, b) ((int16_t)((a) - (b)))
#define MULR(a, c) ((int16_t)(((a) * (c) + (1 << 14)) >> 15))
#define SHL4(a) ((int16_t)((a)*16))
#define SET1(c) ((int16_t)(c))
#define DCT_ONE_BLOCK
#include "ops/jpeg_dct.h"

static int16_t saturate(int v)
{
    return (int16_t)(v < INT16_MIN ? INT16_MIN : v > INT16_MAX ? INT16_MAX : v);
}

static int16_t quantise(const fm__jpeg_quant *q, int i, int x)
{
    unsigned size = (unsigned)(x < 0 ? -x : x);
    unsigned n = ((size + q->half[i]) * q->recip[i] >> 16) * q->scale[i] >> 16;
    n = n < q->most[i] ? n : q->most[i];
    return (int16_t)(x < 0 ? -(int)n : (int)n);
}

static void transform_block(const fm__jpeg_quant *q, const uint8_t *const rows[8], int x0, int16_t *coefs)
{
    int16_t mid[8][8]; // by column
    for (int x = 0; x < 8; x++) {
        for (int y = 0; y < 8; y++) {
            mid[x][y] = SHL4(rows[y][x0 + x]);
        }
        dct_8(mid[x]);
        mid[x][0] = SUB(mid[x][0], FM__DCT_LEVEL);
    }
    for (int v = 0; v < 8; v++) {
        int16_t line[8];
        for (int x = 0; x < 8; x++) {
            line[x] = MULR(mid[x][v], FM__DCT_QUARTER);
        }
        dct_8(line);
        line[0] = saturate(line[0] + q->dc_offset[v]);
        for (int u = 0; u < 8; u++) {
            coefs[u * 8 + v] = quantise(q, u * 8 + v, line[u]);
        }
    }
    coefs[0] = coefs[0] > 1023 ? 1023 : coefs[0]; // it may be -1024
}

static void transform_scalar(const fm__jpeg_tables *t, int chroma, const uint8_t *const rows[8], int groups,
    int16_t *coefs, uint64_t *masks)
{
    for (int i = 0; i < groups * FM__JPEG_GROUP; i++, coefs += FM__JPEG_BLOCK) {
        transform_block(&t->quant[chroma], rows, i * 8, coefs);
        masks[i] = 1;
        for (int k = 1; k < FM__JPEG_BLOCK; k++) {
            masks[i] |= (uint64_t)(coefs[fm__jpeg_zigzag[k]] != 0) << k;
        }
    }
}

// `codes` begins at the component's table.
static void add_symbol(fm__jpeg_bits *b, const uint32_t *codes, int run, int value)
{
    int sign = value < 0 ? -1 : 0;
    unsigned size = 31 - (unsigned)__builtin_clz(2 * (unsigned)((value ^ sign) - sign) + 1);
    uint32_t code = codes[run * 16 + (int)size];
    bits_add(b, code >> 5 | ((uint32_t)(value + sign) & ((1U << size) - 1)), code & 31);
}

static void encode_block(fm__jpeg_bits *b, const uint32_t *codes, const int16_t *coefs, const uint8_t *order,
    uint64_t mask, int16_t *dc)
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

static size_t encode_scalar(const fm__jpeg_scan *s, fm__jpeg_state *state, uint8_t *out)
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

static size_t stuff_scalar(uint8_t *dst, const uint8_t *src, size_t n)
{
    uint8_t *at = dst;
    for (size_t i = 0; i < n; i++) {
        *at++ = src[i];
        if (src[i] == 0xFF) {
            *at++ = 0;
        }
    }
    return (size_t)(at - dst);
}

static void split_scalar(uint8_t *restrict u, uint8_t *restrict v, const uint8_t *restrict uv, int n)
{
    split_pairs(u, v, uv, n);
}

const fm__jpeg_kernels fm__jpeg_scalar = {
    .transform = transform_scalar,
    .encode = encode_scalar,
    .stuff = stuff_scalar,
    .split = split_scalar,
    .order = fm__jpeg_zigzag,
};
