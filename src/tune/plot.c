// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// An SVG of three panels, written by hand: no script, no outside fonts, readable in light and dark pages
// since it brings its own background. A series is what differs in batch alone: a colour and a line over
// batch, with whiskers of the 95 % confidence interval. Colours are those of Okabe and Ito (2008), told apart
// by eyes that see colour differently.

#include "tune/plot.h"

#include <math.h>
#include <stdio.h>

enum { WIDTH = 1000, HEIGHT = 760, MOST_SERIES = 12, COLORS = 7 };
static const char *const colors[COLORS] = {
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5b5b5b"};

typedef struct panel {
    double x, y, w, h; // of the plotting area
    double x0, x1, y0, y1;
} panel;

typedef struct series {
    int slots, threads;
} series;

typedef struct drawing {
    fm_str *out;
    const fm__tune_plot *p;
    series series[MOST_SERIES];
    int series_count;
} drawing;

static void add_num(fm_str *out, const char *before, double v)
{
    fm__str_add(out, before);
    fm__str_add_fixed(out, v, 1);
}

static double px(const panel *a, double v)
{
    return a->x + (v - a->x0) / (a->x1 - a->x0) * a->w;
}

static double py(const panel *a, double v)
{
    return a->y + a->h - (v - a->y0) / (a->y1 - a->y0) * a->h;
}

static void line(fm_str *o, double x1, double y1, double x2, double y2, const char *style)
{
    add_num(o, "<line x1=\"", x1);
    add_num(o, "\" y1=\"", y1);
    add_num(o, "\" x2=\"", x2);
    add_num(o, "\" y2=\"", y2);
    fm__str_printf(o, "\" %s/>\n", style);
}

static void text_at(fm_str *o, double x, double y, const char *style, const char *text)
{
    add_num(o, "<text x=\"", x);
    add_num(o, "\" y=\"", y);
    fm__str_printf(o, "\" %s>", style);
    fm__str_add_escaped(o, text);
    fm__str_add(o, "</text>\n");
}

// A round step that gives about five ticks.
static double tick_step(double range)
{
    double step = pow(10, floor(log10(range / 5)));
    double rest = range / 5 / step;
    return step * (rest < 1.5 ? 1 : rest < 3.5 ? 2 : rest < 7.5 ? 5 : 10);
}

static void tick_text(char *buf, size_t size, double v)
{
    if (v == floor(v)) {
        snprintf(buf, size, "%.0f", v);
    } else {
        snprintf(buf, size, "%d.%d", (int)v, (int)lround((v - floor(v)) * 10));
    }
}

static void draw_y_axis(const drawing *d, const panel *a, const char *title)
{
    double step = tick_step(a->y1 - a->y0);
    for (double v = 0; v <= a->y1 + step / 1000; v += step) {
        char label[32];
        tick_text(label, sizeof(label), v);
        line(d->out, a->x, py(a, v), a->x + a->w, py(a, v), "stroke=\"#e3e6ea\"");
        text_at(d->out, a->x - 8, py(a, v) + 4, "text-anchor=\"end\" class=\"t\"", label);
    }
    text_at(d->out, a->x - 40, a->y - 16, "class=\"h\"", title);
}

static void draw_batch_axis(const drawing *d, const panel *a)
{
    for (int b = 0; b <= (int)a->x1; b++) {
        char label[16];
        snprintf(label, sizeof(label), "%d", 1 << b);
        text_at(d->out, px(a, b), a->y + a->h + 18, "text-anchor=\"middle\" class=\"t\"", label);
    }
    text_at(d->out, a->x + a->w, a->y + a->h + 36, "text-anchor=\"end\" class=\"t\"", "batch size");
    line(d->out, a->x, a->y + a->h, a->x + a->w, a->y + a->h, "stroke=\"#8a9099\"");
}

static void draw_number_axis(const drawing *d, const panel *a, const char *title)
{
    double step = tick_step(a->x1 - a->x0);
    for (double v = 0; v <= a->x1 + step / 1000; v += step) {
        char label[32];
        tick_text(label, sizeof(label), v);
        line(d->out, px(a, v), a->y, px(a, v), a->y + a->h, "stroke=\"#e3e6ea\"");
        text_at(d->out, px(a, v), a->y + a->h + 18, "text-anchor=\"middle\" class=\"t\"", label);
    }
    text_at(d->out, a->x + a->w, a->y + a->h + 36, "text-anchor=\"end\" class=\"t\"", title);
    line(d->out, a->x, a->y + a->h, a->x + a->w, a->y + a->h, "stroke=\"#8a9099\"");
}

static int series_of(const drawing *d, const fm__tune_arm *arm)
{
    for (int i = 0; i < d->series_count; i++) {
        if (d->series[i].slots == arm->slots && d->series[i].threads == arm->threads) {
            return i;
        }
    }
    return -1;
}

static void find_series(drawing *d)
{
    for (size_t i = 0; i < d->p->count && d->series_count < MOST_SERIES; i++) {
        const fm__tune_arm *a = &d->p->arms[i];
        if (a->state == FM_TUNE_MEASURED && series_of(d, a) < 0) {
            d->series[d->series_count++] = (series){.slots = a->slots, .threads = a->threads};
        }
    }
}

static void dot(const drawing *d, double x, double y, size_t i, const char *color)
{
    const fm__tune_plot *p = d->p;
    const fm__tune_arm *a = &p->arms[i];
    add_num(d->out, "<circle cx=\"", x);
    add_num(d->out, "\" cy=\"", y);
    fm__str_printf(d->out, "\" r=\"%s\" fill=\"%s\" stroke=\"%s\" stroke-width=\"%s\"><title>",
        i == p->best ? "6" : "4", p->front[i] ? color : "#ffffff", color, "1.8");
    fm__str_printf(d->out, "batch %d, %d slots, %d cores: ", a->batch, a->slots, a->threads);
    fm__str_add_fixed(d->out, a->fps.mean, 1);
    fm__str_add(d->out, " frames/s, p99 ");
    fm__str_add_fixed(d->out, a->p99_ms.mean, 1);
    fm__str_add(d->out, " ms</title></circle>\n");
    if (i == p->best) {
        add_num(d->out, "<circle cx=\"", x);
        add_num(d->out, "\" cy=\"", y);
        fm__str_add(d->out, "\" r=\"10\" fill=\"none\" stroke=\"#14171a\" stroke-width=\"1.6\"/>\n");
    }
}

static const fm__tune_stats *value_of(const fm__tune_arm *a, bool latency)
{
    return latency ? &a->p99_ms : &a->fps;
}

// One panel over batch size.
static void draw_over_batch(const drawing *d, const panel *a, bool latency)
{
    for (int s = 0; s < d->series_count; s++) {
        const char *color = colors[s % COLORS];
        bool has_last = false;
        double lx = 0, ly = 0;
        for (size_t i = 0; i < d->p->count; i++) {
            const fm__tune_arm *arm = &d->p->arms[i];
            if (arm->state != FM_TUNE_MEASURED || series_of(d, arm) != s) {
                continue;
            }
            const fm__tune_stats *v = value_of(arm, latency);
            double x = px(a, log2(arm->batch)), y = py(a, v->mean), half = fm__tune_stats_half(v);
            char style[64];
            snprintf(style, sizeof(style), "stroke=\"%s\" stroke-width=\"1.6\"", color);
            if (has_last) {
                line(d->out, lx, ly, x, y, style);
            }
            if (half > 0) {
                double top = v->mean + half < a->y1 ? v->mean + half : a->y1;
                double low = v->mean - half > a->y0 ? v->mean - half : a->y0;
                line(d->out, x, py(a, top), x, py(a, low), style);
            }
            has_last = true;
            lx = x;
            ly = y;
        }
        for (size_t i = 0; i < d->p->count; i++) {
            const fm__tune_arm *arm = &d->p->arms[i];
            if (arm->state == FM_TUNE_MEASURED && series_of(d, arm) == s) {
                dot(d, px(a, log2(arm->batch)), py(a, value_of(arm, latency)->mean), i, color);
            }
        }
    }
}

// The next point of the front beyond this latency, or count.
static size_t next_on_front(const fm__tune_plot *p, double after_ms)
{
    size_t next = p->count;
    for (size_t i = 0; i < p->count; i++) {
        double ms = p->arms[i].p99_ms.mean;
        if (p->front[i] && ms > after_ms && (next == p->count || ms < p->arms[next].p99_ms.mean)) {
            next = i;
        }
    }
    return next;
}

// Throughput against latency. The front is a staircase: between two of its points nothing is to be had.
static void draw_front(const drawing *d, const panel *a)
{
    const fm__tune_plot *p = d->p;
    size_t last = p->count;
    static const char *const style = "stroke=\"#14171a\" stroke-width=\"1.4\" stroke-dasharray=\"5 4\"";
    for (size_t i = next_on_front(p, -1); i < p->count; i = next_on_front(p, p->arms[i].p99_ms.mean)) {
        double x = px(a, p->arms[i].p99_ms.mean), y = py(a, p->arms[i].fps.mean);
        if (last < p->count) {
            double ly = py(a, p->arms[last].fps.mean);
            line(d->out, px(a, p->arms[last].p99_ms.mean), ly, x, ly, style);
            line(d->out, x, ly, x, y, style);
        }
        last = i;
    }
    if (p->max_p99_ms > 0 && p->max_p99_ms < a->x1) {
        line(d->out, px(a, p->max_p99_ms), a->y, px(a, p->max_p99_ms), a->y + a->h,
            "stroke=\"#b3261e\" stroke-width=\"1.4\"");
        text_at(d->out, px(a, p->max_p99_ms) + 5, a->y + 12, "class=\"t\"", "bound");
    }
    for (size_t i = 0; i < p->count; i++) {
        if (p->arms[i].state == FM_TUNE_MEASURED && series_of(d, &p->arms[i]) >= 0) {
            dot(d, px(a, p->arms[i].p99_ms.mean), py(a, p->arms[i].fps.mean), i,
                colors[series_of(d, &p->arms[i]) % COLORS]);
        }
    }
}

static void draw_legend(const drawing *d, double x, double y)
{
    for (int i = 0; i < d->series_count; i++) {
        char label[64];
        const series *s = &d->series[i];
        snprintf(label, sizeof(label), "%d slot%s on %d core%s", s->slots, s->slots == 1 ? "" : "s",
            s->threads, s->threads == 1 ? "" : "s");
        add_num(d->out, "<circle cx=\"", x);
        add_num(d->out, "\" cy=\"", y + 22 * i);
        fm__str_printf(d->out, "\" r=\"5\" fill=\"%s\"/>\n", colors[i % COLORS]);
        text_at(d->out, x + 14, y + 22 * i + 4, "class=\"t\"", label);
    }
    double below = y + 22 * d->series_count + 14;
    static const char *const notes[] = {"Filled: on the Pareto front, no other",
        "setting has more frames/s and less", "latency. Ringed: chosen. Whiskers: 95 %",
        "confidence intervals. Latency: from being", "taken to the result, under full load."};
    for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++) {
        text_at(d->out, x - 5, below + 17 * (double)i, "class=\"n\"", notes[i]);
    }
}

void fm__tune_plot_svg(fm_str *out, const fm__tune_plot *p)
{
    drawing d = {.out = out, .p = p};
    double fps = 0, ms = 0, batch = 1;
    find_series(&d);
    for (size_t i = 0; i < p->count; i++) {
        const fm__tune_arm *a = &p->arms[i];
        if (a->state == FM_TUNE_MEASURED) {
            fps = a->fps.mean > fps ? a->fps.mean : fps;
            ms = a->p99_ms.mean > ms ? a->p99_ms.mean : ms;
            batch = log2(a->batch) > batch ? log2(a->batch) : batch;
        }
    }
    fps = fps > 0 ? fps * 1.12 : 1;
    ms = ms > 0 ? ms * 1.12 : 1;
    panel rate = {70, 130, 400, 220, 0, batch, 0, fps};
    panel late = {570, 130, 390, 220, 0, batch, 0, ms};
    panel both = {70, 460, 590, 230, 0, ms, 0, fps};
    fm__str_printf(out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
        "font-family=\"system-ui,-apple-system,Segoe UI,Helvetica,Arial,sans-serif\">\n"
        "<style>.t{font-size:12px;fill:#4a5058}.h{font-size:14px;font-weight:600;fill:#14171a}"
        ".n{font-size:11.5px;fill:#6a7078}</style>\n"
        "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n",
        WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT);
    text_at(out, 30, 42, "font-size=\"21\" font-weight=\"600\" fill=\"#14171a\"", p->title);
    text_at(out, 30, 66, "font-size=\"13\" fill=\"#4a5058\"", p->subtitle);
    draw_y_axis(&d, &rate, "frames a second");
    draw_batch_axis(&d, &rate);
    draw_over_batch(&d, &rate, false);
    draw_y_axis(&d, &late, "p99 latency, ms");
    draw_batch_axis(&d, &late);
    draw_over_batch(&d, &late, true);
    draw_y_axis(&d, &both, "frames a second, against latency");
    draw_number_axis(&d, &both, "p99 latency, ms");
    draw_front(&d, &both);
    draw_legend(&d, 715, 470);
    fm__str_add(out, "</svg>\n");
}

void fm__tune_plot_html(fm_str *out, const fm__tune_plot *p)
{
    fm__str_add(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                     "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>");
    fm__str_add_escaped(out, p->title);
    fm__str_add(out, "</title><style>body{margin:2rem auto;max-width:1000px;padding:0 1rem;"
                     "background:#f4f5f7}svg{width:100%;height:auto;border-radius:8px;"
                     "box-shadow:0 1px 4px #0002}</style></head><body>\n");
    fm__tune_plot_svg(out, p);
    fm__str_add(out, "</body></html>\n");
}
