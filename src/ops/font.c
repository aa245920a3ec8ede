// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A sans-serif stroke font of our own, after the manner of road-sign lettering: every glyph is a few lines
// and quarter ellipses on a grid, drawn with a round pen. Coverage of a pixel is its distance to the nearest
// stroke, less half the pen, over one pixel: sharp at any size without an outline rasteriser. Hinting is
// geometry: the pen's outer edges at cap height, x-height, baseline and at a glyph's left and right end are
// put on pixel borders, which is what keeps 9-pixel letters crisp.
//
// Grid: y grows downwards, 0 capitals' top, 6 small letters' top, 20 baseline, 26 descenders. Paths: M x y
// moves the pen, L x y draws a line, R x y a quarter ellipse that sets out horizontally, D x y one that sets
// out vertically.

#include "ops/font.h"

#include <math.h>
#include <stdbool.h>

#define GRID_CAP 20.0f
#define GRID_X_TOP 6.0f
#define GRID_BOTTOM 26.0f
#define GRID_PEN 2.9f // weight: a little more than a book face, since letters stand on coloured plates
#define ARC_STEPS 8   // chords of a quarter ellipse; off by 0.5 % of its radius at most
#define MAX_SEGMENTS 128
#define MIN_CAP 6
#define MAX_CAP 256

typedef struct glyph {
    int width; // grid units, between the centres of the outer strokes
    const char *path;
} glyph;

static const glyph glyphs[FM_FONT_GLYPHS] = {
    {3, ""},                                                                         // space
    {0, "M0 0 L0 13 M0 20 L0 20"},                                                   // !
    {5, "M0 0 L0 5 M5 0 L5 5"},                                                      // "
    {13, "M5 1 L3 19 M10 1 L8 19 M1 7 L13 7 M0 13 L12 13"},                          // #
    {11, "M11 6 D7 3 L4 3 R0 7 D4 10 L7 10 R11 13 D7 17 L4 17 R0 14 M5 0 L5 20"},    // $
    {18, "M4 0 R0 4 D4 8 R8 4 D4 0 M15 0 L3 20 M14 12 R10 16 D14 20 R18 16 D14 12"}, // %
    {13, "M13 20 L3 8 L2 4 D6 0 R10 4 L9 7 L3 11 L0 15 D5 20 L6 20 R12 12"},         // &
    {0, "M0 0 L0 5"},                                                                // '
    {4, "M4 0 L1 4 L0 8 L0 14 L1 18 L4 22"},                                         // (
    {4, "M0 0 L3 4 L4 8 L4 14 L3 18 L0 22"},                                         // )
    {8, "M4 0 L4 8 M0 2 L8 6 M8 2 L0 6"},                                            // *
    {10, "M5 6 L5 16 M0 11 L10 11"},                                                 // +
    {2, "M2 20 L0 24"},                                                              // ,
    {6, "M0 12 L6 12"},                                                              // -
    {0, "M0 20 L0 20"},                                                              // .
    {8, "M8 0 L0 20"},                                                               // /
    {10, "M5 0 R0 6 L0 14 D5 20 R10 14 L10 6 D5 0"},                                 // 0
    {10, "M2 4 L6 0 L6 20"},                                                         // 1
    {10, "M0 5 D5 0 R10 5 L9 9 L0 20 L10 20"},                                       // 2
    {10, "M0 4 D5 0 R10 5 D5 10 L4 10 M5 10 R10 15 D5 20 R0 16"},                    // 3
    {10, "M8 20 L8 0 L0 14 L10 14"},                                                 // 4
    {10, "M9 0 L1 0 L1 9 L5 8 R10 14 D5 20 R0 16"},                                  // 5
    {10, "M8 0 R0 12 L0 14 D5 20 R10 14 D5 9 R0 14"},                                // 6
    {10, "M0 0 L10 0 L4 20"},                                                        // 7
    {10, "M5 0 R1 5 D5 9 R9 5 D5 0 M5 9 R0 14 D5 20 R10 14 D5 9"},                   // 8
    {10, "M2 20 R10 8 L10 6 D5 0 R0 6 D5 11 R10 6"},                                 // 9
    {0, "M0 9 L0 9 M0 20 L0 20"},                                                    // :
    {2, "M2 9 L2 9 M2 20 L0 24"},                                                    // ;
    {10, "M10 5 L0 11 L10 17"},                                                      // <
    {10, "M0 8 L10 8 M0 14 L10 14"},                                                 // =
    {10, "M0 5 L10 11 L0 17"},                                                       // >
    {10, "M0 5 D5 0 R10 5 L9 8 L5 11 L5 14 M5 20 L5 20"},                            // ?
    {16, "M13 20 L7 20 R0 13 L0 7 D7 0 L9 0 R16 7 L16 11 D13 14 R11 12 L11 6 M11 9 D8 6 R5 9 L5 11 D8 14 R11 "
         "11"},                                                              // @
    {14, "M0 20 L7 0 L14 20 M2 14 L12 14"},                                  // A
    {12, "M0 10 L6 10 M0 0 L6 0 R11 5 D6 10 L7 10 R12 15 D7 20 L0 20 L0 0"}, // B
    {12, "M12 5 D7 0 L6 0 R0 6 L0 14 D6 20 L7 20 R12 15"},                   // C
    {12, "M0 0 L5 0 R12 7 L12 13 D5 20 L0 20 L0 0"},                         // D
    {10, "M10 0 L0 0 L0 20 L10 20 M0 10 L9 10"},                             // E
    {10, "M10 0 L0 0 L0 20 M0 10 L9 10"},                                    // F
    {13, "M13 5 D7 0 L6 0 R0 6 L0 14 D6 20 L7 20 R13 14 L13 11 L7 11"},      // G
    {12, "M0 0 L0 20 M12 0 L12 20 M0 10 L12 10"},                            // H
    {0, "M0 0 L0 20"},                                                       // I
    {9, "M9 0 L9 15 D4 20 R0 16"},                                           // J
    {12, "M0 0 L0 20 M12 0 L0 13 M4 9 L12 20"},                              // K
    {9, "M0 0 L0 20 L9 20"},                                                 // L
    {14, "M0 20 L0 0 L7 13 L14 0 L14 20"},                                   // M
    {12, "M0 20 L0 0 L12 20 L12 0"},                                         // N
    {14, "M7 0 R0 7 L0 13 D7 20 R14 13 L14 7 D7 0"},                         // O
    {12, "M0 20 L0 0 L6 0 R12 6 D6 12 L0 12"},                               // P
    {14, "M7 0 R0 7 L0 13 D7 20 R14 13 L14 7 D7 0 M9 15 L14 21"},            // Q
    {12, "M0 20 L0 0 L6 0 R12 6 D6 12 L0 12 M7 12 L12 20"},                  // R
    {12, "M12 5 D7 0 L5 0 R0 5 D5 10 L7 10 R12 15 D7 20 L5 20 R0 15"},       // S
    {12, "M0 0 L12 0 M6 0 L6 20"},                                           // T
    {12, "M0 0 L0 14 D6 20 R12 14 L12 0"},                                   // U
    {14, "M0 0 L7 20 L14 0"},                                                // V
    {18, "M0 0 L4 20 L9 4 L14 20 L18 0"},                                    // W
    {12, "M0 0 L12 20 M12 0 L0 20"},                                         // X
    {12, "M0 0 L6 10 L12 0 M6 10 L6 20"},                                    // Y
    {12, "M0 0 L12 0 L0 20 L12 20"},                                         // Z
    {4, "M4 0 L0 0 L0 22 L4 22"},                                            // [
    {8, "M0 0 L8 20"},                                                       // backslash
    {4, "M0 0 L4 0 L4 22 L0 22"},                                            // ]
    {8, "M0 6 L4 0 L8 6"},                                                   // ^
    {10, "M0 23 L10 23"},                                                    // _
    {3, "M0 0 L3 4"},                                                        // `
    {10, "M0 9 D4 6 L6 6 R10 10 L10 20 M10 12 L4 12 R0 16 D4 20 R10 16"},    // a
    {10, "M0 0 L0 20 M0 11 D5 6 R10 11 L10 15 D5 20 R0 15"},                 // b
    {9, "M9 10 D5 6 R0 11 L0 15 D5 20 R9 16"},                               // c
    {10, "M10 0 L10 20 M10 11 D5 6 R0 11 L0 15 D5 20 R10 15"},               // d
    {10, "M0 13 L10 13 L10 11 D5 6 R0 11 L0 15 D5 20 R9 17"},                // e
    {7, "M7 0 L6 0 R2 4 L2 20 M0 6 L7 6"},                                   // f
    {10, "M10 6 L10 21 D5 26 R1 24 M10 11 D5 6 R0 11 L0 15 D5 20 R10 15"},   // g
    {10, "M0 0 L0 20 M0 11 D5 6 R10 11 L10 20"},                             // h
    {0, "M0 6 L0 20 M0 0 L0 0"},                                             // i
    {4, "M4 6 L4 22 D0 26 M4 0 L4 0"},                                       // j
    {9, "M0 0 L0 20 M9 6 L0 15 M3 12 L9 20"},                                // k
    {3, "M0 0 L0 17 D3 20"},                                                 // l
    {16, "M0 6 L0 20 M0 10 D4 6 R8 10 L8 20 M8 10 D12 6 R16 10 L16 20"},     // m
    {10, "M0 6 L0 20 M0 11 D5 6 R10 11 L10 20"},                             // n
    {10, "M5 6 R0 11 L0 15 D5 20 R10 15 L10 11 D5 6"},                       // o
    {10, "M0 6 L0 26 M0 11 D5 6 R10 11 L10 15 D5 20 R0 15"},                 // p
    {10, "M10 6 L10 26 M10 11 D5 6 R0 11 L0 15 D5 20 R10 15"},               // q
    {6, "M0 6 L0 20 M0 11 D5 6 L6 6"},                                       // r
    {9, "M9 9 D5 6 L4 6 R0 10 D4 13 L5 13 R9 16 D5 20 L4 20 R0 17"},         // s
    {7, "M3 1 L3 16 D7 20 M0 6 L7 6"},                                       // t
    {10, "M0 6 L0 15 D5 20 R10 15 M10 6 L10 20"},                            // u
    {10, "M0 6 L5 20 L10 6"},                                                // v
    {14, "M0 6 L3 20 L7 9 L11 20 L14 6"},                                    // w
    {10, "M0 6 L10 20 M10 6 L0 20"},                                         // x
    {10, "M0 6 L5 20 M10 6 L3 26"},                                          // y
    {9, "M0 6 L9 6 L0 20 L9 20"},                                            // z
    {5, "M5 0 R2 3 L2 8 L0 11 L2 14 L2 19 D5 22"},                           // {
    {0, "M0 0 L0 24"},                                                       // |
    {5, "M0 0 R3 3 L3 8 L5 11 L3 14 L3 19 D0 22"},                           // }
    {10, "M0 13 L2 11 L4 11 L6 13 L8 13 L10 11"},                            // ~
};

typedef struct point {
    float x, y;
} point;

typedef struct segment {
    point a, b;
} segment;

/** A glyph's strokes in the pixels of its cell. */
typedef struct outline {
    segment seg[MAX_SEGMENTS];
    size_t count;
} outline;

fm_font fm__font_at(int cap_height)
{
    int cap = cap_height < MIN_CAP ? MIN_CAP : cap_height > MAX_CAP ? MAX_CAP : cap_height;
    // visible height = 20 units of centre line + one pen
    float stroke = fmaxf(1.15f, (float)cap * GRID_PEN / (GRID_CAP + GRID_PEN));
    if (stroke >= 1.75f)
        stroke = rintf(stroke); // whole pixels: both edges of a stem are sharp
    float unit = ((float)cap - stroke) / GRID_CAP;
    int below = (int)ceilf((GRID_BOTTOM - GRID_CAP) * unit) + 1;
    int gap = (int)rintf(3.4f * unit + 0.3f);
    return (fm_font){.cap_height = cap,
        .cell_height = 1 + cap + below,
        .cap_top = 1,
        .baseline = 1 + cap,
        .gap = gap < 1 ? 1 : gap,
        .stroke = stroke};
}

int fm__font_index(unsigned char c)
{
    return c >= FM_FONT_FIRST && c <= FM_FONT_LAST ? c - FM_FONT_FIRST : '?' - FM_FONT_FIRST;
}

static float unit_of(const fm_font *font)
{
    return ((float)font->cap_height - font->stroke) / GRID_CAP;
}

/** Whole pixels from the outer edge of the leftmost stroke to that of the rightmost one. */
static int visible_width(const fm_font *font, const glyph *g)
{
    int w = (int)rintf((float)g->width * unit_of(font) + font->stroke);
    return w < 1 ? 1 : w;
}

int fm__font_advance(const fm_font *font, int index)
{
    return visible_width(font, &glyphs[index]) + font->gap;
}

/** Grid to cell rows: linear between the hinted lines. */
static float map_y(const fm_font *font, float y)
{
    float unit = unit_of(font), half = font->stroke / 2;
    float cap = (float)font->cap_top + half, base = (float)font->baseline - half;
    float x_top = rintf(cap + GRID_X_TOP * unit - half) + half;
    if (y <= GRID_X_TOP)
        return cap + (x_top - cap) * y / GRID_X_TOP;
    if (y <= GRID_CAP)
        return x_top + (base - x_top) * (y - GRID_X_TOP) / (GRID_CAP - GRID_X_TOP);
    return base + (y - GRID_CAP) * unit;
}

static point map(const fm_font *font, const glyph *g, point p)
{
    float span = (float)visible_width(font, g) - font->stroke;
    float left = (float)(font->gap / 2) + font->stroke / 2;
    float x = g->width > 0 ? left + span * p.x / (float)g->width : left + span / 2;
    return (point){x, map_y(font, p.y)};
}

/** Point of the quarter ellipse from a to b at t in 0..1. */
static point quarter(point a, point b, bool horizontal_first, float t)
{
    float s = sinf(t * 1.5707963f), c = cosf(t * 1.5707963f);
    if (horizontal_first)
        return (point){a.x + (b.x - a.x) * s, b.y + (a.y - b.y) * c};
    return (point){b.x + (a.x - b.x) * c, a.y + (b.y - a.y) * s};
}

static void add_segment(outline *o, point a, point b)
{
    if (o->count < MAX_SEGMENTS)
        o->seg[o->count++] = (segment){a, b};
}

static void add_arc(outline *o, const fm_font *font, const glyph *g, point a, point b, bool horizontal_first)
{
    point last = map(font, g, a);
    for (int i = 1; i <= ARC_STEPS; i++) {
        point p = map(font, g, quarter(a, b, horizontal_first, (float)i / ARC_STEPS));
        add_segment(o, last, p);
        last = p;
    }
}

static const char *read_number(const char *text, float *out)
{
    int v = 0;
    while (*text == ' ')
        text++;
    for (; *text >= '0' && *text <= '9'; text++)
        v = v * 10 + (*text - '0');
    *out = (float)v;
    return text;
}

static void trace(const fm_font *font, const glyph *g, outline *o)
{
    point pen = {0, 0};
    o->count = 0;
    for (const char *p = g->path; *p;) {
        char command = *p++;
        if (command == ' ')
            continue;
        point to;
        p = read_number(p, &to.x);
        p = read_number(p, &to.y);
        if (command == 'L')
            add_segment(o, map(font, g, pen), map(font, g, to));
        else if (command != 'M')
            add_arc(o, font, g, pen, to, command == 'R');
        pen = to;
    }
}

static float distance_sq(segment s, point p)
{
    float dx = s.b.x - s.a.x, dy = s.b.y - s.a.y;
    float px = p.x - s.a.x, py = p.y - s.a.y;
    float len_sq = dx * dx + dy * dy;
    float t = len_sq > 0 ? (px * dx + py * dy) / len_sq : 0;
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    float ex = px - t * dx, ey = py - t * dy;
    return ex * ex + ey * ey;
}

static uint8_t coverage(const outline *o, float pen, point p)
{
    float best = 1e9f;
    for (size_t i = 0; i < o->count; i++)
        best = fminf(best, distance_sq(o->seg[i], p));
    float cover = pen / 2 + 0.5f - sqrtf(best);
    return (uint8_t)(cover <= 0 ? 0 : cover >= 1 ? 255 : cover * 255 + 0.5f);
}

void fm__font_render(const fm_font *font, int index, uint8_t *cover, int stride)
{
    outline o;
    trace(font, &glyphs[index], &o);
    int width = fm__font_advance(font, index);
    for (int y = 0; y < font->cell_height; y++)
        for (int x = 0; x < width; x++)
            cover[(ptrdiff_t)y * stride + x] =
                coverage(&o, font->stroke, (point){(float)x + 0.5f, (float)y + 0.5f});
}
