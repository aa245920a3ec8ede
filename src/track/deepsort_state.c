// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The body of a saved tracker "deepsort"; state.c has the envelope.
//   u16  features of a gallery: the budget, 1 where they are smoothed
//   u32  tracks; each: u64 id, 0 while tentative; u32 class, matches, frames unseen, frames not looked at;
//        20 x f64 filter; gallery (gallery.c) unless features have no dimensions
//   u32  ended tracks, oldest first; each: u64 id, u32 class, u64 frame; gallery
// Loading believes nothing: counts against what this tracker may hold and against the bytes that are left,
// filters must be possible ones, ids below the next id and none twice.

#include "base/error.h"
#include "track/deepsort.h"

enum { MOST_FRAMES = 1 << 30 };

static void put_track(const fm__deepsort *d, const fm__ds_track *t, fm__writer *w)
{
    fm__put(w, (uint64_t)t->id, 8);
    fm__put(w, (uint32_t)t->class_id, 4);
    fm__put(w, t->hits, 4);
    fm__put(w, t->unseen, 4);
    fm__put(w, t->looked, 4);
    fm__kalman_put(&t->k, w);
    if (fm__ds_looks(d))
        fm__gallery_put(&d->galleries, t->gallery, w);
}

static void put_ended(const fm__deepsort *d, const fm__ds_ended *e, fm__writer *w)
{
    fm__put(w, (uint64_t)e->id, 8);
    fm__put(w, (uint32_t)e->class_id, 4);
    fm__put(w, e->frame, 8);
    fm__gallery_put(&d->galleries, e->gallery, w);
}

void fm__ds_save(const void *self, fm__writer *w)
{
    const fm__deepsort *d = self;
    fm__put(w, d->galleries.budget, 2);
    fm__put(w, d->count, 4);
    for (size_t i = 0; i < d->count; i++)
        put_track(d, &d->tracks[i], w);
    fm__put(w, d->ended_count, 4);
    for (size_t i = 0; i < d->ended_count; i++)
        put_ended(d, &d->ended[i], w);
}

/* ---- loading ---- */

static fm_status no_memory(fm_error *err)
{
    return fm__fail_nomem(err, "a saved tracker");
}

static fm_status get_track(fm__deepsort *d, fm__reader *r, uint64_t most_id, fm_error *err)
{
    fm__ds_track *t = &d->tracks[d->count];
    *t = (fm__ds_track){.gallery = FM_GALLERY_NONE, .det = -1};
    t->id = (int64_t)fm__get_in(r, 8, 0, most_id);
    t->class_id = (int32_t)(uint32_t)fm__get(r, 4);
    t->hits = (uint32_t)fm__get_in(r, 4, 1, MOST_FRAMES);
    // A tentative track ends with its first miss.
    t->unseen = (uint32_t)fm__get_in(r, 4, 0, t->id == 0 ? 0 : (uint64_t)d->opts->max_age);
    t->looked = (uint32_t)fm__get_in(r, 4, 0, MOST_FRAMES);
    t->previous = -1;
    fm__kalman_get(&t->k, r);
    if (fm__ds_looks(d) && !fm__gallery_get(&d->galleries, &t->gallery, r))
        return no_memory(err);
    d->count++;
    return r->bad ? FM_FORMAT : FM_OK;
}

static fm_status get_ended(fm__deepsort *d, fm__reader *r, uint64_t most_id, fm_error *err)
{
    fm__ds_ended *e = &d->ended[d->ended_count];
    *e = (fm__ds_ended){.id = (int64_t)fm__get_in(r, 8, 1, most_id)};
    e->class_id = (int32_t)(uint32_t)fm__get(r, 4);
    e->frame = fm__get(r, 8);
    if (d->ended_count > 0 && e->frame < e[-1].frame)
        r->bad = true;
    if (!fm__gallery_get(&d->galleries, &e->gallery, r))
        return no_memory(err);
    d->ended_count++;
    return r->bad ? FM_FORMAT : FM_OK;
}

static bool id_is_twice(const fm__deepsort *d)
{
    for (size_t i = 0; i < d->count + d->ended_count; i++) {
        int64_t id = i < d->count ? d->tracks[i].id : d->ended[i - d->count].id;
        for (size_t k = 0; k < i && id != 0; k++)
            if (id == (k < d->count ? d->tracks[k].id : d->ended[k - d->count].id))
                return true;
    }
    return false;
}

static fm_status other_settings(fm_error *err, const char *what, size_t saved, size_t here)
{
    return fm__fail(err, FM_INVAL, "tracker state: %zu %s, this tracker has %zu", saved, what, here);
}

fm_status fm__ds_load(void *self, fm__reader *r, int64_t next_id, fm_error *err)
{
    fm__deepsort *d = self;
    size_t budget = fm__get(r, 2), count = fm__get(r, 4);
    if (!r->bad && budget != d->galleries.budget)
        return other_settings(err, "features a gallery", budget, d->galleries.budget);
    if (!r->bad && count > (size_t)d->opts->max_tracks)
        return other_settings(err, "tracks", count, (size_t)d->opts->max_tracks);
    if (r->bad || count > (r->len - r->at) / sizeof(fm__kalman))
        return FM_FORMAT;
    if (!fm__ds_reserve_tracks(d, count))
        return no_memory(err);
    fm_status status = FM_OK;
    for (size_t i = 0; i < count && status == FM_OK; i++)
        status = get_track(d, r, (uint64_t)next_id - 1, err);
    if (status != FM_OK)
        return status;
    size_t ended = fm__get(r, 4);
    if (!r->bad && ended > (size_t)d->opts->reentry_count)
        return other_settings(err, "ended tracks", ended, (size_t)d->opts->reentry_count);
    for (size_t i = 0; i < ended && status == FM_OK; i++)
        status = get_ended(d, r, (uint64_t)next_id - 1, err);
    return status == FM_OK && (r->bad || id_is_twice(d)) ? FM_FORMAT : status;
}
