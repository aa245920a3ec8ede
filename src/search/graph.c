// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Walking a graph: algorithms 2 (search of a layer) and 5 (search) of Malkov and Yashunin, 2018. The nearest
// met so far are one sorted list (the beam) rather than two heaps, as in flat graphs: a list of some hundred
// is moved faster than a heap is mended. On upper levels the beam is one node wide and nothing is remembered.

#include "search/graph.h"

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "search/graph_private.h"

#include <string.h>
#include <sys/mman.h>

enum { LINKS_DEFAULT = 32, EFFORT_DEFAULT = 100, RECORD_STEP = 64 };

static size_t up_to(size_t v, size_t step)
{
    return (v + step - 1) / step * step;
}

fm_status fm__graph_lay_out(fm__graph *g, const fm__graph_opts *opts, fm_error *err)
{
    g->opts = *opts;
    g->opts.links = opts->links ? opts->links : LINKS_DEFAULT;
    g->opts.effort = opts->effort ? opts->effort : EFFORT_DEFAULT;
    if (g->opts.dim < 1 || g->opts.dim > 16384 || g->opts.links < 2 || g->opts.links > FM_GRAPH_MAX_LINKS ||
        g->opts.effort > FM_GRAPH_MAX_EFFORT) {
        return fm__fail(err, FM_INVAL,
            "a graph of dimension %zu, %zu links, effort %zu: 1 to 16384, 2 to %d, 1 to %d", g->opts.dim,
            g->opts.links, g->opts.effort, FM_GRAPH_MAX_LINKS, FM_GRAPH_MAX_EFFORT);
    }
    g->length = up_to(opts->dim, FM_SCAN_ROW);
    size_t list = (1 + fm__graph_room(g, 0)) * sizeof(uint32_t);
    g->record = up_to(g->length + sizeof(fm__graph_node) + list, RECORD_STEP);
    g->chunk = g->record * FM_BLOCK_SLOTS;
    g->level = fm__scan_best_level();
    g->top = -1;
    return FM_OK;
}

fm_status fm__graph_new(const fm__graph_opts *opts, fm__graph **out, fm_error *err)
{
    fm__graph *g = fm__calloc(FM_TAG_SEARCH, sizeof(*g));
    if (!g) {
        return fm__fail_nomem(err, "a graph");
    }
    fm_status st = fm__graph_lay_out(g, opts, err);
    if (st != FM_OK) {
        fm__graph_free(&g);
        return st;
    }
    *out = g;
    return FM_OK;
}

void fm__graph_free(fm__graph **graph)
{
    fm__graph *g = graph ? *graph : NULL;
    if (!g) {
        return;
    }
    for (size_t i = g->mapped_count; i < g->chunk_count; i++) {
        fm__free(g->chunks[i]);
    }
    if (g->map) {
        munmap(g->map, g->map_size);
    }
    fm__free(g->chunks);
    fm__free(g->sums);
    fm__free(g->upper);
    fm__free((void *)g->met);
    fm__free(g);
    *graph = NULL;
}

size_t fm__graph_blocks(const fm__graph *g)
{
    return g->chunk_count;
}

uint32_t fm__graph_block_sum(const fm__graph *g, size_t block)
{
    return g->sums[block];
}

size_t fm__graph_bytes(const fm__graph *g)
{
    return g->chunk_count * g->chunk + g->upper_count * (1 + g->opts.links) * sizeof(*g->upper);
}

size_t fm__graph_length(const fm__graph *g)
{
    return g->length;
}

uint32_t fm__graph_check_of(const fm__graph *g, uint32_t place)
{
    const unsigned char *r = fm__graph_row(g, place);
    size_t at = g->length + offsetof(fm__graph_node, check), behind = at + sizeof(uint32_t);
    return fm__crc32c(fm__crc32c(0, r, at), r + behind, g->record - behind);
}

bool fm__graph_meet(const fm__graph *g, uint32_t place)
{
    // The bytes themselves never change while walks run, so any order will do.
    if (!g->met || atomic_load_explicit(&g->met[place], memory_order_relaxed)) {
        return true;
    }
    bool whole = fm__graph_node_of(g, place)->check == fm__graph_check_of(g, place);
    if (whole) {
        atomic_store_explicit(&g->met[place], 1, memory_order_relaxed);
    }
    return whole;
}

fm_status fm__graph_damaged(uint32_t place, fm_error *err)
{
    return fm__fail(err, FM_FORMAT, "the graph is damaged at node %u; make it anew", place);
}

fm_status fm__graph_walk_new(const fm__graph *g, fm__graph_walk **out, fm_error *err)
{
    fm__graph_walk *w = fm__calloc(FM_TAG_SEARCH, sizeof(*w));
    if (!w) {
        return fm__fail_nomem(err, "a walk through a graph");
    }
    fm_status st = fm__graph_walk_fit(g, w, 1, err);
    if (st != FM_OK) {
        fm__graph_walk_free(&w);
        return st;
    }
    *out = w;
    return FM_OK;
}

void fm__graph_walk_free(fm__graph_walk **walk)
{
    fm__graph_walk *w = walk ? *walk : NULL;
    if (w) {
        fm__free(w->seen);
        fm__free(w->beam);
        fm__free(w);
        *walk = NULL;
    }
}

fm_status fm__graph_walk_fit(const fm__graph *g, fm__graph_walk *w, size_t effort, fm_error *err)
{
    size_t words = (fm__graph_nodes(g) + 63) / 64;
    bool fits = fm__grow(FM_TAG_SEARCH, (void **)&w->beam, &w->cap, effort, sizeof(*w->beam)) &&
                (words <= w->seen_words ||
                    fm__grow(FM_TAG_SEARCH, (void **)&w->seen, &w->seen_words, words, sizeof(*w->seen)));
    return fits ? FM_OK : fm__fail_nomem(err, "a walk through a graph");
}

void fm__graph_query(const fm__graph *g, uint32_t place, int8_t *codes, fm__scan_query *out)
{
    const uint8_t *row = fm__graph_row(g, place);
    const fm__graph_node *n = fm__graph_node_of(g, place);
    for (size_t i = 0; i < g->length; i++) {
        codes[i] = (int8_t)(row[i] ^ 0x80); // less 128
    }
    *out = (fm__scan_query){.codes = codes,
        .code_sum = n->code_sum,
        .scale = n->scale,
        .mid = n->mid,
        .norm2 = n->norm2,
        .scaled_sum = n->scale * (float)n->code_sum};
}

// Distances of rows[0..n-1], whose places stand in found.
static void measure(const fm__graph *g, fm__graph_walk *w, const fm__scan_query *q, size_t n)
{
    fm__scan_dots(w->rows, n, q->codes, g->length, w->dots, g->level);
    for (size_t i = 0; i < n; i++) {
        const fm__graph_node *x = (const fm__graph_node *)(const void *)(w->rows[i] + g->length);
        w->found[i].near2 = fm__graph_near2(q, x, w->dots[i]);
    }
}

static bool take(const fm__graph *g, fm__graph_walk *w, uint32_t place, size_t *n)
{
    w->rows[*n] = fm__graph_row(g, place);
    w->found[(*n)++].place = place;
    return fm__graph_meet(g, place);
}

static bool is_new(fm__graph_walk *w, uint32_t place)
{
    uint64_t bit = UINT64_C(1) << place % 64, *word = &w->seen[place / 64];
    bool fresh = !(*word & bit);
    *word |= bit;
    return fresh;
}

// The neighbours of a node, with distances, into `found`; false: damage.
static bool look_around(const fm__graph *g, fm__graph_walk *w, const fm__scan_query *q, uint32_t place,
    int level, bool new_only, size_t *count)
{
    const uint32_t *list = fm__graph_list(g, place, level);
    size_t n = 0;
    if (!list || list[0] > fm__graph_room(g, level)) {
        return false;
    }
    for (size_t i = 1; i <= list[0]; i++) {
        if (list[i] >= fm__graph_nodes(g)) {
            return false;
        }
        if ((!new_only || is_new(w, list[i])) && !take(g, w, list[i], &n)) {
            return false;
        }
    }
    measure(g, w, q, n);
    *count = n;
    return true;
}

bool fm__graph_descend(const fm__graph *g, fm__graph_walk *w, const fm__scan_query *q, int level)
{
    size_t n = 0;
    if (!take(g, w, g->entry, &n)) {
        return false;
    }
    measure(g, w, q, n);
    fm__graph_item at = w->found[0];
    for (int l = g->top; l > level; l--) {
        for (bool moves = true; moves;) {
            moves = false;
            if (!look_around(g, w, q, at.place, l, false, &n)) {
                return false;
            }
            for (size_t i = 0; i < n; i++) {
                if (fm__graph_before(w->found[i], at)) {
                    at = w->found[i];
                    moves = true;
                }
            }
        }
    }
    w->beam[0] = at;
    w->count = 1;
    return true;
}

// Puts an item where it belongs, if it does. Returns where, `effort` when it does not.
static size_t put(fm__graph_walk *w, size_t effort, fm__graph_item item)
{
    if (w->count == effort && !fm__graph_before(item, w->beam[effort - 1])) {
        return effort;
    }
    size_t at = 0, n = w->count;
    while (n > 0) {
        size_t half = n / 2;
        if (fm__graph_before(w->beam[at + half], item)) {
            at += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    w->count += w->count < effort;
    memmove(w->beam + at + 1, w->beam + at, (w->count - 1 - at) * sizeof(*w->beam));
    w->beam[at] = item;
    return at;
}

bool fm__graph_widen(const fm__graph *g, fm__graph_walk *w, const fm__scan_query *q, int level, size_t effort)
{
    memset(w->seen, 0, (fm__graph_nodes(g) + 63) / 64 * sizeof(*w->seen));
    for (size_t i = 0; i < w->count; i++) {
        w->beam[i].place &= ~FM_GRAPH_DONE;
        (void)is_new(w, w->beam[i].place); // it is seen now
    }
    for (size_t next = 0; next < w->count;) {
        uint32_t place = w->beam[next].place;
        if (place & FM_GRAPH_DONE) {
            next++;
            continue;
        }
        w->beam[next].place |= FM_GRAPH_DONE;
        size_t n = 0;
        if (!look_around(g, w, q, place, level, true, &n)) {
            return false;
        }
        for (size_t i = 0; i < n; i++) {
            size_t at = put(w, effort, w->found[i]);
            next = at < next ? at : next;
        }
    }
    return true;
}

fm_status fm__graph_find(const fm__graph *g, fm__graph_walk *w, const fm__scan_query *q, size_t effort,
    const fm__graph_item **items, size_t *count, fm_error *err)
{
    w->count = 0;
    if (g->top >= 0) {
        fm_status st = fm__graph_walk_fit(g, w, effort, err);
        if (st != FM_OK) {
            return st;
        }
        if (!fm__graph_descend(g, w, q, 0) || !fm__graph_widen(g, w, q, 0, effort)) {
            return fm__fail(err, FM_FORMAT, "the graph is damaged; make it anew");
        }
    }
    for (size_t i = 0; i < w->count; i++) {
        w->beam[i].place &= ~FM_GRAPH_DONE;
    }
    *items = w->beam;
    *count = w->count;
    return FM_OK;
}
