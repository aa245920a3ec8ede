// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The tuning file: what was put in is found for the same machine, model and version, and refused, with the
// reason, for any other; damaged files are errors and stay as they are.

#include "../testing.h"

#include "base/file.h"
#include "base/str.h"
#include "tune/file.h"

static fm__tune_key a_key(void)
{
    return (fm__tune_key){.cpu = "A \"quoted\" CPU: @ 2 GHz",
        .cores = 8,
        .level = "avx2",
        .device = "cpu",
        .model = "some/model.onnx",
        .digest = "0011",
        .precision = "fp32",
        .framemill = "0.1.0",
        .backend = "openvino 1"};
}

static fm__tune_entry an_entry(int batch)
{
    return (fm__tune_entry){.key = a_key(),
        .objective = "throughput",
        .batch = batch,
        .slots = 3,
        .threads = 8,
        .fps = 12.5,
        .p99_ms = 30.25,
        .memory_bytes = 1 << 20,
        .time = "2026-01-02T03:04:05.000Z"};
}

static char *in_folder(const char *dir, const char *name)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", dir, name) > 0);
    return path;
}

static void what_is_put_is_found(void **state)
{
    (void)state;
    char *dir = make_dir(), *path = in_folder(dir, "sub/tuning.yaml");
    fm__tune_entry e = an_entry(4), got;
    fm__tune_key key = a_key();
    fm_error err;
    assert_int_equal(fm__tune_file_find(path, &key, &got, &err), FM_NOTFOUND);
    assert_int_equal(fm__tune_file_put(path, &e, &err), FM_OK);
    assert_int_equal(fm__tune_file_find(path, &key, &got, &err), FM_OK);
    assert_memory_equal(&got.key, &e.key, sizeof(e.key));
    assert_true(got.batch == 4 && got.slots == 3 && got.threads == 8 && got.memory_bytes == 1 << 20);
    assert_true(got.fps == 12.5 && got.p99_ms == 30.25);
    assert_string_equal(got.time, e.time);
    free(path);
    drop_dir(dir);
}

static void an_entry_replaces_its_own_and_no_other(void **state)
{
    (void)state;
    char *dir = make_dir(), *path = in_folder(dir, "t.yaml");
    fm__tune_entry e = an_entry(4), other = an_entry(16), got;
    fm__tune_key key = a_key();
    snprintf(other.key.model, sizeof(other.key.model), "other");
    assert_int_equal(fm__tune_file_put(path, &e, NULL), FM_OK);
    assert_int_equal(fm__tune_file_put(path, &other, NULL), FM_OK);
    e.batch = 8;
    snprintf(e.key.digest, sizeof(e.key.digest), "2233"); // the model's file is another now
    assert_int_equal(fm__tune_file_put(path, &e, NULL), FM_OK);
    assert_int_equal(fm__tune_file_find(path, &e.key, &got, NULL), FM_OK);
    assert_int_equal(got.batch, 8);
    assert_int_equal(fm__tune_file_find(path, &key, &got, NULL), FM_BUSY);
    assert_int_equal(fm__tune_file_find(path, &other.key, &got, NULL), FM_OK);
    assert_int_equal(got.batch, 16);
    free(path);
    drop_dir(dir);
}

// Each part of the key in turn.
static void another_machine_or_version_is_refused_with_the_reason(void **state)
{
    (void)state;
    char *dir = make_dir(), *path = in_folder(dir, "t.yaml");
    fm__tune_entry e = an_entry(4), got;
    assert_int_equal(fm__tune_file_put(path, &e, NULL), FM_OK);
    for (int part = 0; part < 6; part++) {
        fm__tune_key k = a_key();
        char *texts[] = {k.cpu, k.level, k.digest, k.framemill, k.backend};
        const char *const names[] = {
            "processor", "SIMD level", "model file", "framemill", "backend", "cores"};
        fm_error err = {0};
        if (part < 5) {
            strcpy(texts[part], "new");
        } else {
            k.cores = 4;
        }
        assert_int_equal(fm__tune_file_find(path, &k, &got, &err), FM_BUSY);
        assert_non_null(strstr(err.msg, names[part]));
    }
    for (int part = 0; part < 3; part++) { // what names an entry: there is just none
        fm__tune_key k = a_key();
        char *texts[] = {k.model, k.device, k.precision};
        strcpy(texts[part], "new");
        assert_int_equal(fm__tune_file_find(path, &k, &got, NULL), FM_NOTFOUND);
    }
    free(path);
    drop_dir(dir);
}

static void damaged_files_are_errors_and_stay(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "[]", "version: 1\n", "version: 2\nentries: []\n",
        "version: 1\nentries: {}\n", "version: 1\nentries: [3]\n", "version: 1\nentries: [{batch: 1}]\n",
        "version: [", "\x01\x02"};
    char *dir = make_dir(), *path = in_folder(dir, "t.yaml");
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        fm__tune_entry e = an_entry(4), got;
        fm_error err = {0};
        char *after = NULL;
        assert_int_equal(fm__file_replace(path, texts[i], strlen(texts[i]), NULL), FM_OK);
        assert_int_not_equal(fm__tune_file_find(path, &e.key, &got, &err), FM_OK);
        assert_int_not_equal(err.status, FM_NOTFOUND);
        assert_true(err.msg[0] != 0);
        assert_int_not_equal(fm__tune_file_put(path, &e, &err), FM_OK);
        assert_int_equal(fm__file_read(FM_TAG_TUNE, path, 1000, &after, NULL, NULL), FM_OK);
        assert_string_equal(after, texts[i]);
        fm__free(after);
    }
    free(path);
    drop_dir(dir);
}

static void a_folder_that_cannot_be_made_is_an_error(void **state)
{
    (void)state;
    char *dir = make_dir(), *file = in_folder(dir, "file"), *path = in_folder(dir, "file/t.yaml");
    fm__tune_entry e = an_entry(4);
    fm_error err = {0};
    assert_int_equal(fm__file_replace(file, "x", 1, NULL), FM_OK);
    assert_int_not_equal(fm__tune_file_put(path, &e, &err), FM_OK);
    assert_non_null(strstr(err.msg, "file"));
    free(path);
    free(file);
    drop_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_is_found),
        cmocka_unit_test(an_entry_replaces_its_own_and_no_other),
        cmocka_unit_test(another_machine_or_version_is_refused_with_the_reason),
        cmocka_unit_test(damaged_files_are_errors_and_stay),
        cmocka_unit_test(a_folder_that_cannot_be_made_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
