// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// A stream's state behind one of its results, for another run to go on with the next frame. It comes together
// along the frame's way: what the stream's thread knows is written down when the frame passes there, since
// that thread runs ahead of delivery, and travels with the frame; delivery adds the tracker and what the hold
// carries, and hands all of it out with that frame's result. Little-endian:
//   "FMRESUME", u32 version 1, u32 CRC32C of all that follows,
//   u32 length and text of the settings, the source's mark (put_mark), then the states of motion detector,
//   gate, tracker and hold, each with its u32 length; 0: there is none
// The check sum tells damage, not malice: every part checks what it loads.

#include "pipeline/private.h"

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/error.h"

#include <string.h>

#define MAGIC "FMRESUME"
#define VERSION 1u
#define MAX_STATE ((size_t)1 << 30)

enum { MAGIC_SIZE = 8, AT_CRC = MAGIC_SIZE + 4, HEADER_SIZE = AT_CRC + 4 };

/* ---- writing ---- */

static void put_bytes(fm__writer *w, const void *data, size_t len)
{
    fm__put(w, len, 4);
    fm__put_raw(w, data, len);
}

static void put_mark(fm__writer *w, const fm_stream_mark *m)
{
    fm__put(w, (uint64_t)m->kind, 1);
    fm__put(w, m->frame, 8);
    fm__put(w, (uint64_t)m->pts_ns, 8);
    fm__put(w, (uint64_t)m->wall_ns, 8);
    fm__put(w, m->crc, 4);
    fm__put(w, m->video.exact, 1);
    fm__put(w, (uint64_t)m->video.ts, 8);
    fm__put(w, (uint64_t)m->video.offset_ns, 8);
    fm__put(w, (uint64_t)m->video.end_ns, 8);
    fm__put(w, m->place, 8);
    put_bytes(w, m->file, strlen(m->file));
}

// What the stream's thread knows.
static void put_source(const lane *l, const fm_stream_mark *mark, fm__writer *w)
{
    const char *settings = l->p->o.settings ? l->p->o.settings : "";
    put_bytes(w, settings, strlen(settings));
    put_mark(w, mark);
    fm__lane_put_motion(l, w);
    uint8_t *at = fm__put_section(w, l->gate ? fm__gate_save(l->gate, NULL, 0) : 0);
    if (at && l->gate) {
        (void)fm__gate_save(l->gate, at, SIZE_MAX);
    }
}

static bool is_nth(const lane *l, uint64_t frame)
{
    int every = l->p->o.checkpoint_every;
    return every > 0 && (frame + 1) % (uint64_t)every == 0;
}

const fm_stream_mark *fm__resume_see(
    const lane *l, const fm_stream *source, const fm_frame *frame, fm_stream_mark *mark)
{
    if (!l->checkpoint_due && !is_nth(l, fm_frame_index(frame))) {
        return NULL;
    }
    fm__stream_get_mark(source, frame, mark);
    return mark;
}

// Where results are held for the next look (hold.c), the tracker stands behind a frame only when that look
// comes, or more frames have passed than are held: until then every frame may be the one.
static bool is_wanted(lane *l, const work *w)
{
    if (!l->gate || !l->p->o.tracker) {
        return is_nth(l, w->index);
    }
    l->checkpoint_due = (l->checkpoint_due && w->skipped) || is_nth(l, w->index);
    bool wanted = l->checkpoint_due;
    l->checkpoint_due &= fm__gate_gap(l->gate) <= FM__MAX_HELD;
    return wanted;
}

fm_status fm__resume_note(lane *l, const fm_stream_mark *mark, work *w, fm_error *err)
{
    if (!is_wanted(l, w) || !mark) {
        return FM_OK;
    }
    fm__writer count = {.data = NULL};
    put_source(l, mark, &count);
    uint8_t *data = fm__calloc(FM_TAG_PIPELINE, count.at);
    if (!data) {
        return fm__fail_nomem(err, "a stream's state");
    }
    fm__writer out = {.data = data, .cap = count.at};
    put_source(l, mark, &out);
    w->noted = data;
    w->noted_size = count.at;
    return FM_OK;
}

static bool grow(uint8_t **data, size_t *cap, size_t need)
{
    return fm__grow(FM_TAG_PIPELINE, (void **)data, cap, need, 1);
}

void fm__resume_carry(lane *l, work *w)
{
    resume_state *s = &l->resume;
    s->carrier = NULL;
    if (!w->noted || (l->p->o.tracker && !l->tracker)) { // the tracker has failed
        return;
    }
    size_t tracker = l->tracker ? fm__tracker_save(l->tracker, NULL, 0) : 0;
    if (!grow(&s->tracker, &s->tracker_cap, tracker)) {
        fm_error err = {0};
        fm__fail_nomem(&err, "a stream's state");
        fm__lane_fail(l, &err);
        return;
    }
    if (tracker > 0) {
        (void)fm__tracker_save(l->tracker, s->tracker, tracker); // the same
    }
    s->tracker_size = tracker;
    s->carrier = w;
}

static void put_all(const lane *l, const work *w, fm__writer *out)
{
    const resume_state *s = &l->resume;
    fm__put_raw(out, MAGIC, MAGIC_SIZE);
    fm__put(out, VERSION, 4);
    fm__put(out, 0, 4);
    fm__put_raw(out, w->noted, w->noted_size);
    put_bytes(out, s->tracker, s->tracker_size);
    uint8_t *at = fm__put_section(out, l->hold ? fm__hold_save(l->hold, NULL, 0) : 0);
    if (at && l->hold) {
        (void)fm__hold_save(l->hold, at, SIZE_MAX);
    }
}

const void *fm__resume_take(lane *l, work *w, size_t *size)
{
    resume_state *s = &l->resume;
    *size = 0;
    if (s->carrier != w || !w->noted) {
        return NULL;
    }
    s->carrier = NULL;
    fm__writer out = {.data = NULL};
    put_all(l, w, &out);
    if (!grow(&s->whole, &s->whole_cap, out.at)) {
        fm_error err = {0};
        fm__fail_nomem(&err, "a stream's state");
        fm__lane_fail(l, &err);
        return NULL;
    }
    out = (fm__writer){.data = s->whole, .cap = out.at};
    put_all(l, w, &out);
    fm__put_le(s->whole + AT_CRC, fm__crc32c(0, s->whole + HEADER_SIZE, out.at - HEADER_SIZE), 4);
    *size = out.at;
    return s->whole;
}

void fm__resume_clear(lane *l)
{
    fm__free(l->resume.tracker);
    fm__free(l->resume.whole);
}

/* ---- reading ---- */

typedef struct parts {
    fm__section settings, motion, gate, tracker, hold;
    fm_stream_mark mark;
} parts;

static void get_mark(fm__reader *r, fm_stream_mark *m)
{
    m->kind = (fm_stream_kind)fm__get_in(r, 1, 0, FM_STREAM_TEST);
    m->frame = fm__get_in(r, 8, 0, UINT64_MAX - 1);
    m->pts_ns = (int64_t)fm__get_in(r, 8, 0, INT64_MAX / 2);
    m->wall_ns = (int64_t)fm__get(r, 8);
    m->crc = (uint32_t)fm__get(r, 4);
    m->video.exact = fm__get_in(r, 1, 0, 1);
    m->video.ts = (int64_t)fm__get(r, 8);
    m->video.offset_ns = (int64_t)fm__get(r, 8);
    m->video.end_ns = (int64_t)fm__get(r, 8);
    m->place = fm__get(r, 8);
    fm__section name = fm__get_section(r);
    r->bad |= name.len >= sizeof(m->file) || (name.len > 0 && memchr(name.data, 0, name.len));
    if (!r->bad && name.len > 0) {
        memcpy(m->file, name.data, name.len);
    }
}

static fm_status split(const void *data, size_t len, parts *out, fm_error *err)
{
    const uint8_t *bytes = data;
    if (len < HEADER_SIZE || len > MAX_STATE || memcmp(bytes, MAGIC, MAGIC_SIZE) != 0) {
        return fm__fail(err, FM_FORMAT, "these %zu bytes are no state of a stream", len);
    }
    fm__reader r = {.data = bytes, .len = len, .at = MAGIC_SIZE};
    unsigned version = (unsigned)fm__get(&r, 4);
    if (version != VERSION) {
        return fm__fail(err, FM_UNSUPPORTED,
            "a stream's state of version %u, and this framemill reads %u: begin the stream anew", version,
            VERSION);
    }
    bool same = fm__get(&r, 4) == fm__crc32c(0, bytes + HEADER_SIZE, len - HEADER_SIZE);
    *out = (parts){.settings = fm__get_section(&r)};
    get_mark(&r, &out->mark);
    out->motion = fm__get_section(&r);
    out->gate = fm__get_section(&r);
    out->tracker = fm__get_section(&r);
    out->hold = fm__get_section(&r);
    if (!same || r.bad || r.at != r.len) {
        return fm__fail(
            err, FM_FORMAT, "a stream's state is damaged: take an earlier one, or begin the stream anew");
    }
    return FM_OK;
}

// The first line of settings in which two texts differ.
static fm_status other_settings(const char *there, size_t there_len, const char *here, fm_error *err)
{
    size_t here_len = strlen(here), line = 0, at = 0;
    for (; at < there_len && at < here_len && there[at] == here[at]; at++) {
        line = there[at] == '\n' ? at + 1 : line;
    }
    const char *end = memchr(there + line, '\n', there_len - line);
    int there_line = (int)(end ? (size_t)(end - there) - line : there_len - line);
    return fm__fail(err, FM_INVAL, "the state is of other settings: '%.*s' there, '%.*s' here",
        there_line < 80 ? there_line : 80, there + line, (int)strcspn(here + line, "\n"), here + line);
}

static fm_status read_state(const fm_pipeline *p, const void *data, size_t len, parts *out, fm_error *err)
{
    const char *here = p->o.settings ? p->o.settings : "";
    fm_status st = split(data, len, out, err);
    if (st == FM_OK &&
        (out->settings.len != strlen(here) || memcmp(out->settings.data, here, out->settings.len) != 0)) {
        st = other_settings((const char *)out->settings.data, out->settings.len, here, err);
    }
    return st;
}

fm_status fm__pipeline_check_state(
    const fm_pipeline *p, const void *data, size_t len, uint64_t *start_frame, fm_error *err)
{
    parts in;
    fm_status st = read_state(p, data, len, &in, err);
    if (st == FM_OK) {
        *start_frame = in.mark.frame + 1;
    }
    return st;
}

fm_status fm__resume_mark(const lane *l, fm_stream_mark *out, fm_error *err)
{
    const fm_pipeline_stream *s = &l->p->o.streams[l->index];
    parts in;
    fm_status st = read_state(l->p, s->state, s->state_size, &in, err);
    if (st == FM_OK) {
        *out = in.mark;
    }
    return st;
}

static fm_status check_part(bool here, const fm__section *there, const char *what, fm_error *err)
{
    if (here == (there->len > 0)) {
        return FM_OK;
    }
    return fm__fail(err, FM_INVAL,
        here ? "the stream has a %s, and its state none"
             : "the state is of a stream with a %s, and this one has none",
        what);
}

fm_status fm__resume_load(lane *l, fm_error *err)
{
    const fm_pipeline_stream *s = &l->p->o.streams[l->index];
    parts in;
    fm_status st = read_state(l->p, s->state, s->state_size, &in, err);
    st = st == FM_OK ? check_part(l->motion, &in.motion, "motion detector", err) : st;
    st = st == FM_OK ? check_part(l->gate, &in.gate, "motion gate", err) : st;
    st = st == FM_OK ? check_part(l->tracker, &in.tracker, "tracker", err) : st;
    st = st == FM_OK ? check_part(l->hold, &in.hold, "motion gate", err) : st;
    if (st == FM_OK && l->motion) {
        st = fm__motion_load(l->motion, in.motion.data, in.motion.len, err);
    }
    if (st == FM_OK && l->gate) {
        st = fm__gate_load(l->gate, in.gate.data, in.gate.len, err);
    }
    if (st == FM_OK && l->tracker) {
        st = fm__tracker_load(l->tracker, in.tracker.data, in.tracker.len, err);
    }
    if (st == FM_OK && l->hold) {
        st = fm__hold_load(l->hold, in.hold.data, in.hold.len, err);
    }
    return st;
}
