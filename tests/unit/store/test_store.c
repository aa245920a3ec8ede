// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The store: what goes in comes out; what is wrong is refused; what cannot be written is told, and the rest
// is whole.

#include "storing.h"

#include "store/schema.h"
#include "store/segment.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sys/wait.h>

typedef struct acks {
    pthread_mutex_t lock;
    int64_t ids[4096];
    int count, failed;
    fm_error err;
} acks;

static void on_ack(fm_status st, int64_t id, const fm_error *err, void *opaque)
{
    acks *a = opaque;
    pthread_mutex_lock(&a->lock);
    if (st == FM_OK) {
        a->ids[a->count++] = id;
    } else {
        a->failed++;
        a->err = *err;
    }
    pthread_mutex_unlock(&a->lock);
}

static void put_many(fm_store *s, int64_t run, uint64_t from, uint64_t count, acks *a)
{
    for (uint64_t i = from; i < from + count; i++) {
        fm_error err = {0};
        if (put_frame(s, run, i, a ? on_ack : NULL, a, &err) != FM_OK) {
            fail_msg("%s", err.msg);
        }
    }
    fm_error err = {0};
    assert_int_equal(fm_store_flush(s, &err), FM_OK);
}

static int64_t begin(fm_store *s, const char *name)
{
    int64_t run = 0;
    fm_error err = {0};
    if (fm_store_begin_run(s, name, NULL, &run, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    return run;
}

static void what_goes_in_comes_out(void **state)
{
    (void)state;
    char *dir = make_dir();
    acks a = {.lock = PTHREAD_MUTEX_INITIALIZER};
    fm_store *s = open_dir(dir);
    int64_t run = begin(s, "gate");
    put_many(s, run, 0, 100, &a);
    assert_int_equal(a.count, 100);
    for (int i = 1; i < 100; i++) {
        assert_true(a.ids[i] > a.ids[i - 1]);
    }
    // Read while it is open to write.
    for (int i = 0; i < 100; i += 7) {
        uint8_t want[4096];
        size_t n = fake_jpeg((uint64_t)i, want, sizeof(want)), got = 0;
        void *jpeg = NULL;
        fm_error err = {0};
        assert_int_equal(fm_store_frame_picture(s, a.ids[i], &jpeg, &got, &err), FM_OK);
        assert_int_equal(got, n);
        assert_memory_equal(jpeg, want, n);
        fm__free(jpeg);
    }
    uint8_t want[1024];
    size_t n = fake_jpeg(4 + 1000000, want, sizeof(want)), got = 0;
    void *jpeg = NULL;
    assert_int_equal(fm_store_track_picture(s, "gate", 1, &jpeg, &got, NULL), FM_OK);
    assert_int_equal(got, n);
    assert_memory_equal(jpeg, want, n);
    fm__free(jpeg);
    assert_int_equal(fm_store_track_picture(s, "gate", 999, &jpeg, &got, NULL), FM_NOTFOUND);
    fm_store_counts c;
    assert_int_equal(fm_store_count(s, &c, NULL), FM_OK);
    assert_true(
        c.frames == 100 && c.objects == 300 && c.features == 300 && c.tracks == 20 && c.pictures == 120);
    assert_true(c.written == 100 && c.lost == 0);
    close_ok(s);
    assert_int_equal(check_whole(dir, true), 120);
    assert_int_equal(damages_of(dir), 0);
    sqlite3 *db = open_db(dir);
    sqlite3_stmt *q = NULL;
    assert_int_equal(
        sqlite3_prepare_v2(db,
            "SELECT x.vector, d.class_id, f.number, d.label, d.meta ->> 'colour', t.number, t.frames"
            " FROM features x JOIN detections d ON d.id = x.detection_id JOIN frames f ON f.id = x.frame_id"
            " LEFT JOIN tracks t ON t.id = d.track_id",
            -1, &q, NULL),
        SQLITE_OK);
    int rows = 0;
    for (; sqlite3_step(q) == SQLITE_ROW; rows++) {
        const float *v = sqlite3_column_blob(q, 0);
        int k = sqlite3_column_int(q, 1);
        uint64_t number = (uint64_t)sqlite3_column_int64(q, 2);
        assert_int_equal(sqlite3_column_bytes(q, 0), DIM * 4);
        for (int i = 0; i < DIM; i++) {
            assert_true(v[i] == feature_at(number, k, i));
        }
        assert_string_equal((const char *)sqlite3_column_text(q, 3), k ? "car" : "person");
        assert_int_equal(sqlite3_column_type(q, 4) == SQLITE_NULL, k != 2);
        assert_int_equal(sqlite3_column_int(q, 5), k ? 0 : (int)number / 5 + 1);
        assert_int_equal(sqlite3_column_int(q, 6), k ? 0 : 5);
    }
    assert_int_equal(rows, 300);
    sqlite3_finalize(q);
    sqlite3_close(db);
    drop_dir(dir);
}

static void a_second_run_goes_on(void **state)
{
    (void)state;
    char *dir = make_dir();
    for (int i = 0; i < 3; i++) {
        fm_store *s = open_dir(dir);
        put_many(s, begin(s, "gate"), 0, 10, NULL); // the same numbers: another run
        close_ok(s);
    }
    sqlite3 *db = open_db(dir);
    assert_int_equal(ask_int(db, "SELECT count(*) FROM frames"), 30);
    assert_int_equal(ask_int(db, "SELECT count(*) FROM streams"), 1);
    assert_int_equal(ask_int(db, "SELECT count(*) FROM tracks"), 6);
    sqlite3_close(db);
    check_whole(dir, true);
    drop_dir(dir);
}

static void wrong_records_are_refused(void **state)
{
    (void)state;
    char *dir = make_dir();
    fm_store *s = open_dir(dir);
    int64_t run = begin(s, "gate");
    float good[4] = {1, 2, 3, 4}, nan_at_end[4] = {1, 2, 3, NAN}, inf_at_start[4] = {-INFINITY, 0, 0, 0};
    struct {
        const char *says;
        int64_t run;
        const float *feature;
        int dim;
        const char *model;
        float x0, score;
    } cases[] = {
        {NULL, run, good, 4, "m", 0, 1},
        {"not finite", run, nan_at_end, 4, "m", 0, 1},
        {"not finite", run, inf_at_start, 4, "m", 0, 1},
        {"have 4", run, good, 3, "m", 0, 1},
        {NULL, run, good, 3, "another", 0, 1},
        {"model", run, good, 4, NULL, 0, 1},
        {"0 numbers", run, good, 0, "m", 0, 1},
        {"no run", run + 1, good, 4, "m", 0, 1},
        {"box", run, good, 4, "m", NAN, 1},
        {"score", run, good, 4, "m", 0, NAN},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        fm_store_object o = {
            .box = {cases[i].x0, 0, 4, 4}, .score = cases[i].score, .feature = cases[i].feature};
        fm_store_record r = FM_STORE_RECORD_INIT;
        fm_error err = {0};
        r.run = cases[i].run;
        r.objects = &o;
        r.object_count = 1;
        r.feature_dim = cases[i].dim;
        r.feature_model = cases[i].model;
        fm_status st = fm_store_put(s, &r, NULL, NULL, &err);
        assert_int_equal(st, cases[i].says ? FM_INVAL : FM_OK);
        if (cases[i].says && !strstr(err.msg, cases[i].says)) {
            fail_msg("case %zu says: %s", i, err.msg);
        }
    }
    fm_store_record old = {.struct_size = 8};
    assert_int_equal(fm_store_put(s, &old, NULL, NULL, NULL), FM_INVAL);
    close_ok(s);
    // The dimension is remembered.
    s = open_dir(dir);
    run = begin(s, "gate");
    fm_store_record r = FM_STORE_RECORD_INIT;
    fm_store_object o = {.box = {0, 0, 4, 4}, .score = 1, .feature = good};
    r.run = run;
    r.objects = &o;
    r.object_count = 1;
    r.feature_dim = 2;
    r.feature_model = "m";
    assert_int_equal(fm_store_put(s, &r, NULL, NULL, NULL), FM_INVAL);
    close_ok(s);
    drop_dir(dir);
}

static void metadata_that_is_no_json_is_told(void **state)
{
    (void)state;
    char *dir = make_dir();
    acks a = {.lock = PTHREAD_MUTEX_INITIALIZER};
    fm_store *s = open_dir(dir);
    fm_store_record r = FM_STORE_RECORD_INIT;
    r.run = begin(s, "gate");
    const char *const metas[] = {"{\"a\":1}", "{\"a\":", NULL};
    for (int i = 0; i < 3; i++) {
        r.frame = (uint64_t)i;
        r.meta = metas[i];
        assert_int_equal(fm_store_put(s, &r, on_ack, &a, NULL), FM_OK);
    }
    assert_int_equal(fm_store_flush(s, NULL), FM_OK);
    assert_int_equal(a.count, 2);
    assert_int_equal(a.failed, 1);
    fm_error err = {0};
    assert_true(fm_store_close(&s, &err) < 0); // a loss is told at the end, too
    assert_non_null(strstr(err.msg, "lost 1"));
    drop_dir(dir);
}

// A record that fails when its picture and most of its rows are written takes none of its neighbours' with it
// and doubles none of them, wherever in the transaction it stands.
static void what_fails_costs_its_neighbours_nothing(void **state)
{
    (void)state;
    enum { BEFORE = 7, BEHIND = 8 };
    char *dir = make_dir();
    acks a = {.lock = PTHREAD_MUTEX_INITIALIZER};
    fm_store *s = open_dir(dir);
    int64_t run = begin(s, "gate");
    uint8_t jpeg[4096];
    const fm_store_object objects[] = {
        {.box = {1, 2, 3, 4}, .track = 1}, {.box = {1, 2, 3, 4}, .meta = "no JSON"}};
    fm_store_record bad = FM_STORE_RECORD_INIT;
    bad.jpeg = jpeg;
    bad.jpeg_bytes = fake_jpeg(77, jpeg, sizeof(jpeg));
    bad.objects = objects;
    bad.object_count = COUNT_OF(objects);
    bad.run = run;
    uint64_t frame = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < BEFORE + BEHIND; i++) {
            bad.frame = 1000 + frame;
            if (i == BEFORE || (round == 1 && i == 0)) {
                assert_int_equal(fm_store_put(s, &bad, on_ack, &a, NULL), FM_OK);
            }
            assert_int_equal(put_frame(s, run, frame++, on_ack, &a, NULL), FM_OK);
        }
        assert_int_equal(fm_store_flush(s, NULL), FM_OK);
    }
    assert_int_equal(a.count, 3 * (BEFORE + BEHIND));
    assert_int_equal(a.failed, 4);
    for (int i = 1; i < a.count; i++) {
        assert_true(a.ids[i] > a.ids[i - 1]);
    }
    assert_true(fm_store_close(&s, NULL) < 0);
    assert_true(check_whole(dir, true) > a.count);
    assert_int_equal(damages_of(dir), 0);
    sqlite3 *db = open_db(dir);
    assert_int_equal(ask_int(db, "SELECT count(*) FROM frames"), a.count);
    assert_int_equal(ask_int(db, "SELECT sum(frames) FROM tracks"), a.count);
    sqlite3_close(db);
    drop_dir(dir);
}

static void the_second_writer_is_told_who_the_first_is(void **state)
{
    (void)state;
    char *dir = make_dir(), pid[32];
    fm_store *s = open_dir(dir), *other = NULL;
    fm_store_opts o = FM_STORE_OPTS_INIT;
    fm_error err = {0};
    o.dir = dir;
    snprintf(pid, sizeof(pid), "process %ld ", (long)getpid());
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        fm_status st = fm_store_open(&o, &other, &err);
        _exit(st == FM_BUSY && strstr(err.msg, pid) ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(fm_store_open(&o, &other, &err), FM_BUSY); // in the same process, too
    o.read_only = true;
    fm_store *reader = open_store(o); // any number may read
    assert_int_equal(fm_store_flush(reader, &err), FM_INVAL);
    close_ok(reader);
    close_ok(s);
    close_ok(open_dir(dir));
    drop_dir(dir);
}

static void a_newer_store_is_refused(void **state)
{
    (void)state;
    char *dir = make_dir();
    close_ok(open_dir(dir));
    sqlite3 *db = open_db(dir);
    exec_ok(db, "PRAGMA user_version = 99");
    sqlite3_close(db);
    for (int ro = 0; ro < 2; ro++) {
        fm_store_opts o = FM_STORE_OPTS_INIT;
        fm_store *s = NULL;
        fm_error err = {0};
        o.dir = dir;
        o.read_only = ro;
        assert_int_equal(fm_store_open(&o, &s, &err), FM_UNSUPPORTED);
        assert_non_null(strstr(err.msg, "version 99"));
    }
    drop_dir(dir);
}

static void somebody_elses_database_is_left_alone(void **state)
{
    (void)state;
    char *dir = make_dir();
    sqlite3 *db = open_db(dir);
    exec_ok(db, "CREATE TABLE frames(x); INSERT INTO frames VALUES(7)");
    sqlite3_close(db);
    fm_store_opts o = FM_STORE_OPTS_INIT;
    fm_store *s = NULL;
    fm_error err = {0};
    o.dir = dir;
    assert_int_equal(fm_store_open(&o, &s, &err), FM_FORMAT);
    db = open_db(dir);
    assert_int_equal(ask_int(db, "SELECT x FROM frames"), 7);
    sqlite3_close(db);
    drop_dir(dir);
}

// A store as version 1 left it, with rows.
static void an_older_store_is_brought_up_to_date(void **state)
{
    (void)state;
    char *dir = make_dir();
    fm_error err = {0};
    sqlite3 *db = open_db(dir);
    assert_int_equal(fm__schema_upgrade(db, 1, NULL, &err), FM_OK);
    exec_ok(db, "INSERT INTO streams(name, created_ns) VALUES('gate', 1);"
                "INSERT INTO runs(stream_id, started_ns) VALUES(1, 1);"
                "INSERT INTO frames(stream_id, run_id, number, time_ns, stored_ns, width, height, bytes)"
                " VALUES(1, 1, 0, 5, 5, 64, 48, 160);"
                "INSERT INTO detections(frame_id, stream_id, time_ns, label, class_id, score, x, y, w, h)"
                " VALUES(1, 1, 5, 'person', 0, 0.5, 1, 2, 3, 4);"
                "INSERT INTO features(kind, frame_id, detection_id, model, dim, vector)"
                " VALUES('object', 1, 1, 'old', 2, x'0000803f00000040')");
    assert_int_equal(
        ask_int(db, "SELECT count(*) FROM pragma_table_info('detections') WHERE name = 'zone'"), 0);
    sqlite3_close(db);
    fm_store_opts o = FM_STORE_OPTS_INIT;
    fm_store *s = NULL;
    o.dir = dir;
    o.read_only = true; // who reads changes nothing
    assert_int_equal(fm_store_open(&o, &s, &err), FM_UNSUPPORTED);
    s = open_dir(dir);
    int64_t run = begin(s, "gate");
    float three[3] = {1, 2, 3};
    fm_store_object object = {.box = {0, 0, 4, 4}, .score = 1, .feature = three};
    fm_store_record r = FM_STORE_RECORD_INIT;
    r.run = run;
    r.objects = &object;
    r.object_count = 1;
    r.feature_dim = 3;
    r.feature_model = "old"; // which has 2: the table of models came from the features
    assert_int_equal(fm_store_put(s, &r, NULL, NULL, &err), FM_INVAL);
    r.feature_dim = 2;
    assert_int_equal(fm_store_put(s, &r, NULL, NULL, &err), FM_OK);
    close_ok(s);
    db = open_db(dir);
    assert_int_equal(ask_int(db, "PRAGMA user_version"), FM_SCHEMA_VERSION);
    assert_int_equal(
        ask_int(db, "SELECT count(*) FROM detections WHERE label = 'person' AND zone IS NULL"), 1);
    assert_int_equal(ask_int(db, "SELECT count(*) FROM features"), 2);
    assert_int_equal(ask_int(db, "SELECT count(*) FROM streams"), 1);
    sqlite3_close(db);
    assert_int_equal(damages_of(dir), 0);
    drop_dir(dir);
}

static void a_clock_that_goes_back_keeps_the_order(void **state)
{
    (void)state;
    char *dir = make_dir();
    fm_store *s = open_dir(dir);
    fm_store_record r = FM_STORE_RECORD_INIT;
    r.run = begin(s, "gate");
    for (int i = 0; i < 20; i++) {
        r.frame = (uint64_t)i;
        r.wall_ns = INT64_C(1700000000000000000) - i * INT64_C(60000000000);
        assert_int_equal(fm_store_put(s, &r, NULL, NULL, NULL), FM_OK);
    }
    close_ok(s);
    sqlite3 *db = open_db(dir);
    assert_int_equal(ask_int(db, "SELECT count(*) FROM frames a JOIN frames b ON b.number = a.number + 1"
                                 " WHERE b.id <= a.id OR b.time_ns >= a.time_ns"),
        0);
    sqlite3_close(db);
    drop_dir(dir);
}

static int count_files(const char *dir)
{
    char path[512];
    int n = 0;
    snprintf(path, sizeof(path), "%s/segments", dir);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        n += e->d_name[0] != '.';
    }
    closedir(d);
    return n;
}

static void the_oldest_go_when_there_are_too_many_bytes(void **state)
{
    (void)state;
    char *dir = make_dir();
    fm_store_opts o = FM_STORE_OPTS_INIT;
    o.dir = dir;
    o.segment_bytes = 20000;
    fm_store *s = open_store(o);
    int64_t run = begin(s, "gate"), other = begin(s, "yard");
    for (uint64_t i = 0; i < 20; i++) {
        put_many(s, run, i * 10, 10, NULL); // a flush ends a transaction, and so may a file
    }
    put_many(s, other, 0, 5, NULL);
    int before = count_files(dir);
    assert_true(before > 10);
    close_ok(s);
    o.max_bytes = 150000;
    s = open_store(o);
    uint64_t deleted = 0;
    fm_error err = {0};
    assert_int_equal(fm_store_prune(s, &deleted, &err), FM_OK);
    close_ok(s);
    sqlite3 *db = open_db(dir);
    int64_t left = ask_int(db, "SELECT count(*) FROM frames WHERE stream_id = 1");
    assert_true(left > 10 && left < 200);
    assert_int_equal(
        ask_int(db, "SELECT min(number) FROM frames WHERE stream_id = 1"), 200 - left); // the oldest went
    assert_true(
        ask_int(db,
            "SELECT bytes + (SELECT sum(bytes) FROM segments WHERE stream_id = 1) FROM streams WHERE id"
            " = 1") <= 150000);
    assert_int_equal(
        ask_int(db, "SELECT count(*) FROM frames WHERE stream_id = 2"), 5); // a bound is a stream's own
    sqlite3_close(db);
    assert_true(count_files(dir) < before);
    check_whole(dir, true);
    assert_int_equal(damages_of(dir), 0);
    drop_dir(dir);
}

// Frames that went for the bounds: at the prune, or before it by the writer itself.
static uint64_t prune_all(fm_store *s)
{
    fm_store_counts c;
    assert_int_equal(fm_store_prune(s, NULL, NULL), FM_OK);
    assert_int_equal(fm_store_count(s, &c, NULL), FM_OK);
    return c.deleted_frames;
}

// Files made under a larger bound are laid out anew, so that no more goes than has to.
static void a_lower_bound_takes_the_oldest_of_a_large_file(void **state)
{
    (void)state;
    char *dir = make_dir();
    fm_store_opts o = FM_STORE_OPTS_INIT;
    o.dir = dir;
    fm_store *s = open_store(o);
    put_many(s, begin(s, "gate"), 0, 100, NULL);
    close_ok(s);
    assert_int_equal(count_files(dir), 1);
    sqlite3 *db = open_db(dir);
    int64_t used = ask_int(db, "SELECT bytes + (SELECT sum(bytes) FROM segments) FROM streams");
    sqlite3_close(db);
    o.segment_bytes = 10000;
    o.max_bytes = used / 2;
    s = open_store(o);
    uint64_t deleted = prune_all(s);
    put_many(s, begin(s, "gate"), 100, 3, NULL);
    close_ok(s);
    db = open_db(dir);
    int64_t now = ask_int(db, "SELECT bytes + (SELECT sum(bytes) FROM segments) FROM streams");
    assert_true(now <= o.max_bytes + 20000 && now > o.max_bytes - 30000);
    assert_int_equal(
        ask_int(db, "SELECT count(*) FROM frames"), 103 - ask_int(db, "SELECT min(number) FROM frames"));
    assert_int_equal(ask_int(db, "SELECT count(*) FROM frames WHERE picture_id IS NULL"), 0);
    assert_true(deleted > 30 && deleted < 70);
    sqlite3_close(db);
    check_whole(dir, true);
    assert_int_equal(damages_of(dir), 0);
    drop_dir(dir);
}

// A file with a damaged picture cannot be laid out anew: the bound holds all the same.
static void a_lower_bound_holds_where_a_large_file_is_damaged(void **state)
{
    (void)state;
    char *dir = make_dir(), path[512];
    fm_store_opts o = FM_STORE_OPTS_INIT;
    o.dir = dir;
    fm_store *s = open_store(o);
    put_many(s, begin(s, "gate"), 0, 50, NULL);
    close_ok(s);
    snprintf(path, sizeof(path), "%s/segments/00000001.seg", dir);
    int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, "damage", 6, 20000), 6);
    close(fd);
    o.segment_bytes = 10000;
    o.max_bytes = 60000;
    s = open_store(o);
    assert_int_equal(prune_all(s), 50);
    close_ok(s);
    assert_int_equal(count_files(dir), 0);
    assert_int_equal(damages_of(dir), 0);
    drop_dir(dir);
}

static void the_old_go_but_not_what_is_being_read(void **state)
{
    (void)state;
    char *dir = make_dir();
    fm_store *s = open_dir(dir);
    put_many(s, begin(s, "gate"), 0, 50, NULL);
    close_ok(s);
    s = open_dir(dir);
    put_many(s, begin(s, "gate"), 0, 50, NULL);
    close_ok(s);
    sqlite3 *db = open_db(dir); // the first run is of long ago
    exec_ok(db, "UPDATE frames SET stored_ns = stored_ns - 1000000000000 WHERE run_id = 1");
    sqlite3_close(db);
    int fd = -1;
    uint64_t deleted = 0;
    fm_error err = {0};
    assert_int_equal(fm__segment_open(dir, 1, &fd, &err), FM_OK);
    fm_store_opts o = FM_STORE_OPTS_INIT;
    o.dir = dir;
    o.max_age_s = 500;
    s = open_store(o);
    assert_int_equal(fm_store_prune(s, &deleted, &err), FM_OK);
    assert_int_equal(deleted, 0); // it is being read
    close(fd);
    // The writer's own look at its bounds may come first: both count.
    assert_int_equal(fm_store_prune(s, &deleted, &err), FM_OK);
    fm_store_counts c;
    assert_int_equal(fm_store_count(s, &c, &err), FM_OK);
    assert_int_equal(c.deleted_frames, 50);
    assert_int_equal(c.frames, 50);
    close_ok(s);
    assert_int_equal(count_files(dir), 1);
    check_whole(dir, true);
    drop_dir(dir);
}

/** A disk that is full after so many bytes. */
typedef struct small_disk {
    int64_t room;
    int64_t free_bytes;
} small_disk;

static ssize_t small_write(void *opaque, int fd, const struct iovec *v, int n, off_t at)
{
    small_disk *d = opaque;
    size_t total = 0;
    for (int i = 0; i < n; i++) {
        total += v[i].iov_len;
    }
    if (d->room <= 0) {
        errno = ENOSPC;
        return -1;
    }
    if ((int64_t)total > d->room) { // as a disk does: a part of it goes out
        struct iovec part = {v[0].iov_base, v[0].iov_len < (size_t)d->room ? v[0].iov_len : (size_t)d->room};
        ssize_t w = pwritev(fd, &part, 1, at);
        d->room -= w;
        return w;
    }
    d->room -= (int64_t)total;
    return pwritev(fd, v, n, at);
}

static int64_t small_free(void *opaque, const char *path)
{
    (void)path;
    return ((small_disk *)opaque)->free_bytes;
}

static fm_store *open_small(const char *dir, small_disk *disk, fm_store_io *io, int64_t floor)
{
    *io = fm__store_system_io;
    // The system's other calls take no opaque.
    io->write = small_write;
    io->free_bytes = small_free;
    io->opaque = disk;
    fm__store_hooks hooks = {.io = io};
    fm_store_opts o = FM_STORE_OPTS_INIT;
    fm_store *s = NULL;
    fm_error err = {0};
    o.dir = dir;
    o.free_floor = floor;
    o.segment_bytes = 20000;
    if (fm__store_open(&o, &hooks, &s, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    return s;
}

static void a_full_disk_loses_what_does_not_fit_and_says_so(void **state)
{
    (void)state;
    for (int64_t room = 0; room < 60000; room += 2311) {
        char *dir = make_dir();
        small_disk disk = {.room = room, .free_bytes = INT64_MAX};
        fm_store_io io;
        acks a = {.lock = PTHREAD_MUTEX_INITIALIZER};
        fm_store *s = open_small(dir, &disk, &io, -1);
        int64_t run = begin(s, "gate");
        put_many(s, run, 0, 60, &a);
        int fitted = a.count;
        assert_true(a.failed > 0 && a.count + a.failed == 60);
        assert_int_equal(a.err.status, FM_IO);
        disk.room = INT64_MAX; // somebody made room
        put_many(s, run, 100, 10, &a);
        assert_int_equal(a.count, fitted + 10);
        fm_store_counts c;
        assert_int_equal(fm_store_count(s, &c, NULL), FM_OK);
        assert_true(c.lost == (uint64_t)a.failed && c.written == (uint64_t)a.count && c.frames == c.written);
        assert_true(fm_store_close(&s, NULL) < 0);
        check_whole(dir, true);
        assert_int_equal(damages_of(dir), 0);
        drop_dir(dir);
    }
}

static void who_waits_for_a_record_is_told_what_became_of_it(void **state)
{
    (void)state;
    char *dir = make_dir();
    small_disk disk = {.room = INT64_MAX, .free_bytes = INT64_MAX};
    fm_store_io io;
    fm_store *s = open_small(dir, &disk, &io, -1);
    uint8_t jpeg[4096];
    int64_t id = 0, no_id = -1;
    fm_error err = {0};
    fm_store_record r = FM_STORE_RECORD_INIT;
    r.run = begin(s, "gate");
    r.width = 64;
    r.height = 48;
    r.jpeg = jpeg;
    r.jpeg_bytes = fake_jpeg(1, jpeg, sizeof(jpeg));
    assert_int_equal(fm_store_put_wait(s, &r, &id, &err), FM_OK);
    sqlite3 *db = open_db(dir); // it is there at once, by its row
    assert_int_equal(ask_int(db, "SELECT id FROM frames"), id);
    sqlite3_close(db);
    disk.room = 0;
    r.frame = 1;
    assert_int_equal(fm_store_put_wait(s, &r, &no_id, &err), FM_IO);
    assert_true(err.msg[0] && no_id == -1);
    disk.room = INT64_MAX;
    assert_int_equal(fm_store_put_wait(s, &r, NULL, &err), FM_OK);
    r.run = 99;
    assert_int_equal(fm_store_put_wait(s, &r, NULL, &err), FM_INVAL);
    assert_true(fm_store_close(&s, NULL) < 0); // it lost one
    assert_int_equal(damages_of(dir), 0);
    drop_dir(dir);
}

static void the_floor_is_kept_by_the_oldest_then_by_refusing(void **state)
{
    (void)state;
    char *dir = make_dir();
    small_disk disk = {.room = INT64_MAX, .free_bytes = 1000000};
    fm_store_io io;
    acks a = {.lock = PTHREAD_MUTEX_INITIALIZER};
    fm_store *s = open_small(dir, &disk, &io, 500000);
    int64_t run = begin(s, "gate");
    for (uint64_t i = 0; i < 10; i++) {
        put_many(s, run, i * 10, 10, &a);
    }
    assert_int_equal(a.count, 100);
    disk.free_bytes = 1000; // others filled it, and what is deleted does not help
    uint64_t deleted = 0;
    assert_int_equal(fm_store_prune(s, &deleted, NULL), FM_OK);
    fm_store_counts c;
    assert_int_equal(fm_store_count(s, &c, NULL), FM_OK);
    assert_int_equal(c.frames, 0);
    assert_int_equal(c.deleted_frames, 100);
    (void)fm_store_close(&s, NULL);
    s = open_small(dir, &disk, &io, 500000);
    run = begin(s, "gate");
    put_many(s, run, 0, 10, &a);
    assert_int_equal(a.failed, 10);
    assert_non_null(strstr(a.err.msg, "free"));
    assert_true(fm_store_close(&s, NULL) < 0);
    assert_int_equal(damages_of(dir), 0);
    drop_dir(dir);
}

static void what_has_no_row_is_collected(void **state)
{
    (void)state;
    char *dir = make_dir(), path[512];
    fm_store *s = open_dir(dir);
    put_many(s, begin(s, "gate"), 0, 10, NULL);
    close_ok(s);
    snprintf(path, sizeof(path), "%s/segments/00000001.seg", dir);
    FILE *f = fopen(path, "ab");
    assert_non_null(f);
    assert_true(fputs("half a picture", f) >= 0 && fclose(f) == 0);
    snprintf(path, sizeof(path), "%s/segments/00000077.seg", dir);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_true(fputs("nobody's", f) >= 0 && fclose(f) == 0);
    snprintf(path, sizeof(path), "%s/segments/README", dir); // not ours
    f = fopen(path, "wb");
    assert_true(f && fclose(f) == 0);
    close_ok(open_dir(dir));
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(unlink(path), 0);
    check_whole(dir, true);
    drop_dir(dir);
}

static void a_folder_that_cannot_be_written_is_told(void **state)
{
    (void)state;
    char *dir = make_dir();
    close_ok(open_dir(dir));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char path[512];
        snprintf(path, sizeof(path), "chmod -R a-w '%s' && chmod a+rx '%s'", dir, dir);
        fm_store_opts o = FM_STORE_OPTS_INIT;
        fm_store *s = NULL;
        fm_error err = {0};
        o.dir = dir;
        if (system(path) != 0 || (geteuid() == 0 && setuid(65534) != 0)) {
            _exit(2);
        }
        if (fm_store_open(&o, &s, &err) >= 0 || !strstr(err.msg, dir)) {
            _exit(3);
        }
        o.read_only = true;
        fm_store_counts c;
        _exit(fm_store_open(&o, &s, &err) == FM_OK && fm_store_count(s, &c, &err) == FM_OK && c.frames == 0
                  ? 0
                  : 4);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 0);
    drop_dir(dir);
}

typedef struct job {
    fm_store *s;
    int64_t run;
} job;

static void *put_from_thread(void *opaque)
{
    job *j = opaque;
    for (uint64_t i = 0; i < 200; i++) {
        if (put_frame(j->s, j->run, i, NULL, NULL, NULL) != FM_OK) {
            abort();
        }
    }
    return NULL;
}

static void many_threads_put_at_once(void **state)
{
    (void)state;
    char *dir = make_dir();
    fm_store_opts o = FM_STORE_OPTS_INIT;
    o.dir = dir;
    o.queue_bytes = 20000; // so that they wait for room
    fm_store *s = open_store(o);
    job jobs[4];
    pthread_t threads[4];
    static const char *const names[] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++) {
        jobs[i] = (job){s, begin(s, names[i])};
        assert_int_equal(pthread_create(&threads[i], NULL, put_from_thread, &jobs[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    fm_store_counts c;
    assert_int_equal(fm_store_flush(s, NULL), FM_OK);
    assert_int_equal(fm_store_count(s, &c, NULL), FM_OK);
    assert_int_equal(c.frames, 800);
    close_ok(s);
    sqlite3 *db = open_db(dir); // in order within a run
    assert_int_equal(
        ask_int(db, "SELECT count(*) FROM frames a JOIN frames b ON b.run_id = a.run_id AND b.number ="
                    " a.number + 1 WHERE b.id <= a.id"),
        0);
    sqlite3_close(db);
    check_whole(dir, true);
    drop_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(a_second_run_goes_on),
        cmocka_unit_test(wrong_records_are_refused),
        cmocka_unit_test(metadata_that_is_no_json_is_told),
        cmocka_unit_test(what_fails_costs_its_neighbours_nothing),
        cmocka_unit_test(the_second_writer_is_told_who_the_first_is),
        cmocka_unit_test(a_newer_store_is_refused),
        cmocka_unit_test(somebody_elses_database_is_left_alone),
        cmocka_unit_test(an_older_store_is_brought_up_to_date),
        cmocka_unit_test(a_clock_that_goes_back_keeps_the_order),
        cmocka_unit_test(the_oldest_go_when_there_are_too_many_bytes),
        cmocka_unit_test(a_lower_bound_takes_the_oldest_of_a_large_file),
        cmocka_unit_test(a_lower_bound_holds_where_a_large_file_is_damaged),
        cmocka_unit_test(the_old_go_but_not_what_is_being_read),
        cmocka_unit_test(a_full_disk_loses_what_does_not_fit_and_says_so),
        cmocka_unit_test(who_waits_for_a_record_is_told_what_became_of_it),
        cmocka_unit_test(the_floor_is_kept_by_the_oldest_then_by_refusing),
        cmocka_unit_test(what_has_no_row_is_collected),
        cmocka_unit_test(a_folder_that_cannot_be_written_is_told),
        cmocka_unit_test(many_threads_put_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
