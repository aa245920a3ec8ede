// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The best so far: bounded heaps whose top is the worst of them. */
#ifndef FM_SEARCH_RANK_H
#define FM_SEARCH_RANK_H

#include "search/index.h"

/** Nearer first, then the smaller id. */
bool fm__hit_before(fm__hit a, fm__hit b);

/** Keeps the k first hits. @param heap  [k]; *count of them are there */
void fm__rank_push(fm__hit *heap, size_t *count, size_t k, fm__hit hit);
/** Turns such a heap into a list, first hit first. */
void fm__rank_sort(fm__hit *heap, size_t count);
/** Keeps the k smallest numbers. */
void fm__rank_push_float(float *heap, size_t *count, size_t k, float v);

#endif
