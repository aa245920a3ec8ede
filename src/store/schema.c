// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The schema as a list of steps, each from one version to the next, applied in a transaction of its own
// together with the new PRAGMA user_version: a step happens whole or not at all. Never change a step that was
// released; add one.

#include "store/schema.h"

#include "base/error.h"
#include "base/log.h"
#include "store/sql.h"

#include <stdio.h>

// Integer keys are AUTOINCREMENT where their order is a promise: an id is never given twice, also after
// deletion, so ids keep the order of writing whatever the wall clock does. Times are nanoseconds since 1970
// (`time_ns`, the frame's own where known, else when it was stored), so that every row can be asked by time.
// What a query filters by stands in the row of the detection itself: one index range, no join.
static const char step_1[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE streams(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, url TEXT,"
    " created_ns INTEGER NOT NULL, bytes INTEGER NOT NULL DEFAULT 0, meta TEXT);"
    "CREATE TABLE runs(id INTEGER PRIMARY KEY AUTOINCREMENT, stream_id INTEGER NOT NULL,"
    " started_ns INTEGER NOT NULL);"
    "CREATE INDEX runs_stream ON runs(stream_id);"
    "CREATE TABLE segments(id INTEGER PRIMARY KEY AUTOINCREMENT, stream_id INTEGER NOT NULL,"
    " created_ns INTEGER NOT NULL, last_frame INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL);"
    "CREATE INDEX segments_stream ON segments(stream_id);"
    "CREATE TABLE pictures(id INTEGER PRIMARY KEY AUTOINCREMENT, segment_id INTEGER NOT NULL,"
    " offset INTEGER NOT NULL, length INTEGER NOT NULL, crc32c INTEGER NOT NULL,"
    " width INTEGER NOT NULL, height INTEGER NOT NULL);"
    "CREATE INDEX pictures_segment ON pictures(segment_id, offset);"
    "CREATE TABLE frames(id INTEGER PRIMARY KEY AUTOINCREMENT, stream_id INTEGER NOT NULL,"
    " run_id INTEGER NOT NULL, number INTEGER NOT NULL, pts_ns INTEGER, time_ns INTEGER NOT NULL, stored_ns "
    "INTEGER NOT NULL,"
    " width INTEGER NOT NULL, height INTEGER NOT NULL, file TEXT, picture_id INTEGER,"
    " bytes INTEGER NOT NULL, error TEXT, meta TEXT);"
    "CREATE INDEX frames_order ON frames(stream_id);"
    "CREATE INDEX frames_time ON frames(stream_id, time_ns);"
    "CREATE INDEX frames_run ON frames(run_id, number);"
    "CREATE TABLE detections(id INTEGER PRIMARY KEY AUTOINCREMENT, frame_id INTEGER NOT NULL,"
    " stream_id INTEGER NOT NULL, time_ns INTEGER NOT NULL, label TEXT NOT NULL, class_id INTEGER NOT NULL,"
    " score REAL NOT NULL, x REAL NOT NULL, y REAL NOT NULL, w REAL NOT NULL, h REAL NOT NULL,"
    " track_id INTEGER, meta TEXT);"
    "CREATE INDEX detections_frame ON detections(frame_id);"
    "CREATE INDEX detections_label ON detections(label, stream_id, time_ns);"
    "CREATE INDEX detections_track ON detections(track_id) WHERE track_id IS NOT NULL;"
    "CREATE TABLE tracks(id INTEGER PRIMARY KEY AUTOINCREMENT, stream_id INTEGER NOT NULL,"
    " run_id INTEGER NOT NULL, number INTEGER NOT NULL, label TEXT NOT NULL, first_frame INTEGER NOT NULL,"
    " last_frame INTEGER NOT NULL, first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL,"
    " frames INTEGER NOT NULL, best_frame INTEGER, best_score REAL, best_quality REAL, best_x REAL, best_y "
    "REAL, best_w REAL,"
    " best_h REAL, picture_id INTEGER, ended INTEGER NOT NULL DEFAULT 0, meta TEXT,"
    " UNIQUE(run_id, number));"
    "CREATE INDEX tracks_stream ON tracks(stream_id, last_frame);"
    "CREATE TABLE features(id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, frame_id INTEGER NOT "
    "NULL,"
    " detection_id INTEGER, track_id INTEGER, model TEXT NOT NULL, dim INTEGER NOT NULL, vector BLOB NOT "
    "NULL);"
    "CREATE INDEX features_frame ON features(frame_id);"
    "CREATE INDEX features_model ON features(model, kind);"
    "CREATE INDEX features_detection ON features(detection_id) WHERE detection_id IS NOT NULL;";

// Zones are reserved: nothing fills the column yet, but queries may name it.
static const char step_2[] =
    "ALTER TABLE detections ADD COLUMN zone TEXT;"
    "CREATE INDEX detections_zone ON detections(zone, stream_id, time_ns) WHERE zone IS NOT NULL;"
    "CREATE TABLE models(name TEXT NOT NULL, kind TEXT NOT NULL, dim INTEGER NOT NULL,"
    " PRIMARY KEY(name, kind)) WITHOUT ROWID;"
    "INSERT INTO models SELECT DISTINCT model, kind, dim FROM features;";

static const char *const steps[FM_SCHEMA_VERSION] = {step_1, step_2};

fm_status fm__schema_version(sqlite3 *db, int *version, fm_error *err)
{
    int64_t v = 0, app = 0, tables = 0;
    fm_status st = fm__sql_int(db, "PRAGMA user_version", &v, err);
    st = st == FM_OK ? fm__sql_int(db, "PRAGMA application_id", &app, err) : st;
    st = st == FM_OK ? fm__sql_int(db, "SELECT count(*) FROM sqlite_schema", &tables, err) : st;
    if (st == FM_OK && app != FM_SCHEMA_APPLICATION && (v != 0 || tables != 0)) {
        st = fm__fail(err, FM_FORMAT, "%s is not a framemill store: give another folder",
            sqlite3_db_filename(db, "main"));
    }
    if (st == FM_OK) {
        *version = (int)v;
    }
    return st;
}

static fm_status apply(sqlite3 *db, int from, fm_error *err)
{
    char end[160];
    // The application's number comes with the first step, so a file that has none is empty or not ours.
    snprintf(end, sizeof(end), "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
        FM_SCHEMA_APPLICATION, from + 1);
    fm_status st = fm__sql_exec(db, "BEGIN IMMEDIATE", err);
    st = st == FM_OK ? fm__sql_exec(db, steps[from], err) : st;
    st = st == FM_OK ? fm__sql_exec(db, end, err) : st;
    if (st != FM_OK) {
        (void)fm__sql_exec(db, "ROLLBACK", NULL); // the first failure is the one to tell
    }
    return st;
}

fm_status fm__schema_upgrade(sqlite3 *db, int version, const fm_log *log, fm_error *err)
{
    int have = 0;
    fm_status st = fm__schema_version(db, &have, err);
    if (st == FM_OK && have > FM_SCHEMA_VERSION) {
        return fm__fail(err, FM_UNSUPPORTED,
            "%s is of version %d and this framemill knows up to %d: use a newer framemill",
            sqlite3_db_filename(db, "main"), have, FM_SCHEMA_VERSION);
    }
    if (st == FM_OK && have > 0 && have < version) {
        fm__log(log, FM_LOG_INFO, "store", "bringing the store from version %d to %d", have, version);
    }
    for (int v = have; v < version && st == FM_OK; v++) {
        st = apply(db, v, err);
    }
    return st;
}
