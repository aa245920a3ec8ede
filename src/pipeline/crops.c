// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Crops of detections: those of any frames and streams that are under way share batches of the crop stages'
// executors, and come back as features and classes in their work. A stream's ring of crops has no bound of
// its own: crops belong to works, of which a stream has a fixed stock, and who hands them over (a worker of a
// frame stage, delivery) must never wait here. The last crop of a work that comes back takes the work on; one
// that failed leaves its detection without a feature or classes.

#include "pipeline/private.h"

#include "base/clock.h"
#include "ops/crop.h"

static crop *crop_of(fm_item *item)
{
    return (crop *)item; // item is the first field
}

static size_t place_of(const stage *s, const crop *c)
{
    return (size_t)(c - c->work->crops[s->index]);
}

static fm_crop_desc desc_of(const fm_model *model)
{
    const fm_model_input *in = &model->input;
    const fm_net_info *info = fm__net_info(model->net);
    return (fm_crop_desc){
        .dst_w = info->input_w,
        .dst_h = info->input_h,
        .layout = info->layout,
        .color = in->color,
        .dtype = info->input.dtype,
        .fit = in->fit,
        .anchor = in->anchor,
        .crop_ratio = in->crop_ratio,
        .pad = in->pad,
    };
}

static fm_status prepare(fm_item *item, fm_tensor row, int worker, void *opaque, fm_error *err)
{
    stage *s = opaque;
    fm_pipeline *p = s->p;
    const crop *c = crop_of(item);
    const fm_frame_view *view = fm_frame_get_view(c->work->frame);
    worker_scratch *scratch = &s->scratch[worker];
    int64_t begin = fm__now_ns();
    fm_crop_desc desc = desc_of(s->model);
    fm_status st = fm__scratch_grow(scratch, fm__crop_scratch_size(&desc, view->width), err);
    if (st == FM_OK) {
        const fm_box box = c->work->dets[place_of(s, c)].box;
        // A box that shows nothing of the frame leaves padding; nobody asks for one.
        (void)fm__crop_run(&desc, view, box, row.data, scratch->pixels, p->o.level);
        fm__span(c->work->lane, FM_STAGE_PREPROCESS, c->work->index, begin, fm__now_ns());
    }
    return st;
}

static void decode_feature(const stage *s, work *w, size_t at, const fm_tensor *outs, size_t n, int64_t row)
{
    float *value = w->values + at * (size_t)s->p->dim;
    if (fm__head_feature(&s->model->head, outs, n, row, value)) {
        w->feature[at] = value;
    }
}

static void decode_classes(const stage *s, work *w, size_t at, const fm_tensor *outs, size_t n, int64_t row)
{
    size_t k = s->p->o.top_k;
    fm_class_score *top = w->classes + at * k;
    for (size_t i = fm__head_classify(&s->model->head, outs, n, row, top, k); i < k; i++) {
        top[i] = (fm_class_score){.class_id = -1};
    }
}

static fm_status decode(
    fm_item *item, const fm_tensor *outs, size_t n_outs, int64_t row, int worker, void *opaque, fm_error *err)
{
    (void)worker;
    (void)err;
    stage *s = opaque;
    crop *c = crop_of(item);
    if (row == 0) {
        fm__span_inferred(s, item);
    }
    if (s->index == CROPS_FEATURES) {
        decode_feature(s, c->work, place_of(s, c), outs, n_outs, row);
    } else {
        decode_classes(s, c->work, place_of(s, c), outs, n_outs, row);
    }
    return FM_OK;
}

// One crop, or the hold of who hands them over, is done.
static void done_by_one(work *w)
{
    if (atomic_fetch_sub_explicit(&w->crops_pending, 1, memory_order_acq_rel) != 1) {
        return;
    }
    if (w->in_order) {
        fm__deliver_resume(w);
    } else {
        fm__deliver_complete(w);
    }
}

// Why a crop came to nothing is not told a second time: the executor has logged its batch.
static void complete(fm_item *item, fm_status status, const fm_error *err, void *opaque)
{
    (void)status;
    (void)err;
    const stage *s = opaque;
    fm__executor_release(s->exec, item->source);
    done_by_one(crop_of(item)->work);
}

const fm_executor_ops fm__crop_ops = {
    .prepare = prepare,
    .decode = decode,
    .complete = complete,
};

static void push(work *w, int index, size_t at)
{
    crop *c = &w->crops[index][at];
    *c = (crop){.item.source = (int)w->lane->index, .work = w};
    atomic_fetch_add(&w->crops_pending, 1);
    if (fm__executor_push(w->lane->p->crop_stages[index].exec, &c->item) != FM_OK) { // stopped
        atomic_fetch_sub(&w->crops_pending, 1); // never to zero: the hold is still there
    }
}

static void push_features(work *w)
{
    for (size_t i = 0; i < w->det_count; i++) {
        w->feature[i] = NULL;
    }
    for (size_t i = 0; i < w->det_count; i++) {
        if (w->wants[i]) {
            push(w, CROPS_FEATURES, i);
        }
    }
}

static void push_classes(work *w)
{
    const fm_pipeline *p = w->lane->p;
    for (size_t i = 0; i < w->det_count * p->o.top_k; i++) {
        w->classes[i] = (fm_class_score){.class_id = -1};
    }
    for (size_t i = 0; i < w->det_count; i++) {
        if (w->dets[i].score >= p->o.conf) {
            push(w, CROPS_CLASSES, i);
        }
    }
}

void fm__crops_start(work *w, bool classes)
{
    atomic_store(&w->crops_pending, 1);
    if (w->feature) {
        push_features(w);
    }
    if (classes && w->classes) {
        push_classes(w);
    }
    done_by_one(w);
}
