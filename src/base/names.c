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

// Code points that are not seen or change how a line looks: C1 controls, the Arabic letter mark, spaces and
// direction marks of U+2000..U+206F, the byte order mark, specials from U+FFF9, tags.
static bool is_unseen(const unsigned char *p)
{
    return (p[0] == 0xc2 && p[1] < 0xa0) || (p[0] == 0xd8 && p[1] == 0x9c) ||
           (p[0] == 0xe2 && (p[1] == 0x80 || p[1] == 0x81)) ||
           (p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf) || (p[0] == 0xef && p[1] == 0xbf && p[2] >= 0xb9) ||
           (p[0] == 0xf3 && p[1] == 0xa0);
}

// Bytes of the character at p when it may stay in a name, else 0.
static size_t kept_len(const unsigned char *p)
{
    if (*p < 0x80) {
        return is_plain(*p);
    }
    return is_unseen(p) ? 0 : (size_t)fm__utf8_len((const char *)p);
}

char *fm__safe_name(fm_tag tag, const char *text)
{
    fm_str s;
    fm__str_init(&s, tag);
    const unsigned char *p = (const unsigned char *)text;
    bool replaced = false;
    while (*p) {
        size_t n = kept_len(p);
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

static bool holds_word(const char *key, size_t len, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= len; i++) {
        size_t same = 0;
        while (same < n && (key[i + same] | 0x20) == word[same]) { // letters to lower case
            same++;
        }
        if (same == n) {
            return true;
        }
    }
    return false;
}

// Does a query key name a secret? Any key that holds one of these words does: better one too many.
static bool is_secret_key(const char *key, size_t len)
{
    static const char *const words[] = {"pass", "pwd", "pw", "psw", "token", "key", "secret", "auth", "sig",
        "user", "login", "cred", "session", "jwt"};
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (holds_word(key, len, words[i])) {
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
            part = strcspn(query, "&"); // a raw ';' or '#' may belong to the secret
        } else {
            add_visible(s, query, part);
        }
        query += part;
        if (*query) {
            fm__str_add_char(s, *query++);
        }
    }
}

// Where user and host begin: after "://", or after the colon of a scheme whose slashes were forgotten. NULL
// for a plain path.
static const char *after_scheme(const char *url, bool *slashes)
{
    const char *mark = strstr(url, "://");
    *slashes = mark != NULL;
    if (mark) {
        return mark + 3;
    }
    size_t n = 0;
    while (is_plain((unsigned char)url[n]) || url[n] == '+') {
        n++;
    }
    return n > 1 && url[n] == ':' ? url + n + 1 : NULL;
}

// The '@' that ends user and password, or NULL. It is the last one before the path, also behind a raw '?' or
// '#'; but a password with a raw '/' reaches further, so a later '@' with a ':' before it counts too: rather
// cut too much than show a secret.
static const char *user_end(const char *rest, bool slashes)
{
    const char *at = slashes ? memrchr(rest, '@', strcspn(rest, "/")) : NULL;
    const char *from = at ? at + 1 : rest, *last = strrchr(from, '@');
    return last && memchr(from, ':', (size_t)(last - from)) ? last : at;
}

char *fm__redact_url(fm_tag tag, const char *url)
{
    fm_str s;
    fm__str_init(&s, tag);
    bool slashes;
    const char *rest = after_scheme(url, &slashes);
    if (!rest) {
        add_visible(&s, url, strlen(url));
        return fm__str_take(&s);
    }
    add_visible(&s, url, (size_t)(rest - url));
    const char *at = user_end(rest, slashes);
    if (at) {
        fm__str_add(&s, "***@");
        rest = at + 1;
    }
    size_t path = strcspn(rest, "?#");
    add_visible(&s, rest, path);
    add_query(&s, rest + path);
    return fm__str_take(&s);
}
