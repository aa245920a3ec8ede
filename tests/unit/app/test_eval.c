// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Evaluation of files through the public header; the command's tests have the layouts of folders.

#include <framemill/eval.h>
#include <framemill/model.h>

#include "../testing.h"

#include "base/alloc.h"

#include <sys/stat.h>

#define LINES "1,1,0,0,10,10,1,-1,-1,-1\n2,1,0,0,10,10,1,-1,-1,-1\n"

static void put(const char *dir, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

// Two sequences of ground truth and their results in one folder: a is right, b has a malformed line.
static char *two_sequences(char gt[512], char result[512])
{
    char *dir = make_dir();
    snprintf(gt, 512, "%s/gt", dir);
    snprintf(result, 512, "%s/result", dir);
    assert_int_equal(mkdir(gt, 0777) | mkdir(result, 0777), 0);
    put(gt, "a.txt", LINES);
    put(gt, "b.txt", LINES);
    put(result, "a.mot.txt", LINES);
    put(result, "b.mot.txt", LINES "3,x\n");
    return dir;
}

static void sequences_errors_and_what_is_combined(void **state)
{
    (void)state;
    char gt[512], result[512];
    char *dir = two_sequences(gt, result), *json = NULL;
    fm_eval *e = NULL;
    assert_int_equal(fm_eval_new(gt, result, NULL, &e, NULL), FM_OK);
    assert_int_equal(fm_eval_count(e), 2);
    assert_int_equal(fm_eval_failed(e), 1);
    assert_string_equal(fm_eval_get(e, 0)->name, "a");
    assert_null(fm_eval_get(e, 0)->error);
    assert_non_null(strstr(fm_eval_get(e, 1)->error, "b.mot.txt:3: "));
    assert_int_equal(fm_eval_get(e, 1)->metrics.gt_boxes, 0);
    assert_null(fm_eval_get(e, 2));
    assert_int_equal(fm_eval_combined(e)->gt_boxes, 2);
    assert_true(fm_eval_combined(e)->mota == 1 && fm_eval_combined(e)->hota > 1 - 1e-12);
    assert_int_equal(fm_eval_json(e, &json, NULL), FM_OK);
    assert_non_null(strstr(json, "\"combined\":{\"error\":null,\"hota\":1.000000000,"));
    assert_non_null(strstr(json, "b.mot.txt:3: "));
    fm_free(json);
    fm_eval_free(&e);
    assert_null(e);
    fm_eval_free(&e);
    fm_eval_free(NULL);
    drop_dir(dir);
}

static void options_are_checked(void **state)
{
    (void)state;
    const fm_eval_opts wrong[] = {
        {.iou = 0.5},
        {.struct_size = sizeof(fm_eval_opts), .iou = 1.5},
        {.struct_size = sizeof(fm_eval_opts), .iou = -1},
        {.struct_size = sizeof(fm_eval_opts), .rules = (fm_eval_rules)7},
        {.struct_size = sizeof(fm_eval_opts), .format = (fm_eval_format)-1},
    };
    fm_eval *e = NULL;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        fm_error err = {0};
        assert_int_equal(fm_eval_new("gt", "result", &wrong[i], &e, &err), FM_INVAL);
        assert_non_null(strstr(err.msg, "fm_eval"));
    }
    assert_int_equal(fm_eval_new(NULL, "r", NULL, &e, NULL), FM_INVAL);
    assert_int_equal(fm_eval_new("g", NULL, NULL, &e, NULL), FM_INVAL);
    assert_int_equal(fm_eval_new("g", "r", NULL, NULL, NULL), FM_INVAL);
    assert_int_equal(fm_eval_new("/nowhere/g", "r", NULL, &e, NULL), FM_NOTFOUND);
    assert_null(e);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    char gt[512], result[512];
    char *dir = two_sequences(gt, result);
    for (uint64_t nth = 1;; nth++) {
        fm_eval *e = NULL;
        fm_error err = {0};
        char *json = NULL;
        fm__alloc_fail_at(nth, false);
        fm_status st = fm_eval_new(gt, result, NULL, &e, &err);
        st = st == FM_OK ? fm_eval_json(e, &json, &err) : st;
        fm__alloc_fail_at(0, false);
        fm_free(json);
        fm_eval_free(&e);
        if (st == FM_OK) {
            assert_true(nth > 50);
            break;
        }
        if (st != FM_NOMEM)
            fail_msg("allocation %d: %s", (int)nth, err.msg);
    }
    drop_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequences_errors_and_what_is_combined),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
