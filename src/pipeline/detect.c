// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The detector's stage, as the executor calls it: a frame's planes become a row of the batch tensor in one
// pass, and a row of raw outputs becomes boxes in the frame's own pixels. Workers have scratch of their own;
// a frame's pixels are given back as soon as its row is written, unless the embedder or a sink wants to see
// them.

#include "pipeline/private.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"

#include <string.h>

static work *work_of(fm_item *item)
{
    return (work *)item; // item is the first field
}

static fm_status grow_scratch(worker_scratch *s, size_t size, fm_error *err)
{
    if (size <= s->letterbox_size) {
        return FM_OK;
    }
    void *grown = fm__calloc_aligned(FM_TAG_PIPELINE, size, 64);
    if (!grown) {
        return fm__fail_nomem(err, "preprocessing");
    }
    fm__free(s->letterbox);
    s->letterbox = grown;
    s->letterbox_size = size;
    return FM_OK;
}

static fm_status prepare(fm_item *item, fm_tensor row, int worker, void *opaque, fm_error *err)
{
    fm_pipeline *p = opaque;
    work *w = work_of(item);
    int64_t begin = fm__now_ns();
    fm__metrics_add(&p->metrics, FM_STAGE_QUEUE, item->taken_ns - item->queued_ns);
    worker_scratch *s = &p->scratch[worker];
    fm_status st = grow_scratch(s, fm__letterbox_scratch_size(w->plan->plan), err);
    if (st == FM_OK) {
        fm__letterbox_run(w->plan->plan, fm_frame_get_view(w->frame), row.data, s->letterbox);
    }
    if (!w->lane->keep_pixels && !p->o.embedder) {
        fm_frame_unref(&w->frame);
    }
    fm__metrics_add(&p->metrics, FM_STAGE_PREPROCESS, fm__now_ns() - begin);
    return st;
}

// Boxes to source pixels; one that lies in the padding alone has nothing left of it.
static size_t map_dets(const fm_fit_map *map, fm_det *dets, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        fm_box b = fm__fit_to_source(map, dets[i].box);
        if (b.x1 > b.x0 && b.y1 > b.y0) {
            dets[kept] = dets[i];
            dets[kept++].box = b;
        }
    }
    return kept;
}

static fm_status decode(
    fm_item *item, const fm_tensor *outs, size_t n_outs, int64_t row, int worker, void *opaque, fm_error *err)
{
    fm_pipeline *p = opaque;
    work *w = work_of(item);
    int64_t begin = fm__now_ns();
    if (row == 0) {
        fm__metrics_add(&p->metrics, FM_STAGE_INFER, item->infer_ns);
    }
    worker_scratch *s = &p->scratch[worker];
    fm_head_query q = {
        .conf = p->det_conf,
        .iou = p->o.iou,
        .max_dets = FM_MAX_DETS,
        .class_mask = p->o.class_mask,
        .level = p->o.level,
    };
    size_t n = fm__head_run(&p->o.model->head, outs, n_outs, row, &q, s->dets, s->head);
    n = map_dets(&fm__letterbox_plan_desc(w->plan->plan)->map, s->dets, n);
    bool fits = fm__work_set_dets(w, s->dets, n);
    fm__metrics_add(&p->metrics, FM_STAGE_HEAD, fm__now_ns() - begin);
    return fits ? FM_OK : fm__fail_nomem(err, "detections");
}

static void complete(fm_item *item, fm_status status, const fm_error *err, void *opaque)
{
    (void)opaque; // a work knows its lane
    work *w = work_of(item);
    w->status = status;
    if (status != FM_OK && err) {
        w->error = *err;
    }
    fm__track_ahead(w);
}

static void dropped(fm_item *item, void *opaque)
{
    (void)opaque;
    fm__deliver_dropped(work_of(item));
}

fm_status fm__detect_plan(const fm_pipeline *p, const fm_frame_view *view, plan_ref **out, fm_error *err)
{
    const fm_model_input *in = &p->o.model->input;
    const fm_net_info *info = fm__net_info(p->o.model->net);
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

fm_status fm__detect_init(fm_pipeline *p, fm_error *err)
{
    p->scratch = fm__calloc_array(FM_TAG_PIPELINE, (size_t)p->worker_count, sizeof(*p->scratch));
    if (!p->scratch) {
        return fm__fail_nomem(err, "workers");
    }
    for (int i = 0; i < p->worker_count && p->o.detector == FM_DETECTOR_MODEL; i++) {
        worker_scratch *s = &p->scratch[i];
        s->head = fm__calloc_aligned(FM_TAG_PIPELINE, fm__head_scratch_size(&p->o.model->head), 64);
        s->dets = fm__calloc_array(FM_TAG_PIPELINE, FM_MAX_DETS, sizeof(*s->dets));
        if (!s->head || !s->dets) {
            return fm__fail_nomem(err, "workers");
        }
    }
    return FM_OK;
}

void fm__detect_done(fm_pipeline *p)
{
    for (int i = 0; i < p->worker_count && p->scratch; i++) {
        fm__free(p->scratch[i].letterbox);
        fm__free(p->scratch[i].head);
        fm__free(p->scratch[i].dets);
    }
    fm__free(p->scratch);
}

const fm_executor_ops fm__detect_ops = {
    .prepare = prepare,
    .decode = decode,
    .complete = complete,
    .dropped = dropped,
};
