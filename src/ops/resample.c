// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Separable resampling: down first, from rows of bytes to one row of 16 bits, then across. Positions and
// supports are Pillow's (resize with a box, 10 and later): output i's centre lies at (i + 0.5) * scale of the
// box, the filter is stretched by the scale where that is above 1, weights are normalised over the inputs
// that exist. Lanczos after Duchon, "Lanczos filtering in one and two dimensions" (1979); cubic convolution
// after Keys (1981). Pillow rounds to bytes between the passes, which clips overshoot; we keep 6 fractional
// bits and the sign, so the two differ by 1 in smooth parts and by more beside hard edges, where ours is
// nearer to the exact result.
//
// Weights are rounded to 14 bits so that they still add up to 1: what is missing goes to the largest.

#include "ops/resample.h"

#include "base/alloc.h"
#include "base/error.h"
#include "ops/resample_kernels.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define MAX_SIDE (1 << 16)
#define MAX_TAPS (1 << 12) // inputs of an output: a shrink by 680
#define ONE 16384
#define PI 3.14159265358979323846

typedef double filter_fn(double x);

struct fm__resample_plan {
    fm__resample_desc desc;
    const fm__resample_kernels *kernels;
    fm__resample_taps x, y;
    void *mem[2];
    size_t pointers_bytes, between_bytes,
        out_bytes; // of scratch: rows of one output, the row between, the row made
};

static double sinc(double x)
{
    return x == 0 ? 1 : sin(PI * x) / (PI * x);
}

static double lanczos3(double x)
{
    return fabs(x) < 3 ? sinc(x) * sinc(x / 3) : 0;
}

static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1) {
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    }
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/* ---- taps ---- */

// One axis: `len` inputs, of which `size` from `start` on become `count` outputs.
typedef struct axis {
    int len, count;
    double start, size;
    filter_fn *filter;
    double support; // of the filter, before it is stretched
} axis;

static int round_up(int n, int unit)
{
    return (n + unit - 1) / unit * unit;
}

static double stretch(const axis *a)
{
    return fmax(1, a->size / a->count);
}

static int taps_of(const axis *a)
{
    double n = 2 * ceil(a->support * stretch(a)) + 1;
    return n < a->len ? (int)n : a->len;
}

static void set_weights(const axis *a, int output, fm__resample_taps *t, double *exact)
{
    double scale = stretch(a), centre = a->start + (output + 0.5) * a->size / a->count;
    int first = (int)fmax(0, floor(centre - a->support * scale + 0.5));
    int last = (int)fmin(a->len, floor(centre + a->support * scale + 0.5));
    first = first > a->len - 1 ? a->len - 1 : first;
    last = last <= first ? first + 1 : last > first + t->taps ? first + t->taps : last;
    double sum = 0;
    for (int i = first; i < last; i++) {
        exact[i - first] = a->filter((i + 0.5 - centre) / scale);
        sum += exact[i - first];
    }
    // Rows of pixels are read from first to first + taps: it moves in where that would pass the end.
    int shift = first + t->taps > a->len ? first + t->taps - a->len : 0, total = 0, largest = shift;
    int16_t *w = t->weights + (size_t)output * (size_t)t->padded;
    for (int i = first; i < last; i++) {
        int at = i - first + shift;
        w[at] = (int16_t)lrint(sum != 0 ? exact[i - first] / sum * ONE : (double)ONE / (last - first));
        total += w[at];
        largest = w[at] > w[largest] ? at : largest;
    }
    w[largest] = (int16_t)(w[largest] + ONE - total);
    t->first[output] = first - shift;
}

static fm_status make_taps(const axis *a, fm__resample_taps *t, void **mem, fm_error *err)
{
    int outputs = round_up(a->count, FM__RESAMPLE_GROUP);
    *t = (fm__resample_taps){.count = a->count, .taps = taps_of(a)};
    if (t->taps > MAX_TAPS) {
        return fm__fail(
            err, FM_UNSUPPORTED, "resampling: %d pixels to %d is too strong a shrink", a->len, a->count);
    }
    t->padded = round_up(t->taps, FM__RESAMPLE_STEP);
    size_t first_bytes = (size_t)outputs * sizeof(*t->first), weights, size;
    double *exact = fm__calloc_array(FM_TAG_OPS, (size_t)t->taps + 1, sizeof(*exact));
    if (fm__mul_size((size_t)outputs, (size_t)t->padded * sizeof(*t->weights), &weights) &&
        weights < SIZE_MAX / 2) {
        size = first_bytes + weights;
        *mem = fm__calloc_aligned(FM_TAG_OPS, size, 64);
    }
    if (!*mem || !exact) {
        fm__free(exact);
        return fm__fail_nomem(err, "a resampling plan");
    }
    t->first = *mem;
    t->weights = (int16_t *)((char *)*mem + first_bytes);
    for (int i = 0; i < a->count; i++) {
        set_weights(a, i, t, exact);
    }
    fm__free(exact);
    return FM_OK;
}

/* ---- plan ---- */

static const fm__resample_kernels *kernels_of(fm_cpu_level level)
{
#if defined(__x86_64__)
    return level >= FM_CPU_AVX2 ? &fm__resample_avx2 : &fm__resample_scalar;
#else
    (void)level;
    return &fm__resample_scalar;
#endif
}

static fm_status check_desc(const fm__resample_desc *d, fm_error *err)
{
    if (d->src_w < 1 || d->src_h < 1 || d->dst_w < 1 || d->dst_h < 1 || d->src_w > MAX_SIDE ||
        d->src_h > MAX_SIDE || d->dst_w > MAX_SIDE || d->dst_h > MAX_SIDE) {
        return fm__fail(err, FM_INVAL, "resampling: %dx%d to %dx%d; sides must be 1..%d", d->src_w, d->src_h,
            d->dst_w, d->dst_h, MAX_SIDE);
    }
    if (!(d->x >= -1 && d->y >= -1 && d->w > 0 && d->h > 0 && d->x + d->w <= d->src_w + 1 &&
            d->y + d->h <= d->src_h + 1)) {
        return fm__fail(err, FM_INVAL,
            "resampling: a part of %gx%g at %g,%g of %dx%d; it must lie inside, or a pixel outside", d->w,
            d->h, d->x, d->y, d->src_w, d->src_h);
    }
    return FM_OK;
}

fm_status fm__resample_plan_new(
    const fm__resample_desc *desc, fm_cpu_level level, fm__resample_plan **out, fm_error *err)
{
    fm__resample_desc d = *desc;
    d.w = d.w == 0 && d.x == 0 ? d.src_w : d.w;
    d.h = d.h == 0 && d.y == 0 ? d.src_h : d.h;
    fm_status st = check_desc(&d, err);
    if (st != FM_OK) {
        return st;
    }
    fm__resample_plan *plan = fm__calloc(FM_TAG_OPS, sizeof(*plan));
    if (!plan) {
        return fm__fail_nomem(err, "a resampling plan");
    }
    filter_fn *filter = d.filter == FM__FILTER_BICUBIC ? bicubic : lanczos3;
    double support = d.filter == FM__FILTER_BICUBIC ? 2 : 3;
    const axis x = {d.src_w, d.dst_w, d.x, d.w, filter, support},
               y = {d.src_h, d.dst_h, d.y, d.h, filter, support};
    plan->desc = d;
    plan->kernels = kernels_of(level);
    st = make_taps(&x, &plan->x, &plan->mem[0], err);
    st = st == FM_OK ? make_taps(&y, &plan->y, &plan->mem[1], err) : st;
    if (st != FM_OK) {
        fm__resample_plan_free(&plan);
        return st;
    }
    plan->pointers_bytes = ((size_t)plan->y.taps + 1) * sizeof(uint8_t *);
    plan->between_bytes = (size_t)(d.src_w + FM__RESAMPLE_STEP) * sizeof(int16_t);
    plan->out_bytes = (size_t)round_up(d.dst_w, FM__RESAMPLE_GROUP);
    *out = plan;
    return FM_OK;
}

void fm__resample_plan_free(fm__resample_plan **plan)
{
    if (plan && *plan) {
        fm__free((*plan)->mem[0]);
        fm__free((*plan)->mem[1]);
        fm__free(*plan);
        *plan = NULL;
    }
}

/* ---- rows ---- */

static size_t aligned(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

size_t fm__resample_scratch_size(const fm__resample_plan *plan)
{
    return aligned(plan->pointers_bytes) + aligned(plan->between_bytes) + aligned(plan->out_bytes);
}

void fm__resample_rows(const fm__resample_plan *plan, const uint8_t *src, ptrdiff_t src_stride, uint8_t *dst,
    ptrdiff_t dst_stride, int y0, int y1, void *scratch)
{
    const fm__resample_taps *t = &plan->y;
    const uint8_t **rows = scratch;
    int16_t *between = (int16_t *)((uint8_t *)scratch + aligned(plan->pointers_bytes));
    uint8_t *out = (uint8_t *)between + aligned(plan->between_bytes);
    assert(y0 >= 0 && y1 <= plan->desc.dst_h);
    memset(between, 0, plan->between_bytes); // what lies behind the row has weight 0
    for (int y = y0; y < y1; y++) {
        for (int i = 0; i < t->taps; i++) {
            rows[i] = src + (t->first[y] + i) * src_stride;
        }
        rows[t->taps] = rows[t->taps - 1]; // of weight 0, where taps is odd
        plan->kernels->down(between, rows, t->weights + (size_t)y * (size_t)t->padded, (t->taps + 1) / 2 * 2,
            (size_t)plan->desc.src_w);
        plan->kernels->across(out, between, &plan->x);
        memcpy(dst + y * dst_stride, out, (size_t)plan->desc.dst_w);
    }
}
