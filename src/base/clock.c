// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Clocks. Everything inside runs on the monotonic clock: wall time jumps (NTP, suspend, a user's hand) and is
// used only to label frames.

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

int64_t fm__clock_ns(clockid_t id)
{
    struct timespec ts;
    return clock_gettime(id, &ts) == 0 ? (int64_t)ts.tv_sec * FM_NS_PER_S + ts.tv_nsec : 0;
}

int64_t fm__now_ns(void)
{
    return fm__clock_ns(CLOCK_MONOTONIC);
}

int64_t fm__wall_ns(void)
{
    return fm__clock_ns(CLOCK_REALTIME);
}

struct timespec fm__timespec(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / FM_NS_PER_S, .tv_nsec = ns % FM_NS_PER_S};
}

void fm__format_utc(int64_t wall_ns, char buf[32])
{
    int64_t s = wall_ns / FM_NS_PER_S, ns = wall_ns % FM_NS_PER_S;
    if (ns < 0) {
        ns += FM_NS_PER_S;
        s--;
    }
    time_t t = (time_t)s;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || tm.tm_year < -1900 || tm.tm_year > 8099) {
        buf[0] = 0;
        return;
    }
    char text[96]; // the compiler sums up every field's widest value
    snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (tm.tm_year + 1900) % 10000,
        tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ns / FM_NS_PER_MS) % 1000);
    memcpy(buf, text, 31);
    buf[31] = 0;
}
