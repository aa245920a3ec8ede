// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What a network costs, alone, warm, on noise: how long one batch takes that has all cores to itself, and how
// many images a second pass with as many batches in flight as the backend likes. Prints one JSON object.

#include "network.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct settings {
    const char *share, *models, *cache, *model;
    int batch;
    double seconds; // each of the two measurements, about
} settings;

static settings parse(int argc, char **argv)
{
    static const struct option flags[] = {{"share", 1, NULL, 's'}, {"models", 1, NULL, 'm'},
        {"cache", 1, NULL, 'c'}, {"model", 1, NULL, 'n'}, {"batch", 1, NULL, 'b'}, {"seconds", 1, NULL, 't'},
        {0}};
    settings s = {.batch = 1, .seconds = 2};
    int c;
    while ((c = getopt_long(argc, argv, "", flags, NULL)) != -1) {
        const char **text = c == 's'   ? &s.share
                            : c == 'm' ? &s.models
                            : c == 'c' ? &s.cache
                            : c == 'n' ? &s.model
                                       : NULL;
        if (text)
            *text = optarg;
        else if (c == 'b')
            s.batch = atoi(optarg);
        else if (c == 't')
            s.seconds = atof(optarg);
        else
            exit(2);
    }
    if (!s.share || !s.models || !s.model || s.batch < 1 || optind != argc) {
        fprintf(stderr, "usage: models --share DIR --models DIR [--cache DIR] --model NAME [--batch N] "
                        "[--seconds S]\n");
        exit(2);
    }
    return s;
}

/** Seconds an image with so many slots (0: as many as the backend likes), over about s->seconds. */
static double time_image(const settings *s, const fm_model_store *store, int slots, int *batch)
{
    fm_model_load_opts opts = {
        .name = s->model, .device = "cpu", .batch = s->batch, .slots = slots, .cache_dir = s->cache};
    fm_model *model = fm_bench_load(store, &opts);
    *batch = fm__net_info(model->net)->batch;
    uint64_t round = (uint64_t)(*batch * fm__net_info(model->net)->slots);
    double once = fm_bench_time(model, NULL, round);
    uint64_t rounds = (uint64_t)(s->seconds / once) + 1;
    double seconds = fm_bench_time(model, NULL, rounds * round) / (double)(rounds * round);
    fm__model_free(&model);
    return seconds;
}

int main(int argc, char **argv)
{
    settings s = parse(argc, argv);
    fm_model_store *store = fm_bench_store(s.share, s.models);
    int batch;
    double alone = time_image(&s, store, 1, &batch), busy = time_image(&s, store, 0, &batch);
    printf("{\"batch\":%d,\"ms\":%.4f,\"images_s\":%.3f}\n", batch, 1e3 * alone * batch, 1 / busy);
    fm_model_store_close(&store);
    return 0;
}
