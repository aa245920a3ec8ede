// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// `framemill doctor`: the library's checks, and the variables of the environment that the command heeds.

#include "cli.h"

#include <stdlib.h>
#include <string.h>

static const char *const state_names[] = {"ok", "note", "bad"};

static const char *const variables[] = {"FRAMEMILL_MODELS", "MODEL_PATH", "FRAMEMILL_MODEL_MIRROR",
    "FRAMEMILL_PYTHON", "FRAMEMILL_SHARE", "BATCH_SIZE", "CUDA_VISIBLE_DEVICES"};

static void put_json(const fm_check *c, bool first)
{
    fputs(first ? "[" : ",\n ", stdout);
    fputs("{\"group\":", stdout);
    cli_put_json(stdout, c->group);
    fputs(",\"name\":", stdout);
    cli_put_json(stdout, c->name);
    fputs(",\"state\":", stdout);
    cli_put_json(stdout, state_names[c->state]);
    fputs(",\"text\":", stdout);
    cli_put_json(stdout, c->text);
    fputs("}", stdout);
}

static void put_text(const fm_check *c, const char *group_before)
{
    static const char *const marks[] = {"  ", "- ", "! "};
    if (strcmp(c->group, group_before) != 0) {
        printf("%s%s\n", group_before[0] ? "\n" : "", c->group);
    }
    fputs(marks[c->state], stdout);
    cli_put_cell(stdout, c->name, 14);
    fputc(' ', stdout);
    cli_put_text(stdout, c->text);
    fputc('\n', stdout);
}

static bool environment_check(size_t i, fm_check *out)
{
    const char *value = getenv(variables[i]);
    *out = (fm_check){.state = FM_CHECK_OK, .group = "environment", .name = variables[i], .text = value};
    return value && value[0];
}

int cli_cmd_doctor(const cli_args *args)
{
    bool json = cli_args_on(args, "json"), bad = false;
    cli_paths paths;
    if (!cli_paths_find(&paths)) {
        return CLI_FAILED;
    }
    fm_model_store_opts store = cli_store_opts(&paths, FM_LOG_ERROR);
    fm_doctor *doctor = NULL;
    fm_error err;
    if (fm_doctor_new(&store, &doctor, &err) != FM_OK) {
        cli_error("%s", err.msg);
        cli_paths_done(&paths);
        return CLI_FAILED;
    }
    const char *group = "";
    size_t count = fm_doctor_count(doctor), total = count + sizeof(variables) / sizeof(variables[0]),
           shown = 0;
    for (size_t i = 0; i < total; i++) {
        fm_check env;
        const fm_check *c = i < count                            ? fm_doctor_get(doctor, i)
                            : environment_check(i - count, &env) ? &env
                                                                 : NULL;
        if (!c) {
            continue;
        }
        if (json) {
            put_json(c, shown++ == 0);
        } else {
            put_text(c, group);
        }
        group = c->group;
        bad = bad || c->state == FM_CHECK_BAD;
    }
    fputs(json ? "]\n" : "", stdout);
    fm_doctor_free(&doctor);
    cli_paths_done(&paths);
    return bad ? CLI_FAILED : CLI_DONE;
}
