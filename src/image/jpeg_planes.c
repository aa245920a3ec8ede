// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Planes for a JPEG. Between BT.709 and BT.601 grey stays grey, so chroma becomes a mix of chroma alone, and
// luma gains a share of its (nearest) chroma; all of it in the range that the frame has. RGB's chroma is the
// mean of four pixels, as libjpeg's.

#include "image/jpeg_planes.h"

#include "frame/frame.h"
#include "ops/color_rgb.h"
#include "ops/jpeg.h"

#include <string.h>

enum { ALIGN = 64, UNIT = 1 << 15 };

// BT.709 to BT.601, times UNIT: from R'G'B' by one matrix into Y'CbCr by the other. A step of luma is 255 /
// 219, one of chroma 255 / 224 in limited range, hence luma's other pair.
typedef struct turn {
    int y_cb, y_cr, cb_cb, cb_cr, cr_cb, cr_cr;
} turn;

static const turn turns[2] = {
    [FM_RANGE_LIMITED] = {3254, 6282, 32435, -3626, -2374, 32224},
    [FM_RANGE_FULL] = {3329, 6425, 32435, -3626, -2374, 32224},
};

typedef struct layout {
    int w[3], h[3];
    size_t stride[3], at[3];
    size_t rows; // what the making needs: some rows of bytes or 16-bit numbers
    size_t size;
} layout;

bool fm__jpeg_planes_needed(const fm_frame_view *v)
{
    return fm__pixfmt_is_rgb(v->format) || (v->format != FM_PIXFMT_GRAY8 && v->matrix == FM_MATRIX_BT709);
}

fm_pixfmt fm__jpeg_planes_format(fm_pixfmt format)
{
    return fm__pixfmt_is_rgb(format) || format == FM_PIXFMT_NV12 ? FM_PIXFMT_YUV420P : format;
}

static layout lay_out(const fm_frame_view *v)
{
    layout l = {.size = 0};
    for (int p = 0; p < 3; p++) {
        fm__pixfmt_plane_size(fm__jpeg_planes_format(v->format), v->width, v->height, p, &l.w[p], &l.h[p]);
        l.stride[p] = ((size_t)l.w[p] + ALIGN - 1) / ALIGN * ALIGN;
        l.at[p] = l.size;
        l.size += l.stride[p] * (size_t)l.h[p];
    }
    l.rows = l.size;
    l.size += 4 * (l.stride[0] + ALIGN) + (v->format == FM_PIXFMT_BGR24 ? 3 * l.stride[0] : 0);
    return l;
}

size_t fm__jpeg_planes_size(const fm_frame_view *v)
{
    return lay_out(v).size;
}

static inline uint8_t clip(int v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* ---- rows; compiled twice, for baseline x86-64 has little of what they need ---- */

#define ALWAYS static inline __attribute__((always_inline))

// u and v in place; in `luma` what is to be added to the luma of each.
ALWAYS void turn_chroma_body(
    uint8_t *restrict u, uint8_t *restrict v, int16_t *restrict luma, int n, const turn *t)
{
    const turn k = *t;
    for (int i = 0; i < n; i++) {
        int cb = u[i] - 128, cr = v[i] - 128;
        luma[i] = (int16_t)((k.y_cb * cb + k.y_cr * cr + UNIT / 2) >> 15);
        u[i] = clip(128 + ((k.cb_cb * cb + k.cb_cr * cr + UNIT / 2) >> 15));
        v[i] = clip(128 + ((k.cr_cb * cb + k.cr_cr * cr + UNIT / 2) >> 15));
    }
}

ALWAYS void double_body(int16_t *restrict to, const int16_t *restrict from, int n)
{
    for (int i = 0; i < n; i++) {
        to[2 * i] = from[i];
        to[2 * i + 1] = from[i];
    }
}

ALWAYS void add_luma_body(
    uint8_t *restrict to, const uint8_t *restrict from, const int16_t *restrict more, int n)
{
    for (int i = 0; i < n; i++) {
        int16_t sum = (int16_t)(from[i] + more[i]);
        sum = sum < 0 ? 0 : sum;
        to[i] = (uint8_t)(sum > 255 ? 255 : sum);
    }
}

// The mean of four; of an odd last column and row, of what is there.
ALWAYS void shrink_body(uint8_t *restrict to, const uint8_t *restrict a, const uint8_t *restrict b, int n)
{
    for (int i = 0; i < n; i++) {
        to[i] = (uint8_t)((a[2 * i] + a[2 * i + 1] + b[2 * i] + b[2 * i + 1] + 2) >> 2);
    }
}

typedef struct row_functions {
    void (*turn_chroma)(uint8_t *u, uint8_t *v, int16_t *luma, int n, const turn *t);
    void (*twice)(int16_t *to, const int16_t *from, int n);
    void (*add_luma)(uint8_t *to, const uint8_t *from, const int16_t *more, int n);
    void (*shrink)(uint8_t *to, const uint8_t *a, const uint8_t *b, int n);
} row_functions;

#define ROW_FUNCTIONS(level, attribute)                                                                      \
    attribute static void turn_chroma_##level(uint8_t *u, uint8_t *v, int16_t *luma, int n, const turn *t)   \
    {                                                                                                        \
        turn_chroma_body(u, v, luma, n, t);                                                                  \
    }                                                                                                        \
    attribute static void twice_##level(int16_t *to, const int16_t *from, int n)                             \
    {                                                                                                        \
        double_body(to, from, n);                                                                            \
    }                                                                                                        \
    attribute static void add_luma_##level(uint8_t *to, const uint8_t *from, const int16_t *more, int n)     \
    {                                                                                                        \
        add_luma_body(to, from, more, n);                                                                    \
    }                                                                                                        \
    attribute static void shrink_##level(uint8_t *to, const uint8_t *a, const uint8_t *b, int n)             \
    {                                                                                                        \
        shrink_body(to, a, b, n);                                                                            \
    }                                                                                                        \
    static const row_functions rows_##level = {                                                              \
        turn_chroma_##level, twice_##level, add_luma_##level, shrink_##level};

ROW_FUNCTIONS(plain, )
#if defined(__x86_64__)
ROW_FUNCTIONS(avx2, __attribute__((target("avx2"))))
#endif

static const row_functions *rows_of(fm_cpu_level level)
{
#if defined(__x86_64__)
    if (level >= FM_CPU_AVX2) {
        return &rows_avx2;
    }
#endif
    (void)level;
    return &rows_plain;
}

/* ---- pictures ---- */

static void fill_turned(const fm_frame_view *v, const layout *l, uint8_t *const p[3], int16_t *luma,
    const row_functions *f, fm_cpu_level level)
{
    bool paired = v->format == FM_PIXFMT_NV12;
    int sx = l->w[1] < l->w[0], lines = l->h[1] < l->h[0] ? 2 : 1, w = l->w[1];
    int16_t *wide = sx ? luma + l->stride[1] : luma;
    for (int y = 0; y < l->h[1]; y++) {
        uint8_t *cb = p[1] + (size_t)y * l->stride[1], *cr = p[2] + (size_t)y * l->stride[2];
        const uint8_t *from = v->plane[1] + (ptrdiff_t)y * v->stride[1];
        if (paired) {
            fm__jpeg_kernels_of(level)->split(cb, cr, from, w);
        } else {
            memcpy(cb, from, (size_t)w);
            memcpy(cr, v->plane[2] + (ptrdiff_t)y * v->stride[2], (size_t)w);
        }
        f->turn_chroma(cb, cr, luma, w, &turns[v->range]);
        if (sx) {
            f->twice(wide, luma, w);
        }
        for (int k = y * lines; k < (y + 1) * lines && k < l->h[0]; k++) {
            f->add_luma(
                p[0] + (size_t)k * l->stride[0], v->plane[0] + (ptrdiff_t)k * v->stride[0], wide, l->w[0]);
        }
    }
}

// A row as R, G, B: itself, or turned into `room`.
static const uint8_t *rgb_row(const fm_frame_view *v, int y, uint8_t *room)
{
    const uint8_t *from = v->plane[0] + (ptrdiff_t)y * v->stride[0];
    if (v->format == FM_PIXFMT_RGB24) {
        return from;
    }
    fm__rgb_row_turn(room, from, (size_t)v->width);
    return room;
}

static void fill_from_rgb(const fm_frame_view *v, const layout *l, uint8_t *const p[3], uint8_t *chroma,
    const row_functions *f, fm_cpu_level level)
{
    size_t w = (size_t)l->w[0], line = l->stride[0] + ALIGN;
    uint8_t *rows[2][2] = {{chroma, chroma + line}, {chroma + 2 * line, chroma + 3 * line}}; // [plane][row]
    for (int y = 0; y < l->h[1]; y++) {
        for (int k = 0; k < 2; k++) {
            int at = 2 * y + k < l->h[0] ? 2 * y + k : l->h[0] - 1;
            fm__rgb_to_ycc(p[0] + (size_t)at * l->stride[0], rows[0][k], rows[1][k],
                rgb_row(v, at, chroma + 4 * line), w, level);
            for (int c = 0; c < 2; c++) {
                rows[c][k][w] = rows[c][k][w - 1];
            }
        }
        for (int c = 0; c < 2; c++) {
            f->shrink(p[c + 1] + (size_t)y * l->stride[c + 1], rows[c][0], rows[c][1], l->w[1]);
        }
    }
}

void fm__jpeg_planes_fill(const fm_frame_view *v, uint8_t *memory, fm_cpu_level level, fm_frame_view *out)
{
    layout l = lay_out(v);
    uint8_t *const p[3] = {memory + l.at[0], memory + l.at[1], memory + l.at[2]};
    *out = *v;
    out->format = fm__jpeg_planes_format(v->format);
    out->matrix = FM_MATRIX_BT601;
    for (int i = 0; i < 3; i++) {
        out->plane[i] = p[i];
        out->stride[i] = (int)l.stride[i];
    }
    if (fm__pixfmt_is_rgb(v->format)) {
        out->range = FM_RANGE_FULL;
        fill_from_rgb(v, &l, p, memory + l.rows, rows_of(level), level);
    } else {
        fill_turned(v, &l, p, (int16_t *)(void *)(memory + l.rows), rows_of(level), level);
    }
}
