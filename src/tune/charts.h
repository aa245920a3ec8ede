// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Pictures of a page as inline SVG: no script, no text inside, so that they stretch to any width; what is to
 * be read stands around them as HTML. Colours are CSS classes of the page (`c0` ... `c15`). */
#ifndef FM_TUNE_CHARTS_H
#define FM_TUNE_CHARTS_H

#include "base/bins.h"
#include "base/str.h"

#define FM_CHART_COLORS 16
#define FM_CHART_PARTS 32

/** "12.3 s", "840 ms", "45 min"; "1.5 GiB"; "12,345". buf holds at least 32 bytes. */
const char *fm__chart_seconds(char buf[32], double seconds);
const char *fm__chart_bytes(char buf[32], double bytes);
const char *fm__chart_count(char buf[32], uint64_t n);

typedef struct fm__chart_part {
    const char *name;
    int color;              // below FM_CHART_COLORS
    double values[FM_BINS]; // in bins of the chart's width
} fm__chart_part;

typedef struct fm__chart {
    const fm__chart_part *parts; // [part_count], the first one lowest
    size_t part_count;
    const double *line;    // [FM_BINS] drawn over them, NULL: none
    const char *line_name; // of it
    double seconds;        // that the bins are of; only these are drawn
    double bin_seconds;
    double top;                                       // of the scale; 0: what the values ask for
    const char *(*label)(char buf[32], double value); // of values
} fm__chart;

/** A figure: areas one on the other, scale, time axis, legend with mean and most of each part. */
void fm__chart_areas(fm_str *out, const fm__chart *chart);
/** The picture alone, without scale and legend, for a row of a table; top as above. */
void fm__chart_strip(fm_str *out, const fm__chart *chart);
/** One row of a heat map: values from 0 to top in steps of darkness. */
void fm__chart_heat(fm_str *out, const double *values, double seconds, double bin_seconds, double top);
/** Bars from left to right; `low` and `high` are the ends of what they count, told in words. */
void fm__chart_bars(fm_str *out, const uint64_t *cells, int n, const char *title);

#endif
