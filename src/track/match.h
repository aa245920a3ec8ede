// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Association by overlap in several rounds, what ByteTrack and OC-SORT have in common: which tracks and
 * detections of one class overlap, and an assignment a round among those that are still free. */
#ifndef FM_TRACK_MATCH_H
#define FM_TRACK_MATCH_H

#include "track/assign.h"
#include "track/private.h"

/** Detections that one track can be compared with, the best overlaps: a bound for frames that hold thousands
 * of boxes in one place, far beyond what suppression by a detector leaves. */
#define FM_MATCH_MOST 64

/** Pairs by track, then by detection; `cost` is their overlap, IoU. */
typedef struct fm__overlaps {
    fm__pair *pairs;
    size_t n, cap;
} fm__overlaps;

/** Working memory of one frame; zeroed before first use, only grows. */
typedef struct fm__match {
    fm__assign assign;
    size_t rows, cols, room; // tracks and detections of this frame; pairs that `round` has room for
    fm__pair *round;         // [n] the pairs of the round to come
    size_t n;
    int32_t *col_of_row; // [rows] of one round
    int32_t *det_of;     // [rows] what a track got, -1: nothing so far
    int32_t *track_of;   // [cols] the other way round
    size_t row_cap, col_cap, round_cap;
} fm__match;

/** Overlaps of at least `least` (> 0) between boxes of the same class. Kept: the FM_MATCH_MOST largest of a
 * row. false: no memory. */
bool fm__overlaps_find(fm__overlaps *o, const fm_box *boxes, const int32_t *class_ids, size_t rows,
    const fm__track_det *dets, size_t cols, float least) FM_MUST_USE;
void fm__overlaps_done(fm__overlaps *o);

/** Room for a frame, everybody free. false: no memory. */
bool fm__match_begin(fm__match *m, size_t rows, size_t cols, size_t pairs) FM_MUST_USE;
void fm__match_done(fm__match *m);

/** Are both still free? */
static inline bool fm__match_free(const fm__match *m, const fm__pair *p)
{
    return m->det_of[p->row] < 0 && m->track_of[p->col] < 0;
}
/** Puts a pair into the round to come. */
static inline void fm__match_offer(fm__match *m, const fm__pair *p, float cost)
{
    m->round[m->n++] = (fm__pair){.row = p->row, .col = p->col, .cost = cost};
}
/** Assigns among the pairs offered, minimising cost; those over limit are not made. Then the round is empty
 * again. */
void fm__match_round(fm__match *m, double limit);

#endif
