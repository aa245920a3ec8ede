// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Linking vectors into a graph: algorithms 1 (insert) and 4 (neighbours that lie in different directions) of
// Malkov and Yashunin, 2018, in batches as ParlayANN does it (Manohar et al.: ParlayANN: Scalable and
// Deterministic Parallel Graph-Based Approximate Nearest Neighbor Search Algorithms, 2024): the vectors of a
// batch look for their neighbours in the graph as it was before the batch, side by side, without locks; then
// links back are gathered, sorted by where they start, and each node that gets some is seen to by one thread.
// So the graph does not depend on the number of threads. Batches grow with what is there, for vectors of one
// batch do not find each other; and the order is shuffled, for vectors next to each other in an index often
// are the same object seen again, and must not meet in one batch.

#include "base/alloc.h"
#include "base/error.h"
#include "search/graph_private.h"

#include <stdlib.h>
#include <string.h>

// A batch is a sixteenth of what was linked before it in the same call, and at most so many.
enum { BATCH_PART = 16, BATCH_MAX = 8192, AT_ONCE = 8 };

typedef struct edge {
    uint32_t from, to; // the list of `from` gets `to`
    int level;
} edge;

// What one thread needs.
typedef struct worker {
    fm__graph_walk *walk;
    int8_t *codes, *other;
    fm__graph_item *items; // of a list to be shortened
    size_t item_cap;
    bool no_memory;
} worker;

typedef struct build {
    fm__graph *g;
    worker workers[FM_TEAM_MAX];
    int worker_count;
    const uint32_t *order; // of the batch
    edge *edges;
    size_t edge_count, edge_cap;
    size_t *groups; // [group_count + 1] where the edges of a list begin
    size_t group_count, group_cap;
} build;

static uint64_t mix(uint64_t v) // SplitMix64 (Steele, Lea, Flood, 2014)
{
    v += UINT64_C(0x9e3779b97f4a7c15);
    v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    v = (v ^ v >> 27) * UINT64_C(0x94d049bb133111eb);
    return v ^ v >> 31;
}

// One in `links` nodes is on the next level, too.
static uint32_t level_of(const fm__graph *g, uint32_t place)
{
    uint32_t level = 0;
    for (uint64_t v = mix(place); level < FM_GRAPH_TOP_MAX && v % g->opts.links == 0; v = mix(v)) {
        level++;
    }
    return level;
}

static void fill_node(
    fm__graph *g, uint32_t place, const fm__block *b, const fm__block_layout *l, size_t slot)
{
    const uint8_t *panel = b->bytes + l->codes + slot / FM_SCAN_PANEL * l->panel_bytes;
    size_t lane = slot % FM_SCAN_PANEL;
    fm__scan_quant q = fm__block_quant(b, l);
    uint8_t *row = fm__graph_row(g, place);
    fm__graph_node *n = fm__graph_node_of(g, place);
    *n = (fm__graph_node){
        .scale = q.scale[slot], .mid = q.mid[slot], .norm2 = q.norm2[slot], .sum = q.sum[slot]};
    memset(row, 128, g->length);
    for (size_t i = 0; i < l->dim; i++) {
        row[i] = panel[(i / 4 * FM_SCAN_PANEL + lane) * 4 + i % 4];
        n->code_sum += row[i] - 128;
    }
    n->level = level_of(g, place);
}

static fm_status add_chunk(fm__graph *g, fm__block *b, const fm__block_layout *l, fm_error *err)
{
    size_t count = g->chunk_count + 1;
    if (count > FM_GRAPH_NODES_MAX / FM_BLOCK_SLOTS) {
        return fm__fail(err, FM_UNSUPPORTED, "a graph holds at most %zu vectors", FM_GRAPH_NODES_MAX);
    }
    if (!fm__grow(FM_TAG_SEARCH, (void **)&g->chunks, &g->chunk_cap, count, sizeof(*g->chunks)) ||
        !fm__grow(FM_TAG_SEARCH, (void **)&g->sums, &g->sum_cap, count, sizeof(*g->sums))) {
        return fm__fail_nomem(err, "a graph");
    }
    g->chunks[count - 1] = fm__calloc_aligned(FM_TAG_SEARCH, g->chunk, 4096);
    if (!g->chunks[count - 1]) {
        return fm__fail_nomem(err, "a graph");
    }
    g->sums[count - 1] = fm__block_sum(b, l);
    g->chunk_count = count;
    for (size_t slot = 0; slot < FM_BLOCK_SLOTS; slot++) {
        uint32_t place = (uint32_t)((count - 1) * FM_BLOCK_SLOTS + slot);
        fill_node(g, place, b, l, slot);
        fm__graph_node *n = fm__graph_node_of(g, place);
        size_t lists = g->upper_count + n->level;
        if (!fm__grow(FM_TAG_SEARCH, (void **)&g->upper, &g->upper_cap, lists * (1 + g->opts.links),
                sizeof(*g->upper))) {
            return fm__fail_nomem(err, "a graph");
        }
        n->upper = (uint32_t)g->upper_count;
        g->upper_count = lists;
    }
    return FM_OK;
}

// Is an item farther from all that were chosen than from the node itself?
static bool stands_apart(const fm__graph *g, worker *w, fm__graph_item item, size_t chosen)
{
    fm__graph_walk *walk = w->walk;
    fm__scan_query q;
    fm__graph_query(g, item.place, w->other, &q);
    for (size_t i = 0; i < chosen; i += AT_ONCE) {
        size_t n = chosen - i < AT_ONCE ? chosen - i : AT_ONCE;
        fm__scan_dots(walk->rows + i, n, q.codes, g->length, walk->dots, g->level);
        for (size_t j = 0; j < n; j++) {
            const fm__graph_node *x = (const fm__graph_node *)(const void *)(walk->rows[i + j] + g->length);
            if (fm__graph_near2(&q, x, walk->dots[j]) <= item.near2) {
                return false;
            }
        }
    }
    return true;
}

// Fills a list from items, nearest first.
static void choose(
    const fm__graph *g, worker *w, const fm__graph_item *items, size_t n, uint32_t *list, size_t room)
{
    size_t chosen = 0;
    for (size_t i = 0; i < n && chosen < room; i++) {
        fm__graph_item item = {items[i].near2, items[i].place & ~FM_GRAPH_DONE};
        if (stands_apart(g, w, item, chosen)) {
            w->walk->rows[chosen++] = fm__graph_row(g, item.place);
            list[chosen] = item.place;
        }
    }
    list[0] = (uint32_t)chosen;
}

// Finds the neighbours of one vector in the graph as it is.
static void link_one(void *opaque, size_t index, int member)
{
    build *b = opaque;
    fm__graph *g = b->g;
    worker *w = &b->workers[member];
    uint32_t place = b->order[index];
    int level = (int)fm__graph_node_of(g, place)->level;
    level = level < g->top ? level : g->top;
    fm__scan_query q;
    fm__graph_query(g, place, w->codes, &q);
    (void)fm__graph_descend(g, w->walk, &q, level); // nothing is damaged: it was checked, or made here
    for (int l = level; l >= 0; l--) {
        (void)fm__graph_widen(g, w->walk, &q, l, g->opts.effort);
        choose(g, w, w->walk->beam, w->walk->count, fm__graph_list(g, place, l), fm__graph_room(g, l));
    }
}

static int by_start(const void *a, const void *b)
{
    const edge *x = a, *y = b;
    if (x->level != y->level) {
        return x->level < y->level ? -1 : 1;
    }
    if (x->from != y->from) {
        return x->from < y->from ? -1 : 1;
    }
    return x->to < y->to ? -1 : x->to > y->to;
}

static bool add_edges(build *b, uint32_t place, int level)
{
    const uint32_t *list = fm__graph_list(b->g, place, level);
    if (!fm__grow(
            FM_TAG_SEARCH, (void **)&b->edges, &b->edge_cap, b->edge_count + list[0], sizeof(*b->edges))) {
        return false;
    }
    for (size_t i = 1; i <= list[0]; i++) {
        b->edges[b->edge_count++] = (edge){.from = list[i], .to = place, .level = level};
    }
    return true;
}

// The links back of a batch, in groups of one list each.
static bool gather_edges(build *b, size_t count)
{
    b->edge_count = b->group_count = 0;
    for (size_t i = 0; i < count; i++) {
        int level = (int)fm__graph_node_of(b->g, b->order[i])->level;
        for (int l = 0; l <= level && l <= b->g->top; l++) {
            if (!add_edges(b, b->order[i], l)) {
                return false;
            }
        }
    }
    qsort(b->edges, b->edge_count, sizeof(*b->edges), by_start);
    if (!fm__grow(FM_TAG_SEARCH, (void **)&b->groups, &b->group_cap, b->edge_count + 1, sizeof(*b->groups))) {
        return false;
    }
    for (size_t i = 0; i < b->edge_count; i++) {
        const edge *e = &b->edges[i];
        if (i == 0 || e[-1].from != e->from || e[-1].level != e->level) {
            b->groups[b->group_count++] = i;
        }
    }
    b->groups[b->group_count] = b->edge_count;
    return true;
}

static int by_nearness(const void *a, const void *b)
{
    const fm__graph_item *x = a, *y = b;
    return fm__graph_before(*x, *y) ? -1 : fm__graph_before(*y, *x);
}

// A list that gets more than it holds: the best of both.
static void shorten(const fm__graph *g, worker *w, const edge *e, size_t count, uint32_t *list, size_t room)
{
    size_t n = 0, all = list[0] + count;
    if (!fm__grow(FM_TAG_SEARCH, (void **)&w->items, &w->item_cap, all, sizeof(*w->items))) {
        w->no_memory = true;
        return;
    }
    fm__scan_query q;
    fm__graph_query(g, e->from, w->codes, &q);
    for (size_t i = 0; i < all; i++) {
        uint32_t place = i < list[0] ? list[1 + i] : e[i - list[0]].to;
        const uint8_t *row = fm__graph_row(g, place);
        int32_t dot;
        fm__scan_dots(&row, 1, q.codes, g->length, &dot, g->level);
        w->items[n++] = (fm__graph_item){fm__graph_near2(&q, fm__graph_node_of(g, place), dot), place};
    }
    qsort(w->items, n, sizeof(*w->items), by_nearness);
    choose(g, w, w->items, n, list, room);
}

static void link_back(void *opaque, size_t index, int member)
{
    build *b = opaque;
    const edge *e = &b->edges[b->groups[index]];
    size_t count = b->groups[index + 1] - b->groups[index], room = fm__graph_room(b->g, e->level);
    uint32_t *list = fm__graph_list(b->g, e->from, e->level);
    if (list[0] + count > room) {
        shorten(b->g, &b->workers[member], e, count, list, room);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        list[++list[0]] = e[i].to;
    }
}

static void raise_entry(fm__graph *g, const uint32_t *order, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int level = (int)fm__graph_node_of(g, order[i])->level;
        if (level > g->top) {
            g->top = level;
            g->entry = order[i];
        }
    }
}

static fm_status link_batch(build *b, size_t count, fm__team *team, fm_error *err)
{
    if (b->g->top >= 0) {
        fm__team_run(team, count, link_one, b);
        if (!gather_edges(b, count)) {
            return fm__fail_nomem(err, "links");
        }
        fm__team_run(team, b->group_count, link_back, b);
    }
    for (int i = 0; i < b->worker_count; i++) {
        if (b->workers[i].no_memory) {
            return fm__fail_nomem(err, "links");
        }
    }
    raise_entry(b->g, b->order, count);
    return FM_OK;
}

static fm_status workers_init(build *b, int count, fm_error *err)
{
    fm_status st = FM_OK;
    for (; b->worker_count < count && st == FM_OK; b->worker_count++) {
        worker *w = &b->workers[b->worker_count];
        st = fm__graph_walk_new(b->g, &w->walk, err);
        st = st == FM_OK ? fm__graph_walk_fit(b->g, w->walk, b->g->opts.effort, err) : st;
        w->codes = fm__calloc_aligned(FM_TAG_SEARCH, b->g->length, 64);
        w->other = fm__calloc_aligned(FM_TAG_SEARCH, b->g->length, 64);
        if (st == FM_OK && (!w->codes || !w->other)) {
            st = fm__fail_nomem(err, "a graph");
        }
    }
    return st;
}

static void build_done(build *b)
{
    for (int i = 0; i < b->worker_count; i++) {
        fm__graph_walk_free(&b->workers[i].walk);
        fm__free(b->workers[i].codes);
        fm__free(b->workers[i].other);
        fm__free(b->workers[i].items);
    }
    fm__free(b->edges);
    fm__free(b->groups);
}

static int by_mix(const void *a, const void *b)
{
    uint64_t x = mix(*(const uint32_t *)a ^ UINT64_C(0x5eed) << 32),
             y = mix(*(const uint32_t *)b ^ UINT64_C(0x5eed) << 32);
    return (x > y) - (x < y); // mix is one to one
}

static fm_status link_all(build *b, uint32_t *order, size_t total, fm__team *team, fm__graph_go_on *go_on,
    void *opaque, fm_error *err)
{
    fm_status st = FM_OK;
    qsort(order, total, sizeof(*order), by_mix);
    for (size_t done = 0, count; done < total && st == FM_OK; done += count) {
        if (go_on && !go_on(opaque, done, total)) {
            return fm__fail(err, FM_CANCELED, "the graph was not finished");
        }
        count = done / BATCH_PART;
        count = count < 1 ? 1 : count > BATCH_MAX ? BATCH_MAX : count;
        count = count > total - done ? total - done : count;
        b->order = order + done;
        st = link_batch(b, count, team, err);
    }
    return st;
}

// What is extended must be whole, and is ours from then on.
static fm_status own(fm__graph *g, fm_error *err)
{
    fm_status st = g->met ? fm__graph_validate(g, err) : FM_OK;
    if (st == FM_OK) {
        fm__free((void *)g->met);
        g->met = NULL;
    }
    return st;
}

fm_status fm__graph_add(fm__graph *g, fm__block *const *blocks, const fm__block_layout *layout, size_t count,
    fm__team *team, fm__graph_go_on *go_on, void *opaque, fm_error *err)
{
    size_t first = fm__graph_nodes(g), total = count * FM_BLOCK_SLOTS;
    build b = {.g = g};
    uint32_t *order = NULL;
    fm_status st = own(g, err);
    for (size_t i = 0; i < count && st == FM_OK; i++) {
        st = fm__block_check(blocks[i], layout)
                 ? add_chunk(g, blocks[i], layout, err)
                 : fm__fail(err, FM_FORMAT, "a block of the index is damaged; make it anew");
    }
    if (st == FM_OK && count > 0) {
        order = fm__calloc_array(FM_TAG_SEARCH, total, sizeof(*order));
        st = order ? workers_init(&b, fm__team_size(team), err) : fm__fail_nomem(err, "a graph");
    }
    for (size_t i = 0; i < total && st == FM_OK; i++) {
        order[i] = (uint32_t)(first + i);
    }
    st = st == FM_OK && count > 0 ? link_all(&b, order, total, team, go_on, opaque, err) : st;
    build_done(&b);
    fm__free(order);
    return st;
}
