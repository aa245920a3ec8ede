// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Lays a segment file out anew as several. Files are deleted whole, so a bound can only be kept to what a
// file holds; when it is lowered on a store that has larger ones, deleting the first would take more than was
// asked for. All of it is one transaction, and the old file goes last: a crash leaves either the old rows and
// files without rows, or the new rows and the old file without one, and the next start collects both.

#include "store/private.h"

#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/** A segment that is being laid out. */
typedef struct refiling {
    fm_store *s;
    int64_t stream_id, segment_id, last_frame, limit;
    const char *name;
    int fd; // of the old file
    fm_segment *files;
    size_t count, cap;
    sqlite3_stmt *next, *move, *frame;
} refiling;

static fm_status prepare(refiling *r, fm_error *err)
{
    sqlite3 *db = r->s->db;
    fm_status st = fm__sql_prepare(db,
        "SELECT id, offset, length, crc32c FROM pictures WHERE segment_id = ?1 AND offset > ?2"
        " ORDER BY offset LIMIT 1",
        &r->next, err);
    st = st == FM_OK ? fm__sql_prepare(db, "UPDATE pictures SET segment_id = ?2, offset = ?3 WHERE id = ?1",
                           &r->move, err)
                     : st;
    return st == FM_OK ? fm__sql_prepare(db,
                             "SELECT ifnull(max(id), 0) FROM frames WHERE run_id = ?1 AND number = ?2",
                             &r->frame, err)
                       : st;
}

static fm_status begin_file(refiling *r, fm_error *err)
{
    if (!fm__grow(FM_TAG_STORE, (void **)&r->files, &r->cap, r->count + 1, sizeof(*r->files))) {
        return fm__fail_nomem(err, "segments");
    }
    fm_status st = fm__rows_segment_begin(r->s, r->stream_id, r->name, &r->files[r->count], err);
    r->count += st == FM_OK;
    return st;
}

static fm_status end_file(refiling *r, int64_t last_frame, fm_error *err)
{
    fm_segment *g = &r->files[r->count - 1];
    g->last_frame = last_frame;
    return fm__rows_segment_set(r->s, g, err);
}

// The frame that a picture belongs to, 0 of a track's view: its place follows from its neighbours.
static fm_status frame_of(refiling *r, const fm_picture_head *head, int64_t *out, fm_error *err)
{
    bool row = false;
    *out = 0;
    if (head->kind != FM_PICTURE_FRAME) {
        return FM_OK;
    }
    sqlite3_bind_int64(r->frame, 1, head->run_id);
    sqlite3_bind_int64(r->frame, 2, head->number);
    fm_status st = fm__sql_step(r->frame, &row, err);
    *out = row ? sqlite3_column_int64(r->frame, 0) : 0;
    sqlite3_reset(r->frame);
    return st;
}

/** A picture's row. */
typedef struct picture {
    int64_t id, offset, length;
    uint32_t crc32c;
} picture;

static fm_status next_picture(refiling *r, picture *p, bool *row, fm_error *err)
{
    sqlite3_bind_int64(r->next, 1, r->segment_id);
    sqlite3_bind_int64(r->next, 2, p->offset);
    fm_status st = fm__sql_step(r->next, row, err);
    if (st == FM_OK && *row) {
        *p = (picture){.id = sqlite3_column_int64(r->next, 0),
            .offset = sqlite3_column_int64(r->next, 1),
            .length = sqlite3_column_int64(r->next, 2),
            .crc32c = (uint32_t)sqlite3_column_int64(r->next, 3)};
    }
    sqlite3_reset(r->next);
    return st;
}

static fm_status move_picture(refiling *r, const picture *p, int64_t *frame, fm_error *err)
{
    fm_picture_head head;
    void *jpeg = NULL;
    int64_t offset = 0;
    fm_status st = fm__picture_read_head(r->fd, p->offset - FM_SEGMENT_PICTURE, &head, err);
    st = st == FM_OK ? fm__segment_read(r->fd, r->segment_id, p->offset, p->length, p->crc32c, &jpeg, err)
                     : st;
    st = st == FM_OK ? frame_of(r, &head, frame, err) : st;
    fm_segment *g = &r->files[r->count - 1];
    st = st == FM_OK
             ? fm__segment_append(r->s->io, r->s->dir, g, &head, jpeg, (size_t)p->length, &offset, err)
             : st;
    fm__free(jpeg);
    if (st == FM_OK) {
        sqlite3_bind_int64(r->move, 1, p->id);
        sqlite3_bind_int64(r->move, 2, g->id);
        sqlite3_bind_int64(r->move, 3, offset);
        st = fm__sql_run(r->move, err);
    }
    return st;
}

static fm_status move_all(refiling *r, fm_error *err)
{
    picture p = {0};
    int64_t last = 0;
    bool row = true;
    fm_status st = begin_file(r, err);
    while (st == FM_OK) {
        int64_t frame = 0;
        st = next_picture(r, &p, &row, err);
        if (st != FM_OK || !row) {
            break;
        }
        if (r->files[r->count - 1].size >= r->limit) {
            st = end_file(r, last, err);
            st = st == FM_OK ? begin_file(r, err) : st;
        }
        st = st == FM_OK ? move_picture(r, &p, &frame, err) : st;
        last = frame > last ? frame : last;
    }
    return st == FM_OK ? end_file(r, r->last_frame, err) : st;
}

static fm_status drop_old(refiling *r, fm_error *err)
{
    char sql[64];
    snprintf(sql, sizeof(sql), "DELETE FROM segments WHERE id = %lld", (long long)r->segment_id);
    return fm__sql_exec(r->s->db, sql, err);
}

static fm_status sync_all(refiling *r, fm_error *err)
{
    const fm_store_io *io = r->s->io;
    if (r->s->o.sync != FM_STORE_SYNC_FULL) {
        return FM_OK;
    }
    for (size_t i = 0; i < r->count; i++) {
        if (io->sync(io->opaque, r->files[i].fd) != 0) {
            return fm__fail_errno(err, errno, "cannot sync a segment of", r->s->dir);
        }
    }
    return fm__store_sync_names(r->s, err);
}

static void done(refiling *r, bool keep)
{
    for (size_t i = 0; i < r->count; i++) {
        if (keep) {
            close(r->files[i].fd);
        } else {
            fm__segment_undo(r->s->io, r->s->dir, &r->files[i]);
        }
    }
    fm__free(r->files);
    sqlite3_finalize(r->next);
    sqlite3_finalize(r->move);
    sqlite3_finalize(r->frame);
}

fm_status fm__refile(
    fm_store *s, int64_t stream_id, int64_t segment_id, int fd, int64_t last_frame, fm_error *err)
{
    fm_segment_head head;
    fm_status st = fm__segment_read_head(fd, "the segment", &head, err);
    if (st != FM_OK) {
        return st;
    }
    refiling r = {.s = s,
        .stream_id = stream_id,
        .segment_id = segment_id,
        .last_frame = last_frame,
        .limit = fm__rows_segment_limit(s),
        .name = head.name,
        .fd = fd};
    st = prepare(&r, err);
    st = st == FM_OK ? fm__sql_exec(s->db, "BEGIN IMMEDIATE", err) : st;
    if (st == FM_OK) {
        st = move_all(&r, err);
        st = st == FM_OK ? drop_old(&r, err) : st;
        st = st == FM_OK ? sync_all(&r, err) : st;
        st = st == FM_OK ? fm__sql_exec(s->db, "COMMIT", err) : st;
        if (st != FM_OK && !sqlite3_get_autocommit(s->db)) {
            (void)fm__sql_exec(s->db, "ROLLBACK", NULL); // the first failure is the one to tell
        }
    }
    done(&r, st == FM_OK);
    return st;
}
