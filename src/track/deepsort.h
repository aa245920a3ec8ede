// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The insides of tracker "deepsort", for its files: deepsort.c has its life, deepsort_match.c the
 * association, deepsort_ask.c who is asked for an embedding, deepsort_state.c what is saved. */
#ifndef FM_TRACK_DEEPSORT_H
#define FM_TRACK_DEEPSORT_H

#include "track/assign.h"
#include "track/gallery.h"
#include "track/private.h"

/** Detections of one track that are looked at, in the order of the frame: far more than any crowd has; what
 * bounds memory and time when thousands of detections lie on one spot. */
#define FM_DEEPSORT_EDGES 256

typedef struct fm__ds_track {
    fm__kalman k;
    int64_t id; // > 0: confirmed
    int32_t class_id;
    uint32_t hits;    // matches so far
    uint32_t unseen;  // frames since the last match; 0 between frames means: in the last one
    uint32_t looked;  // frames since its last feature
    uint32_t gallery; // FM_GALLERY_NONE: features have no dimensions
    // of the present frame
    fm_box box;  // predicted
    int32_t det; // matched one, -1: none
    // of the frame shown before; not part of a saved state
    int32_t previous; // its detection as the caller counts, -1: none
    uint32_t edge, edge_count;
} fm__ds_track;

/** A track and a detection of its class that may be the same: it passes the gate or overlaps. */
typedef struct fm__ds_edge {
    uint32_t det;
    float overlap; // IoU
    float motion;  // squared Mahalanobis distance, 1: the gate
} fm__ds_edge;

/** An ended track that may come back. */
typedef struct fm__ds_ended {
    int64_t id;
    int32_t class_id;
    uint32_t gallery;
    uint64_t frame; // its last
} fm__ds_ended;

typedef struct fm__deepsort {
    const fm_tracker_opts *opts;
    // owner thread only
    fm__ds_track *tracks; // [count] in order of birth
    size_t count, cap;
    fm__ds_ended *ended; // [ended_count] oldest first, room for opts->reentry_count
    size_t ended_count;
    fm__galleries galleries;
    // scratch of a frame
    fm__assign assign;
    fm__ds_edge *edges; // [track.edge ..]
    fm__pair *pairs;
    uint32_t *row_tracks; // [tracks] of an assignment's rows
    int32_t *col_of_row;
    size_t edge_cap, pair_cap, row_cap, col_cap;
    int32_t *track_of;  // [dets] -1: none yet
    uint16_t *rivals;   // [dets] tracks that want it
    float *queries;     // [strong][stride] features of unit length
    uint8_t *has_query; // [dets]
    size_t track_of_cap, rivals_cap, query_cap, has_query_cap;
} fm__deepsort;

/** Frames are moved to and memory is got by deepsort.c; these work within it. */
void fm__ds_find_edges(fm__deepsort *d, const fm__track_frame *f);
void fm__ds_match_pair(fm__deepsort *d, uint32_t track, uint32_t det);
void fm__ds_match(fm__deepsort *d, const fm__track_frame *f);
/** Sets wants[det.index], and matches tracks whose detection is not asked for. */
void fm__ds_ask(fm__deepsort *d, const fm__track_frame *f, uint8_t *wants);
/** Room for so many tracks. */
bool fm__ds_reserve_tracks(fm__deepsort *d, size_t n) FM_MUST_USE;
void fm__ds_save(const void *self, fm__writer *w);
fm_status fm__ds_load(void *self, fm__reader *r, int64_t next_id, fm_error *err);

static inline bool fm__ds_looks(const fm__deepsort *d)
{
    return d->opts->dim > 0;
}

#endif
