// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// JSON reader: T. Bray (ed.), "The JavaScript Object Notation (JSON) Data Interchange Format", RFC 8259,
// 2017, with no extension. Nesting is a depth and a bit for each level, so hostile text costs no stack. A
// number is made by hand where that is exact (at most 15 digits, 15 of them decimals: one division of two
// exact values rounds once; W. Clinger, "How to read floating point numbers accurately", 1990), else by the C
// library in the C locale. Lines and columns are counted only when something is wrong.

#include "base/json_read.h"

#include "base/error.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MAX_DEPTH = 62, MAX_NUMBER = 64 };

#define MAX_WHOLE 9007199254740992.0 // 2^53: beyond it a double skips integers

void fm__jread_init(fm_jread *r, const char *text, size_t len, const char *name, fm_error *err)
{
    *r = (fm_jread){
        .text = text, .at = text, .end = text + len, .name = name, .value = text, .line = 1, .err = err};
    fm__str_init(&r->key, FM_TAG_BASE);
    fm__str_init(&r->string, FM_TAG_BASE);
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        r->at += 3;
    }
}

void fm__jread_done(fm_jread *r)
{
    fm__str_done(&r->key);
    fm__str_done(&r->string);
}

/* ---- failures ---- */

bool fm__jread_fail(fm_jread *r, const char *fmt, ...)
{
    if (r->status != FM_OK) {
        return false;
    }
    char what[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    size_t line = r->line;
    const char *begin = r->text;
    for (const char *p = r->text; (p = memchr(p, '\n', (size_t)(r->value - p))); p++) {
        line++;
        begin = p + 1;
    }
    r->status =
        fm__fail(r->err, FM_FORMAT, "%s:%zu:%zu: %s", r->name, line, (size_t)(r->value - begin) + 1, what);
    return false;
}

bool fm__jread_nomem(fm_jread *r)
{
    r->status = r->status == FM_OK ? fm__fail_nomem(r->err, r->name) : r->status;
    return false;
}

static bool fail_at(fm_jread *r, const char *at, const char *what)
{
    r->value = at;
    return fm__jread_fail(r, "%s", what);
}

/* ---- between values ---- */

static void skip_blanks(fm_jread *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t')) {
        r->at++;
    }
}

static char next_char(fm_jread *r)
{
    skip_blanks(r);
    return r->at < r->end ? *r->at : 0;
}

fm_jkind fm__jread_peek(fm_jread *r)
{
    char c = r->status == FM_OK ? next_char(r) : 0;
    switch (c) {
    case '{':
        return FM_JSON_OBJECT;
    case '[':
        return FM_JSON_ARRAY;
    case '"':
        return FM_JSON_STRING;
    case 't':
    case 'f':
    case 'n':
        return FM_JSON_WORD;
    default:
        return c == '-' || (c >= '0' && c <= '9') ? FM_JSON_NUMBER : FM_JSON_NONE;
    }
}

// Is the next value of this kind? Else an error that says what stands there.
static bool expect(fm_jread *r, fm_jkind kind, const char *expected)
{
    static const char *const names[] = {
        "none", "an object", "an array", "a string", "a number", "true, false or null"};
    if (r->status != FM_OK) {
        return false;
    }
    fm_jkind got = fm__jread_peek(r);
    r->value = r->at;
    if (got == kind) {
        return true;
    }
    if (r->at == r->end) {
        return fm__jread_fail(r, "the text ends; expected %s", expected);
    }
    if (got == FM_JSON_NONE) {
        return fm__jread_fail(r, "no JSON value; expected %s", expected);
    }
    return fm__jread_fail(r, "expected %s, got %s", expected, names[got]);
}

static bool enter(fm_jread *r, fm_jkind kind, const char *expected)
{
    if (!expect(r, kind, expected)) {
        return false;
    }
    if (r->depth == MAX_DEPTH) {
        return fm__jread_fail(r, "nested deeper than %d", MAX_DEPTH);
    }
    r->at++;
    r->depth++;
    r->has_item &= ~(UINT64_C(1) << r->depth);
    return true;
}

// Steps over the comma before another item; false at the end of the level, which is taken.
static bool advance(fm_jread *r, char close)
{
    if (r->status != FM_OK) {
        return false;
    }
    uint64_t bit = UINT64_C(1) << r->depth;
    char c = next_char(r);
    if (c == close) {
        r->at++;
        r->depth--;
        return false;
    }
    if (r->has_item & bit) {
        if (c != ',') {
            return fail_at(r, r->at,
                r->at == r->end ? "the text ends inside"
                : close == ']'  ? "expected ',' or ']'"
                                : "expected ',' or '}'");
        }
        r->at++;
    }
    r->has_item |= bit;
    return true;
}

bool fm__jread_object(fm_jread *r)
{
    return enter(r, FM_JSON_OBJECT, "an object");
}

bool fm__jread_array(fm_jread *r)
{
    return enter(r, FM_JSON_ARRAY, "an array");
}

bool fm__jread_item(fm_jread *r)
{
    return advance(r, ']');
}

/* ---- strings ---- */

static int hex4(const char *p, const char *end)
{
    int v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p + i < end ? p[i] : 0;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) {
            return -1;
        }
        v = v * 16 + digit;
    }
    return v;
}

static void add_code_point(fm_str *out, int c)
{
    if (c < 0x80) {
        fm__str_add_char(out, (char)c);
    } else if (c < 0x800) {
        fm__str_add_char(out, (char)(0xc0 | c >> 6));
        fm__str_add_char(out, (char)(0x80 | (c & 63)));
    } else if (c < 0x10000) {
        fm__str_add_char(out, (char)(0xe0 | c >> 12));
        fm__str_add_char(out, (char)(0x80 | (c >> 6 & 63)));
        fm__str_add_char(out, (char)(0x80 | (c & 63)));
    } else {
        fm__str_add_char(out, (char)(0xf0 | c >> 18));
        fm__str_add_char(out, (char)(0x80 | (c >> 12 & 63)));
        fm__str_add_char(out, (char)(0x80 | (c >> 6 & 63)));
        fm__str_add_char(out, (char)(0x80 | (c & 63)));
    }
}

// \uXXXX, at its "u"; two of them where the first is half of a pair.
static bool read_unicode(fm_jread *r, fm_str *out)
{
    const char *from = r->at - 1;
    int c = hex4(r->at + 1, r->end);
    if (c < 0) {
        return fail_at(r, from, "\\u needs four hexadecimal digits");
    }
    r->at += 5;
    if (c >= 0xd800 && c < 0xdc00 && r->end - r->at >= 6 && r->at[0] == '\\' && r->at[1] == 'u') {
        int low = hex4(r->at + 2, r->end);
        if (low >= 0xdc00 && low < 0xe000) {
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
            r->at += 6;
        }
    }
    if (c == 0 || (c >= 0xd800 && c < 0xe000)) {
        return fail_at(r, from, c == 0 ? "a string holds NUL" : "half of a surrogate pair");
    }
    add_code_point(out, c);
    return true;
}

static bool read_escape(fm_jread *r, fm_str *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = ++r->at < r->end ? *r->at : 0;
    if (c == 'u') {
        return read_unicode(r, out);
    }
    const char *found = c ? strchr(from, c) : NULL;
    if (!found) {
        return fail_at(r, r->at - 1, "no such escape in a string");
    }
    fm__str_add_char(out, to[found - from]);
    r->at++;
    return true;
}

static bool is_utf8(const char *text)
{
    for (int n; *text; text += n) {
        n = fm__utf8_len(text);
        if (n == 0) {
            return false;
        }
    }
    return true;
}

// At its quote.
static bool read_string(fm_jread *r, fm_str *out)
{
    const char *from = r->at++;
    fm__str_reset(out);
    fm__str_add(out, "");
    for (;;) {
        const char *run = r->at;
        while (r->at < r->end && *r->at != '"' && *r->at != '\\' && (unsigned char)*r->at >= 0x20) {
            r->at++;
        }
        fm__str_add_n(out, run, (size_t)(r->at - run));
        if (r->at == r->end) {
            return fail_at(r, from, "a string without its end");
        }
        if (*r->at == '"') {
            break;
        }
        if (*r->at != '\\') {
            return fail_at(r, r->at, "a control character in a string");
        }
        if (!read_escape(r, out)) {
            return false;
        }
    }
    r->at++;
    if (out->failed) {
        return fm__jread_nomem(r);
    }
    return is_utf8(out->data) || fail_at(r, from, "a string that is not UTF-8");
}

bool fm__jread_string(fm_jread *r, const char **out)
{
    if (!expect(r, FM_JSON_STRING, "a string") || !read_string(r, &r->string)) {
        return false;
    }
    *out = r->string.data;
    return true;
}

bool fm__jread_key(fm_jread *r, const char **key)
{
    if (!advance(r, '}') || !expect(r, FM_JSON_STRING, "a key") || !read_string(r, &r->key)) {
        return false;
    }
    if (next_char(r) != ':') {
        return fail_at(r, r->at, "expected ':'");
    }
    r->at++;
    *key = r->key.data;
    return true;
}

/* ---- numbers and words ---- */

static const char *digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9') {
        p++;
    }
    return p;
}

// End of the number at p by RFC 8259, section 6; NULL: there is none.
static const char *scan_number(const char *p, const char *end)
{
    p += p < end && *p == '-';
    const char *q = digits(p, end);
    if (q == p || (*p == '0' && q - p > 1)) {
        return NULL;
    }
    if (q < end && *q == '.') {
        p = q + 1;
        q = digits(p, end);
        if (q == p) {
            return NULL;
        }
    }
    if (q < end && (*q == 'e' || *q == 'E')) {
        p = q + 1;
        p += p < end && (*p == '+' || *p == '-');
        q = digits(p, end);
        if (q == p) {
            return NULL;
        }
    }
    return q;
}

// Without exponent, of at most 15 digits: exact, see above.
static bool read_short(const char *p, const char *end, double *out)
{
    static const double powers[] = {
        1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    bool negative = *p == '-', after_point = false;
    int64_t whole = 0;
    int count = 0, decimals = 0;
    for (p += negative; p < end; p++) {
        if (*p == '.') {
            after_point = true;
        } else if (*p > '9' || ++count > 15) {
            return false; // an exponent
        } else {
            whole = whole * 10 + (*p - '0');
            decimals += after_point;
        }
    }
    double v = (double)whole / powers[decimals];
    *out = negative ? -v : v;
    return true;
}

bool fm__jread_number(fm_jread *r, double *out)
{
    if (!expect(r, FM_JSON_NUMBER, "a number")) {
        return false;
    }
    const char *end = scan_number(r->at, r->end);
    size_t len = end ? (size_t)(end - r->at) : 0;
    if (!end || len > MAX_NUMBER) {
        return fm__jread_fail(r, end ? "a number of more than %d characters" : "no JSON number", MAX_NUMBER);
    }
    if (!read_short(r->at, end, out)) {
        char text[MAX_NUMBER + 1];
        memcpy(text, r->at, len);
        text[len] = 0;
        if (!fm__parse_double(text, out)) {
            return fm__jread_fail(r, "number %.40s is too large", text);
        }
    }
    r->at = end;
    return true;
}

bool fm__jread_int(fm_jread *r, int64_t *out)
{
    double v = 0;
    if (!fm__jread_number(r, &v)) {
        return false;
    }
    if (v != floor(v) || fabs(v) > MAX_WHOLE) {
        return fm__jread_fail(r, "expected a whole number, got %.17g", v);
    }
    *out = (int64_t)v;
    return true;
}

static bool take_word(fm_jread *r, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0) {
        return false;
    }
    r->at += len;
    return true;
}

bool fm__jread_flag(fm_jread *r, bool *out)
{
    if (fm__jread_peek(r) == FM_JSON_WORD) {
        r->value = r->at;
        bool yes = take_word(r, "true");
        if (yes || take_word(r, "false")) {
            *out = yes;
            return true;
        }
        return fm__jread_fail(r, "expected 0 or 1");
    }
    int64_t v = 0;
    if (!fm__jread_int(r, &v)) {
        return false;
    }
    if (v != 0 && v != 1) {
        return fm__jread_fail(r, "expected 0 or 1, got %lld", (long long)v);
    }
    *out = v == 1;
    return true;
}

/* ---- whole values ---- */

static bool skip_scalar(fm_jread *r)
{
    const char *text;
    double number;
    switch (fm__jread_peek(r)) {
    case FM_JSON_STRING:
        return fm__jread_string(r, &text);
    case FM_JSON_NUMBER:
        return fm__jread_number(r, &number);
    default:
        break;
    }
    if (r->status != FM_OK || take_word(r, "true") || take_word(r, "false") || take_word(r, "null")) {
        return r->status == FM_OK;
    }
    return fail_at(r, r->at, r->at == r->end ? "the text ends; expected a value" : "no JSON value");
}

bool fm__jread_skip(fm_jread *r)
{
    const char *key;
    uint64_t is_object = 0; // bit per depth
    int bottom = r->depth;
    do {
        fm_jkind kind = fm__jread_peek(r);
        if (kind == FM_JSON_OBJECT || kind == FM_JSON_ARRAY) {
            if (!(kind == FM_JSON_OBJECT ? fm__jread_object(r) : fm__jread_array(r))) {
                return false;
            }
            uint64_t bit = UINT64_C(1) << r->depth;
            is_object = kind == FM_JSON_OBJECT ? is_object | bit : is_object & ~bit;
        } else if (!skip_scalar(r)) {
            return false;
        }
        // To the next value inside, out of every level that ends here.
        while (r->depth > bottom) {
            bool more = is_object >> r->depth & 1 ? fm__jread_key(r, &key) : fm__jread_item(r);
            if (r->status != FM_OK) {
                return false;
            }
            if (more) {
                break;
            }
        }
    } while (r->depth > bottom);
    return true;
}

fm_status fm__jread_end(fm_jread *r)
{
    if (r->status == FM_OK && next_char(r) != 0) {
        (void)fail_at(r, r->at, "something follows after the end");
    } else if (r->status == FM_OK && r->at < r->end) {
        (void)fail_at(r, r->at, "a NUL byte"); // next_char's own sign for the end
    }
    return r->status;
}
