// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The chain of steps for pictures of 16 bits. What is measured (noise, colour statistics, histograms of local
// contrast) is measured on the picture rounded to 8 bits, by the same code; what is computed is computed on
// the samples themselves. A network that enlarges works on 8 bits: it gets the rounded picture, and what was
// rounded away is enlarged by Lanczos and added to its result, so that gradients stay smooth.

#include "enhance/deep.h"

#include "base/alloc.h"
#include "base/cpu.h"
#include "base/error.h"
#include "enhance/bands.h"
#include "ops/deep.h"
#include "ops/nlm.h"
#include "ops/noise.h"

#include <string.h>

enum { BAND = 64, MIDDLE = 32768 };

typedef struct chain {
    const fm__enhance_opts *o;
    fm_frame_pool *pool;
    fm__bands *bands;
} chain;

static fm_status same(const fm__deep *in, int planes, fm__deep **out, fm_error *err)
{
    return fm__deep_new(FM_TAG_ENHANCE, in->width, in->height, planes, out, err);
}

static size_t samples(const fm__deep *d)
{
    return (size_t)d->width * (size_t)d->height;
}

/* ---- denoising ---- */

static void nlm_band(int y0, int y1, void *scratch, void *opaque)
{
    fm__nlm16_rows(opaque, y0, y1, scratch, fm__cpu_level());
}

// Planes first to first + count - 1; h 0: as they are.
static fm_status clean_planes(
    const chain *c, const fm__deep *in, fm__deep *out, int first, int count, float h, fm_error *err)
{
    fm__nlm16 d = {.width = in->width, .height = in->height, .planes = count, .h = h};
    for (int i = 0; i < count; i++) {
        d.src[i] = in->plane[first + i];
        d.dst[i] = out->plane[first + i];
        if (h <= 0) {
            memcpy(d.dst[i], d.src[i], samples(in) * sizeof(uint16_t));
        }
    }
    return h <= 0 ? FM_OK
                  : fm__bands_run(
                        c->bands, in->height, BAND, fm__nlm16_scratch_size(&d, BAND), nlm_band, &d, err);
}

// Rows, rounded to 8 bits, one at a time.
static fm_status add_noise(const fm__deep *d, int plane, fm__noise_stats *stats, fm_error *err)
{
    uint8_t *bytes = fm__calloc(FM_TAG_ENHANCE, samples(d));
    if (!bytes) {
        return fm__fail_nomem(err, "measuring noise");
    }
    for (size_t i = 0; i < samples(d); i++) {
        bytes[i] = (uint8_t)((d->plane[plane][i] + 128) / 257);
    }
    fm__noise_add(stats, bytes, d->width, d->width, d->height, 0, d->height);
    fm__free(bytes);
    return FM_OK;
}

static fm_status strengths(const chain *c, const fm__deep *ycc, float *h, float *h_color, fm_error *err)
{
    fm__noise_stats luma = {.count = {0}}, chroma = {.count = {0}};
    *h = c->o->spec.h;
    *h_color = c->o->spec.h_color;
    if (c->o->spec.denoise != FM__DENOISE_AUTO) {
        return FM_OK;
    }
    fm_status st = add_noise(ycc, 0, &luma, err);
    for (int i = 1; i < ycc->planes && st == FM_OK; i++) {
        st = add_noise(ycc, i, &chroma, err);
    }
    *h = fm__nlm_auto_luma(fm__noise_sigma(&luma));
    *h_color = ycc->planes == 1 ? 0 : fm__nlm_auto_chroma(fm__noise_sigma(&chroma));
    return st;
}

static void ycc_band(int y0, int y1, void *scratch, void *opaque)
{
    fm__deep *const *d = opaque;
    (void)scratch;
    const uint16_t *from[3];
    uint16_t *to[3];
    size_t at = (size_t)y0 * (size_t)d[0]->width, n = (size_t)(y1 - y0) * (size_t)d[0]->width;
    for (int i = 0; i < 3; i++) {
        from[i] = d[0]->plane[i] + at;
        to[i] = d[1]->plane[i] + at;
    }
    if (d[2]) {
        fm__ycc16_to_rgb(to, from, n);
    } else {
        fm__rgb16_to_ycc(to, from, n);
    }
}

static fm_status convert(const chain *c, fm__deep *in, fm__deep *out, bool to_rgb, fm_error *err)
{
    fm__deep *job[] = {in, out, to_rgb ? in : NULL};
    return fm__bands_run(c->bands, in->height, BAND, 1, ycc_band, job, err);
}

static fm_status denoise_rgb(const chain *c, fm__deep *in, fm__deep **out, fm_error *err)
{
    fm__deep *ycc = NULL, *cleaned = NULL;
    float h, h_color;
    fm_status st = same(in, 3, &ycc, err);
    st = st == FM_OK ? convert(c, in, ycc, false, err) : st;
    st = st == FM_OK ? strengths(c, ycc, &h, &h_color, err) : st;
    if (st == FM_OK && (h > 0 || h_color > 0)) {
        st = same(in, 3, &cleaned, err);
        st = st == FM_OK ? clean_planes(c, ycc, cleaned, 0, 1, h, err) : st;
        st = st == FM_OK ? clean_planes(c, ycc, cleaned, 1, 2, h_color, err) : st;
        st = st == FM_OK ? convert(c, cleaned, ycc, true, err) : st;
        if (st == FM_OK) {
            *out = ycc; // RGB by now
            ycc = NULL;
        }
    }
    fm__deep_free(&ycc);
    fm__deep_free(&cleaned);
    return st;
}

// *out stays NULL where there is nothing to clean.
static fm_status denoise(const chain *c, fm__deep *in, fm__deep **out, fm_error *err)
{
    float h, h_color;
    if (in->planes == 3) {
        return denoise_rgb(c, in, out, err);
    }
    fm_status st = strengths(c, in, &h, &h_color, err);
    if (st == FM_OK && h > 0) {
        st = same(in, 1, out, err);
        st = st == FM_OK ? clean_planes(c, in, *out, 0, 1, h, err) : st;
    }
    return st;
}

/* ---- colour ---- */

typedef struct contrast {
    fm__color16 d;
    fm__clahe clahe;
    uint8_t *luma;
    uint32_t *counts;
    float *curves;
} contrast;

static void luma_band(int y0, int y1, void *scratch, void *opaque)
{
    contrast *c = opaque;
    (void)scratch;
    fm__color16_luma(&c->d, y0, y1, c->luma);
}

static void color_band(int y0, int y1, void *scratch, void *opaque)
{
    contrast *c = opaque;
    (void)scratch;
    fm__color16_rows(&c->d, y0, y1);
}

static fm_status make_curves(const chain *c, contrast *k, fm_error *err)
{
    const size_t bins = (size_t)FM__CLAHE_TILES * FM__CLAHE_TILES * 256;
    fm__clahe_init(&k->clahe, k->d.width, k->d.height, FM__CLAHE_TILES);
    k->luma = fm__calloc(FM_TAG_ENHANCE, (size_t)k->d.width * (size_t)k->d.height);
    k->counts = fm__calloc_array(FM_TAG_ENHANCE, bins, sizeof(*k->counts));
    k->curves = fm__calloc_array(FM_TAG_ENHANCE, bins, sizeof(*k->curves));
    if (!k->luma || !k->counts || !k->curves) {
        return fm__fail_nomem(err, "local contrast");
    }
    fm_status st = fm__bands_run(c->bands, k->d.height, BAND, 1, luma_band, k, err);
    if (st == FM_OK) {
        fm__clahe_count(&k->clahe, k->luma, k->d.width, k->counts);
        fm__clahe_curves(&k->clahe, k->counts, (double)k->d.params->contrast, k->curves);
        k->d.clahe = &k->clahe;
        k->d.curves = k->curves;
    }
    return st;
}

static fm_status measure(const chain *c, const fm__deep *in, fm__color_params *params, fm_error *err)
{
    fm_frame *rounded_frame = NULL;
    fm__color_stats stats;
    fm_status st = fm__deep_to_frame(in, c->pool, &rounded_frame, err);
    if (st == FM_OK) {
        fm__color_stats_of(&rounded_frame->view, &stats);
        fm__color_params_of(&c->o->spec.color, &stats, FM_MATRIX_BT601, params);
    }
    fm_frame_unref(&rounded_frame);
    return st;
}

static fm_status correct(const chain *c, fm__deep *in, fm__deep **out, fm_error *err)
{
    fm__color_params params;
    contrast k = {.luma = NULL};
    fm_status st = measure(c, in, &params, err);
    st = st == FM_OK ? same(in, in->planes, out, err) : st;
    if (st == FM_OK) {
        k.d =
            (fm__color16){.width = in->width, .height = in->height, .planes = in->planes, .params = &params};
        for (int i = 0; i < in->planes; i++) {
            k.d.src[i] = in->plane[i];
            k.d.dst[i] = (*out)->plane[i];
        }
        st = params.contrast > 0 ? make_curves(c, &k, err) : FM_OK;
    }
    st = st == FM_OK ? fm__bands_run(c->bands, in->height, BAND, 1, color_band, &k, err) : st;
    fm__free(k.luma);
    fm__free(k.counts);
    fm__free(k.curves);
    return st;
}

static fm_status look_up(const chain *c, fm__deep *in, fm__deep **out, fm_error *err)
{
    if (in->planes != 3) {
        return fm__fail(err, FM_INTERNAL, "a colour table for a grey picture of 16 bits");
    }
    fm_status st = same(in, 3, out, err);
    if (st == FM_OK) {
        const uint16_t *from[] = {in->plane[0], in->plane[1], in->plane[2]};
        fm__lut16_rows(c->o->lut, from, (*out)->plane, samples(in));
    }
    return st;
}

/* ---- enlarging ---- */

static void lanczos_band(int y0, int y1, void *scratch, void *opaque)
{
    fm__lanczos16_rows(opaque, y0, y1, scratch);
}

static fm_status lanczos(const chain *c, fm__deep *in, fm__deep **out, fm_error *err)
{
    int scale = c->o->spec.scale;
    fm_status st = fm__deep_new(FM_TAG_ENHANCE, in->width * scale, in->height * scale, in->planes, out, err);
    for (int i = 0; st == FM_OK && i < in->planes; i++) {
        fm__lanczos16 d = {in->width, in->height, scale, in->plane[i], (*out)->plane[i]};
        st = fm__bands_run(
            c->bands, (*out)->height, BAND, fm__lanczos16_scratch_size(&d), lanczos_band, &d, err);
    }
    return st;
}

// What the network made of 8 bits, by its own enhancer.
static fm_status through_network(const chain *c, fm_frame *small, fm_frame **large, fm_error *err)
{
    fm__enhance_opts o = {.spec = {.scale = c->o->spec.scale},
        .upscaler = c->o->upscaler,
        .threads = c->bands->threads,
        .max_pixels = c->o->max_pixels};
    fm__enhancer *e = NULL;
    fm_status st = fm__enhancer_new(&o, &e, err);
    st = st == FM_OK ? fm__enhancer_run(e, small, large, err) : st;
    fm__enhancer_free(&e);
    return st;
}

// rest = in - 257 * small, about MIDDLE.
static void take_rest(const fm__deep *in, const fm_frame *small, fm__deep *rest)
{
    for (int y = 0; y < in->height; y++) {
        const uint8_t *row = small->view.plane[0] + (ptrdiff_t)y * small->view.stride[0];
        for (int c = 0; c < in->planes; c++) {
            size_t at = (size_t)y * (size_t)in->width;
            for (int x = 0; x < in->width; x++) {
                int v = in->plane[c][at + (size_t)x] - 257 * row[x * in->planes + c];
                rest->plane[c][at + (size_t)x] = (uint16_t)(v + MIDDLE);
            }
        }
    }
}

static void add_large(fm__deep *sum, const fm_frame *large)
{
    for (int y = 0; y < sum->height; y++) {
        const uint8_t *row = large->view.plane[0] + (ptrdiff_t)y * large->view.stride[0];
        for (int c = 0; c < sum->planes; c++) {
            uint16_t *to = sum->plane[c] + (size_t)y * (size_t)sum->width;
            for (int x = 0; x < sum->width; x++) {
                int v = to[x] - MIDDLE + 257 * row[x * sum->planes + c];
                to[x] = (uint16_t)(v < 0 ? 0 : v > 65535 ? 65535 : v);
            }
        }
    }
}

static fm_status enlarge(const chain *c, fm__deep *in, fm__deep **out, fm_error *err)
{
    fm_frame *small = NULL, *large = NULL;
    fm__deep *rest = NULL;
    if (!c->o->upscaler) {
        return lanczos(c, in, out, err);
    }
    fm_status st = fm__deep_to_frame(in, c->pool, &small, err);
    st = st == FM_OK ? through_network(c, small, &large, err) : st;
    st = st == FM_OK ? same(in, in->planes, &rest, err) : st;
    if (st == FM_OK) {
        take_rest(in, small, rest);
        st = lanczos(c, rest, out, err);
    }
    if (st == FM_OK) {
        add_large(*out, large);
    }
    fm_frame_unref(&small);
    fm_frame_unref(&large);
    fm__deep_free(&rest);
    return st;
}

/* ---- all of them ---- */

typedef fm_status (*step_fn)(const chain *c, fm__deep *in, fm__deep **out, fm_error *err);

// *now becomes what the step makes of it; the caller's own picture is not freed.
static fm_status apply(const chain *c, bool wanted, step_fn fn, fm__deep *in, fm__deep **now, fm_error *err)
{
    fm__deep *next = NULL;
    fm_status st = wanted ? fn(c, *now ? *now : in, &next, err) : FM_OK;
    if (st != FM_OK) {
        fm__deep_free(&next);
    } else if (next) {
        fm__deep_free(now);
        *now = next;
    }
    return st;
}

static fm_status copy_of(const fm__deep *in, fm__deep **out, fm_error *err)
{
    fm_status st = same(in, in->planes, out, err);
    for (int i = 0; st == FM_OK && i < in->planes; i++) {
        memcpy((*out)->plane[i], in->plane[i], samples(in) * sizeof(uint16_t));
    }
    return st;
}

fm_status fm__enhance_deep(
    const fm__enhance_opts *opts, fm__deep *in, fm_frame_pool *pool, fm__deep **out, fm_error *err)
{
    fm__bands bands = {.threads = opts->threads};
    const chain c = {.o = opts, .pool = pool, .bands = &bands};
    fm__deep *now = NULL;
    fm_status st = apply(&c, opts->spec.denoise != FM__DENOISE_NONE, denoise, in, &now, err);
    st = st == FM_OK ? apply(&c, opts->spec.has_color, correct, in, &now, err) : st;
    st = st == FM_OK ? apply(&c, opts->lut != NULL, look_up, in, &now, err) : st;
    st = st == FM_OK ? apply(&c, opts->spec.scale > 1, enlarge, in, &now, err) : st;
    st = st == FM_OK && !now ? copy_of(in, &now, err) : st;
    fm__bands_done(&bands);
    if (st != FM_OK) {
        fm__deep_free(&now);
        return st;
    }
    *out = now;
    return FM_OK;
}
