// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// RGB to YCbCr as JFIF defines it (BT.601, full range) and back, in integers with 16 fractional bits; each
// way is off by at most half a level more than rounding, there and back again by at most 1 in grey and 2 in
// saturated colours.

#include "ops/color.h"

enum { HALF = 1 << 15, CENTRE = (128 << 16) + HALF };

static inline uint8_t clamp(int v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

void fm__rgb_to_ycc(
    uint8_t *restrict y, uint8_t *restrict u, uint8_t *restrict v, const uint8_t *restrict rgb, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int r = rgb[3 * i], g = rgb[3 * i + 1], b = rgb[3 * i + 2];
        y[i] = (uint8_t)((19595 * r + 38470 * g + 7471 * b + HALF) >> 16);
        u[i] = clamp((-11058 * r - 21710 * g + 32768 * b + CENTRE) >> 16);
        v[i] = clamp((32768 * r - 27439 * g - 5329 * b + CENTRE) >> 16);
    }
}

void fm__ycc_to_rgb(uint8_t *restrict rgb, const uint8_t *restrict y, const uint8_t *restrict u,
    const uint8_t *restrict v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int luma = (y[i] << 16) + HALF, cb = u[i] - 128, cr = v[i] - 128;
        rgb[3 * i] = clamp((luma + 91881 * cr) >> 16);
        rgb[3 * i + 1] = clamp((luma - 22554 * cb - 46802 * cr) >> 16);
        rgb[3 * i + 2] = clamp((luma + 116130 * cb) >> 16);
    }
}
