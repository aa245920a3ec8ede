// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// From Linux's scheduler: /proc/self/task/*/schedstat holds, for each thread, nanoseconds on a core and
// nanoseconds in line for one; /proc/stat holds what all cores did, in hundredths of a second. On a machine
// that does other work the rate of a setting says how much that work left of the cores, and differs by half
// from one moment to the next; divided by the share it says what the setting can do.

#include "tune/load.h"

#include "base/clock.h"
#include "base/process.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static double waited_seconds(void)
{
    double sum = 0;
    DIR *dir = opendir("/proc/self/task");
    for (struct dirent *e; dir && (e = readdir(dir));) {
        int64_t waited = e->d_name[0] == '.' ? 0 : fm__thread_waited_ns(atoi(e->d_name));
        sum += waited > 0 ? (double)waited / (double)FM_NS_PER_S : 0;
    }
    if (dir) {
        closedir(dir);
    }
    return sum;
}

// user, nice, system, irq, softirq and steal of the first line.
static double busy_seconds(void)
{
    char text[512];
    unsigned long long v[8] = {0};
    FILE *f = fopen("/proc/stat", "r");
    bool got = f && fgets(text, sizeof(text), f) &&
               sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3], &v[4],
                   &v[5], &v[6], &v[7]) == 8;
    if (f) {
        fclose(f);
    }
    long per_second = sysconf(_SC_CLK_TCK);
    return got && per_second > 0 ? (double)(v[0] + v[1] + v[2] + v[5] + v[6] + v[7]) / (double)per_second : 0;
}

fm__tune_load fm__tune_load_now(void)
{
    return (fm__tune_load){
        .cpu_s = (double)fm__clock_ns(CLOCK_PROCESS_CPUTIME_ID) / (double)FM_NS_PER_S,
        .waited_s = waited_seconds(),
        .busy_s = busy_seconds(),
    };
}

double fm__tune_load_share(const fm__tune_load *begin, const fm__tune_load *end)
{
    double ran = end->cpu_s - begin->cpu_s;
    double waited = end->waited_s - begin->waited_s;
    double others = end->busy_s - begin->busy_s - ran;
    waited = waited < others ? waited : others;
    return ran > 0 && waited > 0 ? ran / (ran + waited) : 1;
}
