// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// HOTA: J. Luiten, A. Osep, P. Dendorfer, P. Torr, A. Geiger, L. Leal-Taixe, B. Leibe, "HOTA: A Higher Order
// Metric for Evaluating Multi-Object Tracking", International Journal of Computer Vision 129, 2021; the
// answers are those of the authors' TrackEval 1.0. A first pass says how well two ids fit over the whole
// sequence (their overlaps, each divided by all that the two boxes have, over their united length). A second
// assigns the boxes of each frame by that times their overlap, and counts for 19 thresholds who was together
// how often. Only pairs of ids whose boxes overlap somewhere are kept, 19 counters each.

#include "track/eval_int.h"

#include "base/alloc.h"
#include "base/error.h"

#include <math.h>
#include <string.h>

typedef struct hota {
    const fm_eval_seq *s;
    double *fit;              // [pair_count]
    double *gt_sum, *box_sum; // scratch: overlaps of each box of a frame
    uint32_t *together;       // [pair_count][FM_EVAL_ALPHAS]
    fm_matcher matcher;
    fm_eval_sums *out;
} hota;

static double alpha_of(int i)
{
    return 0.05 + 0.05 * i;
}

static void add_fits(hota *h, const fm_eval_frame *f)
{
    const fm_overlap *overlaps = &h->s->overlaps[f->overlap_first];
    memset(h->gt_sum, 0, f->gt_count * sizeof(*h->gt_sum));
    memset(h->box_sum, 0, f->box_count * sizeof(*h->box_sum));
    for (size_t i = 0; i < f->overlap_count; i++) {
        h->gt_sum[overlaps[i].gt] += overlaps[i].iou;
        h->box_sum[overlaps[i].box] += overlaps[i].iou;
    }
    for (size_t i = 0; i < f->overlap_count; i++) {
        const fm_overlap *v = &overlaps[i];
        double all = h->gt_sum[v->gt] + h->box_sum[v->box] - v->iou;
        h->fit[v->pair] += all > 2.220446049250313e-16 ? v->iou / all : 0;
    }
}

static void finish_fits(hota *h)
{
    for (size_t i = 0; i < h->s->pair_count; i++) {
        const fm_id_pair *p = &h->s->pairs[i];
        double lengths = (double)h->s->gt_length[p->gt] + h->s->length[p->track];
        h->fit[i] /= lengths - h->fit[i];
    }
}

static void count_match(hota *h, const fm_overlap *v)
{
    uint32_t *together = &h->together[(size_t)v->pair * FM_EVAL_ALPHAS];
    for (int a = 0; a < FM_EVAL_ALPHAS && fm__iou_reaches(v->iou, alpha_of(a)); a++) {
        together[a]++;
        h->out->hota_tp[a]++;
        h->out->hota_iou[a] += v->iou;
    }
}

static fm_status match_frame(hota *h, const fm_eval_frame *f, fm_error *err)
{
    const fm_overlap *overlaps = &h->s->overlaps[f->overlap_first];
    if (!fm__matcher_begin(&h->matcher, f->gt_count, f->box_count, f->overlap_count)) {
        return fm__fail_nomem(err, "an assignment");
    }
    for (size_t i = 0; i < f->overlap_count; i++) {
        double weight = h->fit[overlaps[i].pair] * overlaps[i].iou;
        if (weight > 0) {
            fm__matcher_add(&h->matcher, overlaps[i].gt, overlaps[i].box, weight);
        }
    }
    const int32_t *best = fm__matcher_best(&h->matcher);
    for (size_t i = 0; i < f->overlap_count; i++) {
        if (best[overlaps[i].gt] == overlaps[i].box) {
            count_match(h, &overlaps[i]);
        }
    }
    return FM_OK;
}

// Every box found brings the score of its pair of ids, hence a pair's weight is how often it was together.
static void sum_association(hota *h)
{
    for (size_t i = 0; i < h->s->pair_count; i++) {
        const fm_id_pair *p = &h->s->pairs[i];
        double n = h->s->gt_length[p->gt], m = h->s->length[p->track];
        for (int a = 0; a < FM_EVAL_ALPHAS; a++) {
            double c = h->together[i * FM_EVAL_ALPHAS + (size_t)a];
            h->out->assa[a] += c * (c / (n + m - c));
            h->out->assre[a] += c * (c / n);
            h->out->asspr[a] += c * (c / m);
        }
    }
}

static fm_status hota_init(hota *h, fm_error *err)
{
    const fm_eval_seq *s = h->s;
    h->fit = fm__calloc_array(FM_TAG_TRACK, s->pair_count + 1, sizeof(*h->fit));
    h->together = fm__calloc_array(FM_TAG_TRACK, s->pair_count + 1, FM_EVAL_ALPHAS * sizeof(*h->together));
    h->gt_sum = fm__calloc_array(FM_TAG_TRACK, s->max_gt + 1, sizeof(*h->gt_sum));
    h->box_sum = fm__calloc_array(FM_TAG_TRACK, s->max_boxes + 1, sizeof(*h->box_sum));
    return h->fit && h->together && h->gt_sum && h->box_sum ? FM_OK : fm__fail_nomem(err, "an evaluation");
}

static void hota_done(hota *h)
{
    fm__matcher_done(&h->matcher);
    fm__free(h->fit);
    fm__free(h->together);
    fm__free(h->gt_sum);
    fm__free(h->box_sum);
}

fm_status fm__eval_hota(const fm_eval_seq *s, fm_eval_sums *out, fm_error *err)
{
    hota h = {.s = s, .out = out};
    fm_status st = hota_init(&h, err);
    for (size_t i = 0; i < s->frame_count && st == FM_OK; i++) {
        add_fits(&h, &s->frames[i]);
    }
    if (st == FM_OK) {
        finish_fits(&h);
    }
    for (size_t i = 0; i < s->frame_count && st == FM_OK; i++) {
        st = match_frame(&h, &s->frames[i], err);
    }
    if (st == FM_OK) {
        sum_association(&h);
    }
    hota_done(&h);
    return st;
}
