// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The exact scan: the k nearest of every query among the vectors of some blocks.
 *
 *  First all 8 bit codes, tiles of queries against panels of vectors; the bound on what the codes left out
 *  proves most vectors too far. Then the floats of the few that remain. The answer is that of comparing all
 *  floats. */
#ifndef FM_SEARCH_FLAT_H
#define FM_SEARCH_FLAT_H

#include "search/block.h"
#include "search/index.h"
#include "search/team.h"

/** A vector by number: block * FM_BLOCK_SLOTS + slot. */
typedef uint32_t fm__place;

typedef struct fm__flat {
    const fm__block_layout *layout;
    fm__block *const *blocks;
    size_t first, block_count; // blocks first..block_count-1 are scanned
    /** NULL: all that are alive; else a bit a slot, [block_count * FM_BLOCK_PANELS], of those to look at. */
    const uint16_t *allowed;
    /** Not NULL: these only, by their floats at once; for so few that reading all codes would cost more. */
    const fm__place *places;
    size_t place_count;
    fm__team *team;
    fm_cpu_level cpu;
    fm__scan_level level;
} fm__flat;

/** Squared distances, nearest first, ties by id.
 *  @param queries  [nq][stride], zeros behind dim
 *  @param hits  [nq][k], k above 0; counts  [nq]
 *  FORMAT names the block that is damaged. */
fm_status fm__flat_search(const fm__flat *flat, const float *queries, size_t nq, size_t k, fm__hit *hits,
    size_t *counts, fm_error *err) FM_MUST_USE;

#endif
