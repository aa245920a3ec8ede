// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Threads with names and monotonic waits. Every thread starts with signals blocked: Ctrl-C and friends belong
// to the program's own thread.

#include "base/thread.h"

#include "base/clock.h"
#include "base/error.h"

#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

// Lives on the starter's stack until the thread has taken its copy: nothing is allocated, so nothing is freed
// at a time of the thread's own.
typedef struct start_args {
    void *(*fn)(void *);
    void *arg;
    char name[16];
    sem_t taken;
} start_args;

static void *entry(void *opaque)
{
    start_args *a = opaque;
    void *(*fn)(void *) = a->fn;
    void *arg = a->arg;
    pthread_setname_np(pthread_self(), a->name);
    sem_post(&a->taken);
    return fn(arg);
}

fm_status fm__thread_start(pthread_t *thread, const char *name, void *(*fn)(void *), void *arg, fm_error *err)
{
    start_args a = {.fn = fn, .arg = arg};
    snprintf(a.name, sizeof(a.name), "%.15s", name);
    sem_init(&a.taken, 0, 0);
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(thread, NULL, entry, &a);
    while (rc == 0 && sem_wait(&a.taken) != 0) {
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    sem_destroy(&a.taken);
    return rc ? fm__fail_errno(err, rc, "cannot start thread", name) : FM_OK;
}

void fm__cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

bool fm__cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t deadline_ns)
{
    struct timespec ts = fm__timespec(deadline_ns);
    // Any failure counts as passed: a time that the system refuses must not make the caller's loop spin.
    return pthread_cond_timedwait(cond, lock, &ts) == 0;
}

// Cores that the cgroup's quota pays for (cgroup v2, the process's own group as seen inside a container), 0
// when there is none.
static int quota_cpus(void)
{
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (!f) {
        return 0;
    }
    long long quota = 0, period = 0;
    int n = fscanf(f, "%lld %lld", &quota, &period);
    fclose(f);
    return n == 2 && quota > 0 && period > 0 ? (int)((quota + period - 1) / period) : 0;
}

int fm__cpu_count(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    int quota = quota_cpus();
    if (quota > 0 && quota < n) {
        n = quota;
    }
    return n > 0 ? n : 1;
}
