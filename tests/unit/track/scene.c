// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Random numbers are splitmix64's (Steele, Lea, Flood 2014), as in testing.h, which a bench does not include.

#include "scene.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void scene_paper(fm_tracker_opts *o)
{
    o->reid = FM_REID_ALWAYS;
    o->high = 0;
    o->low = 1;
    o->begin_margin = 0;
    o->n_init = 3;
    o->max_age = 30;
    o->confirm_score = 2;
    o->max_iou = 0.7F;
    o->overlap_age = 1;
    o->scale_noise = false;
    o->max_cosine = 0.2F;
    o->gate = 9.4877F;
    o->motion_weight = o->overlap_weight = 0;
    o->budget = 100;
    o->feature_weight = 0;
    o->reentry_count = 0;
}

static uint64_t next(scene *s)
{
    uint64_t z = (s->rng += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

// -1 .. 1
static float spread(scene *s)
{
    return (float)((double)(next(s) >> 11) / (double)(UINT64_C(1) << 52) - 1);
}

static void *get_memory(size_t n, size_t size)
{
    void *p = calloc(n > 0 ? n : 1, size);
    if (p == NULL) {
        fprintf(stderr, "scene: no memory\n");
        abort();
    }
    return p;
}

static void make_unit(float *v, int dim)
{
    double sum = 0;
    for (int i = 0; i < dim; i++)
        sum += (double)v[i] * (double)v[i];
    for (int i = 0; i < dim; i++)
        v[i] = (float)((double)v[i] / sqrt(sum));
}

static void be_born(scene *s, walker *p)
{
    p->x = s->width * (spread(s) + 1) / 2;
    p->y = s->height * (spread(s) + 1) / 2;
    p->vx = 3 * spread(s);
    p->vy = 2 * spread(s);
    p->height = 90 + 40 * spread(s);
    p->hidden = 0;
    p->left = s->life > 0 ? 1 + (int)(next(s) % (uint64_t)(2 * s->life)) : -1;
    for (int i = 0; i < s->dim; i++)
        p->look[i] = spread(s);
    make_unit(p->look, s->dim);
    s->births++;
}

scene *scene_new(uint64_t seed, int people, int dim, int life)
{
    scene *s = get_memory(1, sizeof *s);
    *s = (scene){.rng = seed, .people = people, .dim = dim, .life = life, .classes = 1, .miss = 0.05F};
    // As dense for many as for few.
    s->width = 240 * sqrtf((float)people);
    s->height = 180 * sqrtf((float)people);
    s->features = get_memory((size_t)people * (size_t)dim, sizeof(float));
    for (int i = 0; i < people; i++) {
        s->who[i].look = get_memory((size_t)dim, sizeof(float));
        be_born(s, &s->who[i]);
    }
    return s;
}

void scene_crowd(scene *s, float times)
{
    float side = 1 / sqrtf(times);
    s->width *= side;
    s->height *= side;
    for (int i = 0; i < s->people; i++) {
        s->who[i].x *= side;
        s->who[i].y *= side;
    }
}

void scene_free(scene *s)
{
    for (int i = 0; i < s->people; i++)
        free(s->who[i].look);
    free(s->features);
    free(s);
}

static void walk(scene *s, walker *p)
{
    p->vx += 0.2F * spread(s);
    p->vy += 0.2F * spread(s);
    p->x += p->vx;
    p->y += p->vy;
    if ((p->x < 0 && p->vx < 0) || (p->x > s->width && p->vx > 0))
        p->vx = -p->vx;
    if ((p->y < 0 && p->vy < 0) || (p->y > s->height && p->vy > 0))
        p->vy = -p->vy;
    if (p->hidden > 0)
        p->hidden--;
    else if (next(s) % 200 == 0)
        p->hidden = 2 + (int)(next(s) % 20);
    if (p->left > 0 && --p->left == 0)
        be_born(s, p);
}

static void see(scene *s, int i)
{
    const walker *p = &s->who[i];
    float h = p->height * (1 + 0.03F * spread(s)), w = h * 0.42F;
    float x = p->x + 1.5F * spread(s), y = p->y + 1.5F * spread(s);
    fm_det *d = &s->dets[s->n];
    *d = (fm_det){.box = {x - w / 2, y - h / 2, x + w / 2, y + h / 2}, .class_id = i % s->classes};
    d->score = 0.75F + 0.2F * spread(s);
    float *feature = s->features + s->n * (size_t)s->dim;
    for (int k = 0; k < s->dim; k++)
        feature[k] = p->look[k] + 0.4F / sqrtf((float)s->dim) * spread(s);
    make_unit(feature, s->dim);
    s->feature_of[s->n] = feature;
    s->of[s->n++] = i;
}

void scene_next(scene *s)
{
    s->n = 0;
    for (int i = 0; i < s->people; i++) {
        walk(s, &s->who[i]);
        if (s->who[i].hidden == 0 && (spread(s) + 1) / 2 >= s->miss)
            see(s, i);
    }
}

size_t scene_show(const scene *s, fm_tracker *t, uint64_t number, fm_track_mark *marks)
{
    uint8_t wants[SCENE_MOST];
    const float *features[SCENE_MOST];
    size_t asked = 0;
    fm_error err;
    if (fm__tracker_begin(t, number, (int)s->width, (int)s->height, s->dets, s->n, wants, &asked, &err) !=
        FM_OK) {
        fprintf(stderr, "scene: %s\n", err.msg);
        abort();
    }
    for (size_t i = 0; i < s->n; i++)
        features[i] = wants[i] ? s->feature_of[i] : NULL;
    if (fm__tracker_finish(t, features, marks, &err) != FM_OK) {
        fprintf(stderr, "scene: %s\n", err.msg);
        abort();
    }
    return asked;
}
