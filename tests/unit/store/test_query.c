// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Filtered search over a small store, against loops over the same objects: 10,000 random filters of label,
// streams, time, zone, score and metadata, exactly the k nearest of those that match. And the index beside
// the database: brought up to date, rows deleted, the file damaged, of another database, in another's hands.

#include "../testing.h"
#include "base/file.h"
#include "store/query.h"
#include "store/schema.h"
#include "store/sql.h"
#include "store/vectors.h"

#include <fcntl.h>
#include <math.h>
#include <sys/file.h>
#include <unistd.h>

enum { N = 1500, MORE = 1100, DIM = 20, K_MAX = 40, STREAMS = 4, PER_FRAME = 5 };
#define SECOND INT64_C(1000000000)

static const char *const stream_names[STREAMS] = {"gate", "yard", "o'hara; --", "caf\xc3\xa9"};
static const char *const labels[] = {"person", "car", "do\"g", "'"};
static const char *const zones[] = {NULL, "door", "road"};
static const char *const colours[] = {NULL, "red", "blue", "a'b"};

typedef struct thing {
    int64_t feature, time_ns;
    int stream, label, zone, colour, size; // colour, size: of the object's metadata, 0: not there
    int weather;                           // of the frame's: 0 none, else number; site: of the stream's
    double score;
    float v[DIM];
    bool gone;
} thing;

static thing things[N + MORE];
static size_t thing_count;
static sqlite3 *db;

static void run_sql(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *sql = sqlite3_vmprintf(fmt, ap); // its %Q quotes
    va_end(ap);
    fm_error err = {0};
    if (fm__sql_exec(db, sql, &err) != FM_OK) {
        fail_msg("%s: %s", sql, err.msg);
    }
    sqlite3_free(sql);
}

static void put_feature(thing *t, int64_t frame, int64_t detection, int64_t track)
{
    sqlite3_stmt *s = NULL;
    assert_int_equal(fm__sql_prepare(db,
                         "INSERT INTO features(kind, frame_id, detection_id, track_id, model, dim, vector)"
                         " VALUES('object', ?1, ?2, ?3, 'net', ?4, ?5)",
                         &s, NULL),
        FM_OK);
    sqlite3_bind_int64(s, 1, frame);
    sqlite3_bind_int64(s, 2, detection);
    if (track) {
        sqlite3_bind_int64(s, 3, track);
    }
    sqlite3_bind_int(s, 4, DIM);
    sqlite3_bind_blob(s, 5, t->v, sizeof(t->v), SQLITE_STATIC);
    assert_int_equal(sqlite3_step(s), SQLITE_DONE);
    t->feature = sqlite3_last_insert_rowid(db);
    sqlite3_finalize(s);
}

static void put_meta_of(thing *t, char *out, size_t size)
{
    size_t n = (size_t)snprintf(out, size, "{\"x\": 1");
    if (t->colour) {
        n += (size_t)snprintf(out + n, size - n, ", \"look\": {\"colour\": \"%s\"}", colours[t->colour]);
    }
    if (t->size) {
        n += (size_t)snprintf(
            out + n, size - n, ", \"size\": %d, \"big\": %s", t->size, t->size > 3 ? "true" : "false");
    }
    snprintf(out + n, size - n, "}");
}

static void add_things(uint64_t *rng, size_t n)
{
    run_sql("BEGIN");
    int64_t frame = 0, now = 0;
    int stream = 0, weather = 0;
    for (size_t i = 0; i < n; i++) {
        thing *t = &things[thing_count];
        if (i % PER_FRAME == 0) {
            char meta[64] = "not JSON at all";
            stream = rnd_below(rng, STREAMS);
            weather = rnd_below(rng, 4);
            now = (1 + (int64_t)thing_count / 3) * SECOND + rnd_below(rng, 9);
            if (weather) {
                snprintf(meta, sizeof(meta), "{\"weather\": %d}", weather);
            }
            run_sql("INSERT INTO frames(stream_id, run_id, number, time_ns, stored_ns, width, height, bytes, "
                    "meta)"
                    " VALUES(%d, 1, %d, %lld, 0, 640, 480, 0, %Q)",
                stream + 1, (int)thing_count, (long long)now,
                weather           ? meta
                : thing_count % 2 ? NULL
                                  : meta);
            frame = sqlite3_last_insert_rowid(db);
        }
        char meta[128];
        *t = (thing){.time_ns = now, .stream = stream, .weather = weather};
        t->label = rnd_below(rng, 4);
        t->zone = rnd_below(rng, 3);
        t->colour = rnd_below(rng, 4);
        t->size = rnd_below(rng, 6);
        t->score = (double)rnd_below(rng, 100) / 100;
        for (size_t d = 0; d < DIM; d++) {
            t->v[d] = (float)(rnd_below(rng, 2001) - 1000) / 1000;
        }
        put_meta_of(t, meta, sizeof(meta));
        run_sql("INSERT INTO detections(frame_id, stream_id, time_ns, label, class_id, score, x, y, w, h, "
                "meta, zone)"
                " VALUES(%lld, %d, %lld, %Q, %d, %f, 1, 2, 30, 40, %Q, %Q)",
            (long long)frame, stream + 1, (long long)now, labels[t->label], t->label, t->score, meta,
            zones[t->zone]);
        put_feature(t, frame, sqlite3_last_insert_rowid(db), 0);
        thing_count++;
    }
    run_sql("COMMIT");
}

static char *make_store(uint64_t *rng)
{
    char *dir = make_dir();
    thing_count = 0;
    assert_int_equal(fm__sql_open_writer(dir, NULL, false, &db, NULL), FM_OK);
    fm_error err = {0};
    if (fm__schema_upgrade(db, FM_SCHEMA_VERSION, NULL, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    for (int i = 0; i < STREAMS; i++) {
        run_sql("INSERT INTO streams(name, created_ns, meta) VALUES(%Q, 0, %Q)", stream_names[i],
            i == 1 ? "{\"site\": \"north\"}" : NULL);
    }
    run_sql("INSERT INTO models VALUES('net', 'object', %d)", DIM);
    add_things(rng, N);
    return dir;
}

typedef struct wish {
    fm_search_filter f;
    const char *streams[STREAMS], *where[3];
    int want_streams, label, zone, colour, size, weather, site, big; // -1: any
} wish;

static void make_wish(uint64_t *rng, wish *w)
{
    static char size_text[32], weather_text[32], colour_text[64];
    *w = (wish){.label = -1, .zone = -1, .colour = -1, .size = -1, .weather = -1, .site = -1, .big = -1};
    if (rnd_below(rng, 2)) {
        for (int i = 0; i < STREAMS; i++) {
            if (rnd_below(rng, 2)) {
                w->streams[w->f.stream_count++] = stream_names[i];
                w->want_streams |= 1 << i;
            }
        }
        w->f.streams = w->streams;
    }
    if (rnd_below(rng, 2)) {
        w->label = rnd_below(rng, 4);
        w->f.label = labels[w->label];
    }
    if (rnd_below(rng, 3) == 0) {
        w->f.from_ns = rnd_below(rng, N / 3) * SECOND;
        w->f.to_ns = rnd_below(rng, 3) ? w->f.from_ns + 1 + rnd_below(rng, 300) * SECOND : 0;
    }
    if (rnd_below(rng, 4) == 0) {
        w->zone = 1 + rnd_below(rng, 2);
        w->f.zone = zones[w->zone];
    }
    w->f.min_score = rnd_below(rng, 3) ? 0 : (double)rnd_below(rng, 100) / 100;
    w->f.where = w->where;
    switch (rnd_below(rng, 7)) {
    case 0:
        w->colour = 1 + rnd_below(rng, 3);
        snprintf(colour_text, sizeof(colour_text), "look.colour=%s", colours[w->colour]);
        w->where[w->f.where_count++] = colour_text;
        break;
    case 1:
        w->size = 1 + rnd_below(rng, 5);
        snprintf(size_text, sizeof(size_text), "size=%d", w->size);
        w->where[w->f.where_count++] = size_text;
        break;
    case 2:
        w->site = 1;
        w->where[w->f.where_count++] = "site=north";
        break;
    case 3:
        w->big = rnd_below(rng, 2);
        w->where[w->f.where_count++] = w->big ? "big=true" : "big=false";
        break;
    default:
        break;
    }
    if (rnd_below(rng, 4) == 0) {
        w->weather = 1 + rnd_below(rng, 3);
        snprintf(weather_text, sizeof(weather_text), "weather=%d", w->weather);
        w->where[w->f.where_count++] = weather_text;
    }
}

static bool matches(const wish *w, const thing *t)
{
    return !t->gone && (w->f.stream_count == 0 || (w->want_streams >> t->stream & 1)) &&
           (w->label < 0 || t->label == w->label) &&
           ((w->f.from_ns == 0 && w->f.to_ns == 0) ||
               (t->time_ns >= w->f.from_ns && (w->f.to_ns == 0 || t->time_ns < w->f.to_ns))) &&
           (w->zone < 0 || t->zone == w->zone) && (w->f.min_score <= 0 || t->score >= w->f.min_score) &&
           (w->colour < 0 || t->colour == w->colour) && (w->size < 0 || t->size == w->size) &&
           (w->site < 0 || t->stream == 1) && (w->big < 0 || (t->size && (t->size > 3) == w->big)) &&
           (w->weather < 0 || t->weather == w->weather);
}

static double cosine(const float *a, const float *b)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < DIM; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return 1 - ab / sqrt(aa * bb);
}

typedef struct ranked {
    double distance;
    int64_t id;
} ranked;

static int by_distance(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return (x->distance > y->distance) - (x->distance < y->distance);
}

static void check_wish(fm__vectors *v, const wish *w, const float *query, size_t k)
{
    static ranked all[N + MORE];
    static fm__hit hits[K_MAX];
    size_t n = 0, count = 0, found = 0;
    for (size_t i = 0; i < thing_count; i++) {
        if (matches(w, &things[i])) {
            all[n++] = (ranked){cosine(query, things[i].v), things[i].feature};
        }
    }
    qsort(all, n, sizeof(*all), by_distance);
    int64_t *ids = NULL;
    fm_error err = {0};
    if (!fm__filter_is_empty(&w->f) &&
        fm__query_features(db, "net", "object", &w->f, 0, &ids, &count, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    if (fm__vectors_search(v, query, 1, k, ids, count, hits, &found, NULL, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    assert_true(!ids || count == n);
    assert_int_equal(found, n < k ? n : k);
    for (size_t i = 0; i < found; i++) {
        assert_true(fabs((double)hits[i].distance - all[i].distance) < 1e-5);
        bool alone = (i == 0 || all[i].distance - all[i - 1].distance > 1e-5) &&
                     (i + 1 >= n || all[i + 1].distance - all[i].distance > 1e-5);
        assert_true(!alone || hits[i].id == all[i].id);
    }
    fm__free(ids);
}

static void check_filters(uint64_t *rng, fm__vectors *v, int rounds)
{
    for (int round = 0; round < rounds; round++) {
        wish w;
        make_wish(rng, &w);
        const thing *t = &things[rnd_below(rng, (int)thing_count)];
        check_wish(v, &w, t->v, 1 + (size_t)rnd_below(rng, K_MAX));
    }
}

static char said[1024]; // the last line of the log

static void keep_line(fm_log_level level, const char *domain, const char *msg, void *opaque)
{
    (void)level;
    (void)domain;
    (void)opaque;
    snprintf(said, sizeof(said), "%s", msg);
}

static const fm_log keeping = {.fn = keep_line, .level = FM_LOG_WARN};

static fm__vectors *open_as(const char *path, bool approx)
{
    fm__vectors_opts o = {.path = path,
        .model = "net",
        .kind = "object",
        .dim = DIM,
        .threads = 1,
        .approx = approx,
        .log = &keeping};
    fm__vectors *v = NULL;
    fm_error err = {0};
    if (fm__vectors_open(db, &o, &v, &err) != FM_OK) {
        fail_msg("%s", err.msg);
    }
    return v;
}

static fm__vectors *open_vectors(const char *path)
{
    return open_as(path, false);
}

static void test_ten_thousand_filters(void **state)
{
    (void)state;
    uint64_t rng = 31;
    char *dir = make_store(&rng);
    fm__vectors *v = open_vectors(NULL);
    check_filters(&rng, v, 10000);
    fm__vectors_close(&v);
    sqlite3_close(db);
    drop_dir(dir);
}

static char *in(const char *dir, const char *name)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", dir, name) > 0);
    return path;
}

static void delete_some(uint64_t *rng)
{
    for (size_t i = 0; i < thing_count; i++) {
        if (!things[i].gone && rnd_below(rng, 10) == 0) {
            run_sql("DELETE FROM features WHERE id = %lld", (long long)things[i].feature);
            things[i].gone = true;
        }
    }
}

static void test_up_to_date(void **state)
{
    (void)state;
    uint64_t rng = 32;
    char *dir = make_store(&rng), *path = in(dir, "net.fmx");
    fm__vectors *v = open_vectors(path);
    assert_int_equal(fm__vectors_count(v), N);
    delete_some(&rng);
    add_things(&rng, 500);
    assert_int_equal(fm__vectors_update(v, db, NULL), FM_OK);
    check_filters(&rng, v, 200);
    // Another opens it meanwhile: it may not write, and sees all the same.
    fm__vectors *other = open_vectors(path);
    check_filters(&rng, other, 100);
    add_things(&rng, 500);
    delete_some(&rng);
    assert_int_equal(fm__vectors_update(other, db, NULL), FM_OK);
    check_filters(&rng, other, 200);
    fm__vectors_close(&other);
    fm__vectors_close(&v);
    v = open_vectors(path); // from the file, and what is new
    check_filters(&rng, v, 200);
    fm__vectors_close(&v);
    // A feature of zeros is never near, and no reason to make everything anew.
    thing *t = &things[thing_count];
    *t = (thing){.gone = true};
    put_feature(t, 0, 0, 0); // of no frame: no filter matches it
    v = open_vectors(path);
    assert_int_equal(fm__vectors_update(v, db, NULL), FM_OK);
    check_filters(&rng, v, 100);
    fm__vectors_close(&v);
    free(path);
    sqlite3_close(db);
    drop_dir(dir);
}

static void flip(const char *path, int64_t at)
{
    unsigned char b = 0;
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0 && pread(fd, &b, 1, at) == 1);
    b ^= 0x40;
    assert_true(pwrite(fd, &b, 1, at) == 1);
    close(fd);
}

static void test_damaged(void **state)
{
    (void)state;
    uint64_t rng = 33;
    char *dir = make_store(&rng), *path = in(dir, "net.fmx");
    fm__vectors *v = open_vectors(path);
    fm__vectors_close(&v);
    int64_t size = fm__file_size(path);
    flip(path, size - 60000);
    flip(path, 3); // heads
    flip(path, 4096 + 3);
    v = open_vectors(path); // made anew
    check_filters(&rng, v, 100);
    fm__vectors_close(&v);
    // The file says more than this database: it is another's.
    run_sql("DELETE FROM features WHERE id > 700");
    for (size_t i = 0; i < thing_count; i++) {
        things[i].gone = things[i].feature > 700;
    }
    v = open_vectors(path);
    check_filters(&rng, v, 100);
    fm__vectors_close(&v);
    free(path);
    sqlite3_close(db);
    drop_dir(dir);
}

// Each thing looks for what is near it, through the graph or not; returns the part of the exact answer found.
static double recall_of(fm__vectors *v, bool expect_exact)
{
    enum { K = 10, STEP = 9 };
    size_t found = 0, all = 0;
    fm__vectors *scan = open_vectors(NULL);
    for (size_t i = 0; i < thing_count; i += STEP) {
        fm__hit hits[K], want[K];
        size_t n = 0, count = 0;
        bool exact = !expect_exact;
        assert_int_equal(fm__vectors_search(v, things[i].v, 1, K, NULL, 0, hits, &n, &exact, NULL), FM_OK);
        assert_int_equal(
            fm__vectors_search(scan, things[i].v, 1, K, NULL, 0, want, &count, NULL, NULL), FM_OK);
        assert_int_equal(n, count);
        assert_int_equal(exact, expect_exact);
        for (size_t x = 0; x < n * n; x++) {
            found += hits[x / n].id == want[x % n].id;
        }
        all += n;
    }
    fm__vectors_close(&scan);
    return (double)found / (double)all;
}

static void link_graph(const char *path, size_t expected)
{
    size_t in_graph = 0;
    fm__vectors *v = open_vectors(path);
    assert_true(fm__vectors_is_writer(v));
    assert_int_equal(fm__vectors_link(v, NULL, NULL, &in_graph, NULL), FM_OK);
    assert_int_equal(in_graph, expected);
    fm__vectors_close(&v);
}

static bool never(void *opaque, size_t done, size_t total)
{
    (void)opaque;
    (void)done;
    (void)total;
    return false;
}

static void check_approx(const char *path, const char *says, bool expect_exact)
{
    said[0] = 0;
    fm__vectors *v = open_as(path, true);
    double r = recall_of(v, expect_exact);
    if (!strstr(said, says) || (says[0] == 0 && said[0] != 0) || r < (expect_exact ? 1 : 0.95)) {
        fail_msg("recall %.4f, said: '%s', expected: '%s'", r, said, says);
    }
    fm__vectors_close(&v);
}

static void test_graph(void **state)
{
    (void)state;
    uint64_t rng = 36;
    size_t in_graph = 0;
    char *dir = make_store(&rng), *path = in(dir, "net.fmx"), *graph = in(dir, "net.fmx.graph");
    check_approx(path, "there is no graph yet", true);
    fm__vectors *v = open_vectors(path);
    assert_int_equal(fm__vectors_link(v, never, NULL, &in_graph, NULL), FM_CANCELED);
    assert_false(fm__is_file(graph));
    fm__vectors_close(&v);
    link_graph(path, 1024);
    check_approx(path, "", false); // and what is newer than the graph is found, too
    add_things(&rng, MORE);
    check_approx(path, "too much is newer than the graph", true);
    link_graph(path, 2048);
    check_approx(path, "", false);
    v = open_as(path, true);
    check_filters(&rng, v, 300); // filters here leave few: exact
    fm__vectors *other = open_as(path, true);
    assert_false(fm__vectors_is_writer(other)); // a reader goes through the graph, too
    assert_true(recall_of(other, false) >= 0.95);
    fm__vectors_close(&other);
    fm__vectors_close(&v);
    delete_some(&rng);
    check_approx(path, "", false); // none of the deleted shows: the exact answer has none
    flip(graph, 7);
    check_approx(path, "make it anew", true);
    link_graph(path, 2048);
    check_approx(path, "", false);
    for (size_t i = 0; i < thing_count; i += 2) {
        if (!things[i].gone) {
            run_sql("DELETE FROM features WHERE id = %lld", (long long)things[i].feature);
            things[i].gone = true;
        }
    }
    check_approx(path, "not of the index as it is now", true); // that was written anew
    link_graph(path, 1024);
    check_approx(path, "", false);
    free(graph);
    free(path);
    sqlite3_close(db);
    drop_dir(dir);
}

static void test_bad_filters(void **state)
{
    (void)state;
    uint64_t rng = 34;
    char *dir = make_store(&rng);
    const char *const bad[] = {"novalue", "=x", "a..b=1", ".a=1", "a.=1", "a\"b=1", "a\\b=1"};
    int64_t *ids = NULL;
    size_t n = 0;
    fm_error err = {0};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        fm_search_filter f = {.where = &bad[i], .where_count = 1};
        assert_int_equal(fm__query_features(db, "net", "object", &f, 0, &ids, &n, &err), FM_INVAL);
        assert_true(err.msg[0] != 0);
    }
    const char *const odd[] = {"a'; DROP TABLE features; --=1", "x=1; --", "x[0]=1", "size=", "nokey=1"};
    for (size_t i = 0; i < COUNT_OF(odd); i++) {
        fm_search_filter f = {.where = &odd[i], .where_count = 1};
        assert_int_equal(fm__query_features(db, "net", "object", &f, 0, &ids, &n, &err), FM_OK);
        assert_int_equal(n, 0);
        fm__free(ids);
    }
    fm_search_filter f = {.from_ns = 10, .to_ns = 10};
    assert_int_equal(fm__query_features(db, "net", "object", &f, 0, &ids, &n, &err), FM_INVAL);
    f = (fm_search_filter){.min_score = NAN};
    assert_int_equal(fm__query_features(db, "net", "object", &f, 0, &ids, &n, &err), FM_INVAL);
    const char *many[300];
    for (size_t i = 0; i < COUNT_OF(many); i++) {
        many[i] = "gate";
    }
    f = (fm_search_filter){.streams = many, .stream_count = COUNT_OF(many)};
    assert_int_equal(fm__query_features(db, "net", "object", &f, 0, &ids, &n, &err), FM_INVAL);
    sqlite3_close(db);
    drop_dir(dir);
}

static void test_rows(void **state)
{
    (void)state;
    uint64_t rng = 35;
    char *dir = make_store(&rng);
    fm_search_hit hit;
    assert_int_equal(fm__query_hit_of_feature(db, things[7].feature, &hit, NULL), FM_OK);
    assert_string_equal(hit.stream, stream_names[things[7].stream]);
    assert_string_equal(hit.label, labels[things[7].label]);
    assert_true(hit.time_ns == things[7].time_ns && hit.box.x1 == 31 && hit.box.y1 == 42 && hit.track == 0);
    fm__query_hit_done(&hit);
    fm_error err = {0};
    assert_int_equal(fm__query_hit_of_feature(db, 999999, &hit, &err), FM_NOTFOUND);
    // A track: the feature of its best view, whatever the scores.
    run_sql("INSERT INTO tracks(stream_id, run_id, number, label, first_frame, last_frame, first_ns, "
            "last_ns, frames,"
            " best_frame) VALUES(1, 1, 9, 'person', 1, 2, 0, 0, 2, 2)");
    int64_t track = sqlite3_last_insert_rowid(db);
    thing a = {.v = {1}}, b = {.v = {0, 2}};
    for (int i = 1; i <= 2; i++) {
        run_sql("INSERT INTO detections(frame_id, stream_id, time_ns, label, class_id, score, x, y, w, h, "
                "track_id)"
                " VALUES(%d, 1, 0, 'person', 0, %f, 1, 2, 3, 4, %lld)",
            i, 1.0 / i, (long long)track);
        put_feature(i == 1 ? &a : &b, i, sqlite3_last_insert_rowid(db), track);
    }
    float *v = NULL;
    int dim = 0;
    int64_t row = 0;
    assert_int_equal(fm__query_track(db, "gate", 9, "net", &row, &v, &dim, NULL), FM_OK);
    assert_true(row == track && dim == DIM && v[1] == 2 && v[0] == 0);
    fm__free(v);
    assert_int_equal(fm__query_track(db, "gate", 10, "net", &row, &v, &dim, &err), FM_NOTFOUND);
    assert_int_equal(fm__query_track(db, "gate", 9, "other", &row, &v, &dim, &err), FM_NOTFOUND);
    // Its own features are left out.
    int64_t *ids = NULL;
    size_t n = 0;
    assert_int_equal(fm__query_track_features(db, track, "net", &ids, &n, NULL), FM_OK);
    assert_true(n == 2 && ids[0] == a.feature && ids[1] == b.feature);
    fm__free(ids);
    fm_search_filter f = {0};
    assert_int_equal(fm__query_features(db, "net", "object", &f, track, &ids, &n, NULL), FM_OK);
    assert_int_equal(n, N);
    fm__free(ids);
    int64_t newest[10];
    f.label = "car";
    assert_int_equal(fm__query_objects(db, &f, 10, newest, &n, NULL), FM_OK);
    int64_t last = INT64_MAX;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(fm__query_hit_of_object(db, newest[i], &hit, NULL), FM_OK);
        assert_string_equal(hit.label, "car");
        assert_true(hit.time_ns <= last && hit.distance < 0);
        last = hit.time_ns;
        fm__query_hit_done(&hit);
    }
    assert_int_equal(n, 10);
    char *name = NULL;
    assert_int_equal(fm__query_model(db, "object", NULL, &name, &dim, NULL), FM_OK);
    assert_string_equal(name, "net");
    fm__free(name);
    assert_int_equal(fm__query_model(db, "frame", NULL, &name, &dim, &err), FM_NOTFOUND);
    sqlite3_close(db);
    drop_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ten_thousand_filters),
        cmocka_unit_test(test_up_to_date),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_graph),
        cmocka_unit_test(test_bad_filters),
        cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
