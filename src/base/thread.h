// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Threads with names; condition variables on the monotonic clock. Mutexes are plain pthread_mutex_t. */
#ifndef FM_BASE_THREAD_H
#define FM_BASE_THREAD_H

#include <framemill/status.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/** Starts a joinable thread; name is cut to 15 characters. Signals are blocked in it: they belong to the
 * command's thread. */
fm_status fm__thread_start(
    pthread_t *thread, const char *name, void *(*fn)(void *), void *arg, fm_error *err) FM_MUST_USE;
void fm__cond_init(pthread_cond_t *cond);
/** Waits until deadline_ns (monotonic). false when the deadline passed. */
bool fm__cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t deadline_ns);
/** Cores this process may run on (its affinity mask and the cgroup's quota), at least 1. */
int fm__cpu_count(void);

#endif
