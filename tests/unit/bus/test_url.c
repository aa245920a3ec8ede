// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Addresses of Redis: what each part becomes, what is refused, and that no message shows a secret.

#include "../testing.h"

#include "base/alloc.h"
#include "bus/url.h"

static void check_text(const char *got, const char *want)
{
    if (want) {
        assert_non_null(got);
        assert_string_equal(got, want);
    } else {
        assert_null(got);
    }
}

static void takes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host, *path, *user, *password, *shown;
        int port, db;
        bool tls;
    } cases[] = {
        {"redis://h", "h", NULL, NULL, NULL, "redis://h", 6379, 0, false},
        {"redis://h/", "h", NULL, NULL, NULL, "redis://h/", 6379, 0, false},
        {"redis://h.example:7000/12", "h.example", NULL, NULL, NULL, "redis://h.example:7000/12", 7000, 12,
            false},
        {"rediss://u:pw@h", "h", NULL, "u", "pw", "rediss://***@h", 6379, 0, true},
        {"redis://:pw@h:1", "h", NULL, NULL, "pw", "redis://***@h:1", 1, 0, false},
        {"redis://u@h", "h", NULL, "u", NULL, "redis://***@h", 6379, 0, false},
        {"redis://a%40b:p%2Fw%3a%25@h", "h", NULL, "a@b", "p/w:%", "redis://***@h", 6379, 0, false},
        {"redis://u:p@w@h", "h", NULL, "u", "p@w", "redis://***@h", 6379, 0, false},
        {"redis://u:@h", "h", NULL, "u", "", "redis://***@h", 6379, 0, false},
        {"redis://[::1]:6380/1", "::1", NULL, NULL, NULL, "redis://[::1]:6380/1", 6380, 1, false},
        {"redis://[fe80::1]", "fe80::1", NULL, NULL, NULL, "redis://[fe80::1]", 6379, 0, false},
        {"unix:///run/r.sock", NULL, "/run/r.sock", NULL, NULL, "unix:///run/r.sock", 0, 0, false},
        {"unix://u:p@/run/r?db=3", NULL, "/run/r", "u", "p", "unix://***@/run/r?db=3", 0, 3, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        fm_bus_url u;
        fm_error err = {0};
        if (fm__bus_url_parse(cases[i].text, &u, &err) != FM_OK) {
            fail_msg("%s: %s", cases[i].text, err.msg);
        }
        check_text(u.host, cases[i].host);
        check_text(u.path, cases[i].path);
        check_text(u.user, cases[i].user);
        check_text(u.password, cases[i].password);
        check_text(u.shown, cases[i].shown);
        assert_int_equal(u.port, cases[i].port);
        assert_int_equal(u.db, cases[i].db);
        assert_int_equal(u.tls, cases[i].tls);
        fm__bus_url_done(&u);
    }
}

static void refuses(void **state)
{
    (void)state;
    static const char *const cases[] = {"", "h", "redis:", "redis:/h", "redis://", "redis://:6379",
        "redis://h:0", "redis://h:65536", "redis://h:x", "redis://h:", "redis://h/x", "redis://h/-1",
        "redis://h/1/2", "redis://h?db=1", "redis://u:s3cr3t@", "redis://u:s3cr3t%0@h",
        "redis://u:s3cr3t%00@h", "redis://u:s3cr3t%zz@h", "redis://[::1", "redis://[::1]x", "redis://h h",
        "REDIS://h", "http://h", "unix://", "unix://rel/path", "unix:///p?db=", "unix:///p?db=x",
        "unix:///p?other=1", "redis://u:s3cr3t/1@h:99999"};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        fm_bus_url u;
        fm_error err = {0};
        if (fm__bus_url_parse(cases[i], &u, &err) == FM_OK) {
            fail_msg("'%s' was taken", cases[i]);
        }
        assert_int_equal(err.status, FM_INVAL);
        assert_null(strstr(err.msg, "s3cr3t"));
    }
    char longer[200] = "unix:///";
    memset(longer + 8, 'x', sizeof(longer) - 9);
    fm_bus_url u;
    assert_int_equal(fm__bus_url_parse(longer, &u, NULL), FM_INVAL);
}

static void every_failed_allocation_is_survived(void **state)
{
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        fm_bus_url u;
        fm_error err = {0};
        fm__alloc_fail_at(nth, false);
        fm_status st = fm__bus_url_parse("redis://u:p@h:1/2", &u, &err);
        fm__alloc_fail_at(0, false);
        if (st == FM_OK) {
            fm__bus_url_done(&u);
            assert_true(nth > 3);
            return;
        }
        assert_true(err.msg[0] != 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes),
        cmocka_unit_test(refuses),
        cmocka_unit_test(every_failed_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
