// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Kernels of the nearest neighbour scan. Pure.
 *
 *  A vector x of `dim` floats is kept twice: as it is, and as 8 bit codes with x ~ scale * c + mid, c[i] in
 *  -128..127, in the file c + 128. Let x' be what the codes say, and q' the same for a query. Then
 *
 *      |q - x|  >=  |q' - x'| - |q - q'| - |x - x'|                                    (triangle inequality)
 *
 *  and |q' - x'|^2 follows from whole numbers: with q' = t d + u, x' = s c + m and the sums taken over i,
 *      q' . x' = t s sum(d c) + t m sum(d) + u sum(x'),    |q' - x'|^2 = |q'|^2 + |x'|^2 - 2 q' . x'.
 *  A vector whose lower bound is above k upper bounds cannot be among the k nearest: its floats are never
 * read. This arithmetic is in float. With G = |s c| + |m| sqrt(dim) for a vector and likewise for a query,
 * every term is at most Gq Gx, and fewer than 22 roundings of 2^-24 of (Gq^2 + Gx^2) add up: `blur`, 2^-19
 * G^2 of each side, covers them.
 *
 *  Codes lie in panels of 16 vectors: [dim / 4 rounded up][16][4] bytes, so that one register holds four
 * codes of each of sixteen vectors, and sums need no adding across. */
#ifndef FM_OPS_SCAN_H
#define FM_OPS_SCAN_H

#include "base/cpu.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FM_SCAN_PANEL 16 // vectors of a panel

/** What stands beside the codes: [slots] each. */
typedef struct fm__scan_quant {
    float *scale, *mid; // x' = scale * c + mid
    float *norm2;       // |x'|^2
    float *sum;         // of x'
    float *residual;    // >= |x - x'|
    float *blur;        // >= 2^-19 G^2
} fm__scan_quant;

/** A query, quantised the same way. */
typedef struct fm__scan_query {
    const int8_t *codes; // [groups * 4], zeros behind dim
    int32_t code_sum;
    float scale, mid, norm2, residual, blur;
    float scaled_sum; // scale * code_sum
} fm__scan_query;

/** The number of groups of four codes. */
static inline size_t fm__scan_groups(size_t dim)
{
    return (dim + 3) / 4;
}

/** Quantises a vector into its place in a panel. Squares of its numbers must add up to at most 1e36.
 *  @param panel  codes of the panel; lane  0..15; slot  where in `q` its numbers go */
void fm__scan_put(
    uint8_t *panel, size_t lane, const float *x, size_t dim, const fm__scan_quant *q, size_t slot);
/** @param codes  [groups * 4], kept by the query */
void fm__scan_query_init(fm__scan_query *q, int8_t *codes, const float *x, size_t dim);

/** Squared distance in float. The order of additions is part of the contract, the same at every level: lane l
 *  of sixteen sums the squared differences at l, l + 16, ... (squared and added apart), then lanes l and l +
 * 8 are added, l and l + 4, l and l + 2, and the last two.
 *  @param stride  a multiple of 16, zeros behind dim in both */
float fm__scan_l2(const float *a, const float *b, size_t stride, fm_cpu_level level);

/** Levels of the code kernel; all give the same bits. */
typedef enum fm__scan_level {
    FM_SCAN_SCALAR,
    FM_SCAN_AVX2,
    FM_SCAN_VNNI, // AVX-512 with VNNI
    FM_SCAN_LEVEL_COUNT
} fm__scan_level;
fm__scan_level fm__scan_best_level(void);

#define FM_SCAN_TILE 8 // queries of a call at most

/** Codes of `panels` panels against `count` queries.
 *  @param live  [panels] a bit a vector: the others are not looked at
 *  @param reach  [count] distances (not squared, may be INFINITY)
 *  @param masks  [panels][count] out: bit l where vector l may be nearer than the query's reach: its lower
 *  bound is not above it
 *  @param near2  [panels][count][16] out where a mask is not 0: |q' - x'|^2 */
typedef struct fm__scan_run {
    const uint8_t *codes;
    size_t groups, panels;
    const fm__scan_quant *quant;
    size_t slot; // of the first panel's first vector in quant
    const uint16_t *live;
    const fm__scan_query *queries;
    size_t count;
    const float *reach;
    uint16_t *masks;
    float *near2;
} fm__scan_run;
void fm__scan_codes(const fm__scan_run *run, fm__scan_level level);

/** Sums of products of a query's codes with codes that lie row by row: dots[i] is the sum over rows[i][j] *
 *  query[j], whole numbers. What a graph walks by: a few vectors from anywhere, one query.
 *  @param rows  [count] -> [length] codes + 128, aligned to 64
 *  @param query  [length]; zeros behind dim, so that what stands there in a row does not matter
 *  @param length  a multiple of FM_SCAN_ROW */
#define FM_SCAN_ROW 64
void fm__scan_dots(const uint8_t *const *rows, size_t count, const int8_t *query, size_t length,
    int32_t *dots, fm__scan_level level);

/** Bounds of the true distance (not squared) from near2. */
float fm__scan_lower(const fm__scan_query *q, const fm__scan_quant *x, size_t slot, float near2);
float fm__scan_upper(const fm__scan_query *q, const fm__scan_quant *x, size_t slot, float near2);

#endif
