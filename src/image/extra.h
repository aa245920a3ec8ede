// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Inside image/, where libvips is there: what a picture has beside its colours. */
#ifndef FM_IMAGE_EXTRA_H
#define FM_IMAGE_EXTRA_H

#include "image/image.h"

#include <vips/vips.h>

/** Takes the fields of a picture that was turned upright already, before its colours are converted. */
fm_status fm__image_extra_new(VipsImage *image, fm_image_extra **out, fm_error *err) FM_MUST_USE;
/** Takes the frame over; NULL: there is no alpha. */
void fm__image_extra_set_alpha(fm_image_extra *extra, fm_frame *alpha);
/** Puts the fields on *image, which is replaced; 0 or -1 as in libvips. */
int fm__image_extra_put(const fm_image_extra *extra, VipsImage **image);

#endif
