// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// RGB to YCbCr as JFIF defines it (BT.601, full range) and back, in integers: 15 fractional bits there, 14
// back. Each way is off by at most half a level more than rounding, there and back again by nothing in grey
// and at most 2 in saturated colours. Rows are taken apart and put together by the letterbox's kernels, a
// chunk at a time on the stack.

#include "ops/color.h"
#include "ops/color_kernels.h"
#include "ops/letterbox_kernels.h"

#include <string.h>

enum { CHUNK = 256 };

// Planes of one chunk, with what kernels may read behind a row.
typedef struct chunk {
    uint8_t rgb[3 * CHUNK + FM__ROW_PAD];
    uint8_t plane[3][CHUNK + FM__ROW_PAD];
} chunk;

static const fm__letterbox_kernels *rows_of(fm_cpu_level level)
{
#if defined(__x86_64__)
    return level >= FM_CPU_AVX2 ? &fm__letterbox_avx2 : &fm__letterbox_scalar;
#else
    (void)level;
    return &fm__letterbox_scalar;
#endif
}

void fm__rgb_to_ycc(uint8_t *y, uint8_t *u, uint8_t *v, const uint8_t *rgb, size_t n, fm_cpu_level level)
{
    chunk c;
    for (size_t x = 0; x < n; x += CHUNK) {
        size_t count = n - x < CHUNK ? n - x : CHUNK;
        memcpy(c.rgb, rgb + 3 * x, 3 * count);
        rows_of(level)->split((uint8_t *[]){c.plane[0], c.plane[1], c.plane[2]}, c.rgb, count);
        fm__color_kernels_of((int)level)
            ->to_ycc(y + x, u + x, v + x, c.plane[0], c.plane[1], c.plane[2], count);
    }
}

void fm__ycc_to_rgb(
    uint8_t *rgb, const uint8_t *y, const uint8_t *u, const uint8_t *v, size_t n, fm_cpu_level level)
{
    chunk c;
    for (size_t x = 0; x < n; x += CHUNK) {
        size_t count = n - x < CHUNK ? n - x : CHUNK;
        fm__color_kernels_of((int)level)
            ->to_rgb(c.plane[0], c.plane[1], c.plane[2], y + x, u + x, v + x, count);
        rows_of(level)->interleave(
            rgb + 3 * x, (const uint8_t *[]){c.plane[0], c.plane[1], c.plane[2]}, count);
    }
}
