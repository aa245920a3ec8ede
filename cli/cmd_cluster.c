// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// `framemill cluster ...`: Ray is a Python package, so the work is that of the Python package framemill. The
// flags were checked here, as any command's are; this process then becomes the interpreter, which gets them
// again.

#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// What it says when the package is not there must not be a traceback.
static const char start[] =
    "import sys\n"
    "try:\n"
    "    from framemill.ray.cluster import main\n"
    "except ImportError as e:\n"
    "    sys.exit(f\"framemill: cluster needs the Python package framemill, and '{sys.executable}' cannot "
    "load "
    "it ({e}): pip install './python[ray]', or name another Python in FRAMEMILL_PYTHON\")\n"
    "sys.exit(main(sys.argv[1:]))\n";

// "--flag" of an option, or NULL.
static char *dashed(const fm_option *option)
{
    size_t size = strlen(option->flag) + 3;
    char *out = malloc(size);
    if (out) {
        snprintf(out, size, "--%s", option->flag);
    }
    return out;
}

// [words]: interpreter, program, subcommand, flags, operands, NULL. They live as long as the process.
static char **words_of(const cli_args *args, const char *python, const char *command)
{
    char **words = calloc(6 + 2 * args->flag_count + args->operand_count, sizeof(*words));
    if (!words) {
        return NULL;
    }
    size_t n = 0;
    const char *const first[] = {python, "-c", start, command};
    for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
        words[n++] = (char *)first[i];
    }
    for (size_t i = 0; i < args->flag_count; i++) {
        const cli_flag *f = &args->flags[i];
        bool is_switch = f->option->type == FM_OPTION_BOOL;
        if (is_switch && !cli_args_on(args, f->option->flag)) {
            continue;
        }
        if (!(words[n++] = dashed(f->option))) {
            return NULL;
        }
        if (!is_switch) {
            words[n++] = (char *)f->text;
        }
    }
    for (size_t i = 0; i < args->operand_count; i++) {
        words[n++] = args->operands[i];
    }
    return words;
}

static int become(const cli_args *args, const char *command)
{
    const char *python = getenv("FRAMEMILL_PYTHON");
    python = python && *python ? python : "python3";
    char **words = words_of(args, python, command);
    if (!words) {
        cli_error("out of memory");
        return CLI_FAILED;
    }
    execvp(python, words);
    cli_error("cluster needs Python, and '%s' cannot be started (%s): name one in FRAMEMILL_PYTHON", python,
        strerror(errno));
    return CLI_FAILED;
}

int cli_cmd_cluster_run(const cli_args *args)
{
    return become(args, "run");
}

int cli_cmd_cluster_status(const cli_args *args)
{
    return become(args, "status");
}
