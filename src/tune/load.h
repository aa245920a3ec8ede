// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** How much of the processor time that this process wanted it got, beside other work on the machine. */
#ifndef FM_TUNE_LOAD_H
#define FM_TUNE_LOAD_H

/** Running sums since some beginning, in seconds. */
typedef struct fm__tune_load {
    double cpu_s;    // this process ran
    double waited_s; // its threads stood in line for a core; 0 where the system does not tell
    double busy_s;   // all cores, all processes
} fm__tune_load;

fm__tune_load fm__tune_load_now(void);

/** 0..1 from one reading to a later one: what it got of what it wanted. Waiting counts as far as others ran:
 * threads of our own that stand in each other's way are the setting's matter. */
double fm__tune_load_share(const fm__tune_load *begin, const fm__tune_load *end);

#endif
