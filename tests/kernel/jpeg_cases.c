// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

#include "jpeg_cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { GUARD = 256, MARK = 0xA5 };

static void expect_marks(const uint8_t *at, size_t n, const char *what)
{
    for (size_t i = 0; i < n; i++) {
        if (at[i] != MARK) {
            fail_msg("%s: byte %zu behind the end was written", what, i);
        }
    }
}

// A step's output in a block of its own: `room` bytes and marks behind them.
static size_t take(uint8_t *block, size_t room, size_t wrote, jpeg_bytes *j, const char *what)
{
    assert_true(wrote <= room);
    expect_marks(block + room, GUARD, what);
    j->data = realloc(j->data, j->size + wrote);
    assert_non_null(j->data);
    memcpy(j->data + j->size, block, wrote);
    j->size += wrote;
    memset(block, MARK, room + GUARD);
    return wrote;
}

jpeg_bytes jpeg_make(const fm_frame_view *view, const fm__jpeg_kernels *kernels, int quality)
{
    static fm__jpeg_tables tables;
    fm__jpeg_tables_init(&tables, quality, view->range);
    size_t scratch_size = fm__jpeg_scratch_size(view->format, view->width);
    size_t room = fm__jpeg_row_bytes(view->format, view->width);
    size_t most = room > FM__JPEG_HEAD_BYTES ? room : FM__JPEG_HEAD_BYTES;
    uint8_t *scratch = aligned_alloc(64, (scratch_size + GUARD + 63) / 64 * 64),
            *block = malloc(most + GUARD);
    assert_true(scratch && block);
    memset(scratch, MARK, scratch_size + GUARD);
    memset(block, MARK, most + GUARD);
    jpeg_bytes j = {0};
    fm__jpeg_run run;
    fm__jpeg_begin(&run, &tables, kernels, view, scratch);
    take(block, FM__JPEG_HEAD_BYTES, fm__jpeg_head(&run, block), &j, "head");
    for (int row = 0; row < run.rows; row++) {
        take(block, room, fm__jpeg_row(&run, row, block), &j, "row");
    }
    take(block, FM__JPEG_HEAD_BYTES, fm__jpeg_tail(&run, block), &j, "tail");
    expect_marks(scratch + scratch_size, GUARD, "scratch");
    free(scratch);
    free(block);
    return j;
}

/* ---- reading ---- */

static const uint8_t zigzag[64] = {0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40,
    48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

typedef struct decoder {
    const uint8_t *at, *end; // of the scan
    unsigned bit;            // 0..7 of *at, from the top
    struct {
        uint8_t lengths[16], symbols[256];
    } huff[2][2];         // [class][table]
    uint8_t steps[2][64]; // by zigzag
} decoder;

static int next_bit(decoder *d)
{
    assert_true(d->at < d->end);
    int bit = *d->at >> (7 - d->bit) & 1;
    if (++d->bit == 8) {
        d->bit = 0;
        if (*d->at++ == 0xFF) {
            assert_true(d->at < d->end && *d->at == 0);
            d->at++;
        }
    }
    return bit;
}

// F.2.2.3, bit by bit.
static int next_symbol(decoder *d, int class, int table)
{
    int code = 0, first = 0, at = 0;
    for (int len = 0; len < 16; len++) {
        code = code << 1 | next_bit(d);
        int count = d->huff[class][table].lengths[len];
        if (code - first < count) {
            return d->huff[class][table].symbols[at + code - first];
        }
        at += count;
        first = (first + count) << 1;
    }
    fail_msg("no such code");
    return 0;
}

static int next_value(decoder *d, int size)
{
    int v = 0;
    for (int i = 0; i < size; i++) {
        v = v << 1 | next_bit(d);
    }
    return size && v < 1 << (size - 1) ? v - (1 << size) + 1 : v;
}

static void read_block(decoder *d, int table, int *dc, int16_t out[64])
{
    int size = next_symbol(d, 0, table);
    assert_in_range(size, 0, 11);
    *dc += next_value(d, size);
    out[0] = (int16_t)*dc;
    for (int k = 1; k < 64; k++) {
        int symbol = next_symbol(d, 1, table);
        if (symbol == 0) {
            break;
        }
        k += symbol >> 4;
        assert_in_range(k, 1, 63);
        assert_true(symbol == 0xF0 || (symbol & 15) > 0);
        assert_in_range(symbol & 15, 0, 10);
        out[zigzag[k]] = (int16_t)next_value(d, symbol & 15);
    }
}

static void read_scan(decoder *d, jpeg_coefs *out)
{
    int dc[3] = {0}, units_w = out->c[0].blocks_w / out->c[0].h, units_h = out->c[0].blocks_h / out->c[0].v;
    for (int unit = 0; unit < units_w * units_h; unit++) {
        for (int i = 0; i < out->count; i++) {
            jpeg_component *c = &out->c[i];
            for (int k = 0; k < c->h * c->v; k++) {
                int x = unit % units_w * c->h + k % c->h, y = unit / units_w * c->v + k / c->h;
                read_block(d, c->table, &dc[i], c->blocks[y * c->blocks_w + x]);
            }
        }
    }
    for (; d->bit; next_bit(d)) {
        assert_int_equal(*d->at >> (7 - d->bit) & 1, 1);
    }
    assert_true(d->at == d->end);
}

static void read_tables(decoder *d, int marker, const uint8_t *p, size_t n)
{
    for (const uint8_t *end = p + n; p < end;) {
        int class = *p >> 4, table = *p & 15;
        assert_true(class < 2 && table < 2);
        p++;
        if (marker == 0xDB) {
            assert_int_equal(class, 0);
            memcpy(d->steps[table], p, 64);
            p += 64;
            continue;
        }
        int count = 0;
        for (int i = 0; i < 16; i++) {
            count += d->huff[class][table].lengths[i] = p[i];
        }
        assert_true(count <= 256 && p + 16 + count <= end);
        memcpy(d->huff[class][table].symbols, p + 16, (size_t)count);
        p += 16 + count;
    }
}

static void read_frame(const uint8_t *p, jpeg_coefs *out)
{
    assert_int_equal(p[0], 8);
    out->height = p[1] << 8 | p[2];
    out->width = p[3] << 8 | p[4];
    out->count = p[5];
    assert_true(out->count == 1 || out->count == 3);
    for (int i = 0; i < out->count; i++) {
        out->c[i].h = p[7 + 3 * i] >> 4;
        out->c[i].v = p[7 + 3 * i] & 15;
        out->c[i].table = p[8 + 3 * i];
    }
    int unit_w = 8 * out->c[0].h, unit_h = 8 * out->c[0].v; // luma has the most
    for (int i = 0; i < out->count; i++) {
        jpeg_component *c = &out->c[i];
        c->blocks_w = (out->width + unit_w - 1) / unit_w * c->h;
        c->blocks_h = (out->height + unit_h - 1) / unit_h * c->v;
        c->blocks = calloc((size_t)c->blocks_w * (size_t)c->blocks_h, sizeof(*c->blocks));
        assert_non_null(c->blocks);
    }
}

void jpeg_read(const jpeg_bytes *j, jpeg_coefs *out)
{
    decoder d = {0};
    size_t at = 2;
    *out = (jpeg_coefs){0};
    assert_true(j->size > 4 && j->data[0] == 0xFF && j->data[1] == 0xD8);
    for (int marker = 0; marker != 0xDA;) {
        assert_true(at + 4 <= j->size && j->data[at] == 0xFF);
        marker = j->data[at + 1];
        size_t n = (size_t)(j->data[at + 2] << 8 | j->data[at + 3]);
        const uint8_t *p = j->data + at + 4;
        if (marker == 0xDB || marker == 0xC4) {
            read_tables(&d, marker, p, n - 2);
        } else if (marker == 0xC0) {
            read_frame(p, out);
        } else {
            assert_true(marker == 0xDA || (marker == 0xE0 && memcmp(p, "JFIF\0\1\2", 7) == 0));
        }
        at += 2 + n;
    }
    out->scan_at = at;
    out->scan_bytes = j->size - at - 2;
    assert_true(j->data[j->size - 2] == 0xFF && j->data[j->size - 1] == 0xD9);
    d.at = j->data + at;
    d.end = d.at + out->scan_bytes;
    for (int i = 0; i < out->count; i++) {
        for (int k = 0; k < 64; k++) {
            out->c[i].steps[zigzag[k]] = d.steps[out->c[i].table][k];
        }
    }
    read_scan(&d, out);
}

void jpeg_coefs_free(jpeg_coefs *coefs)
{
    for (int i = 0; i < coefs->count; i++) {
        free(coefs->c[i].blocks);
    }
}
