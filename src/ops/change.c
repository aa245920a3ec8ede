// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Block means of luma, and their differences. What is left over at the right and lower edge belongs to the
// last block of its row or column.

#include "ops/change.h"

#include "frame/frame.h"

#include <stdbool.h>
#include <stdlib.h>

enum { BLOCKS = 48, LEAST_BLOCK = 8, MOST_BLOCK = 256 };

fm__change_grid fm__change_grid_of(int width, int height)
{
    int longer = width > height ? width : height, block = longer / BLOCKS;
    block = block < LEAST_BLOCK ? LEAST_BLOCK : block > MOST_BLOCK ? MOST_BLOCK : block;
    fm__change_grid g = {.block = block, .columns = width / block, .rows = height / block};
    g.columns = g.columns > 0 ? g.columns : 1;
    g.rows = g.rows > 0 ? g.rows : 1;
    return g;
}

static uint32_t sum_bytes(const uint8_t *p, int n)
{
    uint32_t sum = 0;
    for (int i = 0; i < n; i++) {
        sum += p[i];
    }
    return sum;
}

static uint32_t sum_green(const uint8_t *p, int n)
{
    uint32_t sum = 0;
    for (int i = 0; i < n; i++) {
        sum += p[3 * i + 1];
    }
    return sum;
}

// The end of block i of n.
static int end_of(int i, int n, int block, int size)
{
    return i + 1 < n ? (i + 1) * block : size;
}

static uint16_t mean_of(const fm_frame_view *v, int x0, int x1, int y0, int y1)
{
    bool rgb = fm__pixfmt_is_rgb(v->format);
    uint64_t sum = 0, pixels = (uint64_t)(y1 - y0) * (uint64_t)(x1 - x0);
    for (int y = y0; y < y1; y++) {
        const uint8_t *row = v->plane[0] + (ptrdiff_t)y * v->stride[0];
        sum += rgb ? sum_green(row + 3 * (ptrdiff_t)x0, x1 - x0) : sum_bytes(row + x0, x1 - x0);
    }
    return (uint16_t)((sum * FM_CHANGE_SCALE + pixels / 2) / pixels);
}

void fm__change_means(const fm__change_grid *g, const fm_frame_view *view, uint16_t *means)
{
    for (int r = 0; r < g->rows; r++) {
        int y1 = end_of(r, g->rows, g->block, view->height);
        for (int c = 0; c < g->columns; c++) {
            int x1 = end_of(c, g->columns, g->block, view->width);
            means[r * g->columns + c] = mean_of(view, c * g->block, x1, r * g->block, y1);
        }
    }
}

int fm__change_median(const fm__change_grid *g, const uint16_t *a, const uint16_t *b)
{
    enum { MOST = 16 * FM_CHANGE_SCALE };
    uint32_t histogram[MOST + 1] = {0}, n = (uint32_t)(g->rows * g->columns), seen = 0;
    for (uint32_t i = 0; i < n; i++) {
        int d = abs((int)a[i] - (int)b[i]);
        histogram[d < MOST ? d : MOST]++;
    }
    for (int d = 0;; d++) {
        seen += histogram[d];
        if (2 * seen >= n) {
            return d;
        }
    }
}

size_t fm__change_count(
    const fm__change_grid *g, const uint16_t *a, const uint16_t *b, int limit, uint8_t *changed)
{
    size_t n = (size_t)g->rows * (size_t)g->columns, count = 0;
    for (size_t i = 0; i < n; i++) {
        changed[i] = abs((int)a[i] - (int)b[i]) > limit;
        count += changed[i];
    }
    return count;
}
