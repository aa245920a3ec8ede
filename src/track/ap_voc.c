// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Pascal VOC's average precision as it is since 2010: M. Everingham, L. Van Gool, C. Williams, J. Winn,
// A. Zisserman, "The Pascal Visual Object Classes (VOC) Challenge", IJCV 2010, section 4.2, in the details of
// VOCevaldet.m and VOCap.m of the development kit of VOC2012. A detection goes to the object that it overlaps
// most, difficult ones included, whether that is taken or not: from 0.5 on the first one there is right and
// all others are wrong; on a difficult object it is neither. The area under precision made monotonous is
// taken over every step of recall, not over 11 points (VOC2007). The kit's corners are whole pixels that
// belong to the box; the reader of XML has made them edges, where the overlap is the same without its "+ 1".

#include "track/ap_int.h"

#include "base/alloc.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

#define LEAST 0.5

static double overlap(const double *d, const double *g)
{
    double x0 = d[0] > g[0] ? d[0] : g[0], x1 = d[0] + d[2] < g[0] + g[2] ? d[0] + d[2] : g[0] + g[2];
    double y0 = d[1] > g[1] ? d[1] : g[1], y1 = d[1] + d[3] < g[1] + g[3] ? d[1] + d[3] : g[1] + g[3];
    if (x1 <= x0 || y1 <= y0) {
        return 0;
    }
    double both = (x1 - x0) * (y1 - y0);
    return both / (d[2] * d[3] + g[2] * g[3] - both);
}

static int by_score(const void *a, const void *b)
{
    const fm_ap_mark *x = a, *y = b;
    if (x->score != y->score) {
        return x->score > y->score ? -1 : 1;
    }
    return x->order < y->order ? -1 : x->order > y->order;
}

// In a picture detections come by score, so that the first one on an object is the best of all there.
static int8_t judge(const fm_ap_group *g, size_t gt, const fm_ap_det *det, bool *taken)
{
    size_t best = g->gt_count;
    double most = 0;
    for (; gt < g->gt_count && g->gts[gt]->image == det->image; gt++) {
        double iou = overlap(det->box, g->gts[gt]->box);
        if (iou > most) {
            most = iou;
            best = gt;
        }
    }
    if (most < LEAST) {
        return 0;
    }
    if (g->gts[best]->ignore || g->gts[best]->crowd) {
        return -1;
    }
    bool first = !taken[best];
    taken[best] = true;
    return first;
}

static void judge_all(const fm_ap_group *g, fm_ap_mark *marks, bool *taken)
{
    size_t gt = 0;
    for (size_t i = 0; i < g->det_count; i++) {
        const fm_ap_det *det = g->dets[i];
        while (gt < g->gt_count && g->gts[gt]->image < det->image) {
            gt++;
        }
        marks[i] = (fm_ap_mark){.score = det->score, .order = (uint32_t)i, .kind = judge(g, gt, det, taken)};
    }
}

// From the last detection back, where the largest precision so far is the curve's; a step of recall is one
// object.
static double area(const fm_ap_mark *marks, size_t n, int64_t objects)
{
    int64_t tp = 0, fp = 0;
    for (size_t i = 0; i < n; i++) {
        tp += marks[i].kind == 1;
        fp += marks[i].kind == 0;
    }
    double most = 0, sum = 0;
    for (size_t i = n; i > 0; i--) {
        if (tp + fp > 0) {
            double precision = (double)tp / (double)(tp + fp);
            most = precision > most ? precision : most;
        }
        sum += marks[i - 1].kind == 1 ? most : 0;
        tp -= marks[i - 1].kind == 1;
        fp -= marks[i - 1].kind == 0;
    }
    return sum / (double)objects;
}

fm_status fm__ap_voc(const fm_ap_group *g, fm_ap_mark *marks, double *out, fm_error *err)
{
    int64_t objects = 0;
    for (size_t i = 0; i < g->gt_count; i++) {
        objects += !g->gts[i]->ignore && !g->gts[i]->crowd;
    }
    *out = -1;
    if (objects == 0) {
        return FM_OK;
    }
    bool *taken = fm__calloc_array(FM_TAG_TRACK, g->gt_count, sizeof(*taken));
    if (!taken) {
        return fm__fail_nomem(err, "an evaluation");
    }
    judge_all(g, marks, taken);
    fm__free(taken);
    if (g->det_count > 0) {
        qsort(marks, g->det_count, sizeof(*marks), by_score);
    }
    *out = area(marks, g->det_count, objects);
    return FM_OK;
}
