// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// `framemill help`, `framemill completion` and `framemill version`.

#include "cli.h"

#include <string.h>

static int put_schema(void)
{
    char *text = NULL;
    fm_error err;
    if (fm_config_schema(&text, &err) != FM_OK) {
        cli_error("%s", err.msg);
        return CLI_FAILED;
    }
    fputs(text, stdout);
    fm_free(text);
    return CLI_DONE;
}

static int help_on(char **words, size_t count)
{
    char name[64];
    if (count == 1 && cli_is_group(words[0])) {
        cli_help_group(stdout, words[0]);
        return CLI_DONE;
    }
    snprintf(name, sizeof(name), count > 1 ? "%.30s %.30s" : "%.60s", words[0], words[1]);
    const cli_command *command = cli_command_find(name);
    if (!command) {
        return cli_usage("there is no command '%s'; see: framemill help", name);
    }
    cli_help_command(stdout, command);
    return CLI_DONE;
}

int cli_cmd_help(const cli_args *args)
{
    if (cli_args_on(args, "man")) {
        cli_man(stdout);
    } else if (cli_args_on(args, "markdown")) {
        cli_markdown(stdout);
    } else if (cli_args_on(args, "schema")) {
        return put_schema();
    } else if (args->operand_count) {
        return help_on(args->operands, args->operand_count);
    } else {
        cli_help_overview(stdout);
    }
    return CLI_DONE;
}

int cli_cmd_completion(const cli_args *args)
{
    return cli_completion(stdout, args->operands[0])
               ? CLI_DONE
               : cli_usage("completion: expected bash, zsh or fish, got '%s'", args->operands[0]);
}

int cli_cmd_version(const cli_args *args)
{
    if (cli_args_on(args, "json")) {
        fputs("{\"version\":", stdout);
        cli_put_json(stdout, fm_version());
        fputs("}\n", stdout);
    } else {
        printf("framemill %s\n", fm_version());
    }
    return CLI_DONE;
}
