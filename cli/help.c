// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Help for people, made from the tables of commands and options.

#include "cli.h"

#include <string.h>

#define FLAG_COLUMN 26 // where help texts start
#define LINE_WIDTH 100

void cli_flag_usage(const fm_option *o, char *buf, size_t size)
{
    bool on_by_default = o->type == FM_OPTION_BOOL && o->fallback && strcmp(o->fallback, "true") == 0;
    if (on_by_default) {
        snprintf(buf, size, "--[no-]%s", o->flag);
    } else if (o->type == FM_OPTION_BOOL) {
        snprintf(buf, size, "--%s", o->flag);
    } else {
        snprintf(buf, size, "--%s %s", o->flag, o->metavar);
    }
}

// "0..1", "1..256 or auto", "from 1": an upper end that nobody reaches is left out.
static size_t put_range(const fm_option *o, char *buf, size_t size)
{
    const char *or_words = o->values ? " or " : "", *words = o->values ? o->values : "";
    int n = o->max < 1e9 ? snprintf(buf, size, "%g..%g%s%s", o->min, o->max, or_words, words)
                         : snprintf(buf, size, "from %.0f%s%s", o->min, or_words, words);
    return (size_t)n < size ? (size_t)n : size - 1;
}

void cli_flag_facts(const fm_option *o, char *buf, size_t size)
{
    size_t n = 0;
    buf[0] = 0;
    if (o->type == FM_OPTION_INT || o->type == FM_OPTION_NUMBER) {
        n = put_range(o, buf, size);
    } else if (o->type == FM_OPTION_CHOICE) {
        fm_option_expected(o, buf, size);
        n = strlen(buf);
    }
    if (o->fallback && o->type != FM_OPTION_BOOL) {
        snprintf(buf + n, size - n, "%sdefault %s", n ? "; " : "", o->fallback);
    }
}

// Words of text from FLAG_COLUMN on, wrapped.
static void put_wrapped(FILE *f, const char *text)
{
    size_t at = FLAG_COLUMN;
    for (const char *w = text; *w;) {
        size_t len = strcspn(w, " ");
        if (at + len > LINE_WIDTH && w != text) {
            fprintf(f, "\n%*s", FLAG_COLUMN, "");
            at = FLAG_COLUMN;
        } else if (w != text) {
            fputc(' ', f);
        }
        fprintf(f, "%.*s", (int)len, w);
        at += len + 1;
        w += len + strspn(w + len, " ");
    }
    fputc('\n', f);
}

static void put_flag(FILE *f, const fm_option *o)
{
    char usage[64], facts[384], text[512];
    cli_flag_usage(o, usage, sizeof(usage));
    cli_flag_facts(o, facts, sizeof(facts));
    snprintf(text, sizeof(text), facts[0] ? "%s (%s)" : "%s", o->help, facts);
    size_t at = (size_t)fprintf(f, "  %-*s", FLAG_COLUMN - 2, usage);
    if (at > FLAG_COLUMN) {
        fprintf(f, "\n%*s", FLAG_COLUMN, "");
    }
    put_wrapped(f, text);
}

static void put_flags(FILE *f, const cli_command *command)
{
    const char *group = "";
    const fm_option *o;
    for (size_t i = 0; (o = cli_command_flag(command, i)); i++) {
        if (o->hidden) {
            continue;
        }
        if (strcmp(group, o->group) != 0) {
            group = o->group;
            fprintf(f, "\n%s\n", command->has_settings ? group : "Flags");
        }
        put_flag(f, o);
    }
}

static void put_lines(FILE *f, const char *text)
{
    for (const char *line = text; *line;) {
        size_t len = strcspn(line, "\n");
        fprintf(f, "  %.*s\n", (int)len, line);
        line += len + (line[len] == '\n');
    }
}

void cli_help_command(FILE *f, const cli_command *command)
{
    fprintf(f, "framemill %s [FLAG...]%s%s\n%s\n", command->name, command->operands[0] ? " " : "",
        command->operands, command->about);
    if (command->text) {
        fprintf(f, "\n%s\n", command->text);
    }
    put_flags(f, command);
    if (command->examples) {
        fputs("\nExamples\n", f);
        put_lines(f, command->examples);
    }
}

static void put_command(FILE *f, const cli_command *c)
{
    char usage[64];
    snprintf(usage, sizeof(usage), "%s %s", c->name, c->operands);
    fprintf(f, "  %-28s %s\n", usage, c->about);
}

void cli_help_group(FILE *f, const char *word)
{
    size_t len = strlen(word);
    fprintf(f, "framemill %s COMMAND\n\n", word);
    for (size_t i = 0; i < cli_command_count; i++) {
        if (strncmp(cli_commands[i].name, word, len) == 0 && cli_commands[i].name[len] == ' ') {
            put_command(f, &cli_commands[i]);
        }
    }
    fprintf(f, "\nframemill help %s COMMAND explains one.\n", word);
}

void cli_help_overview(FILE *f)
{
    fprintf(f, "framemill %s: neural networks over many video streams\n\n", fm_version());
    for (size_t i = 0; i < cli_command_count; i++) {
        if (!cli_commands[i].hidden) {
            put_command(f, &cli_commands[i]);
        }
    }
    fputs("\nframemill help COMMAND explains one. Start with:\n"
          "  framemill models fetch yolox-nano\n"
          "  framemill run video.mp4\n",
        f);
}
