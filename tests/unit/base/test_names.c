// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Names and URLs from outside. Safe names: a table, and for random bytes the promises of str.h (bytes that
// may stay, length, first byte, valid UTF-8). Redaction: no form of a URL in which a user wrote a secret
// shows it.

#include "../testing.h"

#include "base/str.h"

static void safe_names_of_a_table(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"vtest", "vtest"},
        {"gate 1", "gate_1"},
        {"a/b\\c", "a_b_c"},
        {"../../etc/passwd", "etc_passwd"},
        {"..", "stream"},
        {".", "stream"},
        {".hidden", "hidden"},
        {"-rf", "rf"},
        {"--", "stream"},
        {"", "stream"},
        {"///", "stream"},
        {"\n\t\x01\x7f", "stream"},
        {"a\nb", "a_b"},
        {"a\x1b[31mred", "a_31mred"},
        {"a  /  b", "a_b"},
        {"end/", "end"},
        {"a..b", "a..b"},
        {"a;rm -rf $HOME`x`", "a_rm_-rf_HOME_x"},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"bad\xc3", "bad"},
        {"over\xc0\xaflong", "over_long"},
        {"surrogate\xed\xa0\x80x", "surrogate_x"},
        {"high\xf4\x90\x80\x80x", "high_x"},
        {"\xe2\x80\xae"
         "gpj.exe",
            "gpj.exe"}, // right-to-left override
        {"zero\xe2\x80\x8bwidth", "zero_width"},
        {"c1\xc2\x85x", "c1_x"},
        {"\xef\xbb\xbf"
         "bom",
            "bom"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char *name = fm__safe_name(FM_TAG_BASE, cases[i].text);
        assert_string_equal(name, cases[i].want);
        fm__free(name);
    }
}

static void names_in_hindi_korean_and_emoji_stay(void **state)
{
    (void)state;
    static const char *const names[] = {
        "\xe0\xa4\xb8\xe0\xa4\xa1\xe0\xa4\x95",             // Hindi
        "\xe0\xb8\x9b\xe0\xb8\xa3\xe0\xb8\xb0\xe0\xb8\x95", // Thai
        "\xed\x8c\x90\xed\x99\x94",                         // Korean
        "\xe9\x97\xa8\xe5\x8f\xa3",                         // Chinese
        "\xf0\x9f\x93\xb7",                                 // a camera
        "\xef\xbc\xa1",                                     // fullwidth A
    };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char *name = fm__safe_name(FM_TAG_BASE, names[i]);
        assert_string_equal(name, names[i]);
        fm__free(name);
    }
}

static void long_names_are_cut_between_characters(void **state)
{
    (void)state;
    char text[600] = "x"; // so that 100 bytes end inside a character
    for (int i = 0; i < 150; i++) {
        strcat(text, "\xe9\x97\xa8");
    }
    char *name = fm__safe_name(FM_TAG_BASE, text);
    assert_int_equal(strlen(name), 1 + 3 * 33);
    assert_memory_equal(name, text, 100);
    fm__free(name);
    memset(text, 'a', 500);
    text[500] = 0;
    name = fm__safe_name(FM_TAG_BASE, text);
    assert_int_equal(strlen(name), 100);
    fm__free(name);
}

static bool whole_utf8(const char *text)
{
    while (*text) {
        int n = fm__utf8_len(text);
        if (n == 0) {
            return false;
        }
        text += n;
    }
    return true;
}

static void names_of_random_bytes_keep_the_promises(void **state)
{
    (void)state;
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    static const char lures[] = "./\\-_\x80\xbf\xc2\xe0\xed\xef\xf0\xf4\xff \n";
    uint64_t seed = 21;
    for (int round = 0; round < 20000; round++) {
        char text[200];
        int len = rnd_below(&seed, (int)sizeof(text) - 1);
        for (int i = 0; i < len; i++) {
            bool lure = rnd_below(&seed, 2);
            text[i] =
                lure ? lures[rnd_below(&seed, (int)sizeof(lures) - 1)] : (char)(rnd_below(&seed, 255) + 1);
        }
        text[len] = 0;
        char *name = fm__safe_name(FM_TAG_BASE, text);
        size_t n = strlen(name);
        assert_true(n >= 1 && n <= 100);
        assert_true(name[0] != '.' && name[0] != '-');
        assert_true(whole_utf8(name));
        for (const char *p = name; *p; p++) {
            assert_true((unsigned char)*p >= 0x80 || strchr(plain, *p));
        }
        char *again = fm__safe_name(FM_TAG_BASE, name);
        assert_true(again && again[0]);
        fm__free(again);
        fm__free(name);
    }
}

static void check_redacted(const char *url, const char *want)
{
    char *text = fm__redact_url(FM_TAG_BASE, url);
    assert_string_equal(text, want);
    fm__free(text);
}

static void redacted_urls_of_a_table(void **state)
{
    (void)state;
    static const struct {
        const char *url, *want;
    } cases[] = {
        {"rtsp://cam/1", "rtsp://cam/1"},
        {"rtsp://u:p@cam:554/1", "rtsp://***@cam:554/1"},
        {"rtsp://u@cam/1", "rtsp://***@cam/1"},
        {"http://cam/a@2x.png", "http://cam/a@2x.png"},
        {"http://cam/?a=1&b=2", "http://cam/?a=1&b=2"},
        {"http://cam/?mail=a@b.c", "http://cam/?mail=a@b.c"},
        {"http://cam/?a=1&token=abc&b=2", "http://cam/?a=1&token=***&b=2"},
        {"http://cam/?PassWord=abc", "http://cam/?PassWord=***"},
        {"http://cam/x#access_token=abc", "http://cam/x#access_token=***"},
        {"http://cam/?X-Amz-Signature=abc&x=1", "http://cam/?X-Amz-Signature=***&x=1"},
        {"/data/a:b@c.avi", "/data/a:b@c.avi"},
        {"C:/a.avi", "C:/a.avi"},
        {"a\nb\x7f", "a?b?"},
        {"rtsp://cam/\x1b[2J", "rtsp://cam/?[2J"},
        {"testsrc:640x480@30,frames=5", "testsrc:640x480@30,frames=5"},
        {"", ""},
        {"://", "://"},
        {"rtsp://@", "rtsp://***@"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        check_redacted(cases[i].url, cases[i].want);
    }
}

static void no_form_of_url_shows_its_secret(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "rtsp://admin:SECRET@cam/1",
        "rtsp://SECRET@cam/1",
        "rtsp://admin:x/SECRET@cam/1",
        "rtsp://admin:SECRET/x@cam/1",
        "rtsp://admin:x?SECRET@cam/1",
        "rtsp://admin:SECRET#x@cam/1",
        "rtsp://admin:x@SECRET@cam/1",
        "rtsp://bob@example.org:SECRET@cam/1",
        "rtsp://bob@example.org:x/SECRET@cam/1",
        "rtsp://bob@example.org:SECRET/y@cam/1",
        "rtsp:/admin:SECRET@cam/1",
        "rtsp:admin:SECRET@cam/1",
        "http://host/?url=rtsp://u:SECRET@cam/1",
        "http://a:b@host/?url=rtsp://u:SECRET@cam/1",
        "http://host/?password=SECRET",
        "http://host/?a=b&api_key=SECRET#end",
        "http://host/?a=b;pwd=SECRET",
        "http://host/?pwd=x;SECRET",
        "http://host/?pwd=x#SECRET",
        "http://host/?pw=SECRET",
        "http://host/#token=SECRET",
        "http://host/?a_rather_long_name_of_a_parameter_that_holds_the_word_in_its_end_token=SECRET",
        "http://u:SECRET@host:80/?x=1",
        "http://u:x:SECRET@[::1]:80/",
        "rediss://SECRET?x@host:6379/0",
        "redis://x#SECRET@host",
    };
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        char *text = fm__redact_url(FM_TAG_BASE, urls[i]);
        if (strstr(text, "SECRET")) {
            fail_msg("%s shows as %s", urls[i], text);
        }
        assert_non_null(strstr(text, "***"));
        fm__free(text);
    }
}

static void redaction_survives_random_bytes(void **state)
{
    (void)state;
    static const char lures[] = ":/@?#&;=.~p\x80\n";
    uint64_t seed = 22;
    for (int round = 0; round < 20000; round++) {
        char text[120] = "rtsp://";
        int from = rnd_below(&seed, 2) ? 7 : 0, len = from + rnd_below(&seed, 100);
        for (int i = from; i < len; i++) {
            bool lure = rnd_below(&seed, 3);
            text[i] =
                lure ? lures[rnd_below(&seed, (int)sizeof(lures) - 1)] : (char)(rnd_below(&seed, 255) + 1);
        }
        text[len] = 0;
        char *shown = fm__redact_url(FM_TAG_BASE, text);
        assert_non_null(shown);
        for (const unsigned char *p = (const unsigned char *)shown; *p; p++) {
            assert_true(*p >= 0x20 && *p != 0x7f);
        }
        fm__free(shown);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(safe_names_of_a_table),
        cmocka_unit_test(names_in_hindi_korean_and_emoji_stay),
        cmocka_unit_test(long_names_are_cut_between_characters),
        cmocka_unit_test(names_of_random_bytes_keep_the_promises),
        cmocka_unit_test(redacted_urls_of_a_table),
        cmocka_unit_test(no_form_of_url_shows_its_secret),
        cmocka_unit_test(redaction_survives_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
