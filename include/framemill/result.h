// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What framemill says of one frame. Plain data; boxes in pixels of the source frame. */
#ifndef FRAMEMILL_RESULT_H
#define FRAMEMILL_RESULT_H

#include <framemill/api.h>
#include <framemill/frame.h>
#include <framemill/status.h>
#include <stdbool.h>
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

/** One object's mask: bits over a rectangle of the frame. Outside of it nothing is set. */
typedef struct fm_mask {
    int x, y, width, height; // the rectangle, in pixels of the source frame and within it; 0 x 0: no mask
    int stride;              // bytes from row to row, a multiple of 8
    const uint8_t *bits;     // [height][stride]; column i is bit i % 8 (the lowest is 0) of byte i / 8; bits
                             // beyond the width are 0
} fm_mask;

/** Is the pixel x, y of the frame part of the object? */
static inline int fm_mask_at(const fm_mask *mask, int x, int y)
{
    int i = x - mask->x, j = y - mask->y;
    if (i < 0 || i >= mask->width || j < 0 || j >= mask->height)
        return 0;
    return mask->bits[(size_t)j * (size_t)mask->stride + (size_t)i / 8] >> (i % 8) & 1;
}

/** A class and how sure the classifier is of it. */
typedef struct fm_class_score {
    int32_t class_id; // index into the classifier's labels; -1: none
    float score;      // 0..1
} fm_class_score;

/** In a class map: the network did not look there (a fit that crops), or said a number that is no class. */
#define FM_CLASS_UNSEEN 255

/** The class of every pixel. */
typedef struct fm_class_map {
    int width, height;   // of the source frame
    int stride;          // bytes from row to row
    const uint8_t *ids;  // [height][stride] class ids or FM_CLASS_UNSEEN; NULL where nobody asked for the map
    const int64_t *area; // [class_count] pixels of each class; what is unseen is counted nowhere
    size_t class_count;
    const char *const *labels; // [class_count]
} fm_class_map;

/** The result of one frame, borrowed for the duration of the callback it is handed to; fm_result_dup keeps it
 * longer. */
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
    const fm_mask *masks;                 // [det_count], or NULL without a segmenter of objects
    const fm_class_score *object_classes; // [det_count * object_class_count], by descending score; or NULL
    size_t object_class_count;            // the same for every object; what is left over has class_id -1
    const char *const *labels;            // [label_count], by class_id
    size_t label_count;
    const fm_class_score *classes; // [class_count] of the whole frame, by descending score; or NULL
    size_t class_count;
    const char *const *class_labels; // [class_label_count] the classifier's, by class_id
    size_t class_label_count;
    const float *frame_feature; // [frame_feature_dim] of the whole frame, or NULL
    int frame_feature_dim;
    const fm_class_map *class_map; // or NULL without a segmenter of class maps
    bool carried;                  // no model looked at this frame: objects are those of its neighbours
    const char *error;             // NULL, or why this frame has no detections (its inference failed)
    const fm_frame *picture;       // its pixels, where they were asked for; else NULL
    const void *state; // [state_bytes] for fm_stream_opts: a run that begins with it gives the frames after
                       // this one as this run does; NULL: none (fm_run_opts.checkpoint_every)
    size_t state_bytes;
} fm_result;

/** A result of one's own, in one block of memory; of the picture a reference. Label tables stay borrowed from
 * the run or the processor it came from. Free with fm_result_free, from any thread. */
FM_API fm_status fm_result_dup(const fm_result *result, fm_result **out, fm_error *err) FM_MUST_USE;
/** Only of what fm_result_dup and what says so made. Accepts NULL and a pointer to NULL. */
FM_API void fm_result_free(fm_result **result);
/** As `framemill run` writes it: one JSON object and a line feed. Free with fm_free. */
FM_API fm_status fm_result_json(const fm_result *result, char **out, fm_error *err) FM_MUST_USE;

FM_END_DECLS

#endif
