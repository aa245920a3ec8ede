// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// JSON writer: nesting and commas only. Strings leave as valid UTF-8 whatever came in, since names come from
// files and networks: a byte that does not continue a valid sequence (RFC 3629: no overlong forms, no
// surrogates) becomes U+FFFD.

#include "base/json.h"

#include <assert.h>

void fm__json_init(fm_json *j, fm_str *out)
{
    *j = (fm_json){.out = out};
}

static void before_value(fm_json *j)
{
    if (j->after_key) {
        j->after_key = false;
        return;
    }
    uint64_t bit = UINT64_C(1) << j->depth;
    if (j->has_item & bit) {
        fm__str_add_char(j->out, ',');
    }
    j->has_item |= bit;
}

static void open(fm_json *j, char c)
{
    before_value(j);
    fm__str_add_char(j->out, c);
    assert(j->depth < 62);
    j->depth++;
    j->has_item &= ~(UINT64_C(1) << j->depth);
}

static void close(fm_json *j, char c)
{
    assert(j->depth > 0);
    j->depth--;
    fm__str_add_char(j->out, c);
}

void fm__json_open_object(fm_json *j)
{
    open(j, '{');
}

void fm__json_close_object(fm_json *j)
{
    close(j, '}');
}

void fm__json_open_array(fm_json *j)
{
    open(j, '[');
}

void fm__json_close_array(fm_json *j)
{
    close(j, ']');
}

static void add_escaped(fm_str *s, unsigned char c)
{
    static const char short_form[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (const char *p = short_form; *p; p += 2) {
        if ((unsigned char)*p == c) {
            fm__str_add_char(s, '\\');
            fm__str_add_char(s, p[1]);
            return;
        }
    }
    fm__str_printf(s, "\\u%04x", c);
}

static void add_quoted(fm_str *s, const char *text)
{
    fm__str_add_char(s, '"');
    const unsigned char *p = (const unsigned char *)text;
    while (*p) {
        const unsigned char *run = p;
        int n = 0;
        while (
            *p >= 0x20 && *p != '"' && *p != '\\' && *p != 0x7f && (n = fm__utf8_len((const char *)p)) > 0) {
            p += n;
        }
        fm__str_add_n(s, (const char *)run, (size_t)(p - run));
        if (!*p) {
            break;
        }
        if (*p < 0x80) {
            add_escaped(s, *p);
        } else {
            fm__str_add(s, "\xef\xbf\xbd");
        }
        p++;
    }
    fm__str_add_char(s, '"');
}

void fm__json_key(fm_json *j, const char *key)
{
    before_value(j);
    add_quoted(j->out, key);
    fm__str_add_char(j->out, ':');
    j->after_key = true;
}

void fm__json_string(fm_json *j, const char *text)
{
    if (!text) {
        fm__json_null(j);
        return;
    }
    before_value(j);
    add_quoted(j->out, text);
}

void fm__json_int(fm_json *j, int64_t v)
{
    before_value(j);
    fm__str_add_int(j->out, v);
}

void fm__json_uint(fm_json *j, uint64_t v)
{
    before_value(j);
    fm__str_add_uint(j->out, v);
}

void fm__json_fixed(fm_json *j, double v, int decimals)
{
    before_value(j);
    fm__str_add_fixed(j->out, v, decimals);
}

void fm__json_bool(fm_json *j, bool v)
{
    before_value(j);
    fm__str_add(j->out, v ? "true" : "false");
}

void fm__json_null(fm_json *j)
{
    before_value(j);
    fm__str_add(j->out, "null");
}

void fm__json_put_string(fm_json *j, const char *key, const char *text)
{
    fm__json_key(j, key);
    fm__json_string(j, text);
}

void fm__json_put_int(fm_json *j, const char *key, int64_t v)
{
    fm__json_key(j, key);
    fm__json_int(j, v);
}

void fm__json_put_uint(fm_json *j, const char *key, uint64_t v)
{
    fm__json_key(j, key);
    fm__json_uint(j, v);
}

void fm__json_put_fixed(fm_json *j, const char *key, double v, int decimals)
{
    fm__json_key(j, key);
    fm__json_fixed(j, v, decimals);
}

void fm__json_put_bool(fm_json *j, const char *key, bool v)
{
    fm__json_key(j, key);
    fm__json_bool(j, v);
}

fm_str *fm__json_by_hand(fm_json *j)
{
    before_value(j);
    return j->out;
}
