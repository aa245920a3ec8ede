// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Addresses of Redis, after the forms that redis-cli and the common clients take (RFC 3986 for what is
// percent-encoded). Nothing is guessed: a part that is not understood is refused.

#include "bus/url.h"

#include "base/error.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

#define DEFAULT_PORT 6379
#define MAX_DB 1000000
#define MAX_SOCKET_PATH 107 // sun_path, without its NUL

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

// Percent-decoded copy; NULL where an escape is broken or makes a NUL, or memory is out.
static char *decoded(const char *text, size_t len)
{
    fm_str s;
    fm__str_init(&s, FM_TAG_BUS);
    fm__str_add(&s, "");
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '%') {
            fm__str_add_char(&s, text[i]);
            continue;
        }
        int value = i + 2 < len && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0
                        ? hex(text[i + 1]) * 16 + hex(text[i + 2])
                        : 0;
        if (value == 0) {
            fm__str_done(&s);
            return NULL;
        }
        fm__str_add_char(&s, (char)value);
        i += 2;
    }
    return fm__str_take(&s);
}

static char *copy_n(const char *text, size_t len)
{
    return fm__asprintf(FM_TAG_BUS, "%.*s", (int)len, text);
}

static bool read_number(const char *text, size_t len, int max, int *out)
{
    char digits[12];
    int64_t n;
    if (len == 0 || len >= sizeof(digits) || strspn(text, "0123456789") < len) {
        return false;
    }
    snprintf(digits, sizeof(digits), "%.*s", (int)len, text);
    if (!fm__parse_int(digits, &n) || n > max) {
        return false;
    }
    *out = (int)n;
    return true;
}

// A name or an address; beyond ASCII a name comes in its encoded form.
static bool is_host(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool word = (text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z') ||
                    (text[i] >= '0' && text[i] <= '9');
        if (!word && !memchr(".-_:", text[i], 4)) {
            return false;
        }
    }
    return len > 0 && len < 256;
}

static bool read_user(const char *text, size_t len, fm_bus_url *u)
{
    const char *colon = memchr(text, ':', len);
    size_t user = colon ? (size_t)(colon - text) : len;
    if (user > 0) {
        u->user = decoded(text, user);
    }
    if (colon) {
        u->password = decoded(colon + 1, len - user - 1);
    }
    return (user == 0 || u->user) && (!colon || u->password);
}

// host, host:port, [address]:port
static bool read_host(const char *text, size_t len, fm_bus_url *u)
{
    const char *end = text + len, *host = text, *port;
    if (*text == '[') {
        const char *close = memchr(text, ']', len);
        if (!close) {
            return false;
        }
        host = text + 1;
        len = (size_t)(close - host);
        port = close + 1;
    } else {
        const char *colon = memchr(text, ':', len);
        port = colon ? colon : end;
        len = (size_t)(port - text);
    }
    u->port = DEFAULT_PORT;
    bool port_is_good =
        port == end ||
        (*port == ':' && read_number(port + 1, (size_t)(end - port - 1), 65535, &u->port) && u->port > 0);
    u->host = port_is_good && is_host(host, len) ? copy_n(host, len) : NULL;
    return u->host != NULL;
}

static bool read_net(const char *rest, fm_bus_url *u)
{
    size_t len = strcspn(rest, "/");
    const char *db = rest[len] ? rest + len + 1 : "";
    return read_host(rest, len, u) && (!*db || read_number(db, strlen(db), MAX_DB, &u->db));
}

static bool read_unix(const char *rest, fm_bus_url *u)
{
    size_t len = strcspn(rest, "?");
    const char *query = rest + len;
    if (*rest != '/' || len > MAX_SOCKET_PATH) {
        return false;
    }
    if (*query &&
        (strncmp(query, "?db=", 4) != 0 || !read_number(query + 4, strlen(query + 4), MAX_DB, &u->db))) {
        return false;
    }
    u->path = copy_n(rest, len);
    return u->path != NULL;
}

static bool read_url(const char *text, fm_bus_url *u)
{
    bool local = fm__str_starts(text, "unix://");
    u->tls = fm__str_starts(text, "rediss://");
    if (!local && !u->tls && !fm__str_starts(text, "redis://")) {
        return false;
    }
    const char *rest = strstr(text, "://") + 3;
    // A password with a raw '/' is not taken for a host: '@' before the first '/' ends the user.
    const char *at = memrchr(rest, '@', strcspn(rest, "/"));
    if (at && !read_user(rest, (size_t)(at - rest), u)) {
        return false;
    }
    rest = at ? at + 1 : rest;
    return local ? read_unix(rest, u) : read_net(rest, u);
}

fm_status fm__bus_url_parse(const char *text, fm_bus_url *out, fm_error *err)
{
    fm_bus_url u = {0};
    u.shown = fm__redact_url(FM_TAG_BUS, text);
    if (!u.shown) {
        return fm__fail_nomem(err, "an address");
    }
    if (strlen(text) > 4096 || !read_url(text, &u)) {
        fm_status st = fm__fail(err, FM_INVAL,
            "'%.100s' is no address of Redis; write redis://host:6379/0, rediss:// for TLS, or "
            "unix:///path/to/socket",
            u.shown);
        fm__bus_url_done(&u);
        return st;
    }
    *out = u;
    return FM_OK;
}

void fm__bus_url_done(fm_bus_url *u)
{
    if (u->password) {
        explicit_bzero(u->password, strlen(u->password));
    }
    fm__free(u->host);
    fm__free(u->path);
    fm__free(u->user);
    fm__free(u->password);
    fm__free(u->shown);
    *u = (fm_bus_url){0};
}
