// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Letterbox plans: which way pixels go, and the tables of one geometry. A plan for a stream is made once; a
// crop's is set up for every box, so nothing here allocates but fm__letterbox_plan_new, and tables lie in one
// block. YUV conversion follows ITU-R BT.601-7 and BT.709-6, in 16-bit fixed point.

#include "ops/letterbox_plan.h"

#include "base/alloc.h"
#include "base/error.h"
#include "frame/frame.h"

#include <math.h>
#include <string.h>

#define MAX_SIDE 16384
#define ALIGN 64

static bool map_is_sane(const fm_fit_map *m)
{
    bool sizes = m->src_w > 0 && m->src_h > 0 && m->dst_w > 0 && m->dst_h > 0 && m->src_w <= MAX_SIDE &&
                 m->src_h <= MAX_SIDE && m->dst_w <= MAX_SIDE && m->dst_h <= MAX_SIDE;
    bool content = m->dst_cw > 0 && m->dst_ch > 0 && m->dst_x >= 0 && m->dst_y >= 0 &&
                   m->dst_cw <= m->dst_w && m->dst_ch <= m->dst_h && m->dst_x <= m->dst_w - m->dst_cw &&
                   m->dst_y <= m->dst_h - m->dst_ch;
    return sizes && content && isfinite(m->src_x) && isfinite(m->src_y) && m->src_cw > 0 && m->src_ch > 0 &&
           isfinite(m->src_cw) && isfinite(m->src_ch);
}

static fm_status check_desc(const fm_letterbox_desc *desc, fm_error *err)
{
    const fm_fit_map *m = &desc->map;
    if (desc->format <= FM_PIXFMT_NONE || desc->format >= FM_PIXFMT_COUNT) {
        return fm__fail(err, FM_UNSUPPORTED, "letterbox: pixel format %d is not known", (int)desc->format);
    }
    if (desc->dtype != FM_DTYPE_U8 && desc->dtype != FM_DTYPE_F32) {
        return fm__fail(
            err, FM_UNSUPPORTED, "letterbox: writes u8 or f32, not %s", fm__dtype_name(desc->dtype));
    }
    if (!map_is_sane(m)) {
        return fm__fail(err, FM_INVAL,
            "letterbox: cannot draw %dx%d into %dx%d of %dx%d; sides must be 1..%d and the content inside",
            m->src_w, m->src_h, m->dst_cw, m->dst_ch, m->dst_w, m->dst_h, MAX_SIDE);
    }
    return FM_OK;
}

static int16_t fixed(double v, int bits)
{
    return (int16_t)lrint(ldexp(v, bits));
}

// Biases carry the centre of U and V, the black level and the half that rounds, so that a pixel costs no more
// additions for them.
static void init_coef(fm__color_coef *c, const fm_letterbox_desc *desc)
{
    bool full = desc->range == FM_RANGE_FULL;
    double kr = desc->matrix == FM_MATRIX_BT709 ? 0.2126 : 0.299;
    double kb = desc->matrix == FM_MATRIX_BT709 ? 0.0722 : 0.114;
    double kg = 1 - kr - kb;
    double ys = full ? 1 : 255.0 / 219, cs = full ? 1 : 255.0 / 224;
    double rv = 2 * (1 - kr) * cs, bu = 2 * (1 - kb) * cs;
    double gv = rv * kr / kg, gu = bu * kb / kg;
    double black = full ? 0 : -16 * ys;
    c->y = fixed(ys, 13);
    c->rv = fixed(rv, 13);
    c->gu = fixed(gu, 13);
    c->gv = fixed(gv, 13);
    c->bu = fixed(bu, 13);
    c->bias[0] = fixed(black - 128 * rv + 0.5, 4);
    c->bias[1] = fixed(black + 128 * (gu + gv) + 0.5, 4);
    c->bias[2] = fixed(black - 128 * bu + 0.5, 4);
    c->luma_bias = fixed(black + 0.5, 4);
    bool is_bgr = desc->format == FM_PIXFMT_BGR24;
    c->gray[0] = fixed(is_bgr ? 0.114 : 0.299, 15);
    c->gray[1] = fixed(0.587, 15);
    c->gray[2] = fixed(is_bgr ? 0.299 : 0.114, 15);
}

// Position of output 0's centre and the step, in samples of a plane that is subsampled by 2^shift: in luma
// samples src + (i + 0.5) * step - 0.5; a subsampled plane's samples sit on the left luma sample (p / 2) or
// between two ((p + 0.5) / 2 - 0.5).
static fm__axis make_axis(float src, float src_len, int count, int first, int len, int shift, bool is_left)
{
    double step = (double)src_len / count;
    double origin = src + step / 2 - 0.5;
    if (shift) {
        origin = is_left ? origin / 2 : origin / 2 - 0.25;
        step /= 2;
    }
    return (fm__axis){.origin = origin, .step = step, .count = count, .first = first >> shift, .len = len};
}

static uint8_t *take(uint8_t **at, size_t bytes)
{
    uint8_t *taken = *at;
    *at += (bytes + ALIGN - 1) / ALIGN * ALIGN;
    return taken;
}

// Chroma that is repeated has the luma's positions. One that sits somewhere has its own; vertically it always
// sits between two rows.
static void init_chroma_taps(fm_letterbox_plan *plan, int first_x, int first_y, uint8_t **tables)
{
    const fm_letterbox_desc *d = &plan->desc;
    const fm_fit_map *m = &d->map;
    int w, h, shift_x, shift_y;
    uint8_t *x = take(tables, fm__taps_size(m->dst_w)), *y = take(tables, fm__taps_size(m->dst_h));
    fm__pixfmt_shift(d->format, &shift_x, &shift_y);
    if (d->chroma_site == FM_CHROMA_REPEAT) {
        fm__taps_repeat(&plan->x[1], &plan->x[0], shift_x, x);
        fm__taps_repeat(&plan->y[1], &plan->y[0], shift_y, y);
        return;
    }
    fm__pixfmt_plane_size(d->format, m->src_w, m->src_h, 1, &w, &h);
    bool is_left = d->chroma_site == FM_CHROMA_LEFT;
    fm__axis ax = make_axis(m->src_x, m->src_cw, m->dst_cw, first_x, w, shift_x, is_left);
    fm__axis ay = make_axis(m->src_y, m->src_ch, m->dst_ch, first_y, h, shift_y, false);
    fm__taps_init(&plan->x[1], &ax, x);
    fm__taps_init(&plan->y[1], &ay, y);
}

static void init_taps(fm_letterbox_plan *plan, int first_x, int first_y, uint8_t **tables)
{
    const fm_fit_map *m = &plan->desc.map;
    fm__axis ax = make_axis(m->src_x, m->src_cw, m->dst_cw, first_x, m->src_w, 0, false);
    fm__axis ay = make_axis(m->src_y, m->src_ch, m->dst_ch, first_y, m->src_h, 0, false);
    fm__taps_init(&plan->x[0], &ax, take(tables, fm__taps_size(m->dst_w)));
    fm__taps_init(&plan->y[0], &ay, take(tables, fm__taps_size(m->dst_h)));
    if (plan->is_yuv && plan->inputs == 3) {
        init_chroma_taps(plan, first_x, first_y, tables);
        fm__taps_group(&plan->x[1]);
    }
    fm__taps_group(&plan->x[0]);
}

static size_t reserve(size_t *at, size_t bytes)
{
    size_t place = *at;
    *at += (bytes + FM__ROW_PAD + ALIGN - 1) / ALIGN * ALIGN;
    return place;
}

static fm__plan_layout make_layout(int src_width, int dst_width)
{
    fm__plan_layout layout;
    size_t src_w = (size_t)src_width, dst_w = (size_t)dst_width, at = 0;
    size_t samples = (dst_w + FM__SAMPLE_ALIGN - 1) / FM__SAMPLE_ALIGN * FM__SAMPLE_ALIGN;
    for (int i = 0; i < 3; i++) {
        layout.row[i] = reserve(&at, src_w);
        layout.samples[i] = reserve(&at, samples * sizeof(int16_t));
        layout.out[i] = reserve(&at, dst_w);
    }
    layout.mixed = reserve(&at, 3 * (src_w > dst_w ? src_w : dst_w));
    layout.size = at;
    return layout;
}

size_t fm__plan_scratch_size(int src_w, int dst_w)
{
    return make_layout(src_w, dst_w).size;
}

static void init_norm(fm_letterbox_plan *plan)
{
    for (int p = 0; p < plan->planes; p++) {
        for (int i = 0; i < FM__NORM_PERIOD; i++) {
            int channel = plan->per_pixel == 3 ? i % 3 : p;
            float scale = plan->desc.scale[channel];
            plan->mean[p][i] = plan->desc.mean[channel];
            plan->scale[p][i] = scale == 0 ? 1 : 1 / scale;
        }
    }
}

// Blocks of a period keep each channel at its place.
static void fill_float(float *dst, size_t count, uint8_t value, const fm_letterbox_plan *plan, int p)
{
    uint8_t pad[FM__NORM_PERIOD];
    memset(pad, value, sizeof(pad));
    for (size_t i = 0; i < count; i += FM__NORM_PERIOD) {
        size_t n = count - i < FM__NORM_PERIOD ? count - i : FM__NORM_PERIOD;
        plan->kernels->to_float(dst + i, pad, n, plan->mean[p], plan->scale[p]);
    }
}

void fm__plan_init_padding(fm_letterbox_plan *plan)
{
    for (int p = 0; p < plan->planes; p++) {
        if (plan->desc.dtype == FM_DTYPE_U8) {
            memset(plan->pad_row[p], plan->desc.pad, plan->row_size);
        } else {
            fill_float(
                (float *)(void *)plan->pad_row[p], plan->row_size / sizeof(float), plan->desc.pad, plan, p);
        }
    }
}

static const fm__letterbox_kernels *kernels_of(fm_cpu_level level)
{
#if defined(__x86_64__)
    static const fm__letterbox_kernels *const table[FM_CPU_LEVEL_COUNT] = {
        &fm__letterbox_scalar, &fm__letterbox_avx2, &fm__letterbox_avx512};
    return table[level];
#else
    (void)level;
    return &fm__letterbox_scalar;
#endif
}

// Which way from source to tensor.
static void choose_path(fm_letterbox_plan *plan)
{
    const fm_letterbox_desc *d = &plan->desc;
    const fm__letterbox_kernels *k = plan->kernels;
    bool is_gray = d->color == FM_COLOR_GRAY, is_rgb = fm__pixfmt_is_rgb(d->format);
    plan->is_yuv = !is_rgb;
    plan->inputs = !is_rgb && (is_gray || d->format == FM_PIXFMT_GRAY8) ? 1 : 3;
    plan->planes_read = plan->inputs == 1 ? 1 : fm_pixfmt_planes(d->format);
    plan->made = is_gray || plan->inputs == 1 ? 1 : 3;
    plan->reading = is_rgb                                             ? FM__READ_RGB
                    : plan->inputs == 3 && d->format == FM_PIXFMT_NV12 ? FM__READ_NV12
                                                                       : FM__READ_PLANAR;
    if (is_rgb) {
        plan->color = is_gray ? k->rgb_gray : k->copy;
    } else {
        plan->color = plan->inputs == 1 ? k->luma : k->yuv_rgb;
    }
    plan->per_pixel = d->layout == FM_LAYOUT_NHWC && !is_gray ? 3 : 1;
    plan->planes = is_gray || plan->per_pixel == 3 ? 1 : 3;
    bool is_swapped = !is_gray && (d->color == FM_COLOR_BGR) != (d->format == FM_PIXFMT_BGR24);
    plan->place[0] = is_swapped ? 2 : 0;
    plan->place[1] = 1;
    plan->place[2] = is_swapped ? 0 : 2;
    plan->element_size = fm__dtype_size(d->dtype);
    plan->row_size = (size_t)d->map.dst_w * (size_t)plan->per_pixel * plan->element_size;
    plan->plane_size = plan->row_size * (size_t)d->map.dst_h;
}

// At most three planes of the source's channels in the tensor.
size_t fm__plan_tables_size(const fm_letterbox_desc *desc)
{
    const fm_fit_map *m = &desc->map;
    size_t row = 3 * (size_t)m->dst_w * fm__dtype_size(desc->dtype);
    return 2 * (fm__taps_size(m->dst_w) + fm__taps_size(m->dst_h)) + (row + 3 * ALIGN - 1) / ALIGN * ALIGN;
}

void fm__plan_init(fm_letterbox_plan *plan, const fm_letterbox_desc *desc, int first_x, int first_y,
    fm_cpu_level level, void *tables)
{
    uint8_t *at = tables;
    const fm_fit_map *m = &desc->map;
    plan->desc = *desc;
    plan->kernels = kernels_of(level);
    choose_path(plan);
    init_coef(&plan->coef, desc);
    if (desc->dtype == FM_DTYPE_F32) {
        init_norm(plan);
    }
    init_taps(plan, first_x, first_y, &at);
    plan->at = make_layout(m->src_w, m->dst_w);
    for (int p = 0; p < plan->planes; p++) {
        plan->pad_row[p] = take(&at, plan->row_size);
    }
    if (m->dst_cw < m->dst_w || m->dst_ch < m->dst_h) {
        fm__plan_init_padding(plan);
    }
}

fm_status fm__letterbox_plan_new(
    const fm_letterbox_desc *desc, fm_cpu_level level, fm_letterbox_plan **out, fm_error *err)
{
    size_t own = (sizeof(fm_letterbox_plan) + ALIGN - 1) / ALIGN * ALIGN;
    fm_status status = check_desc(desc, err);
    if (status != FM_OK) {
        return status;
    }
    fm_letterbox_plan *plan = fm__calloc_aligned(FM_TAG_OPS, own + fm__plan_tables_size(desc), ALIGN);
    if (!plan) {
        return fm__fail_nomem(err, "a letterbox plan");
    }
    fm__plan_init(plan, desc, 0, 0, level, (uint8_t *)plan + own);
    *out = plan;
    return FM_OK;
}

void fm__letterbox_plan_free(fm_letterbox_plan **plan)
{
    if (plan && *plan) {
        fm__free(*plan);
        *plan = NULL;
    }
}

const fm_letterbox_desc *fm__letterbox_plan_desc(const fm_letterbox_plan *plan)
{
    return &plan->desc;
}

bool fm__letterbox_plan_matches(const fm_letterbox_plan *plan, const fm_frame_view *view)
{
    const fm_letterbox_desc *d = &plan->desc;
    return view->width == d->map.src_w && view->height == d->map.src_h && view->format == d->format &&
           view->matrix == d->matrix && view->range == d->range &&
           (d->chroma_site == FM_CHROMA_REPEAT || view->chroma_site == d->chroma_site);
}

size_t fm__letterbox_scratch_size(const fm_letterbox_plan *plan)
{
    return plan->at.size;
}
