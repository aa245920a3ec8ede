// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What the kernel says of this process (proc(5)). Each call opens a file: for looks now and then. */
#ifndef FM_BASE_PROCESS_H
#define FM_BASE_PROCESS_H

#include <stdint.h>

/** Memory that is resident; 0 where it is not told. */
int64_t fm__process_resident_bytes(void);
/** How long a thread of this process stood in line for a core, since it began; -1 where it is not told. */
int64_t fm__thread_waited_ns(int tid);

#endif
