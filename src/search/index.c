// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The vector index: blocks of vectors in the order of their ids, what is added and what is buried.

#include "search/index.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"
#include "search/index_private.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#define NORM2_MAX 1e36

fm_status fm__index_damaged(const fm__index *ix, size_t block, fm_error *err)
{
    return fm__fail(err, FM_FORMAT, "the index%s%s%s is damaged in block %zu; make it anew",
        ix->path ? " '" : "", ix->path ? ix->path : "", ix->path ? "'" : "", block);
}

fm_status fm__index_add_block(fm__index *ix, fm__block *block, fm_error *err)
{
    if (ix->block_count >= UINT32_MAX / FM_BLOCK_SLOTS) {
        return fm__fail(err, FM_UNSUPPORTED, "an index holds at most %u vectors", UINT32_MAX);
    }
    if (!fm__grow(
            FM_TAG_SEARCH, (void **)&ix->blocks, &ix->block_cap, ix->block_count + 1, sizeof(*ix->blocks))) {
        return fm__fail_nomem(err, "the index");
    }
    ix->blocks[ix->block_count++] = block;
    return FM_OK;
}

void fm__index_drop_blocks(fm__index *ix)
{
    while (ix->block_count > 0) {
        fm__index_free_block(ix, &ix->blocks[--ix->block_count]);
    }
}

static fm_status check_opts(const fm__index_opts *o, fm_error *err)
{
    if (o->dim < 1 || o->dim > FM_INDEX_MAX_DIM) {
        return fm__fail(err, FM_INVAL, "an index of dimension %d: 1 to %d", o->dim, FM_INDEX_MAX_DIM);
    }
    if (o->metric != FM_METRIC_L2 && o->metric != FM_METRIC_COSINE) {
        return fm__fail(err, FM_INVAL, "there is no metric %d", (int)o->metric);
    }
    return FM_OK;
}

fm_status fm__index_open(const char *path, const fm__index_opts *opts, fm__index **out, fm_error *err)
{
    fm_status st = check_opts(opts, err);
    if (st != FM_OK) {
        return st;
    }
    fm__index *ix = fm__calloc(FM_TAG_SEARCH, sizeof(*ix));
    if (!ix) {
        return fm__fail_nomem(err, "the index");
    }
    ix->opts = *opts;
    ix->fd = -1;
    ix->layout = fm__block_layout_of((size_t)opts->dim);
    ix->cpu = fm__cpu_level();
    ix->level = fm__scan_best_level();
    pthread_mutex_init(&ix->change, NULL);
    pthread_rwlock_init(&ix->state, NULL);
    if (path) {
        ix->path = fm__strdup(FM_TAG_SEARCH, path);
        ix->dead_path = fm__asprintf(FM_TAG_SEARCH, "%s.dead", path);
        st = ix->path && ix->dead_path ? FM_OK : fm__fail_nomem(err, "a path");
    }
    st = st == FM_OK ? fm__team_new(opts->threads, &ix->team, err) : st;
    if (st == FM_OK && path && !opts->fresh) {
        st = fm__index_load(ix, err);
    }
    if (st != FM_OK) {
        fm__index_close(&ix);
        return st;
    }
    *out = ix;
    return FM_OK;
}

void fm__index_close(fm__index **index)
{
    fm__index *ix = index ? *index : NULL;
    if (!ix) {
        return;
    }
    fm__team_free(&ix->team);
    fm__index_drop_blocks(ix);
    if (ix->fd >= 0) {
        close(ix->fd);
    }
    pthread_rwlock_destroy(&ix->state);
    pthread_mutex_destroy(&ix->change);
    fm__free(ix->blocks);
    fm__free(ix->path);
    fm__free(ix->dead_path);
    fm__free(ix);
    *index = NULL;
}

static fm_status refuse_read_only(const fm__index *ix, fm_error *err)
{
    return ix->opts.read_only ? fm__fail(err, FM_INVAL, "the index '%s' is open for reading only", ix->path)
                              : FM_OK;
}

static double norm2_of(const float *v, size_t dim)
{
    double sum = 0;
    for (size_t i = 0; i < dim; i++) {
        sum += (double)v[i] * (double)v[i];
    }
    return sum;
}

fm_status fm__index_check_vector(
    const fm__index *ix, const float *v, const char *what, size_t number, fm_error *err)
{
    double norm2 = norm2_of(v, ix->layout.dim);
    if (!(norm2 <= NORM2_MAX)) {
        return fm__fail(err, FM_INVAL, "%s %zu is not finite, or longer than 1e18", what, number);
    }
    if (ix->opts.metric == FM_METRIC_COSINE && norm2 < 1e-36) {
        return fm__fail(err, FM_INVAL, "%s %zu is zero: it has no direction to compare", what, number);
    }
    return FM_OK;
}

void fm__index_copy_vector(const fm__index *ix, const float *v, float *out)
{
    double length = ix->opts.metric == FM_METRIC_COSINE ? sqrt(norm2_of(v, ix->layout.dim)) : 1;
    for (size_t i = 0; i < ix->layout.dim; i++) {
        out[i] = ix->opts.metric == FM_METRIC_COSINE ? (float)((double)v[i] / length) : v[i];
    }
}

static fm_status check_new(
    const fm__index *ix, const int64_t *ids, const float *vectors, size_t n, fm_error *err)
{
    int64_t last = ix->last_id;
    for (size_t i = 0; i < n; i++) {
        if (ids[i] <= last) {
            return fm__fail(err, FM_INVAL, "id %lld is added after %lld: ids must rise", (long long)ids[i],
                (long long)last);
        }
        last = ids[i];
        fm_status st = fm__index_check_vector(ix, vectors + i * ix->layout.dim, "vector", i, err);
        if (st != FM_OK) {
            return st;
        }
    }
    return FM_OK;
}

// `state` is held for writing.
static fm_status add_one(fm__index *ix, int64_t id, const float *vector, fm_error *err)
{
    fm__block *last = ix->block_count ? ix->blocks[ix->block_count - 1] : NULL;
    if (!last || last->count == FM_BLOCK_SLOTS) {
        fm_status st = fm__block_new(&ix->layout, &last, err);
        if (st != FM_OK) {
            return st;
        }
        st = fm__index_add_block(ix, last, err);
        if (st != FM_OK) {
            fm__block_free(&last);
            return st;
        }
    }
    fm__block_add(last, &ix->layout, id, vector);
    ix->alive++;
    ix->last_id = id;
    return FM_OK;
}

fm_status fm__index_append(fm__index *ix, const int64_t *ids, const float *vectors, size_t n, fm_error *err)
{
    fm_status st = refuse_read_only(ix, err);
    if (st != FM_OK) {
        return st;
    }
    float *copy = fm__calloc_array(FM_TAG_SEARCH, ix->layout.dim, sizeof(*copy));
    if (!copy) {
        return fm__fail_nomem(err, "a vector");
    }
    pthread_mutex_lock(&ix->change);
    st = check_new(ix, ids, vectors, n, err);
    for (size_t i = 0; i < n && st == FM_OK; i++) {
        fm__index_copy_vector(ix, vectors + i * ix->layout.dim, copy);
        pthread_rwlock_wrlock(&ix->state);
        st = add_one(ix, ids[i], copy, err);
        pthread_rwlock_unlock(&ix->state);
    }
    pthread_mutex_unlock(&ix->change);
    fm__free(copy);
    return st;
}

// The first element not below v.
static size_t lower_bound(const int64_t *list, size_t n, int64_t v)
{
    size_t from = 0;
    while (n > 0) {
        size_t half = n / 2;
        if (list[from + half] < v) {
            from += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return from;
}

// The block that an id would lie in: the last one whose first id is not above it.
static fm_status block_of(fm__index *ix, int64_t id, size_t *out, fm_error *err)
{
    size_t from = 0, to = ix->block_count;
    while (to - from > 1) {
        size_t mid = from + (to - from) / 2;
        if (!fm__block_check(ix->blocks[mid], &ix->layout)) {
            return fm__index_damaged(ix, mid, err);
        }
        if (fm__block_ids(ix->blocks[mid], &ix->layout)[0] <= id) {
            from = mid;
        } else {
            to = mid;
        }
    }
    if (ix->block_count > 0 && !fm__block_check(ix->blocks[from], &ix->layout)) {
        return fm__index_damaged(ix, from, err);
    }
    *out = from;
    return FM_OK;
}

static bool is_alive(const fm__block *b, size_t slot)
{
    return b->alive[slot / FM_SCAN_PANEL] >> slot % FM_SCAN_PANEL & 1;
}

fm_status fm__index_find(fm__index *ix, int64_t id, size_t *block, size_t *slot, bool *found, fm_error *err)
{
    *found = false;
    if (ix->block_count == 0) {
        return FM_OK;
    }
    // Lists are in order mostly: the block of the one before is the first guess.
    fm__block *b = *block < ix->block_count ? ix->blocks[*block] : NULL;
    const int64_t *ids = b ? fm__block_ids(b, &ix->layout) : NULL;
    if (!b || !fm__block_check(b, &ix->layout) || id < ids[0] || id > ids[b->count - 1]) {
        fm_status st = block_of(ix, id, block, err);
        if (st != FM_OK) {
            return st;
        }
        b = ix->blocks[*block];
        ids = fm__block_ids(b, &ix->layout);
    }
    *slot = lower_bound(ids, b->count, id);
    *found = *slot < b->count && ids[*slot] == id && is_alive(b, *slot);
    return FM_OK;
}

static void bury_slot(fm__index *ix, fm__block *b, size_t slot)
{
    b->alive[slot / FM_SCAN_PANEL] &= (uint16_t) ~(1U << slot % FM_SCAN_PANEL);
    ix->alive--;
    ix->buried++;
    ix->dead_is_dirty = true;
}

fm_status fm__index_bury(fm__index *ix, const int64_t *ids, size_t n, size_t *removed, fm_error *err)
{
    size_t block = 0, slot = 0, count = 0;
    for (size_t i = 0; i < n; i++) {
        bool found;
        fm_status st = fm__index_find(ix, ids[i], &block, &slot, &found, err);
        if (st != FM_OK) {
            return st;
        }
        if (found) {
            bury_slot(ix, ix->blocks[block], slot);
            count++;
        }
    }
    if (removed) {
        *removed = count;
    }
    return FM_OK;
}

fm_status fm__index_remove(fm__index *ix, const int64_t *ids, size_t n, size_t *removed, fm_error *err)
{
    fm_status st = refuse_read_only(ix, err);
    if (st != FM_OK) {
        return st;
    }
    pthread_mutex_lock(&ix->change);
    pthread_rwlock_wrlock(&ix->state);
    st = fm__index_bury(ix, ids, n, removed, err);
    pthread_rwlock_unlock(&ix->state);
    pthread_mutex_unlock(&ix->change);
    return st;
}

static fm_status keep_only(fm__index *ix, const int64_t *ids, size_t n, size_t *removed, fm_error *err)
{
    size_t at = 0, count = 0;
    for (size_t i = 0; i < ix->block_count; i++) {
        fm__block *b = ix->blocks[i];
        if (!fm__block_check(b, &ix->layout)) {
            return fm__index_damaged(ix, i, err);
        }
        const int64_t *own = fm__block_ids(b, &ix->layout);
        for (size_t slot = 0; slot < b->count; slot++) {
            while (at < n && ids[at] < own[slot]) {
                at++;
            }
            if (is_alive(b, slot) && (at == n || ids[at] != own[slot])) {
                bury_slot(ix, b, slot);
                count++;
            }
        }
    }
    if (removed) {
        *removed = count;
    }
    return FM_OK;
}

fm_status fm__index_keep(fm__index *ix, const int64_t *ids, size_t n, size_t *removed, fm_error *err)
{
    fm_status st = refuse_read_only(ix, err);
    if (st != FM_OK) {
        return st;
    }
    pthread_mutex_lock(&ix->change);
    pthread_rwlock_wrlock(&ix->state);
    st = keep_only(ix, ids, n, removed, err);
    pthread_rwlock_unlock(&ix->state);
    pthread_mutex_unlock(&ix->change);
    return st;
}

fm_status fm__index_save(fm__index *ix, fm_error *err)
{
    fm_status st = refuse_read_only(ix, err);
    if (st != FM_OK || !ix->path) {
        return st;
    }
    pthread_mutex_lock(&ix->change);
    st = fm__index_write(ix, err);
    pthread_mutex_unlock(&ix->change);
    return st;
}

fm_status fm__index_get(fm__index *ix, int64_t id, float *out, fm_error *err)
{
    size_t block = 0, slot = 0;
    bool found;
    pthread_rwlock_rdlock(&ix->state);
    fm_status st = fm__index_find(ix, id, &block, &slot, &found, err);
    if (st == FM_OK && !found) {
        st = fm__fail(err, FM_NOTFOUND, "no vector of id %lld in the index", (long long)id);
    }
    if (st == FM_OK && !fm__block_check_row(ix->blocks[block], &ix->layout, slot)) {
        st = fm__index_damaged(ix, block, err);
    }
    if (st == FM_OK) {
        memcpy(out, fm__block_row(ix->blocks[block], &ix->layout, slot), ix->layout.dim * sizeof(*out));
    }
    pthread_rwlock_unlock(&ix->state);
    return st;
}

// What of a block lies above `after`, until `max` are there.
static fm_status read_block(fm__index *ix, size_t i, int64_t after, size_t max, int64_t *ids, float *vectors,
    size_t *count, fm_error *err)
{
    fm__block *b = ix->blocks[i];
    size_t dim = ix->layout.dim;
    if (!fm__block_check(b, &ix->layout)) {
        return fm__index_damaged(ix, i, err);
    }
    const int64_t *own = fm__block_ids(b, &ix->layout);
    for (size_t slot = lower_bound(own, b->count, after + 1); slot < b->count && *count < max; slot++) {
        if (!is_alive(b, slot)) {
            continue;
        }
        if (vectors && !fm__block_check_row(b, &ix->layout, slot)) {
            return fm__index_damaged(ix, i, err);
        }
        if (vectors) {
            memcpy(vectors + *count * dim, fm__block_row(b, &ix->layout, slot), dim * sizeof(*vectors));
        }
        ids[(*count)++] = own[slot];
    }
    return FM_OK;
}

fm_status fm__index_read(
    fm__index *ix, int64_t after, size_t max, int64_t *ids, float *vectors, size_t *count, fm_error *err)
{
    size_t i = 0;
    *count = 0;
    after = after < 0 ? 0 : after; // ids are positive
    if (after == INT64_MAX) {
        return FM_OK;
    }
    pthread_rwlock_rdlock(&ix->state);
    fm_status st = block_of(ix, after, &i, err);
    for (; i < ix->block_count && st == FM_OK && *count < max; i++) {
        st = read_block(ix, i, after, max, ids, vectors, count, err);
    }
    pthread_rwlock_unlock(&ix->state);
    return st;
}

// Checks a block from its bytes, whatever was found before, and that ids rise from the block before it.
static bool is_whole(fm__index *ix, size_t i, int64_t *last)
{
    fm__block *b = ix->blocks[i];
    if (b->is_mapped) {
        atomic_store(&b->is_checked, false);
        memset((void *)b->rows_checked, 0, FM_BLOCK_SLOTS);
    }
    if (!fm__block_check(b, &ix->layout)) {
        return false;
    }
    for (size_t slot = 0; slot < b->count; slot++) {
        int64_t id = fm__block_ids(b, &ix->layout)[slot];
        if (id <= *last || !fm__block_check_row(b, &ix->layout, slot)) {
            return false;
        }
        *last = id;
    }
    return true;
}

fm_status fm__index_verify(fm__index *ix, fm_error *err)
{
    int64_t last = 0;
    fm_status st = FM_OK;
    pthread_rwlock_rdlock(&ix->state);
    for (size_t i = 0; i < ix->block_count && st == FM_OK; i++) {
        st = is_whole(ix, i, &last) ? FM_OK : fm__index_damaged(ix, i, err);
    }
    if (st == FM_OK && last > ix->last_id) {
        st = fm__fail(err, FM_FORMAT, "the index ends at id %lld, its head says %lld; make it anew",
            (long long)last, (long long)ix->last_id);
    }
    pthread_rwlock_unlock(&ix->state);
    return st;
}

size_t fm__index_count(fm__index *ix)
{
    pthread_rwlock_rdlock(&ix->state);
    size_t n = ix->alive;
    pthread_rwlock_unlock(&ix->state);
    return n;
}

int64_t fm__index_last_id(fm__index *ix)
{
    pthread_rwlock_rdlock(&ix->state);
    int64_t id = ix->last_id;
    pthread_rwlock_unlock(&ix->state);
    return id;
}

int fm__index_dim(const fm__index *ix)
{
    return ix->opts.dim;
}

fm_metric fm__index_metric(const fm__index *ix)
{
    return ix->opts.metric;
}
