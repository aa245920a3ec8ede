// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What the writer writes, row by row, with statements that are prepared once. A record happens whole or not
// at all: where one has failed, the writer writes its transaction once more with each record's rows in a
// savepoint and its pictures at the end of a segment, which is cut back with it.

#include "store/private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_SEGMENT_BYTES (INT64_C(64) << 20)
#define LEAST_SEGMENT_BYTES (INT64_C(1) << 20)
#define SEGMENT_PARTS 8 // of a bound: how finely whole files can keep it
// Bytes of the database that rows take with their indices, for the bound by bytes; measured on vtest.avi.
enum { FRAME_ROW = 160, OBJECT_ROW = 260, FEATURE_ROW = 120 };

static const char *const sql[STMT_COUNT] = {
    [STMT_STREAM_FIND] = "SELECT id FROM streams WHERE name = ?1",
    [STMT_STREAM_ADD] = "INSERT INTO streams(name, url, created_ns) VALUES(?1, ?2, ?3)",
    [STMT_STREAM_BYTES] = "UPDATE streams SET bytes = bytes + ?2 WHERE id = ?1",
    [STMT_RUN_ADD] = "INSERT INTO runs(stream_id, started_ns) VALUES(?1, ?2)",
    [STMT_SEGMENT_ADD] = "INSERT INTO segments(stream_id, created_ns, bytes) VALUES(?1, ?2, 0)",
    [STMT_SEGMENT_SET] = "UPDATE segments SET bytes = ?2, last_frame = ?3 WHERE id = ?1",
    [STMT_PICTURE_ADD] = "INSERT INTO pictures(segment_id, offset, length, crc32c, width, height)"
                         " VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [STMT_FRAME_ADD] =
        "INSERT INTO frames(stream_id, run_id, number, pts_ns, time_ns, stored_ns, width, height,"
        " file, picture_id, bytes, error, meta)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, json(?13))",
    [STMT_FRAME_FIND] = "SELECT id FROM frames WHERE run_id = ?1 AND number = ?2",
    [STMT_DETECTION_ADD] =
        "INSERT INTO detections(frame_id, stream_id, time_ns, label, class_id, score, x, y, w, h,"
        " track_id, meta) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, json(?12))",
    // A track's best view so far is where it is seen large, sure and whole; the quality is the caller's.
    [STMT_TRACK_PUT] =
        "INSERT INTO tracks(stream_id, run_id, number, label, first_frame, last_frame, first_ns, last_ns, "
        "frames,"
        " best_frame, best_score, best_quality, best_x, best_y, best_w, best_h)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?5, ?6, ?6, 1, ?5, ?7, ?8, ?9, ?10, ?11, ?12)"
        " ON CONFLICT(run_id, number) DO UPDATE SET last_frame = ?5, last_ns = ?6, frames = frames + 1, "
        "ended = 0,"
        " best_frame = iif(?8 > best_quality, ?5, best_frame), best_score = iif(?8 > best_quality, ?7, "
        "best_score),"
        " best_x = iif(?8 > best_quality, ?9, best_x), best_y = iif(?8 > best_quality, ?10, best_y),"
        " best_w = iif(?8 > best_quality, ?11, best_w), best_h = iif(?8 > best_quality, ?12, best_h),"
        " best_quality = max(best_quality, ?8) RETURNING id",
    [STMT_TRACK_VIEW] = "UPDATE tracks SET picture_id = ifnull(?2, picture_id), ended = ?3 WHERE id = ?1",
    [STMT_TRACK_FIND] = "SELECT id FROM tracks WHERE run_id = ?1 AND number = ?2",
    [STMT_FEATURE_ADD] = "INSERT INTO features(kind, frame_id, detection_id, track_id, model, dim, vector)"
                         " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [STMT_MODEL_ADD] = "INSERT OR IGNORE INTO models(name, kind, dim) VALUES(?1, ?2, ?3)",
};

fm_status fm__rows_prepare(fm_store *s, fm_error *err)
{
    fm_status st = FM_OK;
    for (int i = 0; i < STMT_COUNT && st == FM_OK; i++) {
        st = fm__sql_prepare(s->db, sql[i], &s->stmts[i], err);
    }
    return st;
}

void fm__rows_seal(stream_entry *e)
{
    if (e->segment.fd >= 0) {
        close(e->segment.fd); // what matters was synced with its transaction
        e->segment.fd = -1;
    }
}

void fm__rows_done(fm_store *s)
{
    for (int i = 0; i < STMT_COUNT; i++) {
        sqlite3_finalize(s->stmts[i]);
        s->stmts[i] = NULL;
    }
    for (size_t i = 0; i < s->stream_count; i++) {
        fm__rows_seal(&s->streams[i]);
        fm__free(s->streams[i].name);
    }
    fm__free(s->streams);
    s->streams = NULL;
    s->stream_count = s->stream_cap = 0;
}

stream_entry *fm__rows_stream(fm_store *s, int64_t id)
{
    for (size_t i = 0; i < s->stream_count; i++) {
        if (s->streams[i].id == id) {
            return &s->streams[i];
        }
    }
    return NULL;
}

static void bind_text(sqlite3_stmt *q, int at, const char *text)
{
    sqlite3_bind_text(q, at, text, -1, SQLITE_STATIC); // NULL binds NULL
}

static void bind_id(sqlite3_stmt *q, int at, int64_t id)
{
    if (id > 0) {
        sqlite3_bind_int64(q, at, id);
    }
}

// One row with one number, if any: *out stays 0 without.
static fm_status ask(sqlite3_stmt *q, int64_t *out, fm_error *err)
{
    bool row = false;
    fm_status st = fm__sql_step(q, &row, err);
    if (row) {
        *out = sqlite3_column_int64(q, 0);
    }
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    return st;
}

static fm_status insert(fm_store *s, stmt_id which, int64_t *id, fm_error *err)
{
    fm_status st = fm__sql_run(s->stmts[which], err);
    if (st == FM_OK) {
        *id = sqlite3_last_insert_rowid(s->db);
    }
    return st;
}

int64_t fm__rows_segment_limit(const fm_store *s)
{
    int64_t limit = s->o.segment_bytes > 0 ? s->o.segment_bytes : DEFAULT_SEGMENT_BYTES;
    if (s->o.max_bytes > 0 && limit > s->o.max_bytes / SEGMENT_PARTS) {
        limit = s->o.max_bytes / SEGMENT_PARTS;
    }
    return limit < LEAST_SEGMENT_BYTES && s->o.segment_bytes <= 0 ? LEAST_SEGMENT_BYTES : limit;
}

fm_status fm__rows_segment_begin(
    fm_store *s, int64_t stream_id, const char *name, fm_segment *out, fm_error *err)
{
    int64_t id = 0;
    sqlite3_stmt *q = s->stmts[STMT_SEGMENT_ADD];
    sqlite3_bind_int64(q, 1, stream_id);
    sqlite3_bind_int64(q, 2, fm__wall_ns());
    fm_status st = insert(s, STMT_SEGMENT_ADD, &id, err);
    return st == FM_OK ? fm__segment_create(s->io, s->dir, id, stream_id, name, out, err) : st;
}

static fm_status need_segment(fm_store *s, stream_entry *e, fm_error *err)
{
    return e->segment.fd >= 0 ? FM_OK : fm__rows_segment_begin(s, e->id, e->name, &e->segment, err);
}

static fm_status add_picture(fm_store *s, stream_entry *e, fm_picture_head *head, const void *jpeg,
    size_t bytes, int64_t *id, fm_error *err)
{
    int64_t offset = 0;
    fm_status st = need_segment(s, e, err);
    st = st == FM_OK ? fm__segment_append(s->io, s->dir, &e->segment, head, jpeg, bytes, &offset, err) : st;
    if (st != FM_OK) {
        return st;
    }
    sqlite3_stmt *q = s->stmts[STMT_PICTURE_ADD];
    sqlite3_bind_int64(q, 1, e->segment.id);
    sqlite3_bind_int64(q, 2, offset);
    sqlite3_bind_int64(q, 3, (int64_t)bytes);
    sqlite3_bind_int64(q, 4, head->crc32c);
    sqlite3_bind_int64(q, 5, head->width);
    sqlite3_bind_int64(q, 6, head->height);
    return insert(s, STMT_PICTURE_ADD, id, err);
}

/** Times of a record: its own, or that of its writing. */
typedef struct times {
    int64_t shown, stored;
} times;

static fm_status add_frame(
    fm_store *s, item *it, times t, int64_t picture_id, int64_t row_bytes, fm_error *err)
{
    const fm_store_record *r = &it->r;
    sqlite3_stmt *q = s->stmts[STMT_FRAME_ADD];
    sqlite3_bind_int64(q, 1, it->stream_id);
    sqlite3_bind_int64(q, 2, r->run);
    sqlite3_bind_int64(q, 3, (int64_t)r->frame);
    if (r->pts_ns != FM_PTS_NONE) {
        sqlite3_bind_int64(q, 4, r->pts_ns);
    }
    sqlite3_bind_int64(q, 5, t.shown);
    sqlite3_bind_int64(q, 6, t.stored);
    sqlite3_bind_int(q, 7, r->width);
    sqlite3_bind_int(q, 8, r->height);
    bind_text(q, 9, r->file);
    bind_id(q, 10, picture_id);
    sqlite3_bind_int64(q, 11, row_bytes);
    bind_text(q, 12, r->error);
    bind_text(q, 13, r->meta);
    return insert(s, STMT_FRAME_ADD, &it->value, err);
}

/** How good a view of an object is: large and sure. One that touches the frame's edge is cut off there. */
static double view_quality(const fm_store_record *r, const fm_store_object *o)
{
    double w = (double)o->box.x1 - o->box.x0, h = (double)o->box.y1 - o->box.y0;
    bool cut = o->box.x0 <= 1 || o->box.y0 <= 1 || o->box.x1 >= (float)r->width - 1 ||
               o->box.y1 >= (float)r->height - 1;
    return o->score * sqrt(w > 0 && h > 0 ? w * h : 0) * (cut ? 0.5 : 1);
}

static fm_status put_track(
    fm_store *s, const item *it, const fm_store_object *o, int64_t time_ns, int64_t *id, fm_error *err)
{
    sqlite3_stmt *q = s->stmts[STMT_TRACK_PUT];
    sqlite3_bind_int64(q, 1, it->stream_id);
    sqlite3_bind_int64(q, 2, it->r.run);
    sqlite3_bind_int64(q, 3, o->track);
    bind_text(q, 4, o->label ? o->label : "");
    sqlite3_bind_int64(q, 5, it->value);
    sqlite3_bind_int64(q, 6, time_ns);
    sqlite3_bind_double(q, 7, o->score);
    sqlite3_bind_double(q, 8, view_quality(&it->r, o));
    sqlite3_bind_double(q, 9, o->box.x0);
    sqlite3_bind_double(q, 10, o->box.y0);
    sqlite3_bind_double(q, 11, (double)o->box.x1 - o->box.x0);
    sqlite3_bind_double(q, 12, (double)o->box.y1 - o->box.y0);
    return ask(q, id, err);
}

static fm_status add_feature(fm_store *s, const item *it, bool of_frame, int64_t detection, int64_t track,
    const float *vector, int dim, fm_error *err)
{
    sqlite3_stmt *q = s->stmts[STMT_FEATURE_ADD];
    bind_text(q, 1, of_frame ? "frame" : "object");
    sqlite3_bind_int64(q, 2, it->value);
    bind_id(q, 3, detection);
    bind_id(q, 4, track);
    bind_text(q, 5, it->r.feature_model);
    sqlite3_bind_int(q, 6, dim);
    sqlite3_bind_blob(q, 7, vector, dim * (int)sizeof(float), SQLITE_STATIC);
    return fm__sql_run(q, err);
}

static fm_status add_object(
    fm_store *s, const item *it, const fm_store_object *o, int64_t time_ns, fm_error *err)
{
    int64_t track = 0, id = 0;
    fm_status st = o->track > 0 ? put_track(s, it, o, time_ns, &track, err) : FM_OK;
    if (st != FM_OK) {
        return st;
    }
    sqlite3_stmt *q = s->stmts[STMT_DETECTION_ADD];
    sqlite3_bind_int64(q, 1, it->value);
    sqlite3_bind_int64(q, 2, it->stream_id);
    sqlite3_bind_int64(q, 3, time_ns);
    bind_text(q, 4, o->label ? o->label : "");
    sqlite3_bind_int(q, 5, o->class_id);
    sqlite3_bind_double(q, 6, o->score);
    sqlite3_bind_double(q, 7, o->box.x0);
    sqlite3_bind_double(q, 8, o->box.y0);
    sqlite3_bind_double(q, 9, (double)o->box.x1 - o->box.x0);
    sqlite3_bind_double(q, 10, (double)o->box.y1 - o->box.y0);
    bind_id(q, 11, track);
    bind_text(q, 12, o->meta);
    st = insert(s, STMT_DETECTION_ADD, &id, err);
    return st == FM_OK && o->feature
               ? add_feature(s, it, false, id, track, o->feature, it->r.feature_dim, err)
               : st;
}

static fm_status add_view(
    fm_store *s, stream_entry *e, const item *it, const fm_store_view *v, times t, fm_error *err)
{
    int64_t track = 0, picture = 0;
    sqlite3_stmt *q = s->stmts[STMT_TRACK_FIND];
    sqlite3_bind_int64(q, 1, it->r.run);
    sqlite3_bind_int64(q, 2, v->track);
    fm_status st = ask(q, &track, err);
    if (st != FM_OK || track == 0) {
        return st; // retention may have been there first
    }
    if (v->jpeg) {
        fm_picture_head head = {.kind = FM_PICTURE_VIEW,
            .run_id = it->r.run,
            .number = v->track,
            .time_ns = t.shown,
            .pts_ns = it->r.pts_ns,
            .width = (uint32_t)v->width,
            .height = (uint32_t)v->height};
        st = add_picture(s, e, &head, v->jpeg, v->jpeg_bytes, &picture, err);
    }
    q = s->stmts[STMT_TRACK_VIEW];
    sqlite3_bind_int64(q, 1, track);
    bind_id(q, 2, picture);
    sqlite3_bind_int(q, 3, v->ended);
    return st == FM_OK ? fm__sql_run(q, err) : st;
}

static fm_status add_models(fm_store *s, const fm_store_record *r, fm_error *err)
{
    fm_status st = FM_OK;
    for (int of_frame = 0; of_frame < 2 && st == FM_OK && r->feature_model; of_frame++) {
        int dim = of_frame ? (r->frame_feature ? r->frame_feature_dim : 0) : r->feature_dim;
        if (dim > 0) {
            sqlite3_stmt *q = s->stmts[STMT_MODEL_ADD];
            bind_text(q, 1, r->feature_model);
            bind_text(q, 2, of_frame ? "frame" : "object");
            sqlite3_bind_int(q, 3, dim);
            st = fm__sql_run(q, err);
        }
    }
    return st;
}

static int64_t row_bytes_of(const fm_store_record *r)
{
    int64_t n = r->no_frame ? 0 : FRAME_ROW;
    for (size_t i = 0; i < r->object_count; i++) {
        n += OBJECT_ROW + (r->objects[i].feature ? FEATURE_ROW + r->feature_dim * (int64_t)sizeof(float) : 0);
    }
    return n + (r->frame_feature ? FEATURE_ROW + r->frame_feature_dim * (int64_t)sizeof(float) : 0);
}

static fm_status write_frame(
    fm_store *s, stream_entry *e, item *it, times t, int64_t row_bytes, fm_error *err)
{
    const fm_store_record *r = &it->r;
    int64_t picture = 0;
    fm_status st = FM_OK;
    if (r->jpeg) {
        fm_picture_head head = {.kind = FM_PICTURE_FRAME,
            .run_id = r->run,
            .number = (int64_t)r->frame,
            .time_ns = t.shown,
            .pts_ns = r->pts_ns,
            .width = (uint32_t)r->width,
            .height = (uint32_t)r->height};
        st = add_picture(s, e, &head, r->jpeg, r->jpeg_bytes, &picture, err);
    }
    st = st == FM_OK ? add_frame(s, it, t, picture, row_bytes, err) : st;
    for (size_t i = 0; i < r->object_count && st == FM_OK; i++) {
        st = add_object(s, it, &r->objects[i], t.shown, err);
    }
    if (st == FM_OK && r->frame_feature) {
        st = add_feature(s, it, true, 0, 0, r->frame_feature, r->frame_feature_dim, err);
    }
    return st == FM_OK ? add_models(s, r, err) : st;
}

// The segment as it was before the record.
static void take_back(fm_store *s, stream_entry *e, const fm_segment *before)
{
    if (e->segment.fd < 0) {
        return;
    }
    if (before->fd < 0 || before->id != e->segment.id) {
        e->segment.committed = 0;
        fm__segment_undo(s->io, s->dir, &e->segment);
    } else if (e->segment.size != before->size) {
        (void)s->io->truncate(s->io->opaque, e->segment.fd, before->size); // else the next write covers it
        e->segment.size = before->size;
    }
}

static fm_status write_record(fm_store *s, stream_entry *e, item *it, fm_error *err)
{
    times t = {.stored = fm__wall_ns()};
    t.shown = it->r.wall_ns != FM_PTS_NONE ? it->r.wall_ns : t.stored;
    int64_t row_bytes = row_bytes_of(&it->r);
    fm_status st = it->r.no_frame ? FM_OK : write_frame(s, e, it, t, row_bytes, err);
    for (size_t i = 0; i < it->r.view_count && st == FM_OK; i++) {
        st = add_view(s, e, it, &it->r.views[i], t, err);
    }
    if (st == FM_OK) {
        e->last_frame = it->value > e->last_frame ? it->value : e->last_frame;
        e->segment.last_frame = e->last_frame;
        e->added_bytes += row_bytes;
    }
    return st;
}

static fm_status write_guarded(fm_store *s, stream_entry *e, item *it, fm_error *err)
{
    fm_status st = fm__sql_exec(s->db, "SAVEPOINT record", err);
    if (st != FM_OK) {
        return st;
    }
    stream_entry before = *e;
    st = write_record(s, e, it, err);
    st = st == FM_OK ? fm__sql_exec(s->db, "RELEASE record", err) : st;
    if (st != FM_OK) {
        if (!sqlite3_get_autocommit(s->db)) { // SQLite itself may have ended it all, as on a full disk
            (void)fm__sql_exec(s->db, "ROLLBACK TO record; RELEASE record", NULL);
        }
        take_back(s, e, &before.segment);
        e->last_frame = before.last_frame;
        e->added_bytes = before.added_bytes;
        it->value = 0;
    }
    return st;
}

fm_status fm__rows_record(fm_store *s, item *it, bool guarded, fm_error *err)
{
    stream_entry *e = fm__rows_stream(s, it->stream_id);
    if (!e) {
        return fm__fail(err, FM_INTERNAL, "a record of an unknown stream");
    }
    return guarded ? write_guarded(s, e, it, err) : write_record(s, e, it, err);
}

static fm_status know_stream(fm_store *s, int64_t id, const char *name, fm_error *err)
{
    stream_entry *known = fm__rows_stream(s, id);
    if (known && strcmp(known->name, name) == 0) {
        return FM_OK;
    }
    char *copy = fm__strdup(FM_TAG_STORE, name);
    if (!copy || !fm__grow(FM_TAG_STORE, (void **)&s->streams, &s->stream_cap, s->stream_count + 1,
                     sizeof(*s->streams))) {
        fm__free(copy);
        return fm__fail_nomem(err, "a stream of the store");
    }
    if (known) { // its row was rolled back, and the next stream has its id now
        fm__free(known->name);
        known->name = copy;
        return FM_OK;
    }
    s->streams[s->stream_count++] = (stream_entry){.id = id, .name = copy, .segment.fd = -1};
    return fm__sql_int_of(s->db, "SELECT ifnull(max(id), 0) FROM frames WHERE stream_id = ?1", id,
        &s->streams[s->stream_count - 1].last_frame, err);
}

static fm_status know_run(fm_store *s, int64_t run, int64_t stream_id, fm_error *err)
{
    pthread_mutex_lock(&s->lock);
    bool ok = fm__grow(FM_TAG_STORE, (void **)&s->runs, &s->run_cap, s->run_count + 1, sizeof(*s->runs));
    if (ok) {
        s->runs[s->run_count++] = (run_entry){.run = run, .stream_id = stream_id};
    }
    pthread_mutex_unlock(&s->lock);
    return ok ? FM_OK : fm__fail_nomem(err, "a run of the store");
}

fm_status fm__rows_run(fm_store *s, item *it, fm_error *err)
{
    int64_t stream = 0;
    sqlite3_stmt *q = s->stmts[STMT_STREAM_FIND];
    bind_text(q, 1, it->stream);
    fm_status st = ask(q, &stream, err);
    if (st == FM_OK && stream == 0) {
        q = s->stmts[STMT_STREAM_ADD];
        bind_text(q, 1, it->stream);
        bind_text(q, 2, it->url);
        sqlite3_bind_int64(q, 3, fm__wall_ns());
        st = insert(s, STMT_STREAM_ADD, &stream, err);
    }
    if (st == FM_OK) {
        q = s->stmts[STMT_RUN_ADD];
        sqlite3_bind_int64(q, 1, stream);
        sqlite3_bind_int64(q, 2, fm__wall_ns());
        st = insert(s, STMT_RUN_ADD, &it->value, err);
    }
    st = st == FM_OK ? know_stream(s, stream, it->stream, err) : st;
    return st == FM_OK ? know_run(s, it->value, stream, err) : st;
}

fm_status fm__rows_segment_set(fm_store *s, const fm_segment *g, fm_error *err)
{
    sqlite3_stmt *q = s->stmts[STMT_SEGMENT_SET];
    sqlite3_bind_int64(q, 1, g->id);
    sqlite3_bind_int64(q, 2, g->size);
    sqlite3_bind_int64(q, 3, g->last_frame);
    return fm__sql_run(q, err);
}

static fm_status finish_stream(fm_store *s, stream_entry *e, fm_error *err)
{
    fm_status st = FM_OK;
    if (e->segment.fd >= 0 && e->segment.dirty) {
        st = fm__rows_segment_set(s, &e->segment, err);
    }
    if (st == FM_OK && e->added_bytes) {
        sqlite3_stmt *q = s->stmts[STMT_STREAM_BYTES];
        sqlite3_bind_int64(q, 1, e->id);
        sqlite3_bind_int64(q, 2, e->added_bytes);
        st = fm__sql_run(q, err);
    }
    return st;
}

fm_status fm__rows_finish(fm_store *s, fm_error *err)
{
    fm_status st = FM_OK;
    for (size_t i = 0; i < s->stream_count && st == FM_OK; i++) {
        st = finish_stream(s, &s->streams[i], err);
    }
    return st;
}

bool fm__rows_segment_is_full(const fm_store *s, const fm_segment *g)
{
    int64_t age = fm__now_ns() - g->created_ns;
    return g->size >= fm__rows_segment_limit(s) ||
           (s->o.max_age_s > 0 && age > s->o.max_age_s * (FM_NS_PER_S / SEGMENT_PARTS));
}
