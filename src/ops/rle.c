// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// COCO's compressed run lengths (maskApi.c of cocoapi, rleEncode and rleToString; pycocotools 2.0): the frame
// is read column by column, from the top to the bottom, as runs of 0s and 1s in turn, the first of 0s, maybe
// empty. From the fourth on a run is written as the difference from the run before the last one; numbers go
// out in groups of 5 bits, the lowest first, each as the character 48 + group, 32 more where another group
// follows; the last one's bit 4 is the sign.
// Masks have their bits in rows, but runs end where a pixel differs from the one above it, so 64 columns at a
// time are read row by row, each row's word against the one above: nearly all of these differ nowhere. What
// differs is counted by column, then written down in the columns' order (a counting sort). Columns with more
// ends than there is room for, which only noise has, are taken fewer at a time.

#include "ops/rle.h"

#include <assert.h>
#include <string.h>

enum {
    COLUMNS = 64,
    MAX_ENDS = FM_RLE_MAX_SIDE + 1,
    TEXT = 512,
    LONGEST = 8
}; // a column has at most so many ends

/** Runs as they come. */
typedef struct runs {
    fm_str *out;
    char text[TEXT]; // not yet in out
    size_t len;
    int64_t count;
    int64_t last[2]; // lengths of the run before the last and of the last
    int64_t end;     // where the last run ended, in pixels of the frame
} runs;

static void flush(runs *r)
{
    fm__str_add_n(r->out, r->text, r->len);
    r->len = 0;
}

static void add_run(runs *r, int64_t length)
{
    int64_t v = r->count > 2 ? length - r->last[0] : length;
    bool is_more = true;
    if (r->len > TEXT - LONGEST)
        flush(r);
    while (is_more) {
        int group = (int)(v & 0x1f);
        v >>= 5; // of a negative number too: gcc and clang shift the sign in
        is_more = group & 0x10 ? v != -1 : v != 0;
        r->text[r->len++] = (char)(48 + group + (is_more ? 32 : 0));
    }
    r->last[0] = r->last[1];
    r->last[1] = length;
    r->count++;
}

/** The pixels from `at` on are of the other kind. */
static void turn(runs *r, int64_t at)
{
    add_run(r, at - r->end);
    r->end = at;
}

/** 64 columns of a mask, and which of them are looked at. */
typedef struct columns {
    const uint8_t *bits; // of the first row
    int stride, rows;
    uint64_t wanted; // a bit a column
    // What lies above the first row, in the frame's order: nothing is set, or, where the mask is as tall as
    // the frame, the last pixel of the column before.
    uint64_t above;
    uint64_t below; // what lies below the last row does not count where the mask is as tall as the frame
} columns;

static uint64_t word_at(const columns *c, int row)
{
    uint64_t w;
    memcpy(&w, c->bits + (size_t)row * (size_t)c->stride, sizeof w);
    return w;
}

// How many runs end in each column.
static int count_ends(const columns *c, int counts[COLUMNS])
{
    int sum = 0;
    uint64_t last = c->above;
    memset(counts, 0, COLUMNS * sizeof *counts);
    for (int y = 0; y <= c->rows; y++) {
        uint64_t w = y < c->rows ? word_at(c, y) : last & c->below;
        for (uint64_t ends = (w ^ last) & c->wanted; ends != 0; ends &= ends - 1, sum++)
            counts[__builtin_ctzll(ends)]++;
        last = w;
    }
    return sum;
}

// The rows where they end, column after column.
static void sort_ends(const columns *c, int counts[COLUMNS], uint16_t *rows)
{
    int at = 0;
    uint64_t last = c->above;
    for (int i = 0; i < COLUMNS; i++) {
        int n = counts[i];
        counts[i] = at;
        at += n;
    }
    for (int y = 0; y <= c->rows; y++) {
        uint64_t w = y < c->rows ? word_at(c, y) : last & c->below;
        for (uint64_t ends = (w ^ last) & c->wanted; ends != 0; ends &= ends - 1)
            rows[counts[__builtin_ctzll(ends)]++] = (uint16_t)y;
        last = w;
    }
}

static uint64_t bits_between(int from, int to)
{
    uint64_t below = to < COLUMNS ? (UINT64_C(1) << to) - 1 : UINT64_MAX;
    return below & ~((UINT64_C(1) << from) - 1);
}

// The runs of the first n of 64 columns; `at` is the first pixel of the first one.
static void add_columns(runs *r, columns *c, int n, int64_t at, int height)
{
    int ends[COLUMNS];
    uint16_t rows[MAX_ENDS];
    for (int from = 0, to = n; from < n; from = to, to = n) {
        c->wanted = bits_between(from, to);
        while (count_ends(c, ends) > MAX_ENDS) {
            to = (from + to) / 2;
            c->wanted = bits_between(from, to);
        }
        sort_ends(c, ends, rows);
        for (int i = from, k = 0; i < to; i++) {
            for (; k < ends[i]; k++)
                turn(r, at + (int64_t)i * height + rows[k]);
        }
    }
}

static void add_mask(runs *r, const fm_mask *mask, int height)
{
    bool is_tall = mask->height == height; // runs go on from one column to the next
    columns c = {.stride = mask->stride, .rows = mask->height, .below = is_tall ? UINT64_MAX : 0};
    uint64_t carry = 0;
    for (int x = 0; x < mask->width; x += COLUMNS) {
        c.bits = mask->bits + x / 8;
        uint64_t last = word_at(&c, mask->height - 1);
        c.above = is_tall ? last << 1 | carry : 0;
        carry = last >> 63;
        int n = mask->width - x < COLUMNS ? mask->width - x : COLUMNS;
        add_columns(r, &c, n, (int64_t)(mask->x + x) * height + mask->y, height);
        if (n < COLUMNS)
            carry = last >> (n - 1) & 1;
    }
    if (is_tall && carry != 0)
        turn(r, (int64_t)(mask->x + mask->width) * height);
}

void fm__rle_add(fm_str *out, const fm_mask *mask, int width, int height)
{
    runs r;
    r.out = out;
    r.len = 0;
    r.count = r.end = r.last[0] = r.last[1] = 0;
    assert(mask->height <= FM_RLE_MAX_SIDE);
    if (mask->width > 0 && mask->height > 0)
        add_mask(&r, mask, height);
    int64_t pixels = (int64_t)width * height;
    if (r.end < pixels || r.count == 0)
        add_run(&r, pixels - r.end);
    flush(&r);
}
