// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Kill -9 at random points, again and again on one store: what was acknowledged is there, every row points to
// whole data, and after the next start no data lacks a row.

#include "storing.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

enum { ROUNDS = 200 };

typedef struct pipe_end {
    int fd;
    uint64_t next; // acknowledgements come in the order of puts
} pipe_end;

static void tell(fm_status st, int64_t id, const fm_error *err, void *opaque)
{
    pipe_end *p = opaque;
    (void)err;
    if (st != FM_OK || id <= 0 || write(p->fd, &p->next, sizeof(p->next)) != sizeof(p->next)) {
        _exit(3);
    }
    p->next++;
}

// Writes until it is killed. The run's number goes out first.
static void child(const char *dir, int fd)
{
    fm_store_opts o = FM_STORE_OPTS_INIT;
    fm_store *s = NULL;
    pipe_end p = {.fd = fd};
    int64_t run = 0;
    o.dir = dir;
    o.free_floor = -1;
    o.segment_bytes = 300000; // so that files end and begin
    if (fm_store_open(&o, &s, NULL) != FM_OK || fm_store_begin_run(s, "gate", NULL, &run, NULL) != FM_OK ||
        write(fd, &run, sizeof(run)) != sizeof(run)) {
        _exit(2);
    }
    for (uint64_t i = 0;; i++) {
        if (put_frame(s, run, i, tell, &p, NULL) != FM_OK) {
            _exit(4);
        }
        usleep(300);
    }
}

static void sleep_us(int us)
{
    struct timespec t = {.tv_nsec = (long)us * 1000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR) {
    }
}

// Everything up to the end of the pipe; how many were acknowledged.
static int64_t read_acks(int fd, int64_t *run)
{
    int64_t n = 0;
    uint64_t v;
    if (read(fd, run, sizeof(*run)) != sizeof(*run)) {
        return 0; // killed before it began
    }
    while (read(fd, &v, sizeof(v)) == sizeof(v)) {
        assert_int_equal(v, n);
        n++;
    }
    return n;
}

static void what_was_acknowledged_survives_kill_9(void **state)
{
    (void)state;
    char *dir = make_dir();
    uint64_t random = 20261124;
    int64_t total = 0, with_acks = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            close(ends[0]);
            child(dir, ends[1]);
        }
        close(ends[1]);
        sleep_us(round % 10 == 0 ? rnd_below(&random, 20000) : 50000 + rnd_below(&random, 100000));
        assert_int_equal(kill(pid, SIGKILL), 0);
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status)); // it did not fail before
        int64_t run = 0, acked = read_acks(ends[0], &run);
        close(ends[0]);
        total += acked;
        with_acks += acked > 0;
        // Before anybody repairs anything: rows point to whole data, and what was acknowledged is there.
        if (acked > 0) {
            char sql[160];
            check_whole(dir, false);
            sqlite3 *db = open_db(dir);
            snprintf(sql, sizeof(sql),
                "SELECT count(DISTINCT number) FROM frames WHERE run_id = %lld AND number < %lld"
                " AND picture_id IS NOT NULL",
                (long long)run, (long long)acked);
            assert_int_equal(ask_int(db, sql), acked);
            sqlite3_close(db);
        }
        if (round % 10 == 9) { // a start collects; then on with an empty one, which is checked sooner
            close_ok(open_dir(dir));
            check_whole(dir, true);
            if (round % 20 == 19) {
                assert_int_equal(damages_of(dir), 0);
                drop_dir(dir);
                dir = make_dir();
            }
        }
    }
    print_message("%d rounds, %lld of them with acknowledgements, %lld frames\n", ROUNDS,
        (long long)with_acks, (long long)total);
    assert_true(with_acks > ROUNDS / 3); // else this tests nothing
    drop_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_was_acknowledged_survives_kill_9)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
