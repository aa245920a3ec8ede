// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The tables of docs/config.md; a test compares the page with what is written here.

#include "cli.h"

#include <string.h>

static void put_cell(FILE *f, const char *text)
{
    fputs(text[0] ? "| " : "|", f);
    for (; *text; text++) {
        if (*text == '|') {
            fputs("\\|", f);
        } else {
            fputc(*text, f);
        }
    }
    fputc(' ', f);
}

static void put_row(FILE *f, const fm_option *o)
{
    char buf[256], expected[256];
    snprintf(buf, sizeof(buf), o->also ? "`%s`, `%s`" : "`%s`", o->key, o->also);
    put_cell(f, buf);
    snprintf(buf, sizeof(buf), "`--%s`", o->flag ? o->flag : "");
    put_cell(f, o->flag ? buf : "");
    fm_option_expected(o, expected, sizeof(expected));
    put_cell(f, o->type == FM_OPTION_SIZE ? "[width, height]" : expected);
    put_cell(f, o->fallback ? o->fallback : "");
    put_cell(f, o->help);
    fputs("|\n", f);
}

void cli_markdown(FILE *f)
{
    const char *group = "";
    const fm_option *o;
    for (size_t i = 0; (o = fm_option_get(i)); i++) {
        if (o->hidden) {
            continue;
        }
        if (strcmp(group, o->group) != 0) {
            fprintf(f, "%s### %s\n\n| key | flag | value | default | what it does |\n|---|---|---|---|---|\n",
                group[0] ? "\n" : "", o->group);
            group = o->group;
        }
        put_row(f, o);
    }
}
