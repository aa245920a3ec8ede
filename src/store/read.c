// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What is asked of a store: counts and pictures. Readers have connections of their own and see the last
// commit; they never wait for the writer.

#include "store/private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"

#include <string.h>
#include <unistd.h>

const char *fm__store_dir(const fm_store *s)
{
    return s->dir;
}

char *fm__store_index_path(const fm_store *s, const char *model, const char *kind)
{
    char *safe = fm__safe_name(FM_TAG_STORE, model);
    char *path =
        safe ? fm__asprintf(FM_TAG_STORE, "%s/" FM_STORE_INDEX "/%s-%s.fmx", s->dir, safe, kind) : NULL;
    fm__free(safe);
    return path;
}

fm_status fm__store_reader(fm_store *s, sqlite3 **out, fm_error *err)
{
    return fm__sql_open_reader(s->dir, s->vfs, out, err);
}

fm_status fm__store_picture(
    fm_store *s, sqlite3 *db, int64_t picture_id, void **jpeg, size_t *bytes, fm_error *err)
{
    sqlite3_stmt *q = NULL;
    bool row = false;
    fm_status st =
        fm__sql_prepare(db, "SELECT segment_id, offset, length, crc32c FROM pictures WHERE id = ?1", &q, err);
    if (st == FM_OK) {
        sqlite3_bind_int64(q, 1, picture_id);
        st = fm__sql_step(q, &row, err);
    }
    if (st == FM_OK && !row) {
        st = fm__fail(err, FM_NOTFOUND, "the store has no picture %lld", (long long)picture_id);
    }
    int fd = -1;
    if (st == FM_OK) {
        int64_t segment = sqlite3_column_int64(q, 0), length = sqlite3_column_int64(q, 2);
        st = fm__segment_open(s->dir, segment, &fd, err);
        st = st == FM_OK ? fm__segment_read(fd, segment, sqlite3_column_int64(q, 1), length,
                               (uint32_t)sqlite3_column_int64(q, 3), jpeg, err)
                         : st;
        *bytes = st == FM_OK ? (size_t)length : *bytes;
    }
    if (fd >= 0) {
        close(fd);
    }
    sqlite3_finalize(q);
    return st;
}

// The store's own reader; under read_lock until released.
static fm_status take_reader(fm_store *s, fm_error *err)
{
    pthread_mutex_lock(&s->read_lock);
    fm_status st = s->reader ? FM_OK : fm__sql_open_reader(s->dir, s->vfs, &s->reader, err);
    if (st != FM_OK) {
        pthread_mutex_unlock(&s->read_lock);
    }
    return st;
}

fm_status fm_store_frame_picture(fm_store *s, int64_t frame_id, void **jpeg, size_t *bytes, fm_error *err)
{
    int64_t picture = 0;
    fm_status st = take_reader(s, err);
    if (st != FM_OK) {
        return st;
    }
    st = fm__sql_int_of(s->reader, "SELECT picture_id FROM frames WHERE id = ?1 AND picture_id IS NOT NULL",
        frame_id, &picture, NULL);
    if (st == FM_NOTFOUND) {
        st = fm__fail(err, FM_NOTFOUND, "the store has no picture of frame %lld", (long long)frame_id);
    } else if (st != FM_OK) {
        st = fm__sql_fail(s->reader, "the store", err);
    }
    st = st == FM_OK ? fm__store_picture(s, s->reader, picture, jpeg, bytes, err) : st;
    pthread_mutex_unlock(&s->read_lock);
    return st;
}

fm_status fm_store_track_picture(
    fm_store *s, const char *stream, int64_t track, void **jpeg, size_t *bytes, fm_error *err)
{
    sqlite3_stmt *q = NULL;
    bool row = false;
    int64_t picture = 0;
    fm_status st = take_reader(s, err);
    if (st != FM_OK) {
        return st;
    }
    st = fm__sql_prepare(s->reader,
        "SELECT picture_id FROM tracks WHERE stream_id = (SELECT id FROM streams WHERE name = ?1) AND number "
        "= ?2"
        " AND picture_id IS NOT NULL ORDER BY id DESC LIMIT 1",
        &q, err);
    if (st == FM_OK) {
        sqlite3_bind_text(q, 1, stream, -1, SQLITE_STATIC);
        sqlite3_bind_int64(q, 2, track);
        st = fm__sql_step(q, &row, err);
        picture = row ? sqlite3_column_int64(q, 0) : 0;
    }
    sqlite3_finalize(q);
    if (st == FM_OK && picture == 0) {
        st = fm__fail(
            err, FM_NOTFOUND, "the store has no picture of track %lld of '%s'", (long long)track, stream);
    }
    st = st == FM_OK ? fm__store_picture(s, s->reader, picture, jpeg, bytes, err) : st;
    pthread_mutex_unlock(&s->read_lock);
    return st;
}

static fm_status count_rows(fm_store *s, fm_store_counts *c, fm_error *err)
{
    const struct {
        const char *sql;
        uint64_t *out;
    } all[] = {
        {"SELECT count(*) FROM streams", &c->streams},
        {"SELECT count(*) FROM frames", &c->frames},
        {"SELECT count(*) FROM detections", &c->objects},
        {"SELECT count(*) FROM tracks", &c->tracks},
        {"SELECT count(*) FROM features", &c->features},
        {"SELECT count(*) FROM pictures", &c->pictures},
        {"SELECT count(*) FROM segments", &c->segments},
        {"SELECT ifnull(sum(length), 0) FROM pictures", &c->picture_bytes},
        {"SELECT ifnull(sum(bytes), 0) FROM segments", &c->segment_bytes},
    };
    fm_status st = fm__sql_exec(s->reader, "BEGIN", err); // one moment for all
    for (size_t i = 0; i < sizeof(all) / sizeof(*all) && st == FM_OK; i++) {
        int64_t n = 0;
        st = fm__sql_int(s->reader, all[i].sql, &n, err);
        *all[i].out = (uint64_t)n;
    }
    int version = 0;
    st = st == FM_OK ? fm__schema_version(s->reader, &version, err) : st;
    c->version = version;
    if (!sqlite3_get_autocommit(s->reader)) {
        (void)fm__sql_exec(s->reader, "COMMIT", NULL); // nothing was written
    }
    return st;
}

static uint64_t database_bytes(const fm_store *s)
{
    static const char *const names[] = {FM_STORE_DATABASE, FM_STORE_DATABASE "-wal"};
    uint64_t sum = 0;
    for (size_t i = 0; i < 2; i++) {
        char *path = fm__path_join(FM_TAG_STORE, s->dir, names[i]);
        int64_t n = path ? fm__file_size(path) : 0;
        sum += n > 0 ? (uint64_t)n : 0;
        fm__free(path);
    }
    return sum;
}

fm_status fm_store_count(fm_store *s, fm_store_counts *out, fm_error *err)
{
    fm_store_counts c = {0};
    fm_status st = take_reader(s, err);
    if (st != FM_OK) {
        return st;
    }
    st = count_rows(s, &c, err);
    pthread_mutex_unlock(&s->read_lock);
    if (st != FM_OK) {
        return st;
    }
    c.database_bytes = database_bytes(s);
    pthread_mutex_lock(&s->lock);
    c.written = s->written;
    c.lost = s->lost;
    c.transactions = s->transactions;
    c.deleted_frames = s->deleted_frames;
    c.longest_ack_ms = (double)s->longest_ack_ns / (double)FM_NS_PER_MS;
    pthread_mutex_unlock(&s->lock);
    *out = c;
    return FM_OK;
}
