// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Is the motion detector useful? Its boxes on vtest.avi against the people of PETS09-S2L1's ground truth (the
// same recording), frame by frame: a box and a person pair when their IoU is at least 0.3, best pairs first.
// Floors a little under what was measured when they were set (recall 0.798, precision 0.907); prints the
// figures and the time a frame took. Exit 77, a skip, without the video or the ground truth.

#include "base/clock.h"
#include "base/cpu.h"
#include "heads/motion.h"
#include "media/decode.h"
#include "ops/nms.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VIDEO "/usr/share/doc/opencv-doc/examples/data/vtest.avi"
#define MIN_IOU 0.3f
#define MIN_RECALL 0.78
#define MIN_PRECISION 0.88

enum { FRAMES = 795, FIRST = 21, MAX_BOXES = 100, SKIPPED = 77 };

typedef struct boxes {
    fm_box box[MAX_BOXES];
    size_t count;
} boxes;

typedef struct totals {
    size_t hits, people, found;
    int64_t spent_ns;
} totals;

static boxes truth[FRAMES + 1]; // by frame number, from 1

static int read_truth(const char *path)
{
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return 0;
    int frame, id, lines = 0;
    float x, y, w, h;
    while (fscanf(f, "%d,%d,%f,%f,%f,%f%*[^\n]", &frame, &id, &x, &y, &w, &h) == 6) {
        if (frame < 1 || frame > FRAMES || truth[frame].count == MAX_BOXES)
            continue;
        truth[frame].box[truth[frame].count++] = (fm_box){x, y, x + w, y + h};
        lines++;
    }
    fclose(f);
    return lines;
}

// Greedy: the best pair of what is left, again and again.
static size_t count_pairs(const boxes *people, const fm_det *dets, size_t n)
{
    char person_taken[MAX_BOXES] = {0}, det_taken[MAX_BOXES] = {0};
    size_t pairs = 0;
    for (;;) {
        float best = MIN_IOU;
        size_t p = 0, d = 0;
        int is_found = 0;
        for (size_t i = 0; i < people->count; i++) {
            for (size_t j = 0; j < n; j++) {
                float iou = fm__iou(people->box[i], dets[j].box);
                if (!person_taken[i] && !det_taken[j] && iou >= best) {
                    best = iou;
                    p = i;
                    d = j;
                    is_found = 1;
                }
            }
        }
        if (!is_found)
            return pairs;
        person_taken[p] = det_taken[d] = 1;
        pairs++;
    }
}

static fm_status measure(fm_decoder *decoder, fm_motion *motion, totals *t, fm_error *err)
{
    for (int number = 1; number <= FRAMES; number++) {
        fm_frame *frame = NULL;
        fm_det dets[MAX_BOXES];
        size_t n = 0;
        fm_status status = fm__decoder_read(decoder, &frame, err);
        if (status != FM_OK)
            return status;
        int64_t start = fm__now_ns();
        status = fm__motion_run(motion, fm_frame_get_view(frame), dets, MAX_BOXES, &n, err);
        t->spent_ns += fm__now_ns() - start;
        fm_frame_unref(&frame);
        if (status != FM_OK)
            return status;
        if (number < FIRST)
            continue;
        t->hits += count_pairs(&truth[number], dets, n);
        t->people += truth[number].count;
        t->found += n;
    }
    return FM_OK;
}

int main(void)
{
    char path[4096];
    const char *data = getenv("FM_DATA");
    snprintf(path, sizeof path, "%s/mot/PETS09-S2L1/gt.txt", data == NULL ? "../shared/data" : data);
    if (access(VIDEO, R_OK) != 0 || read_truth(path) == 0) {
        printf("skipped: %s or %s is missing\n", VIDEO, path);
        return SKIPPED;
    }
    fm_decoder *decoder = NULL;
    fm_motion *motion = NULL;
    fm_error err = {0};
    totals t = {0};
    fm_decoder_opts from = {.url = VIDEO, .kind = FM_INPUT_FILE, .threads = 1};
    fm_motion_opts opts = {.level = fm__cpu_level(), .seed = 1};
    fm_status status = fm__decoder_open(&from, &decoder, &err);
    if (status == FM_OK)
        status = fm__motion_new(&opts, &motion, &err);
    if (status == FM_OK)
        status = measure(decoder, motion, &t, &err);
    fm__motion_free(&motion);
    fm__decoder_close(&decoder);
    if (status != FM_OK || t.people == 0 || t.found == 0) {
        printf("failed: %s\n", err.msg);
        return 1;
    }
    double recall = (double)t.hits / (double)t.people, precision = (double)t.hits / (double)t.found;
    printf("motion on vtest.avi, frames %d to %d, IoU %.1f: recall %.3f, precision %.3f, %.3f ms a frame\n",
        FIRST, FRAMES, (double)MIN_IOU, recall, precision, (double)t.spent_ns / 1e6 / FRAMES);
    return recall >= MIN_RECALL && precision >= MIN_PRECISION ? 0 : 1;
}
