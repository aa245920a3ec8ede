// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Threads that share a loop: the parts of one piece of work are handed out one by one, to the caller's
 * thread too. Starting threads costs more than a scan may take, so they stay. */
#ifndef FM_SEARCH_TEAM_H
#define FM_SEARCH_TEAM_H

#include <framemill/status.h>

#include <stddef.h>

#define FM_TEAM_MAX 64

typedef struct fm__team fm__team;

/** Runs part `index`; `member` is 0..size-1, one thread at a time for each. */
typedef void fm__team_fn(void *opaque, size_t index, int member);

/** @param size  threads, the caller's among them; 0: as many as there are cores */
fm_status fm__team_new(int size, fm__team **out, fm_error *err) FM_MUST_USE;
void fm__team_free(fm__team **team);
int fm__team_size(const fm__team *team);
/** Runs parts 0..count-1 and returns when all are done. Callers wait for one another. */
void fm__team_run(fm__team *team, size_t count, fm__team_fn *fn, void *opaque);

#endif
