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

/** Columns of one strip; padded for the kernels. */
typedef struct strip {
    int32_t cell[STRIP + FM_MASK_STEP];
    float t[STRIP + FM_MASK_STEP];
} strip;

size_t fm__mask_fill_scratch(int grid_w)
{
    return sizeof(strip) + ((size_t)grid_w + 2 * FM_MASK_STEP) * sizeof(float);
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

// Cells `from` to `to` of the grid at a row of the mask, and one more, of the same number, behind the last.
static void blend_row(
    const fm_grid *grid, fm_grid_axis axis, int row, int from, int to, float *blend, const fm_mask_kernels *k)
{
    float t;
    int cell = split(axis, row, grid->h, &t);
    const float *a = grid->v + (size_t)cell * (size_t)grid->w;
    const float *b = cell + 1 < grid->h ? a + grid->w : a;
    k->lerp(a + from, b + from, t, (size_t)(to - from + 1), blend + from);
    blend[to + 1] = blend[to];
}

void fm__mask_fill(const fm_grid *grid, fm_grid_axis x, fm_grid_axis y, float threshold, const fm_mask *mask,
    uint8_t *bits, void *scratch, const fm_mask_kernels *k)
{
    strip *s = scratch;
    float *blend = (float *)(s + 1);
    // the SIMD forms need that sixteen pixels lie within sixteen cells
    const fm_mask_kernels *widen = x.step <= 1 ? k : &fm__mask_scalar;
    for (int i = 0; i < grid->w + 2 * FM_MASK_STEP; i++)
        blend[i] = 0; // what is read beyond the last cell must be something
    for (int from = 0; from < mask->width; from += STRIP) {
        int n = mask->width - from < STRIP ? mask->width - from : STRIP;
        set_columns(s, x, from, n, grid->w);
        int last = s->cell[n - 1] + 1 < grid->w ? s->cell[n - 1] + 1 : grid->w - 1;
        for (int row = 0; row < mask->height; row++) {
            blend_row(grid, y, row, s->cell[0], last, blend, k);
            widen->bits(blend, s->cell, s->t, threshold, (size_t)n,
                bits + (size_t)row * (size_t)mask->stride + from / 8);
        }
    }
}
