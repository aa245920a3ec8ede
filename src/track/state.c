// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Saving and loading trackers, so that a stream can be taken up elsewhere. Little-endian:
//   "FMTRACKS"
//   u32  version 1
//   16 bytes: the type's name, padded with zeros
//   u32  dimension of features
//   u8   1: some frame was shown, u64 the last one's number
//   u64  next id
//   u64  length of the body; then the body, whose layout is the type's (deepsort_state.c ...)
//   u64  FNV-1a of all bytes before it
// The sum is against damage, not against forgery: every value behind it is checked as well. The body goes
// into a fresh self, which takes the old one's place only when all of it was sound.

#include "base/error.h"
#include "track/private.h"

#define MAGIC "FMTRACKS"
#define VERSION 1u

enum {
    MAGIC_SIZE = 8,
    NAME_SIZE = 16,
    SUM_SIZE = 8,
    HEADER_SIZE = MAGIC_SIZE + 4 + NAME_SIZE + 4 + 1 + 3 * 8
};

// Of filter states; far beyond what boxes of a million pixels reach in ten thousand frames.
#define LEAST_VARIANCE 1e-30
#define MOST_VARIANCE 1e40

static uint64_t fnv1a(const uint8_t *p, size_t len)
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 1099511628211u;
    return h;
}

static void put_text(fm__writer *w, const char *text, size_t size)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < size; i++)
        fm__put(w, i < len ? (uint8_t)text[i] : 0, 1);
}

static void put_all(const fm_tracker *t, size_t body, fm__writer *w)
{
    put_text(w, MAGIC, MAGIC_SIZE);
    fm__put(w, VERSION, 4);
    put_text(w, t->type->name, NAME_SIZE);
    fm__put(w, (uint64_t)t->opts.dim, 4);
    fm__put(w, t->started, 1);
    fm__put(w, t->last, 8);
    fm__put(w, (uint64_t)t->next_id, 8);
    fm__put(w, body, 8);
    t->type->save(t->self, w);
}

size_t fm__tracker_save(const fm_tracker *tracker, void *data, size_t cap)
{
    if (tracker->pending)
        return 0;
    fm__writer body = {0};
    tracker->type->save(tracker->self, &body);
    size_t size = HEADER_SIZE + body.at + SUM_SIZE;
    if (data == NULL || cap < size)
        return size;
    fm__writer w = {.data = data, .cap = cap};
    put_all(tracker, body.at, &w);
    fm__put(&w, fnv1a(data, w.at), SUM_SIZE);
    return size;
}

/* ---- loading ---- */

typedef struct header {
    bool started;
    uint64_t last;
    int64_t next_id;
} header;

static fm_status check_sum(const uint8_t *p, size_t len, fm_error *err)
{
    if (len < HEADER_SIZE + SUM_SIZE || memcmp(p, MAGIC, MAGIC_SIZE) != 0)
        return fm__fail(err, FM_FORMAT, "tracker state: %zu bytes that are no saved tracker", len);
    fm__reader r = {.data = p, .len = len, .at = MAGIC_SIZE};
    uint64_t version = fm__get(&r, 4);
    if (version != VERSION)
        return fm__fail(err, FM_UNSUPPORTED,
            "tracker state: version %llu, this framemill reads %u; let the stream be tracked anew",
            (unsigned long long)version, VERSION);
    r.at = len - SUM_SIZE;
    if (fm__get(&r, SUM_SIZE) != fnv1a(p, len - SUM_SIZE))
        return fm__fail(
            err, FM_FORMAT, "tracker state: damaged, its check sum is wrong; let the stream be tracked anew");
    return FM_OK;
}

static fm_status read_header(const fm_tracker *t, fm__reader *r, header *h, fm_error *err)
{
    r->at = MAGIC_SIZE + 4;
    char name[NAME_SIZE + 1] = "", expected[NAME_SIZE] = "";
    memcpy(name, r->data + r->at, NAME_SIZE);
    memcpy(expected, t->type->name, strlen(t->type->name));
    r->at += NAME_SIZE;
    if (memcmp(name, expected, NAME_SIZE) != 0)
        return fm__fail(
            err, FM_INVAL, "tracker state: of a tracker '%s', this one is '%s'", name, t->type->name);
    uint64_t dim = fm__get(r, 4);
    if (dim != (uint64_t)t->opts.dim)
        return fm__fail(err, FM_INVAL, "tracker state: features of %llu numbers, this tracker's have %d",
            (unsigned long long)dim, t->opts.dim);
    h->started = fm__get_in(r, 1, 0, 1);
    h->last = fm__get(r, 8);
    h->next_id = (int64_t)fm__get_in(r, 8, 1, INT64_MAX / 2);
    if (fm__get(r, 8) != r->len - HEADER_SIZE || r->bad || (!h->started && h->last != 0))
        return fm__fail(err, FM_FORMAT, "tracker state: impossible values in its head");
    return FM_OK;
}

static fm_status read_body(const fm_tracker *t, void *self, fm__reader *r, int64_t next_id, fm_error *err)
{
    fm_status status = t->type->load(self, r, next_id, err);
    if (status == FM_FORMAT || (status == FM_OK && (r->bad || r->at != r->len)))
        return fm__fail(
            err, FM_FORMAT, "tracker state: impossible values near byte %zu of %zu", r->at, r->len);
    return status;
}

fm_status fm__tracker_load(fm_tracker *tracker, const void *data, size_t len, fm_error *err)
{
    fm_tracker *t = tracker;
    if (t->pending)
        return fm__fail(err, FM_INVAL, "tracker state: loaded in the middle of a frame");
    fm_status status = check_sum(data, len, err);
    if (status != FM_OK)
        return status;
    fm__reader r = {.data = data, .len = len - SUM_SIZE};
    header h = {0};
    status = read_header(t, &r, &h, err);
    if (status != FM_OK)
        return status;
    void *self = fm__tracker_self_new(t);
    if (self == NULL)
        return fm__fail_nomem(err, "a saved tracker");
    status = read_body(t, self, &r, h.next_id, err);
    if (status != FM_OK) {
        fm__tracker_self_free(t, self);
        return status;
    }
    fm__tracker_self_free(t, t->self);
    t->self = self;
    t->started = h.started;
    t->last = h.last;
    t->next_id = h.next_id;
    return FM_OK;
}

/* ---- filters ---- */

void fm__kalman_put(const fm__kalman *k, fm__writer *w)
{
    const double *const parts[] = {k->x, k->v, k->xx, k->xv, k->vv};
    for (int part = 0; part < 5; part++)
        for (int i = 0; i < 4; i++)
            fm__put_f64(w, parts[part][i]);
}

// A covariance that could not be one would turn negative, and a division by it mean nothing.
void fm__kalman_get(fm__kalman *k, fm__reader *r)
{
    for (int i = 0; i < 4; i++)
        k->x[i] = fm__get_f64(r, -FM_TRACK_FAR_STATE, FM_TRACK_FAR_STATE);
    for (int i = 0; i < 4; i++)
        k->v[i] = fm__get_f64(r, -FM_TRACK_FAR_STATE, FM_TRACK_FAR_STATE);
    for (int i = 0; i < 4; i++)
        k->xx[i] = fm__get_f64(r, LEAST_VARIANCE, MOST_VARIANCE);
    for (int i = 0; i < 4; i++)
        k->xv[i] = fm__get_f64(r, -MOST_VARIANCE, MOST_VARIANCE);
    for (int i = 0; i < 4; i++)
        k->vv[i] = fm__get_f64(r, LEAST_VARIANCE, MOST_VARIANCE);
    for (int i = 0; i < 4; i++)
        if (k->xv[i] * k->xv[i] > k->xx[i] * k->vv[i])
            r->bad = true;
}
