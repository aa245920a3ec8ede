// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Searching an index: queries as they are compared, a list of ids as places and bits, and the exact scan with
// the two ways of looking at some only: by their floats where they are few, by a bit a vector where they are
// many.

#include "base/alloc.h"
#include "base/error.h"
#include "search/index_private.h"

#include <string.h>

// Floats of so many can be compared in the time of reading the codes of one (one query) or of multiplying
// them (many): measured, two threads, 512 numbers.
enum { PLACES_PER_SCAN_ONE = 6, PLACES_PER_SCAN_MANY = 20 };

fm_status fm__index_narrow(fm__index *ix, const int64_t *allowed, size_t n, fm__narrowed *out, fm_error *err)
{
    out->places = fm__calloc_array(FM_TAG_SEARCH, n + 1, sizeof(*out->places));
    out->bits = fm__calloc_array(FM_TAG_SEARCH, ix->block_count * FM_BLOCK_PANELS + 1, sizeof(*out->bits));
    if (!out->places || !out->bits) {
        return fm__fail_nomem(err, "a filter");
    }
    size_t block = 0, slot = 0;
    for (size_t i = 0; i < n; i++) {
        bool found;
        if (i > 0 && allowed[i] <= allowed[i - 1]) {
            return fm__fail(
                err, FM_INVAL, "the list of allowed ids does not rise at %lld", (long long)allowed[i]);
        }
        fm_status st = fm__index_find(ix, allowed[i], &block, &slot, &found, err);
        if (st != FM_OK) {
            return st;
        }
        if (found) {
            out->places[out->count++] = (fm__place)(block * FM_BLOCK_SLOTS + slot);
            out->bits[block * FM_BLOCK_PANELS + slot / FM_SCAN_PANEL] |=
                (uint16_t)(1U << slot % FM_SCAN_PANEL);
        }
    }
    return FM_OK;
}

void fm__narrowed_done(fm__narrowed *n)
{
    fm__free(n->places);
    fm__free(n->bits);
    *n = (fm__narrowed){0};
}

fm_status fm__index_prepare(const fm__index *ix, const float *queries, size_t nq, float **out, fm_error *err)
{
    size_t floats;
    if (!fm__mul_size(nq, ix->layout.stride, &floats)) {
        return fm__fail_nomem(err, "the queries");
    }
    fm_status st = FM_OK;
    for (size_t j = 0; j < nq && st == FM_OK; j++) {
        st = fm__index_check_vector(ix, queries + j * ix->layout.dim, "query", j, err);
    }
    if (st != FM_OK) {
        return st;
    }
    float *rows = fm__calloc_array(FM_TAG_SEARCH, floats, sizeof(*rows));
    if (!rows) {
        return fm__fail_nomem(err, "the queries");
    }
    for (size_t j = 0; j < nq; j++) {
        fm__index_copy_vector(ix, queries + j * ix->layout.dim, rows + j * ix->layout.stride);
    }
    *out = rows;
    return FM_OK;
}

// The exact scan over some blocks, `state` being held for reading.
fm_status fm__index_scan(fm__index *ix, const float *rows, size_t nq, size_t k, const fm__narrowed *narrowed,
    size_t first, fm__hit *hits, size_t *counts, fm_error *err)
{
    fm__flat flat = {.layout = &ix->layout,
        .blocks = ix->blocks,
        .first = first,
        .block_count = ix->block_count,
        .team = ix->team,
        .cpu = ix->cpu,
        .level = ix->level};
    if (narrowed) {
        size_t times = nq < 4 ? PLACES_PER_SCAN_ONE : PLACES_PER_SCAN_MANY;
        bool by_floats = first == 0 && narrowed->count < (ix->alive + ix->buried) / times;
        flat.allowed = narrowed->bits;
        flat.places = by_floats ? narrowed->places : NULL;
        flat.place_count = narrowed->count;
    }
    return fm__flat_search(&flat, rows, nq, k, hits, counts, err);
}

void fm__index_finish(const fm__index *ix, size_t nq, size_t k, fm__hit *hits, const size_t *counts)
{
    for (size_t j = 0; ix->opts.metric == FM_METRIC_COSINE && j < nq; j++) {
        for (size_t i = 0; i < counts[j]; i++) {
            hits[j * k + i].distance /= 2;
        }
    }
}

fm_status fm__index_search(fm__index *ix, const float *queries, size_t nq, size_t k, const int64_t *allowed,
    size_t allowed_count, fm__hit *hits, size_t *counts, fm_error *err)
{
    if (k > FM_INDEX_MAX_K) {
        return fm__fail(err, FM_INVAL, "%zu nearest asked for, at most %d", k, FM_INDEX_MAX_K);
    }
    float *rows = NULL;
    fm__narrowed few = {0};
    fm_status st = nq > 0 ? fm__index_prepare(ix, queries, nq, &rows, err) : FM_OK;
    if (st != FM_OK) {
        return st;
    }
    memset(counts, 0, nq * sizeof(*counts));
    if (k > 0 && nq > 0) {
        pthread_rwlock_rdlock(&ix->state);
        st = allowed ? fm__index_narrow(ix, allowed, allowed_count, &few, err) : FM_OK;
        st = st == FM_OK ? fm__index_scan(ix, rows, nq, k, allowed ? &few : NULL, 0, hits, counts, err) : st;
        pthread_rwlock_unlock(&ix->state);
    }
    fm__narrowed_done(&few);
    fm__free(rows);
    if (st == FM_OK) {
        fm__index_finish(ix, nq, k, hits, counts);
    }
    return st;
}
