// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Milliseconds a frame for the masks of 20 objects at 1920x1080 from prototypes of a 640x640 network, at
// every level of this CPU, one thread, best and median of many rounds: bits (fm__head_masks) and their run
// lengths (fm__rle_add). Prints a line a case: objects, level, what, best, median, pixels set. With a file
// name as second argument the numbers are written there for the peer (masks_numpy.py): prototypes, then for
// each case coefficients and boxes. bench/heads/run.py puts both beside each other.

#include "base/alloc.h"
#include "base/clock.h"
#include "base/str.h"
#include "heads/head.h"
#include "ops/draw_mask.h"
#include "ops/rle.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    W = 1920,
    H = 1080,
    SIDE = 640,
    CELLS = 160,
    COEFS = 32,
    OBJECTS = 20,
    ANCHORS = 8400,
    CHANNELS = 4 + 1 + COEFS
};
enum { CASES = 3, MAX_ROUNDS = 2000 };

static const char *const case_names[CASES] = {"street", "large", "frame"};

static float candidates[CHANNELS][ANCHORS], prototypes[COEFS][CELLS][CELLS];
static fm_box boxes[CASES][OBJECTS]; // source pixels
static double ms[MAX_ROUNDS];

static float uniform(uint32_t *rng)
{
    *rng = *rng * 1664525u + 1013904223u;
    return (float)(*rng >> 8) / 16777216.0f;
}

// Smooth, as a network's are: waves of some cells' length.
static void make_prototypes(uint32_t *rng)
{
    for (int k = 0; k < COEFS; k++) {
        float fx = 0.02f + 0.2f * uniform(rng), fy = 0.02f + 0.2f * uniform(rng), phase = 6 * uniform(rng);
        for (int i = 0; i < CELLS * CELLS; i++)
            prototypes[k][i / CELLS][i % CELLS] =
                sinf((float)(i % CELLS) * fx + (float)(i / CELLS) * fy + phase) + 0.1f * uniform(rng);
    }
}

// People and cars of all sizes in a street; objects of half the frame's width; objects as large as the frame.
static void make_boxes(uint32_t *rng)
{
    for (int o = 0; o < OBJECTS; o++) {
        float w = 40 + 460 * uniform(rng) * uniform(rng), h = 80 + 620 * uniform(rng) * uniform(rng);
        float x = (W - w) * uniform(rng), y = (H - h) * uniform(rng);
        boxes[0][o] = (fm_box){x, y, x + w, y + h};
        x = W / 2 * uniform(rng);
        y = H / 4 * uniform(rng);
        boxes[1][o] = (fm_box){x, y, x + W / 2, y + H * 3 / 4};
        boxes[2][o] = (fm_box){0, 0, W, H};
    }
}

static void make_candidates(int c, const fm_fit_map *map, uint32_t *rng)
{
    memset(candidates, 0, sizeof candidates);
    float by = (float)map->dst_cw / (float)map->src_cw;
    for (int o = 0; o < OBJECTS; o++) {
        int a = o * 400;
        fm_box b = boxes[c][o];
        candidates[0][a] = (b.x0 + b.x1) / 2 * by + (float)map->dst_x;
        candidates[1][a] = (b.y0 + b.y1) / 2 * by + (float)map->dst_y;
        candidates[2][a] = (b.x1 - b.x0) * by;
        candidates[3][a] = (b.y1 - b.y0) * by;
        candidates[4][a] = 0.9f - 0.01f * (float)o; // found in this order
        for (int k = 0; k < COEFS; k++)
            candidates[5 + k][a] = uniform(rng) - 0.5f;
    }
}

static int write_case(FILE *f, int c)
{
    for (int o = 0; o < OBJECTS; o++) {
        for (int k = 0; k < COEFS; k++) {
            if (fwrite(&candidates[5 + k][o * 400], sizeof(float), 1, f) != 1)
                return -1;
        }
    }
    return fwrite(boxes[c], sizeof boxes[c], 1, f) == 1 ? 0 : -1;
}

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_times(int c, fm_cpu_level level, const char *what, int rounds, long pixels)
{
    qsort(ms, (size_t)rounds, sizeof *ms, compare_double);
    printf("%s %s %s %.4f %.4f %ld\n", case_names[c], fm__cpu_level_name(level), what, ms[0], ms[rounds / 2],
        pixels);
}

static long count_set(const fm_mask *masks, size_t n)
{
    long set = 0;
    for (size_t i = 0; i < n; i++) {
        for (int j = 0; j < masks[i].stride * masks[i].height; j++)
            set += __builtin_popcount(masks[i].bits[j]);
    }
    return set;
}

static void draw(const fm_mask *masks, size_t n, void *scratch)
{
    static uint8_t luma[H][W], chroma[2][H / 2][W / 2];
    fm_canvas canvas = {
        .plane = {luma[0], chroma[0][0], chroma[1][0]}, .stride = {W, W / 2, W / 2}, .width = W, .height = H};
    for (size_t i = 0; i < n; i++) {
        fm__draw_bits(&canvas, &masks[i], (fm_yuv){100, 120, 140}, 90);
        fm_mask edge = fm__mask_edge(&masks[i], 4, W, H, scratch);
        fm__draw_bits(&canvas, &edge, (fm_yuv){100, 120, 140}, 255);
    }
}

static int run_case(
    const fm_head *head, const fm_tensor *outs, int c, const fm_fit_map *map, fm_cpu_level level, int rounds)
{
    static fm_det dets[OBJECTS];
    static fm_mask masks[OBJECTS];
    static uint32_t places[OBJECTS];
    fm_head_query q = {.conf = 0.5f, .iou = 1.0f, .max_dets = OBJECTS, .level = level};
    void *scratch = fm__calloc_aligned(FM_TAG_HEADS, fm__head_scratch_size(head), 64);
    size_t n = fm__head_objects(head, outs, 2, 0, &q, map, dets, masks, places, scratch);
    uint8_t *bits = fm__calloc_aligned(FM_TAG_HEADS, fm__masks_size(masks, n), 64);
    fm_str text;
    fm__str_init(&text, FM_TAG_HEADS);
    for (int i = -5; i < rounds; i++) {
        int64_t start = fm__now_ns();
        fm__head_masks(head, outs, 2, 0, map, places, masks, n, bits, scratch, level);
        if (i >= 0)
            ms[i] = (double)(fm__now_ns() - start) / FM_NS_PER_MS;
    }
    print_times(c, level, "bits", rounds, count_set(masks, n));
    for (int i = 0; i < rounds; i++) {
        int64_t start = fm__now_ns();
        fm__str_reset(&text);
        for (size_t m = 0; m < n; m++)
            fm__rle_add(&text, &masks[m], W, H);
        ms[i] = (double)(fm__now_ns() - start) / FM_NS_PER_MS;
    }
    print_times(c, level, "rle", rounds, (long)text.len);
    void *edges = malloc(2 * (W / 64 * 8 + 8) * H);
    for (int i = 0; i < rounds / 4 + 1; i++) {
        int64_t start = fm__now_ns();
        draw(masks, n, edges);
        ms[i] = (double)(fm__now_ns() - start) / FM_NS_PER_MS;
    }
    print_times(c, level, "draw", rounds / 4 + 1, 0);
    free(edges);
    fm__str_done(&text);
    fm__free(bits);
    fm__free(scratch);
    return n == OBJECTS ? 0 : -1;
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 200, status = 0;
    rounds = rounds < 1 ? 1 : rounds > MAX_ROUNDS ? MAX_ROUNDS : rounds;
    FILE *f = argc > 2 ? fopen(argv[2], "wb") : NULL;
    uint32_t rng = 1;
    fm_fit_map map = fm__fit(FM_FIT_LETTERBOX, FM_ANCHOR_CENTER, 0, W, H, SIDE, SIDE);
    fm_tensor outs[2] = {
        {.data = candidates, .dtype = FM_DTYPE_F32, .rank = 3, .dims = {1, CHANNELS, ANCHORS}},
        {.data = prototypes, .dtype = FM_DTYPE_F32, .rank = 4, .dims = {1, COEFS, CELLS, CELLS}}};
    fm_head head;
    fm_error err = {0};
    if (fm__head_init(&head, &(fm_head_opts){.type = "yolov8-seg"}, SIDE, SIDE, outs, 2, &err) != FM_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    make_prototypes(&rng);
    make_boxes(&rng);
    if (f && fwrite(prototypes, sizeof prototypes, 1, f) != 1)
        status = -1;
    for (int c = 0; c < CASES && status == 0; c++) {
        make_candidates(c, &map, &rng);
        status = f ? write_case(f, c) : 0;
        for (int level = (int)fm__cpu_level(); level >= 0 && status == 0; level--)
            status = run_case(&head, outs, c, &map, (fm_cpu_level)level, rounds);
    }
    if (f && fclose(f) != 0)
        status = -1;
    return status == 0 ? 0 : 1;
}
