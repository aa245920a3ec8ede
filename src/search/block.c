// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Blocks of vectors, the same bytes in memory and in a file. block.h has the layout.

#include "search/block.h"

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/error.h"

#include <string.h>

#define MAGIC UINT32_C(0x4b424d46) // "FMBK"

typedef struct head {
    uint32_t magic, count, dim, sum; // sum: of what lies between head and rows, and of the three before it
    uint8_t rest[48];
} head;
_Static_assert(sizeof(head) == 64, "a head is 64 bytes");

enum { QUANT_ARRAYS = 6, PAGE = 4096 };

static size_t up_to(size_t v, size_t step)
{
    return (v + step - 1) / step * step;
}

fm__block_layout fm__block_layout_of(size_t dim)
{
    fm__block_layout l = {.dim = dim, .stride = up_to(dim, 16)};
    l.ids = sizeof(head) + QUANT_ARRAYS * FM_BLOCK_SLOTS * sizeof(float);
    l.row_sums = l.ids + FM_BLOCK_SLOTS * sizeof(int64_t);
    l.codes = l.row_sums + FM_BLOCK_SLOTS * sizeof(uint32_t);
    l.panel_bytes = fm__scan_groups(dim) * 4 * FM_SCAN_PANEL;
    l.rows = up_to(l.codes + FM_BLOCK_PANELS * l.panel_bytes, 64);
    l.size = up_to(l.rows + FM_BLOCK_SLOTS * l.stride * sizeof(float), PAGE);
    return l;
}

fm_status fm__block_over(unsigned char *bytes, size_t count, fm__block **out, fm_error *err)
{
    fm__block *b = fm__calloc(FM_TAG_SEARCH, sizeof(*b));
    if (b) {
        b->rows_checked = fm__calloc(FM_TAG_SEARCH, FM_BLOCK_SLOTS);
    }
    if (!b || !b->rows_checked) {
        fm__free(b);
        return fm__fail_nomem(err, "a block of the index");
    }
    b->bytes = bytes;
    b->is_mapped = true;
    b->count = count;
    for (size_t i = 0; i < count; i++) {
        b->alive[i / FM_SCAN_PANEL] |= (uint16_t)(1U << i % FM_SCAN_PANEL);
    }
    *out = b;
    return FM_OK;
}

fm_status fm__block_new(const fm__block_layout *layout, fm__block **out, fm_error *err)
{
    unsigned char *bytes = fm__calloc_aligned(FM_TAG_SEARCH, layout->size, PAGE);
    if (!bytes) {
        return fm__fail_nomem(err, "a block of the index");
    }
    fm_status st = fm__block_over(bytes, 0, out, err);
    if (st != FM_OK) {
        fm__free(bytes);
        return st;
    }
    (*out)->is_mapped = false;
    atomic_store(&(*out)->is_checked, true);
    memset((void *)(*out)->rows_checked, 1, FM_BLOCK_SLOTS);
    return FM_OK;
}

void fm__block_free(fm__block **block)
{
    fm__block *b = block ? *block : NULL;
    if (!b) {
        return;
    }
    if (!b->is_mapped) {
        fm__free(b->bytes);
    }
    fm__free((void *)b->rows_checked);
    fm__free(b);
    *block = NULL;
}

const int64_t *fm__block_ids(const fm__block *b, const fm__block_layout *layout)
{
    return (const int64_t *)(const void *)(b->bytes + layout->ids);
}

const float *fm__block_row(const fm__block *b, const fm__block_layout *layout, size_t slot)
{
    return (const float *)(const void *)(b->bytes + layout->rows) + slot * layout->stride;
}

fm__scan_quant fm__block_quant(const fm__block *b, const fm__block_layout *layout)
{
    (void)layout;
    float *f = (float *)(void *)(b->bytes + sizeof(head));
    return (fm__scan_quant){.scale = f,
        .mid = f + FM_BLOCK_SLOTS,
        .norm2 = f + 2 * FM_BLOCK_SLOTS,
        .sum = f + 3 * FM_BLOCK_SLOTS,
        .residual = f + 4 * FM_BLOCK_SLOTS,
        .blur = f + 5 * FM_BLOCK_SLOTS};
}

static uint32_t row_sum(const fm__block *b, const fm__block_layout *layout, size_t slot)
{
    return fm__crc32c(0, fm__block_row(b, layout, slot), layout->stride * sizeof(float));
}

static uint32_t *row_sums(const fm__block *b, const fm__block_layout *layout)
{
    return (uint32_t *)(void *)(b->bytes + layout->row_sums);
}

void fm__block_add(fm__block *b, const fm__block_layout *layout, int64_t id, const float *vector)
{
    size_t slot = b->count++;
    fm__scan_quant q = fm__block_quant(b, layout);
    fm__scan_put(b->bytes + layout->codes + slot / FM_SCAN_PANEL * layout->panel_bytes, slot % FM_SCAN_PANEL,
        vector, layout->dim, &q, slot);
    memcpy(
        b->bytes + layout->rows + slot * layout->stride * sizeof(float), vector, layout->dim * sizeof(float));
    ((int64_t *)(void *)(b->bytes + layout->ids))[slot] = id;
    row_sums(b, layout)[slot] = row_sum(b, layout, slot);
    b->alive[slot / FM_SCAN_PANEL] |= (uint16_t)(1U << slot % FM_SCAN_PANEL);
    b->is_dirty = true;
}

static uint32_t first_sum(const fm__block *b, const head *h, const fm__block_layout *layout)
{
    uint32_t sum = fm__crc32c(0, h, offsetof(head, sum));
    return fm__crc32c(sum, b->bytes + sizeof(head), layout->rows - sizeof(head));
}

static head head_of(const fm__block *b, const fm__block_layout *layout)
{
    head h = {.magic = MAGIC, .count = (uint32_t)b->count, .dim = (uint32_t)layout->dim};
    h.sum = first_sum(b, &h, layout);
    return h;
}

void fm__block_seal(fm__block *b, const fm__block_layout *layout)
{
    head h = head_of(b, layout);
    memcpy(b->bytes, &h, sizeof(h));
}

uint32_t fm__block_sum(const fm__block *b, const fm__block_layout *layout)
{
    head h;
    memcpy(&h, b->bytes, sizeof(h));
    return b->is_mapped ? h.sum : head_of(b, layout).sum;
}

bool fm__block_check(fm__block *b, const fm__block_layout *layout)
{
    if (atomic_load_explicit(&b->is_checked, memory_order_relaxed)) { // the bytes themselves never change
        return true;
    }
    head h;
    memcpy(&h, b->bytes, sizeof(h));
    bool whole =
        h.magic == MAGIC && h.count == b->count && h.dim == layout->dim && h.sum == first_sum(b, &h, layout);
    if (whole) {
        atomic_store_explicit(&b->is_checked, true, memory_order_relaxed);
    }
    return whole;
}

bool fm__block_check_row(fm__block *b, const fm__block_layout *layout, size_t slot)
{
    if (atomic_load_explicit(&b->rows_checked[slot], memory_order_relaxed)) {
        return true;
    }
    bool whole = row_sums(b, layout)[slot] == row_sum(b, layout, slot);
    if (whole) {
        atomic_store_explicit(&b->rows_checked[slot], 1, memory_order_relaxed);
    }
    return whole;
}
