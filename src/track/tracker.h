// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Trackers: detections of one stream, frame after frame, become tracks. Pure: memory in, memory out; no
 * threads, files, clock, globals. One tracker a stream; owner thread only.
 *
 *  A frame has two phases, so that appearance can be computed in batches over streams and frames: `begin`
 * takes the detections, moves the tracks forward and says which detections' appearance it wants to see;
 * `finish` brings those features and decides who is who. A tracker type is one file with one table
 * (fm_tracker_class); what all of them share (checks, options, saved state's envelope) is in tracker.c. */
#ifndef FM_TRACK_TRACKER_H
#define FM_TRACK_TRACKER_H

#include "base/cpu.h"

#include <framemill/result.h>
#include <framemill/status.h>

#include <stdbool.h>

#define FM_TRACK_MAX_DETS 8192 // of one frame
#define FM_TRACK_MAX_TRACKS 8192
#define FM_TRACK_MAX_DIM 4096 // of a feature

typedef enum fm_reid {
    FM_REID_ALWAYS,    // every detection's appearance
    FM_REID_AMBIGUOUS, // only where motion and overlap do not settle who is who
} fm_reid;

/** Settings of all trackers; each takes those it knows. fm__tracker_opts_init gives a type's defaults. */
typedef struct fm_tracker_opts {
    const char *type; // "deepsort", "bytetrack", "ocsort"; static storage
    fm_cpu_level level;
    int dim; // of features; 0: there are none
    fm_reid reid;
    // detections
    float high; // those with this score or more begin tracks and are matched first, 0..1
    float low;  // weaker ones down to this are matched to tracks that found nothing else; >= high: none
    float begin_margin; // what a strong one needs beyond high to begin a track, 0..1
    // lives of tracks
    int n_init;          // matches in a row until a track is confirmed, >= 1
    int max_age;         // frames without a match until a track ends, 1..10000
    int max_tracks;      // alive at a time, 1..8192; a detection beyond begins none
    float confirm_score; // a new track with this score is confirmed at once; > 1: never
    // motion and overlap
    float max_iou;       // largest 1 - IoU of a match by overlap, 0..1
    float max_iou_low;   // the same for weak detections
    float max_iou_new;   // the same for tracks not confirmed yet (bytetrack)
    bool fuse_score;     // overlap counts by the detection's score (bytetrack)
    float momentum;      // weight of the direction of motion beside overlap, 0..1 (ocsort)
    int momentum_frames; // over how many frames that direction is taken, 1..7 (ocsort)
    int overlap_age;     // frames without a match during which a track is still matched by overlap; 1: only
                         // tracks of the last frame (the paper)
    bool scale_noise;    // measurement noise scaled by score
    // appearance
    float max_cosine;    // largest cosine distance of a match, 0..2
    float gate;          // largest squared Mahalanobis distance of one (the paper: 9.4877, the 0.95 quantile)
    float motion_weight; // of that distance beside the cosine distance, 0..1, in the cascade; 0: none
    // weight of 1 - IoU beside the cosine distance, then all confirmed tracks are matched at once; 0: by
    // appearance alone, those seen last first (the paper's cascade)
    float overlap_weight;
    float max_cosine_near; // with it: largest cosine distance of a pair that overlaps, 0..2
    int budget;            // features kept of a track, 1..1000
    float feature_weight;  // of the past in a smoothed feature, 0..1; 0: features are kept apart (the paper's
                           // gallery)
    int reentry_count;     // ended tracks that may come back by appearance, 0..8192; 0: none
    int reentry_age;       // frames for which they may
    // FM_REID_AMBIGUOUS
    float clear_iou; // overlap from which on a pair without rivals is settled, 0..1
    float rival_iou; // overlap from which on another track or detection is a rival, 0..1
    int young;       // features a track has before it can be settled without one
    int stale;       // frames after which a track's appearance is looked at again, >= 1
} fm_tracker_opts;

typedef struct fm_tracker fm_tracker;

/** What a tracker says of one detection. */
typedef struct fm_track_mark {
    int64_t id;      // > 0: of its confirmed track; 0: none
    fm_box filtered; // the track's box after the update; the detection's where id is 0
    // where id > 0: the same track's detection in the frame shown before, as an index into that frame's
    // detections, even where it had no id yet; -1: none, or not known after a load
    int32_t previous;
} fm_track_mark;

/** Names of all types, NULL-terminated. */
const char *const *fm__tracker_names(void);
/** Does this type look at appearance? False for names that are none. */
bool fm__tracker_wants_features(const char *type);
/** A type's defaults. NOTFOUND: no such tracker. */
fm_status fm__tracker_opts_init(fm_tracker_opts *opts, const char *type, fm_error *err) FM_MUST_USE;

/** INVAL names the setting that is out of range. */
fm_status fm__tracker_new(const fm_tracker_opts *opts, fm_tracker **out, fm_error *err) FM_MUST_USE;
void fm__tracker_free(fm_tracker **tracker);

/** Phase one of a frame.
 *  @param frame  number of the frame; frames in between that were never shown (dropped) age the tracks like
 * empty ones. Not larger than the last: INVAL, the tracker is as it was.
 *  @param width,height  of the frame, pixels.
 *  @param dets  [n] of any score and order, borrowed until finish; boxes in pixels, maybe partly outside.
 * Those with a number that is none, a side below 1/1000 pixel, a coordinate over a million or nothing inside
 * the frame take no part.
 *  @param wants  [n] set to 1 where a feature is asked for.
 *  @return how many are asked for through *want_count. NOMEM: the tracker is as it was, the frame may be
 * tried again. */
fm_status fm__tracker_begin(fm_tracker *tracker, uint64_t frame, int width, int height, const fm_det *dets,
    size_t n, uint8_t *wants, size_t *want_count, fm_error *err) FM_MUST_USE;
/** Phase two, exactly once after each begin that succeeded; INVAL otherwise, and no other failure: memory was
 * got in phase one.
 *  @param features  [n] each NULL or [dim] of unit length; one that was asked for and is missing (its
 * inference failed) is done without. NULL: none.
 *  @param marks  [n] what became of each detection. */
fm_status fm__tracker_finish(
    fm_tracker *tracker, const float *const *features, fm_track_mark *marks, fm_error *err) FM_MUST_USE;
/** A frame that nobody looked at, between finish and begin: no track ages or ends for it that was seen when
 * somebody last looked, and those that were lost by then stay lost a frame longer.
 *  @param moves  tracks move on by prediction; false: nothing has moved, time stands still.
 *  @return INVAL for a frame not larger than the last, or between begin and finish. */
fm_status fm__tracker_coast(fm_tracker *tracker, uint64_t frame, bool moves, fm_error *err) FM_MUST_USE;
/** With this the pipeline may compute features before begin, of frames still out of order: a detection will
 * be asked for exactly if this says so. False where that cannot be told ahead (FM_REID_AMBIGUOUS). */
bool fm__tracker_wants_ahead(const fm_tracker_opts *opts, const fm_det *det, int width, int height);

/** Tracks alive now, confirmed or not. */
size_t fm__tracker_count(const fm_tracker *tracker);
/** Tracks confirmed so far; a state that was loaded brings its own. */
uint64_t fm__tracker_confirmed(const fm_tracker *tracker);

/** State as bytes, next id included: versioned, checked on load; only between frames. Save returns the size
 * needed and writes where cap allows it; 0 between begin and finish. Load wants a tracker of the same type,
 * dim and budget, and leaves it as it was on failure: FORMAT for damage, UNSUPPORTED for another version,
 * INVAL for other settings. */
size_t fm__tracker_save(const fm_tracker *tracker, void *data, size_t cap);
fm_status fm__tracker_load(fm_tracker *tracker, const void *data, size_t len, fm_error *err) FM_MUST_USE;

#endif
