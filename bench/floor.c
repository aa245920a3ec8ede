// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The floor of docs/performance.md: what a run of these inputs would take if everything but the decoders and
// the network were free. Two times are measured, each with all cores: decoding all inputs at once, one thread
// an input as a run has, and the network over as many frames, through the same backend with the same batches
// and slots, all slots kept busy. Their sum is the floor; with --embedder and --crops the embedder's time for
// so many rows comes to it. The rows of the batches are frames of the first input, letterboxed before the
// clock starts. Prints one JSON object a repetition.

#include "base/alloc.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/thread.h"
#include "media/decode.h"
#include "models/model.h"

#include <getopt.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_INPUTS 256
#define MAX_SLOTS 64
#define MAX_DECODER_THREADS 16

typedef struct settings {
    const char *share, *models, *cache, *model, *embedder;
    int batch, slots, repeat;
    uint64_t crops;  // that the embedder sees, of all inputs
    uint64_t frames; // an input, 0: all
    const char *const *inputs;
    int input_count;
} settings;

static void die(const char *what, const fm_error *err)
{
    fprintf(stderr, "floor: %s: %s\n", what, err->msg);
    exit(1);
}

// ---- decoding alone

typedef struct decode_job {
    const char *input;
    int threads;
    uint64_t limit, frames;
    pthread_t thread;
} decode_job;

static fm_decoder *open_input(const char *input, int threads)
{
    fm_error err = {0};
    fm_decoder *d = NULL;
    fm_decoder_opts opts = {.url = input, .kind = FM_INPUT_FILE, .threads = threads};
    if (fm__decoder_open(&opts, &d, &err) != FM_OK)
        die(input, &err);
    return d;
}

static void *decode_main(void *arg)
{
    decode_job *job = arg;
    fm_error err = {0};
    fm_frame *frame = NULL;
    fm_decoder *d = open_input(job->input, job->threads);
    fm_status status = FM_OK;
    while ((job->limit == 0 || job->frames < job->limit) &&
           (status = fm__decoder_read(d, &frame, &err)) == FM_OK) {
        fm_frame_unref(&frame);
        job->frames++;
    }
    if (status < 0)
        die(job->input, &err);
    fm__decoder_close(&d);
    return NULL;
}

/** Seconds that decoding takes; *frames in all. */
static double time_decode(const settings *s, uint64_t *frames)
{
    static decode_job jobs[MAX_INPUTS];
    fm_error err = {0};
    int share = fm__cpu_count() / s->input_count;
    int threads = share < 1 ? 1 : share > MAX_DECODER_THREADS ? MAX_DECODER_THREADS : share;
    int64_t begin = fm__now_ns();
    for (int i = 0; i < s->input_count; i++) {
        jobs[i] = (decode_job){.input = s->inputs[i], .threads = threads, .limit = s->frames};
        if (fm__thread_start(&jobs[i].thread, "floor-decode", decode_main, &jobs[i], &err) != FM_OK)
            die("thread", &err);
    }
    *frames = 0;
    for (int i = 0; i < s->input_count; i++) {
        pthread_join(jobs[i].thread, NULL);
        *frames += jobs[i].frames;
    }
    return (double)(fm__now_ns() - begin) / (double)FM_NS_PER_S;
}

// ---- the network alone

/** Requests by slot, and the slots that have ended, as a queue that foreign threads may push to. */
typedef struct network {
    const fm_model *model;
    fm_request *requests[MAX_SLOTS];
    struct slot {
        struct network *net;
        int index;
    } slots[MAX_SLOTS];
    int slot_count;
    sem_t ended_count;
    atomic_int ended[MAX_SLOTS];
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
    fm_decoder *d = open_input(input, 1);
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
            die("letterbox", &err);
        if (!scratch)
            scratch = fm__calloc_aligned(FM_TAG_APP, fm__letterbox_scratch_size(plan) + 64, 64);
        fm__letterbox_run(plan, v, (uint8_t *)batch.data + (size_t)row * row_bytes, scratch);
        fm_frame_unref(&frame);
    }
    fm__free(scratch);
    fm__letterbox_plan_free(&plan);
    fm__decoder_close(&d);
}

static void network_open(network *n, const fm_model *model, const char *input)
{
    fm_error err = {0};
    memset(n, 0, sizeof *n);
    n->model = model;
    n->slot_count = fm__net_info(model->net)->slots;
    if (n->slot_count > MAX_SLOTS)
        n->slot_count = MAX_SLOTS;
    sem_init(&n->ended_count, 0, 0);
    for (int i = 0; i < n->slot_count; i++) {
        n->slots[i] = (struct slot){n, i};
        if (fm__request_new(model->net, slot_done, &n->slots[i], &n->requests[i], &err) != FM_OK)
            die("request", &err);
        fill_rows(model, n->requests[i], input);
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
        die("inference", &err);
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
                die("inference", &err);
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

// ---- main

static fm_model_store *open_store(const settings *s)
{
    fm_error err = {0};
    fm_model_store *store = NULL;
    fm_model_store_opts so = FM_MODEL_STORE_OPTS_INIT;
    so.share_dir = s->share;
    so.models_dir = s->models;
    if (fm_model_store_open(&so, &store, &err) != FM_OK)
        die("models", &err);
    return store;
}

static fm_model *load(const fm_model_store *store, const fm_model_load_opts *opts)
{
    fm_error err = {0};
    fm_model *model = NULL;
    if (fm__model_load(store, opts, &model, &err) != FM_OK)
        die("model", &err);
    return model;
}

/** Seconds that a model takes for so many rows, warm. */
static double time_model(const fm_model *model, const char *input, uint64_t rows)
{
    static network net;
    const fm_net_info *info = fm__net_info(model->net);
    network_open(&net, model, input);
    (void)time_network(&net, (uint64_t)(2 * info->batch * info->slots)); // first inferences allocate
    double seconds = time_network(&net, rows);
    network_close(&net);
    return seconds;
}

static settings parse(int argc, char **argv)
{
    static const struct option flags[] = {{"share", 1, NULL, 's'}, {"models", 1, NULL, 'm'},
        {"cache", 1, NULL, 'c'}, {"model", 1, NULL, 'n'}, {"embedder", 1, NULL, 'e'}, {"crops", 1, NULL, 'C'},
        {"batch", 1, NULL, 'b'}, {"slots", 1, NULL, 'w'}, {"frames", 1, NULL, 'f'}, {"repeat", 1, NULL, 'r'},
        {0}};
    settings s = {.model = "yolox-nano", .repeat = 1};
    int c;
    while ((c = getopt_long(argc, argv, "", flags, NULL)) != -1) {
        const char **text = c == 's'   ? &s.share
                            : c == 'm' ? &s.models
                            : c == 'c' ? &s.cache
                            : c == 'n' ? &s.model
                            : c == 'e' ? &s.embedder
                                       : NULL;
        int *number = c == 'b' ? &s.batch : c == 'w' ? &s.slots : c == 'r' ? &s.repeat : NULL;
        if (text)
            *text = optarg;
        else if (number)
            *number = atoi(optarg);
        else if (c == 'f')
            s.frames = strtoull(optarg, NULL, 10);
        else if (c == 'C')
            s.crops = strtoull(optarg, NULL, 10);
        else
            exit(2);
    }
    s.inputs = (const char *const *)argv + optind;
    s.input_count = argc - optind;
    if (!s.share || !s.models || s.input_count < 1 || s.input_count > MAX_INPUTS) {
        fprintf(stderr,
            "usage: floor --share DIR --models DIR [--cache DIR] [--model NAME] [--batch N] [--slots N] "
            "[--embedder NAME --crops N] [--frames N] [--repeat N] VIDEO...\n");
        exit(2);
    }
    return s;
}

int main(int argc, char **argv)
{
    settings s = parse(argc, argv);
    fm_model_store *store = open_store(&s);
    fm_model_load_opts detector = {
        .name = s.model, .device = "cpu", .batch = s.batch, .slots = s.slots, .cache_dir = s.cache};
    fm_model_load_opts embedder = {
        .task = FM_TASK_FEATURES, .name = s.embedder, .device = "cpu", .cache_dir = s.cache};
    fm_model *model = load(store, &detector), *embed = s.embedder ? load(store, &embedder) : NULL;
    const fm_net_info *info = fm__net_info(model->net);
    for (int i = 0; i < s.repeat; i++) {
        uint64_t frames;
        double decode = time_decode(&s, &frames), infer = time_model(model, s.inputs[0], frames);
        double crops = embed ? time_model(embed, s.inputs[0], s.crops) : 0;
        printf("{\"frames\":%llu,\"decode_s\":%.4f,\"infer_s\":%.4f,\"embed_s\":%.4f,\"fps\":%.3f,"
               "\"infer_fps\":%.3f,\"batch\":%d,\"slots\":%d}\n",
            (unsigned long long)frames, decode, infer, crops, (double)frames / (decode + infer + crops),
            (double)frames / infer, info->batch, info->slots);
        fflush(stdout);
    }
    fm__model_free(&embed);
    fm__model_free(&model);
    fm_model_store_close(&store);
    return 0;
}
