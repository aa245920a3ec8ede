// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Searching through a graph. What a walk meets is thinned to what is alive and allowed; the nearest of that
// by codes are compared by their floats. With a filter a walk keeps as many more nodes in view as the filter
// leaves out, and twice as many again until enough of them match: half of what a search without a filter
// keeps in view. Past an eighth of all nodes the exact scan is the faster one.

#include "search/near.h"

#include "base/alloc.h"
#include "base/error.h"
#include "search/index_private.h"
#include "search/rank.h"

#include <string.h>

// Filters that leave less than one in so many are not for the graph, nor walks that see more than that.
enum { LEAST_PART = 8 };
// What is newer than the graph is scanned, up to one in so many of what the graph holds.
enum { TAIL_PART = 2 };
// Compared by their floats: the order by codes is off by a few places.
enum { COMPARE_TIMES = 2, COMPARE_MORE = 16 };

struct fm__near {
    fm__index *index;
    fm__near_opts opts;
    fm__graph *graph;
    size_t generation;   // of the index when the graph was found to be of it
    atomic_bool damaged; // a walk met damage
    pthread_mutex_t lock;
    // protected by lock
    fm__graph_walk *spare[FM_TEAM_MAX];
    int spare_count;
};

static fm__graph_opts graph_opts(const fm__near *n)
{
    return (fm__graph_opts){
        .dim = n->index->layout.dim, .links = n->opts.links, .effort = n->opts.build_effort};
}

static fm_status make(fm__index *index, const fm__near_opts *opts, fm__near **out, fm_error *err)
{
    fm__near *n = fm__calloc(FM_TAG_SEARCH, sizeof(*n));
    if (!n) {
        return fm__fail_nomem(err, "a graph");
    }
    pthread_mutex_init(&n->lock, NULL);
    n->index = index;
    n->opts = *opts;
    n->opts.effort = opts->effort ? opts->effort : FM_NEAR_EFFORT;
    *out = n;
    return FM_OK;
}

fm_status fm__near_new(fm__index *index, const fm__near_opts *opts, fm__near **out, fm_error *err)
{
    fm__near *n = NULL;
    fm_status st = make(index, opts, &n, err);
    if (st != FM_OK) {
        return st;
    }
    fm__graph_opts o = graph_opts(n);
    st = fm__graph_new(&o, &n->graph, err);
    if (st != FM_OK) {
        fm__near_free(&n);
        return st;
    }
    *out = n;
    return FM_OK;
}

// Is the graph of the blocks that the index has? `state` is held.
static bool is_of(const fm__graph *g, const fm__index *ix)
{
    bool same = fm__graph_blocks(g) <= ix->block_count;
    for (size_t i = 0; same && i < fm__graph_blocks(g); i++) {
        same = fm__graph_block_sum(g, i) == fm__block_sum(ix->blocks[i], &ix->layout);
    }
    return same;
}

fm_status fm__near_open(
    fm__index *index, const char *path, const fm__near_opts *opts, fm__near **out, fm_error *err)
{
    fm__near *n = NULL;
    fm_status st = make(index, opts, &n, err);
    if (st != FM_OK) {
        return st;
    }
    st = fm__graph_load(path, index->layout.dim, &n->graph, err);
    if (st == FM_OK) {
        pthread_rwlock_rdlock(&index->state);
        n->generation = index->generation;
        if (!is_of(n->graph, index)) {
            st = fm__fail(err, FM_FORMAT, "'%s' is not of the index as it is now; make it anew", path);
        }
        pthread_rwlock_unlock(&index->state);
    }
    if (st != FM_OK) {
        fm__near_free(&n);
        return st;
    }
    *out = n;
    return FM_OK;
}

static void drop_spare(fm__near *n)
{
    while (n->spare_count > 0) {
        fm__graph_walk_free(&n->spare[--n->spare_count]);
    }
}

void fm__near_free(fm__near **near)
{
    fm__near *n = near ? *near : NULL;
    if (!n) {
        return;
    }
    drop_spare(n);
    fm__graph_free(&n->graph);
    pthread_mutex_destroy(&n->lock);
    fm__free(n);
    *near = NULL;
}

static fm_status start_anew(fm__near *n, fm_error *err)
{
    fm__graph *fresh = NULL;
    fm__graph_opts o = graph_opts(n);
    fm_status st = fm__graph_new(&o, &fresh, err);
    if (st == FM_OK) {
        fm__graph_free(&n->graph);
        n->graph = fresh;
        atomic_store(&n->damaged, false);
    }
    return st;
}

static size_t full_blocks(const fm__index *ix)
{
    size_t n = ix->block_count;
    return n > 0 && ix->blocks[n - 1]->count < FM_BLOCK_SLOTS ? n - 1 : n;
}

fm_status fm__near_update(fm__near *n, fm__graph_go_on *go_on, void *opaque, size_t *linked, fm_error *err)
{
    fm__index *ix = n->index;
    fm_error why = {0};
    fm_status st = FM_OK;
    pthread_rwlock_rdlock(&ix->state);
    if (n->generation != ix->generation || atomic_load(&n->damaged) || !is_of(n->graph, ix)) {
        st = start_anew(n, &why);
    }
    n->generation = ix->generation;
    size_t have = fm__graph_blocks(n->graph), full = full_blocks(ix);
    if (st == FM_OK && full > have) {
        st = fm__graph_add(
            n->graph, ix->blocks + have, &ix->layout, full - have, ix->team, go_on, opaque, &why);
    }
    pthread_rwlock_unlock(&ix->state);
    if (st != FM_OK) {
        (void)start_anew(n, NULL); // where that fails, too, the graph is damaged, and told so
        if (fm__graph_blocks(n->graph) > 0) {
            atomic_store(&n->damaged, true);
        }
        if (err) {
            *err = why;
        }
        return st;
    }
    if (linked) {
        *linked = (full - have) * FM_BLOCK_SLOTS;
    }
    return FM_OK;
}

fm_status fm__near_save(fm__near *n, const char *path, fm_error *err)
{
    return fm__graph_save(n->graph, path, err);
}

/* ---- searching ---- */

// What all queries of a call share.
typedef struct ask {
    fm__near *near;
    const float *rows;
    size_t nq, k;
    const fm__narrowed *narrowed; // NULL: all that are alive
    size_t wide, effort, most;    // nodes in view: without a filter; to begin with; at most
    fm__hit *hits;                // [nq][k]
    size_t *counts;
    unsigned char *found;    // [nq] k and more matched
    atomic_size_t bad_block; // 1 + the first damaged block of the index, 0: none
    atomic_bool bad_graph, no_memory;
} ask;

static fm__graph_walk *take_walk(fm__near *n)
{
    fm__graph_walk *w = NULL;
    pthread_mutex_lock(&n->lock);
    if (n->spare_count > 0) {
        w = n->spare[--n->spare_count];
    }
    pthread_mutex_unlock(&n->lock);
    if (!w && fm__graph_walk_new(n->graph, &w, NULL) != FM_OK) {
        return NULL;
    }
    return w;
}

static void give_walk(fm__near *n, fm__graph_walk *w)
{
    pthread_mutex_lock(&n->lock);
    if (n->spare_count < FM_TEAM_MAX) {
        n->spare[n->spare_count++] = w;
        w = NULL;
    }
    pthread_mutex_unlock(&n->lock);
    fm__graph_walk_free(&w);
}

static bool matches(const ask *a, uint32_t place)
{
    const fm__block *b = a->near->index->blocks[place / FM_BLOCK_SLOTS];
    size_t panel = place % FM_BLOCK_SLOTS / FM_SCAN_PANEL;
    unsigned bits = b->alive[panel];
    if (a->narrowed) {
        bits &= a->narrowed->bits[place / FM_BLOCK_SLOTS * FM_BLOCK_PANELS + panel];
    }
    return bits >> place % FM_SCAN_PANEL & 1;
}

// Compares by floats. false: the index is damaged.
static bool compare(ask *a, size_t j, uint32_t place)
{
    fm__index *ix = a->near->index;
    fm__block *b = ix->blocks[place / FM_BLOCK_SLOTS];
    size_t slot = place % FM_BLOCK_SLOTS, none = 0;
    if (!fm__block_check(b, &ix->layout) || !fm__block_check_row(b, &ix->layout, slot)) {
        atomic_compare_exchange_strong(&a->bad_block, &none, 1 + place / FM_BLOCK_SLOTS);
        return false;
    }
    fm__hit h = {.id = fm__block_ids(b, &ix->layout)[slot]};
    h.distance = fm__scan_l2(
        a->rows + j * ix->layout.stride, fm__block_row(b, &ix->layout, slot), ix->layout.stride, ix->cpu);
    fm__rank_push(a->hits + j * a->k, &a->counts[j], a->k, h);
    return true;
}

// The nearest of what was met that match. Returns how many match.
static size_t settle(ask *a, size_t j, const fm__graph_item *items, size_t count)
{
    size_t matching = 0, most = COMPARE_TIMES * a->k + COMPARE_MORE;
    a->counts[j] = 0;
    for (size_t i = 0; i < count; i++) {
        if (matches(a, items[i].place) && matching++ < most && !compare(a, j, items[i].place)) {
            break;
        }
    }
    return matching;
}

static fm_status walk_for(ask *a, size_t j, fm__graph_walk *w, int8_t *codes)
{
    const fm__index *ix = a->near->index;
    size_t enough = a->wide / 2 > a->k ? a->wide / 2 : a->k;
    fm__scan_query q;
    fm__scan_query_init(&q, codes, a->rows + j * ix->layout.stride, ix->layout.dim);
    for (size_t effort = a->effort; effort <= a->most && !a->found[j]; effort *= 2) {
        const fm__graph_item *items = NULL;
        size_t count = 0;
        fm_status st = fm__graph_find(a->near->graph, w, &q, effort, &items, &count, NULL);
        if (st != FM_OK) {
            return st;
        }
        a->found[j] = settle(a, j, items, count) >= enough;
        if (atomic_load(&a->bad_block) != 0) {
            return FM_OK;
        }
    }
    return FM_OK;
}

static void search_one(void *opaque, size_t j, int member)
{
    ask *a = opaque;
    (void)member;
    fm__graph_walk *w = take_walk(a->near);
    int8_t *codes = fm__calloc_aligned(FM_TAG_SEARCH, fm__graph_length(a->near->graph), 64);
    fm_status st = w && codes ? walk_for(a, j, w, codes) : FM_NOMEM;
    if (st != FM_OK) {
        atomic_store(st == FM_FORMAT ? &a->bad_graph : &a->no_memory, true);
    }
    fm__free(codes);
    if (w) {
        give_walk(a->near, w);
    }
}

// How wide to look, or why not through the graph at all. `state` is held.
static fm__near_how plan(ask *a)
{
    const fm__near *n = a->near;
    const fm__index *ix = n->index;
    size_t nodes = fm__graph_blocks(n->graph) * FM_BLOCK_SLOTS, all = ix->alive + ix->buried;
    if (atomic_load(&n->damaged)) {
        return FM_NEAR_DAMAGED;
    }
    if (n->generation != ix->generation || nodes == 0 || all - nodes > nodes / TAIL_PART) {
        return FM_NEAR_BEHIND;
    }
    size_t left = a->narrowed ? a->narrowed->count : ix->alive;
    if (left < all / LEAST_PART || left == 0) {
        return FM_NEAR_FEW;
    }
    a->wide = n->opts.effort > COMPARE_TIMES * a->k ? n->opts.effort : COMPARE_TIMES * a->k;
    a->effort = (size_t)((double)a->wide * (double)all / (double)left);
    a->most = nodes / LEAST_PART < FM_GRAPH_MAX_EFFORT ? nodes / LEAST_PART : FM_GRAPH_MAX_EFFORT;
    return a->effort <= a->most ? FM_NEAR_GRAPH : FM_NEAR_FEW;
}

// Brings in what is newer than the graph. Hits come as heaps and leave sorted.
static fm_status add_tail(ask *a, fm_error *err)
{
    fm__index *ix = a->near->index;
    size_t first = fm__graph_blocks(a->near->graph);
    fm_status st = FM_OK;
    if (first < ix->block_count) {
        fm__hit *more = fm__calloc_array(FM_TAG_SEARCH, a->nq * a->k, sizeof(*more));
        size_t *counts = fm__calloc_array(FM_TAG_SEARCH, a->nq, sizeof(*counts));
        st = more && counts ? fm__index_scan(ix, a->rows, a->nq, a->k, a->narrowed, first, more, counts, err)
                            : fm__fail_nomem(err, "a search");
        for (size_t i = 0; st == FM_OK && i < a->nq * a->k; i++) {
            size_t j = i / a->k;
            if (i % a->k < counts[j]) {
                fm__rank_push(a->hits + j * a->k, &a->counts[j], a->k, more[i]);
            }
        }
        fm__free(more);
        fm__free(counts);
    }
    for (size_t j = 0; st == FM_OK && j < a->nq; j++) {
        fm__rank_sort(a->hits + j * a->k, a->counts[j]);
    }
    return st;
}

static fm_status scan_all(ask *a, size_t from, size_t count, fm_error *err)
{
    fm__index *ix = a->near->index;
    return fm__index_scan(ix, a->rows + from * ix->layout.stride, count, a->k, a->narrowed, 0,
        a->hits + from * a->k, a->counts + from, err);
}

// `state` is held.
static fm_status search_in(ask *a, fm__near_how *how, fm_error *err)
{
    fm__index *ix = a->near->index;
    *how = plan(a);
    if (*how != FM_NEAR_GRAPH) {
        return scan_all(a, 0, a->nq, err);
    }
    if (a->nq == 1) {
        search_one(a, 0, 0);
    } else {
        fm__team_run(ix->team, a->nq, search_one, a);
    }
    if (atomic_load(&a->no_memory)) {
        return fm__fail_nomem(err, "a search");
    }
    if (atomic_load(&a->bad_block) != 0) {
        return fm__index_damaged(ix, atomic_load(&a->bad_block) - 1, err);
    }
    if (atomic_load(&a->bad_graph)) {
        atomic_store(&a->near->damaged, true);
        *how = FM_NEAR_DAMAGED;
        return scan_all(a, 0, a->nq, err);
    }
    fm_status st = add_tail(a, err);
    for (size_t j = 0; j < a->nq && st == FM_OK; j++) {
        if (!a->found[j]) {
            *how = FM_NEAR_FEW;
            st = scan_all(a, j, 1, err);
        }
    }
    return st;
}

fm_status fm__near_search(fm__near *n, const float *queries, size_t nq, size_t k, const int64_t *allowed,
    size_t allowed_count, fm__hit *hits, size_t *counts, fm__near_how *how, fm_error *err)
{
    if (k > FM_INDEX_MAX_K) {
        return fm__fail(err, FM_INVAL, "%zu nearest asked for, at most %d", k, FM_INDEX_MAX_K);
    }
    memset(counts, 0, nq * sizeof(*counts));
    if (nq == 0 || k == 0) {
        return FM_OK;
    }
    float *rows = NULL;
    fm__narrowed few = {0};
    fm__near_how came = FM_NEAR_GRAPH;
    ask a = {.near = n, .nq = nq, .k = k, .hits = hits, .counts = counts};
    a.found = fm__calloc(FM_TAG_SEARCH, nq);
    fm_status st =
        a.found ? fm__index_prepare(n->index, queries, nq, &rows, err) : fm__fail_nomem(err, "a search");
    if (st == FM_OK) {
        pthread_rwlock_rdlock(&n->index->state);
        st = allowed ? fm__index_narrow(n->index, allowed, allowed_count, &few, err) : FM_OK;
        a.rows = rows;
        a.narrowed = allowed ? &few : NULL;
        st = st == FM_OK ? search_in(&a, &came, err) : st;
        pthread_rwlock_unlock(&n->index->state);
    }
    if (st == FM_OK) {
        fm__index_finish(n->index, nq, k, hits, counts);
        if (how) {
            *how = came;
        }
    }
    fm__narrowed_done(&few);
    fm__free(a.found);
    fm__free(rows);
    return st;
}

size_t fm__near_count(const fm__near *n)
{
    return fm__graph_blocks(n->graph) * FM_BLOCK_SLOTS;
}

size_t fm__near_bytes(const fm__near *n)
{
    return fm__graph_bytes(n->graph);
}

fm_status fm__near_verify(fm__near *n, fm_error *err)
{
    return fm__graph_validate(n->graph, err);
}
