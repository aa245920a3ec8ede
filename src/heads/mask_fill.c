// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Bilinear widening, separable: per row of the mask two rows of the grid are blended (a few cells), then the
// blend is spread over the row's pixels and compared with the threshold, which gives bits at once; no picture
// of numbers at the frame's size is ever written. Sampling is that of PyTorch's interpolate with
// align_corners off: cells have their number at the centre, beyond the outermost centres it stays what it is
// there. Columns are taken in strips so that tables and working memory do not grow with the frame. The
// threshold comes after the interpolation of raw numbers: a sigmoid in between would cost an exponential a
// pixel.

#include "heads/mask_fill.h"

#include <math.h>

#define STRIP 1024 // columns; a multiple of 64, so that every strip starts on a whole word of bits
#define ROWS 8 // blended before they are widened: a load right behind a store of another width waits for it

/** Columns of one strip; padded for the kernels. */
typedef struct strip {
    int32_t cell[STRIP + FM_MASK_STEP];
    float t[STRIP + FM_MASK_STEP];
} strip;

// Floats of a blended row, with what is read beyond its last cell.
static size_t row_size(int grid_w)
{
    return (size_t)grid_w + 2 * FM_MASK_STEP;
}

size_t fm__mask_fill_scratch(int grid_w)
{
    return sizeof(strip) + ROWS * row_size(grid_w) * sizeof(float);
}

// The cell at or before a position, and the share of the next one.
static int split(fm_grid_axis axis, int i, int cells, float *t)
{
    double pos = axis.first + i * axis.step;
    pos = !(pos > 0) ? 0 : pos > cells - 1 ? cells - 1 : pos; // a NaN goes to 0
    int cell = (int)pos;
    *t = (float)(pos - cell);
    return cell;
}

static void set_columns(strip *s, fm_grid_axis axis, int from, int n, int cells)
{
    for (int i = 0; i < n; i++)
        s->cell[i] = split(axis, from + i, cells, &s->t[i]);
    for (int i = n; i < n + FM_MASK_STEP; i++) {
        s->cell[i] = s->cell[n - 1];
        s->t[i] = 0;
    }
}

/** What the rows of a mask have in common. */
typedef struct fill {
    const fm_grid *grid;
    fm_grid_axis y;
    float threshold;
    strip *columns;
    int n;        // columns of the strip
    float *blend; // [ROWS][row_size]
    const fm_mask_kernels *k, *widen;
} fill;

// The cells under the strip at a row of the mask, and one more, of the same number, behind the last.
static void blend_row(const fill *f, int row, float *blend)
{
    float t;
    int from = f->columns->cell[0], last = f->columns->cell[f->n - 1] + 1;
    int to = last < f->grid->w ? last : f->grid->w - 1, cell = split(f->y, row, f->grid->h, &t);
    const float *a = f->grid->v + (size_t)cell * (size_t)f->grid->w;
    const float *b = cell + 1 < f->grid->h ? a + f->grid->w : a;
    f->k->lerp(a + from, b + from, t, (size_t)(to - from + 1), blend + from);
    blend[to + 1] = blend[to];
}

// `count` rows of one strip of the mask, at most ROWS.
static void fill_rows(const fill *f, int top, int count, uint8_t *bits, int stride)
{
    size_t size = row_size(f->grid->w);
    for (int row = 0; row < count; row++)
        blend_row(f, top + row, f->blend + (size_t)row * size);
    for (int row = 0; row < count; row++)
        f->widen->bits(f->blend + (size_t)row * size, f->columns->cell, f->columns->t, f->threshold,
            (size_t)f->n, bits + (size_t)(top + row) * (size_t)stride);
}

void fm__mask_fill(const fm_grid *grid, fm_grid_axis x, fm_grid_axis y, float threshold, const fm_mask *mask,
    uint8_t *bits, void *scratch, const fm_mask_kernels *k)
{
    fill f = {.grid = grid,
        .y = y,
        .threshold = threshold,
        .columns = scratch,
        .blend = (float *)((strip *)scratch + 1),
        .k = k,
        // the SIMD forms need that sixteen pixels lie within sixteen cells
        .widen = x.step <= 1 ? k : &fm__mask_scalar};
    for (size_t i = 0; i < ROWS * row_size(grid->w); i++)
        f.blend[i] = 0; // what is read beyond the last cell must be something
    for (int from = 0; from < mask->width; from += STRIP) {
        f.n = mask->width - from < STRIP ? mask->width - from : STRIP;
        set_columns(f.columns, x, from, f.n, grid->w);
        for (int top = 0; top < mask->height; top += ROWS)
            fill_rows(&f, top, mask->height - top < ROWS ? mask->height - top : ROWS, bits + from / 8,
                mask->stride);
    }
}
