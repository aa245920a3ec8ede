// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What a run needs for tracking: detections that come from a file, the embedder, the tracker's settings. A
// setting that the caller leaves alone is the tracker type's own default, so that what docs/tracking.md says
// of quality holds for whoever says no more than --tracker NAME.

#include "app/run_private.h"
#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_EMBEDDER "osnet-x0.25"
// Crops come several at a time: on a CPU osnet costs 8 % less a crop at batch 4 than at 1, no less at 8 and
// 16, where a batch takes longer than a frame.
#define CROP_BATCH 4
#define MAX_DETECTIONS_BYTES ((size_t)1 << 30)

static bool is_none(const char *name)
{
    return !name || strcmp(name, "none") == 0;
}

float fm__run_conf(const fm_run *run, const fm_run_opts *o)
{
    // A motion score is a share of moving pixels and no probability, and whoever brings detections has chosen
    // them: nothing is left out unless asked for.
    bool all = run->given || strcmp(run->detector, "motion") == 0;
    return o->conf < 0 ? 0 : o->conf > 0 ? o->conf : all ? 0 : 0.5f;
}

/* ---- given detections ---- */

static fm_status read_given(const char *path, fm_mot *out, fm_error *err)
{
    char *text = NULL;
    size_t len = 0;
    fm_status st = fm__file_read(FM_TAG_APP, path, MAX_DETECTIONS_BYTES, &text, &len, err);
    if (st == FM_OK) {
        st = fm__mot_parse(text, len, path, out, err);
    }
    fm__free(text);
    return st;
}

static fm_status read_folder(fm_run *run, const char *dir, fm_error *err)
{
    fm_status st = FM_OK;
    for (size_t i = 0; i < run->stream_count && st == FM_OK; i++) {
        char *path = fm__asprintf(FM_TAG_APP, "%s/%s.txt", dir, run->streams[i].name);
        st = path ? read_given(path, &run->given[i], err) : fm__fail_nomem(err, "a path");
        fm__free(path);
    }
    return st;
}

fm_status fm__run_init_given(fm_run *run, const fm_run_opts *o, fm_error *err)
{
    if (!o->detections) {
        return FM_OK;
    }
    if (!is_none(o->detector)) {
        return fm__fail(
            err, FM_INVAL, "detections come from '%s': leave detector '%s' out", o->detections, o->detector);
    }
    bool folder = fm__is_dir(o->detections);
    if (!folder && run->stream_count > 1) {
        return fm__fail(err, FM_INVAL,
            "detections '%s' are of one stream and there are %zu: give a folder with <stream>.txt",
            o->detections, run->stream_count);
    }
    run->given = fm__calloc_array(FM_TAG_APP, run->stream_count, sizeof(*run->given));
    if (!run->given) {
        return fm__fail_nomem(err, "detections");
    }
    return folder ? read_folder(run, o->detections, err) : read_given(o->detections, run->given, err);
}

// -1 stands for "not said" in public detections.
static fm_det det_of(const fm_mot_row *row)
{
    return (fm_det){
        .box = {(float)row->x, (float)row->y, (float)(row->x + row->w), (float)(row->y + row->h)},
        .score = row->score < 0 ? 1 : row->score,
    };
}

static int by_score(const void *a, const void *b)
{
    float x = ((const fm_det *)a)->score, y = ((const fm_det *)b)->score;
    return (x < y) - (x > y);
}

size_t fm__run_given(size_t stream, uint64_t frame, fm_det *dets, size_t cap, void *opaque)
{
    const fm_run *run = opaque;
    size_t n = 0;
    const fm_mot_row *rows =
        frame < FM_MOT_MAX_FRAME ? fm__mot_rows_of(&run->given[stream], (int64_t)frame + 1, &n) : NULL;
    for (size_t i = 0; i < n && i < cap; i++) {
        dets[i] = det_of(&rows[i]);
    }
    size_t shown = n < cap ? n : cap;
    if (shown > 1) {
        qsort(dets, shown, sizeof(*dets), by_score);
    }
    return n;
}

/* ---- tracker ---- */

static void set_float(float *to, float v)
{
    *to = v < 0 ? 0 : v > 0 ? v : *to;
}

static void set_int(int *to, int v)
{
    *to = v < 0 ? 0 : v > 0 ? v : *to;
}

static void set_bool(bool *to, int v)
{
    *to = v > 0 || (v == 0 && *to);
}

static void apply_settings(const fm_track_settings *s, fm_tracker_opts *to)
{
    set_float(&to->high, s->high);
    set_float(&to->low, s->low);
    set_float(&to->begin_margin, s->begin_margin);
    set_int(&to->n_init, s->n_init);
    set_int(&to->max_age, s->max_age);
    set_float(&to->max_cosine, s->max_cosine);
    set_float(&to->max_iou, s->max_iou);
    set_float(&to->max_iou_low, s->max_iou_low);
    set_float(&to->max_iou_new, s->max_iou_new);
    set_int(&to->overlap_age, s->overlap_age);
    set_int(&to->max_tracks, s->max_tracks);
    set_float(&to->clear_iou, s->clear_iou);
    set_float(&to->rival_iou, s->rival_iou);
    set_int(&to->young, s->young);
    set_int(&to->stale, s->stale);
    set_int(&to->budget, s->budget);
    set_int(&to->reentry_count, s->reentry_count);
    set_int(&to->reentry_age, s->reentry_age);
    set_float(&to->confirm_score, s->confirm_score);
    set_float(&to->feature_weight, s->feature_weight);
    set_float(&to->gate, s->gate);
    set_float(&to->overlap_weight, s->overlap_weight);
    set_float(&to->max_cosine_near, s->max_cosine_near);
    set_float(&to->motion_weight, s->motion_weight);
    set_float(&to->momentum, s->momentum);
    set_int(&to->momentum_frames, s->momentum_frames);
    set_bool(&to->fuse_score, s->fuse_score);
    set_bool(&to->scale_noise, s->scale_noise);
}

static fm_status set_reid(const char *reid, fm_tracker_opts *to, fm_error *err)
{
    if (!reid) {
        return FM_OK;
    }
    bool always = strcmp(reid, "always") == 0;
    if (!always && strcmp(reid, "ambiguous") != 0) {
        return fm__fail(err, FM_INVAL, "reid is '%s'; always and ambiguous are allowed", reid);
    }
    if (to->dim == 0) {
        return fm__fail(err, FM_INVAL, "reid is set, but tracker '%s' does not look at appearance", to->type);
    }
    to->reid = always ? FM_REID_ALWAYS : FM_REID_AMBIGUOUS;
    return FM_OK;
}

// Made and freed once, so that a setting out of range is told before the first frame.
static fm_status try_out(const fm_tracker_opts *opts, fm_error *err)
{
    fm_tracker *tracker = NULL;
    fm_status st = fm__tracker_new(opts, &tracker, err);
    fm__tracker_free(&tracker);
    return st;
}

static fm_status set_mot_box(fm_run *run, const char *text, fm_error *err)
{
    bool detection = text && strcmp(text, "detection") == 0;
    if (text && !detection && strcmp(text, "filtered") != 0) {
        return fm__fail(err, FM_INVAL, "mot_box is '%s'; detection and filtered are allowed", text);
    }
    run->mot_box = detection ? FM_MOT_BOX_DETECTION : FM_MOT_BOX_FILTERED;
    return FM_OK;
}

static fm_status choose_tracker(fm_run *run, const fm_run_opts *o, fm_error *err)
{
    if (is_none(o->tracker)) {
        return FM_OK;
    }
    if (!fm__run_finds_objects(run)) {
        return fm__fail(
            err, FM_INVAL, "tracker '%s' has nothing to follow: give a detector or detections", o->tracker);
    }
    return fm__tracker_opts_init(&run->tracker, o->tracker, err);
}

static fm_status init_tracker(fm_run *run, const fm_run_opts *o, fm_error *err)
{
    if (!run->tracker.type) {
        return FM_OK;
    }
    bool looks = run->embedder && !run->embed_frames && fm__tracker_wants_features(run->tracker.type);
    run->tracker.level = fm__cpu_level();
    run->tracker.dim = looks ? (int)fm__head_dim(&run->embedder->head) : 0;
    run->tracker.high = fm__run_conf(run, o);
    if (run->tracker.high <= 0) {
        run->tracker.begin_margin = 0; // no score is too low: the scale says nothing
    }
    apply_settings(&o->track, &run->tracker);
    fm_status st = set_reid(o->reid, &run->tracker, err);
    st = st == FM_OK ? set_mot_box(run, o->mot_box, err) : st;
    return st == FM_OK ? try_out(&run->tracker, err) : st;
}

static bool tracks_by_appearance(const fm_run *run)
{
    return run->tracker.type && fm__tracker_wants_features(run->tracker.type);
}

static fm_status choose_embed(fm_run *run, const fm_run_opts *o, fm_error *err)
{
    bool objects = true;
    fm_status st = fm__run_choose("embed", o->embed, &objects, err);
    run->embed_frames = !objects;
    bool off = o->embedder && is_none(o->embedder);
    if (st == FM_OK && run->embed_frames && tracks_by_appearance(run) && !off) {
        st = fm__fail(err, FM_INVAL,
            "embed is 'frames', but tracker '%s' looks at objects: leave one out, or give embedder 'none'",
            o->tracker);
    }
    if (st == FM_OK && off && o->features) {
        st = fm__fail(err, FM_INVAL, "features are asked for and there is no embedder");
    }
    if (st == FM_OK && o->features && objects && !fm__run_finds_objects(run)) {
        st = fm__fail(err, FM_INVAL,
            "features of objects are asked for and nothing finds any: name a detector, or embed frames");
    }
    return st;
}

static fm_status load_embedder(fm_run *run, const fm_run_opts *o, fm_error *err)
{
    fm_status st = choose_embed(run, o, err);
    bool needed = o->features || tracks_by_appearance(run);
    if (st != FM_OK || (o->embedder && is_none(o->embedder))) {
        return st;
    }
    if (!needed && o->embedder) {
        fm__log(&run->o.log, FM_LOG_INFO, "app",
            "embedder '%s' is not used: neither a tracker that looks at appearance nor features are asked "
            "for",
            o->embedder);
    }
    fm_model_load_opts lo = {
        .task = FM_TASK_FEATURES,
        .name = o->embedder ? o->embedder : DEFAULT_EMBEDDER,
        .batch = run->embed_frames ? o->batch : CROP_BATCH,
    };
    return needed ? fm__run_load(run, o, &lo, &run->embedder, err) : FM_OK;
}

fm_status fm__run_init_tracking(fm_run *run, const fm_run_opts *o, fm_error *err)
{
    fm_status st = choose_tracker(run, o, err);
    st = st == FM_OK ? load_embedder(run, o, err) : st;
    return st == FM_OK ? init_tracker(run, o, err) : st;
}

void fm__run_done_tracking(fm_run *run)
{
    for (size_t i = 0; i < run->stream_count && run->given; i++) {
        fm__mot_done(&run->given[i]);
    }
    fm__free(run->given);
    fm__model_free(&run->embedder);
}
