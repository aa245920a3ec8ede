// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Numbers against the C library: fixed numbers against the exact decimal expansion that printf gives, parsed
// ones against strtod; both also under a locale whose decimal point is a comma, where there is one. Strings
// and paths by tables.

#include "../testing.h"

#include "base/str.h"

#include <errno.h>
#include <locale.h>
#include <math.h>

static const char *fixed(double v, int decimals)
{
    static char text[512];
    fm_str s;
    fm__str_init(&s, FM_TAG_BASE);
    fm__str_add_fixed(&s, v, decimals);
    assert_false(s.failed);
    snprintf(text, sizeof(text), "%s", s.data);
    fm__str_done(&s);
    return text;
}

// The truth: all digits of v (a double below 1e18 has at most 1074 decimals), cut by hand, one added when the
// first digit left out is 5 or more: half away from zero.
static void exact_fixed(double v, int decimals, char *out, size_t size)
{
    char all[1200];
    snprintf(all, sizeof(all), "%.1074f", fabs(v));
    char *point = strchr(all, '.');
    bool up = point[1 + decimals] >= '5';
    point[decimals ? decimals + 1 : 0] = 0;
    char digits[64] = "0";
    snprintf(digits + 1, sizeof(digits) - 1, "%.60s", all);
    for (char *p = digits + strlen(digits) - 1; up; p--) {
        if (*p != '.') {
            up = *p == '9';
            *p = up ? '0' : (char)(*p + 1);
        }
    }
    const char *text = digits[0] == '0' ? digits + 1 : digits;
    bool zero = strspn(text, "0.") == strlen(text);
    snprintf(out, size, "%s%s", v < 0 && !zero ? "-" : "", text);
}

static void check_fixed(double v, int decimals)
{
    char want[80];
    exact_fixed(v, decimals, want, sizeof(want));
    const char *got = fixed(v, decimals);
    if (strcmp(got, want) != 0) {
        fail_msg("%.20g with %d decimals: %s instead of %s", v, decimals, got, want);
    }
}

static void fixed_numbers_of_a_table(void **state)
{
    (void)state;
    static const struct {
        double v;
        int decimals;
        const char *want;
    } cases[] = {
        {0, 2, "0.00"},
        {-0.0, 2, "0.00"},
        {-0.001, 2, "0.00"},
        {0.005, 2, "0.01"},
        {-0.5, 0, "-1"},
        {0.5, 0, "1"},
        {1.5, 0, "2"},
        {2.5, 0, "3"},
        {-2.5, 0, "-3"},
        {0.125, 2, "0.13"},
        {-0.125, 2, "-0.13"},
        {0.375, 2, "0.38"},
        {99.995, 2, "100.00"},
        {99.99609375, 2, "100.00"},
        {1e15, 2, "1000000000000000.00"},
        {NAN, 2, "0.00"},
        {INFINITY, 3, "0.000"},
        {-INFINITY, 0, "0"},
        {1.23456789, 9, "1.234567890"},
        {1.5, 12, "1.500000000"},
        {1.5, -1, "2"},
        {1e20, 2, "100000000000000000000"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_string_equal(fixed(cases[i].v, cases[i].decimals), cases[i].want);
    }
}

// 1.115 is 1.11499999999999999: times 100 it rounds up to 111.5.
static void a_number_just_below_a_half_rounds_down(void **state)
{
    (void)state;
    assert_string_equal(fixed(1.115, 2), "1.11");
    assert_string_equal(fixed(-1.115, 2), "-1.11");
    for (int i = 0; i < 4000; i++) {
        check_fixed(i / 1000.0 + 0.0005, 3);
        check_fixed(i / 100.0 + 0.005, 2);
    }
}

static void random_fixed_numbers_equal_the_exact_ones(void **state)
{
    (void)state;
    uint64_t seed = 11;
    for (int i = 0; i < 8000; i++) {
        int decimals = rnd_below(&seed, 10);
        double unit = (double)(rnd(&seed) >> 11) * 0x1p-53;
        double v = ldexp(unit - 0.5, rnd_below(&seed, 50 - 10 * decimals / 3));
        check_fixed(v, decimals);
        check_fixed((float)v, decimals);
        check_fixed((double)(rnd_below(&seed, 200000) - 100000) / 8, decimals); // exact halves among them
    }
}

static void integers(void **state)
{
    (void)state;
    static const int64_t values[] = {0, 1, -1, 9, 10, -10, 1234567890123, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        char want[64];
        snprintf(want, sizeof(want), "%lld|%llu", (long long)values[i], (unsigned long long)values[i]);
        fm_str s;
        fm__str_init(&s, FM_TAG_BASE);
        fm__str_add_int(&s, values[i]);
        fm__str_add_char(&s, '|');
        fm__str_add_uint(&s, (uint64_t)values[i]);
        char *text = fm__str_take(&s);
        assert_string_equal(text, want);
        fm__free(text);
    }
}

static void parsed_integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        int64_t want;
    } cases[] = {
        {"0", true, 0},
        {"-7", true, -7},
        {"+7", true, 7},
        {"007", true, 7},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"\n1", false, 0},
        {"1.0", false, 0},
        {"0x10", false, 0},
        {"1e3", false, 0},
        {"-", false, 0},
        {"--1", false, 0},
        {"1,000", false, 0},
        {"one", false, 0},
        {NULL, false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t v = 42;
        assert_int_equal(fm__parse_int(cases[i].text, &v), cases[i].good);
        assert_int_equal(v, cases[i].good ? cases[i].want : 42);
    }
}

static void check_double(const char *text)
{
    double v = -1, want = strtod(text, NULL);
    if (!fm__parse_double(text, &v)) {
        fail_msg("'%s' was refused", text);
    }
    if (v != want || signbit(v) != signbit(want)) {
        fail_msg("'%s' is %.20g instead of %.20g", text, v, want);
    }
}

static void parsed_numbers_equal_strtod(void **state)
{
    (void)state;
    static const char *const good[] = {"0", "-0", "1", "+1", "-1.5", ".5", "5.", "0.1", "1e3", "1E-3", "1e+3",
        "-2.5e10", "1e22", "1e23", "1e30", "1.5e-30", "123456789012345", "0.000001", "1e-320", "1e-400",
        "00.50", "179769313486231570000000000000000000000"};
    static const char *const bad[] = {"", ".", "-", "+", "e", "1e", "1e+", ".e1", "1.2.3", " 1", "1 ", "1\n",
        "0x10", "nan", "NaN", "inf", "-inf", "infinity", "1,5", "1e5.0", "1f", "1_000", "--1", "1e400",
        "-1e400", "1e99999"};
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        check_double(good[i]);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        double v = 42;
        if (fm__parse_double(bad[i], &v)) {
            fail_msg("'%s' was taken as %g", bad[i], v);
        }
        assert_true(v == 42);
    }
    assert_false(fm__parse_double(NULL, &(double){0}));
    uint64_t seed = 12;
    for (int i = 0; i < 8000; i++) {
        char text[64];
        double unit = (double)(rnd(&seed) >> 11) * 0x1p-53 - 0.5;
        snprintf(
            text, sizeof(text), "%.*g", rnd_below(&seed, 18) + 1, ldexp(unit, rnd_below(&seed, 200) - 100));
        check_double(text);
    }
}

// Python writes 0.1 + 0.2 into a YAML file with 17 digits.
static void a_number_with_seventeen_digits_is_read(void **state)
{
    (void)state;
    double v = 0;
    assert_true(fm__parse_double("0.30000000000000004", &v));
    assert_true(v == 0.1 + 0.2);
}

// German, compiled into a folder of the test's own: few machines have it installed.
static bool speak_german(const char *dir)
{
    char command[600];
    snprintf(command, sizeof(command), "localedef -i de_DE -f UTF-8 '%s/de_DE.UTF-8' >/dev/null 2>&1", dir);
    bool made = system(command) >= 0; // warnings count as failures there: setlocale decides
    setenv("LOCPATH", dir, 1);
    return made && setlocale(LC_ALL, "de_DE.UTF-8") && strcmp(localeconv()->decimal_point, ",") == 0;
}

static void a_comma_locale_changes_nothing(void **state)
{
    (void)state;
    char *dir = make_dir();
    double v = 0;
    bool german = speak_german(dir);
    bool good = fm__parse_double("1.5", &v), comma = fm__parse_double("1,5", &(double){0});
    char text[512];
    snprintf(text, sizeof(text), "%s", fixed(1234.5, 2));
    setlocale(LC_ALL, "C");
    drop_dir(dir);
    if (!german) {
        print_message("no locale with a decimal comma: localedef is missing\n");
        skip();
    }
    assert_true(good && v == 1.5);
    assert_false(comma);
    assert_string_equal(text, "1234.50");
}

static void a_string_grows_resets_and_is_taken(void **state)
{
    (void)state;
    fm_str s;
    fm__str_init(&s, FM_TAG_BASE);
    char *empty = fm__str_take(&s);
    assert_string_equal(empty, "");
    fm__free(empty);
    for (int i = 0; i < 1000; i++) {
        fm__str_printf(&s, "%d,", i % 10);
    }
    assert_int_equal(s.len, 2000);
    assert_int_equal(strlen(s.data), 2000);
    char *before = s.data;
    uint64_t count = fm__alloc_count();
    fm__str_reset(&s);
    assert_string_equal(s.data, "");
    for (int i = 0; i < 1000; i++) {
        fm__str_add(&s, "ab");
    }
    assert_ptr_equal(s.data, before);
    assert_int_equal(fm__alloc_count(), count); // reset keeps the memory
    fm__str_done(&s);
    fm__str_done(&s);
    assert_null(s.data);
}

static void a_failed_string_stays_failed_until_taken(void **state)
{
    (void)state;
    fm_str s;
    fm__str_init(&s, FM_TAG_BASE);
    fm__str_add(&s, "abc");
    fm__alloc_fail_at(1, false);
    fm__str_add_n(&s, "0123456789012345678901234567890", 31);
    assert_true(s.failed);
    fm__str_add(&s, "d");
    assert_string_equal(s.data, "abc");
    assert_null(fm__str_take(&s));
    assert_null(s.data);
    fm__str_add(&s, "again");
    assert_string_equal(s.data, "again");
    fm__str_done(&s);
}

static void paths(void **state)
{
    (void)state;
    static const struct {
        const char *dir, *name, *want;
    } cases[] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"a/", "/b", "a/b"}, {"a", "//b", "a/b"},
        {"", "b", "b"}, {"/", "b", "/b"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char *path = fm__path_join(FM_TAG_BASE, cases[i].dir, cases[i].name);
        assert_string_equal(path, cases[i].want);
        fm__free(path);
    }
    assert_string_equal(fm__path_base("a/b/c.avi"), "c.avi");
    assert_string_equal(fm__path_base("c.avi"), "c.avi");
    assert_string_equal(fm__path_base("a/"), "");
    assert_null(fm__strdup(FM_TAG_BASE, NULL));
}

static void comparisons(void **state)
{
    (void)state;
    assert_true(fm__str_starts("rtsp://x", "rtsp:"));
    assert_false(fm__str_starts("rt", "rtsp:"));
    assert_true(fm__str_ends("A.JPG", ".jpg"));
    assert_false(fm__str_ends("jpg", ".jpg"));
    assert_true(fm__str_ieq("Person", "pERSON"));
    assert_false(fm__str_ieq("Person", "Persons"));
    assert_false(fm__str_ieq("[", "{")); // 0x20 apart, no letters
}

// The examples of RFC 4648, section 10, and bytes beyond ASCII.
static void base64_equals_the_standards_examples(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}, {"\xff\xfe\xfb", "//77"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fm_str s;
        fm__str_init(&s, FM_TAG_BASE);
        fm__str_add(&s, "");
        fm__str_add_base64(&s, cases[i][0], strlen(cases[i][0]));
        assert_string_equal(s.data ? s.data : "", cases[i][1]);
        fm__str_done(&s);
    }
}

static void text_of_a_page_is_escaped(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"", ""}, {"plain", "plain"},
        {"<b a=\"x\" b='y'>&", "&lt;b a=&quot;x&quot; b=&#39;y&#39;&gt;&amp;"},
        {"a\n\x01\x7f"
         "b",
            "a   b"},
        {"\xc3\xa9\xe2\x82\xac", "\xc3\xa9\xe2\x82\xac"}, // é€
        {"\xff\xc3", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xc0\xbc", "\xef\xbf\xbd\xef\xbf\xbd"}}; // an overlong '<'
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fm_str s;
        fm__str_init(&s, FM_TAG_BASE);
        fm__str_add(&s, "");
        fm__str_add_escaped(&s, cases[i][0]);
        assert_string_equal(s.data ? s.data : "", cases[i][1]);
        fm__str_done(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_numbers_of_a_table),
        cmocka_unit_test(a_number_just_below_a_half_rounds_down),
        cmocka_unit_test(random_fixed_numbers_equal_the_exact_ones),
        cmocka_unit_test(integers),
        cmocka_unit_test(parsed_integers),
        cmocka_unit_test(parsed_numbers_equal_strtod),
        cmocka_unit_test(a_number_with_seventeen_digits_is_read),
        cmocka_unit_test(a_comma_locale_changes_nothing),
        cmocka_unit_test(a_string_grows_resets_and_is_taken),
        cmocka_unit_test(a_failed_string_stays_failed_until_taken),
        cmocka_unit_test(paths),
        cmocka_unit_test(base64_equals_the_standards_examples),
        cmocka_unit_test(text_of_a_page_is_escaped),
        cmocka_unit_test(comparisons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
