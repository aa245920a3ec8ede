// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Queries over a store's tables. A filter becomes one SELECT: the text is put together from fixed pieces, the
// values are bound in the order of the pieces.

#include "store/query.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"
#include "store/sql.h"

#include <framemill/frame.h>

#include <math.h>
#include <string.h>

// A value of metadata, as text: JSON's true, false and null by their names, the rest as SQLite writes it. Of
// the object, else of its frame, else of its stream; text that is not JSON has no values.
#define META_OF(column)                                                                                      \
    "CASE WHEN json_valid(" column ") THEN CASE json_type(" column ", ?%d)"                                  \
    " WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' WHEN 'null' THEN 'null'"                             \
    " ELSE CAST(json_extract(" column ", ?%d) AS TEXT) END END"
#define WHERE_META " AND coalesce(" META_OF("d.meta") ", " META_OF("fr.meta") ", " META_OF("s.meta") ") = ?%d"

enum { VALUES_MAX = 200 };

// A statement being made: text, and what goes into its places.
typedef struct maker {
    fm_str sql;
    int values; // places used so far
    enum { KIND_TEXT, KIND_INT, KIND_REAL } kind[VALUES_MAX];
    const char *text[VALUES_MAX];
    int64_t whole[VALUES_MAX];
    double real[VALUES_MAX];
    char *paths[VALUES_MAX]; // of metadata, owned
    int path_count;
    fm_status status;
    fm_error *err;
} maker;

static void maker_init(maker *m, fm_error *err)
{
    *m = (maker){.err = err};
    fm__str_init(&m->sql, FM_TAG_STORE);
}

static void maker_done(maker *m)
{
    for (int i = 0; i < m->path_count; i++) {
        fm__free(m->paths[i]);
    }
    fm__str_done(&m->sql);
}

static int next_place(maker *m)
{
    if (m->values == VALUES_MAX && m->status == FM_OK) {
        m->status = fm__fail(m->err, FM_INVAL, "a filter holds at most %d values", VALUES_MAX);
    }
    return m->status == FM_OK ? m->values++ : VALUES_MAX - 1;
}

static int put_text(maker *m, const char *v)
{
    int at = next_place(m);
    m->kind[at] = KIND_TEXT;
    m->text[at] = v;
    return at + 1;
}

static int put_int(maker *m, int64_t v)
{
    int at = next_place(m);
    m->kind[at] = KIND_INT;
    m->whole[at] = v;
    return at + 1;
}

static int put_real(maker *m, double v)
{
    int at = next_place(m);
    m->kind[at] = KIND_REAL;
    m->real[at] = v;
    return at + 1;
}

static fm_status bind_one(sqlite3 *db, sqlite3_stmt *stmt, const maker *m, int i, fm_error *err)
{
    int rc = m->kind[i] == KIND_TEXT  ? sqlite3_bind_text(stmt, i + 1, m->text[i], -1, SQLITE_STATIC)
             : m->kind[i] == KIND_INT ? sqlite3_bind_int64(stmt, i + 1, m->whole[i])
                                      : sqlite3_bind_double(stmt, i + 1, m->real[i]);
    return rc == SQLITE_OK ? FM_OK : fm__sql_fail(db, "a query", err);
}

// The statement lives no longer than the maker.
static fm_status make(sqlite3 *db, maker *m, sqlite3_stmt **out, fm_error *err)
{
    if (m->status != FM_OK) {
        return m->status;
    }
    if (m->sql.failed) {
        return fm__fail_nomem(err, "a query");
    }
    fm_status st = fm__sql_prepare(db, m->sql.data, out, err);
    for (int i = 0; st == FM_OK && i < m->values; i++) {
        st = bind_one(db, *out, m, i, err);
    }
    return st;
}

// "a.b" is the path $."a"."b". Quotes cannot be written in a path.
static fm_status path_of(const char *key, size_t len, char **out, fm_error *err)
{
    fm_str s;
    fm__str_init(&s, FM_TAG_STORE);
    fm__str_add(&s, "$.\"");
    bool is_good = len > 0;
    for (size_t i = 0; i < len; i++) {
        bool ends = key[i] == '.';
        is_good = is_good && key[i] != '"' && key[i] != '\\' &&
                  !(ends && (i == 0 || i + 1 == len || key[i - 1] == '.'));
        if (ends) {
            fm__str_add(&s, "\".\"");
        } else {
            fm__str_add_char(&s, key[i]);
        }
    }
    fm__str_add_char(&s, '"');
    *out = fm__str_take(&s);
    if (!*out) {
        return fm__fail_nomem(err, "a query");
    }
    return is_good ? FM_OK
                   : fm__fail(err, FM_INVAL,
                         "'%.*s' is no key of metadata: a name, or names with dots between", (int)len, key);
}

static void add_where(maker *m, const char *pair)
{
    const char *equals = strchr(pair, '=');
    if (m->status != FM_OK) {
        return;
    }
    if (!equals) {
        m->status = fm__fail(m->err, FM_INVAL, "'%s' is not KEY=VALUE", pair);
        return;
    }
    if (m->path_count == VALUES_MAX) {
        (void)next_place(m); // says so
        return;
    }
    m->status = path_of(pair, (size_t)(equals - pair), &m->paths[m->path_count], m->err);
    m->path_count += m->paths[m->path_count] != NULL;
    if (m->status == FM_OK) {
        int p = put_text(m, m->paths[m->path_count - 1]), v = put_text(m, equals + 1);
        fm__str_printf(&m->sql, WHERE_META, p, p, p, p, p, p, v);
    }
}

static void add_streams(maker *m, const fm_search_filter *f)
{
    if (f->stream_count == 0) {
        return;
    }
    fm__str_add(&m->sql, " AND fr.stream_id IN (SELECT id FROM streams WHERE name IN (");
    for (size_t i = 0; i < f->stream_count; i++) {
        fm__str_printf(&m->sql, "%s?%d", i ? ", " : "", put_text(m, f->streams[i]));
    }
    fm__str_add(&m->sql, "))");
}

static bool has_time(const fm_search_filter *f)
{
    return f->from_ns != 0 || f->to_ns != 0;
}

bool fm__filter_is_empty(const fm_search_filter *f)
{
    return !f->label && f->stream_count == 0 && !has_time(f) && !f->zone && f->min_score <= 0 &&
           f->where_count == 0;
}

static void add_filter(maker *m, const fm_search_filter *f)
{
    add_streams(m, f);
    if (f->label) {
        fm__str_printf(&m->sql, " AND d.label = ?%d", put_text(m, f->label));
    }
    if (has_time(f)) {
        fm__str_printf(&m->sql, " AND fr.time_ns >= ?%d", put_int(m, f->from_ns));
    }
    if (f->to_ns != 0) {
        fm__str_printf(&m->sql, " AND fr.time_ns < ?%d", put_int(m, f->to_ns));
    }
    if (f->zone) {
        fm__str_printf(&m->sql, " AND d.zone = ?%d", put_text(m, f->zone));
    }
    if (f->min_score > 0) {
        fm__str_printf(&m->sql, " AND d.score >= ?%d", put_real(m, f->min_score));
    }
    for (size_t i = 0; i < f->where_count; i++) {
        add_where(m, f->where[i]);
    }
}

static fm_status check_filter(const fm_search_filter *f, fm_error *err)
{
    if (!isfinite(f->min_score)) {
        return fm__fail(err, FM_INVAL, "the least score must be a number");
    }
    if (has_time(f) && f->to_ns != 0 && f->to_ns <= f->from_ns) {
        return fm__fail(err, FM_INVAL, "the time range ends before it begins");
    }
    return FM_OK;
}

// Runs a made statement whose rows are one id each.
static fm_status read_ids(sqlite3 *db, maker *m, int64_t **ids, size_t *count, fm_error *err)
{
    sqlite3_stmt *stmt = NULL;
    int64_t *list = NULL;
    size_t n = 0, cap = 0;
    bool row = true;
    fm_status st = make(db, m, &stmt, err);
    while (st == FM_OK) {
        st = fm__sql_step(stmt, &row, err);
        if (st != FM_OK || !row) {
            break;
        }
        if (!fm__grow(FM_TAG_STORE, (void **)&list, &cap, n + 1, sizeof(*list))) {
            st = fm__fail_nomem(err, "a query");
            break;
        }
        list[n++] = sqlite3_column_int64(stmt, 0);
    }
    sqlite3_finalize(stmt);
    if (st == FM_OK && !list) { // none, and yet a list
        list = fm__calloc(FM_TAG_STORE, sizeof(*list));
        st = list ? FM_OK : fm__fail_nomem(err, "a query");
    }
    if (st != FM_OK) {
        fm__free(list);
        return st;
    }
    *ids = list;
    *count = n;
    return FM_OK;
}

fm_status fm__query_features(sqlite3 *db, const char *model, const char *kind, const fm_search_filter *f,
    int64_t not_track, int64_t **ids, size_t *count, fm_error *err)
{
    fm_status st = check_filter(f, err);
    if (st != FM_OK) {
        return st;
    }
    maker m;
    maker_init(&m, err);
    // A label comes with an index of its own over objects, so those are walked through, not all features.
    fm__str_printf(&m.sql, "SELECT f.id FROM %s WHERE %s = ?%d AND f.kind = ?%d",
        f->label ? "detections d CROSS JOIN features f ON f.detection_id = d.id"
                   " JOIN frames fr ON fr.id = d.frame_id JOIN streams s ON s.id = fr.stream_id"
                 : "features f JOIN frames fr ON fr.id = f.frame_id JOIN streams s ON s.id = fr.stream_id"
                   " LEFT JOIN detections d ON d.id = f.detection_id",
        f->label ? "+f.model" : "f.model", put_text(&m, model), put_text(&m, kind));
    add_filter(&m, f);
    if (not_track) {
        fm__str_printf(&m.sql, " AND d.track_id IS NOT ?%d", put_int(&m, not_track));
    }
    fm__str_add(&m.sql, " ORDER BY f.id");
    st = read_ids(db, &m, ids, count, err);
    maker_done(&m);
    return st;
}

fm_status fm__query_objects(
    sqlite3 *db, const fm_search_filter *f, size_t most, int64_t *ids, size_t *count, fm_error *err)
{
    fm_status st = check_filter(f, err);
    if (st != FM_OK) {
        return st;
    }
    int64_t *list = NULL;
    size_t n = 0;
    maker m;
    maker_init(&m, err);
    fm__str_add(&m.sql, "SELECT d.id FROM detections d JOIN frames fr ON fr.id = d.frame_id"
                        " JOIN streams s ON s.id = fr.stream_id WHERE 1");
    add_filter(&m, f);
    fm__str_printf(
        &m.sql, " ORDER BY fr.time_ns DESC, d.score DESC, d.id LIMIT ?%d", put_int(&m, (int64_t)most));
    st = read_ids(db, &m, &list, &n, err);
    if (st == FM_OK) {
        memcpy(ids, list, n * sizeof(*ids));
        *count = n;
    }
    fm__free(list);
    maker_done(&m);
    return st;
}

#define HIT_COLUMNS                                                                                          \
    "SELECT s.name, fr.id, fr.number, fr.time_ns, fr.pts_ns, fr.file, fr.width, fr.height, fr.picture_id,"   \
    " d.id, d.label, d.score, d.x, d.y, d.w, d.h, t.number, t.picture_id "
#define HIT_JOINS " JOIN streams s ON s.id = fr.stream_id LEFT JOIN tracks t ON t.id = d.track_id "

void fm__query_hit_done(fm_search_hit *hit)
{
    fm__free((char *)hit->stream);
    fm__free((char *)hit->file);
    fm__free((char *)hit->label);
    *hit = (fm_search_hit){0};
}

static const char *text_of(sqlite3_stmt *stmt, int column)
{
    return fm__strdup(FM_TAG_STORE, (const char *)sqlite3_column_text(stmt, column));
}

static fm_status fill_hit(sqlite3_stmt *s, fm_search_hit *h, fm_error *err)
{
    *h = (fm_search_hit){.distance = -1,
        .stream = text_of(s, 0),
        .frame_id = sqlite3_column_int64(s, 1),
        .frame = (uint64_t)sqlite3_column_int64(s, 2),
        .time_ns = sqlite3_column_int64(s, 3),
        .pts_ns = sqlite3_column_type(s, 4) == SQLITE_NULL ? FM_PTS_NONE : sqlite3_column_int64(s, 4),
        .file = text_of(s, 5),
        .width = sqlite3_column_int(s, 6),
        .height = sqlite3_column_int(s, 7),
        .picture = sqlite3_column_int64(s, 8),
        .is_object = sqlite3_column_type(s, 9) != SQLITE_NULL,
        .label = text_of(s, 10),
        .score = sqlite3_column_double(s, 11),
        .track = sqlite3_column_int64(s, 16),
        .best_picture = sqlite3_column_int64(s, 17)};
    float x = (float)sqlite3_column_double(s, 12), y = (float)sqlite3_column_double(s, 13);
    h->box = (fm_box){x, y, x + (float)sqlite3_column_double(s, 14), y + (float)sqlite3_column_double(s, 15)};
    bool whole = h->stream && (h->file || sqlite3_column_type(s, 5) == SQLITE_NULL) &&
                 (h->label || sqlite3_column_type(s, 10) == SQLITE_NULL);
    if (!whole) {
        fm__query_hit_done(h);
        return fm__fail_nomem(err, "a query");
    }
    return FM_OK;
}

static fm_status hit_of(sqlite3 *db, const char *sql, int64_t id, fm_search_hit *out, fm_error *err)
{
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    fm_status st = fm__sql_prepare(db, sql, &stmt, err);
    if (st == FM_OK && sqlite3_bind_int64(stmt, 1, id) != SQLITE_OK) {
        st = fm__sql_fail(db, "a query", err);
    }
    st = st == FM_OK ? fm__sql_step(stmt, &row, err) : st;
    if (st == FM_OK && !row) {
        st = fm__fail(err, FM_NOTFOUND, "the store has no row %lld any more", (long long)id);
    }
    st = st == FM_OK ? fill_hit(stmt, out, err) : st;
    sqlite3_finalize(stmt);
    return st;
}

fm_status fm__query_hit_of_feature(sqlite3 *db, int64_t feature, fm_search_hit *out, fm_error *err)
{
    return hit_of(db,
        HIT_COLUMNS "FROM features f JOIN frames fr ON fr.id = f.frame_id"
                    " LEFT JOIN detections d ON d.id = f.detection_id" HIT_JOINS "WHERE f.id = ?1",
        feature, out, err);
}

fm_status fm__query_hit_of_object(sqlite3 *db, int64_t detection, fm_search_hit *out, fm_error *err)
{
    return hit_of(db,
        HIT_COLUMNS "FROM detections d JOIN frames fr ON fr.id = d.frame_id" HIT_JOINS "WHERE d.id = ?1",
        detection, out, err);
}

// CROSS JOIN fixes the order, and + keeps the index over models out: without statistics SQLite would rather
// walk through all features of the model.
fm_status fm__query_track_features(
    sqlite3 *db, int64_t track, const char *model, int64_t **ids, size_t *count, fm_error *err)
{
    maker m;
    maker_init(&m, err);
    fm__str_printf(&m.sql,
        "SELECT f.id FROM detections d CROSS JOIN features f ON f.detection_id = d.id WHERE d.track_id = ?%d "
        "AND "
        "+f.model = ?%d"
        " AND +f.kind = 'object' ORDER BY f.id",
        put_int(&m, track), put_text(&m, model));
    fm_status st = read_ids(db, &m, ids, count, err);
    maker_done(&m);
    return st;
}

static fm_status find_track(sqlite3 *db, const char *stream, int64_t number, int64_t *track, fm_error *err)
{
    maker m;
    maker_init(&m, err);
    fm__str_printf(&m.sql,
        "SELECT t.id FROM tracks t JOIN streams s ON s.id = t.stream_id WHERE s.name = ?%d AND t.number = ?%d"
        " ORDER BY t.run_id DESC LIMIT 1",
        put_text(&m, stream), put_int(&m, number));
    int64_t *ids = NULL;
    size_t n = 0;
    fm_status st = read_ids(db, &m, &ids, &n, err);
    if (st == FM_OK && n == 0) {
        st = fm__fail(
            err, FM_NOTFOUND, "the store has no track %lld of stream '%s'", (long long)number, stream);
    }
    if (st == FM_OK) {
        *track = ids[0];
    }
    fm__free(ids);
    maker_done(&m);
    return st;
}

static fm_status copy_vector(sqlite3_stmt *stmt, float **vector, int *dim, fm_error *err)
{
    size_t bytes = (size_t)sqlite3_column_bytes(stmt, 0);
    const void *blob = sqlite3_column_blob(stmt, 0);
    float *v = bytes >= sizeof(float) && bytes % sizeof(float) == 0 ? fm__calloc(FM_TAG_STORE, bytes) : NULL;
    if (!v || !blob) {
        fm__free(v);
        return fm__fail(err, FM_FORMAT, "a feature of the store is damaged; see framemill store verify");
    }
    memcpy(v, blob, bytes);
    *vector = v;
    *dim = (int)(bytes / sizeof(float));
    return FM_OK;
}

fm_status fm__query_track(sqlite3 *db, const char *stream, int64_t number, const char *model, int64_t *track,
    float **vector, int *dim, fm_error *err)
{
    fm_status st = find_track(db, stream, number, track, err);
    if (st != FM_OK) {
        return st;
    }
    // The best view's, where it has one; else that of the surest detection.
    maker m;
    maker_init(&m, err);
    fm__str_printf(&m.sql,
        "SELECT f.vector FROM detections d CROSS JOIN features f ON f.detection_id = d.id JOIN tracks t ON "
        "t.id = "
        "d.track_id"
        " WHERE d.track_id = ?%d AND +f.model = ?%d AND +f.kind = 'object'"
        " ORDER BY f.frame_id IS t.best_frame DESC, d.score DESC, f.id LIMIT 1",
        put_int(&m, *track), put_text(&m, model));
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    st = make(db, &m, &stmt, err);
    st = st == FM_OK ? fm__sql_step(stmt, &row, err) : st;
    if (st == FM_OK && !row) {
        st = fm__fail(err, FM_NOTFOUND,
            "track %lld of stream '%s' has no feature of %s: store runs with an embedder", (long long)number,
            stream, model);
    }
    st = st == FM_OK ? copy_vector(stmt, vector, dim, err) : st;
    sqlite3_finalize(stmt);
    maker_done(&m);
    return st;
}

fm_status fm__query_model(
    sqlite3 *db, const char *kind, const char *model, char **name, int *dim, fm_error *err)
{
    maker m;
    maker_init(&m, err);
    fm__str_printf(&m.sql, "SELECT m.name, m.dim FROM models m WHERE m.kind = ?%d", put_text(&m, kind));
    if (model) {
        fm__str_printf(&m.sql, " AND m.name = ?%d", put_text(&m, model));
    }
    fm__str_add(&m.sql,
        " ORDER BY (SELECT count(*) FROM features f WHERE f.model = m.name AND f.kind = m.kind) DESC,"
        " m.name LIMIT 1");
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    fm_status st = make(db, &m, &stmt, err);
    st = st == FM_OK ? fm__sql_step(stmt, &row, err) : st;
    if (st == FM_OK && !row) {
        st = fm__fail(err, FM_NOTFOUND, "the store has no features of %ss%s%s: store runs with --embedder",
            kind, model ? " by " : "", model ? model : "");
    }
    if (st == FM_OK) {
        *name = (char *)text_of(stmt, 0);
        *dim = sqlite3_column_int(stmt, 1);
        st = *name ? FM_OK : fm__fail_nomem(err, "a query");
    }
    sqlite3_finalize(stmt);
    maker_done(&m);
    return st;
}

fm_status fm__query_meta(sqlite3 *db, const char *key, char **value, fm_error *err)
{
    maker m;
    maker_init(&m, err);
    fm__str_printf(&m.sql, "SELECT value FROM meta WHERE key = ?%d", put_text(&m, key));
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    *value = NULL;
    fm_status st = make(db, &m, &stmt, err);
    st = st == FM_OK ? fm__sql_step(stmt, &row, err) : st;
    if (st == FM_OK && row && sqlite3_column_type(stmt, 0) != SQLITE_NULL) {
        *value = (char *)text_of(stmt, 0);
        st = *value ? FM_OK : fm__fail_nomem(err, "a query");
    }
    sqlite3_finalize(stmt);
    maker_done(&m);
    return st;
}
