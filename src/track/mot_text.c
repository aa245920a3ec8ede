// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// MOT text to rows (the format of MOTChallenge: Leal-Taixe, Milan, Reid, Roth, Schindler, "MOTChallenge 2015:
// Towards a benchmark for multi-target tracking", 2015, and Milan et al., "MOT16", 2016). Lines are split in
// place; a number is read by hand where that is exact (at most 15 digits and 22 decimals: W. Clinger, "How to
// read floating point numbers accurately", 1990, section 3), else by the C library in the C locale. Files are
// mostly in order of frames already; where one is not, rows are sorted by frame and line, so that the order
// within a frame is the file's.

#include "track/mot_text.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_COLUMNS = 7, MAX_COLUMNS = 10, FIELD_BYTES = 64 };

#define MAX_VALUE 1e9 // of a coordinate or size: keeps areas and their sums exact enough

static const char *const column_names[MAX_COLUMNS] = {
    "frame", "id", "x", "y", "width", "height", "score", "column 8", "column 9", "column 10"};

typedef struct parser {
    const char *at, *end; // what is left
    const char *name;
    uint32_t line;
    fm_mot mot;
    size_t cap;
    bool sorted;
    fm_error *err;
} parser;

static fm_status malformed(const parser *p, uint32_t line, const char *what)
{
    return fm__fail(p->err, FM_FORMAT, "%s:%u: %s", p->name, (unsigned)line, what);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void trim(const char **from, const char **to)
{
    while (*from < *to && is_blank(**from)) {
        ++*from;
    }
    while (*to > *from && is_blank((*to)[-1])) {
        --*to;
    }
}

// [-]digits[.digits] of at most 15 digits: the integer and the power of ten are exact, so one division rounds
// once.
static bool read_short(const char *p, const char *end, double *out)
{
    static const double powers[] = {
        1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    bool negative = p < end && *p == '-';
    p += negative;
    int64_t whole = 0;
    int digits = 0, decimals = 0;
    bool after_point = false;
    for (; p < end; p++) {
        if (*p == '.' && !after_point) {
            after_point = true;
        } else if (*p >= '0' && *p <= '9' && digits < 15) {
            whole = whole * 10 + (*p - '0');
            digits++;
            decimals += after_point;
        } else {
            return false;
        }
    }
    if (digits == 0) {
        return false;
    }
    double v = (double)whole / powers[decimals];
    *out = negative ? -v : v;
    return true;
}

static bool read_number(const char *from, const char *to, double *out)
{
    if (read_short(from, to, out)) {
        return true;
    }
    char field[FIELD_BYTES];
    size_t len = (size_t)(to - from);
    if (len >= sizeof(field) || memchr(from, 0, len)) {
        return false;
    }
    memcpy(field, from, len);
    field[len] = 0;
    return fm__parse_double(field, out);
}

static fm_status bad_number(const parser *p, int column, const char *from, const char *to)
{
    int shown = to - from > 40 ? 40 : (int)(to - from);
    return fm__fail(p->err, FM_FORMAT, "%s:%u: %s is not a number: '%.*s'%s", p->name, (unsigned)p->line,
        column_names[column], shown, from,
        column == 0 ? "; expected frame,id,x,y,w,h,score and up to 3 more" : "");
}

// The values of one line that is not blank. *columns is how many there are.
static fm_status read_values(const parser *p, const char *from, const char *end, double *values, int *columns)
{
    int n = 0;
    for (;;) {
        const char *comma = memchr(from, ',', (size_t)(end - from));
        const char *a = from, *b = comma ? comma : end;
        trim(&a, &b);
        if (!comma && a == b && n >= MIN_COLUMNS) {
            break; // a comma at the end of the line
        }
        if (n == MAX_COLUMNS) {
            return malformed(
                p, p->line, "more than 10 columns; expected frame,id,x,y,w,h,score and up to 3 more");
        }
        if (!read_number(a, b, &values[n])) {
            return bad_number(p, n, a, b);
        }
        n++;
        if (!comma) {
            break;
        }
        from = comma + 1;
    }
    *columns = n;
    if (n < MIN_COLUMNS) {
        return fm__fail(p->err, FM_FORMAT, "%s:%u: %d column%s; expected at least 7: frame,id,x,y,w,h,score",
            p->name, (unsigned)p->line, n, n == 1 ? "" : "s");
    }
    return FM_OK;
}

static fm_status check_values(const parser *p, const double *v, int columns)
{
    if (v[0] != floor(v[0]) || v[0] < 1 || v[0] > FM_MOT_MAX_FRAME) {
        return fm__fail(p->err, FM_FORMAT, "%s:%u: frame %g; expected a whole number from 1 to %d", p->name,
            (unsigned)p->line, v[0], FM_MOT_MAX_FRAME);
    }
    if (v[1] != floor(v[1]) || fabs(v[1]) > 1e15) {
        return fm__fail(
            p->err, FM_FORMAT, "%s:%u: id %g; expected a whole number", p->name, (unsigned)p->line, v[1]);
    }
    for (int i = 2; i < columns; i++) {
        if (fabs(v[i]) > MAX_VALUE) {
            return fm__fail(p->err, FM_FORMAT, "%s:%u: %s is %g; expected at most %g either way", p->name,
                (unsigned)p->line, column_names[i], v[i], MAX_VALUE);
        }
    }
    if (v[4] < 0 || v[5] < 0) {
        return fm__fail(p->err, FM_FORMAT, "%s:%u: %s is %g; expected 0 or more", p->name, (unsigned)p->line,
            column_names[v[4] < 0 ? 4 : 5], v[4] < 0 ? v[4] : v[5]);
    }
    return FM_OK;
}

static fm_status add_row(parser *p, const double *v, int columns)
{
    fm_mot *m = &p->mot;
    if (m->count == FM_MOT_MAX_ROWS) {
        return malformed(p, p->line, "more rows than a file may have; split it");
    }
    if (!fm__grow(FM_TAG_TRACK, (void **)&m->rows, &p->cap, m->count + 1, sizeof(*m->rows))) {
        return fm__fail_nomem(p->err, p->name);
    }
    fm_mot_row r = {.id = (int64_t)v[1],
        .x = v[2],
        .y = v[3],
        .w = v[4],
        .h = v[5],
        .frame = (int32_t)v[0],
        .line = p->line,
        .score = (float)v[6],
        .extra = {-1, -1, -1},
        .columns = (uint8_t)columns};
    for (int i = MIN_COLUMNS; i < columns; i++) {
        r.extra[i - MIN_COLUMNS] = (float)v[i];
    }
    p->sorted = p->sorted && (m->count == 0 || m->rows[m->count - 1].frame <= r.frame);
    m->min_columns = m->count == 0 || columns < m->min_columns ? columns : m->min_columns;
    m->max_columns = columns > m->max_columns ? columns : m->max_columns;
    m->rows[m->count++] = r;
    return FM_OK;
}

static fm_status parse_line(parser *p)
{
    const char *newline = memchr(p->at, '\n', (size_t)(p->end - p->at));
    const char *from = p->at, *to = newline ? newline : p->end;
    p->at = newline ? newline + 1 : p->end;
    p->line++;
    trim(&from, &to);
    if (from == to) {
        return FM_OK;
    }
    double values[MAX_COLUMNS];
    int columns = 0;
    fm_status st = read_values(p, from, to, values, &columns);
    st = st == FM_OK ? check_values(p, values, columns) : st;
    return st == FM_OK ? add_row(p, values, columns) : st;
}

static int by_frame_and_line(const void *a, const void *b)
{
    const fm_mot_row *x = a, *y = b;
    if (x->frame != y->frame) {
        return x->frame < y->frame ? -1 : 1;
    }
    return x->line < y->line ? -1 : x->line > y->line;
}

static size_t count_frames(const fm_mot *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->count; i++) {
        n += i == 0 || m->rows[i].frame != m->rows[i - 1].frame;
    }
    return n;
}

static fm_status index_frames(parser *p)
{
    fm_mot *m = &p->mot;
    size_t n = count_frames(m);
    if (n == 0) {
        return FM_OK;
    }
    m->frames = fm__calloc_array(FM_TAG_TRACK, n, sizeof(*m->frames));
    if (!m->frames) {
        return fm__fail_nomem(p->err, p->name);
    }
    for (size_t i = 0; i < m->count; i++) {
        if (i == 0 || m->rows[i].frame != m->rows[i - 1].frame) {
            m->frames[m->frame_count++] = (fm_mot_frame){.frame = m->rows[i].frame, .first = i};
        }
        if (++m->frames[m->frame_count - 1].count > FM_MOT_MAX_BOXES) {
            return fm__fail(p->err, FM_FORMAT, "%s:%u: more than %d boxes in frame %d", p->name,
                (unsigned)m->rows[i].line, FM_MOT_MAX_BOXES, (int)m->rows[i].frame);
        }
    }
    return FM_OK;
}

fm_status fm__mot_parse(const char *text, size_t len, const char *name, fm_mot *out, fm_error *err)
{
    parser p = {.at = text, .end = text + len, .name = name, .sorted = true, .err = err};
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        p.at += 3;
    }
    fm_status st = FM_OK;
    while (st == FM_OK && p.at < p.end) {
        st = parse_line(&p);
    }
    if (st == FM_OK && !p.sorted) {
        qsort(p.mot.rows, p.mot.count, sizeof(*p.mot.rows), by_frame_and_line);
    }
    st = st == FM_OK ? index_frames(&p) : st;
    if (st != FM_OK) {
        fm__mot_done(&p.mot);
        return st;
    }
    *out = p.mot;
    return FM_OK;
}

void fm__mot_done(fm_mot *mot)
{
    fm__free(mot->rows);
    fm__free(mot->frames);
    *mot = (fm_mot){0};
}

const fm_mot_row *fm__mot_rows_of(const fm_mot *mot, int64_t frame, size_t *count)
{
    size_t low = 0, high = mot->frame_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (mot->frames[mid].frame < frame) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    bool found = low < mot->frame_count && mot->frames[low].frame == frame;
    *count = found ? mot->frames[low].count : 0;
    return found ? &mot->rows[mot->frames[low].first] : NULL;
}
