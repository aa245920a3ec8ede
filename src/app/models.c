// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The models of a run. Whoever names no detector gets the default one, unless something else finds the
// objects: a segmenter of objects, or detections from a file.

#include "app/run_private.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "tune/file.h"

#include <string.h>

#define DEFAULT_DETECTOR "yolox-nano"
// Crops come several at a time, and cost on a CPU a little less together.
#define CROP_BATCH 4

static const char *const motion_labels[] = {"motion"};
static const char *const given_labels[] = {"person"}; // MOTChallenge's public detections are pedestrians

static bool is_none(const char *name)
{
    return !name || strcmp(name, "none") == 0;
}

bool fm__run_segments_objects(const fm_run *run)
{
    return run->segmenter && fm__head_has_objects(&run->segmenter->head);
}

bool fm__run_finds_objects(const fm_run *run)
{
    return !is_none(run->detector) || run->given || fm__run_segments_objects(run);
}

const char *const *fm__run_labels(const fm_run *run, size_t *count)
{
    const fm_model *model = run->model ? run->model : fm__run_segments_objects(run) ? run->segmenter : NULL;
    bool motion = strcmp(run->detector, "motion") == 0;
    if (run->given || motion) {
        *count = 1;
        return motion ? motion_labels : given_labels;
    }
    *count = model ? model->label_count : 0;
    return model ? (const char *const *)model->labels : NULL;
}

fm_status fm__run_choose(const char *what, const char *text, bool *objects, fm_error *err)
{
    if (!text) {
        return FM_OK;
    }
    *objects = strcmp(text, "objects") == 0;
    if (!*objects && strcmp(text, "frames") != 0) {
        return fm__fail(err, FM_INVAL, "%s is '%s'; frames and objects are allowed", what, text);
    }
    return FM_OK;
}

// What tuning found for this model here, said in the log. A setting that does not hold here any more is
// refused, and said so; a run never fails for it.
static void use_tuning(const fm_run *run, const fm_run_opts *o, fm_model_load_opts *lo)
{
    char *file = NULL;
    const char *backend = NULL;
    fm__tune_key key;
    fm__tune_entry e;
    fm_error why = {0};
    if (!o->tuning || fm__model_is_own(lo) || lo->batch != 0 || lo->slots != 0 || o->threads != 0 ||
        fm__model_file(run->store, lo, &file, &backend, NULL) != FM_OK) { // loading it will say why
        return;
    }
    fm_status st = fm__tune_key_fill(&key, lo->name, file, backend, lo->device, lo->precision, &why);
    st = st == FM_OK ? fm__tune_file_find(o->tuning, &key, &e, &why) : st;
    if (st == FM_OK) {
        lo->batch = e.batch;
        lo->slots = e.slots;
        lo->threads = e.threads;
        fm__log(&o->log, FM_LOG_INFO, "tune", "model '%s': batch %d, %d slots, %d cores, as tuned on %.10s",
            lo->name, e.batch, e.slots, e.threads, e.time);
    } else if (st != FM_NOTFOUND) {
        fm__log(&o->log, FM_LOG_WARN, "tune",
            "model '%s': its tuned setting does not hold here (%s): the default is used; run: framemill tune",
            lo->name, why.msg);
    }
    fm__free(file);
}

fm_status fm__run_load(
    fm_run *run, const fm_run_opts *o, const fm_model_load_opts *which, fm_model **out, fm_error *err)
{
    fm_model_load_opts lo = *which;
    lo.own = o->own_backend;
    if (!o->store && !fm__model_is_own(&lo)) {
        return fm__fail(err, FM_INVAL, "model '%s' needs a model store", which->name);
    }
    if (!run->store && o->store) {
        fm_status st = fm_model_store_open(o->store, &run->store, err);
        if (st != FM_OK) {
            return st;
        }
    }
    lo.device = o->device ? o->device : "cpu";
    lo.precision = o->precision;
    lo.backend = o->backend;
    lo.ops_library = o->torch_ops;
    lo.threads = o->threads;
    lo.cache_dir = o->cache_dir;
    use_tuning(run, o, &lo); // models that see crops have a batch of their own
    return fm__model_load(run->store, &lo, out, err);
}

static fm_status load_segmenter(fm_run *run, const fm_run_opts *o, fm_error *err)
{
    fm_model_load_opts lo = {
        .task = FM_TASK_SEGMENTATION, .name = o->segmenter, .batch = o->batch, .slots = o->workers};
    return is_none(o->segmenter) ? FM_OK : fm__run_load(run, o, &lo, &run->segmenter, err);
}

static fm_status load_classifier(fm_run *run, const fm_run_opts *o, fm_error *err)
{
    fm_status st = fm__run_choose("classify", o->classify, &run->classify_objects, err);
    if (st != FM_OK || is_none(o->classifier)) {
        return st;
    }
    if (run->classify_objects && !fm__run_finds_objects(run)) {
        return fm__fail(err, FM_INVAL, "classify is 'objects' and nothing finds any: name a detector");
    }
    fm_model_load_opts lo = {
        .task = FM_TASK_CLASSIFICATION,
        .name = o->classifier,
        .batch = run->classify_objects ? CROP_BATCH : o->batch,
        .slots = run->classify_objects ? 0 : o->workers,
    };
    return fm__run_load(run, o, &lo, &run->classifier, err);
}

static fm_status load_detector(fm_run *run, const fm_run_opts *o, fm_error *err)
{
    bool found_already = run->given || fm__run_segments_objects(run);
    const char *name = o->detector ? o->detector : found_already ? "none" : DEFAULT_DETECTOR;
    run->detector = fm__strdup(FM_TAG_APP, name);
    if (!run->detector) {
        return fm__fail_nomem(err, "options");
    }
    if (is_none(name) || strcmp(name, "motion") == 0) {
        return FM_OK;
    }
    fm_model_load_opts lo = {
        .task = FM_TASK_DETECTION,
        .name = name,
        .head = o->head,
        .labels = o->labels,
        .batch = o->batch,
        .slots = o->workers,
    };
    return fm__run_load(run, o, &lo, &run->model, err);
}

fm_status fm__run_load_models(fm_run *run, const fm_run_opts *o, fm_error *err)
{
    fm_status st = load_segmenter(run, o, err);
    if (st == FM_OK && o->maps && (!run->segmenter || fm__run_segments_objects(run))) {
        st = fm__fail(err, FM_INVAL, "class maps are asked for, and there is no segmenter that makes them");
    }
    st = st == FM_OK ? load_detector(run, o, err) : st;
    return st == FM_OK ? load_classifier(run, o, err) : st;
}
