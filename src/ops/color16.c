// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Colours of 16 bits, in float: the map of color.c (gains of RGB, then levels, saturation and gamma in
// full-range BT.601), curves of local contrast interpolated between their 256 bins as well as between tiles,
// colour tables by the tetrahedra of lut3d.c.

#include "ops/deep.h"

#include <math.h>

#define FULL 65535.0F
#define KR 0.299F
#define KG 0.587F
#define KB 0.114F
#define CB (2 * (1 - KB))
#define CR (2 * (1 - KR))
#define SHARE (1.0F / 16384) // of fm__lut3d_place
#define UNIT (1.0F / 8160)   // of a table's entries

static inline float clamp(float v, float least, float most)
{
    return v < least ? least : v > most ? most : v;
}

static inline uint16_t rounded(float v)
{
    return (uint16_t)(clamp(v, 0, 1) * FULL + 0.5F);
}

/* ---- RGB and YCbCr ---- */

void fm__rgb16_to_ycc(uint16_t *const ycc[3], const uint16_t *const rgb[3], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float r = rgb[0][i], g = rgb[1][i], b = rgb[2][i], y = KR * r + KG * g + KB * b;
        ycc[0][i] = (uint16_t)(y + 0.5F);
        ycc[1][i] = (uint16_t)clamp((b - y) / CB + 32768.5F, 0, FULL);
        ycc[2][i] = (uint16_t)clamp((r - y) / CR + 32768.5F, 0, FULL);
    }
}

void fm__ycc16_to_rgb(uint16_t *const rgb[3], const uint16_t *const ycc[3], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float y = ycc[0][i], u = ycc[1][i] - 32768.0F, v = ycc[2][i] - 32768.0F;
        rgb[0][i] = (uint16_t)clamp(y + CR * v + 0.5F, 0, FULL);
        rgb[1][i] = (uint16_t)clamp(y - CB * KB / KG * u - CR * KR / KG * v + 0.5F, 0, FULL);
        rgb[2][i] = (uint16_t)clamp(y + CB * u + 0.5F, 0, FULL);
    }
}

/* ---- correction ---- */

typedef struct ycc {
    float y, u, v;
} ycc;

// One pixel without local contrast; luma in 0..1.
static ycc corrected(const fm__color16 *d, size_t i)
{
    const fm__color_params *p = d->params;
    const int g_at = d->planes == 1 ? 0 : 1, b_at = d->planes == 1 ? 0 : 2;
    float r = (float)d->src[0][i] / FULL * p->gain[0], g = (float)d->src[g_at][i] / FULL * p->gain[1];
    float b = (float)d->src[b_at][i] / FULL * p->gain[2], y = KR * r + KG * g + KB * b;
    float stretch = 1 / (p->white - p->black), color = stretch * p->saturation;
    ycc c = {.y = clamp((y - p->black) * stretch, 0, 1)};
    c.u = clamp((b - y) / CB * color, -0.5F, 0.5F);
    c.v = clamp((r - y) / CR * color, -0.5F, 0.5F);
    c.y = p->gamma == 1 ? c.y : powf(c.y, p->gamma);
    return c;
}

void fm__color16_luma(const fm__color16 *d, int y0, int y1, uint8_t *luma)
{
    for (size_t i = (size_t)y0 * (size_t)d->width; i < (size_t)y1 * (size_t)d->width; i++) {
        luma[i] = (uint8_t)(corrected(d, i).y * 255 + 0.5F);
    }
}

static float on_curve(const float curve[256], float y)
{
    float at = y * 255;
    int bin = at >= 254 ? 254 : (int)at;
    return curve[bin] + (at - (float)bin) * (curve[bin + 1] - curve[bin]);
}

static int nearest(int t, int tiles)
{
    return t < 0 ? 0 : t >= tiles ? tiles - 1 : t;
}

// Between the centres of four tiles.
static float contrasted(const fm__color16 *d, int x, int y, float luma)
{
    const fm__clahe *c = d->clahe;
    float fx = (float)x / (float)c->tile_w - 0.5F, fy = (float)y / (float)c->tile_h - 0.5F, mix[2];
    int tx = (int)floorf(fx), ty = (int)floorf(fy);
    fx -= (float)tx;
    fy -= (float)ty;
    for (int k = 0; k < 2; k++) {
        const float *row = d->curves + (ptrdiff_t)nearest(ty + k, c->tiles) * c->tiles * 256;
        float left = on_curve(row + (ptrdiff_t)nearest(tx, c->tiles) * 256, luma);
        float right = on_curve(row + (ptrdiff_t)nearest(tx + 1, c->tiles) * 256, luma);
        mix[k] = left + fx * (right - left);
    }
    return mix[0] + fy * (mix[1] - mix[0]);
}

void fm__color16_rows(const fm__color16 *d, int y0, int y1)
{
    for (int y = y0; y < y1; y++) {
        for (int x = 0; x < d->width; x++) {
            size_t i = (size_t)y * (size_t)d->width + (size_t)x;
            ycc c = corrected(d, i);
            c.y = d->curves ? contrasted(d, x, y, c.y) : c.y;
            if (d->planes == 1) {
                d->dst[0][i] = rounded(c.y);
                continue;
            }
            d->dst[0][i] = rounded(c.y + CR * c.v);
            d->dst[1][i] = rounded(c.y - CB * KB / KG * c.u - CR * KR / KG * c.v);
            d->dst[2][i] = rounded(c.y + CB * c.u);
        }
    }
}

/* ---- colour tables ---- */

typedef struct place {
    int at;
    float share;
} place;

// Between the places of two neighbours of 8 bits: exact, but within one level of an end of the domain.
static place place_of(const fm__lut3d_place *table, int stride, int size, uint16_t v)
{
    int low = v / 257, high = low < 255 ? low + 1 : 255;
    float a = (float)(table[low].at / stride) + (float)table[low].share * SHARE;
    float b = (float)(table[high].at / stride) + (float)table[high].share * SHARE;
    float x = a + (b - a) * (float)(v - 257 * low) / 257;
    int cell = (int)x > size - 2 ? size - 2 : (int)x;
    return (place){cell * stride, x - (float)cell};
}

void fm__lut16_rows(const fm__lut3d *lut, const uint16_t *const src[3], uint16_t *const dst[3], size_t n)
{
    const int size = lut->size, green = size, blue = size * size;
    for (size_t i = 0; i < n; i++) {
        place r = place_of(lut->place[0], 1, size, src[0][i]);
        place g = place_of(lut->place[1], green, size, src[1][i]);
        place b = place_of(lut->place[2], blue, size, src[2][i]);
        float most = fmaxf(r.share, fmaxf(g.share, b.share)), least = fminf(r.share, fminf(g.share, b.share));
        float middle = r.share + g.share + b.share - most - least;
        int order = (r.share >= g.share) << 2 | (g.share >= b.share) << 1 | (r.share >= b.share);
        const fm__lut3d_corners *to = &lut->corners[order];
        const int16_t(*c)[4] = lut->table + r.at + g.at + b.at;
        for (int k = 0; k < 3; k++) {
            float sum = (float)c[0][k] * (1 - most) + (float)c[to->second][k] * (most - middle) +
                        (float)c[to->third][k] * (middle - least) + (float)c[to->last][k] * least;
            dst[k][i] = rounded(sum * UNIT);
        }
    }
}
