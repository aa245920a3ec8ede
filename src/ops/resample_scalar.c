// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Row kernels of resampling in plain C: what the other levels must compute, bit by bit.

#include "ops/resample_kernels.h"

static void down(int16_t *dst, const uint8_t *const rows[], const int16_t *weights, int taps, size_t n)
{
    for (size_t x = 0; x < n; x++) {
        int32_t sum = 1 << 7;
        for (int i = 0; i < taps; i++) {
            sum += weights[i] * rows[i][x];
        }
        sum >>= 8;
        dst[x] = (int16_t)(sum > 32767 ? 32767 : sum < -32768 ? -32768 : sum);
    }
}

static void across(uint8_t *dst, const int16_t *src, const fm__resample_taps *taps)
{
    int groups = (taps->count + FM__RESAMPLE_GROUP - 1) / FM__RESAMPLE_GROUP;
    for (int i = 0; i < groups * FM__RESAMPLE_GROUP; i++) {
        const int16_t *w = taps->weights + (size_t)i * (size_t)taps->padded, *in = src + taps->first[i];
        int32_t sum = 1 << 19;
        for (int k = 0; k < taps->padded; k++) {
            sum += w[k] * in[k];
        }
        sum >>= 20;
        dst[i] = (uint8_t)(sum > 255 ? 255 : sum < 0 ? 0 : sum);
    }
}

const fm__resample_kernels fm__resample_scalar = {.down = down, .across = across};
