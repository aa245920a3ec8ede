// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** MOT text: one box a line, as MOTChallenge's ground truth, public detections and results have it.
 *
 *      frame,id,x,y,w,h,score[,a[,b[,c]]]
 *
 *  `frame` counts from 1; `x,y` is the upper left corner, in pixels. `id` is -1 in public detections. In
 * ground truth `score` is a flag (0: not to be evaluated), and the last columns are class and visibility
 * (MOT16 and later, nine columns) or world coordinates (MOT15, ten columns). Pure: text in memory becomes
 * rows in memory; any thread, locale plays no part. */
#ifndef FM_TRACK_MOT_TEXT_H
#define FM_TRACK_MOT_TEXT_H

#include <framemill/status.h>

#include <stddef.h>
#include <stdint.h>

#define FM_MOT_MAX_FRAME 100000000 // 46 days at 25 frames/s
#define FM_MOT_MAX_ROWS 10000000   // of a file
#define FM_MOT_MAX_BOXES 8192      // of a frame

typedef struct fm_mot_row {
    int64_t id;
    double x, y, w, h; // pixels; w, h >= 0
    int32_t frame;     // from 1
    uint32_t line;     // of the file, from 1
    float score;
    float extra[3]; // columns 8 to 10; -1 where the line ends before
    uint8_t columns;
} fm_mot_row;

/** The rows of one frame: rows[first .. first + count - 1]. */
typedef struct fm_mot_frame {
    int32_t frame;
    uint32_t count; // >= 1
    size_t first;
} fm_mot_frame;

typedef struct fm_mot {
    fm_mot_row *rows; // [count], by frame; within a frame in the file's order
    size_t count;
    fm_mot_frame *frames; // [frame_count], ascending, those that have rows
    size_t frame_count;
    int min_columns, max_columns; // of a line; 0 without rows
} fm_mot;

/** Parses the text of a file; no line at all is fine, blank lines, blanks around values, CRLF, a byte order
 * mark and a comma at the end of a line are too.
 *  @param name  of the file, for messages.
 *  @param out  free with fm__mot_done.
 *  FORMAT names file and line: too few or too many columns, a value that is no number (NaN included), a frame
 * that is no whole number from 1 to FM_MOT_MAX_FRAME, an id that is none, a negative size, values beyond 1e9,
 * more rows or boxes in a frame than the limits above. */
fm_status fm__mot_parse(
    const char *text, size_t len, const char *name, fm_mot *out, fm_error *err) FM_MUST_USE;
void fm__mot_done(fm_mot *mot);

/** Rows of a frame, borrowed; NULL and *count 0 where it has none. O(log frames). */
const fm_mot_row *fm__mot_rows_of(const fm_mot *mot, int64_t frame, size_t *count);

#endif
