// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Identity metrics: E. Ristani, F. Solera, R. Zou, R. Cucchiara, C. Tomasi, "Performance Measures and a Data
// Set for Multi-Target, Multi-Camera Tracking", ECCV Workshops 2016, section 2. One assignment of whole
// tracks to whole objects, the one with most boxes that overlap. The paper (and TrackEval, py-motmetrics)
// minimise wrong and missed boxes over a matrix with a dummy for every id; each pair that is made saves two
// per overlapping box, so it is the same to maximise those over the pairs that overlap at all: a sparse
// problem without dummies.

#include "track/eval_int.h"

#include "base/alloc.h"
#include "base/error.h"

static void count_overlaps(const fm_eval_seq *s, double iou, uint32_t *together)
{
    for (size_t i = 0; i < s->overlap_count; i++) {
        together[s->overlaps[i].pair] += s->overlaps[i].iou >= iou;
    }
}

static fm_status assign(
    const fm_eval_seq *s, const uint32_t *together, fm_matcher *m, int64_t *idtp, fm_error *err)
{
    if (!fm__matcher_begin(m, s->gt_track_count, s->track_count, s->pair_count)) {
        return fm__fail_nomem(err, "an assignment");
    }
    for (size_t i = 0; i < s->pair_count; i++) {
        if (together[i]) {
            fm__matcher_add(m, s->pairs[i].gt, s->pairs[i].track, together[i]);
        }
    }
    const int32_t *track_of = fm__matcher_best(m);
    int64_t sum = 0;
    for (size_t i = 0; i < s->pair_count; i++) {
        bool made = track_of[s->pairs[i].gt] == (int32_t)s->pairs[i].track;
        sum += made ? together[i] : 0;
    }
    *idtp = sum;
    return FM_OK;
}

fm_status fm__eval_identity(const fm_eval_seq *s, double iou, fm_eval_sums *out, fm_error *err)
{
    uint32_t *together = fm__calloc_array(FM_TAG_TRACK, s->pair_count + 1, sizeof(*together));
    if (!together) {
        return fm__fail_nomem(err, "an evaluation");
    }
    fm_matcher m = {0};
    count_overlaps(s, iou, together);
    fm_status st = assign(s, together, &m, &out->idtp, err);
    out->idfn = (int64_t)s->gt_count - out->idtp;
    out->idfp = (int64_t)s->box_count - out->idtp;
    fm__matcher_done(&m);
    fm__free(together);
    return st;
}
