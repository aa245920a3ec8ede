// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Searching a store: what is looked for becomes a feature (of a picture: a run with the store's own models;
// of a track: its best view), SQL narrows, the index answers, and rows are read for what was found. All of it
// in one read transaction, so that index, filter and rows speak of the same moment.

#include <framemill/search.h>

#include "app/search_private.h"
#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "fm_config.h"

#include <framemill/frame.h>

#include <math.h>
#include <string.h>

#if FM_HAVE_SQLITE

#include "store/query.h"
#include "store/schema.h"
#include "store/sql.h"
#include "store/vectors.h"

enum { TOP_DEFAULT = 10, TOP_MAX = 65536 };

// What a search goes through; everything is freed at its end.
typedef struct job {
    const fm_search_opts *opts;
    const char *dir, *kind;
    sqlite3 *db;
    char *model; // NULL without nearness
    int dim;
    float *query;      // [dim]
    int64_t not_track; // row, 0: none
    int64_t *own;      // features of the track itself, to be dropped from what is found
    size_t own_count;
    int64_t *allowed; // NULL: all
    size_t allowed_count;
    fm__hit *found; // or rows of detections, distance -1
    size_t found_count;
    bool exact; // the exact scan found them
} job;

static size_t top_of(const fm_search_opts *o)
{
    return o->top ? o->top : TOP_DEFAULT;
}

static fm_status check_opts(const fm_search_opts *o, fm_error *err)
{
    int ways = (o->image != NULL) + (o->stream != NULL) + (o->vector != NULL);
    if (ways > 1) {
        return fm__fail(err, FM_INVAL, "look for one thing: a picture, a track or a feature");
    }
    if (ways == 0 && !o->filter.label) {
        return fm__fail(err, FM_INVAL, "nothing to look for: give a picture, a track, a feature or a label");
    }
    if (o->top > TOP_MAX) {
        return fm__fail(err, FM_INVAL, "%zu hits asked for, at most %d", o->top, TOP_MAX);
    }
    if (o->image && !o->models) {
        return fm__fail(err, FM_INVAL, "fm_search_new: models are required with a picture");
    }
    return FM_OK;
}

static fm_status open_store(job *j, fm_error *err)
{
    char *file = fm__path_join(FM_TAG_APP, j->dir, FM_STORE_DATABASE);
    if (!file) {
        return fm__fail_nomem(err, "a path");
    }
    bool there = fm__is_file(file);
    fm__free(file);
    if (!there) {
        return fm__fail(err, FM_NOTFOUND, "'%s' is no store: make one with framemill run --store", j->dir);
    }
    fm_status st = fm__sql_open_reader(j->dir, NULL, &j->db, err);
    int version = 0;
    st = st == FM_OK ? fm__schema_version(j->db, &version, err) : st;
    if (st == FM_OK && version != FM_SCHEMA_VERSION) {
        st = fm__fail(err, FM_UNSUPPORTED, "the store '%s' is of version %d, this framemill reads %d%s",
            j->dir, version, FM_SCHEMA_VERSION,
            version < FM_SCHEMA_VERSION ? ": open it once for writing" : ": use a newer framemill");
    }
    return st == FM_OK ? fm__sql_exec(j->db, "BEGIN", err) : st;
}

/* ---- what is looked for ---- */

static fm_status query_of_vector(job *j, fm_error *err)
{
    if (j->opts->dim != j->dim) {
        return fm__fail(err, FM_INVAL, "the feature has %d numbers, those of %s in the store have %d",
            j->opts->dim, j->model, j->dim);
    }
    j->query = fm__calloc_array(FM_TAG_APP, (size_t)j->dim, sizeof(float));
    if (!j->query) {
        return fm__fail_nomem(err, "a feature");
    }
    memcpy(j->query, j->opts->vector, (size_t)j->dim * sizeof(float));
    return FM_OK;
}

static fm_status query_of_track(job *j, fm_error *err)
{
    int dim = 0;
    fm_status st = fm__query_track(
        j->db, j->opts->stream, j->opts->track, j->model, &j->not_track, &j->query, &dim, err);
    if (st == FM_OK && dim != j->dim) {
        st = fm__fail(err, FM_FORMAT,
            "a feature of the track has %d numbers, not %d; see framemill store verify", dim, j->dim);
    }
    return st;
}

static fm_status query_of_image(job *j, fm_error *err)
{
    const fm_search_opts *o = j->opts;
    char *detector = NULL; // as the store says; nothing: the default of runs
    fm_status st = fm__query_meta(j->db, "detector", &detector, err);
    if (st == FM_OK) {
        const fm__looked_for what = {.image = o->image,
            .detector = o->detector ? o->detector : detector,
            .embedder = j->model,
            .label = o->filter.label,
            .frames = o->frames,
            .dim = j->dim,
            .threads = o->threads,
            .models = o->models,
            .log = o->log};
        st = fm__search_image(&what, &j->query, err);
    }
    fm__free(detector);
    return st;
}

static fm_status make_query(job *j, fm_error *err)
{
    fm_status st = fm__query_model(j->db, j->kind, j->opts->model, &j->model, &j->dim, err);
    if (st != FM_OK) {
        return st;
    }
    return j->opts->image    ? query_of_image(j, err)
           : j->opts->stream ? query_of_track(j, err)
                             : query_of_vector(j, err);
}

/* ---- finding ---- */

static fm_status index_path(const job *j, char **out, fm_error *err)
{
    char *safe = fm__safe_name(FM_TAG_APP, j->model), *folder = NULL, *file = NULL;
    folder = fm__path_join(FM_TAG_APP, j->dir, FM_STORE_INDEX);
    file = safe && folder ? fm__asprintf(FM_TAG_APP, "%s/%s-%s.fmx", folder, safe, j->kind) : NULL;
    // A store that cannot be written is searched all the same, from memory.
    bool is_there = file && (fm__is_dir(folder) || fm__mkdir_all(folder, NULL) == FM_OK);
    bool failed = !file;
    if (!is_there) {
        fm__free(file);
        file = NULL;
    }
    fm__free(safe);
    fm__free(folder);
    *out = file;
    return failed ? fm__fail_nomem(err, "a path") : FM_OK;
}

// With a filter SQL leaves the track out as well. Without one the whole index is searched, for as many more
// as the track has features, which are dropped afterwards: naming all others would cost more than the search.
static fm_status narrow(job *j, fm_error *err)
{
    bool is_empty = fm__filter_is_empty(&j->opts->filter);
    fm_status st = FM_OK;
    if (is_empty && j->not_track != 0) {
        st = fm__query_track_features(j->db, j->not_track, j->model, &j->own, &j->own_count, err);
        is_empty = j->own_count + top_of(j->opts) <= TOP_MAX;
    }
    if (st != FM_OK || (is_empty && j->not_track == 0) || (is_empty && j->own)) {
        return st;
    }
    j->own_count = 0;
    return fm__query_features(
        j->db, j->model, j->kind, &j->opts->filter, j->not_track, &j->allowed, &j->allowed_count, err);
}

static void drop_own(job *j)
{
    size_t kept = 0, at = 0;
    for (size_t i = 0; i < j->found_count && kept < top_of(j->opts); i++) {
        for (at = 0; at < j->own_count && j->own[at] != j->found[i].id; at++) {
        }
        if (at == j->own_count) {
            j->found[kept++] = j->found[i];
        }
    }
    j->found_count = kept;
}

static fm_status search_vectors(job *j, fm__vectors *vectors, fm_error *err)
{
    size_t k = top_of(j->opts) + j->own_count;
    fm__hit *found = fm__calloc_array(FM_TAG_APP, k, sizeof(*found));
    if (!found) {
        return fm__fail_nomem(err, "a search");
    }
    fm__free(j->found);
    j->found = found;
    fm_status st = fm__vectors_search(
        vectors, j->query, 1, k, j->allowed, j->allowed_count, j->found, &j->found_count, &j->exact, err);
    if (st == FM_OK) {
        drop_own(j);
    }
    return st;
}

static fm_status find_near(job *j, fm_error *err)
{
    char *path = NULL;
    fm__vectors *vectors = NULL;
    fm_status st = index_path(j, &path, err);
    st = st == FM_OK ? narrow(j, err) : st;
    if (st == FM_OK) {
        fm__vectors_opts o = {.path = path,
            .model = j->model,
            .kind = j->kind,
            .dim = j->dim,
            .threads = j->opts->threads,
            .approx = j->opts->approx,
            .log = &j->opts->log};
        st = fm__vectors_open(j->db, &o, &vectors, err);
    }
    st = st == FM_OK ? search_vectors(j, vectors, err) : st;
    fm__vectors_close(&vectors);
    fm__free(path);
    return st;
}

static fm_status find_newest(job *j, fm_error *err)
{
    int64_t *ids = fm__calloc_array(FM_TAG_APP, top_of(j->opts), sizeof(*ids));
    if (!ids) {
        return fm__fail_nomem(err, "a search");
    }
    fm_status st = fm__query_objects(j->db, &j->opts->filter, top_of(j->opts), ids, &j->found_count, err);
    for (size_t i = 0; st == FM_OK && i < j->found_count; i++) {
        j->found[i] = (fm__hit){.id = ids[i], .distance = -1};
    }
    fm__free(ids);
    return st;
}

static fm_status read_hits(job *j, fm_search *s, fm_error *err)
{
    s->hits = fm__calloc_array(FM_TAG_APP, j->found_count + 1, sizeof(*s->hits));
    if (!s->hits) {
        return fm__fail_nomem(err, "hits");
    }
    for (size_t i = 0; i < j->found_count; i++) {
        fm_search_hit *h = &s->hits[i];
        fm_status st = j->query ? fm__query_hit_of_feature(j->db, j->found[i].id, h, err)
                                : fm__query_hit_of_object(j->db, j->found[i].id, h, err);
        if (st != FM_OK) {
            return st;
        }
        h->distance = j->query ? fmax(0, (double)j->found[i].distance) : -1;
        s->count++;
    }
    return FM_OK;
}

static void job_done(job *j)
{
    sqlite3_close(j->db);
    fm__free(j->model);
    fm__free(j->query);
    fm__free(j->own);
    fm__free(j->allowed);
    fm__free(j->found);
}

fm_status fm_search_new(const char *dir, const fm_search_opts *opts, fm_search **out, fm_error *err)
{
    fm_search_opts o = FM_SEARCH_OPTS_INIT;
    if (!dir || !opts || !out || opts->struct_size == 0 || opts->struct_size > sizeof(o)) {
        return fm__fail(
            err, FM_INVAL, "fm_search_new: dir, opts with their struct_size, and out are required");
    }
    memcpy(&o, opts, opts->struct_size);
    fm_status st = check_opts(&o, err);
    if (st != FM_OK) {
        return st;
    }
    job j = {.opts = &o, .dir = dir, .kind = o.frames ? "frame" : "object", .exact = true};
    bool is_near = o.image || o.stream || o.vector;
    fm_search *s = fm__calloc(FM_TAG_APP, sizeof(*s));
    j.found = fm__calloc_array(FM_TAG_APP, top_of(&o), sizeof(*j.found));
    if (s) {
        s->dir = fm__strdup(FM_TAG_APP, dir);
    }
    st = s && s->dir && j.found ? open_store(&j, err) : fm__fail_nomem(err, "a search");
    st = st == FM_OK && is_near ? make_query(&j, err) : st;
    if (st == FM_OK) {
        st = is_near ? find_near(&j, err) : find_newest(&j, err);
    }
    st = st == FM_OK ? read_hits(&j, s, err) : st;
    if (s) {
        s->exact = j.exact;
    }
    job_done(&j);
    if (st != FM_OK) {
        fm_search_free(&s);
        return st;
    }
    *out = s;
    return FM_OK;
}

void fm_search_free(fm_search **search)
{
    fm_search *s = search ? *search : NULL;
    if (!s) {
        return;
    }
    for (size_t i = 0; i < s->count; i++) {
        fm__query_hit_done(&s->hits[i]);
    }
    fm__free(s->hits);
    fm__free(s->dir);
    fm__free(s);
    *search = NULL;
}

#else

fm_status fm_search_new(const char *dir, const fm_search_opts *opts, fm_search **out, fm_error *err)
{
    (void)dir;
    (void)opts;
    (void)out;
    return fm__fail(err, FM_UNSUPPORTED, "this build has no SQLite, and so no store to search");
}

void fm_search_free(fm_search **search)
{
    (void)search;
}

#endif

size_t fm_search_count(const fm_search *search)
{
    return search->count;
}

const fm_search_hit *fm_search_get(const fm_search *search, size_t index)
{
    return index < search->count ? &search->hits[index] : NULL;
}

bool fm_search_is_exact(const fm_search *search)
{
    return search->exact;
}
