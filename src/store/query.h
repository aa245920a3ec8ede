// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What of a store matches: features by label, stream, time, zone, score and metadata, and the rows they
 * belong to. SQL narrows; every value is bound, none pasted. A reader's connection, one thread at a time. */
#ifndef FM_STORE_QUERY_H
#define FM_STORE_QUERY_H

#include <framemill/frame.h>
#include <framemill/search.h>
#include <framemill/status.h>

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Does it leave anything out? */
bool fm__filter_is_empty(const fm_search_filter *filter);

/** Ids of the features of a model and kind that match, rising. Free with fm__free.
 *  @param not_track  row of tracks to leave out, 0: none */
fm_status fm__query_features(sqlite3 *db, const char *model, const char *kind, const fm_search_filter *filter,
    int64_t not_track, int64_t **ids, size_t *count, fm_error *err) FM_MUST_USE;
/** Objects that match, without a vector: newest first. @param ids  [most] rows of detections */
fm_status fm__query_objects(sqlite3 *db, const fm_search_filter *filter, size_t most, int64_t *ids,
    size_t *count, fm_error *err) FM_MUST_USE;

/** What a feature belongs to, or an object (by its row of detections). Strings are copies of the caller's:
 * fm__query_hit_done. NOTFOUND when it is gone. */
fm_status fm__query_hit_of_feature(
    sqlite3 *db, int64_t feature, fm_search_hit *out, fm_error *err) FM_MUST_USE;
fm_status fm__query_hit_of_object(
    sqlite3 *db, int64_t detection, fm_search_hit *out, fm_error *err) FM_MUST_USE;
void fm__query_hit_done(fm_search_hit *hit);

/** The track that a stream's number means (of its newest run that has it), and the feature of its best view.
 *  @param vector  [dim], freed with fm__free */
fm_status fm__query_track(sqlite3 *db, const char *stream, int64_t number, const char *model, int64_t *track,
    float **vector, int *dim, fm_error *err) FM_MUST_USE;

/** Ids of a track's features, rising. Free with fm__free. */
fm_status fm__query_track_features(
    sqlite3 *db, int64_t track, const char *model, int64_t **ids, size_t *count, fm_error *err) FM_MUST_USE;

/** The model of a kind of features ("object", "frame") with the most of them when `model` is NULL. Its name
 * is the caller's (fm__free). NOTFOUND when there are none. */
fm_status fm__query_model(
    sqlite3 *db, const char *kind, const char *model, char **name, int *dim, fm_error *err) FM_MUST_USE;
/** A value of the table meta as text (fm__free), NULL where there is none. */
fm_status fm__query_meta(sqlite3 *db, const char *key, char **value, fm_error *err) FM_MUST_USE;

#endif
