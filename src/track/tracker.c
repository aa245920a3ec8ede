// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What all trackers share: the table of types, ranges of settings, checks of what comes in. Detections that
// cannot be right (NaN, no area, nowhere near the frame) are left out here, the rest is sorted into strong
// and weak ones, so that a type's own file holds its association and nothing else. Frames that were never
// shown are steps without detections; no track outlives max_age + 1 of them, so a jump over a thousand years
// costs no more than that many steps.

#include "track/tracker.h"

#include "base/alloc.h"
#include "base/error.h"
#include "track/private.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* ---- types ---- */

static const fm_tracker_class *const classes[] = {
    &fm__deepsort_class, &fm__bytetrack_class, &fm__ocsort_class};
static const char *const names[] = {"deepsort", "bytetrack", "ocsort", NULL};
enum { CLASS_COUNT = sizeof classes / sizeof *classes };
_Static_assert(sizeof names / sizeof *names == CLASS_COUNT + 1, "a name for each type");

static const fm_tracker_class *find_class(const char *type)
{
    for (int i = 0; i < CLASS_COUNT; i++)
        if (type != NULL && strcmp(classes[i]->name, type) == 0)
            return classes[i];
    return NULL;
}

static fm_status no_such(fm_error *err, const char *type)
{
    char list[128] = "";
    for (int i = 0; i < CLASS_COUNT; i++) {
        size_t at = strlen(list);
        snprintf(list + at, sizeof list - at, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    return fm__fail(err, FM_NOTFOUND, "no tracker '%s'; there are: %s", type ? type : "", list);
}

const char *const *fm__tracker_names(void)
{
    return names;
}

bool fm__tracker_wants_features(const char *type)
{
    const fm_tracker_class *c = find_class(type);
    return c != NULL && c->wants_features;
}

/* ---- settings ---- */

typedef struct range {
    const char *name;
    size_t offset;
    bool whole; // an int, else a float
    double lo, hi;
} range;

#define INT(field, lo, hi)                                                                                   \
    {                                                                                                        \
#field, offsetof(fm_tracker_opts, field), true, lo, hi                                               \
    }
#define REAL(field, lo, hi)                                                                                  \
    {                                                                                                        \
#field, offsetof(fm_tracker_opts, field), false, lo, hi                                              \
    }
static const range ranges[] = {
    INT(dim, 0, FM_TRACK_MAX_DIM),
    REAL(high, 0, 1),
    REAL(low, 0, 1),
    REAL(begin_margin, 0, 1),
    INT(n_init, 1, 10000),
    INT(max_age, 1, 10000),
    INT(max_tracks, 1, FM_TRACK_MAX_TRACKS),
    REAL(confirm_score, 0, 1e6),
    REAL(max_iou, 0, 1),
    REAL(max_iou_low, 0, 1),
    REAL(max_iou_new, 0, 1),
    REAL(momentum, 0, 1),
    INT(momentum_frames, 1, 7),
    INT(overlap_age, 1, 10000),
    REAL(max_cosine, 0, 2),
    REAL(gate, 0, 1e9),
    REAL(motion_weight, 0, 1),
    REAL(overlap_weight, 0, 100),
    REAL(max_cosine_near, 0, 2),
    INT(budget, 1, 1000),
    REAL(feature_weight, 0, 0.9999),
    INT(reentry_count, 0, FM_TRACK_MAX_TRACKS),
    INT(reentry_age, 0, 100000000),
    REAL(clear_iou, 0, 1),
    REAL(rival_iou, 0, 1),
    INT(young, 0, 1000),
    INT(stale, 1, 100000000),
};

static fm_status check_opts(const fm_tracker_opts *opts, fm_error *err)
{
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        const range *r = &ranges[i];
        const char *at = (const char *)opts + r->offset;
        double value;
        if (r->whole) {
            int v;
            memcpy(&v, at, sizeof v);
            value = v;
        } else {
            float v;
            memcpy(&v, at, sizeof v);
            value = (double)v;
        }
        if (!(value >= r->lo && value <= r->hi)) // NaN, too
            return fm__fail(err, FM_INVAL, "tracker %s: %s %g is not within %g .. %g", opts->type, r->name,
                value, r->lo, r->hi);
    }
    if (opts->level < FM_CPU_SCALAR || opts->level >= FM_CPU_LEVEL_COUNT)
        return fm__fail(err, FM_INVAL, "tracker %s: no CPU level %d", opts->type, (int)opts->level);
    if (opts->reid != FM_REID_ALWAYS && opts->reid != FM_REID_AMBIGUOUS)
        return fm__fail(err, FM_INVAL, "tracker %s: no reid mode %d", opts->type, (int)opts->reid);
    return FM_OK;
}

// What every type begins with; it then sets what is its own.
fm_status fm__tracker_opts_init(fm_tracker_opts *opts, const char *type, fm_error *err)
{
    const fm_tracker_class *c = find_class(type);
    if (c == NULL)
        return no_such(err, type);
    *opts = (fm_tracker_opts){.type = c->name,
        .level = fm__cpu_level(),
        .high = 0.5F,
        .low = 0.1F,
        .n_init = 3,
        .max_age = 30,
        .max_tracks = 1024,
        .confirm_score = 2,
        .max_iou = 0.7F,
        .max_iou_low = 0.5F,
        .max_iou_new = 0.7F,
        .momentum_frames = 3,
        .overlap_age = 1,
        .max_cosine = 0.2F,
        .gate = 9.4877F,
        .max_cosine_near = 0.2F,
        .budget = 100,
        .reentry_age = 300,
        .clear_iou = 0.5F,
        .rival_iou = 0.1F,
        .young = 1,
        .stale = 10};
    c->defaults(opts);
    return FM_OK;
}

/* ---- life ---- */

void *fm__tracker_self_new(const fm_tracker *tracker)
{
    void *self = fm__calloc(FM_TAG_TRACK, tracker->type->size);
    if (self != NULL && !tracker->type->init(self, &tracker->opts)) {
        fm__tracker_self_free(tracker, self);
        return NULL;
    }
    return self;
}

void fm__tracker_self_free(const fm_tracker *tracker, void *self)
{
    if (self == NULL)
        return;
    tracker->type->done(self);
    fm__free(self);
}

fm_status fm__tracker_new(const fm_tracker_opts *opts, fm_tracker **out, fm_error *err)
{
    const fm_tracker_class *c = find_class(opts->type);
    if (c == NULL)
        return no_such(err, opts->type);
    fm_status status = check_opts(opts, err);
    if (status != FM_OK)
        return status;
    fm_tracker *t = fm__calloc(FM_TAG_TRACK, sizeof *t);
    if (t == NULL)
        return fm__fail_nomem(err, "a tracker");
    t->type = c;
    t->opts = *opts;
    t->opts.type = c->name;
    t->next_id = 1;
    t->self = fm__tracker_self_new(t);
    if (t->self == NULL) {
        fm__tracker_free(&t);
        return fm__fail_nomem(err, "a tracker");
    }
    *out = t;
    return FM_OK;
}

void fm__tracker_free(fm_tracker **tracker)
{
    fm_tracker *t = *tracker;
    if (t == NULL)
        return;
    fm__tracker_self_free(t, t->self);
    fm__free(t->dets);
    fm__free(t);
    *tracker = NULL;
}

size_t fm__tracker_count(const fm_tracker *tracker)
{
    return tracker->type->count(tracker->self);
}

uint64_t fm__tracker_confirmed(const fm_tracker *tracker)
{
    return (uint64_t)tracker->next_id - 1; // an id is given at confirmation
}

/* ---- detections ---- */

static bool within(float v, float limit)
{
    return v >= -limit && v <= limit; // false for NaN
}

static bool is_sound(const fm_det *d, int width, int height)
{
    const fm_box *b = &d->box;
    return within(b->x0, FM_TRACK_FAR) && within(b->y0, FM_TRACK_FAR) && within(b->x1, FM_TRACK_FAR) &&
           within(b->y1, FM_TRACK_FAR) && b->x1 - b->x0 >= FM_TRACK_LEAST_SIDE &&
           b->y1 - b->y0 >= FM_TRACK_LEAST_SIDE && b->x0 < (float)width && b->y0 < (float)height &&
           b->x1 > 0 && b->y1 > 0 && !isnan(d->score);
}

static void add_det(fm__track_frame *f, fm__track_det *to, const fm_det *d, size_t index)
{
    fm__track_det *t = &to[f->n++];
    t->box = d->box;
    fm__kalman_measure(d->box, t->z);
    t->score = d->score > 1 ? 1 : (d->score < 0 ? 0 : d->score);
    t->class_id = d->class_id;
    t->index = (uint32_t)index;
}

static void sort_dets(fm_tracker *t, fm__track_frame *f, const fm_det *dets, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (dets[i].score >= t->opts.high && is_sound(&dets[i], f->width, f->height))
            add_det(f, t->dets, &dets[i], i);
    f->strong = f->n;
    for (size_t i = 0; i < n; i++)
        if (dets[i].score >= t->opts.low && dets[i].score < t->opts.high &&
            is_sound(&dets[i], f->width, f->height))
            add_det(f, t->dets, &dets[i], i);
}

bool fm__tracker_wants_ahead(const fm_tracker_opts *opts, const fm_det *det, int width, int height)
{
    return opts->reid == FM_REID_ALWAYS && opts->dim > 0 && fm__tracker_wants_features(opts->type) &&
           det->score >= opts->high && is_sound(det, width, height);
}

/* ---- frames ---- */

static fm_status check_frame(
    const fm_tracker *t, uint64_t frame, int width, int height, size_t n, fm_error *err)
{
    if (t->pending)
        return fm__fail(err, FM_INVAL, "tracker: frame %llu begun before frame %llu was finished",
            (unsigned long long)frame, (unsigned long long)t->frame.number);
    if (t->started && frame <= t->last)
        return fm__fail(err, FM_INVAL, "tracker: frame %llu after frame %llu; frames come in order",
            (unsigned long long)frame, (unsigned long long)t->last);
    if (width < 1 || height < 1)
        return fm__fail(err, FM_INVAL, "tracker: a frame of %d x %d", width, height);
    if (n > FM_TRACK_MAX_DETS)
        return fm__fail(
            err, FM_INVAL, "tracker: %zu detections in a frame, at most %d", n, FM_TRACK_MAX_DETS);
    return FM_OK;
}

fm_status fm__tracker_begin(fm_tracker *tracker, uint64_t frame, int width, int height, const fm_det *dets,
    size_t n, uint8_t *wants, size_t *want_count, fm_error *err)
{
    fm_tracker *t = tracker;
    fm_status status = check_frame(t, frame, width, height, n, err);
    if (status != FM_OK)
        return status;
    if (!fm__grow(FM_TAG_TRACK, (void **)&t->dets, &t->det_cap, n, sizeof *t->dets))
        return fm__fail_nomem(err, "a frame's detections");
    uint64_t skipped = t->started ? frame - t->last - 1 : 0, most = (uint64_t)t->opts.max_age + 1;
    fm__track_frame f = {.number = frame,
        .previous = t->last,
        .skipped = (uint32_t)(skipped < most ? skipped : most),
        .width = width,
        .height = height,
        .dets = t->dets,
        .next_id = &t->next_id};
    sort_dets(t, &f, dets, n);
    if (n > 0)
        memset(wants, 0, n);
    if (!t->type->begin(t->self, &f, wants))
        return fm__fail_nomem(err, "a frame's tracks");
    t->frame = f;
    t->raw = dets;
    t->given = n;
    t->pending = t->started = true;
    t->last = frame;
    *want_count = 0;
    for (size_t i = 0; i < n; i++)
        *want_count += wants[i];
    return FM_OK;
}

fm_status fm__tracker_coast(fm_tracker *tracker, uint64_t frame, bool moves, fm_error *err)
{
    fm_tracker *t = tracker;
    fm_status status = check_frame(t, frame, 1, 1, 0, err);
    if (status != FM_OK || !t->started)
        return status;
    if (moves)
        t->type->coast(t->self, frame);
    t->last = frame;
    return FM_OK;
}

fm_status fm__tracker_finish(
    fm_tracker *tracker, const float *const *features, fm_track_mark *marks, fm_error *err)
{
    fm_tracker *t = tracker;
    if (!t->pending)
        return fm__fail(err, FM_INVAL, "tracker: finish without begin");
    for (size_t i = 0; i < t->given; i++)
        marks[i] = (fm_track_mark){.filtered = t->raw[i].box, .previous = -1};
    t->type->finish(t->self, &t->frame, features, marks);
    t->pending = false;
    t->raw = NULL;
    return FM_OK;
}
