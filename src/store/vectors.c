// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Keeping a vector index as new as the database: see vectors.h. `main` is the file's index; `tail` holds what
// is newer, where another process has the right to write the file.

#include "store/vectors.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "search/rank.h"
#include "store/schema.h"
#include "store/sql.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

// Vectors appended at once, and after how many the file is saved while it grows much.
enum { APPEND_AT_ONCE = 1024, SAVE_EVERY = 65536 };

struct fm__vectors {
    fm__vectors_opts opts; // strings owned
    fm__index *main, *tail;
    fm__near *near;  // over main; NULL: none, or not asked for
    char *near_path; // NULL: in memory
    int lock_fd;     // -1: not ours to write
    int64_t *alive;  // where the file holds more than the database and cannot be changed: what may be found
    size_t alive_count;
    bool is_stale; // alive counts
};

void fm__vectors_close(fm__vectors **vectors)
{
    fm__vectors *v = vectors ? *vectors : NULL;
    if (!v) {
        return;
    }
    fm__near_free(&v->near);
    fm__index_close(&v->main);
    fm__index_close(&v->tail);
    fm__free(v->near_path);
    if (v->lock_fd >= 0) {
        close(v->lock_fd); // and with it the lock
    }
    fm__free((char *)v->opts.path);
    fm__free((char *)v->opts.model);
    fm__free((char *)v->opts.kind);
    fm__free(v->alive);
    fm__free(v);
    *vectors = NULL;
}

// Takes the right to write. Not having it is no failure.
static fm_status take_lock(fm__vectors *v, fm_error *err)
{
    char *name = fm__asprintf(FM_TAG_STORE, "%s.lock", v->opts.path);
    if (!name) {
        return fm__fail_nomem(err, "a path");
    }
    v->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    fm__free(name);
    if (v->lock_fd >= 0 && flock(v->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        close(v->lock_fd);
        v->lock_fd = -1;
    }
    return FM_OK;
}

static fm__index_opts index_opts(const fm__vectors *v)
{
    return (fm__index_opts){.dim = v->opts.dim, .metric = FM_METRIC_COSINE, .threads = v->opts.threads};
}

static fm_status open_memory(fm__vectors *v, fm__index **out, fm_error *err)
{
    fm__index_opts o = index_opts(v);
    return fm__index_open(NULL, &o, out, err);
}

// A file that cannot be used is made anew where we may, else left alone: everything is in memory then.
static fm_status open_main(fm__vectors *v, fm_error *err)
{
    if (!v->opts.path) {
        return open_memory(v, &v->main, err);
    }
    fm__index_opts o = index_opts(v);
    fm_error why = {0};
    o.read_only = v->lock_fd < 0;
    fm_status st = fm__index_open(v->opts.path, &o, &v->main, &why);
    if (st == FM_OK || st == FM_NOMEM) {
        return st == FM_OK ? FM_OK : fm__fail_nomem(err, "the index");
    }
    if (st != FM_NOTFOUND && v->opts.log) {
        fm__log(v->opts.log, FM_LOG_WARN, "search", "%s", why.msg);
    }
    if (v->lock_fd < 0) {
        return open_memory(v, &v->main, err);
    }
    o.fresh = true;
    return fm__index_open(v->opts.path, &o, &v->main, err);
}

static fm_status bind_all(sqlite3 *db, sqlite3_stmt *stmt, const fm__vectors *v, int64_t after, fm_error *err)
{
    if (sqlite3_bind_text(stmt, 1, v->opts.model, -1, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_bind_text(stmt, 2, v->opts.kind, -1, SQLITE_STATIC) != SQLITE_OK ||
        (sqlite3_bind_parameter_count(stmt) > 2 && sqlite3_bind_int64(stmt, 3, after) != SQLITE_OK)) {
        return fm__sql_fail(db, "the features", err);
    }
    return FM_OK;
}

// Rows gathered before they go into an index.
typedef struct batch {
    int64_t ids[APPEND_AT_ONCE];
    float *vectors;
    size_t count;
} batch;

static fm_status flush(fm__index *ix, batch *b, fm_error *err)
{
    fm_status st = fm__index_append(ix, b->ids, b->vectors, b->count, err);
    b->count = 0;
    return st;
}

static bool is_zero(const float *v, int dim)
{
    for (int i = 0; i < dim; i++) {
        if (v[i] != 0) {
            return false;
        }
    }
    return true;
}

static fm_status take_row(fm__vectors *v, fm__index *ix, sqlite3_stmt *stmt, batch *b, fm_error *err)
{
    size_t bytes = (size_t)v->opts.dim * sizeof(float);
    float *to = b->vectors + b->count * (size_t)v->opts.dim;
    if ((size_t)sqlite3_column_bytes(stmt, 1) != bytes) {
        return fm__fail(err, FM_FORMAT, "feature %lld of the store is damaged; see framemill store verify",
            (long long)sqlite3_column_int64(stmt, 0));
    }
    memcpy(to, sqlite3_column_blob(stmt, 1), bytes);
    if (is_zero(to, v->opts.dim)) {
        return FM_OK; // it has no direction and is near to nothing; see check_missing
    }
    b->ids[b->count++] = sqlite3_column_int64(stmt, 0);
    return b->count == APPEND_AT_ONCE ? flush(ix, b, err) : FM_OK;
}

// Appends what the database has above `after`.
static fm_status append_new(fm__vectors *v, sqlite3 *db, fm__index *ix, int64_t after, fm_error *err)
{
    sqlite3_stmt *stmt = NULL;
    batch *b = fm__calloc(FM_TAG_STORE, sizeof(*b));
    size_t since_save = 0;
    bool row = true;
    fm_status st = b ? FM_OK : fm__fail_nomem(err, "features");
    if (st == FM_OK) {
        b->vectors = fm__calloc_array(FM_TAG_STORE, (size_t)v->opts.dim * APPEND_AT_ONCE, sizeof(float));
        st = b->vectors ? FM_OK : fm__fail_nomem(err, "features");
    }
    st = st == FM_OK
             ? fm__sql_prepare(db,
                   "SELECT id, vector FROM features WHERE model = ?1 AND kind = ?2 AND id > ?3 ORDER BY id",
                   &stmt, err)
             : st;
    st = st == FM_OK ? bind_all(db, stmt, v, after, err) : st;
    while (st == FM_OK) {
        st = fm__sql_step(stmt, &row, err);
        if (st != FM_OK || !row) {
            break;
        }
        st = take_row(v, ix, stmt, b, err);
        if (st == FM_OK && ++since_save == SAVE_EVERY && ix == v->main && v->lock_fd >= 0) {
            st = fm__index_save(ix, err); // memory stays bounded
            since_save = 0;
        }
    }
    st = st == FM_OK ? flush(ix, b, err) : st;
    sqlite3_finalize(stmt);
    if (b) {
        fm__free(b->vectors);
    }
    fm__free(b);
    return st;
}

static fm_status count_rows(fm__vectors *v, sqlite3 *db, size_t *count, fm_error *err)
{
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    fm_status st =
        fm__sql_prepare(db, "SELECT count(*) FROM features WHERE model = ?1 AND kind = ?2", &stmt, err);
    st = st == FM_OK ? bind_all(db, stmt, v, 0, err) : st;
    st = st == FM_OK ? fm__sql_step(stmt, &row, err) : st;
    if (st == FM_OK) {
        *count = row ? (size_t)sqlite3_column_int64(stmt, 0) : 0;
    }
    sqlite3_finalize(stmt);
    return st;
}

static fm_status all_ids(fm__vectors *v, sqlite3 *db, int64_t **ids, size_t *count, fm_error *err)
{
    sqlite3_stmt *stmt = NULL;
    int64_t *list = NULL;
    size_t n = 0, cap = 0;
    bool row = true;
    fm_status st =
        fm__sql_prepare(db, "SELECT id FROM features WHERE model = ?1 AND kind = ?2 ORDER BY id", &stmt, err);
    st = st == FM_OK ? bind_all(db, stmt, v, 0, err) : st;
    while (st == FM_OK) {
        st = fm__sql_step(stmt, &row, err);
        if (st != FM_OK || !row) {
            break;
        }
        if (!fm__grow(FM_TAG_STORE, (void **)&list, &cap, n + 1, sizeof(*list))) {
            st = fm__fail_nomem(err, "ids");
            break;
        }
        list[n++] = sqlite3_column_int64(stmt, 0);
    }
    sqlite3_finalize(stmt);
    if (st != FM_OK) {
        fm__free(list);
        return st;
    }
    *ids = list;
    *count = n;
    return FM_OK;
}

// May the index go without this feature? Only when it is all zeros.
static fm_status check_zero(fm__vectors *v, sqlite3_stmt *stmt, int64_t id, fm_error *err)
{
    bool row = false, more = false;
    if (sqlite3_bind_int64(stmt, 1, id) != SQLITE_OK) {
        return fm__sql_fail(sqlite3_db_handle(stmt), "the features", err);
    }
    fm_status st = fm__sql_step(stmt, &row, err);
    if (st != FM_OK) {
        return st;
    }
    bool is_fine = row && (size_t)sqlite3_column_bytes(stmt, 0) == (size_t)v->opts.dim * sizeof(float) &&
                   is_zero(sqlite3_column_blob(stmt, 0), v->opts.dim);
    st = row ? fm__sql_step(stmt, &more, err) : FM_OK; // to its end
    return st == FM_OK && !is_fine
               ? fm__fail(err, FM_FORMAT, "the index lacks feature %lld of the database", (long long)id)
               : st;
}

// Fewer in the index than in the database: each one missing must be a vector of zeros.
static fm_status check_missing(fm__vectors *v, sqlite3 *db, const int64_t *ids, size_t count, fm_error *err)
{
    sqlite3_stmt *stmt = NULL;
    int64_t *have = fm__calloc_array(FM_TAG_STORE, APPEND_AT_ONCE, sizeof(*have)), after = 0;
    size_t n = 0, at = 0;
    fm_status st = have ? fm__sql_prepare(db, "SELECT vector FROM features WHERE id = ?1", &stmt, err)
                        : fm__fail_nomem(err, "ids");
    for (size_t i = 0; i < count && st == FM_OK; i++) {
        if (at == n) {
            st = fm__index_read(v->main, after, APPEND_AT_ONCE, have, NULL, &n, err);
            at = 0;
        }
        if (st == FM_OK && at < n && have[at] == ids[i]) {
            after = have[at++];
        } else if (st == FM_OK) {
            st = check_zero(v, stmt, ids[i], err);
        }
    }
    sqlite3_finalize(stmt);
    fm__free(have);
    return st;
}

// The index holds what the database no longer has: it is buried, or where that cannot be kept, left out.
static fm_status drop_gone(fm__vectors *v, sqlite3 *db, fm_error *err)
{
    int64_t *ids = NULL;
    size_t count = 0;
    fm_status st = all_ids(v, db, &ids, &count, err);
    if (st == FM_OK && v->lock_fd < 0 && v->opts.path) {
        fm__free(v->alive);
        v->alive = ids;
        v->alive_count = count;
        v->is_stale = true;
        return FM_OK;
    }
    st = st == FM_OK ? fm__index_keep(v->main, ids, count, NULL, err) : st;
    if (st == FM_OK && fm__index_count(v->main) != count) {
        st = check_missing(v, db, ids, count, err);
    }
    fm__free(ids);
    return st;
}

static fm_status update_tail(fm__vectors *v, sqlite3 *db, fm_error *err)
{
    fm_status st = v->tail ? FM_OK : open_memory(v, &v->tail, err);
    int64_t main_last = fm__index_last_id(v->main), tail_last = st == FM_OK ? fm__index_last_id(v->tail) : 0;
    return st == FM_OK ? append_new(v, db, v->tail, tail_last > main_last ? tail_last : main_last, err) : st;
}

static fm_status update_once(fm__vectors *v, sqlite3 *db, fm_error *err)
{
    size_t rows = 0;
    bool is_reader = v->lock_fd < 0 && v->opts.path;
    fm_status st =
        is_reader ? update_tail(v, db, err) : append_new(v, db, v->main, fm__index_last_id(v->main), err);
    st = st == FM_OK ? count_rows(v, db, &rows, err) : st;
    if (st == FM_OK && (v->is_stale || rows != fm__vectors_count(v))) {
        st = drop_gone(v, db, err);
    }
    return st == FM_OK && v->lock_fd >= 0 ? fm__index_save(v->main, err) : st;
}

fm_status fm__vectors_update(fm__vectors *v, sqlite3 *db, fm_error *err)
{
    fm_error why = {0};
    fm_status st = update_once(v, db, &why);
    if (st == FM_FORMAT && v->lock_fd >= 0) { // damaged, or of another database: anew, once
        if (v->opts.log) {
            fm__log(v->opts.log, FM_LOG_WARN, "search", "%s: making it anew", why.msg);
        }
        fm__index_opts o = index_opts(v);
        o.fresh = true;
        fm__near_free(&v->near);
        fm__index_close(&v->main);
        st = fm__index_open(v->opts.path, &o, &v->main, &why);
        st = st == FM_OK ? update_once(v, db, &why) : st;
    }
    if (st != FM_OK && err) {
        *err = why;
    }
    return st;
}

static void say_no_graph(const fm__vectors *v, const char *why)
{
    if (v->opts.log) {
        fm__log(v->opts.log, FM_LOG_WARN, "search",
            "%s: the exact scan answers; framemill store index --graph", why);
    }
}

// Without a graph that can be used every search is exact.
static fm_status open_graph(fm__vectors *v, fm_error *err)
{
    fm__near_opts o = {0};
    fm_error why = {0};
    fm_status st = v->near_path ? fm__near_open(v->main, v->near_path, &o, &v->near, &why) : FM_NOTFOUND;
    if (st == FM_NOMEM) {
        return fm__fail_nomem(err, "a graph");
    }
    if (st != FM_OK) {
        say_no_graph(v, st == FM_NOTFOUND ? "there is no graph yet" : why.msg);
    }
    return FM_OK;
}

bool fm__vectors_is_writer(const fm__vectors *v)
{
    return v->lock_fd >= 0;
}

fm_status fm__vectors_link(
    fm__vectors *v, fm__graph_go_on *go_on, void *opaque, size_t *in_graph, fm_error *err)
{
    fm__near_opts o = {0};
    assert(fm__vectors_is_writer(v));
    // What is damaged, or of an older file, is made anew.
    fm_error why = {0};
    fm__near_free(&v->near);
    fm_status st = fm__near_open(v->main, v->near_path, &o, &v->near, &why);
    st = st == FM_OK ? fm__near_verify(v->near, &why) : st;
    if (st == FM_FORMAT && v->opts.log) {
        fm__log(v->opts.log, FM_LOG_WARN, "search", "%s: making it anew", why.msg);
    }
    if (st != FM_OK) {
        fm__near_free(&v->near);
        st = st == FM_NOMEM ? fm__fail_nomem(err, "a graph") : fm__near_new(v->main, &o, &v->near, err);
    }
    size_t linked = 0;
    st = st == FM_OK ? fm__near_update(v->near, go_on, opaque, &linked, err) : st;
    st = st == FM_OK && linked > 0 ? fm__near_save(v->near, v->near_path, err) : st;
    if (st == FM_OK) {
        *in_graph = fm__near_count(v->near);
    }
    return st;
}

fm_status fm__vectors_open(sqlite3 *db, const fm__vectors_opts *opts, fm__vectors **out, fm_error *err)
{
    fm__vectors *v = fm__calloc(FM_TAG_STORE, sizeof(*v));
    if (!v) {
        return fm__fail_nomem(err, "the index");
    }
    v->opts = *opts;
    v->lock_fd = -1;
    v->opts.path = fm__strdup(FM_TAG_STORE, opts->path);
    v->near_path = opts->path ? fm__asprintf(FM_TAG_STORE, "%s" FM_STORE_GRAPH, opts->path) : NULL;
    v->opts.model = fm__strdup(FM_TAG_STORE, opts->model);
    v->opts.kind = fm__strdup(FM_TAG_STORE, opts->kind);
    fm_status st = ((v->opts.path && v->near_path) || !opts->path) && v->opts.model && v->opts.kind
                       ? FM_OK
                       : fm__fail_nomem(err, "the index");
    st = st == FM_OK && opts->path ? take_lock(v, err) : st;
    st = st == FM_OK ? open_main(v, err) : st;
    st = st == FM_OK ? fm__vectors_update(v, db, err) : st;
    st = st == FM_OK && opts->approx ? open_graph(v, err) : st;
    if (st != FM_OK) {
        fm__vectors_close(&v);
        return st;
    }
    *out = v;
    return FM_OK;
}

size_t fm__vectors_count(fm__vectors *v)
{
    return fm__index_count(v->main) + (v->tail ? fm__index_count(v->tail) : 0);
}

// The tail's hits into the main index's, query by query.
static fm_status merge_tail(fm__vectors *v, const float *queries, size_t nq, size_t k, const int64_t *allowed,
    size_t allowed_count, fm__hit *hits, size_t *counts, fm_error *err)
{
    fm__hit *more = fm__calloc_array(FM_TAG_STORE, k, sizeof(*more));
    fm__hit *heap = fm__calloc_array(FM_TAG_STORE, k, sizeof(*heap));
    fm_status st = more && heap ? FM_OK : fm__fail_nomem(err, "a search");
    for (size_t j = 0; j < nq && st == FM_OK; j++) {
        size_t n = 0, found = 0;
        st = fm__index_search(
            v->tail, queries + j * (size_t)v->opts.dim, 1, k, allowed, allowed_count, more, &found, err);
        if (st != FM_OK) {
            break;
        }
        for (size_t i = 0; i < counts[j]; i++) {
            fm__rank_push(heap, &n, k, hits[j * k + i]);
        }
        for (size_t i = 0; i < found; i++) {
            fm__rank_push(heap, &n, k, more[i]);
        }
        fm__rank_sort(heap, n);
        memcpy(hits + j * k, heap, n * sizeof(*heap));
        counts[j] = n;
    }
    fm__free(more);
    fm__free(heap);
    return st;
}

static fm_status search_main(fm__vectors *v, const float *queries, size_t nq, size_t k,
    const int64_t *allowed, size_t allowed_count, fm__hit *hits, size_t *counts, bool *exact, fm_error *err)
{
    fm__near_how how = FM_NEAR_FEW;
    fm_status st =
        v->near ? fm__near_search(v->near, queries, nq, k, allowed, allowed_count, hits, counts, &how, err)
                : fm__index_search(v->main, queries, nq, k, allowed, allowed_count, hits, counts, err);
    if (st == FM_OK && how == FM_NEAR_BEHIND) {
        say_no_graph(v, "too much is newer than the graph");
    } else if (st == FM_OK && how == FM_NEAR_DAMAGED) {
        say_no_graph(v, "the graph is damaged");
    }
    *exact = how != FM_NEAR_GRAPH;
    return st;
}

fm_status fm__vectors_search(fm__vectors *v, const float *queries, size_t nq, size_t k,
    const int64_t *allowed, size_t allowed_count, fm__hit *hits, size_t *counts, bool *exact, fm_error *err)
{
    bool is_exact = true;
    if (!allowed && v->is_stale) {
        static const int64_t none = 0;
        allowed = v->alive ? v->alive : &none;
        allowed_count = v->alive_count;
    }
    fm_status st = search_main(v, queries, nq, k, allowed, allowed_count, hits, counts, &is_exact, err);
    bool has_tail = v->tail && fm__index_count(v->tail) > 0 && k > 0;
    if (st == FM_OK && has_tail) {
        st = merge_tail(v, queries, nq, k, allowed, allowed_count, hits, counts, err);
    }
    if (st == FM_OK && exact) {
        *exact = is_exact;
    }
    return st;
}
