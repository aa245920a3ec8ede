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
/** What a picture has beside its colours: alpha, EXIF, ICC profile, XMP, IPTC, resolution. */
typedef struct fm_image_extra fm_image_extra;
/** Reads a picture to be written again: as fm__image_load, but grey comes as GRAY8, alpha is kept apart, and
 * colours stay in the space of the picture's own profile. *extra is the caller's; NULL in a build without
 * libvips. */
fm_status fm__image_load_all(const char *path, int64_t max_pixels, fm_frame_pool *pool, fm_frame **out,
    fm_image_extra **extra, fm_error *err) FM_MUST_USE;
/** GRAY8, borrowed; NULL: none. */
fm_frame *fm__image_alpha(const fm_image_extra *extra);
void fm__image_extra_free(fm_image_extra **extra);

/** Writes 8 bit grey pixels as a PNG, whole or not at all. */
fm_status fm__image_save_gray(
    const char *path, const uint8_t *pixels, int width, int height, int stride, fm_error *err) FM_MUST_USE;
/** Is there a writer for a name of this ending? png jpg jpeg webp tif tiff. */
bool fm__image_can_save(const char *path);
typedef struct fm_image_save_opts {
    const fm_image_extra *extra; // whose fields go along; NULL: none
    const fm_frame_view *alpha;  // GRAY8 of the same size; over white where the kind has none; NULL: none
    int quality;                 // of JPEG and WebP, 1..100; 0: 95
} fm_image_save_opts;
/** Writes RGB24 or GRAY8 in the kind that the name's ending says, whole or not at all; PNG and TIFF without
 * loss. INVAL for other endings. opts may be NULL. */
fm_status fm__image_save(
    const char *path, const fm_frame_view *view, const fm_image_save_opts *opts, fm_error *err) FM_MUST_USE;
/** Does this kind of file have alpha? */
bool fm__image_has_alpha(const char *path);
void fm__image_version(char *buf, size_t size); // "" when built without libvips

#endif
