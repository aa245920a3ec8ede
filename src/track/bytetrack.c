// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// ByteTrack: Y. Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV
// 2022, algorithm 1, with what the authors' program (byte_tracker.py) adds to it. Motion and overlap only:
//   1  confirmed tracks, lost ones too, with strong detections: 1 - IoU, or 1 - IoU x score with fuse_score,
//      up to max_iou
//   2  what is left of them and was seen at most overlap_age frames ago (the program: 1, the last frame) with
//      weak detections: 1 - IoU up to max_iou_low
//   3  tracks not confirmed yet with the strong detections left: as 1, up to max_iou_new; those left end
//   4  a strong detection left that scores begin_margin above high begins a track. It is confirmed after
//      n_init matches in a row (the program: 2), in a stream's first frame at once
// A track without a match is kept for max_age frames; its height stops changing. Where a lost track lies
// under one that is seen (IoU over 0.85), the older of the two stays. The same tracks and boxes as the
// program makes, checked against its package `bytetracker` 0.3.2. Deviations: only the same class is matched;
// a track one frame old is predicted like any other (there it is not, which at velocity 0 shows in its
// covariance only); a lost track ends when its time is over, there a frame later; a score that equals a
// threshold is above it.

#include "track/match.h"

#include "base/alloc.h"
#include "base/error.h"
#include "ops/nms.h"

static const float same_track = 0.85F; // overlap of a lost and a seen track that are one

typedef struct track {
    fm__kalman motion;
    int64_t id; // 0: not confirmed
    int32_t class_id;
    uint32_t hits;    // matches, birth included; stops at n_init
    uint32_t missed;  // frames since the last match
    uint32_t age;     // frames since birth
    int32_t det;      // of this frame; valid where missed is 0
    int32_t previous; // of the frame shown before, as the caller counts; -1: none; not saved
    bool over;        // ends with this frame
} track;

typedef struct bytetrack {
    const fm_tracker_opts *opts;
    track *tracks, *moved; // [n]; scratch: moved on to the frame begun
    fm_box *boxes;         // scratch [n]
    int32_t *classes;      // scratch [n]
    size_t n, cap, moved_cap, box_cap, class_cap;
    bool started; // a frame was seen
    fm__overlaps overlaps;
    fm__match match;
} bytetrack;

/* ---- tracks ---- */

static void move(track *t, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++) {
        if (t->missed > 0)
            t->motion.v[3] = 0; // of the height: a lost track neither grows nor shrinks
        fm__kalman_predict(&t->motion);
        t->missed++;
        t->age++;
    }
}

// Has it not ended in frames that were never shown?
static bool outlives(const bytetrack *b, const track *t, uint32_t skipped)
{
    return skipped == 0 || (t->id > 0 && t->missed + skipped <= (uint32_t)b->opts->max_age);
}

static void confirm(const bytetrack *b, track *t, float score, int64_t *next_id)
{
    if (t->id == 0 &&
        (t->hits >= (uint32_t)b->opts->n_init || score >= b->opts->confirm_score || !b->started))
        t->id = (*next_id)++;
}

static void update(const bytetrack *b, track *t, const fm__track_frame *f, int32_t det)
{
    const fm__track_det *d = &f->dets[det];
    fm__kalman_update(&t->motion, d->z, b->opts->scale_noise ? fm__kalman_noise(d->score) : 1);
    t->hits += t->hits < (uint32_t)b->opts->n_init;
    t->missed = 0;
    t->det = det;
    confirm(b, t, d->score, f->next_id);
}

static void begin_track(bytetrack *b, const fm__track_frame *f, int32_t det)
{
    const fm__track_det *d = &f->dets[det];
    if (!fm__track_may_begin(b->opts, d) || b->n >= (size_t)b->opts->max_tracks)
        return;
    track *t = &b->tracks[b->n++];
    *t = (track){.class_id = d->class_id, .hits = 1, .det = det, .previous = -1};
    fm__kalman_init(&t->motion, d->z);
    confirm(b, t, d->score, f->next_id);
}

/* ---- rounds ---- */

static bool fresh(const bytetrack *b, const fm__pair *p)
{
    return b->tracks[p->row].id == 0;
}

static float fused(const bytetrack *b, const fm__track_frame *f, const fm__pair *p)
{
    return 1 - (b->opts->fuse_score ? p->cost * f->dets[p->col].score : p->cost);
}

static void match_strong(bytetrack *b, const fm__track_frame *f, bool confirmed, float limit)
{
    for (size_t i = 0; i < b->overlaps.n; i++) {
        const fm__pair *p = &b->overlaps.pairs[i];
        if (fm__match_free(&b->match, p) && (size_t)p->col < f->strong && fresh(b, p) != confirmed)
            fm__match_offer(&b->match, p, fused(b, f, p));
    }
    fm__match_round(&b->match, (double)limit);
}

static void match_weak(bytetrack *b, const fm__track_frame *f)
{
    for (size_t i = 0; i < b->overlaps.n; i++) {
        const fm__pair *p = &b->overlaps.pairs[i];
        const track *t = &b->tracks[p->row];
        if (fm__match_free(&b->match, p) && (size_t)p->col >= f->strong && t->id > 0 &&
            t->missed <= (uint32_t)b->opts->overlap_age)
            fm__match_offer(&b->match, p, 1 - p->cost);
    }
    fm__match_round(&b->match, (double)b->opts->max_iou_low);
}

/* ---- ends ---- */

static float overlap_of(const track *a, const track *b)
{
    return fm__iou(fm__kalman_box(&a->motion), fm__kalman_box(&b->motion));
}

// Lives are counted up to the last match; on a tie the track that is seen goes.
static void end_doubles(bytetrack *b)
{
    for (size_t i = 0; i < b->n; i++) {
        track *lost = &b->tracks[i];
        if (lost->missed == 0 || lost->over)
            continue;
        for (size_t j = 0; j < b->n; j++) {
            track *seen = &b->tracks[j];
            if (seen->missed > 0 || seen->over || seen->class_id != lost->class_id ||
                overlap_of(seen, lost) <= same_track)
                continue;
            bool seen_is_older = seen->age > lost->age - lost->missed;
            lost->over = seen_is_older;
            seen->over = !seen_is_older;
            if (lost->over)
                break;
        }
    }
}

static void end_missed(bytetrack *b)
{
    for (size_t i = 0; i < b->n; i++) {
        track *t = &b->tracks[i];
        if (t->missed > 0 && (t->id == 0 || t->missed > (uint32_t)b->opts->max_age))
            t->over = true;
    }
}

static void leave_out_ended(bytetrack *b)
{
    size_t kept = 0;
    for (size_t i = 0; i < b->n; i++)
        if (!b->tracks[i].over)
            b->tracks[kept++] = b->tracks[i];
    b->n = kept;
}

/* ---- frames ---- */

// All memory of a frame that does not depend on what overlaps.
static bool make_room(bytetrack *b, const fm__track_frame *f)
{
    size_t most = b->n + f->strong;
    return fm__grow(FM_TAG_TRACK, (void **)&b->tracks, &b->cap, most, sizeof *b->tracks) &&
           fm__grow(FM_TAG_TRACK, (void **)&b->moved, &b->moved_cap, most, sizeof *b->moved) &&
           fm__grow(FM_TAG_TRACK, (void **)&b->boxes, &b->box_cap, b->n, sizeof *b->boxes) &&
           fm__grow(FM_TAG_TRACK, (void **)&b->classes, &b->class_cap, b->n, sizeof *b->classes);
}

static size_t move_all(bytetrack *b, uint32_t skipped)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        if (!outlives(b, &b->tracks[i], skipped))
            continue;
        track *t = &b->moved[n];
        *t = b->tracks[i];
        t->det = -1;
        move(t, 1 + skipped);
        b->boxes[n] = fm__kalman_box(&t->motion);
        b->classes[n++] = t->class_id;
    }
    return n;
}

// The least overlap that any round looks at.
static float least_overlap(const fm_tracker_opts *o)
{
    float most = o->max_iou > o->max_iou_low ? o->max_iou : o->max_iou_low;
    most = o->max_iou_new > most ? o->max_iou_new : most;
    return most < 1 ? 1 - most : 1e-6F;
}

static bool begin(void *self, const fm__track_frame *f, uint8_t *wants)
{
    (void)wants; // it looks at no appearance
    bytetrack *b = self;
    if (!make_room(b, f))
        return false;
    size_t n = move_all(b, f->skipped);
    if (!fm__overlaps_find(&b->overlaps, b->boxes, b->classes, n, f->dets, f->n, least_overlap(b->opts)) ||
        !fm__match_begin(&b->match, n, f->n, b->overlaps.n))
        return false;
    track *old = b->tracks;
    size_t old_cap = b->cap;
    b->tracks = b->moved;
    b->cap = b->moved_cap;
    b->moved = old;
    b->moved_cap = old_cap;
    b->n = n;
    return true;
}

static void finish(void *self, const fm__track_frame *f, const float *const *features, fm_track_mark *marks)
{
    (void)features;
    bytetrack *b = self;
    size_t known = b->n;
    match_strong(b, f, true, b->opts->max_iou);
    match_weak(b, f);
    match_strong(b, f, false, b->opts->max_iou_new);
    for (size_t i = 0; i < known; i++)
        if (b->match.det_of[i] >= 0)
            update(b, &b->tracks[i], f, b->match.det_of[i]);
    for (size_t i = 0; i < f->strong; i++)
        if (b->match.track_of[i] < 0)
            begin_track(b, f, (int32_t)i);
    end_missed(b);
    end_doubles(b);
    leave_out_ended(b);
    b->started = true;
    for (size_t i = 0; i < b->n; i++) {
        track *t = &b->tracks[i];
        int32_t index = t->missed == 0 ? (int32_t)f->dets[t->det].index : -1;
        if (index >= 0 && t->id > 0)
            marks[index] =
                (fm_track_mark){.id = t->id, .filtered = fm__kalman_box(&t->motion), .previous = t->previous};
        t->previous = index;
    }
}

static void coast(void *self, uint64_t frame)
{
    (void)frame;
    bytetrack *b = self;
    for (size_t i = 0; i < b->n; i++) {
        track *t = &b->tracks[i];
        bool lost = t->missed > 0;
        move(t, 1);
        t->missed = lost ? t->missed : 0;
    }
    end_missed(b);
    leave_out_ended(b);
}

/* ---- the table ---- */

// The program's, but for what makes up for detectors that are weaker than the paper's: docs/tracking.md.
static void defaults(fm_tracker_opts *o)
{
    o->begin_margin = 0.2F; // the program: 0.1 above 0.6
    o->n_init = 2;
    o->max_iou = 0.9F; // 0.8, with fuse_score
    o->max_iou_low = 0.5F;
    o->max_iou_new = 0.9F; // 0.7
    o->overlap_age = 1;
}

static bool init(void *self, const fm_tracker_opts *opts)
{
    bytetrack *b = self;
    b->opts = opts;
    return true;
}

static void done(void *self)
{
    bytetrack *b = self;
    fm__free(b->tracks);
    fm__free(b->moved);
    fm__free(b->boxes);
    fm__free(b->classes);
    fm__overlaps_done(&b->overlaps);
    fm__match_done(&b->match);
}

static size_t count(const void *self)
{
    const bytetrack *b = self;
    return b->n;
}

static void save(const void *self, fm__writer *w)
{
    const bytetrack *b = self;
    fm__put(w, b->started, 1);
    fm__put(w, b->n, 4);
    for (size_t i = 0; i < b->n; i++) {
        const track *t = &b->tracks[i];
        fm__put(w, (uint64_t)t->id, 8);
        fm__put(w, (uint32_t)t->class_id, 4);
        fm__put(w, t->hits, 4);
        fm__put(w, t->missed, 4);
        fm__put(w, t->age, 4);
        fm__kalman_put(&t->motion, w);
    }
}

static void load_track(const bytetrack *b, track *t, fm__reader *r, int64_t next_id)
{
    t->id = (int64_t)fm__get_in(r, 8, 0, (uint64_t)next_id - 1);
    t->class_id = (int32_t)(uint32_t)fm__get(r, 4);
    t->hits = (uint32_t)fm__get_in(r, 4, 1, (uint64_t)b->opts->n_init);
    t->missed = (uint32_t)fm__get_in(r, 4, 0, t->id > 0 ? (uint64_t)b->opts->max_age : 0);
    t->age = (uint32_t)fm__get_in(r, 4, t->missed, UINT32_MAX);
    t->previous = -1;
    fm__kalman_get(&t->motion, r);
}

static bool id_is_twice(const bytetrack *b)
{
    for (size_t i = 0; i < b->n; i++)
        for (size_t k = 0; k < i && b->tracks[i].id != 0; k++)
            if (b->tracks[i].id == b->tracks[k].id)
                return true;
    return false;
}

static fm_status load(void *self, fm__reader *r, int64_t next_id, fm_error *err)
{
    bytetrack *b = self;
    b->started = fm__get_in(r, 1, 0, 1) != 0;
    size_t n = (size_t)fm__get(r, 4);
    if (!r->bad && n > (size_t)b->opts->max_tracks)
        return fm__fail(
            err, FM_INVAL, "tracker state: %zu tracks, this tracker has room for %d", n, b->opts->max_tracks);
    if (r->bad || n > (r->len - r->at) / sizeof(fm__kalman))
        return FM_FORMAT;
    if (!fm__grow(FM_TAG_TRACK, (void **)&b->tracks, &b->cap, n, sizeof *b->tracks))
        return fm__fail_nomem(err, "saved tracks");
    while (b->n < n && !r->bad)
        load_track(b, &b->tracks[b->n++], r, next_id);
    return r->bad || id_is_twice(b) ? FM_FORMAT : FM_OK;
}

const fm_tracker_class fm__bytetrack_class = {
    .name = "bytetrack",
    .defaults = defaults,
    .size = sizeof(bytetrack),
    .init = init,
    .done = done,
    .begin = begin,
    .finish = finish,
    .coast = coast,
    .count = count,
    .save = save,
    .load = load,
};
