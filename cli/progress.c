// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The progress lines: frames done and expected, rate, streams, drops, time left; of pictures the same, less
// streams and drops; of features the part that is linked.

#include "cli.h"

// "1:02:03" or "2:03".
static void time_text(double seconds, char buf[32])
{
    unsigned long s = seconds < 0 ? 0 : seconds > 1e7 ? 10000000 : (unsigned long)(seconds + 0.5);
    if (s >= 3600) {
        snprintf(buf, 32, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
    } else {
        snprintf(buf, 32, "%lu:%02lu", s / 60, s % 60);
    }
}

void cli_progress_show(const fm_run_progress *p)
{
    char line[256], t[32];
    size_t n = (size_t)snprintf(line, sizeof(line), "%llu", (unsigned long long)p->frames);
    if (p->expected) {
        n += (size_t)snprintf(line + n, sizeof(line) - n, "/%llu", (unsigned long long)p->expected);
    }
    n += (size_t)snprintf(
        line + n, sizeof(line) - n, " frames  %.1f/s  %d of %d streams", p->fps, p->active, p->streams);
    if (p->failed) {
        n += (size_t)snprintf(line + n, sizeof(line) - n, "  %d failed", p->failed);
    }
    if (p->dropped) {
        n += (size_t)snprintf(line + n, sizeof(line) - n, "  %llu dropped", (unsigned long long)p->dropped);
    }
    if (p->expected > p->frames && p->fps > 0) {
        time_text((double)(p->expected - p->frames) / p->fps, t);
        snprintf(line + n, sizeof(line) - n, "  %s left", t);
    } else if (!p->expected) {
        time_text(p->seconds, t);
        snprintf(line + n, sizeof(line) - n, "  for %s", t);
    }
    cli_status_line(line);
}

void cli_progress_indexing(const fm_store_indexing *p)
{
    char line[256], t[32];
    size_t n = (size_t)snprintf(line, sizeof(line), "%s %s  %llu/%llu linked", p->model, p->kind,
        (unsigned long long)p->done, (unsigned long long)p->total);
    if (n < sizeof(line) && p->done > 0 && p->seconds > 1) {
        time_text(p->seconds * (double)(p->total - p->done) / (double)p->done, t);
        snprintf(line + n, sizeof(line) - n, "  %s left", t);
    }
    cli_status_line(line);
}

void cli_progress_pictures(const fm_enhance_progress *p)
{
    char line[256], t[32];
    double rate = p->seconds > 0 ? (double)p->done / p->seconds : 0;
    const char *what = p->is_video ? "frames" : "pictures";
    size_t n = (size_t)snprintf(line, sizeof(line), "%llu", (unsigned long long)p->done);
    if (p->expected) {
        n += (size_t)snprintf(line + n, sizeof(line) - n, "/%llu", (unsigned long long)p->expected);
    }
    n += (size_t)snprintf(line + n, sizeof(line) - n, " %s  %.1f/s", what, rate);
    if (p->failed && !p->is_video) {
        n += (size_t)snprintf(line + n, sizeof(line) - n, "  %llu failed", (unsigned long long)p->failed);
    }
    if (rate > 0 && p->expected > p->done) {
        time_text((double)(p->expected - p->done) / rate, t);
        snprintf(line + n, sizeof(line) - n, "  %s left", t);
    }
    cli_status_line(line);
}
