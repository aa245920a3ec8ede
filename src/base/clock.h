// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Time: monotonic inside, wall time only as a label. */
#ifndef FM_BASE_CLOCK_H
#define FM_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define FM_NS_PER_S INT64_C(1000000000)
#define FM_NS_PER_MS INT64_C(1000000)

int64_t fm__now_ns(void);  // CLOCK_MONOTONIC
int64_t fm__wall_ns(void); // CLOCK_REALTIME, since 1970
/** Any other one, such as processor time; 0 where it is not there. */
int64_t fm__clock_ns(clockid_t clock);
struct timespec fm__timespec(int64_t ns);
/** "2026-11-22T21:00:00.000Z" from nanoseconds since 1970; buf holds at least 32 bytes. Years outside 0..9999
 * give "". */
void fm__format_utc(int64_t wall_ns, char buf[32]);

#endif
