// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Entry of the command: finds the command that the first words name, parses its flags, calls it, and makes
// sure that what went to standard output got there.

#include "cli.h"

#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

// A process may be started with one of its three descriptors closed; the next file opened would take its
// number and receive what was meant for the user. Reading or writing these placeholders fails or gives
// nothing.
static void hold_standard_descriptors(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDONLY);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO) {
        close(fd);
    }
}

// Does a word look like something to read rather than a command?
static bool looks_like_input(const char *word)
{
    return strpbrk(word, "/:.") != NULL || access(word, F_OK) == 0;
}

static int unknown_command(const char *word)
{
    const char *names[64];
    size_t n = 0;
    for (size_t i = 0; i < cli_command_count && n < 61; i++) {
        if (!cli_commands[i].hidden) {
            names[n++] = cli_commands[i].name;
        }
    }
    names[n++] = "models";
    names[n++] = "store";
    names[n++] = "cluster";
    const char *near = fm_suggest(word, names, n);
    if (near) {
        return cli_usage("unknown command '%s'; did you mean: framemill %s", word, near);
    }
    if (looks_like_input(word)) {
        return cli_usage("to read a video or a picture: framemill run INPUT...");
    }
    return cli_usage("unknown command '%s'; see: framemill help", word);
}

static int unknown_subcommand(const char *group, const char *word)
{
    const char *names[32];
    size_t n = 0, len = strlen(group) + 1;
    for (size_t i = 0; i < cli_command_count; i++) {
        if (strncmp(cli_commands[i].name, group, len - 1) == 0 && cli_commands[i].name[len - 1] == ' ') {
            names[n++] = cli_commands[i].name + len;
        }
    }
    const char *near = fm_suggest(word, names, n);
    return near
               ? cli_usage("unknown command '%s %s'; did you mean: framemill %s %s", group, word, group, near)
               : cli_usage("unknown command '%s %s'; see: framemill %s --help", group, word, group);
}

static int run_command(const cli_command *command, int argc, char **argv)
{
    cli_args args;
    int code = cli_args_parse(command, argc, argv, &args);
    if (code != CLI_DONE) {
        return code;
    }
    if (cli_args_on(&args, "help")) {
        cli_help_command(stdout, command);
    } else {
        code = command->run(&args);
    }
    cli_args_done(&args);
    return code;
}

static bool asks_for_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static int dispatch_group(int argc, char **argv)
{
    if (argc < 3) {
        return cli_usage("'%s' needs a command; see: framemill %s --help", argv[1], argv[1]);
    }
    if (asks_for_help(argv[2])) {
        cli_help_group(stdout, argv[1]);
        return CLI_DONE;
    }
    char name[64];
    snprintf(name, sizeof(name), "%.30s %.30s", argv[1], argv[2]);
    const cli_command *command = cli_command_find(name);
    return command ? run_command(command, argc - 3, argv + 3) : unknown_subcommand(argv[1], argv[2]);
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        cli_help_overview(stderr);
        return CLI_USAGE;
    }
    if (asks_for_help(argv[1])) {
        cli_help_overview(stdout);
        return CLI_DONE;
    }
    if (cli_is_group(argv[1])) {
        return dispatch_group(argc, argv);
    }
    const char *word = strcmp(argv[1], "--version") == 0 ? "version" : argv[1];
    const cli_command *command = strchr(word, ' ') ? NULL : cli_command_find(word);
    if (command) {
        return run_command(command, argc - 2, argv + 2);
    }
    if (word[0] == '-') {
        return cli_usage("flags follow a command, as in: framemill run --help");
    }
    return unknown_command(word);
}

int main(int argc, char **argv)
{
    hold_standard_descriptors();
    signal(SIGPIPE, SIG_IGN);
    setlocale(LC_CTYPE, "");
    return cli_finish_stdout(dispatch(argc, argv));
}
