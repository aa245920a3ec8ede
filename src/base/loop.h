// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** An event loop over epoll: descriptors with a function each, a deadline, and a wakeup from other threads.
 *  One thread runs it; only fm__loop_wake may come from another one. */
#ifndef FM_BASE_LOOP_H
#define FM_BASE_LOOP_H

#include <framemill/status.h>

#include <stdint.h>

typedef struct fm_loop fm_loop;

/** What is known of a watched descriptor; lives with its owner, which takes it out before it closes fd. */
typedef struct fm_watch fm_watch;
struct fm_watch {
    int fd; // -1: none
    /** events: EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP. May take itself out, but no other watch. */
    void (*fn)(fm_watch *watch, uint32_t events, void *opaque);
    void *opaque;
    uint32_t events; // asked for; set by the functions below
};

fm_status fm__loop_new(fm_loop **out, fm_error *err) FM_MUST_USE;
void fm__loop_free(fm_loop **loop);
/** Asks for these events of watch->fd; the first call puts it in. */
fm_status fm__loop_watch(fm_loop *loop, fm_watch *watch, uint32_t events, fm_error *err) FM_MUST_USE;
/** Takes it out, where it is in. */
void fm__loop_unwatch(fm_loop *loop, fm_watch *watch);
/** Makes the current or the next fm__loop_run return. Any thread. */
void fm__loop_wake(fm_loop *loop);
/** Waits for events until deadline_ns (monotonic; INT64_MAX: for ever) or a wakeup, and calls those that are
 * ready. */
void fm__loop_run(fm_loop *loop, int64_t deadline_ns);

#endif
