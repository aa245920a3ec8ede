// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Rectangular linear assignment by shortest augmenting paths: R. Jonker, A. Volgenant, "A Shortest Augmenting
// Path Algorithm for Dense and Sparse Linear Assignment Problems", Computing 38, 1987, in the row by row form
// of D. F. Crouse, "On Implementing 2D Rectangular Assignment Algorithms", IEEE TAES 52(4), 2016, on lists of
// edges. Every row has besides its edges a column of its own that costs `limit`: a row that ends there stays
// alone. So a perfect matching of the rows always exists, and cost limits and more rows than columns need no
// padding of the matrix. Nobody else reaches that column, therefore such a row never moves again.
// Rows first take their cheapest column where it is free (dual feasible: u = row minimum, v = 0); for each of
// the others Dijkstra's algorithm over reduced costs finds the shortest path to a free column. The nearest
// column is found by a walk over those reached: after gating there are a handful, and for dense matrices the
// walk costs no more than relaxing a row's edges does.

#include "track/assign.h"

#include "base/alloc.h"

#include <assert.h>
#include <math.h>

enum { ALONE = -1, NONE = -1, WAITS = -2 };

/* ---- memory ---- */

static bool regrow(void *slot, size_t n, size_t size)
{
    void **ptr = slot;
    void *grown = fm__calloc_array(FM_TAG_TRACK, n, size);
    if (grown == NULL)
        return false;
    fm__free(*ptr);
    *ptr = grown;
    return true;
}

// Twice what was there, so that slow growth does not allocate on every frame.
static size_t roomier(size_t had, size_t want)
{
    return want < 2 * had ? 2 * had : (want < 16 ? 16 : want);
}

bool fm__assign_reserve(fm__assign *a, size_t rows, size_t cols, size_t pairs)
{
    if (rows > a->rows) {
        size_t n = roomier(a->rows, rows);
        if (!regrow(&a->first, n + 1, sizeof *a->first) || !regrow(&a->tree, n, sizeof *a->tree) ||
            !regrow(&a->u, n, sizeof *a->u))
            return false;
        a->rows = n;
    }
    if (cols > a->cols) {
        size_t n = roomier(a->cols, cols);
        if (!regrow(&a->row_of, n, sizeof *a->row_of) || !regrow(&a->from, n, sizeof *a->from) ||
            !regrow(&a->reached, n, sizeof *a->reached) || !regrow(&a->v, n, sizeof *a->v) ||
            !regrow(&a->dist, n, sizeof *a->dist))
            return false;
        a->cols = n;
    }
    if (pairs > a->pairs) {
        size_t n = roomier(a->pairs, pairs);
        if (!regrow(&a->edge_col, n, sizeof *a->edge_col) || !regrow(&a->edge_cost, n, sizeof *a->edge_cost))
            return false;
        a->pairs = n;
    }
    return true;
}

void fm__assign_done(fm__assign *a)
{
    void *const blocks[] = {
        a->first, a->tree, a->u, a->row_of, a->from, a->reached, a->v, a->dist, a->edge_col, a->edge_cost};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        fm__free(blocks[i]);
    *a = (fm__assign){0};
}

/* ---- search ---- */

typedef struct path {
    double length;
    int32_t end_col; // a free column, or NONE: row end_row goes to its own
    uint32_t end_row;
    uint32_t tree_len;    // rows searched
    uint32_t reached_len; // columns reached, of which
    uint32_t open_len;    // the first so many were not scanned
} path;

// Edges of a row that entered the tree at distance `at`.
static void relax(fm__assign *a, path *p, uint32_t row, double at)
{
    for (uint32_t e = a->first[row]; e < a->first[row + 1]; e++) {
        uint32_t col = a->edge_col[e];
        double d = at + (a->edge_cost[e] - a->u[row] - a->v[col]);
        if (d < at)
            d = at; // rounding
        if (a->dist[col] < 0) {
            // Between the open ones and the scanned ones.
            a->reached[p->reached_len++] = a->reached[p->open_len];
            a->reached[p->open_len++] = col;
        } else if (d >= a->dist[col]) {
            continue; // scanned ones, too: they lie no farther than `at`
        }
        a->dist[col] = d;
        a->from[col] = (int32_t)row;
    }
}

// Takes the nearest open column, a free one among equals; NONE: all were scanned.
static int32_t nearest(fm__assign *a, path *p)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < p->open_len; i++) {
        double d = a->dist[a->reached[i]], least = a->dist[a->reached[best]];
        if (d < least ||
            (d == least && a->row_of[a->reached[i]] == NONE && a->row_of[a->reached[best]] != NONE))
            best = i;
    }
    if (p->open_len == 0)
        return NONE;
    uint32_t col = a->reached[best];
    a->reached[best] = a->reached[--p->open_len];
    a->reached[p->open_len] = col;
    return (int32_t)col;
}

static path shortest_path(fm__assign *a, uint32_t start, double limit)
{
    path p = {.end_col = NONE, .end_row = start};
    double at = 0, alone = INFINITY; // the best way to end on a row's own column
    uint32_t row = start;
    for (;;) {
        a->tree[p.tree_len++] = row;
        if (at + (limit - a->u[row]) < alone) {
            alone = at + (limit - a->u[row]);
            p.end_row = row;
        }
        relax(a, &p, row, at);
        int32_t col = nearest(a, &p);
        if (col == NONE || a->dist[col] > alone) {
            if (col != NONE)
                p.open_len++; // it was not scanned after all
            p.length = alone;
            return p;
        }
        at = a->dist[col];
        if (a->row_of[col] == NONE) {
            p.end_col = col;
            p.length = at;
            return p;
        }
        row = (uint32_t)a->row_of[col];
    }
}

static void update_duals(fm__assign *a, const path *p, const int32_t *col_of_row)
{
    a->u[a->tree[0]] += p->length;
    for (uint32_t i = 1; i < p->tree_len; i++) {
        uint32_t row = a->tree[i];
        a->u[row] += p->length - a->dist[col_of_row[row]];
    }
    for (uint32_t i = p->open_len; i < p->reached_len; i++) {
        uint32_t col = a->reached[i];
        a->v[col] -= p->length - a->dist[col];
    }
    for (uint32_t i = 0; i < p->reached_len; i++)
        a->dist[a->reached[i]] = -1;
}

// Passes columns on along the path, from its end to the row it began at.
static void augment(fm__assign *a, const path *p, uint32_t start, int32_t *col_of_row)
{
    int32_t col = p->end_col;
    if (col == NONE) {
        col = col_of_row[p->end_row];
        col_of_row[p->end_row] = ALONE;
        if (p->end_row == start)
            return;
    }
    for (;;) {
        uint32_t row = (uint32_t)a->from[col];
        int32_t passed = col_of_row[row];
        a->row_of[col] = (int32_t)row;
        col_of_row[row] = col;
        if (row == start)
            return;
        col = passed;
    }
}

// Every row takes the cheapest it has where that is free; the others wait with u = that cost.
static void take_cheapest(fm__assign *a, size_t rows, double limit, int32_t *col_of_row)
{
    for (uint32_t row = 0; row < rows; row++) {
        int32_t best = NONE;
        double least = limit;
        for (uint32_t e = a->first[row]; e < a->first[row + 1]; e++) {
            double cost = a->edge_cost[e];
            if (cost < least || (cost == least && best == NONE)) {
                least = cost;
                best = (int32_t)a->edge_col[e];
            }
        }
        a->u[row] = least;
        col_of_row[row] = ALONE;
        if (best != NONE && a->row_of[best] == NONE) {
            col_of_row[row] = best;
            a->row_of[best] = (int32_t)row;
        } else if (best != NONE) {
            col_of_row[row] = WAITS;
        }
    }
}

static void solve(fm__assign *a, size_t rows, size_t cols, double limit, int32_t *col_of_row)
{
    for (size_t col = 0; col < cols; col++) {
        a->row_of[col] = NONE;
        a->v[col] = 0;
        a->dist[col] = -1;
    }
    take_cheapest(a, rows, limit, col_of_row);
    for (uint32_t row = 0; row < rows; row++) {
        if (col_of_row[row] != WAITS)
            continue;
        col_of_row[row] = ALONE;
        path p = shortest_path(a, row, limit);
        update_duals(a, &p, col_of_row);
        augment(a, &p, row, col_of_row);
    }
}

/* ---- input ---- */

// A row left alone costs so much that no saving elsewhere can pay for it.
static double finite_limit(double limit, double lo, double hi, size_t rows, size_t cols)
{
    if (limit < INFINITY)
        return limit;
    return lo > hi ? 1 : hi + (hi - lo) * (double)(rows < cols ? rows : cols) + 1;
}

void fm__assign_pairs(fm__assign *a, const fm__pair *pairs, size_t n, size_t rows, size_t cols, double limit,
    int32_t *col_of_row)
{
    assert(rows <= a->rows && cols <= a->cols && n <= a->pairs);
    if (rows == 0)
        return;
    for (size_t row = 0; row <= rows; row++)
        a->first[row] = 0;
    double lo = INFINITY, hi = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        double cost = pairs[i].cost;
        if (cost > limit)
            continue;
        a->first[pairs[i].row]++;
        lo = cost < lo ? cost : lo;
        hi = cost > hi ? cost : hi;
    }
    for (size_t row = 1; row <= rows; row++)
        a->first[row] += a->first[row - 1];
    // From the end, each row filled from its own end: first[] comes out as starts, the order stays.
    for (size_t i = n; i-- > 0;) {
        if (pairs[i].cost > limit)
            continue;
        uint32_t e = --a->first[pairs[i].row];
        a->edge_col[e] = (uint32_t)pairs[i].col;
        a->edge_cost[e] = pairs[i].cost;
    }
    solve(a, rows, cols, finite_limit(limit, lo, hi, rows, cols), col_of_row);
}

void fm__assign_dense(
    fm__assign *a, const float *cost, size_t rows, size_t cols, double limit, int32_t *col_of_row)
{
    assert(rows <= a->rows && cols <= a->cols && rows * cols <= a->pairs);
    if (rows == 0)
        return;
    double lo = INFINITY, hi = -INFINITY;
    uint32_t n = 0;
    for (size_t row = 0; row < rows; row++) {
        a->first[row] = n;
        for (size_t col = 0; col < cols; col++) {
            float c = cost[row * cols + col];
            if (!((double)c <= limit) || isinf(c))
                continue;
            a->edge_col[n] = (uint32_t)col;
            a->edge_cost[n++] = (double)c;
            lo = (double)c < lo ? (double)c : lo;
            hi = (double)c > hi ? (double)c : hi;
        }
    }
    a->first[rows] = n;
    solve(a, rows, cols, finite_limit(limit, lo, hi, rows, cols), col_of_row);
}
