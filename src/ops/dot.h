// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Dot products of float vectors: similarity of features. Pure; the same bits at every level. */
#ifndef FM_OPS_DOT_H
#define FM_OPS_DOT_H

#include "base/cpu.h"

#include <stddef.h>

/** Sum of a[i] * b[i] for i < n. */
float fm__dot(const float *a, const float *b, size_t n, fm_cpu_level level);

/** Largest dot product of a vector with rows, -INFINITY where there are none; a product that is NaN does not
 * count.
 *  @param rows  [count][stride], the first n of each row
 *  @param q  [n] */
float fm__dot_max(
    const float *rows, size_t count, size_t stride, const float *q, size_t n, fm_cpu_level level);

#endif
