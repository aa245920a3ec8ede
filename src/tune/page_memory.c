// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The memory part of a profile's page. What libraries take for themselves nobody counts: it is what is
// resident beyond framemill's own, and is called that.

#include "tune/charts.h"
#include "tune/page.h"

#include <string.h>

enum { DRAWN = 8, MOST = 32 };

// Tags by their largest value, descending.
static size_t order_tags(const fm_samples *m, int *tags)
{
    size_t n = 0;
    for (int i = 0; i < FM_TAG_COUNT; i++) {
        double most = fm__series_most(&m->memory[i]);
        size_t at = n;
        if (most <= 0) {
            continue;
        }
        for (; at > 0 && fm__series_most(&m->memory[tags[at - 1]]) < most; at--) {
            tags[at] = tags[at - 1];
        }
        tags[at] = i;
        n++;
    }
    return n;
}

static void add_series(fm__chart_part *p, const fm_series *s, double bin_seconds)
{
    for (int i = 0; i < FM_BINS; i++) {
        p->values[i] += fm__series_mean_at(s, i * bin_seconds);
    }
}

// Of a scale for bytes: halves and quarters of it are round, too.
static double round_bytes(double v)
{
    double unit = 1024;
    while (unit < v) {
        unit *= 2;
    }
    return unit * 0.75 > v ? unit * 0.75 : unit;
}

static void draw(fm_str *out, const fm__page *page, fm__chart_part *parts)
{
    const fm_samples *m = page->samples;
    int tags[FM_TAG_COUNT];
    size_t n = order_tags(m, tags), count = n < DRAWN ? n : DRAWN;
    double rss[FM_BINS] = {0}, width = (double)(m->rss.width_ns ? m->rss.width_ns : FM_BIN_NS) / 1e9;
    for (int i = 0; i < FM_BINS; i++) {
        rss[i] = fm__series_mean(&m->rss, i);
    }
    for (size_t i = 0; i < n; i++) {
        size_t at = i < DRAWN ? i : DRAWN - 1;
        if (i <= at) {
            parts[at] = (fm__chart_part){.name = fm__tag_name((fm_tag)tags[i]), .color = (int)at};
        } else {
            parts[at].name = "the rest";
        }
        add_series(&parts[at], &m->memory[tags[i]], width);
    }
    fm__chart c = {
        .parts = parts,
        .part_count = count,
        .line = rss,
        .line_name = "resident",
        .seconds = page->seconds,
        .bin_seconds = width,
        .top = round_bytes(fm__series_most(&m->rss)),
        .label = fm__chart_bytes,
    };
    fm__chart_areas(out, &c);
}

static void cell_bytes(fm_str *out, double bytes)
{
    char buf[32];
    fm__str_printf(out, "<td>%s</td>", fm__chart_bytes(buf, bytes));
}

static void cell_count(fm_str *out, uint64_t n)
{
    char buf[32];
    fm__str_printf(out, "<td>%s</td>", fm__chart_count(buf, n));
}

static void add_modules(fm_str *out, const fm__page *page)
{
    fm_memory_stat stats[MOST];
    size_t n = fm_memory_stats(stats, MOST);
    double sum = 0;
    fm__str_add(out, "<div class=\"wide\"><table class=\"side\"><tr><th>module</th><th>at the "
                     "end</th><th>most</th><th>blocks</th></tr>\n");
    for (size_t i = 0; i < n && i < MOST; i++) {
        fm__str_printf(out, "<tr><th>%s</th>", stats[i].module);
        cell_bytes(out, (double)stats[i].current_bytes);
        cell_bytes(out, (double)stats[i].peak_bytes);
        cell_count(out, stats[i].blocks);
        fm__str_add(out, "</tr>\n");
        sum += (double)stats[i].current_bytes;
    }
    double resident = page->samples->rss.last;
    fm__str_add(out, "<tr class=\"sum\"><th>framemill's own</th>");
    cell_bytes(out, sum);
    fm__str_add(out, "<td></td><td></td></tr>\n<tr><th>resident less that: libraries, code, stacks</th>");
    cell_bytes(out, resident > sum ? resident - sum : 0);
    fm__str_add(out, "<td></td><td></td></tr>\n<tr class=\"sum\"><th>resident</th>");
    cell_bytes(out, resident);
    cell_bytes(out, (double)page->peak_rss_bytes);
    fm__str_add(out, "<td></td></tr></table></div>");
}

static void add_pools(fm_str *out)
{
    fm_memory_pool pools[MOST];
    size_t n = fm_memory_pools(pools, MOST);
    fm__str_add(out, "<div class=\"wide\"><table class=\"side\"><tr><th>pool</th><th>module</th><th>at the "
                     "end</th><th>most</th><th>in use</th><th>free</th></tr>\n");
    for (size_t i = 0; i < n && i < MOST; i++) {
        fm__str_printf(
            out, "<tr><th>%s%s</th><td>%s</td>", pools[i].name, pools[i].refers ? " *" : "", pools[i].module);
        cell_bytes(out, (double)pools[i].current_bytes);
        cell_bytes(out, (double)pools[i].peak_bytes);
        cell_count(out, pools[i].in_use);
        cell_count(out, pools[i].resting);
        fm__str_add(out, "</tr>\n");
    }
    fm__str_add(out, "</table><p class=\"note\">* refers to bytes that are counted where they belong, or are "
                     "a decoder's.</p></div>");
}

static void draw_device(fm_str *out, const fm__page *page, fm__chart_part *part)
{
    const fm_series *device = &page->samples->device;
    if (!device->width_ns) {
        return;
    }
    *part = (fm__chart_part){.name = "in tensors", .color = 0};
    for (int i = 0; i < FM_BINS; i++) {
        part->values[i] = fm__series_mean(device, i);
    }
    fm__chart c = {
        .parts = part,
        .part_count = 1,
        .seconds = page->seconds,
        .bin_seconds = (double)device->width_ns / 1e9,
        .top = round_bytes(fm__series_most(device)),
        .label = fm__chart_bytes,
    };
    fm__chart_areas(out, &c);
}

static void add_device_row(fm_str *out, const char *name, uint64_t bytes)
{
    fm__str_printf(out, "<tr><th>%s</th>", name);
    cell_bytes(out, (double)bytes);
    fm__str_add(out, "</tr>\n");
}

static void add_device(fm_str *out, const fm__page *page, fm__chart_part *part)
{
    if (!page->has_device) {
        return;
    }
    fm__str_add(out, "<h3>Memory of ");
    fm__str_add_escaped(out, page->device);
    fm__str_add(out, "</h3><p>What the networks' framework holds in tensors.</p>");
    draw_device(out, page, part);
    fm__str_add(out, "<div class=\"wide\"><table class=\"side\"><tr><th></th><th>bytes</th></tr>\n");
    add_device_row(out, "in tensors, at the end", page->device_memory.allocated_bytes);
    add_device_row(out, "in tensors, at most", page->device_memory.peak_bytes);
    add_device_row(out, "taken from the device", page->device_memory.reserved_bytes);
    fm__str_add(out, "</table></div>");
}

void fm__page_memory(fm_str *out, const fm__page *page)
{
    fm__chart_part *parts = fm__calloc_array(FM_TAG_TUNE, FM_CHART_PARTS, sizeof(*parts));
    if (!parts) {
        out->failed = true;
        return;
    }
    fm__str_add(out, "<section><h2>Memory</h2><p>What framemill's own modules hold, one area on the other, "
                     "and what of the "
                     "process is resident (line). What lies between is the libraries': networks and their "
                     "weights, decoders' "
                     "frames, encoders.</p>");
    draw(out, page, parts);
    fm__str_add(out, "<div class=\"pair even\">");
    add_modules(out, page);
    add_pools(out);
    fm__str_add(out, "</div>");
    add_device(out, page, parts);
    fm__str_add(out, "</section>\n");
    fm__free(parts);
}
