// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The nearest neighbour scan: quantising, the scalar level, and the choice of a level. The idea of proving
// with a stored residual that a compressed vector is too far is that of the VA-file (Weber, Schek, Blott: A
// quantitative analysis and performance study for similarity-search methods in high-dimensional spaces,
// 1998), with one residual norm a vector in place of a box a dimension.

#include "ops/scan.h"

#include "ops/scan_kernels.h"

#include <math.h>
#include <string.h>

enum { LANES = 16 };
static const double BLUR = 1.0 / (1 << 19);
// Squares of numbers below 1e-18 lose bits at the lower end of float: scale times scale times a sum of
// products is off by at most 2^-149 * 2^28.
static const double BLUR_LEAST = 2e-36;

// The next float at or above a value that is not negative: rounding to nearest loses at most half a step.
static float round_up(double v)
{
    return nextafterf((float)v, INFINITY);
}

typedef struct fit {
    float scale, mid;
} fit;

// Spreads -128..127 over the range of the numbers.
static fit fit_to(const float *x, size_t dim, int low)
{
    float min = x[0], max = x[0];
    for (size_t i = 1; i < dim; i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    fit f = {.scale = (float)(((double)max - (double)min) / (127 - low))};
    f.mid = (float)((double)min - (double)low * (double)f.scale);
    return f;
}

static int code_of(float x, fit f, int low)
{
    if (f.scale <= 0) {
        return 0;
    }
    double c = nearbyint(((double)x - (double)f.mid) / (double)f.scale);
    return c < low ? low : c > 127 ? 127 : (int)c;
}

typedef struct sums {
    double norm2, sum, residual2, code2;
    int32_t code_sum;
} sums;

static void add_up(sums *s, float x, fit f, int code)
{
    double near = (double)f.scale * code + (double)f.mid, left = (double)x - near;
    s->norm2 += near * near;
    s->sum += near;
    s->residual2 += left * left;
    s->code2 += (double)code * code;
    s->code_sum += code;
}

static float blur_of(const sums *s, fit f, size_t dim)
{
    double g = (double)f.scale * sqrt(s->code2) + fabs((double)f.mid) * sqrt((double)dim);
    return round_up(BLUR * g * g + BLUR_LEAST);
}

// A little above, so that the sum's own roundings in double are in it too.
static float residual_of(const sums *s)
{
    return round_up(sqrt(s->residual2) * (1 + 1e-9));
}

void fm__scan_put(
    uint8_t *panel, size_t lane, const float *x, size_t dim, const fm__scan_quant *q, size_t slot)
{
    fit f = fit_to(x, dim, -128);
    sums s = {0};
    for (size_t i = 0; i < dim; i++) {
        int code = code_of(x[i], f, -128);
        panel[(i / 4 * FM_SCAN_PANEL + lane) * 4 + i % 4] = (uint8_t)(code + 128);
        add_up(&s, x[i], f, code);
    }
    q->scale[slot] = f.scale;
    q->mid[slot] = f.mid;
    q->norm2[slot] = (float)s.norm2;
    q->sum[slot] = (float)s.sum;
    q->residual[slot] = residual_of(&s);
    q->blur[slot] = blur_of(&s, f, dim);
}

void fm__scan_query_init(fm__scan_query *q, int8_t *codes, const float *x, size_t dim)
{
    fit f = fit_to(x, dim, -128);
    sums s = {0};
    memset(codes, 0, fm__scan_groups(dim) * 4);
    for (size_t i = 0; i < dim; i++) {
        codes[i] = (int8_t)code_of(x[i], f, -128);
        add_up(&s, x[i], f, codes[i]);
    }
    *q = (fm__scan_query){.codes = codes,
        .code_sum = s.code_sum,
        .scale = f.scale,
        .mid = f.mid,
        .norm2 = (float)s.norm2,
        .residual = residual_of(&s),
        .blur = blur_of(&s, f, dim),
        .scaled_sum = f.scale * (float)s.code_sum};
}

static float l2_scalar(const float *a, const float *b, size_t stride)
{
    float lane[LANES] = {0};
    for (size_t i = 0; i < stride; i += LANES) {
        for (size_t l = 0; l < LANES; l++) {
            float d = a[i + l] - b[i + l];
            lane[l] += d * d;
        }
    }
    for (size_t width = LANES / 2; width > 0; width /= 2) {
        for (size_t l = 0; l < width; l++) {
            lane[l] += lane[l + width];
        }
    }
    return lane[0];
}

float fm__scan_l2(const float *a, const float *b, size_t stride, fm_cpu_level level)
{
#if defined(__x86_64__)
    static fm__scan_l2_fn *const table[FM_CPU_LEVEL_COUNT] = {
        l2_scalar, fm__scan_l2_avx2, fm__scan_l2_avx512};
    return table[level](a, b, stride);
#else
    (void)level;
    return l2_scalar(a, b, stride);
#endif
}

// scan_kernels.h has the formulas.
static bool is_hit(
    const fm__scan_run *r, const fm__scan_query *q, float reach, size_t slot, int32_t dot, float *near2)
{
    const fm__scan_quant *x = r->quant;
    float cross =
        (q->scale * x->scale[slot]) * (float)dot + (q->scaled_sum * x->mid[slot] + q->mid * x->sum[slot]);
    float base = q->norm2 + x->norm2[slot];
    float far = reach + (q->residual + x->residual[slot]);
    *near2 = base - (cross + cross);
    return *near2 <= (far * far) * FM_SCAN_GROWN + (q->blur + x->blur[slot]);
}

static void codes_scalar(const fm__scan_run *r)
{
    for (size_t p = 0; p < r->panels; p++) {
        const uint8_t *panel = r->codes + p * r->groups * FM_SCAN_PANEL * 4;
        for (size_t j = 0; j < r->count; j++) {
            const fm__scan_query *q = &r->queries[j];
            size_t at = p * r->count + j;
            r->masks[at] = 0;
            for (size_t l = 0; l < FM_SCAN_PANEL; l++) {
                if (!(r->live[p] >> l & 1)) {
                    continue;
                }
                int32_t dot = 0;
                for (size_t i = 0; i < r->groups * 4; i++) {
                    dot += q->codes[i] * (panel[(i / 4 * FM_SCAN_PANEL + l) * 4 + i % 4] - 128);
                }
                bool hit = is_hit(r, q, r->reach[j], r->slot + p * FM_SCAN_PANEL + l, dot,
                    &r->near2[at * FM_SCAN_PANEL + l]);
                r->masks[at] = (uint16_t)(r->masks[at] | (unsigned)hit << l);
            }
        }
    }
}

fm__scan_level fm__scan_best_level(void)
{
#if defined(__x86_64__)
    fm_cpu_level level = fm__cpu_level();
    if (level == FM_CPU_AVX512 && __builtin_cpu_supports("avx512vnni")) {
        return FM_SCAN_VNNI;
    }
    return level >= FM_CPU_AVX2 ? FM_SCAN_AVX2 : FM_SCAN_SCALAR;
#else
    return FM_SCAN_SCALAR;
#endif
}

void fm__scan_codes(const fm__scan_run *run, fm__scan_level level)
{
#if defined(__x86_64__)
    static fm__scan_codes_fn *const table[FM_SCAN_LEVEL_COUNT] = {
        codes_scalar, fm__scan_codes_avx2, fm__scan_codes_vnni};
    table[level](run);
#else
    (void)level;
    codes_scalar(run);
#endif
}

static void dots_scalar(
    const uint8_t *const *rows, size_t count, const int8_t *query, size_t length, int32_t *dots)
{
    for (size_t i = 0; i < count; i++) {
        int32_t sum = 0;
        for (size_t j = 0; j < length; j++) {
            sum += rows[i][j] * query[j];
        }
        dots[i] = sum;
    }
}

void fm__scan_dots(const uint8_t *const *rows, size_t count, const int8_t *query, size_t length,
    int32_t *dots, fm__scan_level level)
{
#if defined(__x86_64__)
    static fm__scan_dots_fn *const table[FM_SCAN_LEVEL_COUNT] = {
        dots_scalar, fm__scan_dots_avx2, fm__scan_dots_vnni};
    table[level](rows, count, query, length, dots);
#else
    (void)level;
    dots_scalar(rows, count, query, length, dots);
#endif
}

float fm__scan_lower(const fm__scan_query *q, const fm__scan_quant *x, size_t slot, float near2)
{
    double d2 = (double)near2 - (double)q->blur - (double)x->blur[slot];
    double d = (d2 > 0 ? sqrt(d2) : 0) - (double)q->residual - (double)x->residual[slot];
    return d > 0 ? nextafterf((float)d, 0) : 0;
}

float fm__scan_upper(const fm__scan_query *q, const fm__scan_quant *x, size_t slot, float near2)
{
    double d2 = (double)near2 + (double)q->blur + (double)x->blur[slot];
    double d = (d2 > 0 ? sqrt(d2) : 0) + (double)q->residual + (double)x->residual[slot];
    return round_up(d);
}
