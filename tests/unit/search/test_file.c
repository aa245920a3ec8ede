// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Files of an index: what was saved is there again, in one save or in many; saves cut off; flipped bytes
// anywhere are found before they answer; files of another kind, version, dimension are told apart; removal
// survives.

#include "../testing.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "search/index.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIM = 24, N = 2600 };

static float rows[N * DIM];
static int64_t ids[N];
static const fm__index_opts opts = {.dim = DIM, .threads = 2};

static void fill(void)
{
    uint64_t rng = 11;
    for (size_t i = 0; i < N * DIM; i++) {
        rows[i] = (float)rnd_below(&rng, 1000) / 100;
    }
    for (size_t i = 0; i < N; i++) {
        ids[i] = 3 * (int64_t)i + 1;
    }
}

static char *in(const char *dir, const char *name)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", dir, name) > 0);
    return path;
}

static fm__index *open_ok(const char *path)
{
    fm__index *ix = NULL;
    fm_error err = {0};
    if (fm__index_open(path, &opts, &ix, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    return ix;
}

static void append(fm__index *ix, size_t from, size_t to)
{
    assert_int_equal(fm__index_append(ix, ids + from, rows + from * DIM, to - from, NULL), FM_OK);
}

static void save(fm__index *ix)
{
    fm_error err = {0};
    if (fm__index_save(ix, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
}

// Each of these finds itself at distance 0, or is not there.
static void check_there(fm__index *ix, size_t from, size_t to, bool there)
{
    for (size_t i = from; i < to; i += 7) {
        fm__hit hit = {0};
        size_t count = 0;
        assert_int_equal(fm__index_search(ix, rows + i * DIM, 1, 1, NULL, 0, &hit, &count, NULL), FM_OK);
        assert_int_equal(there, count == 1 && hit.id == ids[i] && hit.distance == 0);
    }
}

static void test_saves(void **state)
{
    (void)state;
    char *dir = make_dir(), *path = in(dir, "a.index");
    size_t at = 0;
    const size_t steps[] = {1, 15, 900, 1024, 1100, 2048, 2049, N};
    for (size_t s = 0; s < COUNT_OF(steps); s++) {
        fm__index *ix = open_ok(path);
        assert_int_equal(fm__index_count(ix), at);
        append(ix, at, steps[s]);
        append(ix, steps[s], steps[s]);
        save(ix);
        save(ix);
        at = steps[s];
        check_there(ix, 0, at, true); // after blocks went from memory to the file
        assert_int_equal(fm__index_verify(ix, NULL), FM_OK);
        if (s % 2 == 0) {
            fm__index_opts wrong = opts;
            wrong.read_only = true;
            fm__index *reader = NULL;
            assert_int_equal(fm__index_open(path, &wrong, &reader, NULL), FM_OK);
            check_there(reader, 0, at, true);
            assert_int_equal(fm__index_save(reader, NULL), FM_INVAL);
            assert_int_equal(fm__index_append(reader, ids, rows, 1, NULL), FM_INVAL);
            fm__index_close(&reader);
        }
        fm__index_close(&ix);
    }
    fm__index *ix = open_ok(path);
    assert_int_equal(fm__index_last_id(ix), ids[N - 1]);
    check_there(ix, 0, N, true);
    fm__index_close(&ix);
    free(path);
    drop_dir(dir);
}

static void test_removed(void **state)
{
    (void)state;
    char *dir = make_dir(), *path = in(dir, "a.index");
    fm__index *ix = open_ok(path);
    append(ix, 0, N);
    save(ix);
    assert_int_equal(fm__index_remove(ix, ids, 200, NULL, NULL), FM_OK);
    save(ix);
    fm__index_close(&ix);
    ix = open_ok(path);
    assert_int_equal(fm__index_count(ix), N - 200);
    check_there(ix, 0, 200, false);
    check_there(ix, 200, N, true);
    // Many: the file is written anew, shorter, and the last id stays though it is gone.
    int64_t before = fm__file_size(path);
    assert_int_equal(fm__index_remove(ix, ids + 1000, N - 1000, NULL, NULL), FM_OK);
    save(ix);
    assert_true(fm__file_size(path) < before);
    check_there(ix, 200, 1000, true);
    check_there(ix, 1000, N, false);
    assert_int_equal(fm__index_last_id(ix), ids[N - 1]);
    fm__index_close(&ix);
    ix = open_ok(path);
    assert_int_equal(fm__index_count(ix), 800);
    assert_int_equal(fm__index_last_id(ix), ids[N - 1]);
    check_there(ix, 200, 1000, true);
    fm__index_close(&ix);
    free(path);
    drop_dir(dir);
}

static void patch(const char *path, int64_t at, const void *data, size_t len)
{
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0 && pwrite(fd, data, len, at) == (ssize_t)len);
    close(fd);
}

static unsigned char byte_at(const char *path, int64_t at)
{
    unsigned char b = 0;
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && pread(fd, &b, 1, at) == 1);
    close(fd);
    return b;
}

// Opening, verifying: does any of it say FORMAT? A search must say so too, or answer what is right.
static bool is_found(const char *path)
{
    fm__index *ix = NULL;
    fm_error err = {0};
    fm_status st = fm__index_open(path, &opts, &ix, &err);
    if (st != FM_OK) {
        assert_true(st == FM_FORMAT || st == FM_INVAL);
        assert_true(err.msg[0] != 0);
        return true;
    }
    for (size_t i = 0; i < N && ids[i] <= fm__index_last_id(ix); i += 400) { // an older state is shorter
        fm__hit hit = {0};
        size_t count = 0;
        st = fm__index_search(ix, rows + i * DIM, 1, 1, NULL, 0, &hit, &count, &err);
        assert_true(st == FM_FORMAT || (count == 1 && hit.id == ids[i] && hit.distance == 0));
    }
    bool found = fm__index_verify(ix, &err) == FM_FORMAT || fm__index_count(ix) != N;
    fm__index_close(&ix);
    return found;
}

static void test_flipped_bytes(void **state)
{
    (void)state;
    char *dir = make_dir(), *path = in(dir, "a.index");
    fm__index *ix = open_ok(path);
    append(ix, 0, 1500);
    save(ix); // two saves: the older header slot must not help
    append(ix, 1500, N);
    save(ix);
    fm__index_close(&ix);
    assert_false(is_found(path));
    int64_t size = fm__file_size(path);
    uint64_t rng = 12;
    for (int round = 0; round < 300; round++) {
        int64_t at = 8192 + (int64_t)(rnd(&rng) % (uint64_t)(size - 8192));
        unsigned char old = byte_at(path, at), flipped = (unsigned char)(old ^ (1U << rnd_below(&rng, 8)));
        patch(path, at, &flipped, 1);
        bool found = is_found(path);
        // Only padding, and places for vectors that are not there, may be missed.
        if (!found) {
            int64_t block_size = (size - 8192) / 3, in_block = (at - 8192) % block_size;
            bool is_padding = in_block >= block_size - 4096 || (at - 8192) / block_size == 2;
            if (!is_padding) {
                fail_msg("a flip at %lld is not found", (long long)at);
            }
        }
        patch(path, at, &old, 1);
    }
    assert_false(is_found(path));
    // Both header slots: the newer one gone is the older state or an error, never a wrong answer.
    for (int i = 0; i < 64; i++) {
        for (int slot = 0; slot < 2; slot++) {
            unsigned char old = byte_at(path, slot * 4096 + i), flipped = old ^ 0x10;
            patch(path, slot * 4096 + i, &flipped, 1);
            (void)is_found(path); // checks the answers
            patch(path, slot * 4096 + i, &old, 1);
        }
    }
    free(path);
    drop_dir(dir);
}

// A save that was cut off: the last block torn, the header old or new.
static void test_torn_last_block(void **state)
{
    (void)state;
    char *dir = make_dir(), *path = in(dir, "a.index");
    fm__index *ix = open_ok(path);
    append(ix, 0, 1500);
    save(ix);
    fm__index_close(&ix);
    int64_t block_size = (fm__file_size(path) - 8192) / 2;
    const char torn[] = "torn";
    patch(path, 8192 + block_size + 30000, torn, 4);
    ix = open_ok(path);
    assert_int_equal(fm__index_count(ix), 1024);
    assert_int_equal(fm__index_last_id(ix), ids[1023]);
    append(ix, 1024, N); // brought up to date again
    save(ix);
    check_there(ix, 0, N, true);
    fm__index_close(&ix);
    assert_false(is_found(path));
    free(path);
    drop_dir(dir);
}

static void test_other_files(void **state)
{
    (void)state;
    char *dir = make_dir(), *path = in(dir, "a.index"), *dead = in(dir, "a.index.dead");
    fm__index *ix = NULL;
    fm_error err = {0};
    assert_int_equal(fm__file_replace(path, "short", 5, NULL), FM_OK);
    assert_int_equal(fm__index_open(path, &opts, &ix, &err), FM_FORMAT);
    fm__index_opts fresh = opts;
    fresh.fresh = true;
    assert_int_equal(fm__index_open(path, &fresh, &ix, &err), FM_OK); // rebuilt over it
    append(ix, 0, 1200);
    save(ix);
    fm__index_close(&ix);
    ix = open_ok(path);
    check_there(ix, 0, 1200, true);
    assert_int_equal(fm__index_remove(ix, ids, 10, NULL, NULL), FM_OK);
    save(ix);
    fm__index_close(&ix);

    fm__index_opts other = opts;
    other.dim = DIM + 1;
    assert_int_equal(fm__index_open(path, &other, &ix, &err), FM_INVAL);
    assert_non_null(strstr(err.msg, "dimension 24"));
    other = opts;
    other.metric = FM_METRIC_COSINE;
    assert_int_equal(fm__index_open(path, &other, &ix, &err), FM_INVAL);

    unsigned char flipped = byte_at(dead, 30) ^ 1;
    patch(dead, 30, &flipped, 1);
    assert_int_equal(fm__index_open(path, &opts, &ix, &err), FM_FORMAT);
    assert_int_equal(unlink(dead), 0);

    assert_int_equal(truncate(path, 8192 + 4096), 0);
    assert_int_equal(fm__index_open(path, &opts, &ix, &err), FM_FORMAT);
    assert_non_null(strstr(err.msg, "shorter"));
    other = opts;
    other.read_only = true;
    assert_int_equal(unlink(path), 0);
    assert_int_equal(fm__index_open(path, &other, &ix, &err), FM_NOTFOUND);
    free(dead);
    free(path);
    drop_dir(dir);
}

static void test_newer_version(void **state)
{
    (void)state;
    char *dir = make_dir(), *path = in(dir, "a.index");
    fm__index *ix = open_ok(path);
    append(ix, 0, 5);
    save(ix);
    fm__index_close(&ix);
    for (int64_t slot = 0; slot < 2; slot++) {
        unsigned char h[64];
        int fd = open(path, O_RDWR);
        assert_true(fd >= 0 && pread(fd, h, 64, slot * 4096) == 64);
        close(fd);
        if (h[0] == 0) {
            continue; // never written
        }
        h[8] = 9;
        uint32_t sum = fm__crc32c(0, h, 60);
        memcpy(h + 60, &sum, 4);
        patch(path, slot * 4096, h, 64);
    }
    fm_error err = {0};
    assert_int_equal(fm__index_open(path, &opts, &ix, &err), FM_FORMAT);
    assert_non_null(strstr(err.msg, "version 9"));
    free(path);
    drop_dir(dir);
}

static void test_crc(void **state)
{
    (void)state;
    // RFC 3720, B.4
    unsigned char bytes[32];
    memset(bytes, 0, 32);
    assert_int_equal(fm__crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    assert_int_equal(fm__crc32c(0, bytes, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++) {
        bytes[i] = (unsigned char)i;
    }
    assert_int_equal(fm__crc32c(0, bytes, 32), 0x46dd794e);
    for (size_t i = 0; i <= 32; i++) {
        assert_int_equal(fm__crc32c(fm__crc32c(0, bytes, i), bytes + i, 32 - i), 0x46dd794e);
    }
}

int main(void)
{
    fill();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_saves),
        cmocka_unit_test(test_removed),
        cmocka_unit_test(test_flipped_bytes),
        cmocka_unit_test(test_torn_last_block),
        cmocka_unit_test(test_other_files),
        cmocka_unit_test(test_newer_version),
        cmocka_unit_test(test_crc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
