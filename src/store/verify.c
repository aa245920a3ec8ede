// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Looking for damage: the database by SQLite's own check, what its rows say of each other, each picture's
// bytes against its sum, each file against its row, each feature's shape, each index by its own check. Every
// damage is one line that names what is damaged; nothing is changed.

#include "store/check.h"

#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "search/graph.h"
#include "search/index.h"
#include "store/private.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_INTEGRITY_LINES 100

void fm__damage(fm_damages *d, const char *fmt, ...)
{
    fm_str s;
    fm__str_init(&s, FM_TAG_STORE);
    va_list ap;
    va_start(ap, fmt);
    fm__str_vprintf(&s, fmt, ap);
    va_end(ap);
    d->count++;
    if (d->fn) {
        d->fn(s.failed ? "damage, and no memory to name it" : s.data, d->opaque);
    }
    fm__str_done(&s);
}

static void check_pages(sqlite3 *db, fm_damages *d)
{
    sqlite3_stmt *q = NULL;
    fm_error err = {0};
    bool row = true;
    char sql[48];
    snprintf(sql, sizeof(sql), "PRAGMA integrity_check(%d)", MAX_INTEGRITY_LINES);
    fm_status st = fm__sql_prepare(db, sql, &q, &err);
    while (st == FM_OK && (st = fm__sql_step(q, &row, &err)) == FM_OK && row) {
        const char *text = (const char *)sqlite3_column_text(q, 0);
        if (text && strcmp(text, "ok") != 0) {
            fm__damage(d, "database: %s", text);
        }
    }
    if (st != FM_OK) {
        fm__damage(d, "database: %s", err.msg);
    }
    sqlite3_finalize(q);
}

// Rows that point to what is not there. Each query gives one number a damage.
static void check_links(sqlite3 *db, fm_damages *d)
{
    static const struct {
        const char *what, *sql;
    } links[] = {
        {"frame %lld has a picture that no row describes",
            "SELECT id FROM frames WHERE picture_id IS NOT NULL AND picture_id NOT IN (SELECT id FROM "
            "pictures)"},
        {"track %lld has a picture that no row describes",
            "SELECT id FROM tracks WHERE picture_id IS NOT NULL AND picture_id NOT IN (SELECT id FROM "
            "pictures)"},
        {"picture %lld lies in a segment that no row describes",
            "SELECT id FROM pictures WHERE segment_id NOT IN (SELECT id FROM segments)"},
        {"frame %lld is of no stream",
            "SELECT id FROM frames WHERE stream_id NOT IN (SELECT id FROM streams)"},
        {"detection %lld is of no frame",
            "SELECT id FROM detections WHERE frame_id NOT IN (SELECT id FROM frames)"},
        {"feature %lld is of no frame",
            "SELECT id FROM features WHERE frame_id NOT IN (SELECT id FROM frames)"},
        {"feature %lld has another length than its dimension says",
            "SELECT id FROM features WHERE length(vector) <> 4 * dim"},
    };
    for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++) {
        sqlite3_stmt *q = NULL;
        fm_error err = {0};
        bool row = true;
        fm_status st = fm__sql_prepare(db, links[i].sql, &q, &err);
        while (st == FM_OK && (st = fm__sql_step(q, &row, &err)) == FM_OK && row) {
            char line[160];
            // The format is the table's own, one number each.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            snprintf(line, sizeof(line), links[i].what, (long long)sqlite3_column_int64(q, 0));
#pragma GCC diagnostic pop
            fm__damage(d, "%s", line);
        }
        if (st != FM_OK) {
            fm__damage(d, "database: %s", err.msg);
        }
        sqlite3_finalize(q);
    }
}

// A JPEG is whole when it has both its ends; what lies between is held by the sum.
static bool has_ends(const uint8_t *p, size_t n)
{
    return n >= 4 && p[0] == 0xff && p[1] == 0xd8 && p[n - 2] == 0xff && p[n - 1] == 0xd9;
}

fm_status fm__check_picture(int fd, const fm_picture_row *p, fm_error *err)
{
    void *data = NULL;
    fm_status st = fm__segment_read(fd, p->segment_id, p->offset, p->length, p->crc32c, &data, err);
    if (st == FM_OK && !has_ends(data, (size_t)p->length)) {
        st = fm__fail(err, FM_FORMAT, "the picture at %lld of segment %lld is no whole JPEG",
            (long long)p->offset, (long long)p->segment_id);
    }
    fm__free(data);
    return st;
}

fm_status fm__check_pictures(fm_store *s, sqlite3 *db, fm_bad_picture_fn fn, void *opaque, fm_error *err)
{
    sqlite3_stmt *q = NULL;
    bool row = true;
    int fd = -1;
    int64_t open_id = -1;
    fm_error why = {0};
    fm_status opened = FM_OK;
    fm_status st = fm__sql_prepare(db,
        "SELECT id, segment_id, offset, length, crc32c FROM pictures ORDER BY segment_id, offset", &q, err);
    while (st == FM_OK && (st = fm__sql_step(q, &row, err)) == FM_OK && row) {
        fm_picture_row p = {.id = sqlite3_column_int64(q, 0),
            .segment_id = sqlite3_column_int64(q, 1),
            .offset = sqlite3_column_int64(q, 2),
            .length = sqlite3_column_int64(q, 3),
            .crc32c = (uint32_t)sqlite3_column_int64(q, 4)};
        if (p.segment_id != open_id) {
            if (fd >= 0) {
                close(fd);
            }
            fd = -1;
            open_id = p.segment_id;
            opened = fm__segment_open(s->dir, open_id, &fd, &why);
        }
        fm_status one = opened == FM_OK ? fm__check_picture(fd, &p, &why) : opened;
        if (one == FM_NOMEM) {
            st = fm__fail_nomem(err, "a picture");
        } else if (one != FM_OK) {
            st = fn(&p, why.msg, opaque, err);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    sqlite3_finalize(q);
    return st;
}

static fm_status tell_bad(const fm_picture_row *p, const char *why, void *opaque, fm_error *err)
{
    (void)err;
    fm__damage(opaque, "picture %lld: %s", (long long)p->id, why);
    return FM_OK;
}

// Rows whose file is short, and files that no row describes (which a writer's start collects).
static void check_files(fm_store *s, sqlite3 *db, fm_damages *d)
{
    sqlite3_stmt *q = NULL;
    fm_error err = {0};
    bool row = true;
    fm_status st = fm__sql_prepare(db, "SELECT id, bytes FROM segments ORDER BY id", &q, &err);
    while (st == FM_OK && (st = fm__sql_step(q, &row, &err)) == FM_OK && row) {
        int64_t id = sqlite3_column_int64(q, 0), bytes = sqlite3_column_int64(q, 1);
        char *path = fm__segment_path(s->dir, id);
        int64_t size = path ? fm__file_size(path) : -1;
        if (size < 0) {
            fm__damage(d, "file %s is missing", path ? path : "?");
        } else if (size < bytes) {
            fm__damage(d, "file %s has %lld bytes of %lld", path, (long long)size, (long long)bytes);
        }
        int fd = -1;
        fm_segment_head head;
        if (size >= 0 && fm__segment_open(s->dir, id, &fd, &err) == FM_OK) {
            if (fm__segment_read_head(fd, path, &head, &err) != FM_OK) {
                fm__damage(d, "%s", err.msg);
            }
            close(fd);
        }
        fm__free(path);
    }
    if (st != FM_OK) {
        fm__damage(d, "database: %s", err.msg);
    }
    sqlite3_finalize(q);
}

static void check_index(fm_store *s, const char *model, const char *kind, int dim, fm_damages *d)
{
    char *path = fm__store_index_path(s, model, kind);
    fm__index *index = NULL;
    fm_error err = {0};
    for (int metric = 0; path && fm__is_file(path) && metric < 2; metric++) {
        fm__index_opts o = {.dim = dim, .metric = (fm_metric)metric, .threads = 1, .read_only = true};
        fm_status st = fm__index_open(path, &o, &index, &err);
        if (st == FM_INVAL && metric == 0) {
            continue; // of the other metric
        }
        st = st == FM_OK ? fm__index_verify(index, &err) : st;
        if (st != FM_OK) {
            fm__damage(d, "index %s: %s; delete it, and the next search makes it anew", path, err.msg);
        }
        break;
    }
    fm__index_close(&index);
    fm__free(path);
}

static void check_graph(fm_store *s, const char *model, const char *kind, int dim, fm_damages *d)
{
    char *index = fm__store_index_path(s, model, kind);
    char *path = index ? fm__asprintf(FM_TAG_STORE, "%s" FM_STORE_GRAPH, index) : NULL;
    fm__graph *graph = NULL;
    fm_error err = {0};
    if (path && fm__is_file(path)) {
        fm_status st = fm__graph_load(path, (size_t)dim, &graph, &err);
        st = st == FM_OK ? fm__graph_validate(graph, &err) : st;
        if (st != FM_OK) {
            fm__damage(d, "graph %s: %s; 'framemill store index --graph' makes it anew", path, err.msg);
        }
    }
    fm__graph_free(&graph);
    fm__free(index);
    fm__free(path);
}

static void check_indices(fm_store *s, sqlite3 *db, fm_damages *d)
{
    sqlite3_stmt *q = NULL;
    fm_error err = {0};
    bool row = true;
    fm_status st = fm__sql_prepare(db, "SELECT name, kind, dim FROM models", &q, &err);
    while (st == FM_OK && (st = fm__sql_step(q, &row, &err)) == FM_OK && row) {
        const char *name = (const char *)sqlite3_column_text(q, 0),
                   *kind = (const char *)sqlite3_column_text(q, 1);
        if (name && kind) {
            check_index(s, name, kind, sqlite3_column_int(q, 2), d);
            check_graph(s, name, kind, sqlite3_column_int(q, 2), d);
        }
    }
    sqlite3_finalize(q);
}

fm_status fm_store_verify(fm_store *s, fm_store_damage_fn fn, void *opaque, uint64_t *damages, fm_error *err)
{
    sqlite3 *db = NULL;
    fm_damages d = {.fn = fn, .opaque = opaque};
    fm_status st = fm__sql_open_reader(s->dir, s->vfs, &db, err);
    st = st == FM_OK ? fm__sql_exec(db, "BEGIN", err) : st; // one moment for everything
    if (st != FM_OK) {
        sqlite3_close(db);
        return st;
    }
    check_pages(db, &d);
    check_links(db, &d);
    check_files(s, db, &d);
    fm_error why = {0};
    st = fm__check_pictures(s, db, tell_bad, &d, &why);
    if (st == FM_FORMAT || st == FM_DB) {
        fm__damage(&d, "pictures: %s", why.msg);
        st = FM_OK;
    } else if (st != FM_OK) {
        st = fm__fail_native(err, st, why.native, "%s", why.msg);
    }
    check_indices(s, db, &d);
    sqlite3_close(db);
    if (st == FM_OK && damages) {
        *damages = d.count;
    }
    return st;
}
