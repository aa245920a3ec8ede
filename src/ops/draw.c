// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Rectangles, outlines and coverage masks on YUV420P. Luma is blended pixel by pixel; a chroma sample stands
// for up to four pixels and is blended by the mean of their coverage, so that odd positions neither bleed a
// full sample into their neighbours nor lose it. Blending is p + (c - p) * a / 255, rounded, exact at both
// ends. Colours: hue = id * golden angle, which keeps any run of consecutive classes or tracks spread over
// the circle (the sunflower arrangement: H. Vogel, "A better way to construct the sunflower head", 1979),
// with saturation and value in three bands.

#include "ops/draw.h"

#include <math.h>
#include <string.h>

// Degrees. Class 0, a person in every COCO model, gets a green that stands out on skin, streets and lawns
// alike.
#define FIRST_HUE 152.0
#define GOLDEN_ANGLE 137.50776405003785

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static uint8_t blend(uint8_t p, uint8_t c, unsigned alpha)
{
    return (uint8_t)((p * (255 - alpha) + c * alpha + 127) / 255);
}

static uint8_t round_u8(double v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v + 0.5);
}

fm_yuv fm__rgb_to_yuv(fm_rgb c, fm_matrix matrix, fm_range range)
{
    double kr = matrix == FM_MATRIX_BT709 ? 0.2126 : 0.299;
    double kb = matrix == FM_MATRIX_BT709 ? 0.0722 : 0.114;
    double y = kr * c.r + (1 - kr - kb) * c.g + kb * c.b;
    double u = (c.b - y) / (2 * (1 - kb));
    double v = (c.r - y) / (2 * (1 - kr));
    bool full = range == FM_RANGE_FULL;
    double scale_y = full ? 1 : 219.0 / 255, scale_c = full ? 1 : 224.0 / 255;
    return (fm_yuv){.y = round_u8((full ? 0 : 16) + y * scale_y),
        .u = round_u8(128 + u * scale_c),
        .v = round_u8(128 + v * scale_c)};
}

/** One channel of HSV (Smith 1978): n is 5 for red, 3 for green, 1 for blue. */
static uint8_t hsv_channel(double n, double hue, double saturation, double value)
{
    double k = fmod(n + hue / 60, 6);
    double ramp = fmax(0, fmin(1, fmin(k, 4 - k)));
    return round_u8(255 * value * (1 - saturation * ramp));
}

static fm_rgb spread_color(uint32_t id)
{
    static const double saturation[] = {0.85, 0.65, 1.0}, value[] = {0.95, 1.0, 0.85};
    double hue = fmod(FIRST_HUE + id * GOLDEN_ANGLE, 360);
    // Eight hues are easily told apart; after them the band changes.
    uint32_t band = id / 8 % 3;
    return (fm_rgb){hsv_channel(5, hue, saturation[band], value[band]),
        hsv_channel(3, hue, saturation[band], value[band]),
        hsv_channel(1, hue, saturation[band], value[band])};
}

fm_rgb fm__class_color(int32_t class_id)
{
    return spread_color((uint32_t)class_id);
}

fm_rgb fm__track_color(int64_t track_id)
{
    return spread_color((uint32_t)track_id);
}

fm_rgb fm__text_color(fm_rgb plate)
{
    int luma = (299 * plate.r + 587 * plate.g + 114 * plate.b) / 1000;
    return luma > 120 ? (fm_rgb){12, 12, 12} : (fm_rgb){255, 255, 255};
}

static fm_rect clip(const fm_canvas *canvas, fm_rect r)
{
    return (fm_rect){
        max_int(r.x0, 0), max_int(r.y0, 0), min_int(r.x1, canvas->width), min_int(r.y1, canvas->height)};
}

static bool empty(fm_rect r)
{
    return r.x1 <= r.x0 || r.y1 <= r.y0;
}

static void fill_luma(const fm_canvas *canvas, fm_rect r, uint8_t c, uint8_t alpha)
{
    for (int y = r.y0; y < r.y1; y++) {
        uint8_t *row = canvas->plane[0] + (ptrdiff_t)y * canvas->stride[0];
        if (alpha == 255) {
            memset(row + r.x0, c, (size_t)(r.x1 - r.x0));
            continue;
        }
        for (int x = r.x0; x < r.x1; x++)
            row[x] = blend(row[x], c, alpha);
    }
}

/** Pixels 2i and 2i + 1 that lie in [from, to), and how many of the two exist below `size`. */
static int pair_covered(int i, int from, int to)
{
    return min_int(2 * i + 2, to) - max_int(2 * i, from);
}

static int pair_size(int i, int size)
{
    return min_int(2, size - 2 * i);
}

static void fill_chroma(const fm_canvas *canvas, fm_rect r, fm_yuv c, uint8_t alpha)
{
    for (int cy = r.y0 / 2; cy <= (r.y1 - 1) / 2; cy++) {
        uint8_t *u = canvas->plane[1] + (ptrdiff_t)cy * canvas->stride[1];
        uint8_t *v = canvas->plane[2] + (ptrdiff_t)cy * canvas->stride[2];
        unsigned row_alpha = (unsigned)(alpha * pair_covered(cy, r.y0, r.y1) / pair_size(cy, canvas->height));
        for (int cx = r.x0 / 2; cx <= (r.x1 - 1) / 2; cx++) {
            unsigned a =
                row_alpha * (unsigned)pair_covered(cx, r.x0, r.x1) / (unsigned)pair_size(cx, canvas->width);
            u[cx] = blend(u[cx], c.u, a);
            v[cx] = blend(v[cx], c.v, a);
        }
    }
}

void fm__draw_fill(const fm_canvas *canvas, fm_rect r, fm_yuv c, uint8_t alpha)
{
    r = clip(canvas, r);
    if (empty(r))
        return;
    fill_luma(canvas, r, c.y, alpha);
    fill_chroma(canvas, r, c, alpha);
}

void fm__draw_outline(const fm_canvas *canvas, fm_rect r, int thickness, fm_yuv c, uint8_t alpha)
{
    if (empty(r) || thickness <= 0)
        return;
    if (2 * thickness >= r.x1 - r.x0 || 2 * thickness >= r.y1 - r.y0) {
        fm__draw_fill(canvas, r, c, alpha);
        return;
    }
    int top = r.y0 + thickness, bottom = r.y1 - thickness;
    fm__draw_fill(canvas, (fm_rect){r.x0, r.y0, r.x1, top}, c, alpha);
    fm__draw_fill(canvas, (fm_rect){r.x0, bottom, r.x1, r.y1}, c, alpha);
    fm__draw_fill(canvas, (fm_rect){r.x0, top, r.x0 + thickness, bottom}, c, alpha);
    fm__draw_fill(canvas, (fm_rect){r.x1 - thickness, top, r.x1, bottom}, c, alpha);
}

/** A mask placed on the canvas, and the part of it that lies inside. */
typedef struct placed_mask {
    const uint8_t *cover;
    int x, y, stride;
    fm_rect inside; // canvas pixels
} placed_mask;

static unsigned cover_at(const placed_mask *m, int x, int y)
{
    if (x < m->inside.x0 || x >= m->inside.x1 || y < m->inside.y0 || y >= m->inside.y1)
        return 0;
    return m->cover[(ptrdiff_t)(y - m->y) * m->stride + (x - m->x)];
}

static void mask_luma(const fm_canvas *canvas, const placed_mask *m, uint8_t c)
{
    for (int y = m->inside.y0; y < m->inside.y1; y++) {
        uint8_t *row = canvas->plane[0] + (ptrdiff_t)y * canvas->stride[0];
        const uint8_t *cover = m->cover + (ptrdiff_t)(y - m->y) * m->stride - m->x;
        for (int x = m->inside.x0; x < m->inside.x1; x++)
            row[x] = blend(row[x], c, cover[x]);
    }
}

static void mask_chroma(const fm_canvas *canvas, const placed_mask *m, fm_yuv c)
{
    for (int cy = m->inside.y0 / 2; cy <= (m->inside.y1 - 1) / 2; cy++) {
        uint8_t *u = canvas->plane[1] + (ptrdiff_t)cy * canvas->stride[1];
        uint8_t *v = canvas->plane[2] + (ptrdiff_t)cy * canvas->stride[2];
        for (int cx = m->inside.x0 / 2; cx <= (m->inside.x1 - 1) / 2; cx++) {
            unsigned sum = cover_at(m, 2 * cx, 2 * cy) + cover_at(m, 2 * cx + 1, 2 * cy) +
                           cover_at(m, 2 * cx, 2 * cy + 1) + cover_at(m, 2 * cx + 1, 2 * cy + 1);
            unsigned a = sum / (unsigned)(pair_size(cx, canvas->width) * pair_size(cy, canvas->height));
            u[cx] = blend(u[cx], c.u, a);
            v[cx] = blend(v[cx], c.v, a);
        }
    }
}

void fm__draw_mask(
    const fm_canvas *canvas, int x, int y, const uint8_t *cover, int w, int h, int stride, fm_yuv c)
{
    placed_mask m = {cover, x, y, stride, clip(canvas, (fm_rect){x, y, x + w, y + h})};
    if (empty(m.inside))
        return;
    mask_luma(canvas, &m, c.y);
    mask_chroma(canvas, &m, c);
}

/** Nearest even whole number of a coordinate, held where an int and the arithmetic on it are safe. */
static int to_even(double v, int size)
{
    double limit = 64; // beyond every line width: what is cut off is never seen
    v = fmax(-limit, fmin(v, size + limit));
    return 2 * (int)lrint(v / 2);
}

bool fm__outline_of_box(fm_box box, int thickness, int width, int height, fm_rect *out)
{
    // Written so that a NaN fails.
    if (!(box.x0 <= box.x1 && box.y0 <= box.y1 && box.x0 < width && box.y0 < height && box.x1 > 0 &&
            box.y1 > 0))
        return false;
    double half = thickness / 2.0;
    *out = (fm_rect){to_even(box.x0 - half, width), to_even(box.y0 - half, height),
        to_even(box.x1 + half, width), to_even(box.y1 + half, height)};
    return true;
}
