// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** Baseline JPEG (ITU-T T.81) of planes as a decoder leaves them: gray8, yuv420p, yuv422p, yuv444p, nv12,
 * with the sampling that they have, Annex K's tables scaled by quality as libjpeg's jpeg_set_quality scales
 * them, one interleaved scan without restarts, JFIF 1.02. Past the last row and column the picture is
 * repeated to whole blocks; blocks that only fill a unit of the scan are empty.
 *
 *  Limited range becomes JFIF's full range in the quantiser, for the transform is linear: what lies outside
 * of 16..235 (240) is clipped by who decodes, not here. Another matrix than BT.601 is the caller's to turn.
 *
 *  A picture is made in steps, so that the caller's memory for it can grow: head, rows from the first to the
 * last, tail; each tells how many bytes it wrote. The bytes are the same at each CPU level. Pure: memory in,
 * memory out. */
#ifndef FM_OPS_JPEG_H
#define FM_OPS_JPEG_H

#include "base/cpu.h"
#include "ops/jpeg_kernels.h"

#include <framemill/frame.h>

enum {
    FM__JPEG_HEAD_BYTES = 640, // room that the head needs, and the tail
    FM__JPEG_MAX_SIDE = 65500,
};

/** A picture under way: fill it by fm__jpeg_begin only. */
typedef struct fm__jpeg_run {
    const fm__jpeg_tables *tables;
    const fm__jpeg_kernels *kernels;
    fm_frame_view view;
    int rows; // of units of the scan: as many calls of fm__jpeg_row
    fm__jpeg_state state;
    uint8_t *scratch;
} fm__jpeg_run;

/** A Huffman code as DHT holds it. */
typedef struct fm__jpeg_code {
    uint8_t lengths[16]; // how many codes of 1..16 bits
    const uint8_t *symbols;
    uint8_t count;
} fm__jpeg_code;

/** Of luma and chroma, DC and AC (T.81, Annex K). */
extern const fm__jpeg_code fm__jpeg_codes[2][2];

/** Tables of a quality (1..100) and range. */
void fm__jpeg_tables_init(fm__jpeg_tables *tables, int quality, fm_range range);
/** The kernels of a level; AVX512 has two sets, of which this CPU's better one is told. */
const fm__jpeg_kernels *fm__jpeg_kernels_of(fm_cpu_level level);

bool fm__jpeg_takes(fm_pixfmt format);
/** Bytes of scratch, 64-byte aligned, for pictures of this format and width. */
size_t fm__jpeg_scratch_size(fm_pixfmt format, int width);
/** Room that one fm__jpeg_row needs whatever the picture shows. A block has at most 208 bytes: 22 bits of DC
 * and 63 times 26 of AC; each byte may be 0xFF, which takes a second one. */
size_t fm__jpeg_row_bytes(fm_pixfmt format, int width);

/** The view, 1..FM__JPEG_MAX_SIDE to a side, tables and scratch are borrowed until the tail is written. */
void fm__jpeg_begin(fm__jpeg_run *run, const fm__jpeg_tables *tables, const fm__jpeg_kernels *kernels,
    const fm_frame_view *view, void *scratch);
size_t fm__jpeg_head(const fm__jpeg_run *run, uint8_t *out);
size_t fm__jpeg_row(fm__jpeg_run *run, int row, uint8_t *out);
size_t fm__jpeg_tail(fm__jpeg_run *run, uint8_t *out);

#endif
