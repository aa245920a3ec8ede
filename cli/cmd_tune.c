// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// `framemill tune`: each model that is named, in each precision, one search after another. What was found
// goes into the tuning file as soon as it is known. The first Ctrl-C ends with the best so far, the second at
// once.

#include "cli.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_SEARCHES = 16 };
static const char *const tasks[][2] = {{"detector", "detection"}, {"segmenter", "segmentation"},
    {"classifier", "classification"}, {"embedder", "features"}};
static const char *const all_precisions[] = {"fp32", "bf16", "fp16"};

typedef struct view {
    const cli_args *args;
    cli_paths paths;
    cli_signals *signals; // NULL where they could not be watched
    bool quiet, json;
    const char *model, *precision; // under way
    char text[128];
    int code;
    fm_tune_report *reports[MOST_SEARCHES];
    int report_count;
} view;

static bool on_progress(double fraction, const char *text, void *opaque)
{
    view *v = opaque;
    if (text) {
        snprintf(v->text, sizeof(v->text), "%s", text);
    }
    if (!v->quiet) {
        char line[256];
        snprintf(line, sizeof(line), "tuning %.60s, %s: %3.0f %%  %s", v->model, v->precision, 100 * fraction,
            v->text);
        cli_status_line(line);
    }
    return !v->signals || cli_signals_count(v->signals) == 0;
}

static fm_tune_opts options(view *v, const fm_model_store_opts *store, const char *model, const char *task)
{
    const char *objective = cli_args_get(v->args, "objective");
    fm_tune_opts o = FM_TUNE_OPTS_INIT;
    o.inputs = (const char *const *)v->args->operands;
    o.input_count = v->args->operand_count;
    o.model = model;
    o.task = task;
    o.device = cli_args_get(v->args, "device");
    o.objective = objective && strcmp(objective, "latency") == 0 ? FM_TUNE_LATENCY : FM_TUNE_THROUGHPUT;
    o.max_latency_ms = cli_args_number(v->args, "max-latency-ms");
    o.max_memory_mib = cli_args_number(v->args, "max-memory");
    o.max_batch = (int)cli_args_number(v->args, "max-batch");
    o.frames = (int)cli_args_number(v->args, "frames");
    o.sample_s = cli_args_number(v->args, "sample-ms") / 1000;
    o.grid = cli_args_on(v->args, "grid");
    o.progress = on_progress;
    o.opaque = v;
    o.store = store;
    o.log = (fm_log){.fn = cli_log_line, .level = v->quiet ? FM_LOG_ERROR : FM_LOG_INFO};
    return o;
}

/* ---- what was found */

static void put_row(const fm_tune_row *r, bool is_best)
{
    char size[32];
    printf("%c%5d %6d %6d  ", is_best ? '>' : r->is_fast ? '*' : ' ', r->batch, r->slots, r->threads);
    if (r->state == FM_TUNE_MEASURED) {
        printf("%9.1f +-%-6.1f %9.1f %9.1f %9.1f %11s%s\n", r->fps, r->fps_half, r->p50_ms, r->p99_ms,
            r->cpu_ms, cli_size_text((unsigned long long)r->memory_bytes, size),
            r->is_within ? "" : "  beyond the bounds");
        return;
    }
    printf("%s", r->state == FM_TUNE_FAILED ? "failed: " : r->state == FM_TUNE_SKIPPED ? "skipped: " : "-");
    cli_put_text(stdout, r->why);
    putchar('\n');
}

static void put_table(const fm_tune_report *report, const char *precision)
{
    size_t n = fm_tune_count(report), best = fm_tune_best(report);
    double share = 1;
    cli_put_text(stdout, fm_tune_model(report));
    printf(", %s: measured in %.1f s%s\n\n", precision, fm_tune_seconds(report),
        fm_tune_was_stopped(report) ? ", stopped" : "");
    printf(" batch  slots  cores   frames/s +-95%%      p50 ms    p99 ms    cpu ms      memory\n");
    for (size_t i = 0; i < n; i++) {
        fm_tune_row row;
        if (fm_tune_get(report, i, &row) == FM_OK) {
            put_row(&row, i == best);
            share = row.state == FM_TUNE_MEASURED && row.share < share ? row.share : share;
        }
    }
    if (share < 0.95) {
        printf("\nOther work left as little as %.0f %% of the cores; rates and latencies are corrected for "
               "it.\n",
            100 * share);
    }
    if (best == n) {
        printf("\nNo setting could be measured within the bounds.\n\n");
        return;
    }
    fm_tune_row b;
    if (fm_tune_get(report, best, &b) == FM_OK) {
        printf("\n> best: --batch %d --workers %d --threads %d: %.1f frames/s, p99 %.1f ms\n"
               "* no other setting has more frames/s and less latency\n\n",
            b.batch, b.slots, b.threads, b.fps, b.p99_ms);
    }
}

static bool ends_with(const char *text, const char *end)
{
    size_t a = strlen(text), b = strlen(end);
    return a >= b && strcmp(text + a - b, end) == 0;
}

static const char *last_of(const char *text, char c, const char *fallback)
{
    const char *at = strrchr(text, c);
    return at ? at : fallback;
}

// The first one's picture has the name that was given, others have a number in it: tune.svg, tune-2.svg.
static int write_plot(const fm_tune_report *report, const char *path, int index)
{
    char *text = NULL, name[4096];
    fm_error err;
    const char *dot = last_of(path, '.', path + strlen(path));
    snprintf(name, sizeof(name), index ? "%.*s-%d%s" : "%.*s%.0d%s", (int)(dot - path), path,
        index ? index + 1 : 0, dot);
    if (fm_tune_plot(report, ends_with(path, ".html"), &text, &err) != FM_OK) {
        cli_error("%s", err.msg);
        return CLI_FAILED;
    }
    int code = cli_write_file(name, text) ? CLI_DONE : CLI_FAILED;
    fm_free(text);
    return code;
}

static int save(view *v, const fm_tune_report *report)
{
    const char *off = cli_args_get(v->args, "save");
    fm_error err;
    bool nothing = fm_tune_best(report) == fm_tune_count(report) || cli_args_on(v->args, "grid");
    if ((off && !cli_args_on(v->args, "save")) || nothing) {
        return CLI_DONE;
    }
    if (!v->paths.tuning) {
        cli_error("no folder for the tuning file: set HOME or XDG_CONFIG_HOME; results are not kept");
        return CLI_FAILED;
    }
    if (fm_tune_save(report, v->paths.tuning, &err) != FM_OK) {
        cli_error("the tuning file cannot be written, results are not kept: %s", err.msg);
        return CLI_FAILED;
    }
    if (!v->quiet) {
        char line[4200];
        snprintf(
            line, sizeof(line), "kept in %s; run with --batch auto uses it from now on", v->paths.tuning);
        cli_log_line(FM_LOG_INFO, "tune", line, NULL);
    }
    return CLI_DONE;
}

static void note_code(view *v, int code)
{
    v->code = v->code == CLI_DONE ? code : v->code;
}

static void found(view *v, fm_tune_report *report)
{
    const char *plot = cli_args_get(v->args, "plot");
    cli_status_line(NULL);
    if (!v->json) {
        put_table(report, v->precision);
        fflush(stdout);
    }
    if (fm_tune_best(report) == fm_tune_count(report)) {
        note_code(v, CLI_FAILED);
    }
    note_code(v, save(v, report));
    if (plot) {
        note_code(v, write_plot(report, plot, v->report_count));
    }
    v->reports[v->report_count++] = report;
}

static int put_json(const view *v)
{
    for (int i = 0; i < v->report_count; i++) {
        char *text = NULL;
        fm_error err;
        if (fm_tune_json(v->reports[i], &text, &err) != FM_OK) {
            cli_error("%s", err.msg);
            return CLI_FAILED;
        }
        printf("%s%s", i ? ",\n" : "[", text);
        fm_free(text);
    }
    printf(v->report_count ? "]\n" : "[]\n");
    return CLI_DONE;
}

/* ---- --layers */

static int put_layers(view *v, const fm_tune_opts *o)
{
    fm_tune_layers *layers = NULL;
    fm_error err;
    if (fm_tune_layers_new(o, &layers, &err) != FM_OK) {
        cli_status_line(NULL);
        cli_error("%s", err.msg);
        return CLI_FAILED;
    }
    cli_status_line(NULL);
    double all = 0;
    const fm_tune_layer *l;
    for (size_t i = 0; (l = fm_tune_layers_get(layers, i)); i++) {
        all += l->ms;
    }
    if (v->json) {
        printf("{\"model\":");
        cli_put_json(stdout, o->model);
        printf(",\"layers\":[");
        for (size_t i = 0; (l = fm_tune_layers_get(layers, i)); i++) {
            printf("%s{\"name\":", i ? "," : "");
            cli_put_json(stdout, l->name);
            printf(",\"type\":");
            cli_put_json(stdout, l->type);
            printf(",\"kernel\":");
            cli_put_json(stdout, l->kernel);
            printf(",\"ms\":%.4f}", l->ms);
        }
        printf("]}\n");
    } else {
        cli_put_text(stdout, o->model);
        printf(", one frame at a time: %.2f ms in layers\n\n      ms  share  type              kernel"
               "                        layer\n",
            all);
        for (size_t i = 0; (l = fm_tune_layers_get(layers, i)); i++) {
            printf("%8.3f %5.1f%%  ", l->ms, all > 0 ? 100 * l->ms / all : 0);
            cli_put_cell(stdout, l->type, 18);
            cli_put_cell(stdout, l->kernel, 30);
            cli_put_text(stdout, l->name);
            putchar('\n');
        }
        putchar('\n');
    }
    fm_tune_layers_free(&layers);
    return CLI_DONE;
}

/* ---- which searches */

static bool is_stopped(const view *v)
{
    return v->signals && cli_signals_count(v->signals) > 0;
}

// One model in one precision. A precision that nobody asked for by name is left out where it is not to be
// had.
static void search(view *v, fm_tune_opts *o, const char *precision, bool is_named)
{
    fm_tune_report *report = NULL;
    fm_error err;
    o->precision = v->precision = precision;
    v->model = o->model;
    v->text[0] = 0;
    if (is_stopped(v) || v->report_count == MOST_SEARCHES) {
        return;
    }
    if (cli_args_on(v->args, "layers")) {
        note_code(v, put_layers(v, o));
        return;
    }
    fm_status st = fm_tune(o, &report, &err);
    if (st == FM_OK) {
        found(v, report);
        return;
    }
    cli_status_line(NULL);
    if (st == FM_UNSUPPORTED && !is_named) {
        return;
    }
    cli_error("%s", err.msg);
    note_code(v, st == FM_INVAL ? CLI_USAGE : CLI_FAILED);
}

static void search_model(view *v, const fm_model_store_opts *store, const char *model, const char *task)
{
    fm_tune_opts o = options(v, store, model, task);
    const char *given = cli_args_get(v->args, "precision");
    bool all = given && strcmp(given, "all") == 0;
    for (size_t i = 0; all && i < sizeof(all_precisions) / sizeof(all_precisions[0]); i++) {
        search(v, &o, all_precisions[i], i == 0);
    }
    if (!all) {
        search(v, &o, given ? given : "fp32", true);
    }
}

int cli_cmd_tune(const cli_args *args)
{
    view v = {.args = args, .quiet = cli_args_on(args, "quiet"), .json = cli_args_on(args, "json")};
    const char *plot = cli_args_get(args, "plot");
    bool any = false;
    if (plot && !ends_with(plot, ".svg") && !ends_with(plot, ".html")) {
        return cli_usage("tune: --plot '%s': give a name that ends in .svg or .html", plot);
    }
    if (!cli_paths_find(&v.paths)) {
        return CLI_FAILED;
    }
    fm_model_store_opts store = cli_store_opts(&v.paths, FM_LOG_WARN);
    v.signals = cli_signals_start(false);
    cli_signals_set_polite(v.signals);
    for (size_t i = 0; i < sizeof(tasks) / sizeof(tasks[0]); i++) {
        const char *model = cli_args_get(args, tasks[i][0]);
        if (model && strcmp(model, "none") != 0) {
            any = true;
            search_model(&v, &store, model, tasks[i][1]);
        }
    }
    if (!any) {
        search_model(&v, &store, "yolox-nano", "detection");
    }
    if (v.json && !cli_args_on(args, "layers")) {
        note_code(&v, put_json(&v));
    }
    int code = is_stopped(&v) ? CLI_INTERRUPTED : v.code;
    cli_signals_stop(&v.signals);
    for (int i = 0; i < v.report_count; i++) {
        fm_tune_free(&v.reports[i]);
    }
    cli_paths_done(&v.paths);
    return code;
}
