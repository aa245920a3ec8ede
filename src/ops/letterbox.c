// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Letterbox: the run. One output row at a time, everything between source and destination stays in the
// first-level cache: two source rows of each plane are blended into a row buffer, pairs of neighbours in it
// are blended into 16-bit samples, samples become RGB (or gray) bytes, bytes go to the tensor, through an
// interleaving or a float step where that is asked for. Vertical goes first since it reads rows in order,
// without gathers. Taking the samples out of both source rows and blending only those was tried: with a 4K
// source 10% faster from the cache, 5 to 20% slower from memory, so rows are blended whole.

#include "frame/frame.h"
#include "ops/letterbox_plan.h"

#include <assert.h>
#include <string.h>

#define CACHE_LINE 64
#define AHEAD_LINES 20 // about as many misses as a core keeps in flight

// Source rows that the next output row needs, asked for a few lines at a time.
typedef struct ahead {
    const uint8_t *row[2 * FM_MAX_PLANES];
    size_t bytes[2 * FM_MAX_PLANES];
    int count, at;
    size_t offset; // into row[at]
} ahead;

// One call of fm__letterbox_run.
typedef struct pass {
    const fm_letterbox_plan *plan;
    const fm_frame_view *view;
    uint8_t *dst, *scratch;
    ahead next;
} pass;

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

void fm__letterbox_fill(const fm_letterbox_plan *plan, void *dst)
{
    for (int p = 0; p < plan->planes; p++) {
        pad_rows(plan, p, (uint8_t *)dst + (size_t)p * plan->plane_size, plan->desc.map.dst_h);
    }
}

void fm__letterbox_run(const fm_letterbox_plan *plan, const fm_frame_view *view, void *dst, void *scratch)
{
    static void (*const readers[])(pass * run, int y) = {
        [FM__READ_PLANAR] = read_planar, [FM__READ_NV12] = read_nv12, [FM__READ_RGB] = read_rgb};
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
        readers[plan->reading](&run, y);
        make_row(&run, at);
    }
}
