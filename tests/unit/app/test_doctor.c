// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The doctor tells what is there and never fails because something is not.

#include <framemill/doctor.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const fm_check *find(const fm_doctor *d, const char *group, const char *name)
{
    for (size_t i = 0; i < fm_doctor_count(d); i++) {
        const fm_check *c = fm_doctor_get(d, i);
        if (strcmp(c->group, group) == 0 && strcmp(c->name, name) == 0) {
            return c;
        }
    }
    fail_msg("no check %s/%s", group, name);
    return NULL;
}

static fm_doctor *look(const char *share, const char *models)
{
    fm_model_store_opts o = FM_MODEL_STORE_OPTS_INIT;
    fm_doctor *d = NULL;
    fm_error err = {0};
    o.share_dir = share;
    o.models_dir = models;
    if (fm_doctor_new(&o, &d, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    return d;
}

static void tells_what_is_there(void **state)
{
    (void)state;
    char share[1024];
    snprintf(share, sizeof(share), "%s/share/framemill", getenv("FM_SOURCE_ROOT"));
    fm_doctor *d = look(share, "/nowhere/models");
    assert_int_equal(find(d, "cpu", "cores")->state, FM_CHECK_OK);
    assert_true(atoi(find(d, "cpu", "cores")->text) >= 1);
    assert_int_equal(find(d, "libraries", "libav")->state, FM_CHECK_OK);
    assert_int_equal(find(d, "backends", "ref")->state, FM_CHECK_OK);
    assert_int_equal(find(d, "paths", "share")->state, FM_CHECK_OK);
    assert_int_equal(find(d, "models", "yolox-nano")->state, FM_CHECK_NOTE);
    assert_non_null(strstr(find(d, "models", "yolox-nano")->text, "framemill models fetch yolox-nano"));
    assert_string_equal(find(d, "models", "installed")->text, "superres-x2"); // comes with framemill
    assert_null(fm_doctor_get(d, fm_doctor_count(d)));
    fm_doctor_free(&d);
    assert_null(d);
    fm_doctor_free(&d);
}

static void a_missing_share_folder_is_bad_not_fatal(void **state)
{
    (void)state;
    fm_doctor *d = look("/nowhere/share", "/nowhere/models");
    assert_int_equal(find(d, "paths", "share")->state, FM_CHECK_BAD);
    fm_doctor_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_what_is_there),
        cmocka_unit_test(a_missing_share_folder_is_bad_not_fatal),
    };
    return cmocka_run_group_tests_name("doctor", tests, NULL, NULL);
}
