// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Which frames the models look at. Everything is decided in the stream's own thread from the pictures alone,
// as block means (src/ops/change.c), so that the same frames are looked at whatever the load, the batch size
// and the number of slots: what a run writes stays the same to the byte.
//
//   still     no block differs from the last frame that was looked at: nothing can have changed. With the
//   gate
//             such frames are never looked at, but for one every REFRESH_NS, so that a wrong answer heals.
//   birth     something changes where nothing did in the frame before, nor since the last look: an object
//   comes
//             in, or begins to move. The frame is looked at, at once.
//   pace      else every n-th frame is; `auto` looks every PACE_NS of the stream's time while something
//   moves,
//             every STILL_NS while nothing does.

#include "pipeline/private.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "ops/change.h"

#include <string.h>

enum {
    // A block has changed when its mean did by more than so many times the median of all, which is noise
    // while most of the picture stands still; within these bounds.
    NOISE_TIMES = 6,
    LEAST_LIMIT = 3 * FM_CHANGE_SCALE,
    MOST_LIMIT = 8 * FM_CHANGE_SCALE,
    BIRTH_BLOCKS = 3,
    MOST_GAP = FM__MAX_HELD, // frames without a look while something moves
};
#define PACE_NS (300 * FM_NS_PER_MS)
#define STILL_NS (1000 * FM_NS_PER_MS)
#define REFRESH_NS (10 * FM_NS_PER_S)

struct fm__gate {
    int every; // 0: each frame; < 0: auto
    bool still_is_skipped;
    fm__change_grid grid;
    int width, height;
    size_t blocks;
    uint16_t *now, *looked;   // [blocks] means of this frame, of the last look
    uint8_t *changed, *moved; // [blocks] against the last look; where something moved before that
    bool has_look;
    int gap; // frames since the last look
    int64_t looked_ns;
};

fm_status fm__gate_new(int every, bool still_is_skipped, fm__gate **out, fm_error *err)
{
    fm__gate *g = fm__calloc(FM_TAG_PIPELINE, sizeof(*g));
    if (!g) {
        return fm__fail_nomem(err, "the motion gate");
    }
    g->every = every;
    g->still_is_skipped = still_is_skipped;
    *out = g;
    return FM_OK;
}

static void free_grids(fm__gate *g)
{
    fm__free(g->now);
    fm__free(g->looked);
    fm__free(g->changed);
    fm__free(g->moved);
    g->now = g->looked = NULL;
    g->changed = g->moved = NULL;
}

void fm__gate_free(fm__gate **gate)
{
    if (*gate) {
        free_grids(*gate);
        fm__free(*gate);
        *gate = NULL;
    }
}

static fm_status fit(fm__gate *g, int width, int height, fm_error *err)
{
    if (g->now && g->width == width && g->height == height) {
        return FM_OK;
    }
    free_grids(g);
    g->grid = fm__change_grid_of(width, height);
    g->width = width;
    g->height = height;
    g->has_look = false;
    g->blocks = (size_t)g->grid.rows * (size_t)g->grid.columns;
    g->now = fm__calloc_array(FM_TAG_PIPELINE, g->blocks, sizeof(*g->now));
    g->looked = fm__calloc_array(FM_TAG_PIPELINE, g->blocks, sizeof(*g->looked));
    g->changed = fm__calloc_array(FM_TAG_PIPELINE, g->blocks, 1);
    g->moved = fm__calloc_array(FM_TAG_PIPELINE, g->blocks, 1);
    bool ok = g->now && g->looked && g->changed && g->moved;
    return ok ? FM_OK : fm__fail_nomem(err, "the motion gate");
}

// Did something move here or beside here?
static bool moved_near(const fm__gate *g, int r, int c)
{
    for (int y = r > 0 ? r - 1 : 0; y <= r + 1 && y < g->grid.rows; y++) {
        for (int x = c > 0 ? c - 1 : 0; x <= c + 1 && x < g->grid.columns; x++) {
            if (g->moved[y * g->grid.columns + x]) {
                return true;
            }
        }
    }
    return false;
}

// Blocks that changed where nothing moved of late.
static int births(const fm__gate *g)
{
    int n = 0;
    for (int r = 0; r < g->grid.rows; r++) {
        for (int c = 0; c < g->grid.columns; c++) {
            n += g->changed[r * g->grid.columns + c] && !moved_near(g, r, c);
        }
    }
    return n;
}

static int limit_of(const fm__gate *g)
{
    int limit = NOISE_TIMES * fm__change_median(&g->grid, g->now, g->looked);
    return limit < LEAST_LIMIT ? LEAST_LIMIT : limit > MOST_LIMIT ? MOST_LIMIT : limit;
}

static fm__look decide(const fm__gate *g, size_t changed, int64_t pts_ns)
{
    int64_t since = pts_ns - g->looked_ns;
    bool still = changed == 0;
    if (still && g->still_is_skipped) {
        return since >= REFRESH_NS ? FM__LOOK : FM__STILL;
    }
    if (g->every > 0) {
        return g->gap + 1 >= g->every ? FM__LOOK : still ? FM__STILL : FM__MOVES;
    }
    if (g->every == 0 || (!still && (births(g) >= BIRTH_BLOCKS || g->gap + 1 >= MOST_GAP))) {
        return FM__LOOK;
    }
    return since >= (still ? STILL_NS : PACE_NS) ? FM__LOOK : still ? FM__STILL : FM__MOVES;
}

// What moved since the look before this one is where something may go on moving.
static void note_look(fm__gate *g, int64_t pts_ns)
{
    memcpy(g->moved, g->changed, g->blocks);
    memcpy(g->looked, g->now, g->blocks * sizeof(*g->now));
    g->looked_ns = pts_ns;
    g->gap = 0;
    g->has_look = true;
}

fm_status fm__gate_decide(
    fm__gate *g, const fm_frame_view *view, int64_t pts_ns, fm__look *out, fm_error *err)
{
    fm_status st = fit(g, view->width, view->height, err);
    if (st != FM_OK) {
        return st;
    }
    fm__change_means(&g->grid, view, g->now);
    size_t changed = fm__change_count(&g->grid, g->now, g->looked, limit_of(g), g->changed);
    *out = g->has_look ? decide(g, changed, pts_ns) : FM__LOOK;
    if (*out == FM__LOOK) {
        note_look(g, pts_ns);
    } else {
        g->gap++;
    }
    return FM_OK;
}

int fm__gate_gap(const fm__gate *g)
{
    return g->gap;
}

/* ---- saved state: u32 width, height (0: no frame yet), has_look, gap, i64 time of the look, then u16 mean
 * and u8 moved of each block ---- */

enum { MAX_SIDE = 65536 };

size_t fm__gate_save(const fm__gate *g, void *data, size_t cap)
{
    fm__writer w = {.data = data, .cap = data ? cap : 0};
    fm__put(&w, (uint64_t)g->width, 4);
    fm__put(&w, (uint64_t)g->height, 4);
    fm__put(&w, g->has_look, 4);
    fm__put(&w, (uint64_t)g->gap, 4);
    fm__put(&w, (uint64_t)g->looked_ns, 8);
    for (size_t i = 0; i < g->blocks; i++) {
        fm__put(&w, g->looked[i], 2);
        fm__put(&w, g->moved[i], 1);
    }
    return w.at;
}

fm_status fm__gate_load(fm__gate *g, const void *data, size_t len, fm_error *err)
{
    fm__reader r = {.data = data, .len = len};
    int width = (int)fm__get_in(&r, 4, 1, MAX_SIDE), height = (int)fm__get_in(&r, 4, 1, MAX_SIDE);
    bool has_look = fm__get_in(&r, 4, 0, 1);
    int gap = (int)fm__get_in(&r, 4, 0, INT32_MAX / 2);
    int64_t looked_ns = (int64_t)fm__get_in(&r, 8, 0, INT64_MAX / 2);
    fm_status st = r.bad ? FM_OK : fit(g, width, height, err);
    if (st != FM_OK) {
        return st;
    }
    for (size_t i = 0; !r.bad && i < g->blocks; i++) {
        g->looked[i] = (uint16_t)fm__get(&r, 2);
        g->moved[i] = (uint8_t)fm__get_in(&r, 1, 0, 1);
    }
    if (r.bad || r.at != r.len) {
        return fm__fail(err, FM_FORMAT, "the motion gate's state is damaged: begin the stream anew");
    }
    g->has_look = has_look;
    g->gap = gap;
    g->looked_ns = looked_ns;
    return FM_OK;
}
