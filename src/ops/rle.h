// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Masks as COCO's run lengths. Pure. */
#ifndef FM_OPS_RLE_H
#define FM_OPS_RLE_H

#include "base/str.h"

#include <framemill/result.h>

#define FM_RLE_MAX_SIDE 16384 // of the frame; what preprocessing takes

/** Appends the run lengths of a mask in a width x height frame in their compressed text form, byte for byte
 * what pycocotools' mask.encode makes of the whole frame's mask. */
void fm__rle_add(fm_str *out, const fm_mask *mask, int width, int height);

#endif
