// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Making a damaged store whole. A new database is made beside the old one, filled with what can be read of it
// (salvage.c); rows whose picture is damaged or gone lose it; pictures that no row describes get one again
// from their own heads; and only then the new database takes the old one's place, which is kept.

#include "store/check.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NEW_FOLDER "rebuild"

typedef struct rebuild {
    fm_store *s; // a shell: folder and hooks
    sqlite3 *db; // the new one
    fm_damages d;
} rebuild;

static fm_status run_with(rebuild *r, const char *sql, const int64_t *args, int n, fm_error *err)
{
    sqlite3_stmt *q = NULL;
    fm_status st = fm__sql_prepare(r->db, sql, &q, err);
    for (int i = 0; st == FM_OK && i < n; i++) {
        sqlite3_bind_int64(q, i + 1, args[i]);
    }
    st = st == FM_OK ? fm__sql_run(q, err) : st;
    sqlite3_finalize(q);
    return st;
}

static fm_status drop_picture(const fm_picture_row *p, const char *why, void *opaque, fm_error *err)
{
    rebuild *r = opaque;
    fm__damage(&r->d, "picture %lld is lost: %s", (long long)p->id, why);
    // Not deleted here: the walk over the table goes on. A mark does.
    return run_with(r, "INSERT INTO temp.bad VALUES(?1)", &p->id, 1, err);
}

static fm_status drop_bad_pictures(rebuild *r, fm_error *err)
{
    fm_status st = fm__sql_exec(r->db, "CREATE TEMP TABLE bad(id INTEGER PRIMARY KEY)", err);
    st = st == FM_OK ? fm__check_pictures(r->s, r->db, drop_picture, r, err) : st;
    return st == FM_OK
               ? fm__sql_exec(r->db,
                     "DELETE FROM pictures WHERE id IN (SELECT id FROM temp.bad);"
                     "DELETE FROM segments WHERE id NOT IN (SELECT segment_id FROM pictures);"
                     "UPDATE frames SET picture_id = NULL WHERE picture_id NOT IN (SELECT id FROM pictures);"
                     "UPDATE tracks SET picture_id = NULL WHERE picture_id NOT IN (SELECT id FROM pictures)",
                     err)
               : st;
}

// Rows of what the heads name, where they are gone.
static fm_status need_segment(rebuild *r, const fm_segment_head *h, fm_error *err)
{
    sqlite3_stmt *q = NULL;
    fm_status st = fm__sql_prepare(
        r->db, "INSERT OR IGNORE INTO streams(id, name, created_ns) VALUES(?1, ?2, ?3)", &q, err);
    if (st == FM_OK) {
        sqlite3_bind_int64(q, 1, h->stream_id);
        sqlite3_bind_text(q, 2, h->name, -1, SQLITE_STATIC);
        sqlite3_bind_int64(q, 3, h->created_ns);
        st = fm__sql_run(q, err);
    }
    sqlite3_finalize(q);
    const int64_t segment[] = {h->segment_id, h->stream_id, h->created_ns};
    return st == FM_OK
               ? run_with(r,
                     "INSERT OR IGNORE INTO segments(id, stream_id, created_ns, bytes) VALUES(?1, ?2, ?3, 0)",
                     segment, 3, err)
               : st;
}

static fm_status need_run(rebuild *r, const fm_segment_head *h, const fm_picture_head *p, fm_error *err)
{
    const int64_t run[] = {p->run_id, h->stream_id, h->created_ns};
    return run_with(
        r, "INSERT OR IGNORE INTO runs(id, stream_id, started_ns) VALUES(?1, ?2, ?3)", run, 3, err);
}

// A file's head from its rows; false when they do not know it either.
static bool mend_head(rebuild *r, const char *path, fm_segment_head *h)
{
    sqlite3_stmt *q = NULL;
    fm_error why;
    bool row = false;
    const char *base = fm__path_base(path);
    int64_t id = strtoll(base, NULL, 10);
    *h = (fm_segment_head){.segment_id = id};
    if (fm__sql_prepare(r->db,
            "SELECT g.stream_id, g.created_ns, s.name FROM segments g JOIN streams s ON s.id = g.stream_id "
            "WHERE g.id = ?1",
            &q, &why) == FM_OK) {
        sqlite3_bind_int64(q, 1, id);
        if (fm__sql_step(q, &row, &why) == FM_OK && row) {
            h->stream_id = sqlite3_column_int64(q, 0);
            h->created_ns = sqlite3_column_int64(q, 1);
            snprintf(h->name, sizeof(h->name), "%s", (const char *)sqlite3_column_text(q, 2));
        }
    }
    sqlite3_finalize(q);
    return row && fm__segment_write_head(path, h, &why) == FM_OK;
}

// Its owner gets it, or a frame is made that has it.
static fm_status give_back(
    rebuild *r, const fm_segment_head *h, const fm_picture_head *p, int64_t picture, fm_error *err)
{
    bool frame = p->kind == FM_PICTURE_FRAME;
    const int64_t owner[] = {picture, p->run_id, p->number};
    fm_status st = run_with(r,
        frame ? "UPDATE frames SET picture_id = ?1 WHERE run_id = ?2 AND number = ?3"
              : "UPDATE tracks SET picture_id = ?1 WHERE run_id = ?2 AND number = ?3",
        owner, 3, err);
    if (st != FM_OK || sqlite3_changes(r->db) > 0) {
        return st;
    }
    if (!frame) {
        fm__damage(&r->d, "track %lld of run %lld has its best view, and the rest is lost",
            (long long)p->number, (long long)p->run_id);
        const int64_t track[] = {h->stream_id, p->run_id, p->number, p->time_ns, picture};
        return run_with(r,
            "INSERT INTO tracks(stream_id, run_id, number, label, first_frame, last_frame, first_ns, "
            "last_ns, frames,"
            " picture_id, ended) VALUES(?1, ?2, ?3, '', ifnull((SELECT max(id) FROM frames WHERE run_id = "
            "?2), 0),"
            " ifnull((SELECT max(id) FROM frames WHERE run_id = ?2), 0), ?4, ?4, 0, ?5, 1)",
            track, 5, err);
    }
    fm__damage(&r->d, "frame %lld of run %lld has its picture, and what was seen in it is lost",
        (long long)p->number, (long long)p->run_id);
    const int64_t row[] = {
        h->stream_id, p->run_id, p->number, p->pts_ns, p->time_ns, p->width, p->height, picture};
    return run_with(r,
        "INSERT INTO frames(stream_id, run_id, number, pts_ns, time_ns, stored_ns, width, height, "
        "picture_id, bytes)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, ?8, 160)",
        row, 8, err);
}

static fm_status take_picture(
    rebuild *r, int fd, const fm_segment_head *h, const fm_picture_head *p, int64_t offset, fm_error *err)
{
    int64_t known = 0;
    char sql[128];
    snprintf(sql, sizeof(sql), "SELECT id FROM pictures WHERE segment_id = ?1 AND offset = %lld",
        (long long)offset);
    if (fm__sql_int_of(r->db, sql, h->segment_id, &known, NULL) == FM_OK) {
        fm_status st = need_run(r, h, p, err);
        return st == FM_OK ? give_back(r, h, p, known, err) : st; // its owner's row may be gone
    }
    fm_picture_row row = {
        .segment_id = h->segment_id, .offset = offset, .length = p->length, .crc32c = p->crc32c};
    fm_error why;
    if (fm__check_picture(fd, &row, &why) != FM_OK) {
        return FM_OK; // told when its row went
    }
    fm_status st = need_run(r, h, p, err);
    const int64_t args[] = {h->segment_id, offset, p->length, p->crc32c, p->width, p->height};
    st = st == FM_OK ? run_with(r,
                           "INSERT INTO pictures(segment_id, offset, length, crc32c, width, height)"
                           " VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
                           args, 6, err)
                     : st;
    return st == FM_OK ? give_back(r, h, p, sqlite3_last_insert_rowid(r->db), err) : st;
}

static fm_status walk_segment(rebuild *r, const char *path, fm_error *err)
{
    fm_segment_head h;
    fm_picture_head p;
    fm_error why;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        fm__damage(&r->d, "%s cannot be read", path);
        return FM_OK;
    }
    fm_status st = fm__segment_read_head(fd, path, &h, &why);
    if (st != FM_OK && mend_head(r, path, &h)) {
        fm__damage(&r->d, "%s; it has one again", why.msg);
    } else if (st != FM_OK) {
        fm__damage(&r->d, "%s; its pictures without rows are lost", why.msg);
        close(fd);
        return FM_OK;
    }
    st = need_segment(r, &h, err);
    int64_t at = FM_SEGMENT_HEAD, size = fm__file_size(path);
    while (st == FM_OK && fm__picture_read_head(fd, at, &p, &why) == FM_OK) {
        st = take_picture(r, fd, &h, &p, at + FM_SEGMENT_PICTURE, err);
        at += FM_SEGMENT_PICTURE + (int64_t)p.length;
    }
    close(fd);
    // Its row covers what was read and what rows point to; the next start cuts the rest off.
    const int64_t row[] = {h.segment_id, at < size ? at : size};
    return st == FM_OK
               ? run_with(r,
                     "UPDATE segments SET bytes = max(?2, ifnull((SELECT max(offset + length) FROM pictures"
                     " WHERE segment_id = ?1), 0)), last_frame = ifnull((SELECT max(f.id) FROM frames f JOIN"
                     " pictures p ON p.id = f.picture_id WHERE p.segment_id = ?1), last_frame) WHERE id = ?1",
                     row, 2, err)
               : st;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static fm_status walk_segments(rebuild *r, fm_error *err)
{
    char *folder = fm__path_join(FM_TAG_STORE, r->s->dir, FM_STORE_SEGMENTS);
    struct dirent **names = NULL;
    int n = folder ? scandir(folder, &names, NULL, by_name) : -1;
    fm_status st = n >= 0 ? FM_OK : fm__fail_errno(err, errno, "cannot read folder", folder ? folder : "");
    for (int i = 0; i < n; i++) {
        if (st == FM_OK && fm__str_ends(names[i]->d_name, ".seg")) {
            char *path = fm__path_join(FM_TAG_STORE, folder, names[i]->d_name);
            st = path ? walk_segment(r, path, err) : fm__fail_nomem(err, "a path");
            fm__free(path);
        }
        free(names[i]);
    }
    free(names);
    fm__free(folder);
    return st;
}

// Streams and runs whose rows are gone, and of which no picture tells the name, get one by number.
static const char tidy[] =
    "INSERT OR IGNORE INTO streams(id, name, created_ns) SELECT DISTINCT stream_id, 'stream-' || stream_id, 0"
    " FROM frames WHERE stream_id NOT IN (SELECT id FROM streams);"
    "INSERT OR IGNORE INTO runs(id, stream_id, started_ns) SELECT DISTINCT run_id, stream_id, 0 FROM frames"
    " WHERE run_id NOT IN (SELECT id FROM runs);"
    "DELETE FROM detections WHERE frame_id NOT IN (SELECT id FROM frames);"
    "DELETE FROM features WHERE frame_id NOT IN (SELECT id FROM frames) OR length(vector) <> 4 * dim;"
    "UPDATE detections SET track_id = NULL WHERE track_id NOT IN (SELECT id FROM tracks);"
    "INSERT OR IGNORE INTO models SELECT DISTINCT model, kind, dim FROM features;"
    "UPDATE streams SET bytes = ifnull((SELECT sum(bytes) FROM frames WHERE stream_id = streams.id), 0)";

static fm_status fill(rebuild *r, fm_error *err)
{
    sqlite3 *old = NULL;
    fm_error why = {0};
    int version = 0;
    fm_status st = fm__sql_open_reader(r->s->dir, r->s->vfs, &old, &why);
    st = st == FM_OK ? fm__schema_version(old, &version, &why) : st;
    if (st == FM_OK && version > FM_SCHEMA_VERSION) {
        sqlite3_close(old);
        return fm__fail(err, FM_UNSUPPORTED,
            "the store %s is of version %d and this framemill knows up to %d: use a "
            "newer framemill",
            r->s->dir, version, FM_SCHEMA_VERSION);
    }
    if (st != FM_OK) {
        fm__damage(&r->d, "the database cannot be read at all: %s", why.msg);
        st = FM_OK;
    } else {
        st = fm__salvage(old, r->db, &r->d, err);
    }
    sqlite3_close(old);
    st = st == FM_OK ? fm__sql_exec(r->db, "BEGIN", err) : st;
    st = st == FM_OK ? drop_bad_pictures(r, err) : st;
    st = st == FM_OK ? walk_segments(r, err) : st;
    st = st == FM_OK ? fm__sql_exec(r->db, tidy, err) : st;
    return st == FM_OK ? fm__sql_exec(r->db, "COMMIT", err) : st;
}

static fm_status move(
    const char *dir, const char *from_dir, const char *from, const char *to, bool must, fm_error *err)
{
    char *a = fm__path_join(FM_TAG_STORE, from_dir, from), *b = fm__path_join(FM_TAG_STORE, dir, to);
    fm_status st = a && b ? FM_OK : fm__fail_nomem(err, "a path");
    if (st == FM_OK && rename(a, b) != 0 && (must || errno != ENOENT)) {
        st = fm__fail_errno(err, errno, "cannot put in its place", b);
    }
    fm__free(a);
    fm__free(b);
    return st;
}

static fm_status put_in_place(const fm_store *s, const char *made, fm_error *err)
{
    fm_status st =
        move(s->dir, s->dir, FM_STORE_DATABASE "-wal", FM_STORE_DATABASE ".damaged-wal", false, err);
    st = st == FM_OK ? move(s->dir, s->dir, FM_STORE_DATABASE, FM_STORE_DATABASE ".damaged", false, err) : st;
    char *shm = fm__path_join(FM_TAG_STORE, s->dir, FM_STORE_DATABASE "-shm");
    if (shm) {
        (void)unlink(shm); // the old log's index
    }
    fm__free(shm);
    st = st == FM_OK ? move(s->dir, made, FM_STORE_DATABASE, FM_STORE_DATABASE, true, err) : st;
    (void)rmdir(made); // empty now
    return st == FM_OK && s->io->sync_folder(s->io->opaque, s->dir) != 0
               ? fm__fail_errno(err, errno, "cannot sync folder", s->dir)
               : st;
}

// A folder of an earlier try that was ended.
static void clear_made(const char *made)
{
    static const char *const names[] = {
        FM_STORE_DATABASE, FM_STORE_DATABASE "-wal", FM_STORE_DATABASE "-shm"};
    for (size_t i = 0; i < 3; i++) {
        char *path = fm__path_join(FM_TAG_STORE, made, names[i]);
        if (path) {
            (void)unlink(path);
        }
        fm__free(path);
    }
}

fm_status fm_store_rebuild(const fm_store_opts *o, fm_store_damage_fn fn, void *opaque, fm_error *err)
{
    if (!o || o->struct_size != sizeof(*o) || !o->dir || !fm__is_dir(o->dir)) {
        return fm__fail(err, FM_NOTFOUND, "there is no store %s", o && o->dir ? o->dir : "");
    }
    fm_store shell = {.dir = (char *)o->dir, .io = &fm__store_system_io, .lock_fd = -1, .o = *o};
    rebuild r = {.s = &shell, .d = {.fn = fn, .opaque = opaque}};
    char *made = fm__path_join(FM_TAG_STORE, o->dir, NEW_FOLDER);
    fm_status st = made ? fm__store_lock(o->dir, &shell.lock_fd, err) : fm__fail_nomem(err, "a path");
    st = st == FM_OK ? fm__mkdir_all(made, err) : st;
    if (st == FM_OK) {
        clear_made(made);
        st = fm__sql_open_writer(made, NULL, true, &r.db, err);
    }
    st = st == FM_OK ? fm__schema_upgrade(r.db, FM_SCHEMA_VERSION, NULL, err) : st;
    st = st == FM_OK ? fill(&r, err) : st;
    // Closing the last connection puts the log back, so that the database is one file.
    if (sqlite3_close(r.db) != SQLITE_OK && st == FM_OK) {
        st = fm__fail(err, FM_INTERNAL, "the new database is still in use");
    }
    st = st == FM_OK ? put_in_place(&shell, made, err) : st;
    if (shell.lock_fd >= 0) {
        close(shell.lock_fd);
    }
    fm__free(made);
    return st;
}
