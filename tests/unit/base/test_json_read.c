// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The JSON reader: what RFC 8259 allows and what it does not, values, limits, and where an error says it is.

#include "../testing.h"

#include "base/json_read.h"

#include <math.h>

static fm_jread reader(const char *text, fm_error *err)
{
    fm_jread r;
    *err = (fm_error){0};
    fm__jread_init(&r, text, strlen(text), "t.json", err);
    return r;
}

static fm_status skip_all(const char *text, fm_error *err)
{
    fm_jread r = reader(text, err);
    (void)fm__jread_skip(&r);
    fm_status st = fm__jread_end(&r);
    fm__jread_done(&r);
    return st;
}

static void what_is_json_and_what_is_not(void **state)
{
    (void)state;
    static const char *const good[] = {"0", "-0", "10.5e+3", "1E-2", "\"\"", "[]", "{}",
        " [ 1 , [ ] , { } ] ", "{\"a\":{\"b\":[1,2,{\"c\":null}]},\"d\":true}", "false",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\"", "\"\xc3\xa9\"", "[[[[]]]]\r\n\t",
        "\xef\xbb\xbf{}", "[{\"a\":[]},[{}]]"};
    static const char *const bad[] = {"", " ", "nul", "truex", "+1", "01", "1.", ".5", "1e", "1e+", "-",
        "--1", "0x1", "NaN", "Infinity", "-Infinity", "'a'", "\"a", "\"\\x\"", "\"\\u12g4\"", "\"\\ud800\"",
        "\"\\udc00\"", "\"\\ud800\\u0041\"", "\"\\u0000\"", "\"\n\"", "\"\xff\"", "\"\xed\xa0\x80\"", "[",
        "]", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "{", "}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}",
        "{1:1}", "{\"a\" 1}", "[}", "{]", "[1}", "{\"a\":1]", "1 2", "[] []", "1e999", "-1e999", "\"\\u12\"",
        "\"\\"};
    fm_error err;
    for (size_t i = 0; i < COUNT_OF(good); i++)
        if (skip_all(good[i], &err) != FM_OK)
            fail_msg("'%s': %s", good[i], err.msg);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        if (skip_all(bad[i], &err) != FM_FORMAT || strncmp(err.msg, "t.json:1:", 9) != 0)
            fail_msg("'%s' was taken, or without a place: %s", bad[i], err.msg);
    }
}

static void numbers_are_those_of_the_c_library(void **state)
{
    (void)state;
    uint64_t seed = 5;
    for (int i = 0; i < 20000; i++) {
        char text[64];
        fm_error err;
        double got = NAN;
        int decimals = rnd_below(&seed, 18);
        double v = ((double)rnd_below(&seed, 1 << 30) - (1 << 29)) * pow(10, rnd_below(&seed, 12) - 8);
        snprintf(text, sizeof text, i % 4 ? "%.*f" : "%.*e", decimals, v);
        fm_jread r = reader(text, &err);
        assert_true(fm__jread_number(&r, &got));
        assert_int_equal(fm__jread_end(&r), FM_OK);
        fm__jread_done(&r);
        if (got != strtod(text, NULL))
            fail_msg("'%s' is %.17g", text, got);
    }
}

static void values_of_a_document(void **state)
{
    (void)state;
    fm_error err;
    const char *key, *text;
    int64_t id = 0;
    bool flag = false;
    int items = 0;
    fm_jread r = reader("{\"id\":3.0, \"n\\u0061me\" : \"\\u00fc\\ud83d\\ude00\",\n \"x\":[1,[2],{\"y\":3}], "
                        "\"f\":1, \"z\":[]}",
        &err);
    assert_true(fm__jread_object(&r));
    assert_true(fm__jread_key(&r, &key) && strcmp(key, "id") == 0 && fm__jread_int(&r, &id));
    assert_int_equal(id, 3);
    assert_true(fm__jread_key(&r, &key) && strcmp(key, "name") == 0 && fm__jread_string(&r, &text));
    assert_string_equal(text, "\xc3\xbc\xf0\x9f\x98\x80");
    assert_true(fm__jread_key(&r, &key) && strcmp(key, "x") == 0 && fm__jread_array(&r));
    for (; fm__jread_item(&r); items++)
        assert_true(fm__jread_skip(&r));
    assert_int_equal(items, 3);
    assert_true(fm__jread_key(&r, &key) && fm__jread_flag(&r, &flag) && flag);
    assert_true(fm__jread_key(&r, &key) && fm__jread_array(&r));
    assert_false(fm__jread_item(&r));
    assert_false(fm__jread_key(&r, &key));
    assert_int_equal(fm__jread_end(&r), FM_OK);
    fm__jread_done(&r);
}

static void errors_say_line_and_column(void **state)
{
    (void)state;
    fm_error err;
    const char *key;
    int64_t v;
    fm_jread r = reader("{\n  \"a\": 1.5}", &err);
    assert_true(fm__jread_object(&r) && fm__jread_key(&r, &key));
    assert_false(fm__jread_int(&r, &v));
    assert_string_equal(err.msg, "t.json:2:8: expected a whole number, got 1.5");
    assert_false(fm__jread_key(&r, &key)); // nothing goes on
    assert_false(fm__jread_skip(&r));
    assert_int_equal(fm__jread_end(&r), FM_FORMAT);
    assert_string_equal(err.msg, "t.json:2:8: expected a whole number, got 1.5");
    fm__jread_done(&r);
    r = reader("\"x\"", &err);
    assert_false(fm__jread_array(&r));
    assert_string_equal(err.msg, "t.json:1:1: expected an array, got a string");
    fm__jread_done(&r);
    assert_int_equal(skip_all("[1,\n 2\n 3]", &err), FM_FORMAT);
    assert_string_equal(err.msg, "t.json:3:2: expected ',' or ']'");
}

static void depth_and_length_are_bounded(void **state)
{
    (void)state;
    char text[200];
    fm_error err;
    memset(text, '[', 62);
    memset(text + 62, ']', 62);
    text[124] = 0;
    assert_int_equal(skip_all(text, &err), FM_OK);
    memset(text, '[', 63);
    memset(text + 63, ']', 63);
    text[126] = 0;
    assert_int_equal(skip_all(text, &err), FM_FORMAT);
    assert_non_null(strstr(err.msg, "nested deeper than 62"));
    memset(text, '1', 64);
    text[64] = 0;
    assert_int_equal(skip_all(text, &err), FM_OK);
    text[64] = '1';
    text[65] = 0;
    assert_int_equal(skip_all(text, &err), FM_FORMAT);
}

static void nothing_is_read_beyond_the_end(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":[1.25e1,\"b\\u00e9\\\"\",true,null,{\"c\":-0.5}]}";
    for (size_t len = 0; len < sizeof text; len++) { // the last one holds the NUL
        char *exact = malloc(len ? len : 1);         // exactly so many bytes, no NUL
        fm_error err = {0};
        fm_jread r;
        memcpy(exact, text, len);
        fm__jread_init(&r, exact, len, "t.json", &err);
        (void)fm__jread_skip(&r);
        assert_int_equal(fm__jread_end(&r), len == sizeof text - 1 ? FM_OK : FM_FORMAT);
        fm__jread_done(&r);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_json_and_what_is_not),
        cmocka_unit_test(numbers_are_those_of_the_c_library),
        cmocka_unit_test(values_of_a_document),
        cmocka_unit_test(errors_say_line_and_column),
        cmocka_unit_test(depth_and_length_are_bounded),
        cmocka_unit_test(nothing_is_read_beyond_the_end),
    };
    return cmocka_run_group_tests_name("base/json_read", tests, NULL, NULL);
}
