// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The store from inside: what src/ adds to framemill/store.h. Queries (search) read through
 * fm__store_reader() with SQL over the tables of store/schema.h; features are rows of `features`: `vector` is
 * dim little-endian float32, id rises with time, so an index is brought up to date with
 *
 *     SELECT id, vector FROM features WHERE model = ?1 AND kind = ?2 AND id > ?3 ORDER BY id
 *
 *  A picture is found by frames.picture_id or tracks.picture_id and read with fm__store_picture(). */
#ifndef FM_STORE_STORE_H
#define FM_STORE_STORE_H

#include "store/io.h"

#include <framemill/store.h>

#include <sqlite3.h>

/** As fm_store_open, with what tests replace. */
typedef struct fm__store_hooks {
    const fm_store_io *io; // NULL: the system's
    const char *vfs;       // of SQLite; NULL: the system's
} fm__store_hooks;
fm_status fm__store_open(
    const fm_store_opts *opts, const fm__store_hooks *hooks, fm_store **out, fm_error *err) FM_MUST_USE;

/** A connection of the caller's own, closed with sqlite3_close; its thread's alone. */
fm_status fm__store_reader(fm_store *store, sqlite3 **out, fm_error *err) FM_MUST_USE;
const char *fm__store_dir(const fm_store *store);
/** DIR/index/<model>-<kind>.fmx: where an index of features lies (the folder is made by a writer's open).
 * Free with fm__free; NULL on no memory. */
char *fm__store_index_path(const fm_store *store, const char *model, const char *kind);
/** A picture by its row, whole and checked; db is the caller's reader. Free with fm__free. */
fm_status fm__store_picture(
    fm_store *store, sqlite3 *db, int64_t picture_id, void **jpeg, size_t *bytes, fm_error *err) FM_MUST_USE;

#endif
