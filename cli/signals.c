// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Requests to end. The signals are blocked in every thread and read by one watcher through a signalfd, so
// nothing runs in a signal handler. The first Ctrl-C drains the run, the second aborts it, the third ends the
// process where it stands; before there is a run, or after it, the first one ends the process. The watcher
// also sees the reader of standard output go away (poll reports POLLERR for the writing end of a pipe without
// reader), which aborts the run at once.

#include "cli.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct cli_signals {
    pthread_t thread;
    int signal_fd, stop_fd;
    bool watch_stdout;
    // protected by lock
    pthread_mutex_t lock;
    fm_run *run;
    bool polite;
    int count;
};

static void stop_run(cli_signals *s, bool drain)
{
    if (s->run) {
        fm_run_stop(s->run, drain);
    }
}

static void on_signal(cli_signals *s)
{
    pthread_mutex_lock(&s->lock);
    s->count++;
    bool leave = s->count > 2 || (!s->run && !(s->polite && s->count == 1));
    if (!leave) {
        stop_run(s, s->count == 1);
    }
    bool say = s->run && s->count == 1 && !leave;
    pthread_mutex_unlock(&s->lock);
    if (leave) {
        cli_status_line(NULL);
        _exit(CLI_INTERRUPTED);
    }
    if (say) {
        cli_log_line(FM_LOG_INFO, "", "finishing what was read; once more to drop it", NULL);
    }
}

static void *watch(void *opaque)
{
    cli_signals *s = opaque;
    struct pollfd fds[3] = {
        {.fd = s->stop_fd, .events = POLLIN},
        {.fd = s->signal_fd, .events = POLLIN},
        {.fd = s->watch_stdout ? STDOUT_FILENO : -1},
    };
    for (;;) {
        if (poll(fds, 3, -1) < 0) {
            continue; // EINTR: a signal that is not ours
        }
        if (fds[0].revents) {
            return NULL;
        }
        struct signalfd_siginfo info;
        if (fds[1].revents && read(s->signal_fd, &info, sizeof(info)) == sizeof(info)) {
            on_signal(s);
        }
        if (fds[2].revents) {
            pthread_mutex_lock(&s->lock);
            stop_run(s, false);
            pthread_mutex_unlock(&s->lock);
            fds[2].fd = -1; // told once; a run that is set later is told by cli_signals_set_run
        }
    }
}

// A signal that the caller has switched off (nohup, a shell's background job) stays off: blocking it would
// bring it back.
static void heeded_signals(sigset_t *set)
{
    static const int ours[] = {SIGINT, SIGTERM, SIGHUP};
    sigemptyset(set);
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        struct sigaction old;
        if (sigaction(ours[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) {
            sigaddset(set, ours[i]);
        }
    }
}

cli_signals *cli_signals_start(bool watch_stdout)
{
    cli_signals *s = calloc(1, sizeof(*s));
    sigset_t set;
    if (!s) {
        return NULL;
    }
    heeded_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_mutex_init(&s->lock, NULL);
    s->watch_stdout = watch_stdout;
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
    s->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (s->signal_fd < 0 || s->stop_fd < 0 || pthread_create(&s->thread, NULL, watch, s) != 0) {
        pthread_sigmask(SIG_UNBLOCK, &set, NULL); // the default action is still there
        close(s->signal_fd);
        close(s->stop_fd);
        free(s);
        return NULL;
    }
    return s;
}

void cli_signals_set_run(cli_signals *s, fm_run *run)
{
    if (!s) {
        return;
    }
    pthread_mutex_lock(&s->lock);
    s->run = run;
    pthread_mutex_unlock(&s->lock);
    if (run && s->watch_stdout && cli_stdout_gone()) {
        fm_run_stop(run, false);
    }
}

void cli_signals_set_polite(cli_signals *s)
{
    if (s) {
        pthread_mutex_lock(&s->lock);
        s->polite = true;
        pthread_mutex_unlock(&s->lock);
    }
}

int cli_signals_count(cli_signals *s)
{
    if (!s) {
        return 0;
    }
    pthread_mutex_lock(&s->lock);
    int count = s->count;
    pthread_mutex_unlock(&s->lock);
    return count;
}

void cli_signals_stop(cli_signals **signals)
{
    cli_signals *s = signals ? *signals : NULL;
    if (!s) {
        return;
    }
    uint64_t one = 1;
    while (write(s->stop_fd, &one, sizeof(one)) < 0) {
    }
    pthread_join(s->thread, NULL);
    close(s->signal_fd);
    close(s->stop_fd);
    pthread_mutex_destroy(&s->lock);
    free(s);
    *signals = NULL;
}
