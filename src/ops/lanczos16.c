// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Enlarging by Lanczos with three lobes (Duchon 1979), as resample.c does it: output i's centre lies at
// (i + 0.5) / scale, weights are normalised over the inputs that exist. Here in float throughout, down first,
// then across, rounded once.

#include "ops/deep.h"

#include <math.h>

enum { LOBES = 3, TAPS = 2 * LOBES + 1 };

#define PI 3.14159265358979323846

typedef struct taps {
    int first, count;
    float weight[TAPS];
} taps;

static double lanczos(double x)
{
    return x == 0 ? 1 : fabs(x) >= LOBES ? 0 : LOBES * sin(PI * x) * sin(PI * x / LOBES) / (PI * PI * x * x);
}

static taps taps_of(int output, int scale, int len)
{
    double centre = (output + 0.5) / scale, sum = 0, w[TAPS];
    int first = (int)fmax(0, floor(centre - LOBES + 0.5)), last = (int)fmin(len, floor(centre + LOBES + 0.5));
    taps t = {.first = first, .count = last - first};
    for (int i = 0; i < t.count; i++) {
        w[i] = lanczos(first + i + 0.5 - centre);
        sum += w[i];
    }
    for (int i = 0; i < t.count; i++) {
        t.weight[i] = (float)(w[i] / sum);
    }
    return t;
}

size_t fm__lanczos16_scratch_size(const fm__lanczos16 *d)
{
    return (size_t)d->src_w * sizeof(float) + (size_t)d->src_w * (size_t)d->scale * sizeof(taps);
}

static void down(const fm__lanczos16 *d, int y, float *restrict row)
{
    taps t = taps_of(y, d->scale, d->src_h);
    for (int x = 0; x < d->src_w; x++) {
        row[x] = 0;
    }
    for (int i = 0; i < t.count; i++) {
        const uint16_t *from = d->src + (size_t)(t.first + i) * (size_t)d->src_w;
        for (int x = 0; x < d->src_w; x++) {
            row[x] += t.weight[i] * (float)from[x];
        }
    }
}

void fm__lanczos16_rows(const fm__lanczos16 *d, int y0, int y1, void *scratch)
{
    int width = d->src_w * d->scale;
    taps *t = scratch;
    float *row = (float *)(t + width);
    for (int x = 0; x < width; x++) {
        t[x] = taps_of(x, d->scale, d->src_w);
    }
    for (int y = y0; y < y1; y++) {
        uint16_t *to = d->dst + (size_t)y * (size_t)width;
        down(d, y, row);
        for (int x = 0; x < width; x++) {
            float sum = 0.5F;
            for (int i = 0; i < t[x].count; i++) {
                sum += t[x].weight[i] * row[t[x].first + i];
            }
            to[x] = (uint16_t)(sum < 0 ? 0 : sum > 65535 ? 65535 : sum);
        }
    }
}
