// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Reading a damaged database: each table in the order of its ids, up to the first row that cannot be read;
// then on from the first one behind it that can. A damaged page costs its own rows, not those after it.
// Indices are not read at all (they are made anew in the copy).

#include "store/check.h"

#include "base/error.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

#define NARROW_STEPS 4096 // ids tried one by one behind a damage, before the steps grow

static const char *const tables[] = {"meta", "streams", "runs", "segments", "pictures", "frames",
    "detections", "tracks", "features", "models"};

static bool has_id(const char *table)
{
    return strcmp(table, "meta") != 0 && strcmp(table, "models") != 0;
}

// INSERT with the columns that the source has.
static fm_status prepare_insert(
    sqlite3 *dst, sqlite3_stmt *from, const char *table, sqlite3_stmt **out, fm_error *err)
{
    fm_str sql;
    fm__str_init(&sql, FM_TAG_STORE);
    int n = sqlite3_column_count(from);
    fm__str_printf(&sql, "INSERT OR IGNORE INTO %s(", table);
    for (int i = 0; i < n; i++) {
        fm__str_printf(&sql, "%s\"%s\"", i ? "," : "", sqlite3_column_name(from, i));
    }
    fm__str_add(&sql, ") VALUES(");
    for (int i = 0; i < n; i++) {
        fm__str_add(&sql, i ? ",?" : "?");
    }
    fm__str_add_char(&sql, ')');
    fm_status st = sql.failed ? fm__fail_nomem(err, "a statement") : fm__sql_prepare(dst, sql.data, out, err);
    fm__str_done(&sql);
    return st;
}

static fm_status copy_row(sqlite3_stmt *from, sqlite3_stmt *to, fm_error *err)
{
    for (int i = 0; i < sqlite3_column_count(from); i++) {
        sqlite3_bind_value(to, i + 1, sqlite3_column_value(from, i));
    }
    return fm__sql_run(to, err);
}

/** How far a table was read. */
typedef struct reading {
    sqlite3 *src;
    sqlite3_stmt *to;
    const char *table;
    int64_t last; // id of the last row that was copied
    bool damaged; // the last read ended at a damage
} reading;

// Copies from the first id >= from until the end or a damage.
static fm_status read_from(reading *r, sqlite3 *dst, int64_t from, int limit, fm_error *err)
{
    char sql[128];
    sqlite3_stmt *q = NULL;
    fm_error why;
    bool row = true;
    if (has_id(r->table)) {
        snprintf(sql, sizeof(sql), "SELECT * FROM %s WHERE id >= ?1 ORDER BY id LIMIT %d", r->table, limit);
    } else {
        snprintf(sql, sizeof(sql), "SELECT * FROM %s LIMIT %d", r->table, limit);
    }
    r->damaged = fm__sql_prepare(r->src, sql, &q, &why) != FM_OK;
    if (r->damaged) {
        return FM_OK;
    }
    if (has_id(r->table)) {
        sqlite3_bind_int64(q, 1, from);
    }
    fm_status st = r->to ? FM_OK : prepare_insert(dst, q, r->table, &r->to, err);
    while (st == FM_OK) {
        r->damaged = fm__sql_step(q, &row, &why) != FM_OK;
        if (r->damaged || !row) {
            break;
        }
        fm_status one = copy_row(q, r->to, &why);
        if (one == FM_NOMEM || one == FM_IO) {
            st = fm__fail_native(err, one, why.native, "%s", why.msg);
        }
        // A row of nonsense from a damaged page breaks a rule of its table: it is left out.
        r->last = has_id(r->table) ? sqlite3_column_int64(q, 0) : 0;
    }
    sqlite3_finalize(q);
    return st;
}

// The highest id there may be; what a damaged b-tree cannot say, the sequence does.
static int64_t highest(sqlite3 *src, const char *table)
{
    char sql[160];
    int64_t a = 0, b = 0;
    snprintf(sql, sizeof(sql), "SELECT seq FROM sqlite_sequence WHERE name = '%s'", table);
    (void)fm__sql_int(src, sql, &a, NULL); // 0 without
    snprintf(sql, sizeof(sql), "SELECT max(id) FROM %s", table);
    (void)fm__sql_int(src, sql, &b, NULL);
    return a > b ? a : b;
}

static fm_status salvage_table(sqlite3 *src, sqlite3 *dst, const char *table, fm_damages *d, fm_error *err)
{
    reading r = {.src = src, .table = table, .last = 0};
    fm_status st = read_from(&r, dst, INT64_MIN, -1, err);
    int64_t end = r.damaged && has_id(table) ? highest(src, table) : 0;
    while (st == FM_OK && r.damaged && has_id(table)) {
        int64_t before = r.last, at = before + 1, step = 1;
        for (int tries = 0; st == FM_OK && r.damaged && at <= end; tries++) {
            st = read_from(&r, dst, at, 1, err);
            at += r.damaged ? step : 0;
            step = tries > NARROW_STEPS ? step * 2 : step;
        }
        if (r.last == before) { // nothing behind it can be read
            fm__damage(d, "%s: rows from %lld on could not be read", table, (long long)before + 1);
            break;
        }
        fm__damage(
            d, "%s: rows %lld to %lld could not be read", table, (long long)before + 1, (long long)at - 1);
        st = st == FM_OK ? read_from(&r, dst, r.last + 1, -1, err) : st;
    }
    if (r.damaged && !has_id(table)) {
        fm__damage(d, "%s: not all rows could be read", table);
    }
    sqlite3_finalize(r.to);
    return st;
}

fm_status fm__salvage(sqlite3 *src, sqlite3 *dst, fm_damages *d, fm_error *err)
{
    fm_status st = fm__sql_exec(dst, "BEGIN", err);
    for (size_t i = 0; i < sizeof(tables) / sizeof(*tables) && st == FM_OK; i++) {
        st = salvage_table(src, dst, tables[i], d, err);
    }
    return st == FM_OK ? fm__sql_exec(dst, "COMMIT", err) : st;
}
