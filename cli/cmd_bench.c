// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// `framemill bench`: the benchmark's rows as a table, as JSON, and against an older one. The first Ctrl-C
// ends with the rows so far, the second at once.

#include "cli.h"

#include <stdlib.h>
#include <string.h>

// What differs by less is not called better or worse: rounds of one machine differ by as much.
static const double CLEAR = 0.05;

typedef struct view {
    cli_signals *signals; // NULL where they could not be watched
    bool quiet;
} view;

static bool on_progress(double fraction, const char *text, void *opaque)
{
    const view *v = opaque;
    if (!v->quiet && text) {
        char line[320];
        snprintf(line, sizeof(line), "bench: %3.0f %%  %s", 100 * fraction, text);
        cli_status_line(line);
    }
    return !v->signals || cli_signals_count(v->signals) == 0;
}

static int decimals(const fm_bench_row *row)
{
    return strcmp(row->unit, "frames/s") == 0 ? 1 : 3;
}

// Better is above 1, whichever way the figure goes.
static void put_comparison(const fm_bench_row *row, const fm_bench_report *old)
{
    const fm_bench_row *then = fm_bench_find(old, row);
    if (!then || then->value <= 0 || row->value <= 0) {
        printf("  %11s %8s  new", "-", "-");
        return;
    }
    double ratio = row->less_is_better ? then->value / row->value : row->value / then->value;
    bool apart = row->least > then->most || row->most < then->least; // else their rounds overlap
    printf("  %11.*f %8.3f  %s", decimals(row), then->value, ratio,
        apart && ratio > 1 + CLEAR   ? "better"
        : apart && ratio < 1 - CLEAR ? "WORSE"
                                     : "same");
}

static void put_table(const fm_bench_report *r, const fm_bench_report *old)
{
    const fm_bench_row *row, *last = NULL;
    cli_put_text(stdout, fm_bench_machine(r));
    putchar('\n');
    if (old) {
        printf("before: ");
        cli_put_text(stdout, fm_bench_machine(old));
        putchar('\n');
    }
    printf("\n%-24s %-12s %11s  %-9s %21s%s\n", "input", "figure", "median", "unit", "least .. most",
        old ? "       before    ratio" : "");
    for (size_t i = 0; (row = fm_bench_get(r, i)); i++) {
        bool same = last && strcmp(last->input, row->input) == 0;
        if (last && !same) {
            putchar('\n');
        }
        cli_put_cell(stdout, same ? "" : row->input, 25);
        printf("%-12s %11.*f  %-9s %9.*f .. %8.*f", row->what, decimals(row), row->value, row->unit,
            decimals(row), row->least, decimals(row), row->most);
        if (old) {
            put_comparison(row, old);
        }
        putchar('\n');
        last = row;
    }
    if (fm_bench_disturbance(r) > CLEAR) {
        printf("\nOther processes took %.0f %% of the cores meanwhile: rates are too low by about that%s.\n",
            100 * fm_bench_disturbance(r), old ? ", and better or WORSE say little" : "");
    }
}

static int put_report(const cli_args *args, const fm_bench_report *r, const fm_bench_report *old)
{
    const char *path = cli_args_get(args, "out");
    char *text = NULL;
    fm_error err;
    int code = CLI_DONE;
    if (!cli_args_on(args, "json")) {
        put_table(r, old);
    }
    if ((path || cli_args_on(args, "json")) && fm_bench_json(r, &text, &err) != FM_OK) {
        cli_error("%s", err.msg);
        return CLI_FAILED;
    }
    if (cli_args_on(args, "json")) {
        printf("%s\n", text);
    }
    if (path && !cli_write_file(path, text)) {
        code = CLI_FAILED;
    }
    fm_free(text);
    return code;
}

static int run(const cli_args *args, const cli_paths *paths, view *v, const fm_bench_report *old)
{
    fm_model_store_opts store = cli_store_opts(paths, FM_LOG_WARN);
    fm_bench_report *r = NULL;
    fm_error err;
    fm_bench_opts o = FM_BENCH_OPTS_INIT;
    o.inputs = (const char *const *)args->operands;
    o.input_count = args->operand_count;
    o.detector = cli_args_get(args, "detector");
    o.device = cli_args_get(args, "device");
    o.precision = cli_args_get(args, "precision");
    o.batch = (int)cli_args_number(args, "batch");
    o.workers = (int)cli_args_number(args, "workers");
    o.threads = (int)cli_args_number(args, "threads");
    o.frames = (int)cli_args_number(args, "frames");
    o.rounds = (int)cli_args_number(args, "rounds");
    o.progress = on_progress;
    o.opaque = v;
    o.store = &store;
    o.cache_dir = paths->cache;
    o.tuning = paths->tuning;
    o.log = (fm_log){.fn = cli_log_line, .level = v->quiet ? FM_LOG_ERROR : FM_LOG_WARN};
    fm_status st = fm_bench(&o, &r, &err);
    cli_status_line(NULL);
    if (st != FM_OK) {
        cli_error("%s", err.msg);
        return st == FM_INVAL ? CLI_USAGE : CLI_FAILED;
    }
    int code = put_report(args, r, old);
    code = fm_bench_was_stopped(r) ? CLI_INTERRUPTED : code;
    fm_bench_free(&r);
    return code;
}

int cli_cmd_bench(const cli_args *args)
{
    view v = {.quiet = cli_args_on(args, "quiet")};
    const char *path = cli_args_get(args, "compare");
    fm_bench_report *old = NULL;
    cli_paths paths;
    fm_error err;
    if (path && cli_args_on(args, "json")) {
        return cli_usage("bench: --compare is a table, --json is none: give one of them");
    }
    if (path && fm_bench_read(path, &old, &err) != FM_OK) {
        cli_error("%s", err.msg);
        return CLI_FAILED;
    }
    int code = CLI_FAILED;
    if (cli_paths_find(&paths)) {
        v.signals = cli_signals_start(false);
        cli_signals_set_polite(v.signals);
        code = run(args, &paths, &v, old);
        cli_signals_stop(&v.signals);
        cli_paths_done(&paths);
    }
    fm_bench_free(&old);
    return code;
}
