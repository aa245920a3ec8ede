// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The store as a sink: every frame's result becomes a record. Which frames keep their picture is decided
// here, and each track's best view is cut out here: while a track lives, the JPEG of its best crop so far
// waits in memory, and goes out once the track has not been seen for a while, or the stream ends. Encoding
// happens on this thread, writing on the store's; when the store falls behind, its queue holds this thread
// up, never more. A record that the store loses does not end the stream: the store says so, and close() tells
// it at the end.

#include "base/alloc.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "frame/frame.h"
#include "sinks/follow.h"
#include "sinks/sinks.h"

#include <stdatomic.h>
#include <string.h>

#define BETTER_CROP 1.1f  // a view this much better is worth encoding
#define BETTER_FRAME 1.5f // and this much, worth keeping its frame (events)

/** A track that lives. */
typedef struct live {
    fm_followed followed; // first
    float quality;        // of the best crop so far
    float kept;           // of the frame kept for it
    fm_store_view view;   // the jpeg is fm_free's
} live;

typedef struct store_sink {
    fm_sink sink;
    fm_store *store;
    int64_t run;
    fm_store_keep keep;
    int every;
    bool crops;
    char *model;              // of features, NULL: none
    fm_follow follow;         // of live
    fm_store_object *objects; // scratch
    size_t object_cap;
    fm_store_view *views; // scratch: of tracks that ended
    size_t view_cap;
    fm_str meta; // scratch: of the frame
    fm_str *object_meta;
    size_t object_meta_count;
    atomic_ullong lost;
} store_sink;

static void on_done(fm_status status, int64_t frame_id, const fm_error *err, void *opaque)
{
    store_sink *s = opaque;
    (void)frame_id;
    (void)err; // the store logs it
    if (status != FM_OK) {
        atomic_fetch_add(&s->lost, 1);
    }
}

static const char *label_of(const fm_result *r, int32_t class_id)
{
    return class_id >= 0 && (size_t)class_id < r->label_count ? r->labels[class_id] : NULL;
}

// {"class":"cat","class_score":0.93}; NULL when the classifier said nothing.
static const char *class_meta(fm_str *s, const fm_result *r, const fm_class_score *best)
{
    if (!best || best->class_id < 0 || (size_t)best->class_id >= r->class_label_count) {
        return NULL;
    }
    fm_json j;
    fm__str_reset(s);
    fm__json_init(&j, s);
    fm__json_open_object(&j);
    fm__json_put_string(&j, "class", r->class_labels[best->class_id]);
    fm__json_put_fixed(&j, "class_score", best->score, 4);
    fm__json_close_object(&j);
    return s->failed ? NULL : s->data;
}

static bool reserve_objects(store_sink *s, size_t n)
{
    size_t had = s->object_meta_count;
    if (!fm__grow(FM_TAG_SINKS, (void **)&s->objects, &s->object_cap, n, sizeof(*s->objects))) {
        return false;
    }
    if (n > had) {
        fm_str *more = fm__realloc_array(FM_TAG_SINKS, s->object_meta, s->object_cap, sizeof(*more));
        if (!more) {
            return false;
        }
        s->object_meta = more;
        for (size_t i = had; i < s->object_cap; i++) {
            fm__str_init(&more[i], FM_TAG_SINKS);
        }
        s->object_meta_count = s->object_cap;
    }
    return true;
}

static void fill_objects(store_sink *s, const fm_result *r)
{
    for (size_t i = 0; i < r->det_count; i++) {
        const fm_det *d = &r->dets[i];
        const fm_class_score *best =
            r->object_classes && r->object_class_count ? &r->object_classes[i * r->object_class_count] : NULL;
        s->objects[i] = (fm_store_object){
            .box = d->box,
            .score = d->score,
            .class_id = d->class_id,
            .label = label_of(r, d->class_id),
            .track = d->track_id > 0 ? d->track_id : 0,
            .feature = s->model && r->features ? r->features[i] : NULL,
            .meta = class_meta(&s->object_meta[i], r, best),
        };
    }
}

static fm_status take_crop(
    store_sink *s, live *l, const fm_result *r, const fm_det *d, const fm_frame *frame, fm_error *err)
{
    fm_store_view v = {.track = l->followed.track, .frame = r->frame, .box = d->box, .score = d->score};
    void *jpeg = NULL;
    fm_status st = fm_store_encode(s->store, frame, d->box, &jpeg, &v.jpeg_bytes, &v.width, &v.height, err);
    if (st == FM_INVAL) {
        return FM_OK; // outside of the frame: nothing to be seen of it
    }
    if (st == FM_OK) {
        fm__free((void *)l->view.jpeg);
        v.jpeg = jpeg;
        l->view = v;
    }
    return st;
}

// Follows the frame's tracks; *event: one of them begins here, or is seen better than before.
static fm_status follow(store_sink *s, const fm_result *r, const fm_frame *frame, bool *event, fm_error *err)
{
    fm_status st = FM_OK;
    for (size_t i = 0; i < r->det_count && st == FM_OK; i++) {
        const fm_det *d = &r->dets[i];
        if (d->track_id <= 0) {
            continue;
        }
        bool begins = false;
        fm_followed *followed;
        st = fm__follow_see(&s->follow, r->frame, d, &followed, &begins, err);
        if (st != FM_OK) {
            break;
        }
        live *l = (live *)followed; // first in it
        float q = fm__view_quality(r, d);
        *event |= begins;
        l->view.track = d->track_id;
        if (q > l->kept * BETTER_FRAME) {
            l->kept = q;
            *event = true;
        }
        if (s->crops && frame && q > l->quality * BETTER_CROP) {
            l->quality = q;
            st = take_crop(s, l, r, d, frame, err);
        }
    }
    return st;
}

// Moves what has ended to s->views; all of them at the end of the stream. The caller frees their pictures.
static fm_status collect_ended(store_sink *s, uint64_t frame, bool all, size_t *count, fm_error *err)
{
    live l;
    for (size_t n = 0;; n++) {
        *count = n;
        if (!fm__grow(FM_TAG_SINKS, (void **)&s->views, &s->view_cap, n + 1, sizeof(*s->views))) {
            return fm__fail_nomem(err, "the tracks of a stream");
        }
        if (!fm__follow_take_ended(&s->follow, frame, all, &l)) {
            return FM_OK;
        }
        s->views[n] = l.view;
        s->views[n].ended = true;
    }
}

static void free_views(store_sink *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        fm__free((void *)s->views[i].jpeg);
    }
}

static bool keeps_picture(const store_sink *s, uint64_t number, bool event)
{
    return s->keep == FM_STORE_KEEP_FRAMES ? number % (uint64_t)s->every == 0
                                           : s->keep == FM_STORE_KEEP_EVENTS && event;
}

static fm_status put(
    store_sink *s, const fm_result *r, const fm_frame *frame, bool event, size_t ended, fm_error *err)
{
    fm_store_record rec = FM_STORE_RECORD_INIT;
    fill_objects(s, r);
    rec.run = s->run;
    rec.frame = r->frame;
    rec.pts_ns = r->pts_ns;
    rec.wall_ns = r->wall_ns;
    rec.width = r->width;
    rec.height = r->height;
    rec.file = r->file;
    rec.error = r->error;
    rec.meta = class_meta(&s->meta, r, r->class_count ? r->classes : NULL);
    rec.picture = frame && keeps_picture(s, r->frame, event || ended) ? frame : NULL;
    rec.objects = s->objects;
    rec.object_count = r->det_count;
    rec.feature_model = s->model;
    rec.feature_dim = s->model && r->features ? r->feature_dim : 0;
    rec.frame_feature = s->model ? r->frame_feature : NULL;
    rec.frame_feature_dim = rec.frame_feature ? r->frame_feature_dim : 0;
    rec.views = s->views;
    rec.view_count = ended;
    return fm_store_put(s->store, &rec, on_done, s, err);
}

static fm_status store_write(fm_sink *sink, const fm_result *r, const fm_frame *frame, fm_error *err)
{
    store_sink *s = (store_sink *)sink;
    bool event = false;
    size_t ended = 0;
    if (!reserve_objects(s, r->det_count)) {
        return fm__fail_nomem(err, "the objects of a frame");
    }
    fm_status st = follow(s, r, frame, &event, err);
    st = st == FM_OK ? collect_ended(s, r->frame, false, &ended, err) : st;
    st = st == FM_OK ? put(s, r, frame, event, ended, err) : st;
    free_views(s, ended);
    return st;
}

static fm_status put_last_views(store_sink *s, fm_error *err)
{
    size_t ended = 0;
    fm_status st = collect_ended(s, 0, true, &ended, err);
    if (st == FM_OK && ended > 0) {
        fm_store_record rec = FM_STORE_RECORD_INIT;
        rec.run = s->run;
        rec.no_frame = true;
        rec.views = s->views;
        rec.view_count = ended;
        st = fm_store_put(s->store, &rec, on_done, s, err);
    }
    free_views(s, ended);
    return st;
}

static fm_status store_close(fm_sink *sink, fm_error *err)
{
    store_sink *s = (store_sink *)sink;
    fm_status st = put_last_views(s, err);
    fm_error later;
    fm_status flushed = fm_store_flush(s->store, &later); // on_done needs s until then
    if (st == FM_OK && flushed != FM_OK) {
        st = fm__fail_native(err, flushed, later.native, "%s", later.msg);
    }
    unsigned long long lost = atomic_load(&s->lost);
    if (st == FM_OK && lost > 0) {
        st = fm__fail(err, FM_IO, "%llu records could not be written into the store", lost);
    }
    for (live l; fm__follow_take_ended(&s->follow, 0, true, &l);) {
        fm__free((void *)l.view.jpeg);
    }
    fm__follow_done(&s->follow);
    for (size_t i = 0; i < s->object_meta_count; i++) {
        fm__str_done(&s->object_meta[i]);
    }
    fm__str_done(&s->meta);
    fm__free(s->object_meta);
    fm__free(s->objects);
    fm__free(s->views);
    fm__free(s->model);
    fm__free(s);
    return st;
}

static const fm_sink_class class_with_pixels = {
    .name = "store", .wants_pixels = true, .write = store_write, .close = store_close};
static const fm_sink_class class_without = {
    .name = "store", .wants_pixels = false, .write = store_write, .close = store_close};

fm_status fm__sink_store(const fm_store_sink_opts *o, fm_sink **out, fm_error *err)
{
    store_sink *s = fm__calloc(FM_TAG_SINKS, sizeof(*s));
    if (!s) {
        return fm__fail_nomem(err, "a store's sink");
    }
    bool pixels = o->crops || o->keep == FM_STORE_KEEP_FRAMES || o->keep == FM_STORE_KEEP_EVENTS;
    s->sink.cls = pixels ? &class_with_pixels : &class_without;
    s->store = o->store;
    s->keep = o->keep;
    s->every = o->every > 0 ? o->every : 1;
    s->crops = o->crops;
    fm__follow_init(&s->follow, sizeof(live), o->gone);
    fm__str_init(&s->meta, FM_TAG_SINKS);
    s->model = fm__strdup(FM_TAG_SINKS, o->feature_model);
    fm_status st = o->feature_model && !s->model
                       ? fm__fail_nomem(err, "a store's sink")
                       : fm_store_begin_run(o->store, o->stream, o->url, &s->run, err);
    if (st != FM_OK) {
        fm__str_done(&s->meta);
        fm__free(s->model);
        fm__free(s);
        return st;
    }
    *out = &s->sink;
    return FM_OK;
}
