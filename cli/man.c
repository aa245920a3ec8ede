// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The man page framemill(1), in the man(7) macros, made from the tables.

#include "cli.h"

#include <string.h>

#define LINE_WIDTH 76 // of the source; roff fills lines itself

static int put_char(FILE *f, char c)
{
    return c == '\\'  ? fprintf(f, "\\e")
           : c == '-' ? fprintf(f, "\\-")
           : c == '~' ? fprintf(f, "\\(ti")
                      : fprintf(f, "%c", c);
}

// Text as roff shows it unchanged: '-' as a minus sign that can be copied, no escapes, no line that starts
// with a macro.
static void put(FILE *f, const char *text)
{
    bool line_start = true;
    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\'')) {
            fputs("\\&", f);
        }
        put_char(f, *text);
        line_start = *text == '\n';
    }
}

// A paragraph: its words on lines of their own making.
static void put_filled(FILE *f, const char *text)
{
    int at = 0;
    for (const char *w = text + strspn(text, " \n"); *w;) {
        size_t len = strcspn(w, " \n");
        if (at && at + (int)len > LINE_WIDTH) {
            fputc('\n', f);
            at = 0;
        } else if (at) {
            at += fprintf(f, " ");
        }
        if (at == 0 && (*w == '.' || *w == '\'')) {
            at += fprintf(f, "\\&");
        }
        for (size_t i = 0; i < len; i++) {
            at += put_char(f, w[i]);
        }
        w += len + strspn(w + len, " \n");
    }
    fputc('\n', f);
}

static void put_flags(FILE *f, const cli_command *command)
{
    const fm_option *o;
    for (size_t i = 0; (o = cli_command_flag(command, i)); i++) {
        char usage[64], facts[384], text[512];
        if (o->hidden || strcmp(o->flag, "help") == 0) {
            continue;
        }
        cli_flag_usage(o, usage, sizeof(usage));
        cli_flag_facts(o, facts, sizeof(facts));
        fputs(".TP\n.B ", f);
        put(f, usage);
        fputc('\n', f);
        snprintf(text, sizeof(text), facts[0] ? "%s (%s)." : "%s.", o->help, facts);
        put_filled(f, text);
    }
}

static void put_command(FILE *f, const cli_command *c)
{
    fputs(".SS framemill ", f);
    put(f, c->name);
    fputs(c->operands[0] ? " " : "", f);
    put(f, c->operands);
    fputc('\n', f);
    put(f, c->about);
    fputs(".\n", f);
    if (c->text) {
        fputs(".PP\n", f);
        put_filled(f, c->text);
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
          "framemill takes many video streams or folders of pictures and runs neural\n"
          "networks over them, in batches formed across the streams.\n"
          "A flag's value may follow it or stand behind an equals sign;\n"
          "\\-\\- ends the flags.\n"
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
        put_filled(f, variables[i].text);
    }
    fputs(".SH EXIT STATUS\n.TP\n.B 0\nDone.\n.TP\n.B 1\nFailed.\n.TP\n.B 2\nWrong usage.\n.TP\n.B 3\n"
          "Done, but some streams or files failed.\n.TP\n.B 130\nInterrupted.\n",
        f);
}
