// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// What a stream of pushed frames remembers, so that it can be taken up elsewhere. Little-endian:
//   "FMSTREAM", u32 version 1, u64 frames so far, u32 length and bytes of the tracker's state, u32 length and
//   bytes of the motion detector's; a length of 0: there is none
// Both states are versioned and checked by their own modules. They are loaded into new objects, which take
// the place of the old ones only when both are whole.

#include "pipeline/private.h"

#include "base/error.h"

#include <string.h>

#define MAGIC "FMSTREAM"
#define VERSION 1u

enum { MAGIC_SIZE = 8, HEADER_SIZE = MAGIC_SIZE + 4 + 8 };

void fm__lane_put_motion(const lane *l, fm__writer *w)
{
    size_t size = l->motion ? fm__motion_save(l->motion, NULL, 0) : 0;
    uint8_t *at = fm__put_section(w, size);
    if (at && l->motion) {
        (void)fm__motion_save(l->motion, at, size); // its size is that of before
    }
}

static void put_all(const lane *l, fm__writer *w)
{
    size_t tracker = l->tracker ? fm__tracker_save(l->tracker, NULL, 0) : 0;
    fm__put_raw(w, MAGIC, MAGIC_SIZE);
    fm__put(w, VERSION, 4);
    fm__put(w, l->next_index, 8);
    uint8_t *at = fm__put_section(w, tracker);
    if (at && l->tracker) {
        (void)fm__tracker_save(l->tracker, at, tracker); // the same
    }
    fm__lane_put_motion(l, w);
}

size_t fm__pipeline_save(fm_pipeline *p, size_t stream, void *data, size_t cap)
{
    fm__writer w = {.data = NULL};
    put_all(&p->lanes[stream], &w);
    size_t need = w.at;
    if (data && cap >= need) {
        w = (fm__writer){.data = data, .cap = need};
        put_all(&p->lanes[stream], &w);
    }
    return need;
}

typedef struct parts {
    uint64_t next_index;
    fm__section tracker, motion;
} parts;

static fm_status split(const void *data, size_t len, parts *out, fm_error *err)
{
    if (len < HEADER_SIZE || memcmp(data, MAGIC, MAGIC_SIZE) != 0) {
        return fm__fail(err, FM_FORMAT, "these %zu bytes are no state of a stream", len);
    }
    fm__reader r = {.data = data, .len = len, .at = MAGIC_SIZE};
    unsigned version = (unsigned)fm__get(&r, 4);
    if (version != VERSION) {
        return fm__fail(
            err, FM_UNSUPPORTED, "a stream's state of version %u; this framemill reads %u", version, VERSION);
    }
    out->next_index = fm__get(&r, 8);
    out->tracker = fm__get_section(&r);
    out->motion = fm__get_section(&r);
    if (r.bad || r.at != r.len) {
        return fm__fail(err, FM_FORMAT, "a stream's state is damaged: its parts do not fill it");
    }
    return FM_OK;
}

static fm_status check_settings(const lane *l, const parts *in, fm_error *err)
{
    if ((l->tracker != NULL) != (in->tracker.len > 0)) {
        return fm__fail(err, FM_INVAL,
            l->tracker ? "the stream has a tracker and the state has none"
                       : "the state is of a tracker and the stream has none");
    }
    if ((l->motion != NULL) != (in->motion.len > 0)) {
        return fm__fail(err, FM_INVAL, "the state is of another detector: only one of the two is 'motion'");
    }
    return FM_OK;
}

fm_status fm__pipeline_load(fm_pipeline *p, size_t stream, const void *data, size_t len, fm_error *err)
{
    lane *l = &p->lanes[stream];
    parts in = {.next_index = 0};
    fm_tracker *tracker = NULL;
    fm_motion *motion = NULL;
    fm_status st = split(data, len, &in, err);
    st = st == FM_OK ? check_settings(l, &in, err) : st;
    if (st == FM_OK && l->tracker) {
        st = fm__tracker_new(&p->tracker, &tracker, err);
        st = st == FM_OK ? fm__tracker_load(tracker, in.tracker.data, in.tracker.len, err) : st;
    }
    if (st == FM_OK && l->motion) {
        st = fm__lane_new_motion(p, &motion, err);
        st = st == FM_OK ? fm__motion_load(motion, in.motion.data, in.motion.len, err) : st;
    }
    if (st == FM_OK) {
        fm_tracker *old_tracker = l->tracker;
        fm_motion *old_motion = l->motion;
        l->tracker = tracker;
        l->motion = motion;
        tracker = old_tracker;
        motion = old_motion;
        l->next_index = in.next_index;
    }
    fm__tracker_free(&tracker);
    fm__motion_free(&motion);
    return st;
}
