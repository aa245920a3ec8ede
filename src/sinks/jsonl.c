// SPDX-License-Identifier: Apache-2.0
// Copyright the framemill authors.

// JSON Lines: one object a frame, keys in a fixed order, numbers with a fixed count of decimals (times 3,
// that is microseconds; boxes 2; scores 4) whatever the locale. How lines get out whole is in lines.c.

#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "sinks/lines.h"
#include "sinks/sinks.h"

// Enough for the 300 objects that a frame may have at most, so that no line makes it grow.
#define LINE_RESERVE 40960

typedef struct jsonl {
    fm_sink sink;
    fm_lines lines;
} jsonl;

static void add_box(fm_json *j, fm_box box)
{
    fm__json_key(j, "box");
    fm__json_open_array(j);
    fm__json_fixed(j, box.x0, 2);
    fm__json_fixed(j, box.y0, 2);
    fm__json_fixed(j, (double)box.x1 - box.x0, 2);
    fm__json_fixed(j, (double)box.y1 - box.y0, 2);
    fm__json_close_array(j);
}

static void add_object(fm_json *j, const fm_result *result, const fm_det *det)
{
    fm__json_open_object(j);
    if (det->class_id >= 0 && (size_t)det->class_id < result->label_count) {
        fm__json_key(j, "label");
        fm__json_string(j, result->labels[det->class_id]);
    }
    fm__json_key(j, "class_id");
    fm__json_int(j, det->class_id);
    fm__json_key(j, "score");
    fm__json_fixed(j, det->score, 4);
    add_box(j, det->box);
    if (det->track_id > 0) {
        fm__json_key(j, "track_id");
        fm__json_int(j, det->track_id);
    }
    fm__json_close_object(j);
}

/** A run with a detector always has "objects"; labels are what tells it from one without. */
static void add_objects(fm_json *j, const fm_result *result)
{
    if (result->label_count == 0 && result->det_count == 0)
        return;
    fm__json_key(j, "objects");
    fm__json_open_array(j);
    for (size_t i = 0; i < result->det_count; i++)
        add_object(j, result, &result->dets[i]);
    fm__json_close_array(j);
}

static void add_times(fm_json *j, const fm_result *result)
{
    if (result->pts_ns != FM_PTS_NONE) {
        fm__json_key(j, "pts_ms");
        fm__json_fixed(j, (double)result->pts_ns / FM_NS_PER_MS, 3);
    }
    if (result->wall_ns == FM_PTS_NONE)
        return;
    char utc[32];
    fm__format_utc(result->wall_ns, utc);
    if (utc[0]) {
        fm__json_key(j, "time");
        fm__json_string(j, utc);
    }
}

void fm__jsonl_format(fm_str *out, const fm_result *result)
{
    fm_json j;
    fm__json_init(&j, out);
    fm__json_open_object(&j);
    fm__json_key(&j, "stream");
    fm__json_string(&j, result->stream);
    fm__json_key(&j, "frame");
    fm__json_uint(&j, result->frame);
    if (result->file) {
        fm__json_key(&j, "file");
        fm__json_string(&j, result->file);
    }
    add_times(&j, result);
    fm__json_key(&j, "width");
    fm__json_int(&j, result->width);
    fm__json_key(&j, "height");
    fm__json_int(&j, result->height);
    add_objects(&j, result);
    if (result->error) {
        fm__json_key(&j, "error");
        fm__json_string(&j, result->error);
    }
    fm__json_close_object(&j);
    fm__str_add_char(out, '\n');
}

static fm_status jsonl_write(fm_sink *sink, const fm_result *result, const fm_frame *frame, fm_error *err)
{
    jsonl *s = (jsonl *)sink;
    (void)frame;
    fm__jsonl_format(&s->lines.text, result);
    return fm__lines_write(&s->lines, err);
}

static fm_status jsonl_close(fm_sink *sink, fm_error *err)
{
    jsonl *s = (jsonl *)sink;
    fm_status status = fm__lines_close(&s->lines, err);
    fm__free(s);
    return status;
}

static const fm_sink_class jsonl_class = {
    .name = "jsonl",
    .wants_pixels = false,
    .write = jsonl_write,
    .close = jsonl_close,
};

fm_status fm__sink_jsonl_file(const char *path, fm_sink **out, fm_error *err)
{
    jsonl *s = fm__calloc(FM_TAG_SINKS, sizeof *s);
    if (!s)
        return fm__fail_nomem(err, "a JSONL sink");
    s->sink.cls = &jsonl_class;
    fm_status status = fm__lines_open(&s->lines, path, LINE_RESERVE, err);
    if (status != FM_OK) {
        fm__free(s);
        return status;
    }
    *out = &s->sink;
    return FM_OK;
}

fm_status fm__sink_jsonl_fd(int fd, pthread_mutex_t *lock, const char *name, fm_sink **out, fm_error *err)
{
    jsonl *s = fm__calloc(FM_TAG_SINKS, sizeof *s);
    if (!s)
        return fm__fail_nomem(err, "a JSONL sink");
    s->sink.cls = &jsonl_class;
    fm_status status = fm__lines_attach(&s->lines, fd, lock, name, LINE_RESERVE, err);
    if (status != FM_OK) {
        fm__free(s);
        return status;
    }
    *out = &s->sink;
    return FM_OK;
}
