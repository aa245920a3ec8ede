// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Colour correction of a frame, in planes of YUV. RGB gains G are linear, so are conversions, and so YUV' = C
// G C^-1 YUV: white balance, levels and saturation become one affine map, three coefficients a component.
// Luma takes the chroma of its block, chroma the mean luma of it. What is not affine, gamma and CLAHE, is a
// table of luma: CLAHE counts values before gamma and adds bins up as gamma would have, which gives the same
// tables without a pass over the pixels.

#include "ops/color.h"

#include "base/alloc.h"
#include "base/error.h"
#include "frame/frame.h"
#include "ops/color_kernels.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { TILE_BINS = FM__CLAHE_TILES * FM__CLAHE_TILES * 256, MAX_SIDE = 1 << 16 };

// Byte offsets: into what a frame has once, and what each thread has.
typedef struct layout {
    size_t counts, tables, weights, rgb[3], shared;
    size_t pairs, chroma[2], band;
} layout;

struct fm__color_plan {
    fm__color_desc desc;
    const fm__color_kernels *kernels;
    fm_cpu_level level;
    fm__clahe clahe;
    int shift_x, shift_y; // of chroma
    layout at;
};

// Code values: black, how many black to white, how many chroma -0.5 to 0.5.
typedef struct scale {
    double black, luma, chroma;
} scale;

typedef fm__color_pass pass;

/* ---- plan ---- */

static size_t reserve(size_t *at, size_t bytes)
{
    size_t place = *at;
    *at += (bytes + 127) / 64 * 64;
    return place;
}

static void init_layout(fm__color_plan *plan)
{
    size_t shared = 0, band = 0, w = (size_t)plan->desc.width, pixels = w * (size_t)plan->desc.height;
    plan->at.counts = reserve(&shared, TILE_BINS * sizeof(uint32_t));
    plan->at.tables = reserve(&shared, TILE_BINS);
    plan->at.weights = reserve(&shared, w * sizeof(int16_t));
    for (int i = 0; i < 3 && plan->desc.format == FM_PIXFMT_RGB24; i++) {
        plan->at.rgb[i] = reserve(&shared, pixels);
    }
    plan->at.shared = shared;
    plan->at.pairs = reserve(&band, 256 * sizeof(uint32_t));
    for (int i = 0; i < 2; i++) {
        plan->at.chroma[i] = reserve(&band, w);
    }
    plan->at.band = band;
}

fm_status fm__color_plan_new(
    const fm__color_desc *desc, fm_cpu_level level, fm__color_plan **out, fm_error *err)
{
    if (desc->format <= FM_PIXFMT_NONE || desc->format > FM_PIXFMT_RGB24) {
        return fm__fail(err, FM_UNSUPPORTED, "colour: pixel format %d is not known", (int)desc->format);
    }
    if (desc->width < 1 || desc->height < 1 || desc->width > MAX_SIDE || desc->height > MAX_SIDE) {
        return fm__fail(err, FM_INVAL, "colour: a picture of %dx%d; sides must be 1..%d", desc->width,
            desc->height, MAX_SIDE);
    }
    fm__color_plan *plan = fm__calloc(FM_TAG_OPS, sizeof(*plan));
    if (!plan) {
        return fm__fail_nomem(err, "a plan of colour correction");
    }
    plan->desc = *desc;
    if (desc->format == FM_PIXFMT_RGB24 || desc->format == FM_PIXFMT_GRAY8) {
        plan->desc.matrix = FM_MATRIX_BT601;
        plan->desc.range = FM_RANGE_FULL;
    }
    plan->level = level;
    plan->kernels = fm__color_kernels_of((int)level);
    fm__pixfmt_shift(desc->format, &plan->shift_x, &plan->shift_y);
    fm__clahe_init(&plan->clahe, desc->width, desc->height, FM__CLAHE_TILES);
    init_layout(plan);
    *out = plan;
    return FM_OK;
}

void fm__color_plan_free(fm__color_plan **plan)
{
    if (plan && *plan) {
        fm__free(*plan);
        *plan = NULL;
    }
}

fm_pixfmt fm__color_out_format(fm_pixfmt in)
{
    return in == FM_PIXFMT_NV12 ? FM_PIXFMT_YUV420P : in;
}

size_t fm__color_shared_size(const fm__color_plan *plan)
{
    return plan->at.shared;
}

size_t fm__color_band_size(const fm__color_plan *plan)
{
    return plan->at.band;
}

size_t fm__color_scratch_size(const fm__color_plan *plan)
{
    return plan->at.shared + plan->at.band;
}

/* ---- the affine map ---- */

static scale scale_of(const fm__color_desc *d)
{
    return d->range == FM_RANGE_FULL ? (scale){0, 255, 255} : (scale){16, 219, 224};
}

static void multiply(const double a[3][3], const double b[3][3], double out[3][3])
{
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) {
            out[i][j] = a[i][0] * b[0][j] + a[i][1] * b[1][j] + a[i][2] * b[2][j];
        }
    }
}

// Gains of RGB as a map of Y in 0..1, Cb and Cr in -0.5..0.5.
static void gain_map(fm_matrix matrix, const float gain[3], double out[3][3])
{
    double kr = matrix == FM_MATRIX_BT709 ? 0.2126 : 0.299, kb = matrix == FM_MATRIX_BT709 ? 0.0722 : 0.114;
    double kg = 1 - kr - kb, cb = 2 * (1 - kb), cr = 2 * (1 - kr);
    const double to_rgb[3][3] = {{1, 0, cr}, {1, -cb * kb / kg, -cr * kr / kg}, {1, cb, 0}};
    const double to_yuv[3][3] = {
        {kr, kg, kb}, {-kr / cb, -kg / cb, (1 - kb) / cb}, {(1 - kr) / cr, -kg / cr, -kb / cr}};
    double gained[3][3];
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) {
            gained[i][j] = (double)gain[i] * to_rgb[i][j];
        }
    }
    multiply(to_yuv, gained, out);
}

static int16_t fixed(double v, double unit)
{
    return (int16_t)lrint(fmax(-32768, fmin(32767, v * unit)));
}

static void affine(pass *run)
{
    const fm__color_params *p = run->params;
    const scale s = scale_of(&run->plan->desc);
    double m[3][3], stretch = 1 / (double)(p->white - p->black);
    gain_map(run->plan->desc.matrix, p->gain, m);
    for (int i = 0; i < 3; i++) {
        double size = i == 0 ? s.luma : s.chroma, centre = i == 0 ? s.black : 128;
        double factor = i == 0 ? stretch : stretch * (double)p->saturation;
        double y = factor * m[i][0] * size / s.luma, chroma = factor * size / s.chroma;
        double black = i == 0 ? (double)p->black * stretch * s.luma : 0;
        run->row[i] = (fm__color_row){.y = fixed(y, 8192),
            .u = fixed(chroma * m[i][1], 8192),
            .v = fixed(chroma * m[i][2], 8192),
            .bias = fixed(centre - y * s.black - black + 0.5, 16)};
    }
}

static bool is_identity(const fm__color_row row[3])
{
    return row[0].y == 8192 && row[0].u == 0 && row[0].v == 0 && row[0].bias == 8 && row[1].u == 8192 &&
           row[1].y == 0 && row[1].v == 0 && row[2].v == 8192 && row[2].u == 0 && row[2].y == 0;
}

static void copy_rows(const pass *run, int plane, int width, int y0, int y1)
{
    for (int y = y0; y < y1 && run->dst[plane] != run->src[plane]; y++) {
        memcpy(run->dst[plane] + y * run->dst_stride[plane], run->src[plane] + y * run->src_stride[plane],
            (size_t)width);
    }
}

// One row of chroma and the one or two rows of luma that share it. Chroma is copied aside first: dst may be
// the source.
static void map_block_row(const pass *run, int cy, uint8_t *u, uint8_t *v)
{
    const fm__color_plan *plan = run->plan;
    const fm__color_kernels *k = plan->kernels;
    int w = plan->desc.width, h = plan->desc.height, y0 = cy << plan->shift_y;
    int y1 = plan->shift_y && y0 + 1 < h ? y0 + 1 : y0;
    size_t chroma_w = (size_t)((w + plan->shift_x) >> plan->shift_x);
    const uint8_t *a = run->src[0] + y0 * run->src_stride[0], *b = run->src[0] + y1 * run->src_stride[0];
    if (run->has_chroma) {
        memcpy(u, run->src[1] + cy * run->src_stride[1], chroma_w);
        memcpy(v, run->src[2] + cy * run->src_stride[2], chroma_w);
        k->chroma(run->dst[1] + cy * run->dst_stride[1], run->dst[2] + cy * run->dst_stride[2], a, b, u, v,
            chroma_w, (size_t)w, plan->shift_x, run->row + 1);
    }
    k->luma(run->dst[0] + y0 * run->dst_stride[0], a, u, v, (size_t)w, plan->shift_x, &run->row[0]);
    if (y1 > y0) {
        k->luma(run->dst[0] + y1 * run->dst_stride[0], b, u, v, (size_t)w, plan->shift_x, &run->row[0]);
    }
}

// Luma rows y0 to y1 - 1, and the rows cy0 to cy1 - 1 of chroma that belong to them.
static void map_yuv(const pass *run, int y0, int y1, int cy0, int cy1, uint8_t *scratch)
{
    const fm__color_plan *plan = run->plan;
    int w = plan->desc.width;
    uint8_t *u = scratch + plan->at.chroma[0], *v = scratch + plan->at.chroma[1];
    if (run->is_identity) {
        copy_rows(run, 0, w, y0, y1);
        for (int i = 1; i < 3 && run->has_chroma; i++) {
            copy_rows(run, i, (w + plan->shift_x) >> plan->shift_x, cy0, cy1);
        }
        return;
    }
    if (!run->has_chroma) {
        memset(u, 128, (size_t)w);
        memset(v, 128, (size_t)w);
    }
    for (int cy = cy0; cy < cy1; cy++) {
        map_block_row(run, cy, u, v);
    }
}

/* ---- gamma and local contrast ---- */

static void make_maps(pass *run)
{
    const scale s = scale_of(&run->plan->desc);
    for (int i = 0; i < 256; i++) {
        double v = fmax(0, fmin(1, (i - s.black) / s.luma));
        run->before[i] = (uint8_t)lrint(255 * pow(v, (double)run->params->gamma));
        run->after[i] = (uint8_t)lrint(s.black + s.luma * i / 255);
    }
}

// The histograms become those of the recent past.
static void smooth_tiles(fm__color_state *state, uint32_t *counts, float share)
{
    float *past = state->tiles[0];
    for (int i = 0; i < TILE_BINS; i++) {
        float now = (float)counts[i];
        past[i] = state->has_tiles ? past[i] + share * (now - past[i]) : now;
        counts[i] = (uint32_t)(past[i] + 0.5F);
    }
    state->has_tiles = true;
}

int fm__color_tile_rows(const pass *run)
{
    return run->params->contrast > 0 ? run->plan->clahe.tiles : 0;
}

void fm__color_count_tiles(const pass *run, int ty0, int ty1)
{
    const fm__color_plan *plan = run->plan;
    uint32_t *counts = (uint32_t *)(run->shared + plan->at.counts);
    fm__clahe_count_rows(&plan->clahe, run->dst[0], run->dst_stride[0], ty0, ty1, counts);
}

void fm__color_finish_tables(const pass *run, fm__color_state *state, float share)
{
    const fm__color_plan *plan = run->plan;
    const fm__clahe_maps maps = {run->before, run->after}, none = {NULL, NULL};
    uint32_t *counts = (uint32_t *)(run->shared + plan->at.counts);
    bool is_plain = run->params->gamma == 1 && plan->desc.range == FM_RANGE_FULL;
    if (fm__color_tile_rows(run) == 0) {
        return;
    }
    if (state) {
        smooth_tiles(state, counts, share);
    }
    fm__clahe_tables(&plan->clahe, counts, (double)run->params->contrast, is_plain ? &none : &maps,
        run->shared + plan->at.tables);
    fm__clahe_weights(&plan->clahe, (int16_t *)(run->shared + plan->at.weights));
}

static void look_up(const pass *run, int y0, int y1)
{
    uint8_t table[256];
    for (int i = 0; i < 256; i++) {
        table[i] = run->after[run->before[i]];
    }
    for (int y = y0; y < y1; y++) {
        uint8_t *row = run->dst[0] + y * run->dst_stride[0];
        for (int x = 0; x < run->plan->desc.width; x++) {
            row[x] = table[row[x]];
        }
    }
}

static void equalise(const pass *run, int y0, int y1, uint8_t *scratch)
{
    const fm__color_plan *plan = run->plan;
    fm__clahe_apply_rows(&plan->clahe, run->shared + plan->at.tables,
        (const int16_t *)(run->shared + plan->at.weights), run->dst[0], run->dst_stride[0], run->dst[0],
        run->dst_stride[0], y0, y1, (uint32_t *)(scratch + plan->at.pairs), plan->level);
}

/* ---- formats ---- */

static void split_chroma(const pass *run, int cy0, int cy1)
{
    const fm_frame_view *src = run->view;
    for (int y = cy0; y < cy1; y++) {
        const uint8_t *uv = src->plane[1] + (ptrdiff_t)y * src->stride[1];
        uint8_t *u = run->dst[1] + y * run->dst_stride[1], *v = run->dst[2] + y * run->dst_stride[2];
        for (int x = 0; x < (src->width + 1) / 2; x++) {
            u[x] = uv[2 * x];
            v[x] = uv[2 * x + 1];
        }
    }
}

static void set_planes(pass *run, const fm_frame_view *src, uint8_t *const dst[], const int dst_stride[])
{
    const fm__color_plan *plan = run->plan;
    fm_pixfmt format = plan->desc.format;
    run->has_chroma = format != FM_PIXFMT_GRAY8;
    for (int i = 0; i < (run->has_chroma ? 3 : 1); i++) {
        if (format == FM_PIXFMT_RGB24) {
            run->dst[i] = run->shared + plan->at.rgb[i];
            run->dst_stride[i] = plan->desc.width;
        } else {
            run->dst[i] = dst[i];
            run->dst_stride[i] = dst_stride[i];
        }
        bool is_own =
            i < fm_pixfmt_planes(format) && format != FM_PIXFMT_RGB24 && !(format == FM_PIXFMT_NV12 && i > 0);
        run->src[i] = is_own ? src->plane[i] : run->dst[i];
        run->src_stride[i] = is_own ? src->stride[i] : run->dst_stride[i];
    }
}

static void from_rgb(const pass *run, int y0, int y1)
{
    const fm_frame_view *src = run->view;
    for (int y = y0; y < y1; y++) {
        ptrdiff_t at = y * run->dst_stride[0];
        fm__rgb_to_ycc(run->dst[0] + at, run->dst[1] + at, run->dst[2] + at,
            src->plane[0] + (ptrdiff_t)y * src->stride[0], (size_t)src->width, run->plan->level);
    }
}

static void to_rgb(const pass *run, int y0, int y1)
{
    for (int y = y0; y < y1; y++) {
        ptrdiff_t at = y * run->dst_stride[0];
        fm__ycc_to_rgb(run->out + y * run->out_stride, run->dst[0] + at, run->dst[1] + at, run->dst[2] + at,
            (size_t)run->plan->desc.width, run->plan->level);
    }
}

/* ---- a frame ---- */

void fm__color_begin(pass *run, const fm__color_plan *plan, const fm__color_params *params,
    const fm_frame_view *src, uint8_t *const dst[FM_MAX_PLANES], const int dst_stride[FM_MAX_PLANES],
    void *shared)
{
    assert(src->width == plan->desc.width && src->height == plan->desc.height &&
           src->format == plan->desc.format);
    *run = (pass){.plan = plan,
        .params = params,
        .view = src,
        .out = dst[0],
        .out_stride = dst_stride[0],
        .shared = shared};
    set_planes(run, src, dst, dst_stride);
    affine(run);
    run->is_identity = is_identity(run->row);
    make_maps(run);
}

void fm__color_map_rows(const pass *run, int y0, int y1, void *scratch)
{
    int shift = run->plan->shift_y, cy0 = y0 >> shift, cy1 = (y1 + shift) >> shift;
    if (run->view->format == FM_PIXFMT_RGB24) {
        from_rgb(run, y0, y1);
    } else if (run->view->format == FM_PIXFMT_NV12) {
        split_chroma(run, cy0, cy1);
    }
    map_yuv(run, y0, y1, cy0, cy1, scratch);
}

void fm__color_curve_rows(const pass *run, int y0, int y1, void *scratch)
{
    if (fm__color_tile_rows(run) > 0) {
        equalise(run, y0, y1, scratch);
    } else if (run->params->gamma != 1) {
        look_up(run, y0, y1);
    }
    if (run->view->format == FM_PIXFMT_RGB24) {
        to_rgb(run, y0, y1);
    }
}

void fm__color_apply(const fm__color_plan *plan, const fm__color_params *params, const fm_frame_view *src,
    uint8_t *const dst[FM_MAX_PLANES], const int dst_stride[FM_MAX_PLANES], fm__color_state *state,
    float share, void *scratch)
{
    pass run;
    uint8_t *band = (uint8_t *)scratch + plan->at.shared;
    fm__color_begin(&run, plan, params, src, dst, dst_stride, scratch);
    fm__color_map_rows(&run, 0, src->height, band);
    fm__color_count_tiles(&run, 0, fm__color_tile_rows(&run));
    fm__color_finish_tables(&run, state, share);
    fm__color_curve_rows(&run, 0, src->height, band);
}
