// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Association of tracker "deepsort"; deepsort.c names the papers. A frame's pairs of tracks and detections
// are found once (same class, and motion allows it or they overlap); every later step works on that short
// list, so that a cosine is never computed for a pair that the gate forbids. Stages, each on what those
// before left:
//   0  pairs that were settled in begin without a look at their appearance (deepsort_ask.c)
//   1  the matching cascade: confirmed tracks by appearance, those seen last first; with overlap_weight all
//      at once, by appearance and overlap
//   2  by overlap: tentative tracks, and confirmed ones seen at most overlap_age frames ago
//   3  weak detections by overlap: confirmed tracks as in 2
// As in the original each stage minimises cost with max + 1e-5 for a track that stays alone. Where a track
// has one candidate and that one has no other track, the cost cannot matter: it is enough to know that some
// feature is near, and the search stops at the first, the newest, which mostly is.

#include "ops/nms.h"
#include "track/deepsort.h"

#include <math.h>

#define ALONE_MORE 1e-5 // than the largest allowed cost; the original's

/* ---- pairs ---- */

static bool touch(const fm_box *a, const fm_box *b)
{
    return a->x0 < b->x1 && b->x0 < a->x1 && a->y0 < b->y1 && b->y0 < a->y1;
}

static size_t find_of_track(const fm__ds_track *t, const fm__track_frame *f, double most, fm__ds_edge *edges)
{
    double precision[4];
    fm__kalman_precision(&t->k, precision);
    size_t n = 0;
    for (uint32_t i = 0; i < f->n && n < FM_DEEPSORT_EDGES; i++) {
        const fm__track_det *det = &f->dets[i];
        if (det->class_id != t->class_id)
            continue;
        double dx = det->z[0] - t->k.x[0];
        bool touches = touch(&t->box, &det->box);
        if (!touches && dx * dx * precision[0] > most)
            continue;
        float motion = (float)(fm__kalman_distance(&t->k, precision, det->z) / most);
        float overlap = touches ? fm__iou(t->box, det->box) : 0;
        if (motion <= 1 || overlap > 0)
            edges[n++] = (fm__ds_edge){.det = i, .overlap = overlap, .motion = motion};
    }
    return n;
}

void fm__ds_find_edges(fm__deepsort *d, const fm__track_frame *f)
{
    uint32_t at = 0;
    for (size_t i = 0; i < d->count; i++) {
        fm__ds_track *t = &d->tracks[i];
        t->edge = at;
        t->edge_count =
            (uint32_t)find_of_track(t, f, (double)d->opts->gate, at > 0 ? d->edges + at : d->edges);
        at += t->edge_count;
    }
}

/* ---- one assignment ---- */

typedef struct matching {
    size_t rows, pairs;
} matching; // an assignment as it is put together

static bool is_free(const fm__deepsort *d, uint32_t det)
{
    return d->track_of[det] < 0;
}

void fm__ds_match_pair(fm__deepsort *d, uint32_t track, uint32_t det)
{
    d->tracks[track].det = (int32_t)det;
    d->track_of[det] = (int32_t)track;
}

static void solve(fm__deepsort *d, const fm__track_frame *f, matching r, double max)
{
    if (r.pairs == 0)
        return;
    fm__assign_pairs(&d->assign, d->pairs, r.pairs, r.rows, f->n, max + ALONE_MORE, d->col_of_row);
    for (size_t row = 0; row < r.rows; row++)
        if (d->col_of_row[row] >= 0)
            fm__ds_match_pair(d, d->row_tracks[row], (uint32_t)d->col_of_row[row]);
}

/* ---- appearance ---- */

static const float *query_of(const fm__deepsort *d, uint32_t det)
{
    return d->queries + det * d->galleries.stride;
}

// Pairs that the gate and the state of the frame leave to a track at a level, without cost as yet.
static size_t list_gated(fm__deepsort *d, uint32_t track, size_t row, fm__pair *pairs)
{
    const fm__ds_track *t = &d->tracks[track];
    size_t n = 0;
    for (uint32_t e = t->edge; e < t->edge + t->edge_count; e++) {
        const fm__ds_edge *edge = &d->edges[e];
        if (edge->motion > 1 || !d->has_query[edge->det] || !is_free(d, edge->det))
            continue;
        pairs[n++] =
            (fm__pair){(int32_t)row, (int32_t)edge->det, (double)(d->opts->motion_weight * edge->motion)};
        d->rivals[edge->det]++;
    }
    return n;
}

// Costs of one track's pairs; those too far go. Returns how many stay.
static size_t price(fm__deepsort *d, uint32_t track, fm__pair *pairs, size_t n)
{
    if (n == 0)
        return 0;
    uint32_t slot = d->tracks[track].gallery;
    if (n == 1 && d->rivals[pairs[0].col] == 1)
        return fm__gallery_near(
            &d->galleries, slot, query_of(d, (uint32_t)pairs[0].col), d->opts->max_cosine);
    const float *queries[FM_DEEPSORT_EDGES] = {query_of(d, (uint32_t)pairs[0].col)};
    float distance[FM_DEEPSORT_EDGES];
    for (size_t i = 1; i < n; i++)
        queries[i] = query_of(d, (uint32_t)pairs[i].col);
    fm__gallery_distances(&d->galleries, slot, queries, n, distance);
    float look = 1 - d->opts->motion_weight;
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (!(distance[i] <= d->opts->max_cosine))
            continue;
        pairs[kept] = pairs[i];
        pairs[kept++].cost += (double)(look * distance[i]);
    }
    return kept;
}

static void match_level(fm__deepsort *d, const fm__track_frame *f, uint32_t unseen)
{
    matching r = {0};
    size_t listed = 0;
    for (uint32_t i = 0; i < d->count; i++) {
        const fm__ds_track *t = &d->tracks[i];
        if (t->id == 0 || t->unseen != unseen || t->det >= 0)
            continue;
        size_t n = list_gated(d, i, r.rows, d->pairs + listed);
        if (n > 0)
            d->row_tracks[r.rows++] = i;
        listed += n;
    }
    for (size_t i = 0; i < listed;) {
        size_t n = 1, row = (size_t)d->pairs[i].row;
        while (i + n < listed && (size_t)d->pairs[i + n].row == row)
            n++;
        size_t kept = price(d, d->row_tracks[row], d->pairs + i, n);
        memmove(d->pairs + r.pairs, d->pairs + i, kept * sizeof *d->pairs);
        r.pairs += kept;
        i += n;
    }
    for (uint32_t i = 0; listed > 0 && i < f->strong; i++)
        d->rivals[i] = 0;
    // The threshold is on appearance alone; no allowed pair costs more than this.
    const fm_tracker_opts *o = d->opts;
    solve(d, f, r, (double)((1 - o->motion_weight) * o->max_cosine + o->motion_weight));
}

// The next age at which there is a track to match, 0: none.
static uint32_t next_level(const fm__deepsort *d, uint32_t after)
{
    uint32_t next = 0;
    for (size_t i = 0; i < d->count; i++) {
        const fm__ds_track *t = &d->tracks[i];
        if (t->id != 0 && t->det < 0 && t->edge_count > 0 && t->unseen > after &&
            (next == 0 || t->unseen < next))
            next = t->unseen;
    }
    return next;
}

static void match_by_appearance(fm__deepsort *d, const fm__track_frame *f)
{
    for (uint32_t level = next_level(d, 0); level > 0 && level <= (uint32_t)d->opts->max_age;
         level = next_level(d, level))
        match_level(d, f, level);
}

/* ---- appearance and overlap ---- */

static size_t list_seen(const fm__deepsort *d, const fm__ds_track *t, const fm__ds_edge **edges)
{
    size_t n = 0;
    for (uint32_t e = t->edge; e < t->edge + t->edge_count; e++)
        if (d->has_query[d->edges[e].det] && is_free(d, d->edges[e].det))
            edges[n++] = &d->edges[e];
    return n;
}

// One track's pairs that look alike, priced.
static size_t list_alike(const fm__deepsort *d, const fm__ds_track *t, size_t row, fm__pair *pairs)
{
    const fm__ds_edge *edges[FM_DEEPSORT_EDGES];
    const float *queries[FM_DEEPSORT_EDGES];
    float distance[FM_DEEPSORT_EDGES];
    size_t n = list_seen(d, t, edges), kept = 0;
    if (n == 0)
        return 0;
    for (size_t i = 0; i < n; i++)
        queries[i] = query_of(d, edges[i]->det);
    fm__gallery_distances(&d->galleries, t->gallery, queries, n, distance);
    for (size_t i = 0; i < n; i++) {
        bool alike = edges[i]->motion <= 1 && distance[i] <= d->opts->max_cosine;
        bool near = edges[i]->overlap > 0 && distance[i] <= d->opts->max_cosine_near;
        if (!alike && !near)
            continue;
        float cost = distance[i] + d->opts->overlap_weight * (1 - edges[i]->overlap);
        pairs[kept++] = (fm__pair){(int32_t)row, (int32_t)edges[i]->det, cost};
    }
    return kept;
}

static void match_by_both(fm__deepsort *d, const fm__track_frame *f)
{
    const fm_tracker_opts *o = d->opts;
    matching r = {0};
    for (uint32_t i = 0; i < d->count; i++) {
        const fm__ds_track *t = &d->tracks[i];
        if (t->id == 0 || t->det >= 0 || t->unseen > (uint32_t)o->max_age)
            continue;
        size_t n = list_alike(d, t, r.rows, d->pairs + r.pairs);
        if (n > 0)
            d->row_tracks[r.rows++] = i;
        r.pairs += n;
    }
    float most = o->max_cosine > o->max_cosine_near ? o->max_cosine : o->max_cosine_near;
    solve(d, f, r, (double)most + (double)o->overlap_weight);
}

/* ---- overlap ---- */

// Detections first .. end by overlap.
static void match_by_overlap(
    fm__deepsort *d, const fm__track_frame *f, size_t first, size_t end, bool tentative, float max)
{
    // Without appearance nothing else finds a lost track.
    uint32_t oldest = (uint32_t)(fm__ds_looks(d) ? d->opts->overlap_age : d->opts->max_age);
    matching r = {0};
    for (uint32_t i = 0; i < d->count; i++) {
        const fm__ds_track *t = &d->tracks[i];
        bool takes_part = t->id == 0 ? tentative : t->unseen <= oldest;
        if (t->det >= 0 || !takes_part)
            continue;
        size_t before = r.pairs;
        for (uint32_t e = t->edge; e < t->edge + t->edge_count; e++) {
            const fm__ds_edge *edge = &d->edges[e];
            if (edge->det >= first && edge->det < end && is_free(d, edge->det) && 1 - edge->overlap <= max)
                d->pairs[r.pairs++] = (fm__pair){(int32_t)r.rows, (int32_t)edge->det, 1 - edge->overlap};
        }
        if (r.pairs > before)
            d->row_tracks[r.rows++] = i;
    }
    solve(d, f, r, (double)max);
}

void fm__ds_match(fm__deepsort *d, const fm__track_frame *f)
{
    if (fm__ds_looks(d) && d->opts->overlap_weight > 0)
        match_by_both(d, f);
    else if (fm__ds_looks(d))
        match_by_appearance(d, f);
    match_by_overlap(d, f, 0, f->strong, true, d->opts->max_iou);
    if (f->strong < f->n)
        match_by_overlap(d, f, f->strong, f->n, false, d->opts->max_iou_low);
}
