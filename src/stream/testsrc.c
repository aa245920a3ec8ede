// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The test source. Everything is a pure function of (options, frame number): no state is carried from frame
// to frame, so that frame n is the same however it is reached and the truth needs no run. The picture is
// divided into a grid of cells, one a shape; a shape's size, start and speed come from a hash of (seed,
// shape), its place is a triangular wave of the frame number within its cell: straight lines, reflected at
// the borders. All places and sizes are even, so that subsampled chroma falls on box edges. Colours are
// BT.601 limited range; background texture is static noise in 8x8 blocks plus fine noise that changes every
// frame, as a sensor's does. Numbers come from the finaliser of MurmurHash3 (A. Appleby, 2011) and xorshift32
// (G. Marsaglia, "Xorshift RNGs", 2003).

#include "stream/testsrc.h"
#include "stream/source.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SHAPES 64
#define MAX_SIDE 16384
#define MIN_CELL 8 // a box of 4 with room to move
#define GREY_LUMA 112
#define TEXTURE_MASK 31 // added to GREY_LUMA: 112..143
#define CLASS_COUNT 6
#define DEFAULT_MAX_PIXELS ((int64_t)16384 * 16384 / 2)

struct fm_source {
    fm_testsrc src;
    fm_frame_pool *pool;
    const atomic_bool *cancel;
    atomic_bool interrupted;
    uint64_t next;
};

typedef struct colour {
    uint8_t y, u, v; // BT.601, limited
    uint8_t r, g, b;
} colour;

// Y = 16 + 65.481 R + 128.553 G + 24.966 B and so on (BT.601), rounded.
static const colour class_colours[CLASS_COUNT] = {
    {81, 90, 240, 255, 0, 0},
    {145, 54, 34, 0, 255, 0},
    {41, 240, 110, 0, 0, 255},
    {210, 16, 146, 255, 255, 0},
    {106, 202, 222, 255, 0, 255},
    {170, 166, 16, 0, 255, 255},
};

static uint32_t mix(uint32_t h)
{
    h ^= h >> 16;
    h *= 0x85ebca6bU;
    h ^= h >> 13;
    h *= 0xc2b2ae35U;
    return h ^ h >> 16;
}

static uint32_t hash3(uint32_t a, uint32_t b, uint32_t c)
{
    return mix(mix(mix(a + 0x9e3779b9U) + b) + c);
}

static bool parse_size(char *text, fm_testsrc *src)
{
    char *by = strchr(text, 'x');
    int64_t w = 0, h = 0;
    if (!by) {
        return false;
    }
    *by = 0;
    bool ok = fm__parse_int(text, &w) && fm__parse_int(by + 1, &h) && w >= MIN_CELL && h >= MIN_CELL &&
              w <= MAX_SIDE && h <= MAX_SIDE;
    src->width = ok ? (int)w : 0;
    src->height = ok ? (int)h : 0;
    return ok;
}

static bool parse_format(const char *text, fm_pixfmt *out)
{
    static const fm_pixfmt drawn[] = {FM_PIXFMT_YUV420P, FM_PIXFMT_NV12, FM_PIXFMT_RGB24};
    for (size_t i = 0; i < sizeof(drawn) / sizeof(*drawn); i++) {
        if (strcmp(text, fm_pixfmt_name(drawn[i])) == 0) {
            *out = drawn[i];
            return true;
        }
    }
    return false;
}

static bool parse_option(const char *key, const char *value, fm_testsrc *src)
{
    int64_t n = 0;
    if (strcmp(key, "format") == 0) {
        return parse_format(value, &src->format);
    }
    if (!fm__parse_int(value, &n) || n < 0) {
        return false;
    }
    if (strcmp(key, "frames") == 0) {
        src->frames = (uint64_t)n;
        return n > 0;
    }
    if (strcmp(key, "shapes") == 0) {
        src->shapes = (int)(n <= MAX_SHAPES ? n : -1);
        return src->shapes >= 0;
    }
    if (strcmp(key, "seed") == 0) {
        src->seed = (uint32_t)n;
        return n <= UINT32_MAX;
    }
    if (strcmp(key, "noise") == 0) {
        src->noise = (int)(n <= 32 ? n : -1);
        return src->noise >= 0;
    }
    return false;
}

static int grid_columns(const fm_testsrc *src)
{
    int columns = (int)ceil(sqrt((double)src->shapes * src->width / src->height));
    columns = columns > src->shapes ? src->shapes : columns;
    return columns < 1 ? 1 : columns;
}

typedef struct cell {
    int x, y, w, h; // even
} cell;

static cell cell_of(const fm_testsrc *src, int i)
{
    int columns = grid_columns(src), rows = (src->shapes + columns - 1) / columns;
    rows = rows < 1 ? 1 : rows;
    int w = (src->width / columns) & ~1, h = (src->height / rows) & ~1;
    return (cell){.x = i % columns * w, .y = i / columns * h, .w = w, .h = h};
}

static fm_status parse_parts(char *text, const char *url, fm_testsrc *src, fm_error *err)
{
    char *rest = text, *size = strsep(&rest, ",");
    char *at = strchr(size, '@');
    if (at) {
        *at = 0;
    }
    bool fps_ok = !at || (fm__parse_double(at + 1, &src->fps) && src->fps > 0 && src->fps <= 1000);
    if (!parse_size(size, src) || !fps_ok) {
        return fm__fail(err, FM_INVAL, "'%s': write testsrc:WxH@FPS, sides %d to %d, FPS up to 1000", url,
            MIN_CELL, MAX_SIDE);
    }
    for (char *option; (option = strsep(&rest, ","));) {
        char *value = strchr(option, '=');
        if (value) {
            *value++ = 0;
        }
        if (!value || !parse_option(option, value, src)) {
            return fm__fail(err, FM_INVAL,
                "'%s': option '%s' is not one of frames=N, shapes=0..64, seed=S, noise=0..32, "
                "format=yuv420p|nv12|rgb24",
                url, option);
        }
    }
    cell c = cell_of(src, 0);
    if (c.w < MIN_CELL || c.h < MIN_CELL) {
        return fm__fail(err, FM_INVAL, "'%s': %dx%d is too small for %d shapes; ask for fewer", url,
            src->width, src->height, src->shapes);
    }
    return FM_OK;
}

fm_status fm__testsrc_parse(const char *url, fm_testsrc *out, fm_error *err)
{
    fm_testsrc src = {.fps = 25, .shapes = 6, .seed = 1, .format = FM_PIXFMT_YUV420P, .noise = 4};
    const char *colon = strchr(url, ':');
    char *text = fm__strdup(FM_TAG_STREAM, colon ? colon + 1 : url);
    if (!text) {
        return fm__fail_nomem(err, "a stream");
    }
    fm_status st = parse_parts(text, url, &src, err);
    fm__free(text);
    if (st == FM_OK) {
        *out = src;
    }
    return st;
}

// Goes 0, 1, .. range, range - 1, .. 0, 1, ..
static int bounce(uint64_t n, int range)
{
    if (range == 0) {
        return 0;
    }
    int at = (int)(n % (2 * (uint64_t)range));
    return at > range ? 2 * range - at : at;
}

// A side between a third and two thirds of its cell, even, at least 4.
static int side(uint32_t h, int cell_side)
{
    int third = cell_side / 3, s = (third + (int)(h % (uint32_t)(third + 1))) & ~1;
    return s < 4 ? 4 : s;
}

size_t fm__testsrc_truth(const fm_testsrc *src, uint64_t index, fm_det *dets)
{
    for (int i = 0; i < src->shapes; i++) {
        cell c = cell_of(src, i);
        uint32_t id = (uint32_t)i;
        int w = side(hash3(src->seed, id, 1), c.w), h = side(hash3(src->seed, id, 2), c.h);
        int range_x = (c.w - w) / 2, range_y = (c.h - h) / 2; // in steps of 2 pixels
        uint64_t step_x = 1 + hash3(src->seed, id, 3) % 2, step_y = hash3(src->seed, id, 4) % 3;
        int x = c.x + 2 * bounce(hash3(src->seed, id, 5) % 4096 + step_x * index, range_x);
        int y = c.y + 2 * bounce(hash3(src->seed, id, 6) % 4096 + step_y * index, range_y);
        dets[i] = (fm_det){
            .box = {(float)x, (float)y, (float)(x + w), (float)(y + h)},
            .score = 1,
            .class_id = i % CLASS_COUNT,
            .track_id = i + 1,
        };
    }
    return (size_t)src->shapes;
}

// Luma of one background row, four samples a random number.
static void background_row(const fm_testsrc *src, uint64_t index, int y, uint8_t *row)
{
    uint32_t state = hash3(src->seed ^ (uint32_t)index, (uint32_t)(index >> 32) + 77, (uint32_t)y) | 1;
    uint32_t block = 0;
    unsigned span = 2 * (unsigned)src->noise + 1;
    for (int x = 0; x < src->width; x++) {
        if (x % 8 == 0) {
            block = GREY_LUMA + (hash3(src->seed, (uint32_t)(x / 8), (uint32_t)(y / 8)) & TEXTURE_MASK);
        }
        if (x % 4 == 0) {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
        }
        uint32_t byte = state >> (8 * (x % 4)) & 0xff;
        row[x] = (uint8_t)(block + (byte * span >> 8) - (unsigned)src->noise);
    }
}

// Limited-range grey to RGB: what conversion of the YUV formats gives.
static void grey_to_rgb(uint8_t *row, int width)
{
    for (int x = width - 1; x >= 0; x--) { // from the end: in place, three bytes for one
        uint8_t grey = (uint8_t)((((int)row[x] - 16) * 255 + 109) / 219);
        row[3 * x] = row[3 * x + 1] = row[3 * x + 2] = grey;
    }
}

static void fill_rows(uint8_t *at, int stride, int rows, const uint8_t *sample, int bytes, int count)
{
    for (int y = 0; y < rows; y++) {
        for (int x = 0; x < count * bytes; x++) {
            at[x] = sample[x % bytes];
        }
        at += stride;
    }
}

// One plane of one box; chroma planes have half the size.
static void draw_box(fm_frame *f, const fm_box *box, const colour *c)
{
    int x = (int)box->x0, y = (int)box->y0, w = (int)(box->x1 - box->x0), h = (int)(box->y1 - box->y0);
    const fm_frame_view *v = &f->view;
    const uint8_t rgb[3] = {c->r, c->g, c->b}, uv[2] = {c->u, c->v};
    if (v->format == FM_PIXFMT_RGB24) {
        fill_rows(fm__frame_plane(f, 0) + (ptrdiff_t)y * v->stride[0] + 3 * x, v->stride[0], h, rgb, 3, w);
        return;
    }
    fill_rows(fm__frame_plane(f, 0) + (ptrdiff_t)y * v->stride[0] + x, v->stride[0], h, &c->y, 1, w);
    if (v->format == FM_PIXFMT_NV12) {
        fill_rows(
            fm__frame_plane(f, 1) + (ptrdiff_t)(y / 2) * v->stride[1] + x, v->stride[1], h / 2, uv, 2, w / 2);
        return;
    }
    for (int i = 1; i < 3; i++) {
        fill_rows(fm__frame_plane(f, i) + (ptrdiff_t)(y / 2) * v->stride[i] + x / 2, v->stride[i], h / 2,
            &uv[i - 1], 1, w / 2);
    }
}

static void draw(const fm_testsrc *src, uint64_t index, fm_frame *f)
{
    uint8_t *luma = fm__frame_plane(f, 0);
    for (int y = 0; y < src->height; y++) {
        uint8_t *row = luma + (ptrdiff_t)y * f->view.stride[0];
        background_row(src, index, y, row);
        if (src->format == FM_PIXFMT_RGB24) {
            grey_to_rgb(row, src->width);
        }
    }
    for (int i = 1; i < fm_pixfmt_planes(src->format); i++) {
        int w, h;
        fm__pixfmt_plane_size(src->format, src->width, src->height, i, &w, &h);
        memset(fm__frame_plane(f, i), 128, (size_t)f->view.stride[i] * (size_t)h);
    }
    fm_det dets[MAX_SHAPES];
    size_t n = fm__testsrc_truth(src, index, dets);
    for (size_t i = 0; i < n; i++) {
        draw_box(f, &dets[i].box, &class_colours[dets[i].class_id]);
    }
}

static void test_close(fm_source *s)
{
    fm__frame_pool_free(&s->pool);
    fm__free(s);
}

static fm_status test_open(
    const fm_source_opts *opts, fm_stream_kind kind, fm_source **out, fm_stream_info *info, fm_error *err)
{
    (void)kind;
    fm_testsrc src;
    fm_status st = fm__testsrc_parse(opts->url, &src, err);
    if (st != FM_OK) {
        return st;
    }
    if ((int64_t)src.width * src.height > (opts->max_pixels > 0 ? opts->max_pixels : DEFAULT_MAX_PIXELS)) {
        return fm__fail(err, FM_DENIED, "'%s' has more pixels than allowed; ask for fewer", opts->url);
    }
    fm_source *s = fm__calloc(FM_TAG_STREAM, sizeof(*s));
    if (!s) {
        return fm__fail_nomem(err, "a stream");
    }
    s->src = src;
    s->cancel = opts->cancel;
    atomic_init(&s->interrupted, false);
    st = fm__frame_pool_new(&s->pool, err);
    if (st != FM_OK) {
        test_close(s);
        return st;
    }
    info->fps = src.fps;
    info->frame_count = src.frames;
    info->width = src.width;
    info->height = src.height;
    *out = s;
    return FM_OK;
}

static fm_status test_read(fm_source *s, fm_frame **out, fm_error *err)
{
    if (atomic_load(&s->interrupted) || (s->cancel && atomic_load(s->cancel))) {
        return fm__fail(err, FM_CANCELED, "reading the test source: stopped");
    }
    if (s->src.frames > 0 && s->next >= s->src.frames) {
        return FM_EOF;
    }
    fm_frame *f = NULL;
    fm_status st = fm__frame_pool_take_pixels(s->pool, s->src.format, s->src.width, s->src.height, &f, err);
    if (st != FM_OK) {
        return st;
    }
    draw(&s->src, s->next, f);
    f->view.matrix = FM_MATRIX_BT601;
    f->view.range = s->src.format == FM_PIXFMT_RGB24 ? FM_RANGE_FULL : FM_RANGE_LIMITED;
    f->view.chroma_site = FM_CHROMA_LEFT;
    f->pts_ns = llround((double)s->next * (double)FM_NS_PER_S / s->src.fps);
    s->next++;
    *out = f;
    return FM_OK;
}

static fm_status test_start(fm_source *s, uint64_t frame, const fm_stream_mark *mark, fm_error *err)
{
    if (s->src.frames > 0 && frame > s->src.frames) {
        return fm__fail(err, FM_INVAL, "start_frame is %llu, and there are only %llu frames",
            (unsigned long long)frame, (unsigned long long)s->src.frames);
    }
    s->next = frame - 1;
    fm_frame *last = NULL;
    fm_status st = test_read(s, &last, err); // s->next becomes the frame's
    bool same = st != FM_OK || !mark || fm__frame_crc(&last->view) == mark->crc;
    fm_frame_unref(&last);
    return same ? st
                : fm__fail(err, FM_INVAL, "frame %llu is not the one that the state is of: other options",
                      (unsigned long long)frame - 1);
}

static void test_stats(const fm_source *s, fm_stream_stats *out)
{
    (void)s;
    (void)out;
}

static void test_interrupt(fm_source *s)
{
    atomic_store(&s->interrupted, true);
}

const fm_source_ops fm__test_source = {
    .name = "testsrc",
    .open = test_open,
    .read = test_read,
    .start = test_start,
    .stats = test_stats,
    .interrupt = test_interrupt,
    .close = test_close,
};
