// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What goes when a bound is reached: the oldest of a stream, its frames with all that hangs on them, and
// whole segment files, oldest first. A file that is being read (its reader holds a shared lock) stays, and
// its rows with it. Rows go before their file does: a crash in between leaves a file without rows, which the
// next start collects. Each step is bounded, so that nobody's acknowledgement waits behind a great deletion.

#include "store/private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#define STEP_FRAMES 256
#define VACUUM_PAGES 1024 // given back to the file system a step, 8 MiB

/** The oldest part of a stream. */
typedef struct victim {
    int64_t stream_id;
    int64_t last_frame; // all up to here
    int64_t segment_id; // that ends with it, 0: none
    int segment_fd;     // locked against readers, -1: none
} victim;

bool fm__retain_is_full(fm_store *s)
{
    if (s->o.free_floor <= 0) {
        return false;
    }
    int64_t free_bytes = s->io->free_bytes(s->io->opaque, s->dir);
    return free_bytes >= 0 && free_bytes < s->o.free_floor;
}

// Up to four numbers of the first row; *row false when there is none.
static fm_status numbers(
    fm_store *s, const char *sql, int64_t arg, int64_t *out, int count, bool *row, fm_error *err)
{
    sqlite3_stmt *q = NULL;
    fm_status st = fm__sql_prepare(s->db, sql, &q, err);
    if (st == FM_OK) {
        if (sqlite3_bind_parameter_count(q) > 0) {
            sqlite3_bind_int64(q, 1, arg);
        }
        st = fm__sql_step(q, row, err);
    }
    for (int i = 0; st == FM_OK && *row && i < count; i++) {
        out[i] = sqlite3_column_int64(q, i);
    }
    sqlite3_finalize(q);
    return st;
}

// Bytes that a stream takes on the disk.
static fm_status used_bytes(fm_store *s, int64_t stream_id, int64_t *out, fm_error *err)
{
    bool row = false;
    return numbers(s,
        "SELECT bytes + ifnull((SELECT sum(bytes) FROM segments WHERE stream_id = ?1), 0) FROM streams WHERE "
        "id = ?1",
        stream_id, out, 1, &row, err);
}

static bool is_open(fm_store *s, int64_t stream_id, int64_t segment_id)
{
    stream_entry *e = fm__rows_stream(s, stream_id);
    return e && e->segment.fd >= 0 && e->segment.id == segment_id;
}

// Locks the file so that no reader begins; false when one is there. A file that is gone locks nothing.
static bool lock_segment(fm_store *s, victim *v)
{
    int64_t segment_id = v->segment_id;
    if (segment_id == 0) {
        return true;
    }
    if (is_open(s, v->stream_id, segment_id)) {
        fm__rows_seal(fm__rows_stream(s, v->stream_id)); // between transactions: all of it is committed
    }
    char *path = fm__segment_path(s->dir, segment_id);
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    bool gone = path && fd < 0 && errno == ENOENT;
    fm__free(path);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return false;
    }
    v->segment_fd = fd;
    return fd >= 0 || gone;
}

// Finds what would go first; *found false when there is nothing.
static fm_status oldest_of(fm_store *s, int64_t stream_id, victim *v, bool *found, fm_error *err)
{
    int64_t segment[2] = {0}, frame = 0;
    bool has_segment = false, has_frames = false;
    *v = (victim){.stream_id = stream_id, .segment_fd = -1};
    fm_status st =
        numbers(s, "SELECT id, last_frame FROM segments WHERE stream_id = ?1 ORDER BY last_frame, id LIMIT 1",
            stream_id, segment, 2, &has_segment, err);
    if (st == FM_OK && has_segment) {
        *found = true;
        v->segment_id = segment[0];
        v->last_frame = segment[1];
        return FM_OK;
    }
    st = st == FM_OK
             ? numbers(s,
                   "SELECT max(id) FROM (SELECT id FROM frames WHERE stream_id = ?1 ORDER BY id LIMIT 256)",
                   stream_id, &frame, 1, &has_frames, err)
             : st;
    v->last_frame = frame;
    *found = frame > 0;
    return st;
}

static fm_status run_of(fm_store *s, const char *sql, int64_t a, int64_t b, fm_error *err)
{
    sqlite3_stmt *q = NULL;
    fm_status st = fm__sql_prepare(s->db, sql, &q, err);
    if (st == FM_OK) {
        sqlite3_bind_int64(q, 1, a);
        sqlite3_bind_int64(q, 2, b);
        st = fm__sql_run(q, err);
    }
    sqlite3_finalize(q);
    return st;
}

// Frames of a stream up to last_frame, at most STEP_FRAMES; *last where it came to.
static fm_status delete_frames(fm_store *s, const victim *v, int64_t *last, uint64_t *count, fm_error *err)
{
#define PART "(SELECT id FROM frames WHERE stream_id = ?1 AND id <= ?2)"
    int64_t found[2] = {0};
    bool row = false;
    char sql[200];
    snprintf(sql, sizeof(sql),
        "SELECT max(id), count(*) FROM (SELECT id FROM frames WHERE stream_id = ?1 AND id <= %lld ORDER BY "
        "id LIMIT %d)",
        (long long)v->last_frame, STEP_FRAMES);
    fm_status st = numbers(s, sql, v->stream_id, found, 2, &row, err);
    *last = found[1] < STEP_FRAMES ? v->last_frame : found[0];
    *count += (uint64_t)found[1];
    static const char *const deletes[] = {
        "UPDATE streams SET bytes = max(0, bytes - ifnull((SELECT sum(bytes) FROM frames WHERE stream_id = ?1"
        " AND id <= ?2), 0)) WHERE id = ?1",
        "DELETE FROM features WHERE frame_id IN " PART,
        "DELETE FROM detections WHERE frame_id IN " PART,
        "DELETE FROM tracks WHERE stream_id = ?1 AND last_frame <= ?2",
        "DELETE FROM frames WHERE stream_id = ?1 AND id <= ?2",
    };
    for (size_t i = 0; i < sizeof(deletes) / sizeof(*deletes) && st == FM_OK; i++) {
        st = run_of(s, deletes[i], v->stream_id, *last, err);
    }
    return st;
#undef PART
}

static fm_status delete_segment_rows(fm_store *s, const victim *v, fm_error *err)
{
    // A track that goes on loses a view that was taken long ago.
    fm_status st = run_of(s,
        "UPDATE tracks SET picture_id = NULL WHERE stream_id = ?1 AND picture_id IN"
        " (SELECT id FROM pictures WHERE segment_id = ?2)",
        v->stream_id, v->segment_id, err);
    st = st == FM_OK ? run_of(s, "DELETE FROM pictures WHERE segment_id = ?2 AND ?1 = ?1", v->stream_id,
                           v->segment_id, err)
                     : st;
    return st == FM_OK ? run_of(s, "DELETE FROM segments WHERE id = ?2 AND stream_id = ?1", v->stream_id,
                             v->segment_id, err)
                       : st;
}

static void remove_file(fm_store *s, int64_t segment_id)
{
    char *path = fm__segment_path(s->dir, segment_id);
    if (path && s->io->remove(s->io->opaque, path) != 0 && errno != ENOENT) {
        fm__log(&s->o.log, FM_LOG_WARN, "store", "cannot delete %s: it goes at the next start", path);
    }
    fm__free(path);
}

static fm_status delete_victim(fm_store *s, const victim *v, uint64_t *frames, fm_error *err)
{
    int64_t last = 0;
    uint64_t count = 0;
    fm_status st = fm__sql_exec(s->db, "BEGIN IMMEDIATE", err);
    if (st != FM_OK) {
        return st;
    }
    st = delete_frames(s, v, &last, &count, err);
    bool whole = last >= v->last_frame;
    st = st == FM_OK && whole && v->segment_id ? delete_segment_rows(s, v, err) : st;
    st = st == FM_OK ? fm__sql_exec(s->db, "COMMIT", err) : st;
    if (st != FM_OK) {
        (void)fm__sql_exec(s->db, "ROLLBACK", NULL); // the first failure is the one to tell
        return st;
    }
    if (whole && v->segment_id) {
        remove_file(s, v->segment_id);
    }
    *frames += count;
    pthread_mutex_lock(&s->lock);
    s->deleted_frames += count;
    pthread_mutex_unlock(&s->lock);
    return FM_OK;
}

// Is the newest of what would go past its time?
static fm_status is_old(fm_store *s, const victim *v, bool *old, fm_error *err)
{
    int64_t stored = 0;
    bool row = false;
    char sql[160];
    snprintf(sql, sizeof(sql),
        "SELECT stored_ns FROM frames WHERE stream_id = ?1 AND id <= %lld ORDER BY id DESC LIMIT 1",
        (long long)v->last_frame);
    fm_status st = numbers(s, sql, v->stream_id, &stored, 1, &row, err);
    *old = !row || stored < fm__wall_ns() - s->o.max_age_s * FM_NS_PER_S;
    return st;
}

// Does a bound of the stream ask for v to go?
static fm_status is_over(fm_store *s, const victim *v, bool *over, fm_error *err)
{
    int64_t used = 0;
    *over = false;
    fm_status st = FM_OK;
    if (s->o.max_bytes > 0) {
        st = used_bytes(s, v->stream_id, &used, err);
        *over = used > s->o.max_bytes;
    }
    return st == FM_OK && !*over && s->o.max_age_s > 0 ? is_old(s, v, over, err) : st;
}

// Would its deletion take more than a file of today's size beyond what the bound asks for?
static fm_status is_too_large(fm_store *s, const victim *v, bool *large, fm_error *err)
{
    int64_t used = 0, bytes = 0, limit = fm__rows_segment_limit(s);
    *large = false;
    if (s->o.max_bytes <= 0 || v->segment_fd < 0) {
        return FM_OK;
    }
    fm_status st = used_bytes(s, v->stream_id, &used, err);
    st = st == FM_OK
             ? fm__sql_int_of(s->db, "SELECT bytes FROM segments WHERE id = ?1", v->segment_id, &bytes, err)
             : st;
    *large = used > s->o.max_bytes && bytes > 2 * limit && used - bytes < s->o.max_bytes - limit;
    return st;
}

// Into smaller files; the first of them is the victim then. One that cannot be (a full disk, a damaged
// picture) is deleted as it is: the bound holds.
static fm_status make_smaller(fm_store *s, victim *v, fm_error *err)
{
    fm_error why = {0};
    bool found = false;
    if (fm__refile(s, v->stream_id, v->segment_id, v->segment_fd, v->last_frame, &why) != FM_OK) {
        fm__log(&s->o.log, FM_LOG_WARN, "store",
            "segment %lld is deleted whole, for it cannot be laid out in smaller files: %s",
            (long long)v->segment_id, why.msg);
        return FM_OK;
    }
    remove_file(s, v->segment_id);
    close(v->segment_fd);
    return oldest_of(s, v->stream_id, v, &found, err);
}

static fm_status delete_oldest(fm_store *s, victim *v, bool spare, uint64_t *frames, bool *any, fm_error *err)
{
    bool large = false;
    if (!lock_segment(s, v)) {
        return FM_OK;
    }
    fm_status st = spare ? is_too_large(s, v, &large, err) : FM_OK;
    if (st == FM_OK && large) {
        st = make_smaller(s, v, err);
        if (st == FM_OK && v->segment_fd < 0 && !lock_segment(s, v)) {
            return FM_OK;
        }
    }
    st = st == FM_OK ? delete_victim(s, v, frames, err) : st;
    *any = st == FM_OK;
    return st;
}

static fm_status list_streams(fm_store *s, int64_t **ids, size_t *count, fm_error *err)
{
    sqlite3_stmt *q = NULL;
    size_t cap = 0;
    bool row = true;
    fm_status st = fm__sql_prepare(s->db,
        "SELECT id FROM streams ORDER BY (SELECT min(id) FROM frames WHERE stream_id = streams.id)", &q, err);
    while (st == FM_OK) {
        st = fm__sql_step(q, &row, err);
        if (st != FM_OK || !row) {
            break;
        }
        if (!fm__grow(FM_TAG_STORE, (void **)ids, &cap, *count + 1, sizeof(**ids))) {
            st = fm__fail_nomem(err, "streams");
            break;
        }
        (*ids)[(*count)++] = sqlite3_column_int64(q, 0);
    }
    sqlite3_finalize(q);
    return st;
}

fm_status fm__retain_step(fm_store *s, uint64_t *frames, bool *more, fm_error *err)
{
    bool full = fm__retain_is_full(s);
    *more = false;
    if (s->o.max_age_s <= 0 && s->o.max_bytes <= 0 && !full) {
        return FM_OK;
    }
    int64_t *ids = NULL;
    size_t count = 0;
    fm_status st = list_streams(s, &ids, &count, err);
    bool any = false;
    for (size_t i = 0; i < count && st == FM_OK; i++) {
        victim v;
        bool found = false, over = false;
        st = oldest_of(s, ids[i], &v, &found, err);
        st = st == FM_OK && found ? is_over(s, &v, &over, err) : st;
        // Streams come with the oldest first: where the disk is full, the first that can give does.
        if (st == FM_OK && found && (over || (full && !any))) {
            st = delete_oldest(s, &v, !full, frames, &any, err);
        }
        if (v.segment_fd >= 0) {
            close(v.segment_fd);
        }
    }
    fm__free(ids);
    *more = any;
    if (st == FM_OK && any) {
        char sql[64];
        snprintf(sql, sizeof(sql), "PRAGMA incremental_vacuum(%d)", VACUUM_PAGES);
        st = fm__sql_exec(s->db, sql, err);
    }
    return st;
}
