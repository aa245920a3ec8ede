// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The table of options itself: names are unique, defaults are values of their own type and agree with what
// the library does, and suggestions are what a person would have meant.

#include "app/keys.h"
#include "heads/head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static void names_are_unique(void **state)
{
    (void)state;
    for (size_t i = 0; i < fm_option_count(); i++) {
        const fm_option *o = fm_option_get(i);
        assert_ptr_equal(fm_option_find(o->key), o);
        assert_true(!o->flag || fm_option_find(o->flag) == o);
        assert_true(!o->also || fm_option_find(o->also) == o);
        assert_true(o->help && o->help[0] && o->group);
        assert_true(o->type == FM_OPTION_BOOL || o->metavar);
    }
    assert_null(fm_option_get(fm_option_count()));
    assert_null(fm_option_find("nothing"));
    assert_null(fm_option_find("batch-timeout_ms"));
    assert_null(fm_option_find(NULL));
}

static void no_later_key_is_in_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < fm__later_key_count; i++) {
        assert_null(fm_option_find(fm__later_keys[i].key));
    }
}

static void defaults_are_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < fm_option_count(); i++) {
        const fm_option *o = fm_option_get(i);
        fm_error err = {0};
        if (o->fallback && fm_option_check(o, o->fallback, &err) != FM_OK) {
            fail_msg("%s: %s", o->key, err.msg);
        }
    }
}

static void heads_are_those_of_the_library(void **state)
{
    (void)state;
    char expected[256] = "";
    for (const fm_head_class *const *c = fm__head_classes(); *c; c++) {
        size_t n = strlen(expected);
        if ((*c)->task != FM_TASK_DETECTION) {
            continue; // the flag is about the detector
        }
        snprintf(expected + n, sizeof(expected) - n, "%s%s", n ? " " : "", (*c)->name);
    }
    assert_string_equal(fm_option_find("head")->values, expected);
}

static void values_are_checked_by_type(void **state)
{
    (void)state;
    const struct {
        const char *option, *text;
        bool ok;
    } cases[] = {
        {"conf", "0", true},
        {"conf", "1", true},
        {"conf", "1e-1", true},
        {"conf", "-0.1", false},
        {"conf", "", false},
        {"conf", "0,5", false},
        {"conf", "0.5x", false},
        {"conf", "inf", false},
        {"batch", "auto", true},
        {"batch", "256", true},
        {"batch", "257", false},
        {"batch", "aut", false},
        {"batch", "16.0", false},
        {"annotate", "TRUE", true},
        {"annotate", "false", true},
        {"annotate", "yes", false},
        {"head", "yolox", true},
        {"head", "yolo", false},
        {"head", "yolox yolov5", false},
        {"classes", "a", true},
        {"classes", "a,,b", false},
        {"classes", ",", false},
        {"classes", "", false},
        {"out", "", false},
        {"detector", "a b", true},
        {"input_size", "640x480", true},
        {"input_size", "640", false},
        {"input_size", "x480", false},
        {"input_size", "640x", false},
        {"input_size", "-1x3", false},
        {"input_size", "12345678x3", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fm_error err = {0};
        fm_status st = fm_option_check(fm_option_find(cases[i].option), cases[i].text, &err);
        if ((st == FM_OK) != cases[i].ok || (st != FM_OK && !strstr(err.msg, "expected"))) {
            fail_msg("%s '%s': %s %s", cases[i].option, cases[i].text, fm_status_name(st), err.msg);
        }
    }
}

static void suggestions(void **state)
{
    (void)state;
    const char *const words[] = {"run", "doctor", "models", "version", "batch-timeout-ms", "conf"};
    const struct {
        const char *word, *meant;
    } cases[] = {
        {"rnu", "run"},
        {"docter", "doctor"},
        {"doc", "doctor"},
        {"modles", "models"},
        {"verison", "version"},
        {"batch-timeout", "batch-timeout-ms"},
        {"conff", "conf"},
        {"", NULL},
        {"x", NULL},
        {"completely-different", NULL},
        {"search", NULL},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *got = fm_suggest(cases[i].word, words, sizeof(words) / sizeof(words[0]));
        if ((got == NULL) != (cases[i].meant == NULL) || (got && strcmp(got, cases[i].meant) != 0)) {
            fail_msg("'%s' -> '%s' instead of '%s'", cases[i].word, got ? got : "nothing",
                cases[i].meant ? cases[i].meant : "nothing");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_unique),
        cmocka_unit_test(no_later_key_is_in_the_table),
        cmocka_unit_test(defaults_are_values),
        cmocka_unit_test(heads_are_those_of_the_library),
        cmocka_unit_test(values_are_checked_by_type),
        cmocka_unit_test(suggestions),
    };
    return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
