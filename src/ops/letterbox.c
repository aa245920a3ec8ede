// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Letterbox: plan and run. One output row at a time, everything between source and destination stays in the
// first-level cache: two source rows of each plane are blended into a row buffer, pairs of neighbours in it
// are blended into 16-bit samples, samples become RGB (or gray) bytes, bytes go to the tensor, through an
// interleaving or a float step where that is asked for. Vertical goes first since it reads rows in order,
// without gathers. Taking the samples out of both source rows and blending only those was tried: with a 4K
// source 10% faster from the cache, 5 to 20% slower from memory, so rows are blended whole. YUV conversion
// follows ITU-R BT.601-7 and BT.709-6, in 16-bit fixed point.

#include "ops/letterbox.h"

#include "base/alloc.h"
#include "base/error.h"
#include "frame/frame.h"
#include "ops/letterbox_kernels.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define MAX_SIDE 16384
#define CACHE_LINE 64
#define AHEAD_LINES 20 // about as many misses as a core keeps in flight

typedef struct pass pass;
typedef void read_rows_fn(pass *run, int y);

// Byte offsets into scratch.
typedef struct layout {
    size_t row[3];     // row buffers, planar
    size_t mixed;      // an interleaved row, of the source (RGB24) or of the output
    size_t samples[3]; // i16
    size_t out[3];     // output rows in u8, where the tensor does not take them as they are
    size_t size;
} layout;

// The tensor is `planes` planes of dst_h rows, with `per_pixel` elements a pixel: 3 x 1 (NCHW), 1 x 3 (NHWC)
// or 1 x 1 (gray).
struct fm_letterbox_plan {
    fm_letterbox_desc desc;
    const fm__letterbox_kernels *kernels;
    read_rows_fn *read_rows;
    fm__color_fn *color;
    fm__color_coef coef;
    bool is_yuv;     // planes 1 and 2 are chroma
    int planes_read; // of the source
    int inputs;      // sample rows: 1 or 3
    int made;        // rows that the colour step makes: 1 or 3
    int planes, per_pixel;
    size_t element_size, row_size, plane_size; // of the tensor, bytes
    int place[3];                              // channel of R, G, B in the tensor
    fm__taps x[2], y[2];                       // luma, chroma
    void *taps_mem[4];
    float mean[3][FM__NORM_PERIOD], scale[3][FM__NORM_PERIOD]; // by plane; scale is the reciprocal
    uint8_t *pad_row[3];                                       // by plane, a whole row of padding
    layout at;
};

// Source rows that the next output row needs, asked for a few lines at a time.
typedef struct ahead {
    const uint8_t *row[2 * FM_MAX_PLANES];
    size_t bytes[2 * FM_MAX_PLANES];
    int count, at;
    size_t offset; // into row[at]
} ahead;

// One call of fm__letterbox_run.
struct pass {
    const fm_letterbox_plan *plan;
    const fm_frame_view *view;
    uint8_t *dst, *scratch;
    ahead next;
};

/* ---- checks ---- */

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

/* ---- tables ---- */

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
    c->gray[0] = fixed(0.299, 15);
    c->gray[1] = fixed(0.587, 15);
    c->gray[2] = fixed(0.114, 15);
}

// Position of output 0's centre and the step, in luma samples: src + (i + 0.5) * step - 0.5; a subsampled
// plane's samples sit on the left luma sample (p / 2) or between two ((p + 0.5) / 2 - 0.5).
static fm__axis make_axis(
    float src, float src_len, int count, int luma_len, int len, int shift, fm_chroma_site site)
{
    double step = (double)src_len / count;
    double origin = src + step / 2 - 0.5;
    if (shift && site == FM_CHROMA_REPEAT) {
        return (fm__axis){.origin = origin, .step = step, .count = count, .len = luma_len, .repeat = shift};
    }
    if (shift) {
        origin = site == FM_CHROMA_LEFT ? origin / 2 : origin / 2 - 0.25;
        step /= 2;
    }
    return (fm__axis){.origin = origin, .step = step, .count = count, .len = len};
}

static bool make_taps(fm__taps *taps, void **mem, fm__axis axis)
{
    *mem = fm__calloc_aligned(FM_TAG_OPS, fm__taps_size(axis.count), 64);
    if (*mem) {
        fm__taps_init(taps, &axis, *mem);
    }
    return *mem != NULL;
}

static bool init_taps(fm_letterbox_plan *plan)
{
    const fm_letterbox_desc *d = &plan->desc;
    const fm_fit_map *m = &d->map;
    // Vertically chroma always sits between two rows, if it sits anywhere.
    fm_chroma_site site_y = d->chroma_site == FM_CHROMA_REPEAT ? FM_CHROMA_REPEAT : FM_CHROMA_CENTER;
    for (int i = 0; i < (plan->is_yuv && plan->inputs == 3 ? 2 : 1); i++) {
        int w, h, shift_x = 0, shift_y = 0;
        fm__pixfmt_plane_size(d->format, m->src_w, m->src_h, i, &w, &h);
        if (i > 0) {
            fm__pixfmt_shift(d->format, &shift_x, &shift_y);
        }
        if (!make_taps(&plan->x[i], &plan->taps_mem[2 * i],
                make_axis(m->src_x, m->src_cw, m->dst_cw, m->src_w, w, shift_x, d->chroma_site)) ||
            !make_taps(&plan->y[i], &plan->taps_mem[2 * i + 1],
                make_axis(m->src_y, m->src_ch, m->dst_ch, m->src_h, h, shift_y, site_y))) {
            return false;
        }
    }
    return true;
}

static size_t reserve(size_t *at, size_t bytes)
{
    size_t place = *at;
    *at += (bytes + FM__ROW_PAD + 63) / 64 * 64;
    return place;
}

static void init_layout(fm_letterbox_plan *plan)
{
    size_t src_w = (size_t)plan->desc.map.src_w, dst_w = (size_t)plan->desc.map.dst_w, at = 0;
    for (int i = 0; i < 3; i++) {
        plan->at.row[i] = reserve(&at, src_w);
        plan->at.samples[i] = reserve(&at, (size_t)plan->x[0].padded * sizeof(int16_t));
        plan->at.out[i] = reserve(&at, dst_w);
    }
    plan->at.mixed = reserve(&at, 3 * (src_w > dst_w ? src_w : dst_w));
    plan->at.size = at;
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

static bool init_pad_rows(fm_letterbox_plan *plan)
{
    size_t count = plan->row_size / plan->element_size;
    uint8_t *pad = fm__calloc(FM_TAG_OPS, count);
    bool ok = pad != NULL;
    for (int p = 0; ok && p < plan->planes; p++) {
        plan->pad_row[p] = fm__calloc_aligned(FM_TAG_OPS, plan->row_size, 64);
        ok = plan->pad_row[p] != NULL;
        if (!ok) {
            break;
        }
        memset(pad, plan->desc.pad, count);
        if (plan->desc.dtype == FM_DTYPE_U8) {
            memcpy(plan->pad_row[p], pad, count);
        } else {
            plan->kernels->to_float(
                (float *)(void *)plan->pad_row[p], pad, count, plan->mean[p], plan->scale[p]);
        }
    }
    fm__free(pad);
    return ok;
}

/* ---- reading ahead ---- */

// The hardware's prefetcher follows a row but not the jump to the next one that is used. Asked for a row
// early, memory works while the row before is being made; asked all at once, the requests would queue up and
// stall it, so each step of a row asks for some. Measured on 1080p and 4K sources out of the cache: a quarter
// to a third of the time.
static void ahead_set(pass *run, int y)
{
    const fm_letterbox_plan *plan = run->plan;
    ahead *next = &run->next;
    *next = (ahead){.count = 0};
    for (int p = 0; p < plan->planes_read; p++) {
        const fm__taps *taps = &plan->y[plan->is_yuv && p > 0];
        const uint8_t *a = run->view->plane[p] + (ptrdiff_t)taps->index[y] * run->view->stride[p];
        for (int i = 0; i < (taps->weight[y] ? 2 : 1); i++) {
            next->row[next->count] = a + (ptrdiff_t)i * run->view->stride[p];
            next->bytes[next->count++] = fm__pixfmt_row_bytes(run->view->format, run->view->width, p);
        }
    }
}

static void ahead_step(pass *run)
{
    ahead *next = &run->next;
    for (int lines = AHEAD_LINES; lines > 0 && next->at < next->count; lines--) {
        __builtin_prefetch(next->row[next->at] + next->offset);
        next->offset += CACHE_LINE;
        if (next->offset >= next->bytes[next->at]) {
            next->offset = 0;
            next->at++;
        }
    }
}

/* ---- a row ---- */

// Row y of one plane's vertical blend. b stands on a where its share is 0, so that no row past the plane's
// end is touched.
static void blend_plane(pass *run, int p, int y, uint8_t *dst, size_t bytes)
{
    const fm__taps *taps = &run->plan->y[run->plan->is_yuv && p > 0];
    int stride = run->view->stride[p];
    const uint8_t *a = run->view->plane[p] + (ptrdiff_t)taps->index[y] * stride;
    if (taps->weight[y] == 0) {
        memcpy(dst, a, bytes);
    } else {
        run->plan->kernels->blend(dst, a, a + stride, taps->weight[y], bytes);
    }
    ahead_step(run);
}

static uint8_t *row_buffer(const pass *run, int c)
{
    return run->scratch + run->plan->at.row[c];
}

// The right neighbour of a row's last sample has share 0, but is read.
static void end_row(uint8_t *row, size_t n)
{
    row[n] = row[n - 1];
}

static void read_planar(pass *run, int y)
{
    for (int p = 0; p < run->plan->inputs; p++) {
        size_t n = fm__pixfmt_row_bytes(run->view->format, run->view->width, p);
        blend_plane(run, p, y, row_buffer(run, p), n);
        end_row(row_buffer(run, p), n);
    }
}

static void read_nv12(pass *run, int y)
{
    const fm__taps *taps = &run->plan->y[1];
    int stride = run->view->stride[1], weight = taps->weight[y];
    uint8_t *u = row_buffer(run, 1), *v = row_buffer(run, 2);
    size_t n = (size_t)run->view->width, pairs = (n + 1) / 2;
    blend_plane(run, 0, y, row_buffer(run, 0), n);
    const uint8_t *a = run->view->plane[1] + (ptrdiff_t)taps->index[y] * stride;
    run->plan->kernels->blend_pairs(u, v, a, weight ? a + stride : a, weight, pairs);
    ahead_step(run);
    end_row(row_buffer(run, 0), n);
    end_row(u, pairs);
    end_row(v, pairs);
}

static void read_rgb(pass *run, int y)
{
    size_t n = (size_t)run->view->width;
    uint8_t *const rows[3] = {row_buffer(run, 0), row_buffer(run, 1), row_buffer(run, 2)};
    uint8_t *mixed = run->scratch + run->plan->at.mixed;
    blend_plane(run, 0, y, mixed, 3 * n);
    run->plan->kernels->split(rows, mixed, n);
    for (int c = 0; c < 3; c++) {
        end_row(rows[c], n);
    }
}

// Samples to bytes of R, G, B (or gray); a gray source fills three channels alike.
static void make_color(pass *run, uint8_t *const rgb[3])
{
    const fm_letterbox_plan *plan = run->plan;
    size_t n = (size_t)plan->desc.map.dst_cw;
    const int16_t *samples[3] = {NULL};
    for (int c = 0; c < plan->inputs; c++) {
        int16_t *dst = (int16_t *)(void *)(run->scratch + plan->at.samples[c]);
        plan->kernels->sample(dst, row_buffer(run, c), &plan->x[plan->is_yuv && c > 0]);
        samples[c] = dst;
        ahead_step(run);
    }
    plan->color(rgb, samples, n, &plan->coef);
    for (int c = plan->made; c < plan->planes * plan->per_pixel; c++) {
        memcpy(rgb[c], rgb[0], n);
    }
    ahead_step(run);
}

// One row of the content, `at` bytes into each plane of the tensor.
static void make_row(pass *run, size_t at)
{
    const fm_letterbox_plan *plan = run->plan;
    size_t n = (size_t)plan->desc.map.dst_cw;
    bool is_float = plan->desc.dtype == FM_DTYPE_F32;
    uint8_t *channel[3], *rgb[3];
    for (int c = 0; c < 3; c++) {
        bool is_direct = !is_float && plan->per_pixel == 1 && c < plan->planes;
        channel[c] =
            is_direct ? run->dst + (size_t)c * plan->plane_size + at : run->scratch + plan->at.out[c];
    }
    for (int c = 0; c < 3; c++) {
        rgb[c] = channel[plan->place[c]];
    }
    make_color(run, rgb);
    if (plan->per_pixel == 3) {
        uint8_t *line = is_float ? run->scratch + plan->at.mixed : run->dst + at;
        plan->kernels->interleave(line, (const uint8_t *const *)channel, n);
        channel[0] = line;
    }
    for (int p = 0; is_float && p < plan->planes; p++) {
        float *out = (float *)(void *)(run->dst + (size_t)p * plan->plane_size + at);
        plan->kernels->to_float(out, channel[p], n * (size_t)plan->per_pixel, plan->mean[p], plan->scale[p]);
    }
}

static void pad_rows(const fm_letterbox_plan *plan, int p, uint8_t *dst, int count)
{
    if (plan->desc.dtype == FM_DTYPE_U8) {
        memset(dst, plan->desc.pad, (size_t)count * plan->row_size);
        return;
    }
    for (int y = 0; y < count; y++) {
        memcpy(dst + (size_t)y * plan->row_size, plan->pad_row[p], plan->row_size);
    }
}

static void pad_sides(const fm_letterbox_plan *plan, int p, uint8_t *dst, int count)
{
    const fm_fit_map *m = &plan->desc.map;
    size_t pixel = plan->element_size * (size_t)plan->per_pixel;
    size_t left = (size_t)m->dst_x * pixel, right = left + (size_t)m->dst_cw * pixel;
    for (int y = 0; y < count && m->dst_cw < m->dst_w; y++, dst += plan->row_size) {
        memcpy(dst, plan->pad_row[p], left);
        memcpy(dst + right, plan->pad_row[p], plan->row_size - right);
    }
}

static void fill_padding(const fm_letterbox_plan *plan, uint8_t *dst)
{
    const fm_fit_map *m = &plan->desc.map;
    size_t content = (size_t)m->dst_y * plan->row_size, bottom = content + (size_t)m->dst_ch * plan->row_size;
    for (int p = 0; p < plan->planes; p++, dst += plan->plane_size) {
        pad_rows(plan, p, dst, m->dst_y);
        pad_sides(plan, p, dst + content, m->dst_ch);
        pad_rows(plan, p, dst + bottom, m->dst_h - m->dst_y - m->dst_ch);
    }
}

/* ---- interface ---- */

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
    bool is_gray = d->color == FM_COLOR_GRAY, is_rgb = d->format == FM_PIXFMT_RGB24;
    plan->is_yuv = !is_rgb;
    plan->inputs = !is_rgb && (is_gray || d->format == FM_PIXFMT_GRAY8) ? 1 : 3;
    plan->planes_read = plan->inputs == 1 ? 1 : fm_pixfmt_planes(d->format);
    plan->made = is_gray || plan->inputs == 1 ? 1 : 3;
    plan->read_rows = is_rgb                                             ? read_rgb
                      : plan->inputs == 3 && d->format == FM_PIXFMT_NV12 ? read_nv12
                                                                         : read_planar;
    if (is_rgb) {
        plan->color = is_gray ? k->rgb_gray : k->copy;
    } else {
        plan->color = plan->inputs == 1 ? k->luma : k->yuv_rgb;
    }
    plan->per_pixel = d->layout == FM_LAYOUT_NHWC && !is_gray ? 3 : 1;
    plan->planes = is_gray || plan->per_pixel == 3 ? 1 : 3;
    bool is_swapped = d->color == FM_COLOR_BGR;
    plan->place[0] = is_swapped ? 2 : 0;
    plan->place[1] = 1;
    plan->place[2] = is_swapped ? 0 : 2;
    plan->element_size = fm__dtype_size(d->dtype);
    plan->row_size = (size_t)d->map.dst_w * (size_t)plan->per_pixel * plan->element_size;
    plan->plane_size = plan->row_size * (size_t)d->map.dst_h;
}

fm_status fm__letterbox_plan_new(
    const fm_letterbox_desc *desc, fm_cpu_level level, fm_letterbox_plan **out, fm_error *err)
{
    fm_status status = check_desc(desc, err);
    if (status != FM_OK) {
        return status;
    }
    fm_letterbox_plan *plan = fm__calloc(FM_TAG_OPS, sizeof(*plan));
    if (!plan) {
        return fm__fail_nomem(err, "a letterbox plan");
    }
    plan->desc = *desc;
    plan->kernels = kernels_of(level);
    choose_path(plan);
    init_coef(&plan->coef, desc);
    init_norm(plan);
    if (!init_taps(plan) || !init_pad_rows(plan)) {
        fm__letterbox_plan_free(&plan);
        return fm__fail_nomem(err, "a letterbox plan's tables");
    }
    init_layout(plan);
    *out = plan;
    return FM_OK;
}

void fm__letterbox_plan_free(fm_letterbox_plan **plan)
{
    if (!plan || !*plan) {
        return;
    }
    for (int i = 0; i < 4; i++) {
        fm__free((*plan)->taps_mem[i]);
    }
    for (int p = 0; p < 3; p++) {
        fm__free((*plan)->pad_row[p]);
    }
    fm__free(*plan);
    *plan = NULL;
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

void fm__letterbox_run(const fm_letterbox_plan *plan, const fm_frame_view *view, void *dst, void *scratch)
{
    const fm_fit_map *m = &plan->desc.map;
    assert(view->width == m->src_w && view->height == m->src_h && view->format == plan->desc.format);
    pass run = {.plan = plan, .view = view, .dst = dst, .scratch = scratch};
    bool skips_rows = m->src_ch >= 2 * (float)m->dst_ch;
    fill_padding(plan, dst);
    for (int y = 0; y < m->dst_ch; y++) {
        size_t at = (size_t)(m->dst_y + y) * plan->row_size +
                    (size_t)m->dst_x * (size_t)plan->per_pixel * plan->element_size;
        if (skips_rows && y + 1 < m->dst_ch) {
            ahead_set(&run, y + 1);
        }
        plan->read_rows(&run, y);
        make_row(&run, at);
    }
}
