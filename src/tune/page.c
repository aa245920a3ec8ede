// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A profile's page from top to bottom. Everything that comes from outside is escaped, and a content policy
// without scripts stands in the head, so that a stream's name could not run even where that failed.

#include "tune/page.h"

#include "tune/charts.h"
#include "tune/page_style.h"

#include <framemill/version.h>

#include <stdio.h>

enum { CELLS = 24 };

static void add_facts(fm_str *out, const fm__page_fact *facts, size_t count)
{
    fm__str_add(out, "<dl class=\"facts\">");
    for (size_t i = 0; i < count; i++) {
        fm__str_add(out, "<dt>");
        fm__str_add_escaped(out, facts[i].name);
        fm__str_add(out, "</dt><dd>");
        fm__str_add_escaped(out, facts[i].text);
        fm__str_add(out, "</dd>\n");
    }
    fm__str_add(out, "</dl>");
}

static void tile(fm_str *out, const char *value, const char *name)
{
    fm__str_printf(out, "<div><b>%s</b><span>%s</span></div>", value, name);
}

static void tile_number(fm_str *out, double value, int decimals, const char *after, const char *name)
{
    fm__str_add(out, "<div><b>");
    fm__str_add_fixed(out, value, decimals);
    fm__str_printf(out, "%s</b><span>%s</span></div>", after, name);
}

static void add_tiles(fm_str *out, const fm__page *page, const fm__load *load)
{
    char buf[32];
    fm_hist_summary l = fm__metrics_summary(page->metrics, FM_STAGE_LATENCY);
    fm__str_add(out, "<div class=\"tiles\">");
    tile(out, fm__chart_count(buf, page->frames), "frames");
    tile(out, fm__chart_seconds(buf, page->seconds), "of time");
    tile_number(out, page->seconds > 0 ? (double)page->frames / page->seconds : 0, 1, "", "frames a second");
    tile(out, fm__chart_seconds(buf, l.p50_ms / 1e3), "latency, median");
    tile(out, fm__chart_seconds(buf, l.p95_ms / 1e3), "latency, p95");
    tile(out, fm__chart_seconds(buf, l.p99_ms / 1e3), "latency, p99");
    snprintf(buf, sizeof(buf), " of %d", page->cores);
    tile_number(out, load->cores_busy, 2, buf, "cores busy");
    tile(out, fm__chart_bytes(buf, (double)page->peak_rss_bytes), "resident, most");
    tile(out, fm__chart_count(buf, load->dropped), "frames dropped");
    fm__str_add(out, "</div>");
}

static void add_summary(fm_str *out, const fm__page *page)
{
    fm__load load;
    fm__page_load(page, &load);
    fm__str_add(out, "<section><h2>Summary</h2><p class=\"verdict\">");
    fm_str text;
    fm__str_init(&text, FM_TAG_TUNE);
    fm__verdict(&text, &load);
    out->failed = out->failed || text.failed;
    fm__str_add_escaped(out, text.data ? text.data : "");
    fm__str_done(&text);
    fm__str_add(out, "</p>");
    add_tiles(out, page, &load);
    fm__str_add(out, "</section>\n");
}

/* ---- stages ---- */

static void cell_ms(fm_str *out, double ms)
{
    fm__str_add(out, "<td>");
    fm__str_add_fixed(out, ms, ms < 10 ? 3 : ms < 100 ? 2 : 1);
    fm__str_add(out, "</td>");
}

static void add_spark(fm_str *out, const fm__page *page, fm_stage stage)
{
    uint64_t cells[CELLS];
    double from = 0, to = 0;
    char title[96], a[32], b[32];
    fm__str_add(out, "<td class=\"spark\">");
    if (fm__metrics_shape(page->metrics, stage, cells, CELLS, &from, &to)) {
        snprintf(title, sizeof(title), "%s to %s", fm__chart_seconds(a, from / 1e3),
            fm__chart_seconds(b, to / 1e3));
        fm__chart_bars(out, cells, CELLS, title);
    }
    fm__str_add(out, "</td>");
}

static void add_stage(fm_str *out, const fm__page *page, fm_stage stage, double all_ms)
{
    char buf[32];
    fm_hist_summary s = fm__metrics_summary(page->metrics, stage);
    if (s.count == 0) {
        return;
    }
    fm__str_printf(
        out, "<tr><th>%s</th><td>%s</td><td>", fm__stage_name(stage), fm__chart_count(buf, s.count));
    fm__str_add_fixed(out, s.total_ms / 1e3, 3);
    fm__str_add(out, "</td><td>");
    if (stage != FM_STAGE_QUEUE && all_ms > 0) {
        fm__str_add_fixed(out, s.total_ms / all_ms * 100, 1);
    }
    fm__str_add(out, "</td>");
    cell_ms(out, s.total_ms / (double)s.count);
    cell_ms(out, s.p50_ms);
    cell_ms(out, s.p95_ms);
    cell_ms(out, s.p99_ms);
    add_spark(out, page, stage);
    fm__str_add(out, "</tr>\n");
}

static void add_stages(fm_str *out, const fm__page *page)
{
    double all = 0;
    for (int i = 0; i < FM_STAGE_LATENCY; i++) {
        all += i == FM_STAGE_QUEUE ? 0 : fm__metrics_summary(page->metrics, (fm_stage)i).total_ms;
    }
    fm__str_add(out,
        "<section><h2>Stages</h2><p>What each stage took. A network's stage (infer, segment, classify, "
        "embed) counts "
        "a batch each, from its start to its end in its slot, cores shared with all else; the others a frame "
        "or "
        "crop each, on a thread of framemill's. <b>Share</b> is of the sum of all but queue, which is "
        "waiting. The "
        "last column is the distribution from the quickest to the slowest, on a logarithmic scale.</p>"
        "<div class=\"wide\"><table><tr><th>stage</th><th>count</th><th>total, s</th><th>share, "
        "%</th><th>mean, ms</th>"
        "<th>p50</th><th>p95</th><th>p99</th><th>distribution</th></tr>\n");
    for (int i = 0; i < FM_STAGE_LATENCY; i++) {
        add_stage(out, page, (fm_stage)i, all);
    }
    fm__str_add(out, "</table></div></section>\n");
}

/* ---- streams ---- */

static void add_stream(fm_str *out, const fm_stream_report *s)
{
    char buf[32];
    fm__str_add(out, "<tr><th>");
    fm__str_add_escaped(out, s->name);
    fm__str_printf(out, "</th><td>%s</td>", fm__chart_count(buf, s->frames));
    fm__str_printf(out, "<td>%s</td>", fm__chart_count(buf, s->dropped));
    fm__str_printf(out, "<td>%s</td>", fm__chart_count(buf, s->objects));
    fm__str_printf(out, "<td>%s</td>", fm__chart_count(buf, s->tracks));
    fm__str_printf(
        out, "<td>%s</td><td class=\"text\">", fm__chart_count(buf, s->decode_errors + s->skipped));
    fm__str_add_escaped(out, s->url);
    if (s->error) {
        fm__str_add(out, "<br><b>");
        fm__str_add_escaped(out, s->error);
        fm__str_add(out, "</b>");
    }
    fm__str_add(out, "</td></tr>\n");
}

static void add_streams(fm_str *out, const fm__page *page)
{
    fm__str_add(out, "<section><h2>Streams</h2><div "
                     "class=\"wide\"><table><tr><th>stream</th><th>frames</th><th>dropped</th>"
                     "<th>objects</th><th>tracks</th><th>unreadable</th><th class=\"text\">source, and what "
                     "went wrong</th></tr>\n");
    for (size_t i = 0; i < page->stream_count; i++) {
        add_stream(out, &page->streams[i]);
    }
    fm__str_add(out, "</table></div>");
    if (page->all_streams > page->stream_count) {
        fm__str_printf(
            out, "<p>and %zu more; --report has them all.</p>", page->all_streams - page->stream_count);
    }
    fm__str_add(out, "</section>\n");
}

/* ---- the page ---- */

static void add_model_facts(fm_str *out, const fm__page *page)
{
    if (page->model_count == 0) {
        return;
    }
    fm__str_add(out, "<h3>Models</h3><dl class=\"facts\">");
    for (size_t i = 0; i < page->model_count; i++) {
        const fm__page_model *m = &page->models[i];
        fm__str_add(out, "<dt>");
        fm__str_add_escaped(out, m->name);
        fm__str_printf(out, "</dt><dd>%s; ", fm__task_name(m->task));
        fm__str_add_escaped(out, m->file);
        if (m->digest) {
            fm__str_printf(out, "; SHA-256 %s", m->digest);
        }
        fm__str_add(out, "</dd>\n");
    }
    fm__str_add(out, "</dl>");
}

static void add_head(fm_str *out, const fm__page *page)
{
    fm__str_add(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                     "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
                     "'unsafe-inline'\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                     "<title>framemill run: where the time went</title>\n<style>\n");
    fm__str_add(out, fm__page_style);
    fm__str_printf(out,
        "</style></head><body><main>\n<h1>Where the time went</h1><p>framemill %s, run of %s</p>\n",
        fm_version(), page->date);
}

void fm__page_html(fm_str *out, const fm__page *page)
{
    add_head(out, page);
    add_summary(out, page);
    fm__page_stages_over_time(out, page);
    add_stages(out, page);
    fm__page_batches(out, page);
    fm__page_queues(out, page);
    fm__page_threads(out, page);
    fm__page_memory(out, page);
    add_streams(out, page);
    fm__str_add(out, "<section><h2>Machine and settings</h2>");
    add_facts(out, page->machine, page->machine_count);
    add_model_facts(out, page);
    if (page->setting_count > 0) {
        fm__str_add(out, "<h3>Set for this run</h3>");
        add_facts(out, page->settings, page->setting_count);
    }
    fm__str_add(out, "</section>\n");
    fm__page_numbers(out, page);
    fm__str_add(out, "</main></body></html>\n");
}
