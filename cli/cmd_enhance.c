// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// `framemill enhance`: a picture, a folder of pictures or a video made better. The first Ctrl-C ends after
// the picture or frame under way, the second at once.

#include "cli.h"

#include <stdlib.h>

typedef struct view {
    cli_signals *signals; // NULL where they could not be watched
    bool quiet;
} view;

static bool on_progress(const fm_enhance_progress *p, void *opaque)
{
    const view *v = opaque;
    if (!v->quiet) {
        cli_progress_pictures(p);
    }
    return !v->signals || cli_signals_count(v->signals) == 0;
}

static int exit_code(fm_status st, const fm_enhance_progress *done, const fm_error *err)
{
    if (st == FM_CANCELED) {
        return CLI_INTERRUPTED;
    }
    if (st != FM_OK) {
        cli_error("%s", err->msg);
        return st == FM_INVAL ? CLI_USAGE : CLI_FAILED;
    }
    return done->failed ? CLI_PARTLY : CLI_DONE;
}

// Checked by its option; 0 where it is not given.
int cli_cmd_enhance(const cli_args *args)
{
    view v = {.quiet = cli_args_on(args, "quiet")};
    cli_paths paths;
    fm_enhance_progress done = {0};
    fm_error err;
    fm_enhance_opts opts = FM_ENHANCE_OPTS_INIT;
    opts.input = args->operands[0];
    opts.output = cli_args_get(args, "output");
    opts.denoise = cli_args_get(args, "denoise");
    opts.color = cli_args_get(args, "color");
    opts.lut = cli_args_get(args, "lut");
    opts.sr = cli_args_get(args, "sr");
    opts.sr_tile = (int)cli_args_number(args, "sr-tile");
    opts.device = cli_args_get(args, "device");
    opts.precision = cli_args_get(args, "precision");
    opts.compare = cli_args_get(args, "compare");
    opts.codec = cli_args_get(args, "codec");
    opts.preset = cli_args_get(args, "preset");
    opts.quality = (int)cli_args_number(args, "quality");
    opts.strip = cli_args_on(args, "strip");
    opts.max_pixels = (int64_t)cli_args_number(args, "max-pixels");
    opts.max_frames = (uint64_t)cli_args_number(args, "frames");
    opts.threads = (int)cli_args_number(args, "threads");
    opts.log = (fm_log){.fn = cli_log_line, .level = FM_LOG_WARN};
    opts.progress = on_progress;
    opts.opaque = &v;
    if (!opts.output) {
        return cli_usage("enhance: needs -o OUT; see: framemill enhance --help");
    }
    if (!cli_paths_find(&paths)) {
        return CLI_FAILED;
    }
    fm_model_store_opts store = cli_store_opts(&paths, FM_LOG_WARN);
    opts.store = &store;
    v.signals = cli_signals_start(false);
    if (v.signals) {
        cli_signals_set_polite(v.signals);
    }
    fm_status st = fm_enhance(&opts, &done, &err);
    cli_status_line(NULL);
    cli_signals_stop(&v.signals);
    cli_paths_done(&paths);
    return exit_code(st, &done, &err);
}
