// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A store as plain files, one a run of a stream: COCO JSON (boxes; ids are the store's own), MOT text (frames
// from 1, confirmed tracks), CSV (every row, the format that fm_store_import reads), and the pictures beside
// them. A stream's only run is named after it, further ones get -2, -3 and so on.

#include "store/private.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FLUSH_BYTES ((size_t)1 << 16)

/** A file that is written, and what of it waits. */
typedef struct out_file {
    int fd;
    char *path;
    fm_str text;
} out_file;

typedef struct exporting {
    fm_store *s;
    sqlite3 *db;
    const char *dir;
    bool pictures;
    int64_t run, stream;
    char *name; // of the run's files
} exporting;

static fm_status open_out(out_file *f, const exporting *e, const char *ending, fm_error *err)
{
    f->fd = -1;
    fm__str_init(&f->text, FM_TAG_STORE);
    f->path = fm__asprintf(FM_TAG_STORE, "%s/%s%s", e->dir, e->name, ending);
    if (!f->path) {
        return fm__fail_nomem(err, "a path");
    }
    f->fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    return f->fd >= 0 ? FM_OK : fm__fail_errno(err, errno, "cannot write", f->path);
}

static fm_status drain(out_file *f, bool all, fm_error *err)
{
    if (f->text.failed) {
        return fm__fail_nomem(err, "an export");
    }
    if (f->text.len == 0 || (!all && f->text.len < FLUSH_BYTES)) {
        return FM_OK;
    }
    fm_status st = fm__fd_write_all(f->fd, f->text.data, f->text.len, f->path, err);
    fm__str_reset(&f->text);
    return st;
}

static fm_status close_out(out_file *f, fm_status st, fm_error *err)
{
    st = st == FM_OK ? drain(f, true, err) : st;
    if (f->fd >= 0 && close(f->fd) != 0 && st == FM_OK) {
        st = fm__fail_errno(err, errno, "cannot write", f->path);
    }
    fm__str_done(&f->text);
    fm__free(f->path);
    return st;
}

typedef fm_status (*row_fn)(exporting *e, sqlite3_stmt *q, out_file *f, void *opaque, fm_error *err);

// Every row of a query with the run bound to ?1.
static fm_status each(exporting *e, const char *sql, row_fn fn, out_file *f, void *opaque, fm_error *err)
{
    sqlite3_stmt *q = NULL;
    bool row = true;
    fm_status st = fm__sql_prepare(e->db, sql, &q, err);
    if (st == FM_OK) {
        sqlite3_bind_int64(q, 1, e->run);
    }
    while (st == FM_OK && (st = fm__sql_step(q, &row, err)) == FM_OK && row) {
        st = fn(e, q, f, opaque, err);
        st = st == FM_OK && f ? drain(f, false, err) : st;
    }
    sqlite3_finalize(q);
    return st;
}

static const char *text_of(sqlite3_stmt *q, int column)
{
    const char *t = (const char *)sqlite3_column_text(q, column);
    return t ? t : "";
}

// A field that a spreadsheet reads back: quoted where it has to be (RFC 4180).
static void add_field(fm_str *s, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fm__str_add(s, text);
        return;
    }
    fm__str_add_char(s, '"');
    for (; *text; text++) {
        fm__str_add(s, *text == '"' ? "\"\"" : (char[]){*text, 0});
    }
    fm__str_add_char(s, '"');
}

static void add_picture_name(const exporting *e, fm_str *s, int64_t number)
{
    fm__str_printf(s, "%s/%08" PRId64 ".jpg", e->name, number);
}

static fm_status csv_row(exporting *e, sqlite3_stmt *q, out_file *f, void *opaque, fm_error *err)
{
    (void)opaque;
    (void)err;
    fm_str *s = &f->text;
    fm__str_add_int(s, sqlite3_column_int64(q, 0)); // frame
    fm__str_add_char(s, ',');
    if (sqlite3_column_type(q, 1) != SQLITE_NULL) {
        fm__str_add_int(s, sqlite3_column_int64(q, 1)); // pts_ns
    }
    for (int i = 2; i < 5; i++) { // time_ns, width, height
        fm__str_add_char(s, ',');
        fm__str_add_int(s, sqlite3_column_int64(q, i));
    }
    fm__str_add_char(s, ',');
    add_field(s, text_of(q, 5)); // file
    fm__str_add_char(s, ',');
    if (e->pictures && sqlite3_column_type(q, 6) != SQLITE_NULL) {
        add_picture_name(e, s, sqlite3_column_int64(q, 0));
    }
    if (sqlite3_column_type(q, 7) == SQLITE_NULL) {
        fm__str_add(s, ",,,,,,,,\n"); // a frame without objects
        return FM_OK;
    }
    fm__str_add_char(s, ',');
    add_field(s, text_of(q, 7));
    fm__str_add_char(s, ',');
    fm__str_add_int(s, sqlite3_column_int64(q, 8));
    for (int i = 9; i < 14; i++) { // score, x, y, w, h
        fm__str_add_char(s, ',');
        fm__str_add_fixed(s, sqlite3_column_double(q, i), 4);
    }
    fm__str_add_char(s, ',');
    if (sqlite3_column_type(q, 14) != SQLITE_NULL) {
        fm__str_add_int(s, sqlite3_column_int64(q, 14));
    }
    fm__str_add_char(s, '\n');
    return FM_OK;
}

static fm_status export_csv(exporting *e, fm_error *err)
{
    out_file f;
    fm_status st = open_out(&f, e, ".csv", err);
    fm__str_add(&f.text, FM_STORE_CSV_HEAD "\n");
    st = st == FM_OK
             ? each(e,
                   "SELECT f.number, f.pts_ns, f.time_ns, f.width, f.height, f.file, f.picture_id, d.label,"
                   " d.class_id, d.score, d.x, d.y, d.w, d.h, t.number FROM frames f LEFT JOIN detections d"
                   " ON d.frame_id = f.id LEFT JOIN tracks t ON t.id = d.track_id WHERE f.run_id = ?1"
                   " ORDER BY f.id, d.id",
                   csv_row, &f, NULL, err)
             : st;
    return close_out(&f, st, err);
}

static fm_status mot_row(exporting *e, sqlite3_stmt *q, out_file *f, void *opaque, fm_error *err)
{
    (void)e;
    (void)opaque;
    (void)err;
    fm__str_add_int(&f->text, sqlite3_column_int64(q, 0) + 1);
    fm__str_add_char(&f->text, ',');
    fm__str_add_int(&f->text, sqlite3_column_int64(q, 1));
    for (int i = 2; i < 6; i++) {
        fm__str_add_char(&f->text, ',');
        fm__str_add_fixed(&f->text, sqlite3_column_double(q, i), 2);
    }
    fm__str_add_char(&f->text, ',');
    fm__str_add_fixed(&f->text, sqlite3_column_double(q, 6), 4);
    fm__str_add(&f->text, ",-1,-1,-1\n");
    return FM_OK;
}

static fm_status export_mot(exporting *e, fm_error *err)
{
    out_file f;
    fm_status st = open_out(&f, e, ".txt", err);
    st = st == FM_OK
             ? each(e,
                   "SELECT f.number, t.number, d.x, d.y, d.w, d.h, d.score FROM frames f JOIN detections d"
                   " ON d.frame_id = f.id JOIN tracks t ON t.id = d.track_id WHERE f.run_id = ?1"
                   " ORDER BY f.number, t.number",
                   mot_row, &f, NULL, err)
             : st;
    return close_out(&f, st, err);
}

static fm_status coco_image(exporting *e, sqlite3_stmt *q, out_file *f, void *opaque, fm_error *err)
{
    fm_json *j = opaque;
    (void)err;
    (void)f;
    char name[256];
    int64_t number = sqlite3_column_int64(q, 1);
    bool own = sqlite3_column_type(q, 4) != SQLITE_NULL;
    snprintf(name, sizeof(name), "%.200s/%08" PRId64 ".jpg", e->name, number);
    fm__json_open_object(j);
    fm__json_put_int(j, "id", sqlite3_column_int64(q, 0));
    fm__json_put_int(j, "width", sqlite3_column_int64(q, 2));
    fm__json_put_int(j, "height", sqlite3_column_int64(q, 3));
    fm__json_put_string(j, "file_name", own ? text_of(q, 4) : name);
    if (own) {
        fm__json_put_string(j, "picture", name);
    }
    fm__json_put_int(j, "frame", number);
    fm__json_close_object(j);
    return FM_OK;
}

static fm_status coco_object(exporting *e, sqlite3_stmt *q, out_file *f, void *opaque, fm_error *err)
{
    fm_json *j = opaque;
    (void)e;
    (void)f;
    (void)err;
    double w = sqlite3_column_double(q, 5), h = sqlite3_column_double(q, 6);
    fm__json_open_object(j);
    fm__json_put_int(j, "id", sqlite3_column_int64(q, 0));
    fm__json_put_int(j, "image_id", sqlite3_column_int64(q, 1));
    fm__json_put_int(j, "category_id", sqlite3_column_int64(q, 2));
    fm__json_key(j, "bbox");
    fm__json_open_array(j);
    for (int i = 3; i < 7; i++) {
        fm__json_fixed(j, sqlite3_column_double(q, i), 2);
    }
    fm__json_close_array(j);
    fm__json_put_fixed(j, "area", w * h, 2);
    fm__json_put_int(j, "iscrowd", 0);
    fm__json_put_fixed(j, "score", sqlite3_column_double(q, 7), 4);
    if (sqlite3_column_type(q, 8) != SQLITE_NULL) {
        fm__json_put_int(j, "track_id", sqlite3_column_int64(q, 8));
    }
    fm__json_close_object(j);
    return FM_OK;
}

static fm_status coco_category(exporting *e, sqlite3_stmt *q, out_file *f, void *opaque, fm_error *err)
{
    fm_json *j = opaque;
    (void)e;
    (void)f;
    (void)err;
    fm__json_open_object(j);
    fm__json_put_int(j, "id", sqlite3_column_int64(q, 0));
    fm__json_put_string(j, "name", text_of(q, 1));
    fm__json_close_object(j);
    return FM_OK;
}

static fm_status export_coco(exporting *e, fm_error *err)
{
    static const struct {
        const char *key, *sql;
        row_fn fn;
    } parts[] = {
        {"images", "SELECT id, number, width, height, file FROM frames WHERE run_id = ?1 ORDER BY id",
            coco_image},
        {"annotations",
            "SELECT d.id, d.frame_id, d.class_id, d.x, d.y, d.w, d.h, d.score, t.number FROM frames f JOIN "
            "detections d"
            " ON d.frame_id = f.id LEFT JOIN tracks t ON t.id = d.track_id WHERE f.run_id = ?1 ORDER BY d.id",
            coco_object},
        {"categories",
            "SELECT d.class_id, max(d.label) FROM frames f JOIN detections d ON d.frame_id = f.id WHERE "
            "f.run_id = ?1"
            " GROUP BY d.class_id ORDER BY d.class_id",
            coco_category},
    };
    out_file f;
    fm_json j;
    fm_status st = open_out(&f, e, ".json", err);
    fm__json_init(&j, &f.text);
    fm__json_open_object(&j);
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts) && st == FM_OK; i++) {
        fm__json_key(&j, parts[i].key);
        fm__json_open_array(&j);
        st = each(e, parts[i].sql, parts[i].fn, &f, &j, err);
        fm__json_close_array(&j);
    }
    fm__json_close_object(&j);
    fm__str_add_char(&f.text, '\n');
    return close_out(&f, st, err);
}

static fm_status write_picture(exporting *e, sqlite3_stmt *q, out_file *f, void *opaque, fm_error *err)
{
    (void)f;
    (void)opaque;
    void *jpeg = NULL;
    size_t bytes = 0;
    char *path = fm__asprintf(
        FM_TAG_STORE, "%s/%s/%08" PRId64 ".jpg", e->dir, e->name, (int64_t)sqlite3_column_int64(q, 0));
    fm_status st = path ? fm__store_picture(e->s, e->db, sqlite3_column_int64(q, 1), &jpeg, &bytes, err)
                        : fm__fail_nomem(err, "a path");
    st = st == FM_OK ? fm__file_replace(path, jpeg, bytes, err) : st;
    fm__free(jpeg);
    fm__free(path);
    return st;
}

static fm_status export_pictures(exporting *e, fm_error *err)
{
    char *folder = fm__path_join(FM_TAG_STORE, e->dir, e->name);
    fm_status st = folder ? fm__mkdir_all(folder, err) : fm__fail_nomem(err, "a path");
    fm__free(folder);
    return st == FM_OK
               ? each(e,
                     "SELECT number, picture_id FROM frames WHERE run_id = ?1 AND picture_id IS NOT NULL"
                     " ORDER BY id",
                     write_picture, NULL, NULL, err)
               : st;
}

static fm_status export_run(exporting *e, fm_store_format format, fm_error *err)
{
    fm_status st = format == FM_STORE_COCO  ? export_coco(e, err)
                   : format == FM_STORE_MOT ? export_mot(e, err)
                                            : export_csv(e, err);
    return st == FM_OK && e->pictures ? export_pictures(e, err) : st;
}

static char *name_of_run(const char *stream, int64_t nth)
{
    char *safe = fm__safe_name(FM_TAG_STORE, stream);
    char *name = !safe      ? NULL
                 : nth <= 1 ? fm__strdup(FM_TAG_STORE, safe)
                            : fm__asprintf(FM_TAG_STORE, "%s-%" PRId64, safe, nth);
    fm__free(safe);
    return name;
}

fm_status fm_store_export(fm_store *s, fm_store_format format, const char *dir, bool pictures, fm_error *err)
{
    exporting e = {.s = s, .dir = dir, .pictures = pictures};
    sqlite3_stmt *q = NULL;
    bool row = true;
    fm_status st = fm__mkdir_all(dir, err);
    st = st == FM_OK ? fm__store_reader(s, &e.db, err) : st;
    st = st == FM_OK ? fm__sql_exec(e.db, "BEGIN", err) : st; // one moment for all files
    st = st == FM_OK ? fm__sql_prepare(e.db,
                           "SELECT r.id, r.stream_id, s.name, row_number() OVER (PARTITION BY r.stream_id "
                           "ORDER BY r.id)"
                           " FROM runs r JOIN streams s ON s.id = r.stream_id WHERE r.id IN (SELECT run_id "
                           "FROM frames)"
                           " ORDER BY r.id",
                           &q, err)
                     : st;
    while (st == FM_OK && (st = fm__sql_step(q, &row, err)) == FM_OK && row) {
        e.run = sqlite3_column_int64(q, 0);
        e.stream = sqlite3_column_int64(q, 1);
        e.name = name_of_run(text_of(q, 2), sqlite3_column_int64(q, 3));
        st = e.name ? export_run(&e, format, err) : fm__fail_nomem(err, "a name");
        fm__free(e.name);
    }
    sqlite3_finalize(q);
    sqlite3_close(e.db);
    return st;
}
