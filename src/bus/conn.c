// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A connection that keeps itself up. States go one way: resting -> connecting -> (TLS) -> greeting (AUTH,
// SELECT) -> ready, and from any of them back to resting, with a pause that doubles up to a bound and is cut
// by a random half, so that many clients do not come back at once. hiredis formats commands and reads
// answers; sockets, TLS and time are ours (Debian's hiredis 0.14 has no hooks for TLS).

#include "bus/conn.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "bus/tls.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/un.h>
#include <unistd.h>

#define PAUSE_MIN_NS (100 * FM_NS_PER_MS)
#define PAUSE_MAX_NS (5 * FM_NS_PER_S)
#define REPLY_MAX ((size_t)16 << 20) // bytes of an answer that is not whole yet
#define SAY_AGAIN_NS (60 * FM_NS_PER_S)

typedef enum conn_state { RESTING, CONNECTING, SHAKING, GREETING, READY } conn_state;

struct fm_conn {
    fm_conn_opts o;
    fm_loop *loop;
    fm_watch watch;
    conn_state state;
    struct addrinfo *addresses, *address; // of the host, and the next one to try
    fm_tls_context *tls_context;
    fm_tls *tls;
    uint32_t tls_wants; // events that TLS waits for
    redisReader *reader;
    fm_str out; // not sent yet, from out_at on
    size_t out_at;
    int unanswered, greetings; // commands; of them, ours
    int64_t deadline_ns;       // of the state or the first answer; INT64_MAX: none
    int64_t pause_ns, rest_until_ns;
    uint64_t times_up;
    char said[256]; // the last failure that was logged, and when
    int64_t said_ns;
};

static uint64_t random_below(uint64_t n)
{
    uint64_t r = 0;
    (void)!getrandom(&r, sizeof(r), GRND_NONBLOCK); // without: no jitter, no harm
    return n ? r % n : 0;
}

static void close_down(fm_conn *c)
{
    if (c->watch.fd >= 0) {
        fm__loop_unwatch(c->loop, &c->watch);
        fm__tls_free(&c->tls);
        close(c->watch.fd);
        c->watch.fd = -1;
    }
    if (c->reader) {
        redisReaderFree(c->reader);
        c->reader = NULL;
    }
    if (c->out.data) {
        explicit_bzero(c->out.data, c->out.cap); // AUTH was in it
    }
    fm__str_reset(&c->out);
    c->out_at = 0;
    c->unanswered = c->greetings = 0;
    c->tls_wants = 0;
    c->deadline_ns = INT64_MAX;
}

static void forget_addresses(fm_conn *c)
{
    if (c->addresses) {
        freeaddrinfo(c->addresses);
    }
    c->addresses = c->address = NULL;
}

// The same trouble is not told on every try.
static void say(fm_conn *c, const char *why)
{
    int64_t now = fm__now_ns();
    bool again = strncmp(c->said, why, sizeof(c->said) - 1) == 0 && now - c->said_ns < SAY_AGAIN_NS;
    fm__log(c->o.log, again ? FM_LOG_DEBUG : FM_LOG_WARN, "redis", "%s (%s): %s", c->o.url->shown, c->o.name,
        why);
    if (!again) {
        snprintf(c->said, sizeof(c->said), "%s", why);
        c->said_ns = now;
    }
}

void fm__conn_fail(fm_conn *c, const char *why)
{
    bool was_ready = c->state == READY;
    if (c->state == RESTING) {
        return;
    }
    say(c, why);
    close_down(c);
    c->state = RESTING;
    c->pause_ns = was_ready || c->pause_ns == 0 ? PAUSE_MIN_NS : c->pause_ns * 2;
    c->pause_ns = c->pause_ns > PAUSE_MAX_NS ? PAUSE_MAX_NS : c->pause_ns;
    c->rest_until_ns = fm__now_ns() + c->pause_ns / 2 + (int64_t)random_below((uint64_t)c->pause_ns / 2);
    if (was_ready) {
        c->o.on_down(c, c->o.opaque);
    }
}

static void watch_for(fm_conn *c)
{
    uint32_t events = EPOLLIN;
    fm_error err;
    if (c->state == CONNECTING) {
        events = EPOLLOUT;
    } else if (c->state == SHAKING || c->tls_wants) {
        events = c->tls_wants ? c->tls_wants | EPOLLIN : EPOLLIN;
    } else if (c->out_at < c->out.len) {
        events |= EPOLLOUT;
    }
    if (fm__loop_watch(c->loop, &c->watch, events, &err) != FM_OK) {
        fm__conn_fail(c, err.msg);
    }
}

static void append(fm_conn *c, int argc, const char **argv, const size_t *lens)
{
    char *text = NULL;
    int len = redisFormatCommandArgv(&text, argc, argv, lens);
    if (len > 0) {
        fm__str_add_n(&c->out, text, (size_t)len);
    }
    if (text) {
        explicit_bzero(text, len > 0 ? (size_t)len : 0);
        redisFreeCommand(text);
    }
    c->out.failed |= len <= 0;
    c->unanswered++;
}

static fm_status send_some(fm_conn *c, fm_error *err)
{
    while (c->out_at < c->out.len) {
        size_t n = 0, left = c->out.len - c->out_at;
        if (c->tls) {
            fm_status st = fm__tls_write(c->tls, c->out.data + c->out_at, left, &n, &c->tls_wants, err);
            if (st != FM_OK) {
                return st;
            }
            c->tls_wants = 0;
        } else {
            ssize_t sent = send(c->watch.fd, c->out.data + c->out_at, left, MSG_NOSIGNAL);
            if (sent < 0 && errno == EINTR) {
                continue;
            }
            if (sent < 0) {
                return errno == EAGAIN ? FM_AGAIN : fm__fail(err, FM_NET, "cannot send: %s", strerror(errno));
            }
            n = (size_t)sent;
        }
        c->out_at += n;
    }
    fm__str_reset(&c->out);
    c->out_at = 0;
    return FM_OK;
}

static void flush_out(fm_conn *c)
{
    fm_error err = {0};
    if (c->out.failed) {
        fm__str_done(&c->out);
        fm__str_init(&c->out, FM_TAG_BUS);
        fm__conn_fail(c, "out of memory");
        return;
    }
    fm_status st = send_some(c, &err);
    if (st != FM_OK && st != FM_AGAIN) {
        fm__conn_fail(c, st == FM_EOF ? "the server closed the connection" : err.msg);
        return;
    }
    watch_for(c);
}

void fm__conn_send(fm_conn *c, int argc, const char **argv, const size_t *lens, int64_t patience_ns)
{
    int64_t until = fm__now_ns() + c->o.timeout_ns + patience_ns;
    c->deadline_ns = c->unanswered == 0 || until > c->deadline_ns ? until : c->deadline_ns;
    append(c, argc, argv, lens);
    flush_out(c);
}

static void be_ready(fm_conn *c)
{
    c->state = READY;
    c->times_up++;
    c->pause_ns = 0;
    c->deadline_ns = INT64_MAX;
    fm__log(c->o.log, c->said[0] ? FM_LOG_INFO : FM_LOG_DEBUG, "redis", "%s (%s): connected", c->o.url->shown,
        c->o.name);
    c->said[0] = 0;
    c->o.on_ready(c, c->o.opaque);
}

static void greet(fm_conn *c)
{
    const fm_bus_url *u = c->o.url;
    char db[16];
    c->state = GREETING;
    c->reader = redisReaderCreate();
    if (!c->reader) {
        fm__conn_fail(c, "out of memory");
        return;
    }
    if (u->password) {
        const char *auth[3] = {"AUTH", u->user ? u->user : u->password, u->password};
        append(c, u->user ? 3 : 2, auth, NULL);
    }
    snprintf(db, sizeof(db), "%d", u->db);
    append(c, 2, (const char *[]){"SELECT", db}, NULL);
    c->greetings = c->unanswered;
    flush_out(c);
}

static void shake_hands(fm_conn *c)
{
    fm_error err = {0};
    fm_status st = fm__tls_handshake(c->tls, &c->tls_wants, &err);
    if (st == FM_OK) {
        c->tls_wants = 0;
        greet(c);
    } else if (st == FM_AGAIN) {
        watch_for(c);
    } else {
        fm__conn_fail(c, st == FM_EOF ? "the server ended the TLS handshake" : err.msg);
    }
}

static void on_connected(fm_conn *c)
{
    int e = 0, one = 1;
    socklen_t len = sizeof(e);
    fm_error err = {0};
    if (getsockopt(c->watch.fd, SOL_SOCKET, SO_ERROR, &e, &len) != 0 || e != 0) {
        fm__conn_fail(c, strerror(e ? e : errno));
        return;
    }
    if (c->o.url->host) {
        setsockopt(c->watch.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        setsockopt(c->watch.fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    }
    forget_addresses(c); // the next time asks again: they may have changed
    if (!c->o.url->tls) {
        greet(c);
    } else if (fm__tls_new(c->tls_context, c->watch.fd, c->o.url->host, &c->tls, &err) != FM_OK) {
        fm__conn_fail(c, err.msg);
    } else {
        c->state = SHAKING;
        shake_hands(c);
    }
}

static bool starts(const redisReply *r, const char *word)
{
    return r->type == REDIS_REPLY_ERROR && strncmp(r->str, word, strlen(word)) == 0;
}

// Of AUTH and SELECT. What the server says may quote what it was sent, so a refused password is put in words
// of our own.
static void on_greeted(fm_conn *c, const redisReply *r)
{
    bool was_auth = c->o.url->password && c->greetings == 2;
    c->greetings--;
    if (r->type == REDIS_REPLY_ERROR) {
        fm__conn_fail(c, was_auth || starts(r, "NOAUTH") ? "user or password is wrong or missing" : r->str);
    } else if (c->greetings == 0) {
        be_ready(c);
    }
}

static void take_replies(fm_conn *c)
{
    while (c->reader) {
        void *reply = NULL;
        if (redisReaderGetReply(c->reader, &reply) != REDIS_OK) {
            fm__conn_fail(c, c->reader->errstr);
            return;
        }
        if (!reply) {
            return;
        }
        if (c->unanswered == 0) {
            freeReplyObject(reply);
            fm__conn_fail(c, "an answer to nothing");
            return;
        }
        c->unanswered--;
        c->deadline_ns = c->unanswered ? c->deadline_ns : INT64_MAX;
        if (c->greetings > 0) {
            on_greeted(c, reply);
        } else {
            c->o.on_reply(c, reply, c->o.opaque);
        }
        freeReplyObject(reply);
    }
}

static fm_status receive(fm_conn *c, char *buf, size_t size, size_t *n, fm_error *err)
{
    if (c->tls) {
        uint32_t wants = 0; // it always waits for EPOLLIN as well
        return fm__tls_read(c->tls, buf, size, n, &wants, err);
    }
    ssize_t got = recv(c->watch.fd, buf, size, 0);
    *n = got > 0 ? (size_t)got : 0;
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR ? FM_AGAIN
                                                 : fm__fail(err, FM_NET, "cannot read: %s", strerror(errno));
    }
    return got == 0 ? FM_EOF : FM_OK;
}

static void read_some(fm_conn *c)
{
    char buf[16384];
    size_t n = 0;
    while (c->reader) {
        fm_error err = {0};
        fm_status st = receive(c, buf, sizeof(buf), &n, &err);
        if (st == FM_AGAIN) {
            return;
        }
        if (st != FM_OK) {
            fm__conn_fail(c, st == FM_EOF ? "the server closed the connection" : err.msg);
            return;
        }
        if (redisReaderFeed(c->reader, buf, n) != REDIS_OK || c->reader->len > REPLY_MAX) {
            fm__conn_fail(c, "an answer larger than 16 MiB");
            return;
        }
        take_replies(c);
    }
}

static void on_events(fm_watch *w, uint32_t events, void *opaque)
{
    fm_conn *c = opaque;
    (void)w;
    if (c->state == CONNECTING) {
        on_connected(c);
        return;
    }
    if (c->state == SHAKING) {
        shake_hands(c);
        return;
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) || c->tls) {
        read_some(c);
    }
    if (c->state >= GREETING && c->out_at < c->out.len) {
        flush_out(c);
    }
}

// A socket on its way to an address; -1 with errno.
static int start_connect(int family, const struct sockaddr *address, socklen_t len)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, address, len) != 0 && errno != EINPROGRESS) {
        int e = errno;
        close(fd);
        errno = e;
        return -1;
    }
    return fd;
}

static int connect_unix(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
    return start_connect(AF_UNIX, (struct sockaddr *)&sa, sizeof(sa));
}

// The next address of the host; each try takes one.
static int connect_net(fm_conn *c)
{
    const struct addrinfo *a = c->address;
    c->address = a->ai_next;
    return start_connect(a->ai_family, a->ai_addr, a->ai_addrlen);
}

static bool find_host(fm_conn *c)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    char port[8];
    if (c->address) {
        return true;
    }
    forget_addresses(c);
    snprintf(port, sizeof(port), "%d", c->o.url->port);
    int rc = getaddrinfo(c->o.url->host, port, &hints, &c->addresses);
    c->address = rc == 0 ? c->addresses : NULL;
    if (rc != 0) {
        fm__conn_fail(c, gai_strerror(rc));
    }
    return rc == 0;
}

static void begin(fm_conn *c, int64_t now_ns)
{
    c->state = CONNECTING;
    c->deadline_ns = now_ns + c->o.timeout_ns;
    if (c->o.url->host && !find_host(c)) {
        return;
    }
    c->watch.fd = c->o.url->host ? connect_net(c) : connect_unix(c->o.url->path);
    if (c->watch.fd < 0) {
        fm__conn_fail(c, strerror(errno));
        return;
    }
    watch_for(c);
}

int64_t fm__conn_tick(fm_conn *c, int64_t now_ns)
{
    if (c->state == RESTING && now_ns >= c->rest_until_ns) {
        begin(c, now_ns);
    } else if (c->state != RESTING && now_ns >= c->deadline_ns) {
        fm__conn_fail(c, c->state == CONNECTING ? "no connection in time" : "no answer in time");
    }
    return c->state == RESTING ? c->rest_until_ns : c->deadline_ns;
}

fm_status fm__conn_new(const fm_conn_opts *opts, fm_loop *loop, fm_conn **out, fm_error *err)
{
    fm_conn *c = fm__calloc(FM_TAG_BUS, sizeof(*c));
    if (!c) {
        return fm__fail_nomem(err, "a connection");
    }
    c->o = *opts;
    c->loop = loop;
    c->watch = (fm_watch){.fd = -1, .fn = on_events, .opaque = c};
    c->deadline_ns = INT64_MAX;
    fm__str_init(&c->out, FM_TAG_BUS);
    fm_status st = opts->url->tls ? fm__tls_context_new(opts->ca, &c->tls_context, err) : FM_OK;
    if (st != FM_OK) {
        fm__conn_free(&c);
        return st;
    }
    *out = c;
    return FM_OK;
}

void fm__conn_free(fm_conn **conn)
{
    fm_conn *c = conn ? *conn : NULL;
    if (!c) {
        return;
    }
    *conn = NULL;
    close_down(c);
    forget_addresses(c);
    fm__tls_context_free(&c->tls_context);
    fm__str_done(&c->out);
    fm__free(c);
}

bool fm__conn_is_ready(const fm_conn *c)
{
    return c->state == READY;
}

uint64_t fm__conn_times_up(const fm_conn *c)
{
    return c->times_up;
}
