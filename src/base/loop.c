// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The event loop: level-triggered epoll, and an eventfd for wakeups. Waiting is rounded up to whole
// milliseconds, so that a deadline never makes the loop spin.

#include "base/loop.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAX_EVENTS 16
#define LONGEST_WAIT_MS 60000

struct fm_loop {
    int epoll_fd, wake_fd;
};

fm_status fm__loop_new(fm_loop **out, fm_error *err)
{
    fm_loop *l = fm__calloc(FM_TAG_BASE, sizeof(*l));
    if (!l) {
        return fm__fail_nomem(err, "an event loop");
    }
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event wake = {.events = EPOLLIN, .data.ptr = NULL};
    if (l->epoll_fd < 0 || l->wake_fd < 0 || epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->wake_fd, &wake) != 0) {
        int e = errno;
        fm__loop_free(&l);
        return fm__fail_errno(err, e, "cannot make", "an event loop");
    }
    *out = l;
    return FM_OK;
}

void fm__loop_free(fm_loop **loop)
{
    fm_loop *l = loop ? *loop : NULL;
    if (!l) {
        return;
    }
    *loop = NULL;
    if (l->epoll_fd >= 0) {
        close(l->epoll_fd);
    }
    if (l->wake_fd >= 0) {
        close(l->wake_fd);
    }
    fm__free(l);
}

fm_status fm__loop_watch(fm_loop *l, fm_watch *w, uint32_t events, fm_error *err)
{
    struct epoll_event e = {.events = events, .data.ptr = w};
    if (w->events == events) {
        return FM_OK;
    }
    if (epoll_ctl(l->epoll_fd, w->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, w->fd, &e) != 0) {
        return fm__fail_errno(err, errno, "cannot watch", "a descriptor");
    }
    w->events = events;
    return FM_OK;
}

void fm__loop_unwatch(fm_loop *l, fm_watch *w)
{
    if (w->events) {
        epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
        w->events = 0;
    }
}

void fm__loop_wake(fm_loop *l)
{
    uint64_t one = 1;
    while (write(l->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR) {
    } // EAGAIN: it is awake already
}

static int wait_ms(int64_t deadline_ns)
{
    int64_t left = deadline_ns == INT64_MAX ? INT64_MAX : deadline_ns - fm__now_ns();
    if (left <= 0) {
        return 0;
    }
    return left >= LONGEST_WAIT_MS * FM_NS_PER_MS ? LONGEST_WAIT_MS
                                                  : (int)((left + FM_NS_PER_MS - 1) / FM_NS_PER_MS);
}

void fm__loop_run(fm_loop *l, int64_t deadline_ns)
{
    struct epoll_event events[MAX_EVENTS];
    int n = epoll_wait(l->epoll_fd, events, MAX_EVENTS, wait_ms(deadline_ns));
    for (int i = 0; i < n; i++) {
        fm_watch *w = events[i].data.ptr;
        if (w) {
            w->fn(w, events[i].events, w->opaque);
        } else {
            uint64_t count;
            (void)!read(l->wake_fd, &count, sizeof(count)); // EAGAIN: nothing to take
        }
    }
}
