// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Whole frames, as the executors of the frame stages call it: a frame's planes become a row of the batch
// tensor in one pass, and a row of raw outputs becomes boxes, masks, classes or a feature. The first stage
// takes frames in; when it takes a frame up, the others get it too, and all work on it side by side, each
// writing fields of its own. Whoever is last takes the frame on. Pixels are given back as soon as the last
// row is written, unless crops or a sink want to see them.

#include "pipeline/private.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"

static part *part_of(fm_item *item)
{
    return (part *)item; // item is the first field
}

static void seen_by_one(work *w)
{
    bool last = atomic_fetch_sub_explicit(&w->pixels_pending, 1, memory_order_acq_rel) == 1;
    if (last && !w->lane->keep_pixels && !fm__wants_crops(w->lane->p)) {
        fm_frame_unref(&w->frame);
    }
}

static void done_by_one(work *w)
{
    if (atomic_fetch_sub_explicit(&w->parts_pending, 1, memory_order_acq_rel) == 1) {
        fm__objects_join(w);
        fm__track_ahead(w);
    }
}

// The first stage has taken the frame: its order is settled, and the others may begin.
static void hand_to_others(work *w)
{
    fm_pipeline *p = w->lane->p;
    for (int i = 1; i < p->frame_stage_count; i++) {
        part *other = &w->parts[i];
        if (fm__executor_push(p->frame_stages[i].exec, &other->item) != FM_OK) { // stopped
            fm_error err = {.status = FM_CANCELED, .msg = "the run was stopped"};
            fm__work_fail(w, FM_CANCELED, &err);
            seen_by_one(w);
            done_by_one(w);
        }
    }
}

static fm_status prepare(fm_item *item, fm_tensor row, int worker, void *opaque, fm_error *err)
{
    stage *s = opaque;
    work *w = part_of(item)->work;
    int64_t begin = fm__now_ns();
    if (s->index == 0) {
        fm__span_queued(w);
    }
    fm_letterbox_plan *plan = part_of(item)->plan->plan;
    worker_scratch *scratch = &s->scratch[worker];
    fm_status st = fm__scratch_grow(scratch, fm__letterbox_scratch_size(plan), err);
    if (st == FM_OK) {
        fm__letterbox_run(plan, fm_frame_get_view(w->frame), row.data, scratch->pixels);
    }
    fm__span(w->lane, FM_STAGE_PREPROCESS, w->index, begin, fm__now_ns());
    if (s->index == 0) {
        hand_to_others(w);
    }
    seen_by_one(w);
    return st;
}

static fm_head_query query_of(const fm_pipeline *p, bool finds_objects)
{
    return (fm_head_query){
        .conf = finds_objects ? p->det_conf : p->o.conf,
        .iou = p->o.iou,
        .max_dets = FM_MAX_DETS,
        .class_mask = finds_objects ? p->o.class_mask : NULL,
        .level = p->o.level,
    };
}

// Boxes to source pixels; one that lies in the padding alone has nothing left of it.
static size_t map_dets(const fm_fit_map *map, fm_det *dets, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        fm_box b = fm__fit_to_source(map, dets[i].box);
        if (b.x1 > b.x0 && b.y1 > b.y0) {
            dets[kept] = dets[i];
            dets[kept].track_id = 0;
            dets[kept++].box = b;
        }
    }
    return kept;
}

typedef struct decoding {
    stage *s;
    work *w;
    const fm_tensor *outs;
    size_t n_outs;
    int64_t row;
    const fm_fit_map *map;
    worker_scratch *scratch;
} decoding;

static bool detect(const decoding *d)
{
    fm_head_query q = query_of(d->s->p, true);
    size_t n =
        fm__head_run(&d->s->model->head, d->outs, d->n_outs, d->row, &q, d->scratch->dets, d->scratch->head);
    return fm__work_set_dets(d->w, d->scratch->dets, map_dets(d->map, d->scratch->dets, n));
}

// Weak objects serve a tracker only and have no masks.
static size_t reported(const fm_pipeline *p, const fm_det *dets, size_t n)
{
    while (n > 0 && dets[n - 1].score < p->o.conf) {
        n--;
    }
    return n;
}

static bool segment_objects(const decoding *d)
{
    const fm_pipeline *p = d->s->p;
    const fm_head *head = &d->s->model->head;
    worker_scratch *s = d->scratch;
    segments *seg = &d->w->seg;
    fm_head_query q = query_of(p, fm__segmenter_finds(p));
    size_t n = fm__head_objects(
        head, d->outs, d->n_outs, d->row, &q, d->map, seg->dets, seg->masks, s->places, s->head);
    size_t masked = reported(p, seg->dets, n);
    if (!fm__segments_fit_bits(seg, fm__masks_size(seg->masks, masked))) {
        return false;
    }
    fm__head_masks(head, d->outs, d->n_outs, d->row, d->map, s->places, seg->masks, masked, seg->bits,
        s->head, p->o.level);
    for (size_t i = 0; i < n; i++) {
        seg->dets[i].track_id = 0;
        seg->masks[i] = i < masked ? seg->masks[i] : (fm_mask){0};
    }
    seg->count = n;
    return !fm__segmenter_finds(p) || fm__work_set_dets(d->w, seg->dets, n);
}

static bool segment_map(const decoding *d)
{
    const fm_pipeline *p = d->s->p;
    segments *seg = &d->w->seg;
    if (p->o.class_map && !fm__segments_fit_map(seg, d->w->width, d->w->height)) {
        return false;
    }
    fm__head_class_map(&d->s->model->head, d->outs, d->n_outs, d->row, d->map, seg->ids, d->w->width,
        seg->area, d->scratch->head, p->o.level);
    seg->map = (fm_class_map){
        .width = d->w->width,
        .height = d->w->height,
        .stride = d->w->width,
        .ids = seg->ids,
        .area = seg->area,
        .class_count = (size_t)d->s->model->head.class_count,
        .labels = (const char *const *)d->s->model->labels,
    };
    seg->has_map = true;
    return true;
}

static bool decode_task(const decoding *d)
{
    work *w = d->w;
    const fm_head *head = &d->s->model->head;
    switch (d->s->task) {
    case FM_TASK_DETECTION:
        return detect(d);
    case FM_TASK_SEGMENTATION:
        return fm__head_has_objects(head) ? segment_objects(d) : segment_map(d);
    case FM_TASK_CLASSIFICATION:
        w->frame_class_count =
            fm__head_classify(head, d->outs, d->n_outs, d->row, w->frame_classes, d->s->p->o.top_k);
        return true;
    case FM_TASK_FEATURES:
        w->has_frame_feature = fm__head_feature(head, d->outs, d->n_outs, d->row, w->frame_feature);
        return true;
    default:
        return true;
    }
}

static fm_status decode(
    fm_item *item, const fm_tensor *outs, size_t n_outs, int64_t row, int worker, void *opaque, fm_error *err)
{
    stage *s = opaque;
    int64_t begin = fm__now_ns();
    if (row == 0) {
        fm__span_inferred(s, item);
    }
    decoding d = {
        .s = s,
        .w = part_of(item)->work,
        .outs = outs,
        .n_outs = n_outs,
        .row = row,
        .map = &fm__letterbox_plan_desc(part_of(item)->plan->plan)->map,
        .scratch = &s->scratch[worker],
    };
    bool fits = decode_task(&d);
    fm__span(d.w->lane, FM_STAGE_HEAD, d.w->index, begin, fm__now_ns());
    return fits ? FM_OK : fm__fail_nomem(err, "results");
}

static bool finds_objects(const stage *s)
{
    return s->task == FM_TASK_DETECTION || (s->task == FM_TASK_SEGMENTATION && fm__segmenter_finds(s->p));
}

static void complete(fm_item *item, fm_status status, const fm_error *err, void *opaque)
{
    stage *s = opaque;
    work *w = part_of(item)->work;
    if (status != FM_OK) {
        fm__work_fail(w, status, err);
        if (finds_objects(s)) {
            w->no_objects = true;
        }
    }
    if (item->passes) {
        fm__deliver_complete(w);
        return;
    }
    if (s->index > 0) {
        fm__executor_release(s->exec, item->source);
    } else if (status == FM_CANCELED) { // it was never taken up, so no other stage has it
        atomic_store(&w->parts_pending, 1);
    }
    done_by_one(w);
}

static void dropped(fm_item *item, void *opaque)
{
    (void)opaque;
    fm__deliver_dropped(part_of(item)->work);
}

const fm_executor_ops fm__frame_ops = {
    .prepare = prepare,
    .decode = decode,
    .complete = complete,
    .dropped = dropped,
};

static fm_status make_plan(
    const fm_pipeline *p, const fm_model *model, const fm_frame_view *view, plan_ref **out, fm_error *err)
{
    const fm_model_input *in = &model->input;
    const fm_net_info *info = fm__net_info(model->net);
    fm_letterbox_desc desc = {
        .format = view->format,
        .matrix = view->matrix,
        .range = view->range,
        // As swscale and so OpenCV's VideoCapture convert: a network sees here what it saw in Python.
        .chroma_site = FM_CHROMA_REPEAT,
        .map = fm__fit(
            in->fit, in->anchor, in->crop_ratio, view->width, view->height, info->input_w, info->input_h),
        .layout = info->layout,
        .color = in->color,
        .dtype = info->input.dtype,
        .pad = in->pad,
    };
    plan_ref *ref = fm__calloc(FM_TAG_PIPELINE, sizeof(*ref));
    if (!ref) {
        return fm__fail_nomem(err, "a preprocessing plan");
    }
    fm_status st = fm__letterbox_plan_new(&desc, p->o.level, &ref->plan, err);
    if (st != FM_OK) {
        fm__free(ref);
        return st;
    }
    atomic_init(&ref->refs, 1);
    *out = ref;
    return FM_OK;
}

fm_status fm__frame_plans(const fm_pipeline *p, const fm_frame_view *view, plan_ref **plans, fm_error *err)
{
    fm_status st = FM_OK;
    for (int i = 0; st == FM_OK && i < p->frame_stage_count; i++) {
        const fm_model *model = p->frame_stages[i].model;
        if (!model || (plans[i] && fm__letterbox_plan_matches(plans[i]->plan, view))) {
            continue;
        }
        fm__plan_unref(&plans[i]);
        st = make_plan(p, model, view, &plans[i], err);
    }
    return st;
}

void fm__frame_begin(work *w, plan_ref *const *plans)
{
    int n = w->lane->p->frame_stage_count;
    for (int i = 0; i < n; i++) {
        w->parts[i].item = (fm_item){.source = (int)w->lane->index, .bytes = w->frame->bytes};
        if (plans[i]) {
            atomic_fetch_add_explicit(&plans[i]->refs, 1, memory_order_relaxed);
            w->parts[i].plan = plans[i];
        }
    }
    atomic_store(&w->parts_pending, n);
    atomic_store(&w->pixels_pending, n);
}
