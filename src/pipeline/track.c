// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A frame's way from detections to tracks. Where every detection's appearance is wanted, that is known before
// the frame's turn has come, and its crops go to the embedder as soon as the detector is done, whatever the
// order of frames. Where the tracker decides from what it knows of the tracks (reid: ambiguous), it is asked
// in the stream's order, and delivery of that stream waits for the few features it wants. Detections weaker
// than what is reported serve the tracker and leave only as part of a confirmed track.

#include "pipeline/private.h"

#include "base/clock.h"

#include <string.h>

static bool looks_ahead(const fm_pipeline *p)
{
    return p->crop_stages[CROPS_FEATURES].model && (p->o.features || p->tracker.reid == FM_REID_ALWAYS);
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
    if (w->no_objects || !w->frame || !fm__wants_crops(p)) {
        fm__deliver_complete(w);
        return;
    }
    bool ahead = looks_ahead(p);
    for (size_t i = 0; i < w->det_count; i++) {
        w->wants[i] = ahead && wanted_ahead(p, w, &w->dets[i]);
    }
    fm__crops_start(w, true);
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
        l->tracker, w->index, w->width, w->height, w->dets, w->det_count, w->wants, &wanted, &err);
    fm__span(l, FM_STAGE_TRACK, w->index, begin, fm__now_ns());
    if (st != FM_OK) {
        tracker_failed(l, w, &err);
        return true;
    }
    if (wanted == 0 || !w->feature || looks_ahead(p)) {
        return true;
    }
    w->in_order = true;
    pthread_mutex_lock(&l->lock);
    l->awaiting = w;
    l->features_here = false;
    pthread_mutex_unlock(&l->lock);
    fm__crops_start(w, false);
    return false;
}

void fm__track_report(const fm_pipeline *p, work *w)
{
    bool keep[FM_MAX_DETS];
    for (size_t i = 0; i < w->det_count; i++) {
        const fm_track_mark *mark = &w->marks[i];
        keep[i] = w->dets[i].score >= p->o.conf || mark->id > 0;
        w->dets[i].track_id = mark->id;
        w->filtered[i] = mark->filtered;
    }
    fm__objects_keep(w, keep);
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
    fm_status st = fm__tracker_finish(l->tracker, has_features ? w->feature : NULL, w->marks, &err);
    fm__span(l, FM_STAGE_TRACK, w->index, begin, fm__now_ns());
    if (st != FM_OK) {
        tracker_failed(l, w, &err);
        return;
    }
    w->tracked = true;
    if (!l->hold) {
        fm__track_report(p, w);
    }
    atomic_store(&l->tracks, fm__tracker_confirmed(l->tracker));
}
