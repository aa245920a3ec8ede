// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Bringing the files that searches use up to date, one model and kind after another. The database is read at
// one moment for each; linking a graph takes long and needs the index file only, so no transaction waits for
// it.

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "store/private.h"
#include "store/vectors.h"

typedef struct job {
    fm_store *store;
    sqlite3 *db;
    bool graph;
    int threads;
    int64_t start_ns; // of the linking
    fm_store_indexing now;
    fm_store_indexing_fn fn;
    void *opaque;
} job;

static bool tell(job *j)
{
    return !j->fn || j->fn(&j->now, j->opaque);
}

static bool go_on(void *opaque, size_t done, size_t total)
{
    job *j = opaque;
    j->start_ns = done == 0 ? fm__now_ns() : j->start_ns;
    j->now.seconds = (double)(fm__now_ns() - j->start_ns) / 1e9;
    j->now.done = done;
    j->now.total = total;
    return tell(j);
}

static fm_status open_vectors(job *j, const char *path, int dim, fm__vectors **out, fm_error *err)
{
    fm__vectors_opts o = {.path = path,
        .model = j->now.model,
        .kind = j->now.kind,
        .dim = dim,
        .threads = j->threads,
        .log = &j->store->o.log};
    fm_status st = fm__sql_exec(j->db, "BEGIN", err);
    if (st != FM_OK) {
        return st;
    }
    st = fm__vectors_open(j->db, &o, out, err);
    fm_status ended = fm__sql_exec(j->db, "COMMIT", st == FM_OK ? err : NULL);
    return st == FM_OK ? ended : st;
}

static fm_status index_one(job *j, int dim, fm_error *err)
{
    fm__vectors *vectors = NULL;
    size_t in_graph = 0;
    char *path = fm__store_index_path(j->store, j->now.model, j->now.kind);
    if (!path) {
        return fm__fail_nomem(err, "a path");
    }
    fm_status st = open_vectors(j, path, dim, &vectors, err);
    if (st == FM_OK && !fm__vectors_is_writer(vectors)) {
        st = fm__fail(err, FM_BUSY, "another process is at the index '%s', or it cannot be written", path);
    }
    if (st == FM_OK) {
        j->now.features = fm__vectors_count(vectors);
        st = j->graph ? fm__vectors_link(vectors, go_on, j, &in_graph, err) : FM_OK;
    }
    fm__vectors_close(&vectors);
    fm__free(path);
    j->now.is_done = st == FM_OK;
    j->now.in_graph = in_graph;
    return st == FM_OK && !tell(j) ? fm__fail(err, FM_CANCELED, "stopped") : st;
}

// The model that comes n-th; *row: is there one?
static fm_status index_nth(job *j, int n, bool *row, fm_error *err)
{
    sqlite3_stmt *q = NULL;
    fm_status st = fm__sql_prepare(
        j->db, "SELECT name, kind, dim FROM models ORDER BY name, kind LIMIT 1 OFFSET ?1", &q, err);
    if (st == FM_OK && sqlite3_bind_int(q, 1, n) != SQLITE_OK) {
        st = fm__sql_fail(j->db, "the models", err);
    }
    st = st == FM_OK ? fm__sql_step(q, row, err) : st;
    if (st != FM_OK || !*row) {
        sqlite3_finalize(q);
        return st;
    }
    char *model = fm__strdup(FM_TAG_STORE, (const char *)sqlite3_column_text(q, 0));
    char *kind = fm__strdup(FM_TAG_STORE, (const char *)sqlite3_column_text(q, 1));
    int dim = sqlite3_column_int(q, 2);
    sqlite3_finalize(q);
    j->now = (fm_store_indexing){.model = model, .kind = kind};
    st = model && kind ? index_one(j, dim, err) : fm__fail_nomem(err, "a model");
    fm__free(model);
    fm__free(kind);
    return st;
}

fm_status fm_store_index(
    fm_store *s, bool graph, int threads, fm_store_indexing_fn fn, void *opaque, fm_error *err)
{
    job j = {.store = s, .graph = graph, .threads = threads, .fn = fn, .opaque = opaque};
    bool row = true;
    char *folder = fm__path_join(FM_TAG_STORE, s->dir, FM_STORE_INDEX);
    fm_status st = folder ? fm__mkdir_all(folder, err) : fm__fail_nomem(err, "a path");
    fm__free(folder);
    st = st == FM_OK ? fm__sql_open_reader(s->dir, s->vfs, &j.db, err) : st;
    for (int n = 0; st == FM_OK && row; n++) {
        st = index_nth(&j, n, &row, err);
    }
    sqlite3_close(j.db);
    return st;
}
