// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// COCO's average precision and recall from what was matched: COCOeval.accumulate and .summarize of cocoapi
// (pycocotools 2.0), operation by operation, so that the numbers are the same. Detections of all pictures go
// in order of score, equal ones in order of pictures (a stable sort); precision is made monotonous from the
// end and read at 101 recalls. Means over classes leave out those without objects. The operating point is
// ours: counts at overlap 0.50 of everything from a score on, where detections of equal score stand or fall
// together.

#include "track/ap.h"

#include "base/alloc.h"
#include "base/error.h"
#include "track/ap_int.h"

#include <math.h>
#include <stdlib.h>

#define TINY 2.220446049250313e-16 // numpy.spacing(1), which COCOeval adds to what it divides by

typedef struct work {
    const fm_ap_input *in;
    const fm_ap_gt **gts;   // [gt_count] by class and picture
    const fm_ap_det **dets; // [det_count] by class, picture and score
    fm_ap_scored *scored;   // of all classes, those of one after those of another
    fm_ap_mark *marks;      // [det_count]
    double *precision;      // [det_count]
    int64_t *right;         // [det_count] found up to here
    size_t scored_count;
} work;

/* ---- order ---- */

// Arrays of pointers into one array: the address is the order given.
static int by_place(const void *a, const void *b)
{
    const fm_ap_gt *x = *(const fm_ap_gt *const *)a, *y = *(const fm_ap_gt *const *)b;
    if (x->category != y->category) {
        return x->category < y->category ? -1 : 1;
    }
    if (x->image != y->image) {
        return x->image < y->image ? -1 : 1;
    }
    return x < y ? -1 : x > y;
}

static int by_place_and_score(const void *a, const void *b)
{
    const fm_ap_det *x = *(const fm_ap_det *const *)a, *y = *(const fm_ap_det *const *)b;
    if (x->category != y->category) {
        return x->category < y->category ? -1 : 1;
    }
    if (x->image != y->image) {
        return x->image < y->image ? -1 : 1;
    }
    if (x->score != y->score) {
        return x->score > y->score ? -1 : 1;
    }
    return x < y ? -1 : x > y;
}

static int by_score(const void *a, const void *b)
{
    const fm_ap_scored *x = a, *y = b;
    if (x->score != y->score) {
        return x->score > y->score ? -1 : 1;
    }
    return x->order < y->order ? -1 : x->order > y->order;
}

static bool begin(work *w)
{
    const fm_ap_input *in = w->in;
    w->gts = fm__calloc_array(FM_TAG_TRACK, in->gt_count + 1, sizeof(*w->gts));
    w->dets = fm__calloc_array(FM_TAG_TRACK, in->det_count + 1, sizeof(*w->dets));
    w->scored = fm__calloc_array(FM_TAG_TRACK, in->det_count + 1, sizeof(*w->scored));
    w->marks = fm__calloc_array(FM_TAG_TRACK, in->det_count + 1, sizeof(*w->marks));
    w->precision = fm__calloc_array(FM_TAG_TRACK, in->det_count + 1, sizeof(*w->precision));
    w->right = fm__calloc_array(FM_TAG_TRACK, in->det_count + 1, sizeof(*w->right));
    if (!w->gts || !w->dets || !w->scored || !w->marks || !w->precision || !w->right) {
        return false;
    }
    for (size_t i = 0; i < in->gt_count; i++) {
        w->gts[i] = &in->gts[i];
    }
    for (size_t i = 0; i < in->det_count; i++) {
        w->dets[i] = &in->dets[i];
    }
    qsort(w->gts, in->gt_count, sizeof(*w->gts), by_place);
    qsort(w->dets, in->det_count, sizeof(*w->dets), by_place_and_score);
    return true;
}

static void end(work *w)
{
    fm__free(w->gts);
    fm__free(w->dets);
    fm__free(w->scored);
    fm__free(w->marks);
    fm__free(w->precision);
    fm__free(w->right);
}

/* ---- figures of a class ---- */

// What is found with at most `most` detections a picture: a curve of precision and the recall at its end.
typedef struct curve {
    double precision[FM_AP_RECALLS];
    double recall;
} curve;

static curve draw(work *w, const fm_ap_scored *s, size_t n, int a, int t, int most, int64_t objects)
{
    curve c = {0};
    size_t count = 0;
    double tp = 0, fp = 0, all = (double)objects;
    for (size_t i = 0; i < n; i++) {
        if (s[i].rank < most) {
            bool ignored = s[i].ignored[a] >> t & 1, hit = s[i].hit[a] >> t & 1;
            tp += !ignored && hit;
            fp += !ignored && !hit;
            w->right[count] = (int64_t)tp;
            w->precision[count++] = tp / (fp + tp + TINY);
        }
    }
    for (size_t i = count; i > 1; i--) {
        w->precision[i - 2] = fmax(w->precision[i - 2], w->precision[i - 1]);
    }
    size_t at = 0;
    for (int r = 0; r < FM_AP_RECALLS; r++) {
        while (at < count && (double)w->right[at] / all < fm__ap_recall(r)) {
            at++;
        }
        c.precision[r] = at < count ? w->precision[at] : 0;
    }
    c.recall = tp / all;
    return c;
}

static double mean(const double *v, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += v[i];
    }
    return sum / (double)n;
}

typedef struct rates {
    double ap, ap50, ap75, ar;
} rates;

static rates rates_of(
    work *w, const fm_ap_scored *s, size_t n, int a, int most, int64_t objects, double *at50)
{
    double ap[FM_AP_OVERLAPS], ar[FM_AP_OVERLAPS];
    if (objects == 0) {
        return (rates){-1, -1, -1, -1};
    }
    for (int t = 0; t < FM_AP_OVERLAPS; t++) {
        curve c = draw(w, s, n, a, t, most, objects);
        ap[t] = mean(c.precision, FM_AP_RECALLS);
        ar[t] = c.recall;
        for (int r = 0; at50 && t == 0 && r < FM_AP_RECALLS; r++) {
            at50[r] = c.precision[r];
        }
    }
    return (rates){mean(ap, FM_AP_OVERLAPS), ap[0], ap[5], mean(ar, FM_AP_OVERLAPS)};
}

static void fill_figures(work *w, const fm_ap_scored *s, size_t n, const int64_t *objects, fm_ap_class *out)
{
    for (int r = 0; r < FM_AP_RECALLS; r++) {
        out->curve[r] = -1;
    }
    rates all = rates_of(w, s, n, 0, FM_AP_MOST, objects[0], out->curve);
    rates small = rates_of(w, s, n, 1, FM_AP_MOST, objects[1], NULL);
    rates medium = rates_of(w, s, n, 2, FM_AP_MOST, objects[2], NULL);
    rates large = rates_of(w, s, n, 3, FM_AP_MOST, objects[3], NULL);
    out->coco = (fm_ap_figures){
        .ap = all.ap,
        .ap50 = all.ap50,
        .ap75 = all.ap75,
        .ap_small = small.ap,
        .ap_medium = medium.ap,
        .ap_large = large.ap,
        .ar1 = rates_of(w, s, n, 0, 1, objects[0], NULL).ar,
        .ar10 = rates_of(w, s, n, 0, 10, objects[0], NULL).ar,
        .ar100 = all.ar,
        .ar_small = small.ar,
        .ar_medium = medium.ar,
        .ar_large = large.ar,
    };
}

/* ---- operating points ---- */

static fm_ap_point point_of(double conf, int64_t tp, int64_t fp, int64_t objects)
{
    fm_ap_point p = {.conf = conf, .tp = tp, .fp = fp, .fn = objects - tp};
    p.precision = tp + fp > 0 ? (double)tp / (double)(tp + fp) : 0;
    p.recall = objects > 0 ? (double)tp / (double)objects : 0;
    p.f1 = objects + tp + fp > 0 ? 2 * (double)tp / (double)(objects + tp + fp) : 0;
    return p;
}

// marks by score, best first. Of equally good points the one with the higher score. Nothing right anywhere: a
// score above all, 1.
static fm_ap_point find_point(const fm_ap_mark *marks, size_t n, int64_t objects, double at)
{
    fm_ap_point best = point_of(at < 0 ? 1 : at, 0, 0, objects);
    int64_t tp = 0, fp = 0;
    for (size_t i = 0; i < n; i++) {
        tp += marks[i].kind == 1;
        fp += marks[i].kind == 0;
        if (i + 1 < n && marks[i + 1].score == marks[i].score) {
            continue;
        }
        if (at >= 0 && marks[i].score >= at) {
            best = point_of(at, tp, fp, objects);
        } else if (at < 0) {
            fm_ap_point p = point_of(marks[i].score, tp, fp, objects);
            best = p.f1 > best.f1 ? p : best;
        }
    }
    return best;
}

static size_t add_marks(fm_ap_mark *to, const fm_ap_scored *s, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (!(s[i].ignored[0] & 1)) {
            to[count++] = (fm_ap_mark){.score = s[i].score, .kind = (int8_t)(s[i].hit[0] & 1)};
        }
    }
    return count;
}

static int by_mark(const void *a, const void *b)
{
    double x = ((const fm_ap_mark *)a)->score, y = ((const fm_ap_mark *)b)->score;
    return x > y ? -1 : x < y;
}

/* ---- classes ---- */

static fm_status evaluate_class(work *w, const fm_ap_group *g, fm_ap_class *out, fm_error *err)
{
    int64_t objects[FM_AP_AREAS];
    size_t n = 0;
    fm_ap_scored *s = w->scored + w->scored_count;
    fm_status st = fm__ap_match(g, s, &n, objects, err);
    out->voc_ap = -1;
    st = st == FM_OK && w->in->voc ? fm__ap_voc(g, w->marks, &out->voc_ap, err) : st;
    if (st != FM_OK) {
        return st;
    }
    if (n > 0) {
        qsort(s, n, sizeof(*s), by_score);
    }
    w->scored_count += n;
    out->objects = objects[0];
    out->ignored = (int64_t)g->gt_count - objects[0];
    out->detections = (int64_t)g->det_count;
    fill_figures(w, s, n, objects, out);
    out->point = find_point(w->marks, add_marks(w->marks, s, n), objects[0], w->in->at);
    return FM_OK;
}

// Mean over the classes that have the figure.
static double mean_of(const fm_ap_class *classes, size_t n, int64_t least, size_t offset)
{
    double sum = 0;
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        double v = *(const double *)((const char *)&classes[i] + offset);
        if (v > -1 && classes[i].objects >= least) {
            sum += v;
            count++;
        }
    }
    return count > 0 ? sum / (double)count : -1;
}

#define MEAN_OF(field) out->field = mean_of(classes, n, least, offsetof(fm_ap_class, field))

static void sum_up(const fm_ap_class *classes, size_t n, int64_t least, fm_ap_class *out)
{
    for (size_t i = 0; i < n; i++) {
        if (classes[i].objects >= least) {
            out->objects += classes[i].objects;
            out->ignored += classes[i].ignored;
            out->detections += classes[i].detections;
        }
    }
    MEAN_OF(coco.ap);
    MEAN_OF(coco.ap50);
    MEAN_OF(coco.ap75);
    MEAN_OF(coco.ap_small);
    MEAN_OF(coco.ap_medium);
    MEAN_OF(coco.ap_large);
    MEAN_OF(coco.ar1);
    MEAN_OF(coco.ar10);
    MEAN_OF(coco.ar100);
    MEAN_OF(coco.ar_small);
    MEAN_OF(coco.ar_medium);
    MEAN_OF(coco.ar_large);
    MEAN_OF(voc_ap);
    for (int r = 0; r < FM_AP_RECALLS; r++) {
        MEAN_OF(curve[r]);
    }
}

// The operating point of several classes: one score for all. scored has the classes one after the other,
// counts says how many of each.
static fm_ap_point point_of_all(
    const work *w, const fm_ap_class *classes, const size_t *counts, int64_t least, int64_t objects)
{
    size_t n = 0, at = 0;
    for (uint32_t c = 0; c < w->in->categories; at += counts[c++]) {
        if (classes[c].objects >= least) {
            n += add_marks(w->marks + n, w->scored + at, counts[c]);
        }
    }
    if (n > 0) {
        qsort(w->marks, n, sizeof(*w->marks), by_mark);
    }
    return find_point(w->marks, n, objects, w->in->at);
}

static fm_status evaluate_classes(work *w, fm_ap_class *classes, size_t *counts, fm_error *err)
{
    const fm_ap_input *in = w->in;
    size_t gt = 0, det = 0;
    for (uint32_t c = 0; c < in->categories; c++) {
        fm_ap_group g = {.gts = w->gts + gt, .dets = w->dets + det};
        while (gt + g.gt_count < in->gt_count && g.gts[g.gt_count]->category == c) {
            g.gt_count++;
        }
        while (det + g.det_count < in->det_count && g.dets[g.det_count]->category == c) {
            g.det_count++;
        }
        size_t before = w->scored_count;
        fm_status st = evaluate_class(w, &g, &classes[c], err);
        if (st != FM_OK) {
            fm__error_prefix(err, "class '%s'", classes[c].name ? classes[c].name : "");
            return st;
        }
        counts[c] = w->scored_count - before;
        gt += g.gt_count;
        det += g.det_count;
    }
    return FM_OK;
}

fm_status fm__ap_evaluate(const fm_ap_input *in, fm_ap_class *classes, fm_ap_class *all, fm_ap_class *large,
    size_t *large_count, fm_error *err)
{
    work w = {.in = in};
    size_t *counts = fm__calloc_array(FM_TAG_TRACK, (size_t)in->categories + 1, sizeof(*counts));
    fm_status st = counts && begin(&w) ? evaluate_classes(&w, classes, counts, err)
                                       : fm__fail_nomem(err, "an evaluation");
    if (st == FM_OK) {
        sum_up(classes, in->categories, 0, all);
        all->point = point_of_all(&w, classes, counts, 0, all->objects);
        sum_up(classes, in->categories, in->min_objects, large);
        large->point = point_of_all(&w, classes, counts, in->min_objects, large->objects);
        *large_count = 0;
        for (uint32_t c = 0; c < in->categories; c++) {
            *large_count += classes[c].objects >= in->min_objects;
        }
    }
    fm__free(counts);
    end(&w);
    return st;
}
