// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The promise of sync "full": everything that a store and its SQLite wrote and synced is recorded, the record
// is cut behind each event, and what a power failure there may leave is opened again. What was acknowledged
// is there with its picture, rows point to whole data, nothing lacks a row.

#include "disk.h"
#include "storing.h"

#include <ftw.h>
#include <pthread.h>

typedef struct tell_to {
    disk *d;
    int64_t run;
    uint64_t next; // acknowledgements come in the order of puts
} tell_to;

static void tell(fm_status st, int64_t id, const fm_error *err, void *opaque)
{
    tell_to *t = opaque;
    assert_true(st == FM_OK && id > 0 && !err);
    disk_acknowledged(t->d, t->run, t->next++);
}

// One sitting: transactions of one to four records.
static int64_t sit(disk *d, fm_store_opts o, int records)
{
    fm_store *s = NULL;
    fm_error err = {0};
    tell_to t = {.d = d};
    uint64_t random = 7;
    o.sync = FM_STORE_SYNC_FULL;
    o.free_floor = -1;
    if (fm__store_open(&o, disk_hooks(d), &s, &err) != FM_OK ||
        fm_store_begin_run(s, "gate", NULL, &t.run, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    for (int i = 0; i < records;) {
        for (int n = 1 + rnd_below(&random, 4); n > 0 && i < records; n--, i++) {
            assert_int_equal(put_frame(s, t.run, (uint64_t)i, tell, &t, NULL), FM_OK);
        }
        assert_int_equal(fm_store_flush(s, NULL), FM_OK);
        if (o.max_bytes) {
            assert_int_equal(fm_store_prune(s, NULL, NULL), FM_OK);
        }
    }
    close_ok(s);
    return t.run;
}

static fm_store *open_again(disk *d, const char *dir)
{
    fm_store_opts o = FM_STORE_OPTS_INIT;
    fm_store *s = NULL;
    fm_error err = {0};
    o.dir = dir;
    o.free_floor = -1;
    if (fm__store_open(&o, disk_hooks(d), &s, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    return s;
}

// Every record from `first` on that was acknowledged, with the picture that it came with.
static void check_records(const char *dir, int64_t run, int64_t first, int64_t acks)
{
    sqlite3 *db = open_db(dir);
    sqlite3_stmt *q = NULL;
    int64_t next = first;
    char sql[256];
    snprintf(sql, sizeof(sql),
        "SELECT f.number, p.length, p.crc32c FROM frames f JOIN pictures p ON p.id = f.picture_id WHERE "
        "f.run_id"
        " = %lld AND f.number BETWEEN %lld AND %lld ORDER BY f.number",
        (long long)run, (long long)first, (long long)acks - 1);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    for (; sqlite3_step(q) == SQLITE_ROW; next++) {
        uint8_t jpeg[4096];
        size_t n = fake_jpeg((uint64_t)next, jpeg, sizeof(jpeg));
        assert_int_equal(sqlite3_column_int64(q, 0), next);
        assert_int_equal(sqlite3_column_int64(q, 1), n);
        assert_int_equal(sqlite3_column_int64(q, 2), fm__crc32c(0, jpeg, n));
    }
    sqlite3_finalize(q);
    assert_int_equal(next, acks > first ? acks : first);
    sqlite3_close(db);
}

// The first record of a run that retention has left; `otherwise` when it left none.
static int64_t first_left(const char *dir, int64_t run, int64_t otherwise)
{
    sqlite3 *db = open_db(dir);
    char sql[128];
    snprintf(sql, sizeof(sql), "SELECT ifnull(min(number), %lld) FROM frames WHERE run_id = %lld",
        (long long)otherwise, (long long)run);
    int64_t n = ask_int(db, sql);
    sqlite3_close(db);
    return n;
}

typedef struct plan {
    disk *d;
    int64_t runs[2];
    bool prunes;
    char *after; // where what is left is laid out
} plan;

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    return at->level == 0 ? 0 : kind == FTW_DP ? rmdir(path) : unlink(path);
}

static void empty_dir(const char *dir)
{
    assert_int_equal(nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void fail_here(const plan *p, size_t n, disk_luck luck)
{
    const char *dir = p->after;
    disk_replay(p->d, n, luck, n * 2654435761u, dir);
    close_ok(open_again(p->d, dir));
    check_whole(dir, true);
    for (int i = 0; i < 2; i++) {
        int64_t acks = disk_acks(p->d, n, p->runs[i]);
        int64_t first = p->prunes ? first_left(dir, p->runs[i], acks) : 0;
        check_records(dir, p->runs[i], first, acks);
    }
    if (n % 16 == 0) {
        assert_int_equal(damages_of(dir), 0);
    }
    empty_dir(dir);
}

// At every point: some or all of what was not synced; and where something became certain, only that.
static void fail_everywhere(plan *p)
{
    disk_end(p->d);
    p->after = make_dir();
    size_t len = disk_len(p->d), cuts = 0;
    for (size_t n = 0; n <= len; n++) {
        fail_here(p, n, n % 3 ? DISK_SOME : DISK_ALL);
        cuts++;
        if (n == 0 || disk_is_barrier(p->d, n - 1)) {
            fail_here(p, n, DISK_SYNCED);
            cuts++;
        }
    }
    drop_dir(p->after);
    print_message("%zu events, %zu power failures\n", len, cuts);
}

static void what_was_acknowledged_survives_power_loss_at_any_point(void **state)
{
    (void)state;
    char *dir = make_dir();
    plan p = {.d = disk_new(dir)};
    fm_store_opts o = FM_STORE_OPTS_INIT;
    o.dir = dir;
    o.segment_bytes = 20000; // so that files end and begin
    p.runs[0] = sit(p.d, o, 8);
    p.runs[1] = sit(p.d, o, 5);
    assert_int_equal(disk_acks(p.d, disk_len(p.d), p.runs[0]), 8);
    assert_int_equal(disk_acks(p.d, disk_len(p.d), p.runs[1]), 5);
    fail_everywhere(&p);
    disk_free(p.d);
    drop_dir(dir);
}

static void deletion_leaves_a_whole_store_at_any_point(void **state)
{
    (void)state;
    char *dir = make_dir();
    plan p = {.d = disk_new(dir), .prunes = true};
    fm_store_opts o = FM_STORE_OPTS_INIT;
    o.dir = dir;
    o.segment_bytes = 60000;
    p.runs[0] = sit(p.d, o, 9); // in one file, which the bound then makes into several
    o.segment_bytes = 4000;
    o.max_bytes = 15000;
    p.runs[1] = sit(p.d, o, 8);
    assert_true(first_left(dir, p.runs[1], -1) > 0); // something was deleted of both
    fail_everywhere(&p);
    disk_free(p.d);
    drop_dir(dir);
}

// The recording itself can tell: a store that does not sync loses what it acknowledged.
static void without_syncs_the_replay_finds_a_loss(void **state)
{
    (void)state;
    char *dir = make_dir();
    disk *d = disk_new(dir);
    fm_store *s = NULL;
    fm_store_opts o = FM_STORE_OPTS_INIT;
    tell_to t = {.d = d};
    o.dir = dir;
    o.free_floor = -1;
    assert_int_equal(fm__store_open(&o, disk_hooks(d), &s, NULL), FM_OK);
    assert_int_equal(fm_store_begin_run(s, "gate", NULL, &t.run, NULL), FM_OK);
    assert_int_equal(put_frame(s, t.run, 0, tell, &t, NULL), FM_OK);
    assert_int_equal(fm_store_flush(s, NULL), FM_OK);
    size_t n = disk_len(d);
    close_ok(s);
    disk_end(d);
    char *after = make_dir();
    disk_replay(d, n, DISK_SYNCED, 1, after);
    close_ok(open_again(d, after));
    assert_int_equal(disk_acks(d, n, t.run), 1);
    assert_int_equal(first_left(after, t.run, -1), -1);
    drop_dir(after);
    disk_free(d);
    drop_dir(dir);
}

static int note_folder(void *opaque, const char *path)
{
    char *list = opaque;
    snprintf(list + strlen(list), 2048 - strlen(list), "%s\n", path);
    return 0;
}

// A new folder's name is on the disk when the folder that holds it was synced.
static void folders_that_were_made_are_synced_up_to_what_was_there(void **state)
{
    (void)state;
    char *dir = make_dir(), path[512], want[2048], got[2048] = "";
    fm_store_io io = fm__store_system_io;
    fm__store_hooks hooks = {.io = &io};
    fm_store_opts o = FM_STORE_OPTS_INIT;
    fm_store *s = NULL;
    io.sync_folder = note_folder;
    io.opaque = got;
    o.dir = path;
    o.sync = FM_STORE_SYNC_FULL;
    snprintf(path, sizeof(path), "%s/a/b", dir);
    snprintf(want, sizeof(want), "%s/a/b\n%s/a\n%s\n", dir, dir, dir);
    assert_int_equal(fm__store_open(&o, &hooks, &s, NULL), FM_OK);
    close_ok(s);
    assert_string_equal(got, want);
    got[0] = 0;
    snprintf(want, sizeof(want), "%s/a/b\n", dir);
    assert_int_equal(fm__store_open(&o, &hooks, &s, NULL), FM_OK);
    close_ok(s);
    assert_string_equal(got, want);
    drop_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_acknowledged_survives_power_loss_at_any_point),
        cmocka_unit_test(deletion_leaves_a_whole_store_at_any_point),
        cmocka_unit_test(without_syncs_the_replay_finds_a_loss),
        cmocka_unit_test(folders_that_were_made_are_synced_up_to_what_was_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
