// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// `framemill store ...`: what is in a store, whether it is whole, and what to do about it.

#include "cli.h"

#include <stdlib.h>
#include <string.h>

static int fail(fm_store **store, const fm_error *err)
{
    cli_error("%s", err->msg);
    (void)fm_store_close(store, NULL); // told what matters
    return err->status == FM_INVAL ? CLI_USAGE : CLI_FAILED;
}

static fm_store_opts opts_of(const cli_args *args, bool read_only)
{
    fm_store_opts o = FM_STORE_OPTS_INIT;
    o.dir = args->operands[0];
    o.read_only = read_only;
    o.log = (fm_log){.fn = cli_log_line, .level = FM_LOG_INFO};
    return o;
}

static int close_store(fm_store **store, int code)
{
    fm_error err;
    if (fm_store_close(store, &err) != FM_OK) {
        cli_error("%s", err.msg);
        return CLI_FAILED;
    }
    return code;
}

int cli_cmd_store_stat(const cli_args *args)
{
    fm_store_opts o = opts_of(args, true);
    fm_store *s = NULL;
    fm_error err;
    fm_store_counts c;
    if (fm_store_open(&o, &s, &err) != FM_OK || fm_store_count(s, &c, &err) != FM_OK) {
        return fail(&s, &err);
    }
    const struct {
        const char *name, *key;
        uint64_t n;
    } rows[] = {{"streams", "streams", c.streams}, {"frames", "frames", c.frames},
        {"objects", "objects", c.objects}, {"tracks", "tracks", c.tracks},
        {"features", "features", c.features}, {"pictures", "pictures", c.pictures},
        {"files of pictures", "segments", c.segments},
        {"bytes of pictures", "picture_bytes", c.picture_bytes},
        {"bytes of their files", "segment_bytes", c.segment_bytes},
        {"bytes of the database", "database_bytes", c.database_bytes},
        {"version", "version", (uint64_t)c.version}};
    bool json = cli_args_on(args, "json");
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        if (json) {
            printf("%s\"%s\":%llu", i ? "," : "{", rows[i].key, (unsigned long long)rows[i].n);
        } else {
            printf("%-22s %14llu\n", rows[i].name, (unsigned long long)rows[i].n);
        }
    }
    fputs(json ? "}\n" : "", stdout);
    return close_store(&s, CLI_DONE);
}

static void put_damage(const char *line, void *opaque)
{
    (void)opaque;
    puts(line);
}

int cli_cmd_store_verify(const cli_args *args)
{
    fm_store_opts o = opts_of(args, true);
    fm_store *s = NULL;
    fm_error err;
    uint64_t damages = 0;
    if (fm_store_open(&o, &s, &err) != FM_OK ||
        fm_store_verify(s, put_damage, NULL, &damages, &err) != FM_OK) {
        return fail(&s, &err);
    }
    if (damages > 0) {
        cli_error("%llu damages; 'framemill store rebuild %s' keeps what can be read",
            (unsigned long long)damages, o.dir);
    }
    return close_store(&s, damages > 0 ? CLI_FAILED : CLI_DONE);
}

int cli_cmd_store_prune(const cli_args *args)
{
    fm_store_opts o = opts_of(args, false);
    const char *age = cli_args_get(args, "max-age"), *bytes = cli_args_get(args, "max-bytes"),
               *floor = cli_args_get(args, "free-floor");
    o.max_age_s = age ? (int64_t)strtod(age, NULL) : 0; // checked with the other flags
    o.max_bytes = bytes ? strtoll(bytes, NULL, 10) : 0;
    o.free_floor = floor ? strtoll(floor, NULL, 10) : -1;
    fm_store *s = NULL;
    fm_error err;
    uint64_t last = 0;
    fm_store_counts c; // with what opening deleted: it keeps the bounds at once
    if (fm_store_open(&o, &s, &err) != FM_OK || fm_store_prune(s, &last, &err) != FM_OK ||
        fm_store_count(s, &c, &err) != FM_OK) {
        return fail(&s, &err);
    }
    printf("%llu frames deleted\n", (unsigned long long)c.deleted_frames);
    return close_store(&s, CLI_DONE);
}

int cli_cmd_store_rebuild(const cli_args *args)
{
    fm_store_opts o = opts_of(args, false);
    fm_store *s = NULL;
    fm_error err;
    if (fm_store_rebuild(&o, put_damage, NULL, &err) != FM_OK) {
        return fail(&s, &err);
    }
    // What was left behind the last whole picture is collected by this.
    if (fm_store_open(&o, &s, &err) != FM_OK) {
        return fail(&s, &err);
    }
    return close_store(&s, CLI_DONE);
}

typedef struct indexing {
    cli_signals *signals;
    bool quiet;
} indexing;

static bool on_indexing(const fm_store_indexing *now, void *opaque)
{
    indexing *v = opaque;
    if (!now->is_done && !v->quiet) {
        cli_progress_indexing(now);
    }
    if (now->is_done) {
        cli_status_line(NULL);
        printf("%s, features of %ss: %llu in the index, %llu in the graph\n", now->model, now->kind,
            (unsigned long long)now->features, (unsigned long long)now->in_graph);
    }
    return cli_signals_count(v->signals) == 0;
}

int cli_cmd_store_index(const cli_args *args)
{
    fm_store_opts o = opts_of(args, true);
    const char *threads = cli_args_get(args, "threads");
    indexing v = {.quiet = cli_args_on(args, "quiet")};
    fm_store *s = NULL;
    fm_error err;
    if (fm_store_open(&o, &s, &err) != FM_OK) {
        return fail(&s, &err);
    }
    v.signals = cli_signals_start(false);
    if (v.signals) {
        cli_signals_set_polite(v.signals);
    }
    fm_status st =
        fm_store_index(s, cli_args_on(args, "graph"), threads ? atoi(threads) : 0, on_indexing, &v, &err);
    cli_status_line(NULL);
    cli_signals_stop(&v.signals);
    if (st == FM_CANCELED) {
        return close_store(&s, CLI_INTERRUPTED);
    }
    return st == FM_OK ? close_store(&s, CLI_DONE) : fail(&s, &err);
}

int cli_cmd_store_export(const cli_args *args)
{
    fm_store_opts o = opts_of(args, true);
    const char *format = cli_args_get(args, "format");
    fm_store_format f = !format || strcmp(format, "coco") == 0 ? FM_STORE_COCO
                        : strcmp(format, "mot") == 0           ? FM_STORE_MOT
                                                               : FM_STORE_CSV;
    fm_store *s = NULL;
    fm_error err;
    if (fm_store_open(&o, &s, &err) != FM_OK ||
        fm_store_export(s, f, args->operands[1], cli_args_on(args, "pictures"), &err) != FM_OK) {
        return fail(&s, &err);
    }
    return close_store(&s, CLI_DONE);
}

int cli_cmd_store_import(const cli_args *args)
{
    fm_store_opts o = opts_of(args, false);
    fm_store *s = NULL;
    fm_error err;
    fm_store_imported n;
    if (fm_store_open(&o, &s, &err) != FM_OK || fm_store_import(s, args->operands[1], &n, &err) != FM_OK) {
        return fail(&s, &err);
    }
    printf("%llu streams, %llu frames, %llu objects, %llu pictures\n", (unsigned long long)n.streams,
        (unsigned long long)n.frames, (unsigned long long)n.objects, (unsigned long long)n.pictures);
    return close_store(&s, n.failed > 0 ? CLI_PARTLY : CLI_DONE);
}
