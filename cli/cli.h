// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The command `framemill`: the first user of the public API, and of nothing else of the library.
 *
 *  A command is a row of cli_commands (commands.c): its flags, operands and texts. Parsing, help, the man
 * page and completion are all made from those rows and from the library's table of options. */
#ifndef FM_CLI_CLI_H
#define FM_CLI_CLI_H

#include <framemill/framemill.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum {
    CLI_DONE = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_PARTLY = 3,
    CLI_INTERRUPTED = 130,
};

typedef struct cli_args cli_args;

/** What a command's operands are, for completion. */
typedef enum cli_operand {
    CLI_OPERAND_NONE,
    CLI_OPERAND_FILE,
    CLI_OPERAND_MODEL,
    CLI_OPERAND_SHELL,
    CLI_OPERAND_COMMAND
} cli_operand;

typedef struct cli_command {
    const char *name;     // "run", "models fetch"
    const char *operands; // as shown: "[INPUT...]"; "" for none
    cli_operand operand;
    int min_operands, max_operands; // max -1: any number
    const char *about;              // one line
    const char *text;               // paragraphs under the flags, or NULL
    const char *examples;           // lines "command   # what for", or NULL
    bool has_settings;              // takes the library's options as flags
    const fm_option *own;           // flags of its own, ended by one without flag
    int (*run)(const cli_args *args);
    bool hidden; // an alias, left out of lists
} cli_command;

extern const cli_command cli_commands[];
extern const size_t cli_command_count;

typedef struct cli_flag {
    const fm_option *option;
    const char *text;
} cli_flag;

struct cli_args {
    const cli_command *command;
    const cli_flag *flags; // in the order given
    size_t flag_count;
    char **operands;
    size_t operand_count;
};

// commands.c, options.c
const cli_command *cli_command_find(const char *name);
/** Is there a command of two words that starts with this one? */
bool cli_is_group(const char *word);
/** Flags of a command in the order of help: NULL past the end. */
const fm_option *cli_command_flag(const cli_command *command, size_t index);
/** Parses argv from the first word after the command's name. 0, or CLI_USAGE with the error said. Free args
 * with cli_args_done. */
int cli_args_parse(const cli_command *command, int argc, char **argv, cli_args *out);
void cli_args_done(cli_args *args);
/** Text of the last such flag, or NULL. */
const char *cli_args_get(const cli_args *args, const char *flag);
bool cli_args_on(const cli_args *args, const char *flag);
/** The flag as a number, which its option has checked; 0 when it is not there or "auto". */
double cli_args_number(const cli_args *args, const char *flag);

// help.c, man.c, markdown.c, completion.c: everything made from the tables
void cli_help_overview(FILE *f);
void cli_help_command(FILE *f, const cli_command *command);
void cli_help_group(FILE *f, const char *word);
void cli_man(FILE *f);
void cli_markdown(FILE *f);
bool cli_completion(FILE *f, const char *shell);
/** "--batch N", "--[no-]cache". */
void cli_flag_usage(const fm_option *option, char *buf, size_t size);
/** "from 0 to 1, default 0.5" or "". */
void cli_flag_facts(const fm_option *option, char *buf, size_t size);

// output.c: what the user sees. Standard error is shared by errors, log lines and the progress line.
void cli_error(const char *fmt, ...) FM_PRINTF(1, 2);
/** The same, and the value to leave with: CLI_USAGE. */
int cli_usage(const char *fmt, ...) FM_PRINTF(1, 2);
void cli_log_line(fm_log_level level, const char *domain, const char *msg, void *opaque);
/** Shows a line that the next one, or an error, replaces; NULL takes it away. Nothing when standard error is
 * no terminal. */
void cli_status_line(const char *text);
/** Holds back what other threads say, for text that is written in pieces. */
void cli_stderr_take(void);
void cli_stderr_give(void);
/** Text with control characters shown as '?'. */
void cli_put_text(FILE *f, const char *text);
/** The same, padded to a width in terminal cells (every code point counts as one). */
void cli_put_cell(FILE *f, const char *text, int width);
void cli_put_json(FILE *f, const char *text);
/** Flushes standard output; code, or CLI_FAILED with the error said when something did not get out. */
int cli_finish_stdout(int code);
/** Has the reader of standard output (a pipe) gone away? */
bool cli_stdout_gone(void);
/** "3.5 MiB". */
const char *cli_size_text(unsigned long long bytes, char buf[32]);
/** Writes a file whole or not at all; devices and pipes are written to directly. Errors are said. */
bool cli_write_file(const char *path, const char *text);
/** Would that work? errno says why not. */
bool cli_can_write(const char *path);

// paths.c: where things lie, from the environment and the place of the executable
typedef struct cli_paths {
    char *share, *models, *mirror, *python, *cache; // mirror, python, cache may be NULL
    char *spool;                                    // folder for what waits for Redis; may be NULL
    char *tuning;                                   // file of settings that were found; may be NULL
    char *exporter,
        *exporter_python; // framemill-export; NULL where it is not there, or brings its own Python
} cli_paths;
bool cli_paths_find(cli_paths *out);
void cli_paths_done(cli_paths *paths);
fm_model_store_opts cli_store_opts(const cli_paths *paths, fm_log_level level);

// signals.c: Ctrl-C, SIGTERM and the reader of standard output going away, seen by one thread
typedef struct cli_signals cli_signals;
/** Starts the watcher. With watch_stdout a reader that goes away counts as a request to stop without a trace.
 */
cli_signals *cli_signals_start(bool watch_stdout);
/** From now on the first signal drains this run and the second aborts it; NULL: it is over. */
void cli_signals_set_run(cli_signals *s, fm_run *run);
/** From now on the first signal is only counted: the caller asks cli_signals_count and ends in its own time.
 */
void cli_signals_set_polite(cli_signals *s);
int cli_signals_count(cli_signals *s);
void cli_signals_stop(cli_signals **s);

// progress.c
void cli_progress_show(const fm_run_progress *p);
void cli_progress_indexing(const fm_store_indexing *p);
void cli_progress_pictures(const fm_enhance_progress *p);

// summary.c
void cli_put_summary(fm_run *run, bool tracks);

// cmd_eval_ap.c
int cli_eval_ap(const cli_args *args);

// cmd_*.c
int cli_cmd_run(const cli_args *args);
int cli_cmd_models_list(const cli_args *args);
int cli_cmd_models_fetch(const cli_args *args);
int cli_cmd_models_verify(const cli_args *args);
int cli_cmd_models_show(const cli_args *args);
int cli_cmd_models_import(const cli_args *args);
int cli_cmd_enhance(const cli_args *args);
int cli_cmd_eval(const cli_args *args);
int cli_cmd_search(const cli_args *args);
int cli_cmd_quality(const cli_args *args);
int cli_cmd_store_stat(const cli_args *args);
int cli_cmd_store_verify(const cli_args *args);
int cli_cmd_store_prune(const cli_args *args);
int cli_cmd_store_rebuild(const cli_args *args);
int cli_cmd_store_index(const cli_args *args);
int cli_cmd_store_export(const cli_args *args);
int cli_cmd_store_import(const cli_args *args);
int cli_cmd_cluster_run(const cli_args *args);
int cli_cmd_cluster_status(const cli_args *args);
int cli_cmd_bench(const cli_args *args);
int cli_cmd_tune(const cli_args *args);
int cli_cmd_doctor(const cli_args *args);
int cli_cmd_version(const cli_args *args);
int cli_cmd_completion(const cli_args *args);
int cli_cmd_help(const cli_args *args);

#endif
