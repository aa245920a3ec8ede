// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// From /proc/self: statm counts pages, the second of them those that are resident; the second number of a
// thread's schedstat is the time it was ready to run and did not.

#include "base/process.h"

#include <stdio.h>
#include <unistd.h>

// The first two numbers of a file; 0 where there are none.
static int read_two(const char *path, unsigned long long out[2])
{
    FILE *f = fopen(path, "re");
    int n = f ? fscanf(f, "%llu %llu", &out[0], &out[1]) : 0;
    if (f) {
        fclose(f);
    }
    return n == 2;
}

int64_t fm__process_resident_bytes(void)
{
    unsigned long long pages[2];
    return read_two("/proc/self/statm", pages) ? (int64_t)pages[1] * sysconf(_SC_PAGESIZE) : 0;
}

int64_t fm__thread_waited_ns(int tid)
{
    char path[64];
    unsigned long long ns[2];
    snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", tid);
    return read_two(path, ns) ? (int64_t)ns[1] : -1;
}
