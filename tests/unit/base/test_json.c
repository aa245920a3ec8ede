// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The JSON writer: exact text of a nested value; every string, whatever its bytes, against a slow decoder of
// this test's own that works on code points and not on bytes' ranges.

#include "../testing.h"

#include "base/json.h"

static char *written(const char *text)
{
    fm_str s;
    fm_json j;
    fm__str_init(&s, FM_TAG_BASE);
    fm__json_init(&j, &s);
    fm__json_string(&j, text);
    return fm__str_take(&s);
}

static void a_nested_value(void **state)
{
    (void)state;
    fm_str s;
    fm_json j;
    fm__str_init(&s, FM_TAG_BASE);
    fm__json_init(&j, &s);
    fm__json_open_object(&j);
    fm__json_key(&j, "a");
    fm__json_open_array(&j);
    fm__json_int(&j, -1);
    fm__json_uint(&j, UINT64_MAX);
    fm__json_open_array(&j);
    fm__json_close_array(&j);
    fm__json_open_object(&j);
    fm__json_close_object(&j);
    fm__json_fixed(&j, 1.005, 4);
    fm__json_close_array(&j);
    fm__json_put_bool(&j, "b\"", true);
    fm__json_put_string(&j, "c", NULL);
    fm__json_put_bool(&j, "d", false);
    fm__json_close_object(&j);
    assert_string_equal(
        s.data, "{\"a\":[-1,18446744073709551615,[],{},1.0050],\"b\\\"\":true,\"c\":null,\"d\":false}");
    fm__str_done(&s);
}

static void escapes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"", "\"\""},
        {"a\"b\\c/", "\"a\\\"b\\\\c/\""},
        {"\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\""},
        {"\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\""},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"\xff", "\"\xef\xbf\xbd\""},
        {"\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char *got = written(cases[i].text);
        assert_string_equal(got, cases[i].want);
        fm__free(got);
    }
}

// Code point at p and its length by the bit pattern of UTF-8, then by the shortest form; 0 when there is
// none.
static int decode(const unsigned char *p, size_t left, uint32_t *code)
{
    int ones = 0;
    while (ones < 8 && (p[0] & (0x80 >> ones))) {
        ones++;
    }
    int len = ones == 0 ? 1 : ones;
    if (ones == 1 || len > 4 || (size_t)len > left) {
        return 0;
    }
    uint32_t c = ones == 0 ? p[0] : p[0] & (0x7fu >> ones);
    for (int i = 1; i < len; i++) {
        if (p[i] >> 6 != 2) {
            return 0;
        }
        c = c << 6 | (p[i] & 0x3f);
    }
    int shortest = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    if (shortest != len || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
        return 0;
    }
    *code = c;
    return len;
}

static size_t decode_all(const char *text, uint32_t *codes)
{
    size_t left = strlen(text), n = 0;
    while (left > 0) {
        uint32_t code = 0xfffd;
        int len = decode((const unsigned char *)text, left, &code);
        codes[n++] = code;
        text += len ? len : 1;
        left -= len ? (size_t)len : 1;
    }
    return n;
}

// Reads a JSON string back into code points; all of it must be valid UTF-8 without control characters.
static size_t read_back(const char *text, uint32_t *codes)
{
    static const char short_form[] = "\"\"\\\\b\bf\fn\nr\rt\t";
    size_t n = 0, left = strlen(text);
    assert_true(left >= 2 && text[0] == '"' && text[left - 1] == '"');
    text++;
    left -= 2;
    while (left > 0) {
        uint32_t code = 0;
        int len = decode((const unsigned char *)text, left, &code);
        assert_true(len > 0 && code >= 0x20 && code != '"');
        if (code == '\\' && text[1] == 'u') {
            code = (uint32_t)strtoul((char[]){text[2], text[3], text[4], text[5], 0}, NULL, 16);
            len = 6;
        } else if (code == '\\') {
            size_t at = 0;
            while (short_form[at] && short_form[at] != text[1]) {
                at += 2;
            }
            assert_true(short_form[at] != 0);
            code = (unsigned char)short_form[at + 1];
            len = 2;
        }
        codes[n++] = code;
        text += len;
        left -= (size_t)len;
    }
    return n;
}

static void check_text(const char *text)
{
    uint32_t want[256], got[256];
    char *json = written(text);
    size_t n = decode_all(text, want), m = read_back(json, got);
    assert_int_equal(n, m);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(got[i], want[i]);
    }
    fm__free(json);
}

static void any_bytes_leave_as_utf8(void **state)
{
    (void)state;
    static const unsigned char edges[] = {0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf,
        0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff, '"', '\\', 1};
    char text[64] = {0};
    for (size_t a = 0; a < COUNT_OF(edges); a++) { // every sequence of up to three edges
        for (size_t b = 0; b <= COUNT_OF(edges); b++) {
            for (size_t c = 0; c <= COUNT_OF(edges); c++) {
                text[0] = (char)edges[a];
                text[1] = b < COUNT_OF(edges) ? (char)edges[b] : 0;
                text[2] = c < COUNT_OF(edges) ? (char)edges[c] : 0;
                check_text(text);
            }
        }
    }
    uint64_t seed = 31;
    for (int round = 0; round < 30000; round++) {
        int len = rnd_below(&seed, 12) + 1;
        for (int i = 0; i < len; i++) {
            bool edge = rnd_below(&seed, 3);
            text[i] =
                (char)(edge ? edges[rnd_below(&seed, (int)COUNT_OF(edges))] : rnd_below(&seed, 255) + 1);
        }
        text[len] = 0;
        check_text(text);
    }
}

static void every_code_point_is_kept(void **state)
{
    (void)state;
    for (uint32_t c = 1; c <= 0x10ffff; c += c < 0x11000 ? 1 : 0xff) {
        char text[5] = {0};
        if (c < 0x80) {
            text[0] = (char)c;
        } else if (c < 0x800) {
            text[0] = (char)(0xc0 | c >> 6);
            text[1] = (char)(0x80 | (c & 0x3f));
        } else if (c < 0x10000) {
            text[0] = (char)(0xe0 | c >> 12);
            text[1] = (char)(0x80 | (c >> 6 & 0x3f));
            text[2] = (char)(0x80 | (c & 0x3f));
        } else {
            text[0] = (char)(0xf0 | c >> 18);
            text[1] = (char)(0x80 | (c >> 12 & 0x3f));
            text[2] = (char)(0x80 | (c >> 6 & 0x3f));
            text[3] = (char)(0x80 | (c & 0x3f));
        }
        bool surrogate = c >= 0xd800 && c <= 0xdfff;
        assert_int_equal(fm__utf8_len(text), surrogate ? 0 : (int)strlen(text));
    }
}

static void a_warm_writer_allocates_nothing(void **state)
{
    (void)state;
    fm_str s;
    fm__str_init(&s, FM_TAG_BASE);
    uint64_t before = 0;
    for (int round = 0; round < 3; round++) {
        fm_json j;
        fm__str_reset(&s);
        fm__json_init(&j, &s);
        before = round == 1 ? fm__alloc_count() : before;
        fm__json_open_array(&j);
        for (int i = 0; i < 500; i++) {
            fm__json_fixed(&j, i / 7.0, 2);
            fm__json_string(&j, "x\ny");
        }
        fm__json_close_array(&j);
    }
    assert_int_equal(fm__alloc_count(), before);
    fm__str_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_nested_value),
        cmocka_unit_test(escapes),
        cmocka_unit_test(any_bytes_leave_as_utf8),
        cmocka_unit_test(every_code_point_is_kept),
        cmocka_unit_test(a_warm_writer_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
