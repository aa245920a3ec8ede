// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Growable strings, UTF-8, and numbers that no locale changes. Fixed-point numbers are written from a rounded
// 64-bit integer: faster than printf and always with ".". Numbers are read by strtod in the C locale, behind
// a grammar of our own that knows neither hexadecimal nor infinities.

#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fm__str_init(fm_str *s, fm_tag tag)
{
    *s = (fm_str){.tag = tag};
}

void fm__str_done(fm_str *s)
{
    fm__free(s->data);
    *s = (fm_str){.tag = s->tag};
}

void fm__str_reset(fm_str *s)
{
    s->len = 0;
    s->failed = false;
    if (s->data) {
        s->data[0] = 0;
    }
}

static bool reserve(fm_str *s, size_t more)
{
    if (s->failed || more > SIZE_MAX / 2 - s->len ||
        !fm__grow(s->tag, (void **)&s->data, &s->cap, s->len + more + 1, 1)) {
        s->failed = true;
    }
    return !s->failed;
}

void fm__str_add_n(fm_str *s, const char *bytes, size_t len)
{
    if (!reserve(s, len)) {
        return;
    }
    if (len) {
        memcpy(s->data + s->len, bytes, len);
    }
    s->len += len;
    s->data[s->len] = 0;
}

void fm__str_add(fm_str *s, const char *text)
{
    fm__str_add_n(s, text, strlen(text));
}

void fm__str_add_char(fm_str *s, char c)
{
    fm__str_add_n(s, &c, 1);
}

void fm__str_vprintf(fm_str *s, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    if (n < 0) {
        s->failed = true;
    } else if (reserve(s, (size_t)n)) {
        vsnprintf(s->data + s->len, (size_t)n + 1, fmt, again);
        s->len += (size_t)n;
    }
    va_end(again);
}

void fm__str_printf(fm_str *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fm__str_vprintf(s, fmt, ap);
    va_end(ap);
}

void fm__str_add_uint(fm_str *s, uint64_t v)
{
    char digits[20];
    size_t n = sizeof(digits);
    do {
        digits[--n] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    fm__str_add_n(s, digits + n, sizeof(digits) - n);
}

void fm__str_add_int(fm_str *s, int64_t v)
{
    if (v < 0) {
        fm__str_add_char(s, '-');
    }
    fm__str_add_uint(s, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void fm__str_add_fixed(fm_str *s, double v, int decimals)
{
    static const double pow10[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
    decimals = decimals < 0 ? 0 : decimals > 9 ? 9 : decimals;
    if (!isfinite(v)) {
        v = 0;
    }
    double product = fabs(v) * pow10[decimals], scaled = round(product);
    if (scaled - product == 0.5 && fma(fabs(v), pow10[decimals], -product) < 0) {
        scaled -= 1; // the product was rounded up to a half: the number itself lies below it
    }
    if (scaled >= 9e18) { // past what an integer holds: no picture is that large, so the decimals say nothing
        fm__str_printf(s, "%.0f", v);
        return;
    }
    uint64_t n = (uint64_t)scaled, unit = (uint64_t)pow10[decimals];
    if (v < 0 && n > 0) {
        fm__str_add_char(s, '-');
    }
    fm__str_add_uint(s, n / unit);
    if (decimals > 0) {
        char frac[10] = ".";
        uint64_t rest = n % unit;
        for (int i = decimals; i > 0; i--) {
            frac[i] = (char)('0' + rest % 10);
            rest /= 10;
        }
        fm__str_add_n(s, frac, (size_t)decimals + 1);
    }
}

static const char *entity_of(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

void fm__str_add_escaped(fm_str *s, const char *text)
{
    while (*text) {
        int len = fm__utf8_len(text);
        const char *entity = entity_of(*text);
        if (entity) {
            fm__str_add(s, entity);
        } else if (len == 0) {
            fm__str_add(s, "\xef\xbf\xbd");
        } else if ((unsigned char)*text < 32 || *text == 127) {
            fm__str_add_char(s, ' ');
        } else {
            fm__str_add_n(s, text, (size_t)len);
        }
        text += len > 0 ? len : 1;
    }
}

void fm__str_add_base64(fm_str *s, const void *bytes, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *p = bytes;
    for (; len > 0; p += 3) {
        size_t n = len < 3 ? len : 3;
        uint32_t v = (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0) | (n > 2 ? p[2] : 0);
        char four[4] = {digits[v >> 18], digits[v >> 12 & 63], n > 1 ? digits[v >> 6 & 63] : '=',
            n > 2 ? digits[v & 63] : '='};
        fm__str_add_n(s, four, sizeof four);
        len -= n;
    }
}

char *fm__str_take(fm_str *s)
{
    if (!s->failed && !s->data) {
        fm__str_add(s, "");
    }
    char *data = s->failed ? NULL : s->data;
    if (data) {
        s->data = NULL;
    }
    fm__str_done(s);
    return data;
}

int fm__utf8_len(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    if (p[0] < 0x80) {
        return 1;
    }
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        return (p[1] & 0xc0) == 0x80 ? 2 : 0;
    }
    if (p[0] >= 0xe0 && p[0] <= 0xef) {
        unsigned lo = p[0] == 0xe0 ? 0xa0 : 0x80, hi = p[0] == 0xed ? 0x9f : 0xbf;
        return p[1] >= lo && p[1] <= hi && (p[2] & 0xc0) == 0x80 ? 3 : 0;
    }
    if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        unsigned lo = p[0] == 0xf0 ? 0x90 : 0x80, hi = p[0] == 0xf4 ? 0x8f : 0xbf;
        return p[1] >= lo && p[1] <= hi && (p[2] & 0xc0) == 0x80 && (p[3] & 0xc0) == 0x80 ? 4 : 0;
    }
    return 0;
}

char *fm__strdup(fm_tag tag, const char *text)
{
    if (!text) {
        return NULL;
    }
    size_t size = strlen(text) + 1;
    char *copy = fm__calloc(tag, size);
    return copy ? memcpy(copy, text, size) : NULL;
}

char *fm__asprintf(fm_tag tag, const char *fmt, ...)
{
    fm_str s;
    fm__str_init(&s, tag);
    va_list ap;
    va_start(ap, fmt);
    fm__str_vprintf(&s, fmt, ap);
    va_end(ap);
    return fm__str_take(&s);
}

char *fm__path_join(fm_tag tag, const char *dir, const char *name)
{
    size_t n = strlen(dir);
    bool slash = n > 0 && dir[n - 1] == '/';
    while (*name == '/') {
        name++;
    }
    return fm__asprintf(tag, "%s%s%s", dir, slash || n == 0 ? "" : "/", name);
}

const char *fm__path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool fm__str_starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool fm__str_ieq(const char *a, const char *b)
{
    while (*a && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return lower(*a) == lower(*b);
}

bool fm__str_ends(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && fm__str_ieq(text + n - m, suffix);
}

bool fm__parse_int(const char *text, int64_t *out)
{
    if (!text || !*text || isspace((unsigned char)*text)) {
        return false;
    }
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno || *end) {
        return false;
    }
    *out = v;
    return true;
}

static const char *skip_digits(const char *p)
{
    while (*p >= '0' && *p <= '9') {
        p++;
    }
    return p;
}

// Is all of the text [+-] digits [. digits] [e [+-] digits], with a digit before the exponent?
static bool is_decimal(const char *p)
{
    p += *p == '-' || *p == '+';
    const char *whole = p;
    p = skip_digits(p);
    size_t digits = (size_t)(p - whole);
    if (*p == '.') {
        const char *fraction = ++p;
        p = skip_digits(p);
        digits += (size_t)(p - fraction);
    }
    if (digits > 0 && (*p == 'e' || *p == 'E')) {
        p++;
        p += *p == '-' || *p == '+';
        const char *exponent = p;
        p = skip_digits(p);
        digits = (size_t)(p - exponent);
    }
    return digits > 0 && *p == 0;
}

bool fm__parse_double(const char *text, double *out)
{
    if (!text || !is_decimal(text)) {
        return false;
    }
    locale_t c = newlocale(LC_ALL_MASK, "C", NULL); // built into the C library: nothing is read or allocated
    if (!c) {
        return false;
    }
    double v = strtod_l(text, NULL, c);
    freelocale(c);
    if (!isfinite(v)) {
        return false;
    }
    *out = v;
    return true;
}
