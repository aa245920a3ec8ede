// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What framemill says of one frame. Plain data; boxes in pixels of the source frame. */
#ifndef FRAMEMILL_RESULT_H
#define FRAMEMILL_RESULT_H

#include <framemill/api.h>
#include <stddef.h>
#include <stdint.h>

FM_BEGIN_DECLS

/** A box as corners, x1 and y1 exclusive: width is x1 - x0. */
typedef struct fm_box {
    float x0, y0, x1, y1;
} fm_box;

/** One detected object. */
typedef struct fm_det {
    fm_box box;
    float score;      // 0..1
    int32_t class_id; // index into the detector's labels
    int64_t track_id; // > 0 once its track is confirmed, else 0
} fm_det;

/** The result of one frame, borrowed for the duration of the callback it is handed to. */
typedef struct fm_result {
    const char *stream; // name of the stream
    uint64_t frame;     // from 0
    const char *file;   // name of the picture without folders, NULL for video
    int64_t pts_ns;     // from the start of the stream
    int64_t wall_ns;    // since 1970, FM_PTS_NONE where not known
    int width, height;  // of the source frame
    const fm_det *dets; // [det_count], by descending score, ties by class and place
    size_t det_count;
    const fm_box *track_boxes; // [det_count] the tracker's filtered boxes, NULL without a tracker
    const float *const
        *features; // [det_count] each [feature_dim] of unit length or NULL; NULL: not asked for
    int feature_dim;
    const char *const *labels; // [label_count], by class_id
    size_t label_count;
    const char *error; // NULL, or why this frame has no detections (its inference failed)
} fm_result;

FM_END_DECLS

#endif
