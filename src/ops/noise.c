// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Noise level after Immerkaer, "Fast noise variance estimation" (CVIU 1996): the difference of two
// Laplacians, rows 1 -2 1, -2 4 -2, 1 -2 1, is blind to slopes and edges along the axes and multiplies the
// deviation of white noise by 6. Its mean, which the paper takes, is drawn up by texture; we take the median,
// as Donoho does with wavelet coefficients ("De-noising by soft-thresholding", 1995): median |x| = 0.6745
// sigma. On Set5, Set12 and kodim01 with noise of 10, 25 and 50 the median gives 10.4, 23.8 and 44 (clipping
// at 0 and 255 takes noise away), the mean 10.6, 24.1 and 44.6; without noise 1.7 and 2.9.

#include "ops/noise.h"

#include <math.h>

// Below this what is measured is texture.
#define LEAST_SIGMA 1.5

void fm__noise_add(
    fm__noise_stats *stats, const uint8_t *plane, ptrdiff_t stride, int width, int height, int y0, int y1)
{
    y0 = y0 < 1 ? 1 : y0;
    y1 = y1 > height - 1 ? height - 1 : y1;
    for (int y = y0; y < y1; y++) {
        const uint8_t *b = plane + y * stride, *a = b - stride, *c = b + stride;
        for (int x = 1; x + 1 < width; x++) {
            int left = a[x - 1] - 2 * b[x - 1] + c[x - 1], here = a[x] - 2 * b[x] + c[x];
            int right = a[x + 1] - 2 * b[x + 1] + c[x + 1], v = left - 2 * here + right;
            stats->count[v < 0 ? -v : v]++;
        }
    }
}

// The median as if values were spread evenly over their bin: pictures have small whole numbers here. Bin i >
// 0 holds +i and -i, and reaches from i - 0.5 to i + 0.5; bin 0 from 0 to 0.5.
double fm__noise_sigma(const fm__noise_stats *stats)
{
    const size_t bins = sizeof(stats->count) / sizeof(*stats->count);
    uint64_t total = 0, below = 0;
    for (size_t i = 0; i < bins; i++) {
        total += stats->count[i];
    }
    for (size_t i = 0; i < bins; i++) {
        if (2 * (below + stats->count[i]) >= total && stats->count[i] > 0) {
            double share = ((double)total / 2 - (double)below) / stats->count[i];
            double median = i == 0 ? share / 2 : (double)i - 0.5 + share;
            return median / (6 * 0.6745);
        }
        below += stats->count[i];
    }
    return 0;
}

// The best h by PSNR on Set5, Set12 and kodim01, as a power of sigma: 1.2 sigma at 5, 1.1 at 10, 0.9 at 25,
// 0.8 at 40; the more noise, the less may be smoothed over.
float fm__nlm_auto_luma(double sigma)
{
    return sigma < LEAST_SIGMA ? 0 : (float)fmin(100, 1.5 * pow(sigma, 0.845));
}

// Chroma: 0.9 to 1.1 of sigma at every level.
float fm__nlm_auto_chroma(double sigma)
{
    return sigma < LEAST_SIGMA ? 0 : (float)fmin(100, 0.95 * sigma);
}
