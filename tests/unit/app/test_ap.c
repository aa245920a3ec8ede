// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Evaluation of detections through the public header; the command's tests have what files may look like.

#include <framemill/ap.h>
#include <framemill/model.h>

#include "../testing.h"

#include "base/alloc.h"

#include <sys/stat.h>

#define XML(objects)                                                                                         \
    "<?xml version=\"1.0\"?>\n<annotation><filename>x.jpg</filename>" objects "</annotation>\n"
#define THING(name, hard)                                                                                    \
    "<object><name>" name "</name><difficult>" hard                                                          \
    "</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>10</xmax><ymax>10</ymax></bndbox></object>"

static void put(const char *dir, const char *name, const char *text)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

typedef struct places {
    char *dir;
    char xml[512], coco[512], lines[512], list[512], map[512];
} places;

static places some_files(void)
{
    places p = {.dir = make_dir()};
    snprintf(p.xml, sizeof p.xml, "%s/xml", p.dir);
    snprintf(p.coco, sizeof p.coco, "%s/gt.json", p.dir);
    snprintf(p.lines, sizeof p.lines, "%s/lines", p.dir);
    snprintf(p.list, sizeof p.list, "%s/list.json", p.dir);
    snprintf(p.map, sizeof p.map, "%s/map.txt", p.dir);
    assert_int_equal(mkdir(p.xml, 0777) | mkdir(p.lines, 0777), 0);
    put(p.xml, "a.xml", XML(THING("aeroplane", "0") THING("dog", "1")));
    put(p.xml, "b.xml", XML());
    put(p.dir, "gt.json",
        "{\"images\":[{\"id\":7,\"file_name\":\"x/a.jpg\"},{\"id\":3,\"file_name\":\"x/b.jpg\"}],"
        "\"categories\":[{\"id\":9,\"name\":\"aeroplane\"},{\"id\":2,\"name\":\"dog\"}],"
        "\"annotations\":[{\"id\":1,\"image_id\":7,\"category_id\":9,\"bbox\":[0,0,10,10],\"area\":80,"
        "\"iscrowd\":0}]}");
    put(p.lines, "a.jsonl",
        "{\"file\":\"a.jpg\",\"objects\":[{\"label\":\"Airplane\",\"score\":0.9,\"box\":[0,0,10,10]},"
        "{\"label\":\"hound\",\"score\":0.8,\"box\":[0,0,10,10]}]}\n\n");
    put(p.dir, "list.json", "[{\"image_id\":7,\"category_id\":9,\"bbox\":[0,0,10,10],\"score\":0.9}]");
    put(p.dir, "map.txt", "# words\nhound = dog\n");
    return p;
}

static fm_ap *evaluate(const char *gt, const char *result, fm_ap_format format, const char *map)
{
    fm_ap *ap = NULL;
    fm_error err = {0};
    fm_ap_opts opts = FM_AP_OPTS_INIT;
    opts.format = format;
    opts.labels_map = map;
    if (fm_ap_new(gt, result, &opts, &ap, &err) != FM_OK)
        fail_msg("%s", err.msg);
    return ap;
}

static void classes_labels_and_pictures(void **state)
{
    (void)state;
    places p = some_files();
    size_t missing = 0;
    fm_ap *ap = evaluate(p.xml, p.lines, FM_AP_VOC, NULL);
    assert_int_equal(fm_ap_count(ap), 2);
    assert_string_equal(fm_ap_get(ap, 0)->name, "aeroplane");
    assert_true(fm_ap_get(ap, 0)->labelled && !fm_ap_get(ap, 1)->labelled);
    assert_true(fm_ap_get(ap, 0)->voc_ap == 1 && fm_ap_get(ap, 0)->coco.ap > 1 - 1e-12);
    assert_int_equal(fm_ap_get(ap, 1)->ignored, 1);
    assert_string_equal(fm_ap_unknown(ap, 0)->name, "hound");
    assert_null(fm_ap_unknown(ap, 1));
    assert_null(fm_ap_get(ap, 2));
    assert_int_equal(fm_ap_pictures(ap, &missing), 2);
    assert_int_equal(missing, 1);
    fm_ap_free(&ap);
    assert_null(ap);
    ap = evaluate(p.xml, p.lines, FM_AP_VOC, p.map);
    assert_true(fm_ap_get(ap, 1)->labelled && fm_ap_get(ap, 1)->detections == 1);
    assert_null(fm_ap_unknown(ap, 0));
    fm_ap_free(&ap);
    // COCO: by id; the list of results and the lines say the same.
    for (int i = 0; i < 2; i++) {
        ap = evaluate(p.coco, i ? p.list : p.lines, FM_AP_COCO, NULL);
        assert_string_equal(fm_ap_get(ap, 0)->name, "dog");
        assert_true(fm_ap_get(ap, 1)->coco.ap50 > 1 - 1e-12 && fm_ap_get(ap, 1)->voc_ap == -1);
        assert_int_equal(fm_ap_all(ap)->point.tp, 1);
        fm_ap_free(&ap);
    }
    fm_ap_free(&ap);
    fm_ap_free(NULL);
    drop_dir(p.dir);
}

static void options_are_checked(void **state)
{
    (void)state;
    const fm_ap_opts wrong[] = {{.at = 0.5}, {.struct_size = sizeof(fm_ap_opts), .format = (fm_ap_format)2},
        {.struct_size = sizeof(fm_ap_opts), .min_objects = -1},
        {.struct_size = sizeof(fm_ap_opts), .at = __builtin_nan("")}};
    fm_ap *ap = NULL;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        fm_error err = {0};
        assert_int_equal(fm_ap_new("gt", "result", &wrong[i], &ap, &err), FM_INVAL);
        assert_non_null(strstr(err.msg, "fm_ap"));
    }
    assert_int_equal(fm_ap_new(NULL, "r", NULL, &ap, NULL), FM_INVAL);
    assert_int_equal(fm_ap_new("g", NULL, NULL, &ap, NULL), FM_INVAL);
    assert_int_equal(fm_ap_new("g", "r", NULL, NULL, NULL), FM_INVAL);
    assert_int_equal(fm_ap_new("/nowhere/g", "r", NULL, &ap, NULL), FM_NOTFOUND);
    assert_null(ap);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    places p = some_files();
    for (int which = 0; which < 3; which++) {
        for (uint64_t nth = 1;; nth++) {
            fm_ap *ap = NULL;
            fm_error err = {0};
            char *json = NULL;
            fm_ap_opts opts = FM_AP_OPTS_INIT;
            opts.format = which == 0 ? FM_AP_VOC : FM_AP_COCO;
            opts.labels_map = which == 0 ? p.map : NULL;
            fm__alloc_fail_at(nth, false);
            fm_status st =
                fm_ap_new(which == 0 ? p.xml : p.coco, which == 2 ? p.list : p.lines, &opts, &ap, &err);
            st = st == FM_OK ? fm_ap_json(ap, &json, &err) : st;
            fm__alloc_fail_at(0, false);
            fm_free(json);
            fm_ap_free(&ap);
            if (st == FM_OK) {
                assert_true(nth > 30);
                break;
            }
            if (st != FM_NOMEM)
                fail_msg("allocation %d: %s", (int)nth, err.msg);
        }
    }
    drop_dir(p.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_labels_and_pictures),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(survives_every_failed_allocation),
    };
    return cmocka_run_group_tests_name("app/ap", tests, NULL, NULL);
}
