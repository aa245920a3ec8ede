// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Trails of tracks. Each track has a ring of its last positions, with the frame of each; a point fades with
// its age and is gone after FM_TRAIL_POINTS frames, so that the trail of a track that was lost fades away
// where it was lost. A trail is a line of round-ended segments: their coverage is gathered in one mask, the
// larger of two where they meet, and the mask is painted once, so that joints are no darker than the line.
// Coverage falls off over one pixel around the line's radius, which is anti-aliasing enough for lines of two
// pixels and more. Memory is bounded by the number of tracks, their points, and a mask of the frame's size.

#include "sinks/trails.h"

#include "base/alloc.h"
#include "base/error.h"

#include <math.h>
#include <string.h>

#define NEWEST_ALPHA 230.0
#define FADE 0.85 // of it, from the newest to the oldest point: the end still shows on a small picture
// A jump of more than this share of the frame's shorter side is not a path anybody took.
#define LONGEST_STEP 0.34
#define MARGIN 64 // pixels outside the frame that a point may lie, beyond every line's width

typedef struct point {
    float x, y;
    uint64_t frame;
} point;

typedef struct fm_trail {
    int64_t id;
    uint32_t count, next; // of points; the ring's next place
    point points[FM_TRAIL_POINTS];
} fm_trail;

/* ---- memory of tracks ---- */

// i = 0 is the newest.
static const point *point_at(const fm_trail *trail, uint32_t i)
{
    return &trail->points[(trail->next + FM_TRAIL_POINTS - 1 - i) % FM_TRAIL_POINTS];
}

static bool is_faded(uint64_t frame, const point *p)
{
    return frame - p->frame >= FM_TRAIL_POINTS;
}

void fm__trails_frame(fm_trails *t, uint64_t frame)
{
    if (frame <= t->frame && t->count > 0)
        t->count = 0;
    t->frame = frame;
    for (size_t i = t->count; i-- > 0;)
        if (is_faded(frame, point_at(&t->trails[i], 0)))
            t->trails[i] = t->trails[--t->count];
}

bool fm__trails_any(const fm_trails *t)
{
    return t->count > 0;
}

static fm_trail *find(const fm_trails *t, int64_t id)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->trails[i].id == id)
            return &t->trails[i];
    return NULL;
}

// The one seen longest ago, if that was not just now.
static fm_trail *stalest(const fm_trails *t)
{
    fm_trail *found = NULL;
    uint64_t least = t->frame;
    for (size_t i = 0; i < t->count; i++) {
        uint64_t seen = point_at(&t->trails[i], 0)->frame;
        if (seen < least) {
            least = seen;
            found = &t->trails[i];
        }
    }
    return found;
}

static fm_trail *trail_of(fm_trails *t, int64_t id)
{
    fm_trail *trail = find(t, id);
    if (trail)
        return trail;
    trail = t->count < FM_TRAIL_TRACKS ? &t->trails[t->count++] : stalest(t);
    if (trail) {
        trail->id = id;
        trail->count = trail->next = 0;
    }
    return trail;
}

fm_status fm__trails_add(fm_trails *t, int64_t id, float x, float y, fm_error *err)
{
    if (!isfinite(x) || !isfinite(y))
        return FM_OK;
    if (!t->trails) {
        t->trails = fm__calloc_array(FM_TAG_SINKS, FM_TRAIL_TRACKS, sizeof *t->trails);
        if (!t->trails)
            return fm__fail_nomem(err, "the trails of tracks");
    }
    fm_trail *trail = trail_of(t, id);
    if (!trail)
        return FM_OK;
    trail->points[trail->next] = (point){x, y, t->frame};
    trail->next = (trail->next + 1) % FM_TRAIL_POINTS;
    trail->count += trail->count < FM_TRAIL_POINTS;
    return FM_OK;
}

/* ---- drawing ---- */

/** Coverage of a part of the picture. */
typedef struct mask {
    uint8_t *cover; // rows without padding
    fm_rect at;
} mask;

static double clamp(double v, double low, double high)
{
    return v < low ? low : v > high ? high : v;
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static point held(const fm_canvas *c, point p)
{
    p.x = (float)clamp((double)p.x, -MARGIN, c->width + MARGIN);
    p.y = (float)clamp((double)p.y, -MARGIN, c->height + MARGIN);
    return p;
}

static fm_rect around(const fm_canvas *canvas, point a, point b, double radius)
{
    double reach = radius + 1;
    return (fm_rect){max_int(0, (int)floor(fmin((double)a.x, (double)b.x) - reach)),
        max_int(0, (int)floor(fmin((double)a.y, (double)b.y) - reach)),
        min_int(canvas->width, (int)ceil(fmax((double)a.x, (double)b.x) + reach) + 1),
        min_int(canvas->height, (int)ceil(fmax((double)a.y, (double)b.y) + reach) + 1)};
}

static fm_rect united(fm_rect a, fm_rect b)
{
    if (a.x1 <= a.x0 || a.y1 <= a.y0)
        return b;
    if (b.x1 <= b.x0 || b.y1 <= b.y0)
        return a;
    return (fm_rect){min_int(a.x0, b.x0), min_int(a.y0, b.y0), max_int(a.x1, b.x1), max_int(a.y1, b.y1)};
}

static double alpha_of(uint64_t frame, const point *p)
{
    return NEWEST_ALPHA * (1 - FADE * (double)(frame - p->frame) / FM_TRAIL_POINTS);
}

// Every pixel's coverage by the segment a-b, whose opacity goes from alpha_a to alpha_b.
static void cover_segment(
    const mask *m, const fm_canvas *canvas, point a, point b, double alpha_a, double alpha_b, double radius)
{
    double dx = (double)b.x - (double)a.x, dy = (double)b.y - (double)a.y, length2 = dx * dx + dy * dy;
    fm_rect r = around(canvas, a, b, radius);
    int width = m->at.x1 - m->at.x0;
    for (int y = r.y0; y < r.y1; y++) {
        uint8_t *row = m->cover + (ptrdiff_t)(y - m->at.y0) * width - m->at.x0;
        for (int x = r.x0; x < r.x1; x++) {
            double px = x + 0.5 - (double)a.x, py = y + 0.5 - (double)a.y;
            double along = length2 > 0 ? clamp((px * dx + py * dy) / length2, 0, 1) : 0;
            double ox = px - along * dx, oy = py - along * dy;
            double inside = clamp(radius + 0.5 - sqrt(ox * ox + oy * oy), 0, 1);
            int cover = (int)(inside * (alpha_a + along * (alpha_b - alpha_a)));
            row[x] = (uint8_t)max_int(row[x], cover);
        }
    }
}

static bool is_step(const fm_canvas *canvas, point a, point b)
{
    double longest = LONGEST_STEP * min_int(canvas->width, canvas->height);
    return hypot((double)a.x - (double)b.x, (double)a.y - (double)b.y) <= longest;
}

// Covers each visible segment, from the newest; m NULL only measures. The part of the picture that they
// touch.
static fm_rect each_segment(
    const fm_trails *t, const fm_trail *trail, const fm_canvas *canvas, double radius, const mask *m)
{
    fm_rect all = {0};
    for (uint32_t i = 0; i + 1 < trail->count; i++) {
        const point *new = point_at(trail, i), *old = point_at(trail, i + 1);
        if (is_faded(t->frame, old))
            break;
        point a = held(canvas, *new), b = held(canvas, *old);
        if (!is_step(canvas, a, b))
            continue;
        if (m)
            cover_segment(m, canvas, a, b, alpha_of(t->frame, new), alpha_of(t->frame, old), radius);
        all = united(all, around(canvas, a, b, radius));
    }
    return all;
}

static void draw_trail(
    fm_trails *t, const fm_trail *trail, const fm_canvas *canvas, double radius, fm_yuv color)
{
    mask m = {.at = each_segment(t, trail, canvas, radius, NULL)};
    if (m.at.x1 <= m.at.x0 || m.at.y1 <= m.at.y0)
        return;
    int w = m.at.x1 - m.at.x0, h = m.at.y1 - m.at.y0;
    size_t size = (size_t)w * (size_t)h;
    if (!fm__grow(FM_TAG_SINKS, (void **)&t->cover, &t->cover_cap, size, 1))
        return;
    memset(t->cover, 0, size);
    m.cover = t->cover;
    (void)each_segment(t, trail, canvas, radius, &m); // the same rectangle again
    fm__draw_mask(canvas, m.at.x0, m.at.y0, m.cover, w, h, w, color);
}

void fm__trails_draw(fm_trails *t, const fm_canvas *canvas, double width, fm_matrix matrix, fm_range range)
{
    for (size_t i = 0; i < t->count; i++) {
        fm_yuv color = fm__rgb_to_yuv(fm__track_color(t->trails[i].id), matrix, range);
        draw_trail(t, &t->trails[i], canvas, width / 2.0, color);
    }
}

void fm__trails_done(fm_trails *t)
{
    fm__free(t->trails);
    fm__free(t->cover);
    *t = (fm_trails){0};
}
