// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** SQLite, translated: its codes into statuses, its statements into short calls. src/store is SQLite's only
 * owner. */
#ifndef FM_STORE_SQL_H
#define FM_STORE_SQL_H

#include <framemill/status.h>

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

/** The last failure of db, with "what" in front. DENIED, IO (also: disk full), BUSY, FORMAT, NOMEM, DB. */
fm_status fm__sql_fail(sqlite3 *db, const char *what, fm_error *err);
fm_status fm__sql_exec(sqlite3 *db, const char *sql, fm_error *err);
/** First column of the first row; NOTFOUND (without a message being made costly) when there is none. */
fm_status fm__sql_int(sqlite3 *db, const char *sql, int64_t *out, fm_error *err);
/** The same with one number bound to ?1. */
fm_status fm__sql_int_of(sqlite3 *db, const char *sql, int64_t arg, int64_t *out, fm_error *err);
/** A statement kept for the connection's life. */
fm_status fm__sql_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out, fm_error *err);
/** Runs a bound statement that gives no rows, and makes it ready for the next time. */
fm_status fm__sql_run(sqlite3_stmt *stmt, fm_error *err);
/** Next row: *row false at the end, and the statement is ready for the next time. */
fm_status fm__sql_step(sqlite3_stmt *stmt, bool *row, fm_error *err);

/** A connection for reading that never waits for the writer: its own snapshot (WAL). Close with
 * sqlite3_close. @param vfs  NULL: the system's */
fm_status fm__sql_open_reader(const char *dir, const char *vfs, sqlite3 **out, fm_error *err) FM_MUST_USE;
/** The writer's. @param full  the log is synced at each commit */
fm_status fm__sql_open_writer(
    const char *dir, const char *vfs, bool full, sqlite3 **out, fm_error *err) FM_MUST_USE;

#endif
