// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Names from outside made safe: file names from anything, and URLs without their secrets. Both are written
// against hostile input: they look at bytes, keep a list of what may stay and replace the rest.

#include "base/str.h"

#include <string.h>

#define NAME_MAX_BYTES 100 // leaves room for "-2", ".jsonl", ".mp4" under every file system's 255

static bool is_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

// Length of a valid UTF-8 sequence of two bytes or more at p, else 0. C1 controls (U+0080..U+009F) are not
// names.
static size_t utf8_tail(const unsigned char *p)
{
    size_t n = p[0] >= 0xc2 && p[0] <= 0xdf   ? 2
               : p[0] >= 0xe1 && p[0] <= 0xec ? 3
               : p[0] >= 0xf1 && p[0] <= 0xf3 ? 4
                                              : 0;
    if (p[0] == 0xc2 && p[1] < 0xa0) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    // U+2028, U+2029 and the direction marks of U+2000..U+206F change how a line looks.
    return n == 3 && p[0] == 0xe2 && (p[1] == 0x80 || p[1] == 0x81) ? 0 : n;
}

char *fm__safe_name(fm_tag tag, const char *text)
{
    fm_str s;
    fm__str_init(&s, tag);
    const unsigned char *p = (const unsigned char *)text;
    bool replaced = false;
    while (*p) {
        size_t n = is_plain(*p) ? 1 : utf8_tail(p);
        if (s.len + (n ? n : 1) > NAME_MAX_BYTES) {
            break;
        }
        bool leading = s.len == 0 && (*p == '.' || *p == '-');
        if (n > 0 && !leading) {
            fm__str_add_n(&s, (const char *)p, n);
            replaced = false;
        } else if (!replaced && s.len > 0) {
            fm__str_add_char(&s, '_');
            replaced = true;
        }
        p += n ? n : 1;
    }
    while (s.len > 0 && (s.data[s.len - 1] == '_' || s.data[s.len - 1] == '.') && replaced) {
        s.data[--s.len] = 0;
    }
    if (s.len == 0) {
        fm__str_add(&s, "stream");
    }
    return fm__str_take(&s);
}

static void add_visible(fm_str *s, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        fm__str_add_char(s, c < 0x20 || c == 0x7f ? '?' : text[i]);
    }
}

// Does a query key name a secret? Any key that holds one of these words does: better one too many.
static bool is_secret_key(const char *key, size_t len)
{
    static const char *const words[] = {
        "pass", "pwd", "token", "key", "secret", "auth", "sig", "user", "login", "credential", "session"};
    char low[64];
    size_t n = len < sizeof(low) - 1 ? len : sizeof(low) - 1;
    for (size_t i = 0; i < n; i++) {
        low[i] = key[i] >= 'A' && key[i] <= 'Z' ? (char)(key[i] + ('a' - 'A')) : key[i];
    }
    low[n] = 0;
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (strstr(low, words[i])) {
            return true;
        }
    }
    return false;
}

static void add_query(fm_str *s, const char *query)
{
    while (*query) {
        size_t part = strcspn(query, "&;#");
        const char *eq = memchr(query, '=', part);
        if (eq && is_secret_key(query, (size_t)(eq - query))) {
            add_visible(s, query, (size_t)(eq - query) + 1);
            fm__str_add(s, "***");
        } else {
            add_visible(s, query, part);
        }
        query += part;
        if (*query) {
            fm__str_add_char(s, *query++);
        }
    }
}

char *fm__redact_url(fm_tag tag, const char *url)
{
    fm_str s;
    fm__str_init(&s, tag);
    const char *rest = strstr(url, "://");
    if (!rest) {
        add_visible(&s, url, strlen(url));
        return fm__str_take(&s);
    }
    rest += 3;
    add_visible(&s, url, (size_t)(rest - url));
    // The last '@' before the path ends the user part. A password with a raw '/', '?' or '#' hides it, so an
    // '@' anywhere before white space counts as one as long as what stands before it holds a ':': rather cut
    // too much than show a secret.
    size_t authority = strcspn(rest, "/?#");
    const char *at = memrchr(rest, '@', authority);
    const char *far_at = strrchr(rest, '@');
    if (!at && far_at && memchr(rest, ':', (size_t)(far_at - rest))) {
        at = far_at;
    }
    if (at) {
        fm__str_add(&s, "***@");
        rest = at + 1;
    }
    size_t path = strcspn(rest, "?#");
    add_visible(&s, rest, path);
    add_query(&s, rest + path);
    return fm__str_take(&s);
}
