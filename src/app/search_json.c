// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// Hits as JSON, in the words of a result's line: {"exact": true, "hits": [{"stream": ..., "frame": ...,
// "box": [x, y, w, h]}]}.

#include "app/search_private.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"

#include <framemill/frame.h>

static void put_object(fm_json *j, const fm_search_hit *h)
{
    if (h->label) {
        fm__json_put_string(j, "label", h->label);
    }
    fm__json_put_fixed(j, "score", h->score, 4);
    fm__json_key(j, "box");
    fm__json_open_array(j);
    fm__json_fixed(j, (double)h->box.x0, 2);
    fm__json_fixed(j, (double)h->box.y0, 2);
    fm__json_fixed(j, (double)(h->box.x1 - h->box.x0), 2);
    fm__json_fixed(j, (double)(h->box.y1 - h->box.y0), 2);
    fm__json_close_array(j);
    if (h->track > 0) {
        fm__json_put_int(j, "track_id", h->track);
    }
}

static void put_hit(fm_json *j, const fm_search_hit *h)
{
    char time[32];
    fm__json_open_object(j);
    if (h->distance >= 0) {
        fm__json_put_fixed(j, "distance", h->distance, 6);
    }
    fm__json_put_string(j, "stream", h->stream);
    fm__json_put_uint(j, "frame", h->frame);
    fm__json_put_int(j, "frame_id", h->frame_id);
    if (h->file) {
        fm__json_put_string(j, "file", h->file);
    }
    if (h->pts_ns != FM_PTS_NONE) {
        fm__json_put_fixed(j, "pts_ms", (double)h->pts_ns / 1e6, 3);
    }
    fm__format_utc(h->time_ns, time);
    fm__json_put_string(j, "time", time);
    fm__json_put_int(j, "width", h->width);
    fm__json_put_int(j, "height", h->height);
    if (h->is_object) {
        put_object(j, h);
    }
    fm__json_close_object(j);
}

fm_status fm_search_json(const fm_search *search, char **out, fm_error *err)
{
    fm_str text;
    fm_json j;
    fm__str_init(&text, FM_TAG_APP);
    fm__json_init(&j, &text);
    fm__json_open_object(&j);
    fm__json_put_bool(&j, "exact", search->exact);
    fm__json_key(&j, "hits");
    fm__json_open_array(&j);
    for (size_t i = 0; i < search->count; i++) {
        put_hit(&j, &search->hits[i]);
    }
    fm__json_close_array(&j);
    fm__json_close_object(&j);
    fm__str_add_char(&text, '\n');
    char *json = fm__str_take(&text);
    if (!json) {
        return fm__fail_nomem(err, "the hits");
    }
    *out = json;
    return FM_OK;
}
