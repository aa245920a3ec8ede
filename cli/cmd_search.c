// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// `framemill search`: what a store has seen that looks like a picture or a track, or bears a label. A table
// with times and places, or JSON.

#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TABLE_NAME_MAX = 32 };

// What goes into the options and must live as long.
typedef struct wish {
    fm_search_opts opts;
    char *stream; // of --track
    const char **streams, **where;
    char *list; // of --stream, cut at its commas
} wish;

// Days since 1970 of a date of the Gregorian calendar (H. Hinnant, "chrono-compatible low-level date
// algorithms").
static int64_t days_of(int64_t y, int m, int d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

// "2026-11-22", "2026-11-22T21:00", "2026-11-22 21:00:05.25Z": UTC.
static bool parse_time(const char *text, int64_t *ns)
{
    int y, mo, d, h = 0, mi = 0, n = 0;
    double s = 0;
    if (sscanf(text, "%4d-%2d-%2d%n", &y, &mo, &d, &n) != 3) {
        return false;
    }
    text += n;
    if (*text == 'T' || *text == ' ') {
        int used = 0;
        if (sscanf(text + 1, "%2d:%2d%n", &h, &mi, &used) != 2) {
            return false;
        }
        text += 1 + used;
        if (*text == ':') {
            char *end;
            s = strtod(text + 1, &end);
            if (end == text + 1 || text[1] < '0' || text[1] > '9') {
                return false;
            }
            text = end;
        }
    }
    text += *text == 'Z';
    static const int month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    if (*text || y < 1970 || y > 2200 || mo < 1 || mo > 12 || d < 1 || d > month_days[mo - 1] ||
        (mo == 2 && d == 29 && !leap) || h < 0 || h > 23 || mi < 0 || mi > 59 || !(s >= 0 && s < 60)) {
        return false;
    }
    int64_t minutes = (days_of(y, mo, d) * 24 + h) * 60 + mi;
    *ns = minutes * 60000000000 + (int64_t)(s * 1e9 + 0.5);
    return true;
}

static int set_times(const cli_args *args, wish *w)
{
    const char *from = cli_args_get(args, "from"), *to = cli_args_get(args, "to");
    static const char what[] = "a time such as 2026-11-22T21:00:00 (UTC)";
    if (from && !parse_time(from, &w->opts.filter.from_ns)) {
        return cli_usage("search: --from: '%s' is not %s", from, what);
    }
    if (to && !parse_time(to, &w->opts.filter.to_ns)) {
        return cli_usage("search: --to: '%s' is not %s", to, what);
    }
    if (from && to && w->opts.filter.to_ns <= w->opts.filter.from_ns) {
        return cli_usage("search: --to must be after --from");
    }
    return CLI_DONE;
}

// STREAM:ID; names of streams may hold colons, so the last one counts.
static int set_track(const cli_args *args, wish *w)
{
    const char *text = cli_args_get(args, "track");
    const char *colon = text ? strrchr(text, ':') : NULL;
    if (!text) {
        return CLI_DONE;
    }
    char *end = NULL;
    errno = 0;
    long long id = colon ? strtoll(colon + 1, &end, 10) : 0;
    if (!colon || colon == text || *end || id < 1 || errno) {
        return cli_usage("search: --track: '%s' is not STREAM:ID", text);
    }
    w->stream = strndup(text, (size_t)(colon - text));
    if (!w->stream) {
        cli_error("out of memory");
        return CLI_FAILED;
    }
    w->opts.stream = w->stream;
    w->opts.track = id;
    return CLI_DONE;
}

static int set_lists(const cli_args *args, wish *w)
{
    const char *streams = cli_args_get(args, "stream");
    size_t commas = 0;
    for (const char *c = streams; c && *c; c++) {
        commas += *c == ',';
    }
    w->where = calloc(args->flag_count + 1, sizeof(*w->where));
    w->streams = calloc(commas + 1, sizeof(*w->streams));
    w->list = streams ? strdup(streams) : NULL;
    if (!w->where || !w->streams || (streams && !w->list)) {
        cli_error("out of memory");
        return CLI_FAILED;
    }
    for (size_t i = 0; i < args->flag_count; i++) {
        if (strcmp(args->flags[i].option->flag, "where") == 0) {
            w->where[w->opts.filter.where_count++] = args->flags[i].text;
        }
    }
    char *rest = w->list;
    for (char *name = rest ? strsep(&rest, ",") : NULL; name; name = strsep(&rest, ",")) {
        w->streams[w->opts.filter.stream_count++] = name;
    }
    w->opts.filter.where = w->where;
    w->opts.filter.streams = w->streams;
    return CLI_DONE;
}

static int read_wish(const cli_args *args, wish *w)
{
    const char *top = cli_args_get(args, "top"), *score = cli_args_get(args, "score");
    if (!cli_args_get(args, "store")) {
        return cli_usage("search: --store DIR is missing: the folder that framemill run --store filled");
    }
    w->opts.image = cli_args_get(args, "image");
    w->opts.model = cli_args_get(args, "model");
    w->opts.detector = cli_args_get(args, "detector");
    w->opts.frames = cli_args_on(args, "frames");
    w->opts.approx = cli_args_on(args, "approx");
    w->opts.filter.label = cli_args_get(args, "text-label");
    w->opts.filter.zone = cli_args_get(args, "zone");
    w->opts.filter.min_score = score ? strtod(score, NULL) : 0; // checked by its option, as is top
    w->opts.top = top ? (size_t)strtoul(top, NULL, 10) : 0;
    int code = set_times(args, w);
    code = code == CLI_DONE ? set_track(args, w) : code;
    code = code == CLI_DONE ? set_lists(args, w) : code;
    if (code == CLI_DONE && w->opts.image && w->opts.stream) {
        return cli_usage("search: --image and --track are two things to look for: give one");
    }
    if (code == CLI_DONE && !w->opts.image && !w->opts.stream && !w->opts.filter.label) {
        return cli_usage(
            "search: nothing to look for: give --image FILE, --track STREAM:ID or --text-label LABEL");
    }
    return code;
}

static void put_time(int64_t ns, char out[40])
{
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t n = strftime(out, 40, "%Y-%m-%d %H:%M:%S", &tm);
    snprintf(out + n, 40 - n, ".%03d", (int)(ns / 1000000 % 1000));
}

static int name_width(const fm_search *s)
{
    int width = 6; // "stream"
    for (size_t i = 0; i < fm_search_count(s); i++) {
        int len = (int)strlen(fm_search_get(s, i)->stream);
        width = len > width ? len : width;
    }
    return width > TABLE_NAME_MAX ? TABLE_NAME_MAX : width;
}

static void put_row(const fm_search_hit *h, int width)
{
    char time[40], track[24] = "";
    put_time(h->time_ns, time);
    if (h->distance >= 0) {
        printf("%8.4f  ", h->distance);
    }
    printf("%s  ", time);
    cli_put_cell(stdout, h->stream, width);
    if (h->track > 0) {
        snprintf(track, sizeof(track), "%lld", (long long)h->track);
    }
    printf("  %8llu  %6s  ", (unsigned long long)h->frame, track);
    if (h->is_object) {
        cli_put_cell(stdout, h->label ? h->label : "", 12);
        printf("  %5.2f  %.0f,%.0f %.0fx%.0f", h->score, (double)h->box.x0, (double)h->box.y0,
            (double)(h->box.x1 - h->box.x0), (double)(h->box.y1 - h->box.y0));
    }
    if (h->file) {
        fputs("  ", stdout);
        cli_put_text(stdout, h->file);
    }
    putchar('\n');
}

static void put_table(const fm_search *s)
{
    size_t n = fm_search_count(s);
    if (n == 0) {
        puts("nothing found");
        return;
    }
    int width = name_width(s);
    printf("%s%-23s  ", fm_search_get(s, 0)->distance >= 0 ? "distance  " : "", "time (UTC)");
    cli_put_cell(stdout, "stream", width);
    printf("  %8s  %6s  %-12s  %5s  %s\n", "frame", "track", "label", "score", "box");
    for (size_t i = 0; i < n; i++) {
        put_row(fm_search_get(s, i), width);
    }
}

static int show(const cli_args *args, const fm_search *s)
{
    char *text = NULL;
    fm_error err;
    if (!cli_args_on(args, "json")) {
        put_table(s);
        return CLI_DONE;
    }
    if (fm_search_json(s, &text, &err) != FM_OK) {
        cli_error("%s", err.msg);
        return CLI_FAILED;
    }
    fputs(text, stdout);
    fm_free(text);
    return CLI_DONE;
}

static int run_wish(const cli_args *args, wish *w)
{
    cli_paths paths = {0};
    fm_search *s = NULL;
    fm_error err;
    if (w->opts.image && !cli_paths_find(&paths)) {
        return CLI_FAILED;
    }
    fm_model_store_opts models = cli_store_opts(&paths, FM_LOG_WARN);
    w->opts.models = &models;
    w->opts.log = (fm_log){.fn = cli_log_line, .level = FM_LOG_WARN};
    fm_status st = fm_search_new(cli_args_get(args, "store"), &w->opts, &s, &err);
    int code = st == FM_OK ? show(args, s) : CLI_FAILED;
    const char *sheet = cli_args_get(args, "sheet");
    if (st == FM_OK && sheet && fm_search_count(s) > 0) {
        st = fm_search_sheet(s, sheet, &err);
    }
    if (st != FM_OK) {
        cli_error("%s", err.msg);
        code = st == FM_INVAL ? CLI_USAGE : CLI_FAILED;
    }
    fm_search_free(&s);
    cli_paths_done(&paths);
    return code;
}

int cli_cmd_search(const cli_args *args)
{
    wish w = {.opts = FM_SEARCH_OPTS_INIT};
    int code = read_wish(args, &w);
    code = code == CLI_DONE ? run_wish(args, &w) : code;
    free(w.stream);
    free(w.streams);
    free(w.where);
    free(w.list);
    return code;
}
