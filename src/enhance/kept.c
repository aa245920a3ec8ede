// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Small tables, searched from the front. Where one is full the oldest entry goes: that costs time, and only a
// stream that changes its size again and again comes to it. Frames that are still out keep their pool alive.

#include "enhance/kept.h"

#include "base/alloc.h"
#include "base/error.h"

fm_status fm__kept_frame(fm__kept *k, fm_pixfmt format, int width, int height, fm_frame **out, fm_error *err)
{
    fm__kept_pool *p = NULL;
    for (int i = 0; i < FM__KEPT_POOLS && !p; i++) {
        fm__kept_pool *it = &k->pools[i];
        p = it->pool && it->format == format && it->width == width && it->height == height ? it : NULL;
    }
    if (!p) {
        p = &k->pools[k->next_pool];
        fm__frame_pool_free(&p->pool);
        fm_status st = fm__frame_pool_new(&p->pool, err);
        if (st != FM_OK) {
            return st;
        }
        k->next_pool = (k->next_pool + 1) % FM__KEPT_POOLS;
        p->format = format;
        p->width = width;
        p->height = height;
    }
    return fm__frame_pool_take_pixels(p->pool, format, width, height, out, err);
}

static bool is_same_size(const fm__resample_desc *a, const fm__resample_desc *b)
{
    return a->src_w == b->src_w && a->src_h == b->src_h && a->dst_w == b->dst_w && a->dst_h == b->dst_h &&
           a->x == b->x && a->y == b->y && a->w == b->w && a->h == b->h && a->filter == b->filter;
}

fm_status fm__kept_resample(
    fm__kept *k, const fm__resample_desc *desc, const fm__resample_plan **out, fm_error *err)
{
    for (int i = 0; i < FM__KEPT_SIZES; i++) {
        if (k->sizes[i].plan && is_same_size(&k->sizes[i].desc, desc)) {
            *out = k->sizes[i].plan;
            return FM_OK;
        }
    }
    fm__kept_size *s = &k->sizes[k->next_size];
    fm__resample_plan_free(&s->plan);
    fm_status st = fm__resample_plan_new(desc, k->level, &s->plan, err);
    if (st == FM_OK) {
        k->next_size = (k->next_size + 1) % FM__KEPT_SIZES;
        s->desc = *desc;
        *out = s->plan;
    }
    return st;
}

static bool is_same_geometry(const fm__nlm_desc *a, const fm__nlm_desc *b)
{
    return a->width == b->width && a->height == b->height && a->radius == b->radius && a->band == b->band;
}

fm_status fm__kept_nlm(fm__kept *k, const fm__nlm_desc *desc, const fm__nlm_plan **out, fm_error *err)
{
    fm__nlm_plan **plan = &k->nlm[desc->planes - 1];
    fm_status st;
    if (*plan && is_same_geometry(&k->nlm_desc[desc->planes - 1], desc)) {
        st = fm__nlm_plan_retune(*plan, desc->h, desc->frames, err);
    } else {
        fm__nlm_plan_free(plan);
        st = fm__nlm_plan_new(desc, k->level, plan, err);
        k->nlm_desc[desc->planes - 1] = *desc;
    }
    if (st == FM_OK) {
        *out = *plan;
    }
    return st;
}

static bool is_same_color(const fm__color_desc *a, const fm__color_desc *b)
{
    return a->width == b->width && a->height == b->height && a->format == b->format &&
           a->matrix == b->matrix && a->range == b->range;
}

static void drop_color(fm__kept *k)
{
    fm__color_plan_free(&k->color);
    fm__free(k->color_shared);
    k->color_shared = NULL;
}

fm_status fm__kept_color(
    fm__kept *k, const fm__color_desc *desc, const fm__color_plan **out, void **shared, fm_error *err)
{
    if (!k->color || !is_same_color(&k->color_desc, desc)) {
        drop_color(k);
        fm_status st = fm__color_plan_new(desc, k->level, &k->color, err);
        if (st != FM_OK) {
            return st;
        }
        k->color_shared = fm__calloc_aligned(FM_TAG_ENHANCE, fm__color_shared_size(k->color), 64);
        if (!k->color_shared) {
            drop_color(k);
            return fm__fail_nomem(err, "colour correction");
        }
        k->color_desc = *desc;
    }
    *out = k->color;
    *shared = k->color_shared;
    return FM_OK;
}

void fm__kept_done(fm__kept *k)
{
    for (int i = 0; i < FM__KEPT_POOLS; i++) {
        fm__frame_pool_free(&k->pools[i].pool);
    }
    for (int i = 0; i < FM__KEPT_SIZES; i++) {
        fm__resample_plan_free(&k->sizes[i].plan);
    }
    for (int i = 0; i < FM__NLM_MAX_PLANES; i++) {
        fm__nlm_plan_free(&k->nlm[i]);
    }
    drop_color(k);
}
