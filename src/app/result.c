// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Results that outlive the call they were handed to: everything a result points to in one block behind it. It
// is laid out twice by the same code: first to learn the size, then to copy.

#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"
#include "sinks/sinks.h"

#include <framemill/result.h>

#include <string.h>

#define ALIGN 16

typedef struct block {
    uint8_t *data; // NULL: only counts
    size_t used;
} block;

// The copy's place, or NULL while counting, or where there is nothing.
static void *put(block *b, const void *src, size_t size)
{
    void *at = b->data && src ? b->data + b->used : NULL;
    if (at && size > 0) {
        memcpy(at, src, size);
    }
    b->used += src ? (size + ALIGN - 1) / ALIGN * ALIGN : 0;
    return at;
}

static const char *put_text(block *b, const char *text)
{
    return put(b, text, text ? strlen(text) + 1 : 0);
}

static void put_features(block *b, const fm_result *r, fm_result *to)
{
    const float **own = put(b, r->features, r->det_count * sizeof(*r->features));
    for (size_t i = 0; r->features && i < r->det_count; i++) {
        float *values = put(b, r->features[i], (size_t)r->feature_dim * sizeof(float));
        if (own) {
            own[i] = values;
        }
    }
    to->features = own;
}

static void put_masks(block *b, const fm_result *r, fm_result *to)
{
    fm_mask *own = put(b, r->masks, r->det_count * sizeof(*r->masks));
    for (size_t i = 0; r->masks && i < r->det_count; i++) {
        const fm_mask *m = &r->masks[i];
        bool is_empty = m->width == 0 || m->height == 0;
        uint8_t *bits = put(b, is_empty ? NULL : m->bits, (size_t)m->stride * (size_t)m->height);
        if (own) {
            own[i].bits = bits;
        }
    }
    to->masks = own;
}

static void put_map(block *b, const fm_result *r, fm_result *to)
{
    const fm_class_map *m = r->class_map;
    fm_class_map *own = put(b, m, sizeof(*m));
    if (!m) {
        return;
    }
    uint8_t *ids = put(b, m->ids, (size_t)m->stride * (size_t)m->height);
    int64_t *area = put(b, m->area, m->class_count * sizeof(*m->area));
    if (own) {
        own->ids = ids;
        own->area = area;
    }
    to->class_map = own;
}

static void put_result(block *b, const fm_result *r)
{
    fm_result copy = *r, *own = put(b, r, sizeof(*r));
    copy.stream = put_text(b, r->stream);
    copy.file = put_text(b, r->file);
    copy.error = put_text(b, r->error);
    copy.dets = put(b, r->dets, r->det_count * sizeof(*r->dets));
    copy.track_boxes = put(b, r->track_boxes, r->det_count * sizeof(*r->track_boxes));
    put_features(b, r, &copy);
    put_masks(b, r, &copy);
    copy.object_classes =
        put(b, r->object_classes, r->det_count * r->object_class_count * sizeof(*r->object_classes));
    copy.classes = put(b, r->classes, r->class_count * sizeof(*r->classes));
    copy.frame_feature = put(b, r->frame_feature, (size_t)r->frame_feature_dim * sizeof(*r->frame_feature));
    put_map(b, r, &copy);
    copy.state = put(b, r->state, r->state_bytes);
    if (own) {
        *own = copy;
    }
}

fm_status fm_result_dup(const fm_result *result, fm_result **out, fm_error *err)
{
    if (!result || !out) {
        return fm__fail(err, FM_INVAL, "fm_result_dup without a result or output");
    }
    block b = {.data = NULL};
    put_result(&b, result);
    b.data = fm__calloc_aligned(FM_TAG_APP, b.used, ALIGN);
    if (!b.data) {
        return fm__fail_nomem(err, "a result");
    }
    b.used = 0;
    put_result(&b, result);
    fm_result *own = (fm_result *)(void *)b.data;
    if (own->picture) {
        (void)fm_frame_ref((fm_frame *)(uintptr_t)own->picture); // a count, no pixel, is written
    }
    *out = own;
    return FM_OK;
}

void fm_result_free(fm_result **result)
{
    if (result && *result) {
        fm_frame *picture = (fm_frame *)(uintptr_t)(*result)->picture;
        fm_frame_unref(&picture);
        fm__free(*result);
        *result = NULL;
    }
}

fm_status fm_result_json(const fm_result *result, char **out, fm_error *err)
{
    if (!result || !out) {
        return fm__fail(err, FM_INVAL, "fm_result_json without a result or output");
    }
    fm_str s;
    fm__str_init(&s, FM_TAG_APP);
    fm__jsonl_format(&s, result);
    char *text = fm__str_take(&s);
    *out = text ? text : *out;
    return text ? FM_OK : fm__fail_nomem(err, "a result's text");
}
