// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// PSNR, and SSIM after Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility
// to structural similarity" (2004), eq. 13 with C1 = (0.01 * 255)^2 and C2 = (0.03 * 255)^2. Local means and
// covariances come from a Gaussian of sigma 1.5 over 11 x 11 pixels, as scikit-image's structural_similarity
// (0.26) takes them with gaussian_weights=True and use_sample_covariance=False; only windows that lie inside
// the picture count, which is its crop of 5 pixels a side.
//
// The window is separable: each row is filtered across once, five quantities of it, and kept in a ring of 11
// rows. Values are taken from 128 so that single precision keeps variances to about 1e-3 of C2.

#include "ops/quality.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { RADIUS = 5, TAPS = 2 * RADIUS + 1, CHANNELS = 4, PARTS = 5 }; // R, G, B, Y; a, b, aa, bb, ab

#define SIGMA 1.5
#define C1 (0.01F * 255 * 0.01F * 255)
#define C2 (0.03F * 255 * 0.03F * 255)

// Floats in scratch, rows of `pitch`.
typedef struct pass {
    int width, height;
    size_t pitch;
    float *a[CHANNELS], *b[CHANNELS]; // the row at hand
    float *ring;                      // [CHANNELS][PARTS][TAPS] rows, filtered across
    float *down[PARTS];               // filtered down too
    float taps[TAPS];
    double error[CHANNELS], ssim[CHANNELS];
} pass;

static size_t pitch_of(int width)
{
    return ((size_t)width + 15) / 16 * 16;
}

size_t fm__quality_scratch_size(int width)
{
    return (2 * CHANNELS + CHANNELS * PARTS * TAPS + PARTS) * pitch_of(width) * sizeof(float);
}

static void init(pass *run, int width, int height, void *scratch)
{
    float *at = scratch;
    double sum = 0;
    *run = (pass){.width = width, .height = height, .pitch = pitch_of(width)};
    for (int c = 0; c < CHANNELS; c++) {
        run->a[c] = at + (size_t)(2 * c) * run->pitch;
        run->b[c] = at + (size_t)(2 * c + 1) * run->pitch;
    }
    run->ring = at + 2 * CHANNELS * run->pitch;
    for (size_t p = 0; p < PARTS; p++) {
        run->down[p] = run->ring + (CHANNELS * PARTS * TAPS + p) * run->pitch;
    }
    for (int i = 0; i < TAPS; i++) {
        run->taps[i] = (float)exp(-(i - RADIUS) * (i - RADIUS) / (2 * SIGMA * SIGMA));
        sum += (double)run->taps[i];
    }
    for (int i = 0; i < TAPS; i++) {
        run->taps[i] /= (float)sum;
    }
}

static void put(float *const out[CHANNELS], int x, float r, float g, float b)
{
    out[0][x] = r - 128;
    out[1][x] = g - 128;
    out[2][x] = b - 128;
    out[3][x] = (65.481F * r + 128.553F * g + 24.966F * b) / 255 + (16 - 128);
}

static void split(const pass *run, const uint8_t *rgb, float *const out[CHANNELS])
{
    for (int x = 0; x < run->width; x++) {
        put(out, x, rgb[3 * x], rgb[3 * x + 1], rgb[3 * x + 2]);
    }
}

// In levels of 8 bits: PSNR and SSIM do not change with the scale.
static void split16(const pass *run, const fm__deep *d, int y, float *const out[CHANNELS])
{
    size_t at = (size_t)y * (size_t)d->width;
    for (int x = 0; x < run->width; x++, at++) {
        put(out, x, (float)d->plane[0][at] / 257, (float)d->plane[1][at] / 257, (float)d->plane[2][at] / 257);
    }
}

static void add_errors(pass *run)
{
    for (int c = 0; c < CHANNELS; c++) {
        double sum = 0;
        for (int x = 0; x < run->width; x++) {
            double d = (double)(run->a[c][x] - run->b[c][x]);
            sum += d * d;
        }
        run->error[c] += sum;
    }
}

// From the samples themselves: floats about 128 would lose what tells nearly equal pictures apart.
static void add_errors16(pass *run, const fm__deep *a, const fm__deep *b, int y)
{
    size_t at = (size_t)y * (size_t)a->width;
    double sum[CHANNELS] = {0};
    for (int x = 0; x < run->width; x++, at++) {
        double d[CHANNELS - 1];
        for (int c = 0; c < CHANNELS - 1; c++) {
            d[c] = (a->plane[c][at] - b->plane[c][at]) / 257.0;
            sum[c] += d[c] * d[c];
        }
        double luma = (65.481 * d[0] + 128.553 * d[1] + 24.966 * d[2]) / 255;
        sum[CHANNELS - 1] += luma * luma;
    }
    for (int c = 0; c < CHANNELS; c++) {
        run->error[c] += sum[c];
    }
}

static float *ring_row(const pass *run, int channel, int part, int y)
{
    return run->ring + (size_t)((channel * PARTS + part) * TAPS + y % TAPS) * run->pitch;
}

// out[x] over the window from x on: x is the window's left end.
static void filter_across(
    const pass *run, const float *restrict a, const float *restrict b, float *restrict out)
{
    int n = run->width - 2 * RADIUS;
    memset(out, 0, (size_t)n * sizeof(*out));
    for (int i = 0; i < TAPS; i++) {
        float w = run->taps[i];
        for (int x = 0; x < n; x++) {
            out[x] += w * a[x + i] * (b ? b[x + i] : 1);
        }
    }
}

static void filter_down(const pass *run, int channel, int part, int y)
{
    int n = run->width - 2 * RADIUS;
    float *restrict out = run->down[part];
    memset(out, 0, (size_t)n * sizeof(*out));
    for (int i = 0; i < TAPS; i++) {
        float w = run->taps[i];
        const float *restrict row = ring_row(run, channel, part, y - TAPS + 1 + i);
        for (int x = 0; x < n; x++) {
            out[x] += w * row[x];
        }
    }
}

static double similarity(const pass *run)
{
    double sum = 0;
    for (int x = 0; x < run->width - 2 * RADIUS; x++) {
        float ma = run->down[0][x], mb = run->down[1][x];
        float va = run->down[2][x] - ma * ma, vb = run->down[3][x] - mb * mb, cov = run->down[4][x] - ma * mb;
        float ua = ma + 128, ub = mb + 128;
        float above = (2 * ua * ub + C1) * (2 * cov + C2), below = (ua * ua + ub * ub + C1) * (va + vb + C2);
        sum += (double)(above / below);
    }
    return sum;
}

// Row y joins the ring; from the 11th on, a row of windows is complete.
static void add_similarity(pass *run, int y)
{
    for (int c = 0; c < CHANNELS; c++) {
        const float *a = run->a[c], *b = run->b[c];
        const float *const factors[PARTS][2] = {{a, NULL}, {b, NULL}, {a, a}, {b, b}, {a, b}};
        for (int p = 0; p < PARTS; p++) {
            filter_across(run, factors[p][0], factors[p][1], ring_row(run, c, p, y));
        }
        for (int p = 0; p < PARTS && y >= TAPS - 1; p++) {
            filter_down(run, c, p, y);
        }
        if (y >= TAPS - 1) {
            run->ssim[c] += similarity(run);
        }
    }
}

static double psnr(double mse)
{
    return mse > 0 ? 10 * log10(255.0 * 255 / mse) : INFINITY;
}

static void finish(const pass *run, bool has_windows, fm_quality *out)
{
    double pixels = (double)run->width * run->height;
    double windows = (double)(run->width - 2 * RADIUS) * (run->height - 2 * RADIUS);
    *out = (fm_quality){.width = run->width, .height = run->height};
    out->mse_rgb = (run->error[0] + run->error[1] + run->error[2]) / (3 * pixels);
    out->mse_y = run->error[3] / pixels;
    out->psnr_rgb = psnr(out->mse_rgb);
    out->psnr_y = psnr(out->mse_y);
    out->ssim_rgb = has_windows ? (run->ssim[0] + run->ssim[1] + run->ssim[2]) / (3 * windows) : (double)NAN;
    out->ssim_y = has_windows ? run->ssim[3] / windows : (double)NAN;
}

void fm__quality_rgb(const uint8_t *a, ptrdiff_t a_stride, const uint8_t *b, ptrdiff_t b_stride, int width,
    int height, void *scratch, fm_quality *out)
{
    bool has_windows = width >= TAPS && height >= TAPS;
    pass run;
    init(&run, width, height, scratch);
    for (int y = 0; y < height; y++) {
        split(&run, a + y * a_stride, run.a);
        split(&run, b + y * b_stride, run.b);
        add_errors(&run);
        if (has_windows) {
            add_similarity(&run, y);
        }
    }
    finish(&run, has_windows, out);
}

void fm__quality_rgb16(const fm__deep *a, const fm__deep *b, void *scratch, fm_quality *out)
{
    bool has_windows = a->width >= TAPS && a->height >= TAPS;
    pass run;
    init(&run, a->width, a->height, scratch);
    for (int y = 0; y < a->height; y++) {
        split16(&run, a, y, run.a);
        split16(&run, b, y, run.b);
        add_errors16(&run, a, b, y);
        if (has_windows) {
            add_similarity(&run, y);
        }
    }
    finish(&run, has_windows, out);
}
