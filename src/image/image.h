// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Still pictures through libvips, its only owner. Reading: untrusted loaders blocked, pixels limited before
 * decoding, orientation applied; CMYK, grey, palette, alpha (over white) and 16 bit all come out as
 * right-looking RGB24. */
#ifndef FM_IMAGE_IMAGE_H
#define FM_IMAGE_IMAGE_H

#include "frame/frame.h"

#include <framemill/log.h>

#include <stdbool.h>

/** Must be called once before and after use, from the owner of the process's life (app); counts nested calls.
 */
fm_status fm__image_init(fm_error *err) FM_MUST_USE;
void fm__image_shutdown(void);

/** True for file names whose ending is a picture that image/ or media/ reads: jpg jpeg png webp tif tiff bmp.
 */
bool fm__image_is_picture_name(const char *path);
/** Reads a picture file. FORMAT when it does not decode (truncated files too), UNSUPPORTED when its kind is
 * not allowed, DENIED past max_pixels (0: 16384*16384/2). BMP is UNSUPPORTED here: media reads it. */
fm_status fm__image_load(
    const char *path, int64_t max_pixels, fm_frame_pool *pool, fm_frame **out, fm_error *err) FM_MUST_USE;
/** Writes 8 bit grey pixels as a PNG, whole or not at all. */
fm_status fm__image_save_gray(
    const char *path, const uint8_t *pixels, int width, int height, int stride, fm_error *err) FM_MUST_USE;
/** Is there a writer for a name of this ending? png jpg jpeg webp tif tiff. */
bool fm__image_can_save(const char *path);
/** Writes RGB24 or GRAY8 in the kind that the name's ending says, whole or not at all, without metadata: JPEG
 * and WebP at quality 95, PNG and TIFF without loss. INVAL for other endings. */
fm_status fm__image_save(const char *path, const fm_frame_view *view, fm_error *err) FM_MUST_USE;
void fm__image_version(char *buf, size_t size); // "" when built without libvips

#endif
