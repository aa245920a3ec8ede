// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A program run to its end, for what needs Python: no shell, a bare environment, ten minutes. Both outputs go
// into one pipe, of which the last line is kept.

#include "models/program.h"

#include "base/clock.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_NS (600 * FM_NS_PER_S)

// Collects what the process says until it closes its end; only the last part is kept.
static bool read_output(int fd, char *buf, size_t size, int64_t deadline)
{
    size_t used = 0;
    for (;;) {
        int64_t left = deadline - fm__now_ns();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = left > 0 ? poll(&p, 1, (int)(left / FM_NS_PER_MS) + 1) : 0;
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        if (ready <= 0) {
            return false;
        }
        if (used > size / 2) {
            memmove(buf, buf + used - size / 4, size / 4);
            used = size / 4;
        }
        ssize_t n = read(fd, buf + used, size - used - 1);
        if (n <= 0) {
            break;
        }
        used += (size_t)n;
    }
    buf[used] = '\0';
    return true;
}

static const char *last_line(char *text)
{
    size_t len = strlen(text);
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r')) {
        text[--len] = '\0';
    }
    char *line = strrchr(text, '\n');
    return line ? line + 1 : text;
}

static int spawn_to(int fd, char *const argv[], pid_t *pid)
{
    static char path[] = "PATH=/usr/local/bin:/usr/bin:/bin", locale[] = "LC_ALL=C.UTF-8";
    char *const envp[] = {path, locale, NULL};
    posix_spawn_file_actions_t actions;
    int rc = posix_spawn_file_actions_init(&actions);
    if (rc != 0) {
        return rc;
    }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, fd, 1);
    posix_spawn_file_actions_adddup2(&actions, fd, 2);
    rc = posix_spawn(pid, argv[0], &actions, NULL, argv, envp);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

// Its own words, or else how it ended.
static void say(const char *program, const char *line, int status, char *said, size_t size)
{
    if (*line) {
        snprintf(said, size, "%s", line);
    } else if (WIFSIGNALED(status)) {
        snprintf(said, size, "%s was ended by signal %d", fm__path_base(program), WTERMSIG(status));
    } else if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
        snprintf(said, size, "%s left with %d and said nothing", fm__path_base(program), WEXITSTATUS(status));
    } else {
        *said = '\0';
    }
}

int fm__run_program(char *const argv[], char *said, size_t size)
{
    int fds[2] = {-1, -1}, status = 0;
    pid_t pid = 0;
    char text[4096];
    if (pipe2(fds, O_CLOEXEC) != 0) {
        snprintf(said, size, "%s", strerror(errno));
        return -1;
    }
    int rc = spawn_to(fds[1], argv, &pid);
    close(fds[1]);
    if (rc != 0) {
        snprintf(said, size, "cannot run '%s': %s", argv[0], strerror(rc));
        close(fds[0]);
        return -1;
    }
    bool ended = read_output(fds[0], text, sizeof(text), fm__now_ns() + LIMIT_NS);
    close(fds[0]);
    if (!ended) {
        kill(pid, SIGKILL);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    say(argv[0], ended ? last_line(text) : "it took too long", status, said, size);
    return ended && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
