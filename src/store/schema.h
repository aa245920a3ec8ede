// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The tables of a store, and how older ones become the present one. PRAGMA user_version is the version, and
 * PRAGMA application_id says that the file is ours. A store is made by the same steps that bring an old one
 * up to date, so there is one path to the present tables. docs/store.md explains each column. */
#ifndef FM_STORE_SCHEMA_H
#define FM_STORE_SCHEMA_H

#include <framemill/log.h>
#include <framemill/status.h>

#include <sqlite3.h>

#define FM_SCHEMA_VERSION 2
#define FM_SCHEMA_APPLICATION 0x464d5354 // "FMST"
#define FM_STORE_DATABASE "store.db"
#define FM_STORE_LOCK "lock"
#define FM_STORE_SEGMENTS "segments"
#define FM_STORE_GRAPH ".graph" // behind the name of such a file: the graph over it
#define FM_STORE_INDEX "index"  // folder of src/search's files, one a model and kind: derived from `features`

/** Brings an open database to `version` (tests make old ones) in one transaction a step. UNSUPPORTED when it
 * is newer than FM_SCHEMA_VERSION, FORMAT when it is not ours. */
fm_status fm__schema_upgrade(sqlite3 *db, int version, const fm_log *log, fm_error *err) FM_MUST_USE;
/** What an open database says of itself; 0: empty. */
fm_status fm__schema_version(sqlite3 *db, int *version, fm_error *err) FM_MUST_USE;

#endif
