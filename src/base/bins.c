// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Bins that double. All of them begin at the same origin and with the same width, so that bins of any two
// widths fit into one another, and what several threads kept, each in its own width, adds up in the widest.

#include "base/bins.h"

#include <string.h>

int64_t fm__bins_width(int64_t width_ns, int64_t at_ns)
{
    width_ns = width_ns ? width_ns : FM_BIN_NS;
    while (at_ns >= width_ns * FM_BINS) {
        width_ns *= 2;
    }
    return width_ns;
}

void fm__bins_widen(uint64_t *bins, int64_t from_ns, int64_t to_ns)
{
    for (; from_ns < to_ns; from_ns *= 2) {
        for (int i = 0; i < FM_BINS / 2; i++) {
            bins[i] = bins[2 * i] + bins[2 * i + 1];
        }
        memset(bins + FM_BINS / 2, 0, FM_BINS / 2 * sizeof(*bins));
    }
}

void fm__bins_spread(uint64_t *bins, int64_t width_ns, int64_t begin_ns, int64_t end_ns, int64_t ns)
{
    int64_t span = end_ns - begin_ns, left = ns;
    for (int64_t at = begin_ns; at < end_ns;) {
        int64_t next = (at / width_ns + 1) * width_ns;
        next = next < end_ns ? next : end_ns;
        // The last bin takes what rounding left over: bins add up to what was put in.
        int64_t part = next == end_ns ? left : (int64_t)((double)ns * (double)(next - at) / (double)span);
        part = part < left ? part : left;
        bins[at / width_ns] += (uint64_t)part;
        left -= part;
        at = next;
    }
}

static void fold(fm_series *s, int i)
{
    float a = s->most[2 * i], b = s->most[2 * i + 1];
    s->sum[i] = s->sum[2 * i] + s->sum[2 * i + 1];
    s->count[i] = s->count[2 * i] + s->count[2 * i + 1];
    s->most[i] = a > b ? a : b;
}

void fm__series_widen(fm_series *s, int64_t width_ns)
{
    for (; s->width_ns && s->width_ns < width_ns; s->width_ns *= 2) {
        for (int i = 0; i < FM_BINS; i++) {
            if (i < FM_BINS / 2) {
                fold(s, i);
            } else {
                s->sum[i] = 0;
                s->count[i] = 0;
                s->most[i] = 0;
            }
        }
    }
}

void fm__series_add(fm_series *s, int64_t at_ns, double value)
{
    at_ns = at_ns > 0 ? at_ns : 0;
    int64_t width = fm__bins_width(s->width_ns, at_ns);
    fm__series_widen(s, width);
    s->width_ns = width;
    int64_t i = at_ns / width;
    float most = (float)value;
    s->most[i] = s->count[i] == 0 || most > s->most[i] ? most : s->most[i];
    s->sum[i] += value;
    s->count[i]++;
    s->last_ns = at_ns;
    s->last = value;
}

double fm__series_mean(const fm_series *s, int bin)
{
    if (s->width_ns == 0 || bin > s->last_ns / s->width_ns) {
        return 0;
    }
    while (bin > 0 && s->count[bin] == 0) {
        bin--;
    }
    return s->count[bin] ? s->sum[bin] / s->count[bin] : 0;
}

double fm__series_mean_at(const fm_series *s, double seconds)
{
    double bin = s->width_ns ? seconds * 1e9 / (double)s->width_ns : FM_BINS;
    return bin < FM_BINS ? fm__series_mean(s, (int)bin) : 0;
}

double fm__series_most(const fm_series *s)
{
    float most = 0;
    for (int i = 0; i < FM_BINS; i++) {
        most = s->count[i] && s->most[i] > most ? s->most[i] : most;
    }
    return (double)most;
}
