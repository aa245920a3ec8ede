// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// See network.h.

#include "network.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/cpu.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fm_bench_die(const char *what, const fm_error *err)
{
    fprintf(stderr, "bench: %s: %s\n", what, err->msg);
    exit(1);
}

fm_model_store *fm_bench_store(const char *share_dir, const char *models_dir)
{
    fm_error err = {0};
    fm_model_store *store = NULL;
    fm_model_store_opts so = FM_MODEL_STORE_OPTS_INIT;
    so.share_dir = share_dir;
    so.models_dir = models_dir;
    if (fm_model_store_open(&so, &store, &err) != FM_OK)
        fm_bench_die("models", &err);
    return store;
}

fm_model *fm_bench_load(const fm_model_store *store, const fm_model_load_opts *opts)
{
    fm_error err = {0};
    fm_model *model = NULL;
    if (fm__model_load(store, opts, &model, &err) != FM_OK)
        fm_bench_die("model", &err);
    return model;
}

fm_decoder *fm_bench_decoder(const char *input, int threads)
{
    fm_error err = {0};
    fm_decoder *d = NULL;
    fm_decoder_opts opts = {.url = input, .kind = FM_INPUT_FILE, .threads = threads};
    if (fm__decoder_open(&opts, &d, &err) != FM_OK)
        fm_bench_die(input, &err);
    return d;
}

/** Requests by slot, and the slots that have ended, as a queue that foreign threads may push to. */
typedef struct network {
    const fm_model *model;
    fm_request *requests[FM_BENCH_MAX_SLOTS];
    struct slot {
        struct network *net;
        int index;
    } slots[FM_BENCH_MAX_SLOTS];
    int slot_count;
    sem_t ended_count;
    atomic_int ended[FM_BENCH_MAX_SLOTS];
} network;

static void slot_done(void *opaque)
{
    struct slot *s = opaque;
    atomic_store(&s->net->ended[s->index], 1);
    sem_post(&s->net->ended_count);
}

/** Letterboxes frames of the first input into every row of a request. */
static void fill_rows(const fm_model *model, fm_request *request, const char *input)
{
    fm_error err = {0};
    fm_decoder *d = fm_bench_decoder(input, 1);
    fm_frame *frame = NULL;
    fm_letterbox_plan *plan = NULL;
    void *scratch = NULL;
    const fm_model_input *in = &model->input;
    const fm_net_info *info = fm__net_info(model->net);
    fm_tensor batch = fm__request_input(request);
    size_t row_bytes = fm__dtype_size(batch.dtype) * (size_t)(info->input_w * info->input_h * info->channels);
    for (int row = 0; row < info->batch && fm__decoder_read(d, &frame, &err) == FM_OK; row++) {
        const fm_frame_view *v = fm_frame_get_view(frame);
        fm_letterbox_desc desc = {.format = v->format,
            .matrix = v->matrix,
            .range = v->range,
            .chroma_site = v->chroma_site,
            .map = fm__fit(
                in->fit, in->anchor, in->crop_ratio, v->width, v->height, info->input_w, info->input_h),
            .layout = info->layout,
            .color = in->color,
            .dtype = batch.dtype,
            .pad = in->pad};
        if (!plan && fm__letterbox_plan_new(&desc, fm__cpu_level(), &plan, &err) != FM_OK)
            fm_bench_die("letterbox", &err);
        if (!scratch)
            scratch = fm__calloc_aligned(FM_TAG_APP, fm__letterbox_scratch_size(plan) + 64, 64);
        fm__letterbox_run(plan, v, (uint8_t *)batch.data + (size_t)row * row_bytes, scratch);
        fm_frame_unref(&frame);
    }
    fm__free(scratch);
    fm__letterbox_plan_free(&plan);
    fm__decoder_close(&d);
}

static void fill_noise(fm_request *request)
{
    fm_tensor t = fm__request_input(request);
    uint8_t *p = t.data;
    uint32_t x = 1;
    for (int64_t i = 0, n = fm__tensor_count(&t); i < n; i++) {
        x = x * 1664525U + 1013904223U; // Numerical Recipes' generator
        p[i] = (uint8_t)(x >> 24);
    }
}

static void network_open(network *n, const fm_model *model, const char *input)
{
    fm_error err = {0};
    memset(n, 0, sizeof *n);
    n->model = model;
    n->slot_count = fm__net_info(model->net)->slots;
    if (n->slot_count > FM_BENCH_MAX_SLOTS)
        n->slot_count = FM_BENCH_MAX_SLOTS;
    sem_init(&n->ended_count, 0, 0);
    for (int i = 0; i < n->slot_count; i++) {
        n->slots[i] = (struct slot){n, i};
        if (fm__request_new(model->net, slot_done, &n->slots[i], &n->requests[i], &err) != FM_OK)
            fm_bench_die("request", &err);
        if (input)
            fill_rows(model, n->requests[i], input);
        else
            fill_noise(n->requests[i]);
    }
}

static void network_close(network *n)
{
    for (int i = 0; i < n->slot_count; i++)
        fm__request_free(&n->requests[i]);
    sem_destroy(&n->ended_count);
}

/** Smallest full-speed size that takes `left` rows, else the largest. */
static int rows_for(const fm_net_info *info, uint64_t left)
{
    for (int i = 0; i < info->size_count; i++)
        if ((uint64_t)info->sizes[i] >= left)
            return info->sizes[i];
    return info->batch;
}

static void start(network *n, int slot, uint64_t *left)
{
    fm_error err = {0};
    int rows = rows_for(fm__net_info(n->model->net), *left);
    *left -= (uint64_t)rows < *left ? (uint64_t)rows : *left;
    if (fm__request_start(n->requests[slot], rows, &err) != FM_OK)
        fm_bench_die("inference", &err);
}

/** Waits for a slot's end and takes its outputs; returns the slot. */
static int finish_one(network *n)
{
    fm_error err = {0};
    fm_tensor outs[FM_NET_MAX_OUTPUTS];
    while (sem_wait(&n->ended_count) != 0) {
    }
    for (int i = 0;; i = (i + 1) % n->slot_count)
        if (atomic_exchange(&n->ended[i], 0)) {
            if (fm__request_finish(n->requests[i], outs, &err) != FM_OK)
                fm_bench_die("inference", &err);
            return i;
        }
}

static double time_network(network *n, uint64_t frames)
{
    int64_t begin = fm__now_ns();
    uint64_t left = frames;
    int running = 0;
    for (; running < n->slot_count && left > 0; running++)
        start(n, running, &left);
    while (running > 0) {
        int slot = finish_one(n);
        if (left > 0)
            start(n, slot, &left);
        else
            running--;
    }
    return (double)(fm__now_ns() - begin) / (double)FM_NS_PER_S;
}

double fm_bench_time(const fm_model *model, const char *input, uint64_t rows)
{
    static network net;
    const fm_net_info *info = fm__net_info(model->net);
    network_open(&net, model, input);
    (void)time_network(&net, (uint64_t)(2 * info->batch * info->slots)); // first inferences allocate
    double seconds = time_network(&net, rows);
    network_close(&net);
    return seconds;
}
