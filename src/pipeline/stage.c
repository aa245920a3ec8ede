// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Stages: each model of a run has an executor of its own, and so slots, batches and measured costs of its
// own. Frame stages see whole frames, crop stages detections. Models run side by side; on the CPU they take
// turns, so that no more inferences are under way than keep the cores busy (src/exec/turns.h). What
// preprocessing two models of the same input size share is not kept: a letterbox into a row takes 0.1 to 0.2
// ms, a copy of the row into memory and back as long.

#include "pipeline/private.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/pool.h"

#include <limits.h>
#include <string.h>

static void add_stage(fm_pipeline *p, const fm_model *model, fm_task task, fm_stage timed_as)
{
    p->frame_stages[p->frame_stage_count] =
        (stage){.p = p, .model = model, .task = task, .index = p->frame_stage_count, .timed_as = timed_as};
    p->frame_stage_count++;
}

static void set_crop_stage(fm_pipeline *p, int index, const fm_model *model, fm_task task, fm_stage timed_as)
{
    p->crop_stages[index] =
        (stage){.p = p, .model = model, .task = task, .index = index, .timed_as = timed_as};
}

bool fm__segmenter_finds(const fm_pipeline *p)
{
    return p->o.detector == FM_DETECTOR_NONE && p->o.segmenter && fm__head_has_objects(&p->o.segmenter->head);
}

bool fm__wants_crops(const fm_pipeline *p)
{
    return p->crop_stages[CROPS_FEATURES].model || p->crop_stages[CROPS_CLASSES].model;
}

static int32_t class_by_name(const fm_pipeline *p, const char *name)
{
    for (size_t i = 0; i < p->o.label_count; i++) {
        if (strcmp(p->o.labels[i], name) == 0) {
            return (int32_t)i;
        }
    }
    return -1;
}

// A detector and a segmenter know their classes by number; what they have in common are the names.
static fm_status match_classes(fm_pipeline *p, fm_error *err)
{
    const fm_model *s = p->o.segmenter;
    if (!s || !fm__head_has_objects(&s->head) || fm__segmenter_finds(p)) {
        return FM_OK;
    }
    p->class_of_segment = fm__calloc_array(FM_TAG_PIPELINE, s->label_count + 1, sizeof(*p->class_of_segment));
    if (!p->class_of_segment) {
        return fm__fail_nomem(err, "classes");
    }
    for (size_t i = 0; i < s->label_count; i++) {
        p->class_of_segment[i] = class_by_name(p, s->labels[i]);
    }
    return FM_OK;
}

fm_status fm__stages_init(fm_pipeline *p, fm_error *err)
{
    const fm_pipeline_opts *o = &p->o;
    if (o->detector == FM_DETECTOR_MODEL) {
        add_stage(p, o->model, FM_TASK_DETECTION, FM_STAGE_INFER);
    }
    if (o->segmenter) {
        add_stage(p, o->segmenter, FM_TASK_SEGMENTATION, FM_STAGE_SEGMENT);
    }
    if (o->classifier && !o->classify_objects) {
        add_stage(p, o->classifier, FM_TASK_CLASSIFICATION, FM_STAGE_CLASSIFY);
    }
    if (o->embedder && o->embed_frames) {
        add_stage(p, o->embedder, FM_TASK_FEATURES, FM_STAGE_EMBED);
    }
    if (p->frame_stage_count == 0) {
        add_stage(p, NULL, FM_TASK_ANY, FM_STAGE_INFER);
    }
    if (o->embedder && !o->embed_frames) {
        set_crop_stage(p, CROPS_FEATURES, o->embedder, FM_TASK_FEATURES, FM_STAGE_EMBED);
    }
    if (o->classifier && o->classify_objects) {
        set_crop_stage(p, CROPS_CLASSES, o->classifier, FM_TASK_CLASSIFICATION, FM_STAGE_CLASSIFY);
    }
    const stage *first = &p->frame_stages[0];
    const fm_net_info *info = first->model ? fm__net_info(first->model->net) : NULL;
    p->max_in_flight = info ? 2 * info->slots * info->batch + 8 : 16;
    if (o->detect_every != 0 || o->motion_gate) { // those that pass are in flight, too
        p->max_in_flight += FM__MAX_HELD;
    }
    p->dim = o->embedder ? (int)fm__head_dim(&o->embedder->head) : 0;
    return match_classes(p, err);
}

fm_status fm__scratch_grow(worker_scratch *s, size_t size, fm_error *err)
{
    if (size <= s->pixels_size) {
        return FM_OK;
    }
    void *grown = fm__calloc_aligned(FM_TAG_PIPELINE, size, 64);
    if (!grown) {
        return fm__fail_nomem(err, "preprocessing");
    }
    fm__free(s->pixels);
    fm__pool_resized(FM_POOL_SCRATCH, s->pixels_size, size);
    s->pixels = grown;
    s->pixels_size = size;
    return FM_OK;
}

static fm_status make_scratch(stage *s, fm_error *err)
{
    s->scratch = fm__calloc_array(FM_TAG_PIPELINE, (size_t)s->worker_count, sizeof(*s->scratch));
    bool ok = s->scratch != NULL;
    for (int i = 0; ok && s->model && i < s->worker_count; i++) {
        worker_scratch *w = &s->scratch[i];
        w->head = fm__calloc_aligned(FM_TAG_PIPELINE, fm__head_scratch_size(&s->model->head) + 64, 64);
        w->dets = fm__calloc_array(FM_TAG_PIPELINE, FM_MAX_DETS, sizeof(*w->dets));
        w->masks = fm__calloc_array(FM_TAG_PIPELINE, FM_MAX_DETS, sizeof(*w->masks));
        w->places = fm__calloc_array(FM_TAG_PIPELINE, FM_MAX_DETS, sizeof(*w->places));
        ok = w->head && w->dets && w->masks && w->places;
        w->fixed_size = fm__alloc_size(w->head) + fm__alloc_size(w->dets) + fm__alloc_size(w->masks) +
                        fm__alloc_size(w->places);
        if (w->fixed_size > 0) {
            fm__pool_made(FM_POOL_SCRATCH, w->fixed_size);
        }
    }
    return ok ? FM_OK : fm__fail_nomem(err, "workers");
}

// Only the first frame stage holds frames up; what follows it takes all that it let in, of which there is a
// fixed stock.
static fm_status start_stage(stage *s, const fm_executor_ops *ops, bool is_first, fm_error *err)
{
    fm_pipeline *p = s->p;
    fm_executor_opts xo = {
        .net = s->model ? s->model->net : NULL,
        .sources = (int)p->o.stream_room,
        .batch_timeout_ns = p->o.batch_timeout_ns,
        .latency_goal_ns = p->o.latency_goal_ns,
        .max_in_flight = is_first ? p->max_in_flight : INT_MAX,
        .turns = p->turns,
        .profile = p->profile,
        .log = p->o.log,
    };
    fm_executor_ops mine = *ops;
    mine.opaque = s;
    s->worker_count = fm__executor_workers(&xo);
    fm_status st = make_scratch(s, err);
    if (st == FM_OK) {
        st = fm__executor_new(&xo, &mine, &s->exec, err);
    }
    for (int i = 0; st == FM_OK && !is_first && i < xo.sources; i++) {
        fm__executor_source(s->exec, i, FM_RING_BLOCK, INT_MAX, SIZE_MAX);
    }
    return st;
}

static void open_source(fm_executor *x, size_t index, bool open)
{
    if (!x) {
        return;
    }
    if (open) {
        fm__executor_reopen(x, (int)index);
    } else {
        fm__executor_end(x, (int)index);
    }
}

void fm__stages_source(fm_pipeline *p, size_t index, bool open)
{
    for (int i = 0; i < p->frame_stage_count; i++) {
        open_source(p->frame_stages[i].exec, index, open);
    }
    for (int i = 0; i < CROP_STAGES; i++) {
        open_source(p->crop_stages[i].exec, index, open);
    }
}

// As many turns as the network with the most slots wants: they are what keeps all cores busy with it alone.
// On a GPU the device itself takes turns.
static fm_status make_turns(fm_pipeline *p, fm_error *err)
{
    int models = 0, turns = 0;
    for (int i = 0; i < p->frame_stage_count + CROP_STAGES; i++) {
        const stage *s =
            i < p->frame_stage_count ? &p->frame_stages[i] : &p->crop_stages[i - p->frame_stage_count];
        const fm_net_info *info = s->model ? fm__net_info(s->model->net) : NULL;
        models += info && info->on_cpu;
        turns = info && info->slots > turns ? info->slots : turns;
    }
    return models > 1 ? fm__turns_new(turns, &p->turns, err) : FM_OK;
}

// From the last to the first, so that whoever hands work on finds the next stage there.
fm_status fm__stages_start(fm_pipeline *p, fm_error *err)
{
    fm_status st = make_turns(p, err);
    for (int i = 0; st == FM_OK && i < CROP_STAGES; i++) {
        st = p->crop_stages[i].model ? start_stage(&p->crop_stages[i], &fm__crop_ops, false, err) : FM_OK;
    }
    for (int i = p->frame_stage_count - 1; st == FM_OK && i >= 0; i--) {
        st = start_stage(&p->frame_stages[i], &fm__frame_ops, i == 0, err);
    }
    return st;
}

void fm__stages_stop(fm_pipeline *p, bool drain)
{
    for (int i = 0; i < p->frame_stage_count; i++) {
        if (p->frame_stages[i].exec) {
            fm__executor_stop(p->frame_stages[i].exec, drain);
        }
    }
    for (int i = 0; i < CROP_STAGES; i++) {
        if (p->crop_stages[i].exec) {
            fm__executor_stop(p->crop_stages[i].exec, drain);
        }
    }
}

static void free_stage(stage *s)
{
    fm__executor_free(&s->exec);
    for (int i = 0; s->scratch && i < s->worker_count; i++) {
        worker_scratch *w = &s->scratch[i];
        if (w->fixed_size > 0) {
            fm__pool_gone(FM_POOL_SCRATCH, w->fixed_size + w->pixels_size, false);
        }
        fm__free(w->pixels);
        fm__free(w->head);
        fm__free(w->dets);
        fm__free(w->masks);
        fm__free(w->places);
    }
    fm__free(s->scratch);
}

void fm__stages_done(fm_pipeline *p)
{
    for (int i = 0; i < p->frame_stage_count; i++) {
        free_stage(&p->frame_stages[i]);
    }
    for (int i = 0; i < CROP_STAGES; i++) {
        free_stage(&p->crop_stages[i]);
    }
    fm__turns_free(&p->turns);
    fm__free(p->class_of_segment);
}
