// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What tuning found, in all its forms: rows, JSON, a picture, an entry of the tuning file.

#include "app/tune_private.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "tune/plot.h"

#include <stdio.h>
#include <string.h>

static const char *const objectives[] = {"throughput", "latency"};
static const char *const states[] = {"waiting", "measured", "skipped", "failed"};

void fm_tune_free(fm_tune_report **report)
{
    if (report && *report) {
        fm__free((*report)->arms);
        fm__free((*report)->front);
        fm__free(*report);
        *report = NULL;
    }
}

bool fm_tune_was_stopped(const fm_tune_report *r)
{
    return r->stopped;
}

double fm_tune_seconds(const fm_tune_report *r)
{
    return r->seconds;
}

const char *fm_tune_model(const fm_tune_report *r)
{
    return r->model;
}

size_t fm_tune_count(const fm_tune_report *r)
{
    return r->count;
}

size_t fm_tune_best(const fm_tune_report *r)
{
    return r->best;
}

fm_status fm_tune_get(const fm_tune_report *r, size_t index, fm_tune_row *out)
{
    if (index >= r->count) {
        return FM_NOTFOUND;
    }
    const fm__tune_arm *a = &r->arms[index];
    *out = (fm_tune_row){
        .batch = a->batch,
        .slots = a->slots,
        .threads = a->threads,
        .state = a->state,
        .samples = a->fps.n,
        .fps = a->fps.mean,
        .fps_half = fm__tune_stats_half(&a->fps),
        .p50_ms = a->p50_ms.mean,
        .p99_ms = a->p99_ms.mean,
        .p99_half = fm__tune_stats_half(&a->p99_ms),
        .cpu_ms = a->cpu_ms.mean,
        .share = a->share.mean,
        .memory_bytes = a->memory_bytes,
        .is_fast = r->front[index],
        .is_within = a->state == FM_TUNE_MEASURED && fm__tune_fits(&r->goal, a),
        .why = a->why,
    };
    return FM_OK;
}

static void put_row(fm_json *j, const fm_tune_row *row, bool is_best)
{
    fm__json_open_object(j);
    fm__json_put_int(j, "batch", row->batch);
    fm__json_put_int(j, "slots", row->slots);
    fm__json_put_int(j, "threads", row->threads);
    fm__json_put_string(j, "state", states[row->state]);
    if (row->why[0]) {
        fm__json_put_string(j, "why", row->why);
    }
    if (row->state == FM_TUNE_MEASURED) {
        const struct {
            const char *key;
            double v;
        } numbers[] = {{"fps", row->fps}, {"fps_ci95", row->fps_half}, {"p50_ms", row->p50_ms},
            {"p99_ms", row->p99_ms}, {"p99_ci95", row->p99_half}, {"cpu_ms", row->cpu_ms},
            {"share", row->share}};
        fm__json_put_int(j, "samples", row->samples);
        for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
            fm__json_put_fixed(j, numbers[i].key, numbers[i].v, 3);
        }
        fm__json_put_int(j, "memory_bytes", row->memory_bytes);
        fm__json_put_bool(j, "pareto", row->is_fast);
        fm__json_put_bool(j, "within_bounds", row->is_within);
        fm__json_put_bool(j, "best", is_best);
    }
    fm__json_close_object(j);
}

static void put_text(fm_json *j, const char *key, const char *text)
{
    fm__json_put_string(j, key, text);
}

fm_status fm_tune_json(const fm_tune_report *r, char **out, fm_error *err)
{
    fm_str text;
    fm_json j;
    fm__str_init(&text, FM_TAG_TUNE);
    fm__json_init(&j, &text);
    fm__json_open_object(&j);
    put_text(&j, "model", r->model);
    put_text(&j, "sha256", r->key.digest);
    put_text(&j, "device", r->key.device);
    put_text(&j, "precision", r->key.precision);
    put_text(&j, "backend", r->key.backend);
    put_text(&j, "framemill", r->key.framemill);
    put_text(&j, "cpu", r->key.cpu);
    put_text(&j, "simd", r->key.level);
    fm__json_put_int(&j, "cores", r->key.cores);
    put_text(&j, "objective", objectives[r->goal.objective]);
    put_text(&j, "input", r->inputs);
    fm__json_put_int(&j, "frames", r->frames);
    fm__json_put_fixed(&j, "seconds", r->seconds, 3);
    fm__json_put_bool(&j, "stopped", r->stopped);
    fm__json_key(&j, "settings");
    fm__json_open_array(&j);
    for (size_t i = 0; i < r->count; i++) {
        fm_tune_row row;
        (void)fm_tune_get(r, i, &row); // within the count
        put_row(&j, &row, i == r->best);
    }
    fm__json_close_array(&j);
    fm__json_close_object(&j);
    *out = fm__str_take(&text);
    return *out ? FM_OK : fm__fail_nomem(err, "a report");
}

fm_status fm_tune_plot(const fm_tune_report *r, bool html, char **out, fm_error *err)
{
    char title[256], subtitle[512];
    fm_str text;
    int n = snprintf(title, sizeof(title), "%s", r->model);
    if (r->best < r->count) {
        const fm__tune_arm *a = &r->arms[r->best];
        snprintf(title + n, sizeof(title) - (size_t)n, ": batch %d, %d slots, %d cores", a->batch, a->slots,
            a->threads);
    }
    snprintf(subtitle, sizeof(subtitle), "%s, %s, %d cores, %s, %s; %d frames of %dx%d (%s)", r->key.cpu,
        r->key.device, r->key.cores, r->key.precision, r->key.backend, r->frames, r->width, r->height,
        r->inputs);
    fm__tune_plot plot = {
        .title = title,
        .subtitle = subtitle,
        .arms = r->arms,
        .front = r->front,
        .count = r->count,
        .best = r->best,
        .max_p99_ms = r->goal.max_p99_ms,
    };
    fm__str_init(&text, FM_TAG_TUNE);
    if (html) {
        fm__tune_plot_html(&text, &plot);
    } else {
        fm__tune_plot_svg(&text, &plot);
    }
    *out = fm__str_take(&text);
    return *out ? FM_OK : fm__fail_nomem(err, "a plot");
}

fm_status fm_tune_save(const fm_tune_report *r, const char *path, fm_error *err)
{
    if (r->best >= r->count) {
        return fm__fail(err, FM_NOTFOUND, "no setting could be measured within the bounds: nothing to keep");
    }
    const fm__tune_arm *a = &r->arms[r->best];
    fm__tune_entry e = {.key = r->key,
        .batch = a->batch,
        .slots = a->slots,
        .threads = a->threads,
        .fps = a->fps.mean,
        .p99_ms = a->p99_ms.mean,
        .memory_bytes = a->memory_bytes};
    snprintf(e.objective, sizeof(e.objective), "%s", objectives[r->goal.objective]);
    fm__format_utc(fm__wall_ns(), e.time);
    return fm__tune_file_put(path, &e, err);
}
