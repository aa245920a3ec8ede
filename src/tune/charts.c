// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// An area is a path of horizontal and vertical steps: what a bin holds is a mean over it, and a slope between
// two would show what was not there. Areas are painted from the highest sum down, each to the ground, so that
// a path is one edge. Coordinates are bins across and thousandths of the scale down, whole numbers.

#include "tune/charts.h"

#include <math.h>
#include <stdio.h>

enum { HIGH = 1000, COLUMNS = 60, SHADES = 8 };

const char *fm__chart_seconds(char buf[32], double s)
{
    int64_t us = (int64_t)llround(s * 1e6);
    if (s >= 120) {
        snprintf(buf, 32, "%d min %d s", (int)(s / 60) % 100000000, (int)s % 60);
    } else if (us >= 1000000) {
        snprintf(buf, 32, "%d.%d s", (int)(us / 1000000), (int)(us / 100000 % 10));
    } else if (us >= 10000) {
        snprintf(buf, 32, "%d ms", (int)(us / 1000));
    } else {
        snprintf(buf, 32, "%d.%02d ms", (int)(us / 1000), (int)(us / 10 % 100));
    }
    return buf;
}

const char *fm__chart_bytes(char buf[32], double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t u = 0;
    while (bytes >= 1024 && u + 1 < sizeof(units) / sizeof(units[0])) {
        bytes /= 1024;
        u++;
    }
    int64_t tenths = (int64_t)llround(bytes * 10);
    if (u == 0 || tenths >= 1000) {
        snprintf(buf, 32, "%d %s", (int)lround(bytes), units[u]);
    } else {
        snprintf(buf, 32, "%d.%d %s", (int)(tenths / 10), (int)(tenths % 10), units[u]);
    }
    return buf;
}

const char *fm__chart_count(char buf[32], uint64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n), at = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) {
            buf[at++] = ',';
        }
        buf[at++] = digits[i];
    }
    buf[at] = 0;
    return buf;
}

static int used_bins(const fm__chart *c)
{
    int n = c->bin_seconds > 0 ? (int)ceil(c->seconds / c->bin_seconds - 1e-6) : 1;
    return n < 1 ? 1 : n > FM_BINS ? FM_BINS : n;
}

static double sum_below(const fm__chart *c, size_t parts, int bin)
{
    double sum = 0;
    for (size_t i = 0; i < parts; i++) {
        sum += c->parts[i].values[bin];
    }
    return sum;
}

// 1, 2 or 5 times a power of ten, from v on.
static double round_up(double v)
{
    double step = pow(10, floor(log10(v)));
    return v <= step ? step : v <= 2 * step ? 2 * step : v <= 5 * step ? 5 * step : 10 * step;
}

static double top_of(const fm__chart *c, int used)
{
    double most = 0;
    for (int i = 0; i < used; i++) {
        double sum = sum_below(c, c->part_count, i);
        most = sum > most ? sum : most;
        most = c->line && c->line[i] > most ? c->line[i] : most;
    }
    return c->top > 0 ? c->top : most > 0 ? round_up(most) : 1;
}

static int height(double v, double top)
{
    double y = HIGH - v / top * HIGH;
    return y < 0 ? 0 : y > HIGH ? HIGH : (int)lround(y);
}

static void area(fm_str *out, const fm__chart *c, size_t parts, int used, double top)
{
    int last = HIGH;
    fm__str_printf(out, "<path class=\"c%d\" d=\"M0,%d", c->parts[parts - 1].color, HIGH);
    for (int i = 0; i < used; i++) {
        int y = height(sum_below(c, parts, i), top);
        if (y != last) {
            fm__str_printf(out, "H%dV%d", i, y);
        }
        last = y;
    }
    fm__str_printf(out, "H%dV%dZ\"/>", used, HIGH);
}

static void draw_line(fm_str *out, const fm__chart *c, int used, double top)
{
    fm__str_printf(out, "<path class=\"line\" d=\"M0,%d", height(c->line[0], top));
    for (int i = 0; i < used; i++) {
        fm__str_printf(out, "V%dH%d", height(c->line[i], top), i + 1);
    }
    fm__str_add(out, "\"/>");
}

static void draw(fm_str *out, const fm__chart *c, int used, double top)
{
    for (size_t parts = c->part_count; parts > 0; parts--) {
        area(out, c, parts, used, top);
    }
    if (c->line) {
        draw_line(out, c, used, top);
    }
}

static double mean_of(const double *values, int from, int to)
{
    double sum = 0;
    for (int i = from; i < to; i++) {
        sum += values[i];
    }
    return to > from ? sum / (to - from) : 0;
}

static double most_of(const double *values, int used)
{
    double most = 0;
    for (int i = 0; i < used; i++) {
        most = values[i] > most ? values[i] : most;
    }
    return most;
}

// What stands at a place is told where the pointer rests on it.
static void add_column(fm_str *out, const fm__chart *c, int from, int to)
{
    char buf[32];
    fm__str_printf(out, "<rect class=\"tip\" x=\"%d\" y=\"0\" width=\"%d\" height=\"%d\"><title>", from,
        to - from, HIGH);
    fm__str_add(out, fm__chart_seconds(buf, from * c->bin_seconds));
    if (c->line) {
        fm__str_printf(out, "\n%s: ", c->line_name);
        fm__str_add(out, c->label(buf, mean_of(c->line, from, to)));
    }
    for (size_t i = c->part_count; i-- > 0;) {
        double mean = mean_of(c->parts[i].values, from, to);
        if (mean > 0) {
            fm__str_add_char(out, '\n');
            fm__str_add_escaped(out, c->parts[i].name);
            fm__str_printf(out, ": %s", c->label(buf, mean));
        }
    }
    fm__str_add(out, "</title></rect>");
}

static void add_columns(fm_str *out, const fm__chart *c, int used)
{
    int n = used < COLUMNS ? used : COLUMNS;
    for (int i = 0; i < n; i++) {
        add_column(out, c, i * used / n, (i + 1) * used / n);
    }
}

static void add_legend(fm_str *out, const fm__chart *c, int used)
{
    char mean[32], most[32];
    if (c->part_count == 1 && !c->line) { // what it is stands above it
        return;
    }
    fm__str_add(out, "<figcaption>");
    if (c->line) {
        fm__str_printf(out, "<span><i class=\"key-line\"></i>%s <b>%s</b></span>", c->line_name,
            c->label(mean, mean_of(c->line, 0, used)));
    }
    for (size_t i = 0; i < c->part_count; i++) {
        const fm__chart_part *p = &c->parts[i];
        fm__str_printf(out, "<span title=\"at most %s\"><i class=\"k%d\"></i>",
            c->label(most, most_of(p->values, used)), p->color);
        fm__str_add_escaped(out, p->name);
        fm__str_printf(out, " <b>%s</b></span>", c->label(mean, mean_of(p->values, 0, used)));
    }
    fm__str_add(out, "</figcaption>");
}

void fm__chart_areas(fm_str *out, const fm__chart *c)
{
    int used = used_bins(c);
    double top = top_of(c, used);
    char buf[32];
    fm__str_printf(out, "<figure><div class=\"scale\"><span>%s</span>", c->label(buf, top));
    fm__str_printf(out, "<span>%s</span></div>", c->label(buf, top / 2));
    fm__str_printf(out,
        "<div class=\"plot\"><svg viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" role=\"img\">", used,
        HIGH);
    fm__str_printf(out, "<path class=\"grid\" d=\"M0,0H%dM0,%dH%d\"/>", used, HIGH / 2, used);
    draw(out, c, used, top);
    add_columns(out, c, used);
    fm__str_add(out, "</svg></div><div class=\"axis\">");
    for (int i = 0; i <= 4; i++) {
        fm__str_printf(out, "<span>%s</span>", i ? fm__chart_seconds(buf, c->seconds * i / 4) : "0");
    }
    fm__str_add(out, "</div>");
    add_legend(out, c, used);
    fm__str_add(out, "</figure>\n");
}

void fm__chart_strip(fm_str *out, const fm__chart *c)
{
    int used = used_bins(c);
    fm__str_printf(out,
        "<svg class=\"strip\" viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" aria-hidden=\"true\">", used,
        HIGH);
    draw(out, c, used, top_of(c, used));
    fm__str_add(out, "</svg>");
}

static int shade(double v, double top)
{
    int s = (int)ceil(v / top * SHADES - 1e-9);
    return v <= 0 ? 0 : s < 1 ? 1 : s > SHADES ? SHADES : s;
}

void fm__chart_heat(fm_str *out, const double *values, double seconds, double bin_seconds, double top)
{
    fm__chart c = {.seconds = seconds, .bin_seconds = bin_seconds};
    int used = used_bins(&c), from = 0;
    fm__str_printf(out,
        "<svg class=\"strip\" viewBox=\"0 0 %d 1\" preserveAspectRatio=\"none\" aria-hidden=\"true\">", used);
    for (int i = 1; i <= used; i++) {
        int s = shade(values[from], top);
        if (i < used && shade(values[i], top) == s) {
            continue;
        }
        if (s > 0) {
            fm__str_printf(out, "<path class=\"h%d\" d=\"M%d,0H%dV1H%dZ\"/>", s, from, i, from);
        }
        from = i;
    }
    fm__str_add(out, "</svg>");
}

void fm__chart_bars(fm_str *out, const uint64_t *cells, int n, const char *title)
{
    uint64_t most = 1;
    for (int i = 0; i < n; i++) {
        most = cells[i] > most ? cells[i] : most;
    }
    fm__str_printf(out,
        "<svg class=\"bars\" viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" role=\"img\"><title>", 10 * n,
        HIGH);
    fm__str_add_escaped(out, title);
    fm__str_add(out, "</title>");
    for (int i = 0; i < n; i++) {
        if (cells[i] > 0) {
            int y = height((double)cells[i], (double)most * 1.04);
            y = y > HIGH - 30 ? HIGH - 30 : y; // a single one among many is still to be seen
            fm__str_printf(out, "<path d=\"M%d,%dV%dH%dV%dZ\"/>", 10 * i + 1, HIGH, y, 10 * i + 9, HIGH);
        }
    }
    fm__str_add(out, "</svg>");
}
