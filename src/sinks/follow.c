// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The tracks of a stream. A tracker ends its tracks in silence, so a track has ended here when it was not
// seen for as many frames as a tracker keeps one, or the stream has.

#include "sinks/follow.h"

#include "base/alloc.h"
#include "base/error.h"

#include <math.h>
#include <string.h>

#define DEFAULT_GONE 30
#define MAX_TRACKS 4096 // followed at a time; beyond that what is not seen in this frame ends

void fm__follow_init(fm_follow *f, size_t item_size, int gone)
{
    *f = (fm_follow){.item_size = item_size, .gone = gone > 0 ? gone : DEFAULT_GONE};
}

void fm__follow_done(fm_follow *f)
{
    fm__free(f->items);
    f->items = NULL;
    f->count = f->cap = 0;
}

static fm_followed *item_at(const fm_follow *f, size_t i)
{
    return (fm_followed *)((char *)f->items + i * f->item_size);
}

static fm_followed *find(const fm_follow *f, int64_t track)
{
    for (size_t i = 0; i < f->count; i++) {
        if (item_at(f, i)->track == track) {
            return item_at(f, i);
        }
    }
    return NULL;
}

fm_status fm__follow_see(
    fm_follow *f, uint64_t frame, const fm_det *det, fm_followed **out, bool *begins, fm_error *err)
{
    fm_followed *t = find(f, det->track_id);
    *begins = t == NULL;
    if (!t) {
        if (!fm__grow(FM_TAG_SINKS, &f->items, &f->cap, f->count + 1, f->item_size)) {
            return fm__fail_nomem(err, "the tracks of a stream");
        }
        t = item_at(f, f->count++);
        memset(t, 0, f->item_size);
        t->track = det->track_id;
        t->first = frame;
    }
    t->seen = frame;
    t->count++;
    *out = t;
    return FM_OK;
}

bool fm__follow_take_ended(fm_follow *f, uint64_t frame, bool all, void *out)
{
    for (size_t i = 0; i < f->count; i++) {
        fm_followed *t = item_at(f, i);
        bool crowded = f->count > MAX_TRACKS && t->seen < frame;
        if (all || crowded || frame - t->seen > (uint64_t)f->gone) {
            memcpy(out, t, f->item_size);
            memmove(t, item_at(f, --f->count), f->item_size);
            return true;
        }
    }
    return false;
}

float fm__view_quality(const fm_result *r, const fm_det *d)
{
    float w = d->box.x1 - d->box.x0, h = d->box.y1 - d->box.y0;
    bool cut = d->box.x0 <= 1 || d->box.y0 <= 1 || d->box.x1 >= (float)r->width - 1 ||
               d->box.y1 >= (float)r->height - 1;
    return d->score * sqrtf(w > 0 && h > 0 ? w * h : 0) * (cut ? 0.5f : 1.0f);
}
