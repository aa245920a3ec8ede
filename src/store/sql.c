// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// SQLite's codes as statuses, and the settings of both kinds of connection.

#include "store/sql.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "store/schema.h"

#include <stdio.h>
#include <string.h>

#define BUSY_MS 5000         // readers only wait where the database is being made or its log put back
#define MMAP_BYTES (1 << 30) // of a reader: pages come from the page cache without a copy

static fm_status status_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_NOMEM:
        return FM_NOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return FM_BUSY;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY:
        return FM_DENIED;
    case SQLITE_IOERR:
    case SQLITE_FULL:
    case SQLITE_CANTOPEN:
        return FM_IO;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return FM_FORMAT;
    default:
        return FM_DB;
    }
}

fm_status fm__sql_fail(sqlite3 *db, const char *what, fm_error *err)
{
    int code = sqlite3_extended_errcode(db);
    fm_status st = status_of(code);
    return fm__fail_native(err, st, code, "%s: %s%s", what, sqlite3_errmsg(db),
        st == FM_FORMAT ? "; try 'framemill store rebuild'" : "");
}

fm_status fm__sql_exec(sqlite3 *db, const char *sql, fm_error *err)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? FM_OK : fm__sql_fail(db, "the store", err);
}

fm_status fm__sql_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out, fm_error *err)
{
    return sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) == SQLITE_OK
               ? FM_OK
               : fm__sql_fail(db, "the store", err);
}

fm_status fm__sql_step(sqlite3_stmt *stmt, bool *row, fm_error *err)
{
    int code = sqlite3_step(stmt);
    *row = code == SQLITE_ROW;
    if (*row) {
        return FM_OK;
    }
    fm_status st = code == SQLITE_DONE ? FM_OK : fm__sql_fail(sqlite3_db_handle(stmt), "the store", err);
    sqlite3_reset(stmt);
    return st;
}

fm_status fm__sql_run(sqlite3_stmt *stmt, fm_error *err)
{
    bool row = true;
    fm_status st = FM_OK;
    while (st == FM_OK && row) {
        st = fm__sql_step(stmt, &row, err);
    }
    sqlite3_clear_bindings(stmt);
    return st;
}

static fm_status first_int(sqlite3_stmt *stmt, int64_t *out, fm_error *err)
{
    bool row = false;
    fm_status st = fm__sql_step(stmt, &row, err);
    if (st == FM_OK && !row) {
        st = fm__fail(err, FM_NOTFOUND, "the store has no such row");
    }
    if (st == FM_OK) {
        *out = sqlite3_column_int64(stmt, 0);
    }
    return st;
}

fm_status fm__sql_int_of(sqlite3 *db, const char *sql, int64_t arg, int64_t *out, fm_error *err)
{
    sqlite3_stmt *stmt = NULL;
    fm_status st = fm__sql_prepare(db, sql, &stmt, err);
    if (st == FM_OK && sqlite3_bind_parameter_count(stmt) > 0) {
        sqlite3_bind_int64(stmt, 1, arg);
    }
    st = st == FM_OK ? first_int(stmt, out, err) : st;
    sqlite3_finalize(stmt);
    return st;
}

fm_status fm__sql_int(sqlite3 *db, const char *sql, int64_t *out, fm_error *err)
{
    return fm__sql_int_of(db, sql, 0, out, err);
}

// The database's path; as a URI where it is known that nobody writes (immutable), with its own signs escaped.
static char *path_of(const char *dir, bool immutable)
{
    char *path = fm__path_join(FM_TAG_STORE, dir, FM_STORE_DATABASE);
    if (!path || !immutable) {
        return path;
    }
    fm_str uri;
    fm__str_init(&uri, FM_TAG_STORE);
    fm__str_add(&uri, "file:");
    for (const char *p = path; *p; p++) {
        if (strchr("%?#", *p)) {
            fm__str_printf(&uri, "%%%02x", (unsigned)*p);
        } else {
            fm__str_add_char(&uri, *p);
        }
    }
    fm__str_add(&uri, "?immutable=1");
    fm__free(path);
    return fm__str_take(&uri);
}

static fm_status open_database(
    const char *dir, const char *vfs, int flags, const char *settings, sqlite3 **out, fm_error *err)
{
    char *path = path_of(dir, flags & SQLITE_OPEN_URI);
    if (!path) {
        return fm__fail_nomem(err, "a path");
    }
    sqlite3 *db = NULL;
    fm_status st = FM_OK;
    if (sqlite3_open_v2(path, &db, flags | SQLITE_OPEN_NOMUTEX, vfs) != SQLITE_OK) {
        st = db ? fm__sql_fail(db, path, err) : fm__fail_nomem(err, "the database");
    }
    if (st == FM_OK) {
        sqlite3_busy_timeout(db, BUSY_MS);
        st = fm__sql_exec(db, settings, err);
        if (st != FM_OK) {
            fm__error_prefix(err, "%s", path);
        }
    }
    fm__free(path);
    if (st != FM_OK) {
        sqlite3_close(db);
        return st;
    }
    *out = db;
    return FM_OK;
}

// A log with something in it belongs to the database.
static bool has_log(const char *dir)
{
    char *path = fm__path_join(FM_TAG_STORE, dir, FM_STORE_DATABASE "-wal");
    bool has = !path || fm__file_size(path) > 0;
    fm__free(path);
    return has;
}

fm_status fm__sql_open_reader(const char *dir, const char *vfs, sqlite3 **out, fm_error *err)
{
    // Not SQLITE_OPEN_READONLY where the folder can be written: whoever reads a log that no process has open
    // has to make its shared memory file. query_only keeps it from writing all the same. The last statement
    // reads the first page, so that what cannot be opened is known here.
    char settings[160];
    snprintf(settings, sizeof(settings),
        "PRAGMA query_only = ON; PRAGMA mmap_size = %d; PRAGMA cache_size = -8192; SELECT 1 FROM "
        "sqlite_schema LIMIT 1",
        MMAP_BYTES);
    fm_status st = open_database(dir, vfs, SQLITE_OPEN_READWRITE, settings, out, err);
    if (st == FM_OK || st == FM_FORMAT) {
        return st;
    }
    st = open_database(dir, vfs, SQLITE_OPEN_READONLY, settings, out, err);
    // From a folder that cannot be written a database without a log is read as it lies there.
    return st == FM_OK || has_log(dir)
               ? st
               : open_database(dir, vfs, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, settings, out, err);
}

fm_status fm__sql_open_writer(const char *dir, const char *vfs, bool full, sqlite3 **out, fm_error *err)
{
    // page_size, auto_vacuum and journal_mode are the file's and act when it is made; docs/store.md says why
    // each is as it is.
    char settings[512];
    snprintf(settings, sizeof(settings),
        "PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
        "PRAGMA synchronous = %s; PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit = 67108864;"
        "PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY; PRAGMA locking_mode = NORMAL;"
        "PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF",
        full ? "FULL" : "NORMAL");
    return open_database(dir, vfs, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, settings, out, err);
}
