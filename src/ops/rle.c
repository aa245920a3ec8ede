// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// COCO's compressed run lengths (maskApi.c of cocoapi, rleEncode and rleToString; pycocotools 2.0): the frame
// is read column by column, from the top to the bottom, as runs of 0s and 1s in turn, the first of 0s, maybe
// empty. From the fourth on a run is written as the difference from the run before the last one; numbers go
// out in groups of 5 bits, the lowest first, each as the character 48 + group, 32 more where another group
// follows; the last one's bit 4 is the sign.
// Masks have their bits in rows. Eight columns at a time are turned: eight rows' bytes become one 64-bit
// word, whose 8 x 8 bits are transposed (Hacker's Delight, Warren, section 7-3), so that a column's pixels
// lie in words, and the ends of its runs are the set bits of a word against itself shifted by one.

#include "ops/rle.h"

#include <assert.h>
#include <string.h>

enum { COLUMNS = 8, COLUMN_WORDS = FM_RLE_MAX_SIDE / 64, TEXT = 512, LONGEST = 8 };

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

static uint64_t load_word(const uint8_t *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return w;
}

// Byte i holds row i, bit j of it column j; afterwards byte j holds column j, bit i of it row i.
static uint64_t transpose(uint64_t x)
{
    uint64_t t = (x ^ (x >> 7)) & UINT64_C(0x00aa00aa00aa00aa);
    x ^= t ^ (t << 7);
    t = (x ^ (x >> 14)) & UINT64_C(0x0000cccc0000cccc);
    x ^= t ^ (t << 14);
    t = (x ^ (x >> 28)) & UINT64_C(0x00000000f0f0f0f0);
    return x ^ t ^ (t << 28);
}

// Byte `at` of every row becomes eight columns of bits.
static void turn_columns(const fm_mask *mask, int at, uint8_t columns[COLUMNS][COLUMN_WORDS * 8])
{
    const uint8_t *p = mask->bits + at;
    for (int y = 0; y < mask->height; y += 8) {
        uint64_t x = 0;
        for (int i = 0; i < 8 && y + i < mask->height; i++, p += mask->stride)
            x |= (uint64_t)*p << (8 * i);
        x = transpose(x);
        for (int c = 0; c < COLUMNS; c++)
            columns[c][y / 8] = (uint8_t)(x >> (8 * c));
    }
    for (int c = 0; c < COLUMNS; c++) // up to whole words
        memset(&columns[c][(mask->height + 7) / 8], 0, (size_t)(-((mask->height + 7) / 8) & 7));
}

// The runs of one column; `before` is the pixel before its first one, in the frame's order. Returns its last
// pixel.
static uint64_t add_column(runs *r, const uint8_t *bits, int height, int64_t at, uint64_t before)
{
    for (int y = 0; y < height; y += 64) {
        uint64_t w = load_word(bits + y / 8);
        int n = height - y < 64 ? height - y : 64;
        uint64_t ends = w ^ (w << 1 | before);
        if (n < 64)
            ends &= (UINT64_C(1) << n) - 1;
        for (; ends != 0; ends &= ends - 1)
            turn(r, at + y + __builtin_ctzll(ends));
        before = w >> (n - 1) & 1;
    }
    return before;
}

static void add_columns(runs *r, const fm_mask *mask, int height)
{
    uint8_t columns[COLUMNS][COLUMN_WORDS * 8];
    bool is_tall = mask->height == height; // runs go on from one column to the next
    uint64_t before = 0;
    for (int x = 0; x < mask->width; x++) {
        if (x % COLUMNS == 0)
            turn_columns(mask, x / COLUMNS, columns);
        int64_t at = (int64_t)(mask->x + x) * height + mask->y;
        before = add_column(r, columns[x % COLUMNS], mask->height, at, before);
        if (before != 0 && !is_tall) {
            turn(r, at + mask->height);
            before = 0;
        }
    }
    if (before != 0)
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
        add_columns(&r, mask, height);
    int64_t pixels = (int64_t)width * height;
    if (r.end < pixels || r.count == 0)
        add_run(&r, pixels - r.end);
    flush(&r);
}
