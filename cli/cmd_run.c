// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// `framemill run`: settings from the file, the flags over them, the environment below both; then a run of the
// library with a progress line, a summary and a report. Exit: 3 when a stream or a picture failed and the
// rest was done, 130 when a signal ended it, 0 when the reader of standard output had seen enough.

#include "cli.h"

#include <framemill/memory.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct job {
    const cli_args *args;
    fm_config *config;
    fm_run_opts opts;
    cli_paths paths;
    bool have_paths;
    fm_log_level level;
    bool quiet, json, to_stdout;
    fm_stream_opts *streams; // of the operands
    cli_signals *signals;
    fm_run *run;
} job;

static fm_log_level log_level(const fm_config *config, bool quiet)
{
    static const char *const names[] = {"error", "warn", "info", "debug", "trace"};
    const char *text = fm_config_get(config, "log-level");
    for (int i = 0; text && i < 5; i++) {
        if (strcmp(text, names[i]) == 0) {
            return (fm_log_level)i;
        }
    }
    return quiet ? FM_LOG_ERROR : FM_LOG_INFO;
}

static int set_from_flags(job *j)
{
    for (size_t i = 0; i < j->args->flag_count; i++) {
        const cli_flag *f = &j->args->flags[i];
        fm_error err;
        if (f->option->key && fm_config_set(j->config, f->option->flag, f->text, &err) != FM_OK) {
            return cli_usage("run: --%s: %s", f->option->flag, err.msg);
        }
    }
    return CLI_DONE;
}

static int set_from_environment(job *j)
{
    const char *batch = getenv("BATCH_SIZE");
    fm_error err;
    if (batch && batch[0] && !fm_config_get(j->config, "batch") &&
        fm_config_set(j->config, "batch", batch, &err) != FM_OK) {
        return cli_usage("environment variable BATCH_SIZE: %s", err.msg);
    }
    return CLI_DONE;
}

static int read_settings(job *j)
{
    const char *path = cli_args_get(j->args, "config");
    fm_error err;
    fm_status st = path ? fm_config_load(path, &j->config, &err) : fm_config_new(&j->config, &err);
    if (st != FM_OK) {
        return st == FM_NOMEM ? (cli_error("%s", err.msg), CLI_FAILED) : cli_usage("%s", err.msg);
    }
    int code = set_from_flags(j);
    code = code == CLI_DONE ? set_from_environment(j) : code;
    j->quiet = cli_args_on(j->args, "quiet");
    j->json = cli_args_on(j->args, "json");
    j->to_stdout = fm_config_get(j->config, "out") == NULL;
    j->level = log_level(j->config, j->quiet);
    return code;
}

static bool is_on(const fm_config *config, const char *name, bool fallback)
{
    const char *text = fm_config_get(config, name);
    return text ? strcmp(text, "true") == 0 : fallback;
}

static bool needs_model(const fm_config *config)
{
    if (fm_config_get(config, "detections")) {
        return false;
    }
    const char *detector = fm_config_get(config, "detector");
    return !detector || (strcmp(detector, "motion") != 0 && strcmp(detector, "none") != 0);
}

static bool find_model(const fm_model_store_opts *opts, const char *name, fm_model_info *out)
{
    fm_model_store *store = NULL;
    fm_error err;
    bool found = fm_model_store_open(opts, &store, &err) == FM_OK &&
                 fm_model_store_find(store, name, out, &err) == FM_OK;
    out->name = out->task = out->version = out->licence = out->about = out->head = NULL; // were the store's
    fm_model_store_close(&store);
    return found;
}

// Settings that go with one kind of detector only are refused with the others: nothing is ignored. input_size
// is what the user believes a known model to take.
static int check_detector(const job *j, const fm_model_store_opts *store)
{
    const char *size = fm_config_get(j->config, "input_size"), *name = fm_config_get(j->config, "detector");
    bool described = fm_config_get(j->config, "head") || fm_config_get(j->config, "labels");
    name = name ? name : "yolox-nano";
    if (!size && !described) {
        return CLI_DONE;
    }
    fm_model_info info = {0};
    bool known = needs_model(j->config) && find_model(store, name, &info);
    if (described && (known || !needs_model(j->config))) {
        return cli_usage("--head and --labels describe a bare model file; leave them out for '%s'", name);
    }
    if (size && !known) {
        return cli_usage("input_size is for models of 'framemill models list'; leave it out for '%s'", name);
    }
    char actual[32];
    snprintf(actual, sizeof(actual), "%dx%d", info.width, info.height);
    if (size && strcmp(actual, size) != 0) {
        return cli_usage("input_size is %s, but %s takes %s: leave input_size out or choose another model",
            size, name, actual);
    }
    return CLI_DONE;
}

static int check_output(const job *j)
{
    if (j->json && j->to_stdout) {
        return cli_usage("run: --json writes to standard output, where the results go: add --out DIR, or use "
                         "--report FILE");
    }
    if (is_on(j->config, "annotate", false) && j->to_stdout) {
        return cli_usage("run: --annotate needs --out DIR for its video");
    }
    return CLI_DONE;
}

// Said before the first frame rather than after the last; asked when the output folder is made, in which they
// may lie.
static int check_reports(const job *j)
{
    static const char *const keys[] = {"report", "trace", "profile"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *path = fm_config_get(j->config, keys[i]);
        if (path && !cli_can_write(path)) {
            cli_error("the %s cannot be written to '%s': %s", keys[i], path, strerror(errno));
            return CLI_FAILED;
        }
    }
    return CLI_DONE;
}

static int fill_streams(job *j)
{
    size_t n = j->args->operand_count;
    if (n == 0) {
        return j->opts.stream_count || j->opts.redis.commands
                   ? CLI_DONE
                   : cli_usage("run: nothing to read: give INPUTs, or streams in --config; "
                               "see: framemill run --help");
    }
    j->streams = calloc(n, sizeof(*j->streams));
    if (!j->streams) {
        cli_error("out of memory");
        return CLI_FAILED;
    }
    for (size_t i = 0; i < n; i++) {
        j->streams[i].url = j->args->operands[i];
    }
    j->opts.streams = j->streams;
    j->opts.stream_count = n;
    return CLI_DONE;
}

static int exit_code_of(fm_status st)
{
    return st == FM_INVAL ? CLI_USAGE : CLI_FAILED;
}

// What can be said before anything is looked up on disk.
static int prepare(job *j)
{
    int code = read_settings(j);
    if (code != CLI_DONE) {
        return code;
    }
    j->opts = (fm_run_opts)FM_RUN_OPTS_INIT;
    fm_config_apply(j->config, &j->opts);
    code = fill_streams(j);
    return code == CLI_DONE ? check_output(j) : code;
}

static int open_run(job *j)
{
    fm_error err;
    fm_model_store_opts store = cli_store_opts(&j->paths, j->level);
    int code = check_detector(j, &store);
    if (code != CLI_DONE) {
        return code;
    }
    j->opts.jsonl_fd = j->to_stdout ? STDOUT_FILENO : -1;
    j->opts.store = &store;
    j->opts.cache_dir = is_on(j->config, "cache", true) ? j->paths.cache : NULL;
    j->opts.tuning = j->paths.tuning;
    j->opts.log = store.log;
    if (!j->opts.redis.spool_dir) {
        j->opts.redis.spool_dir = j->paths.spool;
    }
    j->opts.trace = fm_config_get(j->config, "trace") != NULL;
    j->opts.profile = fm_config_get(j->config, "profile") != NULL;
    fm_status st = fm_run_new(&j->opts, &j->run, &err);
    if (st == FM_OK && check_reports(j) != CLI_DONE) {
        return CLI_FAILED;
    }
    if (st == FM_OK) {
        cli_signals_set_run(j->signals, j->run);
        st = fm_run_start(j->run, &err);
    }
    if (st != FM_OK) {
        bool fetch_helps = strstr(err.msg, "models fetch") != NULL;
        cli_error("%s%s", err.msg, fetch_helps ? "; or do without a model: --detector motion" : "");
        return exit_code_of(st);
    }
    return CLI_DONE;
}

static void wait_for_end(job *j)
{
    // Results on the same terminal would be torn apart by the line.
    bool progress = !j->quiet && isatty(STDERR_FILENO) && !(j->to_stdout && isatty(STDOUT_FILENO));
    while (fm_run_wait(j->run, progress ? 200 : -1) == FM_AGAIN) {
        fm_run_progress p;
        fm_run_progress_get(j->run, &p);
        cli_progress_show(&p);
    }
    cli_status_line(NULL);
}

static int run_code(job *j)
{
    bool partly = false;
    for (size_t i = 0; i < fm_run_stream_count(j->run); i++) {
        fm_stream_report r;
        if (fm_run_stream_report(j->run, i, &r) == FM_OK) {
            partly = partly || r.error;
        }
    }
    if (j->to_stdout && cli_stdout_gone()) {
        return CLI_DONE;
    }
    return cli_signals_count(j->signals) ? CLI_INTERRUPTED : partly ? CLI_PARTLY : CLI_DONE;
}

static void say_stream_errors(job *j)
{
    for (size_t i = 0; i < fm_run_stream_count(j->run); i++) {
        fm_stream_report r;
        if (fm_run_stream_report(j->run, i, &r) != FM_OK) {
            continue;
        }
        if (r.error) {
            cli_error("stream '%s': %s", r.name, r.error);
        }
    }
}

static int write_reports(job *j, int code)
{
    const char *path = fm_config_get(j->config, "report");
    char *text = NULL;
    fm_error err;
    if (!path && !j->json) {
        return code;
    }
    if (fm_run_report_json(j->run, &text, &err) != FM_OK) {
        cli_error("%s", err.msg);
        return CLI_FAILED;
    }
    if (path && !cli_write_file(path, text)) {
        code = CLI_FAILED;
    }
    if (j->json) {
        size_t len = strlen(text);
        printf("%s%s", text, len && text[len - 1] == '\n' ? "" : "\n");
    }
    fm_free(text);
    return code;
}

static int write_trace(job *j, int code)
{
    const char *path = fm_config_get(j->config, "trace");
    uint64_t lost = 0;
    fm_error err;
    if (!path) {
        return code;
    }
    if (fm_run_trace_write(j->run, path, &lost, &err) != FM_OK) {
        cli_error("%s", err.msg);
        return CLI_FAILED;
    }
    if (lost && !j->quiet) {
        char text[160];
        snprintf(text, sizeof(text),
            "the trace was full: it ends early, and %" PRIu64 " later events are not in it", lost);
        cli_log_line(FM_LOG_WARN, "trace", text, NULL);
    }
    return code;
}

static int write_profile(job *j, int code)
{
    const char *path = fm_config_get(j->config, "profile");
    fm_error err;
    if (path && fm_run_profile_write(j->run, path, j->config, &err) != FM_OK) {
        cli_error("%s", err.msg);
        return CLI_FAILED;
    }
    return code;
}

static bool tracks(const fm_config *config)
{
    const char *tracker = fm_config_get(config, "tracker");
    return tracker && strcmp(tracker, "none") != 0;
}

static int run_to_end(job *j)
{
    int code = open_run(j);
    if (code != CLI_DONE) {
        return code;
    }
    wait_for_end(j);
    code = run_code(j);
    bool reader_gone = j->to_stdout && cli_stdout_gone();
    if (!reader_gone) {
        say_stream_errors(j);
        if (!j->quiet) {
            cli_put_summary(j->run, tracks(j->config));
        }
    }
    code = write_reports(j, code);
    code = write_profile(j, code);
    return write_trace(j, code);
}

// All has been freed: what a module or a pool still holds was forgotten.
static void say_leaks(fm_log_level level)
{
    fm_memory_stat stats[64];
    size_t n = fm_memory_stats(stats, 64);
    for (size_t i = 0; level >= FM_LOG_DEBUG && i < n && i < 64; i++) {
        if (stats[i].blocks > 0) {
            char text[160];
            snprintf(text, sizeof(text), "%s leaks %" PRIu64 " bytes in %" PRIu64 " blocks", stats[i].module,
                stats[i].current_bytes, stats[i].blocks);
            cli_log_line(FM_LOG_DEBUG, "memory", text, NULL);
        }
    }
    fm_memory_pool pools[32];
    n = fm_memory_pools(pools, 32);
    for (size_t i = 0; level >= FM_LOG_DEBUG && i < n && i < 32; i++) {
        uint64_t left = pools[i].in_use + pools[i].resting;
        if (left > 0) {
            char text[160];
            snprintf(text, sizeof(text), "the pool '%s' of %s leaks %" PRIu64 " bytes in %" PRIu64 " blocks",
                pools[i].name, pools[i].module, pools[i].current_bytes, left);
            cli_log_line(FM_LOG_DEBUG, "memory", text, NULL);
        }
    }
}

int cli_cmd_run(const cli_args *args)
{
    job j = {.args = args};
    int code = prepare(&j);
    if (code == CLI_DONE) {
        j.have_paths = cli_paths_find(&j.paths);
        code = j.have_paths ? CLI_DONE : CLI_FAILED;
    }
    if (code == CLI_DONE) {
        j.signals = cli_signals_start(j.to_stdout);
        code = run_to_end(&j);
        cli_signals_set_run(j.signals, NULL);
    }
    fm_run_free(&j.run);
    cli_signals_stop(&j.signals);
    free(j.streams);
    if (j.have_paths) {
        cli_paths_done(&j.paths);
    }
    fm_config_free(&j.config);
    say_leaks(j.level);
    return code;
}
