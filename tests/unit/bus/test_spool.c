// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The spool against what it must be: a queue of everything that was put and not acknowledged, also after it
// was closed at any point, cut at any byte, or changed in any byte; within its bound; with one owner.

#include "../testing.h"

#include "base/alloc.h"
#include "base/file.h"
#include "bus/spool.h"

#include <dirent.h>
#include <unistd.h>

static char *dir;

static int set_up(void **state)
{
    (void)state;
    dir = make_dir();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    drop_dir(dir);
    return 0;
}

static fm_spool *open_spool(int64_t max_bytes)
{
    fm_spool_opts o = {.dir = dir, .max_bytes = max_bytes};
    fm_spool *s = NULL;
    fm_error err = {0};
    if (fm__spool_open(&o, &s, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    return s;
}

// A record whose data is "<sequence>" and so many dots.
static size_t make_record(uint8_t *out, uint64_t epoch, uint64_t sequence, size_t dots)
{
    static char data[100000];
    int n = snprintf(data, sizeof(data), "%llu", (unsigned long long)sequence);
    memset(data + n, '.', dots);
    fm_bus_entry e = {.key = "k",
        .key_len = 1,
        .stream = "gate",
        .stream_len = 4,
        .type = "result",
        .type_len = 6,
        .data = data,
        .data_len = (size_t)n + dots};
    fm__record_write(out, &e, epoch, sequence);
    return fm__record_size(&e);
}

static void put(fm_spool *s, uint64_t first, uint64_t last, size_t dots)
{
    static uint8_t buf[200000];
    for (uint64_t i = first; i <= last; i++) {
        size_t taken, len = make_record(buf, fm__spool_epoch(s), i, dots);
        assert_int_equal(fm__spool_append(s, buf, len, &taken, NULL), FM_OK);
        assert_int_equal(taken, len);
    }
}

static size_t read_batch(fm_spool *s, size_t max, fm_spool_batch *b)
{
    fm_error err = {0};
    if (fm__spool_read(s, max, 1 << 20, b, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    return b->count;
}

static void check_record(const fm_record *r, uint64_t sequence)
{
    assert_int_equal(r->sequence, sequence);
    assert_int_equal(r->entry.stream_len, 4);
    assert_memory_equal(r->entry.stream, "gate", 4);
    assert_int_equal(strtoull(r->entry.data, NULL, 10), sequence);
}

// Reads all; every one must be the next of the sequence.
static uint64_t read_all(fm_spool *s, uint64_t next, bool ack)
{
    fm_spool_batch b = {0};
    while (read_batch(s, 7, &b) > 0) {
        for (size_t i = 0; i < b.count; i++) {
            check_record(&b.records[i], next++);
        }
        if (ack) {
            fm__spool_ack(s, &b);
        }
    }
    fm__spool_batch_done(&b);
    return next;
}

static void comes_out_as_it_went_in(void **state)
{
    (void)state;
    fm_spool *s = open_spool(64 << 20);
    put(s, 1, 100, 50);
    assert_int_equal(read_all(s, 1, true), 101);
    put(s, 101, 150, 0);
    assert_int_equal(read_all(s, 101, true), 151);
    fm_spool_stats stats;
    fm__spool_stats(s, &stats);
    assert_true(stats.unread == 0 && stats.dropped == 0 && stats.damaged_bytes == 0);
    fm__spool_close(&s);
}

static void what_was_not_acknowledged_comes_again(void **state)
{
    (void)state;
    fm_spool *s = open_spool(64 << 20);
    uint64_t epoch = fm__spool_epoch(s);
    put(s, 1, 40, 90000); // several segments
    fm_spool_batch b = {0};
    assert_true(read_batch(s, 7, &b) > 0);
    uint64_t next = b.count + 1;
    fm__spool_ack(s, &b);
    assert_true(read_batch(s, 7, &b) > 0); // on its way when the process dies
    fm__spool_close(&s);
    s = open_spool(64 << 20);
    assert_true(fm__spool_epoch(s) > epoch);
    fm_spool_stats stats;
    fm__spool_stats(s, &stats);
    assert_int_equal(stats.unread, 40 - (next - 1));
    put(s, 41, 45, 0); // of the new epoch: never in one batch with the old one's
    while (read_batch(s, 100, &b) > 0) {
        for (size_t i = 0; i < b.count; i++) {
            check_record(&b.records[i], next);
            assert_true(b.records[i].epoch == b.records[0].epoch);
            assert_int_equal(b.records[i].epoch == epoch, next++ <= 40);
        }
        fm__spool_ack(s, &b);
    }
    assert_int_equal(next, 46);
    fm__spool_batch_done(&b);
    fm__spool_close(&s);
}

static size_t count_segments(void)
{
    DIR *d = opendir(dir);
    size_t n = 0;
    for (struct dirent *e; (e = readdir(d));) {
        n += strstr(e->d_name, ".spool") != NULL;
    }
    closedir(d);
    return n;
}

static void what_is_done_is_deleted(void **state)
{
    (void)state;
    fm_spool *s = open_spool(64 << 20);
    put(s, 1, 200, 90000);
    assert_true(count_segments() > 3);
    assert_int_equal(read_all(s, 1, true), 201);
    assert_int_equal(count_segments(), 1);
    fm__spool_close(&s);
    assert_int_equal(count_segments(), 0);
}

static void full_drops_the_oldest(void **state)
{
    (void)state;
    fm_spool *s = open_spool(1 << 20);
    put(s, 1, 100, 30000);
    fm_spool_stats stats;
    fm__spool_stats(s, &stats);
    assert_true(stats.peak_bytes <= 1 << 20 && stats.bytes > 1 << 19);
    assert_int_equal(stats.dropped + stats.unread, 100);
    assert_true(stats.dropped > 50);
    assert_int_equal(read_all(s, stats.dropped + 1, true), 101);
    fm__spool_close(&s);
}

// The batch on its way when its segment is dropped still counts as sent, not as dropped.
static void a_batch_outlives_its_segment(void **state)
{
    (void)state;
    fm_spool *s = open_spool(1 << 20);
    fm_spool_batch b = {0};
    put(s, 1, 20, 30000);
    assert_int_equal(read_batch(s, 2, &b), 2);
    put(s, 21, 100, 30000);
    check_record(&b.records[1], 2);
    fm_spool_stats stats;
    fm__spool_stats(s, &stats);
    assert_int_equal(stats.dropped + stats.unread, 98);
    fm__spool_ack(s, &b);
    assert_int_equal(read_all(s, stats.dropped + 3, true), 101);
    fm__spool_batch_done(&b);
    fm__spool_close(&s);
}

static char *only_segment(size_t *len, char path[512])
{
    DIR *d = opendir(dir);
    path[0] = 0;
    for (struct dirent *e; (e = readdir(d));) {
        if (strstr(e->d_name, ".spool")) {
            snprintf(path, 512, "%s/%.60s", dir, e->d_name);
        }
    }
    closedir(d);
    char *data = NULL;
    assert_int_equal(fm__file_read(FM_TAG_BASE, path, 1 << 20, &data, len, NULL), FM_OK);
    return data;
}

static void write_file(const char *path, const char *data, size_t len)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void cut_anywhere(void **state)
{
    (void)state;
    fm_spool *s = open_spool(64 << 20);
    put(s, 1, 5, 3);
    fm__spool_close(&s);
    char path[512];
    size_t len, record;
    char *data = only_segment(&len, path);
    record = len / 5;
    for (size_t cut = 0; cut < len; cut++) {
        write_file(path, data, cut);
        s = open_spool(64 << 20);
        fm_spool_stats stats;
        fm__spool_stats(s, &stats);
        assert_int_equal(stats.unread, cut / record);
        assert_int_equal(read_all(s, 1, false), cut / record + 1);
        fm__spool_stats(s, &stats);
        assert_int_equal(stats.damaged_bytes, cut % record);
        fm__spool_close(&s);
    }
    fm__free(data);
}

static void changed_anywhere(void **state)
{
    (void)state;
    fm_spool *s = open_spool(64 << 20);
    put(s, 1, 5, 3);
    fm__spool_close(&s);
    char path[512];
    size_t len;
    char *data = only_segment(&len, path);
    for (size_t at = 0; at < len; at++) {
        char bit = (char)(1 << at % 8);
        data[at] ^= bit;
        write_file(path, data, len);
        data[at] ^= bit;
        s = open_spool(64 << 20);
        fm_spool_batch b = {0};
        uint64_t hit = at / (len / 5) + 1, next = 1;
        while (read_batch(s, 10, &b) > 0) {
            for (size_t i = 0; i < b.count; i++) {
                next += next == hit;
                check_record(&b.records[i], next++);
            }
        }
        next += next == hit;
        assert_int_equal(next, 6);
        fm__spool_batch_done(&b);
        fm__spool_close(&s);
    }
    fm__free(data);
}

static void a_lost_position_sends_all_again(void **state)
{
    (void)state;
    char path[600];
    snprintf(path, sizeof(path), "%s/position", dir);
    fm_spool *s = open_spool(64 << 20);
    fm_spool_batch b = {0};
    put(s, 1, 9, 3);
    assert_int_equal(read_batch(s, 4, &b), 4);
    fm__spool_ack(s, &b);
    fm__spool_batch_done(&b);
    fm__spool_close(&s);
    write_file(path, "broken", 6);
    s = open_spool(64 << 20);
    assert_int_equal(read_all(s, 1, false), 10);
    fm__spool_close(&s);
}

static void one_owner(void **state)
{
    (void)state;
    fm_spool *s = open_spool(1 << 20), *other = NULL;
    fm_spool_opts o = {.dir = dir, .max_bytes = 1 << 20};
    fm_error err = {0};
    assert_int_equal(fm__spool_open(&o, &other, &err), FM_BUSY);
    char pid[32];
    snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
    assert_non_null(strstr(err.msg, pid));
    fm__spool_close(&s);
    s = open_spool(1 << 20);
    fm__spool_close(&s);
}

static void a_record_has_its_limit(void **state)
{
    (void)state;
    fm_bus_entry e = {.key = "k", .key_len = 1, .data = "", .data_len = FM_RECORD_MAX};
    assert_int_equal(fm__record_size(&e), 0);
    e.data_len = SIZE_MAX - 4;
    assert_int_equal(fm__record_size(&e), 0);
    e.data_len = 0;
    e.stream_len = 70000;
    assert_int_equal(fm__record_size(&e), 0);
}

static void every_failed_allocation_is_survived(void **state)
{
    (void)state;
    fm_spool *s = open_spool(64 << 20);
    put(s, 1, 9, 3);
    fm__spool_close(&s);
    for (uint64_t nth = 1;; nth++) {
        fm_spool_opts o = {.dir = dir, .max_bytes = 64 << 20};
        fm_spool_batch b = {0};
        fm__alloc_fail_at(nth, false);
        fm_status st = fm__spool_open(&o, &s, NULL);
        st = st == FM_OK ? fm__spool_read(s, 100, 1 << 20, &b, NULL) : st;
        fm__alloc_fail_at(0, false);
        if (st == FM_OK && b.count == 9) {
            fm__spool_batch_done(&b);
            fm__spool_close(&s);
            assert_true(nth > 5);
            return;
        }
        assert_true(st == FM_NOMEM || b.count > 0); // a batch may have been cut short
        fm__spool_batch_done(&b);
        fm__spool_close(&s);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(comes_out_as_it_went_in),
        TEST(what_was_not_acknowledged_comes_again),
        TEST(what_is_done_is_deleted),
        TEST(full_drops_the_oldest),
        TEST(a_batch_outlives_its_segment),
        TEST(cut_anywhere),
        TEST(changed_anywhere),
        TEST(a_lost_position_sends_all_again),
        TEST(one_owner),
        TEST(a_record_has_its_limit),
        TEST(every_failed_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
