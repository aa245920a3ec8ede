// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** A network for tests of the executor: rows of one 64-bit number in, the number times two plus one out. It
 * completes on a thread of its own in random order, now and then inside start itself; it fails at start or at
 * finish as often as it is told to; it can be held shut; and it notes every misuse. */
#ifndef FM_TESTS_UNIT_EXEC_FAKE_NET_H
#define FM_TESTS_UNIT_EXEC_FAKE_NET_H

#include "infer/infer.h"

#include <pthread.h>
#include <stdint.h>

typedef struct fake_request fake_request;

typedef struct fake_net {
    fm_net base; // batch, slots and sizes are in base.info
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    // protected by lock
    fake_request *running; // started, not completed
    int running_count, most_running, requests;
    bool shut; // completes nothing
    bool quit;
    int fail_start, fail_finish, inside_start; // of 100
    int refuse_request;                        // the Nth request_new fails, 0: none
    uint64_t seed;
    uint64_t starts, failed_starts, failed_finishes, misuses;
} fake_net;

void fake_net_open(fake_net *net, int slots, int size_count, const int *sizes, uint64_t seed);
void fake_net_close(fake_net *net);
void fake_net_shut(fake_net *net, bool shut);
/** Waits until n requests run at once; false after ten seconds. */
bool fake_net_wait_running(fake_net *net, int n);

#endif
