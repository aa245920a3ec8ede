// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A picture as a query: a run of one frame with the models that filled the store, so that both sides are made
// the same way. Of several objects the largest is meant, as a picture taken to look for something shows it.

#include "app/search_private.h"
#include "base/alloc.h"
#include "base/error.h"

#include <framemill/run.h>

#include <string.h>

typedef struct taken {
    const fm__looked_for *what;
    float *feature;
    size_t objects; // with the label
    double area;
    bool failed_memory, is_other_dim;
    int dim;
} taken;

static void keep(taken *t, const float *feature, int dim)
{
    t->dim = dim;
    t->is_other_dim = dim != t->what->dim;
    if (t->is_other_dim) {
        return;
    }
    fm__free(t->feature);
    t->feature = fm__calloc_array(FM_TAG_APP, (size_t)dim, sizeof(*feature));
    t->failed_memory |= !t->feature;
    if (t->feature) {
        memcpy(t->feature, feature, (size_t)dim * sizeof(*feature));
    }
}

static bool is_meant(const taken *t, const fm_result *r, const fm_det *d)
{
    const char *label =
        d->class_id >= 0 && (size_t)d->class_id < r->label_count ? r->labels[d->class_id] : "";
    return !t->what->label || strcmp(label, t->what->label) == 0;
}

static void take_result(const fm_result *r, void *opaque)
{
    taken *t = opaque;
    if (t->what->frames) {
        if (r->frame_feature) {
            keep(t, r->frame_feature, r->frame_feature_dim);
        }
        return;
    }
    for (size_t i = 0; i < r->det_count; i++) {
        const fm_det *d = &r->dets[i];
        double area = (double)(d->box.x1 - d->box.x0) * (double)(d->box.y1 - d->box.y0);
        if (!is_meant(t, r, d) || !r->features || !r->features[i]) {
            continue;
        }
        t->objects++;
        if (area > t->area) {
            t->area = area;
            keep(t, r->features[i], r->feature_dim);
        }
    }
}

static fm_status run_picture(const fm__looked_for *what, taken *t, fm_error *err)
{
    fm_stream_opts stream = {.url = what->image};
    fm_run_opts o = FM_RUN_OPTS_INIT;
    o.streams = &stream;
    o.stream_count = 1;
    o.detector = what->frames ? "none" : what->detector;
    o.embedder = what->embedder;
    o.embed = what->frames ? "frames" : "objects";
    o.features = true;
    o.conf = 0.3F; // what is looked for is in the picture: rather a weak detection than none
    o.max_frames = 1;
    o.threads = what->threads;
    o.store = what->models;
    o.on_result = take_result;
    o.opaque = t;
    o.log = what->log;
    fm_run *run = NULL;
    fm_status st = fm_run_new(&o, &run, err);
    st = st == FM_OK ? fm_run_start(run, err) : st;
    if (st == FM_OK) {
        (void)fm_run_wait(run, -1); // without a limit of time it says OK only
        fm_stream_report report;
        st = fm_run_stream_report(run, 0, &report);
        if (st == FM_OK && report.error) {
            st = fm__fail(err, FM_FORMAT, "%s", report.error);
        }
    }
    fm_run_free(&run);
    return st;
}

static fm_status judge(const fm__looked_for *what, const taken *t, fm_error *err)
{
    if (t->failed_memory) {
        return fm__fail_nomem(err, "a feature");
    }
    if (t->is_other_dim) {
        return fm__fail(err, FM_INVAL, "%s gives features of %d numbers, those in the store have %d",
            what->embedder, t->dim, what->dim);
    }
    if (!t->feature) {
        return fm__fail(err, FM_NOTFOUND,
            "nothing to look for in '%s': %s%s%s is seen in it; try another picture", what->image,
            what->label ? "no '" : "no object", what->label ? what->label : "", what->label ? "'" : "");
    }
    return FM_OK;
}

fm_status fm__search_image(const fm__looked_for *what, float **feature, fm_error *err)
{
    taken t = {.what = what};
    fm_status st = run_picture(what, &t, err);
    st = st == FM_OK ? judge(what, &t, err) : st;
    if (st != FM_OK) {
        fm__free(t.feature);
        return st;
    }
    *feature = t.feature;
    return FM_OK;
}
