// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A frame's way from detections to tracks. Where every detection's appearance is wanted, that is known before
// the frame's turn has come, and its crops go to the embedder as soon as the detector is done, whatever the
// order of frames. Where the tracker decides from what it knows of the tracks (reid: ambiguous), it is asked
// in the stream's order, and delivery of that stream waits for the few features it wants. Detections weaker
// than what is reported serve the tracker and leave only as part of a confirmed track.

#include "pipeline/private.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#include <string.h>

// Room for detections that an item starts with; it grows where a scene has more. Fresh memory of a size like
// that of the features is not resident before it is used.
#define FIRST_DETS 16

void fm__work_free_dets(work *w)
{
    fm__free(w->dets);
    fm__free(w->look.crops);
    fm__free(w->look.wants);
    fm__free(w->look.values);
    fm__free(w->look.feature);
    fm__free(w->look.marks);
    fm__free(w->look.filtered);
    w->look = (appearance){0};
    w->dets = NULL;
    w->det_cap = w->det_count = 0;
}

static bool fit_tracks(work *w, size_t cap)
{
    w->look.marks = fm__calloc_array(FM_TAG_PIPELINE, cap, sizeof(*w->look.marks));
    w->look.filtered = fm__calloc_array(FM_TAG_PIPELINE, cap, sizeof(*w->look.filtered));
    return w->look.marks && w->look.filtered;
}

static bool fit_features(work *w, size_t cap)
{
    size_t dim = (size_t)w->lane->p->dim;
    w->look.crops = fm__calloc_array(FM_TAG_PIPELINE, cap, sizeof(*w->look.crops));
    w->look.feature = fm__calloc_array(FM_TAG_PIPELINE, cap, sizeof(*w->look.feature));
    w->look.values = fm__calloc_array(FM_TAG_PIPELINE, cap, dim * sizeof(*w->look.values));
    return w->look.crops && w->look.feature && w->look.values;
}

// What the arrays held is not kept: they are filled anew.
static bool fit(work *w, size_t n)
{
    if (w->det_cap > 0 && n <= w->det_cap) {
        return true;
    }
    const fm_pipeline *p = w->lane->p;
    size_t cap = w->det_cap > 0 ? w->det_cap : FIRST_DETS;
    while (cap < n) {
        cap *= 2;
    }
    fm__work_free_dets(w);
    w->dets = fm__calloc_array(FM_TAG_PIPELINE, cap, sizeof(*w->dets));
    w->look.wants = fm__calloc(FM_TAG_PIPELINE, cap);
    bool ok = w->dets && w->look.wants;
    ok = ok && (!p->o.tracker || fit_tracks(w, cap));
    ok = ok && (!p->o.embedder || fit_features(w, cap));
    if (!ok) {
        fm__work_free_dets(w);
        return false;
    }
    w->det_cap = cap;
    return true;
}

bool fm__work_init_dets(work *w)
{
    return fit(w, FIRST_DETS);
}

bool fm__work_set_dets(work *w, const fm_det *dets, size_t n)
{
    if (!fit(w, n)) {
        return false;
    }
    if (n) {
        memcpy(w->dets, dets, n * sizeof(*dets));
    }
    w->det_count = n;
    return true;
}

static bool looks_ahead(const fm_pipeline *p)
{
    return p->o.embedder && (p->o.features || p->tracker.reid == FM_REID_ALWAYS);
}

static bool wanted_ahead(const fm_pipeline *p, const work *w, const fm_det *det)
{
    return (p->o.features && det->score >= p->o.conf) ||
           (p->o.tracker && fm__tracker_wants_ahead(&p->tracker, det, w->width, w->height));
}

void fm__track_ahead(work *w)
{
    const fm_pipeline *p = w->lane->p;
    w->in_order = false;
    if (w->status < 0 || !looks_ahead(p)) {
        fm__deliver_complete(w);
        return;
    }
    for (size_t i = 0; i < w->det_count; i++) {
        w->look.wants[i] = wanted_ahead(p, w, &w->dets[i]);
    }
    fm__embed_start(w);
}

static void tracker_failed(lane *l, work *w, const fm_error *err)
{
    fm__lane_fail(l, err);
    fm__tracker_free(&l->tracker);
    w->det_count = 0; // without ids, what is weaker than the threshold must not leave
}

bool fm__track_begin(lane *l, work *w)
{
    fm_pipeline *p = l->p;
    if (!l->tracker) {
        return true;
    }
    fm_error err = {0};
    size_t wanted = 0;
    int64_t begin = fm__now_ns();
    fm_status st = fm__tracker_begin(
        l->tracker, w->index, w->width, w->height, w->dets, w->det_count, w->look.wants, &wanted, &err);
    fm__metrics_add(&p->metrics, FM_STAGE_TRACK, fm__now_ns() - begin);
    if (st != FM_OK) {
        tracker_failed(l, w, &err);
        return true;
    }
    if (wanted == 0 || !p->o.embedder || looks_ahead(p)) {
        return true;
    }
    w->in_order = true;
    pthread_mutex_lock(&l->lock);
    l->awaiting = w;
    l->features_here = false;
    pthread_mutex_unlock(&l->lock);
    fm__embed_start(w);
    return false;
}

// Moves what is reported to the front.
static void keep_reported(const fm_pipeline *p, work *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->det_count; i++) {
        const fm_track_mark *mark = &w->look.marks[i];
        if (w->dets[i].score < p->o.conf && mark->id <= 0) {
            continue;
        }
        w->dets[kept] = w->dets[i];
        w->dets[kept].track_id = mark->id;
        w->look.filtered[kept] = mark->filtered;
        if (w->look.feature) {
            w->look.feature[kept] = w->look.feature[i];
        }
        kept++;
    }
    w->det_count = kept;
}

void fm__track_finish(lane *l, work *w)
{
    fm_pipeline *p = l->p;
    if (!l->tracker) {
        return;
    }
    fm_error err = {0};
    bool has_features = looks_ahead(p) || w->in_order;
    int64_t begin = fm__now_ns();
    fm_status st = fm__tracker_finish(l->tracker, has_features ? w->look.feature : NULL, w->look.marks, &err);
    fm__metrics_add(&p->metrics, FM_STAGE_TRACK, fm__now_ns() - begin);
    if (st != FM_OK) {
        tracker_failed(l, w, &err);
        return;
    }
    keep_reported(p, w);
    atomic_store(&l->tracks, fm__tracker_confirmed(l->tracker));
}
