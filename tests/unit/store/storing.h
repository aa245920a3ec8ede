// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Records for tests of the store, whose contents follow from their number, and a check of a whole store that
 * looks at its files with SQLite and plain reads alone. */
#ifndef FM_TESTS_UNIT_STORE_STORING_H
#define FM_TESTS_UNIT_STORE_STORING_H

#include "../testing.h"

#include "base/alloc.h"
#include "base/crc32c.h"
#include "frame/frame.h"
#include "store/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIM = 16, OBJECTS = 3 };

static inline fm_store *open_store(fm_store_opts o)
{
    fm_store *s = NULL;
    fm_error err = {0};
    o.free_floor = o.free_floor ? o.free_floor : -1;
    if (fm_store_open(&o, &s, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    return s;
}

static inline fm_store *open_dir(const char *dir)
{
    fm_store_opts o = FM_STORE_OPTS_INIT;
    o.dir = dir;
    return open_store(o);
}

static inline void close_ok(fm_store *s)
{
    fm_error err = {0};
    if (fm_store_close(&s, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
}

/** A JPEG of bytes as the store sees it: both ends, and something between that follows from the number. */
static inline size_t fake_jpeg(uint64_t number, uint8_t *out, size_t cap)
{
    uint64_t r = number + 1;
    size_t n = 200 + (size_t)rnd_below(&r, (int)cap - 200);
    for (size_t i = 0; i < n; i++) {
        out[i] = (uint8_t)rnd(&r);
    }
    memcpy(out, "\xff\xd8", 2);
    memcpy(out + n - 2, "\xff\xd9", 2);
    return n;
}

static inline float feature_at(uint64_t number, int object, int i)
{
    uint64_t r = number * 1000 + (uint64_t)object * 100 + (uint64_t)i;
    return (float)rnd_below(&r, 2001) / 1000.0f - 1.0f;
}

/** Puts frame `number` of a run. Every fifth ends a track with a best view of it. */
static inline fm_status put_frame(
    fm_store *s, int64_t run, uint64_t number, fm_store_done_fn done, void *opaque, fm_error *err)
{
    uint8_t jpeg[4096], crop[1024];
    float features[OBJECTS][DIM];
    fm_store_object objects[OBJECTS];
    fm_store_view view = {.track = (int64_t)number / 5 + 1,
        .frame = number,
        .score = 0.5f,
        .width = 8,
        .height = 8,
        .box = {1, 2, 9, 10},
        .jpeg = crop,
        .jpeg_bytes = fake_jpeg(number + 1000000, crop, sizeof(crop)),
        .ended = true};
    for (int k = 0; k < OBJECTS; k++) {
        for (int i = 0; i < DIM; i++) {
            features[k][i] = feature_at(number, k, i);
        }
        objects[k] = (fm_store_object){.box = {(float)k, 2, (float)k + 8, 10},
            .score = 0.25f * (float)(k + 1),
            .class_id = k,
            .label = k ? "car" : "person",
            .track = k ? 0 : (int64_t)number / 5 + 1,
            .feature = features[k],
            .meta = k == 2 ? "{\"colour\":\"red\"}" : NULL};
    }
    fm_store_record r = FM_STORE_RECORD_INIT;
    r.run = run;
    r.frame = number;
    r.pts_ns = (int64_t)number * 40000000;
    r.width = 64;
    r.height = 48;
    r.jpeg = jpeg;
    r.jpeg_bytes = fake_jpeg(number, jpeg, sizeof(jpeg));
    r.objects = objects;
    r.object_count = OBJECTS;
    r.feature_dim = DIM;
    r.feature_model = "m";
    r.views = &view;
    r.view_count = number % 5 == 4;
    return fm_store_put(s, &r, done, opaque, err);
}

static inline int64_t ask_int(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK || sqlite3_step(q) != SQLITE_ROW) {
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    }
    int64_t n = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return n;
}

static inline sqlite3 *open_db(const char *dir)
{
    char path[512];
    sqlite3 *db = NULL;
    snprintf(path, sizeof(path), "%s/store.db", dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    return db;
}

static inline void exec_ok(sqlite3 *db, const char *sql)
{
    char *why = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK) {
        fail_msg("%s: %s", sql, why);
    }
}

/** Every picture's row against its bytes; returns how many. With `exact`, files hold nothing else either. */
static inline int64_t check_whole(const char *dir, bool exact)
{
    sqlite3 *db = open_db(dir);
    sqlite3_stmt *q = NULL;
    int64_t n = 0;
    char path[512];
    assert_int_equal(
        ask_int(db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
    assert_int_equal(
        ask_int(db, "SELECT count(*) FROM detections WHERE frame_id NOT IN (SELECT id FROM frames)"), 0);
    assert_int_equal(
        ask_int(db, "SELECT count(*) FROM frames f WHERE (SELECT count(*) FROM detections WHERE frame_id ="
                    " f.id) <> 3 OR (SELECT count(*) FROM features WHERE frame_id = f.id) <> 3"),
        0);
    assert_int_equal(
        ask_int(db, "SELECT count(*) FROM pictures WHERE id NOT IN (SELECT picture_id FROM frames UNION"
                    " SELECT picture_id FROM tracks WHERE picture_id IS NOT NULL)"),
        0);
    assert_int_equal(
        sqlite3_prepare_v2(db, "SELECT segment_id, offset, length, crc32c FROM pictures", -1, &q, NULL),
        SQLITE_OK);
    for (; sqlite3_step(q) == SQLITE_ROW; n++) {
        uint8_t buf[8192];
        int64_t length = sqlite3_column_int64(q, 2);
        snprintf(path, sizeof(path), "%s/segments/%08lld.seg", dir, (long long)sqlite3_column_int64(q, 0));
        int fd = open(path, O_RDONLY);
        assert_true(fd >= 0 && length <= (int64_t)sizeof(buf));
        assert_int_equal(pread(fd, buf, (size_t)length, sqlite3_column_int64(q, 1)), length);
        assert_int_equal(fm__crc32c(0, buf, (size_t)length), sqlite3_column_int64(q, 3));
        close(fd);
    }
    sqlite3_finalize(q);
    if (exact) {
        snprintf(path, sizeof(path), "%s/segments", dir);
        DIR *d = opendir(path);
        assert_non_null(d);
        for (struct dirent *e; (e = readdir(d));) {
            if (e->d_name[0] == '.') {
                continue;
            }
            char sql[128];
            struct stat info;
            snprintf(path, sizeof(path), "%s/segments/%s", dir, e->d_name);
            assert_int_equal(stat(path, &info), 0);
            snprintf(sql, sizeof(sql), "SELECT bytes FROM segments WHERE id = %d", atoi(e->d_name));
            assert_int_equal(ask_int(db, sql), info.st_size);
        }
        closedir(d);
        // 160 bytes of head, then 64 and the JPEG for each picture: nothing lacks a row.
        assert_int_equal(
            ask_int(db, "SELECT count(*) FROM segments s WHERE bytes <> 160 + (SELECT sum(length + 64) FROM"
                        " pictures WHERE segment_id = s.id)"),
            0);
    }
    sqlite3_close(db);
    return n;
}

static inline void count_damage(const char *line, void *opaque)
{
    if (getenv("FM_SHOW_DAMAGE")) {
        print_message("%s\n", line);
    }
    ++*(int *)opaque;
}

static inline uint64_t damages_of(const char *dir)
{
    fm_store_opts o = FM_STORE_OPTS_INIT;
    fm_error err = {0};
    uint64_t n = 0;
    int lines = 0;
    o.dir = dir;
    o.read_only = true;
    fm_store *s = open_store(o);
    if (fm_store_verify(s, count_damage, &lines, &n, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    assert_int_equal(lines, n);
    close_ok(s);
    return n;
}

#endif
