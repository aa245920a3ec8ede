// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Times of a network's layers: one inference at a time over the frames, the backend's own counters summed by
// layer. The first inference, in which memory is touched for the first time, does not count.

#include "app/tune_private.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "base/thread.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_LAYERS = 8192, ROUNDS = 20 };

struct fm_tune_layers {
    fm_tune_layer *at;
    size_t count, cap;
    size_t place; // of the next layer: they come in the same order each time
    bool failed;  // out of memory
};

typedef struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
} waiter;

static void on_done(void *opaque)
{
    waiter *w = opaque;
    pthread_mutex_lock(&w->lock);
    w->done = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static fm_status infer_once(fm_request *req, waiter *w, fm_error *err)
{
    fm_tensor outs[FM_NET_MAX_OUTPUTS];
    w->done = false;
    fm_status st = fm__request_start(req, 1, err);
    if (st != FM_OK) {
        return st;
    }
    pthread_mutex_lock(&w->lock);
    while (!w->done) {
        pthread_cond_wait(&w->changed, &w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return fm__request_finish(req, outs, err);
}

static void add_layer(const fm_layer_time *t, void *opaque)
{
    fm_tune_layers *l = opaque;
    size_t i = l->place++;
    if (i < l->count && strcmp(l->at[i].name, t->name) == 0) {
        l->at[i].ms += (double)t->ns / 1e6;
        return;
    }
    if (i < l->count || i >= MOST_LAYERS || l->failed ||
        !fm__grow(FM_TAG_TUNE, (void **)&l->at, &l->cap, l->count + 1, sizeof(*l->at))) {
        l->failed = true;
        return;
    }
    fm_tune_layer *to = &l->at[l->count++];
    *to = (fm_tune_layer){.name = fm__strdup(FM_TAG_TUNE, t->name),
        .type = fm__strdup(FM_TAG_TUNE, t->type),
        .kernel = fm__strdup(FM_TAG_TUNE, t->kernel),
        .ms = (double)t->ns / 1e6};
    l->failed = !to->name || !to->type || !to->kernel;
}

static fm_status fill_row(const fm_model *model, const fm_frame_view *v, void *row, fm_error *err)
{
    const fm_model_input *in = &model->input;
    const fm_net_info *info = fm__net_info(model->net);
    fm_letterbox_plan *plan = NULL;
    fm_letterbox_desc desc = {.format = v->format,
        .matrix = v->matrix,
        .range = v->range,
        .chroma_site = FM_CHROMA_REPEAT,
        .map =
            fm__fit(in->fit, in->anchor, in->crop_ratio, v->width, v->height, info->input_w, info->input_h),
        .layout = info->layout,
        .color = in->color,
        .dtype = info->input.dtype,
        .pad = in->pad};
    fm_status st = fm__letterbox_plan_new(&desc, fm__cpu_level(), &plan, err);
    if (st != FM_OK) {
        return st;
    }
    void *scratch = fm__calloc_aligned(FM_TAG_TUNE, fm__letterbox_scratch_size(plan) + 64, 64);
    if (scratch) {
        fm__letterbox_run(plan, v, row, scratch);
    }
    fm__free(scratch);
    fm__letterbox_plan_free(&plan);
    return scratch ? FM_OK : fm__fail_nomem(err, "preprocessing");
}

static fm_status run_layers(
    fm_tune_layers *l, const fm_model *model, const fm__tune_frames *frames, fm_error *err)
{
    waiter w = {.done = false};
    fm_request *req = NULL;
    pthread_mutex_init(&w.lock, NULL);
    fm__cond_init(&w.changed);
    fm_status st = fm__request_new(model->net, on_done, &w, &req, err);
    for (int i = 0; st == FM_OK && i <= ROUNDS; i++) {
        fm_tensor input = fm__request_input(req);
        const fm_frame *frame = frames->frames[(size_t)i % frames->count];
        st = fill_row(model, fm_frame_get_view(frame), input.data, err);
        st = st == FM_OK ? infer_once(req, &w, err) : st;
        l->place = 0;
        if (st == FM_OK && i > 0) {
            st = fm__request_layers(req, add_layer, l, err);
        }
    }
    for (size_t i = 0; i < l->count; i++) {
        l->at[i].ms /= ROUNDS;
    }
    fm__request_free(&req);
    pthread_cond_destroy(&w.changed);
    pthread_mutex_destroy(&w.lock);
    return st == FM_OK && l->failed ? fm__fail(err, FM_INTERNAL, "layers did not come in order, or too many")
                                    : st;
}

static int by_time(const void *a, const void *b)
{
    double x = ((const fm_tune_layer *)a)->ms, y = ((const fm_tune_layer *)b)->ms;
    return (x < y) - (x > y);
}

fm_status fm_tune_layers_new(const fm_tune_opts *o, fm_tune_layers **out, fm_error *err)
{
    fm_model_store *store = NULL;
    fm_model *model = NULL;
    fm__tune_frames frames = {0};
    fm_status st = fm__tune_check(o, err);
    if (st != FM_OK) {
        return st;
    }
    fm_tune_layers *l = fm__calloc(FM_TAG_TUNE, sizeof(*l));
    fm_model_load_opts lo = fm__tune_load_opts(o);
    lo.batch = lo.slots = 1;
    lo.cache_dir = NULL; // a cached network would have been compiled without counters
    lo.counters = true;
    st = l ? fm_model_store_open(o->store, &store, err) : fm__fail_nomem(err, "layers");
    st = st == FM_OK ? fm__tune_read_frames(o, &frames, err) : st;
    st = st == FM_OK ? fm__model_load(store, &lo, &model, err) : st;
    st = st == FM_OK ? run_layers(l, model, &frames, err) : st;
    fm__model_free(&model);
    fm__tune_frames_done(&frames);
    fm_model_store_close(&store);
    if (st != FM_OK) {
        fm_tune_layers_free(&l);
        return st;
    }
    qsort(l->at, l->count, sizeof(*l->at), by_time);
    *out = l;
    return FM_OK;
}

void fm_tune_layers_free(fm_tune_layers **layers)
{
    fm_tune_layers *l = layers ? *layers : NULL;
    if (!l) {
        return;
    }
    for (size_t i = 0; i < l->count; i++) {
        fm__free((char *)l->at[i].name);
        fm__free((char *)l->at[i].type);
        fm__free((char *)l->at[i].kernel);
    }
    fm__free(l->at);
    fm__free(l);
    *layers = NULL;
}

const fm_tune_layer *fm_tune_layers_get(const fm_tune_layers *l, size_t index)
{
    return index < l->count ? &l->at[index] : NULL;
}
