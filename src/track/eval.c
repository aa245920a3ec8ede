// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// From sequences to sums, from sums to metrics; the metrics themselves are counted in clear.c, identity.c and
// hota.c, over what overlap.c made ready. Sequences are taken together as TrackEval's COMBINED_SEQ does it:
// counts add up, and so do HOTA's association scores times the boxes found; every rate is made from the sums.
// Where a rate divides by nothing it is 0, and LocA 1, as TrackEval has it.

#include "track/eval.h"

#include "track/eval_int.h"

#include "base/alloc.h"
#include "base/error.h"

#include <math.h>

/* ---- assignment ---- */

bool fm__matcher_begin(fm_matcher *m, size_t rows, size_t cols, size_t pairs)
{
    m->count = 0;
    m->rows = rows;
    m->cols = cols;
    return fm__grow(FM_TAG_TRACK, (void **)&m->pairs, &m->cap, pairs + 1, sizeof(*m->pairs)) &&
           fm__grow(FM_TAG_TRACK, (void **)&m->col_of, &m->row_cap, rows + 1, sizeof(*m->col_of)) &&
           fm__assign_reserve(&m->assign, rows, cols, pairs);
}

void fm__matcher_add(fm_matcher *m, size_t row, size_t col, double weight)
{
    m->pairs[m->count++] = (fm__pair){.row = (int32_t)row, .col = (int32_t)col, .cost = -weight};
}

const int32_t *fm__matcher_best(fm_matcher *m)
{
    fm__assign_pairs(&m->assign, m->pairs, m->count, m->rows, m->cols, 0, m->col_of);
    return m->col_of;
}

const int32_t *fm__matcher_most(fm_matcher *m)
{
    fm__assign_pairs(&m->assign, m->pairs, m->count, m->rows, m->cols, INFINITY, m->col_of);
    return m->col_of;
}

void fm__matcher_done(fm_matcher *m)
{
    fm__assign_done(&m->assign);
    fm__free(m->pairs);
    fm__free(m->col_of);
    *m = (fm_matcher){0};
}

/* ---- sums ---- */

fm_status fm__eval_sequence(const fm_mot *gt, const char *gt_name, const fm_mot *result,
    const char *result_name, const fm_track_eval_opts *opts, fm_eval_sums *out, fm_error *err)
{
    fm_eval_seq s = {0};
    fm_eval_sums sums = {0};
    fm_status st = fm__eval_seq_init(&s, gt, gt_name, result, result_name, opts->format, err);
    st = st == FM_OK ? fm__eval_clear(&s, opts->iou, opts->rules, &sums, err) : st;
    st = st == FM_OK ? fm__eval_identity(&s, opts->iou, &sums, err) : st;
    st = st == FM_OK ? fm__eval_hota(&s, &sums, err) : st;
    sums.gt_boxes = (int64_t)s.gt_count;
    sums.boxes = (int64_t)s.box_count;
    sums.gt_tracks = s.gt_track_count;
    sums.tracks = s.track_count;
    sums.frames = (int64_t)s.frame_count;
    fm__eval_seq_done(&s);
    if (st == FM_OK) {
        *out = sums;
    }
    return st;
}

void fm__eval_add(fm_eval_sums *a, const fm_eval_sums *b)
{
    int64_t *const totals[] = {&a->gt_boxes, &a->boxes, &a->gt_tracks, &a->tracks, &a->frames, &a->tp, &a->fp,
        &a->fn, &a->switches, &a->frag, &a->mt, &a->pt, &a->ml, &a->idtp, &a->idfp, &a->idfn};
    const int64_t more[] = {b->gt_boxes, b->boxes, b->gt_tracks, b->tracks, b->frames, b->tp, b->fp, b->fn,
        b->switches, b->frag, b->mt, b->pt, b->ml, b->idtp, b->idfp, b->idfn};
    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
        *totals[i] += more[i];
    }
    a->tp_iou += b->tp_iou;
    for (int i = 0; i < FM_EVAL_ALPHAS; i++) {
        a->hota_tp[i] += b->hota_tp[i];
        a->hota_iou[i] += b->hota_iou[i];
        a->assa[i] += b->assa[i];
        a->assre[i] += b->assre[i];
        a->asspr[i] += b->asspr[i];
    }
}

/* ---- metrics ---- */

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

static void hota_metrics(const fm_eval_sums *s, fm_eval_metrics *m)
{
    for (int a = 0; a < FM_EVAL_ALPHAS; a++) {
        double tp = (double)s->hota_tp[a], gt = (double)s->gt_boxes, boxes = (double)s->boxes;
        double assa = ratio(s->assa[a], tp), deta = ratio(tp, gt + boxes - tp);
        m->assa_at[a] = assa;
        m->deta_at[a] = deta;
        m->hota_at[a] = sqrt(deta * assa);
        m->loca_at[a] = tp > 0 ? s->hota_iou[a] / tp : 1;
        m->assa += assa / FM_EVAL_ALPHAS;
        m->deta += deta / FM_EVAL_ALPHAS;
        m->hota += m->hota_at[a] / FM_EVAL_ALPHAS;
        m->loca += m->loca_at[a] / FM_EVAL_ALPHAS;
        m->detre += ratio(tp, gt) / FM_EVAL_ALPHAS;
        m->detpr += ratio(tp, boxes) / FM_EVAL_ALPHAS;
        m->assre += ratio(s->assre[a], tp) / FM_EVAL_ALPHAS;
        m->asspr += ratio(s->asspr[a], tp) / FM_EVAL_ALPHAS;
    }
}

void fm__eval_metrics(const fm_eval_sums *s, fm_eval_metrics *out)
{
    double gt = (double)s->gt_boxes, boxes = (double)s->boxes;
    *out = (fm_eval_metrics){
        .gt_boxes = s->gt_boxes,
        .gt_tracks = s->gt_tracks,
        .boxes = s->boxes,
        .tracks = s->tracks,
        .frames = s->frames,
        .mota = ratio((double)(s->tp - s->fp - s->switches), gt),
        .motp = ratio(s->tp_iou, (double)s->tp),
        .recall = ratio((double)s->tp, gt),
        .precision = ratio((double)s->tp, boxes),
        .tp = s->tp,
        .fp = s->fp,
        .fn = s->fn,
        .switches = s->switches,
        .frag = s->frag,
        .mt = s->mt,
        .pt = s->pt,
        .ml = s->ml,
        .idf1 = ratio(2 * (double)s->idtp, gt + boxes),
        .idp = ratio((double)s->idtp, boxes),
        .idr = ratio((double)s->idtp, gt),
        .idtp = s->idtp,
        .idfp = s->idfp,
        .idfn = s->idfn,
    };
    hota_metrics(s, out);
}
