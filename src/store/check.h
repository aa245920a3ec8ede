// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Telling damage: what verify and rebuild share. */
#ifndef FM_STORE_CHECK_H
#define FM_STORE_CHECK_H

#include "store/private.h"

typedef struct fm_damages {
    fm_store_damage_fn fn; // may be NULL
    void *opaque;
    uint64_t count;
} fm_damages;

void fm__damage(fm_damages *d, const char *fmt, ...) FM_PRINTF(2, 3);

typedef struct fm_picture_row {
    int64_t id, segment_id, offset, length;
    uint32_t crc32c;
} fm_picture_row;

/** FORMAT says what is wrong with a picture. */
fm_status fm__check_picture(int fd, const fm_picture_row *picture, fm_error *err);
/** Calls fn for each picture that is not as its row says; a failure of fn ends it. */
typedef fm_status (*fm_bad_picture_fn)(
    const fm_picture_row *picture, const char *why, void *opaque, fm_error *err);
fm_status fm__check_pictures(fm_store *store, sqlite3 *db, fm_bad_picture_fn fn, void *opaque, fm_error *err);

// salvage.c
/** Copies what can be read of every table of src into dst, which is empty and of the present version; names
 * what cannot. */
fm_status fm__salvage(sqlite3 *src, sqlite3 *dst, fm_damages *d, fm_error *err);

#endif
