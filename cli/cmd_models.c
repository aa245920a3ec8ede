// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// `framemill models ...`: the model store, for people and scripts.

#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct shop {
    cli_paths paths;
    fm_model_store *store;
} shop;

static const char *const state_names[] = {"missing", "installed", "damaged"};

static bool open_shop(shop *s, fm_log_level level)
{
    *s = (shop){0};
    if (!cli_paths_find(&s->paths)) {
        return false;
    }
    fm_model_store_opts opts = cli_store_opts(&s->paths, level);
    fm_error err;
    if (fm_model_store_open(&opts, &s->store, &err) != FM_OK) {
        cli_error("%s", err.msg);
        cli_paths_done(&s->paths);
        return false;
    }
    return true;
}

static void close_shop(shop *s)
{
    fm_model_store_close(&s->store);
    cli_paths_done(&s->paths);
}

static void put_model_json(const fm_model_info *m, bool first)
{
    const char *const texts[][2] = {{"name", m->name}, {"task", m->task}, {"version", m->version},
        {"licence", m->licence}, {"head", m->head}, {"about", m->about}, {"state", state_names[m->state]}};
    fputs(first ? "[" : ",\n ", stdout);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        printf("%s\"%s\":", i ? "," : "{", texts[i][0]);
        cli_put_json(stdout, texts[i][1]);
    }
    printf(",\"width\":%d,\"height\":%d,\"labels\":%zu,\"size_bytes\":%llu}", m->width, m->height,
        m->label_count, (unsigned long long)m->size_bytes);
}

static void put_model_row(const fm_model_info *m)
{
    char size[32], input[32];
    snprintf(input, sizeof(input), "%dx%d", m->width, m->height);
    cli_put_cell(stdout, m->name, 20);
    cli_put_cell(stdout, " ", 1);
    cli_put_cell(stdout, m->task ? m->task : "", 14);
    printf(" %-10s %10s  ", input, m->size_bytes ? cli_size_text(m->size_bytes, size) : "?");
    cli_put_cell(stdout, m->licence ? m->licence : "", 13);
    printf(" %s\n", state_names[m->state]);
}

int cli_cmd_models_list(const cli_args *args)
{
    bool json = cli_args_on(args, "json"), names = cli_args_on(args, "names");
    shop s;
    if (!open_shop(&s, FM_LOG_INFO)) {
        return CLI_FAILED;
    }
    if (!json && !names) {
        printf("%-20s %-14s %-10s %10s  %-13s %s\n", "name", "task", "input", "size", "licence", "state");
    }
    bool first = true;
    for (size_t i = 0; i < fm_model_store_count(s.store); i++) {
        fm_model_info m;
        if (fm_model_store_get(s.store, i, &m) != FM_OK) {
            continue;
        }
        if (json) {
            put_model_json(&m, first);
        } else if (names) {
            cli_put_text(stdout, m.name);
            fputc('\n', stdout);
        } else {
            put_model_row(&m);
        }
        first = false;
    }
    if (json) {
        fputs(first ? "[]\n" : "]\n", stdout);
    }
    close_shop(&s);
    return CLI_DONE;
}

typedef struct download {
    cli_signals *signals;
    bool quiet;
} download;

static int on_download(const char *what, uint64_t done, uint64_t total, void *opaque)
{
    download *d = opaque;
    char line[256], a[32], b[32];
    if (total) {
        snprintf(
            line, sizeof(line), "%.120s: %s of %s", what, cli_size_text(done, a), cli_size_text(total, b));
    } else {
        snprintf(line, sizeof(line), "%.120s: %s", what, cli_size_text(done, a));
    }
    if (!d->quiet) {
        cli_status_line(line);
    }
    return cli_signals_count(d->signals);
}

// Asks on a terminal whether the licence is agreed to.
static bool ask_licence(const fm_model_info *m)
{
    fprintf(stderr,
        "%s is under %s: whoever offers a service or a program that uses it owes its users the\n"
        "source of the whole under the same licence. %s\nFetch it? [y/N] ",
        m->name, m->licence, m->about ? m->about : "");
    fflush(stderr);
    char answer[16] = "";
    return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

// May this model be fetched? Says why not.
static bool agreed(const fm_model_info *m, bool accepted)
{
    if (!m->agpl || accepted) {
        return true;
    }
    if (isatty(STDIN_FILENO) && isatty(STDERR_FILENO)) {
        if (ask_licence(m)) {
            return true;
        }
        cli_error("%s was not fetched", m->name);
        return false;
    }
    cli_error(
        "%s is under %s, which binds programs and services that use it; to agree: framemill models fetch "
        "--accept-licence %s",
        m->name, m->licence, m->name);
    return false;
}

static bool fetch_one(shop *s, const char *name, const cli_args *args, download *d)
{
    fm_model_info info;
    fm_error err;
    if (fm_model_store_find(s->store, name, &info, &err) != FM_OK) {
        cli_error("%s", err.msg);
        return false;
    }
    bool force = cli_args_on(args, "force");
    const char *backend = cli_args_get(args, "backend");
    if (info.state == FM_MODEL_INSTALLED && !force && !backend) {
        if (!d->quiet) {
            printf("%s is installed\n", info.name);
        }
        return true;
    }
    if (!agreed(&info, cli_args_on(args, "accept-licence"))) {
        return false;
    }
    fm_model_fetch_opts opts = FM_MODEL_FETCH_OPTS_INIT;
    opts.accept_licence = info.agpl;
    opts.force = force;
    opts.backend = backend;
    opts.progress = on_download;
    opts.opaque = d;
    fm_status st = fm_model_fetch(s->store, name, &opts, &err);
    cli_status_line(NULL);
    if (st == FM_CANCELED) {
        return false;
    }
    if (st != FM_OK) {
        cli_error("%s", err.msg);
        return false;
    }
    if (!d->quiet) {
        printf("%s fetched (%s)\n", info.name, info.licence);
    }
    return true;
}

int cli_cmd_models_fetch(const cli_args *args)
{
    shop s;
    if (!open_shop(&s, cli_args_on(args, "quiet") ? FM_LOG_WARN : FM_LOG_INFO)) {
        return CLI_FAILED;
    }
    download d = {.quiet = cli_args_on(args, "quiet"), .signals = cli_signals_start(false)};
    cli_signals_set_polite(d.signals);
    size_t failed = 0;
    for (size_t i = 0; i < args->operand_count && !cli_signals_count(d.signals); i++) {
        failed += !fetch_one(&s, args->operands[i], args, &d);
    }
    int code = cli_signals_count(d.signals)   ? CLI_INTERRUPTED
               : failed == 0                  ? CLI_DONE
               : failed < args->operand_count ? CLI_PARTLY
                                              : CLI_FAILED;
    cli_signals_stop(&d.signals);
    close_shop(&s);
    return code;
}

static bool verify_one(const shop *s, const char *name)
{
    fm_error err;
    if (fm_model_verify(s->store, name, &err) != FM_OK) {
        cli_error("%s", err.msg);
        return false;
    }
    cli_put_text(stdout, name);
    fputs(": ok\n", stdout);
    return true;
}

int cli_cmd_models_verify(const cli_args *args)
{
    shop s;
    if (!open_shop(&s, FM_LOG_INFO)) {
        return CLI_FAILED;
    }
    size_t failed = 0, seen = 0;
    for (size_t i = 0; i < args->operand_count; i++, seen++) {
        failed += !verify_one(&s, args->operands[i]);
    }
    for (size_t i = 0; args->operand_count == 0 && i < fm_model_store_count(s.store); i++) {
        fm_model_info m;
        if (fm_model_store_get(s.store, i, &m) == FM_OK && m.state != FM_MODEL_MISSING) {
            failed += !verify_one(&s, m.name);
            seen++;
        }
    }
    close_shop(&s);
    return failed == 0 ? CLI_DONE : failed < seen ? CLI_PARTLY : CLI_FAILED;
}

int cli_cmd_models_show(const cli_args *args)
{
    shop s;
    char *text = NULL;
    fm_error err;
    if (!open_shop(&s, FM_LOG_INFO)) {
        return CLI_FAILED;
    }
    fm_status st = fm_model_show(s.store, args->operands[0], cli_args_on(args, "json"), &text, &err);
    if (st == FM_OK) {
        size_t len = strlen(text);
        printf("%s%s", text, len && text[len - 1] == '\n' ? "" : "\n");
    } else {
        cli_error("%s", err.msg);
    }
    fm_free(text);
    close_shop(&s);
    return st == FM_OK ? CLI_DONE : CLI_FAILED;
}

// "models/My Net.onnx" -> "My Net"; the store says which names it takes.
static void name_from_path(const char *path, char *buf, size_t size)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
    snprintf(buf, size, "%.*s", dot ? (int)(dot - base) : (int)strlen(base), base);
}

int cli_cmd_models_import(const cli_args *args)
{
    shop s;
    char guessed[128];
    fm_error err;
    if (!open_shop(&s, FM_LOG_INFO)) {
        return CLI_FAILED;
    }
    const char *path = args->operands[0], *name = cli_args_get(args, "name");
    if (!name) {
        name_from_path(path, guessed, sizeof(guessed));
        name = guessed;
    }
    fm_status st =
        fm_model_import(s.store, path, name, cli_args_get(args, "head"), cli_args_get(args, "labels"), &err);
    if (st == FM_OK) {
        cli_put_text(stdout, name);
        fputs(" imported\n", stdout);
    } else {
        cli_error("%s", err.msg);
    }
    close_shop(&s);
    return st == FM_OK ? CLI_DONE : CLI_FAILED;
}
