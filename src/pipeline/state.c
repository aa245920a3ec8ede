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

static void put_le(uint8_t *p, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        p[i] = (uint8_t)(v >> (8 * i));
    }
}

static uint64_t get_le(const uint8_t *p, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++) {
        v |= (uint64_t)p[i] << (8 * i);
    }
    return v;
}

size_t fm__pipeline_save(fm_pipeline *p, size_t stream, void *data, size_t cap)
{
    lane *l = &p->lanes[stream];
    size_t tracker = l->tracker ? fm__tracker_save(l->tracker, NULL, 0) : 0;
    size_t motion = l->motion ? fm__motion_save(l->motion, NULL, 0) : 0;
    size_t need = HEADER_SIZE + 4 + tracker + 4 + motion;
    if (!data || cap < need) {
        return need;
    }
    uint8_t *at = data;
    memcpy(at, MAGIC, MAGIC_SIZE);
    put_le(at + MAGIC_SIZE, VERSION, 4);
    put_le(at + MAGIC_SIZE + 4, l->next_index, 8);
    at += HEADER_SIZE;
    put_le(at, tracker, 4);
    if (tracker) {
        (void)fm__tracker_save(l->tracker, at + 4, tracker); // its size is that of before
    }
    at += 4 + tracker;
    put_le(at, motion, 4);
    if (motion) {
        (void)fm__motion_save(l->motion, at + 4, motion); // the same
    }
    return need;
}

typedef struct section {
    const uint8_t *data;
    size_t len;
} section;

// False when it does not lie in the bytes left.
static bool take_section(const uint8_t **at, size_t *left, section *out)
{
    if (*left < 4 || get_le(*at, 4) > *left - 4) {
        return false;
    }
    *out = (section){.data = *at + 4, .len = (size_t)get_le(*at, 4)};
    *at += 4 + out->len;
    *left -= 4 + out->len;
    return true;
}

static fm_status split(const void *data, size_t len, section *tracker, section *motion, fm_error *err)
{
    const uint8_t *at = data;
    if (len < HEADER_SIZE || memcmp(at, MAGIC, MAGIC_SIZE) != 0) {
        return fm__fail(err, FM_FORMAT, "these %zu bytes are no state of a stream", len);
    }
    uint64_t version = get_le(at + MAGIC_SIZE, 4);
    if (version != VERSION) {
        return fm__fail(err, FM_UNSUPPORTED, "a stream's state of version %llu; this framemill reads %u",
            (unsigned long long)version, VERSION);
    }
    at += HEADER_SIZE;
    len -= HEADER_SIZE;
    if (!take_section(&at, &len, tracker) || !take_section(&at, &len, motion) || len != 0) {
        return fm__fail(err, FM_FORMAT, "a stream's state is damaged: its parts do not fill it");
    }
    return FM_OK;
}

static fm_status check_settings(const lane *l, const section *tracker, const section *motion, fm_error *err)
{
    if ((l->tracker != NULL) != (tracker->len > 0)) {
        return fm__fail(err, FM_INVAL,
            l->tracker ? "the stream has a tracker and the state has none"
                       : "the state is of a tracker and the stream has none");
    }
    if ((l->motion != NULL) != (motion->len > 0)) {
        return fm__fail(err, FM_INVAL, "the state is of another detector: only one of the two is 'motion'");
    }
    return FM_OK;
}

fm_status fm__pipeline_load(fm_pipeline *p, size_t stream, const void *data, size_t len, fm_error *err)
{
    lane *l = &p->lanes[stream];
    section track = {.len = 0}, move = {.len = 0};
    fm_tracker *tracker = NULL;
    fm_motion *motion = NULL;
    fm_status st = split(data, len, &track, &move, err);
    st = st == FM_OK ? check_settings(l, &track, &move, err) : st;
    if (st == FM_OK && l->tracker) {
        st = fm__tracker_new(&p->tracker, &tracker, err);
        st = st == FM_OK ? fm__tracker_load(tracker, track.data, track.len, err) : st;
    }
    if (st == FM_OK && l->motion) {
        st = fm__lane_new_motion(p, &motion, err);
        st = st == FM_OK ? fm__motion_load(motion, move.data, move.len, err) : st;
    }
    if (st == FM_OK) {
        fm_tracker *old_tracker = l->tracker;
        fm_motion *old_motion = l->motion;
        l->tracker = tracker;
        l->motion = motion;
        tracker = old_tracker;
        motion = old_motion;
        l->next_index = get_le((const uint8_t *)data + MAGIC_SIZE + 4, 8);
    }
    fm__tracker_free(&tracker);
    fm__motion_free(&motion);
    return st;
}
