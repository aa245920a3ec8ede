// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** What the JPEG encoder's tests share: pictures made whole, with guard bytes around all that is written; and
 * a decoder of their coefficients straight from the standard (ITU-T T.81, Annexes B and F), by the tables
 * that the stream itself brings. */
#ifndef TESTS_KERNEL_JPEG_CASES_H
#define TESTS_KERNEL_JPEG_CASES_H

#include "letterbox_cases.h"
#include "ops/jpeg.h"

typedef struct jpeg_bytes {
    uint8_t *data;
    size_t size;
} jpeg_bytes;

/** Encodes; aborts the test when a byte beside the room or the scratch was written, or a row took more than
 * it said. Free data. */
jpeg_bytes jpeg_make(const fm_frame_view *view, const fm__jpeg_kernels *kernels, int quality);

typedef struct jpeg_component {
    int h, v, table;        // as SOF0 says
    int blocks_w, blocks_h; // in whole units
    int16_t (*blocks)[64];  // [blocks_h][blocks_w], row by row of frequencies, not zigzag
    uint8_t steps[64];      // the same order
} jpeg_component;

typedef struct jpeg_coefs {
    int width, height, count;
    jpeg_component c[3];
    size_t scan_at, scan_bytes; // the entropy-coded part, EOI not in it
} jpeg_coefs;

/** Aborts the test where the stream is not a whole baseline JPEG of one scan. */
void jpeg_read(const jpeg_bytes *jpeg, jpeg_coefs *out);
void jpeg_coefs_free(jpeg_coefs *coefs);

#endif
