// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What the user sees. One lock and one status line for standard error: log lines come from any thread while
// the progress line stands there, so each writer takes the line away first. Whatever came from outside
// (names, addresses, messages) is shown with control characters replaced, so that a file name cannot drive
// the terminal, and words that hold an address are cut before user and password.

#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t stderr_lock = PTHREAD_MUTEX_INITIALIZER;
static bool status_shown; // protected by stderr_lock

// Length of a printable character at p: 1, or that of a UTF-8 sequence; 0 for control characters and bad
// bytes.
static size_t printable(const unsigned char *p)
{
    if (p[0] < 0x80) {
        return p[0] >= 0x20 && p[0] != 0x7f;
    }
    size_t n = p[0] >= 0xf0 && p[0] <= 0xf4  ? 4
               : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
               : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
                                             : 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    // C1 controls, and the marks that turn the direction of text.
    bool c1 = n == 2 && p[0] == 0xc2 && p[1] < 0xa0;
    bool mark = n == 3 && p[0] == 0xe2 && (p[1] == 0x80 || p[1] == 0x81);
    return c1 || mark ? 0 : n;
}

void cli_put_cell(FILE *f, const char *text, int width)
{
    int cells = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p; cells++) {
        size_t n = printable(p);
        if (n) {
            fwrite(p, 1, n, f);
        } else {
            fputc('?', f);
        }
        p += n ? n : 1;
    }
    for (; cells < width; cells++) {
        fputc(' ', f);
    }
}

void cli_put_text(FILE *f, const char *text)
{
    cli_put_cell(f, text, 0);
}

void cli_put_json(FILE *f, const char *text)
{
    if (!text) {
        fputs("null", f);
        return;
    }
    fputc('"', f);
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        size_t n = printable(p);
        if (*p == '"' || *p == '\\') {
            fprintf(f, "\\%c", *p);
        } else if (n) {
            fwrite(p, 1, n, f);
        } else {
            fprintf(f, "\\u%04x", *p < 0x80 ? *p : 0xfffd);
        }
        p += n ? n : 1;
    }
    fputc('"', f);
}

// Hides "user:password@" of every address in a line, for words of the command line that are quoted as they
// came.
static void hide_credentials(char *line)
{
    for (char *p = strstr(line, "://"); p; p = strstr(p, "://")) {
        p += 3;
        char *end = p + strcspn(p, " '\t");
        char *at = memrchr(p, '@', (size_t)(end - p));
        if (at) {
            size_t tail = strlen(at) + 1;
            size_t stars = at - p < 3 ? (size_t)(at - p) : 3;
            memmove(p + stars, at, tail);
            memset(p, '*', stars);
            p += stars;
        }
    }
}

static void clear_status(void)
{
    if (status_shown) {
        fputs("\r\033[K", stderr);
        status_shown = false;
    }
}

void cli_stderr_take(void)
{
    pthread_mutex_lock(&stderr_lock);
    clear_status();
}

void cli_stderr_give(void)
{
    fflush(stderr);
    pthread_mutex_unlock(&stderr_lock);
}

static void say(const char *kind, const char *domain, const char *text)
{
    cli_stderr_take();
    fprintf(stderr, "framemill: %s%s%s", kind, domain, domain[0] ? ": " : "");
    cli_put_text(stderr, text);
    fputc('\n', stderr);
    cli_stderr_give();
}

FM_PRINTF(1, 0)
static void say_va(const char *fmt, va_list ap)
{
    char line[1024];
    vsnprintf(line, sizeof(line), fmt, ap);
    hide_credentials(line);
    say("", "", line);
}

void cli_error(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say_va(fmt, ap);
    va_end(ap);
}

int cli_usage(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say_va(fmt, ap);
    va_end(ap);
    return CLI_USAGE;
}

void cli_log_line(fm_log_level level, const char *domain, const char *msg, void *opaque)
{
    static const char *const kinds[] = {"error: ", "warning: ", "", "debug: ", "trace: "};
    (void)opaque;
    say(level >= FM_LOG_ERROR && level <= FM_LOG_TRACE ? kinds[level] : "", domain, msg);
}

void cli_status_line(const char *text)
{
    struct winsize size;
    if (!isatty(STDERR_FILENO)) {
        return;
    }
    bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
    pthread_mutex_lock(&stderr_lock);
    clear_status();
    if (text) {
        // One cell less than the terminal is wide: a full line would wrap and could not be taken away.
        fprintf(stderr, "%.*s", known ? size.ws_col - 1 : 79, text);
        status_shown = true;
    }
    fflush(stderr);
    pthread_mutex_unlock(&stderr_lock);
}

bool cli_stdout_gone(void)
{
    struct pollfd p = {.fd = STDOUT_FILENO};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP));
}

int cli_finish_stdout(int code)
{
    bool failed = ferror(stdout) != 0;
    bool gone = cli_stdout_gone();
    errno = 0;
    failed = fclose(stdout) != 0 || failed;
    // A reader that has seen enough (| head) is no failure; nor is a descriptor that nobody wrote to.
    if (!failed || gone) {
        return code;
    }
    cli_error("cannot write to standard output: %s", errno ? strerror(errno) : "an earlier write failed");
    return code == CLI_DONE ? CLI_FAILED : code;
}

const char *cli_size_text(unsigned long long bytes, char buf[32])
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB"};
    double v = (double)bytes;
    size_t u = 0;
    for (; v >= 1024 && u < 3; u++) {
        v /= 1024;
    }
    snprintf(buf, 32, u ? "%.1f %s" : "%.0f %s", v, units[u]);
    return buf;
}

static bool write_all(int fd, const char *text)
{
    for (size_t left = strlen(text); left > 0;) {
        ssize_t n = write(fd, text, left);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        text += n;
        left -= (size_t)n;
    }
    return true;
}

static bool write_direct(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write_all(fd, text);
    int e = errno;
    if (fd >= 0 && close(fd) != 0 && ok) {
        e = errno;
        ok = false;
    }
    errno = e;
    return ok;
}

static bool write_beside(const char *path, const char *text)
{
    char temporary[4096];
    if (snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= (int)sizeof(temporary)) {
        errno = ENAMETOOLONG;
        return false;
    }
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    mode_t mask = umask(0);
    umask(mask);
    bool ok = write_all(fd, text) && fchmod(fd, 0666 & ~mask) == 0 && fsync(fd) == 0;
    int e = errno;
    if (close(fd) != 0 && ok) {
        e = errno;
        ok = false;
    }
    if (ok && rename(temporary, path) != 0) {
        e = errno;
        ok = false;
    }
    if (!ok) {
        unlink(temporary);
    }
    errno = e;
    return ok;
}

static bool is_special(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

bool cli_can_write(const char *path)
{
    char dir[4096];
    const char *slash = strrchr(path, '/');
    struct stat st;
    if (is_special(path)) {
        return access(path, W_OK) == 0;
    }
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        return false;
    }
    snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    return access(dir, W_OK | X_OK) == 0;
}

bool cli_write_file(const char *path, const char *text)
{
    if (is_special(path) ? write_direct(path, text) : write_beside(path, text)) {
        return true;
    }
    cli_error("cannot write '%s': %s", path, strerror(errno));
    return false;
}
