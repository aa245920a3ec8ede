// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// CLEAR MOT: K. Bernardin, R. Stiefelhagen, "Evaluating Multiple Object Tracking Performance: The CLEAR MOT
// Metrics", EURASIP Journal on Image and Video Processing, 2008. In each frame, ground truth keeps the track
// it has if that still overlaps enough; what is left is assigned anew, and whoever is assigned another track
// than before counts as a switch. The details are published in two programs only, and differ, so both sets of
// rules are here. TrackEval (J. Luiten, 1.0): "keeps" means from the last frame in which both sides had
// boxes; the rest by largest total overlap; a fragment begins whenever an object is found and was not in that
// last frame; mostly tracked means more than 80 %. py-motmetrics (C. Heindl, 1.4): keeps what it had any time
// ago, the first of two that want the same track; the rest as many as possible, of those the largest overlap;
// a fragment is a run of misses between two finds; mostly tracked means 80 % or more. TrackEval prefers to
// keep by adding 1000 to an overlap; pairs that keep exclude one another never, so taking them first is the
// same below a thousand objects in a crowd.

#include "track/eval_int.h"

#include "base/alloc.h"
#include "base/error.h"

#include <math.h>

#define NOBODY UINT32_MAX

/** What is known of one object. */
typedef struct object {
    uint32_t track; // it had last, or NOBODY
    uint32_t turn;  // of the last match, from 1; a turn is a frame with boxes on both sides
    uint32_t found; // boxes
    uint32_t starts;
    bool missed; // its last box was not found
} object;

typedef struct clear {
    const fm_eval_seq *s;
    double iou;
    fm_eval_rules rules;
    object *objects;  // [gt_track_count]
    uint32_t *box_of; // scratch [max_gt]: overlap that is taken, or NOBODY
    uint8_t *taken;   // scratch [max_boxes]
    fm_matcher matcher;
    uint32_t turn;
    fm_eval_sums *out;
} clear;

static bool reaches(const clear *c, double iou)
{
    // py-motmetrics compares distances.
    return c->rules == FM_EVAL_TRACKEVAL ? fm__iou_reaches(iou, c->iou) : 1 - iou <= 1 - c->iou;
}

static bool is_kept(const clear *c, const object *o, uint32_t track)
{
    return o->track == track && (c->rules == FM_EVAL_MOTMETRICS || o->turn + 1 == c->turn);
}

// Pairs that go on as before.
static void keep(clear *c, const fm_eval_frame *f)
{
    for (size_t i = 0; i < f->overlap_count; i++) {
        const fm_overlap *v = &c->s->overlaps[f->overlap_first + i];
        const fm_id_pair *p = &c->s->pairs[v->pair];
        if (reaches(c, v->iou) && is_kept(c, &c->objects[p->gt], p->track) && !c->taken[v->box]) {
            c->box_of[v->gt] = (uint32_t)i;
            c->taken[v->box] = 1;
        }
    }
}

// The rest; their place among the frame's overlaps is found again by the pair of boxes.
static fm_status assign(clear *c, const fm_eval_frame *f, fm_error *err)
{
    if (!fm__matcher_begin(&c->matcher, f->gt_count, f->box_count, f->overlap_count)) {
        return fm__fail_nomem(err, "an assignment");
    }
    const fm_overlap *overlaps = &c->s->overlaps[f->overlap_first];
    for (size_t i = 0; i < f->overlap_count; i++) {
        const fm_overlap *v = &overlaps[i];
        if (reaches(c, v->iou) && c->box_of[v->gt] == NOBODY && !c->taken[v->box]) {
            fm__matcher_add(&c->matcher, v->gt, v->box, v->iou);
        }
    }
    const int32_t *best =
        c->rules == FM_EVAL_TRACKEVAL ? fm__matcher_best(&c->matcher) : fm__matcher_most(&c->matcher);
    for (size_t i = 0; i < f->overlap_count; i++) {
        const fm_overlap *v = &overlaps[i];
        if (best[v->gt] == v->box) {
            c->box_of[v->gt] = (uint32_t)i;
        }
    }
    return FM_OK;
}

static void count_match(clear *c, object *o, const fm_overlap *v)
{
    uint32_t track = c->s->pairs[v->pair].track;
    c->out->switches += o->track != NOBODY && o->track != track;
    o->starts +=
        c->rules == FM_EVAL_TRACKEVAL ? o->turn == 0 || o->turn + 1 != c->turn : o->found == 0 || o->missed;
    o->track = track;
    o->turn = c->turn;
    o->found++;
    o->missed = false;
    c->out->tp++;
    c->out->tp_iou += v->iou;
}

static fm_status match_frame(clear *c, const fm_eval_frame *f, fm_error *err)
{
    for (uint32_t i = 0; i < f->gt_count; i++) {
        c->box_of[i] = NOBODY;
    }
    for (uint32_t i = 0; i < f->box_count; i++) {
        c->taken[i] = 0;
    }
    c->turn += f->gt_count > 0 && f->box_count > 0;
    keep(c, f);
    fm_status st = assign(c, f, err);
    if (st != FM_OK) {
        return st;
    }
    int64_t before = c->out->tp;
    for (uint32_t i = 0; i < f->gt_count; i++) {
        object *o = &c->objects[c->s->gt_ids[f->gt_first + i]];
        if (c->box_of[i] == NOBODY) {
            o->missed = true;
        } else {
            count_match(c, o, &c->s->overlaps[f->overlap_first + c->box_of[i]]);
        }
    }
    int64_t found = c->out->tp - before;
    c->out->fn += f->gt_count - found;
    c->out->fp += f->box_count - found;
    return FM_OK;
}

static void count_objects(const clear *c)
{
    for (uint32_t i = 0; i < c->s->gt_track_count; i++) {
        const object *o = &c->objects[i];
        double ratio = (double)o->found / c->s->gt_length[i];
        bool mostly = c->rules == FM_EVAL_TRACKEVAL ? ratio > 0.8 : ratio >= 0.8;
        c->out->mt += mostly;
        c->out->pt += !mostly && ratio >= 0.2;
        c->out->ml += ratio < 0.2;
        c->out->frag += o->starts > 0 ? o->starts - 1 : 0;
    }
}

static fm_status clear_init(clear *c, fm_error *err)
{
    const fm_eval_seq *s = c->s;
    c->objects = fm__calloc_array(FM_TAG_TRACK, s->gt_track_count + (size_t)1, sizeof(*c->objects));
    c->box_of = fm__calloc_array(FM_TAG_TRACK, s->max_gt + 1, sizeof(*c->box_of));
    c->taken = fm__calloc_array(FM_TAG_TRACK, s->max_boxes + 1, sizeof(*c->taken));
    if (!c->objects || !c->box_of || !c->taken) {
        return fm__fail_nomem(err, "an evaluation");
    }
    for (uint32_t i = 0; i < s->gt_track_count; i++) {
        c->objects[i].track = NOBODY;
    }
    return FM_OK;
}

fm_status fm__eval_clear(
    const fm_eval_seq *s, double iou, fm_eval_rules rules, fm_eval_sums *out, fm_error *err)
{
    clear c = {.s = s, .iou = iou, .rules = rules, .out = out};
    fm_status st = clear_init(&c, err);
    for (size_t i = 0; i < s->frame_count && st == FM_OK; i++) {
        st = match_frame(&c, &s->frames[i], err);
    }
    if (st == FM_OK) {
        count_objects(&c);
    }
    fm__matcher_done(&c.matcher);
    fm__free(c.objects);
    fm__free(c.box_of);
    fm__free(c.taken);
    return st;
}
