// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Tracker "deepsort": N. Wojke, A. Bewley, D. Paulus, "Simple Online and Realtime Tracking with a Deep
// Association Metric", ICIP 2017: Kalman filter, gate, matching cascade by appearance, then overlap
// (deepsort_match.c); tracks are tentative until n_init matches in a row, and end after max_age misses.
// Published since, each a setting; high 0, low 1, begin_margin 0, n_init 3, confirm_score 2, max_iou 0.7,
// overlap_age 1, scale_noise off, gate 9.4877, overlap_weight 0, feature_weight 0, reentry_count 0 and reid
// always are the paper's algorithm:
//   begin_margin       a track begins at a higher score than a match needs: ByteTrack's program
//   gate               the 0.95 gate keeps out every twentieth right match, more where people turn or frames
//                      are few; with features that tell people apart a wide one, which keeps out the far end
//                      of the picture, loses less
//   motion_weight      the paper's equation 5, which its authors' program leaves out
//   overlap_weight,    appearance and overlap in one cost and one assignment of all confirmed tracks instead
//   max_cosine_near    of the cascade: StrongSORT found the cascade to hold strong features back, BoT-SORT
//                      joins both cues (it takes the smaller; here they are added, so that in a crowd neither
//                      is lost). A pair that overlaps may look less alike than one that does not
//   low, max_iou_low   second association for weak detections: Y. Zhang et al., "ByteTrack: Multi-Object
//                      Tracking by Associating Every Detection Box", ECCV 2022
//   overlap_age        lost tracks are matched by overlap, too: the same, and BoT-SORT, Aharon et al., 2022
//   scale_noise        kalman.c: GIAOTracker, Du et al. 2021; also StrongSORT, Du et al. 2023
//   feature_weight     gallery.c: JDE, FairMOT, StrongSORT
//   confirm_score      a new track is confirmed at once by its score: ByteTrack does so in the first frame
//   reentry_count      ended tracks come back by appearance: A. Hermans et al. 2017 measure how far this
//                      carries; ours is the nearest gallery of the class within max_cosine, at confirmation
//   reid ambiguous     deepsort_ask.c
// Reference implementations: the authors' program (nwojke/deep_sort) and PyPI deep-sort-realtime 1.3.2, which
// tests/reference/test_deepsort.py runs on the same input. Where they and this file differ:
//   - Classes: they match anything with anything; here a track keeps its class and only meets its like.
//   - deep-sort-realtime puts every confirmed track's last feature into the gallery again each frame, so that
//     a gallery with a budget fills with copies; the authors' program and this file add each feature once.
//     Without a budget the copies change no distance, and the two give the same tracks.
//   - Their ids count tentative tracks; here an id is given at confirmation, so that ids have no holes. With
//     its setting `today` deep-sort-realtime counts anew every day: there is no such thing here.
//   - n_init 1 confirms at birth; there it takes a second match, as n_init 2 does.
//   - nms_max_overlap: suppression is the head's work here. At deep-sort-realtime's default of 1 it is off.
//   - gating_only_position: the gate has all four coordinates here, as by default there, and its quantile.
//   - Features: deep-sort-realtime's own embedder gives vectors of any length and both programs normalise at
//     every comparison; here once, on arrival.
//   - Detections of no area are left out by all; those beside the frame or with NaN only here.
// Work per frame is in proportion to pairs of near tracks and detections; memory is got in begin.

#include "track/deepsort.h"
#include "base/alloc.h"

#include <assert.h>

/* ---- memory ---- */

static bool init(void *self, const fm_tracker_opts *opts)
{
    fm__deepsort *d = self;
    d->opts = opts;
    size_t budget = opts->feature_weight > 0 ? 1 : (size_t)opts->budget;
    fm__galleries_init(&d->galleries, (size_t)opts->dim, budget, opts->level);
    if (opts->reentry_count > 0)
        d->ended = fm__calloc_array(FM_TAG_TRACK, (size_t)opts->reentry_count, sizeof *d->ended);
    return opts->reentry_count == 0 || d->ended != NULL;
}

static void done(void *self)
{
    fm__deepsort *d = self;
    void *const blocks[] = {d->tracks, d->ended, d->edges, d->pairs, d->row_tracks, d->col_of_row,
        d->track_of, d->rivals, d->queries, d->has_query};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        fm__free(blocks[i]);
    fm__assign_done(&d->assign);
    fm__galleries_done(&d->galleries);
}

#define GROW(array, cap, n) fm__grow(FM_TAG_TRACK, (void **)&(array), &(cap), (n), sizeof *(array))

bool fm__ds_reserve_tracks(fm__deepsort *d, size_t n)
{
    return GROW(d->tracks, d->cap, n) && GROW(d->row_tracks, d->row_cap, n) &&
           GROW(d->col_of_row, d->col_cap, n);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

// Everything that this frame may need in either phase.
static bool reserve(fm__deepsort *d, const fm__track_frame *f)
{
    size_t births = smaller(f->strong, (size_t)d->opts->max_tracks);
    size_t most_tracks = smaller(d->count + births, (size_t)d->opts->max_tracks);
    size_t pairs = d->count * smaller(f->n, FM_DEEPSORT_EDGES);
    if (!fm__ds_reserve_tracks(d, most_tracks) || !GROW(d->edges, d->edge_cap, pairs) ||
        !GROW(d->pairs, d->pair_cap, pairs) || !GROW(d->track_of, d->track_of_cap, f->n) ||
        !GROW(d->rivals, d->rivals_cap, f->n) || !GROW(d->has_query, d->has_query_cap, f->n) ||
        !fm__assign_reserve(&d->assign, d->count, f->n, pairs))
        return false;
    if (!fm__ds_looks(d))
        return true;
    size_t stride = d->galleries.stride;
    return fm__grow(FM_TAG_TRACK, (void **)&d->queries, &d->query_cap, f->strong * stride, sizeof(float)) &&
           fm__galleries_reserve(&d->galleries, births, births);
}

/* ---- ends ---- */

static void close_gallery(fm__deepsort *d, uint32_t gallery)
{
    if (gallery != FM_GALLERY_NONE)
        fm__gallery_close(&d->galleries, gallery);
}

static void drop_ended(fm__deepsort *d, size_t at)
{
    d->ended_count--;
    memmove(d->ended + at, d->ended + at + 1, (d->ended_count - at) * sizeof *d->ended);
}

// The gallery goes to those that may come back, or away.
static void end_track(fm__deepsort *d, const fm__ds_track *t, uint64_t frame)
{
    size_t most = (size_t)d->opts->reentry_count;
    if (t->id == 0 || most == 0 || !fm__ds_looks(d) || fm__gallery_count(&d->galleries, t->gallery) == 0) {
        close_gallery(d, t->gallery);
        return;
    }
    if (d->ended_count == most) {
        close_gallery(d, d->ended[0].gallery);
        drop_ended(d, 0);
    }
    d->ended[d->ended_count++] =
        (fm__ds_ended){.id = t->id, .class_id = t->class_id, .gallery = t->gallery, .frame = frame};
}

static void forget_ended(fm__deepsort *d, uint64_t frame)
{
    while (d->ended_count > 0 && frame - d->ended[0].frame > (uint64_t)d->opts->reentry_age) {
        close_gallery(d, d->ended[0].gallery);
        drop_ended(d, 0);
    }
}

// Those that missed this frame and have to go.
static void end_missed(fm__deepsort *d, uint64_t frame)
{
    size_t kept = 0;
    for (size_t i = 0; i < d->count; i++) {
        const fm__ds_track *t = &d->tracks[i];
        if (t->unseen > 0 && (t->id == 0 || t->unseen > (uint32_t)d->opts->max_age))
            end_track(d, t, frame);
        else if (kept++ != i)
            d->tracks[kept - 1] = *t;
    }
    d->count = kept;
}

/* ---- phase one ---- */

static void step(fm__deepsort *d)
{
    for (size_t i = 0; i < d->count; i++) {
        fm__ds_track *t = &d->tracks[i];
        fm__kalman_predict(&t->k);
        t->unseen++;
        t->looked++;
    }
}

static void coast(void *self, uint64_t frame)
{
    fm__deepsort *d = self;
    for (size_t i = 0; i < d->count; i++) {
        fm__ds_track *t = &d->tracks[i];
        fm__kalman_predict(&t->k);
        t->unseen += t->unseen > 0;
    }
    end_missed(d, frame);
}

static bool begin(void *self, const fm__track_frame *f, uint8_t *wants)
{
    fm__deepsort *d = self;
    if (!reserve(d, f))
        return false;
    for (uint32_t i = 0; i < f->skipped; i++) {
        step(d);
        end_missed(d, f->previous + 1 + i);
    }
    step(d);
    forget_ended(d, f->number);
    for (size_t i = 0; i < d->count; i++) {
        d->tracks[i].box = fm__kalman_box(&d->tracks[i].k);
        d->tracks[i].det = -1;
    }
    for (size_t i = 0; i < f->n; i++) {
        d->track_of[i] = -1;
        d->rivals[i] = 0;
        d->has_query[i] = 0;
    }
    fm__ds_find_edges(d, f);
    fm__ds_ask(d, f, wants);
    return true;
}

/* ---- phase two ---- */

static void take_features(fm__deepsort *d, const fm__track_frame *f, const float *const *features)
{
    for (size_t i = 0; features != NULL && fm__ds_looks(d) && i < f->strong; i++) {
        const float *feature = features[f->dets[i].index];
        if (feature == NULL || d->track_of[i] >= 0) // settled: it was not asked for
            continue;
        d->has_query[i] =
            fm__feature_unit(feature, d->galleries.dim, d->opts->level, d->queries + i * d->galleries.stride);
    }
}

static void remember(fm__deepsort *d, fm__ds_track *t, size_t det)
{
    if (!d->has_query[det])
        return;
    const float *feature = d->queries + det * d->galleries.stride;
    if (d->opts->feature_weight > 0)
        fm__gallery_smooth(&d->galleries, t->gallery, feature, d->opts->feature_weight);
    else
        fm__gallery_add(&d->galleries, t->gallery, feature);
    t->looked = 0;
}

// The ended track that looks most like this one; ended_count: none does.
static size_t find_ended(const fm__deepsort *d, const fm__ds_track *t)
{
    size_t best = d->ended_count;
    float least = d->opts->max_cosine;
    for (size_t i = 0; i < d->ended_count; i++) {
        if (d->ended[i].class_id != t->class_id)
            continue;
        float distance = fm__gallery_between(&d->galleries, t->gallery, d->ended[i].gallery);
        if (distance <= least) {
            least = distance;
            best = i;
        }
    }
    return best;
}

// Gives an id, an old one where the track is known. Its gallery is then the old one, which the present
// feature joins: the page for it is one of those that the young gallery gives back.
static void confirm(fm__deepsort *d, const fm__track_frame *f, fm__ds_track *t, size_t det)
{
    size_t old = d->ended_count > 0 ? find_ended(d, t) : d->ended_count;
    if (old == d->ended_count) {
        t->id = (*f->next_id)++;
        return;
    }
    close_gallery(d, t->gallery);
    t->id = d->ended[old].id;
    t->gallery = d->ended[old].gallery;
    drop_ended(d, old);
    remember(d, t, det);
}

static void hit(fm__deepsort *d, const fm__track_frame *f, fm__ds_track *t, size_t det)
{
    t->unseen = 0;
    t->hits += t->hits < (uint32_t)d->opts->n_init; // no farther: it would wrap one day
    remember(d, t, det);
    if (t->id == 0 && (t->hits >= (uint32_t)d->opts->n_init || f->dets[det].score >= d->opts->confirm_score))
        confirm(d, f, t, det);
}

static void give_birth(fm__deepsort *d, const fm__track_frame *f, size_t det)
{
    assert(d->count < d->cap);
    fm__ds_track *t = &d->tracks[d->count++];
    *t = (fm__ds_track){.class_id = f->dets[det].class_id, .det = (int32_t)det, .previous = -1};
    t->gallery = fm__ds_looks(d) ? fm__gallery_open(&d->galleries) : FM_GALLERY_NONE;
    fm__kalman_init(&t->k, f->dets[det].z);
    hit(d, f, t, det);
}

static void update(fm__deepsort *d, const fm__track_frame *f)
{
    for (size_t i = 0; i < d->count; i++) {
        fm__ds_track *t = &d->tracks[i];
        if (t->det < 0)
            continue;
        const fm__track_det *det = &f->dets[t->det];
        fm__kalman_update(&t->k, det->z, d->opts->scale_noise ? fm__kalman_noise(det->score) : 1);
        hit(d, f, t, (size_t)t->det);
    }
    end_missed(d, f->number);
    for (size_t i = 0; i < f->strong && d->count < (size_t)d->opts->max_tracks; i++)
        if (d->track_of[i] < 0 && fm__track_may_begin(d->opts, &f->dets[i]))
            give_birth(d, f, i);
}

static void finish(void *self, const fm__track_frame *f, const float *const *features, fm_track_mark *marks)
{
    fm__deepsort *d = self;
    take_features(d, f, features);
    fm__ds_match(d, f);
    update(d, f);
    for (size_t i = 0; i < d->count; i++) {
        fm__ds_track *t = &d->tracks[i];
        int32_t index = t->det >= 0 ? (int32_t)f->dets[t->det].index : -1;
        if (index >= 0 && t->id > 0)
            marks[index] =
                (fm_track_mark){.id = t->id, .filtered = fm__kalman_box(&t->k), .previous = t->previous};
        t->previous = index;
    }
}

static size_t count(const void *self)
{
    return ((const fm__deepsort *)self)->count;
}

static void defaults(fm_tracker_opts *opts)
{
    // Chosen as docs/tracking.md tells; all that is not the paper's.
    opts->reid = FM_REID_AMBIGUOUS;
    opts->begin_margin = 0.2F;
    opts->n_init = 2;
    opts->max_iou = 0.8F;
    opts->overlap_age = 2;
    opts->scale_noise = true;
    opts->gate = 40;
    opts->overlap_weight = 0.3F;
    opts->max_cosine_near = 0.35F;
    opts->feature_weight = 0.8F;
}

const fm_tracker_class fm__deepsort_class = {
    .name = "deepsort",
    .wants_features = true,
    .defaults = defaults,
    .size = sizeof(fm__deepsort),
    .init = init,
    .done = done,
    .begin = begin,
    .finish = finish,
    .coast = coast,
    .count = count,
    .save = fm__ds_save,
    .load = fm__ds_load,
};
