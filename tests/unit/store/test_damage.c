// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Damage of every kind: verify finds it, rebuild keeps what can be read and leaves a whole store.

#include "storing.h"

static char *make_store(int frames)
{
    char *dir = make_dir();
    fm_store_opts o = FM_STORE_OPTS_INIT;
    fm_error err = {0};
    int64_t run = 0;
    o.dir = dir;
    o.segment_bytes = 100000;
    fm_store *s = open_store(o);
    assert_int_equal(fm_store_begin_run(s, "gate", NULL, &run, &err), FM_OK);
    for (int i = 0; i < frames; i++) {
        assert_int_equal(put_frame(s, run, (uint64_t)i, NULL, NULL, &err), FM_OK);
        if (i % 20 == 19) {
            assert_int_equal(fm_store_flush(s, &err), FM_OK);
        }
    }
    close_ok(s);
    return dir;
}

static void change_byte(const char *path, int64_t at)
{
    int fd = open(path, O_RDWR);
    uint8_t b = 0;
    assert_true(fd >= 0 && pread(fd, &b, 1, at) == 1);
    b ^= 0x10;
    assert_int_equal(pwrite(fd, &b, 1, at), 1);
    close(fd);
}

static void rebuild(const char *dir, int *lines)
{
    fm_store_opts o = FM_STORE_OPTS_INIT;
    fm_error err = {0};
    o.dir = dir;
    *lines = 0;
    if (fm_store_rebuild(&o, count_damage, lines, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    close_ok(open_dir(dir)); // collects
    uint64_t left = damages_of(dir);
    assert_int_equal(left, 0);
}

static void a_whole_store_stays_as_it_is(void **state)
{
    (void)state;
    char *dir = make_store(60);
    int lines;
    rebuild(dir, &lines);
    assert_int_equal(lines, 0);
    assert_int_equal(check_whole(dir, true), 72);
    drop_dir(dir);
}

static void flipped_cut_and_missing_pictures_are_found(void **state)
{
    (void)state;
    const struct {
        const char *name;
        int kind;
    } cases[] = {{"a flipped byte of a picture", 0}, {"a file that is cut", 1}, {"a missing file", 2},
        {"a flipped byte of the file's head", 3}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char *dir = make_store(60), path[512];
        snprintf(path, sizeof(path), "%s/segments/00000001.seg", dir);
        struct stat info;
        assert_int_equal(stat(path, &info), 0);
        switch (cases[i].kind) {
        case 0:
            change_byte(path, info.st_size / 2);
            break;
        case 1:
            assert_int_equal(truncate(path, info.st_size - 10), 0);
            break;
        case 2:
            assert_int_equal(unlink(path), 0);
            break;
        default:
            change_byte(path, 20);
        }
        if (damages_of(dir) == 0) {
            fail_msg("not found: %s", cases[i].name);
        }
        int lines;
        rebuild(dir, &lines);
        assert_true(lines > 0);
        sqlite3 *db = open_db(dir);
        assert_int_equal(ask_int(db, "SELECT count(*) FROM frames"), 60); // rows are all there
        assert_int_equal(ask_int(db, "SELECT count(*) FROM features"), 180);
        int64_t with = ask_int(db, "SELECT count(*) FROM frames WHERE picture_id IS NOT NULL");
        assert_true(cases[i].kind == 2   ? with < 60
                    : cases[i].kind == 3 ? with == 60
                                         : with >= 58 && with <= 60);
        sqlite3_close(db);
        drop_dir(dir);
    }
}

// Each page of the database in turn becomes nonsense.
static void every_page_of_the_database_may_be_damaged(void **state)
{
    (void)state;
    char *whole = make_store(300), path[512], command[1100];
    sqlite3 *db = open_db(whole);
    int64_t pages = ask_int(db, "PRAGMA page_count"), size = ask_int(db, "PRAGMA page_size");
    sqlite3_close(db);
    int64_t least = 300;
    int tried = 0;
    for (int64_t page = 1; page <= pages; page += pages / 24 + 1, tried++) {
        char *dir = make_dir();
        snprintf(command, sizeof(command), "cp -r '%s'/. '%s'", whole, dir);
        assert_int_equal(system(command), 0);
        snprintf(path, sizeof(path), "%s/store.db", dir);
        int fd = open(path, O_RDWR);
        uint8_t junk[8192];
        uint64_t random = (uint64_t)page;
        for (int64_t i = 0; i < size; i++) {
            junk[i] = (uint8_t)rnd(&random);
        }
        assert_true(fd >= 0 && pwrite(fd, junk, (size_t)size, (page - 1) * size) == size);
        close(fd);
        fm_store_opts o = FM_STORE_OPTS_INIT;
        fm_store *s = NULL;
        fm_error err = {0};
        uint64_t found = 0;
        o.dir = dir;
        o.read_only = true;
        fm_status st = fm_store_open(&o, &s, &err);
        st = st == FM_OK ? fm_store_verify(s, NULL, NULL, &found, &err) : st;
        if (st == FM_OK && found == 0) {
            fail_msg("page %lld: not found", (long long)page);
        }
        (void)fm_store_close(&s, NULL);
        int lines;
        rebuild(dir, &lines);
        db = open_db(dir);
        int64_t frames = ask_int(db, "SELECT count(*) FROM frames"),
                pictures = ask_int(db, "SELECT count(*) FROM frames WHERE picture_id IS NOT NULL");
        least = frames < least ? frames : least;
        // Frames come back from their pictures even where their rows are gone.
        if (frames != 300 || pictures != 300) {
            fail_msg("page %lld: %lld frames, %lld of them with a picture", (long long)page,
                (long long)frames, (long long)pictures);
        }
        sqlite3_close(db);
        drop_dir(dir);
    }
    assert_true(tried >= 10);
    drop_dir(whole);
}

static void pictures_alone_make_a_store(void **state)
{
    (void)state;
    char *dir = make_store(60), path[512];
    snprintf(path, sizeof(path), "%s/store.db", dir);
    assert_int_equal(unlink(path), 0);
    int lines;
    rebuild(dir, &lines);
    assert_true(lines > 0);
    sqlite3 *db = open_db(dir);
    assert_int_equal(
        ask_int(db, "SELECT count(*) FROM frames WHERE picture_id IS NOT NULL AND pts_ns = number *"
                    " 40000000"),
        60);
    assert_int_equal(ask_int(db, "SELECT count(*) FROM streams WHERE name = 'gate'"), 1);
    sqlite3_close(db);
    drop_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_store_stays_as_it_is),
        cmocka_unit_test(flipped_cut_and_missing_pictures_are_found),
        cmocka_unit_test(every_page_of_the_database_may_be_damaged),
        cmocka_unit_test(pictures_alone_make_a_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
