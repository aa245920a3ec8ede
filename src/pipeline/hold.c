// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What becomes of frames that no model looked at (gate.c). Without a tracker they carry the objects of the
// last look. With one, a look and the frames after it are held until the next look is tracked, and then go on
// together: an object seen in both moves evenly between its two boxes, one seen in a single one is there for
// the half that lies nearer, and a track that got its id with the second look has it in the first one
// already, so that looking more rarely does not mean hearing later of who came in. At most FM__MAX_HELD
// frames are held; past that, and while nothing moves, objects stay where they were. All in delivery, in a
// stream's order.

#include "pipeline/private.h"

#include "base/alloc.h"
#include "base/error.h"

#include <string.h>

/* ---- objects ---- */

typedef struct objects {
    fm_det dets[FM_MAX_DETS];
    fm_box filtered[FM_MAX_DETS];
    size_t count;
} objects;

struct fm__hold {
    work *look;                // the one that is held, NULL: none
    work *after[FM__MAX_HELD]; // [count] frames without a look, held behind it
    size_t count;
    objects last;    // of the last look that was let go
    objects between; // scratch
    int32_t next_of[FM_MAX_DETS];
};

static void add(objects *o, const fm_det *det, fm_box filtered)
{
    if (o->count == FM_MAX_DETS) {
        return;
    }
    size_t at = o->count++;
    for (; at > 0 && o->dets[at - 1].score < det->score; at--) { // by descending score, as everywhere
        o->dets[at] = o->dets[at - 1];
        o->filtered[at] = o->filtered[at - 1];
    }
    o->dets[at] = *det;
    o->filtered[at] = filtered;
}

static float mix(float a, float b, float t)
{
    return a + t * (b - a);
}

static fm_box mix_boxes(fm_box a, fm_box b, float t)
{
    return (fm_box){mix(a.x0, b.x0, t), mix(a.y0, b.y0, t), mix(a.x1, b.x1, t), mix(a.y1, b.y1, t)};
}

// What a look is known to have seen, weak detections without a track left out.
static void take_objects(const work *w, objects *out)
{
    out->count = w->det_count < FM_MAX_DETS ? w->det_count : FM_MAX_DETS;
    memcpy(out->dets, w->dets, out->count * sizeof(*out->dets));
    if (w->filtered) {
        memcpy(out->filtered, w->filtered, out->count * sizeof(*out->filtered));
    }
}

static void put_objects(work *w, const objects *o)
{
    if (!fm__work_set_dets(w, o->dets, o->count)) {
        fm_error err;
        fm__work_fail(w, fm__fail_nomem(&err, "objects"), &err);
        return;
    }
    if (w->filtered) {
        memcpy(w->filtered, o->filtered, o->count * sizeof(*o->filtered));
    }
    fm__objects_bare(w);
}

/* ---- between two looks ---- */

// Which detection of `b` is which of `a`; ids that came with b are a's, too.
static void link_looks(fm__hold *h, work *a, const work *b)
{
    for (size_t i = 0; i < a->det_count; i++) {
        h->next_of[i] = -1;
    }
    for (size_t j = 0; j < b->det_count; j++) {
        int32_t i = b->marks[j].id > 0 ? b->marks[j].previous : -1;
        if (i < 0 || (size_t)i >= a->det_count) {
            continue;
        }
        h->next_of[i] = (int32_t)j;
        if (a->marks[i].id == 0) {
            a->marks[i].id = b->marks[j].id;
        }
    }
}

static void place(fm__hold *h, const work *a, const work *b, uint64_t frame)
{
    objects *o = &h->between;
    float t = (float)(frame - a->index) / (float)(b->index - a->index);
    o->count = 0;
    for (size_t i = 0; i < a->det_count; i++) {
        fm_det det = a->dets[i];
        fm_box filtered = a->marks[i].filtered;
        int32_t j = h->next_of[i];
        if (a->marks[i].id == 0 || (j < 0 && t > 0.5F)) {
            continue;
        }
        if (j >= 0) {
            det.box = mix_boxes(det.box, b->dets[j].box, t);
            filtered = mix_boxes(filtered, b->marks[j].filtered, t);
        }
        det.track_id = a->marks[i].id;
        add(o, &det, filtered);
    }
    for (size_t j = 0; j < b->det_count; j++) {
        if (b->marks[j].id > 0 && b->marks[j].previous < 0 && t > 0.5F) {
            fm_det det = b->dets[j];
            det.track_id = b->marks[j].id;
            add(o, &det, b->marks[j].filtered);
        }
    }
}

/* ---- holding and letting go ---- */

static void let_go(lane *l, work *w)
{
    fm__deliver_one(l, w);
    fm__work_recycle(w);
}

// The held look goes first; its objects are what is carried from now on.
static void let_look_go(lane *l, fm__hold *h)
{
    work *a = h->look;
    h->look = NULL;
    fm__track_report(l->p, a);
    take_objects(a, &h->last);
    let_go(l, a);
}

static void let_all_go(lane *l, fm__hold *h, const work *b)
{
    size_t n = h->count;
    work *a = h->look;
    if (!a) {
        return;
    }
    if (b) {
        link_looks(h, a, b);
        for (size_t i = 0; i < n; i++) {
            place(h, a, b, h->after[i]->index);
            put_objects(h->after[i], &h->between);
        }
    }
    let_look_go(l, h);
    for (size_t i = 0; i < n; i++) {
        if (!b) {
            put_objects(h->after[i], &h->last);
        }
        let_go(l, h->after[i]);
    }
    h->count = 0;
}

static bool take_skipped(lane *l, fm__hold *h, work *w)
{
    fm_error err = {0};
    if (l->tracker && fm__tracker_coast(l->tracker, w->index, !w->still, &err) != FM_OK) {
        fm__lane_fail(l, &err);
    }
    if (h->look && h->count < FM__MAX_HELD) {
        h->after[h->count++] = w;
        return true;
    }
    let_all_go(l, h, NULL);
    put_objects(w, &h->last);
    return false;
}

static bool take_look(lane *l, fm__hold *h, work *w)
{
    let_all_go(l, h, w->tracked ? w : NULL);
    if (w->tracked) {
        h->look = w;
        return true;
    }
    if (!w->no_objects) {
        take_objects(w, &h->last);
    }
    return false;
}

bool fm__hold_take(lane *l, work *w)
{
    fm__hold *h = l->hold;
    return h && (w->skipped ? take_skipped(l, h, w) : take_look(l, h, w));
}

void fm__hold_checkpoint(lane *l)
{
    const fm__hold *h = l->hold;
    if (h && h->look) {
        fm__resume_carry(l, h->count > 0 ? h->after[h->count - 1] : h->look);
    }
}

void fm__hold_end(lane *l)
{
    if (l->hold) {
        let_all_go(l, l->hold, NULL);
    }
}

fm_status fm__hold_new(fm__hold **out, fm_error *err)
{
    *out = fm__calloc(FM_TAG_PIPELINE, sizeof(**out));
    return *out ? FM_OK : fm__fail_nomem(err, "frames between two looks");
}

void fm__hold_free(fm__hold **hold)
{
    fm__free(*hold);
    *hold = NULL;
}

/* ---- saved state: u32 count of the last look's objects, then f32 box, score, i32 class, i64 track, f32 the
 * tracker's box of each ---- */

static void put_box(fm__writer *w, fm_box b)
{
    fm__put_f32(w, b.x0);
    fm__put_f32(w, b.y0);
    fm__put_f32(w, b.x1);
    fm__put_f32(w, b.y1);
}

static fm_box get_box(fm__reader *r)
{
    enum { FAR = 1000000 };
    fm_box b = {.x0 = fm__get_f32(r, -FAR, FAR)};
    b.y0 = fm__get_f32(r, -FAR, FAR);
    b.x1 = fm__get_f32(r, -FAR, FAR);
    b.y1 = fm__get_f32(r, -FAR, FAR);
    return b;
}

size_t fm__hold_save(const fm__hold *h, void *data, size_t cap)
{
    const objects *o = &h->last;
    fm__writer w = {.data = data, .cap = data ? cap : 0};
    fm__put(&w, o->count, 4);
    for (size_t i = 0; i < o->count; i++) {
        put_box(&w, o->dets[i].box);
        fm__put_f32(&w, o->dets[i].score);
        fm__put(&w, (uint32_t)o->dets[i].class_id, 4);
        fm__put(&w, (uint64_t)o->dets[i].track_id, 8);
        put_box(&w, o->filtered[i]);
    }
    return w.at;
}

fm_status fm__hold_load(fm__hold *h, const void *data, size_t len, fm_error *err)
{
    objects *o = &h->last;
    fm__reader r = {.data = data, .len = len};
    o->count = (size_t)fm__get_in(&r, 4, 0, FM_MAX_DETS);
    for (size_t i = 0; !r.bad && i < o->count; i++) {
        fm_det *det = &o->dets[i];
        det->box = get_box(&r);
        det->score = fm__get_f32(&r, 0, 1);
        det->class_id = (int32_t)fm__get_in(&r, 4, 0, INT32_MAX);
        det->track_id = (int64_t)fm__get_in(&r, 8, 0, INT64_MAX);
        o->filtered[i] = get_box(&r);
    }
    if (r.bad || r.at != r.len) {
        o->count = 0;
        return fm__fail(
            err, FM_FORMAT, "the state of objects between two looks is damaged: begin the stream anew");
    }
    return FM_OK;
}
