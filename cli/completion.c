// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Completion scripts for bash, zsh and fish, made from the tables. Names of models come from the command
// itself when they are asked for, so that the user's own are among them.

#include "cli.h"

#include <string.h>

#define NAMES "framemill models list --names 2>/dev/null"

typedef enum source { SOURCE_NONE, SOURCE_WORDS, SOURCE_FILE, SOURCE_DIR, SOURCE_MODEL } source;

static source source_of(const fm_option *o)
{
    switch (o->type) {
    case FM_OPTION_FILE:
        return SOURCE_FILE;
    case FM_OPTION_DIR:
        return SOURCE_DIR;
    case FM_OPTION_MODEL:
        return SOURCE_MODEL;
    case FM_OPTION_BOOL:
    case FM_OPTION_INT:
    case FM_OPTION_NUMBER:
    case FM_OPTION_TEXT:
    case FM_OPTION_CHOICE:
    case FM_OPTION_LIST:
    case FM_OPTION_SIZE:
        return o->values ? SOURCE_WORDS : SOURCE_NONE;
    }
    return SOURCE_NONE;
}

static bool is_on_by_default(const fm_option *o)
{
    return o->type == FM_OPTION_BOOL && o->fallback && strcmp(o->fallback, "true") == 0;
}

// The name to offer for a flag: --no-x where x is the default.
static const char *shown_flag(const fm_option *o, char buf[64])
{
    snprintf(buf, 64, "%s%s", is_on_by_default(o) ? "no-" : "", o->flag);
    return buf;
}

// Text inside single quotes of a shell; with `escape`, those bytes get a backslash.
static void put_quoted(FILE *f, const char *text, const char *escape)
{
    for (; *text; text++) {
        if (*text == '\'') {
            fputs("'\\''", f);
        } else {
            fprintf(f, "%s%c", strchr(escape, *text) ? "\\" : "", *text);
        }
    }
}

/** Commands of two words, by their first. */
static const struct {
    const char *name, *about;
} groups[] = {
    {"models", "list, fetch, check and import models"},
    {"cluster", "run a configuration over a Ray cluster, and see what goes on there"},
    {"store", "look into a store, check, mend, export and fill it"},
};
#define GROUP_COUNT (sizeof(groups) / sizeof(*groups))

static const char *about_group(const char *name)
{
    for (size_t i = 0; i < GROUP_COUNT; i++) {
        if (strcmp(groups[i].name, name) == 0) {
            return groups[i].about;
        }
    }
    return "";
}

// First words of all commands, each once; calls put for each.
static void each_top_word(FILE *f, void (*put)(FILE *f, const char *word, const char *about))
{
    char last[32] = "";
    for (size_t i = 0; i < cli_command_count; i++) {
        const cli_command *c = &cli_commands[i];
        char word[32] = "";
        memcpy(word, c->name, strcspn(c->name, " "));
        if (!c->hidden && strcmp(word, last) != 0) {
            put(f, word, strchr(c->name, ' ') ? about_group(word) : c->about);
            memcpy(last, word, sizeof(last));
        }
    }
}

static void put_word(FILE *f, const char *word, const char *about)
{
    (void)about;
    fprintf(f, "%s ", word);
}

static void put_sub_words(FILE *f, const char *group)
{
    size_t len = strlen(group);
    for (size_t i = 0; i < cli_command_count; i++) {
        if (strncmp(cli_commands[i].name, group, len) == 0 && cli_commands[i].name[len] == ' ') {
            fprintf(f, "%s ", cli_commands[i].name + len + 1);
        }
    }
}

static void bash_value(FILE *f, const cli_command *c, const fm_option *o)
{
    static const char *const actions[] = {
        [SOURCE_NONE] = "return",
        [SOURCE_WORDS] = "_framemill_words \"$cur\" '%s'; return",
        [SOURCE_FILE] = "_framemill_paths -f \"$cur\"; return",
        [SOURCE_DIR] = "_framemill_paths -d \"$cur\"; return",
        [SOURCE_MODEL] = "_framemill_words \"$cur\" \"$(" NAMES ") %s\"; return",
    };
    const char *action = actions[source_of(o)], *hole = strstr(action, "%s");
    fprintf(f, "        '%s:--%s') ", c->name, o->flag);
    if (hole) {
        fprintf(f, "%.*s%s%s", (int)(hole - action), action, o->values ? o->values : "", hole + 2);
    } else {
        fputs(action, f);
    }
    fputs(" ;;\n", f);
}

static void bash_operands(FILE *f, const cli_command *c)
{
    switch (c->operand) {
    case CLI_OPERAND_NONE:
        break;
    case CLI_OPERAND_FILE:
        fputs("_framemill_paths -f \"$cur\" ", f);
        break;
    case CLI_OPERAND_MODEL:
        fputs("_framemill_words \"$cur\" \"$(" NAMES ")\" ", f);
        break;
    case CLI_OPERAND_SHELL:
        fputs("_framemill_words \"$cur\" 'bash zsh fish' ", f);
        break;
    case CLI_OPERAND_COMMAND:
        fputs("_framemill_words \"$cur\" '", f);
        each_top_word(f, put_word);
        fputs("' ", f);
        break;
    }
}

static void bash_command(FILE *f, const cli_command *c)
{
    const fm_option *o;
    char name[64];
    fprintf(f, "        '%s') if [[ $cur == -* ]]; then _framemill_words \"$cur\" '", c->name);
    for (size_t i = 0; (o = cli_command_flag(c, i)); i++) {
        if (!o->hidden) {
            fprintf(f, "--%s ", shown_flag(o, name));
        }
    }
    fputs("'; ", f);
    if (c->operand != CLI_OPERAND_NONE) {
        fputs("else ", f);
        bash_operands(f, c);
        fputs("; ", f);
    }
    fputs("fi ;;\n", f);
}

static void completion_bash(FILE *f)
{
    fputs("# bash completion of framemill; written by: framemill completion bash\n"
          "_framemill_words() { mapfile -t COMPREPLY < <(compgen -W \"$2\" -- \"$1\"); }\n"
          "_framemill_paths() { compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen \"$1\" -- "
          "\"$2\"); }\n"
          "_framemill() {\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd=${COMP_WORDS[1]} "
          "first=2\n"
          "    COMPREPLY=()\n"
          "    # --flag=value arrives as three words\n"
          "    if [[ $cur == = ]]; then cur=; elif [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; "
          "fi\n"
          "    if (( COMP_CWORD == 1 )); then _framemill_words \"$cur\" '",
        f);
    each_top_word(f, put_word);
    fputs("--help --version'; return; fi\n", f);
    for (size_t i = 0; i < GROUP_COUNT; i++) {
        fprintf(f,
            "    if [[ $cmd == %s ]]; then\n"
            "        if (( COMP_CWORD == 2 )); then _framemill_words \"$cur\" '",
            groups[i].name);
        put_sub_words(f, groups[i].name);
        fprintf(f, "--help'; return; fi\n        cmd=\"%s ${COMP_WORDS[2]}\"\n    fi\n", groups[i].name);
    }
    fputs("    case \"$cmd:$prev\" in\n", f);
    for (size_t i = 0; i < cli_command_count; i++) {
        const fm_option *o;
        for (size_t k = 0; (o = cli_command_flag(&cli_commands[i], k)); k++) {
            if (o->type != FM_OPTION_BOOL && !o->hidden) {
                bash_value(f, &cli_commands[i], o);
            }
        }
    }
    fputs("    esac\n    case \"$cmd\" in\n", f);
    for (size_t i = 0; i < cli_command_count; i++) {
        bash_command(f, &cli_commands[i]);
    }
    fputs("    esac\n}\ncomplete -F _framemill framemill\n", f);
}

static void zsh_action(FILE *f, const fm_option *o)
{
    switch (source_of(o)) {
    case SOURCE_NONE:
        fputs(" ", f);
        break;
    case SOURCE_WORDS:
        fprintf(f, "(%s)", o->values);
        break;
    case SOURCE_FILE:
        fputs("_files", f);
        break;
    case SOURCE_DIR:
        fputs("_files -/", f);
        break;
    case SOURCE_MODEL:
        fputs("_framemill_models", f);
        break;
    }
}

static void zsh_flag(FILE *f, const fm_option *o)
{
    char name[64];
    bool value = o->type != FM_OPTION_BOOL;
    fprintf(f, " \\\n                '--%s%s[", shown_flag(o, name), value ? "=" : "");
    put_quoted(f, is_on_by_default(o) ? "do not " : "", "");
    put_quoted(f, o->help, "[]:\\");
    fputs("]", f);
    if (value) {
        fputs(":", f);
        put_quoted(f, o->metavar, ":\\");
        fputs(":", f);
        zsh_action(f, o);
    }
    fputs("'", f);
}

static void zsh_operands(FILE *f, const cli_command *c)
{
    static const char *const actions[] = {
        [CLI_OPERAND_NONE] = NULL,
        [CLI_OPERAND_FILE] = "'*:file:_files'",
        [CLI_OPERAND_MODEL] = "'*:model:_framemill_models'",
        [CLI_OPERAND_SHELL] = "'1:shell:(bash zsh fish)'",
        [CLI_OPERAND_COMMAND] = "'1:command:_framemill_commands'",
    };
    if (actions[c->operand]) {
        fprintf(f, " \\\n                %s", actions[c->operand]);
    }
}

static void zsh_described(FILE *f, const char *word, const char *about)
{
    fprintf(f, " \\\n        '%s:", word);
    put_quoted(f, about, ":\\");
    fputs("'", f);
}

static void completion_zsh(FILE *f)
{
    fputs("#compdef framemill\n# zsh completion of framemill; written by: framemill completion zsh\n"
          "_framemill_models() {\n    local -a names\n    names=(${(f)\"$(" NAMES ")\"} motion none)\n"
          "    _describe 'model' names\n}\n_framemill_commands() {\n    local -a commands\n    commands=(",
        f);
    each_top_word(f, zsh_described);
    fputs(")\n    _describe 'command' commands\n}\n_framemill() {\n"
          "    if (( CURRENT == 2 )); then _framemill_commands; return; fi\n"
          "    local cmd=$words[2]\n    shift words; (( CURRENT-- ))\n",
        f);
    for (size_t i = 0; i < GROUP_COUNT; i++) {
        fprintf(f,
            "    if [[ $cmd == %s ]]; then\n"
            "        if (( CURRENT == 2 )); then local -a subs; subs=(",
            groups[i].name);
        put_sub_words(f, groups[i].name);
        fprintf(f,
            "); _describe 'command' subs; return; fi\n"
            "        cmd=\"%s $words[2]\"\n        shift words; (( CURRENT-- ))\n    fi\n",
            groups[i].name);
    }
    fputs("    case $cmd in\n", f);
    for (size_t i = 0; i < cli_command_count; i++) {
        const cli_command *c = &cli_commands[i];
        const fm_option *o;
        fprintf(f, "        '%s')\n            _arguments -S", c->name);
        for (size_t k = 0; (o = cli_command_flag(c, k)); k++) {
            if (!o->hidden) {
                zsh_flag(f, o);
            }
        }
        zsh_operands(f, c);
        fputs(" ;;\n", f);
    }
    fputs("    esac\n}\nif [[ $funcstack[1] == _framemill ]]; then _framemill \"$@\"; else compdef "
          "_framemill framemill; fi\n",
        f);
}

// The condition under which a line of a fish script counts.
static void fish_when(FILE *f, const cli_command *c)
{
    const char *space = strchr(c->name, ' ');
    if (space) {
        fprintf(f,
            "complete -c framemill -n '__fish_seen_subcommand_from %.*s; and __fish_seen_subcommand_from %s'",
            (int)(space - c->name), c->name, space + 1);
    } else {
        fprintf(f, "complete -c framemill -n '__fish_seen_subcommand_from %s'", c->name);
    }
}

static void fish_flag(FILE *f, const cli_command *c, const fm_option *o)
{
    char name[64];
    fish_when(f, c);
    fprintf(f, " -l %s", shown_flag(o, name));
    switch (source_of(o)) {
    case SOURCE_NONE:
        fputs(o->type == FM_OPTION_BOOL ? "" : " -x", f);
        break;
    case SOURCE_WORDS:
        fprintf(f, " -x -a '%s'", o->values);
        break;
    case SOURCE_FILE:
        fputs(" -r -F", f);
        break;
    case SOURCE_DIR:
        fputs(" -x -a '(__fish_complete_directories)'", f);
        break;
    case SOURCE_MODEL:
        fprintf(f, " -x -a '(" NAMES ") %s'", o->values ? o->values : "");
        break;
    }
    fputs(" -d '", f);
    put_quoted(f, is_on_by_default(o) ? "do not " : "", "");
    put_quoted(f, o->help, "");
    fputs("'\n", f);
}

static void fish_operands(FILE *f, const cli_command *c)
{
    static const char *const actions[] = {
        [CLI_OPERAND_NONE] = NULL,
        [CLI_OPERAND_FILE] = "-F",
        [CLI_OPERAND_MODEL] = "-a '(" NAMES ")'",
        [CLI_OPERAND_SHELL] = "-a 'bash zsh fish'",
        [CLI_OPERAND_COMMAND] = NULL,
    };
    if (actions[c->operand]) {
        fish_when(f, c);
        fprintf(f, " %s\n", actions[c->operand]);
    }
}

static void fish_top(FILE *f, const char *word, const char *about)
{
    fprintf(f, "complete -c framemill -n __fish_use_subcommand -a %s -d '", word);
    put_quoted(f, about, "");
    fputs("'\n", f);
}

static void fish_sub(FILE *f, const cli_command *c)
{
    const char *space = strchr(c->name, ' ');
    if (!space) {
        return;
    }
    int len = (int)(space - c->name);
    fprintf(f,
        "complete -c framemill -n '__fish_seen_subcommand_from %.*s; and not __fish_seen_subcommand_from ",
        len, c->name);
    char group[32] = "";
    memcpy(group, c->name, (size_t)len);
    put_sub_words(f, group);
    fprintf(f, "' -a %s -d '", space + 1);
    put_quoted(f, c->about, "");
    fputs("'\n", f);
}

static void completion_fish(FILE *f)
{
    fputs("# fish completion of framemill; written by: framemill completion fish\ncomplete -c framemill -f\n",
        f);
    each_top_word(f, fish_top);
    for (size_t i = 0; i < cli_command_count; i++) {
        const cli_command *c = &cli_commands[i];
        const fm_option *o;
        fish_sub(f, c);
        fish_operands(f, c);
        for (size_t k = 0; (o = cli_command_flag(c, k)); k++) {
            if (!o->hidden) {
                fish_flag(f, c, o);
            }
        }
    }
}

bool cli_completion(FILE *f, const char *shell)
{
    static const struct {
        const char *name;
        void (*write)(FILE *f);
    } shells[] = {{"bash", completion_bash}, {"zsh", completion_zsh}, {"fish", completion_fish}};
    for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++) {
        if (strcmp(shell, shells[i].name) == 0) {
            shells[i].write(f);
            return true;
        }
    }
    return false;
}
