// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// .cube files after Adobe's "Cube LUT Specification 1.0" (2013): a line is a keyword, a comment or three
// numbers; red runs fastest. LUT_3D_INPUT_RANGE is Resolve's form of the domain. Unlike most readers we say
// which line is wrong. Numbers are read by hand: the C library's readers follow the locale.

#include "base/alloc.h"
#include "base/error.h"
#include "ops/lut3d.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define UNIT 8160.0 // of the table: 255 with 5 fractional bits; values up to 4.01 fit 16 bits
#define SHARE 16384

typedef struct reader {
    const char *at, *end; // rest of the text
    const char *line, *line_end;
    const char *name;
    int number; // of the line, from 1
    double min[3], max[3];
    fm__lut3d *lut;
    size_t entries, filled;
    fm_error *err;
} reader;

/* ---- text ---- */

static bool next_line(reader *r)
{
    if (r->at >= r->end) {
        return false;
    }
    const char *stop = memchr(r->at, '\n', (size_t)(r->end - r->at));
    r->line = r->at;
    r->line_end = stop ? stop : r->end;
    r->at = stop ? stop + 1 : r->end;
    r->number++;
    while (r->line_end > r->line &&
           (r->line_end[-1] == '\r' || r->line_end[-1] == ' ' || r->line_end[-1] == '\t')) {
        r->line_end--;
    }
    while (r->line < r->line_end && (*r->line == ' ' || *r->line == '\t')) {
        r->line++;
    }
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static double digits(const char **p, const char *end, int *count)
{
    double v = 0;
    for (; *p < end && is_digit(**p); (*p)++, (*count)++) {
        v = v * 10 + (**p - '0');
    }
    return v;
}

// A decimal number at *p, which moves behind it; false where there is none.
static bool number(const char **p, const char *end, double *out)
{
    while (*p < end && (**p == ' ' || **p == '\t')) {
        (*p)++;
    }
    bool is_negative = *p < end && **p == '-';
    *p += *p < end && (**p == '-' || **p == '+');
    int count = 0, exponent = 0;
    double v = digits(p, end, &count);
    if (*p < end && **p == '.') {
        (*p)++;
        for (double unit = 0.1; *p < end && is_digit(**p); (*p)++, count++, unit /= 10) {
            v += unit * (**p - '0');
        }
    }
    if (count > 0 && *p < end && (**p == 'e' || **p == 'E')) {
        (*p)++;
        bool is_small = *p < end && **p == '-';
        *p += *p < end && (**p == '-' || **p == '+');
        int places = 0;
        exponent = (int)fmin(400, digits(p, end, &places));
        count = places > 0 ? count : 0;
        exponent = is_small ? -exponent : exponent;
    }
    *out = (is_negative ? -v : v) * pow(10, exponent);
    return count > 0 && isfinite(*out) && (*p == end || **p == ' ' || **p == '\t');
}

static bool numbers(const reader *r, const char *from, double *out, int count)
{
    for (int i = 0; i < count; i++) {
        if (!number(&from, r->line_end, &out[i])) {
            return false;
        }
    }
    return from == r->line_end;
}

// Behind the keyword where the line begins with it.
static const char *keyword(const reader *r, const char *word)
{
    size_t len = strlen(word), have = (size_t)(r->line_end - r->line);
    bool is_it = have >= len && memcmp(r->line, word, len) == 0 &&
                 (have == len || r->line[len] == ' ' || r->line[len] == '\t');
    return is_it ? r->line + len : NULL;
}

static fm_status wrong(const reader *r, fm_status status, const char *what)
{
    return fm__fail(r->err, status, "colour table '%s': line %d: %s", r->name, r->number, what);
}

/* ---- lines ---- */

static fm_status set_size(reader *r, const char *rest)
{
    double size;
    if (r->lut) {
        return wrong(r, FM_FORMAT, "the size is given a second time");
    }
    if (!numbers(r, rest, &size, 1) || size < 2 || size > 65536 || size != floor(size)) {
        return wrong(r, FM_FORMAT, "LUT_3D_SIZE needs a whole number from 2");
    }
    if (size > FM__LUT3D_MAX_SIZE) {
        return fm__fail(r->err, FM_UNSUPPORTED, "colour table '%s': line %d: size %.0f, the most is %d",
            r->name, r->number, size, FM__LUT3D_MAX_SIZE);
    }
    r->entries = (size_t)size * (size_t)size * (size_t)size;
    r->lut = fm__calloc(FM_TAG_OPS, sizeof(*r->lut) + r->entries * sizeof(r->lut->table[0]));
    if (!r->lut) {
        return fm__fail_nomem(r->err, "a colour table");
    }
    r->lut->size = (int)size;
    return FM_OK;
}

static fm_status set_domain(reader *r, const char *rest, double out[3])
{
    return numbers(r, rest, out, 3) ? FM_OK : wrong(r, FM_FORMAT, "the domain needs three numbers");
}

static fm_status set_range(reader *r, const char *rest)
{
    double range[2];
    if (!numbers(r, rest, range, 2)) {
        return wrong(r, FM_FORMAT, "LUT_3D_INPUT_RANGE needs two numbers");
    }
    for (int i = 0; i < 3; i++) {
        r->min[i] = range[0];
        r->max[i] = range[1];
    }
    return FM_OK;
}

static fm_status set_entry(reader *r)
{
    double v[3];
    if (!numbers(r, r->line, v, 3)) {
        return wrong(r, FM_FORMAT, "neither a keyword nor three numbers");
    }
    if (!r->lut) {
        return wrong(r, FM_FORMAT, "numbers before LUT_3D_SIZE");
    }
    if (r->filled == r->entries) {
        return fm__fail(r->err, FM_FORMAT,
            "colour table '%s': line %d: more than the %zu entries of its size", r->name, r->number,
            r->entries);
    }
    for (int i = 0; i < 3; i++) {
        r->lut->table[r->filled][i] = (int16_t)lrint(fmax(-32767, fmin(32767, v[i] * UNIT)));
    }
    r->filled++;
    return FM_OK;
}

static fm_status read_line(reader *r)
{
    const char *rest;
    if (r->line == r->line_end || *r->line == '#' || keyword(r, "TITLE")) {
        return FM_OK;
    }
    if ((rest = keyword(r, "LUT_3D_SIZE"))) {
        return set_size(r, rest);
    }
    if ((rest = keyword(r, "DOMAIN_MIN"))) {
        return set_domain(r, rest, r->min);
    }
    if ((rest = keyword(r, "DOMAIN_MAX"))) {
        return set_domain(r, rest, r->max);
    }
    if ((rest = keyword(r, "LUT_3D_INPUT_RANGE"))) {
        return set_range(r, rest);
    }
    if (keyword(r, "LUT_1D_SIZE") || keyword(r, "LUT_1D_INPUT_RANGE")) {
        return wrong(r, FM_UNSUPPORTED, "a 1D table; a 3D one is needed");
    }
    return set_entry(r);
}

/* ---- whole ---- */

// Values past the domain take its ends. The last point lies at the end of the last cell.
static void set_places(const reader *r)
{
    int stride = 1, cells = r->lut->size - 1;
    for (int c = 0; c < 3; c++, stride *= r->lut->size) {
        for (int v = 0; v < 256; v++) {
            double x = (v / 255.0 - r->min[c]) / (r->max[c] - r->min[c]) * cells;
            x = fmax(0, fmin(cells, x));
            int cell = (int)fmin(floor(x), cells - 1);
            r->lut->place[c][v] = (fm__lut3d_place){cell * stride, (int)lrint((x - cell) * SHARE)};
        }
    }
}

static void set_corners(fm__lut3d *lut)
{
    const int red = 1, green = lut->size, blue = lut->size * lut->size, all = red + green + blue;
    for (int i = 0; i < 8; i++) {
        bool rg = i & 4, gb = i & 2, rb = i & 1;
        int largest = rg && rb ? red : gb ? green : blue, least = gb && rb ? blue : rg ? green : red;
        lut->corners[i] = (fm__lut3d_corners){largest, all - least, all};
    }
}

static fm_status finish(const reader *r)
{
    if (!r->lut) {
        return fm__fail(r->err, FM_FORMAT, "colour table '%s': no LUT_3D_SIZE in it", r->name);
    }
    if (r->filled < r->entries) {
        return fm__fail(r->err, FM_FORMAT, "colour table '%s': ends after %zu of %zu entries", r->name,
            r->filled, r->entries);
    }
    for (int i = 0; i < 3; i++) {
        if (!(r->max[i] > r->min[i])) {
            return fm__fail(r->err, FM_FORMAT,
                "colour table '%s': its domain ends at %g before it begins at %g", r->name, r->max[i],
                r->min[i]);
        }
    }
    set_places(r);
    set_corners(r->lut);
    return FM_OK;
}

fm_status fm__lut3d_parse(const char *text, size_t len, const char *name, fm__lut3d **out, fm_error *err)
{
    reader r = {.at = text, .end = text + len, .name = name, .max = {1, 1, 1}, .err = err};
    fm_status status = FM_OK;
    while (status == FM_OK && next_line(&r)) {
        status = read_line(&r);
    }
    status = status == FM_OK ? finish(&r) : status;
    if (status != FM_OK) {
        fm__free(r.lut);
        return status;
    }
    *out = r.lut;
    return FM_OK;
}

void fm__lut3d_free(fm__lut3d **lut)
{
    if (lut && *lut) {
        fm__free(*lut);
        *lut = NULL;
    }
}
