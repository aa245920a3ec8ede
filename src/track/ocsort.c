// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// OC-SORT: J. Cao et al., "Observation-Centric SORT: Rethinking SORT for Robust Multi-Object Tracking", CVPR
// 2023. Motion and overlap only, on the Kalman filter of SORT (A. Bewley et al., ICIP 2016) over centre, area
// and aspect. What the paper adds:
//   momentum (OCM)    the direction from the observation momentum_frames ago to the last one should be that
//                     from it to the new one: how far the two agree, -1/2..1/2, times momentum and score, is
//                     added to the overlap
//   recovery (OCR)    what is left is matched by overlap with the track's last observation
//   re-update (ORU)   a track found again is put back to where it was lost and led along a straight line of
//                     made-up observations to the new one: what the filter believed while blind is forgotten
// Weak detections (low < high) are matched by overlap before recovery; the paper does without, its program
// has that as an option. A track is confirmed after n_init matches in a row, its birth included (the program
// leaves it out: its 3 is a 4 here), in a stream's first n_init - 1 frames at once.
// The same tracks as the authors' program makes, checked against its package `ocsort` 0.0.2. Deviations: only
// the same class is matched; pairs that overlap too little cannot be made and so have no say in who else is
// matched (there the assignment is over all pairs and drops those afterwards); a confirmed track that is
// found again is reported at once, there after 3 matches more. As there, a birth alone is no observation to
// recover from, and the last made-up observation is the new one, which therefore counts twice.

#include "track/match.h"

#include "base/alloc.h"
#include "base/error.h"

#include <math.h>

// Observations kept, a power of two above the largest momentum_frames.
enum { SEEN = 8, SEEN_MASK = SEEN - 1 };
enum { CX, CY, AREA, ASPECT };

// SORT's: variances of what is measured, of a step, and at birth. The aspect has no velocity.
static const double measured[4] = {1, 1, 10, 10};
static const double step_x = 1, step_v[4] = {1e-2, 1e-2, 1e-4, 0};
static const double most_state = 1e18; // far beyond what the largest boxes reach in the longest life
static const double birth_x = 10, birth_v[4] = {1e4, 1e4, 1e4, 0};

typedef struct track {
    fm__kalman motion, frozen; // frozen: as it was in the first frame missed
    int64_t id;                // 0: not confirmed
    int32_t class_id;
    uint32_t streak;    // matches in a row, birth included; stops at n_init
    uint32_t missed;    // frames since the last match
    uint32_t age;       // frames since birth
    fm_box seen[SEEN];  // [age & SEEN_MASK] matches, birth not among them
    uint32_t seen_bits; // bit i: there was one i frames ago
    fm_box last;        // observation, birth included
    float dx, dy;       // direction of motion, unit length; 0: not known
    int32_t det;        // of this frame; valid where missed is 0
    int32_t previous;   // of the frame shown before, as the caller counts; -1: none; not saved
} track;

typedef struct ocsort {
    const fm_tracker_opts *opts;
    track *tracks, *moved;      // [n]; scratch: moved on to the frame begun
    fm_box *boxes, *last_boxes; // scratch [n]
    int32_t *classes;           // scratch [n]
    size_t n, cap, moved_cap, box_cap, last_cap, class_cap;
    uint32_t frames; // seen before this one; stops at n_init
    fm__overlaps overlaps, last_overlaps;
    fm__match match;
} ocsort;

/* ---- the filter ---- */

static void measure(fm_box b, double z[4])
{
    double w = (double)b.x1 - (double)b.x0, h = (double)b.y1 - (double)b.y0;
    z[CX] = (double)b.x0 + w / 2;
    z[CY] = (double)b.y0 + h / 2;
    z[AREA] = w * h;
    z[ASPECT] = w / h;
}

// Inside out where the state has no box.
static fm_box box_of(const fm__kalman *k)
{
    double w = sqrt(k->x[AREA] * k->x[ASPECT]), h = k->x[AREA] / w;
    if (!(w > 0) || !(h > 0))
        return (fm_box){1, 1, 0, 0};
    return (fm_box){.x0 = (float)(k->x[CX] - w / 2),
        .y0 = (float)(k->x[CY] - h / 2),
        .x1 = (float)(k->x[CX] + w / 2),
        .y1 = (float)(k->x[CY] + h / 2)};
}

static void filter_init(fm__kalman *k, const double z[4])
{
    for (int i = 0; i < 4; i++) {
        k->x[i] = z[i];
        k->v[i] = k->xv[i] = 0;
        k->xx[i] = birth_x;
        k->vv[i] = birth_v[i];
    }
}

static void filter_predict(fm__kalman *k)
{
    if (k->x[AREA] + k->v[AREA] <= 0)
        k->v[AREA] = 0;
    for (int i = 0; i < 4; i++) {
        k->x[i] += k->v[i];
        k->xx[i] += 2 * k->xv[i] + k->vv[i] + step_x;
        k->xv[i] += k->vv[i];
        k->vv[i] += step_v[i];
    }
}

static void filter_update(fm__kalman *k, const double z[4], double noise)
{
    for (int i = 0; i < 4; i++) {
        double total = k->xx[i] + noise * measured[i];
        double gain_x = k->xx[i] / total, gain_v = k->xv[i] / total, surprise = z[i] - k->x[i];
        k->x[i] += gain_x * surprise;
        k->v[i] += gain_v * surprise;
        k->vv[i] -= gain_v * k->xv[i];
        k->xv[i] -= gain_x * k->xv[i];
        k->xx[i] -= gain_x * k->xx[i];
    }
}

// False for NaN, too.
static bool is_possible(const fm__kalman *k)
{
    for (int i = 0; i < 4; i++)
        if (!(fabs(k->x[i]) <= most_state && fabs(k->v[i]) <= most_state && k->xx[i] <= most_state &&
                fabs(k->xv[i]) <= most_state && k->vv[i] <= most_state && k->xx[i] >= 0 && k->vv[i] >= 0))
            return false;
    return true;
}

/* ---- observations ---- */

static fm_box between(fm_box a, fm_box b, double t)
{
    // Centre and sides move evenly, hence so do the corners.
    return (fm_box){.x0 = (float)((double)a.x0 + t * ((double)b.x0 - (double)a.x0)),
        .y0 = (float)((double)a.y0 + t * ((double)b.y0 - (double)a.y0)),
        .x1 = (float)((double)a.x1 + t * ((double)b.x1 - (double)a.x1)),
        .y1 = (float)((double)a.y1 + t * ((double)b.y1 - (double)a.y1))};
}

// ORU; the state comes out in the present frame, updated.
static void re_update(track *t, fm_box box)
{
    t->motion = t->frozen;
    for (uint32_t i = 1; i <= t->missed; i++) {
        double z[4];
        measure(between(t->last, box, (double)i / (double)t->missed), z);
        filter_update(&t->motion, z, 1);
        if (i < t->missed)
            filter_predict(&t->motion);
    }
}

// The observation momentum_frames ago, else the next one after it, else the last one. NULL: none but the
// birth.
static const fm_box *earlier(const track *t, int momentum_frames)
{
    for (int ago = momentum_frames; ago > 0; ago--)
        if (t->seen_bits >> ago & 1)
            return &t->seen[(t->age - (uint32_t)ago) & SEEN_MASK];
    return t->seen_bits != 0 ? &t->last : NULL;
}

static void direction(const fm_box *from, const fm_box *to, float *dx, float *dy)
{
    float x = (to->x0 + to->x1 - from->x0 - from->x1) / 2, y = (to->y0 + to->y1 - from->y0 - from->y1) / 2;
    float length = sqrtf(x * x + y * y) + 1e-6F;
    *dx = x / length;
    *dy = y / length;
}

static void observe(track *t, const fm_tracker_opts *o, fm_box box)
{
    const fm_box *from = earlier(t, o->momentum_frames);
    if (from != NULL)
        direction(from, &box, &t->dx, &t->dy);
    t->last = t->seen[t->age & SEEN_MASK] = box;
    t->seen_bits |= 1;
}

/* ---- tracks ---- */

static void move(track *t, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++) {
        if (t->missed == 1)
            t->frozen = t->motion;
        if (t->missed > 0)
            t->streak = 1; // its last match counts as a birth
        filter_predict(&t->motion);
        t->missed++;
        t->age++;
        // The oldest bit stays: it says that there ever was one.
        t->seen_bits = t->seen_bits << 1 | (t->seen_bits & 1U << 31);
    }
}

static void confirm(const ocsort *b, track *t, float score, int64_t *next_id)
{
    uint32_t n_init = (uint32_t)b->opts->n_init;
    if (t->id == 0 && (t->streak >= n_init || score >= b->opts->confirm_score || b->frames + 1 < n_init))
        t->id = (*next_id)++;
}

static void update(const ocsort *b, track *t, const fm__track_frame *f, int32_t det)
{
    const fm__track_det *d = &f->dets[det];
    double z[4];
    measure(d->box, z);
    if (t->missed > 1 && t->seen_bits != 0)
        re_update(t, d->box);
    filter_update(&t->motion, z, b->opts->scale_noise ? fm__kalman_noise(d->score) : 1);
    observe(t, b->opts, d->box);
    t->streak += t->streak < (uint32_t)b->opts->n_init;
    t->missed = 0;
    t->det = det;
    confirm(b, t, d->score, f->next_id);
}

static void begin_track(ocsort *b, const fm__track_frame *f, int32_t det)
{
    const fm__track_det *d = &f->dets[det];
    if (!fm__track_may_begin(b->opts, d) || b->n >= (size_t)b->opts->max_tracks)
        return;
    track *t = &b->tracks[b->n++];
    *t = (track){.class_id = d->class_id, .streak = 1, .det = det, .previous = -1, .last = d->box};
    double z[4];
    measure(d->box, z);
    filter_init(&t->motion, z);
    confirm(b, t, d->score, f->next_id);
}

/* ---- rounds ---- */

// How well a detection lies on a track's way, -1/2..1/2.
static float agreement(const ocsort *b, const fm__track_frame *f, const fm__pair *p)
{
    const track *t = &b->tracks[p->row];
    const fm_box *from = earlier(t, b->opts->momentum_frames);
    if (from == NULL)
        return 0;
    float dx, dy;
    direction(from, &f->dets[p->col].box, &dx, &dy);
    float cosine = dx * t->dx + dy * t->dy;
    cosine = cosine > 1 ? 1 : (cosine < -1 ? -1 : cosine);
    return asinf(cosine) / 3.14159265F;
}

static void match_strong(ocsort *b, const fm__track_frame *f)
{
    for (size_t i = 0; i < b->overlaps.n; i++) {
        const fm__pair *p = &b->overlaps.pairs[i];
        if ((size_t)p->col >= f->strong)
            continue;
        float gain = b->opts->momentum * f->dets[p->col].score * agreement(b, f, p);
        fm__match_offer(&b->match, p, 1 - p->cost - gain);
    }
    fm__match_round(&b->match, 1);
}

// A round by overlap alone, strong detections or weak ones.
static void match_left(ocsort *b, const fm__track_frame *f, const fm__overlaps *o, bool strong)
{
    for (size_t i = 0; i < o->n; i++) {
        const fm__pair *p = &o->pairs[i];
        if (fm__match_free(&b->match, p) && ((size_t)p->col < f->strong) == strong)
            fm__match_offer(&b->match, p, 1 - p->cost);
    }
    fm__match_round(&b->match, 1);
}

/* ---- frames ---- */

static bool make_room(ocsort *b, const fm__track_frame *f)
{
    size_t most = b->n + f->strong;
    return fm__grow(FM_TAG_TRACK, (void **)&b->tracks, &b->cap, most, sizeof *b->tracks) &&
           fm__grow(FM_TAG_TRACK, (void **)&b->moved, &b->moved_cap, most, sizeof *b->moved) &&
           fm__grow(FM_TAG_TRACK, (void **)&b->boxes, &b->box_cap, b->n, sizeof *b->boxes) &&
           fm__grow(FM_TAG_TRACK, (void **)&b->last_boxes, &b->last_cap, b->n, sizeof *b->last_boxes) &&
           fm__grow(FM_TAG_TRACK, (void **)&b->classes, &b->class_cap, b->n, sizeof *b->classes);
}

static size_t move_all(ocsort *b, uint32_t skipped)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        if (b->tracks[i].missed + skipped > (uint32_t)b->opts->max_age)
            continue; // it ended in a frame that was never shown
        track *t = &b->moved[n];
        *t = b->tracks[i];
        move(t, 1 + skipped);
        b->boxes[n] = box_of(&t->motion);
        b->last_boxes[n] = t->seen_bits != 0 ? t->last : (fm_box){0}; // a birth alone recovers nothing
        b->classes[n++] = t->class_id;
    }
    return n;
}

static bool find_overlaps(ocsort *b, const fm__track_frame *f, size_t n)
{
    float least = b->opts->max_iou < 1 ? 1 - b->opts->max_iou : 1e-6F;
    if (!fm__overlaps_find(&b->overlaps, b->boxes, b->classes, n, f->dets, f->n, least) ||
        !fm__overlaps_find(&b->last_overlaps, b->last_boxes, b->classes, n, f->dets, f->strong, least))
        return false;
    size_t most = b->overlaps.n > b->last_overlaps.n ? b->overlaps.n : b->last_overlaps.n;
    return fm__match_begin(&b->match, n, f->n, most);
}

static bool begin(void *self, const fm__track_frame *f, uint8_t *wants)
{
    (void)wants; // it looks at no appearance
    ocsort *b = self;
    if (!make_room(b, f))
        return false;
    size_t n = move_all(b, f->skipped);
    if (!find_overlaps(b, f, n))
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

// Those lost for too long, and those whose filter ran away: only a saved state from elsewhere brings that
// about.
static void end_tracks(ocsort *b)
{
    size_t kept = 0;
    for (size_t i = 0; i < b->n; i++)
        if (b->tracks[i].missed <= (uint32_t)b->opts->max_age && is_possible(&b->tracks[i].motion))
            b->tracks[kept++] = b->tracks[i];
    b->n = kept;
}

static void finish(void *self, const fm__track_frame *f, const float *const *features, fm_track_mark *marks)
{
    (void)features;
    ocsort *b = self;
    size_t known = b->n;
    match_strong(b, f);
    match_left(b, f, &b->overlaps, false);
    match_left(b, f, &b->last_overlaps, true);
    for (size_t i = 0; i < known; i++)
        if (b->match.det_of[i] >= 0)
            update(b, &b->tracks[i], f, b->match.det_of[i]);
    for (size_t i = 0; i < f->strong; i++)
        if (b->match.track_of[i] < 0)
            begin_track(b, f, (int32_t)i);
    end_tracks(b);
    b->frames += b->frames < (uint32_t)b->opts->n_init;
    for (size_t i = 0; i < b->n; i++) {
        track *t = &b->tracks[i];
        int32_t index = t->missed == 0 ? (int32_t)f->dets[t->det].index : -1;
        if (index >= 0 && t->id > 0)
            marks[index] =
                (fm_track_mark){.id = t->id, .filtered = box_of(&t->motion), .previous = t->previous};
        t->previous = index;
    }
}

// The history counts frames that were looked at: for a track that is seen only the filter moves.
static void coast(void *self, uint64_t frame)
{
    (void)frame;
    ocsort *b = self;
    for (size_t i = 0; i < b->n; i++) {
        if (b->tracks[i].missed > 0)
            move(&b->tracks[i], 1);
        else
            filter_predict(&b->tracks[i].motion);
    }
    end_tracks(b);
}

/* ---- the table ---- */

// The program's, but for begin_margin (0 there) and max_iou (0.7): docs/tracking.md.
static void defaults(fm_tracker_opts *o)
{
    o->low = 1; // no weak ones
    o->begin_margin = 0.2F;
    o->n_init = 3;
    o->max_iou = 0.9F;
    o->momentum = 0.2F;
    o->momentum_frames = 3;
}

static bool init(void *self, const fm_tracker_opts *opts)
{
    ocsort *b = self;
    b->opts = opts;
    return true;
}

static void done(void *self)
{
    ocsort *b = self;
    fm__free(b->tracks);
    fm__free(b->moved);
    fm__free(b->boxes);
    fm__free(b->last_boxes);
    fm__free(b->classes);
    fm__overlaps_done(&b->overlaps);
    fm__overlaps_done(&b->last_overlaps);
    fm__match_done(&b->match);
}

static size_t count(const void *self)
{
    const ocsort *b = self;
    return b->n;
}

/* ---- saved state ---- */

static void put_box(fm_box b, fm__writer *w)
{
    fm__put_f32(w, b.x0);
    fm__put_f32(w, b.y0);
    fm__put_f32(w, b.x1);
    fm__put_f32(w, b.y1);
}

static fm_box get_box(fm__reader *r)
{
    fm_box b;
    b.x0 = fm__get_f32(r, -FM_TRACK_FAR, FM_TRACK_FAR);
    b.y0 = fm__get_f32(r, -FM_TRACK_FAR, FM_TRACK_FAR);
    b.x1 = fm__get_f32(r, b.x0, FM_TRACK_FAR);
    b.y1 = fm__get_f32(r, b.y0, FM_TRACK_FAR);
    return b;
}

static void put_filter(const fm__kalman *k, fm__writer *w)
{
    for (int i = 0; i < 4; i++) {
        fm__put_f64(w, k->x[i]);
        fm__put_f64(w, k->v[i]);
        fm__put_f64(w, k->xx[i]);
        fm__put_f64(w, k->xv[i]);
        fm__put_f64(w, k->vv[i]);
    }
}

// The aspect's velocity is known to be 0, hence variances of 0.
static void get_filter(fm__kalman *k, fm__reader *r)
{
    for (int i = 0; i < 4; i++) {
        k->x[i] = fm__get_f64(r, -most_state, most_state);
        k->v[i] = fm__get_f64(r, -most_state, most_state);
        k->xx[i] = fm__get_f64(r, 0, most_state);
        k->xv[i] = fm__get_f64(r, -most_state, most_state);
        k->vv[i] = fm__get_f64(r, 0, most_state);
    }
}

static void save(const void *self, fm__writer *w)
{
    const ocsort *b = self;
    fm__put(w, b->frames, 4);
    fm__put(w, b->n, 4);
    for (size_t i = 0; i < b->n; i++) {
        const track *t = &b->tracks[i];
        fm__put(w, (uint64_t)t->id, 8);
        fm__put(w, (uint32_t)t->class_id, 4);
        fm__put(w, t->streak, 4);
        fm__put(w, t->missed, 4);
        fm__put(w, t->age, 4);
        fm__put(w, t->seen_bits, 4);
        for (int j = 0; j < SEEN; j++)
            put_box(t->seen[j], w);
        put_box(t->last, w);
        fm__put_f32(w, t->dx);
        fm__put_f32(w, t->dy);
        put_filter(&t->motion, w);
        put_filter(&t->frozen, w);
    }
}

static void load_track(const ocsort *b, track *t, fm__reader *r, int64_t next_id)
{
    t->id = (int64_t)fm__get_in(r, 8, 0, (uint64_t)next_id - 1);
    t->class_id = (int32_t)(uint32_t)fm__get(r, 4);
    t->streak = (uint32_t)fm__get_in(r, 4, 1, (uint64_t)b->opts->n_init);
    t->missed = (uint32_t)fm__get_in(r, 4, 0, (uint64_t)b->opts->max_age);
    t->age = (uint32_t)fm__get_in(r, 4, t->missed, UINT32_MAX);
    t->previous = -1;
    t->seen_bits = (uint32_t)fm__get(r, 4);
    for (int j = 0; j < SEEN; j++)
        t->seen[j] = get_box(r);
    t->last = get_box(r);
    t->dx = fm__get_f32(r, -1.01F, 1.01F); // of unit length but for rounding
    t->dy = fm__get_f32(r, -1.01F, 1.01F);
    get_filter(&t->motion, r);
    get_filter(&t->frozen, r);
}

static bool id_is_twice(const ocsort *b)
{
    for (size_t i = 0; i < b->n; i++)
        for (size_t k = 0; k < i && b->tracks[i].id != 0; k++)
            if (b->tracks[i].id == b->tracks[k].id)
                return true;
    return false;
}

static fm_status load(void *self, fm__reader *r, int64_t next_id, fm_error *err)
{
    ocsort *b = self;
    b->frames = (uint32_t)fm__get_in(r, 4, 0, (uint64_t)b->opts->n_init);
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

const fm_tracker_class fm__ocsort_class = {
    .name = "ocsort",
    .defaults = defaults,
    .size = sizeof(ocsort),
    .init = init,
    .done = done,
    .begin = begin,
    .finish = finish,
    .coast = coast,
    .count = count,
    .save = save,
    .load = load,
};
