// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Pictures as their files hold them: grey or RGB, 8 or 16 bits, alpha apart, metadata. What enhancing reads
 * and writes; everything else takes plain frames (image.h). */
#ifndef FM_IMAGE_PICTURE_H
#define FM_IMAGE_PICTURE_H

#include "frame/deep.h"

typedef struct fm__picture_meta fm__picture_meta; // EXIF, XMP, IPTC, ICC profile, resolution

typedef struct fm__picture {
    fm_frame *color;        // GRAY8 or RGB24, unpremultiplied; of 16 bits: `deep` rounded
    fm_frame *alpha;        // GRAY8; NULL: none
    fm__deep *deep;         // NULL: 8 bits
    fm__deep *deep_alpha;   // of 16 bits with alpha
    fm__picture_meta *meta; // NULL: none
    bool was_ink;           // CMYK, now sRGB
    int pages;              // of the file; the first one is here
} fm__picture;

typedef struct fm__picture_save_opts {
    int quality; // of JPEG and WebP, 1..100; 0: 95
    bool strip;  // no metadata
} fm__picture_save_opts;

/** Reads a picture; errors as fm__image_load's. Orientation is applied, colours stay in the picture's own
 * profile; CMYK and what is neither grey nor RGB becomes sRGB of 8 bits. wants_rgb: grey becomes RGB. */
fm_status fm__picture_load(const char *path, int64_t max_pixels, bool wants_rgb, fm_frame_pool *pool,
    fm__picture *out, fm_error *err) FM_MUST_USE;
void fm__picture_done(fm__picture *p);
/** Width and height without decoding. */
fm_status fm__picture_size(const char *path, int *width, int *height, fm_error *err) FM_MUST_USE;
/** Does a name of this ending hold alpha, and 16 bits? */
bool fm__picture_holds_alpha(const char *path);
bool fm__picture_holds_deep(const char *path);
/** Writes it in the kind that the name's ending says, whole or not at all: 16 bits as PNG and TIFF, alpha in
 * all but JPEG, where it is laid over white. Orientation is written as 1, sizes in EXIF are the picture's; a
 * profile of other channels than the picture's is left out. */
fm_status fm__picture_save(
    const char *path, const fm__picture *p, const fm__picture_save_opts *opts, fm_error *err) FM_MUST_USE;

#endif
