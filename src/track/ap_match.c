// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// COCO's assignment of detections to objects: T.-Y. Lin et al., "Microsoft COCO: Common Objects in Context",
// 2014, and the program that defines the numbers, COCOeval.evaluateImg of cocoapi (pycocotools 2.0). In each
// picture and class the 100 best detections choose in order of their scores, at each overlap and in each
// range of areas for itself: the object that they overlap most and that is free; one that is ignored (a
// crowd, one outside the range) only where no other will do, and a crowd takes any number, its overlap being
// the share of the detection inside it. A detection on an ignored object is ignored, and so is one that found
// nothing and is itself outside the range. Where COCOeval takes an object whose id is 0 for none, this does
// not.

#include "track/ap_int.h"

#include "base/alloc.h"
#include "base/error.h"

#include <math.h>
#include <string.h>

typedef struct matcher {
    const fm_ap_gt *const *gts; // of the picture
    const fm_ap_det *const *dets;
    size_t gt_count, det_count;
    double *ious;    // [det][gt]
    uint32_t *order; // [gt_count] objects of this range, then those that are ignored
    bool *taken;     // [gt_count]
    size_t wanted;   // of order, that are not ignored
    size_t cap;      // objects that there is room for
} matcher;

double fm__ap_overlap(int t)
{
    static const double step = (0.95 - 0.5) / 9; // as numpy.linspace computes
    return t == FM_AP_OVERLAPS - 1 ? 0.95 : t * step + 0.5;
}

double fm__ap_recall(int r)
{
    return r == FM_AP_RECALLS - 1 ? 1 : r * 0.01;
}

bool fm__ap_in_area(int a, double area)
{
    static const double bounds[FM_AP_AREAS][2] = {
        {0, 1e5 * 1e5}, {0, 32 * 32}, {32 * 32, 96 * 96}, {96 * 96, 1e5 * 1e5}};
    return area >= bounds[a][0] && area <= bounds[a][1];
}

// bbIou of cocoapi's maskApi.c, in its order of operations.
static double overlap(const double *d, const fm_ap_gt *gt)
{
    const double *g = gt->box;
    double w = fmin(d[2] + d[0], g[2] + g[0]) - fmax(d[0], g[0]);
    double h = fmin(d[3] + d[1], g[3] + g[1]) - fmax(d[1], g[1]);
    if (w <= 0 || h <= 0) {
        return 0;
    }
    double both = w * h, area = d[2] * d[3];
    return both / (gt->crowd ? area : area + g[2] * g[3] - both);
}

static bool make_room(matcher *m, size_t gts)
{
    if (gts <= m->cap) {
        return true;
    }
    fm__free(m->ious);
    fm__free(m->order);
    fm__free(m->taken);
    m->cap = gts * 2;
    m->ious = fm__calloc_array(FM_TAG_TRACK, m->cap * FM_AP_MOST, sizeof(*m->ious));
    m->order = fm__calloc_array(FM_TAG_TRACK, m->cap, sizeof(*m->order));
    m->taken = fm__calloc_array(FM_TAG_TRACK, m->cap, sizeof(*m->taken));
    return m->ious && m->order && m->taken;
}

static void measure(matcher *m)
{
    for (size_t d = 0; d < m->det_count; d++) {
        for (size_t g = 0; g < m->gt_count; g++) {
            m->ious[d * m->gt_count + g] = overlap(m->dets[d]->box, m->gts[g]);
        }
    }
}

static void order_objects(matcher *m, int a)
{
    size_t n = 0;
    for (int ignored = 0; ignored < 2; ignored++) {
        for (size_t g = 0; g < m->gt_count; g++) {
            const fm_ap_gt *o = m->gts[g];
            if ((o->crowd || o->ignore || !fm__ap_in_area(a, o->area)) == ignored) {
                m->order[n++] = (uint32_t)g;
            }
        }
        m->wanted = ignored ? m->wanted : n;
    }
}

// Place in m->order that detection d takes, or gt_count.
static size_t choose(const matcher *m, size_t d, double least)
{
    size_t best = m->gt_count;
    for (size_t i = 0; i < m->gt_count; i++) {
        size_t g = m->order[i];
        if (best < m->wanted && i >= m->wanted) {
            break;
        }
        if (m->taken[g] && !m->gts[g]->crowd) {
            continue;
        }
        double iou = m->ious[d * m->gt_count + g];
        if (iou >= least) {
            least = iou;
            best = i;
        }
    }
    return best;
}

static void match_picture(matcher *m, fm_ap_scored *out, int a)
{
    order_objects(m, a);
    for (int t = 0; t < FM_AP_OVERLAPS; t++) {
        double least = fmin(fm__ap_overlap(t), 1 - 1e-10);
        memset(m->taken, 0, m->gt_count * sizeof(*m->taken));
        for (size_t d = 0; d < m->det_count; d++) {
            size_t i = choose(m, d, least);
            bool found = i < m->gt_count;
            bool outside = !fm__ap_in_area(a, m->dets[d]->box[2] * m->dets[d]->box[3]);
            if (found) {
                m->taken[m->order[i]] = true;
            }
            out[d].hit[a] |= (uint16_t)(found << t);
            out[d].ignored[a] |= (uint16_t)((found ? i >= m->wanted : outside) << t);
        }
    }
}

static size_t run_of_gts(const fm_ap_group *g, size_t from, uint32_t image)
{
    size_t n = 0;
    while (from + n < g->gt_count && g->gts[from + n]->image == image) {
        n++;
    }
    return n;
}

static size_t run_of_dets(const fm_ap_group *g, size_t from, uint32_t image)
{
    size_t n = 0;
    while (from + n < g->det_count && g->dets[from + n]->image == image) {
        n++;
    }
    return n;
}

static void count_objects(const fm_ap_group *g, int64_t objects[FM_AP_AREAS])
{
    for (int a = 0; a < FM_AP_AREAS; a++) {
        objects[a] = 0;
        for (size_t i = 0; i < g->gt_count; i++) {
            const fm_ap_gt *o = g->gts[i];
            objects[a] += !o->crowd && !o->ignore && fm__ap_in_area(a, o->area);
        }
    }
}

// Pictures without detections need no assignment: their objects are counted, and nothing is found.
static fm_status match_all(matcher *m, const fm_ap_group *g, fm_ap_scored *out, size_t *count, fm_error *err)
{
    size_t gt = 0, n = 0;
    for (size_t det = 0, dets; det < g->det_count; det += dets) {
        uint32_t image = g->dets[det]->image;
        while (gt < g->gt_count && g->gts[gt]->image < image) {
            gt++;
        }
        dets = run_of_dets(g, det, image);
        m->gts = g->gts + gt;
        m->gt_count = run_of_gts(g, gt, image);
        m->dets = g->dets + det;
        m->det_count = dets < FM_AP_MOST ? dets : FM_AP_MOST;
        if (m->gt_count > FM_AP_MAX_BOXES) {
            return fm__fail(
                err, FM_UNSUPPORTED, "more than %d objects of one class in a picture", (int)FM_AP_MAX_BOXES);
        }
        if (!make_room(m, m->gt_count)) {
            return fm__fail_nomem(err, "an evaluation");
        }
        measure(m);
        for (size_t d = 0; d < m->det_count; d++) {
            out[n + d] =
                (fm_ap_scored){.score = m->dets[d]->score, .order = (uint32_t)(n + d), .rank = (uint8_t)d};
        }
        for (int a = 0; a < FM_AP_AREAS; a++) {
            match_picture(m, out + n, a);
        }
        n += m->det_count;
    }
    *count = n;
    return FM_OK;
}

fm_status fm__ap_match(
    const fm_ap_group *g, fm_ap_scored *out, size_t *count, int64_t objects[FM_AP_AREAS], fm_error *err)
{
    matcher m = {0};
    count_objects(g, objects);
    fm_status st =
        make_room(&m, 1) ? match_all(&m, g, out, count, err) : fm__fail_nomem(err, "an evaluation");
    fm__free(m.ious);
    fm__free(m.order);
    fm__free(m.taken);
    return st;
}
