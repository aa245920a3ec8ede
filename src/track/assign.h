// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Who gets whom: the cheapest assignment of rows (tracks) to columns (detections), each at most once. Pairs
 * may be forbidden, and a pair that costs more than leaving its row alone is not made. Costs come as a list
 * of the allowed pairs, since after gating most are not, or as a full matrix. Pure; one owner. */
#ifndef FM_TRACK_ASSIGN_H
#define FM_TRACK_ASSIGN_H

#include <framemill/api.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** One allowed pair. */
typedef struct fm__pair {
    int32_t row, col;
    double cost; // no NaN; metrics tell costs apart that a float would not
} fm__pair;

/** Working memory; zeroed before first use. It only grows, so that a steady state allocates nothing. */
typedef struct fm__assign {
    size_t rows, cols, pairs; // there is room for
    // by row
    uint32_t *first; // [rows + 1] of its edges
    uint32_t *tree;  // rows of the present search tree
    double *u;       // dual
    // by column
    int32_t *row_of, *from; // its row; the row it was reached from
    uint32_t *reached;      // columns of the present search, scanned ones at the end
    double *v, *dist;       // dual; length of the shortest path to it, < 0: not reached
    // by edge
    uint32_t *edge_col;
    double *edge_cost;
} fm__assign;

/** Room for so many; false: no memory, what was there still is. */
bool fm__assign_reserve(fm__assign *a, size_t rows, size_t cols, size_t pairs) FM_MUST_USE;
void fm__assign_done(fm__assign *a);

/** Minimises the cost of all made pairs + limit x rows left alone.
 *  @param pairs  [n] in any order, no pair twice; room for them was reserved. Those over limit are forbidden.
 *  @param limit  INFINITY: as many pairs as possible, and of these assignments the cheapest.
 *  @param col_of_row  [rows] the answer, -1: alone.
 *  The same answer for the same input, ties included. O(rows x (pairs + cols^2)) at worst; a search visits
 * only what is connected to its row. */
void fm__assign_pairs(fm__assign *a, const fm__pair *pairs, size_t n, size_t rows, size_t cols, double limit,
    int32_t *col_of_row);
/** The same for a full matrix [rows][cols], room for rows x cols pairs; forbidden pairs cost INFINITY. */
void fm__assign_dense(
    fm__assign *a, const float *cost, size_t rows, size_t cols, double limit, int32_t *col_of_row);

#endif
