// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The embedder's stage: crops of detections, of any frames and streams that are under way, share batches of a
// second executor, and each comes back as a feature in its work. A stream's ring of crops has no bound of its
// own: crops belong to works, of which a stream has a fixed stock, and who hands them over (a worker of the
// detector, delivery) must never wait here. The last crop of a work that comes back takes the work on; one
// that failed leaves its detection without a feature.

#include "pipeline/private.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "ops/crop.h"

#include <limits.h>

static crop *crop_of(fm_item *item)
{
    return (crop *)item; // item is the first field
}

static size_t place_of(const crop *c)
{
    return (size_t)(c - c->work->look.crops);
}

static fm_crop_desc desc_of(const fm_pipeline *p)
{
    const fm_model_input *in = &p->o.embedder->input;
    const fm_net_info *info = fm__net_info(p->o.embedder->net);
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

static fm_status grow_scratch(fm_pipeline *p, int worker, size_t size, fm_error *err)
{
    if (size <= p->crop_scratch_size[worker]) {
        return FM_OK;
    }
    void *grown = fm__calloc_aligned(FM_TAG_PIPELINE, size, 64);
    if (!grown) {
        return fm__fail_nomem(err, "a crop");
    }
    fm__free(p->crop_scratch[worker]);
    p->crop_scratch[worker] = grown;
    p->crop_scratch_size[worker] = size;
    return FM_OK;
}

static fm_status prepare(fm_item *item, fm_tensor row, int worker, void *opaque, fm_error *err)
{
    fm_pipeline *p = opaque;
    const crop *c = crop_of(item);
    const fm_frame_view *view = fm_frame_get_view(c->work->frame);
    int64_t begin = fm__now_ns();
    fm_crop_desc desc = desc_of(p);
    fm_status st = grow_scratch(p, worker, fm__crop_scratch_size(&desc, view->width), err);
    if (st == FM_OK) {
        fm__crop_run(
            &desc, view, c->work->dets[place_of(c)].box, row.data, p->crop_scratch[worker], p->o.level);
        fm__metrics_add(&p->metrics, FM_STAGE_PREPROCESS, fm__now_ns() - begin);
    }
    return st;
}

static fm_status decode(
    fm_item *item, const fm_tensor *outs, size_t n_outs, int64_t row, int worker, void *opaque, fm_error *err)
{
    (void)worker;
    (void)err;
    fm_pipeline *p = opaque;
    crop *c = crop_of(item);
    if (row == 0) {
        fm__metrics_add(&p->metrics, FM_STAGE_EMBED, item->infer_ns);
    }
    size_t i = place_of(c);
    float *value = c->work->look.values + i * (size_t)p->dim;
    if (fm__head_feature(&p->o.embedder->head, outs, n_outs, row, value)) {
        c->work->look.feature[i] = value;
    }
    return FM_OK;
}

static void go_on(work *w)
{
    if (w->in_order) {
        fm__deliver_resume(w);
    } else {
        fm__deliver_complete(w);
    }
}

// One crop, or the hold of who hands them over, is done.
static void give_back(work *w)
{
    if (atomic_fetch_sub_explicit(&w->look.pending, 1, memory_order_acq_rel) == 1) {
        go_on(w);
    }
}

// Why a crop has no feature is not told a second time: the executor has logged its batch.
static void complete(fm_item *item, fm_status status, const fm_error *err, void *opaque)
{
    (void)status;
    (void)err;
    fm_pipeline *p = opaque;
    fm__executor_release(p->embed, item->source);
    give_back(crop_of(item)->work);
}

void fm__embed_start(work *w)
{
    fm_pipeline *p = w->lane->p;
    atomic_store(&w->look.pending, 1);
    for (size_t i = 0; i < w->det_count; i++) {
        w->look.feature[i] = NULL;
    }
    for (size_t i = 0; i < w->det_count; i++) {
        if (!w->look.wants[i]) {
            continue;
        }
        crop *c = &w->look.crops[i];
        *c = (crop){.item.source = (int)w->lane->index, .work = w};
        atomic_fetch_add(&w->look.pending, 1);
        if (fm__executor_push(p->embed, &c->item) != FM_OK) { // stopped
            atomic_fetch_sub(&w->look.pending, 1);
        }
    }
    give_back(w);
}

fm_status fm__embed_init(fm_pipeline *p, fm_error *err)
{
    if (!p->o.embedder) {
        return FM_OK;
    }
    fm_executor_opts xo = {
        .net = p->o.embedder->net,
        .sources = (int)p->o.stream_count,
        .max_in_flight = INT_MAX,
        .batch_timeout_ns = p->o.batch_timeout_ns,
        .log = p->o.log,
    };
    fm_executor_ops ops = {.prepare = prepare, .decode = decode, .complete = complete, .opaque = p};
    p->embed_workers = fm__executor_workers(&xo);
    p->crop_scratch = fm__calloc_array(FM_TAG_PIPELINE, (size_t)p->embed_workers, sizeof(*p->crop_scratch));
    p->crop_scratch_size =
        fm__calloc_array(FM_TAG_PIPELINE, (size_t)p->embed_workers, sizeof(*p->crop_scratch_size));
    if (!p->crop_scratch || !p->crop_scratch_size) {
        return fm__fail_nomem(err, "the embedder");
    }
    fm_status st = fm__executor_new(&xo, &ops, &p->embed, err);
    for (int i = 0; st == FM_OK && i < xo.sources; i++) {
        fm__executor_source(p->embed, i, FM_RING_BLOCK, INT_MAX, SIZE_MAX);
    }
    return st;
}

void fm__embed_done(fm_pipeline *p)
{
    fm__executor_free(&p->embed);
    for (int i = 0; i < p->embed_workers && p->crop_scratch; i++) {
        fm__free(p->crop_scratch[i]);
    }
    fm__free(p->crop_scratch);
    fm__free(p->crop_scratch_size);
}
