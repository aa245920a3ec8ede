// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Who is asked for an embedding by tracker "deepsort" with reid: ambiguous. Computing appearance costs far
// more than everything else of tracking, and mostly changes nothing: somebody who walks alone is found by
// motion and overlap. A pair of a track and a detection is settled without a look if
//   - they overlap by clear_iou or more, and motion allows it;
//   - no other track overlaps the detection, and no other detection the track, by rival_iou or more: no
//     crowd, no crossing, no lost track that may be coming back at this place;
//   - the track was seen in the last frame;
//   - its gallery has `young` features, and the newest is less than `stale` frames old.
// Every other strong detection is asked for: births and re-appearances, too. Settled pairs are matched before
// all others, because without a feature the cascade could not take them.
// Related work skips embeddings for the same reason by other signs, mostly overlap of detections with one
// another: V. Stanojevic, B. Todorovic, "BoostTrack", 2024, looks at detection confidence; D. Stadler,
// J. Beyerer, "Modelling Ambiguous Assignments for Multi-Person Tracking in Crowds", WACVW 2022, at how close
// the two best costs are. The rules above are our own.

#include "track/deepsort.h"

// A track overlapped by one strong detection, and that by no other track.
static int32_t only_partner(const fm__deepsort *d, const fm__track_frame *f, const fm__ds_track *t)
{
    const fm__ds_edge *best = NULL;
    for (uint32_t e = t->edge; e < t->edge + t->edge_count; e++) {
        const fm__ds_edge *edge = &d->edges[e];
        if (edge->det >= f->strong || edge->overlap < d->opts->rival_iou)
            continue;
        if (best != NULL)
            return -1;
        best = edge;
    }
    if (best == NULL || best->motion > 1 || best->overlap < d->opts->clear_iou || d->rivals[best->det] != 1)
        return -1;
    return (int32_t)best->det;
}

static bool is_known(const fm__deepsort *d, const fm__ds_track *t)
{
    size_t young = (size_t)d->opts->young;
    young = young < d->galleries.budget ? young : d->galleries.budget; // smoothed ones are one
    return t->unseen == 1 && t->looked < (uint32_t)d->opts->stale &&
           fm__gallery_count(&d->galleries, t->gallery) >= young;
}

static void count_rivals(fm__deepsort *d, const fm__track_frame *f)
{
    for (size_t i = 0; i < d->count; i++) {
        const fm__ds_track *t = &d->tracks[i];
        for (uint32_t e = t->edge; e < t->edge + t->edge_count; e++)
            if (d->edges[e].det < f->strong && d->edges[e].overlap >= d->opts->rival_iou)
                d->rivals[d->edges[e].det]++;
    }
}

static void settle(fm__deepsort *d, const fm__track_frame *f, uint8_t *wants)
{
    count_rivals(d, f);
    for (uint32_t i = 0; i < d->count; i++) {
        int32_t det = is_known(d, &d->tracks[i]) ? only_partner(d, f, &d->tracks[i]) : -1;
        if (det < 0)
            continue;
        fm__ds_match_pair(d, i, (uint32_t)det);
        wants[f->dets[det].index] = 0;
    }
    for (size_t i = 0; i < f->strong; i++)
        d->rivals[i] = 0;
}

// Is a feature of this detection of use to the track: to be compared with, or to be remembered?
static bool could_use(const fm__deepsort *d, const fm__ds_track *t, const fm__ds_edge *edge)
{
    if (t->id > 0 && edge->motion <= 1)
        return true;
    bool confirmed_next = t->id > 0 || t->hits + 1 >= (uint32_t)d->opts->n_init;
    return confirmed_next && edge->overlap >= d->opts->rival_iou &&
           fm__gallery_count(&d->galleries, t->gallery) < (size_t)d->opts->young;
}

static void ask_useful(const fm__deepsort *d, const fm__track_frame *f, uint8_t *wants)
{
    for (size_t i = 0; i < d->count; i++) {
        const fm__ds_track *t = &d->tracks[i];
        for (uint32_t e = t->edge; e < t->edge + t->edge_count; e++)
            if (d->edges[e].det < f->strong && could_use(d, t, &d->edges[e]))
                wants[f->dets[d->edges[e].det].index] = 1;
    }
}

static void ask_all(const fm__track_frame *f, uint8_t *wants)
{
    for (size_t i = 0; i < f->strong; i++)
        wants[f->dets[i].index] = 1;
}

void fm__ds_ask(fm__deepsort *d, const fm__track_frame *f, uint8_t *wants)
{
    if (!fm__ds_looks(d))
        return;
    if (d->opts->reid == FM_REID_ALWAYS) {
        ask_all(f, wants);
        return;
    }
    if (d->ended_count > 0) // every birth may be a return
        ask_all(f, wants);
    else
        ask_useful(d, f, wants);
    settle(d, f, wants);
}
