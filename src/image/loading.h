// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Inside image/: steps of loading that plain frames (image.c) and whole pictures (picture.c) share. Steps on
 * an image replace *image and return 0, or -1 as libvips does. Only where libvips is there. */
#ifndef FM_IMAGE_LOADING_H
#define FM_IMAGE_LOADING_H

#include <framemill/status.h>

#include <fm_config.h>

#include <stdbool.h>
#include <stdint.h>

#if FM_HAVE_VIPS

#include <vips/vips.h>

enum { FM__IMAGE_STRIP_ROWS = 64 };

/** Opens a picture and reads its header: kinds, sizes and the limit are checked. Close with
 * fm__image_close. */
typedef struct fm__image_file {
    int fd;
    VipsSource *source;
    VipsImage *image;
} fm__image_file;

fm_status fm__image_open(
    const char *path, int64_t max_pixels, fm__image_file *out, fm_error *err) FM_MUST_USE;
void fm__image_close(fm__image_file *f);

int fm__image_upright(VipsImage **image);
/** To RGB or grey of 8 bits in sRGB, whatever it is. */
int fm__image_to_srgb(VipsImage **image);
/** *image becomes *next where ret is 0. */
int fm__image_replace(VipsImage **image, VipsImage **next, int ret);
fm_status fm__image_damaged(const char *path, fm_error *err);

/** Of a name's ending; NULL when there is none. */
typedef int (*fm__image_writer)(VipsImage *image, int quality, bool strip, void **data, size_t *size);
fm__image_writer fm__image_writer_of(const char *path);
/** Rows of any stride as an image of so many bands. */
VipsImage *fm__image_over(const uint8_t *rows, int stride, int width, int height, int bands);
/** Writes it whole or not at all. */
fm_status fm__image_write(
    const char *path, VipsImage *image, int quality, bool strip, fm_error *err) FM_MUST_USE;

#endif
#endif
