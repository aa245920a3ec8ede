// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Contrast limited adaptive histogram equalisation after Zuiderveld, "Contrast limited adaptive histogram
// equalization" (Graphics Gems IV, 1994), in the form of OpenCV's CLAHE (4.11): tiles filled up by the mirror
// image, the excess of a clipped histogram spread evenly and its rest in even steps, tables scaled to 255,
// bilinear between centres. OpenCV interpolates in float, we in fixed point with 7 and 14 bits: 1 level apart
// at most.
//
// Along a row only the shares of the left and right tile change. So the upper and lower tables are mixed once
// for each row and cell between two centres, into pairs of 16 bits for left and right; a pixel then costs one
// lookup and one multiply-add instead of four and six.

#include "ops/clahe.h"

#include "ops/color_kernels.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define BINS 256

void fm__clahe_init(fm__clahe *c, int width, int height, int tiles)
{
    bool is_even = width % tiles == 0 && height % tiles == 0;
    *c = (fm__clahe){.width = width,
        .height = height,
        .tiles = tiles,
        .tile_w = width / tiles + (is_even ? 0 : 1),
        .tile_h = height / tiles + (is_even ? 0 : 1)};
}

/* ---- histograms ---- */

static int mirror(int i, int n)
{
    while (i >= n) {
        i = n == 1 ? 0 : 2 * (n - 1) - i;
        i = i < 0 ? -i : i;
    }
    return i;
}

// Four counters for each value, taken in turn: a counter that was just written is slow to read.
static void count_run(uint32_t part[4][BINS], const uint8_t *row, int n)
{
    int x = 0;
    for (; x + 4 <= n; x += 4) {
        part[0][row[x]]++;
        part[1][row[x + 1]]++;
        part[2][row[x + 2]]++;
        part[3][row[x + 3]]++;
    }
    for (; x < n; x++) {
        part[0][row[x]]++;
    }
}

static void count_tile(
    const fm__clahe *c, const uint8_t *plane, ptrdiff_t stride, int tx, int ty, uint32_t hist[BINS])
{
    uint32_t part[4][BINS] = {{0}};
    int x0 = tx * c->tile_w, x1 = x0 + c->tile_w, inside = x1 < c->width ? x1 : c->width;
    for (int y = ty * c->tile_h; y < (ty + 1) * c->tile_h; y++) {
        const uint8_t *row = plane + mirror(y, c->height) * stride;
        if (inside > x0) {
            count_run(part, row + x0, inside - x0);
        }
        for (int x = inside > x0 ? inside : x0; x < x1; x++) {
            part[0][row[mirror(x, c->width)]]++;
        }
    }
    for (int i = 0; i < BINS; i++) {
        hist[i] = part[0][i] + part[1][i] + part[2][i] + part[3][i];
    }
}

void fm__clahe_count_rows(
    const fm__clahe *c, const uint8_t *plane, ptrdiff_t stride, int ty0, int ty1, uint32_t *hist)
{
    for (int ty = ty0; ty < ty1; ty++) {
        for (int tx = 0; tx < c->tiles; tx++) {
            count_tile(c, plane, stride, tx, ty, hist + (ty * c->tiles + tx) * BINS);
        }
    }
}

void fm__clahe_count(const fm__clahe *c, const uint8_t *plane, ptrdiff_t stride, uint32_t *hist)
{
    fm__clahe_count_rows(c, plane, stride, 0, c->tiles, hist);
}

/* ---- tables ---- */

static void clip(uint32_t hist[BINS], uint32_t limit)
{
    uint32_t excess = 0;
    for (int i = 0; i < BINS; i++) {
        if (hist[i] > limit) {
            excess += hist[i] - limit;
            hist[i] = limit;
        }
    }
    uint32_t each = excess / BINS, rest = excess % BINS;
    for (int i = 0; i < BINS; i++) {
        hist[i] += each;
    }
    uint32_t step = rest && BINS / rest > 1 ? BINS / rest : 1;
    for (uint32_t i = 0; i < BINS && rest > 0; i += step, rest--) {
        hist[i]++;
    }
}

static void clip_to(uint32_t hist[BINS], uint32_t area, double limit)
{
    double most = limit * area / BINS;
    if (limit > 0) {
        clip(hist, most < 1 ? 1 : most > area ? area : (uint32_t)most);
    }
}

static void equalise(const uint32_t hist[BINS], float scale, uint8_t table[BINS])
{
    uint32_t sum = 0;
    for (int i = 0; i < BINS; i++) {
        sum += hist[i];
        long v = lrintf((float)sum * scale);
        table[i] = (uint8_t)(v > 255 ? 255 : v);
    }
}

static void tile_table(const uint32_t counted[BINS], uint32_t area, double limit, const fm__clahe_maps *maps,
    uint8_t table[BINS])
{
    uint32_t hist[BINS] = {0};
    uint8_t equal[BINS];
    for (int i = 0; i < BINS; i++) {
        hist[maps && maps->before ? maps->before[i] : i] += counted[i];
    }
    clip_to(hist, area, limit);
    equalise(hist, 255.0F / (float)area, equal);
    for (int i = 0; i < BINS; i++) {
        uint8_t v = equal[maps && maps->before ? maps->before[i] : i];
        table[i] = maps && maps->after ? maps->after[v] : v;
    }
}

void fm__clahe_tables(
    const fm__clahe *c, const uint32_t *hist, double limit, const fm__clahe_maps *maps, uint8_t *tables)
{
    for (int t = 0; t < c->tiles * c->tiles; t++) {
        tile_table(
            hist + t * BINS, (uint32_t)c->tile_w * (uint32_t)c->tile_h, limit, maps, tables + t * BINS);
    }
}

void fm__clahe_curves(const fm__clahe *c, const uint32_t *hist, double limit, float *curves)
{
    uint32_t area = (uint32_t)c->tile_w * (uint32_t)c->tile_h;
    for (int t = 0; t < c->tiles * c->tiles; t++) {
        uint32_t clipped[BINS], sum = 0;
        memcpy(clipped, hist + t * BINS, sizeof(clipped));
        clip_to(clipped, area, limit);
        for (int i = 0; i < BINS; i++) {
            sum += clipped[i];
            curves[t * BINS + i] = fminf(1, (float)sum / (float)area);
        }
    }
}

/* ---- pixels ---- */

size_t fm__clahe_scratch_size(const fm__clahe *c)
{
    return (BINS * sizeof(uint32_t) + (size_t)c->width * sizeof(int16_t) + 63) / 64 * 64;
}

static int nearest_tile(const fm__clahe *c, int t)
{
    return t < 0 ? 0 : t >= c->tiles ? c->tiles - 1 : t;
}

// First pixel of the cell to the right of centre t - 1: the first x whose x / size - 0.5 reaches t - 1.
static int cell_start(int cell, int size, int len)
{
    int start = cell == 0 ? 0 : (int)ceil((cell - 0.5) * size);
    return start < len ? start : len;
}

static double share(int x, int size)
{
    double at = (double)x / size - 0.5;
    return at - floor(at);
}

void fm__clahe_weights(const fm__clahe *c, int16_t *weights)
{
    for (int x = 0; x < c->width; x++) {
        weights[x] = (int16_t)lrint(16384 * share(x, c->tile_w));
    }
}

void fm__clahe_apply_rows(const fm__clahe *c, const uint8_t *tables, const int16_t *weights,
    const uint8_t *src, ptrdiff_t src_stride, uint8_t *dst, ptrdiff_t dst_stride, int y0, int y1,
    uint32_t pairs[BINS], fm_cpu_level level)
{
    const fm__color_kernels *k = fm__color_kernels_of((int)level);
    for (int y = y0; y < y1; y++) {
        int ty = (int)floor((double)y / c->tile_h - 0.5);
        const uint8_t *upper = tables + nearest_tile(c, ty) * c->tiles * BINS;
        const uint8_t *lower = tables + nearest_tile(c, ty + 1) * c->tiles * BINS;
        int w = (int)lrint(128 * share(y, c->tile_h));
        for (int cell = 0; cell <= c->tiles; cell++) {
            int left = nearest_tile(c, cell - 1) * BINS, right = nearest_tile(c, cell) * BINS;
            int x0 = cell_start(cell, c->tile_w, c->width), x1 = cell_start(cell + 1, c->tile_w, c->width);
            if (x1 > x0) {
                k->mix_tables(pairs, upper + left, lower + left, upper + right, lower + right, w);
                k->mix_pixels(dst + y * dst_stride + x0, src + y * src_stride + x0, (size_t)(x1 - x0), pairs,
                    weights + x0);
            }
        }
    }
}

void fm__clahe_apply(const fm__clahe *c, const uint8_t *tables, const uint8_t *src, ptrdiff_t src_stride,
    uint8_t *dst, ptrdiff_t dst_stride, void *scratch, fm_cpu_level level)
{
    uint32_t *pairs = scratch;
    int16_t *weights = (int16_t *)(pairs + BINS);
    fm__clahe_weights(c, weights);
    fm__clahe_apply_rows(c, tables, weights, src, src_stride, dst, dst_stride, 0, c->height, pairs, level);
}
