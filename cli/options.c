// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Flags from the command line. `--flag value` and `--flag=value` are the same; a flag without value may be
// written
// --flag, --no-flag, --flag=true or --flag=false; `--` ends the flags; flags and operands may be mixed. -o is
// --output. Values are checked by the option's own type and range, so that a wrong one is an error before
// anything starts. Of a repeated flag the last one counts.

#include "cli.h"

#include <stdlib.h>
#include <string.h>

static const fm_option help_flag = {
    .flag = "help", .type = FM_OPTION_BOOL, .group = "Other", .help = "show this help and leave"};

const cli_command *cli_command_find(const char *name)
{
    for (size_t i = 0; i < cli_command_count; i++) {
        if (strcmp(cli_commands[i].name, name) == 0) {
            return &cli_commands[i];
        }
    }
    return NULL;
}

bool cli_is_group(const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0; i < cli_command_count; i++) {
        if (strncmp(cli_commands[i].name, word, len) == 0 && cli_commands[i].name[len] == ' ') {
            return true;
        }
    }
    return false;
}

const fm_option *cli_command_flag(const cli_command *command, size_t index)
{
    for (size_t i = 0; command->has_settings && i < fm_option_count(); i++) {
        const fm_option *o = fm_option_get(i);
        if (o->flag && index-- == 0) {
            return o;
        }
    }
    for (const fm_option *o = command->own; o && o->flag; o++) {
        if (index-- == 0) {
            return o;
        }
    }
    return index == 0 ? &help_flag : NULL;
}

// The option of a flag's name (len bytes); *negated for --no-x.
static const fm_option *find_flag(const cli_command *command, const char *name, size_t len, bool *negated)
{
    const fm_option *o;
    for (size_t i = 0; (o = cli_command_flag(command, i)); i++) {
        bool no = o->type == FM_OPTION_BOOL && len > 3 && strncmp(name, "no-", 3) == 0;
        if (strlen(o->flag) == len && strncmp(o->flag, name, len) == 0) {
            *negated = false;
            return o;
        }
        if (no && strlen(o->flag) == len - 3 && strncmp(o->flag, name + 3, len - 3) == 0) {
            *negated = true;
            return o;
        }
    }
    return NULL;
}

static int unknown_flag(const cli_command *command, const char *word, size_t len)
{
    const char *names[64];
    size_t n = 0;
    const fm_option *o;
    for (size_t i = 0; n < 64 && (o = cli_command_flag(command, i)); i++) {
        if (!o->hidden) {
            names[n++] = o->flag;
        }
    }
    size_t dashes = strspn(word, "-") < len ? strspn(word, "-") : len;
    char name[64] = "";
    snprintf(name, sizeof(name), "%.*s", (int)(len - dashes), word + dashes);
    const char *near = fm_suggest(name, names, n);
    return near
               ? cli_usage("%s: unknown flag '%.*s'; did you mean --%s?", command->name, (int)len, word, near)
               : cli_usage("%s: unknown flag '%.*s'; see: framemill %s --help", command->name, (int)len, word,
                     command->name);
}

// The text of a flag's value; takes the next word where the flag has none of its own. NULL with the error
// said.
static const char *flag_text(
    const cli_command *command, const fm_option *o, bool negated, const char *inline_text, char ***next)
{
    if (o->type == FM_OPTION_BOOL) {
        if (negated && inline_text) {
            cli_usage("%s: --no-%s takes no value", command->name, o->flag);
            return NULL;
        }
        return inline_text ? inline_text : negated ? "false" : "true";
    }
    if (inline_text) {
        return inline_text;
    }
    const char *word = **next;
    if (!word || strncmp(word, "--", 2) == 0) {
        cli_usage("%s: --%s needs a value: --%s %s", command->name, o->flag, o->flag, o->metavar);
        return NULL;
    }
    (*next)++;
    return word;
}

// One flag at word; *next is moved past its value.
static int parse_flag(const cli_command *command, const char *word, char ***next, cli_flag *out)
{
    const char *name = word + 2;
    size_t len = strcspn(name, "=");
    bool negated = false;
    const fm_option *o = find_flag(command, name, len, &negated);
    if (!o) {
        return unknown_flag(command, word, len + 2);
    }
    const char *text = flag_text(command, o, negated, name[len] ? name + len + 1 : NULL, next);
    if (!text) {
        return CLI_USAGE;
    }
    fm_error err;
    if (fm_option_check(o, text, &err) != FM_OK) {
        return cli_usage("%s: --%s: %s", command->name, o->flag, err.msg);
    }
    *out = (cli_flag){.option = o, .text = text};
    return CLI_DONE;
}

static bool takes_output(const cli_command *command)
{
    bool negated;
    return find_flag(command, "output", strlen("output"), &negated) != NULL;
}

static int check_operands(const cli_args *a)
{
    const cli_command *c = a->command;
    int n = (int)a->operand_count;
    if (cli_args_on(a, "help")) {
        return CLI_DONE;
    }
    if (n < c->min_operands) {
        return cli_usage("%s: needs %s; see: framemill %s --help", c->name, c->operands, c->name);
    }
    if (c->max_operands >= 0 && n > c->max_operands) {
        return cli_usage("%s: does not take '%s'; see: framemill %s --help", c->name,
            a->operands[c->max_operands], c->name);
    }
    return CLI_DONE;
}

int cli_args_parse(const cli_command *command, int argc, char **argv, cli_args *out)
{
    cli_flag *flags = calloc((size_t)argc + 1, sizeof(*flags));
    char **operands = calloc((size_t)argc + 1, sizeof(*operands));
    cli_args args = {.command = command, .flags = flags, .operands = operands};
    int code = CLI_DONE;
    if (!flags || !operands) {
        cli_error("out of memory");
        code = CLI_FAILED;
    }
    bool flags_over = false;
    for (char **next = argv; code == CLI_DONE && *next;) {
        char *word = *next++;
        if (flags_over || word[0] != '-' || word[1] == 0) {
            operands[args.operand_count++] = word;
        } else if (strcmp(word, "--") == 0) {
            flags_over = true;
        } else if (strcmp(word, "-h") == 0) {
            flags[args.flag_count++] = (cli_flag){.option = &help_flag, .text = "true"};
        } else if (strcmp(word, "-o") == 0 && takes_output(command)) {
            code = parse_flag(command, "--output", &next, &flags[args.flag_count]);
            args.flag_count += code == CLI_DONE;
        } else if (word[1] != '-') {
            code = unknown_flag(command, word, strcspn(word, "="));
        } else {
            code = parse_flag(command, word, &next, &flags[args.flag_count]);
            args.flag_count += code == CLI_DONE;
        }
    }
    code = code == CLI_DONE ? check_operands(&args) : code;
    if (code != CLI_DONE) {
        cli_args_done(&args);
        return code;
    }
    *out = args;
    return CLI_DONE;
}

void cli_args_done(cli_args *args)
{
    free((void *)args->flags);
    free(args->operands);
    memset(args, 0, sizeof(*args));
}

const char *cli_args_get(const cli_args *args, const char *flag)
{
    const char *text = NULL;
    for (size_t i = 0; i < args->flag_count; i++) {
        if (strcmp(args->flags[i].option->flag, flag) == 0) {
            text = args->flags[i].text;
        }
    }
    return text;
}

bool cli_args_on(const cli_args *args, const char *flag)
{
    const char *text = cli_args_get(args, flag);
    return text && (text[0] == 't' || text[0] == 'T');
}

double cli_args_number(const cli_args *args, const char *flag)
{
    const char *text = cli_args_get(args, flag);
    return text ? strtod(text, NULL) : 0;
}
