// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Milliseconds of a luma picture of W x H through a network that enlarges, in tiles: superres_bench FILE W H
// TILE CONTEXT THREADS PASSES. Prints the least time. bench/superres/run.py sets it beside the network on the
// whole picture.

#include "base/alloc.h"
#include "base/str.h"
#include "enhance/superres.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct bench {
    fm_net *net;
    fm_head head;
    fm__superres *superres;
    int width, height;
    uint8_t *small, *large;
} bench;

static fm_status open_all(bench *b, char **argv, fm_error *err)
{
    bool is_pb = fm__str_ends(argv[1], ".pb");
    fm_net_desc desc = {.backend = "openvino",
        .path = argv[1],
        .batch = 1,
        .threads = atoi(argv[7]),
        .layout = is_pb ? FM_LAYOUT_NHWC : FM_LAYOUT_NCHW,
        .input_w = atoi(argv[4]),
        .input_h = atoi(argv[5]),
        .channels = 1,
        .scale = {255, 255, 255}};
    fm_head_opts opts = {.type = "pixels", .context = atoi(argv[6])};
    fm_status st = fm__net_open(&desc, &b->net, err);
    if (st == FM_OK) {
        const fm_net_info *info = fm__net_info(b->net);
        st = fm__head_init(
            &b->head, &opts, info->input_w, info->input_h, info->outputs, info->output_count, err);
    }
    return st == FM_OK ? fm__superres_new(&(fm__upscaler){.net = b->net, .head = &b->head}, &b->superres, err)
                       : st;
}

static double now_ms(bool is_cpu)
{
    struct timespec t;
    clock_gettime(is_cpu ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static fm_status measure(bench *b, int passes, bool is_cpu, double *least, fm_error *err)
{
    fm_status st = FM_OK;
    int scale = b->head.scale;
    for (int i = 0; st == FM_OK && i <= passes; i++) { // the first one warms up
        double start = now_ms(is_cpu);
        st = fm__superres_run(
            b->superres, b->small, b->width, b->width, b->height, b->large, b->width * scale, err);
        double ms = now_ms(is_cpu) - start;
        *least = i == 1 || ms < *least ? ms : *least;
    }
    return st;
}

int main(int argc, char **argv)
{
    bench b = {.net = NULL};
    fm_error err = {0};
    double least = 0;
    if (argc != 9) {
        fprintf(stderr, "superres_bench FILE W H TILE_W TILE_H CONTEXT THREADS PASSES\n");
        return 2;
    }
    b.width = atoi(argv[2]);
    b.height = atoi(argv[3]);
    size_t pixels = (size_t)b.width * (size_t)b.height;
    fm_status st = open_all(&b, argv, &err);
    b.small = fm__calloc(FM_TAG_APP, pixels);
    b.large = fm__calloc(FM_TAG_APP, pixels * FM_HEAD_MAX_SCALE * FM_HEAD_MAX_SCALE);
    for (size_t i = 0; b.small && i < pixels; i++) {
        b.small[i] = (uint8_t)(i * i >> 5);
    }
    if (st == FM_OK && b.small && b.large) {
        st = measure(&b, atoi(argv[8]), atoi(argv[7]) == 1, &least, &err);
    }
    if (st == FM_OK) {
        printf("%.2f\n", least);
    } else {
        fprintf(stderr, "superres_bench: %s\n", err.msg);
    }
    fm__superres_free(&b.superres);
    fm__net_close(&b.net);
    fm__free(b.small);
    fm__free(b.large);
    return st == FM_OK ? 0 : 1;
}
