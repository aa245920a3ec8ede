// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

/** The inner steps of the JPEG encoder, one table for each CPU level, the same bytes at each; the scalar
 * table is the definition. jpeg.c says how they are put together. */
#ifndef FM_OPS_JPEG_KERNELS_H
#define FM_OPS_JPEG_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FM__JPEG_BLOCK = 64,        // coefficients
    FM__JPEG_GROUP = 4,         // blocks that are transformed together
    FM__JPEG_UNIT_BLOCKS = 6,   // blocks of a unit (MCU) of the scan, at most: 4:2:0
    FM__JPEG_BLOCK_BYTES = 208, // of a block, at most, before stuffing
    FM__JPEG_SLACK = 64,        // bytes that may be written past a kernel's output
    FM__JPEG_DC_RUN = 16,       // stands for "DC" where AC has a run
    FM__JPEG_CODES = 512,       // from one code table to the next
};

/** By coefficient, u * 8 + v (u: horizontal frequency), as the transform leaves them, 32 times too large:
 * quantised = min((|x| + half) * recip >> 16) * scale >> 16, most) with the sign of x. */
typedef struct fm__jpeg_quant {
    uint16_t half[FM__JPEG_BLOCK], recip[FM__JPEG_BLOCK], scale[FM__JPEG_BLOCK], most[FM__JPEG_BLOCK];
    int16_t dc_offset[8]; // added to x of v = 0..7 at u = 0, saturating
} fm__jpeg_quant;

typedef struct fm__jpeg_tables {
    _Alignas(64) fm__jpeg_quant quant[2]; // luma, chroma
    /** At run * 16 + size, of luma and, FM__JPEG_CODES on, of chroma: code << size << 5 | bits of code and
     * value together (at most 26). */
    uint32_t codes[2 * FM__JPEG_CODES];
    /** Bits of coefficients i * 4 .. i * 4 + 3 (u * 8 + v) to bits in zigzag order. */
    uint64_t spread[16][16];
    uint8_t steps[2][FM__JPEG_BLOCK]; // the quantisation tables, zigzag order
} fm__jpeg_tables;

/** Between rows of units: bits that make no byte yet, and each component's last DC. */
typedef struct fm__jpeg_state {
    uint64_t bits; // the lowest `held` count
    unsigned held; // 0..7
    int16_t dc[3];
} fm__jpeg_state;

/** Blocks of one place in the unit: block i of the row of units is at i * step. */
typedef struct fm__jpeg_lane {
    const int16_t *coefs;
    const uint64_t *masks;
    int step;
    int component;
} fm__jpeg_lane;

typedef struct fm__jpeg_scan {
    fm__jpeg_lane lanes[FM__JPEG_UNIT_BLOCKS];
    int count; // of lanes
    int units;
    const uint32_t *codes;
    const uint8_t *order;
} fm__jpeg_scan;

typedef struct fm__jpeg_kernels {
    /** `groups` times FM__JPEG_GROUP neighbouring blocks: transform, quantise; of each block 64 coefficients
     * in the level's own order, and which of them, in zigzag order, are not zero; bit 0 (DC) always set. */
    void (*transform)(const fm__jpeg_tables *t, int chroma, const uint8_t *const rows[8], int groups,
        int16_t *coefs, uint64_t *masks);
    /** A row of units to bits, whole bytes of them, without stuffing; tells how many bytes. A mask of 0 is a
     * block that is not there: the last DC again, and nothing else. */
    size_t (*encode)(const fm__jpeg_scan *scan, fm__jpeg_state *state, uint8_t *out);
    /** Copies with a 0 behind each 0xFF; tells how many bytes. May read and write FM__JPEG_SLACK on. */
    size_t (*stuff)(uint8_t *dst, const uint8_t *src, size_t n);
    /** NV12's chroma to two rows of n samples. */
    void (*split)(uint8_t *restrict u, uint8_t *restrict v, const uint8_t *restrict uv, int n);
    const uint8_t *order; // where the coefficients of the zigzag lie in a block
} fm__jpeg_kernels;

/** Zigzag position to u * 8 + v. */
extern const uint8_t fm__jpeg_zigzag[FM__JPEG_BLOCK];

extern const fm__jpeg_kernels fm__jpeg_scalar;
#if defined(__x86_64__)
extern const fm__jpeg_kernels fm__jpeg_avx2;
extern const fm__jpeg_kernels fm__jpeg_avx512; // transform in AVX-512, entropy coding as AVX2
extern const fm__jpeg_kernels fm__jpeg_vbmi2;  // and with VBMI2 and CD
#endif

#endif
