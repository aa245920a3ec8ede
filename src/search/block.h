// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** A block: FM_BLOCK_SLOTS vectors as they lie in an index file and in memory alike, little-endian.
 *
 *      head          magic, number of vectors, dimension, checksum of all up to the vectors
 *      quant         five arrays of float, [FM_BLOCK_SLOTS] each: ops/scan.h
 *      ids           [FM_BLOCK_SLOTS] int64
 *      row checksums [FM_BLOCK_SLOTS] uint32, CRC32C of a vector
 *      codes         8 bit codes of the vectors in panels of 16: ops/scan.h
 *      vectors       [FM_BLOCK_SLOTS][stride] float, stride = dim rounded up to 16, zeros behind
 *
 *  A first scan reads what lies before the vectors, a quarter of the bytes, and one checksum covers it. */
#ifndef FM_SEARCH_BLOCK_H
#define FM_SEARCH_BLOCK_H

#include "ops/scan.h"

#include <framemill/status.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FM_BLOCK_SLOTS 1024
#define FM_BLOCK_PANELS (FM_BLOCK_SLOTS / FM_SCAN_PANEL)

/** Where things lie in a block's bytes. */
typedef struct fm__block_layout {
    size_t dim, stride; // in floats
    size_t ids, row_sums, codes, rows;
    size_t panel_bytes; // of codes
    size_t size;        // of a block, a multiple of 4096
} fm__block_layout;

typedef struct fm__block {
    unsigned char *bytes; // of the layout's size
    bool is_mapped;       // else from fm__calloc_aligned
    bool is_dirty;        // not yet written as it is
    size_t count;
    uint16_t alive[FM_BLOCK_PANELS]; // a bit a slot: there and not buried
    atomic_bool is_checked;          // its first part is known to be whole
    atomic_uchar *rows_checked;      // [FM_BLOCK_SLOTS]
} fm__block;

fm__block_layout fm__block_layout_of(size_t dim);
fm_status fm__block_new(const fm__block_layout *layout, fm__block **out, fm_error *err) FM_MUST_USE;
/** Takes on bytes of a file; they are not looked at. */
fm_status fm__block_over(unsigned char *bytes, size_t count, fm__block **out, fm_error *err) FM_MUST_USE;
void fm__block_free(fm__block **block);

/** Puts a vector into the next slot. The block must have one left. */
void fm__block_add(fm__block *block, const fm__block_layout *layout, int64_t id, const float *vector);
/** Writes head and checksum, so that the bytes can go to a file. */
void fm__block_seal(fm__block *block, const fm__block_layout *layout);
/** The checksum of the first part, as its head says or will say: it tells one block from another. */
uint32_t fm__block_sum(const fm__block *block, const fm__block_layout *layout);
/** Is the first part whole? Remembered once it is. */
bool fm__block_check(fm__block *block, const fm__block_layout *layout);
bool fm__block_check_row(fm__block *block, const fm__block_layout *layout, size_t slot);

const int64_t *fm__block_ids(const fm__block *block, const fm__block_layout *layout);
const float *fm__block_row(const fm__block *block, const fm__block_layout *layout, size_t slot);
fm__scan_quant fm__block_quant(const fm__block *block, const fm__block_layout *layout);

#endif
