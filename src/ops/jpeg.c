// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The JPEG encoder's frame: scratch, edges, headers; after ITU-T T.81 and JFIF 1.02. A row of units is worked
// in three steps: all its blocks are transformed and quantised (jpeg_dct.h); their symbols become bits, which
// are the larger part of the work at a quality that one keeps; and the bits are copied to the caller with a
// zero behind each 0xFF. Tables are in jpeg_tables.c.

#include "ops/jpeg.h"

#include "frame/frame.h"

#include <string.h>

enum { EDGE = FM__JPEG_GROUP * 8 }; // samples of a group

// Bytes of scratch, each part on its own cache lines.
typedef struct layout {
    size_t coefs[3], masks[3]; // of a component, [v][blocks]
    size_t edge, pairs, bits, size;
    int blocks[3]; // of a row of blocks, in whole groups and units
    int units;
    int h, v, components;
    size_t pair_stride;
} layout;

static size_t place(size_t *end, size_t bytes)
{
    size_t at = *end;
    *end += (bytes + 63) / 64 * 64;
    return at;
}

static int up(int n, int of)
{
    return (n + of - 1) / of;
}

static layout lay_out(fm_pixfmt format, int width)
{
    layout l = {.h = 1, .v = 1, .components = format == FM_PIXFMT_GRAY8 ? 1 : 3};
    l.h += format == FM_PIXFMT_YUV420P || format == FM_PIXFMT_YUV422P || format == FM_PIXFMT_NV12;
    l.v += format == FM_PIXFMT_YUV420P || format == FM_PIXFMT_NV12;
    l.units = up(width, 8 * l.h);
    size_t all = 0;
    for (int c = 0; c < l.components; c++) {
        int h = c ? 1 : l.h, v = c ? 1 : l.v;
        l.blocks[c] = up(l.units * h, FM__JPEG_GROUP) * FM__JPEG_GROUP;
        size_t blocks = (size_t)l.blocks[c] * (size_t)v;
        l.coefs[c] = place(&l.size, blocks * FM__JPEG_BLOCK * sizeof(int16_t));
        l.masks[c] = place(&l.size, blocks * sizeof(uint64_t));
        all += (size_t)l.units * (size_t)(h * v);
    }
    l.edge = place(&l.size, 8 * EDGE);
    l.pair_stride = (size_t)l.blocks[l.components - 1] * 8;
    l.pairs = place(&l.size, format == FM_PIXFMT_NV12 ? 2 * 8 * l.pair_stride : 0);
    l.bits = place(&l.size, all * FM__JPEG_BLOCK_BYTES + FM__JPEG_SLACK);
    return l;
}

bool fm__jpeg_takes(fm_pixfmt format)
{
    return format == FM_PIXFMT_GRAY8 || format == FM_PIXFMT_YUV420P || format == FM_PIXFMT_YUV422P ||
           format == FM_PIXFMT_YUV444P || format == FM_PIXFMT_NV12;
}

size_t fm__jpeg_scratch_size(fm_pixfmt format, int width)
{
    return lay_out(format, width).size;
}

size_t fm__jpeg_row_bytes(fm_pixfmt format, int width)
{
    layout l = lay_out(format, width);
    size_t blocks = (size_t)l.units * (size_t)(l.h * l.v + l.components - 1);
    return 2 * blocks * FM__JPEG_BLOCK_BYTES + FM__JPEG_SLACK;
}

const fm__jpeg_kernels *fm__jpeg_kernels_of(fm_cpu_level level)
{
#if defined(__x86_64__)
    if (level == FM_CPU_AVX512) {
        return __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512cd") ? &fm__jpeg_vbmi2
                                                                                           : &fm__jpeg_avx512;
    }
    if (level == FM_CPU_AVX2) {
        return &fm__jpeg_avx2;
    }
#endif
    (void)level;
    return &fm__jpeg_scalar;
}

void fm__jpeg_begin(fm__jpeg_run *run, const fm__jpeg_tables *tables, const fm__jpeg_kernels *kernels,
    const fm_frame_view *view, void *scratch)
{
    layout l = lay_out(view->format, view->width);
    *run = (fm__jpeg_run){.tables = tables,
        .kernels = kernels,
        .view = *view,
        .rows = up(view->height, 8 * l.v),
        .scratch = scratch};
}

/* ---- pixels ---- */

// A component's rows of one row of blocks.
typedef struct strip {
    const uint8_t *rows[8];
    int width; // samples
} strip;

static void last_samples(const strip *s, int x0, uint8_t *edge)
{
    int n = s->width - x0;
    for (int y = 0; y < 8; y++) {
        uint8_t *to = edge + (ptrdiff_t)y * EDGE;
        memcpy(to, s->rows[y] + x0, (size_t)n);
        memset(to + n, to[n - 1], (size_t)(EDGE - n));
    }
}

// Blocks from `first` on are not there: their DC will be the last one's.
static void no_blocks(int16_t *coefs, uint64_t *masks, int first, int count)
{
    if (first < count) {
        memset(coefs + (ptrdiff_t)first * FM__JPEG_BLOCK, 0,
            (size_t)(count - first) * FM__JPEG_BLOCK * sizeof(*coefs));
        memset(masks + first, 0, (size_t)(count - first) * sizeof(*masks));
    }
}

static void transform_strip(
    const fm__jpeg_run *r, const layout *l, int c, const strip *s, int16_t *coefs, uint64_t *masks)
{
    int groups = s->width / EDGE, done = groups * FM__JPEG_GROUP;
    r->kernels->transform(r->tables, c > 0, s->rows, groups, coefs, masks);
    if (groups * EDGE < s->width) {
        uint8_t *edge = r->scratch + l->edge;
        const uint8_t *rows[8];
        for (int y = 0; y < 8; y++) {
            rows[y] = edge + (ptrdiff_t)y * EDGE;
        }
        last_samples(s, groups * EDGE, edge);
        r->kernels->transform(
            r->tables, c > 0, rows, 1, coefs + (ptrdiff_t)done * FM__JPEG_BLOCK, masks + done);
    }
    no_blocks(coefs, masks, up(s->width, 8), l->blocks[c]);
}

// NV12's rows for both components, apart.
static void split_rows(const fm__jpeg_run *r, const layout *l, int block_row, int width, int height)
{
    for (int y = 0; y < 8; y++) {
        int at = block_row * 8 + y < height ? block_row * 8 + y : height - 1;
        uint8_t *u = r->scratch + l->pairs + (size_t)y * l->pair_stride, *v = u + 8 * l->pair_stride;
        r->kernels->split(u, v, r->view.plane[1] + (ptrdiff_t)at * r->view.stride[1], width);
    }
}

static strip strip_of(const fm__jpeg_run *r, const layout *l, int c, int block_row, int width, int height)
{
    strip s = {.width = width};
    bool paired = r->view.format == FM_PIXFMT_NV12 && c > 0;
    if (paired && c == 1) {
        split_rows(r, l, block_row, width, height);
    }
    for (int y = 0; y < 8; y++) {
        int at = block_row * 8 + y < height ? block_row * 8 + y : height - 1;
        s.rows[y] = paired ? r->scratch + l->pairs + (size_t)((c - 1) * 8 + y) * l->pair_stride
                           : r->view.plane[c] + (ptrdiff_t)at * r->view.stride[c];
    }
    return s;
}

static void transform_row(const fm__jpeg_run *r, const layout *l, int row)
{
    for (int c = 0; c < l->components; c++) {
        int h = c ? l->h : 1, v = c ? l->v : 1, lines = c ? 1 : l->v;
        int width = up(r->view.width, h), height = up(r->view.height, v);
        for (int i = 0; i < lines; i++) {
            size_t first = (size_t)i * (size_t)l->blocks[c];
            int16_t *coefs = (int16_t *)(void *)(r->scratch + l->coefs[c]) + first * FM__JPEG_BLOCK;
            uint64_t *masks = (uint64_t *)(void *)(r->scratch + l->masks[c]) + first;
            int block_row = row * lines + i;
            if (block_row * 8 >= height) {
                no_blocks(coefs, masks, 0, l->blocks[c]);
                continue;
            }
            strip s = strip_of(r, l, c, block_row, width, height);
            transform_strip(r, l, c, &s, coefs, masks);
        }
    }
}

/* ---- bits ---- */

static fm__jpeg_scan scan_of(const fm__jpeg_run *r, const layout *l)
{
    fm__jpeg_scan scan = {.units = l->units, .codes = r->tables->codes, .order = r->kernels->order};
    for (int c = 0; c < l->components; c++) {
        int h = c ? 1 : l->h, v = c ? 1 : l->v;
        for (int i = 0; i < h * v; i++) {
            size_t first = (size_t)(i / h) * (size_t)l->blocks[c] + (size_t)(i % h);
            scan.lanes[scan.count++] = (fm__jpeg_lane){
                .coefs = (const int16_t *)(const void *)(r->scratch + l->coefs[c]) + first * FM__JPEG_BLOCK,
                .masks = (const uint64_t *)(const void *)(r->scratch + l->masks[c]) + first,
                .step = h,
                .component = c};
        }
    }
    return scan;
}

size_t fm__jpeg_row(fm__jpeg_run *r, int row, uint8_t *out)
{
    layout l = lay_out(r->view.format, r->view.width);
    transform_row(r, &l, row);
    fm__jpeg_scan scan = scan_of(r, &l);
    uint8_t *bits = r->scratch + l.bits;
    return r->kernels->stuff(out, bits, r->kernels->encode(&scan, &r->state, bits));
}

size_t fm__jpeg_tail(fm__jpeg_run *r, uint8_t *out)
{
    uint8_t *at = out;
    if (r->state.held > 0) { // filled up with ones (T.81, F.1.2.3)
        unsigned room = 8 - r->state.held;
        *at++ = (uint8_t)(r->state.bits << room | ((1U << room) - 1));
        if (at[-1] == 0xFF) {
            *at++ = 0;
        }
        r->state.held = 0;
    }
    *at++ = 0xFF;
    *at++ = 0xD9;
    return (size_t)(at - out);
}

/* ---- headers ---- */

static uint8_t *add(uint8_t *to, const void *bytes, size_t n)
{
    memcpy(to, bytes, n);
    return to + n;
}

static uint8_t *add_quantisers(uint8_t *to, const fm__jpeg_tables *t, int count)
{
    for (int i = 0; i < count; i++) {
        const uint8_t head[] = {0xFF, 0xDB, 0, 3 + FM__JPEG_BLOCK, (uint8_t)i};
        to = add(to, head, sizeof(head));
        to = add(to, t->steps[i], FM__JPEG_BLOCK);
    }
    return to;
}

static uint8_t *add_frame(uint8_t *to, const fm_frame_view *v, const layout *l)
{
    const uint8_t head[] = {0xFF, 0xC0, 0, (uint8_t)(8 + 3 * l->components), 8, (uint8_t)(v->height >> 8),
        (uint8_t)v->height, (uint8_t)(v->width >> 8), (uint8_t)v->width, (uint8_t)l->components};
    to = add(to, head, sizeof(head));
    for (int c = 0; c < l->components; c++) {
        const uint8_t component[] = {
            (uint8_t)(c + 1), c ? 0x11 : (uint8_t)(l->h << 4 | l->v), (uint8_t)(c > 0)};
        to = add(to, component, sizeof(component));
    }
    return to;
}

static uint8_t *add_codes(uint8_t *to, int count)
{
    for (int i = 0; i < 2 * count; i++) {
        bool ac = i & 1;
        const fm__jpeg_code *c = &fm__jpeg_codes[i / 2][ac];
        const uint8_t head[] = {0xFF, 0xC4, 0, (uint8_t)(19 + c->count), (uint8_t)(ac << 4 | i / 2)};
        to = add(to, head, sizeof(head));
        to = add(to, c->lengths, 16);
        to = add(to, c->symbols, c->count);
    }
    return to;
}

size_t fm__jpeg_head(const fm__jpeg_run *r, uint8_t *out)
{
    static const uint8_t jfif[] = {
        0xFF, 0xD8, 0xFF, 0xE0, 0, 16, 'J', 'F', 'I', 'F', 0, 1, 2, 0, 0, 1, 0, 1, 0, 0};
    layout l = lay_out(r->view.format, r->view.width);
    int tables = l.components > 1 ? 2 : 1;
    uint8_t *to = add(out, jfif, sizeof(jfif));
    to = add_quantisers(to, r->tables, tables);
    to = add_frame(to, &r->view, &l);
    to = add_codes(to, tables);
    const uint8_t scan[] = {0xFF, 0xDA, 0, (uint8_t)(6 + 2 * l.components), (uint8_t)l.components};
    to = add(to, scan, sizeof(scan));
    for (int c = 0; c < l.components; c++) {
        const uint8_t component[] = {(uint8_t)(c + 1), c ? 0x11 : 0};
        to = add(to, component, sizeof(component));
    }
    const uint8_t sequential[] = {0, FM__JPEG_BLOCK - 1, 0};
    to = add(to, sequential, sizeof(sequential));
    return (size_t)(to - out);
}
