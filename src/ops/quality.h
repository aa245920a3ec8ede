// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** How far two pictures of one size are apart: PSNR and SSIM. Pure. */
#ifndef FM_OPS_QUALITY_H
#define FM_OPS_QUALITY_H

#include "frame/deep.h"

#include <framemill/quality.h>

#include <stddef.h>
#include <stdint.h>

/** Bytes of scratch for pictures of this width, 64-byte aligned. */
size_t fm__quality_scratch_size(int width);
/** Compares two pictures of RGB24. */
void fm__quality_rgb(const uint8_t *a, ptrdiff_t a_stride, const uint8_t *b, ptrdiff_t b_stride, int width,
    int height, void *scratch, fm_quality *out);
/** The same of RGB of 16 bits, against a peak of 65535; mean squared errors are in levels of 8 bits. */
void fm__quality_rgb16(const fm__deep *a, const fm__deep *b, void *scratch, fm_quality *out);

#endif
