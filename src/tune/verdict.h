// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What held a run up, in a sentence made of its numbers. Pure. */
#ifndef FM_TUNE_VERDICT_H
#define FM_TUNE_VERDICT_H

#include "base/str.h"

/** Shares are 0..1 of a run's time. */
typedef struct fm__load {
    uint64_t frames;
    int cores;            // that it may use
    double cores_busy;    // mean, with all libraries' threads
    double no_room;       // of the streams' threads: waited until a frame had left
    double pace;          // of the streams' threads: waited for the clock
    double reader;        // the busiest stream's thread
    const char *reads;    // what it did most, NULL: nothing
    double delivery;      // the busiest delivery thread
    const char *delivers; // what it did most
    double slots;         // of the model whose slots were busiest
    const char *model;    // its name, NULL: no model
    double in_line;       // of the time that framemill's threads wanted a core: stood in line for one
    uint64_t dropped;
} fm__load;

void fm__verdict(fm_str *out, const fm__load *load);

#endif
