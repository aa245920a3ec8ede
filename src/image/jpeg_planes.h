// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Planes in BT.601 of frames that are not: BT.709 with its matrix turned, RGB as full-range 4:2:0. */
#ifndef FM_IMAGE_JPEG_PLANES_H
#define FM_IMAGE_JPEG_PLANES_H

#include "base/cpu.h"

#include <framemill/frame.h>
#include <stdbool.h>
#include <stddef.h>

bool fm__jpeg_planes_needed(const fm_frame_view *view);
/** What a copy of this format becomes. */
fm_pixfmt fm__jpeg_planes_format(fm_pixfmt format);
/** Bytes that the planes and their making need. */
size_t fm__jpeg_planes_size(const fm_frame_view *view);
/** *out borrows `memory`, of that many bytes, 64-byte aligned. */
void fm__jpeg_planes_fill(const fm_frame_view *view, uint8_t *memory, fm_cpu_level level, fm_frame_view *out);

#endif
