// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The parts of a profile's page that are drawn over time.

#include "tune/charts.h"
#include "tune/page.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *number(char buf[32], double v)
{
    int64_t hundredths = (int64_t)llround(v * 100);
    if (hundredths == 0 && v > 0) {
        snprintf(buf, 32, "&lt;0.01");
    } else if (hundredths % 100 == 0 || v >= 100) {
        snprintf(buf, 32, "%d", (int)lround(v));
    } else {
        snprintf(buf, 32, "%d.%02d", (int)(hundredths / 100), (int)(hundredths % 100));
    }
    return buf;
}

static const char *percent(char buf[32], double v)
{
    snprintf(buf, 32, "%d %%", (int)lround(v * 100));
    return buf;
}

// Time that a bin has: the last one ends with the run.
static double bin_time(const fm__page *page, double width, int bin)
{
    double left = page->seconds - width * bin;
    return left < width ? left : width;
}

static double width_of(const fm_profile_view *v)
{
    return (double)v->width_ns / 1e9;
}

static void add_bins(const fm__page *page, const fm_profile_thread *t, int act, double *values)
{
    double width = width_of(page->threads);
    for (int i = 0; i < FM_BINS && t->bins[act]; i++) {
        double time = bin_time(page, width, i);
        values[i] += time > 0 ? (double)t->bins[act][i] / 1e9 / time : 0;
    }
}

// Colours of what threads do; those that are seldom seen share them.
static int color_of(int act)
{
    return act < FM_CHART_COLORS - 4 ? act : FM_CHART_COLORS - 4 + act % 3;
}

static size_t busy_parts(const fm__page *page, const fm_profile_thread *t, size_t n, fm__chart_part *parts)
{
    size_t count = 0;
    for (int act = 0; act < FM_ACT_COUNT; act++) {
        if (fm__act_kind((fm_act)act) != FM_ACT_BUSY) {
            continue;
        }
        fm__chart_part *p = &parts[count];
        bool any = false;
        *p = (fm__chart_part){.name = fm__act_name((fm_act)act), .color = color_of(act)};
        for (size_t i = 0; i < n; i++) {
            any = any || t[i].bins[act];
            add_bins(page, &t[i], act, p->values);
        }
        count += any;
    }
    return count;
}

static void series_values(const fm_series *s, double bin_seconds, double *values)
{
    for (int i = 0; i < FM_BINS; i++) {
        values[i] = fm__series_mean_at(s, i * bin_seconds);
    }
}

void fm__page_stages_over_time(fm_str *out, const fm__page *page)
{
    fm__chart_part *parts = fm__calloc_array(FM_TAG_TUNE, FM_CHART_PARTS, sizeof(*parts));
    double cores[FM_BINS] = {0};
    if (!parts) {
        out->failed = true;
        return;
    }
    series_values(&page->samples->cores, width_of(page->threads), cores);
    fm__chart c = {
        .parts = parts,
        .part_count = busy_parts(page, page->threads->threads, page->threads->count, parts),
        .line = cores,
        .line_name = "cores busy",
        .seconds = page->seconds,
        .bin_seconds = width_of(page->threads),
        .label = number,
    };
    fm__str_add(out,
        "<section><h2>Threads and cores over time</h2><p>How many of framemill's threads were at "
        "what, one area on the other, and how many cores the whole process kept busy (line). The "
        "networks compute in threads of their libraries: they are in the line, not in the areas.</p>");
    fm__chart_areas(out, &c);
    fm__str_add(out, "</section>\n");
    fm__free(parts);
}

/* ---- threads ---- */

static void cell_percent(fm_str *out, double part, double all)
{
    fm__str_add(out, "<td>");
    if (all > 0) {
        fm__str_add_fixed(out, part / all * 100, 1);
    }
    fm__str_add(out, "</td>");
}

static void cell_seconds(fm_str *out, int64_t ns)
{
    fm__str_add(out, "<td>");
    fm__str_add_fixed(out, (double)ns / 1e9, 3);
    fm__str_add(out, "</td>");
}

static void draw_thread(fm_str *out, const fm__page *page, const fm_profile_thread *t, fm__chart_part *parts)
{
    fm__chart c = {
        .parts = parts,
        .part_count = busy_parts(page, t, 1, parts),
        .seconds = page->seconds,
        .bin_seconds = width_of(page->threads),
        .top = 1,
        .label = percent,
    };
    fm__chart_strip(out, &c);
}

static void add_thread(fm_str *out, const fm__page *page, const fm_profile_thread *t, fm__chart_part *parts)
{
    int64_t busy = fm__page_busy_ns(t), idle = fm__page_idle_ns(t);
    fm__str_add(out, "<tr><th>");
    fm__str_add_escaped(out, t->name);
    fm__str_add(out, "</th><td class=\"pic\">");
    draw_thread(out, page, t, parts);
    fm__str_add(out, "</td>");
    cell_seconds(out, t->life_ns);
    cell_seconds(out, busy);
    cell_seconds(out, idle);
    cell_percent(out, (double)(busy + idle), (double)t->life_ns);
    cell_seconds(out, t->cpu_ns);
    cell_percent(out, (double)t->cpu_ns, (double)busy);
    if (t->delayed_ns >= 0) {
        cell_seconds(out, t->delayed_ns);
    } else {
        fm__str_add(out, "<td>?</td>");
    }
    fm__str_add(out, "</tr>\n");
}

// A row of the table of processor times; number 0: not said.
static void add_cpu(fm_str *out, const fm__page *page, const char *name, size_t number, int64_t ns)
{
    fm__str_add(out, "<tr><th>");
    fm__str_add_escaped(out, name);
    fm__str_add(out, "</th><td>");
    if (number > 0) {
        fm__str_add_uint(out, number);
    }
    fm__str_add(out, "</td><td>");
    fm__str_add_fixed(out, page->seconds > 0 ? (double)ns / 1e9 / page->seconds : 0, 2);
    fm__str_add(out, "</td>");
    cell_seconds(out, ns);
    fm__str_add(out, "</tr>\n");
}

// Libraries' threads, those of one name together. done[i]: has been told, or is one of framemill's own.
static void add_by_name(fm_str *out, const fm__page *page, bool *done)
{
    const fm_samples *m = page->samples;
    for (size_t k = 0; k < m->other_count; k++) {
        int64_t sum = 0;
        size_t count = 0;
        for (size_t i = k; i < m->other_count && !done[k]; i++) {
            if (!done[i] && strcmp(m->others[i].name, m->others[k].name) == 0) {
                sum += m->others[i].cpu_ns;
                count++;
                done[i] = i != k;
            }
        }
        if (count > 0) {
            add_cpu(out, page, m->others[k].name, count, sum);
        }
    }
}

static void add_all_cpu(fm_str *out, const fm__page *page)
{
    const fm_samples *m = page->samples;
    bool done[FM_SAMPLED_OTHERS] = {false};
    int64_t own = 0;
    for (size_t i = 0; i < page->threads->count; i++) {
        const fm_profile_thread *t = &page->threads->threads[i];
        own += t->cpu_ns;
        for (size_t k = 0; k < m->other_count; k++) {
            done[k] = done[k] || m->others[k].tid == t->tid;
        }
    }
    fm__str_add(out, "<details open><summary>Processor time of all threads</summary><div class=\"wide\">"
                     "<table class=\"side\"><tr><th>threads named</th><th>number</th><th>cores</th>"
                     "<th>seconds</th></tr>\n");
    add_cpu(out, page, "framemill's above", page->threads->count, own);
    add_by_name(out, page, done);
    add_cpu(out, page, "the whole process", 0, m->cpu_ns);
    fm__str_add(out,
        "</table></div><p>Libraries' threads by their names, as last looked at. Those that are "
        "named as the command are a library's, but for its first one, which waits.</p></details>");
}

void fm__page_threads(fm_str *out, const fm__page *page)
{
    const fm_profile_view *v = page->threads;
    fm__chart_part *parts = fm__calloc_array(FM_TAG_TUNE, FM_CHART_PARTS, sizeof(*parts));
    if (!parts) {
        out->failed = true;
        return;
    }
    fm__str_add(out,
        "<section><h2>Threads</h2><p>Each thread's time over the run: height is the share of a moment that "
        "it was "
        "at work. <b>At work</b> and <b>waiting</b> are sums of what it told, <b>named</b> is what both make "
        "of its "
        "life. <b>On a core</b> is its processor time as the kernel counts it, and what share of its work "
        "that is: near "
        "100 % where it computes all the time that it is at work, less where it waits inside its work (for a "
        "decoder's "
        "own threads, a lock, a camera, a disk) or stands <b>in line</b> for a core that others "
        "have.</p><div class=\"wide\"><table class=\"threads\">"
        "<tr><th>thread</th><th></th><th>life, s</th><th>at work, s</th><th>waiting, s</th><th>named, %</th>"
        "<th>on a core, s</th><th>of work, %</th><th>in line, s</th></tr>\n");
    for (size_t i = 0; i < v->count && i < FM_PAGE_THREADS; i++) {
        add_thread(out, page, &v->threads[i], parts);
    }
    fm__str_add(out, "</table></div>");
    if (v->count > FM_PAGE_THREADS || v->lost) {
        fm__str_printf(out, "<p>%zu more threads are in the sums only",
            v->count > FM_PAGE_THREADS ? v->count - FM_PAGE_THREADS : 0);
        fm__str_printf(out, "%s.</p>", v->lost ? "; some found no room in the profile" : "");
    }
    add_all_cpu(out, page);
    fm__str_add(out, "</section>\n");
    fm__free(parts);
}

/* ---- queues ---- */

static void add_queue(fm_str *out, const fm__page *page, const char *name, const fm_series *s, double top)
{
    double values[FM_BINS] = {0}, sum = 0;
    int used = 0;
    for (int i = 0; i < FM_BINS; i++) {
        values[i] = fm__series_mean(s, i);
        bool in = s->width_ns && i <= s->last_ns / s->width_ns;
        sum += in ? values[i] : 0;
        used += in;
    }
    fm__str_add(out, "<tr><th>");
    fm__str_add_escaped(out, name);
    fm__str_add(out, "</th><td class=\"pic\">");
    fm__chart_heat(out, values, page->seconds, (double)s->width_ns / 1e9, top);
    fm__str_add(out, "</td><td>");
    fm__str_add_fixed(out, used ? sum / used : 0, 1);
    fm__str_add(out, "</td><td>");
    fm__str_add_fixed(out, fm__series_most(s), 0);
    fm__str_add(out, "</td></tr>\n");
}

void fm__page_queues(fm_str *out, const fm__page *page)
{
    const fm_samples *m = page->samples;
    size_t n = page->stream_count < FM_SAMPLED_STREAMS ? page->stream_count : FM_SAMPLED_STREAMS;
    double top = 1;
    for (size_t i = 0; i < n; i++) {
        double most = fm__series_most(&m->queued[i]);
        top = most > top ? most : top;
    }
    fm__str_add(out,
        "<section><h2>Queues</h2><p>Frames that wait in each stream's ring for a batch, the stronger the "
        "colour the "
        "more (all rows on one scale). Full all the time: what comes after is slower than reading. Empty: "
        "reading is. Live streams drop their oldest frame when it is full.</p><div class=\"wide\"><table "
        "class=\"queues\">"
        "<tr><th>queue of</th><th></th><th>mean</th><th>most</th></tr>\n");
    for (size_t i = 0; i < n; i++) {
        add_queue(out, page, page->streams[i].name, &m->queued[i], top);
    }
    if (page->all_streams > FM_SAMPLED_STREAMS) {
        double most = fm__series_most(&m->queued_rest);
        add_queue(out, page, "all other streams", &m->queued_rest, most > 1 ? most : 1);
    }
    fm__str_add(out, "</table></div></section>\n");
}

/* ---- batches ---- */

static void add_sizes(fm_str *out, const fm__page *page, const fm__page_model *m)
{
    const uint64_t *sizes = page->samples->sizes[m->task];
    int n = m->largest < FM_SAMPLED_ROWS ? m->largest : FM_SAMPLED_ROWS;
    fm__str_add(out, "<div class=\"sizes\">");
    fm__chart_bars(out, sizes + 1, n < 1 ? 1 : n, "batches of each size");
    fm__str_printf(out, "<div class=\"axis\"><span>1</span>%s", n > 1 ? "" : "</div>");
    if (n > 1) {
        fm__str_printf(out, "<span>%d</span></div>", n);
    }
    fm__str_add(out, "<p class=\"note\">batches of each size</p></div>");
}

static void add_model(fm_str *out, const fm__page *page, const fm__page_model *m, fm__chart_part *part)
{
    const fm_series *rows = &page->samples->rows[m->task];
    char buf[32];
    *part = (fm__chart_part){.name = "in a batch", .color = FM_ACT_INFER};
    series_values(rows, (double)(rows->width_ns ? rows->width_ns : FM_BIN_NS) / 1e9, part->values);
    fm__chart c = {
        .parts = part,
        .part_count = 1,
        .seconds = page->seconds,
        .bin_seconds = (double)(rows->width_ns ? rows->width_ns : FM_BIN_NS) / 1e9,
        .top = m->largest > 0 ? m->largest : 1,
        .label = number,
    };
    fm__str_add(out, "<h3>");
    fm__str_add_escaped(out, m->name);
    fm__str_printf(out, " <small>%s</small></h3><p>%s batches", fm__task_name(m->task),
        fm__chart_count(buf, m->batches));
    fm__str_printf(out, " of %s items, ", fm__chart_count(buf, m->items));
    fm__str_add_fixed(out, m->batches ? (double)m->items / (double)m->batches : 0, 2);
    fm__str_printf(
        out, " each of at most %d; %d slot%s, busy ", m->largest, m->slots, m->slots == 1 ? "" : "s");
    fm__str_add_fixed(out, fm__page_slots_busy(page, m) * 100, 0);
    fm__str_printf(out, " %% of the time; %s failed.</p><div class=\"pair\">",
        m->failed ? fm__chart_count(buf, m->failed) : "none");
    fm__chart_areas(out, &c);
    add_sizes(out, page, m);
    fm__str_add(out, "</div>");
}

void fm__page_batches(fm_str *out, const fm__page *page)
{
    fm__chart_part *part = fm__calloc(FM_TAG_TUNE, sizeof(*part));
    if (!part) {
        out->failed = true;
        return;
    }
    if (page->model_count > 0) {
        fm__str_add(out,
            "<section><h2>Batches</h2><p>How full the batches of each model were over time, against the "
            "largest that it takes, and how many there were of each size.</p>");
        for (size_t i = 0; i < page->model_count; i++) {
            add_model(out, page, &page->models[i], part);
        }
        fm__str_add(out, "</section>\n");
    }
    fm__free(part);
}
