// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The man page framemill(1), in the man(7) macros, made from the tables.

#include "cli.h"

#include <string.h>

// Text as roff shows it unchanged: '-' as a minus sign that can be copied, no escapes, no line that starts
// with a macro.
static void put(FILE *f, const char *text)
{
    bool line_start = true;
    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\'')) {
            fputs("\\&", f);
        }
        fputs(*text == '\\' ? "\\e" : *text == '-' ? "\\-" : *text == '~' ? "\\(ti" : (char[2]){*text, 0}, f);
        line_start = *text == '\n';
    }
}

static void put_flags(FILE *f, const cli_command *command)
{
    const fm_option *o;
    for (size_t i = 0; (o = cli_command_flag(command, i)); i++) {
        char usage[64], facts[384];
        if (o->hidden || strcmp(o->flag, "help") == 0) {
            continue;
        }
        cli_flag_usage(o, usage, sizeof(usage));
        cli_flag_facts(o, facts, sizeof(facts));
        fputs(".TP\n.B ", f);
        put(f, usage);
        fputc('\n', f);
        put(f, o->help);
        if (facts[0]) {
            fputs(" (", f);
            put(f, facts);
            fputc(')', f);
        }
        fputs(".\n", f);
    }
}

static void put_command(FILE *f, const cli_command *c)
{
    fputs(".SS framemill ", f);
    put(f, c->name);
    fputc(' ', f);
    put(f, c->operands);
    fputc('\n', f);
    put(f, c->about);
    fputs(".\n", f);
    if (c->text) {
        fputs(".PP\n", f);
        put(f, c->text);
        fputc('\n', f);
    }
    put_flags(f, c);
    if (c->examples) {
        fputs(".PP\nExamples:\n.PP\n.nf\n.RS 4\n", f);
        put(f, c->examples);
        fputs("\n.RE\n.fi\n", f);
    }
}

static const struct {
    const char *name, *text;
} variables[] = {
    {"FRAMEMILL_MODELS", "folder of model weights; else MODEL_PATH, else $XDG_DATA_HOME/framemill/models"},
    {"FRAMEMILL_MODEL_MIRROR", "folder that models are taken from before the network is tried"},
    {"FRAMEMILL_PYTHON", "Python with the package openvino, used by models fetch and models import"},
    {"FRAMEMILL_SHARE",
        "folder of the files that come with framemill, where it is not beside the executable"},
    {"BATCH_SIZE", "batch size, where neither a flag nor the configuration says one"},
};

void cli_man(FILE *f)
{
    fprintf(f, ".TH FRAMEMILL 1 2026-11-22 \"framemill %s\" \"User Commands\"\n", fm_version());
    fputs(".SH NAME\nframemill \\- neural networks over many video streams\n.SH SYNOPSIS\n.B framemill\n"
          ".I command\n.RI [ flag \\&...]\n.RI [ operand \\&...]\n.SH DESCRIPTION\n"
          "framemill takes many video streams or folders of pictures and runs neural networks over them, in "
          "batches\n"
          "formed across the streams.\n"
          "A flag's value may follow it or stand behind an equals sign; \\-\\- ends the flags.\n"
          ".SH COMMANDS\n",
        f);
    for (size_t i = 0; i < cli_command_count; i++) {
        if (!cli_commands[i].hidden) {
            put_command(f, &cli_commands[i]);
        }
    }
    fputs(".SH ENVIRONMENT\n", f);
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        fprintf(f, ".TP\n.B %s\n", variables[i].name);
        put(f, variables[i].text);
        fputs(".\n", f);
    }
    fputs(".SH EXIT STATUS\n.TP\n.B 0\nDone.\n.TP\n.B 1\nFailed.\n.TP\n.B 2\nWrong usage.\n.TP\n.B 3\n"
          "Done, but some streams or files failed.\n.TP\n.B 130\nInterrupted.\n",
        f);
}
