// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** A graph inside: shared by graph.c (walking), graph_build.c (linking) and graph_file.c (files). */
#ifndef FM_SEARCH_GRAPH_PRIVATE_H
#define FM_SEARCH_GRAPH_PRIVATE_H

#include "search/graph.h"

#define FM_GRAPH_TOP_MAX 15

/** What stands behind a node's codes, as it lies in a file; then comes its list of the lowest level. */
typedef struct fm__graph_node {
    float scale, mid, norm2, sum; // of the codes: ops/scan.h
    int32_t code_sum;
    uint32_t check; // CRC32C of the record without this
    uint32_t upper; // number of its first list in `upper`
    uint32_t level; // highest that it is on
} fm__graph_node;
_Static_assert(sizeof(fm__graph_node) == 32, "no holes");

struct fm__graph {
    // immutable after new
    fm__graph_opts opts;
    size_t length, record, chunk; // bytes of a row of codes, of a node, of a block's nodes
    fm__scan_level level;
    // changed by fm__graph_add only
    unsigned char **chunks; // [chunk_count] the nodes of a block each
    size_t chunk_count, chunk_cap, mapped_count;
    uint32_t *sums; // [chunk_count] of the blocks
    size_t sum_cap;
    // A list: how many, then that many nodes. Of the lowest level in the record, of the others here.
    uint32_t *upper; // [upper_count][1 + links]
    size_t upper_count, upper_cap;
    uint32_t entry; // where walks begin
    int top;        // its level; -1: empty
    void *map;
    size_t map_size;
    atomic_uchar *met; // [nodes] of a file: the checksum was right; NULL: all were made here
};

struct fm__graph_walk {
    uint64_t *seen; // a bit a node
    size_t seen_words;
    fm__graph_item *beam; // the nearest met, sorted; DONE: its neighbours were looked at
    size_t count, cap;
    // of one list
    const uint8_t *rows[2 * FM_GRAPH_MAX_LINKS];
    int32_t dots[2 * FM_GRAPH_MAX_LINKS];
    fm__graph_item found[2 * FM_GRAPH_MAX_LINKS];
};

#define FM_GRAPH_DONE UINT32_C(0x80000000) // in a beam's place
#define FM_GRAPH_NODES_MAX ((size_t)FM_GRAPH_DONE)

static inline size_t fm__graph_nodes(const fm__graph *g)
{
    return g->chunk_count * FM_BLOCK_SLOTS;
}

static inline uint8_t *fm__graph_row(const fm__graph *g, uint32_t place)
{
    return g->chunks[place / FM_BLOCK_SLOTS] + place % FM_BLOCK_SLOTS * g->record;
}

static inline fm__graph_node *fm__graph_node_of(const fm__graph *g, uint32_t place)
{
    return (fm__graph_node *)(void *)(fm__graph_row(g, place) + g->length);
}

/** Most nodes of a list. */
static inline size_t fm__graph_room(const fm__graph *g, int level)
{
    return level == 0 ? 2 * g->opts.links : g->opts.links;
}

/** The list of a node that was checked; NULL where the node is not on that level. */
static inline uint32_t *fm__graph_list(const fm__graph *g, uint32_t place, int level)
{
    fm__graph_node *n = fm__graph_node_of(g, place);
    if (level == 0) {
        return (uint32_t *)(void *)(n + 1);
    }
    size_t at = (size_t)n->upper + (size_t)level - 1;
    return (size_t)level <= n->level && at < g->upper_count ? g->upper + at * (1 + g->opts.links) : NULL;
}

static inline bool fm__graph_before(fm__graph_item a, fm__graph_item b)
{
    return a.near2 < b.near2 ||
           (a.near2 == b.near2 && (a.place & ~FM_GRAPH_DONE) < (b.place & ~FM_GRAPH_DONE));
}

/** Squared distance by codes; dot is what fm__scan_dots gives. */
static inline float fm__graph_near2(const fm__scan_query *q, const fm__graph_node *x, int32_t dot)
{
    float cross =
        (q->scale * x->scale) * (float)(dot - 128 * q->code_sum) + (q->scaled_sum * x->mid + q->mid * x->sum);
    return (q->norm2 + x->norm2) - (cross + cross);
}

/** Sizes that follow from the options, which are checked. */
fm_status fm__graph_lay_out(fm__graph *graph, const fm__graph_opts *opts, fm_error *err) FM_MUST_USE;
/** A record's checksum. */
uint32_t fm__graph_check_of(const fm__graph *graph, uint32_t place);
/** Is the node whole? Remembered once it is. */
bool fm__graph_meet(const fm__graph *graph, uint32_t place);
fm_status fm__graph_damaged(uint32_t place, fm_error *err);

/** A node as a query. @param codes  [length], kept by the query */
void fm__graph_query(const fm__graph *graph, uint32_t place, int8_t *codes, fm__scan_query *out);
/** Room for `effort` in the beam, and a bit for every node. */
fm_status fm__graph_walk_fit(
    const fm__graph *graph, fm__graph_walk *walk, size_t effort, fm_error *err) FM_MUST_USE;
/** Puts the entry into the beam and goes down to `level`, nearer on each. false: damage. */
bool fm__graph_descend(const fm__graph *graph, fm__graph_walk *walk, const fm__scan_query *query, int level);
/** Widens the beam on a level to `effort` nodes. false: damage. */
bool fm__graph_widen(
    const fm__graph *graph, fm__graph_walk *walk, const fm__scan_query *query, int level, size_t effort);

#endif
