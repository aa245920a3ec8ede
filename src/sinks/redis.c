// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// The bus as a sink: each frame's line of JSON as it goes into a file, and what its tracks do as events. The
// bus copies and never waits, so neither does this. A better view is told when it is half as good again as
// the last one told: a few events a track, not one a frame.

#include "base/alloc.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "sinks/follow.h"
#include "sinks/format.h"
#include "sinks/sinks.h"

#include <string.h>

#define BETTER 1.5f

/** How an object was seen in one frame. */
typedef struct view {
    uint64_t frame;
    int64_t pts_ns, wall_ns;
    fm_box box;
    float score;
    float quality;
} view;

typedef struct live {
    fm_followed followed; // first
    int32_t class_id;
    float told; // quality of the view that was told last
    view best;
} live;

typedef struct redis_sink {
    fm_sink sink;
    fm_bus *bus;
    char *stream;
    bool results;
    fm_follow follow; // of live
    char **labels;    // [label_count] of the run; copied, since ends are told after the last result
    size_t label_count;
    uint64_t frames;
    fm_str text; // scratch
} redis_sink;

static void put_event(redis_sink *s, const char *type)
{
    fm__bus_put(s->bus, FM_BUS_EVENT, s->stream, type, s->text.data, s->text.len);
}

static void add_view(fm_json *j, const view *v)
{
    fm__json_put_uint(j, "frame", v->frame);
    fm__json_times(j, v->pts_ns, v->wall_ns);
    fm__json_put_fixed(j, "score", v->score, 4);
    fm__json_box(j, v->box);
}

static void begin_track(redis_sink *s, fm_json *j, const live *l)
{
    fm__str_reset(&s->text);
    fm__json_init(j, &s->text);
    fm__json_open_object(j);
    fm__json_put_string(j, "stream", s->stream);
    fm__json_put_int(j, "track_id", l->followed.track);
    fm__json_class(j, l->class_id, (const char *const *)s->labels, s->label_count);
}

static fm_status end_event(redis_sink *s, fm_json *j, const char *type, fm_error *err)
{
    fm__json_close_object(j);
    if (s->text.failed) {
        return fm__fail_nomem(err, "an event");
    }
    put_event(s, type);
    return FM_OK;
}

static fm_status tell_view(redis_sink *s, const char *type, live *l, fm_error *err)
{
    fm_json j;
    begin_track(s, &j, l);
    add_view(&j, &l->best);
    l->told = l->best.quality;
    return end_event(s, &j, type, err);
}

static fm_status tell_end(redis_sink *s, const live *l, fm_error *err)
{
    fm_json j;
    begin_track(s, &j, l);
    fm__json_put_uint(&j, "first_frame", l->followed.first);
    fm__json_put_uint(&j, "last_frame", l->followed.seen);
    fm__json_put_uint(&j, "frames", l->followed.count);
    fm__json_key(&j, "best");
    fm__json_open_object(&j);
    add_view(&j, &l->best);
    fm__json_close_object(&j);
    return end_event(s, &j, "track_end", err);
}

static fm_status tell_stream(redis_sink *s, const char *type, bool frames, fm_error *err)
{
    fm_json j;
    fm__str_reset(&s->text);
    fm__json_init(&j, &s->text);
    fm__json_open_object(&j);
    fm__json_put_string(&j, "stream", s->stream);
    if (frames) {
        fm__json_put_uint(&j, "frames", s->frames);
    }
    return end_event(s, &j, type, err);
}

static fm_status copy_labels(redis_sink *s, const fm_result *r, fm_error *err)
{
    if (s->labels || r->label_count == 0) {
        return FM_OK;
    }
    s->labels = fm__calloc_array(FM_TAG_SINKS, r->label_count, sizeof(*s->labels));
    if (!s->labels) {
        return fm__fail_nomem(err, "labels");
    }
    s->label_count = r->label_count;
    for (size_t i = 0; i < r->label_count; i++) {
        s->labels[i] = fm__strdup(FM_TAG_SINKS, r->labels[i]);
        if (!s->labels[i]) {
            return fm__fail_nomem(err, "labels");
        }
    }
    return FM_OK;
}

static fm_status see(redis_sink *s, const fm_result *r, const fm_det *d, fm_error *err)
{
    fm_followed *followed;
    bool begins;
    fm_status st = fm__follow_see(&s->follow, r->frame, d, &followed, &begins, err);
    if (st != FM_OK) {
        return st;
    }
    live *l = (live *)followed; // first in it
    float quality = fm__view_quality(r, d);
    l->class_id = d->class_id;
    if (begins || quality > l->best.quality) {
        l->best = (view){.frame = r->frame,
            .pts_ns = r->pts_ns,
            .wall_ns = r->wall_ns,
            .box = d->box,
            .score = d->score,
            .quality = quality};
    }
    return begins                       ? tell_view(s, "track_start", l, err)
           : quality > l->told * BETTER ? tell_view(s, "track_best", l, err)
                                        : FM_OK;
}

static fm_status tell_ends(redis_sink *s, uint64_t frame, bool all, fm_error *err)
{
    fm_status st = FM_OK;
    for (live l; st == FM_OK && fm__follow_take_ended(&s->follow, frame, all, &l);) {
        st = tell_end(s, &l, err);
    }
    return st;
}

static fm_status put_result(redis_sink *s, const fm_result *r, fm_error *err)
{
    fm__str_reset(&s->text);
    fm__jsonl_format(&s->text, r);
    if (s->text.failed) {
        return fm__fail_nomem(err, "a result");
    }
    fm__bus_put(s->bus, FM_BUS_RESULT, s->stream, "result", s->text.data, s->text.len - 1); // no line's end
    return FM_OK;
}

static fm_status redis_write(fm_sink *sink, const fm_result *r, const fm_frame *frame, fm_error *err)
{
    redis_sink *s = (redis_sink *)sink;
    (void)frame;
    fm_status st = copy_labels(s, r, err);
    s->frames++;
    if (st == FM_OK && s->results) {
        st = put_result(s, r, err);
    }
    for (size_t i = 0; st == FM_OK && i < r->det_count; i++) {
        if (r->dets[i].track_id > 0) {
            st = see(s, r, &r->dets[i], err);
        }
    }
    return st == FM_OK ? tell_ends(s, r->frame, false, err) : st;
}

static void free_sink(redis_sink *s)
{
    for (size_t i = 0; i < s->label_count; i++) {
        fm__free(s->labels[i]);
    }
    fm__free(s->labels);
    fm__follow_done(&s->follow);
    fm__str_done(&s->text);
    fm__free(s->stream);
    fm__free(s);
}

static fm_status redis_close(fm_sink *sink, fm_error *err)
{
    redis_sink *s = (redis_sink *)sink;
    fm_status st = tell_ends(s, 0, true, err);
    st = st == FM_OK ? tell_stream(s, "stream_end", true, err) : st;
    free_sink(s);
    return st;
}

static const fm_sink_class redis_class = {
    .name = "redis", .wants_pixels = false, .write = redis_write, .close = redis_close};

fm_status fm__sink_redis(
    fm_bus *bus, const char *stream, bool results, int gone, fm_sink **out, fm_error *err)
{
    redis_sink *s = fm__calloc(FM_TAG_SINKS, sizeof(*s));
    if (!s) {
        return fm__fail_nomem(err, "a sink");
    }
    s->sink.cls = &redis_class;
    s->bus = bus;
    s->results = results;
    s->stream = fm__strdup(FM_TAG_SINKS, stream);
    fm__str_init(&s->text, FM_TAG_SINKS);
    fm__follow_init(&s->follow, sizeof(live), gone);
    fm_status st = s->stream ? tell_stream(s, "stream_start", false, err) : fm__fail_nomem(err, "a sink");
    if (st != FM_OK) {
        free_sink(s);
        return st;
    }
    *out = &s->sink;
    return FM_OK;
}
