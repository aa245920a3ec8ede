// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What tracks looked like: for each a gallery of its last `budget` features, or one smoothed feature. All
 * galleries of a tracker share one store of pages, so that births and deaths allocate nothing once the
 * crowd was at its largest, and a young track holds a page, not a budget. Pure; one owner. */
#ifndef FM_TRACK_GALLERY_H
#define FM_TRACK_GALLERY_H

#include "base/bytes.h"
#include "base/cpu.h"

#include <framemill/api.h>

/** No gallery. */
#define FM_GALLERY_NONE UINT32_MAX

typedef struct fm__gallery {
    uint16_t count; // features in it
    uint16_t next;  // where the next one goes: the oldest one's place once the budget is full
    uint16_t pages; // held
    bool open;
} fm__gallery;

typedef struct fm__galleries {
    // immutable after init
    size_t dim, stride;   // floats of a feature; apart
    size_t budget, table; // features, pages of a full gallery
    fm_cpu_level level;
    // owner only
    fm__gallery *slots; // [slot_cap]
    uint32_t *page_of;  // [slot_cap][table]
    uint32_t *free_slots;
    size_t slot_cap, free_slot_count;
    float **pages; // [page_count]
    uint32_t *free_pages;
    size_t page_cap, page_count, free_page_count;
} fm__galleries;

/** @param budget  features of a gallery, >= 1. */
void fm__galleries_init(fm__galleries *g, size_t dim, size_t budget, fm_cpu_level level);
void fm__galleries_done(fm__galleries *g);
/** So many more galleries may be opened, and so many features added, without asking for memory. */
bool fm__galleries_reserve(fm__galleries *g, size_t slots, size_t features) FM_MUST_USE;

/** Of reserved ones. */
uint32_t fm__gallery_open(fm__galleries *g);
void fm__gallery_close(fm__galleries *g, uint32_t slot);
size_t fm__gallery_count(const fm__galleries *g, uint32_t slot);
/** @param feature  [dim] of unit length. */
void fm__gallery_add(fm__galleries *g, uint32_t slot, const float *feature);
/** The gallery's only feature becomes weight x itself + (1 - weight) x feature, of unit length again. */
void fm__gallery_smooth(fm__galleries *g, uint32_t slot, const float *feature, float weight);

/** Smallest cosine distance to those in the gallery, of each of n features; INFINITY where it is empty. */
void fm__gallery_distances(
    const fm__galleries *g, uint32_t slot, const float *const *features, size_t n, float *out);
/** Is that distance <= max for a feature? Stops at the first that is near, the newest page first. */
bool fm__gallery_near(const fm__galleries *g, uint32_t slot, const float *feature, float max);
/** Smallest distance between features of two galleries. */
float fm__gallery_between(const fm__galleries *g, uint32_t a, uint32_t b);

void fm__gallery_put(const fm__galleries *g, uint32_t slot, fm__writer *w);
/** Opens a gallery into *slot; false: no memory. */
bool fm__gallery_get(fm__galleries *g, uint32_t *slot, fm__reader *r) FM_MUST_USE;

/** A copy of unit length; false: it has none (zero, NaN, infinite). out may be feature. */
bool fm__feature_unit(const float *feature, size_t dim, fm_cpu_level level, float *out);

#endif
