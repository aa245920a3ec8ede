// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Statistics for colour correction, and what follows from them.
//
// White balance: the light's colour is the Minkowski mean of each channel, (mean of v^p)^(1/p): p = 1 is the
// grey world (Buchsbaum, "A spatial processor model for object colour perception", 1980), p = 6 is what
// Finlayson and Trezzi, "Shades of gray and colour constancy" (2004), found best. Gains undo it and keep the
// luma of grey. Levels: the darkest and brightest luma that more than `clip` of the pixels lie beyond go to 0
// and 1, by a factor of at most 2. Gamma: the middle (median) luma goes half the way to the middle of the
// range, within 0.7 to 1.4.
//
// Samples are one in four pixels at most, and no more than about 200,000: plenty for a histogram.

#include "base/error.h"
#include "frame/frame.h"
#include "ops/color.h"

#include <math.h>
#include <string.h>

enum { MOST_SAMPLES = 200000, CHUNK = 256, NEARLY_BLACK = 4, NEARLY_WHITE = 250 };

#define MINKOWSKI 6
#define MOST_GAIN 2.0F
#define MOST_STRETCH 2.0F
#define CUT_DISTANCE 0.5F // share of the luma histogram that moved; a pan or a flash moves less

/* ---- samples ---- */

typedef struct counts {
    uint32_t luma[256], rgb[3][256];
    uint32_t samples, kept;
} counts;

// Full-range luma and RGB of up to CHUNK samples.
typedef struct chunk {
    uint8_t y[CHUNK], rgb[3][CHUNK];
} chunk;

static inline uint8_t clamp(int v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static void count(counts *c, const chunk *s, int n)
{
    for (int i = 0; i < n; i++) {
        uint8_t r = s->rgb[0][i], g = s->rgb[1][i], b = s->rgb[2][i];
        uint8_t most = r > g ? r : g;
        most = most > b ? most : b;
        c->luma[s->y[i]]++;
        if (most > NEARLY_BLACK && most < NEARLY_WHITE) {
            c->rgb[0][r]++;
            c->rgb[1][g]++;
            c->rgb[2][b]++;
            c->kept++;
        }
    }
    c->samples += (uint32_t)n;
}

// 6 fractional bits: 16-bit products would not hold more.
typedef struct to_rgb {
    int black, y, rv, gu, gv, bu;
} to_rgb;

static to_rgb coefficients(fm_matrix matrix, fm_range range)
{
    double kr = matrix == FM_MATRIX_BT709 ? 0.2126 : 0.299, kb = matrix == FM_MATRIX_BT709 ? 0.0722 : 0.114;
    double kg = 1 - kr - kb, ys = range == FM_RANGE_FULL ? 64 : 64 * 255.0 / 219,
           cs = range == FM_RANGE_FULL ? 64 : 64 * 255.0 / 224;
    return (to_rgb){.black = range == FM_RANGE_FULL ? 0 : 16,
        .y = (int)lrint(ys),
        .rv = (int)lrint(2 * (1 - kr) * cs),
        .gu = (int)lrint(2 * (1 - kb) * kb / kg * cs),
        .gv = (int)lrint(2 * (1 - kr) * kr / kg * cs),
        .bu = (int)lrint(2 * (1 - kb) * cs)};
}

static void convert(chunk *s, const uint8_t *y, const uint8_t *u, const uint8_t *v, int n, const to_rgb *k)
{
    for (int i = 0; i < n; i++) {
        int luma = (y[i] - k->black) * k->y + 32, cb = u[i] - 128, cr = v[i] - 128;
        s->y[i] = clamp(luma >> 6);
        s->rgb[0][i] = clamp((luma + k->rv * cr) >> 6);
        s->rgb[1][i] = clamp((luma - k->gu * cb - k->gv * cr) >> 6);
        s->rgb[2][i] = clamp((luma + k->bu * cb) >> 6);
    }
}

// `n` bytes from every step-th.
static void pick(uint8_t *out, const uint8_t *in, int step, int n)
{
    for (int i = 0; i < n; i++) {
        out[i] = in[i * step];
    }
}

static void sample_yuv(const fm_frame_view *f, int x, int y, int n, const to_rgb *k, chunk *s)
{
    uint8_t luma[CHUNK], u[CHUNK], v[CHUNK];
    int sx = 0, sy = 0;
    fm__pixfmt_shift(f->format, &sx, &sy);
    bool is_full_width = sx == 0; // every other pixel then
    pick(luma, f->plane[0] + (ptrdiff_t)y * f->stride[0] + 2 * x, 2, n);
    if (f->format == FM_PIXFMT_GRAY8) {
        memset(u, 128, sizeof(u));
        memset(v, 128, sizeof(v));
    } else if (f->format == FM_PIXFMT_NV12) {
        const uint8_t *row = f->plane[1] + (ptrdiff_t)(y >> sy) * f->stride[1] + 2 * x;
        pick(u, row, 2, n);
        pick(v, row + 1, 2, n);
    } else {
        int step = is_full_width ? 2 : 1;
        pick(u, f->plane[1] + (ptrdiff_t)(y >> sy) * f->stride[1] + step * x, step, n);
        pick(v, f->plane[2] + (ptrdiff_t)(y >> sy) * f->stride[2] + step * x, step, n);
    }
    convert(s, luma, u, v, n, k);
}

static void sample_rgb(const fm_frame_view *f, int x, int y, int n, chunk *s)
{
    const uint8_t *row = f->plane[0] + (ptrdiff_t)y * f->stride[0] + 6 * x;
    for (int c = 0; c < 3; c++) {
        pick(s->rgb[c], row + c, 6, n);
    }
    for (int i = 0; i < n; i++) {
        s->y[i] = (uint8_t)((77 * s->rgb[0][i] + 150 * s->rgb[1][i] + 29 * s->rgb[2][i] + 128) >> 8);
    }
}

static void to_shares(float out[256], const uint32_t in[256], uint32_t total)
{
    for (int i = 0; i < 256; i++) {
        out[i] = total ? (float)in[i] / (float)total : 0;
    }
}

void fm__color_stats_of(const fm_frame_view *view, fm__color_stats *out)
{
    counts c = {.samples = 0};
    bool is_gray = view->format == FM_PIXFMT_GRAY8;
    const to_rgb k = coefficients(view->matrix, is_gray ? FM_RANGE_FULL : view->range);
    int across = (view->width + 1) / 2;
    int step = 2 * (int)(1 + (int64_t)across * (view->height / 2) / MOST_SAMPLES);
    for (int y = 0; y < view->height; y += step) {
        for (int x = 0; x < across; x += CHUNK) {
            chunk s;
            int n = across - x < CHUNK ? across - x : CHUNK;
            if (view->format == FM_PIXFMT_RGB24) {
                sample_rgb(view, x, y, n, &s);
            } else {
                sample_yuv(view, x, y, n, &k, &s);
            }
            count(&c, &s, n);
        }
    }
    to_shares(out->luma, c.luma, c.samples);
    for (int i = 0; i < 3; i++) {
        to_shares(out->rgb[i], c.rgb[i], c.kept);
    }
}

/* ---- over time ---- */

static float distance(const float a[256], const float b[256])
{
    float sum = 0;
    for (int i = 0; i < 256; i++) {
        sum += fabsf(a[i] - b[i]);
    }
    return sum / 2;
}

// Neighbouring values count as one: a histogram that moves by a few levels is the same picture.
static float coarse_distance(const float a[256], const float b[256])
{
    float x[256] = {0}, y[256] = {0};
    for (int i = 0; i < 256; i++) {
        x[i / 16] += a[i];
        y[i / 16] += b[i];
    }
    return distance(x, y);
}

static void move(float a[256], const float b[256], float share)
{
    for (int i = 0; i < 256; i++) {
        a[i] += share * (b[i] - a[i]);
    }
}

bool fm__color_is_cut(const fm__color_stats *before, const fm__color_stats *after)
{
    return coarse_distance(before->luma, after->luma) > CUT_DISTANCE;
}

void fm__color_smooth(fm__color_state *state, const fm__color_stats *now, float share)
{
    if (!state->has_stats || fm__color_is_cut(&state->stats, now)) {
        state->stats = *now;
        state->has_stats = true;
        state->has_tiles = false;
        return;
    }
    move(state->stats.luma, now->luma, share);
    for (int i = 0; i < 3; i++) {
        move(state->stats.rgb[i], now->rgb[i], share);
    }
}

/* ---- what follows ---- */

fm_status fm__color_check(const fm__color_opts *o, fm_error *err)
{
    bool white = o->white >= FM__WHITE_NONE && o->white <= FM__WHITE_SHADES && o->white_strength >= 0 &&
                 o->white_strength <= 1;
    if (!white) {
        return fm__fail(err, FM_INVAL, "colour: white balance by %g of its cast; 0 to 1 is meant",
            (double)o->white_strength);
    }
    if (!(o->clip >= 0 && o->clip < 0.5F)) {
        return fm__fail(
            err, FM_INVAL, "colour: levels that clip %g of the pixels; 0 to 0.5 is meant", (double)o->clip);
    }
    if (!(o->gamma == 0 || (o->gamma >= 0.1F && o->gamma <= 10))) {
        return fm__fail(err, FM_INVAL, "colour: gamma %g; 0.1 to 10 is meant, or 0 for the picture's own",
            (double)o->gamma);
    }
    if (!(o->contrast >= 0 && o->contrast <= 256)) {
        return fm__fail(err, FM_INVAL, "colour: contrast limit %g; 0 to 256 is meant", (double)o->contrast);
    }
    if (!(o->saturation >= 0 && o->saturation <= 3)) {
        return fm__fail(err, FM_INVAL, "colour: saturation %g; 0 to 3 is meant", (double)o->saturation);
    }
    return FM_OK;
}

static double minkowski(const float hist[256], int order)
{
    double sum = 0;
    for (int i = 0; i < 256; i++) {
        sum += (double)hist[i] * pow(i / 255.0, order);
    }
    return pow(sum, 1.0 / order);
}

static void white_gains(const fm__color_opts *o, const fm__color_stats *s, fm_matrix matrix, float gain[3])
{
    double light[3], g[3];
    int order = o->white == FM__WHITE_SHADES ? MINKOWSKI : 1;
    gain[0] = gain[1] = gain[2] = 1;
    for (int i = 0; i < 3; i++) {
        light[i] = minkowski(s->rgb[i], order);
    }
    double mean = (light[0] + light[1] + light[2]) / 3;
    if (o->white == FM__WHITE_NONE || !(light[0] > 0 && light[1] > 0 && light[2] > 0)) {
        return;
    }
    for (int i = 0; i < 3; i++) {
        g[i] = fmax(
            1 / (double)MOST_GAIN, fmin((double)MOST_GAIN, pow(mean / light[i], (double)o->white_strength)));
    }
    double kr = matrix == FM_MATRIX_BT709 ? 0.2126 : 0.299, kb = matrix == FM_MATRIX_BT709 ? 0.0722 : 0.114;
    double grey = kr * g[0] + (1 - kr - kb) * g[1] + kb * g[2];
    for (int i = 0; i < 3; i++) {
        gain[i] = (float)(g[i] / grey);
    }
}

// Luma below which `share` of the samples lie, in 0..1, between whole levels.
static float quantile(const float hist[256], float share)
{
    float below = 0;
    for (int i = 0; i < 256; i++) {
        if (hist[i] > 0 && below + hist[i] >= share) {
            return ((float)i - 0.5F + (share - below) / hist[i]) / 255;
        }
        below += hist[i];
    }
    return 1;
}

static void levels(const fm__color_opts *o, const float luma[256], fm__color_params *p)
{
    p->black = 0;
    p->white = 1;
    if (o->clip > 0) {
        p->black = fmaxf(0, quantile(luma, o->clip));
        p->white = fminf(1, quantile(luma, 1 - o->clip));
        float middle = (p->black + p->white) / 2, width = fmaxf(p->white - p->black, 1 / MOST_STRETCH);
        p->black = fmaxf(0, middle - width / 2);
        p->white = fminf(1, p->black + width);
        p->black = p->white - width;
    }
}

static float auto_gamma(const float luma[256], const fm__color_params *p)
{
    float middle = (quantile(luma, 0.5F) - p->black) / (p->white - p->black);
    if (!(middle > 0.01F && middle < 0.99F)) {
        return 1;
    }
    float whole = logf(0.5F) / logf(middle); // what would take it to the middle
    return fmaxf(0.7F, fminf(1.4F, sqrtf(whole)));
}

void fm__color_params_of(
    const fm__color_opts *opts, const fm__color_stats *stats, fm_matrix matrix, fm__color_params *out)
{
    white_gains(opts, stats, matrix, out->gain);
    levels(opts, stats->luma, out);
    out->gamma = opts->gamma > 0 ? opts->gamma : auto_gamma(stats->luma, out);
    out->contrast = opts->contrast;
    out->saturation = opts->saturation;
}
