// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Microseconds a frame of every tracker, one thread, both phases, embeddings given:
//   track_bench scenes             walkers; prints tracker, level, objects, density, features, best, median,
//                                  mean, 99th percentile, allocations, share of embeddings asked for
//   track_bench replay FILE  a recording of tests/reference/track_replay.c, deepsort
//   track_bench long [FRAMES]      a million frames with 100,000 births and deaths: time and memory by tenths
// "full": 100 x 512-d galleries that were filled before the clock starts. "crowd": six times as dense.

#include "base/alloc.h"
#include "base/clock.h"
#include "scene.h"

#include <framemill/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WARM = 1000, MEASURED = 700, DIM = 512, REPLAY_DETS = 256, CROWD = 6 };

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "track_bench: %s\n", what);
    exit(1);
}

static fm_tracker *make(const fm_tracker_opts *o)
{
    fm_tracker *t = NULL;
    fm_error err;
    if (fm__tracker_new(o, &t, &err) != FM_OK)
        die(err.msg);
    return t;
}

static fm_tracker_opts opts_of(const char *type, int dim)
{
    fm_tracker_opts o;
    fm_error err;
    if (fm__tracker_opts_init(&o, type, &err) != FM_OK)
        die(err.msg);
    o.dim = dim;
    return o;
}

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_times(double *us, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += us[i];
    qsort(us, n, sizeof *us, compare_double);
    printf(" %8.2f %8.2f %8.2f %8.2f", us[0], us[n / 2], sum / (double)n, us[n * 99 / 100]);
}

typedef struct bench_case {
    int objects, dim, crowd;
    fm_reid reid;
} bench_case;

static const bench_case cases[] = {
    {10, 0, 0, FM_REID_ALWAYS},
    {100, 0, 0, FM_REID_ALWAYS},
    {100, 0, 1, FM_REID_ALWAYS},
    {10, DIM, 0, FM_REID_ALWAYS},
    {10, DIM, 1, FM_REID_ALWAYS},
    {100, DIM, 0, FM_REID_ALWAYS},
    {100, DIM, 1, FM_REID_ALWAYS},
    {10, DIM, 0, FM_REID_AMBIGUOUS},
    {100, DIM, 0, FM_REID_AMBIGUOUS},
    {100, DIM, 1, FM_REID_AMBIGUOUS},
};

static void run_case(const char *type, const bench_case *c, fm_cpu_level level)
{
    fm_tracker_opts o = opts_of(type, c->dim);
    o.reid = c->reid;
    o.level = level;
    fm_tracker *t = make(&o);
    scene *s = scene_new(1, c->objects, c->dim > 0 ? c->dim : 1, 0);
    if (c->crowd)
        scene_crowd(s, CROWD);
    static double us[MEASURED];
    fm_track_mark marks[SCENE_MOST];
    uint64_t allocations = 0;
    size_t asked = 0, seen = 0;
    for (int frame = 0; frame < WARM + MEASURED; frame++) {
        scene_next(s);
        if (frame == WARM)
            allocations = fm__alloc_count();
        int64_t start = fm__now_ns();
        size_t n = scene_show(s, t, (uint64_t)frame, marks);
        if (frame < WARM)
            continue;
        us[frame - WARM] = (double)(fm__now_ns() - start) / 1e3;
        asked += n;
        seen += s->n;
    }
    allocations = fm__alloc_count() - allocations;
    printf("%-10s %-7s %4d %-6s %-10s", type, fm__cpu_level_name(level), c->objects,
        c->crowd ? "crowd" : "plain",
        c->dim == 0 ? "none" : (c->reid == FM_REID_ALWAYS ? "full" : "ambiguous"));
    print_times(us, MEASURED);
    printf(" %4llu %5.2f\n", (unsigned long long)allocations, (double)asked / (double)seen);
    scene_free(s);
    fm__tracker_free(&t);
}

static void scenes(void)
{
    printf("tracker    level  objects density features      best   median     mean      p99 alloc asked\n");
    for (const char *const *type = fm__tracker_names(); *type != NULL; type++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            for (int level = 0; level <= (int)fm__cpu_level(); level++)
                if ((cases[i].dim == 0 || fm__tracker_wants_features(*type)) &&
                    (level == (int)fm__cpu_level() || cases[i].dim > 0))
                    run_case(*type, &cases[i], (fm_cpu_level)level);
}

/* ---- recordings ---- */

static void read_all(FILE *f, void *to, size_t n)
{
    if (n > 0 && fread(to, 4, n, f) != n)
        die("the recording ends early");
}

static size_t read_frame(FILE *f, size_t dim, int32_t *number, fm_det *dets, float *features)
{
    int32_t frame[2];
    read_all(f, frame, 2);
    if (frame[1] < 0 || frame[1] > REPLAY_DETS)
        die("too many detections in a frame");
    for (int32_t i = 0; i < frame[1]; i++) {
        float v[5];
        read_all(f, v, 5);
        read_all(f, &dets[i].class_id, 1);
        dets[i].box = (fm_box){v[0], v[1], v[2], v[3]};
        dets[i].score = v[4];
        read_all(f, features + (size_t)i * dim, dim);
    }
    *number = frame[0];
    return (size_t)frame[1];
}

static void replay(const char *path)
{
    FILE *f = fopen(path, "rb");
    int32_t head[5];
    if (f == NULL)
        die("cannot open the recording");
    read_all(f, head, 5);
    size_t dim = (size_t)head[1];
    // The published algorithm: what the peer computes.
    fm_tracker_opts o = opts_of("deepsort", head[1]);
    scene_paper(&o);
    fm_tracker *t = make(&o);
    double *us = calloc((size_t)head[4] + 1, sizeof *us);
    float *features = calloc(REPLAY_DETS * dim, sizeof *features);
    if (us == NULL || features == NULL)
        die("no memory");
    for (int32_t i = 0; i < head[4]; i++) {
        fm_det dets[REPLAY_DETS];
        const float *given[REPLAY_DETS];
        uint8_t wants[REPLAY_DETS];
        fm_track_mark marks[REPLAY_DETS];
        int32_t number;
        fm_error err;
        size_t n = read_frame(f, dim, &number, dets, features), asked;
        for (size_t k = 0; k < n; k++)
            given[k] = features + k * dim;
        int64_t start = fm__now_ns();
        if (fm__tracker_begin(t, (uint64_t)number, head[2], head[3], dets, n, wants, &asked, &err) != FM_OK ||
            fm__tracker_finish(t, given, marks, &err) != FM_OK)
            die(err.msg);
        us[i] = (double)(fm__now_ns() - start) / 1e3;
    }
    print_times(us, (size_t)head[4]);
    printf("\n");
    free(us);
    free(features);
    fm__tracker_free(&t);
    fclose(f);
}

/* ---- a long life ---- */

static uint64_t held(void)
{
    fm_memory_stat stats[32];
    size_t n = fm_memory_stats(stats, sizeof stats / sizeof *stats);
    for (size_t i = 0; i < n && i < sizeof stats / sizeof *stats; i++)
        if (strcmp(stats[i].module, "track") == 0)
            return stats[i].current_bytes;
    return 0;
}

static void long_life(const char *type, int64_t frames)
{
    fm_tracker_opts o = opts_of(type, fm__tracker_wants_features(type) ? 64 : 0);
    o.reentry_count = 50;
    fm_tracker *t = make(&o);
    scene *s = scene_new(1, 10, 64, 100);
    fm_track_mark marks[SCENE_MOST];
    int64_t spent = 0, last = 0;
    for (int64_t frame = 0; frame < frames; frame++) {
        scene_next(s);
        int64_t start = fm__now_ns();
        (void)scene_show(s, t, (uint64_t)frame, marks);
        spent += fm__now_ns() - start;
        for (size_t i = 0; i < s->n; i++)
            last = marks[i].id > last ? marks[i].id : last;
        if ((frame + 1) % (frames / 10) != 0)
            continue;
        printf("%-10s frame %8lld: %6.2f us a frame, %llu bytes, %zu tracks, %ld births, last id %lld\n",
            type, (long long)frame + 1, (double)spent / 1e3 / ((double)frames / 10),
            (unsigned long long)held(), fm__tracker_count(t), s->births, (long long)last);
        fflush(stdout);
        spent = 0;
    }
    scene_free(s);
    fm__tracker_free(&t);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "scenes";
    if (strcmp(what, "scenes") == 0)
        scenes();
    else if (strcmp(what, "replay") == 0 && argc > 2)
        replay(argv[2]);
    else if (strcmp(what, "long") == 0)
        for (const char *const *type = fm__tracker_names(); *type != NULL; type++)
            long_life(*type, argc > 2 ? atoll(argv[2]) : 1000000);
    else
        die("scenes, replay FILE or long [FRAMES]");
    return 0;
}
