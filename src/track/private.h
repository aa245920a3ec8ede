// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What a tracker type is made of. tracker.c checks everything that comes from outside, so that a type sees
 * sound detections in frame order only and its work is the association. */
#ifndef FM_TRACK_PRIVATE_H
#define FM_TRACK_PRIVATE_H

#include "base/bytes.h"
#include "track/kalman.h"
#include "track/tracker.h"

/** What coordinates of a sound detection are below, and what a filter's state may grow to. */
#define FM_TRACK_FAR 1e6F
#define FM_TRACK_FAR_STATE 1e15
#define FM_TRACK_LEAST_SIDE 1e-3F

/** A detection that takes part. */
typedef struct fm__track_det {
    fm_box box;
    double z[4]; // the same as the filter measures it
    float score; // 0..1
    int32_t class_id;
    uint32_t index; // in the caller's arrays
} fm__track_det;

/** One frame, the same in both phases. */
typedef struct fm__track_frame {
    uint64_t number;
    uint64_t previous; // frame that was shown before
    uint32_t skipped;  // frames before this one that were never shown; at most max_age + 1
    int width, height;
    const fm__track_det *dets; // [n] strong ones first, each kind in the caller's order
    size_t strong;             // score >= high
    size_t n;                  // score >= low
    int64_t *next_id;          // taken by `id = (*next_id)++`
} fm__track_frame;

typedef struct fm_tracker_class {
    const char *name;
    bool wants_features;
    void (*defaults)(fm_tracker_opts *opts);
    size_t size; // of self, which arrives zeroed
    /** opts outlive self. false: no memory; done is called then, too. */
    bool (*init)(void *self, const fm_tracker_opts *opts);
    void (*done)(void *self);
    /** Gets all memory that both phases need, then moves tracks forward: 1 + skipped steps. Sets
     * wants[det.index], zero so far. false: no memory, and self is as it was. */
    bool (*begin)(void *self, const fm__track_frame *f, uint8_t *wants);
    /** @param features  by det.index; NULL or with NULLs: not there. Sets marks[det.index], id 0 and previous
     * -1 so far. */
    void (*finish)(void *self, const fm__track_frame *f, const float *const *features, fm_track_mark *marks);
    /** A frame that nobody looked at, moves them on by prediction. */
    void (*coast)(void *self, uint64_t frame);
    size_t (*count)(const void *self);
    void (*save)(const void *self, fm__writer *w);
    /** Into a self that is fresh from init. Sets r->bad, or fills err itself, where it returns a failure.
     * @param next_id  larger than every id. */
    fm_status (*load)(void *self, fm__reader *r, int64_t next_id, fm_error *err);
} fm_tracker_class;

extern const fm_tracker_class fm__bytetrack_class;
extern const fm_tracker_class fm__deepsort_class;
extern const fm_tracker_class fm__ocsort_class;

/** A tracker; for tracker.c and state.c only. */
struct fm_tracker {
    // immutable after new
    const fm_tracker_class *type;
    fm_tracker_opts opts;
    // owner thread only
    void *self;        // of the type
    bool started;      // some frame was shown
    bool pending;      // between begin and finish
    uint64_t last;     // number of the last frame
    int64_t next_id;   // > 0
    size_t given;      // detections of the pending frame, as the caller counts
    const fm_det *raw; // they, borrowed
    fm__track_frame frame;
    fm__track_det *dets; // of frame
    size_t det_cap;
};

/** A type's self, initialised; NULL: no memory. */
void *fm__tracker_self_new(const fm_tracker *tracker);
void fm__tracker_self_free(const fm_tracker *tracker, void *self);

static inline bool fm__track_may_begin(const fm_tracker_opts *o, const fm__track_det *det)
{
    return det->score >= o->high + o->begin_margin;
}

/** States of filters in saved trackers. */
void fm__kalman_put(const fm__kalman *k, fm__writer *w);
void fm__kalman_get(fm__kalman *k, fm__reader *r);

#endif
