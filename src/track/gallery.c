// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Galleries of appearance: R_k of N. Wojke, A. Bewley, D. Paulus, "Simple Online and Realtime Tracking with a
// Deep Association Metric", ICIP 2017, section 2.2, the last L_k = budget features of a track, and the
// distance d2, the smallest cosine distance to one of them. The smoothed feature in its place is the
// exponential moving average of Z. Wang et al., "Towards Real-Time Multi-Object Tracking", ECCV 2020 (JDE),
// section 3.5, later in FairMOT and StrongSORT.
// Features lie in pages of eight, each feature on a cache line of its own. A page fits in the first level
// cache, so that several detections compared with one track read it from memory once. Distances are
// 1 - dot product of unit vectors, as the paper has it.

#include "track/gallery.h"

#include "base/alloc.h"
#include "base/pool.h"
#include "ops/dot.h"

#include <assert.h>
#include <math.h>

enum { ROWS = 8, ALIGN = 64, LINE_FLOATS = ALIGN / sizeof(float) };

/* ---- memory ---- */

void fm__galleries_init(fm__galleries *g, size_t dim, size_t budget, fm_cpu_level level)
{
    *g = (fm__galleries){.dim = dim,
        .stride = (dim + LINE_FLOATS - 1) / LINE_FLOATS * LINE_FLOATS,
        .budget = budget,
        .table = (budget + ROWS - 1) / ROWS,
        .level = level};
}

static size_t page_bytes(const fm__galleries *g)
{
    return (g->budget < ROWS ? g->budget : ROWS) * g->stride * sizeof(float);
}

void fm__galleries_done(fm__galleries *g)
{
    for (size_t i = 0; i < g->page_count; i++) {
        fm__pool_gone(FM_POOL_GALLERIES, page_bytes(g), i < g->free_page_count);
        fm__free(g->pages[i]);
    }
    fm__free(g->pages);
    fm__free(g->free_pages);
    fm__free(g->slots);
    fm__free(g->page_of);
    fm__free(g->free_slots);
    *g = (fm__galleries){0};
}

static bool grow_slots(fm__galleries *g, size_t want)
{
    size_t n = want < 2 * g->slot_cap ? 2 * g->slot_cap : want;
    n = n < 16 ? 16 : n;
    // Each block in its turn; a later failure leaves the earlier ones larger than slot_cap says.
    void *slots = fm__realloc_array(FM_TAG_TRACK, g->slots, n, sizeof *g->slots);
    if (slots == NULL)
        return false;
    g->slots = slots;
    void *page_of = fm__realloc_array(FM_TAG_TRACK, g->page_of, n * g->table, sizeof *g->page_of);
    if (page_of == NULL)
        return false;
    g->page_of = page_of;
    void *free_slots = fm__realloc_array(FM_TAG_TRACK, g->free_slots, n, sizeof *g->free_slots);
    if (free_slots == NULL)
        return false;
    g->free_slots = free_slots;
    for (size_t i = n; i-- > g->slot_cap;)
        g->free_slots[g->free_slot_count++] = (uint32_t)i;
    g->slot_cap = n;
    return true;
}

static bool add_page(fm__galleries *g)
{
    if (g->page_count == g->page_cap) {
        size_t n = g->page_cap < 16 ? 16 : 2 * g->page_cap;
        void *pages = fm__realloc_array(FM_TAG_TRACK, g->pages, n, sizeof *g->pages);
        if (pages == NULL)
            return false;
        g->pages = pages;
        void *free_pages = fm__realloc_array(FM_TAG_TRACK, g->free_pages, n, sizeof *g->free_pages);
        if (free_pages == NULL)
            return false;
        g->free_pages = free_pages;
        g->page_cap = n;
    }
    float *page = fm__calloc_aligned(FM_TAG_TRACK, page_bytes(g), ALIGN);
    if (page == NULL)
        return false;
    fm__pool_made(FM_POOL_GALLERIES, page_bytes(g));
    fm__pool_rests(FM_POOL_GALLERIES);
    g->pages[g->page_count] = page;
    g->free_pages[g->free_page_count++] = (uint32_t)g->page_count++;
    return true;
}

bool fm__galleries_reserve(fm__galleries *g, size_t slots, size_t features)
{
    size_t used = g->slot_cap - g->free_slot_count;
    if (g->free_slot_count < slots && !grow_slots(g, used + slots))
        return false;
    while (g->free_page_count < features)
        if (!add_page(g))
            return false;
    return true;
}

uint32_t fm__gallery_open(fm__galleries *g)
{
    assert(g->free_slot_count > 0);
    uint32_t slot = g->free_slots[--g->free_slot_count];
    g->slots[slot] = (fm__gallery){.open = true};
    return slot;
}

void fm__gallery_close(fm__galleries *g, uint32_t slot)
{
    fm__gallery *s = &g->slots[slot];
    assert(s->open);
    for (size_t i = 0; i < s->pages; i++) {
        g->free_pages[g->free_page_count++] = g->page_of[slot * g->table + i];
        fm__pool_rests(FM_POOL_GALLERIES);
    }
    *s = (fm__gallery){0};
    g->free_slots[g->free_slot_count++] = slot;
}

size_t fm__gallery_count(const fm__galleries *g, uint32_t slot)
{
    return g->slots[slot].count;
}

/* ---- features ---- */

static float *page_at(const fm__galleries *g, uint32_t slot, size_t page)
{
    return g->pages[g->page_of[slot * g->table + page]];
}

static float *row_at(const fm__galleries *g, uint32_t slot, size_t row)
{
    return page_at(g, slot, row / ROWS) + row % ROWS * g->stride;
}

// Features on a page; those of a gallery fill its pages in order.
static size_t rows_on(const fm__gallery *s, size_t page)
{
    size_t left = s->count - page * ROWS;
    return left < ROWS ? left : ROWS;
}

// Where the next feature goes, with a page under it.
static float *next_row(fm__galleries *g, uint32_t slot)
{
    fm__gallery *s = &g->slots[slot];
    size_t row = s->next;
    if (row / ROWS == s->pages) {
        assert(g->free_page_count > 0);
        g->page_of[slot * g->table + s->pages++] = g->free_pages[--g->free_page_count];
        fm__pool_used(FM_POOL_GALLERIES);
    }
    s->next = (uint16_t)((row + 1) % g->budget);
    if (s->count < g->budget)
        s->count++;
    return row_at(g, slot, row);
}

void fm__gallery_add(fm__galleries *g, uint32_t slot, const float *feature)
{
    memcpy(next_row(g, slot), feature, g->dim * sizeof *feature);
}

void fm__gallery_smooth(fm__galleries *g, uint32_t slot, const float *feature, float weight)
{
    if (g->slots[slot].count == 0) {
        fm__gallery_add(g, slot, feature);
        return;
    }
    float *kept = row_at(g, slot, 0);
    for (size_t i = 0; i < g->dim; i++)
        kept[i] = weight * kept[i] + (1 - weight) * feature[i];
    if (!fm__feature_unit(kept, g->dim, g->level, kept)) // opposite ones cancelled each other
        memcpy(kept, feature, g->dim * sizeof *feature);
}

bool fm__feature_unit(const float *feature, size_t dim, fm_cpu_level level, float *out)
{
    float square = fm__dot(feature, feature, dim, level);
    if (!(square > 1e-12F && square < 1e12F))
        return false;
    float scale = 1 / sqrtf(square);
    for (size_t i = 0; i < dim; i++)
        out[i] = feature[i] * scale;
    return true;
}

/* ---- distances ---- */

void fm__gallery_distances(
    const fm__galleries *g, uint32_t slot, const float *const *features, size_t n, float *out)
{
    const fm__gallery *s = &g->slots[slot];
    for (size_t i = 0; i < n; i++)
        out[i] = INFINITY;
    for (size_t page = 0; page < s->pages; page++) {
        const float *rows = page_at(g, slot, page);
        for (size_t i = 0; i < n; i++) {
            float d = 1 - fm__dot_max(rows, rows_on(s, page), g->stride, features[i], g->dim, g->level);
            out[i] = d < out[i] ? d : out[i];
        }
    }
}

bool fm__gallery_near(const fm__galleries *g, uint32_t slot, const float *feature, float max)
{
    const fm__gallery *s = &g->slots[slot];
    size_t newest = s->pages == 0 ? 0 : (s->next + g->budget - 1) % g->budget / ROWS;
    for (size_t i = 0; i < s->pages; i++) {
        size_t page = (newest + s->pages - i) % s->pages;
        float d = fm__dot_max(page_at(g, slot, page), rows_on(s, page), g->stride, feature, g->dim, g->level);
        if (1 - d <= max)
            return true;
    }
    return false;
}

float fm__gallery_between(const fm__galleries *g, uint32_t a, uint32_t b)
{
    float least = INFINITY;
    for (size_t row = 0; row < g->slots[a].count; row++) {
        const float *feature = row_at(g, a, row);
        float d;
        fm__gallery_distances(g, b, &feature, 1, &d);
        least = d < least ? d : least;
    }
    return least;
}

/* ---- state ---- */

// u16 count, u16 next, then the features as they lie, so that a loaded gallery forgets in the same order.
void fm__gallery_put(const fm__galleries *g, uint32_t slot, fm__writer *w)
{
    const fm__gallery *s = &g->slots[slot];
    fm__put(w, s->count, 2);
    fm__put(w, s->next, 2);
    for (size_t row = 0; row < s->count; row++)
        for (size_t i = 0; i < g->dim; i++)
            fm__put_f32(w, row_at(g, slot, row)[i]);
}

bool fm__gallery_get(fm__galleries *g, uint32_t *slot, fm__reader *r)
{
    size_t count = fm__get_in(r, 2, 0, g->budget);
    size_t next = fm__get_in(r, 2, 0, g->budget - 1);
    // Before memory is asked for: are they there at all? A gallery that is not full goes on at its end.
    if (count * g->dim > (r->len - r->at) / sizeof(float) || (count < g->budget && next != count))
        r->bad = true;
    count = r->bad ? 0 : count;
    if (!fm__galleries_reserve(g, 1, (count + ROWS - 1) / ROWS))
        return false;
    *slot = fm__gallery_open(g);
    for (size_t row = 0; row < count; row++) {
        float *to = next_row(g, *slot);
        for (size_t i = 0; i < g->dim; i++)
            to[i] = fm__get_f32(r, -2, 2);
    }
    g->slots[*slot].next = (uint16_t)(r->bad ? g->slots[*slot].next : next);
    return true;
}
