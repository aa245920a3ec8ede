// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The exact scan. Each thread takes blocks and keeps, for each query, the k smallest upper bounds it met and
// the vectors whose lower bound was not above the k-th of them (`reach`, shared by all threads). At the end
// what still is within reach is compared by its floats, nearest bound first, until the bound passes the k-th
// distance. ops/scan.h has the bounds and why they hold.
//
// Distances that answer are sums in float, so the reach is widened by what such a sum may be off: with
// stride / 16 + 4 additions and three more roundings of 2^-24 each, a distance and the one it is compared
// with are together less than (stride / 16 + 8) 2^-23 apart from the truth.

#include "search/flat.h"

#include "base/alloc.h"
#include "base/error.h"
#include "search/rank.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

// Panels a kernel call takes between two looks at the reach: 8 panels of 512 codes and a tile of queries stay
// in the first cache.
#define RUN_PANELS 8
#define PLACES_AT_ONCE 128
#define CHUNK_MAX 256                  // queries of a pass
#define CHUNK_BYTES ((size_t)96 << 20) // of all seekers of a pass
#define TINY 1e-18F                    // squares below lose their bits in float

typedef struct candidate {
    float lower;
    fm__place place;
} candidate;

// What one thread knows of one query.
typedef struct seeker {
    float *uppers; // heap [k]
    candidate *found;
    fm__hit *best; // heap [k] of those compared by their floats
    size_t upper_count, found_count, best_count;
} seeker;

typedef struct pass {
    const fm__flat *flat;
    const float *queries;
    const fm__scan_query *quantised;
    size_t nq, k, room; // room: of found
    float widen;
    seeker *seekers;       // [threads][nq]
    atomic_uint *reaches;  // [nq] floats as bits, which order as the floats do
    atomic_size_t damaged; // 1 + the first damaged block found, 0: none
    fm__hit *hits;
    size_t *counts;
} pass;

static float reach_of(pass *p, size_t j)
{
    unsigned bits =
        atomic_load_explicit(&p->reaches[j], memory_order_relaxed); // any older value is valid too
    float reach;
    memcpy(&reach, &bits, sizeof(reach));
    return reach;
}

static void shorten_reach(pass *p, size_t j, float distance)
{
    float reach = distance * p->widen + TINY;
    unsigned bits, now = atomic_load_explicit(&p->reaches[j], memory_order_relaxed);
    memcpy(&bits, &reach, sizeof(bits));
    while (bits < now && !atomic_compare_exchange_weak_explicit(
                             &p->reaches[j], &now, bits, memory_order_relaxed, memory_order_relaxed)) {
    }
}

static void tell_damage(pass *p, size_t block)
{
    size_t none = 0;
    atomic_compare_exchange_strong(&p->damaged, &none, block + 1);
}

// Compares by floats. false when the vector is damaged.
static bool compare(pass *p, size_t j, fm__place place, fm__hit *heap, size_t *count)
{
    const fm__flat *f = p->flat;
    fm__block *b = f->blocks[place / FM_BLOCK_SLOTS];
    size_t slot = place % FM_BLOCK_SLOTS;
    if (!fm__block_check_row(b, f->layout, slot)) {
        tell_damage(p, place / FM_BLOCK_SLOTS);
        return false;
    }
    float d = fm__scan_l2(
        p->queries + j * f->layout->stride, fm__block_row(b, f->layout, slot), f->layout->stride, f->cpu);
    fm__rank_push(heap, count, p->k, (fm__hit){.id = fm__block_ids(b, f->layout)[slot], .distance = d});
    return true;
}

static void drop_far(seeker *s, float reach)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->found_count; i++) {
        if (s->found[i].lower <= reach) {
            s->found[kept++] = s->found[i];
        }
    }
    s->found_count = kept;
}

// When bounds leave too many (vectors all alike, for one), the floats decide at once, so memory stays
// bounded.
static void make_room(pass *p, seeker *s, size_t j)
{
    drop_far(s, reach_of(p, j));
    if (s->found_count <= p->room / 2) {
        return;
    }
    for (size_t i = 0; i < s->found_count; i++) {
        if (!compare(p, j, s->found[i].place, s->best, &s->best_count)) {
            break;
        }
    }
    s->found_count = 0;
    if (s->best_count == p->k) {
        shorten_reach(p, j, sqrtf(s->best[0].distance));
    }
}

static void note(
    pass *p, seeker *s, size_t j, const fm__scan_quant *x, size_t slot, fm__place place, float near2)
{
    const fm__scan_query *q = &p->quantised[j];
    float lower = fm__scan_lower(q, x, slot, near2);
    if (lower > reach_of(p, j)) {
        return;
    }
    if (s->found_count == p->room) {
        make_room(p, s, j);
    }
    s->found[s->found_count++] = (candidate){.lower = lower, .place = place};
    fm__rank_push_float(s->uppers, &s->upper_count, p->k, fm__scan_upper(q, x, slot, near2));
    if (s->upper_count == p->k) {
        shorten_reach(p, j, s->uppers[0]);
    }
}

// The vectors of a block to look at; false when there are none.
static bool live_of(const fm__flat *f, size_t block, uint16_t live[FM_BLOCK_PANELS])
{
    unsigned any = 0;
    for (size_t i = 0; i < FM_BLOCK_PANELS; i++) {
        live[i] = f->blocks[block]->alive[i];
        if (f->allowed) {
            live[i] &= f->allowed[block * FM_BLOCK_PANELS + i];
        }
        any |= live[i];
    }
    return any != 0;
}

static void take_hits(pass *p, seeker *seekers, const fm__scan_run *r, size_t first, fm__place at)
{
    for (size_t i = 0; i < r->panels * r->count; i++) {
        size_t panel = i / r->count, j = i % r->count;
        for (unsigned mask = r->masks[i]; mask; mask &= mask - 1) {
            size_t lane = (size_t)__builtin_ctz(mask), slot = r->slot + panel * FM_SCAN_PANEL + lane;
            note(p, &seekers[first + j], first + j, r->quant, slot, at + (fm__place)slot,
                r->near2[i * FM_SCAN_PANEL + lane]);
        }
    }
}

static void scan_block(void *opaque, size_t part, int member)
{
    pass *p = opaque;
    const fm__flat *f = p->flat;
    size_t index = f->first + part;
    fm__block *b = f->blocks[index];
    uint16_t live[FM_BLOCK_PANELS], masks[RUN_PANELS * FM_SCAN_TILE];
    float near2[RUN_PANELS * FM_SCAN_TILE * FM_SCAN_PANEL], reach[FM_SCAN_TILE];
    if (atomic_load(&p->damaged) || !live_of(f, index, live)) {
        return;
    }
    if (!fm__block_check(b, f->layout)) {
        tell_damage(p, index);
        return;
    }
    fm__scan_quant quant = fm__block_quant(b, f->layout);
    size_t panels = (b->count + FM_SCAN_PANEL - 1) / FM_SCAN_PANEL;
    fm__scan_run r = {.groups = fm__scan_groups(f->layout->dim),
        .quant = &quant,
        .reach = reach,
        .masks = masks,
        .near2 = near2};
    for (size_t j = 0; j < p->nq; j += FM_SCAN_TILE) {
        r.queries = p->quantised + j;
        r.count = p->nq - j < FM_SCAN_TILE ? p->nq - j : FM_SCAN_TILE;
        for (size_t at = 0; at < panels; at += RUN_PANELS) {
            r.panels = panels - at < RUN_PANELS ? panels - at : RUN_PANELS;
            r.slot = at * FM_SCAN_PANEL;
            r.codes = b->bytes + f->layout->codes + at * f->layout->panel_bytes;
            r.live = live + at;
            for (size_t i = 0; i < r.count; i++) {
                reach[i] = reach_of(p, j + i);
            }
            fm__scan_codes(&r, f->level);
            take_hits(p, p->seekers + (size_t)member * p->nq, &r, j, (fm__place)(index * FM_BLOCK_SLOTS));
        }
    }
}

static void pick_places(void *opaque, size_t index, int member)
{
    pass *p = opaque;
    const fm__flat *f = p->flat;
    size_t from = index * PLACES_AT_ONCE, to = from + PLACES_AT_ONCE;
    to = to < f->place_count ? to : f->place_count;
    for (size_t j = 0; j < p->nq && !atomic_load(&p->damaged); j++) {
        seeker *s = &p->seekers[(size_t)member * p->nq + j];
        for (size_t i = from; i < to; i++) {
            if (!compare(p, j, f->places[i], s->best, &s->best_count)) {
                return;
            }
        }
    }
}

static int by_lower(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    return x->lower < y->lower ? -1 : x->lower > y->lower;
}

// What a thread has left of a query, into the answer.
static void settle(pass *p, seeker *s, size_t j, fm__hit *heap, size_t *count)
{
    for (size_t i = 0; i < s->best_count; i++) {
        fm__rank_push(heap, count, p->k, s->best[i]);
    }
    drop_far(s, reach_of(p, j));
    qsort(s->found, s->found_count, sizeof(*s->found), by_lower);
    for (size_t i = 0; i < s->found_count; i++) {
        if (*count == p->k && s->found[i].lower > sqrtf(heap[0].distance) * p->widen + TINY) {
            break;
        }
        if (!compare(p, j, s->found[i].place, heap, count)) {
            break;
        }
    }
}

static void settle_query(void *opaque, size_t j, int member)
{
    pass *p = opaque;
    (void)member;
    fm__hit *heap = p->hits + j * p->k;
    size_t count = 0;
    for (int t = 0; t < fm__team_size(p->flat->team); t++) {
        settle(p, &p->seekers[(size_t)t * p->nq + j], j, heap, &count);
    }
    fm__rank_sort(heap, count);
    p->counts[j] = count;
}

static fm_status damage_error(const pass *p, fm_error *err)
{
    size_t block = atomic_load(&p->damaged);
    return block == 0
               ? FM_OK
               : fm__fail(err, FM_FORMAT, "the index is damaged in block %zu; make it anew", block - 1);
}

// Memory of a pass in one piece.
typedef struct scratch {
    unsigned char *bytes;
    size_t size;
} scratch;

static void *cut(scratch *s, size_t count, size_t size)
{
    void *at = s->bytes ? s->bytes + s->size : NULL;
    s->size += (count * size + 63) / 64 * 64;
    return at;
}

// Hands out the memory; with bytes NULL it only counts.
static void lay_out(pass *p, scratch *mem, fm__scan_query **quantised, int8_t **codes)
{
    size_t threads = (size_t)fm__team_size(p->flat->team);
    p->seekers = cut(mem, threads * p->nq, sizeof(*p->seekers));
    p->reaches = cut(mem, p->nq, sizeof(*p->reaches));
    *quantised = cut(mem, p->nq, sizeof(**quantised));
    *codes = cut(mem, p->nq, fm__scan_groups(p->flat->layout->dim) * 4);
    for (size_t i = 0; i < threads * p->nq; i++) {
        seeker s = {.uppers = cut(mem, p->k, sizeof(float)),
            .found = cut(mem, p->room, sizeof(candidate)),
            .best = cut(mem, p->k, sizeof(fm__hit))};
        if (mem->bytes) {
            p->seekers[i] = s;
        }
    }
}

static void run(pass *p, fm__scan_query *quantised, int8_t *codes)
{
    const fm__flat *f = p->flat;
    size_t group_bytes = fm__scan_groups(f->layout->dim) * 4;
    float far = INFINITY;
    unsigned bits;
    memcpy(&bits, &far, sizeof(bits));
    for (size_t j = 0; j < p->nq; j++) {
        atomic_store(&p->reaches[j], bits);
        fm__scan_query_init(
            &quantised[j], codes + j * group_bytes, p->queries + j * f->layout->stride, f->layout->dim);
    }
    p->quantised = quantised;
    if (f->places) {
        fm__team_run(f->team, (f->place_count + PLACES_AT_ONCE - 1) / PLACES_AT_ONCE, pick_places, p);
    } else {
        fm__team_run(f->team, f->block_count - f->first, scan_block, p);
    }
    if (!atomic_load(&p->damaged)) {
        fm__team_run(f->team, p->nq, settle_query, p);
    }
}

static fm_status search_chunk(pass *p, fm_error *err)
{
    scratch mem = {0};
    fm__scan_query *quantised;
    int8_t *codes;
    lay_out(p, &mem, &quantised, &codes);
    mem.bytes = fm__calloc_aligned(FM_TAG_SEARCH, mem.size, 64);
    if (!mem.bytes) {
        return fm__fail_nomem(err, "a search");
    }
    mem.size = 0;
    lay_out(p, &mem, &quantised, &codes);
    run(p, quantised, codes);
    fm__free(mem.bytes);
    return damage_error(p, err);
}

fm_status fm__flat_search(const fm__flat *flat, const float *queries, size_t nq, size_t k, fm__hit *hits,
    size_t *counts, fm_error *err)
{
    size_t room = 512 + 2 * k;
    size_t bytes = (size_t)fm__team_size(flat->team) *
                   (sizeof(seeker) + k * (sizeof(float) + sizeof(fm__hit)) + room * sizeof(candidate));
    size_t chunk = CHUNK_BYTES / bytes;
    chunk = chunk < 1 ? 1 : chunk > CHUNK_MAX ? CHUNK_MAX : chunk;
    for (size_t j = 0; j < nq; j += chunk) {
        pass p = {.flat = flat,
            .queries = queries + j * flat->layout->stride,
            .nq = nq - j < chunk ? nq - j : chunk,
            .k = k,
            .room = room,
            .widen = 1 + (float)(flat->layout->stride / 16 + 8) * 0x1p-23F,
            .hits = hits + j * k,
            .counts = counts + j};
        fm_status st = search_chunk(&p, err);
        if (st != FM_OK) {
            return st;
        }
    }
    return FM_OK;
}
