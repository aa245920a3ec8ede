// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** A graph over vectors in which one comes near a query by stepping from neighbour to neighbour (HNSW:
 * Malkov, Yashunin: Efficient and robust approximate nearest neighbor search using Hierarchical Navigable
 * Small World graphs, 2018). It proposes; whether what it proposes is there, allowed and how far exactly is
 * near.h's.
 *
 *  Nodes are numbered as the vectors of an index lie in it, and come in whole blocks of FM_BLOCK_SLOTS. A
 * node holds its vector's 8 bit codes (ops/scan.h) row by row, for it is met alone, and its neighbours; one
 * record a node, so that a step touches one place of memory. What is near by codes is near: distances by
 * codes are off by less than neighbours differ, and floats decide at the end.
 *
 *  A graph is the same to the bit for any number of threads and on any machine. Walks may run side by side; a
 *  change must be alone. Files are derived, and hostile until checked: a node's checksum is looked at when
 * the node is first met, links out of range are damage wherever they are met. */
#ifndef FM_SEARCH_GRAPH_H
#define FM_SEARCH_GRAPH_H

#include "search/block.h"
#include "search/team.h"

#define FM_GRAPH_MAX_LINKS 64
#define FM_GRAPH_MAX_EFFORT 16384

typedef struct fm__graph_opts {
    size_t dim;
    size_t links;  // M: neighbours of a node on each level, twice as many on the lowest; 2..64, 0: 32
    size_t effort; // nodes kept in view while one is linked; up to FM_GRAPH_MAX_EFFORT, 0: 100
} fm__graph_opts;

typedef struct fm__graph fm__graph;

fm_status fm__graph_new(const fm__graph_opts *opts, fm__graph **out, fm_error *err) FM_MUST_USE;
/** Maps a file, which must be of this dimension; links are as the file says. Its head, upper levels and list
 * of blocks are checked, nodes when they are met. NOTFOUND; FORMAT: damaged, of another version or dimension.
 */
fm_status fm__graph_load(const char *path, size_t dim, fm__graph **out, fm_error *err) FM_MUST_USE;
/** Accepts NULL. */
void fm__graph_free(fm__graph **graph);
/** Writes a file in place of what was there: the old one or the new one is there, never half of one. */
fm_status fm__graph_save(fm__graph *graph, const char *path, fm_error *err) FM_MUST_USE;

/** Between two steps of the work: `done` of `total` vectors are linked. false: stop, CANCELED. */
typedef bool fm__graph_go_on(void *opaque, size_t done, size_t total);

/** Links the vectors of more blocks. On failure the graph is good for nothing but fm__graph_free.
 *  @param blocks  [count] full ones, behind those that are there
 *  @param go_on  NULL: never asked. FORMAT: the graph's file is damaged. */
fm_status fm__graph_add(fm__graph *graph, fm__block *const *blocks, const fm__block_layout *layout,
    size_t count, fm__team *team, fm__graph_go_on *go_on, void *opaque, fm_error *err) FM_MUST_USE;

size_t fm__graph_blocks(const fm__graph *graph);
/** fm__block_sum of the block whose vectors these nodes are. */
uint32_t fm__graph_block_sum(const fm__graph *graph, size_t block);
size_t fm__graph_bytes(const fm__graph *graph); // of all nodes and links

/** Reads every node and checks it: checksums; links within range, none to the node itself, none twice, none
 * to a node that is not on that level; lists no longer than they may be. FORMAT says which node. */
fm_status fm__graph_validate(fm__graph *graph, fm_error *err) FM_MUST_USE;

/** What was met, nearest first. */
typedef struct fm__graph_item {
    float near2;    // squared distance by codes
    uint32_t place; // node
} fm__graph_item;

/** One thread's scratch. */
typedef struct fm__graph_walk fm__graph_walk;
fm_status fm__graph_walk_new(const fm__graph *graph, fm__graph_walk **out, fm_error *err) FM_MUST_USE;
void fm__graph_walk_free(fm__graph_walk **walk);

/** The `effort` nearest that a walk meets: more effort, more of the true ones among them.
 *  @param query  codes are [fm__graph_length], zeros behind dim
 *  @param items, count  of the walk, until its next use. FORMAT: a node on the way is damaged. */
fm_status fm__graph_find(const fm__graph *graph, fm__graph_walk *walk, const fm__scan_query *query,
    size_t effort, const fm__graph_item **items, size_t *count, fm_error *err) FM_MUST_USE;
size_t fm__graph_length(const fm__graph *graph); // of a row of codes, a multiple of FM_SCAN_ROW

#endif
