// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The floor of docs/performance.md: what a run of these inputs would take if everything but the decoders and
// the networks were free. Times are measured one after the other, each with all cores: decoding all inputs at
// once, one thread an input as a run has, and each network (--model may be given several times) over as many
// frames. Their sum is the floor; with --embedder and --crops the embedder's time for so many rows comes to
// it. Prints one JSON object a repetition.

#include "network.h"

#include "base/clock.h"
#include "base/cpu.h"
#include "base/thread.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_INPUTS 256
#define MAX_MODELS 4
#define MAX_DECODER_THREADS 16

typedef struct settings {
    const char *share, *models, *cache, *embedder;
    const char *names[MAX_MODELS];
    int model_count;
    int batch, slots, repeat;
    uint64_t crops;  // that the embedder sees, of all inputs
    uint64_t frames; // an input, 0: all
    const char *const *inputs;
    int input_count;
} settings;

// ---- decoding alone

typedef struct decode_job {
    const char *input;
    int threads;
    uint64_t limit, frames;
    pthread_t thread;
} decode_job;

static void *decode_main(void *arg)
{
    decode_job *job = arg;
    fm_error err = {0};
    fm_frame *frame = NULL;
    fm_decoder *d = fm_bench_decoder(job->input, job->threads);
    fm_status status = FM_OK;
    while ((job->limit == 0 || job->frames < job->limit) &&
           (status = fm__decoder_read(d, &frame, &err)) == FM_OK) {
        fm_frame_unref(&frame);
        job->frames++;
    }
    if (status < 0)
        fm_bench_die(job->input, &err);
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
            fm_bench_die("thread", &err);
    }
    *frames = 0;
    for (int i = 0; i < s->input_count; i++) {
        pthread_join(jobs[i].thread, NULL);
        *frames += jobs[i].frames;
    }
    return (double)(fm__now_ns() - begin) / (double)FM_NS_PER_S;
}

// ---- main

static void add_model(settings *s, const char *name)
{
    if (s->model_count == MAX_MODELS) {
        fprintf(stderr, "floor: at most %d models\n", MAX_MODELS);
        exit(2);
    }
    s->names[s->model_count++] = name;
}

static settings parse(int argc, char **argv)
{
    static const struct option flags[] = {{"share", 1, NULL, 's'}, {"models", 1, NULL, 'm'},
        {"cache", 1, NULL, 'c'}, {"model", 1, NULL, 'n'}, {"embedder", 1, NULL, 'e'}, {"crops", 1, NULL, 'C'},
        {"batch", 1, NULL, 'b'}, {"slots", 1, NULL, 'w'}, {"frames", 1, NULL, 'f'}, {"repeat", 1, NULL, 'r'},
        {0}};
    settings s = {.repeat = 1};
    int c;
    while ((c = getopt_long(argc, argv, "", flags, NULL)) != -1) {
        const char **text = c == 's'   ? &s.share
                            : c == 'm' ? &s.models
                            : c == 'c' ? &s.cache
                            : c == 'e' ? &s.embedder
                                       : NULL;
        int *number = c == 'b' ? &s.batch : c == 'w' ? &s.slots : c == 'r' ? &s.repeat : NULL;
        if (text)
            *text = optarg;
        else if (number)
            *number = atoi(optarg);
        else if (c == 'n')
            add_model(&s, optarg);
        else if (c == 'f')
            s.frames = strtoull(optarg, NULL, 10);
        else if (c == 'C')
            s.crops = strtoull(optarg, NULL, 10);
        else
            exit(2);
    }
    s.inputs = (const char *const *)argv + optind;
    s.input_count = argc - optind;
    if (!s.share || !s.models || s.model_count < 1 || s.input_count < 1 || s.input_count > MAX_INPUTS) {
        fprintf(stderr,
            "usage: floor --share DIR --models DIR [--cache DIR] --model NAME... [--batch N] [--slots N] "
            "[--embedder NAME --crops N] [--frames N] [--repeat N] VIDEO...\n");
        exit(2);
    }
    return s;
}

/** Decoding, then each network; prints what they took. */
static void measure(const settings *s, fm_model *const *models, const fm_model *embedder)
{
    uint64_t frames;
    double decode = time_decode(s, &frames), infer = 0, seconds[MAX_MODELS];
    for (int i = 0; i < s->model_count; i++) {
        seconds[i] = fm_bench_time(models[i], s->inputs[0], frames);
        infer += seconds[i];
    }
    double crops = embedder ? fm_bench_time(embedder, s->inputs[0], s->crops) : 0;
    const fm_net_info *info = fm__net_info(models[0]->net);
    printf("{\"frames\":%llu,\"decode_s\":%.4f,\"infer_s\":%.4f,\"embed_s\":%.4f,\"fps\":%.3f,"
           "\"infer_fps\":%.3f,\"batch\":%d,\"slots\":%d,\"networks_s\":[",
        (unsigned long long)frames, decode, infer, crops, (double)frames / (decode + infer + crops),
        (double)frames / infer, info->batch, info->slots);
    for (int i = 0; i < s->model_count; i++)
        printf("%s%.4f", i ? "," : "", seconds[i]);
    printf("]}\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    settings s = parse(argc, argv);
    fm_model_store *store = fm_bench_store(s.share, s.models);
    fm_model *models[MAX_MODELS] = {0}, *embedder = NULL;
    for (int i = 0; i < s.model_count; i++) {
        fm_model_load_opts opts = {
            .name = s.names[i], .device = "cpu", .batch = s.batch, .slots = s.slots, .cache_dir = s.cache};
        models[i] = fm_bench_load(store, &opts);
    }
    if (s.embedder) {
        fm_model_load_opts opts = {
            .task = FM_TASK_FEATURES, .name = s.embedder, .device = "cpu", .cache_dir = s.cache};
        embedder = fm_bench_load(store, &opts);
    }
    for (int i = 0; i < s.repeat; i++)
        measure(&s, models, embedder);
    fm__model_free(&embedder);
    for (int i = 0; i < s.model_count; i++)
        fm__model_free(&models[i]);
    fm_model_store_close(&store);
    return 0;
}
