// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A work's memory, and its objects. Arrays of objects grow together, to the most that a frame of this work
// ever had; masks lie one behind the other in bits that grow the same way. A detector's object gets the mask
// of the segmenter's object of the same class that overlaps it most, from half of their union on.

#include "pipeline/private.h"

#include "base/alloc.h"
#include "base/pool.h"
#include "ops/nms.h"

#include <string.h>

// Room for detections that an item starts with; it grows where a scene has more. Fresh memory of a size like
// that of the features is not resident before it is used.
#define FIRST_DETS 16
#define SAME_IOU 0.5f // a mask belongs to a box from here on

static void free_objects(work *w)
{
    fm__free(w->dets);
    fm__free(w->masks);
    fm__free(w->wants);
    fm__free(w->values);
    fm__free(w->feature);
    fm__free(w->classes);
    fm__free(w->marks);
    fm__free(w->filtered);
    w->dets = NULL;
    w->masks = NULL;
    w->wants = NULL;
    w->values = NULL;
    w->feature = NULL;
    w->classes = NULL;
    w->marks = NULL;
    w->filtered = NULL;
    for (int i = 0; i < CROP_STAGES; i++) {
        fm__free(w->crops[i]);
        w->crops[i] = NULL;
    }
    w->det_cap = w->det_count = 0;
}

// An array where it is needed; *ok turns false when it cannot be had.
static void *array(bool needed, size_t n, size_t size, bool *ok)
{
    void *ptr = needed && *ok ? fm__calloc_array(FM_TAG_PIPELINE, n, size) : NULL;
    *ok = *ok && (ptr || !needed);
    return ptr;
}

// What the arrays held is not kept: they are filled anew.
static bool fit(work *w, size_t n)
{
    if (w->det_cap > 0 && n <= w->det_cap) {
        return true;
    }
    const fm_pipeline *p = w->lane->p;
    size_t cap = w->det_cap > 0 ? w->det_cap : FIRST_DETS;
    while (cap < n) {
        cap *= 2;
    }
    bool ok = true, features = p->crop_stages[CROPS_FEATURES].model;
    bool classes = p->crop_stages[CROPS_CLASSES].model;
    bool masks = p->o.segmenter && fm__head_has_objects(&p->o.segmenter->head);
    free_objects(w);
    w->dets = array(true, cap, sizeof(*w->dets), &ok);
    w->wants = array(true, cap, sizeof(*w->wants), &ok);
    w->masks = array(masks, cap, sizeof(*w->masks), &ok);
    w->marks = array(p->o.tracker, cap, sizeof(*w->marks), &ok);
    w->filtered = array(p->o.tracker, cap, sizeof(*w->filtered), &ok);
    w->crops[CROPS_FEATURES] = array(features, cap, sizeof(crop), &ok);
    w->feature = array(features, cap, sizeof(*w->feature), &ok);
    w->values = array(features, cap, (size_t)p->dim * sizeof(*w->values), &ok);
    w->crops[CROPS_CLASSES] = array(classes, cap, sizeof(crop), &ok);
    w->classes = array(classes, cap, p->o.top_k * sizeof(*w->classes), &ok);
    if (!ok) {
        free_objects(w);
        return false;
    }
    w->det_cap = cap;
    return true;
}

static size_t bytes_of(const work *w)
{
    const void *const blocks[] = {w->dets, w->masks, w->wants, w->values, w->feature, w->classes, w->marks,
        w->filtered, w->crops[CROPS_FEATURES], w->crops[CROPS_CLASSES], w->seg.dets, w->seg.masks,
        w->seg.bits, w->seg.ids, w->seg.area, w->frame_feature};
    size_t sum = sizeof(*w);
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        sum += fm__alloc_size(blocks[i]);
    }
    return sum;
}

void fm__work_count(work *w)
{
    size_t caps = w->det_cap + w->seg.bits_size + w->seg.ids_size;
    if (w->pool_bytes > 0 && w->pool_caps == caps) {
        return;
    }
    size_t bytes = bytes_of(w);
    if (w->pool_bytes > 0) {
        fm__pool_resized(FM_POOL_WORKS, w->pool_bytes, bytes);
    } else {
        fm__pool_made(FM_POOL_WORKS, bytes);
        fm__pool_rests(FM_POOL_WORKS);
    }
    w->pool_bytes = bytes;
    w->pool_caps = caps;
}

bool fm__work_init(work *w)
{
    const fm_pipeline *p = w->lane->p;
    const fm_model *s = p->o.segmenter;
    bool ok = fit(w, FIRST_DETS), objects = s && fm__head_has_objects(&s->head);
    for (int i = 0; i < MAX_FRAME_STAGES; i++) {
        w->parts[i].work = w;
    }
    w->seg.dets = array(objects, FM_MAX_DETS, sizeof(*w->seg.dets), &ok);
    w->seg.masks = array(objects, FM_MAX_DETS, sizeof(*w->seg.masks), &ok);
    w->seg.area = array(s && !objects, s ? (size_t)s->head.class_count : 0, sizeof(*w->seg.area), &ok);
    w->frame_feature =
        array(p->o.embedder && p->o.embed_frames, (size_t)p->dim, sizeof(*w->frame_feature), &ok);
    if (ok) {
        fm__work_count(w);
    }
    return ok;
}

void fm__work_done(work *w)
{
    if (w->pool_bytes > 0) {
        fm__pool_gone(FM_POOL_WORKS, w->pool_bytes, true);
        w->pool_bytes = 0;
    }
    fm_frame_unref(&w->frame);
    for (int i = 0; i < MAX_FRAME_STAGES; i++) {
        fm__plan_unref(&w->parts[i].plan);
    }
    free_objects(w);
    fm__free(w->seg.dets);
    fm__free(w->seg.masks);
    fm__free(w->seg.bits);
    fm__free(w->seg.ids);
    fm__free(w->seg.area);
    fm__free(w->frame_feature);
    fm__free(w->noted);
}

bool fm__work_set_dets(work *w, const fm_det *dets, size_t n)
{
    if (!fit(w, n)) {
        return false;
    }
    if (n) {
        memcpy(w->dets, dets, n * sizeof(*dets));
    }
    w->det_count = n;
    return true;
}

void fm__objects_bare(work *w)
{
    const fm_pipeline *p = w->lane->p;
    if (w->masks) {
        memset(w->masks, 0, w->det_count * sizeof(*w->masks));
    }
    for (size_t i = 0; w->feature && i < w->det_count; i++) {
        w->feature[i] = NULL;
    }
    for (size_t i = 0; w->classes && i < w->det_count * p->o.top_k; i++) {
        w->classes[i].class_id = -1;
    }
}

void fm__work_fail(work *w, fm_status status, const fm_error *err)
{
    if (atomic_exchange(&w->failed, true)) {
        return;
    }
    w->status = status;
    if (err) {
        w->error = *err;
    }
}

static bool fit_bytes(uint8_t **bytes, size_t *cap, size_t size)
{
    if (size <= *cap) {
        return true;
    }
    size_t grown = size + size / 4; // masks change in size from frame to frame
    uint8_t *fresh = fm__calloc(FM_TAG_PIPELINE, grown);
    if (!fresh) {
        return false;
    }
    fm__free(*bytes);
    *bytes = fresh;
    *cap = grown;
    return true;
}

bool fm__segments_fit_bits(segments *s, size_t size)
{
    return fit_bytes(&s->bits, &s->bits_size, size);
}

bool fm__segments_fit_map(segments *s, int width, int height)
{
    return fit_bytes(&s->ids, &s->ids_size, (size_t)width * (size_t)height);
}

// Index of the detection that this object of the segmenter is, or -1.
static int find_box(const work *w, const fm_det *object, int32_t class_id)
{
    int best = -1;
    float best_iou = SAME_IOU;
    for (size_t i = 0; i < w->det_count; i++) {
        if (w->dets[i].class_id != class_id || w->masks[i].bits) {
            continue;
        }
        float iou = fm__iou(w->dets[i].box, object->box);
        if (iou >= best_iou) {
            best = (int)i;
            best_iou = iou;
        }
    }
    return best;
}

void fm__objects_join(work *w)
{
    const fm_pipeline *p = w->lane->p;
    if (!w->masks) {
        return;
    }
    memset(w->masks, 0, w->det_count * sizeof(*w->masks));
    if (fm__segmenter_finds(p)) {
        memcpy(w->masks, w->seg.masks, w->det_count * sizeof(*w->masks));
        return;
    }
    for (size_t i = 0; i < w->seg.count; i++) {
        int32_t class_id = p->class_of_segment[w->seg.dets[i].class_id];
        int at = class_id >= 0 ? find_box(w, &w->seg.dets[i], class_id) : -1;
        if (at >= 0) {
            w->masks[at] = w->seg.masks[i];
        }
    }
}

static void move(work *w, size_t to, size_t from)
{
    size_t k = w->lane->p->o.top_k;
    w->dets[to] = w->dets[from];
    if (w->masks) {
        w->masks[to] = w->masks[from];
    }
    if (w->feature) {
        w->feature[to] = w->feature[from];
    }
    if (w->classes) {
        memmove(&w->classes[to * k], &w->classes[from * k], k * sizeof(*w->classes));
    }
    if (w->marks) {
        w->filtered[to] = w->filtered[from];
    }
}

void fm__objects_keep(work *w, const bool *keep)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->det_count; i++) {
        if (keep[i]) {
            move(w, kept++, i);
        }
    }
    w->det_count = kept;
}
