// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The picture of a search: throughput and latency over batch size, and one against the other with the Pareto
 * front. */
#ifndef FM_TUNE_PLOT_H
#define FM_TUNE_PLOT_H

#include "base/str.h"
#include "tune/search.h"

typedef struct fm__tune_plot {
    const char *title, *subtitle;
    const fm__tune_arm *arms; // [count]
    const bool *front;        // [count]
    size_t count, best;       // best == count: none
    double max_p99_ms;        // 0: no bound
} fm__tune_plot;

/** Appends a whole <svg> element. Everything in the text is escaped. */
void fm__tune_plot_svg(fm_str *out, const fm__tune_plot *plot);
/** Appends a page around one. */
void fm__tune_plot_html(fm_str *out, const fm__tune_plot *plot);

#endif
