// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Something over time in a fixed number of bins: when time runs past the last one, every two become one and
 * all are twice as wide. A run of a second and one of a week take the same memory. Times count from an
 * origin of the caller's. No locks. */
#ifndef FM_BASE_BINS_H
#define FM_BASE_BINS_H

#include <stdint.h>

#define FM_BINS 240
#define FM_BIN_NS (INT64_C(10) * 1000 * 1000) // width at first

/** What a bin's width must be for `at_ns` to lie in one. */
int64_t fm__bins_width(int64_t width_ns, int64_t at_ns);
/** Makes bins `to_ns` wide of narrower ones; both widths are FM_BIN_NS doubled so often. */
void fm__bins_widen(uint64_t *bins, int64_t from_ns, int64_t to_ns);
/** Spreads `ns` evenly over [begin_ns, end_ns), 0 <= begin_ns <= end_ns; the width fits end_ns. */
void fm__bins_spread(uint64_t *bins, int64_t width_ns, int64_t begin_ns, int64_t end_ns, int64_t ns);

/** Values that were seen at some time or other: mean and most of each bin. All zero is an empty one. */
typedef struct fm_series {
    int64_t width_ns; // 0: empty
    int64_t last_ns;  // of the last value
    double last;
    double sum[FM_BINS];
    float most[FM_BINS];
    uint32_t count[FM_BINS];
} fm_series;

/** Values come in order of time. */
void fm__series_add(fm_series *s, int64_t at_ns, double value);
void fm__series_widen(fm_series *s, int64_t width_ns);
/** Mean of a bin; where nothing was seen in it, that of the bin before, and 0 before the first and after the
 * last one. */
double fm__series_mean(const fm_series *s, int bin);
/** The same of the bin that a time lies in. */
double fm__series_mean_at(const fm_series *s, double seconds);
/** Largest value of all. */
double fm__series_most(const fm_series *s);

#endif
