// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The contact sheet of a search: a grid of the hits' pictures. From a frame's picture the object is cut out
// with some surroundings; where the frame was not kept, the track's best view stands in. Pictures shrink by
// averaging the pixels under each new one. Two lines of text under each say where and when.

#include "app/search_private.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "fm_config.h"
#include "frame/frame.h"
#include "image/image.h"
#include "ops/font.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if FM_HAVE_SQLITE

#include "store/store.h"

// Pixels. A cell holds a picture of PICTURE x PICTURE and two lines of text.
enum {
    CELL = 176,
    PICTURE = 160,
    MARGIN = 8,
    LINE = 16,
    CAP = 9,
    CELL_HEIGHT = PICTURE + 2 * MARGIN + 2 * LINE
};
enum { HITS_MAX = 100, COLUMNS_MAX = 6, GROUND = 245, INK = 40 };
#define SURROUNDINGS 0.15F // of a box's size, on each side

typedef struct sheet {
    uint8_t *rgb;
    int width, height, columns;
    fm_store *store;
    sqlite3 *db;
    fm_frame_pool *pool;
    size_t drawn;
} sheet;

typedef struct area {
    int x0, y0, x1, y1;
} area;

static uint8_t *pixel(const sheet *s, int x, int y)
{
    return s->rgb + ((size_t)y * (size_t)s->width + (size_t)x) * 3;
}

// Mean of the source pixels under each new one.
static void draw_shrunk(const sheet *s, const fm_frame_view *v, area a, int x0, int y0, int w, int h)
{
    for (int y = 0; y < h; y++) {
        int from_y = a.y0 + (int)((int64_t)(a.y1 - a.y0) * y / h),
            to_y = a.y0 + (int)((int64_t)(a.y1 - a.y0) * (y + 1) / h);
        to_y = to_y > from_y ? to_y : from_y + 1;
        for (int x = 0; x < w; x++) {
            int from = a.x0 + (int)((int64_t)(a.x1 - a.x0) * x / w),
                to = a.x0 + (int)((int64_t)(a.x1 - a.x0) * (x + 1) / w);
            to = to > from ? to : from + 1;
            unsigned sum[3] = {0}, n = (unsigned)((to - from) * (to_y - from_y));
            for (int sy = from_y; sy < to_y; sy++) {
                const uint8_t *p = v->plane[0] + (ptrdiff_t)sy * v->stride[0] + (ptrdiff_t)from * 3;
                for (int sx = from; sx < to; sx++, p += 3) {
                    sum[0] += p[0];
                    sum[1] += p[1];
                    sum[2] += p[2];
                }
            }
            for (int c = 0; c < 3; c++) {
                pixel(s, x0 + x, y0 + y)[c] = (uint8_t)((sum[c] + n / 2) / n);
            }
        }
    }
}

// The part to show: all, or the object with its surroundings, inside the picture.
static area part_of(const fm_frame_view *v, const fm_search_hit *h, bool is_frame)
{
    area all = {0, 0, v->width, v->height};
    if (!is_frame || !h->is_object || h->width < 1 || h->height < 1) {
        return all;
    }
    // The picture may have been kept at another size than the frame's.
    float sx = (float)v->width / (float)h->width, sy = (float)v->height / (float)h->height;
    float mx = (h->box.x1 - h->box.x0) * SURROUNDINGS, my = (h->box.y1 - h->box.y0) * SURROUNDINGS;
    float x0 = (h->box.x0 - mx) * sx, y0 = (h->box.y0 - my) * sy;
    float x1 = (h->box.x1 + mx) * sx, y1 = (h->box.y1 + my) * sy;
    area a = {x0 > 0 ? (int)x0 : 0, y0 > 0 ? (int)y0 : 0, x1 < (float)v->width ? (int)x1 : v->width,
        y1 < (float)v->height ? (int)y1 : v->height};
    return a.x1 > a.x0 && a.y1 > a.y0 ? a : all;
}

static void draw_picture(const sheet *s, const fm_frame_view *v, area a, int x0, int y0)
{
    int w = a.x1 - a.x0, h = a.y1 - a.y0, longest = w > h ? w : h;
    int to_w = (int)((int64_t)w * PICTURE / longest), to_h = (int)((int64_t)h * PICTURE / longest);
    to_w = to_w > 0 ? to_w : 1;
    to_h = to_h > 0 ? to_h : 1;
    draw_shrunk(s, v, a, x0 + (PICTURE - to_w) / 2, y0 + (PICTURE - to_h) / 2, to_w, to_h);
}

// Cut at the cell's edge. What the font does not have is a '?'.
static void draw_text(const sheet *s, const char *text, int x0, int y0)
{
    fm_font font = fm__font_at(CAP);
    uint8_t cover[64 * 64];
    int x = x0;
    for (const char *c = text; *c; c++) {
        int glyph = fm__font_index((unsigned char)*c), w = fm__font_advance(&font, glyph);
        if (w > 64 || font.cell_height > 64 || x + w > x0 + PICTURE) {
            return;
        }
        fm__font_render(&font, glyph, cover, 64);
        for (int y = 0; y < font.cell_height && y0 + y < s->height; y++) {
            for (int i = 0; i < w; i++) {
                uint8_t *p = pixel(s, x + i, y0 + y);
                for (int k = 0; k < 3; k++) {
                    p[k] = (uint8_t)((p[k] * (255 - cover[y * 64 + i]) + INK * cover[y * 64 + i]) / 255);
                }
            }
        }
        x += w;
    }
}

// Pictures are read by their own module, which wants files: this one lies in memory.
static fm_status decode(sheet *s, const void *jpeg, size_t bytes, fm_frame **out, fm_error *err)
{
    char path[64];
    int fd = memfd_create("framemill-picture", MFD_CLOEXEC);
    if (fd < 0 || write(fd, jpeg, bytes) != (ssize_t)bytes) {
        if (fd >= 0) {
            close(fd);
        }
        return fm__fail_nomem(err, "a picture");
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    fm_status st = fm__image_load(path, 0, s->pool, out, err);
    close(fd);
    return st;
}

// A picture that is damaged, or was deleted since, leaves its place empty; the rest of the sheet is good.
static fm_status draw_hit_picture(sheet *s, const fm_search_hit *h, int x, int y, bool *drawn, fm_error *err)
{
    int64_t id = h->picture ? h->picture : h->best_picture;
    void *jpeg = NULL;
    size_t bytes = 0;
    fm_frame *frame = NULL;
    *drawn = false;
    if (id == 0) {
        return FM_OK;
    }
    fm_status st = fm__store_picture(s->store, s->db, id, &jpeg, &bytes, err);
    st = st == FM_OK ? decode(s, jpeg, bytes, &frame, err) : st;
    if (st == FM_OK) {
        const fm_frame_view *v = fm_frame_get_view(frame);
        draw_picture(s, v, part_of(v, h, h->picture != 0), x, y);
        *drawn = true;
    }
    fm_frame_unref(&frame);
    fm__free(jpeg);
    return st == FM_NOTFOUND || st == FM_FORMAT ? FM_OK : st;
}

static fm_status draw_hit(sheet *s, size_t i, const fm_search_hit *h, fm_error *err)
{
    int x = (int)(i % (size_t)s->columns) * CELL + MARGIN,
        y = (int)(i / (size_t)s->columns) * CELL_HEIGHT + MARGIN;
    char text[96], time[32];
    bool drawn;
    fm_status st = draw_hit_picture(s, h, x, y, &drawn, err);
    if (st != FM_OK) {
        return st;
    }
    s->drawn += drawn;
    if (!drawn) {
        draw_text(s, "no picture", x + PICTURE / 4, y + PICTURE / 2);
    }
    if (h->distance >= 0) {
        snprintf(text, sizeof(text), "%.3f %s", h->distance, h->stream);
    } else {
        snprintf(text, sizeof(text), "%s", h->stream);
    }
    draw_text(s, text, x, y + PICTURE + 2);
    fm__format_utc(h->time_ns, time);
    time[time[0] ? 19 : 0] = 0; // whole seconds
    draw_text(s, time, x, y + PICTURE + 2 + LINE);
    return FM_OK;
}

static fm_status open_all(sheet *s, const fm_search *search, fm_error *err)
{
    size_t n = search->count < HITS_MAX ? search->count : HITS_MAX;
    s->columns = n < COLUMNS_MAX ? (int)n : COLUMNS_MAX;
    s->width = s->columns * CELL;
    s->height = (int)((n + (size_t)s->columns - 1) / (size_t)s->columns) * CELL_HEIGHT;
    s->rgb = fm__calloc_array(FM_TAG_APP, (size_t)s->width * (size_t)s->height, 3);
    if (!s->rgb) {
        return fm__fail_nomem(err, "a sheet");
    }
    memset(s->rgb, GROUND, (size_t)s->width * (size_t)s->height * 3);
    fm_store_opts o = FM_STORE_OPTS_INIT;
    o.dir = search->dir;
    o.read_only = true;
    fm_status st = fm_store_open(&o, &s->store, err);
    st = st == FM_OK ? fm__store_reader(s->store, &s->db, err) : st;
    return st == FM_OK ? fm__frame_pool_new(&s->pool, err) : st;
}

static fm_status make_sheet(sheet *s, const fm_search *search, const char *path, fm_error *err)
{
    fm_status st = open_all(s, search, err);
    for (size_t i = 0; st == FM_OK && i < search->count && i < HITS_MAX; i++) {
        st = draw_hit(s, i, &search->hits[i], err);
    }
    if (st == FM_OK && s->drawn == 0) {
        st = fm__fail(err, FM_NOTFOUND, "no pictures for '%s': the store kept none of what was found", path);
    }
    if (st == FM_OK) {
        fm_frame_view v = {.plane = {s->rgb},
            .stride = {s->width * 3},
            .width = s->width,
            .height = s->height,
            .format = FM_PIXFMT_RGB24};
        st = fm__image_save(path, &v, err);
    }
    return st;
}

fm_status fm_search_sheet(const fm_search *search, const char *path, fm_error *err)
{
    sheet s = {0};
    if (search->count == 0) {
        return fm__fail(err, FM_NOTFOUND, "nothing was found: there is no sheet to write");
    }
    if (!fm__image_can_save(path)) {
        return fm__fail(err, FM_INVAL, "'%s': a sheet's name ends in png, jpg, webp or tif", path);
    }
    fm_status st = fm__image_init(err);
    if (st != FM_OK) {
        return st;
    }
    st = make_sheet(&s, search, path, err);
    fm__frame_pool_free(&s.pool);
    sqlite3_close(s.db);
    (void)fm_store_close(&s.store, NULL); // nothing was written
    fm__free(s.rgb);
    fm__image_shutdown();
    return st;
}

#else

fm_status fm_search_sheet(const fm_search *search, const char *path, fm_error *err)
{
    (void)search;
    (void)path;
    return fm__fail(err, FM_UNSUPPORTED, "this build has no SQLite, and so no store to search");
}

#endif
