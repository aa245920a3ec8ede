// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Runs a tracker over a recording and prints its tracks, for comparison with other programs:
//   track_replay RECORDING [setting=value ...]
// Recording, little-endian 4-byte values: "FMRC", i32 dim, width, height, frames; each frame: i32 number,
// detections; each detection: f32 x0, y0, x1, y1, score, i32 class, then dim x f32 feature.
// Prints `frame id x0 y0 x1 y1 score class dx0 dy0 dx1 dy1`, filtered box and detection, for each confirmed
// track matched, then `# asked A of D`.

#include "track/tracker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS = 6 };

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "track_replay: %s\n", what);
    exit(1);
}

static void *get_memory(size_t n, size_t size)
{
    void *p = calloc(n > 0 ? n : 1, size);
    if (p == NULL)
        die("no memory");
    return p;
}

static void read_all(FILE *f, void *to, size_t n)
{
    if (n > 0 && fread(to, 4, n, f) != n)
        die("the recording ends early");
}

typedef struct setting {
    const char *name;
    int *whole;
    float *real;
    bool *flag;
} setting;

static void set_option(fm_tracker_opts *o, const char *arg)
{
    int reid = (int)o->reid, level = (int)o->level;
    const setting table[] = {
        {.name = "reid", .whole = &reid},
        {.name = "level", .whole = &level},
        {.name = "high", .real = &o->high},
        {.name = "low", .real = &o->low},
        {.name = "begin_margin", .real = &o->begin_margin},
        {.name = "n_init", .whole = &o->n_init},
        {.name = "max_age", .whole = &o->max_age},
        {.name = "max_tracks", .whole = &o->max_tracks},
        {.name = "confirm_score", .real = &o->confirm_score},
        {.name = "max_iou", .real = &o->max_iou},
        {.name = "max_iou_low", .real = &o->max_iou_low},
        {.name = "max_iou_new", .real = &o->max_iou_new},
        {.name = "fuse_score", .flag = &o->fuse_score},
        {.name = "momentum", .real = &o->momentum},
        {.name = "momentum_frames", .whole = &o->momentum_frames},
        {.name = "overlap_age", .whole = &o->overlap_age},
        {.name = "scale_noise", .flag = &o->scale_noise},
        {.name = "gate", .real = &o->gate},
        {.name = "motion_weight", .real = &o->motion_weight},
        {.name = "overlap_weight", .real = &o->overlap_weight},
        {.name = "max_cosine_near", .real = &o->max_cosine_near},
        {.name = "max_cosine", .real = &o->max_cosine},
        {.name = "budget", .whole = &o->budget},
        {.name = "feature_weight", .real = &o->feature_weight},
        {.name = "reentry_count", .whole = &o->reentry_count},
        {.name = "reentry_age", .whole = &o->reentry_age},
        {.name = "clear_iou", .real = &o->clear_iou},
        {.name = "rival_iou", .real = &o->rival_iou},
        {.name = "young", .whole = &o->young},
        {.name = "stale", .whole = &o->stale},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        size_t len = strlen(table[i].name);
        if (strncmp(arg, table[i].name, len) != 0 || arg[len] != '=')
            continue;
        double value = atof(arg + len + 1);
        if (table[i].whole != NULL)
            *table[i].whole = (int)value;
        else if (table[i].real != NULL)
            *table[i].real = (float)value;
        else
            *table[i].flag = value != 0;
        o->reid = (fm_reid)reid;
        o->level = (fm_cpu_level)level;
        return;
    }
    die(arg);
}

typedef struct counts {
    size_t asked, dets;
} counts;

static void print_frame(int32_t frame, const fm_det *dets, const fm_track_mark *marks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const fm_box *a = &marks[i].filtered, *b = &dets[i].box;
        if (marks[i].id > 0)
            printf("%d %" PRId64 " %.5f %.5f %.5f %.5f %.6f %d %.5f %.5f %.5f %.5f\n", frame, marks[i].id,
                (double)a->x0, (double)a->y0, (double)a->x1, (double)a->y1, (double)dets[i].score,
                dets[i].class_id, (double)b->x0, (double)b->y0, (double)b->x1, (double)b->y1);
    }
}

static void run_frame(fm_tracker *t, FILE *f, const int32_t head[4], counts *c)
{
    int32_t frame[2];
    read_all(f, frame, 2);
    size_t n = (size_t)frame[1], dim = (size_t)head[0];
    fm_det *dets = get_memory(n, sizeof *dets);
    float *features = get_memory(n * dim, sizeof *features);
    const float **given = get_memory(n, sizeof *given);
    uint8_t *wants = get_memory(n, 1);
    fm_track_mark *marks = get_memory(n, sizeof *marks);
    for (size_t i = 0; i < n; i++) {
        float v[FIELDS - 1];
        read_all(f, v, FIELDS - 1);
        read_all(f, &dets[i].class_id, 1);
        dets[i].box = (fm_box){v[0], v[1], v[2], v[3]};
        dets[i].score = v[4];
        read_all(f, features + i * dim, dim);
    }
    fm_error err;
    size_t asked = 0;
    if (fm__tracker_begin(t, (uint64_t)frame[0], head[1], head[2], dets, n, wants, &asked, &err) != FM_OK)
        die(err.msg);
    for (size_t i = 0; i < n; i++)
        given[i] = wants[i] ? features + i * dim : NULL;
    if (fm__tracker_finish(t, given, marks, &err) != FM_OK)
        die(err.msg);
    c->asked += asked;
    c->dets += n;
    print_frame(frame[0], dets, marks, n);
    free(dets);
    free(features);
    free(given);
    free(wants);
    free(marks);
}

int main(int argc, char **argv)
{
    FILE *f = argc > 1 ? fopen(argv[1], "rb") : NULL;
    if (f == NULL)
        die("which recording?");
    char magic[4];
    int32_t head[4];
    read_all(f, magic, 1);
    read_all(f, head, 4);
    if (memcmp(magic, "FMRC", 4) != 0)
        die("no recording");
    const char *type = "deepsort";
    int first = 2;
    if (argc > 2 && strncmp(argv[2], "type=", 5) == 0) {
        type = argv[2] + 5;
        first = 3;
    }
    fm_tracker_opts opts;
    fm_tracker *t = NULL;
    fm_error err;
    if (fm__tracker_opts_init(&opts, type, &err) != FM_OK)
        die(err.msg);
    opts.dim = head[0];
    for (int i = first; i < argc; i++)
        set_option(&opts, argv[i]);
    if (fm__tracker_new(&opts, &t, &err) != FM_OK)
        die(err.msg);
    counts c = {0};
    for (int32_t i = 0; i < head[3]; i++)
        run_frame(t, f, head, &c);
    printf("# asked %zu of %zu\n", c.asked, c.dets);
    fm__tracker_free(&t);
    fclose(f);
    return 0;
}
