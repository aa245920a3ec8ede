// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What happens on the caller's thread: a record is checked, its picture encoded, everything copied into one
// block and queued. The queue is bounded by bytes; a caller waits for room, and the writer never waits for a
// caller.

#include "store/private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/pool.h"
#include "base/str.h"

#include <math.h>
#include <string.h>

#define LATE_NS                                                                                              \
    (INT64_C(60) * FM_NS_PER_MS) // the oldest waits so long: no more behind it, whatever the bytes
#define DEFAULT_QUEUE_BYTES ((size_t)64 << 20)
#define MAX_OBJECTS 100000 // of a frame
#define MAX_DIM 16384

bool fm__store_writes(const fm_store *store, const char *what, fm_error *err, fm_status *st)
{
    if (store->lock_fd >= 0) {
        return true;
    }
    *st = fm__fail(err, FM_INVAL, "%s: the store %s was opened to read only", what, store->dir);
    return false;
}

// Lays the parts of a block out: first counted (base NULL), then copied.
typedef struct layout {
    char *base;
    size_t at;
} layout;

static void *part(layout *l, const void *from, size_t bytes)
{
    if (!from || bytes == 0) {
        return NULL;
    }
    l->at = (l->at + 15) & ~(size_t)15;
    void *to = l->base ? l->base + l->at : NULL;
    l->at += bytes;
    return to ? memcpy(to, from, bytes) : NULL;
}

static const char *text(layout *l, const char *from)
{
    return from ? part(l, from, strlen(from) + 1) : NULL;
}

static void lay_out(
    layout *l, fm_store_record *to, const fm_store_record *from, const void *jpeg, size_t bytes)
{
    size_t dim = (size_t)(from->feature_dim > 0 ? from->feature_dim : 0);
    fm_store_record r = *from;
    r.picture = NULL;
    r.file = text(l, from->file);
    r.meta = text(l, from->meta);
    r.error = text(l, from->error);
    r.feature_model = text(l, from->feature_model);
    r.jpeg = part(l, jpeg, bytes);
    r.jpeg_bytes = bytes;
    r.frame_feature = part(l, from->frame_feature, (size_t)from->frame_feature_dim * sizeof(float));
    fm_store_object *objects = part(l, from->objects, from->object_count * sizeof(*objects));
    for (size_t i = 0; i < from->object_count; i++) {
        const char *label = text(l, from->objects[i].label), *meta = text(l, from->objects[i].meta);
        const float *feature = part(l, from->objects[i].feature, dim * sizeof(float));
        if (objects) {
            objects[i].label = label;
            objects[i].meta = meta;
            objects[i].feature = feature;
        }
    }
    fm_store_view *views = part(l, from->views, from->view_count * sizeof(*views));
    for (size_t i = 0; i < from->view_count; i++) {
        const void *crop = part(l, from->views[i].jpeg, from->views[i].jpeg_bytes);
        if (views) {
            views[i].jpeg = crop;
        }
    }
    r.objects = objects;
    r.views = views;
    if (l->base) {
        *to = r;
    }
}

static item *make_item(const fm_store_record *record, const void *jpeg, size_t bytes)
{
    layout l = {.at = sizeof(item)};
    lay_out(&l, NULL, record, jpeg, bytes);
    item *it = fm__calloc(FM_TAG_STORE, l.at);
    if (it) {
        it->kind = ITEM_RECORD;
        it->bytes = l.at;
        l = (layout){.base = (char *)it, .at = sizeof(item)};
        lay_out(&l, &it->r, record, jpeg, bytes);
    }
    return it;
}

static bool all_finite(const float *v, int n)
{
    // A sum of v * 0 is 0 unless one of them is not finite: no branch a value.
    float sum = 0;
    for (int i = 0; i < n; i++) {
        sum += v[i] * 0.0f;
    }
    return sum == 0;
}

static fm_status check_feature(
    const fm_store_record *r, const float *feature, int dim, const char *of, fm_error *err)
{
    if (!feature) {
        return FM_OK;
    }
    if (!r->feature_model || !*r->feature_model) {
        return fm__fail(err, FM_INVAL, "features without the name of their model: set feature_model");
    }
    if (dim < 1 || dim > MAX_DIM) {
        return fm__fail(err, FM_INVAL, "a feature of %d numbers; 1 to %d are allowed", dim, MAX_DIM);
    }
    if (!all_finite(feature, dim)) {
        return fm__fail(err, FM_INVAL, "a feature of frame %llu (%s) has a number that is not finite",
            (unsigned long long)r->frame, of);
    }
    return FM_OK;
}

// The model's dimension is that of its first feature. Under lock.
static fm_status check_model(fm_store *s, const char *name, bool of_frames, int dim, fm_error *err)
{
    for (size_t i = 0; i < s->model_count; i++) {
        model_entry *m = &s->models[i];
        if (m->of_frames == of_frames && strcmp(m->name, name) == 0) {
            return m->dim == dim
                       ? FM_OK
                       : fm__fail(err, FM_INVAL,
                             "a feature of '%s' has %d numbers, and those in the store have %d: is it "
                             "another model of the same name?",
                             name, dim, m->dim);
        }
    }
    char *copy = fm__strdup(FM_TAG_STORE, name);
    if (!copy ||
        !fm__grow(FM_TAG_STORE, (void **)&s->models, &s->model_cap, s->model_count + 1, sizeof(*s->models))) {
        fm__free(copy);
        return fm__fail_nomem(err, "a model's name");
    }
    s->models[s->model_count++] = (model_entry){.name = copy, .of_frames = of_frames, .dim = dim};
    return FM_OK;
}

static fm_status check_box(fm_box b, uint64_t frame, fm_error *err)
{
    float sum = b.x0 + b.y0 + b.x1 + b.y1;
    return isfinite(sum)
               ? FM_OK
               : fm__fail(err, FM_INVAL, "a box of frame %llu is not finite", (unsigned long long)frame);
}

static fm_status check_record(const fm_store_record *r, fm_error *err)
{
    if (r->struct_size != sizeof(*r)) {
        return fm__fail(err, FM_INVAL,
            "fm_store_record has %zu bytes instead of %zu: begin with FM_STORE_RECORD_INIT", r->struct_size,
            sizeof(*r));
    }
    if (r->object_count > MAX_OBJECTS || r->view_count > MAX_OBJECTS || r->jpeg_bytes > INT32_MAX ||
        (r->no_frame && (r->object_count || r->picture || r->jpeg || r->frame_feature))) {
        return fm__fail(err, FM_INVAL, "a record of too many objects, or objects without their frame");
    }
    fm_status st = check_feature(r, r->frame_feature, r->frame_feature_dim, "the frame's", err);
    for (size_t i = 0; i < r->object_count && st == FM_OK; i++) {
        const fm_store_object *o = &r->objects[i];
        st = check_feature(r, o->feature, r->feature_dim, o->label ? o->label : "an object's", err);
        st = st == FM_OK ? check_box(o->box, r->frame, err) : st;
        if (st == FM_OK && !isfinite(o->score)) {
            st = fm__fail(err, FM_INVAL, "a score of frame %llu is not finite", (unsigned long long)r->frame);
        }
    }
    for (size_t i = 0; i < r->view_count && st == FM_OK; i++) {
        st = r->views[i].jpeg_bytes > INT32_MAX ? fm__fail(err, FM_INVAL, "a view of too many bytes")
                                                : check_box(r->views[i].box, r->frame, err);
    }
    return st;
}

static fm_status take_encoder(fm_store *s, fm_jpeg **out, fm_error *err)
{
    pthread_mutex_lock(&s->lock);
    fm_jpeg *j = s->encoder_count ? s->encoders[--s->encoder_count] : NULL;
    pthread_mutex_unlock(&s->lock);
    if (j) {
        *out = j;
        return FM_OK;
    }
    return fm__jpeg_new(s->o.jpeg_quality, out, err);
}

static void give_encoder(fm_store *s, fm_jpeg *j)
{
    pthread_mutex_lock(&s->lock);
    if (s->encoder_count < sizeof(s->encoders) / sizeof(*s->encoders)) {
        s->encoders[s->encoder_count++] = j;
        j = NULL;
    }
    pthread_mutex_unlock(&s->lock);
    fm__jpeg_free(&j);
}

// Under lock. A queue that may be long would keep its last for longer than an acknowledgement may take.
static bool is_behind(const fm_store *s, size_t more)
{
    size_t limit = s->o.queue_bytes ? s->o.queue_bytes : DEFAULT_QUEUE_BYTES;
    return s->head && (s->queued_bytes + more > limit || fm__now_ns() - s->head->queued_ns > LATE_NS);
}

// In order, when there is room. The block is the queue's then.
static fm_status enqueue(fm_store *s, item *it, fm_error *err)
{
    pthread_mutex_lock(&s->lock);
    while (!s->closing && is_behind(s, it->bytes)) {
        pthread_cond_wait(&s->room, &s->lock);
    }
    if (s->closing) {
        pthread_mutex_unlock(&s->lock);
        return fm__fail(err, FM_CANCELED, "the store is being closed");
    }
    it->queued_ns = fm__now_ns();
    if (s->tail) {
        s->tail->next = it;
    } else {
        s->head = it;
    }
    s->tail = it;
    s->queued_bytes += it->bytes;
    fm__pool_made(FM_POOL_STORE_QUEUE, it->bytes);
    s->hurry += it->waiter != NULL;
    if (s->queued_bytes >= s->wanted || s->hurry > 0) {
        pthread_cond_signal(&s->work);
    }
    pthread_mutex_unlock(&s->lock);
    return FM_OK;
}

/** Who is told what became of a record. */
typedef struct answer_to {
    fm_store_done_fn done;
    void *opaque;
    waiter *waiter;
} answer_to;

static fm_status put_with(fm_store *s, const fm_store_record *r, int64_t stream_id, const void *jpeg,
    size_t bytes, const answer_to *to, fm_error *err)
{
    item *it = make_item(r, jpeg, bytes);
    if (!it) {
        return fm__fail_nomem(err, "a record of the store");
    }
    it->stream_id = stream_id;
    it->done = to->done;
    it->opaque = to->opaque;
    it->waiter = to->waiter;
    fm_status st = enqueue(s, it, err);
    if (st != FM_OK) {
        fm__free(it);
    }
    return st;
}

// Under lock.
static fm_status find_run(const fm_store *s, int64_t run, int64_t *stream_id, fm_error *err)
{
    for (size_t i = s->run_count; i-- > 0;) {
        if (s->runs[i].run == run) {
            *stream_id = s->runs[i].stream_id;
            return FM_OK;
        }
    }
    return fm__fail(err, FM_INVAL, "no run %lld was begun", (long long)run);
}

static fm_status check_known(fm_store *s, const fm_store_record *r, int64_t *stream_id, fm_error *err)
{
    bool objects = false;
    for (size_t i = 0; i < r->object_count && !objects; i++) {
        objects = r->objects[i].feature != NULL;
    }
    pthread_mutex_lock(&s->lock);
    fm_status st = find_run(s, r->run, stream_id, err);
    st = st == FM_OK && objects ? check_model(s, r->feature_model, false, r->feature_dim, err) : st;
    st = st == FM_OK && r->frame_feature ? check_model(s, r->feature_model, true, r->frame_feature_dim, err)
                                         : st;
    pthread_mutex_unlock(&s->lock);
    return st;
}

static fm_status put(fm_store *s, const fm_store_record *r, const answer_to *to, fm_error *err)
{
    fm_status st;
    int64_t stream_id = 0;
    if (!fm__store_writes(s, "cannot put", err, &st)) {
        return st;
    }
    st = check_record(r, err);
    st = st == FM_OK ? check_known(s, r, &stream_id, err) : st;
    if (st != FM_OK || !r->picture) {
        return st == FM_OK ? put_with(s, r, stream_id, r->jpeg, r->jpeg_bytes, to, err) : st;
    }
    fm_jpeg *j = NULL;
    const uint8_t *bytes = NULL;
    size_t size = 0;
    st = take_encoder(s, &j, err);
    st = st == FM_OK ? fm__jpeg_encode(j, fm_frame_get_view(r->picture), &bytes, &size, err) : st;
    st = st == FM_OK ? put_with(s, r, stream_id, bytes, size, to, err) : st;
    if (j) {
        give_encoder(s, j);
    }
    return st;
}

fm_status fm_store_put(
    fm_store *s, const fm_store_record *r, fm_store_done_fn done, void *opaque, fm_error *err)
{
    return put(s, r, &(answer_to){.done = done, .opaque = opaque}, err);
}

// What became of an item that was queued.
static fm_status wait_for(fm_store *s, const waiter *w, int64_t *value, fm_error *err)
{
    pthread_mutex_lock(&s->lock);
    while (!w->done) {
        pthread_cond_wait(&s->done, &s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    if (w->status != FM_OK) {
        return fm__fail_native(err, w->status, w->err.native, "%s", w->err.msg);
    }
    if (value) {
        *value = w->value;
    }
    return FM_OK;
}

fm_status fm_store_put_wait(fm_store *s, const fm_store_record *r, int64_t *frame_id, fm_error *err)
{
    waiter w = {.status = FM_OK};
    fm_status st = put(s, r, &(answer_to){.waiter = &w}, err);
    return st == FM_OK ? wait_for(s, &w, frame_id, err) : st;
}

fm_status fm_store_encode(fm_store *s, const fm_frame *frame, fm_box box, void **jpeg, size_t *bytes,
    int *width, int *height, fm_error *err)
{
    fm_frame_view view;
    if (!fm__view_part(fm_frame_get_view(frame), box, &view)) {
        return fm__fail(err, FM_INVAL, "a view outside of its frame");
    }
    fm_jpeg *j = NULL;
    const uint8_t *data = NULL;
    size_t size = 0;
    void *copy = NULL;
    fm_status st = take_encoder(s, &j, err);
    st = st == FM_OK ? fm__jpeg_encode(j, &view, &data, &size, err) : st;
    if (st == FM_OK) {
        copy = fm__calloc(FM_TAG_STORE, size);
        st = copy ? FM_OK : fm__fail_nomem(err, "a view");
    }
    if (st == FM_OK) {
        *jpeg = memcpy(copy, data, size);
        *bytes = size;
        *width = view.width;
        *height = view.height;
    }
    if (j) {
        give_encoder(s, j);
    }
    return st;
}

fm_status fm__store_ask(
    fm_store *s, item_kind kind, const char *stream, const char *url, int64_t *value, fm_error *err)
{
    layout l = {.at = sizeof(item)};
    (void)text(&l, stream);
    (void)text(&l, url);
    item *it = fm__calloc(FM_TAG_STORE, l.at);
    if (!it) {
        return fm__fail_nomem(err, "the store");
    }
    waiter w = {.status = FM_OK};
    l = (layout){.base = (char *)it, .at = sizeof(item)};
    it->kind = kind;
    it->stream = text(&l, stream);
    it->url = text(&l, url);
    it->bytes = l.at;
    it->waiter = &w;
    fm_status st = enqueue(s, it, err);
    if (st != FM_OK) {
        fm__free(it);
        return st;
    }
    return wait_for(s, &w, value, err);
}

fm_status fm_store_begin_run(fm_store *s, const char *stream, const char *url, int64_t *run, fm_error *err)
{
    fm_status st;
    if (!fm__store_writes(s, "cannot begin a run", err, &st)) {
        return st;
    }
    if (!stream || !*stream || strlen(stream) > 100) {
        return fm__fail(err, FM_INVAL, "a stream's name has 1 to 100 bytes");
    }
    return fm__store_ask(s, ITEM_RUN, stream, url, run, err);
}

fm_status fm_store_flush(fm_store *s, fm_error *err)
{
    fm_status st;
    return fm__store_writes(s, "cannot flush", err, &st) ? fm__store_ask(s, ITEM_FLUSH, NULL, NULL, NULL, err)
                                                         : st;
}

fm_status fm_store_prune(fm_store *s, uint64_t *frames, fm_error *err)
{
    fm_status st;
    int64_t n = 0;
    if (!fm__store_writes(s, "cannot prune", err, &st)) {
        return st;
    }
    st = fm__store_ask(s, ITEM_PRUNE, NULL, NULL, &n, err);
    if (st == FM_OK && frames) {
        *frames = (uint64_t)n;
    }
    return st;
}
