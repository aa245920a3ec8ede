// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** JPEG on the hot path: made straight from a frame's planes (ops/jpeg); others' are looked at through
 * libturbojpeg, whose only owner image/ is. */
#ifndef FM_IMAGE_JPEG_H
#define FM_IMAGE_JPEG_H

#include "base/alloc.h"

#include <framemill/frame.h>
#include <framemill/result.h>

/** An encoder's own memory; one thread at a time. */
typedef struct fm_jpeg fm_jpeg;

/** @param quality 1..100 */
fm_status fm__jpeg_new(int quality, fm_jpeg **out, fm_error *err) FM_MUST_USE;
void fm__jpeg_free(fm_jpeg **jpeg);
/** Encodes with the frame's own chroma sampling (RGB: 4:2:0). JPEG is full range BT.601: other ranges and
 * matrices are brought to it; what limited range has outside of 16..235 (240) is left to the decoder to clip.
 * The bytes are borrowed until the next call. */
fm_status fm__jpeg_encode(
    fm_jpeg *jpeg, const fm_frame_view *view, const uint8_t **bytes, size_t *size, fm_error *err) FM_MUST_USE;
/** Decodes all of it: UNSUPPORTED when built without libturbojpeg, FORMAT where anything is wrong, also a
 * warning such as an early end. The size is told where width and height are not NULL. */
fm_status fm__jpeg_check(const void *bytes, size_t size, int *width, int *height, fm_error *err) FM_MUST_USE;
/** Its size as its header says, without decoding; UNSUPPORTED, FORMAT. */
fm_status fm__jpeg_size(const void *bytes, size_t size, int *width, int *height, fm_error *err) FM_MUST_USE;
/** The part of a picture that holds the box, moved outward to whole chroma samples and cut to the picture;
 * false when nothing is left. The view borrows the frame's planes. */
bool fm__view_part(const fm_frame_view *view, fm_box box, fm_frame_view *out);

#endif
