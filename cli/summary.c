// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What `framemill run` says when it is done: a line a stream, their sum, the classes seen most.

#include "cli.h"

#include <string.h>

enum { SHOWN_CLASSES = 5, MAX_NAME = 40 };

typedef struct row {
    const char *name;
    uint64_t frames, objects, dropped, tracks;
} row;

static int name_width(const fm_run *run)
{
    int width = 6;
    for (size_t i = 0; i < fm_run_stream_count(run); i++) {
        fm_stream_report r;
        if (fm_run_stream_report((fm_run *)run, i, &r) == FM_OK && (int)strlen(r.name) > width) {
            width = (int)strlen(r.name) < MAX_NAME ? (int)strlen(r.name) : MAX_NAME;
        }
    }
    return width;
}

static void put_row(const row *r, int width, double seconds, bool tracks, const char *end)
{
    cli_put_cell(stderr, r->name, width);
    fprintf(stderr, " %10llu %10.1f %9llu %8llu", (unsigned long long)r->frames,
        seconds > 0 ? (double)r->frames / seconds : 0, (unsigned long long)r->objects,
        (unsigned long long)r->dropped);
    if (tracks) {
        fprintf(stderr, " %8llu", (unsigned long long)r->tracks);
    }
    fprintf(stderr, "%s\n", end);
}

// The most frequent classes, by repeated search: there are few.
static void put_classes(fm_run *run)
{
    uint64_t last = UINT64_MAX;
    size_t last_id = 0, shown = 0;
    for (; shown < SHOWN_CLASSES; shown++) {
        uint64_t best = 0, count;
        size_t best_id = 0;
        const char *label;
        for (size_t id = 0; (label = fm_run_class_count(run, id, &count)); id++) {
            bool after = count < last || (count == last && id > last_id);
            if (after && count > best) {
                best = count;
                best_id = id;
            }
        }
        if (best == 0) {
            break;
        }
        fprintf(stderr, "%s%llu ", shown ? ", " : "most seen: ", (unsigned long long)best);
        cli_put_text(stderr, fm_run_class_count(run, best_id, &count));
        last = best;
        last_id = best_id;
    }
    fputs(shown ? "\n" : "", stderr);
}

void cli_put_summary(fm_run *run, bool tracks)
{
    fm_run_progress p;
    fm_run_progress_get(run, &p);
    cli_stderr_take();
    row sum = {.name = "all", .frames = p.frames, .objects = p.objects, .dropped = p.dropped};
    int width = name_width(run);
    fprintf(stderr, "%-*s %10s %10s %9s %8s%s\n", width, "stream", "frames", "frames/s", "objects", "dropped",
        tracks ? "   tracks" : "");
    for (size_t i = 0; i < fm_run_stream_count(run); i++) {
        fm_stream_report r;
        if (fm_run_stream_report(run, i, &r) != FM_OK) {
            continue;
        }
        row line = {r.name, r.frames, r.objects, r.dropped, r.tracks};
        put_row(&line, width, p.seconds, tracks, r.error ? "  failed" : "");
        sum.tracks += r.tracks;
    }
    char end[32];
    snprintf(end, sizeof(end), "  in %.1f s", p.seconds);
    put_row(&sum, width, p.seconds, tracks, end);
    put_classes(run);
    cli_stderr_give();
}
