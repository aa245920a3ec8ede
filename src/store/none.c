// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The store of a build without SQLite: there is none, and it says so.

#include <framemill/store.h>

#include "base/error.h"

static fm_status absent(fm_error *err)
{
    return fm__fail(err, FM_UNSUPPORTED, "this framemill was built without SQLite: there is no store");
}

// Nothing but fm_store_open and fm_store_rebuild makes a store, so nothing else is ever called with one.
#define ABSENT(name, ...)                                                                                    \
    fm_status name(__VA_ARGS__)                                                                              \
    {                                                                                                        \
        return absent(err);                                                                                  \
    }

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
ABSENT(fm_store_open, const fm_store_opts *opts, fm_store **out, fm_error *err)
ABSENT(fm_store_begin_run, fm_store *store, const char *stream, const char *url, int64_t *run, fm_error *err)
ABSENT(fm_store_put, fm_store *store, const fm_store_record *record, fm_store_done_fn done, void *opaque,
    fm_error *err)
ABSENT(fm_store_put_wait, fm_store *store, const fm_store_record *record, int64_t *frame_id, fm_error *err)
ABSENT(fm_store_flush, fm_store *store, fm_error *err)
ABSENT(fm_store_encode, fm_store *store, const fm_frame *frame, fm_box part, void **jpeg, size_t *bytes,
    int *width, int *height, fm_error *err)
ABSENT(fm_store_count, fm_store *store, fm_store_counts *out, fm_error *err)
ABSENT(fm_store_frame_picture, fm_store *store, int64_t frame_id, void **jpeg, size_t *bytes, fm_error *err)
ABSENT(fm_store_track_picture, fm_store *store, const char *stream, int64_t track, void **jpeg, size_t *bytes,
    fm_error *err)
ABSENT(
    fm_store_verify, fm_store *store, fm_store_damage_fn fn, void *opaque, uint64_t *damages, fm_error *err)
ABSENT(fm_store_index, fm_store *store, bool graph, int threads, fm_store_indexing_fn fn, void *opaque,
    fm_error *err)
ABSENT(fm_store_prune, fm_store *store, uint64_t *frames, fm_error *err)
ABSENT(fm_store_rebuild, const fm_store_opts *opts, fm_store_damage_fn fn, void *opaque, fm_error *err)
ABSENT(
    fm_store_export, fm_store *store, fm_store_format format, const char *dir, bool pictures, fm_error *err)
ABSENT(fm_store_import, fm_store *store, const char *folder, fm_store_imported *out, fm_error *err)
#pragma GCC diagnostic pop

fm_status fm_store_close(fm_store **store, fm_error *err)
{
    (void)err;
    *store = NULL;
    return FM_OK;
}
