// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Masks and class maps are painted run by run: of a row's bits the stretches that are set, of a row's class
// ids those that are equal, so that a tinted surface costs one table look-up a pixel. The edge of a mask is
// the mask without its erosion by a 3 x 3 square, once a step (Serra, "Image Analysis and Mathematical
// Morphology", 1982), on 64 pixels at a time.

#include "ops/draw_mask.h"

#include <string.h>

/** What a sample becomes under a colour, by how many of its four pixels are covered. */
typedef struct tint {
    uint8_t to[256];
} tint;

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

static void make_tint(tint *t, uint8_t c, unsigned alpha)
{
    for (unsigned v = 0; v < 256; v++)
        t->to[v] = (uint8_t)((v * (255 - alpha) + c * alpha + 127) / 255);
}

static void tint_run(uint8_t *row, int from, int to, const tint *t)
{
    for (int x = from; x < to; x++)
        row[x] = t->to[row[x]];
}

static uint64_t word_at(const uint8_t *row, int word)
{
    uint64_t w;
    memcpy(&w, row + (size_t)word * sizeof w, sizeof w);
    return w;
}

// First column from `from` on whose bit is `bit`, or `n`.
static int find_bit(const uint8_t *row, int from, int n, int bit)
{
    uint64_t flip = bit ? 0 : UINT64_MAX, w = 0;
    int word = from / 64;
    if (from < n)
        w = (word_at(row, word) ^ flip) & (UINT64_MAX << from % 64);
    while (w == 0 && ++word * 64 < n)
        w = word_at(row, word) ^ flip;
    return w == 0 ? n : min_int(word * 64 + __builtin_ctzll(w), n);
}

static bool lies_inside(const fm_canvas *canvas, const fm_mask *m)
{
    return m->width > 0 && m->height > 0 && m->x >= 0 && m->y >= 0 && m->x + m->width <= canvas->width &&
           m->y + m->height <= canvas->height;
}

static void tint_luma(const fm_canvas *canvas, const fm_mask *m, const tint *t)
{
    for (int y = 0; y < m->height; y++) {
        const uint8_t *bits = m->bits + (size_t)y * (size_t)m->stride;
        uint8_t *row = canvas->plane[0] + (ptrdiff_t)(m->y + y) * canvas->stride[0] + m->x;
        for (int to = 0, from; (from = find_bit(bits, to, m->width, 1)) < m->width;) {
            to = find_bit(bits, from, m->width, 0);
            tint_run(row, from, to, t);
        }
    }
}

// 64 bits of row y of the frame from its column x on; what lies outside of the mask is 0.
static uint64_t bits_at(const fm_mask *m, int x, int y)
{
    int i = x - m->x, words = m->stride / 8;
    if (y < m->y || y >= m->y + m->height || i <= -64 || i >= m->stride * 8)
        return 0;
    const uint8_t *row = m->bits + (size_t)(y - m->y) * (size_t)m->stride;
    if (i < 0)
        return word_at(row, 0) << -i;
    int word = i / 64, shift = i % 64;
    uint64_t low = word_at(row, word) >> shift;
    return shift > 0 && word + 1 < words ? low | word_at(row, word + 1) << (64 - shift) : low;
}

/** What the two chroma planes' samples become, by how many of their four pixels are covered. */
typedef struct chroma_tint {
    tint u[5], v[5];
} chroma_tint;

enum { SAMPLES = 32 }; // of 64 pixels

// `n` samples whose pixels' bits are a in the upper row and b in the lower.
static void tint_samples(uint8_t *u, uint8_t *v, int n, uint64_t a, uint64_t b, const chroma_tint *t)
{
    if ((a & b) == UINT64_MAX) {
        tint_run(u, 0, n, &t->u[4]);
        tint_run(v, 0, n, &t->v[4]);
        return;
    }
    for (int i = 0; i < n && (a | b) != 0; i++, a >>= 2, b >>= 2) {
        uint64_t covered = (a & 1) + (a >> 1 & 1) + (b & 1) + (b >> 1 & 1);
        u[i] = t->u[covered].to[u[i]];
        v[i] = t->v[covered].to[v[i]];
    }
}

static void tint_chroma(const fm_canvas *canvas, const fm_mask *m, const chroma_tint *t)
{
    int end = (m->x + m->width + 1) / 2;
    for (int cy = m->y / 2; cy <= (m->y + m->height - 1) / 2; cy++) {
        uint8_t *u = canvas->plane[1] + (ptrdiff_t)cy * canvas->stride[1];
        uint8_t *v = canvas->plane[2] + (ptrdiff_t)cy * canvas->stride[2];
        for (int cx = m->x / 2; cx < end; cx += SAMPLES) {
            uint64_t a = bits_at(m, 2 * cx, 2 * cy), b = bits_at(m, 2 * cx, 2 * cy + 1);
            tint_samples(u + cx, v + cx, min_int(SAMPLES, end - cx), a, b, t);
        }
    }
}

void fm__draw_bits(const fm_canvas *canvas, const fm_mask *mask, fm_yuv c, uint8_t alpha)
{
    tint y;
    chroma_tint t;
    if (!lies_inside(canvas, mask))
        return;
    make_tint(&y, c.y, alpha);
    for (unsigned n = 0; n < 5; n++) {
        make_tint(&t.u[n], c.u, alpha * n / 4);
        make_tint(&t.v[n], c.v, alpha * n / 4);
    }
    tint_luma(canvas, mask, &y);
    tint_chroma(canvas, mask, &t);
}

/* ---- edges ---- */

size_t fm__mask_edge_scratch(const fm_mask *mask)
{
    return 2 * (size_t)mask->stride * (size_t)mask->height;
}

// Sides of a mask where the frame ends.
typedef struct open_sides {
    bool left, right, top, bottom;
} open_sides;

// A row eroded along itself. The last word's unused bits are made like the frame's outside.
static void erode_row(const uint8_t *row, int width, const open_sides *open, uint64_t *out)
{
    int words = (width + 63) / 64;
    uint64_t unused = width % 64 ? UINT64_MAX << width % 64 : 0, before = open->left;
    for (int i = 0; i < words; i++) {
        bool is_last = i + 1 == words;
        uint64_t w = word_at(row, i), next = is_last ? open->right : word_at(row, i + 1);
        if (is_last && open->right)
            w |= unused;
        out[i] = w & (w << 1 | before) & (w >> 1 | next << 63);
        before = w >> 63;
        if (is_last)
            out[i] &= ~unused;
    }
}

// src eroded into dst: along rows first, then each with its neighbours, in place from the top.
static void erode(const fm_mask *m, const uint8_t *src, uint8_t *dst, const open_sides *open)
{
    int words = m->stride / 8;
    for (int y = 0; y < m->height; y++)
        erode_row(src + (size_t)y * (size_t)m->stride, m->width, open,
            (uint64_t *)(void *)(dst + (size_t)y * (size_t)m->stride));
    for (int i = 0; i < words; i++) {
        uint64_t *at = (uint64_t *)(void *)dst + i, above = open->top ? UINT64_MAX : 0;
        for (int y = 0; y < m->height; y++, at += words) {
            uint64_t here = *at, below = y + 1 < m->height ? at[words] : open->bottom ? UINT64_MAX : 0;
            *at = above & here & below;
            above = here;
        }
    }
}

fm_mask fm__mask_edge(const fm_mask *mask, int thickness, int width, int height, void *scratch)
{
    open_sides open = {
        mask->x == 0, mask->x + mask->width == width, mask->y == 0, mask->y + mask->height == height};
    size_t size = (size_t)mask->stride * (size_t)mask->height;
    uint8_t *one = scratch, *other = one + size;
    memcpy(one, mask->bits, size);
    for (int i = 0; i < thickness; i++) {
        erode(mask, one, other, &open);
        uint8_t *swap = one;
        one = other;
        other = swap;
    }
    for (size_t i = 0; i < size; i++)
        one[i] = mask->bits[i] & (uint8_t)~one[i];
    fm_mask edge = *mask;
    edge.bits = one;
    return edge;
}

/* ---- class maps ---- */

static void paint_row(
    uint8_t *row, const uint8_t *ids, int n, int step, const tint *tints, const fm_class_paint *colors)
{
    for (int x = 0; x < n;) {
        int from = x;
        uint8_t id = ids[x * step];
        while (x < n && ids[x * step] == id)
            x++;
        if (colors[id].paint)
            tint_run(row, from, x, &tints[id]);
    }
}

static uint8_t component(fm_yuv c, int plane)
{
    return plane == 0 ? c.y : plane == 1 ? c.u : c.v;
}

// A chroma sample goes by its upper left pixel.
void fm__draw_class_map(
    const fm_canvas *canvas, const fm_class_map *map, const fm_class_paint *colors, uint8_t alpha)
{
    static const int shifts[3] = {0, 1, 1};
    tint tints[FM_CLASS_UNSEEN + 1];
    int width = min_int(canvas->width, map->width), height = min_int(canvas->height, map->height);
    for (int p = 0; p < 3; p++) {
        int step = 1 << shifts[p];
        for (int c = 0; c <= FM_CLASS_UNSEEN; c++) {
            if (colors[c].paint)
                make_tint(&tints[c], component(colors[c].c, p), alpha);
        }
        for (int y = 0; y < height; y += step)
            paint_row(canvas->plane[p] + (ptrdiff_t)(y / step) * canvas->stride[p],
                map->ids + (size_t)y * (size_t)map->stride, (width + step - 1) / step, step, tints, colors);
    }
}
